"""How much features tell of one another: mutual information, exact whatever the order or the split.

Each value becomes a 64-bit code in which fewer leading bits are a coarser grouping: a number its float64 bits
in order, a string or an integer its hash. A feature keeps as many leading bits as leave at most `MAX_CELLS`
different cells in all of the data, and each two features have a table of counts of their cells. How many bits
those are does not depend on the order of the data, and cells that are merged early add up to those merged
late, so the tables, which are integers, are the same for any cut of the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import hash_values, values_of
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.rng import Column

MAX_CELLS = 128
"""The most different cells of a feature: a table of two features has at most 129 * 129 counts, 130 KB."""
BINS = 16
"""The numbers of a feature fall in this many bins of equal mass at the end."""

_DECIMALS = 9
"""The result is rounded to this: libraries of other processors differ in the last bits of a logarithm."""


class _Cells:
    """The cells of one feature: sorted codes, of which the `dropped` lowest bits are cut off.

    Cell 0 stands for a missing value, and cell i + 1 for `codes[i]`.
    """

    def __init__(self):
        self.codes, self.dropped = np.zeros([0], np.uint64), 0
        self.numeric = False

    def __len__(self) -> int:
        return 1 + len(self.codes)

    def grow(self, codes: np.ndarray, dropped: int) -> np.ndarray:
        """Takes in codes of which `dropped` bits are cut off already.

        Returns:
          The new index of each old cell.
        """
        old = self.codes
        level = max(dropped, self.dropped)
        known = np.union1d(_cut(old, level - self.dropped), _cut(codes, level - dropped))
        while len(known) > MAX_CELLS:
            known, level = np.unique(_cut(known, 1)), level + 1
        moved = 1 + np.searchsorted(known, _cut(old, level - self.dropped))
        self.codes, self.dropped = known, level
        return np.concatenate([[0], moved])

    def index(self, codes: np.ndarray, dropped: int) -> np.ndarray:
        """The cells of codes that were taken in."""
        return 1 + np.searchsorted(self.codes, _cut(codes, self.dropped - dropped))


def _cut(codes: np.ndarray, bits: int) -> np.ndarray:
    # A shift by 64 is undefined in C.
    return np.zeros_like(codes) if bits > 63 else codes >> np.uint64(bits)


class InformationSummary:
    """Counts of the cells of each two of several features.

    A missing value (an empty list, NaN) is a value like another: what is missing together belongs together.
    For a list of strings or integers stands one of its values, each as likely, drawn by a hash of the list's
    content; for a list of floats its mean. Integers are categories: a quantity should be a float.

    Memory: at most 130 KB for each two features, 25 MB for 20 features.
    """

    joint = True
    """It takes the columns of several features."""

    def __init__(self):
        self.cells: list[_Cells] = []
        self.tables: dict[tuple[int, int], np.ndarray] = {}

    def add(self, columns: Sequence[Column], keys: np.ndarray | None) -> None:
        """Adds the rows of the columns, one a feature."""
        self._start(len(columns))
        coded = [_codes(column) for column in columns]
        for cells, column in zip(self.cells, columns, strict=True):
            cells.numeric = column.dtype.is_floating
        self._grow([(np.unique(codes[present]), 0) for codes, present in coded])
        index = [
            np.where(present, cells.index(codes, 0), 0)
            for cells, (codes, present) in zip(self.cells, coded, strict=True)
        ]
        for (i, j), table in self.tables.items():
            places = index[i] * table.shape[1] + index[j]
            table += np.bincount(places, minlength=table.size).reshape(table.shape)

    def merge(self, other: InformationSummary) -> None:
        """Adds what another summary counted."""
        if not other.cells:
            return
        self._start(len(other.cells))
        self._grow([(cells.codes, cells.dropped) for cells in other.cells])
        for mine, cells in zip(self.cells, other.cells, strict=True):
            mine.numeric |= cells.numeric
        moved = [
            np.concatenate([[0], mine.index(cells.codes, cells.dropped)])
            for mine, cells in zip(self.cells, other.cells, strict=True)
        ]
        for (i, j), table in self.tables.items():
            np.add.at(table, np.ix_(moved[i], moved[j]), other.tables[i, j])

    def _start(self, features: int) -> None:
        if not self.cells:
            self.cells = [_Cells() for _ in range(features)]
            pairs = itertools.combinations(range(features), 2)
            self.tables = {pair: np.zeros([1, 1], np.int64) for pair in pairs}

    def _grow(self, codes: Sequence[tuple[np.ndarray, int]]) -> None:
        moved = [cells.grow(*more) for cells, more in zip(self.cells, codes, strict=True)]
        for (i, j), table in self.tables.items():
            grown = np.zeros([len(self.cells[i]), len(self.cells[j])], np.int64)
            np.add.at(grown, np.ix_(moved[i], moved[j]), table)
            self.tables[i, j] = grown

    def arrays(self, requirement: Requirement) -> dict[str, np.ndarray]:
        """The information as an array; see `FittedState`."""
        if not self.tables or not next(iter(self.tables.values())).sum():
            raise DataError(f"The {requirement} cannot be fitted: the data hold no row.")
        information = np.zeros([len(self.cells)] * 2)
        for (i, j), table in self.tables.items():
            for axis, cells in enumerate((self.cells[i], self.cells[j])):
                if cells.numeric:
                    table = _in_bins(table, axis)
            information[i, j] = information[j, i] = _mutual_information(table)
            information[i, i] = _entropy(table.sum(1))
            information[j, j] = _entropy(table.sum(0))
        return {"information": np.round(information, _DECIMALS) + 0.0}


def _codes(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """One code a row, uint64 `[batch]`, and whether the row has a value, bool `[batch]`."""
    values = values_of(column)
    if isinstance(column, tf.RaggedTensor):
        splits = column.row_splits.numpy().astype(np.int64)
    else:
        rows = int(column.shape[0])
        splits = np.arange(rows + 1) * (int(tf.size(values)) // max(rows, 1))
    values, lengths = tf.reshape(values, [-1]), np.diff(splits)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    if values.dtype.is_floating:
        # A loop in the order of the values, so that a row's sum does not depend on where it stands.
        sums = np.bincount(rows, values.numpy().astype(np.float64), minlength=len(lengths))
        means = sums / np.maximum(lengths, 1)
        return ordered_bits(means), (lengths > 0) & ~np.isnan(means)
    words = hash_values(values).numpy()
    content = np.zeros(len(lengths), np.uint64)
    np.add.at(content, rows, words)
    drawn = hash_values(tf.constant(words ^ content[rows])).numpy()
    # The value with the smallest hash of its own and of the list's; equal values have equal ones.
    order = np.lexsort((words, drawn, rows))
    codes = np.zeros(len(lengths), np.uint64)
    codes[lengths > 0] = words[order][splits[:-1][lengths > 0]]
    return codes, lengths > 0


def ordered_bits(numbers: np.ndarray) -> np.ndarray:
    """The bits of float64 numbers as uint64 in the numbers' order."""
    bits = (numbers + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)


def _in_bins(table: np.ndarray, axis: int) -> np.ndarray:
    """Joins neighbouring cells of an axis, but for that of missing values, to bins of about equal mass."""
    counts = table.sum(1 - axis)[1:]
    if len(counts) <= BINS:
        return table
    middle = 2 * np.cumsum(counts) - counts
    bins = np.concatenate([[0], 1 + middle * BINS // (2 * counts.sum())])
    shape = (BINS + 1, table.shape[1]) if axis == 0 else (table.shape[0], BINS + 1)
    joined = np.zeros(shape, np.int64)
    np.add.at(joined, (bins, slice(None)) if axis == 0 else (slice(None), bins), table)
    return joined


def _entropy(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _mutual_information(table: np.ndarray) -> float:
    """The plug-in estimate less its expected excess for independent features, at least 0.

    Reference:
      Miller, "Note on the bias of information estimates", 1955: (cells - rows - columns + 1) / 2N.
    """
    first, second = table.sum(1), table.sum(0)
    information = _entropy(first) + _entropy(second) - _entropy(table.ravel())
    excess = np.count_nonzero(table) - np.count_nonzero(first) - np.count_nonzero(second) + 1
    return max(0.0, information - max(0, excess) / (2 * int(table.sum())))
