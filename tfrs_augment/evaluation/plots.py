"""Plots of a report, drawn without a display."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from tfrs_augment.evaluation.slices import MAIN_SLICES

if TYPE_CHECKING:
    from tfrs_augment.evaluation.report import Report

# Okabe and Ito's palette, told apart by colour-blind readers too.
_COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_TITLES = {
    "all": "all items",
    "warm": "warm items",
    "head": "head (top 20 %)",
    "tail": "tail (bottom 80 %)",
    "cold": "cold items",
    "warm_corpus": "warm, among warm only",
}


def plot_report(report: Report, path: str | os.PathLike, metric: str = "recall@10") -> None:
    """Writes a PNG with one column of intervals a slice.

    The upper row shows the metric of each arm, the lower row its difference to the baseline,
    paired; an interval clear of the dashed line is a difference that the data show.

    Args:
      report: what to plot.
      path: of the PNG.
      metric: "recall@10", "recall@50" or "ndcg@10".
    """
    slices = [name for name in MAIN_SLICES if not math.isnan(_figure(report, name, metric).mean)]
    canvas = Canvas(figsize=(2.5 * len(slices) + 0.6, 6.6), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(2, len(slices), squeeze=False)
    for column, name in enumerate(slices):
        _draw(axes[0, column], report, name, metric, "mean")
        _draw(axes[1, column], report, name, metric, "difference")
        axes[0, column].set_title(f"{_TITLES[name]}\n{report.rows(name):,.0f} rows", fontsize=10)
    label = metric.replace("recall", "Recall").replace("ndcg", "NDCG")
    axes[0, 0].set_ylabel(label)
    axes[1, 0].set_ylabel(f"difference to {report.baseline}, paired")
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


def _draw(axis, report: Report, slice_name: str, metric: str, what: str) -> None:
    for place, arm in enumerate(report.arms):
        figure = report.figure(arm, slice_name, metric)
        if what == "mean":
            value, low, high = figure.mean, figure.low, figure.high
        else:
            value, low, high = figure.difference, figure.difference_low, figure.difference_high
        if what == "difference" and arm == report.baseline:
            continue
        axis.errorbar(
            [place],
            [value],
            yerr=np.maximum([[value - low], [high - value]], 0.0),
            label=arm,
            color=_COLOURS[place % len(_COLOURS)],
            marker=_MARKERS[place % len(_MARKERS)],
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
        axis.set_ylim(0.0, 1.08 * axis.get_ylim()[1])


def _figure(report: Report, slice_name: str, metric: str):
    return report.figure(report.baseline, slice_name, metric)
