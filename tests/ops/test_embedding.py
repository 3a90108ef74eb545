"""Ops on embeddings: the contract, with their layers in place of Augment."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import Case, OpContract, batch
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops.embedding import EmbeddingDropout, EmbeddingNoise


class TestEmbeddingOps(OpContract):
    cases = (
        Case(EmbeddingNoise("vector", scale=0.1, rate=0.6), 0.6, per_row=True),
        Case(
            EmbeddingNoise("vector", scale=0.1, kind="simgcl", rate=0.6, id="simgcl"),
            0.6,
            per_row=True,
        ),
        Case(EmbeddingDropout("vector", rate=0.3), 0.3, per_row=True),
    )

    def test_keras_and_saved_model_round_trips(self, case):
        """Augment refuses them and names the layer; tests/layers/test_embedding.py saves that."""
        name = type(case.op).__name__
        with pytest.raises(InvalidArgumentError, match=f"use aug.layers.{name} in the model"):
            aug.layers.Augment(self.policy(case.op))


def test_simgcl_noise_has_its_norm_and_the_signs_of_the_vector():
    numbers = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    op = EmbeddingNoise("vector", scale=0.25, kind="simgcl")
    policy = aug.AugmentationPolicy([op], key_features=("row",))
    noisy = policy.augment({"row": tf.range(300), "vector": tf.constant(numbers)})["vector"]
    noise = noisy.numpy() - numbers
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), 0.25, rtol=1e-4)
    assert (np.sign(noise) == np.sign(numbers)).all()
    # Uniform before the norm: no number of a vector is favoured.
    shares = np.abs(noise).mean(axis=0)
    assert shares.std() < 0.1 * shares.mean()


def test_gaussian_noise_has_its_deviation():
    op = EmbeddingNoise("vector", scale=0.5)
    policy = aug.AugmentationPolicy([op], key_features=("row",))
    rows = {"row": tf.range(500), "vector": tf.zeros([500, 3, 8])}
    noise = policy.augment(rows)["vector"].numpy()
    assert abs(noise.mean()) < 5 * 0.5 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(0.5, rel=0.05)


def test_each_vector_of_a_row_is_dropped_by_itself():
    policy = aug.AugmentationPolicy([EmbeddingDropout("v", rate=0.5)], key_features=("row",))
    kept = policy.augment({"row": tf.range(400), "v": tf.ones([400, 3, 4])})["v"].numpy()
    assert set(kept.sum(axis=2).ravel()) == {0.0, 4.0}
    assert len({tuple(row) for row in kept[:, :, 0]}) == 8


def test_arguments_and_columns_are_checked():
    for arguments, message in (
        ({"scale": -1.0}, "`scale` must be a finite number of at least 0. Received: scale=-1.0"),
        ({"scale": 1.0, "kind": "cauchy"}, "`kind` must be one of gaussian, simgcl"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            EmbeddingNoise("vector", **arguments)
    policy = aug.AugmentationPolicy([EmbeddingDropout("number", rate=0.5)], key_features=("row",))
    with pytest.raises(DataError, match=r"takes dense vectors, \[batch, ..., dim\]. Received:"):
        policy.augment(batch())


def test_the_places_that_take_features_refuse_them_by_the_name_of_the_layer():
    both = aug.ops.Sequential(
        [EmbeddingNoise("vector", scale=0.1), EmbeddingDropout("vector", rate=0.1)]
    )
    policy = aug.AugmentationPolicy([both], key_features=("row",))
    layers = "use aug.layers.EmbeddingNoise, aug.layers.EmbeddingDropout in the model"
    with pytest.raises(InvalidArgumentError, match=layers):
        aug.layers.Augment(policy)
    with pytest.raises(InvalidArgumentError, match=layers):
        aug.beam.run(policy, input="none.tfrecord", output="none")
