"""The normal distribution: its integral, and draws of correlated ones from intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_EDGE = 1e-15
_SWEEPS = 30
_POINT = 1e-9
"""The width that a single number stands for beside intervals: all of them weigh more."""

Interval = tuple[np.ndarray, np.ndarray]
"""Lower and upper ends, float64 `[n, m]` or `[1, m]`: the union of m intervals a row."""


def cdf(z: np.ndarray) -> np.ndarray:
    """The share of a standard normal below each number."""
    return 0.5 * tf.math.erfc(tf.constant(z, tf.float64) * -np.sqrt(0.5)).numpy()


def quantile(uniform: np.ndarray) -> np.ndarray:
    """The inverse of `cdf`, finite at 0 and 1 too."""
    return tf.math.ndtri(tf.constant(np.clip(uniform, _EDGE, 1.0 - _EDGE), tf.float64)).numpy()


def density(z: np.ndarray) -> np.ndarray:
    """The density of a standard normal."""
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2.0 * np.pi)


def truncated(
    rng: np.random.Generator, mean: np.ndarray, stddev: float, interval: Interval
) -> np.ndarray:
    """Draws normal numbers that lie in a union of intervals.

    Args:
      rng: where the random numbers come from.
      mean: float64 `[n]`.
      stddev: positive.
      interval: the union, ends infinite where it is open.

    Returns:
      float64 `[n]`.
    """
    low = (interval[0] - mean[:, None]) / stddev
    high = (interval[1] - mean[:, None]) / stddev
    # An interval right of 0 is mirrored: shares near 0 are exact, those near 1 are not.
    mirrored = low > 0.0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    start = cdf(low)
    share = cdf(high) - start
    weight = np.where(low == high, _POINT * density(low), share)
    # Where all lie so far out that their shares vanish, the one nearest to the mean.
    lost = ~(weight > 0.0).any(1)
    weight[lost] = (high[lost] == high[lost].max(1, keepdims=True)).astype(np.float64)
    ends = np.cumsum(weight, axis=1)
    drawn = rng.random([2, len(mean)])
    chosen = (ends <= (drawn[0] * ends[:, -1])[:, None]).sum(1)
    rows = np.arange(len(mean))
    chosen = np.minimum(chosen, ends.shape[1] - 1)
    low, high, start, share, mirrored = (
        array[rows, chosen] for array in (low, high, start, share, mirrored)
    )
    z = np.clip(quantile(start + drawn[1] * share), low, high)
    return mean + stddev * np.where(mirrored, -z, z)


def correlated(
    rng: np.random.Generator,
    correlation: np.ndarray,
    intervals: Sequence[Interval],
    n: int,
) -> np.ndarray:
    """Draws correlated standard normal numbers, each of which lies in its intervals.

    One after the other is drawn given those before it, which is exact for one; for more, Gibbs
    sampling (each in turn given all others) makes it exact in the limit.

    Args:
      rng: where the random numbers come from.
      correlation: float64 `[k, k]`, positive definite.
      intervals: k unions of intervals, of n rows or of one that holds for all.
      n: how many rows.

    Returns:
      float64 `[n, k]`.

    Reference:
      Geweke, "Efficient simulation from the multivariate normal and Student-t distributions subject
      to linear constraints", 1991.
    """
    count = len(correlation)
    z = np.zeros([n, count])
    for j in range(count):
        weights = np.linalg.solve(correlation[:j, :j], correlation[:j, j])
        stddev = np.sqrt(max(correlation[j, j] - correlation[j, :j] @ weights, 1e-12))
        z[:, j] = truncated(rng, z[:, :j] @ weights, stddev, intervals[j])
    if count == 1:
        return z
    precision = np.linalg.inv(correlation)
    for _ in range(_SWEEPS):
        for j in range(count):
            rest = z @ precision[:, j] - z[:, j] * precision[j, j]
            stddev = precision[j, j] ** -0.5
            z[:, j] = truncated(rng, -rest / precision[j, j], stddev, intervals[j])
    return z


def conditional(
    rng: np.random.Generator, correlation: np.ndarray, given: Sequence[int], values: np.ndarray
) -> np.ndarray:
    """Draws correlated standard normal numbers of which some are given.

    Args:
      rng: where the random numbers come from.
      correlation: float64 `[d, d]`, positive definite.
      given: places of the given ones.
      values: float64 `[n, len(given)]`.

    Returns:
      float64 `[n, d]`, the given ones among them.
    """
    given = np.asarray(given, np.int64)
    rest = np.setdiff1d(np.arange(len(correlation)), given)
    across = correlation[np.ix_(given, rest)]
    weights = np.linalg.solve(correlation[np.ix_(given, given)], across)
    left = correlation[np.ix_(rest, rest)] - across.T @ weights
    z = np.zeros([len(values), len(correlation)])
    z[:, given] = values
    noise = rng.standard_normal([len(values), len(rest)])
    z[:, rest] = values @ weights + noise @ np.linalg.cholesky(left).T
    return z


def nearest_correlation(matrix: np.ndarray, floor: float = 1e-4) -> np.ndarray:
    """A positive definite correlation matrix near a symmetric one with 1 on its diagonal.

    Eigenvalues below `floor` are raised to it and the diagonal is scaled back to 1.

    Reference:
      Rebonato and Jäckel, "The most general methodology to create a valid correlation matrix", 1999,
      section 3 (spectral decomposition).
    """
    values, vectors = np.linalg.eigh(matrix)
    if not len(values) or values[0] >= floor:
        return matrix
    raised = (vectors * np.maximum(values, floor)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diag(raised))
    return raised * scale[:, None] * scale
