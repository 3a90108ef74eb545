"""Why it helped, and why this item: which op of a policy did what, and which features carry a score.

Without arguments this works on a small simulated shop, in about six minutes on two cores:

  python examples/explain.py --report explained

With MovieLens 100K from its raw files (benchmarks/attribution.py makes the page of results):

  python examples/explain.py --data_dir path/to/ml-100k --seeds 5 --method shapley --report explained

The report folder gets `attribution-*.png` and `attribution-*.json` (a slice each), `recommendation.png` and
`recommendation.json` (the best item for a user), and `runs/` (finished trainings: a run that was interrupted
goes on from there).
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import quickstart
import tf_keras

import tfrs_augment as aug
from tfrs_augment.datasets.interactions import columns_to_tensors, take_column
from tfrs_augment.evaluation import Attribution, Protocol, RecommendationExplanation, attribute
from tfrs_augment.evaluation.explaining.attribution import METHODS
from tfrs_augment.towers import TwoTower

SLICES = ("warm", "cold")


def attribute_policy(
    scenario: quickstart.Scenario,
    *,
    seeds: int,
    method: str,
    protocol: Protocol,
    folder: pathlib.Path,
) -> Attribution:
    """Trains with subsets of the policy's ops, and writes who did what on warm and on cold items."""
    found = attribute(
        functools.partial(TwoTower, **scenario.model),
        scenario.policy,
        split=scenario.split,
        seeds=range(seeds),
        method=method,
        protocol=protocol,
        cache_dir=folder / "runs",
    )
    for name in SLICES:
        one = found.on(name)
        print(f"\n{one.table()}")
        one.plot(folder / f"attribution-{name}.png")
        one.to_json(folder / f"attribution-{name}.json")
    return found


def explain_best(
    scenario: quickstart.Scenario, *, protocol: Protocol, folder: pathlib.Path
) -> RecommendationExplanation:
    """Trains with the policy, and explains the best item for the first user."""
    parts = scenario.split(0)
    train = parts.train
    tf_keras.utils.set_random_seed(0)
    model = aug.wrap(TwoTower(train, **scenario.model), scenario.policy, original_ids=train.item_id)
    model.compile(protocol.optimizer())
    rows = train.dataset(protocol.batch_size, shuffle_seed=0)
    model.fit(rows, epochs=min(protocol.epochs, 10), verbose=0)
    asking = {name: take_column(column, np.arange(1)) for name, column in train.users.items()}
    queries = model.query_model(columns_to_tensors(asking)).numpy()
    scores = queries @ model.candidate_model(columns_to_tensors(train.items)).numpy().T
    best = train.items[train.item_id][scores[0].argmax()]
    query = {name: column[0] for name, column in asking.items()}
    found = aug.evaluation.explain(model, query, best, items=train, policy=scenario.policy)
    print(f"\nThe best item for user {query[train.user_id].decode()}: {best.decode()}\n{found}")
    found.plot(folder / "recommendation.png")
    with open(folder / "recommendation.json", "w", encoding="utf-8") as file:
        json.dump(found.to_dict(), file, indent=1)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder with the raw files of MovieLens 100K")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds (default: 2)")
    parser.add_argument("--epochs", type=int, default=30, help="most epochs (default: 30)")
    parser.add_argument(
        "--method", choices=METHODS, default=METHODS[0], help=f"default: {METHODS[0]}"
    )
    parser.add_argument("--report", default="explained", help="folder to write to")
    options = parser.parse_args(arguments)
    for name in ("seeds", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1. Received: {getattr(options, name)}.")
    folder = pathlib.Path(options.report)
    folder.mkdir(parents=True, exist_ok=True)
    scenario = quickstart.load(options.data_dir)
    protocol = Protocol(epochs=options.epochs)
    attribute_policy(
        scenario, seeds=options.seeds, method=options.method, protocol=protocol, folder=folder
    )
    explain_best(scenario, protocol=protocol, folder=folder)


if __name__ == "__main__":
    main()
