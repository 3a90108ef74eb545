"""The models of TFRS's tutorials, small, and rows to train them on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug

USERS = [f"u{i}" for i in range(10)]
MOVIES = [f"m{i}" for i in range(20)]
BATCH = 16
KEYS = ("user_id", "movie_title", "row")


def rows(count: int = 4 * BATCH) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)
    return {
        "user_id": numbers.choice(USERS, count),
        "movie_title": numbers.choice(MOVIES, count),
        "user_rating": numbers.integers(1, 6, count).astype(np.float32),
        "age": numbers.uniform(1, 70, count).astype(np.float32),
        "row": np.arange(count),
    }


def dataset(count: int = 4 * BATCH) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(rows(count)).batch(BATCH)


def batch(number: int = 0) -> dict[str, tf.Tensor]:
    return next(iter(dataset().skip(number)))


def policy(rate: float = 0.5, **arguments) -> aug.AugmentationPolicy:
    arguments.setdefault("key_features", KEYS)
    return aug.AugmentationPolicy([aug.ops.IdDropout("movie_title", rate=rate)], **arguments)


def tower(vocabulary: list[str]) -> tf_keras.Sequential:
    return tf_keras.Sequential(
        [
            tf_keras.layers.StringLookup(vocabulary=vocabulary, mask_token=None),
            tf_keras.layers.Embedding(len(vocabulary) + 1, 8),
        ]
    )


def top_k_metric(movie_model: tf_keras.Model) -> tfrs.metrics.FactorizedTopK:
    movies = tf.data.Dataset.from_tensor_slices(MOVIES).batch(8)
    return tfrs.metrics.FactorizedTopK(candidates=movies.map(movie_model), ks=(5,))


def ranking_task(reduction: str) -> tfrs.tasks.Ranking:
    return tfrs.tasks.Ranking(
        loss=tf_keras.losses.MeanSquaredError(reduction),
        metrics=[tf_keras.metrics.RootMeanSquaredError()],
    )


class Retrieval(tfrs.Model):
    """Basic retrieval, with accidental hits removed."""

    def __init__(self, top_k: bool = True):
        super().__init__()
        self.movie_model, self.user_model = tower(MOVIES), tower(USERS)
        metrics = top_k_metric(self.movie_model) if top_k else None
        self.task = tfrs.tasks.Retrieval(metrics=metrics, remove_accidental_hits=True)

    def compute_loss(self, features, training=False):
        return self.task(
            self.user_model(features["user_id"]),
            self.movie_model(features["movie_title"]),
            candidate_ids=features["movie_title"],
            compute_metrics=not training,
        )


class Ranking(tfrs.Model):
    """Ranking: `compute_loss` pops the label from the features."""

    def __init__(self, reduction: str = "auto"):
        super().__init__()
        self.movie_model, self.user_model = tower(MOVIES), tower(USERS)
        self.ratings = tf_keras.Sequential(
            [tf_keras.layers.Dense(8, activation="relu"), tf_keras.layers.Dense(1)]
        )
        self.task = ranking_task(reduction)

    def call(self, features):
        embedded = [
            self.user_model(features["user_id"]),
            self.movie_model(features["movie_title"]),
        ]
        return self.ratings(tf.concat(embedded, axis=1))

    def compute_loss(self, features, training=False):
        labels = features.pop("user_rating")
        return self.task(labels=labels, predictions=self(features)[:, 0])


class MultiTask(tfrs.Model):
    """Ratings and retrieval from the same towers."""

    def __init__(self, reduction: str = "auto", top_k: bool = True):
        super().__init__()
        self.movie_model, self.user_model = tower(MOVIES), tower(USERS)
        self.rating_model = tf_keras.Sequential(
            [tf_keras.layers.Dense(8, activation="relu"), tf_keras.layers.Dense(1)]
        )
        self.rating_task = ranking_task(reduction)
        metrics = top_k_metric(self.movie_model) if top_k else None
        self.retrieval_task = tfrs.tasks.Retrieval(metrics=metrics)

    def call(self, features):
        user = self.user_model(features["user_id"])
        movie = self.movie_model(features["movie_title"])
        return user, movie, self.rating_model(tf.concat([user, movie], axis=1))

    def compute_loss(self, features, training=False):
        ratings = features.pop("user_rating")
        user, movie, predicted = self(features)
        rating_loss = self.rating_task(labels=ratings, predictions=predicted[:, 0])
        retrieval_loss = self.retrieval_task(user, movie, compute_metrics=not training)
        return rating_loss + retrieval_loss


TUTORIALS = (Retrieval, Ranking, MultiTask)
