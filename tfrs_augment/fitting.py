"""Learning what ops must know of the data: marginals and moments, exact whatever the order or the split.

A summary of one part of the data merges with those of the others. Counts are integers and sums are exact
(integers scaled by powers of two), so the result does not depend on how the data were cut into files or
batches, and neither do the rows that are drawn from it.
"""

from __future__ import annotations

import collections
import fractions
import math
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column, values_of
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.policy import AugmentationPolicy

Features = Mapping[str, tf.Tensor | tf.RaggedTensor | np.ndarray]


class MarginalSummary:
    """Counts of the values of a bytes or integer feature."""

    def __init__(self):
        self.counts: collections.Counter = collections.Counter()

    def add(self, values: np.ndarray) -> None:
        """Adds values: integers, or bytes in an object array."""
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
        values = [value for value, _ in ordered]
        counts = np.array([count for _, count in ordered], np.int64)
        if isinstance(values[0], bytes):
            offsets = np.cumsum([0, *map(len, values)], dtype=np.int64)
            return {
                "data": np.frombuffer(b"".join(values), np.uint8),
                "offsets": offsets,
                "counts": counts,
            }
        return {"values": np.array(values, np.int64), "counts": counts}


class MomentsSummary:
    """Count, sum and sum of squares of finite numbers, exact."""

    _UNIT = 1074 + 52
    """The sums are in units of 2**-1126 (a float64's mantissa as an integer, at the smallest exponent)."""

    def __init__(self):
        self.count, self._sum, self._squares = 0, 0, 0

    def add(self, values: np.ndarray) -> None:
        """Adds numbers; NaN and infinity are left out."""
        values = values.astype(np.float64).ravel()
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

    def merge(self, other: MomentsSummary) -> None:
        """Adds what another summary summed."""
        self.count += other.count
        self._sum += other._sum
        self._squares += other._squares

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
        }


def _sqrt(value: fractions.Fraction) -> float:
    """The square root of a fraction that may lie outside the range of floats, to 64 bits."""
    shift = max(0, 64 + (value.denominator.bit_length() - value.numerator.bit_length()) // 2)
    root = math.isqrt((value.numerator << (2 * shift)) // value.denominator)
    return float(fractions.Fraction(root, 1 << shift))


SUMMARIES = {"marginal": MarginalSummary, "moments": MomentsSummary}


class Fitter:
    """Collects the statistics that a policy asks for; parts of the data may be merged.

    Args:
      requirements: what to collect, for example `policy.requirements()`.
    """

    def __init__(self, requirements: Iterable[Requirement]):
        self._summaries = {}
        for requirement in requirements:
            if requirement.statistic not in SUMMARIES:
                raise InvalidArgumentError(
                    f"There is no statistic '{requirement.statistic}'. "
                    f"{close_matches(requirement.statistic, SUMMARIES)}"
                )
            self._summaries[requirement] = SUMMARIES[requirement.statistic]()

    def add(self, features: Features) -> None:
        """Adds a batch of rows.

        Raises:
          UnknownFeatureError: a feature that is asked for is missing from the batch.
        """
        for requirement, summary in self._summaries.items():
            if requirement.feature not in features:
                raise UnknownFeatureError(
                    f"The {requirement} cannot be fitted: the data have no such feature. "
                    f"{close_matches(requirement.feature, features)}"
                )
            column = as_column(requirement.feature, features[requirement.feature])
            if requirement.statistic == "moments" and column.dtype == tf.string:
                raise DataError(f"The {requirement} cannot be fitted: the feature holds strings.")
            summary.add(values_of(column).numpy().ravel())

    def merge(self, other: Fitter) -> None:
        """Adds what a fitter of the same requirements collected elsewhere."""
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
    for batch in (data,) if isinstance(data, Mapping) else data:
        fitter.add(batch)
    return policy.with_fitted(fitter.state())
