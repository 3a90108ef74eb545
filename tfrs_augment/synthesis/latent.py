"""Columns as intervals of standard normal numbers, and the correlation of these."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tfrs_augment.synthesis import gaussian
from tfrs_augment.synthesis.columns import ColumnSpec, Table
from tfrs_augment.synthesis.conditions import Condition
from tfrs_augment.synthesis.marginals import Marginal

_DEGREE = 40
_BISECTIONS = 40
_MAX_CORRELATION = 0.999


@dataclasses.dataclass(frozen=True, eq=False)
class Latent:
    """The normal number behind a column's value, or behind whether its number is missing.

    Attributes:
      column: the column.
      marginal: of the values; None where the number is behind what is missing.
      order: int64 `[k]`, the codes of a categorical column in the order of their intervals, or of
        (there, missing); None where the marginal maps a numeric column.
      ends: float64 `[k + 1]`, the ends of these intervals as shares.
      edge: how near to 0 or 1 the share of a single number may be.
    """

    column: ColumnSpec
    marginal: Marginal | None
    order: np.ndarray | None
    ends: np.ndarray | None
    edge: float

    def known(self, values: np.ndarray) -> np.ndarray:
        """bool `[n]`: where the values tell something of the number."""
        if self.order is not None:
            return np.ones(len(values), bool)
        return ~self.column.missing_mask(values)

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shares that each value lies between, float64 `[n]` each; of unknown ones anything.

        Args:
          values: `[n]` in the column's dtype.
        """
        if self.order is None:
            values = np.where(self.known(values), values, values.dtype.type(self.column.minimum))
            return self._inside(*self.marginal.intervals(values))
        if self.marginal is None:
            codes = self.column.missing_mask(values).astype(np.int64)
        else:
            codes = self.column.codes(values)
        return self._of_codes(codes)

    def allowed(self, condition: Condition) -> tuple[np.ndarray, np.ndarray]:
        """The shares whose values meet a condition on the column, float64 `[m]` each.

        Raises:
          DataError: the condition has no probability.
        """
        if self.marginal is None:  # a condition is on values that are there
            return self.ends[:1], self.ends[1:2]
        low, high = self.marginal.allowed(condition)
        if self.order is None:
            return self._inside(low, high)
        low, high = self._of_codes(condition.codes)
        return low[low < high], high[low < high]

    def values(self, share: np.ndarray) -> np.ndarray:
        """The values, or which are missing, at shares float64 `[n]`."""
        if self.order is None:
            return self.marginal.values(share)
        # A category without a share is not met: its interval is empty.
        inner = np.searchsorted(self.ends[1:-1], share, "right")
        codes = self.order[inner]
        return codes.astype(bool) if self.marginal is None else self.column.decode(codes)

    def _of_codes(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rank = np.argsort(self.order)[codes]
        return self._inside(self.ends[rank], self.ends[rank + 1])

    def _inside(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keeps single numbers off 0 and 1, where the normal number is infinite."""
        inner = np.clip(low, self.edge, 1.0 - self.edge)
        return np.where(low < high, low, inner), np.where(low < high, high, inner)


def latents_of(marginal: Marginal, order: np.ndarray | None, rows: int) -> list[Latent]:
    """The latents of one column: none if it is constant, two if it has missing numbers.

    Args:
      marginal: of the column.
      order: the codes of a categorical column in the order of their intervals; else None.
      rows: how many rows the marginal is of.
    """
    column, edge = marginal.column, 0.5 / rows
    if order is not None:
        shares = marginal.shares()[order]
        if (shares > 0).sum() < 2:
            return []
        ends = np.concatenate([[0.0], np.cumsum(shares)])
        return [Latent(column, marginal, order, ends / ends[-1], edge)]
    latents = [Latent(column, marginal, None, None, edge)]
    if column.missing:
        ends = np.array([0.0, 1.0 - column.missing, 1.0])
        latents.append(Latent(column, None, np.arange(2), ends, edge))
    return latents


def fit_correlation(latents: Sequence[Latent], table: Table) -> np.ndarray:
    """The correlation of the normal numbers behind the columns.

    A cell tells only the interval that its number is in. Its score is the mean of the normal numbers
    of the interval. The correlation of two columns' scores is a known polynomial, never falling, in
    the correlation of their normal numbers: Mehler's expansion of the joint density in Hermite
    polynomials, here up to degree 40. It is solved for the latter.

    Args:
      latents: k latents.
      table: the rows to learn from.

    Returns:
      float64 `[k, k]`, positive definite.

    Reference:
      Kendall and Stuart, "The Advanced Theory of Statistics", volume 2, on polychoric correlation;
      Xiao, "Evaluating correlation coefficient for Nataf transformation", 2014.
    """
    scored = [_scores(latent, table[latent.column.name]) for latent in latents]
    pairs, targets, powers = [], [], []
    for i, j in itertools.combinations(range(len(latents)), 2):
        if latents[i].column is latents[j].column:
            continue  # what a missing number would be is not known
        (score_i, known_i, series_i), (score_j, known_j, series_j) = scored[i], scored[j]
        both = known_i & known_j
        spread = [score[both].std() if both.any() else 0.0 for score in (score_i, score_j)]
        if min(spread) < 1e-12:
            continue
        pairs.append((i, j))
        targets.append(np.corrcoef(score_i[both], score_j[both])[0, 1])
        powers.append(series_i * series_j)
    correlation = np.eye(len(latents))
    if pairs:
        first, second = np.array(pairs).T
        solved = _solve(np.array(powers), np.array(targets))
        correlation[first, second] = correlation[second, first] = solved
    return gaussian.nearest_correlation(correlation)


def _scores(latent: Latent, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scores `[n]`, where they are known, and the series of the score as a function of z.

    The series holds the coefficients of the normalized Hermite polynomials of degree 1 to 40, for a
    score scaled to variance 1. Outside the intervals that hold a share, the score is z itself, which
    has 1 and then zeros.
    """
    low, high = latent.intervals(values)
    known = latent.known(values)
    ends, place = np.unique(np.stack([low, high], 1), axis=0, return_inverse=True)
    z = gaussian.quantile(ends)
    share = ends[:, 1] - ends[:, 0]
    dense = gaussian.density(z)
    drop = dense[:, 0] - dense[:, 1]  # the integral of z over the interval
    score = np.where(share > 0, drop / np.where(share > 0, share, 1.0), z[:, 0])
    used = np.unique(place.ravel()[known])
    atoms = used[share[used] > 0]
    integrals = _integrals(z[atoms], share[atoms])
    degree = np.arange(1, _DEGREE + 1)[:, None]
    moved = np.sqrt(degree + 1) * integrals[2:] + np.sqrt(degree) * integrals[:-2]
    series = (score[atoms] * integrals[1:-1] - moved).sum(1)
    series[0] += 1.0
    # The variance is not the sum of the squares: the series of a step goes on far beyond 40.
    squares = share[atoms] + (z * dense)[atoms, 0] - (z * dense)[atoms, 1]
    series /= np.sqrt(1.0 + (score[atoms] ** 2 * share[atoms] - squares).sum())
    return score[place.ravel()], known, series


def _integrals(z: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The integrals over intervals of normalized Hermite polynomials times the normal density.

    Args:
      z: float64 `[m, 2]`, the intervals' ends.
      share: float64 `[m]`, their probabilities.

    Returns:
      float64 `[42, m]`: of degree 0 to 41.
    """
    before, current = np.zeros_like(z), gaussian.density(z)
    result = [share]
    for degree in range(1, _DEGREE + 2):
        # The derivative of h[k - 1] times the density is -sqrt(k) h[k] times the density.
        result.append((current[:, 0] - current[:, 1]) / np.sqrt(degree))
        after = (z * current - np.sqrt(degree - 1) * before) / np.sqrt(degree)
        before, current = current, after
    return np.stack(result)


def _solve(powers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The roots of rising polynomials: sum over k of powers[:, k] * root ** (k + 1) = target."""
    low = np.full(len(targets), -_MAX_CORRELATION)
    high = -low
    degree = np.arange(1, powers.shape[1] + 1)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = (powers * middle[:, None] ** degree).sum(1) < targets
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)
