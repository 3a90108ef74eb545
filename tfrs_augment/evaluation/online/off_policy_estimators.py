"""The estimators of off-policy evaluation, as ratios of sums over what is independent.

Each estimator is one ratio of sums or the sum of two, so that all share one normal interval, by the
pull of each unit on the ratio, and one bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.evaluation.online.off_policy_log import Log
from tfrs_augment.evaluation.online.off_policy_result import (
    Estimate,
    Interval,
    OffPolicy,
    WeightCheck,
)
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.evaluation.statistics.distributions import normal_quantile, normal_tail

# More units are gathered at random in so many groups before they are resampled: groups are as
# independent as units are, and so many tell the spread to 2 %.
_GROUPS = 1000

Parts = Sequence[tuple[np.ndarray, np.ndarray]]
"""An estimator: the sum of ratios, each of the sums of a numerator and a denominator over rows."""


def evaluate(
    log: Log,
    places: Mapping[Any, OffPolicy],
    per: str,
    unseen: float,
    *,
    clip: float | None,
    bounds: tuple[float, float],
    confidence: float,
    seed: int,
) -> OffPolicy:
    """Returns all estimates of some rows; the arguments are those of `OffPolicy` and `off_policy`."""
    found = {"as logged": [(log.reward, log.share)], **_estimators(log, clip)}
    columns = [pair for parts in found.values() for pair in parts]
    units = log.unit.max() + 1
    sums = _sums(columns, log.unit, units)
    samples = bootstrap.resample([_grouped(sums, seed)], seed=seed)
    ratios = bootstrap.means([sums])
    place, estimates, base = 0, {}, None
    alone = units == len(log.reward)
    for name, parts in found.items():
        own = slice(place, place + len(parts))
        place += len(parts)
        value, sample = float(ratios[own].sum()), samples[:, own].sum(axis=1)
        means = sums.counts[:, own].mean(axis=0)
        influence = ((sums.totals[:, own] - ratios[own] * sums.counts[:, own]) / means).sum(axis=1)
        if base is None:
            base = value, influence, sample
        limits = _limits(name, log, clip, bounds) if alone and per == "row" else None
        estimates[name] = Estimate(
            value,
            _normal(value, influence, confidence),
            bootstrap.interval(sample, confidence),
            _bernstein(value, influence, limits, confidence),
            value - base[0],
            _normal(value - base[0], influence - base[1], confidence),
            bootstrap.interval(sample - base[2], confidence),
        )
    logged = estimates.pop("as logged")
    return OffPolicy(
        estimates=estimates,
        logged=logged,
        weight_check=_check_weights(log, clip, unseen),
        weights=log.weight,
        positions=places,
        rows=len(log.reward),
        units=int(units),
        per=per,
        clip=clip,
        confidence=confidence,
    )


def _estimators(log: Log, clip: float | None) -> dict[str, Parts]:
    w, r, share = log.weight, log.reward, log.share
    found: dict[str, Parts] = {"ips": [(w * r, share)], "snips": [(w * r, w * share)]}
    if clip is not None:
        found["clipped_ips"] = [(np.minimum(w, clip) * r, share)]
    if log.expected is not None:
        missed = r - log.predicted
        found["dm"] = [(log.expected, share)]
        found["dr"] = [(log.expected + w * missed, share)]
        found["sndr"] = [(log.expected, share), (w * missed, w * share)]
        if clip is not None:
            kept = np.where(w <= clip, w, 0.0)
            found["switch_dr"] = [(log.expected + kept * missed, share)]
    return found


def _sums(columns: Parts, unit: np.ndarray, units: int) -> bootstrap.Sums:
    """The sums of each unit."""
    totals, counts = (
        np.stack([np.bincount(unit, pair[part], units) for pair in columns], axis=1)
        for part in (0, 1)
    )
    return bootstrap.Sums(totals, counts)


def _grouped(sums: bootstrap.Sums, seed: int) -> bootstrap.Sums:
    """The sums of units, or of groups of them where there are many."""
    units = len(sums.totals)
    if units <= _GROUPS:
        return sums
    group = np.random.default_rng([seed, 0x6409]).permutation(units) % _GROUPS
    parts = (
        np.stack([np.bincount(group, part, _GROUPS) for part in values.T], axis=1)
        for values in (sums.totals, sums.counts)
    )
    return bootstrap.Sums(*parts)


def _normal(value: float, influence: np.ndarray, confidence: float) -> Interval:
    """The interval of a mean of units whose pull on it is known."""
    if len(influence) < 2:
        return math.nan, math.nan
    width = normal_quantile(0.5 + confidence / 2) * influence.std(ddof=1) / len(influence) ** 0.5
    return value - float(width), value + float(width)


def _limits(
    name: str, log: Log, clip: float | None, bounds: tuple[float, float]
) -> tuple[float, float] | None:
    """The least and the largest value of a row, or None where the estimator is no mean of rows."""
    low, high = bounds
    if name == "as logged":
        return bounds
    largest = clip if name in ("clipped_ips", "switch_dr") else float(log.weight.max())
    if name in ("ips", "clipped_ips"):
        return min(0.0, largest * low), max(0.0, largest * high)
    if name in ("dr", "switch_dr"):
        predicted = np.concatenate([log.expected, log.predicted])
        least, most = min(low, float(predicted.min())), max(high, float(predicted.max()))
        return least - largest * (most - low), most + largest * (high - least)
    return None


def _bernstein(
    value: float, influence: np.ndarray, limits: tuple[float, float] | None, confidence: float
) -> Interval:
    """The two-sided empirical Bernstein interval, cut to what is possible."""
    rows = len(influence)
    if limits is None or rows < 2:
        return math.nan, math.nan
    log_term = math.log(4.0 / (1.0 - confidence))
    width = math.sqrt(2.0 * float(influence.var(ddof=1)) * log_term / rows)
    width += 7.0 * (limits[1] - limits[0]) * log_term / (3.0 * (rows - 1))
    return max(limits[0], value - width), min(limits[1], value + width)


def _check_weights(log: Log, clip: float | None, unseen: float) -> WeightCheck:
    w = log.weight
    top = max(1, round(0.01 * len(w)))
    sums = _sums([(w * log.share, log.share)], log.unit, log.unit.max() + 1)
    mean = float(sums.totals.sum() / sums.counts.sum())
    influence = (sums.totals - mean * sums.counts)[:, 0] / sums.counts.mean()
    error = influence.std(ddof=1) / len(influence) ** 0.5 if len(influence) > 1 else math.nan
    # Equal weights of 1 have no chance in them; equal weights of anything else are wrong.
    gap = abs(mean - 1.0)
    if math.isnan(error):
        p_value = 1.0
    elif error <= 1e-12:
        p_value = 1.0 if gap <= 1e-6 else 0.0
    else:
        p_value = float(2.0 * normal_tail(gap / error))
    return WeightCheck(
        mean=mean,
        p_value=p_value,
        effective_rows=float(w.sum() ** 2 / (w @ w)),
        largest=float(w.max()),
        top_share=float(np.partition(w, len(w) - top)[len(w) - top :].sum() / w.sum()),
        zero_share=float((w == 0).mean()),
        cut=0.0 if clip is None else float(np.maximum(w - clip, 0.0).mean()),
        unseen=unseen,
    )
