"""How alike two columns, and two pairs of columns, are: 1 for equal distributions, 0 for the farthest.

These are the measures of SDMetrics, by their published definitions, so that figures compare. SDMetrics
itself is MIT licensed but needs `copulas`, which is Business Source licensed; nothing here needs either.

Columns are coded: int64 codes of categories, or float64 numbers with NaN where they are missing.
"""

from __future__ import annotations

import math

import numpy as np

from tfrs_augment.drift import aligned_counts, kolmogorov_smirnov

_BINS = 10


def ks_complement(real: np.ndarray, other: np.ndarray) -> float:
    """Returns 1 minus the Kolmogorov-Smirnov statistic of two numeric columns.

    Args:
      real: float64 `[n]`; NaN are left out.
      other: float64 `[m]`.

    Returns:
      In [0, 1]; NaN where a column has no value.

    Example:
      >>> ks_complement(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0]))
      0.5
    """
    real, other = real[~np.isnan(real)], other[~np.isnan(other)]
    if not len(real) or not len(other):
        return math.nan
    return 1.0 - kolmogorov_smirnov(*aligned_counts(real, other))


def tv_complement(real: np.ndarray, other: np.ndarray) -> float:
    """Returns 1 minus the total variation distance of two categorical columns.

    Args:
      real: int64 `[n]`, codes of 0 and more.
      other: int64 `[m]`, codes of the same meaning.

    Example:
      >>> tv_complement(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 2]))
      0.5
    """
    size = max(real.max(), other.max()) + 1
    shares = [np.bincount(part, minlength=size) / len(part) for part in (real, other)]
    return 1.0 - 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Pearson's correlation over the rows where both numbers are known, NaN if one is constant."""
    known = ~(np.isnan(first) | np.isnan(second))
    first, second = first[known], second[known]
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def correlation_similarity(real: float, other: float) -> float:
    """Returns `1 - |real - other| / 2` of two correlations, NaN where the real one is not known.

    An unknown `other`, of a column that is constant, counts as 0: SDMetrics leaves the pair out, which would
    spare a synthesizer that gives one value throughout.
    """
    return 1.0 - abs(real - (0.0 if math.isnan(other) else other)) / 2.0


def pair_codes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns int64 `[n]`, one code a pair of categories.

    Codes are below 2 ** 31, so a pair of them is an exact int64 in every table alike.
    """
    return (first.astype(np.int64) << 31) | second.astype(np.int64)


def contingency_similarity(real: np.ndarray, other: np.ndarray) -> float:
    """Returns 1 minus the total variation distance of two tables of counts.

    Args:
      real: int64 `[n]`, as of `pair_codes`.
      other: int64 `[m]`.
    """
    _, codes = np.unique(np.concatenate([real, other]), return_inverse=True)
    return tv_complement(codes[: len(real)], codes[len(real) :])


def cramers_v(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Cramér's V of two categorical columns, without a correction of its bias.

    Args:
      first: int64 `[n]`, codes.
      second: int64 `[n]`, codes.

    Returns:
      In [0, 1]; NaN where a column has one value.

    Example:
      >>> cramers_v(np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7]))
      1.0
    """
    _, first = np.unique(first, return_inverse=True)
    _, second = np.unique(second, return_inverse=True)
    least = min(first.max(), second.max())
    if least == 0:
        return math.nan
    pairs, counts = np.unique(pair_codes(first, second), return_counts=True)
    rows, columns = np.bincount(first), np.bincount(second)
    expected = rows[pairs >> 31] * columns[pairs & (2**31 - 1)]
    # Chi-squared over the number of rows; empty cells add nothing to this form of it.
    phi_squared = float((counts / expected * counts).sum()) - 1.0
    return min(1.0, math.sqrt(max(phi_squared, 0.0) / least))


def bin_edges(real: np.ndarray) -> np.ndarray:
    """Returns float64 `[9]`, the inner edges of ten bins of equal width over the known numbers."""
    known = real[~np.isnan(real)]
    return np.histogram_bin_edges(known, bins=_BINS)[1:-1]


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns int64 `[n]`: the bin of each number; missing ones are in a bin of their own."""
    return np.where(np.isnan(values), len(edges) + 1, np.digitize(values, edges))
