"""Paired bootstrap intervals over seeds and users.

The statistic is the mean over seeds of the mean over a seed's test rows. What is resampled, with replacement:
the seeds, each with all of its users; and, for all seeds at once, the users, each with all of its test rows
(rows of one user are not independent). That several seeds agree on the same users says nothing of others, so
a user who is drawn counts in every seed that tests it. A resample is off the mean by what both are off by:
drawing users within the seeds drawn would count what a training does to single users three times and not
twice. Every arm gets the same seeds and users in a resample, so differences between arms are paired row by
row. Intervals are the percentiles of 2,000 resamples.

With one seed an interval holds the chance of the users alone. With two to four it holds that of the seeds
only roughly, and is too narrow where that rules; where it is what trainings do to single users it is too
wide.

Reference:
  Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 1, 2007, section 3, on the triple count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
# Users times resamples that are drawn at a time.
_BLOCK = 1 << 21


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over the rows of each user in one seed.

    Attributes:
      totals: float64 `[users, columns]`, the sum of each metric (of an arm, on a slice).
      counts: float64 `[users, distinct]`, the rows, or queries, that are summed; a column for each set
        of these.
      place: int64 `[columns]`, the column of `counts` of each of `totals`. Default: its own.
      users: int64 `[users]`, distinct ids; equal ids in several seeds are one user. Default: their number.
    """

    totals: np.ndarray
    counts: np.ndarray
    place: np.ndarray | None = None
    users: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.users is None:
            object.__setattr__(self, "users", np.arange(len(self.totals)))
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
        ids, group = np.unique(users, return_inverse=True)
        columns = [(group[mask], v[mask]) for v, mask in zip(values, masks)]
        return cls.of_groups(ids, columns)

    @classmethod
    def of_groups(cls, users: np.ndarray, columns: Sequence[tuple[np.ndarray, np.ndarray]]) -> Sums:
        """Sums columns that have rows, or queries, of their own.

        Args:
          users: int `[users]`, distinct ids.
          columns: of each column, the place in `users` of each row, int `[n]`, and its value, float `[n]`.
        """
        size = len(users)
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
        return cls(totals, np.array(counts).reshape(-1, size).T, place, users)


def joint_places(seeds: Sequence[Sums]) -> tuple[int, list[np.ndarray]]:
    """Returns how many users there are in all seeds, and of each seed the places of its own among them."""
    everyone, place = np.unique(np.concatenate([s.users for s in seeds]), return_inverse=True)
    return len(everyone), np.split(place, np.cumsum([len(s.users) for s in seeds])[:-1])


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
    size, places = joint_places(seeds)
    each = _rooted(seed_means(seeds), roots)
    chosen = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=resamples)
    by_seed = _mean_of_known(each, chosen)
    total, drawn = np.zeros((2, *by_seed.shape))
    step = max(1, _BLOCK // size)
    for at in (slice(start, start + step) for start in range(0, resamples, step)):
        weights = _draw_users(rng, size, len(chosen[at]))
        for sums, place in zip(seeds, places):
            own = weights[:, place]
            counts = (own @ sums.counts)[:, sums.place]
            some = counts > 0
            means = np.divide(own @ sums.totals, counts, where=some, out=np.zeros_like(counts))
            total[at] += _rooted(means, roots)
            drawn[at] += some
    by_user = np.divide(total, drawn, where=drawn > 0, out=np.full_like(total, np.nan))
    return by_seed + (by_user - _mean_of_known(each, np.ones((1, len(seeds)))))


def _mean_of_known(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns float64 `[n, columns]`: means of `[seeds, columns]` by weights `[n, seeds]`, NaN left out."""
    known = ~np.isnan(values)
    total, count = weights @ np.where(known, values, 0.0), weights @ known
    return np.divide(total, count, where=count > 0, out=np.full(total.shape, np.nan))


def _draw_users(rng: np.random.Generator, size: int, resamples: int) -> np.ndarray:
    """Returns float64 `[resamples, size]`, how often each user is drawn in each resample."""
    drawn = rng.integers(size, size=(resamples, size))
    drawn += size * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * size)
    return counts.reshape(resamples, size).astype(np.float64)


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
    return _mean_of_known(_rooted(seed_means(seeds), roots), np.ones((1, len(seeds))))[0]


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
