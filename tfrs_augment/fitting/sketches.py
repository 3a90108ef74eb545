"""Sketches of one feature: how often its values occur, in bounded room, to compare data sets by.

A sketch is exact while a feature has few values. Of more it keeps a part that all values together settle, so
it is the same for any order and any cut of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_augment.drift import (
    CATEGORY,
    NUMBER,
    Drift,
    chi_square_p_value,
    drift_of_counts,
    jensen_shannon,
    jensen_shannon_by_chance,
)
from tfrs_augment.errors import DataError
from tfrs_augment.features import hash_values, values_of
from tfrs_augment.fitting.information import ordered_bits
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.rng import Column

NUMBERS, CATEGORIES = "number_sketch", "category_sketch"
"""The statistics, as a `Requirement` names them."""
SIZE = 8192
"""A sketch has at most so many counts, 128 KB."""
_ALL = (1 << 64) - 1
_FEW = 100
"""A sample of categories with fewer occurrences is not enough to tell by it alone how far they have moved."""


class _Sketch:
    """How often 64-bit codes of values occur."""

    bound: str
    """What the arrays call the bound up to which the counts are exact."""

    def __init__(self, bound: int):
        self._codes, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._missing, self._present, self._bound = 0, 0, bound

    def add(self, column: Column, keys: np.ndarray | None) -> None:
        """Adds the values of a column; a row without any counts as missing, and so does NaN."""
        codes = self.encode(values_of(column))
        empty = 0
        if isinstance(column, tf.RaggedTensor):
            empty = int(np.count_nonzero(column.row_lengths().numpy() == 0))
        self._missing += empty + int(tf.size(values_of(column))) - len(codes)
        self._present += len(codes)
        self._absorb(codes, np.ones(len(codes), np.int64), self._bound)

    def merge(self, other: _Sketch) -> None:
        """Adds what another sketch counted."""
        self._missing += other._missing
        self._present += other._present
        self._absorb(other._codes, other._counts, other._bound)

    def arrays(self, requirement: Requirement) -> dict[str, np.ndarray]:
        """The sketch as arrays; see `sketch_drift`."""
        return {
            "codes": self._codes,
            "counts": self._counts,
            "missing": np.array(self._missing, np.int64),
            "present": np.array(self._present, np.int64),
            self.bound: np.array(self._bound, np.uint64),
        }

    def _absorb(self, codes: np.ndarray, counts: np.ndarray, bound: int) -> None:
        self._bound = self.widest(self._bound, bound)
        while True:
            codes, counts = self.cut(
                np.concatenate([self._codes, codes]),
                np.concatenate([self._counts, counts]),
                self._bound,
            )
            self._codes, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
            if len(codes) <= SIZE:
                break
            self._bound = self.next_bound(codes, self._bound)
        self._codes, self._counts = codes, counts


class NumberSketch(_Sketch):
    """Counts of numbers; of more different ones than `SIZE` neighbours are counted together.

    A number's code is its float64, in the order of numbers. Of all codes as many of the last bits are dropped
    as it takes: buckets are of equal width between two powers of two, and about as fine as `SIZE` allows.
    """

    bound = "dropped_bits"
    widest = staticmethod(max)

    def __init__(self):
        super().__init__(0)

    @staticmethod
    def encode(values: tf.Tensor) -> np.ndarray:
        """The codes of the values that are no NaN: uint64 `[n]`, in the order of the numbers."""
        if values.dtype == tf.string:
            raise DataError("A sketch of numbers cannot be made: the feature holds strings.")
        numbers = values.numpy().astype(np.float64).ravel()
        return ordered_bits(numbers[~np.isnan(numbers)])

    @staticmethod
    def cut(codes: np.ndarray, counts: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
        """The counts of codes without their last `bound` bits."""
        dropped = np.uint64(bound)
        return _summed(codes >> dropped << dropped, counts)

    @staticmethod
    def next_bound(codes: np.ndarray, bound: int) -> int:
        """A bit more."""
        return bound + 1

    @staticmethod
    def share(bound: int) -> float:
        """All values are counted, whatever the bound."""
        return 1.0


class CategorySketch(_Sketch):
    """Counts of strings or integers; of more different ones than `SIZE` those with the smallest hashes.

    They are an even sample of the values, each with all its occurrences. No value is kept, only its hash.
    """

    bound = "limit"
    widest = staticmethod(min)

    def __init__(self):
        super().__init__(_ALL)

    @staticmethod
    def encode(values: tf.Tensor) -> np.ndarray:
        """The hashes of the values: uint64 `[n]`."""
        return hash_values(tf.reshape(values, [-1])).numpy()

    @staticmethod
    def cut(codes: np.ndarray, counts: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
        """The counts of codes below a limit."""
        below = codes < np.uint64(bound) if bound < _ALL else np.ones(len(codes), bool)
        return _summed(codes[below], counts[below])

    @staticmethod
    def next_bound(codes: np.ndarray, bound: int) -> int:
        """The first code that has no room."""
        return int(codes[SIZE])

    @staticmethod
    def share(bound: int) -> float:
        """The share of all values that a limit leaves, 1 where it leaves all."""
        return bound / _ALL


KINDS = {NUMBERS: (NUMBER, NumberSketch), CATEGORIES: (CATEGORY, CategorySketch)}


def sketch_drift(
    requirement: Requirement, first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> Drift:
    """How far a feature has moved, by two sketches of it.

    They are compared at the coarser of their bounds. A missing value counts as in `drift.column_drift`; of
    categories that are a sample of all, in proportion. Where data of few categories are compared with data
    of many, the sample may hold next to nothing of the few. So where it holds less than 100 occurrences, how
    much it weighs among all is compared too, and p-values are doubled. The drift is the greater one of those
    that are significant; where none is, that of the smaller p-value.

    Args:
      requirement: of `NUMBERS` or `CATEGORIES`.
      first: the arrays of a sketch: `codes` uint64 `[n]`, rising, their `counts` int64 `[n]`, how many values
        are `missing` and how many `present`, and the bound: `dropped_bits` or `limit`.
      second: those of the data to compare.

    Returns:
      The drift; the distance of numbers is at most the exact one, and that of categories an estimate of it.
    """
    kind, sketch = KINDS[requirement.statistic]
    bound = sketch.widest(int(first[sketch.bound]), int(second[sketch.bound]))
    parts = [sketch.cut(part["codes"], part["counts"], bound) for part in (first, second)]
    codes = np.union1d(parts[0][0], parts[1][0])
    aligned = np.zeros((2, 1 + len(codes)), np.int64)
    # Missing, in the sample, and beyond it.
    whole = np.zeros((2, 3), np.int64)
    for row, total, part, (found, counts) in zip(
        aligned, whole, (first, second), parts, strict=True
    ):
        present, missing, known = int(part["present"]), int(part["missing"]), int(counts.sum())
        row[0] = missing * known // present if present else missing
        row[1 + np.searchsorted(codes, found)] = counts
        total[:] = missing, known, present - known
    share = sketch.share(bound)
    if share == 1 or whole[:, 1].min() >= _FEW:
        return drift_of_counts(requirement.feature, kind, *aligned)
    drifts = [_drift_of_weights(requirement.feature, whole, share)]
    if aligned.any(axis=1).all():
        drifts.append(drift_of_counts(requirement.feature, kind, *aligned))
    return _clearest(drifts)


def _clearest(drifts: Sequence[Drift]) -> Drift:
    """Of several looks at one column the greatest that is significant, or the one of the least p-value."""
    drifts = [
        dataclasses.replace(drift, p_value=min(1.0, len(drifts) * drift.p_value))
        for drift in drifts
    ]
    return max(
        drifts,
        key=lambda d: (d.significant(), d.excess if d.significant() else -d.p_value),
    )


def _drift_of_weights(name: str, whole: np.ndarray, share: float) -> Drift:
    """How far the weight of sampled categories among all has moved.

    The others are taken to be one category, the same in both. Rare categories of which one in ten is sampled
    weigh ten times what their sample does.

    Args:
      name: of the feature.
      whole: int64 `[2, 3]`, of both how many values are missing, sampled, and beyond the sample.
      share: of all categories that are sampled, in (0, 1).

    Returns:
      The drift. Its p-value is that of the counts as they are.
    """
    missing, known, others = whole.T
    present = known + others
    weight = np.minimum(known / share, present)
    likely = np.stack([missing, weight, present - weight], axis=1)
    chance = min(1.0, jensen_shannon_by_chance(*whole) / share)
    return Drift(name, CATEGORY, jensen_shannon(*likely), chi_square_p_value(*whole), chance)


def _summed(codes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct codes, rising, and the sums of their counts."""
    distinct, places = np.unique(codes, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, places.ravel(), counts)
    return distinct, sums
