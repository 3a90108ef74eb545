"""Metrics of the lists shown, which ask nothing about what was right in them."""

from __future__ import annotations

import numpy as np


def exposure(lists: np.ndarray, items: int) -> np.ndarray:
    """Returns int64 `[items]`: in how many lists each item of the catalogue is.

    Args:
      lists: int `[lists, length]` of items, -1 where there is none.
      items: how many items the catalogue has.
    """
    return np.bincount(lists[lists >= 0], minlength=items)


def coverage(lists: np.ndarray, items: int) -> float:
    """Returns the share of the catalogue that is in any list, in [0, 1]."""
    return float((exposure(lists, items) > 0).mean())


def gini(lists: np.ndarray, items: int) -> float:
    """Returns the Gini coefficient of the items' exposure: 0 where all are shown alike, 1 where one is.

    NaN where nothing is shown.

    Example:
      >>> gini(np.array([[0, 1], [2, 3]]), 4)
      0.0
    """
    shown = np.sort(exposure(lists, items)).astype(np.float64)
    total = shown.sum()
    if not total or items < 2:
        return float("nan")
    # Divided by its largest value, so that one item alone gives 1 in any catalogue.
    place = 2.0 * np.arange(1, items + 1) - items - 1
    return float((place @ shown) / (total * (items - 1)))


def novelty(lists: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns float64 `[lists]`: the mean surprise, in bits, of meeting each list's items in training.

    That of an item is `-log2((count + 1) / (all counts + items))`: one row is added to each item, so that
    cold ones have a finite surprise, the largest.

    Args:
      lists: int `[lists, length]` of items, -1 where there is none.
      counts: int `[items]`, the training rows of each item.

    Returns:
      NaN for empty lists.

    Reference:
      Vargas and Castells, Rank and Relevance in Novelty and Diversity Metrics for Recommender Systems,
      RecSys 2011: expected free discovery, with every place of the list alike and whatever is relevant.
    """
    bits = -np.log2((counts + 1.0) / (counts.sum() + len(counts)))
    shown = lists >= 0
    number = shown.sum(axis=1)
    total = np.where(shown, bits[lists], 0.0).sum(axis=1)
    return np.divide(total, number, out=np.full(len(lists), np.nan), where=number > 0)
