"""Distances between rows of tables with categories and numbers, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrs_augment.evaluation.synthetic.coded_tables import Coded, rows_of

# Numbers in one block of distances: 4 million float32 are 16 MiB.
_BLOCK_NUMBERS = 4_000_000


class RowDistances:
    """Euclidean distance of rows: a number counts by its share of the range, another category counts 1.

    A missing number is at distance 0 from a missing one and 1 from any other.

    Args:
      reference: the table whose ranges scale the numbers, coded.
      numbers: names of its numeric columns; the others are categorical.
    """

    def __init__(self, reference: Coded, numbers: Sequence[str]):
        self._names = tuple(reference)
        self._ranges = {}
        for name in numbers:
            known = reference[name][~np.isnan(reference[name])]
            low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
            self._ranges[name] = (low, high - low if high > low else 1.0)

    def nearest(self, rows: Coded, others: Coded, count: int = 1) -> np.ndarray:
        """Returns float32 `[rows, count]`: the distances of each row to its nearest others, rising.

        Args:
          rows: which ask.
          others: the table that is searched in full, of at least `count` rows.
          count: how many neighbours.
        """
        mine, theirs = self._scaled(rows), self._scaled(others)
        total, width = rows_of(rows), rows_of(others)
        found = np.empty((total, count), np.float32)
        block = max(1, _BLOCK_NUMBERS // width)
        for start in range(0, total, block):
            stop = min(start + block, total)
            squared = np.zeros((stop - start, width), np.float32)
            for name in self._names:
                squared += self._squared(name, mine[name][start:stop, None], theirs[name][None])
            # The difference of equal rows is an exact 0, as it is not in a product of matrices.
            part = np.partition(squared, count - 1, axis=1)[:, :count]
            found[start:stop] = np.sqrt(np.sort(part, axis=1))
        return found

    def _scaled(self, table: Coded) -> dict[str, np.ndarray]:
        scaled = {}
        for name in self._names:
            if name in self._ranges:
                low, span = self._ranges[name]
                scaled[name] = ((table[name] - low) / span).astype(np.float32)
            else:
                scaled[name] = table[name].astype(np.int32)
        return scaled

    def _squared(self, name: str, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        if name not in self._ranges:
            return mine != theirs
        difference = mine - theirs
        missing = np.isnan(difference)
        difference *= difference
        if missing.any():
            both = np.isnan(mine) & np.isnan(theirs)
            difference[missing] = np.where(both, 0.0, 1.0)[missing]
        return difference
