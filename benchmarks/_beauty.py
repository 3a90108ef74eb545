"""Amazon Beauty in benchmarks/recommendation.py: sparse histories, with and without augmentation.

A comparison over `evaluation.split_histories`: the last item of each user tests, a tenth of the items is
held out of training, and a share of the users trains. The arms differ in what they do to the training
rows alone; all correct for popularity (logQ), stop early on validation rows of warm and of pseudo-cold
items in the full catalogue, and have the dropout of `DROPOUT` unless their name says otherwise.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence

import numpy as np
import tf_keras

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.datasets.interactions import columns_to_tensors, take_column
from tfrs_augment.evaluation import (
    Arm,
    Protocol,
    Report,
    Split,
    development_histories,
    split_histories,
)
from tfrs_augment.evaluation.comparing.references import ease, popularity
from tfrs_augment.towers import SequentialTwoTower, mean_oov

BASELINE = "logQ + mean-OOV"
POLICY, PRESET = "policy", "preset"
RARE = aug.ops.PopularityRate(scale=1.0, maximum=0.3)
DROPOUT, TUNED_DROPOUT = 0.2, 0.5
COPIES = 2
PSEUDO_COLD = 0.05
SLICES = ("all", "warm", "cold", "warm_corpus", "head_corpus", "tail_corpus", "cold_corpus")
KEYS = ("user_id", "item_id")
# Figure to slice and metric. Those of warm items are ranked among warm items, those of cold ones among
# cold items, as the published protocols do; the table has the full catalogue too.
FIGURES = {
    "recall10": ("warm_corpus", "recall@10"),
    "recall50": ("warm_corpus", "recall@50"),
    "tail_recall50": ("tail_corpus", "recall@50"),
    "cold_recall10": ("cold_corpus", "recall@10"),
    "head_recall10": ("head_corpus", "recall@10"),
    "full_recall10": ("all", "recall@10"),
}


def is_beauty(folder: str | None) -> bool:
    """Returns whether a folder holds the files of Amazon Beauty."""
    return folder is not None and (pathlib.Path(folder) / "Beauty.txt").is_file()


def optimizer() -> tf_keras.optimizers.Optimizer:
    """Returns Adam with learning rate 0.002, which in this form is faster on a CPU."""
    return tf_keras.optimizers.legacy.Adam(2e-3)


def make_protocol(fraction: float) -> Protocol:
    """Returns the protocol: small batches and rarer validations where rows are few."""
    if fraction < 1:
        return Protocol(
            epochs=60, batch_size=256, validate_every=3, patience=3, optimizer=optimizer
        )
    return Protocol(epochs=40, batch_size=512, patience=3, optimizer=optimizer)


def make_policy(
    rate: float = 0.3, item_rate: float | aug.ops.PopularityRate | None = None
) -> aug.AugmentationPolicy:
    """Returns the policy: ids dropped from items and, one by one, from histories."""
    return aug.AugmentationPolicy(
        [
            aug.ops.IdDropout("item_id", rate=rate if item_rate is None else item_rate),
            aug.ops.HistoryIdDropout("history", rate=rate),
        ],
        key_features=KEYS,
    )


def contrast(train: Interactions, weight: float = 0.3) -> list[aug.tasks.Contrastive]:
    """Returns the loss between two views of the training items, drawn uniformly.

    A view shows an item's id or its attributes, the other view the rest; of attributes that are shown
    a fifth is dropped.
    """
    ids = train.items[train.item_id]
    met = np.isin(ids, train.rows[train.item_id]) | np.isin(ids, train.rows["history"].values)
    columns = {
        name: take_column(train.items[name], np.flatnonzero(met))
        for name in (train.item_id, "attributes")
    }
    views = aug.ops.ComplementaryFeatureMask((train.item_id, "attributes"), dropout=0.2)
    return [
        aug.tasks.Contrastive(
            lambda model, features: model.candidate_model(features, training=True),
            views=aug.AugmentationPolicy([views]),
            items=columns_to_tensors(columns),
            weight=weight,
            temperature=0.1,
        )
    ]


def make_arms() -> dict[str, Arm]:
    """Returns what is compared; unknown ids of the arms that never train them get the mean."""
    return {
        BASELINE: Arm(after_fit=mean_oov),
        "tuned dropout": Arm(model_options={"dropout": TUNED_DROPOUT}, after_fit=mean_oov),
        "oversampling": Arm(copies=1 + COPIES, after_fit=mean_oov),
        "content-only": Arm(model_options={"item_ids": False}, after_fit=mean_oov),
        POLICY: Arm(make_policy()),
        # Chosen by --tune: of those candidates that keep head items, the one with the best recall.
        PRESET: Arm(make_policy(0.3, RARE), tasks=functools.partial(contrast, weight=0.2)),
    }


def tuning_arms() -> dict[str, Arm]:
    """Returns the candidates that `--tune` compares on development splits."""
    arms = {BASELINE: Arm(after_fit=mean_oov)}
    for dropout in (0.3, 0.4, 0.5):
        arms[f"dropout {dropout}"] = Arm(model_options={"dropout": dropout}, after_fit=mean_oov)
    for rate, weight in ((0.3, 0.0), (0.3, 0.1), (0.3, 0.2), (0.3, 0.3), (0.2, 0.1), (0.2, 0.2)):
        tasks = functools.partial(contrast, weight=weight) if weight else None
        arms[f"rate {rate}, weight {weight}"] = Arm(make_policy(rate), tasks=tasks)
    weighted = functools.partial(contrast, weight=0.2)
    arms["rate 0.3, of rare items, weight 0.2"] = Arm(make_policy(0.3, RARE), tasks=weighted)
    for rate, weight in ((0.3, 0.2), (0.2, 0.1)):
        arms[f"rate {rate}, weight {weight}, dropout 0.3"] = Arm(
            make_policy(rate),
            tasks=functools.partial(contrast, weight=weight),
            model_options={"dropout": 0.3},
        )
    return arms


def make_split(data: Interactions, fraction: float, seed: int) -> Split:
    return split_histories(data, fraction=fraction, pseudo_cold_share=PSEUDO_COLD, seed=seed)


def make_development(data: Interactions, fraction: float, seed: int) -> Split:
    whole = make_split(data, fraction, seed)
    return development_histories(
        whole, fraction=fraction, pseudo_cold_share=PSEUDO_COLD, seed=1000 + seed
    )


def run(
    data_dir: str,
    *,
    fraction: float,
    seeds: Sequence[int],
    names: Sequence[str] | None,
    cache: pathlib.Path | None,
    references: bool = False,
    tune: bool = False,
    protocol: Protocol | None = None,
) -> Report:
    """Trains and measures the arms, those in `names` or all."""
    data = aug.datasets.amazon_beauty(data_dir)
    arms = tuning_arms() if tune else make_arms()
    if references:
        # Of regularizations 3, 30, 100 and 300 the third was best on validation rows of seed 0.
        more = {"popularity": Arm(scorer=popularity), "EASE": Arm(scorer=ease)}
        arms |= more
        names = names and [*names, *more]
    return aug.evaluation.compare(
        functools.partial(SequentialTwoTower, dropout=DROPOUT),
        {name: arms[name] for name in names or arms},
        split=functools.partial(make_development if tune else make_split, data, fraction),
        seeds=seeds,
        protocol=protocol or make_protocol(fraction),
        cache_dir=cache,
    )


def figures(report: Report, arm: str) -> dict[str, float]:
    """Returns the lifts of an arm over the baseline, as shares of the baseline, with intervals."""
    found = {}
    for name, (slice_name, metric) in FIGURES.items():
        figure = report.figure(arm, slice_name, metric)
        found[f"{name}_lift"] = figure.relative
        found[f"{name}_lift_low"] = figure.relative_low
        found[f"{name}_lift_high"] = figure.relative_high
    return found
