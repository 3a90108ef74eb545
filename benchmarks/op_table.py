"""Which op helps, which hurts, and at what strength? A table of ops by data set.

    python benchmarks/op_table.py --data path/to/amazon-beauty
    python benchmarks/op_table.py --data path/to/ml-100k

Each op alone, at two strengths, against the same model without it, over 2 seeds of development splits (see
`evaluation.development_split`). Then the six ops that were best there, and those that look harmful, at the
better of their strengths and over 5 seeds of test splits. An op "helps" or "hurts" where the 95 % interval
of its difference excludes zero. Resumable: finished trainings are kept in report/op_table/ of the working
directory. Figures: how many ops were screened, and how many helped or hurt on the test splits.
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
from collections.abc import Callable, Mapping

import _beauty
import _common
import numpy as np
import quickstart
import recommendation
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.datasets.interactions import columns_to_tensors, take_column
from tfrs_augment.evaluation import Arm, Protocol, Report, Split, compare
from tfrs_augment.towers import SequentialTwoTower, TwoTower, mean_oov

BASELINE = "none"
SHOWN = (("all", "recall@10"), ("tail_corpus", "recall@50"), ("cold_corpus", "recall@10"))
"""What the table has of each op: the slices and the metrics."""
BEST, SCREENING_SEEDS = 6, range(100, 102)
HARM = -0.02
"""Relative change of the first metric of `SHOWN`, at both strengths, from which an op is looked at again."""

Ops = dict[str, dict[str, Arm]]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A data set, its model, and what is tried on it: by op, by strength."""

    name: str
    build_model: Callable[..., tf_keras.Model]
    split: Callable[[int], Split]
    development: Callable[[int], Split]
    protocol: Protocol
    ops: Ops

    def compare(self, arms: Mapping[str, Arm], seeds, *, tune: bool, cache) -> Report:
        return compare(
            self.build_model,
            {BASELINE: Arm(after_fit=mean_oov), **arms},
            split=self.development if tune else self.split,
            seeds=seeds,
            protocol=self.protocol,
            cache_dir=cache,
        )


def with_noise(tower: type, train: Interactions, *, noise=None, **options) -> tf_keras.Model:
    """A two-tower; `noise` makes a layer that both towers' embeddings pass in training."""
    model = tower(train, **options)
    if noise is not None:
        model.query_model, model.candidate_model = (
            Noisy(tower, noise(seed=seed))
            for seed, tower in enumerate((model.query_model, model.candidate_model))
        )
    return model


class Noisy(tf_keras.Model):
    """A tower, and a layer on its embeddings."""

    def __init__(self, tower: tf_keras.Model, layer: tf_keras.layers.Layer):
        super().__init__()
        self._tower, self._layer = tower, layer
        self.id_lookup, self.id_embedding = tower.id_lookup, tower.id_embedding

    def call(self, features, training: bool | None = None) -> tf.Tensor:
        return self._layer(self._tower(features, training=training), training=training)


def with_policy(keys: tuple[str, ...], *ops: aug.ops.Op, **options) -> Arm:
    return Arm(aug.AugmentationPolicy(ops, key_features=keys), **options)


def at(strengths: tuple[float, ...], make: Callable[[float], Arm]) -> dict[str, Arm]:
    return {f"{strength:g}": make(strength) for strength in strengths}


def embedding_ops() -> Ops:
    """What acts on the embeddings of both towers; unknown ids get the mean, as in the baseline."""

    def arm(layer: type, name: str, **options) -> Callable[[float], Arm]:
        return lambda strength: Arm(
            model_options={"noise": functools.partial(layer, **{name: strength}, **options)},
            after_fit=mean_oov,
        )

    return {
        "EmbeddingNoise, gaussian": at((0.02, 0.1), arm(aug.layers.EmbeddingNoise, "scale")),
        "EmbeddingNoise, simgcl": at(
            (0.1, 0.3), arm(aug.layers.EmbeddingNoise, "scale", kind="simgcl")
        ),
        "EmbeddingDropout": at((0.05, 0.2), arm(aug.layers.EmbeddingDropout, "rate")),
    }


def negatives(features: tuple[str, ...], task: type, train: Interactions, **options) -> list:
    """Negatives of the catalogue of training items, corrected by their counts."""
    counts = np.bincount(train.item_index(), minlength=len(train.items[train.item_id]))
    met = np.flatnonzero(counts)
    items = {name: take_column(train.items[name], met) for name in (train.item_id, *features)}
    return [
        task(
            lambda model, columns: model.candidate_model(columns, training=True),
            columns_to_tensors(items),
            ids=train.item_id,
            counts=counts[met],
            **options,
        )
    ]


def negatives_ops(features: tuple[str, ...]) -> Ops:
    """Negatives of the catalogue, by how many are drawn a step."""

    def mixed(count: float) -> Arm:
        return Arm(
            tasks=functools.partial(
                negatives, features, aug.tasks.MixedNegatives, count=int(count)
            ),
            after_fit=mean_oov,
        )

    def hard(pool: float) -> Arm:
        return Arm(
            tasks=functools.partial(
                negatives, features, aug.tasks.HardNegatives, pool=int(pool), count=8
            ),
            after_fit=mean_oov,
        )

    return {
        "MixedNegatives, count": at((64, 512), mixed),
        "HardNegatives, 8 of a pool": at((64, 512), hard),
    }


