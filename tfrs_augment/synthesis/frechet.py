"""The Fréchet distance between two sets of vectors, as it is used for generated photos."""

from __future__ import annotations

import numpy as np


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared distance of two normal distributions, fitted to two sets of vectors.

    `|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))` with means m and covariances C.

    Args:
      first: float `[n, dim]`, n at least 2.
      second: float `[m, dim]`, m at least 2.

    Example:
      >>> x = np.random.default_rng(0).normal(size=[1000, 3])
      >>> round(frechet_distance(x, x + [2.0, 0.0, 0.0]), 3)
      4.0

    Reference:
      Dowson and Landau, "The Fréchet distance between multivariate normal distributions", 1982.
    """
    means = [values.mean(0) for values in (first, second)]
    one, two = (np.atleast_2d(np.cov(values, rowvar=False)) for values in (first, second))
    root = _root(one)
    # C1 C2 and C1^(1/2) C2 C1^(1/2), which is symmetric, have the same eigenvalues.
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0.0)).sum()
    apart = np.sum((means[0] - means[1]) ** 2)
    return float(max(apart + np.trace(one) + np.trace(two) - 2.0 * shared, 0.0))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
