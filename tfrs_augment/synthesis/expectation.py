"""What a generator of pairs draws in expectation: what it is judged by, and set right by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfrs_augment.rank_statistics import spearman
from tfrs_augment.synthesis.pairs import Pairs

LogWeights = Callable[[np.ndarray], np.ndarray]
"""From places of users, int64 `[users]`, to log-weights of all items, float32 `[users, items]`."""

_WATCHED_USERS = 512
_CELLS = 1 << 24
"""Most cells of a table of users and items at once."""


def expected_draws(weights: np.ndarray, seen: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Returns float64 `[users, items]`, how often each pair is expected among as many rows as users have.

    Args:
      weights: float32 `[users, items]`, log-weights.
      seen: bool `[users, items]`, pairs that are not drawn.
      activity: `[users]`, rows of each, or what these are in proportion to.
    """
    allowed = np.where(seen, -np.inf, weights)
    share = np.exp(allowed - allowed.max(axis=1, keepdims=True))
    return activity[:, np.newaxis] * share / share.sum(axis=1, keepdims=True)


def incidence(pairs: Pairs, users: np.ndarray) -> np.ndarray:
    """Returns bool `[users, items]`, the pairs of some users, whose places are sorted."""
    table = np.zeros((len(users), pairs.items), bool)
    place = np.minimum(np.searchsorted(users, pairs.user), len(users) - 1)
    mine = users[place] == pairs.user
    table[place[mine], pairs.item[mine]] = True
    return table


def popularity_shift(
    pairs: Pairs,
    log_weights: LogWeights,
    *,
    user_power: float = 1.0,
    exclude_seen: bool = True,
    seed: int,
    rounds: int = 2,
    step: float = 0.5,
) -> np.ndarray:
    """Returns what to add to each item's log-weight so that its popularity is as in the pairs.

    Where a user's seen pairs are not drawn again, popular items come out too rarely, and sharper weights
    make that worse.

    Args:
      pairs: the pairs.
      log_weights: of the generator.
      user_power: users get rows in proportion to `activity ** user_power`.
      exclude_seen: whether pairs of the data are not drawn.
      seed: of the users that stand for all, where the table of all would be too large.
      rounds: corrections, one after the other.
      step: share of the logarithmic gap that a correction closes.

    Returns:
      float32 `[items]`.
    """
    at_most = max(_CELLS // pairs.items, 1)
    chosen = np.random.default_rng([seed, 0x5417]).permutation(pairs.users)[:at_most]
    users = np.sort(chosen)
    weights, seen = log_weights(users), incidence(pairs, users)
    # Who has everything can only draw it again.
    seen &= exclude_seen & ~seen.all(axis=1, keepdims=True)
    activity, wanted = pairs.activity()[users] ** user_power, pairs.popularity() + 0.5
    shift = np.zeros(pairs.items, np.float32)
    for _ in range(rounds):
        drawn = expected_draws(weights + shift, seen, activity).sum(axis=0) + 0.5
        gap = np.log(wanted / wanted.sum()) - np.log(drawn / drawn.sum())
        shift += np.float32(step) * gap.astype(np.float32)
    return shift


class Watch:
    """What training is stopped by, in expectation over the draws and not by drawing.

    Args:
      learned: pairs that are learned from, which can't be drawn.
      held: held-out pairs.
      log_weights: of the generator in training.
      seed: of the users to watch, where there are more than 512.
    """

    def __init__(self, learned: Pairs, held: Pairs, log_weights: LogWeights, seed: int):
        self._log_weights = log_weights
        known = np.unique(held.user)
        chosen = np.random.default_rng([seed, 0x3A7C]).permutation(known)[:_WATCHED_USERS]
        self._users = np.sort(chosen)
        self._seen = incidence(learned, self._users)
        self._held = incidence(held, self._users) & ~self._seen
        if not self._held.any():  # no pair to spare: those learned from must do
            self._held, self._seen = self._seen, np.zeros_like(self._seen)
        self._activity = learned.activity()[self._users]
        self._popularity = learned.popularity()

    def __call__(self) -> dict[str, float]:
        """Lift over random of held-out pairs, rank correlation of popularity, and their product."""
        weights = self._log_weights(self._users)
        drawn = expected_draws(weights, self._seen, self._activity)
        unseen = (~self._seen).sum(axis=1)
        random = (self._activity * self._held.sum(axis=1) / unseen).sum()
        lift = float((drawn * self._held).sum() / random)
        # NaN where all are alike: that keeps no popularity.
        correlation = float(np.nan_to_num(spearman(drawn.sum(axis=0), self._popularity)))
        return {
            "lift": lift,
            "popularity_correlation": correlation,
            "measure": lift * max(correlation, 0.0),
        }
