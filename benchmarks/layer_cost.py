"""What augmentation adds to the training step of a two-tower model.

    python benchmarks/layer_cost.py [--quick]

Figures: `step_time_ratio` (bar 1.05), the time of a training step with IdDropout, FeatureMask and
GaussianNoise in `layers.Augment` over that of the same model without; `wrap_step_time_ratio`, the same with
`wrap` in place of the layer. Wall time, the median of paired runs; the table has CPU time beside it.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import itertools

import _common

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

BATCH, BATCHES, THREADS = 4096, 8, 2
USERS, ITEMS, GENRES, WIDTH = 20_000, 10_000, 20, 64


def batches() -> list[dict[str, tf.Tensor]]:
    """Rows with ids that follow a power law, a category and a number."""
    numbers = np.random.default_rng(0)

    def ids(prefix: str, count: int) -> tf.Tensor:
        drawn = np.minimum(numbers.pareto(1.0, BATCH) * count / 50, count - 1).astype(int)
        return tf.constant([f"{prefix}{i}" for i in drawn])

    return [
        {
            "user_id": ids("u", USERS),
            "movie_id": ids("m", ITEMS),
            "genre": tf.constant([f"g{i}" for i in numbers.integers(GENRES, size=BATCH)]),
            "age": tf.constant(numbers.uniform(1, 70, BATCH), tf.float32),
            "timestamp": tf.constant(numbers.integers(1 << 40, size=BATCH)),
        }
        for _ in range(BATCHES)
    ]


POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("movie_id", rate=0.2),
        aug.ops.FeatureMask(("genre",), rate=0.2),
        aug.ops.GaussianNoise("age", stddev=2.0),
    ],
    key_features=("user_id", "movie_id", "timestamp"),
)


def embedding(prefix: str, count: int, width: int) -> tf_keras.Sequential:
    vocabulary = [f"{prefix}{i}" for i in range(count)]
    return tf_keras.Sequential(
        [
            tf_keras.layers.StringLookup(vocabulary=vocabulary, mask_token=None),
            tf_keras.layers.Embedding(count + 1, width),
        ]
    )


class TwoTower(tfrs.Model):
    """Towers of StringLookup, embedding and two dense layers; in-batch softmax."""

    def __init__(self, augment: tf_keras.layers.Layer | None = None):
        super().__init__()
        self.augment = augment
        self.user_model, self.item_model = (
            embedding("u", USERS, WIDTH),
            embedding("m", ITEMS, WIDTH),
        )
        self.genre_model = embedding("g", GENRES, 16)
        self.query_head, self.candidate_head = (
            tf_keras.Sequential(
                [tf_keras.layers.Dense(128, activation="relu"), tf_keras.layers.Dense(WIDTH)]
            )
            for _ in range(2)
        )
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True)

    def compute_loss(self, features, training=False):
        ids = features["movie_id"]
        if self.augment is not None:
            features = self.augment(features, training=training)
        age = features["age"][:, tf.newaxis] / 70.0
        query = tf.concat([self.user_model(features["user_id"]), age], axis=1)
        items = [self.item_model(features["movie_id"]), self.genre_model(features["genre"])]
        return self.task(
            self.query_head(query),
            self.candidate_head(tf.concat(items, axis=1)),
            candidate_ids=ids,
        )


def step(model: TwoTower, rows: list[dict[str, tf.Tensor]]):
    """A function that trains `model` on the next batch."""
    model.compile(tf_keras.optimizers.Adagrad(0.05))
    train = tf.function(model.train_step, reduce_retracing=True)
    feed = itertools.cycle(rows)
    return lambda: train(next(feed))["loss"].numpy()


def augmentation(rows: list[dict[str, tf.Tensor]]):
    """A function that augments the next batch and does nothing else."""
    augment = tf.function(lambda columns, draw: list(POLICY.augment(columns, draw=draw).values()))
    feed, draws = itertools.cycle(rows), itertools.count()
    return lambda: augment(next(feed), tf.constant(next(draws)))


def main() -> None:
    arguments = _common.parse(__doc__)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    rows = batches()
    peers = {
        "none": step(TwoTower(), rows),
        "layers.Augment": step(TwoTower(aug.layers.Augment(POLICY)), rows),
        "wrap": step(aug.wrap(TwoTower(), POLICY), rows),
        "the policy alone": augmentation(rows),
    }
    timings = _common.alternate(
        peers, runs=9 if arguments.quick else 100, warm_up=1 if arguments.quick else 3
    )
    _common.finish(
        "layer_cost",
        {
            "step_time_ratio": _common.ratio(timings, "layers.Augment", "none", clock="wall"),
            "wrap_step_time_ratio": _common.ratio(timings, "wrap", "none", clock="wall"),
        },
        header=["augmentation", "CPU ms a step: median (range)", "wall ms a step: median (range)"],
        table=_common.rows_of(timings, 1, "ms"),
        notes=f"Training steps of a two-tower at batch {BATCH:,}, StringLookup towers of {USERS:,} users and "
        f"{ITEMS:,} items, width {WIDTH}; IdDropout, FeatureMask, GaussianNoise; {THREADS} threads; one step "
        "of each peer in turn.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
