"""Predictions under two views."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.errors import InvalidArgumentError

POLICY = aug.AugmentationPolicy(
    [aug.ops.GaussianNoise("age", stddev=0.5)], seed=2, key_features=("id",)
)
ROWS = {"id": tf.range(6), "age": tf.constant([0.3, 1.0, -0.5, 0.2, 2.0, -1.0])}
WEIGHTS = tf.constant([[1.0, -2.0, 0.5]])


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.sum(p * np.log(p / q)))


def views(draw: int, rows: int = 6) -> list[np.ndarray]:
    head = {name: column[:rows] for name, column in ROWS.items()}
    return [POLICY.augment(head, draw=n)["age"].numpy() for n in (2 * draw, 2 * draw + 1)]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_squared_distance_of_a_sub_batch(reduction):
    task = aug.tasks.Consistency(
        lambda model, features: 3.0 * features["age"],
        views=POLICY,
        batch_size=4,
        weight=0.5,
        reduction=reduction,
    )
    first, second = views(7, rows=4)
    expected = 0.5 * np.mean((3 * first - 3 * second) ** 2) * (6 if reduction == "sum" else 1)
    assert float(task(None, ROWS, draw=7)) == pytest.approx(expected, rel=1e-5)
    assert float(task(None, ROWS, training=False)) == 0.0


def test_divergence_of_logits():
    task = aug.tasks.Consistency(
        lambda model, features: features["age"][:, None] * WEIGHTS, views=POLICY, distance="kl"
    )
    first, second = (softmax(view[:, None] * WEIGHTS.numpy()) for view in views(1))
    each = [(divergence(p, q) + divergence(q, p)) / 2 for p, q in zip(first, second)]
    assert float(task(None, ROWS, draw=1)) == pytest.approx(np.mean(each), rel=1e-4)


@pytest.mark.parametrize("shape", [[-1], [-1, 1]])
def test_divergence_of_a_yes_or_no(shape):
    task = aug.tasks.Consistency(
        lambda model, features: tf.reshape(features["age"], shape), views=POLICY, distance="kl"
    )
    chances = [1 / (1 + np.exp(-view)) for view in views(1)]
    pairs = [np.stack([chance, 1 - chance], axis=1) for chance in chances]
    each = [(divergence(p, q) + divergence(q, p)) / 2 for p, q in zip(*pairs)]
    assert float(task(None, ROWS, draw=1)) == pytest.approx(np.mean(each), rel=1e-4)


def test_arguments_are_checked():
    for arguments, message in (
        ({"distance": "cosine"}, "`distance` of Consistency must be one of squared, kl"),
        ({"views": None}, "`policy` of Consistency must be an AugmentationPolicy"),
        ({"batch_size": 0}, "`batch_size` of Consistency must be an integer"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            aug.tasks.Consistency(lambda model, features: 1, **{"views": POLICY, **arguments})
