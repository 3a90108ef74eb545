"""Random tf.train.Example records, and what protobuf reads from them."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrs_augment import records

WANTED = {"b": records.BYTES, "f": records.FLOAT, "i": records.INT64, "": records.BYTES}
LISTS = {records.BYTES: "bytes_list", records.FLOAT: "float_list", records.INT64: "int64_list"}

_FLOATS = (0.0, -0.0, 1.5, -3e38, 1e-45, float("nan"), float("inf"), float("-inf"))
_INTS = (0, 1, 127, 128, 300, -1, 2**31, 2**63 - 1, -(2**63))


def values(kind: int, rng: random.Random) -> list:
    """From zero to five values of a kind."""
    count = rng.choice((0, 1, 1, 1, 2, 5))
    if kind == records.BYTES:
        return [rng.randbytes(rng.choice((0, 1, 7, 200))) for _ in range(count)]
    return [rng.choice(_FLOATS if kind == records.FLOAT else _INTS) for _ in range(count)]


def example(rng: random.Random) -> tf.train.Example:
    """An Example with some of the wanted features and some others, of any length or none."""
    made = tf.train.Example()
    names = [(name, kind) for name, kind in WANTED.items() if rng.random() < 0.8]
    names += [(name, rng.choice((1, 2, 3))) for name in ("other", "ünï") if rng.random() < 0.5]
    rng.shuffle(names)
    for name, kind in names:
        feature = made.features.feature[name]
        if rng.random() < 0.9:
            list_of_kind = getattr(feature, LISTS[kind])
            list_of_kind.SetInParent()
            list_of_kind.value.extend(values(kind, rng))
    return made


def varint(value: int) -> bytes:
    """`value` as a base-128 varint; negative numbers as protobuf's int64."""
    value &= 2**64 - 1
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def field(tag: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([tag]) + varint(len(content)) + content


def serialized(made: tf.train.Example, rng: random.Random) -> bytes:
    """The Example as another serializer might write it: any order, numbers packed or not."""
    entries = []
    for name, feature in made.features.feature.items():
        kind = {None: 0, "bytes_list": 1, "float_list": 2, "int64_list": 3}[
            feature.WhichOneof("kind")
        ]
        content = b""
        if kind:
            parts = list(getattr(feature, LISTS[kind]).value)
            if kind == records.BYTES:
                content = b"".join(field(0x0A, part) for part in parts)
            else:
                wire = [
                    np.float32(part).tobytes() if kind == records.FLOAT else varint(part)
                    for part in parts
                ]
                packed = rng.randrange(len(wire) + 1)  # The first so many packed, the rest not.
                if packed or rng.random() < 0.1:
                    content = field(0x0A, b"".join(wire[:packed]))
                tag = b"\x0d" if kind == records.FLOAT else b"\x08"
                content += b"".join(tag + part for part in wire[packed:])
            content = field(8 * kind + 2, content)
        entries.append(field(0x0A, field(0x0A, name.encode()) + field(0x12, content)))
    rng.shuffle(entries)
    return field(0x0A, b"".join(entries))


def expected(made: tf.train.Example, name: str, kind: int) -> tuple[int, list]:
    """The state and the values of a feature, as protobuf has them."""
    if name not in made.features.feature:
        return records.ABSENT, []
    feature = made.features.feature[name]
    if feature.WhichOneof("kind") is None:
        return records.NO_KIND, []
    return records.LISTED, list(getattr(feature, LISTS[kind]).value)


def has_wanted_kinds(made: tf.train.Example) -> bool:
    return all(
        name not in made.features.feature
        or made.features.feature[name].WhichOneof("kind") in (None, LISTS[kind])
        for name, kind in WANTED.items()
    )


def assert_columns_equal(block: records.Block, examples: Iterable[tf.train.Example]) -> None:
    """The wanted columns of `block` hold what protobuf has in `examples`, row for row."""
    examples = list(examples)
    assert block.n == len(examples)
    for name, kind in WANTED.items():
        column = block.column(name)
        want = [expected(made, name, kind) for made in examples]
        assert column.state.tolist() == [state for state, _ in want]
        assert np.diff(column.row_splits).tolist() == [len(row) for _, row in want]
        flat = [value for _, row in want for value in row]
        if kind == records.BYTES:
            assert [value for row in column.to_rows() for value in row or ()] == flat
        else:
            np.testing.assert_array_equal(column.values, np.array(flat, column.values.dtype))


def parsed(payload: bytes) -> tf.train.Example | None:
    """The Example, or None where protobuf refuses the payload."""
    try:
        return tf.train.Example.FromString(payload)
    except DecodeError:
        return None


class ShortReads:
    """A stream whose `read(n)` gives a few bytes at a time, as a socket may."""

    def __init__(self, data: bytes, rng: random.Random, most: int):
        self._stream = io.BytesIO(data)
        self._rng = rng
        self._most = most

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, self._rng.randint(1, self._most)))
