"""The parts of benchmarks/synthesis.py that are about pairs of users and items."""

from __future__ import annotations

import dataclasses
import functools

import _nearest_gan
import _synthesis_data as tables
import numpy as np

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.evaluation import (
    Arm,
    Protocol,
    Report,
    Split,
    compare,
    fit_weight,
    measure_interactions,
    split,
    with_synthetic,
)
from tfrs_augment.towers import TwoTower

GAN = "InteractionGAN"
RELATIONAL = (GAN, "FactorizationSampler", "PopularitySampler")
QUICK_NAMES = (GAN, "PopularitySampler", "IndependentSampler", "TabularGAN")
# What a look of 50 seconds can afford.
QUICK = {
    "InteractionGAN": {"steps": 60},
    "FactorizationSampler": {"steps": 60},
    "TabularGAN": {"steps": 40, "validate_every": 20},
}


def wanted(arguments, name: str) -> bool:
    """Whether a synthesizer is compared in this run."""
    only = QUICK_NAMES if arguments.quick and arguments.only is None else arguments.only
    return only is None or name in only


HELD_OUT = 7
"""Last rows of each user that part `interactions` holds out, as the protocol of its bars has it."""
EQUAL_USERS = {"user_power": 0.0}
"""There all users get as many rows."""


def without_last(data: Interactions, count: int) -> tuple[Interactions, Interactions]:
    """Returns the rows but the last `count` of each user, and these."""
    user = data.user_index()
    order = np.lexsort((data.rows[data.timestamp], user))
    ends = np.cumsum(np.bincount(user))[user[order]]
    last = np.empty(len(data), bool)
    last[order] = ends - np.arange(len(data)) <= count
    return data.take(~last), data.take(last)


def share_of(data: Interactions, fraction: float) -> Interactions:
    """Returns a random share of the rows."""
    kept = np.random.default_rng(0x5A).permutation(len(data))[: round(fraction * len(data))]
    return data.take(np.sort(kept))


def run_interactions(arguments, data: Interactions):
    """Part `interactions`."""
    rows = 2000 if arguments.quick else 20_000
    whole, heldout = without_last(data, HELD_OUT)
    fractions = (1.0,) if arguments.quick else (0.4, 1.0)
    options = dict.fromkeys(RELATIONAL, EQUAL_USERS)
    if arguments.quick:
        options = {name: QUICK.get(name, {}) | EQUAL_USERS for name in RELATIONAL}
    shown, found = [], {}
    for fraction in fractions:
        train = share_of(whole, fraction)
        made = {
            name: tables.make(name, train, rows, options[name], apart=not arguments.quick)
            for name in RELATIONAL[::-1]
            if wanted(arguments, name) or name == "PopularitySampler"
        }
        columns = {name: one.rows for name, one in made.items()}
        columns["nearest neighbours"] = (
            _nearest_gan.NearestGAN(**({"steps": 30, "epochs": 1} if arguments.quick else {}))
            .fit(train)
            .sample(rows)
        )
        for name, table in columns.items():
            one = measure_interactions(train, table, heldout)
            found[name, fraction] = one
            values = one.values
            low, high = one.intervals["lift"]
            shown.append(
                [
                    f"{fraction:.0%}: {name}",
                    f"{values['lift']:.2f} [{low:.2f}, {high:.2f}]",
                    f"{values['popularity_lift']:.2f}",
                    *(f"{values[v]:.3f}" for v in ("popularity_spearman", "item_coverage")),
                    *(f"{values[v]:.3f}" for v in ("distinct", "seen")),
                    f"{made[name].fit_cpu:.1f}" if name in made else "",
                ]
            )
            print(" | ".join(shown[-1]), flush=True)
    if (GAN, 1.0) not in found:
        return {}, shown
    lift = lambda name, fraction: found[name, fraction].values["lift"]  # noqa: E731
    figures = {
        f"interaction_lift_over_{short}": min(
            lift(GAN, fraction) / lift(name, fraction) for fraction in fractions
        )
        for short, name in (("popularity", "PopularitySampler"), ("nearest", "nearest neighbours"))
    }
    for figure, value in (
        ("popularity_spearman", "popularity_spearman"),
        ("distinct_rate", "distinct"),
    ):
        figures[figure] = min(found[GAN, fraction].values[value] for fraction in fractions)
    return figures, shown


