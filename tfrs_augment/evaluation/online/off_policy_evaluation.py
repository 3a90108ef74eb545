"""What would another policy have earned? Estimates from a log that keeps propensities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.online.off_policy_estimators import evaluate
from tfrs_augment.evaluation.online.off_policy_log import read_log
from tfrs_augment.evaluation.online.off_policy_result import OffPolicy


def off_policy(
    log: Any,
    *,
    target: Any,
    reward: str = "reward",
    propensity: str = "propensity",
    action: str | None = None,
    actions: Sequence[Any] | None = None,
    position: str | None = None,
    unit: str | None = None,
    slate: str | None = None,
    interaction: str = "none",
    predictions: Any = None,
    behaviour: Any = None,
    clip: float | None = None,
    reward_range: tuple[float, float] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    row_id: str | None = None,
) -> OffPolicy:
    """Estimates what a target policy would have earned, from the log of another one.

    A row's weight is the target's chance of what was shown over the log's propensity. Estimators:

    - `ips`: the mean of weight times reward. Unbiased.
    - `snips`: the same over the mean weight. A little biased, mostly of less variance.
    - `clipped_ips`: ips with weights of `clip` at most. Biased towards 0; needs `clip`.
    - `dm`: the mean predicted reward of what the target does. As wrong as the predictions are.
    - `dr`: dm, and the weighted mean of what the predictions miss. Unbiased where the propensities are
      right, whatever the predictions are, if these were not fitted on the same rows.
    - `sndr`: dr with its second part over the mean weight.
    - `switch_dr`: dr that trusts the predictions alone where a weight is above `clip`.

    Args:
      log: a mapping from names to columns of equal length, or a DataFrame: a row an impression.
      target: the target policy's chance of what each row shows, float `[rows]`; or of all actions,
        `[rows, actions]`, which dm and its kin need. Where the chances differ by position, those at the
        row's position.
      reward: the column of rewards, finite, such as clicks.
      propensity: the column of the chance, in (0, 1], with which the log's policy showed this.
      action: the column of what was shown; needed with chances or predictions of all actions.
      actions: all actions, in the order of the columns of `target`, `predictions` and `behaviour`.
      position: the column of the place in a list. Estimates are given for each place too.
      unit: the column of what is independent, such as the user or session. Default: the slate, or the
        row.
      slate: the column of what was shown together. The value is then a mean over slates of the sum of
        their rows' rewards.
      interaction: which rows of a slate the reward of a row depends on. "none": itself; "cascade": the
        rows at and before its position; "all". The more, the less bias and the more variance.
      predictions: the predicted reward of all actions, float `[rows, actions]`, as from `fit_rewards`.
      behaviour: the log's policy's chance of all actions, `[rows, actions]`, where known: it is then
        checked that the target does nothing that the log's policy never does.
      clip: the bound of the weights of `clipped_ips` and `switch_dr`, above 0. Default: neither.
      reward_range: the least and the largest reward that is possible, for the Bernstein interval.
        Default: those of the log.
      confidence: of the intervals, in (0, 1).
      seed: of the resampling.
      row_id: a column whose values must be distinct, to catch rows that were joined twice.

    Returns:
      The estimates with intervals, how far the weights can be trusted, a verdict against what was
      logged, and a table, JSON values and a plot of these. The Bernstein interval takes it that no
      weight can be above the largest in the log (or `clip`).

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a column is absent.
      DataError: a propensity or a chance is none, a row shows an unknown action, the target does what
        the log's policy never does, or nothing that was logged.

    Example:
      >>> import numpy as np
      >>> rng = np.random.default_rng(0)
      >>> shown = rng.integers(4, size=20_000)
      >>> log = {"item": shown, "propensity": np.full(20_000, 0.25),
      ...        "reward": rng.random(20_000) < 0.1 * (1 + shown)}
      >>> target = np.tile([0.1, 0.2, 0.3, 0.4], (20_000, 1))  # earns 0.3
      >>> found = off_policy(log, target=target, action="item", actions=range(4))
      >>> round(found.estimate("ips").value, 2), found.verdict.split(":")[0]
      (0.3, 'helps')

    Reference:
      Horvitz and Thompson, JASA 1952 (ips); Swaminathan and Joachims, The Self-Normalized Estimator,
      NeurIPS 2015 (snips, and the mean weight as a check); Dudik, Langford and Li, Doubly Robust Policy
      Evaluation and Learning, ICML 2011 (dm, dr); Wang, Agarwal and Dudik, ICML 2017, section 4 (switch);
      Li et al., KDD 2018 (slates, "none"); McInerney et al., KDD 2020 (slates, "cascade"); Maurer and
      Pontil, COLT 2009, theorem 4 (Bernstein interval).
    """
    if not 0 < confidence < 1:
        raise InvalidArgumentError(
            f"`confidence` must be in (0, 1). Received: confidence={confidence!r}."
        )
    if clip is not None and not (math.isfinite(clip) and clip > 0):
        raise InvalidArgumentError(f"`clip` must be finite and above 0. Received: clip={clip!r}.")
    reading = read_log(
        log,
        target=target,
        reward=reward,
        propensity=propensity,
        action=action,
        actions=actions,
        position=position,
        unit=unit,
        slate=slate,
        interaction=interaction,
        predictions=predictions,
        behaviour=behaviour,
        row_id=row_id,
    )
    rows = reading.log
    bounds = (float(rows.reward.min()), float(rows.reward.max()))
    if reward_range is not None:
        low, high = reward_range
        if not low <= bounds[0] <= bounds[1] <= high:
            raise InvalidArgumentError(
                f"`reward_range` must hold all rewards, {list(bounds)}. Received: {reward_range!r}."
            )
        bounds = (low, high)
    options = {"clip": clip, "bounds": bounds, "confidence": confidence, "seed": seed}
    places = {}
    if reading.position is not None:
        for place in np.unique(reading.position):
            part = rows.at(reading.position == place)
            if part.weight.any():
                places[place.item()] = evaluate(part, {}, "row", math.nan, **options)
    per = "row" if slate is None else "slate"
    return evaluate(rows, places, per, reading.unseen, **options)
