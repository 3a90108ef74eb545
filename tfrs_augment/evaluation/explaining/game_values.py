"""A game valued by trainings: its shares, with intervals and verdicts, over seeds and users."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfrs_augment.errors import DataError
from tfrs_augment.evaluation.explaining import games
from tfrs_augment.evaluation.measuring.metrics import Ranks
from tfrs_augment.evaluation.measuring.registry import REGISTRY, Measured, Metric, Terms
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import CORPORA, LIST_LENGTH, Slices
from tfrs_augment.evaluation.statistics import bootstrap, significance
from tfrs_augment.evaluation.statistics.bootstrap import Sums
from tfrs_augment.evaluation.statistics.verdicts import ONE_SEED, Verdict, judge

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.report import Report

MEANS: Mapping[str, Metric] = {
    name: metric for name, metric in REGISTRY.items() if metric.unit != "corpus"
}
"""The metrics that users share in: means over rows or queries, and roots of these."""

_EMPTY: Terms = (np.zeros(0, np.int64), np.zeros(0))


@dataclasses.dataclass(frozen=True)
class Change:
    """A difference of the metric, with the 95 % interval of a paired bootstrap.

    Attributes:
      value: mean over the seeds.
      low: lower end of its interval.
      high: upper end.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Shares:
    """A game shared out among its players.

    Attributes:
      means: float64 `[subsets]`, the values.
      none: the value of no player.
      gain: the value of all players less that of none.
      verdict: of the gain, by itself.
      shares: of each player.
      verdicts: of the shares, corrected for their number.
      alone: of each player, its value alone less that of none; None where it is not valued.
      last: of each player, the value of all less that of the others; None where it is not valued.
    """

    means: np.ndarray
    none: Change
    gain: Change
    verdict: Verdict
    shares: tuple[Change, ...]
    verdicts: tuple[Verdict, ...]
    alone: tuple[Change | None, ...]
    last: tuple[Change | None, ...]


def is_measured(slices: Slices, slice_name: str, metric: str, *, ranking: bool) -> bool:
    """Returns whether trainings will have a metric on a slice: by a run that stands for theirs.

    Args:
      slices: of a split.
      slice_name: one of its slices.
      metric: a name in `REGISTRY`.
      ranking: whether models predict a label, and do not retrieve.
    """
    rows = len(slices.users)
    none = np.zeros(rows, np.int32)
    queries = 0 if slices.queries is None else int(slices.queries.max(initial=-1)) + 1
    stand_in = Run(
        ranks={} if ranking else {corpus: Ranks(none, none) for corpus in CORPORA},
        loss=(),
        validation=(),
        best_epoch=0,
        seconds=0.0,
        lists=None if ranking else np.zeros((queries, LIST_LENGTH), np.int32),
        predictions=np.full(rows, 0.5) if ranking else None,
    )
    return REGISTRY[metric].compute(Measured(stand_in, slices, slice_name)) is not None


def sums_of(report: Report, arms: Sequence[str], slice_name: str, metric: str) -> list[Sums]:
    """Returns the sums by user of each seed, a column an arm.

    A metric that is the root of a mean is made linear: a row counts by what it moves the root (the delta
    method), so that the mean of the rows is the root itself.

    Raises:
      DataError: the report lacks the metric on this slice, or its arms differ in the rows that count.
    """
    if metric not in report.metrics or slice_name not in report.slices_of(metric):
        raise DataError(
            f"`metric` must be one that the trainings have on the slice. Received: {metric!r} on "
            f"{slice_name!r}; there they have {[m for m in report.metrics if m in MEANS]}."
        )
    sums = []
    for seed in report.seeds:
        slices = report.slices[seed]
        known = np.unique(slices.users)
        terms = [
            REGISTRY[metric].compute(Measured(report.runs[arm, seed], slices, slice_name)) or _EMPTY
            for arm in arms
        ]
        if REGISTRY[metric].root:
            terms = [(user, _rooted(values)) for user, values in terms]
        one = Sums.of_groups(
            known, [(np.searchsorted(known, user), values) for user, values in terms]
        )
        if len(one.counts.T) > 1:
            raise DataError(
                "The trainings of an attribution must be measured on the same rows. Received: other rows "
                f"for {metric!r} on {slice_name!r} with other ops."
            )
        sums.append(one)
    return sums


def _rooted(values: np.ndarray) -> np.ndarray:
    mean = values.mean() if len(values) else 0.0
    return np.sqrt(mean) + (values - mean) / (2.0 * np.sqrt(mean)) if mean > 0 else values


