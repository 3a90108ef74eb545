"""Whether a paired difference of two arms is more than the chance of their trainings and test users.

A difference has two sources of chance. Another seed trains other models: few seeds are run, so how much they
differ is itself known only roughly. Other users would be tested: there are many. Both are random effects,
and crossed, since each seed is tested on the same users (or on others of the same kind).

With `d_s` the difference in seed `s`, `d` their mean over `S` seeds, and `J_su` the share of user `u` in
`d_s` (its rows' sum of `difference - d_s`, by the rows of the seed), the variance of `d` is the sum of

| part | estimate | degrees of freedom |
|---|---|---|
| seeds, with what seeds do to single users | `A = var(d_s) / S` | `S - 1` |
| users | `B = sum_u mean_s(J_su)^2 U / (U - 1) - C`, at least 0 | `2 U / (kurtosis of mean_s(J_su) - 1)` |
| seeds and users together, which both hold | `C = sum_su (J_su - mean_s J_su)^2 / (S (S - 1))` | |

as in two-way clustering, but for `C`, which leaves all of the users' own part in `B` with few seeds
too. Where seeds have disjoint users, as folds do, `B` is 0 and `A` holds all.

The p-value is that of the Behrens-Fisher problem by Fisher's fiducial argument: the chance, over variances
that fit `A` with its degrees of freedom and `B` with its own, that a normal variable of the sum's
variance is beyond `d`. Where the seeds' part rules it is Student's t over seeds, where the users' does it is
Student's t over users, and between its size is at most the nominal one. Satterthwaite's approximation, the
usual one, is too bold at the small levels that a correction for many comparisons asks for: where a few seeds
agree by luck, it takes the rest for well known. They agree often on slices of few hits, whose differences are
counts: two seeds of three hits more have no variance at all. So the sum is never taken for less than half of
what users show without regard to seeds. By simulation that is enough to hold any level with two seeds, while
the whole would throw power away where seeds add nothing.

With one seed the first part is not known, and nothing can be told.

Reference:
  Cameron, Gelbach and Miller, Robust Inference With Multiway Clustering, Journal of Business and Economic
  Statistics 29, 2011, section 2. Robinson, Properties of Student's t and of the Behrens-Fisher Solution
  to the Two Means Problem, Annals of Statistics 4, 1976.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfrs_augment.evaluation.statistics.bootstrap import Sums, joint_places, seed_means
from tfrs_augment.evaluation.statistics.distributions import normal_quantile, normal_tail

# Chances beyond these are not looked for in the distribution of a variance.
_LEFT_OUT = 1e-8
_SEED_NODES, _USER_NODES = 48, 24
# With more users than these that differ, their variance is as good as known.
_MANY = 2000
_BLOCK = 256
_LEAST_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Spread:
    """Paired differences and the parts of their variance, each float64 `[columns]`.

    Attributes:
      difference: the mean over seeds; NaN without rows.
      seeds: A, the variance of that mean between seeds; NaN with one seed.
      users: B, its variance between users beside.
      least: what the sum of both is at least: half of the variance of the mean over users that hold all
        seeds.
      seed_degrees: of freedom of A: seeds with rows, less 1.
      user_degrees: of freedom of B: few where few users differ.
    """

    difference: np.ndarray
    seeds: np.ndarray
    users: np.ndarray
    least: np.ndarray
    seed_degrees: np.ndarray
    user_degrees: np.ndarray

    @property
    def standard_error(self) -> np.ndarray:
        """float64 `[columns]`, of the difference; NaN where it is not known."""
        return np.sqrt(np.maximum(self.seeds + self.users, self.least))

    def take(self, index: int) -> Spread:
        """Returns one column, as a spread of that alone."""
        return Spread(*(getattr(self, f.name)[[index]] for f in dataclasses.fields(self)))


def spread(
    sums: Sequence[Sums],
    columns: np.ndarray,
    bases: np.ndarray,
    *,
    roots: np.ndarray | None = None,
) -> Spread:
    """Returns the parts of the variance of paired differences.

    Args:
      sums: of each seed.
      columns: int `[n]`, the columns of the arms.
      bases: int `[n]`, the columns that they are paired with, with the same rows.
      roots: bool of every column of the sums, whether the metric is the root of its mean.
    """
    roots = np.zeros(sums[0].totals.shape[1], bool) if roots is None else roots
    size, places = joint_places(sums)
    means = seed_means(sums)
    slopes = _slopes(means, roots)
    levels = np.where(roots, np.sqrt(means, where=roots, out=means.copy()), means)
    each = levels[:, columns] - levels[:, bases]
    parts = [
        _block(sums, places, size, means, slopes, each[:, at], columns[at], bases[at])
        for at in (slice(i, i + _BLOCK) for i in range(0, len(columns), _BLOCK))
    ]
    joined = (np.concatenate(part) for part in zip(*parts)) if parts else [np.zeros(0)] * 6
    return Spread(*joined)


def spread_of_seeds(values: np.ndarray) -> Spread:
    """Returns the spread, of one column, of a metric that is one number a seed.

    Args:
      values: float `[seeds]`, the paired differences; NaN are left out.
    """
    values = values[~np.isnan(values)]
    count = len(values)
    mean = values.mean() if count else np.nan
    variance = values.var(ddof=1) / count if count > 1 else np.nan
    none = 0.0 if count > 1 else np.nan
    parts = (mean, variance, none, none, count - 1.0, np.inf)
    return Spread(*(np.array([part]) for part in parts))


def _block(sums, places, size, means, slopes, each, columns, bases):
    known = ~np.isnan(each)
    count = known.sum(axis=0)
    some = np.maximum(count, 1)
    difference = np.where(count > 0, np.where(known, each, 0.0).sum(axis=0) / some, np.nan)
    total, square = np.zeros((2, size, len(columns)))
    for number, (one, place) in enumerate(zip(sums, places)):
        rows = one.counts[:, one.place[columns]]
        whole = rows.sum(axis=0)
        arm, base = (
            (one.totals[:, at] - rows * means[number, at]) * slopes[number, at]
            for at in (columns, bases)
        )
        # Columns without rows in this seed add nothing.
        share = np.where(whole > 0, (arm - base) / np.maximum(whole, 1), 0.0)
        total[place] += share
        square[place] += share**2
    mean = total / some
    with np.errstate(invalid="ignore", divide="ignore"):
        seeds = np.where(known, (each - difference) ** 2, 0.0).sum(axis=0) / (count * (count - 1))
        between = (square - some * mean**2).sum(axis=0)
        cells = np.maximum(between, 0.0) / (count * (count - 1))
        # The users tested in any seed, with rows of the slice or without: those add nothing to any sum.
        squares, fourths = (mean**2).sum(axis=0), (mean**4).sum(axis=0)
        excess = np.divide(size * fourths, squares**2, out=np.ones_like(squares), where=squares > 0)
        degrees = 2.0 * size / np.maximum(excess - 1.0, 1e-3)
        among_users = squares * size / max(size - 1, 1)
        users = np.maximum(among_users - cells, 0.0)
    one_seed = count < 2
    return (
        difference,
        np.where(one_seed, np.nan, seeds),
        np.where(one_seed, np.nan, users),
        np.where(one_seed, np.nan, _LEAST_SHARE * among_users),
        count - 1.0,
        degrees,
    )


def _slopes(means: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """What a root changes by as its mean does: the delta method."""
    slopes = np.ones_like(means)
    some = roots & (means > 0)
    return np.where(some, 0.5 / np.sqrt(np.where(some, means, 1.0)), slopes)


def p_values(found: Spread) -> np.ndarray:
    """Returns float64 `[columns]`, two-sided, of each difference by itself.

    NaN without rows or with one seed; 1 where nothing varies, which says nothing of chance.
    """
    result = np.full(len(found.difference), np.nan)
    known = ~np.isnan(found.difference) & (found.seed_degrees >= 1)
    flat = known & ~(found.standard_error > 0)
    result[flat] = 1.0
    for degrees in np.unique(found.seed_degrees[known & ~flat]):
        here = np.flatnonzero(known & ~flat & (found.seed_degrees == degrees))
        for at in np.array_split(here, -(-len(here) // _BLOCK)):
            result[at] = behrens_fisher(
                found.difference[at],
                found.seeds[at],
                degrees,
                found.users[at],
                found.user_degrees[at],
                least=found.least[at],
            )
    return result


def behrens_fisher(
    difference: np.ndarray,
    first: np.ndarray,
    degrees: float,
    second: np.ndarray,
    second_degrees: np.ndarray,
    *,
    least: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Returns float64 `[n]`: two-sided p-values of differences whose variance is a sum of two estimates.

    Args:
      difference: float `[n]`.
      first: float `[n]`, the first variance, 0 or more.
      degrees: of freedom of the first, 1 or more.
      second: float `[n]`, the second variance, 0 or more.
      second_degrees: float `[n]`, of freedom of the second.
      least: float `[n]`, what the sum is at least; it is as well known as the second.

    Example:
      >>> found = behrens_fisher(np.array([2.776]), np.array([1.0]), 4, np.zeros(1), np.array([99.0]))
      >>> round(float(found[0]), 3)
      0.05
    """
    difference, first, second = (np.asarray(v, np.float64) for v in (difference, first, second))
    scale, weight = _inverse_chi(np.array([float(degrees)]), _SEED_NODES)
    # Fewer than one degree says next to nothing.
    user_degrees = np.clip(np.asarray(second_degrees, np.float64), 1.0, _MANY)
    user_scale, user_weight = _inverse_chi(user_degrees, _USER_NODES)
    variance = first[:, None, None] * scale[:, :, None] + (second[:, None] * user_scale)[:, None]
    floor = np.broadcast_to(np.asarray(least, np.float64), difference.shape)
    variance = np.maximum(variance, (floor[:, None] * user_scale)[:, None])
    tails = 2.0 * normal_tail(np.abs(difference)[:, None, None] / np.sqrt(variance))
    return np.einsum("nij,i,nj->n", tails, weight[0], user_weight)


