"""Plots of a report, drawn without a display."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from tfrs_augment.evaluation.measuring.registry import REGISTRY
from tfrs_augment.evaluation.statistics.figures import metric_name, slice_title

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.report import Report

# Okabe and Ito's palette, told apart by colour-blind readers too.
_COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MOST_COLUMNS = 6


def plot_report(report: Report, path: str | os.PathLike, metric: str = "recall@10") -> None:
    """Writes a PNG with one column of intervals a slice, below one another where slices are many.

    The upper row shows the metric of each arm, the lower row its difference to the baseline,
    paired; an interval clear of the dashed line is a difference that the data show. More than six
    slices take more such pairs of rows.

    Args:
      report: what to plot.
      path: of the PNG.
      metric: one of the report's; drawn on its default slices.
    """
    named = report.default_slices(metric)
    slices = [name for name in named if not math.isnan(_figure(report, name, metric).mean)]
    pairs = math.ceil(len(slices) / _MOST_COLUMNS)
    columns = math.ceil(len(slices) / pairs)
    canvas = Canvas(figsize=(2.5 * columns + 0.6, 6.6 * pairs), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    if pairs > 1:
        # A title is of what stands below it.
        canvas.get_layout_engine().set(h_pad=0.12)
    axes = canvas.subplots(2 * pairs, columns, squeeze=False)
    label = _label(metric)
    for place, name in enumerate(slices):
        pair, column = divmod(place, columns)
        upper, lower = axes[2 * pair : 2 * pair + 2, column]
        _draw(upper, report, name, metric, "mean")
        _draw(lower, report, name, metric, "difference")
        upper.set_title(f"{slice_title(name)}\n{report.rows(name):,.0f} rows", fontsize=10)
        if column == 0:
            upper.set_ylabel(label)
            lower.set_ylabel(f"difference to {report.baseline}, paired")
    for axis in axes[-2:, len(slices) - columns * (pairs - 1) :].flat:
        axis.set_axis_off()
    seeds = f"{len(report.seeds)} seed{'s' if len(report.seeds) > 1 else ''}"
    canvas.suptitle(
        f"{label} on {report.name}: mean of {seeds} with 95 % interval, full catalogue, "
        "seen items left out",
        fontsize=11,
    )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    canvas.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 6), fontsize=9
    )
    canvas.savefig(path)


def plot_frontier(
    report: Report,
    path: str | os.PathLike,
    *,
    x: str = "warm",
    y: str = "cold",
    metric: str = "recall@10",
) -> None:
    """Writes a PNG: what each arm gains or loses on one slice against what it does on another.

    Both are differences to the baseline, which stands at the crossing of the dashed lines, with 95 %
    intervals. An arm is on the frontier where no other is above it and to its right.

    Args:
      report: what to plot.
      path: of the PNG.
      x: the slice from left to right.
      y: the slice from bottom to top.
      metric: one of the report's.
    """
    canvas = Canvas(figsize=(7.4, 5.4), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    axis = canvas.subplots()
    for line in (axis.axhline, axis.axvline):
        line(0.0, color="0.3", linewidth=1, linestyle="--")
    for place, arm in enumerate(arm for arm in report.arms if arm != report.baseline):
        value, bars = zip(*(_difference(report.figure(arm, name, metric)) for name in (x, y)))
        axis.errorbar(
            [value[0]],
            [value[1]],
            xerr=bars[0],
            yerr=bars[1],
            label=arm,
            **_style(place + 1),
            markersize=7,
            elinewidth=0.8,
            linestyle="none",
        )
    label = _label(metric)
    axis.set_xlabel(f"{label}, {slice_title(x)}: difference to {report.baseline}")
    axis.set_ylabel(f"{label}, {slice_title(y)}: difference to {report.baseline}")
    axis.grid(alpha=0.3)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    canvas.legend(loc="outside right upper", fontsize=9)
    axis.set_title(f"{report.name}, {len(report.seeds)} seeds, 95 % intervals", fontsize=11)
    canvas.savefig(path)


def _label(metric: str) -> str:
    """The metric, and its direction where that is not the usual one."""
    if REGISTRY[metric].higher_is_better:
        return metric_name(metric)
    return f"{metric_name(metric)} (lower is better)"


def _style(place: int) -> dict[str, str]:
    """Colour and marker of an arm; after the eighth other pairs of both."""
    turn = place // len(_COLOURS)
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "marker": _MARKERS[(place + turn) % len(_MARKERS)],
    }


def _difference(figure) -> tuple[float, np.ndarray]:
    """A difference to the baseline, and the two lengths of its error bar."""
    low, high = figure.difference_low, figure.difference_high
    return figure.difference, _bar(figure.difference, low, high)


def _bar(value: float, low: float, high: float) -> np.ndarray:
    """The two lengths of an error bar, none where the interval is not known."""
    return np.nan_to_num(np.maximum([[value - low], [high - value]], 0.0))


def _draw(axis, report: Report, slice_name: str, metric: str, what: str) -> None:
    for place, arm in enumerate(report.arms):
        figure = report.figure(arm, slice_name, metric)
        if what == "difference" and arm == report.baseline:
            continue
        value, bar = _difference(figure)
        if what == "mean":
            value, low, high = figure.mean, figure.low, figure.high
            bar = _bar(value, low, high)
        axis.errorbar(
            [place],
            [value],
            yerr=bar,
            label=arm,
            **_style(place),
            markersize=6,
            capsize=4,
            linestyle="none",
        )
    axis.set_xlim(-0.6, len(report.arms) - 0.4)
    axis.set_xticks([])
    axis.tick_params(axis="y", labelsize=8)
    axis.grid(axis="y", alpha=0.3)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if what == "difference":
        axis.axhline(0.0, color="0.3", linewidth=1, linestyle="--")
    else:
        axis.set_ylim(0.0, 1.08 * max(axis.get_ylim()[1], 1e-9))


def _figure(report: Report, slice_name: str, metric: str):
    return report.figure(report.baseline, slice_name, metric)