INTERACTION_HEADER = (
    *("rows of", "lift", "lift of popularity, exact", "popularity Spearman", "item coverage"),
    *("distinct", "seen", "fit CPU-s"),
)


def sampled(whole: Split, fraction: float, seed: int) -> Split:
    """The split with a share of its training rows; slices and what was seen stay the whole's."""
    if fraction == 1:
        return whole
    rows = len(whole.train)
    kept = np.random.default_rng([seed, 0x5A]).permutation(rows)[: round(fraction * rows)]
    name = f"{whole.name}, {fraction:g} of the training rows"
    return dataclasses.replace(whole, train=whole.train.take(np.sort(kept)), name=name)


def run_recommender(arguments, data: Interactions, name: str):
    """Part `recommender`: the gate over all seeds, then the test rows, paired."""
    seeds = range(1 if arguments.quick else arguments.seeds)
    protocol = Protocol(epochs=2 if arguments.quick else 30)
    weights = (0.3,) if arguments.quick else (0.1, 0.3, 1.0)
    options = QUICK.get(name, {}) if arguments.quick else {}
    figures, shown = {}, []
    for fraction in (0.4,) if arguments.quick else (0.1, 0.4):
        one = functools.cache(lambda seed, f=fraction: sampled(split(data, seed=seed), f, seed))
        fitted = functools.cache(
            lambda seed, one=one: getattr(aug.synthesis, name)(**options).fit(one(seed).train)
        )

        def synthetic(_, rows, seed, fitted=fitted):
            return fitted(seed).sample(rows, seed=seed)

        gate = fit_weight(TwoTower, one, synthetic, weights=weights, seeds=seeds, protocol=protocol)
        print(f"{fraction:.0%} of the training rows\n{gate.table()}", flush=True)
        trials = {w: gate.trials[f"synthetic {w:g}"].mean for w in weights}
        best = max(trials, key=trials.get)

        def mixed(split, seed, synthetic=synthetic, best=best):
            columns = synthetic(split, round(best * len(split.train)), seed)
            return with_synthetic(split.train, columns)

        arms = {"none": None, f"weight {best:g}": Arm(rows=mixed)}
        report = compare(TwoTower, arms, split=one, seeds=seeds, protocol=protocol)
        print(report.table(), flush=True)
        for slice_name in ("all", "head", "tail", "cold"):
            shown.append(_report_row(f"{fraction:.0%}, {slice_name}", report, best, slice_name))
        figure = report.figure(f"weight {best:g}", "all")
        figures[f"weight_{fraction:g}"] = gate.weight
        # A weight of 0 is the training without synthetic rows, and differs from it by nothing.
        gated = gate.weight > 0
        for end in ("difference", "difference_low", "difference_high"):
            figures[f"gated_{end}_{fraction:g}"] = getattr(figure, end) if gated else 0.0
        shown.append([f"{fraction:.0%}: {gate.verdict}", "", "", ""])
    return figures, shown


RECOMMENDER_HEADER = ("test rows", "none: Recall@10", "best weight, ungated", "difference")


def _report_row(label: str, report: Report, best: float, slice_name: str) -> list[str]:
    base, figure = (report.figure(arm, slice_name) for arm in ("none", f"weight {best:g}"))
    interval = f"[{figure.difference_low:+.4f}, {figure.difference_high:+.4f}]"
    return [
        label,
        f"{base.mean:.4f}",
        f"{figure.mean:.4f} (weight {best:g})",
        f"{figure.difference:+.4f} {interval}",
    ]
