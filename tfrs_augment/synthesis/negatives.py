"""Hard negatives: items that a user might well choose, and most likely would not."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.synthesis import inputs, keyed
from tfrs_augment.synthesis.base import as_integer
from tfrs_augment.synthesis.interactions import BLOCK_USERS, InteractionSynthesizer


def hard_negatives(
    synthesizer: InteractionSynthesizer,
    data: Any,
    *,
    per_user: int = 8,
    positive_quantile: float = 0.5,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws negatives for each user from what a synthesizer holds the user likely to choose.

    An item that the synthesizer finds as likely as those that the user did choose is left out: it may be a
    positive that nobody has seen yet. The line is drawn at a quantile of the user's own items. Of the items
    below it, a user gets `per_user` different ones, drawn in proportion to their probability: the
    likelier, the harder.

    Args:
      synthesizer: fitted.
      data: interactions, as of `read_table`; none of a user's items here is a negative of the user.
      per_user: negatives a user, at least 1.
      positive_quantile: items are left out whose probability is at least this quantile of those of the
        user's items in `data`, in [0, 1]. Lower is safer and easier. Default: 0.5.
      seed: of the draws.

    Returns:
      User ids `[users]`, of those users of `data` that have a negative, and item ids
      `[users, per_user]`. Where fewer items than `per_user` are left to a user, they repeat.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: an id is not the synthesizer's, or no user has a negative.

    Example:
      >>> import tfrs_augment as aug
      >>> shop = aug.datasets.simulated_shop("tiny")
      >>> synthesizer = aug.synthesis.FactorizationSampler(steps=10).fit(shop)
      >>> users, items = aug.synthesis.hard_negatives(synthesizer, shop, per_user=4)
      >>> users.shape, items.shape
      ((200,), (200, 4))

    Reference:
      Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, section 3.2: negatives that are hard, and
      further away than the positive.
    """
    if not isinstance(synthesizer, InteractionSynthesizer):
        raise InvalidArgumentError(
            "`synthesizer` must be one of interactions. Received: a "
            f"{type(synthesizer).__name__}. Fit a FactorizationSampler or an InteractionGAN."
        )
    seed = as_integer("seed", seed)
    if not isinstance(per_user, int) or per_user < 1:
        raise InvalidArgumentError(
            f"`per_user` must be an integer of at least 1. Received: per_user={per_user!r}."
        )
    if not 0.0 <= positive_quantile <= 1.0:
        raise InvalidArgumentError(
            "`positive_quantile` must be in [0, 1]. Received: "
            f"positive_quantile={positive_quantile}."
        )
    user, item = synthesizer.places(inputs.read_table(data, columns=synthesizer.id_columns()))
    known = np.unique(user)
    if not len(known):
        raise DataError("`data` must hold at least one interaction. Received: none.")
    found_users, found_items = [], []
    for users in np.array_split(known, -(-len(known) // BLOCK_USERS)):
        mine = np.isin(user, users)
        row = np.searchsorted(users, user[mine])
        allowed, scores = _candidates(synthesizer, users, row, item[mine], positive_quantile)
        noise = keyed.gumbel(seed, keyed.keys_of(users), scores.shape[1], "negative")
        order = np.argsort(-np.where(allowed, scores + noise, -np.inf), axis=1, kind="stable")
        left = allowed.sum(axis=1)
        # A user with fewer candidates gets them again from the first.
        place = np.arange(per_user) % np.maximum(left, 1)[:, np.newaxis]
        found_users.append(users[left > 0])
        found_items.append(np.take_along_axis(order, place, axis=1)[left > 0])
    chosen, negatives = np.concatenate(found_users), np.concatenate(found_items)
    if not len(chosen):
        raise DataError(
            "No item is left as a negative of any user. Received: "
            f"positive_quantile={positive_quantile}. Raise it."
        )
    return synthesizer.user_ids()[chosen], synthesizer.item_ids()[negatives]


def _candidates(synthesizer, users, row, item, quantile):
    """bool `[users, items]`, which items may be negatives, and the log-probabilities of all."""
    scores = synthesizer.log_weights(users)
    positive = np.zeros(scores.shape, bool)
    positive[row, item] = True
    lines = np.array([np.quantile(s[own], quantile) for s, own in zip(scores, positive)])
    every = np.arange(scores.shape[1])
    seen = synthesizer.seen(np.repeat(users, len(every)), np.tile(every, len(users)))
    allowed = (scores < lines[:, np.newaxis]) & ~positive & ~seen.reshape(scores.shape)
    return allowed, scores
