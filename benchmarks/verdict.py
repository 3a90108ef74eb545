"""Are verdicts right? How often nothing is called helpful or harmful, and how often an effect is found.

    python benchmarks/verdict.py                              # simulated comparisons alone
    python benchmarks/verdict.py --data path/to/ml-100k       # and arms that are trained
    python benchmarks/verdict.py --data path/to/ml-100k --fit # where the simulation's spreads come from

Simulated comparisons have a third of the users of MovieLens 100K, with as many rows each, its slices, three
arms beside the baseline and five seeds. The logarithm of a true item's rank is the row's own level, which all
arms share, and chance of four kinds: of the arm's training with a seed, of the arm's way with a user, of
both together, and of each row, as far as trainings on MovieLens showed them (`--fit`). A comparison without
an effect counts as wrong where any arm is called helpful or harmful on any slice in Recall@10. Figures, at a
two-sided alpha of 0.05: `false_positive_rate`, with its count in 200 comparisons; and `power`, the share
of comparisons that find an effect on all items with as many seeds as `seeds_needed` asked for.

Trained arms: a policy of rate 0, a noise of strength 0 and another initialisation, which can't be told from
the baseline, and a policy that gives users the items of others, which is harmful.
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))

import argparse
import dataclasses
import functools
import math

import _common
import numpy as np

from tfrs_augment.evaluation.measuring.metrics import Ranks
from tfrs_augment.evaluation.measuring.slices import CORPORA, Slices
from tfrs_augment.evaluation.reporting.report import Report, Run
from tfrs_augment.evaluation.statistics.power import seeds_needed
from tfrs_augment.evaluation.statistics.verdicts import HELPS, HURTS, UNCLEAR

METRIC = "recall@10"
USERS, ITEMS = 300, 1682
"""A third of the users of MovieLens 100K: the rest would make chance smaller, and comparisons slower."""
SHARES = {"head": 0.40, "tail": 0.45, "cold": 0.15}
"""Of the test rows of MovieLens 100K, 15 % of whose items are cold."""
ARMS, SEEDS = 3, 5
COMPARISONS, POWER_COMPARISONS = 2000, 500
EFFECT = 0.05
"""As a share of the baseline's Recall@10."""


@dataclasses.dataclass(frozen=True)
class Spreads:
    """Standard deviations of the logarithm of a rank between two arms, by kind of chance.

    Attributes:
      seed: of the arm's training with a seed, over all rows.
      user: of the arm's way with a user, over seeds.
      cell: of the arm's training with a seed, for a user.
      row: of a row.
    """

    seed: float
    user: float
    cell: float
    row: float


# What --fit --seeds 3 printed of log(1 + items above): of a re-initialisation against the baseline, and, for
# users, of dropout of item ids, which has a way with users.
FITTED = Spreads(seed=0.050, user=0.090, cell=0.173, row=0.668)
LEVELS = {
    "head": (0.0, 1.6, 2.6, 3.1, 3.6, 4.0, 4.4, 4.8, 5.1, 5.6, 7.1),
    "tail": (0.0, 3.9, 4.5, 5.0, 5.3, 5.6, 5.9, 6.2, 6.5, 6.8, 7.4),
    "cold": (0.7, 5.3, 5.6, 5.9, 6.1, 6.3, 6.4, 6.5, 6.7, 6.8, 7.3),
}
"""Tenths of the same number of the baseline."""


def simulate(
    rng: np.random.Generator,
    *,
    seeds: int,
    arms: int,
    shift: float = 0.0,
    spreads: Spreads = FITTED,
) -> Report:
    """Returns a comparison whose arms differ by chance alone; all but for `shift` of the first one.

    Args:
      rng: draws all.
      seeds: how many are run.
      arms: how many beside the baseline.
      shift: by how much the first arm's logarithms of ranks are lower.
      spreads: the standard deviations of chance between two arms.
    """
    # Test rows by user as in MovieLens: the lower half has 2 to 6, the mean is 10.
    rows_of = np.clip(np.round(np.exp(rng.normal(1.85, 0.95, USERS))), 2, 74).astype(np.int64)
    user = np.repeat(np.arange(USERS), rows_of)
    kinds = rng.choice(len(SHARES), len(user), p=list(SHARES.values()))
    head, tail, cold = (kinds == kind for kind in range(3))
    masks = {
        "all": np.ones(len(user), bool),
        "warm": ~cold,
        "head": head,
        "tail": tail,
        "cold": cold,
    }
    masks |= {f"{name}_corpus": masks[name] for name in ("warm", "head", "tail", "cold")}
    level = np.empty(len(user))
    for kind, name in enumerate(SHARES):
        here = kinds == kind
        at = np.linspace(0, 1, len(LEVELS[name]))
        level[here] = np.interp(rng.random(here.sum()), at, LEVELS[name])
    names = ["baseline", *(f"arm {number}" for number in range(1, arms + 1))]
    # A difference of two arms has the variance of both.
    scale = {field: value / math.sqrt(2) for field, value in dataclasses.asdict(spreads).items()}
    own = {name: rng.normal(0, scale["user"], USERS) for name in names}
    runs = {}
    for name in names:
        for seed in range(seeds):
            found = level + rng.normal(0, scale["seed"]) + own[name][user]
            found += rng.normal(0, scale["cell"], USERS)[user]
            found += rng.normal(0, scale["row"], len(user)) - (shift if name == "arm 1" else 0.0)
            greater = np.clip(np.expm1(found), 0, ITEMS - 1).astype(np.int32)
            ranks = Ranks(greater, np.zeros(len(user), np.int32))
            runs[name, seed] = Run(dict.fromkeys(CORPORA, ranks), (), (), 0, 0.0)
    slices = dict.fromkeys(range(seeds), Slices(masks, user))
    return Report("simulated", "baseline", tuple(range(seeds)), runs, slices, {})


