"""Columns to records: equal to protobuf's, and untouched bytes passed through."""

from __future__ import annotations

import pathlib
import random
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.internal import api_implementation

from tests.records import samples
from tfrs_augment import records
from tfrs_augment.beam.blocks import canonicalize


def _framed(examples) -> bytes:
    return records.frame([made.SerializeToString(deterministic=True) for made in examples])


def _block(examples, kinds=None) -> records.Block:
    payloads = [made.SerializeToString() for made in examples]
    return records.decode(records.Frames.from_payloads(payloads), kinds or samples.WANTED)


def _payloads(framed: np.ndarray) -> list[bytes]:
    """The payloads of framed records, through TensorFlow's own reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "framed"
        path.write_bytes(framed.tobytes())
        return [bytes(item.numpy()) for item in tf.data.TFRecordDataset(str(path))]


def test_rows_are_those_of_protobuf():
    rng = random.Random(0)
    kinds = {**samples.WANTED, "ünï": records.INT64, "\U0001f600": records.FLOAT, "\ue000": 1}
    kinds |= dict.fromkeys(["bb", "ba", "B", "b0", "ff"], records.INT64)
    rows = {name: [] for name in kinds}
    examples = []
    for _ in range(500):
        made = tf.train.Example()
        made.features.SetInParent()
        for name, kind in kinds.items():
            row = samples.values(kind, rng) if rng.random() < 0.8 else None
            rows[name].append(row)
            if row is not None:
                target = getattr(made.features.feature[name], samples.LISTS[kind])
                target.SetInParent()
                target.value.extend(row)
        examples.append(made)
    columns = {name: records.Column.from_rows(kind, rows[name]) for name, kind in kinds.items()}
    written = records.encode_rows(columns)
    block = _block(examples, kinds)
    again = {name: block.column(name) for name in kinds}
    assert np.array_equal(records.encode_rows(again), written)
    if api_implementation.Type() == "upb":
        assert written.tobytes() == _framed(examples)
    # Older implementations order names otherwise where one begins with another; all else is the same.
    expected = [made.SerializeToString() for made in examples]
    assert list(map(len, _payloads(written))) == list(map(len, expected))
    assert list(map(canonicalize, _payloads(written))) == list(map(canonicalize, expected))


def test_rows_of_nothing():
    assert records.encode_rows({}).size == 0
    column = records.Column.from_rows(records.FLOAT, [])
    assert records.encode_rows({"x": column}).size == 0
    absent = records.Column.from_rows(records.FLOAT, [None, None])
    assert _payloads(records.encode_rows({"x": absent})) == [b"\x0a\x00"] * 2
    with pytest.raises(ValueError, match="equal lengths.*'x': 0, 'y': 2"):
        records.encode_rows({"x": column, "y": absent})


def test_without_edits_records_stay_as_they_are():
    rng = random.Random(1)
    examples = [samples.example(rng) for _ in range(200)]
    block = _block(examples)
    framed = records.frame([made.SerializeToString() for made in examples])
    assert block.encode({}).tobytes() == framed
    nobody = np.zeros(block.n, np.bool_)
    edits = {name: records.Edit(block.column(name), rows=nobody) for name in samples.WANTED}
    assert block.encode(edits).tobytes() == framed
    # Writing back what was read changes nothing either, as protobuf writes numbers packed.
    edits = {name: records.Edit(block.column(name)) for name in samples.WANTED}
    assert block.encode(edits).tobytes() == framed


@pytest.mark.parametrize("seed", range(4))
def test_edits_do_what_they_do_to_an_example(seed):
    rng = random.Random(seed)
    examples = [samples.example(rng) for _ in range(400)]
    payloads = [samples.serialized(made, rng) for made in examples]
    kinds = {**samples.WANTED, "new": records.BYTES, "newer": records.INT64}
    block = records.decode(records.Frames.from_payloads(payloads), kinds)
    assert block.n == 400
    want = [samples.parsed(payload) for payload in payloads]
    edits = {}
    for name in rng.sample(sorted(kinds), 4):
        kind = kinds[name]
        rows = np.array([rng.random() < 0.7 for _ in want])
        if rng.random() < 0.3:
            constant = samples.values(kind, rng)
            edits[name] = records.Edit.constant(kind, constant, rows)
            new_rows = [constant] * len(want)
        else:
            new_rows = [samples.values(kind, rng) if rng.random() < 0.8 else None for _ in want]
            edits[name] = records.Edit(records.Column.from_rows(kind, new_rows), rows)
        for made, changes, row in zip(want, rows, new_rows):
            if changes:
                made.features.feature.pop(name, None)
                if row is not None:
                    target = getattr(made.features.feature[name], samples.LISTS[kind])
                    target.SetInParent()
                    target.value.extend(row)
    drop = [name for name in kinds if name not in edits][:1]
    for made in want:
        made.features.feature.pop(drop[0], None)
    written = block.encode(edits, drop)
    assert written.tobytes() == block.encode(edits, drop).tobytes()
    for payload, made in zip(_payloads(written), want, strict=True):
        got = tf.train.Example.FromString(payload)
        assert got.SerializeToString(deterministic=True) == made.SerializeToString(
            deterministic=True
        )


def test_edits_keep_the_place_and_append_in_their_order():
    payload = samples.field(
        0x0A,
        b"".join(
            samples.field(
                0x0A,
                samples.field(0x0A, name)
                + samples.field(0x12, samples.field(0x1A, samples.field(0x0A, b"\x01"))),
            )
            for name in (b"z", b"a", b"m")
        ),
    )
    kinds = dict.fromkeys(("y", "m", "z", "x"), records.INT64)
    block = records.decode(records.Frames.from_payloads([payload]), kinds)
    edits = {name: records.Edit.constant(records.INT64, [300]) for name in ("y", "m", "z", "x")}
    (written,) = _payloads(block.encode(edits))
    places = [written.index(b"\x0a\x01" + name) for name in (b"z", b"a", b"m", b"y", b"x")]
    assert places == sorted(places)


def test_states_are_written():
    made = tf.train.Example()
    made.features.feature["i"].int64_list.value.append(7)
    block = _block([made] * 3)
    column = records.Column(
        records.INT64, np.zeros(4, np.int64), values=np.zeros(0, np.int64), state=np.arange(3)
    )
    written = [
        tf.train.Example.FromString(payload)
        for payload in _payloads(block.encode({"i": records.Edit(column)}))
    ]
    assert [samples.expected(made, "i", records.INT64)[0] for made in written] == [0, 1, 2]
    assert _payloads(block.encode({}, drop=["i", "i"])) == [b"\x0a\x00"] * 3


def test_records_without_features_get_some():
    block = records.decode(records.Frames.from_payloads([b"", b"\x0a\x00"]), {"i": records.INT64})
    written = _payloads(block.encode({"i": records.Edit.constant(records.INT64, [1, 2])}))
    made = tf.train.Example()
    made.features.feature["i"].int64_list.value.extend([1, 2])
    assert written == [made.SerializeToString()] * 2
    assert _payloads(block.encode({}, drop=["i"])) == [b"", b"\x0a\x00"]


def test_big_values_and_lengths():
    # Lengths around the borders of their varints, in the list, the feature, the entry, the record.
    for size in (*range(90, 132), *range(16340, 16390), 2_100_000):
        made = tf.train.Example()
        made.features.feature["b"].bytes_list.value.append(bytes(size))
        block = _block([tf.train.Example(), made])
        column = records.Column.from_rows(records.BYTES, [[bytes(size)]])
        written = block.encode({"b": records.Edit(column)})
        assert written.tobytes() == records.frame([made.SerializeToString()] * 2)


def test_wrong_edits_are_named():
    made = tf.train.Example()
    block = _block([made] * 3)
    floats = records.Column.from_rows(records.FLOAT, [[1.0]] * 2)
    with pytest.raises(ValueError, match="'f' must have 3 rows.*Received: 2 rows"):
        block.encode({"f": records.Edit(floats)})
    with pytest.raises(ValueError, match="'i' must be of kind int64. Received: float"):
        block.encode({"i": records.Edit(floats)})
    with pytest.raises(ValueError, match="must be in the `kinds`.*'aug/draw'"):
        block.encode({"aug/draw": records.Edit.constant(records.INT64, [1])})
    with pytest.raises(ValueError, match="edited or dropped, not both.*'f'"):
        block.encode({"f": records.Edit.constant(records.FLOAT, [1])}, drop=["f"])
    with pytest.raises(ValueError, match="must be bool of shape"):
        block.encode({"f": records.Edit.constant(records.FLOAT, [1], rows=np.ones(2, np.bool_))})
