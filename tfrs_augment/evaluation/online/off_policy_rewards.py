"""Predicted rewards of actions, for estimators that need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.online.ab_units import labels, numbers
from tfrs_augment.evaluation.online.off_policy_log import find_actions


def fit_rewards(
    log: Any,
    *,
    action: str,
    actions: Sequence[Any],
    reward: str = "reward",
    position: str | None = None,
    unit: str | None = None,
    strength: float = 20.0,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Predicts the reward of every action by its smoothed mean in other rows, for `off_policy`.

    The model is a plain one: an action's mean reward, at a position, drawn towards the mean of the
    position. A row is predicted by the other folds alone, so that `dr` stays unbiased.

    Args:
      log: as of `off_policy`.
      action: the column of what was shown.
      actions: all actions, in the order of the columns returned.
      reward: the column of rewards.
      position: the column of the place in a list.
      unit: the column of what is independent: its rows are in one fold. Default: the row.
      strength: so many rows of the position's mean are added to each action's, above 0.
      folds: how many, 2 or more.
      seed: of the folds.

    Returns:
      float64 `[rows, actions]`.

    Raises:
      InvalidArgumentError: `strength` or `folds` is out of its range.
      UnknownFeatureError: a column is absent.
      DataError: a column holds other things than it must.

    Example:
      >>> log = {"item": [0, 1] * 50, "reward": [0, 1] * 50}
      >>> fit_rewards(log, action="item", actions=[0, 1], strength=1e-9).round(3)[0].tolist()
      [0.0, 1.0]
    """
    if not strength > 0 or isinstance(folds, bool) or not folds >= 2:
        raise InvalidArgumentError(
            f"`strength` must be above 0 and `folds` at least 2. Received: {strength!r}, {folds!r}."
        )
    shown = labels(log, action)
    count = len(shown)
    shown, rewards = find_actions(shown, actions, action), numbers(log, reward, count)
    place = np.zeros(count, np.int64)
    if position is not None:
        place = np.unique(labels(log, position), return_inverse=True)[1]
    group = np.arange(count)
    if unit is not None:
        group = np.unique(labels(log, unit), return_inverse=True)[1]
    rng = np.random.default_rng([seed, 0xF01D])
    fold = (rng.permutation(group.max() + 1) % folds)[group]
    shape = (place.max() + 1, len(actions))
    cell = place * shape[1] + shown
    found = np.empty((count, len(actions)))
    for index in range(folds):
        own = fold == index
        size = np.bincount(cell[~own], minlength=shape[0] * shape[1]).reshape(shape)
        total = np.bincount(cell[~own], rewards[~own], shape[0] * shape[1]).reshape(shape)
        overall = rewards[~own].mean() if (~own).any() else 0.0
        mean = (total.sum(1) + strength * overall) / (size.sum(1) + strength)
        means = (total + strength * mean[:, None]) / (size + strength)
        found[own] = means[place[own]]
    return found
