"""Does the policy help? The full table: every arm, five seeds, all slices.

    python benchmarks/recommendation.py --data path/to/ml-100k
    python benchmarks/recommendation.py                         # the simulated shop
    python benchmarks/recommendation.py --data ... --tune       # how the settings were chosen
    python benchmarks/recommendation.py --data path/to/ml-100k --frontier
    python benchmarks/recommendation.py --data path/to/amazon-beauty --fraction 0.1

Resumable: finished trainings are kept in report/recommendation/ of the working directory. Figures: of
the policy's arm against the baseline, Recall@10 in the full catalogue, with 95 % intervals; on Amazon
Beauty the lifts that `_beauty.FIGURES` names, as shares of the baseline.
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
from collections.abc import Iterable, Mapping, Sequence

import _beauty
import _common
import numpy as np
import quickstart

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.datasets.interactions import columns_to_tensors, take_column
from tfrs_augment.evaluation import Arm, Protocol, Report, compare
from tfrs_augment.evaluation.measuring.slices import MAIN_SLICES
from tfrs_augment.evaluation.reporting.report import METRICS
from tfrs_augment.towers import TwoTower, mean_oov

# What --tune compares: dropout of the towers without a policy, and policies by their rates, of which
# the dropout of item ids, the dropout of user ids, and the mask on item features.
DROPOUTS = (0.0, 0.05, 0.1, 0.2, 0.3)
RATES = (
    (0.05, 0.1, 0.0),
    (0.1, 0.0, 0.0),
    (0.1, 0.1, 0.0),
    (0.1, 0.0, 0.1),
    (0.1, 0.1, 0.1),
    (0.1, 0.0, 0.2),
    (0.2, 0.1, 0.0),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="folder with MovieLens 100K or Amazon Beauty")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--first_seed", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="share of the users that train (Beauty alone)"
    )
    parser.add_argument(
        "--arms", type=lambda text: text.split(","), help="names of arms, by commas (default: all)"
    )
    parser.add_argument(
        "--references", action="store_true", help="popularity and EASE too (Beauty alone)"
    )
    parser.add_argument(
        "--frontier",
        action="store_true",
        help="cold against warm items: rates that are uniform or by popularity, two views",
    )
    parser.add_argument(
        "--tune", action="store_true", help="compare settings on development splits"
    )


def main() -> None:
    arguments = _common.parse(__doc__, add=add_arguments)
    if _beauty.is_beauty(arguments.data):
        run_beauty(arguments)
        return
    name = "recommendation" if arguments.data is None else "recommendation_movielens"
    cache = pathlib.Path("report") / "recommendation"
    protocol = Protocol()
    if arguments.quick:
        scenario = quickstart.shop(aug.datasets.simulated_shop("tiny"))
        cache, protocol = None, Protocol(epochs=4)
    else:
        scenario = quickstart.load(arguments.data)
    if arguments.frontier:
        scenario = with_pseudo_cold(scenario)
        arms = frontier_arms(scenario)
        name += "_frontier"
    else:
        arms = tuning_arms(scenario) if arguments.tune else quickstart.make_arms(scenario)
    if arguments.quick and not arguments.tune:
        arms = {arm: arms[arm] for arm in ("baseline", "policy")}
    arms = {arm: arms[arm] for arm in arguments.arms or arms}
    report = compare(
        functools.partial(TwoTower, **scenario.model),
        arms,
        split=scenario.development if arguments.tune else scenario.split,
        seeds=seeds_of(arguments),
        protocol=protocol,
        cache_dir=cache,
    )
    policy = "policy"
    if arguments.tune:
        name += "_tuning"
        policy = policy_name(op.rate for op in scenario.policy.ops)
    if arguments.frontier and not arguments.quick:
        report.plot_frontier(_common.RESULTS / f"{name}.png")
    finish(name, report, policy, write=not arguments.quick)


def seeds_of(arguments: argparse.Namespace) -> range:
    """Returns the seeds to run."""
    count = 1 if arguments.quick else arguments.seeds
    return range(arguments.first_seed, arguments.first_seed + count)


def beauty_arms(fraction: float, quick: bool) -> tuple[str, ...] | None:
    """Returns the arms to train: fewer where a training takes minutes."""
    if quick:
        return _beauty.BASELINE, _beauty.POLICY
    return (_beauty.BASELINE, _beauty.POLICY, _beauty.PRESET) if fraction == 1 else None


def run_beauty(arguments: argparse.Namespace) -> None:
    """Compares the arms on Amazon Beauty, and prints and writes the outcome."""
    quick = arguments.quick
    report = _beauty.run(
        arguments.data,
        fraction=0.03 if quick else arguments.fraction,
        seeds=seeds_of(arguments),
        names=arguments.arms
        or (None if arguments.tune else beauty_arms(arguments.fraction, quick)),
        cache=None if quick else pathlib.Path("report") / "recommendation",
        references=arguments.references,
        tune=arguments.tune,
        protocol=Protocol(epochs=2, optimizer=_beauty.optimizer) if quick else None,
    )
    claimed = [arm for arm in (_beauty.PRESET, _beauty.POLICY) if arm in report.arms]
    finish_report(
        f"recommendation_beauty_{arguments.fraction:g}" + ("_tuning" if arguments.tune else ""),
        report,
        _beauty.figures(report, claimed[0]) if claimed else {},
        slices=_beauty.SLICES,
        write=not quick and arguments.arms is None,
    )


def policy_name(rates: Iterable[float]) -> str:
    """Returns the name of a policy's arm, by its rates in the order of `RATES`."""
    return f"policy {', '.join(f'{rate:g}' for rate in rates)}"


