"""What a search maximizes: one number an arm, of slices of the development rows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.measuring.slices import SLICES, Slices
from tfrs_augment.evaluation.reporting.report import Report
from tfrs_augment.evaluation.statistics import bootstrap, significance
from tfrs_augment.evaluation.statistics.verdicts import ALPHA, judge

_METRICS = ("recall", "ndcg")


@dataclasses.dataclass(frozen=True)
class Gain:
    """What an arm adds to the baseline.

    Attributes:
      mean: the difference of the objective.
      low: the lower end of its 95 % interval, of a bootstrap over seeds and users.
      high: the upper end.
      p_value: two-sided; NaN with one seed.
      verdict: "helps", "hurts" or "can't tell", at the level that was asked for.
    """

    mean: float
    low: float
    high: float
    p_value: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric on a mix of slices.

    Args:
      metric: "ndcg@K" or "recall@K". Default: "ndcg@50", as early stopping goes by.
      weights: by slice of `evaluation.measuring.slices`, what it weighs; above 0, of any sum. `{"warm": 0.8,
        "cold": 0.2}` asks for a model of whose requests a fifth is for new items. Default: `{"all": 1}`,
        every development row alike, those of pseudo-cold items among them.

    Raises:
      InvalidArgumentError: the metric or a slice is unknown, or a weight is not above 0.
    """

    metric: str = "ndcg@50"
    weights: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"all": 1.0})

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not re.fullmatch(
            rf"({'|'.join(_METRICS)})@[1-9]\d*", self.metric
        ):
            raise InvalidArgumentError(
                f"`metric` must be ndcg@K or recall@K, such as ndcg@50. Received: {self.metric!r}."
            )
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise InvalidArgumentError(
                f"`weights` must be a dict of slices and what they weigh. Received: {self.weights!r}."
            )
        for name, weight in self.weights.items():
            if name not in SLICES:
                raise InvalidArgumentError(
                    f"`weights` must name slices. Received: {name!r}. {close_matches(str(name), SLICES)}"
                )
            if not isinstance(weight, int | float) or not 0 < weight < float("inf"):
                raise InvalidArgumentError(
                    f"`weights` must be above 0. Received: {weight!r} (slice {name!r})."
                )
        total = sum(self.weights.values())
        object.__setattr__(self, "weights", {n: w / total for n, w in self.weights.items()})

    def __str__(self) -> str:
        mix = " + ".join(
            name if weight == 1 else f"{weight:.3g} {name}" for name, weight in self.weights.items()
        )
        return f"{self.metric} of {mix}"

    def check(self, slices: Slices, users: np.ndarray) -> None:
        """Checks that every slice of `weights` has rows of some users.

        Raises:
          InvalidArgumentError: one has none.
        """
        for name in self.weights:
            if not (slices.masks[name] & users[slices.users]).any():
                raise InvalidArgumentError(
                    "`weights` must be of slices that have development rows, of either half of the users. "
                    f"Received: {name!r}, which has none. A split with a `cold_share` has cold ones."
                )

    def values(self, report: Report, *, users: np.ndarray | None = None) -> dict[str, float]:
        """Returns the objective of each arm of a comparison.

        Args:
          report: the comparison.
          users: bool `[users]`, whose rows count. Default: all.
        """
        sums = self._sums(report, report.arms, users)
        return dict(zip(report.arms, bootstrap.means(sums).tolist(), strict=True))

    def gain(
        self,
        report: Report,
        arm: str,
        *,
        users: np.ndarray | None = None,
        alpha: float = ALPHA,
    ) -> Gain:
        """Returns an arm's difference to the baseline, paired by seed and user, and what it says.

        The verdict is by the p-value of `evaluation.statistics.significance`, as those of a report are.

        Args:
          report: the comparison.
          arm: one of its arms.
          users: bool `[users]`, whose rows count. Default: all.
          alpha: the level of the verdict, in (0, 1).
        """
        sums = self._sums(report, (arm, report.baseline), users)
        resampled = bootstrap.resample(sums)
        spread = significance.spread(sums, np.array([0]), np.array([1]))
        p_value = float(significance.p_values(spread)[0])
        difference = float(spread.difference[0])
        return Gain(
            difference,
            *bootstrap.interval(resampled[:, 0] - resampled[:, 1]),
            p_value,
            judge([difference], [p_value], alpha=alpha)[0].word,
        )

    def get_config(self) -> dict[str, Any]:
        """The objective as JSON values."""
        return {"metric": self.metric, "weights": dict(self.weights)}

    def _sums(
        self, report: Report, arms: Sequence[str], users: np.ndarray | None
    ) -> list[bootstrap.Sums]:
        """Of each seed, a column an arm, whose mean over the rows is the objective."""
        sums = []
        for seed in report.seeds:
            found = report.slices[seed]
            counted = np.ones(len(found.users), bool) if users is None else users[found.users]
            columns = [self._column(report, arm, seed, counted) for arm in arms]
            sums.append(bootstrap.Sums.of(found.users, columns, [counted] * len(arms)))
        return sums

    def _column(self, report: Report, arm: str, seed: int, counted: np.ndarray) -> np.ndarray:
        run, masks = report.runs[arm, seed], report.slices[seed].masks
        rows = counted.sum()
        total, column = 0.0, np.zeros(len(counted))
        for name, weight in self.weights.items():
            mask = masks[name] & counted
            values = run.values(name, self.metric)
            mean = values[mask].mean()
            total += weight * mean
            # About its mean, as the number of a user's rows in the slice is chance as well.
            column += np.where(mask, weight * rows / mask.sum() * (values - mean), 0.0)
        return column + total


def halves(users: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws who chooses and who judges.

    Args:
      users: how many there are.
      seed: of the draw.

    Returns:
      Two bool `[users]`: of each user, one of them is set.
    """
    chooses = np.random.default_rng([seed, 0x4A1F]).random(users) < 0.5
    return chooses, ~chooses
