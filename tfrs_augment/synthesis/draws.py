"""Items drawn for users: each user has a sequence of draws, of which a sample is the beginning."""

from __future__ import annotations

import numpy as np

from tfrs_augment.synthesis import keyed
from tfrs_augment.synthesis.seen import SeenPairs


def ranks(counts: np.ndarray) -> np.ndarray:
    """Returns int64 `[sum of counts]`: 0, 1, ... within each run."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def without_repeats(
    users: np.ndarray, counts: np.ndarray, weights: np.ndarray, seen: SeenPairs, seed: int
) -> np.ndarray:
    """Draws different items for each user, one after the other, in proportion to their weights.

    Args:
      users: int64 `[b]`.
      counts: int64 `[b]`, how many draws, for which enough items are left.
      weights: float32 `[b, items]`, logarithms; -inf for what may not be drawn.
      seen: pairs that may not be drawn.
      seed: of the draws.

    Returns:
      int64 `[sum of counts]`, user by user.
    """
    scores = weights + keyed.gumbel(seed, keyed.keys_of(users), weights.shape[1], "item")
    # Even if all seen pairs come first, enough others are left among so many.
    most = min(int((counts + seen.counts[users]).max()), weights.shape[1])
    top = np.argpartition(-scores, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    unseen = ~seen.contain(np.repeat(users, most), top.ravel()).reshape(top.shape)
    return top[unseen & (np.cumsum(unseen, axis=1) <= counts[:, np.newaxis])]


def with_repeats(
    users: np.ndarray, counts: np.ndarray, weights: np.ndarray, seen: SeenPairs, seed: int
) -> np.ndarray:
    """Draws items for each user independently; arguments and result as of `without_repeats`."""
    if len(seen.hashes):
        weights = np.where(seen.table(users, np.arange(weights.shape[1])), -np.inf, weights)
    share = np.exp(weights.astype(np.float64) - weights.max(axis=1, keepdims=True))
    cumulative = np.cumsum(share, axis=1)
    keys = keyed.keys_of(np.repeat(users, counts), ranks(counts))
    uniform = np.split(keyed.uniform(seed, keys, 1, "item")[:, 0], np.cumsum(counts)[:-1])
    return np.concatenate(
        [
            np.searchsorted(sums, numbers * sums[-1], side="right")
            for sums, numbers in zip(cumulative, uniform)
        ]
    )
