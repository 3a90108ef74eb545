"""A measure of sampled rows that is quick enough to look at while a network trains."""

from __future__ import annotations

import itertools

import numpy as np

from tfrs_augment.synthesis.cells import Cells
from tfrs_augment.synthesis.columns import Table, TableSpec

_MAX_CELLS = 32
_PRIOR_ROWS = 50.0


class PairLikelihood:
    """How likely held-out rows are under the pairs of columns of sampled rows.

    The mean over held-out rows and pairs of columns of

        log(p(a, b) / (q(a) q(b)))    p(a, b) = (m share(a, b) + k q(a) q(b)) / (m + k)

    in nats, where the shares are of sampled rows, m is the number of fitted rows, q the distribution of each
    column in them, and k is 50: sampled rows know no more than the fitted ones, however many they are.
    Numbers are cut into 32 cells at quantiles. Columns that are sampled independently have 0, or a little
    less where few rows are sampled; what the rows say beyond that is above it, and what they say wrongly
    below. Rows that copy the fitted ones have no advantage, for the held-out rows are others.

    Args:
      train: columns `[m]` that were fitted.
      held_out: columns `[h]`.
      spec: their columns.
    """

    def __init__(self, train: Table, held_out: Table, spec: TableSpec):
        self._cells = [Cells.fit(c, train[c.name], _MAX_CELLS) for c in spec]
        # A constant column says nothing of another.
        self._cells = [cells for cells in self._cells if cells.size > 1]
        self._pairs = list(itertools.combinations(range(len(self._cells)), 2))
        self._shares = [
            np.bincount(codes, minlength=cells.size) / len(codes)
            for codes, cells in zip(self._codes(train), self._cells)
        ]
        self._held_out = self._codes(held_out)
        self._count = len(next(iter(train.values())))

    def __call__(self, sampled: Table) -> float:
        """Returns the measure of columns `[n]`; 0 where there are no two columns."""
        codes = self._codes(sampled)
        total, found = 0.0, 0
        for first, second in self._pairs:
            width = self._cells[second].size
            mine = codes[first] * width + codes[second]
            theirs = self._held_out[first] * width + self._held_out[second]
            expected = np.outer(self._shares[first], self._shares[second]).ravel()
            counts = np.bincount(mine, minlength=len(expected))
            known = theirs[expected[theirs] > 0]
            share = counts[known] / len(mine) / expected[known]
            joint = (self._count * share + _PRIOR_ROWS) / (self._count + _PRIOR_ROWS)
            total += np.log(joint).sum()
            found += len(known)
        return float(total / max(found, 1))

    def _codes(self, table: Table) -> list[np.ndarray]:
        # A missing number where the fit met none counts with the first cell.
        return [np.maximum(c.encode(table[c.column.name]), 0) for c in self._cells]
