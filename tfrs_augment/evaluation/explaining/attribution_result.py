"""What an attribution found: a table, JSON values and a plot."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrs_augment.errors import DataError, InvalidArgumentError, close_matches
from tfrs_augment.evaluation.explaining import games
from tfrs_augment.evaluation.explaining.game_values import MEANS, Change, share_out, sums_of
from tfrs_augment.evaluation.measuring.slices import Slices
from tfrs_augment.evaluation.reporting.report import Report
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.evaluation.statistics.figures import metric_name, slice_title
from tfrs_augment.evaluation.statistics.verdicts import UNCLEAR, Verdict
from tfrs_augment.policy import AugmentationPolicy

NO_OP, WHOLE = "no op", "whole policy"

_FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class OpShare:
    """What one op contributes to the gain of its policy.

    Attributes:
      id: the op's id in the policy.
      op: the op as text, such as "IdDropout 'movie_id'".
      share: its contribution by the method, in the metric's unit.
      verdict: whether the contribution helps or hurts, corrected for all ops.
      alone: the gain of the op alone over no op; None where that was not trained.
      last: what the others lack without it; None where that was not trained. By "leave_one_out" it is
        the share.
    """

    id: str
    op: str
    share: Change
    verdict: Verdict
    alone: Change | None
    last: Change | None


@dataclasses.dataclass(frozen=True, repr=False)
class Attribution:
    """The outcome of `attribute`.

    Attributes:
      policy: whose ops share the gain.
      method: "leave_one_out" or "shapley".
      slice_name: the test rows that are looked at.
      metric: what is measured on them, a mean over rows or queries.
      report: all trainings, an arm a subset of the ops; "ops 1, 3" has the first and the third.
      plan: which subsets were trained.
      subsets: the mean of the metric of each arm.
      baseline: the metric without any op.
      gain: of the whole policy over no op.
      verdict: of the gain, by itself.
      ops: the shares, in the policy's order.
    """

    policy: AugmentationPolicy
    method: str
    slice_name: str
    metric: str
    report: Report
    plan: games.Plan
    subsets: Mapping[str, float] = dataclasses.field(init=False)
    baseline: Change = dataclasses.field(init=False)
    gain: Change = dataclasses.field(init=False)
    verdict: Verdict = dataclasses.field(init=False)
    ops: tuple[OpShare, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        check_metric(self.metric)
        arms = [arm_name(subset) for subset in self.plan.subsets]
        sums = sums_of(self.report, arms, self.slice_name, self.metric)
        if math.isnan(bootstrap.means(sums)[0]):
            raise DataError(
                f"`slice_name` must have test rows. Received: {self.slice_name!r}, without a row in "
                f"any of the seeds {self.report.seeds}."
            )
        measured = share_out(self.plan, sums, higher_is_better=MEANS[self.metric].higher_is_better)
        ops = zip(
            self.policy.ops, measured.shares, measured.verdicts, measured.alone, measured.last
        )
        for name, value in (
            ("subsets", dict(zip(arms, measured.means.tolist()))),
            ("baseline", measured.none),
            ("gain", measured.gain),
            ("verdict", measured.verdict),
            ("ops", tuple(OpShare(op.id, str(op), *values) for op, *values in ops)),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """The gain and a line an op, not the ranks of every training."""
        seeds = len(self.report.seeds)
        parts = [(WHOLE, self.gain, self.verdict)]
        parts += [(f"{i}. {op.id}", op.share, op.verdict) for i, op in enumerate(self.ops, 1)]
        return "\n".join(
            [
                f"Attribution of {self.report.name!r} ({_METHOD_TITLES[self.method]}): "
                f"{metric_name(self.metric)} on {slice_title(self.slice_name)}, "
                f"{seeds} seed{'' if seeds == 1 else 's'}",
                *(
                    f"  {name}: {part.value:+.4f} [{part.low:+.4f}, {part.high:+.4f}], {verdict.word}"
                    for name, part, verdict in parts
                ),
            ]
        )

    @property
    def rest(self) -> float:
        """The gain less the shares: 0 by "shapley"; by "leave_one_out" what no op has to itself."""
        return self.gain.value - sum(op.share.value for op in self.ops)

    def on(self, slice_name: str, metric: str | None = None) -> Attribution:
        """Returns the shares on another slice, or of another metric, without any training.

        Args:
          slice_name: the test rows to look at.
          metric: what to measure on them. Default: the same.

        Raises:
          InvalidArgumentError: there is no such slice or metric.
          DataError: the slice has no test rows.
        """
        metric = self.metric if metric is None else metric
        check_slice(slice_name, next(iter(self.report.slices.values())))
        return dataclasses.replace(self, slice_name=slice_name, metric=metric)

    def table(self) -> str:
        """Returns a Markdown table, aligned for a terminal: a line an op, then the whole policy.

        A line holds the share and its 95 % interval, the share as a percentage of the metric without any op,
        what the op gains alone and what it adds to all others, and "helps" or "hurts" where the verdict
        says so. Alone much and last nothing: another op does the same. The other way round: it needs them.
        """
        head = [f"{metric_name(self.metric)}, {self.slice_name}", _METHOD_TITLES[self.method]]
        head += ["95 % interval", f"of {self.baseline.value:.4f}", "alone", "added last", ""]
        lines = [head]
        for number, op in enumerate(self.ops, 1):
            lines.append(
                [
                    f"{number}. {op.id}",
                    *self._cells(op.share),
                    *(
                        "" if change is None else f"{change.value:+.4f}"
                        for change in (op.alone, op.last)
                    ),
                    _word(op.verdict),
                ]
            )
        if self.method == "leave_one_out":
            lines.append(["no op by itself", f"{self.rest:+.4f}", "", "", "", "", ""])
        lines.append([WHOLE, *self._cells(self.gain), "", "", _word(self.verdict)])
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines
        )

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: the share of each op and the gain of the whole policy, with intervals."""
        from tfrs_augment.evaluation.explaining.explain_plots import plot_attribution

        plot_attribution(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Returns shares, verdicts and settings as JSON values; NaN becomes None.

        Within a `format_version` keys may be added; none is taken away or changes its meaning.
        """
        found = {
            "format_version": _FORMAT_VERSION,
            "name": self.report.name,
            "method": self.method,
            "slice": self.slice_name,
            "metric": self.metric,
            "seeds": list(self.report.seeds),
            "rows": self.report.rows(self.slice_name),
            "trainings": len(self.report.runs),
            "permutations": len(getattr(self.plan, "orders", ())),
            "baseline": dataclasses.asdict(self.baseline),
            "gain": dataclasses.asdict(self.gain),
            "verdict": dataclasses.asdict(self.verdict),
            "rest": self.rest,
            "ops": [dataclasses.asdict(op) for op in self.ops],
            "subsets": dict(self.subsets),
            "policy": self.policy.get_config(),
            "settings": dict(self.report.settings),
        }
        return _without_nan(found)

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes `to_dict()` to a file."""
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=1)
            file.write("\n")

    def _cells(self, change: Change) -> list[str]:
        base = self.baseline
        # A share of what may be next to nothing says nothing.
        known = base.value > 0 and base.low >= base.value / 2
        relative = f"{change.value / base.value:+.1%}" if known else ""
        return [f"{change.value:+.4f}", f"[{change.low:+.4f}, {change.high:+.4f}]", relative]


