"""The paired permutation test of two arms by user, given the models that were trained.

Under the hypothesis that the arms do equally well on every user's rows, but for chance that has no side, a
user's difference is as likely to have the other sign. So all signs are flipped at random, users each by
themselves with all their rows and seeds, and the mean difference seen is held against those of the
flips. It needs no distribution and no variance, and it is exact, but it is about these trainings: their
own chance, which another seed would draw anew, is none to it. Beside a verdict it tells how much of
the doubt is that of the test users.

Reference:
  Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for Information Retrieval
  Evaluation, CIKM 2007, section 3 (there called the randomization test).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.statistics.bootstrap import Sums, joint_places, seed_means

_BLOCK_NUMBERS = 4_000_000
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Permutation:
    """What a permutation test found.

    Attributes:
      difference: the mean difference to the baseline, as in the report's figures.
      p_value: two-sided, in (0, 1], the observed signs counted as one of the flips.
      low: lower end of the 95 % interval: the differences that the test does not reject; -inf with up to
        five users, whose flips are too few to reject any.
      high: upper end of it; inf likewise.
      users: how many users have rows.
    """

    difference: float
    p_value: float
    low: float
    high: float
    users: int


def permute(
    sums: Sequence[Sums],
    column: int,
    base: int,
    *,
    root: bool = False,
    permutations: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Permutation:
    """Tests the paired difference of two columns by flipping its sign user by user.

    Args:
      sums: of each seed.
      column: of the arm; -1 for a metric that is no mean over users.
      base: of the baseline, with the same rows.
      root: whether the metric is the root of its mean; it is then taken as linear near what was seen.
      permutations: how many, 100 or more.
      seed: of the flips.
      confidence: of the interval, in (0, 1).

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> arm, base = np.full(8, 1.0), np.zeros(8)
      >>> one = Sums.of(np.arange(8), [arm, base], [np.ones(8, bool)] * 2)
      >>> permute([one], 0, 1).p_value < 0.05
      True
    """
    if column < 0:
        raise InvalidArgumentError(
            "`metric` must be a mean over rows or queries. Received: one of the whole catalogue, or of "
            "all predictions together, which no user has a part of."
        )
    if permutations < 100:
        raise InvalidArgumentError(
            f"`permutations` must be at least 100. Received: permutations={permutations}."
        )
    if not 0 < confidence < 1:
        raise InvalidArgumentError(
            f"`confidence` must be in (0, 1). Received: confidence={confidence!r}."
        )
    share, weight = _by_user(sums, column, base, root)
    difference = share.sum()
    flipped = _flip(np.stack([share, weight], axis=1), permutations, seed)
    # Sums of equal numbers in other orders differ by rounding.
    slack = 1e-12 * max(np.abs(share).sum(), 1e-300)
    extreme = np.abs(flipped[:, 0]) >= abs(difference) - slack
    p_value = (1.0 + extreme.sum()) / (1.0 + permutations)
    # A flip is as extreme as what was seen for all true differences between two bounds: these are
    # linear in it, and the p-value of a true difference is the share of flips whose bounds hold it.
    sums_flipped, weights_flipped = flipped.T
    left = np.stack([1.0 - weights_flipped, 1.0 + weights_flipped])
    # All signs as seen, or all turned: as extreme for every difference, and 0 but for rounding.
    every = left < _ROUNDING
    bounds = difference + np.stack([-sums_flipped, sums_flipped])
    bounds /= np.where(every, 1.0, left)
    lows = np.where(every, -np.inf, bounds).min(axis=0)
    highs = np.where(every, np.inf, bounds).max(axis=0)
    outside = int(np.floor((1.0 - confidence) * (1.0 + permutations))) - 1
    return Permutation(
        difference=float(difference),
        p_value=float(p_value),
        low=float(np.sort(lows)[max(outside, 0)]),
        high=float(np.sort(highs)[::-1][max(outside, 0)]),
        users=int((weight > 0).sum()),
    )


def _by_user(sums, column, base, root) -> tuple[np.ndarray, np.ndarray]:
    """Each user's part of the mean difference over seeds, and its share of the rows."""
    size, places = joint_places(sums)
    share, weight = np.zeros((2, size))
    means = seed_means(sums)
    present = ~np.isnan(means[:, column])
    for number in np.flatnonzero(present):
        one, at = sums[number], places[number]
        rows = one.counts[:, one.place[column]]
        arm, other = means[number, column], means[number, base]
        # The difference of two roots is that of the means over the sum of the roots.
        roots = np.sqrt(arm) + np.sqrt(other) if root else 1.0
        scale = 1.0 / (roots if roots > 0 else 1.0) / rows.sum() / present.sum()
        share[at] += (one.totals[:, column] - one.totals[:, base]) * scale
        weight[at] += rows / rows.sum() / present.sum()
    return share, weight


def _flip(parts: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Returns float64 `[permutations, columns]`, sums of the parts under random signs."""
    rng = np.random.default_rng([seed, 0xF11B])
    whole = parts.sum(axis=0)
    found = np.empty((permutations, parts.shape[1]))
    block = max(1, _BLOCK_NUMBERS // max(len(parts), 1))
    for start in range(0, permutations, block):
        stop = min(start + block, permutations)
        bits = rng.integers(0, 256, (stop - start, -(-len(parts) // 8)), np.uint8)
        turned = np.unpackbits(bits, axis=1, count=len(parts)).astype(np.float64)
        found[start:stop] = whole - 2.0 * (turned @ parts)
    return found
