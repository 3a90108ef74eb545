"""Presets: what they are made of, and that each trains a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tfrs_augment import presets

KEYS = ("user_id", "movie_id")
ROWS = {
    "user_id": tf.constant([f"u{i % 5}" for i in range(64)]),
    "movie_id": tf.constant([f"m{i % 9}" for i in range(64)]),
    "genre": tf.constant([f"g{i % 3}" for i in range(64)]),
    "query": tf.constant([f"red hat {i % 4}" for i in range(64)]),
    "history": tf.ragged.constant([[f"m{j % 9}" for j in range(i % 4)] for i in range(64)]),
    "rating": tf.constant([float(i % 5) for i in range(64)]),
}
ITEMS = {
    "movie_id": np.array([f"m{i}" for i in range(9)], "S"),
    "genre": np.array([f"g{i % 3}" for i in range(9)], "S"),
}


def table(size: int) -> tf_keras.Sequential:
    layers = [tf_keras.layers.Hashing(size), tf_keras.layers.Embedding(size, 4)]
    return tf_keras.Sequential(layers)


class Retrieval(tfrs.Model):
    def __init__(self):
        super().__init__()
        self.users, self.movies, self.genres, self.words = (table(64) for _ in range(4))
        self.task = tfrs.tasks.Retrieval()

    def item(self, features):
        return self.movies(features["movie_id"]) + self.genres(features["genre"])

    def compute_loss(self, features, training=False):
        history = tf.reduce_sum(self.movies(features["history"]), axis=1)
        words = tf.reduce_sum(self.words(tf.strings.split(features["query"])), axis=1)
        query = self.users(features["user_id"]) + history + words
        return self.task(query, self.item(features), compute_metrics=False)


class Ranking(tfrs.Model):
    def __init__(self):
        super().__init__()
        self.users, self.movies, self.head = table(64), table(64), tf_keras.layers.Dense(1)
        self.task = tfrs.tasks.Ranking(loss=tf_keras.losses.MeanSquaredError())

    def embed(self, features):
        parts = [self.users(features["user_id"]), self.movies(features["movie_id"])]
        return tf.concat(parts, axis=1)

    def compute_loss(self, features, training=False):
        predictions = self.head(self.embed(features))
        return self.task(labels=features["rating"][:, None], predictions=predictions)


def item(model, features):
    return model.item(features)


PRESETS = {
    "cold_start": lambda **options: presets.cold_start(
        "movie_id", key_features=KEYS, item_features=("genre",), user_id="user_id", **options
    ),
    "sequential": lambda **options: presets.sequential(
        "movie_id", "history", key_features=KEYS, **options
    ),
    "sparse": lambda **options: presets.sparse(
        "movie_id",
        ("genre",),
        tower=item,
        items=ITEMS,
        history="history",
        key_features=KEYS,
        **options,
    ),
    "search_ads": lambda **options: presets.search_ads("query", key_features=KEYS, **options),
    "ranking": lambda **options: presets.ranking(
        predict=lambda model, embedded: model.head(embedded),
        embed=lambda model, features: model.embed(features),
        label="rating",
        ids=KEYS,
        key_features=KEYS,
        **options,
    ),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains_a_model_otherwise_than_without_it(name):
    def weights(preset):
        tf_keras.utils.set_random_seed(3)
        model = Ranking() if name == "ranking" else Retrieval()
        if preset is not None:
            assert preset.fit(ROWS).wrap(model) is model
        model.compile(tf_keras.optimizers.SGD(0.1))
        model.fit(tf.data.Dataset.from_tensor_slices(ROWS).batch(32), epochs=1, verbose=0)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    plain, one, again, other = (
        weights(preset)
        for preset in (None, PRESETS[name](), PRESETS[name](), PRESETS[name](seed=5))
    )
    assert plain.shape == one.shape
    np.testing.assert_array_equal(one, again)
    assert (one != plain).any()
    assert (one != other).any()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_a_policy_that_is_a_file(name):
    policy = PRESETS[name]().policy
    config = json.loads(json.dumps(policy.get_config()))
    assert aug.AugmentationPolicy.from_config(config) == policy
    assert policy.ops


def test_rates_by_popularity_must_be_fitted():
    with pytest.raises(aug.errors.InvalidArgumentError, match="needs a fitted policy"):
        PRESETS["sparse"]().wrap(Retrieval())


def test_what_does_not_apply_is_left_out():
    preset = presets.cold_start("movie_id", key_features=KEYS)
    assert [op.id for op in preset.policy.ops] == ["id_dropout:movie_id"]
    assert preset.tasks == ()


def test_views_need_a_second_feature():
    with pytest.raises(aug.errors.InvalidArgumentError, match="`item_features` of sparse must"):
        presets.sparse("movie_id", (), tower=item, items=ITEMS, key_features=KEYS)
