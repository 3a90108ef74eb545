"""Two scenarios on the simulated shop's log: other devices at serving time, and mistyped search queries.

    python benchmarks/scenarios.py --scenario cross_platform [--seeds 5] [--size 10k] [--tune]
    python benchmarks/scenarios.py --scenario search_ads [--seeds 5] [--tune]

cross_platform: training rows are of the web and of Android, test rows of iOS and of tablets, later in time.
search_ads: from a query, with 10 % of the characters of test queries mistyped, to the item that was taken.
Each seed draws a shop of its own. With `--tune` the last rows are left out, and those before them test.
Figures: Recall@10 (cross_platform) or NDCG@10 (search_ads) of the chosen arm, its relative difference to the
baseline, and the interval.
"""

from __future__ import annotations

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import dataclasses
import functools

import _common
import numpy as np

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions, simulated_shop_log
from tfrs_augment.evaluation import Arm, Protocol, Split, compare, split
from tfrs_augment.towers import TwoTower

TRAIN_DEVICES = (b"web", b"android")
DEVICES = ("web", "android", "ios", "tablet")
KEYS = ("user_id", "item_id", "timestamp")
TYPOS = 0.1
ITEM_FEATURES = (
    "item_category",
    "item_brand",
    "item_colour",
    "item_price",
    "item_title_words",
)
USER_FEATURES = ("user_age", "user_gender", "user_city")


