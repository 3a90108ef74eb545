"""Does the search find a policy, and is it worth its budget? The found policy on test rows, seed by seed.

    python benchmarks/search.py --data path/to/ml-100k --epochs 18
    python benchmarks/search.py --data path/to/amazon-beauty --fraction 0.1 --epochs 24
    python benchmarks/search.py --data path/to/amazon-beauty --fraction 0.1 --epochs 24 --ranks --seeds 2

For each seed the data are split with cold items of their own; the search sees development splits of what the
test leaves and no more. Then arms are trained on the whole training rows and judged on the test rows:

- baseline: no augmentation;
- fixed X: the base policy with all its rates times X; which of these is best is known in hindsight alone;
- random: the first policy that a uniform draw from the space gives, without any search;
- winner: what came out of the rungs;
- found: the winner where its confirmation helps, else no augmentation, as the search says;
- found, any gain: the winner where its gain in the confirmation is above 0, proven or not, else none.

All have the same epochs, batches and early stopping. The search itself costs what `budget_epochs` says, the
fixed grid with one seed what `grid_epochs` says. The objective is NDCG@50, half of warm, half of cold rows.
`--ranks` searches for nothing: it trains all candidates to the end, and says how far their order after fewer
epochs is that of the last, on development rows. Resumable: studies and trainings are kept in report/search/
of the working directory.
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
import statistics
from collections.abc import Callable, Mapping

import _beauty
import _common
import numpy as np
import quickstart

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.datasets.interactions import take_column
from tfrs_augment.evaluation import Arm, Protocol, Report, Split, compare
from tfrs_augment.evaluation.statistics.distributions import student_quantile
from tfrs_augment.rank_statistics import spearman
from tfrs_augment.search import Float, Objective, Schedule, SearchResult, Space, Switch, search
from tfrs_augment.search.study import draw
from tfrs_augment.towers import SequentialTwoTower, TwoTower, mean_oov

BASELINE, RANDOM, WINNER, FOUND = "baseline", "random", "winner", "found"
ANY_GAIN = "found, any gain"
STRENGTHS = (1.0, 2.0, 4.0)
OBJECTIVE = Objective("ndcg@50", {"warm": 1, "cold": 1})
HIGHEST = 0.5
"""The highest rate that a candidate may have."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Data, a model and a base policy to search around.

    Args:
      name: of the result.
      build_model: as of `compare`.
      policy: the base.
      split: from a seed to the split with its test rows.
      development: from a seed, and a number, to a split of what the test leaves.
      protocol: of all trainings.
      baseline: the arm without augmentation.
    """

    name: str
    build_model: Callable
    policy: aug.AugmentationPolicy
    split: Callable[[int], Split]
    development: Callable[[int, int], Split]
    protocol: Protocol
    baseline: Arm = dataclasses.field(default_factory=Arm)


def some_users(data: Interactions, fraction: float) -> Interactions:
    """The rows of a share of the users, drawn, and the items that they have met."""
    if fraction == 1:
        return data
    users = len(data.users[data.user_id])
    kept = np.random.default_rng(0).permutation(users) < fraction * users
    some = data.take(kept[data.user_index()])
    met = np.bincount(some.item_index(), minlength=len(data.items[data.item_id])) > 0
    items = {name: take_column(column, met) for name, column in data.items.items()}
    return dataclasses.replace(some, items=items)


def movielens(folder: str, fraction: float, epochs: int) -> Task:
    """MovieLens as in the quickstart; development splits test cold items by all of their rows too."""
    data = some_users(aug.datasets.movielens_100k(folder), fraction)
    scenario = quickstart.movielens(data)
    return Task(
        name=f"movielens_{fraction:g}",
        build_model=functools.partial(TwoTower, **scenario.model),
        policy=scenario.policy,
        split=functools.cache(scenario.split),
        development=lambda seed, number: aug.evaluation.development_split(
            scenario.split(seed), seed=1000 * (seed + 1) + number, **scenario.split_options
        ),
        protocol=Protocol(epochs=epochs),
    )


def beauty(folder: str, fraction: float, epochs: int) -> Task:
    """Amazon Beauty as in recommendation.py, of which a share of the users trains."""
    data = aug.datasets.amazon_beauty(folder)
    options = {"fraction": fraction, "pseudo_cold_share": _beauty.PSEUDO_COLD}
    whole = functools.cache(functools.partial(_beauty.make_split, data, fraction))
    return Task(
        name=f"beauty_{fraction:g}",
        build_model=functools.partial(SequentialTwoTower, dropout=_beauty.DROPOUT),
        policy=_beauty.make_policy(),
        split=whole,
        development=lambda seed, number: aug.evaluation.development_histories(
            whole(seed), seed=1000 * (seed + 1) + number, **options
        ),
        protocol=dataclasses.replace(_beauty.make_protocol(fraction), epochs=epochs),
        baseline=Arm(after_fit=mean_oov),
    )


def space_of(policy: aug.AugmentationPolicy) -> Space:
    """Every op in or out, every rate from 0 to `HIGHEST`."""
    parameters = {}
    for op in policy.ops:
        parameters |= {op.id: Switch(), f"{op.id}.rate": Float(0.0, HIGHEST)}
    return Space(policy, parameters)


def stronger(policy: aug.AugmentationPolicy, factor: float) -> aug.AugmentationPolicy:
    """The policy with all rates times a factor, 1 at most."""
    ops = [dataclasses.replace(op, rate=min(1.0, factor * op.rate)) for op in policy.ops]
    return dataclasses.replace(policy, ops=tuple(ops))


def run_seed(
    task: Task,
    seed: int,
    schedule: Schedule,
    rung_seeds: int,
    confirm_seeds: int,
    folder: pathlib.Path,
) -> tuple[SearchResult, Report]:
    """Searches on development rows of one seed, and judges on its test rows."""
    space = space_of(task.policy)
    result = search(
        task.build_model,
        space,
        split=functools.partial(task.development, seed),
        seeds=range(rung_seeds),
        confirm_seeds=range(rung_seeds, rung_seeds + confirm_seeds),
        schedule=schedule,
        objective=OBJECTIVE,
        protocol=task.protocol,
        baseline=task.baseline,
        seed=seed,
        folder=folder / f"study_{seed}",
    )
    # The first that was drawn: the base policy stands before it.
    drawn = next(t.candidate for t in result.trials if t.candidate.policy != task.policy)
    arms = {BASELINE: task.baseline}
    arms |= {f"fixed {x:g}": Arm(stronger(task.policy, x)) for x in STRENGTHS}
    arms |= {RANDOM: Arm(drawn.policy), WINNER: Arm(result.winner.policy)}
    report = compare(
        task.build_model,
        arms,
        split=task.split,
        seeds=(seed,),
        protocol=task.protocol,
        cache_dir=folder / "runs",
    )
    return result, report


def rank_early(task: Task, seeds: int, candidates: int, rung_seeds: int, folder: pathlib.Path):
    """Writes the rank correlations of the candidates' order after fewer epochs with that of the last."""
    epochs = [rung.epochs for rung in Schedule(rungs=3).plan(task.protocol.epochs)]
    table = []
    for seed in range(seeds):
        drawn = draw(space_of(task.policy), candidates, seed)
        values = []
        for count in epochs:
            report = compare(
                task.build_model,
                {one.name: Arm(one.policy) for one in drawn},
                split=functools.partial(task.development, seed),
                seeds=range(rung_seeds),
                protocol=dataclasses.replace(task.protocol, epochs=count),
                cache_dir=folder / f"study_{seed}" / "runs",
            )
            found = OBJECTIVE.values(report)
            values.append(np.array([found[one.name] for one in drawn]))
        for count, early in zip(epochs[:-1], values):
            table.append(
                [str(seed), f"{count} of {epochs[-1]}", f"{spearman(early, values[-1]):.2f}"]
            )
    _common.finish(
        f"search_{task.name}_ranks",
        {},
        header=["seed", "epochs", "rank correlation with the last"],
        table=table,
        notes=(
            f"{OBJECTIVE} of development rows of {seeds} test splits, {candidates} candidates, mean of "
            f"{rung_seeds} seeds."
        ),
    )


