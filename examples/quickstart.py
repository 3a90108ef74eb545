"""One policy, end to end: TFRecords, an augmented copy by Beam, two-towers, and did it help?

Without arguments this works on a small simulated shop, in under four minutes on two cores:

  python examples/quickstart.py --report report

With MovieLens 100K, from its raw files or from TensorFlow Datasets:

  python examples/quickstart.py --data_dir path/to/ml-100k --seeds 2 --report report
  python examples/quickstart.py --tfds movielens/100k-ratings --seeds 2 --report report

The report folder gets `interactions/` (the training rows as TFRecords), `augmented/` (their copy by
the Beam job), `report.html` (verdicts, figures, plots and a row before and after, as a page),
`report.json`, `report.png`, `training.png` (the curves of the first seed) and `runs/` (finished
trainings: a run that was interrupted goes on from there).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.evaluation import Arm, Report, Split, compare, development_split, split
from tfrs_augment.towers import TwoTower, mean_oov

POLICIES = pathlib.Path(__file__).resolve().parent / "policies"
COPIES = 2


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Data, and the settings that were chosen for them on development splits.

    How they were chosen: `benchmarks/recommendation.py --tune` splits the training and validation
    rows of each seed again, with pseudo-cold items of their own, and compares candidates there; no
    test row and no truly cold item takes part.

    Args:
      data: the interactions.
      policy: the augmentation.
      split_options: of `tfrs_augment.evaluation.split`.
      model: options of `TwoTower` for every arm, dropout among them.
      tuned_dropout: the dropout that is best without augmentation.
    """

    data: Interactions
    policy: aug.AugmentationPolicy
    split_options: Mapping[str, Any]
    model: Mapping[str, Any]
    tuned_dropout: float

    def split(self, seed: int) -> Split:
        """Returns the split of a seed, with cold items of its own."""
        return split(self.data, seed=seed, **self.split_options)

    def development(self, seed: int) -> Split:
        """Returns a split of what a seed's split neither tests nor holds out, to choose by."""
        return development_split(self.split(seed), seed=1000 + seed, **self.split_options)


def movielens(data: Interactions) -> Scenario:
    """Returns the scenario of MovieLens."""
    return Scenario(
        data=data,
        policy=aug.AugmentationPolicy.load(POLICIES / "movielens.json"),
        # Users rate all in one sitting: a global cut in time would test users without any history.
        # And with the last tenth alone, 300 rows would have to speak for all cold items.
        split_options={"by": "user_time", "cold_share": 0.15, "cold_rows": "all"},
        model={
            "dropout": 0.1,
            "temperature": 0.05,
            # Not the words of titles: warm items do no better by them, and cold ones are taken for
            # popular movies that share a word.
            "candidate_features": ("movie_genres", "movie_year"),
        },
        tuned_dropout=0.2,
    )


def shop(data: Interactions) -> Scenario:
    """Returns the scenario of the simulated shop."""
    return Scenario(
        data=data,
        policy=aug.AugmentationPolicy.load(POLICIES / "shop.json"),
        # Some of its items are launched late: a global cut finds them cold, as a shop would.
        split_options={"by": "time", "cold_share": 0.1},
        model={
            "dropout": 0.1,
            "temperature": 0.05,
            # Not the launch: launches of cold items lie beyond all that training has seen.
            "candidate_features": (
                "item_category",
                "item_brand",
                "item_colour",
                "item_price",
                "item_title_words",
            ),
        },
        tuned_dropout=0.1,
    )


def load(data_dir: str | None = None, tfds: str | None = None) -> Scenario:
    """Loads raw MovieLens files, a data set of TFDS, or by default the simulated shop."""
    if data_dir is not None:
        return movielens(aug.datasets.movielens_100k(data_dir))
    if tfds is None:
        return shop(aug.datasets.simulated_shop("small"))
    if tfds.startswith("simulated_shop"):
        return shop(aug.datasets.simulated_shop_from_tfds(tfds))
    return movielens(aug.datasets.movielens_from_tfds(tfds))


def make_arms(scenario: Scenario) -> dict[str, Arm]:
    """Returns what is compared: the policy, and controls that a policy must stand beside."""
    tuned = {"dropout": scenario.tuned_dropout}
    return {
        # logQ correction, early stopping, and the dropout of the policy's arm.
        "baseline": Arm(),
        "tuned dropout": Arm(model_options=tuned),
        # Cold items take the mean id embedding of the trained ones.
        "mean-OOV": Arm(after_fit=mean_oov, share="baseline"),
        # As many rows as the Beam job writes, without any change to them.
        "oversampling": Arm(copies=1 + COPIES),
        "policy": Arm(scenario.policy),
    }


def write_records(scenario: Scenario, seed: int, folder: pathlib.Path) -> None:
    """Writes a seed's training rows as TFRecords, and lets the Beam job write their copy."""
    rows = scenario.split(seed).train
    paths = rows.write_tfrecords(folder / "interactions", shards=4, overwrite=True)
    result = aug.beam.run(
        scenario.policy,
        input=paths,
        output=str(folder / "augmented"),
        copies=COPIES,
        overwrite=True,
    )
    print(f"Beam job: {result}")


def run_comparison(scenario: Scenario, seeds: Sequence[int], folder: pathlib.Path) -> Report:
    """Trains and measures every arm with every seed."""
    return compare(
        functools.partial(TwoTower, **scenario.model),
        make_arms(scenario),
        split=scenario.split,
        seeds=seeds,
        cache_dir=folder / "runs",
    )


def explain_row(scenario: Scenario):
    """Returns what the policy does to the first row, at the first of 100 draws that changes it."""
    columns = scenario.data.take(slice(0, 1)).to_tensors()
    row = {name: column[0].numpy() for name, column in columns.items()}
    explained = (scenario.policy.explain(row, draw) for draw in range(100))
    return next((said for said in explained if said.changes), scenario.policy.explain(row))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data_dir", help="folder with the raw files of MovieLens 100K")
    source.add_argument("--tfds", help="name in TensorFlow Datasets: movielens/100k-ratings")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds (default: 2)")
    parser.add_argument("--report", default="report", help="folder to write to (default: report)")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1. Received: {options.seeds}.")
    start = time.perf_counter()
    folder = pathlib.Path(options.report)
    folder.mkdir(parents=True, exist_ok=True)
    scenario = load(options.data_dir, options.tfds)
    print(f"{scenario.data.name}: {len(scenario.data):,} interactions")
    seeds = range(options.seeds)
    write_records(scenario, seeds[0], folder)
    report = run_comparison(scenario, seeds, folder)
    report.to_html(folder / "report.html", samples={"A training row": explain_row(scenario)})
    report.to_json(folder / "report.json")
    report.plot(folder / "report.png")
    report.plot_training(folder / "training.png")
    print(f"\n{report.table()}\n")
    print(f"Tuned dropout: {scenario.tuned_dropout}; the other arms: {scenario.model['dropout']}.")
    print(
        f"Report: {folder}/report.html, report.json, report.png and training.png, "
        f"{time.perf_counter() - start:.0f} s."
    )


if __name__ == "__main__":
    main()