def beauty(folder: str) -> Trial:
    """Amazon Beauty with a tenth of the users: sparse, queries are histories."""
    data = aug.datasets.amazon_beauty(folder)
    arm = functools.partial(with_policy, _beauty.KEYS)
    both = ("history", "history_index")
    trained = {"after_fit": mean_oov}  # Ops that train no unknown id get its mean embedding.
    by_ids = {**trained, "model_options": {"history_index": "none"}}

    def consistency(weight: float) -> Arm:
        policy = aug.AugmentationPolicy(
            [aug.ops.HistoryIdDropout("history", rate=0.3)], key_features=_beauty.KEYS
        )
        return Arm(tasks=functools.partial(consistent, policy, weight), **trained)

    ops: Ops = {
        "IdDropout": at((0.3, 0.6), lambda rate: arm(aug.ops.IdDropout("item_id", rate=rate))),
        "IdDropout, rate by popularity up to": at(
            (0.3, 0.6),
            lambda most: arm(
                aug.ops.IdDropout("item_id", rate=aug.ops.PopularityRate(scale=1.0, maximum=most))
            ),
        ),
        "HistoryIdDropout": at(
            (0.3, 0.6),
            lambda rate: arm(aug.ops.HistoryIdDropout("history", rate=rate), **trained),
        ),
        "FeatureMask": at(
            (0.2, 0.5),
            lambda rate: arm(aug.ops.FeatureMask(("attributes",), rate=rate), **trained),
        ),
        "CategorySwap": at(
            (0.1, 0.3), lambda rate: arm(aug.ops.CategorySwap("attributes", rate=rate), **trained)
        ),
        "SequenceCrop, kept from": at(
            (0.6, 0.2),
            lambda low: arm(aug.ops.SequenceCrop(both, keep_range=(low, 0.9)), **trained),
        ),
        "SequenceMask, share": at(
            (0.2, 0.5), lambda share: arm(aug.ops.SequenceMask("history", share=share), **trained)
        ),
        "SequenceReorder, share": at(
            (0.2, 0.6), lambda share: arm(aug.ops.SequenceReorder(both, share=share), **trained)
        ),
        "SequenceSubstitute, share": at(
            (0.1, 0.4),
            lambda share: arm(aug.ops.SequenceSubstitute("history", share=share), **by_ids),
        ),
        "SequenceInsert, share": at(
            (0.1, 0.4), lambda share: arm(aug.ops.SequenceInsert("history", share=share), **by_ids)
        ),
        "Contrastive, weight": at(
            (0.1, 0.4),
            lambda weight: Arm(tasks=functools.partial(_beauty.contrast, weight=weight), **trained),
        ),
        "Consistency, weight": at((1.0, 10.0), consistency),
        **negatives_ops(("attributes",)),
        **embedding_ops(),
        "dropout of the towers": at(
            (0.35, 0.5), lambda rate: Arm(model_options={"dropout": rate}, **trained)
        ),
    }
    return Trial(
        name="beauty_0.1",
        build_model=functools.partial(with_noise, SequentialTwoTower, dropout=_beauty.DROPOUT),
        split=functools.partial(_beauty.make_split, data, 0.1),
        development=functools.partial(_beauty.make_development, data, 0.1),
        protocol=_beauty.make_protocol(0.1),
        ops=ops,
    )


def consistent(policy: aug.AugmentationPolicy, weight: float, train: Interactions) -> list:
    """The same query embedding for two views of a history."""
    return [
        aug.tasks.Consistency(
            lambda model, features: model.query_model(features, training=True),
            views=policy,
            weight=weight,
            reduction="sum",
        )
    ]


def movielens(folder: str) -> Trial:
    """MovieLens 100K: dense, a query is a user."""
    scenario = recommendation.with_pseudo_cold(quickstart.load(folder))
    arm = functools.partial(with_policy, ("user_id", "movie_id", "timestamp"))
    features = scenario.model["candidate_features"]
    trained = {"after_fit": mean_oov}
    ops: Ops = {
        "IdDropout of items": at(
            (0.05, 0.2), lambda rate: arm(aug.ops.IdDropout("movie_id", rate=rate))
        ),
        "IdDropout of items, rate by popularity, scale": at(
            (5, 20),
            lambda scale: arm(
                aug.ops.IdDropout("movie_id", rate=aug.ops.PopularityRate(scale=scale, maximum=0.5))
            ),
        ),
        "IdDropout of users": at(
            (0.05, 0.2), lambda rate: arm(aug.ops.IdDropout("user_id", rate=rate), **trained)
        ),
        "FeatureMask of items": at(
            (0.1, 0.3), lambda rate: arm(aug.ops.FeatureMask(features, rate=rate), **trained)
        ),
        "CategorySwap of genres": at(
            (0.1, 0.3),
            lambda rate: arm(aug.ops.CategorySwap("movie_genres", rate=rate), **trained),
        ),
        "GaussianNoise on the age": at(
            (0.1, 0.5),
            lambda stddev: arm(aug.ops.GaussianNoise("user_age", stddev=stddev), **trained),
        ),
        "Contrastive, weight": at(
            (0.1, 0.4),
            lambda weight: Arm(
                tasks=functools.partial(recommendation.contrast, features, weight=weight),
                **trained,
            ),
        ),
        **negatives_ops(features),
        **embedding_ops(),
        "dropout of the towers": at(
            (0.2, 0.3), lambda rate: Arm(model_options={"dropout": rate}, **trained)
        ),
    }
    return Trial(
        name="movielens",
        build_model=functools.partial(with_noise, TwoTower, **scenario.model),
        split=scenario.split,
        development=scenario.development,
        protocol=Protocol(),
        ops=ops,
    )


