"""Plots of what carries a gain or a score, drawn without a display."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tfrs_augment.evaluation.statistics.figures import metric_name, slice_title
from tfrs_augment.evaluation.statistics.verdicts import HELPS, HURTS, UNCLEAR

if TYPE_CHECKING:
    from tfrs_augment.evaluation.explaining.attribution_result import Attribution
    from tfrs_augment.evaluation.explaining.explanation_result import RecommendationExplanation

# Of Okabe and Ito's palette, told apart by colour-blind readers too; direction and words say the same.
_UP, _DOWN, _NEUTRAL = "#0072B2", "#D55E00", "0.65"
_WORD_COLOURS = {HELPS: _UP, HURTS: _DOWN, UNCLEAR: _NEUTRAL}
_LONGEST_LABEL = 46
_MOST_BARS = 25


def plot_attribution(found: Attribution, path: str | os.PathLike) -> None:
    """Writes a PNG with a bar an op and one of the whole policy, with 95 % intervals.

    Args:
      found: what `attribute` found.
      path: of the PNG.
    """
    changes = [*(op.share for op in found.ops), found.gain]
    labels = [*(f"{n}. {op.id}" for n, op in enumerate(found.ops, 1)), "whole policy"]
    words = [*(op.verdict.word for op in found.ops), found.verdict.word]
    canvas, axis = _bars(
        labels,
        [change.value for change in changes],
        [_WORD_COLOURS[word] for word in words],
        intervals=[(change.low, change.high) for change in changes],
        line_before=len(found.ops),
    )
    axis.set_xlabel(
        f"{metric_name(found.metric)} over no op ({found.baseline.value:.4f})", fontsize=9
    )
    seeds = f"{len(found.report.seeds)} seed{'s' if len(found.report.seeds) > 1 else ''}"
    method = {"shapley": "Shapley values", "leave_one_out": "what is lost without each op"}
    canvas.suptitle(
        f"{found.report.name}, {slice_title(found.slice_name)}:\n"
        f"{method[found.method]}, {seeds}, 95 % intervals",
        fontsize=11,
    )
    shown = [Patch(color=colour, label=word) for word, colour in _WORD_COLOURS.items()]
    canvas.legend(handles=shown, loc="outside lower center", ncols=3, fontsize=9)
    canvas.savefig(path)


def plot_explanation(found: RecommendationExplanation, path: str | os.PathLike) -> None:
    """Writes a PNG with a bar a feature, those that move the score the most first.

    Args:
      found: what `explain` found.
      path: of the PNG.
    """
    moving = [share for share in found.ranked() if share.contribution]
    shown = moving[: _MOST_BARS if len(moving) <= _MOST_BARS else _MOST_BARS - 1]
    labels = [f"{share.name} = {share.shown_value}" for share in shown]
    values = [share.contribution for share in shown]
    errors = [share.error for share in shown]
    if len(moving) > len(shown):
        others = moving[len(shown) :]
        labels.append(f"{len(others)} others")
        values.append(sum(share.contribution for share in others))
        errors.append(math.sqrt(sum(share.error**2 for share in others)))
    canvas, axis = _bars(
        labels or ["no feature"],
        values or [0.0],
        [_UP if value > 0 else _DOWN for value in values] or [_NEUTRAL],
        intervals=None
        if found.method == "exact"
        else [(value - 2 * error, value + 2 * error) for value, error in zip(values, errors)],
    )
    axis.set_xlabel("contribution to the score", fontsize=9)
    rank = "" if found.rank is None else f", rank {found.rank:,.0f} of {found.candidates:,}"
    canvas.suptitle(
        f"Score {found.score:.4g}{rank}; {found.masked_score:.4g} with all features masked",
        fontsize=11,
    )
    canvas.savefig(path)


def _bars(
    labels: Sequence[str],
    values: Sequence[float],
    colours: Sequence[str],
    *,
    intervals: Sequence[tuple[float, float]] | None,
    line_before: int | None = None,
):
    """Horizontal bars from the top, with the value beside each; returns the canvas and its axis."""
    canvas = Figure(figsize=(8.4, 1.7 + 0.36 * len(labels)), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    axis = canvas.subplots()
    places, values = np.arange(len(labels)), np.asarray(values)
    ends = values[:, None] if intervals is None else np.column_stack([values, np.array(intervals)])
    bars = None
    if intervals is not None:
        bars = np.maximum([values - ends[:, 1], ends[:, 2] - values], 0.0)
    axis.barh(
        places, values, color=list(colours), height=0.62, xerr=bars, capsize=3, ecolor="#000000"
    )
    # Room for the figures beyond the longest bar or interval on either side.
    low, high = min(0.0, np.nanmin(ends)), max(0.0, np.nanmax(ends))
    room = 0.16 * (high - low or 1.0)
    axis.set_xlim(low - room, high + room)
    for place, value, own in zip(places, values, ends):
        right = value >= 0
        axis.annotate(
            f"{value:+.4f}",
            (max(own.max(), 0.0) if right else min(own.min(), 0.0), place),
            xytext=(4 if right else -4, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=8,
        )
    axis.axvline(0.0, color="0.3", linewidth=1)
    if line_before is not None:
        axis.axhline(line_before - 0.5, color="0.6", linewidth=0.8)
    axis.set_yticks(places, [_shortened(label) for label in labels])
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return canvas, axis


def _shortened(label: str) -> str:
    # A dollar sign would start a formula.
    text = " ".join(label.split()).replace("$", r"\$")
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"
