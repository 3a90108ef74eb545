"""Figures, and how they read in a terminal, in Markdown and on a page."""

from __future__ import annotations

import dataclasses
import math

SLICE_TITLES = {
    "all": "all items",
    "warm": "warm items",
    "head": "head (top 20 %)",
    "tail": "tail (bottom 80 %)",
    "cold": "cold items",
    "warm_corpus": "warm, among warm only",
}
"""What the main slices are called on plots and pages."""

_OTHER_TITLES = {
    "head_corpus": "head, among warm only",
    "tail_corpus": "tail, among warm only",
    "cold_corpus": "cold, among cold only",
    "cold_users": "cold users",
}


def slice_title(name: str) -> str:
    """Returns what a slice is called on plots and pages.

    Example:
      >>> slice_title("cold"), slice_title("device=phone")
      ('cold items', 'device: phone')
    """
    return SLICE_TITLES.get(name) or _OTHER_TITLES.get(name) or name.replace("=", ": ", 1)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One metric of one arm on one slice: a mean over seeds, and its difference to the baseline.

    `low` and `high` bound the 95 % interval of the value before them. `relative` is the difference
    as a share of the baseline's mean, NaN where that is 0.
    """

    mean: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    relative: float
    relative_low: float
    relative_high: float


def figure_cells(figure: Figure, base: Figure | None) -> tuple[str, str, str, str]:
    """Returns mean, interval, difference to the baseline and its interval.

    The difference is a share of the baseline where that is known well enough: to half its value.

    Args:
      figure: of an arm; NaN where it has no rows.
      base: the baseline's; None for the baseline itself, which is not compared.
    """
    if math.isnan(figure.mean):
        return "no rows", "", "", ""
    mean, interval = f"{figure.mean:.4f}", _bounds(figure.low, figure.high, ".4f")
    if base is None:
        return mean, interval, "", ""
    # A share of a baseline that may be next to nothing says nothing.
    if math.isnan(figure.relative) or not base.low >= base.mean / 2:
        bounds = _bounds(figure.difference_low, figure.difference_high, "+.4f")
        return mean, interval, f"{figure.difference:+.4f}", bounds
    bounds = _bounds(figure.relative_low, figure.relative_high, "+.1%")
    return mean, interval, f"{figure.relative:+.1%}", bounds


def _bounds(low: float, high: float, form: str) -> str:
    """An interval; nothing where it is not known, as that of a metric of the catalogue with one seed."""
    return "" if math.isnan(low) or math.isnan(high) else f"[{low:{form}}, {high:{form}}]"


def metric_name(metric: str) -> str:
    """Returns how a metric is written, such as "Recall@10".

    Example:
      >>> metric_name("ndcg@10")
      'NDCG@10'
    """
    from tfrs_augment.evaluation.measuring.registry import REGISTRY

    if metric in REGISTRY:
        return REGISTRY[metric].title
    return metric.replace("recall", "Recall").replace("ndcg", "NDCG")
