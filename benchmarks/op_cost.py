"""What each op and each loss adds to the training step of a two-tower over histories and queries.

    python benchmarks/op_cost.py [--quick]

Figures: `feature_and_sequence_share` (bar 0.10), the time that a policy of four feature ops and three
sequence ops adds to a step of the model in `wrap`, as a share of the step without; `contrastive_step_ratio`
(bar 1.4), a step with a contrastive loss on a sub-batch of 256 over one without; and a share for every op
(alone, as a function) and every loss (in `wrap`). Wall time, medians of runs in turn.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import itertools

import _common
import layer_cost

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import numpy as np
import tensorflow as tf

LENGTH, WORDS = 20, 5000
ITEM_FEATURES = ("movie_id", "genre", "brand", "age")
KEYS = ("user_id", "movie_id", "timestamp")

FEATURE_OPS = (
    aug.ops.IdDropout("movie_id", rate=0.2),
    aug.ops.IdDropout(
        "user_id", rate=aug.ops.PopularityRate(scale=5.0, maximum=0.5), id="by popularity"
    ),
    aug.ops.FeatureMask(("genre", "brand"), rate=0.2),
    aug.ops.CorrelatedFeatureMask(("movie_id", "genre", "brand"), rate=0.2),
    aug.ops.ComplementaryFeatureMask(("movie_id", "genre", "brand")),
    aug.ops.FeatureCrop(("genre", "brand", "age")),
    aug.ops.CategorySwap("genre", rate=0.1),
    aug.ops.GaussianNoise("age", stddev=2.0),
    aug.ops.ScaleJitter("age", scale_range=(0.9, 1.1)),
)
SEQUENCE_OPS = (
    aug.ops.HistoryIdDropout("history", rate=0.3),
    aug.ops.SequenceCrop("history"),
    aug.ops.SequenceMask("history"),
    aug.ops.SequenceReorder("history"),
    aug.ops.SequenceSubstitute("history"),
    aug.ops.SequenceInsert("history"),
)
TEXT_OPS = (
    aug.ops.TokenDropout("query", rate=0.1),
    aug.ops.TokenSwap("query", rate=0.1),
    aug.ops.CharTypos("query", rate=0.05),
)
TOGETHER = (
    *(FEATURE_OPS[i] for i in (0, 2, 3, 7)),
    *(SEQUENCE_OPS[i] for i in (0, 1, 4)),
)


def batches() -> list[dict[str, tf.Tensor]]:
    """Rows of `layer_cost`, with a brand, a history of up to 20 ids and a query of 1 to 5 words."""
    numbers = np.random.default_rng(1)
    rows = layer_cost.batches()
    for batch in rows:
        lengths = numbers.integers(1, LENGTH + 1, size=layer_cost.BATCH)
        total = int(lengths.sum())
        places = np.minimum(
            numbers.pareto(1.0, total) * layer_cost.ITEMS / 50, layer_cost.ITEMS - 1
        )
        ids = tf.constant([f"m{i}" for i in places.astype(int)])
        batch["history"] = tf.RaggedTensor.from_row_lengths(ids, lengths)
        batch["brand"] = tf.constant(
            [f"b{i}" for i in numbers.integers(300, size=layer_cost.BATCH)]
        )
        words = [
            " ".join(f"word{i}" for i in numbers.integers(WORDS, size=numbers.integers(1, 6)))
            for _ in range(layer_cost.BATCH)
        ]
        batch["query"] = tf.constant(words)
    return rows


class HistoryTwoTower(layer_cost.TwoTower):
    """`layer_cost.TwoTower` whose query has the mean embeddings of a history and of a text's words."""

    def __init__(self):
        super().__init__()
        self.word_model = layer_cost.embedding("word", WORDS, 32)
        self.brand_model = layer_cost.embedding("b", 300, 16)

    def candidate(self, features):
        age = features["age"][:, tf.newaxis] / 70.0
        parts = [self.item_model(features["movie_id"]), self.genre_model(features["genre"])]
        return self.candidate_head(
            tf.concat([*parts, self.brand_model(features["brand"]), age], axis=1)
        )

    def compute_loss(self, features, training=False):
        history = tf.reduce_mean(self.item_model(features["history"]), axis=1)
        words = tf.reduce_mean(self.word_model(tf.strings.split(features["query"])), axis=1)
        query = tf.concat([self.user_model(features["user_id"]), history, words], axis=1)
        return self.task(
            self.query_head(tf.where(tf.math.is_finite(query), query, 0.0)),
            self.candidate(features),
            candidate_ids=features["movie_id"],
        )