def arms_of(ops: Ops) -> dict[str, Arm]:
    return {f"{op} {strength}": arm for op, arms in ops.items() for strength, arm in arms.items()}


def chosen_of(ops: Ops, report: Report) -> list[str]:
    """The arms to look at again: the better strength of the best ops, and of the harmful ones."""
    slice_name, metric = SHOWN[0]
    gains = {
        op: {name: report.figure(name, slice_name, metric).relative for name in arms_of({op: arms})}
        for op, arms in ops.items()
    }
    better = {op: max(found, key=found.get) for op, found in gains.items()}
    ordered = sorted(ops, key=lambda op: gains[op][better[op]], reverse=True)
    harmful = [op for op in ordered[BEST:] if max(gains[op].values()) < HARM]
    return [better[op] for op in [*ordered[:BEST], *harmful]]


def verdict(report: Report, arm: str) -> str:
    """In words, of the first metric: helps, hurts, or no difference that can be told from none."""
    figure = report.figure(arm, *SHOWN[0])
    if figure.difference_low > 0:
        return "helps"
    return "hurts" if figure.difference_high < 0 else "neutral"


def cell(report: Report | None, arm: str, slice_name: str, metric: str) -> str:
    """The change in percent; with its interval where it is of the test splits."""
    if report is None or arm not in report.arms:
        return ""
    figure = report.figure(arm, slice_name, metric)
    if math.isnan(figure.relative):
        return f"{figure.difference:+.4f}"
    if len(report.seeds) == len(SCREENING_SEEDS):
        return f"{figure.relative:+.0%}"
    return f"{figure.relative:+.0%} [{figure.relative_low:+.0%}, {figure.relative_high:+.0%}]"


def table_of(ops: Ops, screening: Report, test: Report) -> list[list[str]]:
    """A row an op and strength: the screening's changes, and the test's with a verdict."""
    rows = []
    for arm in arms_of(ops):
        row = [arm, *(cell(screening, arm, *shown) for shown in SHOWN)]
        tested = arm in test.arms
        row += [cell(test, arm, *shown) for shown in SHOWN]
        rows.append([*row, verdict(test, arm) if tested else ""])
    return rows


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data", help="folder with Amazon Beauty or MovieLens 100K")
        parser.add_argument("--seeds", type=int, default=5, help="of the test splits (default: 5)")

    arguments = _common.parse(__doc__, add=add)
    if arguments.data is None:
        print("op_table: nothing to do without --data.")
        return
    trial = (beauty if _beauty.is_beauty(arguments.data) else movielens)(arguments.data)
    cache, seeds, screened = pathlib.Path("report") / "op_table", range(arguments.seeds), trial.ops
    screening_seeds = SCREENING_SEEDS
    if arguments.quick:
        cache, seeds, screening_seeds = None, range(1), SCREENING_SEEDS[:1]
        screened = dict(list(trial.ops.items())[:1])
        trial = dataclasses.replace(
            trial, protocol=dataclasses.replace(trial.protocol, epochs=1, validate_every=1)
        )
    screening = trial.compare(arms_of(screened), screening_seeds, tune=True, cache=cache)
    chosen = chosen_of(screened, screening)
    arms = arms_of(screened)
    test = trial.compare({arm: arms[arm] for arm in chosen}, seeds, tune=False, cache=cache)
    verdicts = [verdict(test, arm) for arm in chosen]
    shown = [f"{slice_name} {metric}" for slice_name, metric in SHOWN]
    _common.finish(
        f"op_table_{trial.name}",
        {
            "screened": len(screened),
            "helped": verdicts.count("helps"),
            "hurt": verdicts.count("hurts"),
        },
        header=[
            "op and strength",
            *(f"screened: {name}" for name in shown),
            *(f"tested: {name}" for name in shown),
            "verdict",
        ],
        table=table_of(screened, screening, test),
        notes=(
            f"{test.name}. Changes against the same model without the op, as shares of it. Screened: "
            f"{len(screening.seeds)} seeds of development splits. Tested: {len(test.seeds)} seeds of test "
            "splits, with 95 % intervals; the verdict is of the first metric."
        ),
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
