"""Columns: the values of one feature over many records, as flat arrays, read from the records."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .compiling import copy_bytes, inlined, jit, kernel_input, load8, load32
from .wire import BYTES, COUNT, END, ENTRY, FLOAT, INT64, LIST, SIZE, read_length, read_varint

KIND_NAMES = {BYTES: "bytes", FLOAT: "float", INT64: "int64"}
KINDS = {name: kind for kind, name in KIND_NAMES.items()}
ABSENT, NO_KIND, LISTED = 0, 1, 2  # States of a feature in a record.

_DTYPES = {FLOAT: np.float32, INT64: np.int64}


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """The values of one feature in n records.

    Attributes:
        kind: BYTES, FLOAT or INT64.
        row_splits: int64 `[n + 1]`; record i has the values `row_splits[i]` to `row_splits[i + 1]`.
        values: float32 or int64 `[m]`; None for a bytes column.
        value_offsets: int64 `[m + 1]`; value j of a bytes column is
            `data[value_offsets[j]:value_offsets[j + 1]]`. None for numbers.
        data: uint8; the bytes of all values. None for numbers.
        state: uint8 `[n]`; ABSENT (the record lacks the feature), NO_KIND (it has the feature, with
            no kind set, which readers take as missing) or LISTED (a list, perhaps empty). By
            default LISTED everywhere.
    """

    kind: int
    row_splits: np.ndarray
    values: np.ndarray | None = None
    value_offsets: np.ndarray | None = None
    data: np.ndarray | None = None
    state: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.kind not in KIND_NAMES:
            raise ValueError(f"`kind` must be 1, 2 or 3. Received: kind={self.kind!r}.")
        is_bytes = self.kind == BYTES
        wanted = ("value_offsets", "data") if is_bytes else ("values",)
        for name in ("values", "value_offsets", "data"):
            if (getattr(self, name) is not None) != (name in wanted):
                raise ValueError(
                    f"a {KIND_NAMES[self.kind]} column must have {wanted} of `values`, "
                    f"`value_offsets` and `data`. Received: {name}={getattr(self, name)!r}."
                )
        self._set("row_splits", np.int64)
        if is_bytes:
            self._set("value_offsets", np.int64)
            self._set("data", np.uint8)
            check_splits("value_offsets", self.value_offsets, len(self.data))
            check_splits("row_splits", self.row_splits, len(self.value_offsets) - 1)
        else:
            self._set("values", _DTYPES[self.kind])
            check_splits("row_splits", self.row_splits, len(self.values))
        if self.state is None:
            object.__setattr__(self, "state", np.full(len(self), LISTED, np.uint8))
        self._set("state", np.uint8)
        if self.state.shape != (len(self),) or (self.state > LISTED).any():
            raise ValueError(
                f"`state` must hold 0, 1 or 2 for each of {len(self)} rows. Received: {self.state}."
            )

    def _set(self, name: str, dtype: Any) -> None:
        object.__setattr__(self, name, kernel_input(getattr(self, name), dtype))

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    @classmethod
    def from_rows(cls, kind: int, rows: Sequence[Sequence[Any] | None]) -> Column:
        """A column from Python lists of values, one a row; None where a row lacks the feature."""
        lists = [[] if row is None else row for row in rows]
        state = np.array([ABSENT if row is None else LISTED for row in rows], np.uint8)
        row_splits = _splits([len(row) for row in lists])
        values = [value for row in lists for value in row]
        if kind != BYTES:
            return cls(kind, row_splits, values=np.array(values, _DTYPES[kind]), state=state)
        return cls(
            kind,
            row_splits,
            value_offsets=_splits([len(value) for value in values]),
            data=np.frombuffer(b"".join(values), np.uint8),
            state=state,
        )

    def to_rows(self) -> list[list[Any] | None]:
        """Python lists of values, one a row; None where the feature is absent or has no kind."""
        if self.kind == BYTES:
            data, places = self.data.tobytes(), self.value_offsets.tolist()
            values = [data[a:b] for a, b in itertools.pairwise(places)]
        else:
            values = self.values.tolist()
        splits = self.row_splits.tolist()
        return [
            values[a:b] if state == LISTED else None
            for (a, b), state in zip(itertools.pairwise(splits), self.state)
        ]


def _splits(lengths: Sequence[int]) -> np.ndarray:
    splits = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=splits[1:])
    return splits


def check_splits(name: str, splits: np.ndarray, size: int) -> None:
    """The kernels trust these positions: they must rise and stay within what they point to."""
    if (
        splits.ndim != 1
        or len(splits) < 1
        or splits[0] < 0
        or splits[-1] > size
        or (np.diff(splits) < 0).any()
    ):
        raise ValueError(
            f"`{name}` must be positions from 0 to {size} that do not fall. Received: {splits}."
        )


# A feature's spans are what the walker noted; it has seen that the lists are well-formed.


@inlined
def _row_splits(spans, feature, state):
    """Fills `state`, and returns the row splits."""
    splits = np.empty(len(spans) + 1, np.int64)
    splits[0] = 0
    for i in range(len(spans)):
        splits[i + 1] = splits[i] + spans[i, feature, COUNT]
        state[i] = (
            ABSENT
            if spans[i, feature, ENTRY] < 0
            else LISTED
            if spans[i, feature, LIST] > 0
            else NO_KIND
        )
    return splits


@jit
def _read_floats(data, offsets, spans, feature, state):
    row_splits = _row_splits(spans, feature, state)
    values = np.empty(row_splits[-1], np.float32)
    words = values.view(np.uint32)
    k = 0
    for i in range(len(spans)):
        if state[i] != LISTED:
            continue
        position = offsets[i] + spans[i, feature, LIST]
        end = offsets[i] + spans[i, feature, END]
        while position < end:
            if load8(data, position) == 0x0A:
                length, position = read_length(data, position + 1, end)
                after = position + length
                while position < after:
                    words[k] = load32(data, position)
                    k += 1
                    position += 4
            else:
                words[k] = load32(data, position + 1)
                k += 1
                position += 5
    return row_splits, values


@jit
def _read_int64s(data, offsets, spans, feature, state):
    row_splits = _row_splits(spans, feature, state)
    values = np.empty(row_splits[-1], np.int64)
    k = 0
    for i in range(len(spans)):
        if state[i] != LISTED:
            continue
        position = offsets[i] + spans[i, feature, LIST]
        end = offsets[i] + spans[i, feature, END]
        while position < end:
            if load8(data, position) == 0x0A:
                length, position = read_length(data, position + 1, end)
                after = position + length
                while position < after:
                    value, position = read_varint(data, position, after)
                    values[k] = np.int64(value)
                    k += 1
            else:
                value, position = read_varint(data, position + 1, end)
                values[k] = np.int64(value)
                k += 1
    return row_splits, values


@jit
def _read_bytes(data, offsets, spans, feature, state):
    row_splits = _row_splits(spans, feature, state)
    size = np.int64(0)
    for i in range(len(spans)):
        size += spans[i, feature, SIZE]
    values = np.empty(size, np.uint8)
    value_offsets = np.empty(row_splits[-1] + 1, np.int64)
    value_offsets[0] = 0
    k = 0
    target = np.int64(0)
    for i in range(len(spans)):
        if state[i] != LISTED:
            continue
        position = offsets[i] + spans[i, feature, LIST]
        end = offsets[i] + spans[i, feature, END]
        while position < end:
            length, position = read_length(data, position + 1, end)
            copy_bytes(values, target, data, position, length)
            position += length
            target += length
            k += 1
            value_offsets[k] = target
    return row_splits, value_offsets, values


def read_column(
    data: np.ndarray, offsets: np.ndarray, spans: np.ndarray, feature: int, kind: int
) -> Column:
    """The column of one feature, from the spans of all: `[n, features, SPAN_FIELDS]`."""
    state = np.empty(len(spans), np.uint8)
    if kind == BYTES:
        row_splits, value_offsets, values = _read_bytes(data, offsets, spans, feature, state)
        return Column(kind, row_splits, value_offsets=value_offsets, data=values, state=state)
    read = _read_floats if kind == FLOAT else _read_int64s
    row_splits, values = read(data, offsets, spans, feature, state)
    return Column(kind, row_splits, values=values, state=state)
