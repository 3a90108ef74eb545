"""Learning what ops must know of the data, exact whatever the order or the split.

A summary of one part of the data merges with those of the others. Counts are integers and sums are exact
(integers scaled by powers of two), so the result does not depend on how the data were cut into files or
batches, and neither do the rows that are drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column
from tfrs_augment.fitting.features import MarginalSummary, MomentsSummary, PoolSummary
from tfrs_augment.fitting.information import InformationSummary
from tfrs_augment.fitting.sequences import CooccurrenceCountSummary, CooccurrenceSummary
from tfrs_augment.fitting.sketches import CATEGORIES, NUMBERS, CategorySketch, NumberSketch
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.policy import AugmentationPolicy

Features = Mapping[str, tf.Tensor | tf.RaggedTensor | np.ndarray]

SUMMARIES = {
    "marginal": MarginalSummary,
    "moments": MomentsSummary,
    "pool": PoolSummary,
    "mutual_information": InformationSummary,
    "cooccurrence": CooccurrenceSummary,
    "cooccurrence_counts": CooccurrenceCountSummary,
    NUMBERS: NumberSketch,
    CATEGORIES: CategorySketch,
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
