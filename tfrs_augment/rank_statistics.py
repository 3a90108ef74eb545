"""Statistics of ranks, ties at their mean."""

from __future__ import annotations

import math

import numpy as np


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Returns float64 `[n]`: ranks from 1 for the smallest; equal values share the mean of theirs.

    Example:
      >>> average_ranks(np.array([3.0, 1.0, 3.0])).tolist()
      [2.5, 1.0, 2.5]
    """
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[group]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the rank correlation of two arrays `[n]`, NaN if one is constant."""
    ranks = average_ranks(first), average_ranks(second)
    if any(np.ptp(part) == 0 for part in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Returns the chance that a positive row scores above a negative one, ties counted half.

    Args:
      scores: float `[n]`.
      positive: bool `[n]`.

    Returns:
      In [0, 1]; NaN where all rows are of one kind.

    Example:
      >>> auc(np.array([0.1, 0.4, 0.4]), np.array([False, False, True]))
      0.75
    """
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return math.nan
    above = average_ranks(scores)[positive].sum() - count * (count + 1) / 2.0
    return float(above / (count * others))
