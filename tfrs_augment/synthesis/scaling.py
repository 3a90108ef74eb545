"""An order for categories that have none: that of the numbers which correlate best with other columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.distances import Bins

_ITERATIONS = 60
_PRIOR_ROWS = 10.0
"""The score of a category is drawn to the middle as if it had so many rows more, of no relation."""


def order_categories(table: Table, spec: TableSpec) -> list[np.ndarray | None]:
    """Orders the categories of each column so that those that go with alike values are neighbours.

    Every category gets a number, so that the sum of the squared correlations between all columns is
    as large as it can be. One number holds little of a relation between columns otherwise. Columns of
    numbers keep their own order and their ranks.

    Args:
      table: the rows to learn from.
      spec: their columns.

    Returns:
      A column an entry: int64 `[k]`, the codes of its categories in order; None for a numeric one.

    Reference:
      Mair and de Leeuw, "A general framework for multivariate analysis with optimal scaling: the R
      package aspect", Journal of Statistical Software 2010, section 2, for the sum of squared
      correlations; Greenacre, "Theory and Applications of Correspondence Analysis", 1984, chapter 5,
      for the start. Scores of rare categories are shrunk here.
    """
    codes, counts, fixed = [], [], []
    for column in spec:
        values = table[column.name]
        bins = None if column.categorical else Bins.of(column, values)
        codes.append(column.codes(values) if bins is None else bins.codes(values))
        size = len(column.categories) if bins is None else bins.count
        counts.append(np.bincount(codes[-1], minlength=size).astype(np.float64))
        fixed.append(column.ordered)
    scores = _scores(codes, counts, fixed)
    orders: list[np.ndarray | None] = []
    for column, score in zip(spec, scores):
        if not column.categorical:
            orders.append(None)
        elif column.ordered:
            orders.append(np.arange(len(score)))
        else:
            # Rounded, so that the last bits of a sum don't make an order of a tie.
            orders.append(np.argsort(np.round(score, 9), kind="stable"))
    return orders


def _scores(
    codes: Sequence[np.ndarray], counts: Sequence[np.ndarray], fixed: Sequence[bool]
) -> list[np.ndarray]:
    """A score a category or bin, of mean 0 and variance 1 over the rows."""
    scores = [
        _standardized(np.arange(len(count), dtype=np.float64), count) if keep else start
        for count, keep, start in zip(counts, fixed, _start(codes, counts))
    ]
    rows = np.stack([score[code] for score, code in zip(scores, codes)], 1)
    for _ in range(_ITERATIONS):
        for j, keep in enumerate(fixed):
            if keep:
                continue
            weights = rows.T @ rows[:, j] / len(rows)
            weights[j] = 0.0
            sums = np.bincount(codes[j], rows @ weights, minlength=len(counts[j]))
            scores[j] = _standardized(sums / (counts[j] + _PRIOR_ROWS), counts[j])
            rows[:, j] = scores[j][codes[j]]
    return scores


def _start(codes: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first axis of a multiple correspondence analysis, by power iteration."""
    # Any start that is not a constant will do; this one is the same for the same data.
    axis = np.sin(1.0 + sum(code * (j + 1.0) for j, code in enumerate(codes)))
    scores = []
    for _ in range(_ITERATIONS):
        scores = [
            np.bincount(code, axis, minlength=len(count)) / (count + _PRIOR_ROWS)
            for code, count in zip(codes, counts)
        ]
        axis = sum(score[code] for score, code in zip(scores, codes))
        axis -= axis.mean()
        axis /= max(axis.std(), 1e-12)
    return [_standardized(score, count) for score, count in zip(scores, counts)]


def _standardized(score: np.ndarray, counts: np.ndarray) -> np.ndarray:
    weights = counts / counts.sum()
    centred = np.where(counts > 0, score - weights @ score, 0.0)
    return centred / max(np.sqrt(weights @ centred**2), 1e-12)