def tuning_arms(scenario: quickstart.Scenario) -> dict[str, Arm]:
    """Returns the candidates, each at the dropout of the scenario but for those named by one."""
    arms = {"baseline": Arm()}
    for dropout in DROPOUTS:
        if dropout != scenario.model["dropout"]:
            arms[f"dropout {dropout:g}"] = Arm(model_options={"dropout": dropout})
    item, user, mask = scenario.policy.ops
    for rates in RATES:
        ops = [dataclasses.replace(op, rate=rate) for op, rate in zip((item, user, mask), rates)]
        policy = dataclasses.replace(scenario.policy, ops=[op for op in ops if op.rate])
        arms[policy_name(rates)] = Arm(policy)
    return arms


def contrast(features: Sequence[str], train: Interactions, weight: float = 0.3) -> list:
    """Returns the loss between two views of the training items by their ids and features."""
    met = np.flatnonzero(np.bincount(train.item_index(), minlength=len(train.items[train.item_id])))
    names = (train.item_id, *features)
    items = columns_to_tensors({name: take_column(train.items[name], met) for name in names})
    return [
        aug.tasks.Contrastive(
            lambda model, columns: model.candidate_model(columns, training=True),
            mask=names,
            items=items,
            weight=weight,
        )
    ]


def with_pseudo_cold(scenario: quickstart.Scenario) -> quickstart.Scenario:
    """Returns the scenario with items that are held out to validate, so that stopping sees new items."""
    options = {**scenario.split_options, "pseudo_cold_share": _beauty.PSEUDO_COLD}
    return dataclasses.replace(scenario, split_options=options)


def frontier_arms(scenario: quickstart.Scenario) -> dict[str, Arm]:
    """Returns arms that trade warm items for cold ones, at the dropout of the scenario."""
    item, user, mask = scenario.policy.ops

    def arm(rate: float | aug.ops.PopularityRate, *others: aug.ops.Op, **options) -> Arm:
        ops = [dataclasses.replace(item, rate=rate), *others]
        return Arm(dataclasses.replace(scenario.policy, ops=ops), **options)

    by_popularity = aug.ops.PopularityRate(scale=10.0, maximum=0.5)
    views = functools.partial(contrast, scenario.model["candidate_features"])
    return {
        "baseline": Arm(),
        "mean-OOV": Arm(after_fit=mean_oov, share="baseline"),
        "policy": Arm(scenario.policy),
        "uniform 0.05": arm(0.05, user),
        "uniform 0.2": arm(0.2, user, mask),
        "by popularity, 10": arm(by_popularity, user),
        "by popularity, 10, mask": arm(by_popularity, user, mask),
        "by popularity, 20": arm(aug.ops.PopularityRate(scale=20.0, maximum=0.9), user),
        "two views": Arm(tasks=views),
        "policy, two views": Arm(scenario.policy, tasks=views),
    }


def finish(name: str, report: Report, policy: str, *, write: bool) -> None:
    """Prints the tables and the figures of a policy, and writes them beside the other results."""
    figures = {}
    for slice_name in ("all", "warm", "tail", "cold"):
        figure = report.figure(policy, slice_name)
        figures[f"{slice_name}_recall_at_10"] = figure.mean
        figures[f"{slice_name}_difference"] = figure.difference
        figures[f"{slice_name}_difference_low"] = figure.difference_low
        figures[f"{slice_name}_difference_high"] = figure.difference_high
    figures["warm_relative"] = report.figure(policy, "warm").relative
    finish_report(name, report, figures, slices=MAIN_SLICES, write=write)


def cells_of(table: str) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the rows of a report's table."""
    header, _, *rows = [
        [cell.rstrip() for cell in line[2:-2].split(" | ")] for line in table.splitlines()
    ]
    return header, rows


def finish_report(
    name: str,
    report: Report,
    figures: Mapping[str, float],
    *,
    slices: Sequence[str],
    write: bool,
) -> None:
    """Prints the tables and the figures, and writes Recall@10 and Recall@50 beside the other results."""
    print("\n\n".join(report.table(metric, slices) for metric in METRICS[1:]), end="\n\n")
    header, rows = cells_of(report.table(slices=slices))
    wider, wider_rows = cells_of(report.table("recall@50", slices))
    _common.finish(
        name,
        figures,
        header=header,
        table=rows,
        more="\n".join(_common.markdown(wider, wider_rows)),
        notes=f"{report.name}, {len(report.seeds)} seeds; {report.settings['split']}.",
        write=write,
    )


if __name__ == "__main__":
    main()
