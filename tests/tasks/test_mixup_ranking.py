"""MixUp as a loss of a ranking model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.tasks.mixup_ranking import draw_near

ROWS = {
    "id": tf.constant(["a", "b", "c", "d", "e"]),
    "age": tf.constant([0.0, 1.0, 2.0, 3.0, 4.0]),
    "rating": tf.constant([5, 1, 2, 0, 3]),
}


class Seen:
    """Predicts the age; keeps the rows that it is given."""

    def __call__(self, model, features):
        self.rows = features
        return features["age"][:, None]


def ratios_of(mixed_ages: np.ndarray, mixed_labels: np.ndarray, rows: int = 5):
    """The pairs (partner, ratio) that explain both, found by trying every partner."""
    ages, ratings = ROWS["age"].numpy(), ROWS["rating"].numpy()
    found = []
    for row in range(rows):
        fits = set()
        for partner in range(rows):
            if partner == row:
                if np.isclose(mixed_ages[row], ages[row]):
                    fits.add((partner, 1.0))
                continue
            ratio = (mixed_ages[row] - ages[partner]) / (ages[row] - ages[partner])
            label = ratio * ratings[row] + (1 - ratio) * ratings[partner]
            if -1e-6 <= ratio <= 1 + 1e-6 and np.isclose(label, mixed_labels[row], atol=1e-4):
                fits.add((partner, round(float(ratio), 5)))
        found.append(fits)
    return found


@pytest.mark.parametrize("embedded", [False, True])
def test_labels_are_mixed_as_the_rows_are(embedded):
    seen, labels = Seen(), []

    def loss(given, predictions):
        labels.append(given.numpy())
        return (given - predictions) ** 2

    if embedded:
        task = aug.tasks.MixUpRanking(
            lambda model, mixed: seen(model, {"age": mixed[:, 0]}),
            embed=lambda model, features: features["age"][:, None],
            label="rating",
            loss=loss,
            alpha=1.0,
        )
    else:
        task = aug.tasks.MixUpRanking(seen, features=("age",), label="rating", loss=loss, alpha=1.0)
    smallest = 1.0
    for draw in range(20):
        value = float(task(None, ROWS, draw=draw))
        ages = seen.rows["age"].numpy()
        assert value == pytest.approx(np.mean((labels[-1] - ages) ** 2), rel=1e-5)
        fits = ratios_of(ages, labels[-1])
        assert all(fits)
        smallest = min(smallest, *(max(r for _, r in one) for one in fits))
    # Where ids are not mixed the row outweighs its partner.
    assert (smallest < 0.4) if embedded else (smallest >= 0.5)
    assert float(task(None, ROWS, draw=3)) != float(task(None, ROWS, draw=4))


def test_partners_are_drawn_by_the_distance_of_their_labels():
    values = tf.constant([1.0, 2.0, 2.0, 5.0])
    uniform = tf.constant((np.arange(4000) + 0.5) / 4000, tf.float32)
    drawn = [draw_near(values, 0.5, tf.fill([4], u)).numpy() for u in uniform[::8]]
    shares = np.stack([np.bincount(column, minlength=4) / 500 for column in np.transpose(drawn)])
    distance = values.numpy()[:, None] - values.numpy()
    expected = np.exp(-(distance**2) / (2 * 0.5**2))
    np.testing.assert_allclose(shares, expected / expected.sum(1, keepdims=True), atol=0.005)


def test_a_narrow_bandwidth_mixes_rows_of_one_label():
    rows = {
        "age": tf.constant(np.arange(60), tf.float32),
        "rating": tf.constant(np.arange(60) % 3, tf.float32)[:, None],
    }
    labels = []

    def loss(given, predictions):
        labels.append(given.numpy())
        return (given - predictions) ** 2

    seen = Seen()
    task = aug.tasks.MixUpRanking(
        seen, features=("age",), label="rating", loss=loss, alpha=1.0, bandwidth=0.01
    )
    task(None, rows, draw=1)
    np.testing.assert_allclose(labels[0], rows["rating"][:, 0], atol=1e-5)
    moved = np.abs(seen.rows["age"].numpy() - rows["age"].numpy())
    assert (moved > 0.1).mean() > 0.5, "rows were mixed, with others of their label"


def test_in_wrap_a_tutorial_model_trains_on_it():
    task = aug.tasks.MixUpRanking(
        lambda model, embedded: model.ratings(embedded),
        embed=lambda model, features: tf.concat(
            [model.user_model(features["user_id"]), model.movie_model(features["movie_title"])], 1
        ),
        label="user_rating",
        loss=tf_keras.losses.MeanSquaredError(),
    )
    model = aug.wrap(tutorials.Ranking(), None, tasks=[task])
    model.compile(tf_keras.optimizers.Adagrad(0.5))
    losses = model.fit(tutorials.dataset(), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_arguments_are_checked():
    def predict(model, features):
        return features["age"]

    for arguments, message in (
        ({}, "either `embed`, a function of \\(model, features\\), or `features`"),
        ({"features": ("age",), "embed": predict}, "either `embed`"),
        ({"features": ()}, "`features` of MixUpRanking must name numeric columns"),
        ({"features": ("rating",)}, "and not the label"),
        ({"features": ("age",), "label": ""}, "`label` of MixUpRanking must be the name"),
        ({"features": ("age",), "alpha": 0}, "`alpha` of MixUpRanking must be a number in"),
        ({"features": ("age",), "bandwidth": 0}, "`bandwidth` of MixUpRanking must be None or"),
        ({"features": ("age",), "loss": 1}, "`loss` of MixUpRanking must be a function"),
        ({"features": ("age",), "batch_size": 0}, "`batch_size` of MixUpRanking must be"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            aug.tasks.MixUpRanking(predict, **{"label": "rating", **arguments})
    task = aug.tasks.MixUpRanking(predict, label="stars", features=("age",))
    with pytest.raises(UnknownFeatureError, match="'stars'.*must be a column of the features"):
        task(None, ROWS)
    task = aug.tasks.MixUpRanking(predict, label="rating", features=("id",))
    with pytest.raises(DataError, match="takes dense numbers. Received: 'id' of string"):
        task(None, ROWS)
    counts = {**ROWS, "age": tf.range(5)}
    task = aug.tasks.MixUpRanking(predict, label="rating", features=("age",))
    with pytest.raises(DataError, match="mixes floats. Received: 'age' of int32"):
        task(None, counts)