def candidate(model: HistoryTwoTower, features) -> tf.Tensor:
    return model.candidate(features)


def catalogue() -> dict[str, np.ndarray]:
    """The columns of all items."""
    numbers = np.random.default_rng(2)
    return {
        "movie_id": np.array([f"m{i}" for i in range(layer_cost.ITEMS)], "S"),
        "genre": np.array([f"g{i}" for i in numbers.integers(20, size=layer_cost.ITEMS)], "S"),
        "brand": np.array([f"b{i}" for i in numbers.integers(300, size=layer_cost.ITEMS)], "S"),
        "age": numbers.uniform(1, 70, layer_cost.ITEMS).astype(np.float32),
    }


def losses() -> dict[str, list]:
    """The losses, a list for `wrap` each."""
    items, tasks = catalogue(), aug.tasks
    views = aug.AugmentationPolicy([aug.ops.FeatureMask(("genre", "brand"), rate=0.5)])
    return {
        "Contrastive, 256 rows": [tasks.Contrastive(candidate, mask=ITEM_FEATURES, items=items)],
        "Consistency, 256 rows": [tasks.Consistency(candidate, views=views)],
        "MixedNegatives, 1,024 items": [
            tasks.MixedNegatives(candidate, items, 1024, ids="movie_id")
        ],
        "HardNegatives, 8 of 1,024": [
            tasks.HardNegatives(candidate, items, 1024, 8, ids="movie_id")
        ],
    }


def alone(op: aug.ops.Op, rows: list[dict[str, tf.Tensor]]):
    """A function that augments the next batch by one op and does nothing else."""
    policy = fitted([op], rows)
    augment = tf.function(
        lambda columns, draw: [policy.augment(columns, draw=draw)[name] for name in op.features],
        reduce_retracing=True,
    )
    feed, draws = itertools.cycle(rows), itertools.count()
    return lambda: augment(next(feed), tf.constant(next(draws)))


def fitted(ops, rows) -> aug.AugmentationPolicy:
    return aug.fitting.fit(aug.AugmentationPolicy(ops, key_features=KEYS), rows)


def main() -> None:
    arguments = _common.parse(__doc__)
    tf.config.threading.set_intra_op_parallelism_threads(layer_cost.THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(layer_cost.THREADS)
    rows = batches()
    quick = arguments.quick
    ops = {op.id: op for op in (*FEATURE_OPS, *SEQUENCE_OPS, *TEXT_OPS)}
    if quick:
        ops = {op.id: op for op in TOGETHER}
    wrapped = {"policy of seven": aug.wrap(HistoryTwoTower(), fitted(TOGETHER, rows))}
    for name, tasks in list(losses().items())[: 1 if quick else None]:
        wrapped[name] = aug.wrap(HistoryTwoTower(), None, tasks=tasks)
    peers = {"none": layer_cost.step(HistoryTwoTower(), rows)}
    peers |= {name: layer_cost.step(model, rows) for name, model in wrapped.items()}
    peers |= {name: alone(op, rows) for name, op in ops.items()}
    timings = _common.alternate(peers, runs=5 if quick else 40, warm_up=1 if quick else 3)
    share = {name: _common.ratio(timings, name, "none", clock="wall") for name in peers}
    table = _common.rows_of(timings, 1, "ms")
    for row in table:
        added = share[row[0]] - (1 if row[0] in (*wrapped, "none") else 0)
        row.append(f"{added:.1%}")
    _common.finish(
        "op_cost",
        {
            "feature_and_sequence_share": share["policy of seven"] - 1,
            "contrastive_step_ratio": share["Contrastive, 256 rows"],
        },
        header=[
            "op or loss",
            "CPU ms: median (range)",
            "wall ms: median (range)",
            "of a step",
        ],
        table=table,
        notes=f"Training steps of a two-tower at batch {layer_cost.BATCH:,}, its query of a history of 1 to "
        f"{LENGTH} items and 1 to 5 words; {layer_cost.THREADS} threads; the peers in turn. Losses and the "
        f"policy of seven ({', '.join(type(op).__name__ for op in TOGETHER)}) as what they add to a step in "
        "`wrap`; single ops as functions of their own.",
        write=not quick,
    )


if __name__ == "__main__":
    main()