def words(report: Report, metric: str = METRIC) -> dict[tuple[str, str], str]:
    """Returns the verdicts of a report by arm and slice."""
    return {
        (arm, name): by_metric[metric].word
        for arm, by_slice in report.verdicts.items()
        for name, by_metric in by_slice.items()
    }


def false_positives(rng: np.random.Generator, comparisons: int, **options) -> int:
    """Returns how many comparisons without an effect have any verdict but "can't tell"."""
    return sum(
        any(word != UNCLEAR for word in words(simulate(rng, **options)).values())
        for _ in range(comparisons)
    )


def power_of(rng: np.random.Generator, comparisons: int) -> tuple[float, int, float]:
    """Returns the share of comparisons that find an effect, with how many seeds, and its size."""
    # The shift that makes the effect, and the spread to ask with, from many seeds beforehand.
    shift, many = 0.05, 20
    for turn in range(4):
        trial = np.random.default_rng(7)
        pilot = [simulate(trial, seeds=many, arms=1, shift=shift) for _ in range(20)]
        levels = [
            np.mean(
                [report.runs["baseline", seed].values("all", METRIC).mean() for seed in range(many)]
            )
            for report in pilot
        ]
        spreads = [report.spread("arm 1", "all", METRIC) for report in pilot]
        gain, wanted = np.mean([s.difference[0] for s in spreads]), EFFECT * np.mean(levels)
        if turn < 3:
            shift *= wanted / gain
    seed_variance = np.mean([s.seeds[0] * many for s in spreads])
    users_error = math.sqrt(np.mean([s.users[0] for s in spreads]))
    seeds = seeds_needed(
        gain,
        stddev=math.sqrt(seed_variance),
        users_error=users_error,
        comparisons=ARMS * len(pilot[0].slice_names),
    )
    found = sum(
        words(simulate(rng, seeds=seeds, arms=ARMS, shift=shift))["arm 1", "all"] == HELPS
        for _ in range(comparisons)
    )
    return found / comparisons, seeds, gain


def trained(data: str, *, seeds: int, epochs: int, cache: pathlib.Path | None) -> Report:
    """Trains arms of which all but two do nothing to a model; those two do something."""
    import quickstart

    import tfrs_augment as aug
    from tfrs_augment.evaluation import Arm, Protocol, compare
    from tfrs_augment.towers import TwoTower

    scenario = quickstart.load(data)
    rows = scenario.data
    features = (rows.item_id, *scenario.model["candidate_features"])
    number = next(
        name
        for name, column in scenario.data.users.items()
        if getattr(column, "dtype", None) == np.float32
    )

    def policy(*ops) -> aug.AugmentationPolicy:
        return aug.AugmentationPolicy(list(ops), key_features=scenario.policy.key_features, seed=7)

    return compare(
        functools.partial(TwoTower, **scenario.model),
        {
            "baseline": Arm(),
            "rate 0": Arm(policy(aug.ops.IdDropout(rows.item_id, rate=0.0))),
            "strength 0": Arm(policy(aug.ops.GaussianNoise(number, stddev=0.0))),
            "re-initialisation": Arm(initialization=1),
            "id dropout": Arm(policy(aug.ops.IdDropout(rows.item_id, rate=0.1))),
            "shuffled labels": Arm(policy(aug.ops.InBatchSwap(features, rate=1.0))),
        },
        split=scenario.split,
        seeds=range(seeds),
        protocol=Protocol(epochs=epochs, patience=2),
        cache_dir=cache,
    )


