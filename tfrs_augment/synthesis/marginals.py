"""The distribution of one column, as a map between its values and a uniform number in [0, 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from tfrs_augment.errors import DataError
from tfrs_augment.synthesis.columns import ColumnSpec
from tfrs_augment.synthesis.conditions import Condition

_MAX_ATOMS = 256
"""Up to so many different numbers keep their own shares; more become quantiles."""
_MAX_QUANTILES = 1001
_ROWS_A_QUANTILE = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Marginal:
    """A column's quantile function: straight lines between knots; a value's own share is a flat one.

    Numbers with at most 256 different values keep each value's share. Others keep up to 1,001
    quantiles, one for at least five rows. Categories have a share each. Missing numbers of a numeric
    column are apart: `column.missing` is their share, and the quantiles are of the others.

    Attributes:
      column: the column's spec.
      uniform: float64 `[k]`, never falling, from 0 to 1.
      value: float64 `[k]`, never falling: numbers, or codes of categories.
    """

    column: ColumnSpec
    uniform: np.ndarray
    value: np.ndarray

    @classmethod
    def fit(cls, column: ColumnSpec, values: np.ndarray) -> Marginal:
        """Returns the marginal of `[n]` values in the column's dtype."""
        if column.categorical:
            counts = np.bincount(column.codes(values), minlength=len(column.categories))
            return cls(column, *_atoms(np.arange(len(counts)), counts))
        known = values[~column.missing_mask(values)].astype(np.float64)
        distinct, counts = np.unique(known, return_counts=True)
        if len(distinct) <= min(_MAX_ATOMS, len(known) // _ROWS_A_QUANTILE):
            return cls(column, *_atoms(distinct, counts))
        knots = min(_MAX_QUANTILES, max(2, len(known) // _ROWS_A_QUANTILE))
        uniform = np.linspace(0.0, 1.0, knots)
        return cls(column, uniform, np.quantile(known, uniform))

    def shares(self) -> np.ndarray:
        """float64 `[categories]`: the probability of each, of a categorical column."""
        return self.uniform[1::2] - self.uniform[::2]

    def values(self, uniform: np.ndarray) -> np.ndarray:
        """The values at uniform numbers.

        Args:
          uniform: float64 `[n]` in [0, 1).

        Returns:
          `[n]` in the column's dtype, none missing if numeric.
        """
        if self.column.categorical:
            ends = self.uniform[1::2]
            # A category without a share is never drawn, not even by the last number below 1.
            last = np.flatnonzero(self.shares())[-1]
            return self.column.decode(np.minimum(np.searchsorted(ends, uniform, "right"), last))
        return self.column.finish(np.interp(uniform, self.uniform, self.value))

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The uniform numbers that give each value: from low to high, equal where it has no share.

        Args:
          values: `[n]` in the column's dtype, none missing if numeric.

        Returns:
          Two arrays, float64 `[n]`.
        """
        if self.column.categorical:
            codes = self.column.codes(values)
            return self.uniform[2 * codes], self.uniform[2 * codes + 1]
        numbers = values.astype(np.float64)
        return self._below(numbers - self._half()), self._upto(numbers + self._half())

    def allowed(self, condition: Condition) -> tuple[np.ndarray, np.ndarray]:
        """The uniform numbers whose values meet a condition.

        Returns:
          Lower and upper ends, float64 `[m]`, apart and rising; equal ends are a single number.

        Raises:
          DataError: no row of the data was there or near: the probability is zero.
        """
        if condition.codes is not None:
            low, high = self.uniform[2 * condition.codes], self.uniform[2 * condition.codes + 1]
            possible = low < high
        else:
            half = self._half()
            first, last = condition.low.astype(np.float64), condition.high.astype(np.float64)
            low, high = self._below(first - half), self._upto(last + half)
            # A single number between two quantiles has no share but is possible.
            margin = 1e-6 * (self.value[-1] - self.value[0])
            possible = self._below(first - half - margin) < self._upto(last + half + margin)
        if not possible.any():
            raise DataError(
                f"The condition on {self.column.name!r} can't hold: no row that the synthesizer was "
                "fitted on has such a value, so its probability is zero. Ask for values that the "
                "data have."
            )
        return low[possible], np.maximum(low, high)[possible]

    def present(self) -> tuple[np.ndarray, np.ndarray]:
        """As `allowed`, of all values but the missing ones; of all where nothing else has a share."""
        if not self.column.categorical:
            return np.zeros(1), np.ones(1)
        there = ~self.column.missing_mask(self.column.categories) & (self.shares() > 0)
        codes = np.flatnonzero(there) if there.any() else np.flatnonzero(self.shares())
        return self.uniform[2 * codes], self.uniform[2 * codes + 1]

    def draw(
        self, rng: np.random.Generator, n: int, condition: Condition | None = None
    ) -> np.ndarray:
        """Draws values from the distribution, or from the part of it that meets a condition.

        Args:
          rng: where the random numbers come from.
          n: how many.
          condition: on this column.

        Returns:
          `[n]` in the column's dtype.

        Raises:
          DataError: the condition has no probability.
        """
        uniform = rng.random(n)
        if condition is not None:
            values = self.values(stretch(uniform, *self.allowed(condition)))
            return values if self.column.categorical else condition.clip(values)
        values = self.values(uniform)
        if self.column.missing:
            values[rng.random(n) < self.column.missing] = np.nan
        return values

    def _half(self) -> float:
        """Half the distance between neighbours of a rounded column."""
        return 0.0 if self.column.decimals is None else 0.5 * 10.0**-self.column.decimals

    def _below(self, numbers: np.ndarray) -> np.ndarray:
        """The share of values below each number."""
        return self._cumulative(numbers, -1)

    def _upto(self, numbers: np.ndarray) -> np.ndarray:
        """The share of values of at most each number."""
        return self._cumulative(numbers, 1)

    def _cumulative(self, numbers: np.ndarray, side: int) -> np.ndarray:
        at, first, counts = np.unique(self.value, return_index=True, return_counts=True)
        start, end = self.uniform[first], self.uniform[first + counts - 1]
        # Left of each place the share reaches `start`, and from there on it is `end`.
        place = np.repeat(at, 2)
        share = np.stack([start, end], 1).ravel()
        found = np.searchsorted(place, numbers, "left" if side < 0 else "right")
        lower, upper = np.maximum(found - 1, 0), np.minimum(found, len(place) - 1)
        width = place[upper] - place[lower]
        weight = np.where(
            width > 0, (numbers - place[lower]) / np.where(width > 0, width, 1.0), 0.0
        )
        between = share[lower] + np.clip(weight, 0.0, 1.0) * (share[upper] - share[lower])
        return np.where(found == 0, 0.0, np.where(found == len(place), 1.0, between))


def stretch(uniform: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Maps uniform numbers of [0, 1) to intervals, each as likely as it is long.

    Args:
      uniform: float64 `[n]`.
      low: float64 `[m]`, rising.
      high: float64 `[m]`; where all are equal to `low`, each single number is as likely.
    """
    ends = np.cumsum(high - low)
    if ends[-1] == 0.0:
        return low[(uniform * len(low)).astype(np.int64)]
    target = uniform * ends[-1]
    chosen = np.minimum(np.searchsorted(ends, target, "right"), np.flatnonzero(high > low)[-1])
    return np.minimum(high[chosen] - (ends[chosen] - target), high[chosen])


def marginals_to_arrays(marginals: list[Marginal]) -> dict[str, np.ndarray]:
    """The arrays of marginals, for a file."""
    arrays = {}
    for i, marginal in enumerate(marginals):
        arrays[f"marginal/{i}/uniform"] = marginal.uniform
        arrays[f"marginal/{i}/value"] = marginal.value
    return arrays


def marginals_from_arrays(
    columns: Iterable[ColumnSpec], arrays: Mapping[str, np.ndarray]
) -> list[Marginal]:
    """The inverse of `marginals_to_arrays`."""
    return [
        Marginal(column, arrays[f"marginal/{i}/uniform"], arrays[f"marginal/{i}/value"])
        for i, column in enumerate(columns)
    ]


def _atoms(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The knots of values with a share each."""
    ends = np.cumsum(counts) / counts.sum()
    uniform = np.stack([np.concatenate([[0.0], ends[:-1]]), ends], 1).ravel()
    return uniform, np.repeat(values.astype(np.float64), 2)
