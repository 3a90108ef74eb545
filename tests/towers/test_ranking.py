"""The ranking model over ratings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import DataError, UnknownFeatureError
from tfrs_augment.towers import Ranking


@pytest.fixture
def rated(rows):
    ratings = np.array([5, 1, 4, 2, 5, 1], np.float32)
    return dataclasses.replace(rows, rows={**rows.rows, "user_rating": ratings})


def test_it_reads_ids_and_features_but_not_the_label_or_the_time(rated):
    model = Ranking(rated, min_count=1)
    assert set(model._encoders) == {"user_id", "item_id", "kind", "price", "tags", "age"}
    features = rated.to_tensors()
    expected = model(features)
    assert expected.shape == (6, 1)
    blind = dict(features, user_rating=tf.zeros(6), timestamp=tf.zeros(6, tf.int64))
    np.testing.assert_array_equal(model(blind), expected)
    np.testing.assert_array_equal(model.score(model.embed(features)), expected)


def test_it_learns_the_ratings_and_its_metric_is_the_rmse(rated):
    tf_keras.utils.set_random_seed(0)
    model = Ranking(rated, min_count=1, dropout=0.0)
    model.compile(tf_keras.optimizers.legacy.Adam(0.02))
    model.fit(rated.dataset(6), epochs=60, verbose=0)
    found = model.evaluate(rated.dataset(6), return_dict=True, verbose=0)
    errors = model(rated.to_tensors())[:, 0].numpy() - rated.rows["user_rating"]
    assert found["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert found["rmse"] < 0.5


def test_it_starts_from_the_mean_of_training(rated):
    model = Ranking(rated, crosses=0, min_count=1)
    model(rated.to_tensors())
    model._deep.set_weights([np.zeros_like(w) for w in model._deep.get_weights()])
    np.testing.assert_allclose(model(rated.to_tensors()), 3.0)


def test_columns_are_checked(rated):
    with pytest.raises(DataError, match="float32 column 'rating'. Did you mean 'user_rating'"):
        Ranking(rated, label="rating")
    with pytest.raises(DataError, match="float32 column 'kind'"):
        Ranking(rated, label="kind")
    with pytest.raises(UnknownFeatureError, match="Did you mean 'price'"):
        Ranking(rated, features=("prise",))
