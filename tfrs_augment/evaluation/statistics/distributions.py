"""Tails and quantiles of the distributions that tests need, in NumPy alone."""

from __future__ import annotations

import math
import statistics

import numpy as np

_TINY = 1e-300
_MOST_TERMS = 20_000
_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])


def normal_tail(z: np.ndarray | float) -> np.ndarray:
    """Returns float64: the chance that a standard normal is above each number.

    Example:
      >>> round(float(normal_tail(1.96)), 4)
      0.025
    """
    return 0.5 * _erfc(np.asarray(z, np.float64) / math.sqrt(2.0))


def normal_quantile(share: float) -> float:
    """Returns the number that a standard normal is below with the chance `share`, in (0, 1).

    Example:
      >>> round(normal_quantile(0.975), 3)
      1.96
    """
    return statistics.NormalDist().inv_cdf(share)


def chi_square_tail(value: float, degrees: int) -> float:
    """Returns the chance that a chi-square of `degrees` degrees of freedom is above `value`.

    It is a finite sum for whole degrees; all terms are positive, so small chances are exact too.

    Args:
      value: 0 or more.
      degrees: integer, 1 or more.

    Example:
      >>> round(chi_square_tail(3.841, 1), 3)
      0.05

    Reference:
      Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.4 and 26.4.5.
    """
    half = value / 2.0
    if half <= 0:
        return 1.0
    start = 0.5 if degrees % 2 else 1.0
    first = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    powers = np.arange(start, degrees / 2.0)
    terms = np.exp(powers * math.log(half) - half - _lgamma(powers + 1.0)) if len(powers) else 0.0
    return float(min(1.0, first + np.sum(terms)))


def student_tail(t: float, degrees: float) -> float:
    """Returns the chance that Student's t is above a number.

    Args:
      t: any number.
      degrees: of freedom, above 0, whole or not.

    Example:
      >>> round(student_tail(2.776, 4), 3)
      0.025
    """
    if math.isinf(t * t):
        return 0.0 if t > 0 else 1.0
    near, far = degrees / (degrees + t * t), t * t / (degrees + t * t)
    tail = 0.5 * _incomplete_beta(degrees / 2.0, 0.5, near, far)
    return tail if t >= 0 else 1.0 - tail


def student_quantile(share: float, degrees: float) -> float:
    """Returns the number that Student's t is below with the chance `share`, in (0, 1).

    Example:
      >>> round(student_quantile(0.975, 4), 3)
      2.776
    """
    if share < 0.5:
        return -student_quantile(1.0 - share, degrees)
    # Right of 0 the tail is convex, and the normal's quantile lies left of the root: Newton's steps
    # go right and never beyond it. With many degrees of freedom it starts next to the root.
    t = normal_quantile(share)
    if degrees > 5:
        t += (t**3 + t) / (4 * degrees)
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    scale -= 0.5 * math.log(degrees * math.pi)
    for _ in range(200):
        density = math.exp(scale - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (student_tail(t, degrees) - (1.0 - share)) / density
        t += step
        if abs(step) <= 1e-12 * max(1.0, abs(t)):
            break
    return t


def binomial_test(count: int, trials: int, share: float) -> float:
    """Returns the exact two-sided p-value of `count` successes in `trials`.

    It is the chance of all counts that are no likelier than the one seen.

    Args:
      count: 0 to `trials`.
      trials: 1 or more.
      share: the chance of a success, in (0, 1).

    Example:
      >>> round(binomial_test(9, 10, 0.5), 4)
      0.0215
    """
    counts = np.arange(trials + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((trials - counts[:-1]) / (counts[:-1] + 1.0)))])
    logs = ways + counts * math.log(share) + (trials - counts) * math.log1p(-share)
    # A tolerance, since equal chances differ by rounding.
    return float(min(1.0, np.exp(logs[logs <= logs[count] + 1e-7]).sum()))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Returns float64 `[n]`: p-values corrected for being n, by Holm's step-down rule.

    Where all hypotheses hold, or any of them do, the chance that a corrected p-value of one that
    holds is at most alpha is at most alpha, whatever their dependence.

    Args:
      p_values: float `[n]`, in [0, 1].

    Example:
      >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
      [0.03, 0.06, 0.06]

    Reference:
      Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics, 1979.
    """
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(scaled)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularized incomplete beta function at `x`; `rest` is 1 - x, known without cancellation."""
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, rest, x)
    if x <= 0.0:
        return 0.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front += a * math.log(x) + b * math.log(rest)
    return math.exp(front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c = 1.0
    d = value = 1.0 / _away(1.0 - (a + b) * x / (a + 1.0))
    for m in range(1, _MOST_TERMS):
        factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / _away(1.0 + factor * d), _away(1.0 + factor / c)
        value *= d * c
        factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / _away(1.0 + factor * d), _away(1.0 + factor / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return value


def _away(value: float) -> float:
    """A number kept away from 0, to divide by."""
    return value if abs(value) > _TINY else _TINY
