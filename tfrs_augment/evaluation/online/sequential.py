"""Tests that may be looked at any number of times, and stopped at any look.

A fixed-horizon test keeps its promise at one look. Who looks every day and stops at the first p-value
below 0.05 is wrong far more often than in 5 % of all tests. The test here is a mixture sequential
probability ratio test with a normal mixture over the effect. Its p-values and intervals hold at all
looks together: the chance that an interval ever leaves out the true difference is at most alpha.

Why this one: it is one closed form that gives both the p-value and the interval; it needs no plan of
looks, as group-sequential bounds do; it needs no bounds on the metric, as empirical-Bernstein
sequences do, and is narrower; and it takes any estimate that is nearly normal, so ratio metrics and
CUPED too. What it costs: at the planned size the interval is about 1.5 times as wide as that of a
test that is looked at once.

The promise is asymptotic: standard errors are estimated, so it starts at `FIRST_LOOK` units in each
arm. Before that no p-value is below 1.

Reference:
  Johari, Koomen, Pekelis and Walsh, Always Valid Inference, Operations Research 2022, section 4 (the
  mixture test); Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory
  and asymptotic confidence sequences, Annals of Statistics 2024, theorem 2.2 (the interval with
  estimated variance) and appendix B.2 (how it is tuned to a sample size).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfrs_augment.errors import InvalidArgumentError

FIRST_LOOK = 100
"""Units in each arm from which on the normal approximation is trusted."""


@dataclasses.dataclass(frozen=True)
class Looks:
    """A test as it stood after each unit.

    Attributes:
      difference: float64 `[..., units]`, treatment less control; NaN where an arm has no unit yet.
      standard_error: float64 `[..., units]`, of the difference; NaN where an arm has less than two.
      half_width: float64 `[..., units]`: the interval is `difference` plus and minus this; infinite
        before `FIRST_LOOK`.
      p_value: float64 `[..., units]`, the smallest so far: once it is below alpha, it stays there.
    """

    difference: np.ndarray
    standard_error: np.ndarray
    half_width: np.ndarray
    p_value: np.ndarray


def half_width(
    standard_error: np.ndarray | float, units: np.ndarray | int, planned_units: int, *, alpha=0.05
) -> np.ndarray:
    """Returns float64: how far the interval of a look reaches to either side of the difference.

    With `r` for the mixture's variance over that of the difference, it is
    `standard_error * sqrt((1 + 1 / r) * log((1 + r) / alpha**2))`.

    Args:
      standard_error: of the difference at the look, 0 or more.
      units: in all arms at the look.
      planned_units: in all arms, where the interval is to be narrowest; the same at all looks of a
        test. A wrong guess costs width and no validity: half or twice the units cost 1 %,
        a tenth of them 24 % and ten times 7 %.
      alpha: the chance that any look's interval leaves out the truth, in (0, 1).

    Example:
      >>> round(float(half_width(1.0, 10_000, 10_000)), 2)
      3.04
    """
    ratio = _mixture_ratio(units, planned_units, alpha)
    width = np.sqrt((1.0 + 1.0 / ratio) * np.log((1.0 + ratio) / alpha**2))
    return np.asarray(standard_error, np.float64) * width


def always_valid_p(
    difference: np.ndarray | float,
    standard_error: np.ndarray | float,
    units: np.ndarray | int,
    planned_units: int,
    *,
    alpha: float = 0.05,
) -> np.ndarray:
    """Returns float64: the p-value of a look, at most `alpha` where the interval leaves out 0.

    Args:
      difference: treatment less control at the look.
      standard_error: of the difference, above 0.
      units: in all arms at the look.
      planned_units: as of `half_width`.
      alpha: what the mixture is tuned to; the p-value holds for all levels.

    Example:
      >>> round(float(always_valid_p(3.04, 1.0, 10_000, 10_000)), 2)
      0.05
    """
    ratio = _mixture_ratio(units, planned_units, alpha)
    square = np.square(np.asarray(difference, np.float64) / standard_error)
    logs = 0.5 * np.log1p(ratio) - 0.5 * square * ratio / (1.0 + ratio)
    return np.exp(np.minimum(logs, 0.0))


def look_at_each(
    values: np.ndarray, treated: np.ndarray, *, planned_units: int, alpha: float = 0.05
) -> Looks:
    """Returns a test of two arms as it stood after each unit.

    Args:
      values: float `[..., units]`, each unit's metric, in the order in which units arrived.
      treated: bool, of the same shape: True in the treatment, False in the control.
      planned_units: as of `half_width`.
      alpha: of the intervals.

    Raises:
      InvalidArgumentError: `planned_units` or `alpha` is out of its range, or the shapes differ.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> treated = rng.random(4000) < 0.5
      >>> looks = look_at_each(rng.normal(0.2 * treated), treated, planned_units=4000)
      >>> int(np.argmax(looks.p_value < 0.05))  # the unit at which it could be stopped
      729
    """
    check_plan(planned_units, alpha)
    values, treated = np.asarray(values, np.float64), np.asarray(treated, bool)
    if values.shape != treated.shape:
        raise InvalidArgumentError(
            "`treated` must have the shape of `values`. "
            f"Received: {treated.shape} and {values.shape}."
        )
    centred = values - values.mean(axis=-1, keepdims=True)
    counts, means, errors = [], [], []
    for arm in (treated, ~treated):
        count = np.cumsum(arm, axis=-1)
        total = np.cumsum(np.where(arm, centred, 0.0), axis=-1)
        square = np.cumsum(np.where(arm, centred**2, 0.0), axis=-1)
        mean = np.divide(total, count, where=count > 0, out=np.full(values.shape, np.nan))
        spread = np.maximum(square - count * np.nan_to_num(mean) ** 2, 0.0)
        error = np.divide(
            spread, count * (count - 1.0), where=count > 1, out=np.full(values.shape, np.nan)
        )
        counts.append(count)
        means.append(mean)
        errors.append(error)
    difference = means[0] - means[1]
    standard_error = np.sqrt(errors[0] + errors[1])
    started = (np.minimum(*counts) >= FIRST_LOOK) & (standard_error > 0)
    units = counts[0] + counts[1]
    width = np.where(started, half_width(standard_error, units, planned_units, alpha=alpha), np.inf)
    safe = np.where(started, standard_error, 1.0)
    p_value = always_valid_p(difference, safe, units, planned_units, alpha=alpha)
    p_value = np.minimum.accumulate(np.where(started, p_value, 1.0), axis=-1)
    return Looks(difference, standard_error, width, p_value)


def check_plan(planned_units: int, alpha: float) -> None:
    """Raises InvalidArgumentError where a plan breaks its rules."""
    if not 0 < alpha < 1:
        raise InvalidArgumentError(f"`alpha` must be in (0, 1). Received: alpha={alpha!r}.")
    if isinstance(planned_units, bool) or not planned_units >= 2 * FIRST_LOOK:
        raise InvalidArgumentError(
            f"`planned_units` must be at least {2 * FIRST_LOOK}: the units of all arms that the test "
            f"is planned for, set before the first look. Received: planned_units={planned_units!r}."
        )


def _mixture_ratio(units: np.ndarray | int, planned_units: int, alpha: float) -> np.ndarray:
    """The mixture's variance over that of the difference.

    At the planned size it is the closed form that nearly minimizes the interval there. The least is where
    `r - log(1 + r) = level`. For a high alpha, whose level is near 0, the usual approximation falls below 0
    and a lower bound of the root is nearer (Chatzigeorgiou, Bounds on the Lambert Function, IEEE
    Communications Letters 2013, theorem 1).
    """
    level = -2.0 * math.log(alpha)
    best = max(level + math.log(level) + 1.0, math.sqrt(2.0 * level) + level / 1.5)
    return best * np.asarray(units, np.float64) / planned_units