def policy(*ops: aug.ops.Op) -> aug.AugmentationPolicy:
    return aug.AugmentationPolicy(ops, key_features=KEYS)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What is compared, and how.

    Attributes:
      metric: of the figures.
      chosen: the arm that was chosen on development splits.
      context: columns of the rows that the query tower reads.
      texts: which of them are texts.
      arms: by name; the first is the baseline.
    """

    metric: str
    chosen: str
    context: tuple[str, ...]
    texts: tuple[str, ...]
    arms: dict[str, Arm]

    def model(self):
        return functools.partial(
            TwoTower,
            dropout=0.1,
            temperature=0.05,
            query_features=USER_FEATURES,
            candidate_features=ITEM_FEATURES,
            context_features=self.context,
            text_features=self.texts,
        )


SCENARIOS = {
    "cross_platform": Scenario(
        metric="recall@10",
        chosen="FeatureMask 0.15, user ids 0.3",
        context=("device",),
        texts=(),
        arms={
            "baseline": Arm(),
            "dropout 0.2": Arm(model_options={"dropout": 0.2}),
            "oversampling": Arm(copies=2),
            "without the device": Arm(model_options={"context_features": ()}),
            "FeatureMask 0.15": Arm(policy(aug.ops.FeatureMask(("device",), rate=0.15))),
            "FeatureMask 0.3": Arm(policy(aug.ops.FeatureMask(("device",), rate=0.3))),
            "FeatureMask 0.6": Arm(policy(aug.ops.FeatureMask(("device",), rate=0.6))),
            "FeatureMask 0.15, user ids 0.1": Arm(
                policy(
                    aug.ops.FeatureMask(("device",), rate=0.15),
                    aug.ops.IdDropout("user_id", rate=0.1),
                )
            ),
            "FeatureMask 0.15, user ids 0.3": Arm(
                policy(
                    aug.ops.FeatureMask(("device",), rate=0.15),
                    aug.ops.IdDropout("user_id", rate=0.3),
                )
            ),
            "FeatureMask 0.15, all ids 0.1": Arm(
                policy(
                    aug.ops.FeatureMask(("device",), rate=0.15),
                    aug.ops.IdDropout("user_id", rate=0.1),
                    aug.ops.IdDropout("item_id", rate=0.1),
                )
            ),
            "DomainSwap 0.3": Arm(policy(aug.ops.DomainSwap("device", rate=0.3, domains=DEVICES))),
            "DomainSwap 0.5": Arm(policy(aug.ops.DomainSwap("device", rate=0.5, domains=DEVICES))),
        },
    ),
    "search_ads": Scenario(
        metric="ndcg@10",
        chosen="CharTypos 0.1",
        context=("query", "device"),
        texts=("query",),
        arms={
            "baseline": Arm(),
            "dropout 0.2": Arm(model_options={"dropout": 0.2}),
            "oversampling": Arm(copies=2),
            "CharTypos 0.05": Arm(policy(aug.ops.CharTypos("query", rate=0.05))),
            "CharTypos 0.1": Arm(policy(aug.ops.CharTypos("query", rate=0.1))),
            "TokenDropout 0.1": Arm(policy(aug.ops.TokenDropout("query", rate=0.1))),
            "CharTypos 0.1, TokenDropout 0.1": Arm(
                policy(
                    aug.ops.CharTypos("query", rate=0.1), aug.ops.TokenDropout("query", rate=0.1)
                )
            ),
        },
    ),
}


def rows_of(size: str, seed: int, tune: bool) -> Interactions:
    """The log of a shop; to tune by, without the last tenth of its time."""
    log = simulated_shop_log(size, seed=seed, drift=0.0)
    times = log.rows[log.timestamp]
    return log.take(times < np.quantile(times, 0.9)) if tune else log


def cross_platform(size: str, tune: bool, seed: int) -> Split:
    """Training and validation rows of some devices, test rows of others."""
    log = rows_of(size, seed, tune)
    one = split(log, by="time", cold_share=0.0, seed=seed)

    def of(part: Interactions, known: bool) -> Interactions:
        return part.take(np.isin(part.rows["device"], TRAIN_DEVICES) == known)

    return Split(
        train=of(one.train, True),
        validation=of(one.validation, True),
        test=of(one.test, False),
        seen=one.seen,
        name=f"{log.name}, test on other devices, seed {seed}",
        query_from="rows",
    )


def search_ads(size: str, tune: bool, seed: int) -> Split:
    """Rows that were found by a search; the queries of the test rows are mistyped."""
    log = rows_of(size, seed, tune)
    one = split(log.take(log.rows["query"] != b""), by="time", cold_share=0.0, seed=seed)
    typos = aug.AugmentationPolicy(
        [aug.ops.CharTypos("query", rate=TYPOS)], seed=1_000_003 + seed, key_features=KEYS
    )
    test = dataclasses.replace(one.test, rows=typos.apply(one.test.rows))
    return dataclasses.replace(
        one,
        test=test,
        seen=one.seen.take(np.zeros(len(one.seen), bool)),  # A search may find what was bought.
        name=f"{log.name}, queries with {TYPOS:.0%} typing errors, seed {seed}",
        query_from="rows",
    )


SPLITS = {"cross_platform": cross_platform, "search_ads": search_ads}


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="search_ads")
        parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
        parser.add_argument("--first_seed", type=int, default=0, help="the first seed (default: 0)")
        parser.add_argument("--tune", action="store_true", help="compare on development rows")
        parser.add_argument("--size", default="100k", help="of the shop's log (default: 100k)")
        parser.add_argument(
            "--arms",
            type=lambda text: text.split(";"),
            help='names of arms, such as "baseline;CharTypos 0.1" (default: all)',
        )

    arguments = _common.parse(__doc__, add=add)
    scenario, quick = SCENARIOS[arguments.scenario], arguments.quick
    names = arguments.arms or (("baseline", scenario.chosen) if quick else scenario.arms)
    first = arguments.first_seed
    report = compare(
        scenario.model(),
        {name: scenario.arms[name] for name in names},
        split=functools.partial(
            SPLITS[arguments.scenario], "10k" if quick else arguments.size, arguments.tune
        ),
        seeds=range(first, first + (1 if quick else arguments.seeds)),
        protocol=Protocol(epochs=5 if quick else 30),
        cache_dir=None if quick else pathlib.Path("report") / "scenarios",
    )
    slices = ("all", "head", "tail")
    # With --arms the chosen one may be left out: the figure is then of the last.
    claimed = scenario.chosen if scenario.chosen in report.arms else report.arms[-1]
    figure = report.figure(claimed, "all", scenario.metric)
    header, _, *rows = [
        [cell.rstrip() for cell in line[2:-2].split(" | ")]
        for line in report.table(scenario.metric, slices).splitlines()
    ]
    _common.finish(
        f"scenario_{arguments.scenario}"
        + (f"_{arguments.size}" if arguments.size != "100k" else "")
        + ("_tuning" if arguments.tune else ""),
        {
            scenario.metric.replace("@", "_at_"): figure.mean,
            "relative": figure.relative,
            "relative_low": figure.relative_low,
            "relative_high": figure.relative_high,
        },
        header=header,
        table=rows,
        notes=f"{report.name}, {len(report.seeds)} seeds; {report.settings['split']}.",
        write=not quick,
    )


if __name__ == "__main__":
    main()
