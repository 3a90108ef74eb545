"""The contract of every op, on a batch of images."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tests import golden
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.ops import Op, op_from_config

ROWS, SIZE = 80, 18


def photos(count: int = ROWS, height: int = SIZE, width: int = SIZE, channels: int = 3):
    """uint8 images with edges and slopes, each another one; their pixels are not 0 or 255."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    number = np.arange(count, dtype=np.float32)[:, None, None]
    planes = [
        128 + 70 * np.sin((0.3 + 0.13 * c) * x + number) * np.cos(0.4 * y + number / (c + 2))
        + 40 * ((x + 2 * y + 3 * c + number) % 7 < 3)
        for c in range(channels)
    ]  # fmt: skip
    return np.clip(np.stack(planes, -1), 2, 253).astype(np.uint8)


def batch() -> dict[str, tf.Tensor]:
    pixels = photos()
    return {
        "row": tf.range(ROWS, dtype=tf.int64),
        "photo": tf.constant(pixels),
        "unit": tf.constant(pixels / 255, tf.float32),
        "grey": tf.constant(pixels[..., :1] / 1.0, tf.float32),
        "alpha": tf.constant(photos(channels=4) / 1.0, tf.float64),
        "mask": tf.constant(pixels[..., :1] // 64, tf.int32),
    }


@dataclasses.dataclass(frozen=True)
class ImageCase:
    """An op to test, at a rate strictly between 0 and 1.

    Attributes:
      op: the op.
      effect_rate: the chance that an image differs afterwards, or (low, high) where no more is known.
    """

    op: Op
    effect_rate: float | tuple[float, float]

    @property
    def name(self) -> str:
        return self.op.id


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        assert found[name].dtype == expected[name].dtype, name
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def take(features, index):
    return {name: tf.gather(column, index) for name, column in features.items()}


def policy(op: Op, seed: int = 11) -> aug.AugmentationPolicy:
    return aug.AugmentationPolicy([op], seed=seed, key_features=("row",))


def apply(op: Op, images, draw: int = 0, **more) -> np.ndarray:
    """What an op makes of an array of images."""
    features = {"row": tf.range(len(images)), op.feature: tf.convert_to_tensor(images), **more}
    return policy(op).augment(features, draw=draw)[op.feature].numpy()


class ImageContract:
    """Inherit, and give `cases`; the tests run on each."""

    cases: tuple[ImageCase, ...] = ()

    def pytest_generate_tests(self, metafunc):
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=lambda case: case.name)

    def test_rate_zero_is_the_identity(self, case):
        op = dataclasses.replace(case.op, rate=0.0)
        assert_equal(policy(op).augment(batch(), draw=1), batch())

    def test_one_augmentation_keeps_what_must_be_kept(self, case):
        features = batch()
        before = dict(features)
        result = policy(case.op).augment(features, draw=1)
        assert all(features[name] is before[name] for name in before)
        assert_equal(features, batch())
        for name, column in features.items():
            assert result[name].dtype == column.dtype and result[name].shape == column.shape
            assert name in case.op.features or result[name] is column
        changed = result[case.op.feature].numpy()
        low, high = case.op.value_range
        assert changed.min() >= low and changed.max() <= high
        values = changed.astype(np.float64)[:3, ::7, ::7].ravel() / (high - low)
        golden.check("images.json", case.name, values.tolist(), rtol=2e-4)

    def test_the_rate_of_the_effect_is_within_its_binomial_bound(self, case):
        augment, changed, draws = tf.function(policy(case.op).augment), 0, 8
        name = case.op.feature
        for draw in range(draws):
            after = augment(batch(), draw=tf.constant(draw))[name].numpy()
            changed += np.sum(np.any(after != batch()[name].numpy(), axis=(1, 2, 3)))
        total = draws * ROWS
        low, high = np.broadcast_to(case.effect_rate, 2)
        slack = 4.9 * np.sqrt(total * high * (1 - high)) + 1
        assert total * low - slack <= changed <= total * high + slack

    def test_the_result_does_not_depend_on_batching_order_or_mode(self, case):
        augment = policy(case.op).augment
        whole = augment(batch(), draw=5)
        order = np.random.default_rng(3).permutation(ROWS)
        for part in (order[:7], order[7:]):
            assert_equal(augment(take(batch(), part), draw=5), take(whole, part))
        assert_equal(tf.function(augment)(batch(), draw=tf.constant(5)), whole)
        dataset = tf.data.Dataset.from_tensor_slices(batch()).batch(ROWS)
        assert_equal(next(iter(dataset.map(lambda rows: augment(rows, draw=5)))), whole)

    def test_draws_and_seeds_matter_and_seed_zero_counts(self, case):
        def changed(seed, draw):
            return policy(case.op, seed).augment(batch(), draw=draw)[case.op.feature].numpy()

        first = changed(0, 0)
        assert np.array_equal(first, changed(0, 0))
        assert not np.array_equal(first, changed(1, 0))
        assert not np.array_equal(first, changed(0, 1))

    def test_an_empty_batch_and_images_of_one_pixel(self, case):
        augment = policy(case.op).augment
        empty = augment(take(batch(), tf.zeros([0], tf.int64)), draw=0)
        assert all(len(column) == 0 for column in empty.values())
        dots = {**batch(), **{n: batch()[n][:, :1, :1] for n in case.op.features}}
        for name, column in augment(dots, draw=0).items():
            assert column.shape == dots[name].shape and column.dtype == dots[name].dtype

    def test_nan_and_values_out_of_range_stay_in_their_image(self, case):
        # Not compiled: that would take longer than all of the rest.
        plain = {"compiled": False} if hasattr(case.op, "compiled") else {}
        op = dataclasses.replace(case.op, rate=1.0, **plain)
        low, high = op.value_range
        features = take(batch(), tf.range(6))
        clean = features[op.feature].numpy().astype(np.float32)
        spoilt = clean.copy()
        spoilt[2, 3, 4] = np.nan
        spoilt[4] = 2 * spoilt[4] - (low + high) / 2
        found, expected = (
            policy(op).augment({**features, op.feature: images}, draw=2)[op.feature].numpy()
            for images in (spoilt, clean)
        )
        sound = [0, 1, 3, 5]
        np.testing.assert_array_equal(found[sound], expected[sound])
        # What is finite stays so, and comes to lie no farther out.
        assert np.isfinite(found[4]).all()
        slack = 1e-5 * (high - low)
        bounds = min(low, spoilt[4].min()) - slack, max(high, spoilt[4].max()) + slack
        assert bounds[0] <= found[4].min() and found[4].max() <= bounds[1]
        known = found[2][~np.isnan(found[2])]
        assert (known >= low - slack).all() and (known <= high + slack).all()

    def test_json_keras_and_saved_model_round_trips(self, case, tmp_path: pathlib.Path):
        assert op_from_config(json.loads(json.dumps(case.op.get_config())), "ops[0]") == case.op
        features = {n: c for n, c in batch().items() if n in (*case.op.features, "row")}
        inputs = {
            n: tf_keras.Input(c.shape[1:], dtype=c.dtype, name=n) for n, c in features.items()
        }
        model = tf_keras.Model(inputs, aug.layers.Augment(policy(case.op), draw=5)(inputs))
        expected = policy(case.op).augment(features, draw=5)
        assert_equal(model(features, training=True), expected)
        model.save(tmp_path / "model.keras")
        loaded = tf_keras.models.load_model(tmp_path / "model.keras")
        assert_equal(loaded(features, training=True), expected)
        model.save(tmp_path / "saved_model", save_format="tf")
        loaded = tf_keras.models.load_model(tmp_path / "saved_model")
        assert_equal(loaded(features, training=True), expected)
        assert_equal(loaded(features, training=False), features)

    def test_bad_columns_are_named(self, case):
        name, augment = case.op.feature, policy(case.op).augment
        with pytest.raises(UnknownFeatureError, match=f"no feature '{name}'"):
            augment({n: c for n, c in batch().items() if n != name}, draw=0)
        images = batch()[name]
        for column, message in (
            (tf.constant(["a"] * ROWS), f"'{name}' of type string"),
            (images[..., 0], f"Received: '{name}', shape"),
            (tf.RaggedTensor.from_tensor(tf.zeros([ROWS, 2])), f"'{name}', a ragged column"),
            (tf.cast(images, tf.int64), f"'{name}' of type int64. Cast it."),
            (images[:, :0], "at least one pixel"),
        ):
            with pytest.raises(DataError, match=message):
                augment({**batch(), name: column}, draw=0)
        unknown = tf.function(
            augment,
            input_signature=[
                {
                    n: tf.TensorSpec(
                        [None, None, None, c.shape[-1]] if n == name else c.shape, c.dtype
                    )
                    for n, c in batch().items()
                }
            ],
        )
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least one pixel"):
            unknown({**batch(), name: images[:, :0]})

    @pytest.mark.parametrize("rate", [-0.1, float("nan"), None])
    def test_bad_arguments_are_refused(self, case, rate):
        with pytest.raises(InvalidArgumentError, match=r"`rate` must be in \[0, 1\]"):
            dataclasses.replace(case.op, rate=rate)
        with pytest.raises(InvalidArgumentError, match="`value_range` must be"):
            dataclasses.replace(case.op, value_range=(1.0, 0.0))
