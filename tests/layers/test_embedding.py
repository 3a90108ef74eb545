"""Layers on embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug

LAYERS = (
    lambda **k: aug.layers.EmbeddingNoise(0.2, **k),
    lambda **k: aug.layers.EmbeddingNoise(0.2, kind="simgcl", rate=0.7, **k),
    lambda **k: aug.layers.EmbeddingDropout(0.4, **k),
)
INPUTS = tf.constant(np.random.default_rng(0).normal(size=(64, 5)), tf.float32)


@pytest.fixture(params=LAYERS, ids=["gaussian", "simgcl", "dropout"])
def make(request):
    return request.param


def test_only_training_changes_embeddings_and_each_call_draws_anew(make):
    layer = make()
    assert layer(INPUTS) is INPUTS and layer(INPUTS, training=False) is INPUTS
    first, second = layer(INPUTS, training=True), layer(INPUTS, training=True)
    assert first.shape == INPUTS.shape and not np.allclose(first, INPUTS)
    assert not np.allclose(first, second)
    assert int(layer.variables[0]) == 2 and not layer.trainable_variables
    np.testing.assert_array_equal(make(draw=1)(INPUTS, training=True), second)
    assert not np.allclose(make(seed=1)(INPUTS, training=True), first)


def test_rows_draw_by_their_key_where_there_is_one(make):
    layer, ids = make(draw=3), tf.constant([f"i{i % 32}" for i in range(64)])
    order = np.random.default_rng(1).permutation(64)
    whole = layer(INPUTS, key=ids, training=True)
    shuffled = layer(tf.gather(INPUTS, order), key=tf.gather(ids, order), training=True)
    np.testing.assert_array_equal(tf.gather(whole, order), shuffled)
    same = layer(tf.ones([64, 5]), key=ids, training=True).numpy()
    np.testing.assert_array_equal(same[:32], same[32:])


def test_models_that_hold_it_are_saved_and_loaded(make, tmp_path):
    inputs = tf_keras.Input([5])
    model = tf_keras.Model(inputs, make(seed=5)(inputs))
    model(INPUTS, training=True)
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "saved", save_format="tf")
    loaded = [tf_keras.models.load_model(tmp_path / name) for name in ("model.keras", "saved")]
    expected = model(INPUTS, training=True)
    for one in loaded:
        np.testing.assert_allclose(one(INPUTS, training=True), expected, rtol=1e-6)
        np.testing.assert_array_equal(one(INPUTS), INPUTS)


def test_gradients_pass_through_what_is_kept(make):
    table = tf.Variable(tf.ones([64, 5]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(make()(table + 0.0, training=True))
    gradient = tape.gradient(loss, table).numpy()
    assert set(np.unique(gradient)) <= {0.0, 1.0} and gradient.sum() > 0


def test_types_are_kept_under_mixed_precision():
    layer = aug.layers.EmbeddingNoise(0.1, dtype="mixed_float16")
    for dtype in (tf.float16, tf.float32):
        assert layer(tf.cast(INPUTS, dtype), training=True).dtype == dtype
