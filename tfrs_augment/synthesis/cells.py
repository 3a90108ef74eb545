"""Columns cut into cells, and values drawn within a cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfrs_augment.synthesis.columns import ColumnSpec
from tfrs_augment.synthesis.conditions import Condition
from tfrs_augment.synthesis.marginals import (
    Marginal,
    marginals_from_arrays,
    marginals_to_arrays,
    stretch,
)

MAX_CELLS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one column: parts of its marginal distribution.

    A column of few distinct values has a cell a value. Of categories beyond the limit, the most frequent have
    one each and the others share the last; numbers beyond it are cut at quantiles. Within a cell, values have
    the shares, or lie between the quantiles, that the marginal has. Missing numbers of a numeric column have
    a cell of their own.

    Args:
      marginal: the column's distribution.
      low: float64 `[pieces]`, rising: lower ends of pieces of the marginal's uniform numbers.
      high: float64 `[pieces]`, their upper ends.
      cell: int64 `[pieces]`, the cell that each belongs to.
    """

    marginal: Marginal
    low: np.ndarray
    high: np.ndarray
    cell: np.ndarray

    @classmethod
    def fit(cls, column: ColumnSpec, values: np.ndarray, max_cells: int = MAX_CELLS) -> Cells:
        """Returns the cells of a column.

        Args:
          column: its spec.
          values: `[n]` in its dtype.
          max_cells: at least 2.
        """
        marginal = Marginal.fit(column, values)
        _, first, knots = np.unique(marginal.value, return_index=True, return_counts=True)
        if (knots < 2).any():  # quantiles: no value has a share of its own
            ends = np.linspace(0.0, 1.0, max_cells + 1)
            return cls(marginal, ends[:-1], ends[1:], np.arange(max_cells))
        low, high = marginal.uniform[first], marginal.uniform[first + knots - 1]
        if len(low) <= max_cells:
            cell = np.arange(len(low))
        elif column.ordered:
            middle = np.floor((low + high) / 2 * max_cells)
            cell = np.unique(middle, return_inverse=True)[1].astype(np.int64)
        else:
            rank = np.argsort(np.argsort(-(high - low), kind="stable"), kind="stable")
            cell = np.minimum(rank, max_cells - 1)
        return cls(marginal, low, high, cell)

    @property
    def column(self) -> ColumnSpec:
        """The column's spec."""
        return self.marginal.column

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.cell.max()) + 1 + (self.column.missing > 0)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Returns int64 `[n]`, each value's cell; -1 for NaN where the fit met none.

        Args:
          values: `[n]`, categories or numbers within the bounds.
        """
        if self.column.categorical:
            return self.cell[self.column.codes(values)]
        absent = self.column.missing_mask(values)
        low, high = self.marginal.intervals(np.where(absent, self.column.minimum, values))
        place = np.searchsorted(self.low, (low + high) / 2, side="right") - 1
        missing = self.size - 1 if self.column.missing else -1
        return np.where(absent, missing, self.cell[np.maximum(place, 0)])

    def filled(self) -> np.ndarray:
        """Returns bool `[size]`, which cells have a value in them; all if none has."""
        filled = np.zeros(self.size, bool)
        filled[self.cell[self._there()]] = True
        return filled if filled.any() else ~filled

    def decode(
        self,
        codes: np.ndarray,
        uniform: np.ndarray,
        condition: Condition | None = None,
        there: bool = False,
    ) -> np.ndarray:
        """Draws a value within each cell.

        Args:
          codes: int64 `[n]`, cells, of `shares` above 0 where there is a condition.
          uniform: float64 `[n]` in [0, 1).
          condition: on the column.
          there: whether none may be missing; `codes` are then cells that are `filled`.

        Returns:
          `[n]` in the column's dtype.
        """
        low, high, cell = self._pieces(condition)
        if there and self._there().any():
            low, high, cell = (part[self._there()] for part in (low, high, cell))
        place = np.zeros(len(codes))
        for one in np.unique(codes):
            mine, drawn = cell == one, codes == one
            if mine.any():
                place[drawn] = stretch(uniform[drawn], low[mine], high[mine])
        values = self.marginal.values(place)
        if condition is not None and not self.column.categorical:
            return condition.clip(values)
        if self.column.missing:
            values[codes == self.size - 1] = np.nan
        return values

    def shares(self, condition: Condition) -> np.ndarray:
        """Returns float64 `[size]`, the share of each cell that meets a condition on the column.

        Raises:
          DataError: no value of the fit meets it.
        """
        low, high, cell = self._pieces(condition)
        whole = np.bincount(self.cell, self.high - self.low, minlength=self.size)
        # A single number between quantiles has no width, and is possible all the same.
        part = np.bincount(cell, np.maximum(high - low, 1e-12), minlength=self.size)
        return np.minimum(part / np.maximum(whole, 1e-12), 1.0)

    def _there(self) -> np.ndarray:
        """bool `[pieces]`: which are of values that are there and were met."""
        there = self.low < self.high
        if self.column.categorical:
            there &= ~self.column.missing_mask(self.column.categories)
        return there

    def _pieces(self, condition: Condition | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pieces, or what a condition leaves of them."""
        if condition is None:
            return self.low, self.high, self.cell
        allowed_low, allowed_high = self.marginal.allowed(condition)
        low = np.maximum(self.low[:, None], allowed_low)
        high = np.minimum(self.high[:, None], allowed_high)
        point = (allowed_low == allowed_high) & (low == high)
        piece, interval = np.nonzero((low < high) | point)
        return low[piece, interval], high[piece, interval], self.cell[piece]

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of it, for a file."""
        parts = {"low": self.low, "high": self.high, "cell": self.cell}
        return {**parts, **marginals_to_arrays([self.marginal])}

    @classmethod
    def restore(cls, column: ColumnSpec, arrays: Mapping[str, np.ndarray]) -> Cells:
        """The inverse of `arrays`."""
        (marginal,) = marginals_from_arrays([column], arrays)
        return cls(marginal, arrays["low"], arrays["high"], arrays["cell"])
