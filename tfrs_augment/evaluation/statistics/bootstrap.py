"""Paired bootstrap intervals over seeds and users.

What is resampled: first the seeds, with replacement; then, anew for each seed drawn, its test
users, with replacement, each with all of its test rows (rows of one user are not independent). The
statistic of a resample is the mean over its seeds of the mean over its rows. Every arm gets the
same seeds and users in a resample, so differences between arms are paired row by row. Intervals
are the percentiles of 2,000 resamples.

With one seed an interval holds the chance of the users alone. With two to four it holds that of
the seeds only roughly, and is rather too narrow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over the rows of each user in one seed.

    Attributes:
      totals: float64 `[users, columns]`, the sum of each metric (of an arm, on a slice).
      counts: float64 `[users, distinct]`, the rows, or queries, that are summed; a column for each set
        of these.
      place: int64 `[columns]`, the column of `counts` of each of `totals`. Default: its own.
    """

    totals: np.ndarray
    counts: np.ndarray
    place: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.place is None:
            object.__setattr__(self, "place", np.arange(self.totals.shape[1]))

    @classmethod
    def of(
        cls, users: np.ndarray, values: Sequence[np.ndarray], masks: Sequence[np.ndarray]
    ) -> Sums:
        """Sums each column's values by user, over the rows of its mask.

        Args:
          users: int `[rows]`.
          values: of each column, float `[rows]`.
          masks: of each column, bool `[rows]`.
        """
        _, group = np.unique(users, return_inverse=True)
        columns = [(group[mask], v[mask]) for v, mask in zip(values, masks)]
        return cls.of_groups(group.max() + 1, columns)

    @classmethod
    def of_groups(cls, size: int, columns: Sequence[tuple[np.ndarray, np.ndarray]]) -> Sums:
        """Sums columns that have rows, or queries, of their own.

        Args:
          size: how many users there are.
          columns: of each column, the user of each row, int `[n]` below `size`, and its value, float `[n]`.
        """
        totals = np.empty((size, len(columns)))
        counts: list[np.ndarray] = []
        known: dict[bytes, int] = {}
        place = np.empty(len(columns), np.int64)
        for number, (group, values) in enumerate(columns):
            totals[:, number] = np.bincount(group, values, size)
            rows = np.bincount(group, minlength=size)
            place[number] = known.setdefault(rows.tobytes(), len(counts))
            if place[number] == len(counts):
                counts.append(rows.astype(np.float64))
        return cls(totals, np.array(counts).reshape(-1, size).T, place)


def resample(
    seeds: Sequence[Sums],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    roots: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the means of all columns in each resample of seeds and users.

    Args:
      seeds: the sums of each seed, with equal columns.
      seed: of the resampling itself.
      resamples: how many.
      roots: bool `[columns]`, where the metric of a seed is the root of its mean. Default: nowhere.

    Returns:
      float64 `[resamples, columns]`, NaN where a resample drew no row of a column's slice.
    """
    rng = np.random.default_rng([seed, 0xB007])
    columns = seeds[0].totals.shape[1]
    total = np.zeros((resamples, columns))
    drawn = np.zeros((resamples, columns))
    chosen = rng.integers(len(seeds), size=(resamples, len(seeds)))
    for slot in range(len(seeds)):
        for index, sums in enumerate(seeds):
            here = np.flatnonzero(chosen[:, slot] == index)
            users = len(sums.totals)
            weights = rng.multinomial(users, np.full(users, 1 / users), size=len(here))
            weights = weights.astype(np.float64)
            counts = (weights @ sums.counts)[:, sums.place]
            some = counts > 0
            means = np.divide(weights @ sums.totals, counts, where=some, out=np.zeros_like(counts))
            total[here] += _rooted(means, roots)
            drawn[here] += some
    return np.divide(total, drawn, where=drawn > 0, out=np.full_like(total, np.nan))


def seed_means(seeds: Sequence[Sums]) -> np.ndarray:
    """Returns float64 `[seeds, columns]`: the means over rows, NaN without rows."""
    with np.errstate(invalid="ignore"):
        return np.stack([s.totals.sum(axis=0) / s.counts.sum(axis=0)[s.place] for s in seeds])


def means(seeds: Sequence[Sums], *, roots: np.ndarray | None = None) -> np.ndarray:
    """Returns float64 `[columns]`: the mean over seeds of the mean over rows, NaN without rows.

    Args:
      seeds: the sums of each seed.
      roots: bool `[columns]`, where the metric of a seed is the root of its mean.
    """
    each = _rooted(seed_means(seeds), roots)
    known = ~np.isnan(each)
    total, count = np.where(known, each, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, where=count > 0, out=np.full(len(total), np.nan))


def _rooted(means: np.ndarray, roots: np.ndarray | None) -> np.ndarray:
    if roots is None or not roots.any():
        return means
    return np.where(roots, np.sqrt(np.maximum(means, 0.0)), means)


def interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the percentile interval of resampled values, NaN where none is known.

    Args:
      values: float `[resamples]`; NaN are left out.
      confidence: share of the resamples inside, in (0, 1).
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
