"""Plots of augmented rows, drawn without a display."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfrs_augment.evaluation.augmented.column_shifts import NUMBER, Distribution

if TYPE_CHECKING:
    from tfrs_augment.evaluation.augmented.augmented_data import AugmentedData

_SOURCE, _AUGMENTED, _LIMIT = "0.75", "#0072B2", "#D55E00"
_COLUMNS, _MOST = 3, 11
_LONGEST = 18


def plot_augmented_data(found: AugmentedData, path: str | os.PathLike) -> None:
    """Writes a PNG: the drift of each column, and distributions before and after of those of the largest.

    Args:
      found: what `measure_augmented` found.
      path: of the PNG.
    """
    shown = found.distributions[:_MOST]
    rows = math.ceil((len(shown) + 1) / _COLUMNS)
    canvas = Figure(figsize=(4.4 * _COLUMNS, 2.9 * rows + 0.5), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    axes = list(canvas.subplots(rows, _COLUMNS, squeeze=False).flat)
    _draw_drift(axes[0], found)
    for axis, one in zip(axes[1:], shown):
        (_draw_numbers if one.kind == NUMBER else _draw_values)(axis, one)
        axis.set_title(one.name, fontsize=10)
    for axis in axes[len(shown) + 1 :]:
        axis.remove()
    for axis in canvas.axes:
        axis.tick_params(labelsize=7)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    handles, labels = canvas.axes[-1].get_legend_handles_labels()
    if handles:
        canvas.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    rows_text = (
        f"{found.rows['augmented']:,} augmented rows, {found.rows['source']:,} of the source"
    )
    count = len(found.warnings)
    canvas.suptitle(f"{rows_text}; {count} warning{'' if count == 1 else 's'}", fontsize=11)
    canvas.savefig(path)


def _draw_drift(axis, found: AugmentedData) -> None:
    shifts = found.columns[:12][::-1]
    limits = [
        found.limits.number_drift if s.drift.kind == "number" else found.limits.drift
        for s in shifts
    ]
    colours = [
        _LIMIT if limit is not None and s.drift.distance > limit else _AUGMENTED
        for s, limit in zip(shifts, limits)
    ]
    places = range(len(shifts))
    axis.barh(places, [s.drift.distance for s in shifts], color=colours)
    for place, limit in zip(places, limits):
        if limit is not None:
            axis.plot([limit, limit], [place - 0.45, place + 0.45], "--", color="0.3", linewidth=1)
    axis.set_yticks(places, [_cut(s.name) for s in shifts])
    axis.set_title("drift; dashed: the limit", fontsize=10)


def _draw_numbers(axis, one: Distribution) -> None:
    places = range(len(one.labels))
    axis.bar(places, one.source, width=1.0, color=_SOURCE, label="source")
    edges = [place - 0.5 for place in range(len(one.labels) + 1)]
    axis.stairs(one.augmented, edges, color=_AUGMENTED, linewidth=1.5, label="augmented")
    ends = sorted({0, len(one.labels) - 1})
    axis.set_xticks(ends, [_cut(one.labels[place]) for place in ends])


def _draw_values(axis, one: Distribution) -> None:
    # All others together would outweigh the bars; they are written.
    shown = len(one.labels) - (one.others and len(one.labels) > 1)
    places = range(shown)
    for shares, shift, colour, label in (
        (one.source, -0.2, _SOURCE, "source"),
        (one.augmented, 0.2, _AUGMENTED, "augmented"),
    ):
        middles = [place + shift for place in places]
        axis.barh(middles, shares[:shown], height=0.4, color=colour, label=label)
    if shown < len(one.labels):
        said = f"{one.labels[-1]}: {one.source[-1]:.0%} → {one.augmented[-1]:.0%}"
        axis.set_xlabel(said, fontsize=8)
    axis.set_yticks(places, [_cut(label) for label in one.labels[:shown]])
    axis.invert_yaxis()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