def fit(report: Report, arm: str) -> tuple[Spreads, dict[str, tuple[float, ...]]]:
    """Returns the spreads between an arm and the baseline, and the baseline's levels by slice.

    By the method of moments on log(1 + items above) of the test rows on all items, means of users over their
    rows, and of seeds over users.
    """
    seed_means, cells, row_variances, rows_of, levels = [], {}, [], {}, {n: [] for n in SHARES}
    for seed in report.seeds:
        slices = report.slices[seed]
        mask, user = slices.masks["all"], slices.users
        logs = [
            np.log1p(report.runs[name, seed].ranks["full"].greater) for name in ("baseline", arm)
        ]
        for name in SHARES:
            levels[name].append(logs[0][slices.masks[name] & mask])
        difference, user = (logs[1] - logs[0])[mask], user[mask]
        ids, group, count = np.unique(user, return_inverse=True, return_counts=True)
        by_user = np.bincount(group, difference) / count
        seed_means.append(difference.mean())
        within = (difference - by_user[group]) ** 2
        row_variances.append(within.sum() / (len(difference) - len(ids)))
        for one, value, number in zip(ids, by_user - difference.mean(), count):
            cells.setdefault(one, []).append(value)
            rows_of[one] = number
    every = [one for one, values in cells.items() if len(values) == len(report.seeds)]
    table = np.array([cells[one] for one in every])
    number = np.array([rows_of[one] for one in every])
    row = float(np.mean(row_variances))
    # Users with many rows tell of users; the noise of rows in their means is taken away.
    between = table.var(axis=1, ddof=1)
    cell = max(0.0, float(np.average(between - row / number, weights=number)))
    whole = table.mean(axis=1) ** 2 - between / len(report.seeds)
    user = max(0.0, float(np.average(whole, weights=number)))
    seed = np.var(seed_means, ddof=1) - (cell / len(every) + row / number.sum())
    spreads = Spreads(*(math.sqrt(max(0.0, v)) for v in (seed, user, cell, row)))
    tenths = {
        name: tuple(np.round(np.quantile(np.concatenate(v), np.linspace(0, 1, 11)), 1).tolist())
        for name, v in levels.items()
    }
    return spreads, tenths


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data", help="folder with MovieLens 100K, for trained arms too")
        parser.add_argument("--seeds", type=int, default=3, help="of trained arms")
        parser.add_argument("--epochs", type=int, default=8, help="of trained arms")
        parser.add_argument("--fit", action="store_true", help="print the spreads of trained arms")

    arguments = _common.parse(__doc__, add=add)
    cache = None if arguments.quick else pathlib.Path("report") / "verdict"
    if arguments.fit:
        report = trained(
            arguments.data, seeds=arguments.seeds, epochs=arguments.epochs, cache=cache
        )
        for arm in ("re-initialisation", "id dropout"):
            print(arm, *fit(report, arm), sep="\n  ")
        return
    comparisons, others = (60, 20) if arguments.quick else (COMPARISONS, POWER_COMPARISONS)
    wrong = false_positives(np.random.default_rng(1), comparisons, seeds=SEEDS, arms=ARMS)
    power, seeds, effect = power_of(np.random.default_rng(2), others)
    figures = {
        "false_positive_rate": wrong / comparisons,
        "false_positives_in_200": 200 * wrong / comparisons,
        "power": power,
        "power_seeds": seeds,
        "power_effect": effect,
    }
    table = [
        ["no effect", SEEDS, comparisons, wrong],
        [f"Recall@10 {effect:+.4f} on all items", seeds, others, round(power * others)],
    ]
    # With a training that rules, or users that do, the rate must hold too.
    for name, spreads in (
        ("no effect, seeds rule", dataclasses.replace(FITTED, seed=5 * FITTED.seed)),
        ("no effect, users rule", dataclasses.replace(FITTED, user=5 * FITTED.user)),
        ("no effect, rows alone", dataclasses.replace(FITTED, seed=0.0, user=0.0, cell=0.0)),
    ):
        for number in (2, SEEDS):
            options = {"seeds": number, "arms": ARMS, "spreads": spreads}
            count = false_positives(np.random.default_rng(3), comparisons // 4, **options)
            table.append([name, number, comparisons // 4, count])
    if arguments.data:
        report = trained(
            arguments.data, seeds=arguments.seeds, epochs=arguments.epochs, cache=cache
        )
        found = words(report)
        print(report.table(METRIC))
        for arm in report.verdicts:
            said = [found[arm, name] for name in report.slice_names]
            count = sum(word != UNCLEAR for word in said)
            table.append([f"trained: {arm}", arguments.seeds, len(said), count])
        figures["trained_false_verdicts"] = sum(
            word != UNCLEAR
            for (arm, _), word in found.items()
            if arm in ("rate 0", "strength 0", "re-initialisation")
        )
        figures["shuffled_is_harmful"] = float(found["shuffled labels", "all"] == HURTS)
    _common.finish(
        "verdict",
        figures,
        header=["comparison", "seeds", "comparisons", "called helpful or harmful"],
        table=table,
        notes=(
            "Comparisons of three arms with a baseline on nine slices, simulated; a comparison counts where "
            "any arm has a verdict on any slice in Recall@10, that with an effect where it is found on all "
            "items. Of trained arms slices are counted."
        ),
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