def bounds(first: np.ndarray, degrees: float, second: float, *, alpha: float) -> np.ndarray:
    """Returns float64 `[n]`: the differences whose p-value is alpha, the second variance being known.

    Args:
      first: float `[n]`, estimates of the first variance.
      degrees: of freedom of these.
      second: the second variance.
      alpha: in (0, 1).
    """
    scale, weight = _inverse_chi(np.array([float(degrees)]), _SEED_NODES)
    error = np.sqrt(first[:, None] * scale + second)
    low, high = np.zeros(len(first)), error.max(axis=1) * normal_quantile(1 - alpha / 4) + 1e-300
    for _ in range(40):
        middle = (low + high) / 2
        beyond = (2.0 * normal_tail(middle[:, None] / error)) @ weight[0] > alpha
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return high


def _inverse_chi(degrees: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns values of `degrees / chi-square`, `[n, nodes]`, and their weights, which sum to 1."""
    half = degrees[:, None] / 2.0
    # In the logarithm of chi-square / degrees the density is smooth and the rule of trapezes exact.
    # The first end rules with few degrees, the second with many.
    low = np.maximum(np.log(_LEFT_OUT) / half - 1.0, -7.5 / np.sqrt(half) - 40.0 / half)
    high = np.log1p(6.0 / np.sqrt(half) + 9.0 / half)
    at = low + (high - low) * np.linspace(0.0, 1.0, nodes)
    logs = half * (at - np.exp(at))
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.exp(-at), weights / weights.sum(axis=1, keepdims=True)
