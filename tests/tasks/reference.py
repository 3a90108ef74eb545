"""The losses once more, in NumPy and in loops, as the papers write them."""

from __future__ import annotations

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def info_nce(first, second, temperature, identity=None) -> float:
    """The mean over rows and both directions."""
    first, second = unit(np.asarray(first, np.float64)), unit(np.asarray(second, np.float64))
    count, total = len(first), 0.0
    identity = np.arange(count) if identity is None else identity
    for one, other in ((first, second), (second, first)):
        for i in range(count):
            terms = [
                np.exp(one[i] @ other[j] / temperature)
                for j in range(count)
                if j == i or identity[j] != identity[i]
            ]
            total -= np.log(np.exp(one[i] @ other[i] / temperature) / np.sum(terms))
    return total / (2 * count)


def sampled_softmax(queries, candidates, query_ids, ids, probabilities=None, temperature=1.0):
    """The sum over queries; candidate `i` is query `i`'s own, others of the same id are left out.

    Args:
      probabilities: the sampling probability of each candidate, or None.
    """
    total = 0.0
    for i, query in enumerate(np.asarray(queries, np.float64)):
        scores = np.asarray(candidates, np.float64) @ query / temperature
        if probabilities is not None:
            scores = scores - np.log(probabilities)
        keep = [j for j in range(len(ids)) if j == i or ids[j] != query_ids[i]]
        total += np.log(np.sum(np.exp(scores[keep]))) - scores[i]
    return total
