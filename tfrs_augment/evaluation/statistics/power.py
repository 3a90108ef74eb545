"""How much data an effect needs, and which effect the data can show.

Two designs. In an A/B test each unit is in one arm, and units are many: the normal distribution
does. In a comparison over seeds each seed trains both arms, and seeds are few: the power is that of
Student's t.
"""

from __future__ import annotations

import math

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.statistics import significance
from tfrs_augment.evaluation.statistics.distributions import (
    normal_quantile,
    normal_tail,
    student_quantile,
)

_MOST_SEEDS = 100_000


def detectable_effect(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Returns the smallest effect that a test finds with the chance `power`.

    Args:
      standard_error: of the difference, 0 or more, in the metric's unit.
      alpha: of the two-sided test, in (0, 1).
      power: in (alpha, 1).

    Returns:
      In the unit of `standard_error`.

    Raises:
      InvalidArgumentError: an argument is out of its range.

    Example:
      >>> round(detectable_effect(1.0), 2)
      2.8
    """
    _check(alpha, power)
    if not standard_error >= 0:
        raise InvalidArgumentError(
            f"`standard_error` must be at least 0. Received: standard_error={standard_error!r}."
        )
    return standard_error * (normal_quantile(1 - alpha / 2) + normal_quantile(power))


def units_needed(
    effect: float,
    *,
    stddev: float,
    share: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Returns how many units both arms of an A/B test need together to find an effect.

    Args:
      effect: the difference to find, not 0, in the metric's unit.
      stddev: of the metric among units, above 0; after CUPED `sqrt(1 - reduction)` times it.
      share: of the units in the treatment, in (0, 1).
      alpha: of the two-sided test.
      power: the chance to find it.

    Raises:
      InvalidArgumentError: an argument is out of its range.

    Example:
      >>> units_needed(0.1, stddev=1.0)
      3140
    """
    _check(alpha, power)
    _check_effect(effect, stddev)
    if not 0 < share < 1:
        raise InvalidArgumentError(f"`share` must be in (0, 1). Received: share={share!r}.")
    ratio = detectable_effect(stddev, alpha=alpha, power=power) / effect
    return math.ceil(ratio**2 * (1 / share + 1 / (1 - share)))


def seeds_needed(
    effect: float,
    *,
    stddev: float,
    users_error: float = 0.0,
    comparisons: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Returns how many seeds a paired comparison needs that its verdict finds an effect.

    Args:
      effect: the mean difference of the arms to find, not 0, in the metric's unit.
      stddev: of the difference among seeds, above 0.
      users_error: the standard error of the difference that comes of the test users, and that no seed
        takes away, 0 or more. Default: 0, for the users tested.
      comparisons: how many differences are judged together: arms times slices. Each is then given its even
        share of alpha, as the first step of Holm's correction does. Default: 1.
      alpha: of the two-sided test, for all comparisons together.
      power: the chance to find it.

    Raises:
      InvalidArgumentError: an argument is out of its range, or 100,000 seeds are too few: the test users
        are, where `users_error` is large.

    Example:
      >>> seeds_needed(1.0, stddev=1.0), seeds_needed(1.0, stddev=1.0, comparisons=12)
      (10, 18)
    """
    _check(alpha, power)
    _check_effect(effect, stddev)
    if not (math.isfinite(users_error) and users_error >= 0):
        raise InvalidArgumentError(
            f"`users_error` must be finite and at least 0. Received: users_error={users_error!r}."
        )
    if not isinstance(comparisons, (int, np.integer)) or comparisons < 1:
        raise InvalidArgumentError(
            f"`comparisons` must be a whole number of 1 or more. Received: comparisons={comparisons!r}."
        )
    level = alpha / comparisons
    if abs(effect) < detectable_effect(users_error, alpha=level, power=power):
        raise InvalidArgumentError(
            "`effect` must be large enough for the test users to show it, with any number of seeds. "
            f"Received: effect={effect!r}, users_error={users_error!r}."
        )

    def found(seeds: int) -> float:
        return paired_power(seeds, effect, stddev=stddev, users_error=users_error, alpha=level)

    low, high = 1, 2
    while found(high) < power:
        low, high = high, 2 * high
        if high > _MOST_SEEDS:
            raise InvalidArgumentError(
                f"`effect` must be large enough to be found with {_MOST_SEEDS:,} seeds. "
                f"Received: effect={effect!r}, stddev={stddev!r}, users_error={users_error!r}."
            )
    while high - low > 1:
        middle = (low + high) // 2
        if found(middle) < power:
            low = middle
        else:
            high = middle
    return high


def paired_power(
    seeds: int, effect: float, *, stddev: float, users_error: float = 0.0, alpha: float = 0.05
) -> float:
    """Returns the chance that a two-sided paired test over seeds finds an effect.

    Without `users_error` the test is Student's t; with it, that of `evaluation.statistics.significance`.

    Args:
      seeds: how many pairs, 2 or more.
      effect: the true mean difference.
      stddev: of the difference among seeds, above 0.
      users_error: the standard error that comes of the test users.
      alpha: of the test.

    Example:
      >>> round(paired_power(10, 1.0, stddev=1.0), 3)
      0.803
    """
    degrees = seeds - 1
    error = stddev / math.sqrt(seeds)
    # Given the sample's standard deviation as a multiple of the true one, the mean is normal: its chance
    # to be beyond the bound is averaged over the chi distribution of that multiple.
    nodes = 200 if users_error else 4000
    spread = 1.0 / math.sqrt(2.0 * degrees)
    low, high = max(0.0, 1.0 - 8.0 * spread), 1.0 + 12.0 * spread
    root = low + (np.arange(nodes) + 0.5) / nodes * (high - low)
    logs = (degrees - 1) * np.log(root) - degrees * root**2 / 2
    weights = np.exp(logs - logs.max())
    if users_error:
        bound = significance.bounds((error * root) ** 2, degrees, users_error**2, alpha=alpha)
    else:
        bound = student_quantile(1 - alpha / 2, degrees) * error * root
    whole = math.hypot(error, users_error)
    found = normal_tail((bound - effect) / whole) + normal_tail((bound + effect) / whole)
    return float(weights @ found / weights.sum())


def _check(alpha: float, power: float) -> None:
    if not 0 < alpha < 1:
        raise InvalidArgumentError(f"`alpha` must be in (0, 1). Received: alpha={alpha!r}.")
    if not alpha < power < 1:
        raise InvalidArgumentError(
            f"`power` must be above alpha and below 1. Received: power={power!r}, alpha={alpha!r}."
        )


def _check_effect(effect: float, stddev: float) -> None:
    if not (math.isfinite(effect) and effect):
        raise InvalidArgumentError(
            f"`effect` must be finite and not 0. Received: effect={effect!r}."
        )
    if not (math.isfinite(stddev) and stddev > 0):
        raise InvalidArgumentError(
            f"`stddev` must be finite and above 0. Received: stddev={stddev!r}."
        )
