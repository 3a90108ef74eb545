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
    mean, interval = f"{figure.mean:.4f}", f"[{figure.low:.4f}, {figure.high:.4f}]"
    if base is None:
        return mean, interval, "", ""
    # A share of a baseline that may be next to nothing says nothing.
    if math.isnan(figure.relative) or base.low < base.mean / 2:
        difference = f"{figure.difference:+.4f}"
        bounds = f"[{figure.difference_low:+.4f}, {figure.difference_high:+.4f}]"
    else:
        difference = f"{figure.relative:+.1%}"
        bounds = f"[{figure.relative_low:+.1%}, {figure.relative_high:+.1%}]"
    return mean, interval, difference, bounds


def metric_name(metric: str) -> str:
    """Returns how a metric is written, such as "Recall@10".

    Example:
      >>> metric_name("ndcg@10")
      'NDCG@10'
    """
    return metric.replace("recall", "Recall").replace("ndcg", "NDCG")