def main() -> None:
    arguments = _common.parse(__doc__, add=add_arguments)
    if arguments.quick:
        task, seeds, rung_seeds, confirm_seeds = quick(), 1, 1, 2
        schedule = Schedule(candidates=4, eta=3, rungs=2)
    else:
        make = beauty if _beauty.is_beauty(arguments.data) else movielens
        task = make(arguments.data, arguments.fraction, arguments.epochs)
        seeds, rung_seeds = arguments.seeds, arguments.rung_seeds
        confirm_seeds = arguments.confirm_seeds
        schedule = Schedule(candidates=arguments.candidates, rungs=arguments.rungs)
    folder = pathlib.Path("report") / "search" / task.name
    if arguments.ranks and not arguments.quick:
        rank_early(task, seeds, schedule.candidates, rung_seeds, folder)
        return
    values: dict[str, list[float]] = {}
    results = []
    for seed in range(seeds):
        result, report = run_seed(task, seed, schedule, rung_seeds, confirm_seeds, folder)
        results.append(result)
        print(f"seed {seed}: {result}", flush=True)
        found = OBJECTIVE.values(report)
        found[FOUND] = found[WINNER] if result.policy is not None else found[BASELINE]
        found[ANY_GAIN] = found[WINNER] if result.gain.mean > 0 else found[BASELINE]
        for arm, value in found.items():
            values.setdefault(arm, []).append(value)
    finish(task, values, results, write=not arguments.quick)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="folder with MovieLens 100K or Amazon Beauty")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--candidates", type=int, default=9, help="of the first rung (default: 9)")
    parser.add_argument(
        "--ranks", action="store_true", help="how far few epochs foretell the last; no search"
    )
    parser.add_argument("--rungs", type=int, default=2, help="of each search (default: 2)")
    parser.add_argument(
        "--rung_seeds", type=int, default=2, help="of each search's rungs (default: 2)"
    )
    parser.add_argument(
        "--confirm_seeds", type=int, default=5, help="of each search's confirmation (default: 5)"
    )
    parser.add_argument(
        "--fraction",
        type=float,
        default=1.0,
        help="share of the users: of MovieLens all else is left out, of Beauty these train",
    )
    parser.add_argument(
        "--epochs", type=int, default=9, help="of all trainings but those of the first rung"
    )


