"""Layers that mix images of a batch: MixUp of pixels, CutMix of boxes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.layers.mixing import draw_mix
from tfrs_augment.rng import KeyedRng

COUNT = 60


def shades(count: int = COUNT, height: int = 9, width: int = 7, dtype=tf.uint8):
    """Images of one shade each, the number of the row, and the same number as label."""
    number = np.arange(count)
    photo = np.broadcast_to(number[:, None, None, None], [count, height, width, 3])
    return {"photo": tf.cast(photo, dtype), "label": tf.constant(number, tf.float32)}


def test_mixup_of_images_and_labels_is_one_mix():
    labels = tf.one_hot(np.arange(COUNT) % 5, 5)
    photos = np.random.default_rng(2).integers(0, 256, [COUNT, 6, 4, 3], dtype=np.uint8)
    layer = aug.layers.MixUp(alpha=1.0, draw=0)
    keys = tf.bitcast(tf.range(COUNT, dtype=tf.int64), tf.uint64)
    ratio, partner = draw_mix(KeyedRng(0, keys, 0).fork("mixup"), tf.constant(COUNT), 1.0)
    ratio, partner = ratio.numpy()[:, None, None, None].astype(np.float64), partner.numpy()
    expected = ratio * photos + (1 - ratio) * photos[partner]
    mixed, mixed_labels = layer([tf.constant(photos), labels], training=True)
    assert mixed.dtype == tf.uint8 and np.abs(mixed.numpy() - expected).max() <= 0.5 + 1e-3
    ratio = ratio[:, 0, 0]
    whole = ratio * labels.numpy() + (1 - ratio) * labels.numpy()[partner]
    np.testing.assert_allclose(mixed_labels, whole, atol=1e-6)
    floats, _ = layer([tf.constant(photos, tf.float32), labels], training=True)
    np.testing.assert_allclose(floats, expected, atol=1e-3)
    with pytest.raises(DataError, match="floats, and uint8 images.*Received: uint8 of shape"):
        layer(tf.constant(photos[:, 0, 0]), training=True)


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32, tf.float16])
def test_cutmix_pastes_a_box_and_mixes_the_label_by_its_area(dtype):
    before = {**shades(dtype=dtype), "other": tf.range(COUNT)}
    layer = aug.layers.ImageCutMix("photo", label="label")
    same = layer(before)
    assert same is not before and all(same[name] is before[name] for name in before)
    after = layer(before, training=True)
    assert after["other"] is before["other"]
    assert after["photo"].dtype == dtype and after["photo"].shape == before["photo"].shape
    pasted = 0
    for row, photo in enumerate(after["photo"].numpy().astype(int)):
        assert (photo == photo[..., :1]).all()
        box = photo[..., 0] != row
        # A box: a pixel is in it where its row and its column are.
        np.testing.assert_array_equal(box, box.any(1)[:, None] & box.any(0)[None])
        partners = np.unique(photo[..., 0][box])
        assert len(partners) <= 1 and all(
            (np.diff(np.flatnonzero(box.any(a))) == 1).all() for a in (0, 1)
        )
        partner = partners[0] if len(partners) else row
        assert float(after["label"][row]) == pytest.approx(
            row + box.mean() * (partner - row), rel=1e-5
        )
        pasted += box.any()
    assert pasted > COUNT / 2
    assert not np.array_equal(layer(before, training=True)["photo"], after["photo"])


def test_the_area_is_that_of_the_papers_procedure():
    """Against its few lines in NumPy: one ratio and one box for each image."""
    count, side, rng = 20_000, 32, np.random.default_rng(4)
    keep = rng.beta(1.0, 1.0, count)
    length = np.sqrt(1 - keep) * side
    centres = rng.uniform(0, side, (2, count))
    ends = np.clip(centres + length / 2, 0, side) - np.clip(centres - length / 2, 0, side)
    expected = ends.prod(0) / side**2
    rows = {
        "photo": tf.zeros([count, side, side, 1]),
        "label": tf.cast(tf.range(count), tf.float32),
    }
    # Labels of another partner than oneself tell the share of the area that was taken.
    numbers = tf.stack([tf.ones([count]), rows["label"]], 1)
    layer = aug.layers.ImageCutMix("photo", label="label", draw=0)
    keys = tf.bitcast(tf.range(count, dtype=tf.int64), tf.uint64)
    _, partner = draw_mix(KeyedRng(0, keys, 0).fork("image_cutmix"), tf.constant(count), 1.0)
    labels = layer({**rows, "label": numbers}, training=True)["label"].numpy()
    np.testing.assert_allclose(labels[:, 0], 1.0, atol=1e-6)
    distance = partner.numpy() - np.arange(count)
    far = np.abs(distance) > 100
    taken = ((labels[:, 1] - np.arange(count)) / np.where(far, distance, 1))[far]
    # Whole pixels make steps; the mean and the spread stay.
    assert taken.mean() == pytest.approx(expected.mean(), abs=0.01)
    assert taken.std() == pytest.approx(expected.std(), abs=0.01)


def test_rows_go_by_their_key_and_a_graph_gives_the_same():
    before = shades()
    layer = aug.layers.ImageCutMix("photo", label="label", draw=3, seed=5)
    eager = layer(before, training=True)
    for size in ((None, 9, 7, 3), (None, None, None, 3)):
        graph = tf.function(
            lambda photo, label: layer({"photo": photo, "label": label}, training=True),
            input_signature=[tf.TensorSpec(size, tf.uint8), tf.TensorSpec([None], tf.float32)],
        )(before["photo"], before["label"])
        for name, column in eager.items():
            np.testing.assert_array_equal(column, graph[name])
    keyed = layer(before, key=tf.range(COUNT) + 7, training=True)
    assert not np.array_equal(keyed["photo"], eager["photo"])


def test_a_model_that_holds_it_is_saved_and_loaded(tmp_path):
    inputs = {
        "photo": tf_keras.Input([9, 7, 3], dtype="uint8", name="photo"),
        "label": tf_keras.Input([1], name="label"),
    }
    model = tf_keras.Model(
        inputs, aug.layers.ImageCutMix("photo", label="label", alpha=0.7, draw=1)(inputs)
    )
    fed = shades(12) | {"label": tf.range(12, dtype=tf.float32)[:, None]}
    expected = model(fed, training=True)
    model.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    for name, column in loaded(fed, training=True).items():
        np.testing.assert_array_equal(column, expected[name])


def test_images_of_one_pixel_and_no_images():
    layer = aug.layers.ImageCutMix("photo", label="label")
    dots = layer(shades(COUNT, 1, 1), training=True)
    # A pixel is the image's own or the partner's, and the label says whose.
    np.testing.assert_allclose(dots["photo"][:, 0, 0, 0].numpy(), dots["label"], atol=1e-4)
    empty = layer(shades(0), training=True)
    assert empty["photo"].shape == (0, 9, 7, 3) and empty["label"].shape == (0,)
    for column in aug.layers.MixUp()(shades(0), training=True).values():
        assert len(column) == 0


def test_arguments_and_columns_are_checked():
    for arguments, message in (
        ({"feature": ("photo",), "label": "label"}, "`feature` of ImageCutMix must be the name"),
        ({"feature": "photo", "label": ""}, "`label` of ImageCutMix must be the name"),
        ({"feature": "photo", "label": "photo"}, "`label` of ImageCutMix must be another column"),
        ({"feature": "photo", "label": "label", "alpha": 0}, "`alpha` of ImageCutMix must be"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            aug.layers.ImageCutMix(**arguments)
    layer, rows = aug.layers.ImageCutMix("photo", label="label"), shades()
    for changed, error, message in (
        ({"photo": rows["photo"][..., 0]}, DataError, "ImageCutMix takes images as one dense column"),
        ({"photo": rows["photo"][:, :0]}, DataError, "ImageCutMix takes images of at least one pixel"),
        ({"photo": tf.cast(rows["photo"], tf.int32)}, DataError, "type int32. Cast it."),
        ({"label": tf.range(COUNT)}, DataError, "label 'label' of ImageCutMix must be dense floats"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            layer({**rows, **changed}, training=True)
    with pytest.raises(UnknownFeatureError, match="ImageCutMix needs feature 'photo'"):
        layer({"photos": rows["photo"], "label": rows["label"]}, training=True)
