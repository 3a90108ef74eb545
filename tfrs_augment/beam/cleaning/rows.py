"""`Rows`: a block of records while it is cleaned."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment import records
from tfrs_augment.beam.blocks import canonicalize
from tfrs_augment.beam.cleaning.kernels import frame_offsets, hash_payloads
from tfrs_augment.records import BYTES, INT64, Column, Edit

_OFFSET_BITS = 44
"""Of a place: files of up to 16 TiB, and half a million of them in a unit."""


class Rows:
    """A block of records: columns can be replaced and rows dropped, with the reason.

    Args:
      frames: the records as they were read.
      kinds: the features that rules read, and their kinds.
      file_number: the number of the file in its unit.

    Attributes:
      slow_count: how many records were in another encoding than serializers write.
    """

    def __init__(self, frames: records.Frames, kinds: Mapping[str, int], file_number: int):
        self._kinds = kinds
        self._block = records.decode(frames, kinds, canonicalize)
        self.slow_count = self._block.slow_count
        self._rejected = list(self._block.rejected)
        self._base = file_number << _OFFSET_BITS
        read = np.searchsorted(frames.file_offsets, self._block.file_offsets)
        self._lengths = np.diff(frames.offsets)[read]
        self._columns: dict[str, Column] = {}
        self._edits: dict[str, Edit] = {}

    def __len__(self) -> int:
        return self._block.n

    @property
    def places(self) -> np.ndarray:
        """int64 `[n]`: where each record was in its unit; no two have the same."""
        return self._base + self._block.file_offsets

    def column(self, name: str) -> Column:
        """The values of a feature, with the replacements so far."""
        if name in self._edits:
            self._write()
        if name not in self._columns:
            self._columns[name] = self._block.column(name)
        return self._columns[name]

    def hashes(self) -> np.ndarray:
        """The hashes of the records' bytes: uint64 `[n, 2]`."""
        self._write()
        return hash_payloads(self._block.frames, self._block.offsets)

    def replace(self, name: str, column: Column, mask: np.ndarray) -> None:
        """Gives the rows in `mask` the values that they have in `column`."""
        self.column(name)  # A replacement that waits is written first.
        self._edits[name] = Edit(column, rows=mask)

    def drop(self, mask: np.ndarray, reason: str | Callable[[int], str]) -> None:
        """Takes rows out; `reason` may be a function of the row's number."""
        dropped = np.flatnonzero(mask)
        if not len(dropped):
            return
        self._write()
        for i in dropped.tolist():
            text = reason if isinstance(reason, str) else reason(i)
            place = int(self._block.file_offsets[i])
            self._rejected.append(records.Rejection(place, int(self._lengths[i]), text))
        self._block = self._block.take(~mask)
        self._lengths = self._lengths[~mask]
        self._columns = {}

    def _write(self) -> None:
        """Writes the replacements into the records."""
        if self._edits:
            old = self._block
            data = old.encode(self._edits)
            frames = records.Frames(data, frame_offsets(data, old.n), old.file_offsets)
            self._block = records.decode(frames, self._kinds, canonicalize)
            self._columns, self._edits = {}, {}

    def frames(self) -> records.Frames:
        """The records that are left, and all that was rejected."""
        self._write()
        block = self._block
        return records.Frames(
            block.frames, block.offsets, block.file_offsets, sorted(self._rejected)
        )


def rows_with(column: Column, mask: np.ndarray) -> np.ndarray:
    """bool `[n]`: the rows that have at least one value in `mask`, bool `[m]`."""
    found = np.zeros(len(column), bool)
    found[np.repeat(np.arange(len(column)), np.diff(column.row_splits))[mask]] = True
    return found


def row_values(column: Column, row: int) -> list[Any]:
    """The values of one row."""
    begin, end = column.row_splits[row : row + 2].tolist()
    if column.kind != BYTES:
        return column.values[begin:end].tolist()
    offsets = column.value_offsets[begin : end + 1].tolist()
    return [column.data[a:b].tobytes() for a, b in itertools.pairwise(offsets)]


def column_of_rows(kind: int, mask: np.ndarray, lists: Sequence[Sequence[Any]]) -> Column:
    """A column that has values in the rows of `mask` only: those of `lists`, a list a row."""
    lengths = np.zeros(len(mask), np.int64)
    lengths[mask] = [len(values) for values in lists]
    values = [value for row in lists for value in row]
    splits = np.concatenate([[0], np.cumsum(lengths)])
    if kind == BYTES:
        offsets = np.cumsum([0, *map(len, values)])
        data = np.frombuffer(b"".join(values), np.uint8)
        return Column(kind, splits, value_offsets=offsets, data=data)
    return Column(kind, splits, values=np.array(values, np.int64 if kind == INT64 else np.float32))


def distinct(column: Column) -> tuple[np.ndarray, list[bytes | int]]:
    """Codes of a bytes or int64 column's values, int64 `[m]`, and the value of each code."""
    if column.kind == INT64:
        values, codes = np.unique(column.values, return_inverse=True)
        return codes, values.tolist()
    codes, first = records.unique(column.value_offsets, column.data)
    begins, ends = column.value_offsets[first].tolist(), column.value_offsets[first + 1].tolist()
    return codes, [column.data[a:b].tobytes() for a, b in zip(begins, ends, strict=True)]


def to_bytes(value: str) -> bytes:
    """Text as a bytes feature holds it; the inverse of `to_text`."""
    return value.encode("utf-8", "surrogateescape")


def to_text(value: bytes | float) -> str:
    """A value as text, for JSON."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def replace_values(
    rows: Rows, name: str, column: Column, found: np.ndarray, wrong: np.ndarray, fills: Any
) -> None:
    """Puts a value in the place of the wrong ones of some rows, and into those that have none.

    Args:
      found: bool `[n]`, the rows.
      wrong: bool `[m]`, the values.
      fills: one value, or a list of one a found row.
    """
    numbers = np.flatnonzero(found).tolist()
    if not isinstance(fills, list):
        fills = [fills] * len(numbers)
    lists = []
    for i, fill in zip(numbers, fills, strict=True):
        begin, end = column.row_splits[i : i + 2].tolist()
        pairs = zip(row_values(column, i), wrong[begin:end].tolist(), strict=True)
        lists.append([fill if replaced else value for value, replaced in pairs] or [fill])
    rows.replace(name, column_of_rows(column.kind, found, lists), found)