def quick() -> Task:
    """The simulated shop, tiny."""
    scenario = quickstart.shop(aug.datasets.simulated_shop("tiny"))
    return Task(
        name="quick",
        build_model=functools.partial(TwoTower, **scenario.model),
        policy=scenario.policy,
        split=scenario.split,
        development=lambda seed, number: aug.evaluation.development_split(
            scenario.split(seed), seed=1000 * (seed + 1) + number, **scenario.split_options
        ),
        protocol=Protocol(epochs=3),
    )


def share(name: str, values: list[float], others: list[float]) -> dict[str, float]:
    """One arm's mean as a share of another's, with a 95 % interval of the paired difference over seeds."""
    of = statistics.mean(others)
    difference = np.subtract(values, others) / of
    figures = {name: 1 + difference.mean()}
    if len(difference) > 1:
        error = difference.std(ddof=1) / len(difference) ** 0.5
        half = student_quantile(0.975, len(difference) - 1) * error
        figures |= {f"{name}_low": figures[name] - half, f"{name}_high": figures[name] + half}
    return figures


def finish(
    task: Task,
    values: Mapping[str, list[float]],
    results: list[SearchResult],
    *,
    write: bool,
) -> None:
    """Prints what each arm is worth on the test rows, and writes it beside the other results."""
    fixed = [arm for arm in values if arm.startswith("fixed")]
    # In hindsight: one strength for all seeds, the best on their test rows, or none.
    best = max((BASELINE, *fixed), key=lambda arm: statistics.mean(values[arm]))
    table = []
    for arm, found in values.items():
        difference = np.subtract(found, values[BASELINE])
        cells = [f"{statistics.mean(found):.4f}", *(f"{value:.4f}" for value in found)]
        gain = (
            ""
            if arm == BASELINE
            else f"{difference.mean():+.4f} ({(difference > 0).sum()} of {len(found)})"
        )
        table.append([f"{arm}, best in hindsight" if arm == best else arm, *cells, gain])

    epochs = task.protocol.epochs
    figures = {}
    for one, arm in (("found", FOUND), ("any_gain", ANY_GAIN), ("winner", WINNER)):
        for of, other in (("best_fixed", best), ("random", RANDOM), ("baseline", BASELINE)):
            figures |= share(f"{one}_to_{of}", values[arm], values[other])
    figures |= {
        "policies_found": float(sum(result.policy is not None for result in results)),
        "seeds": float(len(results)),
        "budget_epochs": float(results[0].budget),
        "spent_epochs": statistics.mean(result.spent for result in results),
        "grid_epochs": float((1 + len(fixed)) * epochs),
    }
    said = "\n".join(f"- seed {seed}: {result}" for seed, result in enumerate(results))
    notes = (
        f"{OBJECTIVE} of the test rows, {len(results)} seeds, each with cold items of its own; "
        f"{epochs} epochs at most, batches of {task.protocol.batch_size}. The last column is the mean "
        "difference to the baseline, and in how many seeds it is above 0.\n\n"
        f"The searches:\n\n{said}"
    )
    _common.finish(
        f"search_{task.name}",
        figures,
        header=[
            "arm",
            "mean",
            *(f"seed {seed}" for seed in range(len(results))),
            "against baseline",
        ],
        table=table,
        notes=notes,
        write=write,
    )


if __name__ == "__main__":
    main()
