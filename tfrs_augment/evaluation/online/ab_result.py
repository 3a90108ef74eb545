"""What an A/B test found: a table, JSON values, a plot and a verdict in words."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.online.arm_sizes import SampleRatio
from tfrs_augment.evaluation.statistics.power import detectable_effect, units_needed


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One metric of one arm against the control.

    Attributes:
      metric: its name.
      arm: the arm's name.
      mean: of the arm, adjusted where a covariate was given.
      control_mean: of the control, likewise.
      difference: `mean - control_mean`.
      low: lower end of its interval, of level 1 - alpha, for this comparison by itself.
      high: upper end.
      standard_error: of the difference.
      p_value: two-sided, for this comparison by itself.
      corrected: the p-value after Holm's correction for all comparisons.
      relative: the difference as a share of the control's mean; NaN where that is not clear of 0.
      relative_low: lower end of its interval.
      relative_high: upper end.
      reduction: the share of the variance that CUPED took away; 0 without a covariate.
      units: in the arm.
      control_units: in the control.
      verdict: "helps", "hurts" or "can't tell".
      alpha: of the test.
      power: of what is detectable.
    """

    metric: str
    arm: str
    mean: float
    control_mean: float
    difference: float
    low: float
    high: float
    standard_error: float
    p_value: float
    corrected: float
    relative: float
    relative_low: float
    relative_high: float
    reduction: float
    units: int
    control_units: int
    verdict: str
    alpha: float
    power: float

    @property
    def detectable(self) -> float:
        """The difference that a test of this size, looked at once, finds with the chance `power`."""
        return detectable_effect(self.standard_error, alpha=self.alpha, power=self.power)

    def units_needed(self, effect: float) -> int:
        """Returns how many units the arm and the control need together to find an effect.

        Args:
          effect: the difference to find, in the metric's unit, not 0. The spread is that of this
            experiment, CUPED included, and so are the arms' shares.

        Raises:
          InvalidArgumentError: the effect is 0, or the metric is constant.
        """
        share = self.units / (self.units + self.control_units)
        stddev = self.standard_error / math.sqrt(1 / self.units + 1 / self.control_units)
        return units_needed(effect, stddev=stddev, share=share, alpha=self.alpha, power=self.power)


@dataclasses.dataclass(frozen=True)
class ABTest:
    """The outcome of `ab_test`.

    Attributes:
      control: the arm that the others are compared with.
      comparisons: by metric, then by arm.
      sample_ratio: the check of the arms' sizes.
      alpha: of the tests.
      planned_units: what the sequential test was planned for; None where the test is for one look.
    """

    control: str
    comparisons: tuple[Comparison, ...]
    sample_ratio: SampleRatio
    alpha: float
    planned_units: int | None

    def comparison(self, metric: str, arm: str | None = None) -> Comparison:
        """Returns the comparison of a metric and an arm.

        Args:
          metric: its name.
          arm: its name. Default: the only one beside the control.

        Raises:
          InvalidArgumentError: there is none, or `arm` is left out though there are several.
        """
        found = [c for c in self.comparisons if c.metric == metric and arm in (None, c.arm)]
        if len(found) == 1:
            return found[0]
        known = [f"{c.metric} of {c.arm}" for c in self.comparisons]
        raise InvalidArgumentError(
            f"`metric` and `arm` must name one comparison. Received: metric={metric!r}, arm={arm!r}. "
            f"{close_matches(f'{metric} of {arm}', known)}"
        )

    @property
    def verdict(self) -> str:
        """A line an arm: what it helps, hurts, and what can't be told."""
        if self.sample_ratio.broken:
            return (
                "can't tell: the arms' sizes do not fit their shares "
                f"(p = {self.sample_ratio.p_value:.2g}), so the experiment is broken"
            )
        lines = []
        for arm in dict.fromkeys(c.arm for c in self.comparisons):
            words = []
            for verdict in ("helps", "hurts", "can't tell"):
                names = [
                    _change(c) for c in self.comparisons if (c.arm, c.verdict) == (arm, verdict)
                ]
                words += [f"{verdict} {', '.join(names)}"] if names else []
            lines.append(f"{arm}: {'; '.join(words)}")
        return "\n".join(lines)

    def table(self) -> str:
        """Returns the comparisons as a Markdown table, aligned for a terminal.

        "variance" is what CUPED took away of it; "detectable" the difference that one look at a test of
        this size finds with the chance `power`.
        """
        level = f"{100 * (1 - self.alpha):.4g} % interval"
        head = ["metric", "arm", "units", "mean", "control", "difference", level, "relative"]
        head += ["p", "p corrected", "variance", "detectable", "verdict"]
        lines = [head]
        for c in self.comparisons:
            known = not math.isnan(c.low)
            lines.append(
                [
                    c.metric,
                    c.arm,
                    f"{c.units:,}",
                    f"{c.mean:.4g}",
                    f"{c.control_mean:.4g}",
                    f"{c.difference:+.4g}",
                    f"[{c.low:+.4g}, {c.high:+.4g}]" if known else "unknown",
                    "" if math.isnan(c.relative) else f"{c.relative:+.1%}",
                    f"{c.p_value:.2g}",
                    f"{c.corrected:.2g}",
                    f"-{c.reduction:.0%}" if c.reduction else "",
                    f"{c.detectable:.3g}" if known else "",
                    c.verdict,
                ]
            )
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines
        )

    def __str__(self) -> str:
        looks = (
            "test: for one look, at an end that was set before; Welch's t"
            if self.planned_units is None
            else f"test: sequential, for any number of looks; planned for {self.planned_units:,} units"
        )
        constant = [c.metric for c in self.comparisons if math.isnan(c.low)]
        notes = (
            [f"constant in the arms, nothing can be tested: {', '.join(dict.fromkeys(constant))}"]
            if constant
            else []
        )
        return "\n".join(
            [str(self.sample_ratio), looks, *notes, "", self.table(), "", self.verdict]
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; NaN and infinity become None."""
        return {
            "control": self.control,
            "alpha": self.alpha,
            "planned_units": self.planned_units,
            "verdict": self.verdict,
            "sample_ratio": {
                **dataclasses.asdict(self.sample_ratio),
                "broken": self.sample_ratio.broken,
            },
            "comparisons": [
                {
                    name: None if isinstance(v, float) and not math.isfinite(v) else v
                    for name, v in (
                        *dataclasses.asdict(c).items(),
                        ("detectable", c.detectable if c.standard_error else math.nan),
                    )
                }
                for c in self.comparisons
            ],
        }

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: the difference of each metric and arm to the control, with its interval."""
        from tfrs_augment.evaluation.online.plots import plot_ab_test

        plot_ab_test(self, path)


def _change(comparison: Comparison) -> str:
    change = comparison.relative
    shown = f"{comparison.difference:+.3g}" if math.isnan(change) else f"{change:+.1%}"
    return f"{comparison.metric} ({shown})"
