"""Learning what ops must know of the data: marginals and moments, exact whatever the order or the split.

A summary of one part of the data merges with those of the others. Counts are integers and sums are exact
(integers scaled by powers of two), so the result does not depend on how the data were cut into files or
batches, and neither do the rows that are drawn from it.
"""

from __future__ import annotations

import collections
import fractions
import heapq
import math
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column, values_of
from tfrs_augment.fitting_information import InformationSummary
from tfrs_augment.fitting_sequences import CooccurrenceCountSummary, CooccurrenceSummary
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import Column

Features = Mapping[str, tf.Tensor | tf.RaggedTensor | np.ndarray]


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


SUMMARIES = {
    "marginal": MarginalSummary,
    "moments": MomentsSummary,
    "pool": PoolSummary,
    "mutual_information": InformationSummary,
    "cooccurrence": CooccurrenceSummary,
    "cooccurrence_counts": CooccurrenceCountSummary,
}


class Fitter:
    """Collects the statistics that a policy asks for; parts of the data may be merged.

    Args:
      requirements: what to collect, for example `policy.requirements()`.
    """

    def __init__(self, requirements: Iterable[Requirement]):
        self.parts = 0
        """How many parts of the data it holds, where whoever merges counts them."""
        self._summaries = {}
        for requirement in requirements:
            if requirement.statistic not in SUMMARIES:
                raise InvalidArgumentError(
                    f"There is no statistic '{requirement.statistic}'. "
                    f"{close_matches(requirement.statistic, SUMMARIES)}"
                )
            summary = SUMMARIES[requirement.statistic]
            if requirement.others and not getattr(summary, "joint", False):
                raise InvalidArgumentError(
                    f"The statistic '{requirement.statistic}' is one of a single feature. "
                    f"Received: the {requirement}."
                )
            self._summaries[requirement] = summary()

    def add(self, features: Features, keys: np.ndarray | None = None) -> None:
        """Adds a batch of rows.

        Args:
          features: name to column.
          keys: uint64 `[batch]`, the rows' keys; a pool needs them.

        Raises:
          UnknownFeatureError: a feature that is asked for is missing from the batch.
        """
        for requirement, summary in self._summaries.items():
            for name in requirement.features:
                if name not in features:
                    raise UnknownFeatureError(
                        f"The {requirement} cannot be fitted: the data have no such feature"
                        f"{f' as {name!r}' if requirement.others else ''}. "
                        f"{close_matches(name, features)}"
                    )
            columns = [as_column(name, features[name]) for name in requirement.features]
            if requirement.statistic == "moments" and columns[0].dtype == tf.string:
                raise DataError(f"The {requirement} cannot be fitted: the feature holds strings.")
            # A joint statistic takes the columns of all its features, another one its only column.
            joint = getattr(summary, "joint", False)
            summary.add(columns if joint else columns[0], keys)

    def merge(self, other: Fitter) -> None:
        """Adds what a fitter of the same requirements collected elsewhere."""
        self.parts += other.parts
        for requirement, summary in self._summaries.items():
            summary.merge(other._summaries[requirement])

    def state(self) -> FittedState:
        """The statistics.

        Raises:
          DataError: a feature had no value.
        """
        return FittedState({r: summary.arrays(r) for r, summary in self._summaries.items()})


def fit(policy: AugmentationPolicy, data: Features | Iterable[Features]) -> AugmentationPolicy:
    """Fits the statistics that a policy's ops ask for.

    Args:
      policy: the policy.
      data: a dict of columns (all rows at once), or an iterable of batches of them, such as a batched
        `tf.data.Dataset`.

    Returns:
      The policy with its fitted state; `policy.fitted.save(path)` keeps it.

    Raises:
      UnknownFeatureError: the data lack a feature that an op needs.
      DataError: a feature has no value, or not the type that the statistic takes.

    Example:
      >>> import numpy as np
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.CategorySwap("genre", rate=0.1)], key_features=["id"])
      >>> policy = aug.fitting.fit(policy, {"genre": np.array(["Drama", "Drama", "Comedy"])})
      >>> policy.missing_requirements()
      ()
    """
    fitter = Fitter(policy.requirements())
    needs_keys = any(requirement.statistic == "pool" for requirement in policy.requirements())
    for batch in (data,) if isinstance(data, Mapping) else data:
        fitter.add(batch, policy.row_keys(batch).numpy() if needs_keys else None)
    return policy.with_fitted(fitter.state())
