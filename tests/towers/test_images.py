"""The encoder of photos."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.towers import CNN

IMAGES = np.random.default_rng(5).integers(0, 256, [6, 20, 15, 3], dtype=np.uint8)


def test_bytes_and_floats_of_the_unit_interval_are_read_alike():
    layer = CNN(dim=5, filters=(4, 4, 8))
    found = layer(IMAGES)
    assert found.shape == (6, 5) and found.dtype == tf.float32
    np.testing.assert_allclose(
        found, layer((IMAGES / 255).astype(np.float32)), rtol=1e-4, atol=1e-6
    )


def test_the_default_is_the_network_of_three_convolutions():
    layer = CNN(dim=1)
    layer(IMAGES)
    shapes = [tuple(weight.shape) for weight in layer.weights if weight.shape.rank > 1]
    # Three times halved, rounded up: 20 x 15 becomes 3 x 2.
    assert shapes == [(3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64), (3 * 2 * 64, 64), (64, 1)]


def test_dropout_acts_in_training_alone():
    layer = CNN(dim=5, filters=(4,), dropout=0.5)
    np.testing.assert_array_equal(layer(IMAGES), layer(IMAGES, training=False))
    assert np.abs(layer(IMAGES, training=True) - layer(IMAGES)).max() > 0


def test_it_learns_and_survives_saving(tmp_path):
    tf_keras.utils.set_random_seed(1)
    labels = np.arange(6) % 2
    bright = np.where(labels[:, None, None, None], IMAGES // 2 + 128, IMAGES // 2).astype(np.uint8)
    model = tf_keras.Sequential(
        [tf_keras.Input([20, 15, 3], dtype="uint8"), CNN(1, filters=(4, 4), hidden=8, dropout=0.0)]
    )
    model.compile(
        tf_keras.optimizers.Adam(0.01), tf_keras.losses.BinaryCrossentropy(from_logits=True)
    )
    history = model.fit(bright, labels, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.2 < history[0]
    model.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(
        tmp_path / "model.keras", custom_objects={"CNN": CNN}, compile=False
    )
    np.testing.assert_allclose(loaded(bright), model(bright), rtol=1e-5)


def test_images_that_are_flat_lose_no_more_than_their_side():
    assert CNN(dim=2, filters=(2, 2, 2))(np.zeros([1, 1, 9, 1], np.uint8)).shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "`dim` must be an integer of at least 1. Received: dim=0"),
        ({"filters": ()}, "`filters` must be at least one"),
        ({"filters": (8, 0)}, r"`filters\[1\]` must be"),
        ({"hidden": 1.5}, "`hidden` must be"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        CNN(**options)
