"""Plots of online experiments and of off-policy estimates, drawn without a display."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

if TYPE_CHECKING:
    from tfrs_augment.evaluation.online.ab_result import ABTest
    from tfrs_augment.evaluation.online.off_policy_result import OffPolicy

# Of Okabe and Ito's palette, told apart by colour-blind readers too; the markers say the same.
_STYLES = {
    "helps": {"color": "#0072B2", "marker": "^"},
    "hurts": {"color": "#D55E00", "marker": "v"},
    "can't tell": {"color": "#000000", "marker": "o"},
}
_LOGGED = "#E69F00"


def plot_ab_test(found: ABTest, path: str | os.PathLike) -> None:
    """Writes a PNG with a panel a metric: each arm's difference to the control, and its interval.

    Differences are shares of the control's mean where that is known, else in the metric's unit. The
    grey band is what a test of this size finds with the chance it was asked for: an effect inside
    may well be missed.

    Args:
      found: what `ab_test` found.
      path: of the PNG.
    """
    metrics = list(dict.fromkeys(c.metric for c in found.comparisons))
    arms = list(dict.fromkeys(c.arm for c in found.comparisons))
    across = min(3, len(metrics))
    down = -(-len(metrics) // across)
    canvas = Figure(
        figsize=(max(3.6 * across + 0.8, 7.4), (1.1 + 0.42 * len(arms)) * down + 1.1),
        dpi=120,
        layout="constrained",
    )
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(down, across, squeeze=False)
    for axis in axes.ravel()[len(metrics) :]:
        axis.set_axis_off()
    for index, (axis, metric) in enumerate(zip(axes.ravel(), metrics)):
        own = [c for c in found.comparisons if c.metric == metric]
        relative = not any(math.isnan(c.relative) for c in own)
        for place, c in enumerate(own):
            scale = 1 / abs(c.control_mean) if relative else 1.0
            ends = (c.relative, c.relative_low, c.relative_high) if relative else (
                c.difference, c.low, c.high)  # fmt: skip
            if c.standard_error:
                reach = c.detectable * scale
                axis.fill_betweenx([place - 0.4, place + 0.4], -reach, reach, color="0.9", lw=0)
            _interval(axis, ends, place, _STYLES[c.verdict])
        axis.axvline(0.0, color="0.3", linewidth=1, linestyle="--")
        if not any(c.standard_error for c in own):
            axis.text(0.5, 0.5, "constant, not tested", transform=axis.transAxes, ha="center")
        _dress(axis, arms, index % across == 0)
        axis.set_title(metric, fontsize=10)
        axis.set_xlabel(f"share of {found.control}" if relative else "difference", fontsize=8)
        if relative:
            axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    looks = "for one look" if found.planned_units is None else "for any number of looks"
    broken = "SAMPLE RATIO BROKEN. " if found.sample_ratio.broken else ""
    canvas.suptitle(
        f"{broken}Difference to {found.control}, {100 * (1 - found.alpha):.4g} % intervals {looks}",
        fontsize=11,
    )
    handles = [
        canvas.axes[0].plot([], [], linestyle="none", label=name, **style)[0]
        for name, style in _STYLES.items()
    ]
    power = found.comparisons[0].power
    handles.append(Patch(color="0.9", label=f"missed more often than {1 - power:.0%} in one look"))
    canvas.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    canvas.savefig(path)


def plot_off_policy(found: OffPolicy, path: str | os.PathLike) -> None:
    """Writes a PNG: the estimates with their intervals, and how the weights are spread.

    The left panel shows each estimator's normal and bootstrap interval beside what was logged; the
    right one which share of all weight the heaviest rows have.

    Args:
      found: what `off_policy` found.
      path: of the PNG.
    """
    names = list(found.estimates)
    canvas = Figure(figsize=(10.4, 1.6 + 0.5 * len(names)), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    left, right = canvas.subplots(1, 2, width_ratios=(1.7, 1.0))
    for kind, offset, style in (
        ("normal", -0.14, {"color": "#0072B2", "marker": "o"}),
        ("bootstrap", 0.14, {"color": "#009E73", "marker": "s"}),
    ):
        for place, name in enumerate(names):
            one = found.estimates[name]
            _interval(left, (one.value, *getattr(one, kind)), place + offset, style)
        left.plot([], [], linestyle="none", label=f"{kind} interval", **style)
    logged = found.logged
    left.axvspan(*logged.normal, color=_LOGGED, alpha=0.25, lw=0)
    left.axvline(logged.value, color=_LOGGED, linewidth=1.5, label="as logged")
    _dress(left, names, True)
    left.set_xlabel(f"value a {found.per}, {100 * found.confidence:.4g} % intervals", fontsize=9)
    canvas.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9
    )
    weights = np.sort(found.weights)[::-1]
    rows = np.arange(1, len(weights) + 1) / len(weights)
    right.plot(rows, np.cumsum(weights) / weights.sum(), color="#000000")
    right.plot([0, 1], [0, 1], color="0.3", linewidth=1, linestyle="--")
    right.set_xlabel("share of rows, heaviest first", fontsize=9)
    right.set_ylabel("share of weight", fontsize=9)
    right.set_title(
        f"effective rows {found.weight_check.effective_rows:,.0f} of {len(weights):,}", fontsize=10
    )
    for axis in (left, right):
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    canvas.savefig(path)


def _interval(axis, ends: tuple[float, float, float], place: float, style: dict) -> None:
    """Draws a value and its interval, left out where unknown."""
    value, low, high = ends
    bar = None
    if math.isfinite(low) and math.isfinite(high):
        bar = np.maximum([[value - low], [high - value]], 0.0)
    axis.errorbar([value], [place], xerr=bar, markersize=6, capsize=3, linestyle="none", **style)


def _dress(axis, names: list[str], labelled: bool) -> None:
    axis.set_yticks(range(len(names)), names if labelled else [])
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