def share_out(
    plan: games.Plan,
    sums: Sequence[Sums],
    *,
    higher_is_better: bool = True,
    resamples: int = bootstrap.RESAMPLES,
) -> Shares:
    """Shares out the gain of a game that was measured on users, over seeds.

    Every share is linear in the values, so it is a column of sums by user as a metric is: intervals are of
    the paired bootstrap (`statistics.bootstrap`), verdicts of `statistics.significance`. Where orders of
    the players were sampled, each resample draws these anew as well, a pair of an order and its reverse at a
    time, and verdicts count the spread between pairs: both then hold the chance of the orders too.

    Args:
      plan: which subsets were valued.
      sums: of each seed, a column a subset, in the plan's order, all of the same rows.
      higher_is_better: whether a share above 0 helps.
      resamples: how many.
    """
    n, means = plan.players, bootstrap.means(sums)
    drawn = bootstrap.resample(sums, resamples=resamples)
    spread = _statistics(plan, drawn.T)
    orders = plan.contributions(means)
    if len(orders) > 1:
        spread[2 : 2 + n] = _with_orders(plan.contributions(drawn.T))
    changes = [
        Change(float(value), *bootstrap.interval(samples))
        for value, samples in zip(_statistics(plan, means), spread)
    ]
    p_values = _p_values([_statistics_of(plan, one) for one in sums], orders)
    sign = 1.0 if higher_is_better else -1.0
    gains = [sign * change.value for change in changes[1 : 2 + n]]
    words = [*judge(gains[:1], p_values[:1]), *judge(gains[1:], p_values[1:])]
    if len(sums) == 1:
        words = [dataclasses.replace(word, reason=ONE_SEED) for word in words]
    rest = iter(changes[2 + n :])
    alone, last = (
        tuple(None if find(player) is None else next(rest) for player in range(n))
        for find in (plan.alone, plan.without)
    )
    return Shares(
        means=means,
        none=changes[0],
        gain=changes[1],
        verdict=words[0],
        shares=tuple(changes[2 : 2 + n]),
        verdicts=tuple(words[1:]),
        alone=alone,
        last=last,
    )


def _statistics(plan: games.Plan, values: np.ndarray) -> np.ndarray:
    """What is told of a game: none, the gain, the shares, each alone less none, all less the others.

    All are differences of values before anything else, so that players that change nothing get 0 exactly.

    Args:
      plan: of which subsets the values are.
      values: float `[subsets, ...]`.

    Returns:
      float `[statistics, ...]`; the last two where they are valued.
    """
    players = range(plan.players)
    alone = [values[at] - values[0] for at in map(plan.alone, players) if at is not None]
    last = [values[-1] - values[at] for at in map(plan.without, players) if at is not None]
    shares = plan.contributions(values).mean(axis=0)
    return np.stack([values[0], values[-1] - values[0], *shares, *alone, *last])


def _statistics_of(plan: games.Plan, sums: Sums) -> Sums:
    """Sums by user of the gain and the shares, and a column of zeros to pair them with."""
    totals = _statistics(plan, sums.totals.T)[1 : 2 + plan.players].T
    totals = np.concatenate([totals, np.zeros((len(totals), 1))], axis=1)
    return Sums(totals, sums.counts, np.zeros(totals.shape[1], np.int64), sums.users)


def _with_orders(shares: np.ndarray) -> np.ndarray:
    """Shares whose pairs of orders are drawn anew in each resample.

    Args:
      shares: float `[pairs, players, resamples]`.

    Returns:
      float `[players, resamples]`.
    """
    pairs, _, resamples = shares.shape
    rng = np.random.default_rng(0x5A)
    chosen = rng.multinomial(pairs, np.full(pairs, 1 / pairs), resamples)
    return np.einsum("spr,rs->pr", shares, chosen / pairs)


def _p_values(sums: Sequence[Sums], orders: np.ndarray) -> list[float]:
    """Of the gain and of each share, whose pairs of orders give float `[samples, players]`."""
    columns = np.arange(sums[0].totals.shape[1] - 1)
    spread = significance.spread(sums, columns, np.full(len(columns), len(columns)))
    if len(orders) > 1:
        between = np.concatenate([[0.0], orders.var(axis=0, ddof=1) / len(orders)])
        degrees = np.where(between > 0, len(orders) - 1.0, np.inf)
        spread = dataclasses.replace(
            spread,
            users=spread.users + between,
            user_degrees=np.minimum(spread.user_degrees, degrees),
        )
    return significance.p_values(spread).tolist()
