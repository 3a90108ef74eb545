"""The plot of a search, drawn without a display."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

if TYPE_CHECKING:
    from tfrs_augment.search.result import SearchResult

_BLACK, _BLUE, _GREY = "#000000", "#0072B2", "#999999"


def plot_search(result: SearchResult, path: str | os.PathLike) -> None:
    """Writes a PNG: left the rungs, a line a candidate; right what the winner adds in the confirmation.

    Args:
      result: what to plot.
      path: of the PNG.
    """
    canvas = Canvas(figsize=(9.6, 4.8), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    left, right = canvas.subplots(1, 2, width_ratios=(3, 1))
    others = False
    for trial in result.trials:
        if trial.state == "winner" or not trial.values:
            continue
        label = None if others else "other candidates"
        others = True
        left.plot(*_line(trial.values), color=_GREY, marker="o", markersize=4, label=label)
    for trial in result.trials:
        if trial.state == "winner":
            label = f"{trial.candidate.name}, the best"
            left.plot(
                *_line(trial.values), color=_BLUE, marker="s", linewidth=2.5, zorder=4, label=label
            )
    left.plot(
        *_line(result.baseline),
        color=_BLACK,
        marker="D",
        linestyle="--",
        zorder=3,
        label="no augmentation",
    )
    left.set_xscale("log")
    ticks = [rung.epochs for rung in result.rungs]
    left.set_xticks(ticks, [f"{n} epochs" for n in ticks])
    left.minorticks_off()
    left.set_ylabel(f"{result.settings['objective_text']}, development rows")
    left.set_title("Rungs: all trained equally long, the best go on", fontsize=10)
    left.legend(fontsize=9)
    gain = result.gain
    bar = np.maximum([[gain.mean - gain.low], [gain.high - gain.mean]], 0.0)
    right.errorbar([0], [gain.mean], yerr=bar, color=_BLUE, marker="s", capsize=5, linestyle="none")
    right.axhline(0.0, color="0.3", linewidth=1, linestyle="--")
    right.set_xlim(-1, 1)
    right.set_xticks([])
    right.set_ylabel("the best less no augmentation, 95 % interval")
    seeds = len(result.confirmation.seeds)
    right.set_title(
        f"Other seeds ({seeds}): {gain.verdict}",
        fontsize=10,
    )
    for axis in (left, right):
        axis.grid(alpha=0.3)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    canvas.savefig(path)


def _line(values) -> tuple[list[int], list[float]]:
    return list(values), list(values.values())
