"""Statistics of one feature: how often its values occur, its moments, and a sample of rows."""

from __future__ import annotations

import collections
import fractions
import heapq
import math

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import values_of
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.rng import Column


class MarginalSummary:
    """Counts of the values of a bytes or integer feature."""

    def __init__(self):
        self.counts: collections.Counter = collections.Counter()

    def add(self, column: Column, keys: np.ndarray | None) -> None:
        """Adds the values of a column of strings or integers."""
        values = values_of(column).numpy().ravel()
        if values.dtype == object:
            self.counts.update(values.tolist())
        else:
            found, counts = np.unique(values.astype(np.int64), return_counts=True)
            self.counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: MarginalSummary) -> None:
        """Adds what another summary counted."""
        self.counts.update(other.counts)

    def arrays(self, requirement: Requirement) -> dict[str, np.ndarray]:
        """The marginal as arrays; see `FittedState`."""
        if not self.counts:
            raise DataError(f"The {requirement} cannot be fitted: the data hold no value of it.")
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        counts = np.array([count for _, count in ordered], np.int64)
        return {**_value_arrays([value for value, _ in ordered]), "counts": counts}


def _value_arrays(values: list) -> dict[str, np.ndarray]:
    """Values as arrays: numbers as they are, bytes as their data and offsets."""
    if values and isinstance(values[0], bytes):
        offsets = np.cumsum([0, *map(len, values)], dtype=np.int64)
        return {"data": np.frombuffer(b"".join(values), np.uint8), "offsets": offsets}
    integers = all(isinstance(value, int) for value in values)
    return {"values": np.array(values, np.int64 if integers else np.float64)}


class MomentsSummary:
    """Count, sum and sum of squares of finite numbers, exact."""

    _UNIT = 1074 + 52
    """The sums are in units of 2**-1126 (a float64's mantissa as an integer, at the smallest exponent)."""

    def __init__(self):
        self.count, self._sum, self._squares = 0, 0, 0
        self._min, self._max = math.inf, -math.inf

    def add(self, column: Column, keys: np.ndarray | None) -> None:
        """Adds the numbers of a column; NaN and infinity are left out."""
        values = values_of(column).numpy().astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        # Repeated values are the rule in features (ages, prices): one exact product a distinct value.
        distinct, counts = np.unique(values, return_counts=True)
        mantissas, exponents = np.frexp(distinct)
        integers = (mantissas * 2.0**53).astype(np.int64)
        for integer, exponent, count in zip(
            integers.tolist(), exponents.tolist(), counts.tolist(), strict=True
        ):
            shift = exponent - 53 + self._UNIT
            self._sum += (integer * count) << shift
            self._squares += (integer * integer * count) << (2 * shift)
        self.count += len(values)
        if len(distinct):
            self._min, self._max = min(self._min, distinct[0]), max(self._max, distinct[-1])

    def merge(self, other: MomentsSummary) -> None:
        """Adds what another summary summed."""
        self.count += other.count
        self._sum += other._sum
        self._squares += other._squares
        self._min, self._max = min(self._min, other._min), max(self._max, other._max)

    def arrays(self, requirement: Requirement) -> dict[str, np.ndarray]:
        """The moments as arrays; see `FittedState`."""
        if self.count == 0:
            raise DataError(
                f"The {requirement} cannot be fitted: the data hold no finite value of it."
            )
        mean = fractions.Fraction(self._sum, self.count << self._UNIT)
        variance = fractions.Fraction(self._squares, self.count << (2 * self._UNIT)) - mean * mean
        return {
            "count": np.array(float(self.count)),
            "mean": np.array(float(mean)),
            "stddev": np.array(_sqrt(variance)),
            "min": np.array(float(self._min)),
            "max": np.array(float(self._max)),
        }


def _sqrt(value: fractions.Fraction) -> float:
    """The square root of a fraction that may lie outside the range of floats, to 64 bits."""
    shift = max(0, 64 + (value.denominator.bit_length() - value.numerator.bit_length()) // 2)
    root = math.isqrt((value.numerator << (2 * shift)) // value.denominator)
    return float(fractions.Fraction(root, 1 << shift))


class PoolSummary:
    """A feature's values in the rows with the smallest keys: a sample that no order and no cut changes.

    Keys are hashes, so the sample is an even one of the distinct rows. Of rows with equal keys the one with
    the smallest value is kept.
    """

    SIZE = 4096

    def __init__(self):
        self._rows: dict[int, list] = {}

    def add(self, column: Column, keys: np.ndarray | None) -> None:
        """Adds the rows of a column.

        Raises:
          InvalidArgumentError: there are no keys.
        """
        if keys is None:
            raise InvalidArgumentError("A pool of rows needs the policy to have key_features.")
        smallest = np.argsort(keys, kind="stable")[: self.SIZE]
        rows = tf.gather(column, smallest)
        listed = (
            rows.to_list()
            if isinstance(rows, tf.RaggedTensor)
            else rows.numpy().reshape(len(smallest), -1)
        )
        for key, row in zip(keys[smallest].tolist(), listed, strict=True):
            self._offer(key, row if isinstance(row, list) else row.tolist())
        self._shrink()

    def merge(self, other: PoolSummary) -> None:
        """Adds the rows that another summary holds."""
        for key, row in other._rows.items():
            self._offer(key, row)
        self._shrink()

    def _offer(self, key: int, row: list) -> None:
        if key not in self._rows or row < self._rows[key]:
            self._rows[key] = row

    def _shrink(self) -> None:
        if len(self._rows) > self.SIZE:
            self._rows = {key: self._rows[key] for key in heapq.nsmallest(self.SIZE, self._rows)}

    def arrays(self, requirement: Requirement) -> dict[str, np.ndarray]:
        """The pool as arrays, in the order of the keys; see `FittedState`."""
        rows = [self._rows[key] for key in sorted(self._rows)]
        values = [value for row in rows for value in row]
        if not values:
            raise DataError(f"The {requirement} cannot be fitted: the data hold no value of it.")
        return {
            **_value_arrays(values),
            "row_splits": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        }