_METHOD_TITLES = {"leave_one_out": "left out", "shapley": "Shapley value"}


def arm_name(subset: np.ndarray) -> str:
    """Returns what the training with some of the ops is called.

    Example:
      >>> [arm_name(np.array(subset, bool)) for subset in ([0, 0, 0], [1, 0, 1], [1, 1, 1])]
      ['no op', 'ops 1, 3', 'whole policy']
    """
    numbers = [str(place + 1) for place in np.flatnonzero(subset)]
    if not numbers or len(numbers) == len(subset):
        return WHOLE if numbers else NO_OP
    return f"op{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def check_metric(metric: str) -> None:
    """Raises an InvalidArgumentError unless users share in the metric."""
    if metric not in MEANS:
        raise InvalidArgumentError(
            "`metric` must be a mean over rows or queries, which users share in. Received: "
            f"metric={metric!r}. {close_matches(str(metric), MEANS)}"
        )


def check_slice(slice_name: str, slices: Slices) -> None:
    """Raises an InvalidArgumentError unless there is such a slice."""
    if slice_name not in slices.masks:
        raise InvalidArgumentError(
            f"`slice_name` must be a slice of the test rows. Received: slice_name={slice_name!r}. "
            f"{close_matches(str(slice_name), slices.masks)}"
        )


def _word(verdict: Verdict) -> str:
    # What can't be told is left blank, so that the eye finds the others.
    return "" if verdict.word == UNCLEAR else verdict.word


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
