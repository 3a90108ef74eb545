"""From trainings to figures and verdicts: the statistics of a report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.measuring.registry import REGISTRY, Measured, Metric, Terms
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import SLICES, Slices
from tfrs_augment.evaluation.statistics import bootstrap, significance
from tfrs_augment.evaluation.statistics.distributions import student_quantile
from tfrs_augment.evaluation.statistics.figures import Figure
from tfrs_augment.evaluation.statistics.significance import Spread
from tfrs_augment.evaluation.statistics.verdicts import NO_ROWS, NO_SPREAD, ONE_SEED, Verdict, judge

Place = tuple[str, str, str]
"""An arm, a slice and a metric."""

ABSENT = Figure(*[math.nan] * 9)
_EMPTY: Terms = (np.zeros(0, np.int64), np.zeros(0))


@dataclasses.dataclass(frozen=True)
class Summary:
    """What the runs of a comparison say.

    Attributes:
      metrics: those that every run has, in the order of `REGISTRY`.
      slices: names, those of items first.
      defined: the slices of each metric, of all arms.
      spreads: by arm, slice and metric, of the paired difference; one column each.
      verdicts: by arm other than the baseline, slice and metric.
    """

    metrics: tuple[Metric, ...]
    slices: tuple[str, ...]
    defined: Mapping[str, tuple[str, ...]]
    spreads: dict[Place, Spread]
    verdicts: dict[str, dict[str, dict[str, Verdict]]]


class Table:
    """All metrics of all slices of all runs, as sums by user.

    Args:
      runs: by arm and seed.
      slices: by seed.

    Raises:
      InvalidArgumentError: an arm lacks a seed, a run has other rows than its slices, or the runs have no
        metric in common.
    """

    def __init__(self, runs: Mapping[tuple[str, int], Run], slices: Mapping[int, Slices]):
        self.arms = tuple(dict.fromkeys(arm for arm, _ in runs))
        self.seeds = tuple(slices)
        _check(self.arms, runs, slices)
        names = [name for seed in self.seeds for name in slices[seed].masks]
        self.slices = (
            *(name for name in SLICES if name in names),
            *dict.fromkeys(name for name in names if name not in SLICES),
        )
        found = {
            (seed, arm, name): _values(Measured(runs[arm, seed], slices[seed], name))
            for seed in self.seeds
            for arm in self.arms
            for name in self.slices
        }
        self.metrics = tuple(
            metric
            for metric in REGISTRY.values()
            if all(
                found[seed, arm, "all"][metric.name] is not None
                for seed in self.seeds
                for arm in self.arms
            )
        )
        if not self.metrics:
            raise InvalidArgumentError(
                "`runs` must all have ranks, or all predictions with labels in `slices`. Received: runs "
                "without a metric that all of them have; a ranking model needs `Protocol(label=...)`."
            )
        self.defined = {
            metric.name: tuple(
                name
                for name in self.slices
                if any(
                    found[seed, arm, name][metric.name] is not None
                    for seed in self.seeds
                    for arm in self.arms
                )
            )
            for metric in self.metrics
        }
        self.columns: list[Place] = []
        self.numbers: dict[Place, np.ndarray] = {}
        for arm in self.arms:
            for name in self.slices:
                for metric in self.metrics:
                    if name not in self.defined[metric.name]:
                        continue
                    place = (arm, name, metric.name)
                    if metric.unit == "corpus":
                        each = [found[seed, arm, name][metric.name] for seed in self.seeds]
                        self.numbers[place] = np.array(
                            [math.nan if value is None else value for value in each], np.float64
                        )
                    else:
                        self.columns.append(place)
        self.place = {column: index for index, column in enumerate(self.columns)}
        self.roots = np.array([REGISTRY[m].root for _, _, m in self.columns], bool)
        self.sums = []
        for seed in self.seeds:
            users = np.unique(slices[seed].users)
            terms = [found[seed, arm, name][metric] or _EMPTY for arm, name, metric in self.columns]
            # Users are places in their table: a look-up is many times faster than a search.
            group = np.zeros(users.max(initial=0) + 1, np.int64)
            group[users] = np.arange(len(users))
            grouped = [(group[user], values) for user, values in terms]
            self.sums.append(bootstrap.Sums.of_groups(users, grouped))


def _check(arms, runs: Mapping[tuple[str, int], Run], slices: Mapping[int, Slices]) -> None:
    for seed, one in slices.items():
        for arm in arms:
            if (arm, seed) not in runs:
                raise InvalidArgumentError(
                    f"`runs` must hold every arm with every seed. Received: no {arm!r} with seed {seed}."
                )
            run = runs[arm, seed]
            counts = [len(ranks) for ranks in run.ranks.values()]
            counts += [] if run.predictions is None else [len(run.predictions)]
            if any(count != len(one.users) for count in counts):
                raise InvalidArgumentError(
                    f"`runs` must have the rows of `slices`. Received: {counts} rows of {arm!r} with seed "
                    f"{seed}, and {len(one.users)} in its slices."
                )


def _values(measured: Measured) -> dict[str, Terms | float | None]:
    return {name: metric.compute(measured) for name, metric in REGISTRY.items()}


def summarize(table: Table, baseline: str) -> Summary:
    """Returns spreads and verdicts of every arm against the baseline."""
    others = [column for column in table.columns if column[0] != baseline]
    pairs = np.array([table.place[column] for column in others], np.int64)
    bases = np.array([table.place[(baseline, *column[1:])] for column in others], np.int64)
    spreads: dict[Place, Spread] = {}
    p_values: dict[Place, float] = {}
    if others:
        whole = significance.spread(table.sums, pairs, bases, roots=table.roots)
        p_values.update(zip(others, significance.p_values(whole).tolist()))
        spreads.update((column, whole.take(index)) for index, column in enumerate(others))
    for place, values in table.numbers.items():
        if place[0] != baseline:
            base = table.numbers[(baseline, *place[1:])]
            spreads[place] = significance.spread_of_seeds(values - base)
            p_values[place] = float(significance.p_values(spreads[place])[0])
    verdicts = _judge(table, baseline, spreads, p_values)
    return Summary(table.metrics, table.slices, table.defined, spreads, verdicts)


def figures_of(table: Table, baseline: str) -> dict[str, dict[str, dict[str, Figure]]]:
    """Returns the figure of every arm, slice and metric, with intervals."""
    figures = _additive_figures(table, baseline)
    for place, values in table.numbers.items():
        figures[place] = _catalogue_figure(values, table.numbers[(baseline, *place[1:])])
    nested: dict[str, dict[str, dict[str, Figure]]] = {}
    for arm in table.arms:
        for name in table.slices:
            for metric in table.metrics:
                figure = figures.get((arm, name, metric.name), ABSENT)
                nested.setdefault(arm, {}).setdefault(name, {})[metric.name] = figure
    return nested


def _additive_figures(table: Table, baseline: str) -> dict[Place, Figure]:
    if not table.columns:
        return {}
    means = bootstrap.means(table.sums, roots=table.roots)
    samples = bootstrap.resample(table.sums, roots=table.roots)
    figures = {}
    for (arm, name, metric), index in table.place.items():
        base = table.place[baseline, name, metric]
        figures[arm, name, metric] = _figure(
            means[index], means[base], samples[:, index], samples[:, base]
        )
    return figures


def _figure(mean, base_mean, samples, base_samples) -> Figure:
    difference = samples - base_samples
    positive = base_samples > 0
    # A ratio to a baseline that is nearly always 0 says nothing; the difference does.
    known = base_mean > 0 and positive.mean() > 0.99
    ratio = difference[positive] / base_samples[positive] if known else np.array([])
    return Figure(
        float(mean),
        # No metric is below 0, but two deviations together may be more than it.
        *bootstrap.interval(np.maximum(samples, 0.0)),
        float(mean - base_mean),
        *bootstrap.interval(difference),
        float((mean - base_mean) / base_mean) if known else math.nan,
        *bootstrap.interval(ratio),
    )


def _catalogue_figure(values: np.ndarray, base: np.ndarray) -> Figure:
    """Of one number a seed: Student's t over the seeds, the ratio with the baseline's mean as given."""
    mean, low, high = _student_interval(values)
    difference = _student_interval(values - base)
    level = mean - difference[0]
    relative = [value / level if level > 0 else math.nan for value in difference]
    return Figure(mean, low, high, *difference, *relative)


def _student_interval(values: np.ndarray) -> tuple[float, float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = student_quantile(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def _judge(table, baseline, spreads, p_values) -> dict[str, dict[str, dict[str, Verdict]]]:
    judged: dict[str, dict[str, dict[str, Verdict]]] = {}
    others = [arm for arm in table.arms if arm != baseline]
    for metric in table.metrics:
        places = [(arm, name, metric.name) for arm in others for name in table.slices]
        sign = 1.0 if metric.higher_is_better else -1.0
        gains = [
            sign * float(spreads[place].difference[0]) if place in spreads else math.nan
            for place in places
        ]
        found = judge(gains, [p_values.get(place, math.nan) for place in places])
        for (arm, name, _), verdict in zip(places, found):
            spread = spreads.get((arm, name, metric.name))
            verdict = dataclasses.replace(verdict, reason=_reason(spread))
            judged.setdefault(arm, {}).setdefault(name, {})[metric.name] = verdict
    return judged


def _reason(spread: Spread | None) -> str:
    if spread is None or np.isnan(spread.difference[0]):
        return NO_ROWS
    if spread.seed_degrees[0] < 1:
        return ONE_SEED
    return "" if spread.standard_error[0] > 0 else NO_SPREAD
