"""What a log says of a policy that it was not logged by."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError, close_matches

Interval = tuple[float, float]
"""Low and high; NaN where unknown."""

_WRONG = 0.001
_FEW = 100.0
_HEAVY = 0.5
_UNSEEN = 0.01


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One estimator's value of the target policy.

    Attributes:
      value: the mean reward that the target would get.
      normal: its interval, as of a normal distribution, with units as what is independent.
      bootstrap: its interval, of 2,000 resamples of units.
      bernstein: its interval by the empirical Bernstein bound, which holds for any number of rows; NaN
        for estimators that are no plain mean of rows, and where a unit has several rows.
      difference: the value less the mean that was logged.
      difference_normal: its interval, paired with what was logged.
      difference_bootstrap: the same, of the resamples.
    """

    value: float
    normal: Interval
    bootstrap: Interval
    bernstein: Interval
    difference: float
    difference_normal: Interval
    difference_bootstrap: Interval


@dataclasses.dataclass(frozen=True)
class WeightCheck:
    """Whether the weights can be trusted.

    Attributes:
      mean: of the weights; 1 but for chance, where the propensities are right and the log's policy may
        do all that the target does.
      p_value: of that mean being 1.
      effective_rows: `sum(w)**2 / sum(w**2)`: so many rows of equal weight are as good.
      largest: the largest weight.
      top_share: the share of all weight in the heaviest 1 % of rows.
      zero_share: the share of rows without weight.
      cut: the mean of what clipping took off the weights; 0 without a clip.
      unseen: the target's mean chance of actions that the log never shows; NaN where unknown.
    """

    mean: float
    p_value: float
    effective_rows: float
    largest: float
    top_share: float
    zero_share: float
    cut: float
    unseen: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why estimates by these weights are not to be trusted; empty where they are."""
        found = []
        if self.p_value < _WRONG:
            found.append(
                f"the mean weight is {self.mean:.3g}, not 1 (p = {self.p_value:.2g}): propensities are "
                "wrong, or the target does what was never logged"
            )
        if self.effective_rows < _FEW:
            found.append(f"only {self.effective_rows:.1f} effective rows, below {_FEW:.0f}")
        if self.top_share > _HEAVY:
            found.append(f"{self.top_share:.0%} of the weight is in 1 % of the rows")
        if self.unseen > _UNSEEN:
            found.append(f"{self.unseen:.1%} of the target's actions were never logged")
        return tuple(found)


@dataclasses.dataclass(frozen=True)
class OffPolicy:
    """The outcome of `off_policy`.

    Attributes:
      estimates: by estimator.
      logged: the mean reward as logged; its difference is 0.
      weight_check: what the weights are like.
      weights: float64 `[rows]`.
      positions: the same for the rows of each position; empty without positions.
      rows: how many.
      units: how many are independent.
      per: what the value is a mean of, "row" or "slate".
      clip: the bound of weights of "clipped_ips" and "switch_dr"; None where neither is estimated.
      confidence: of the intervals.
    """

    estimates: Mapping[str, Estimate]
    logged: Estimate
    weight_check: WeightCheck
    weights: np.ndarray
    positions: Mapping[Any, OffPolicy]
    rows: int
    units: int
    per: str
    clip: float | None
    confidence: float

    @property
    def main(self) -> str:
        """The estimator that the verdict is by: "dr" where there are predictions, else "snips"."""
        return "dr" if "dr" in self.estimates else "snips"

    def estimate(self, name: str) -> Estimate:
        """Returns an estimate.

        Raises:
          InvalidArgumentError: there is none of that name.
        """
        if name not in self.estimates:
            raise InvalidArgumentError(
                f"`name` must be an estimator of this result. Received: name={name!r}. "
                f"{close_matches(name, self.estimates)}"
            )
        return self.estimates[name]

    @property
    def verdict(self) -> str:
        """Whether the target is better than what was logged: "helps", "hurts" or "can't tell", and why."""
        one = self.estimates[self.main]
        low, high = one.difference_bootstrap
        shown = (
            f"{self.main} {one.value:.4g} against {self.logged.value:.4g} as logged, "
            f"difference {one.difference:+.3g} [{low:+.3g}, {high:+.3g}]"
        )
        reasons = self.weight_check.reasons
        if reasons:
            return f"can't tell: {'; '.join(reasons)}; {shown}"
        word = "helps" if low > 0 else "hurts" if high < 0 else "can't tell"
        return f"{word}: {shown}"

    def table(self) -> str:
        """Returns the estimates as a Markdown table, aligned for a terminal."""
        level = f"{100 * self.confidence:.4g} %"
        head = ["estimator", "value", f"{level} normal", "bootstrap", "empirical Bernstein"]
        lines = [[*head, "difference to the log", "bootstrap"]]
        for name, one in {"as logged": self.logged, **self.estimates}.items():
            own = [f"{one.value:.4g}", *map(_show, (one.normal, one.bootstrap, one.bernstein))]
            gap = ["", ""]
            if name != "as logged":
                gap = [f"{one.difference:+.3g}", _show(one.difference_bootstrap, "+")]
            lines.append([name, *own, *gap])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines
        )

    def __str__(self) -> str:
        check = self.weight_check
        clip = (
            "" if self.clip is None else f", clip {self.clip:g} cuts {check.cut:.3g} off the mean"
        )
        unseen = "" if math.isnan(check.unseen) else f", never logged {check.unseen:.2%}"
        weights = (
            f"weights: mean {check.mean:.3f} (p of 1: {check.p_value:.2g}), effective rows "
            f"{check.effective_rows:,.0f} of {self.rows:,}, largest {check.largest:.3g}, "
            f"{check.top_share:.0%} in the top 1 %{unseen}{clip}"
        )
        parts = [weights, "", self.table(), "", self.verdict]
        for place, one in self.positions.items():
            main = one.estimates[one.main]
            parts.append(
                f"position {place}: {one.main} {main.value:.4g} {_show(main.bootstrap)}, "
                f"as logged {one.logged.value:.4g}, {one.rows:,} rows"
            )
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values, without the weights; NaN becomes None."""
        return {
            "verdict": self.verdict,
            "per": self.per,
            "rows": self.rows,
            "units": self.units,
            "clip": self.clip,
            "confidence": self.confidence,
            "logged": _json_values(self.logged),
            "estimates": {name: _json_values(one) for name, one in self.estimates.items()},
            "weights": _json_values(self.weight_check),
            "positions": {str(place): one.to_dict() for place, one in self.positions.items()},
        }

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: the estimates with intervals, and how the weights are spread."""
        from tfrs_augment.evaluation.online.plots import plot_off_policy

        plot_off_policy(self, path)


def _show(interval: Interval, sign: str = "") -> str:
    low, high = interval
    return "" if math.isnan(low) else f"[{low:{sign}.4g}, {high:{sign}.4g}]"


def _json_values(values: Any) -> dict[str, Any]:
    def known(value: Any) -> Any:
        if isinstance(value, tuple):
            return [known(part) for part in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {name: known(value) for name, value in dataclasses.asdict(values).items()}
