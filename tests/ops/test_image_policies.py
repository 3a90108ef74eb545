"""RandAugment, TrivialAugment, AugMix: the contract, and each operation of their table against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.image_contract import ImageCase, ImageContract, apply, photos
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops import AugMix, RandAugment, RandomAffine, TrivialAugment
from tfrs_augment.rng import KeyedRng

PIL = pytest.importorskip("PIL", reason="Pillow is not installed")
from PIL import Image, ImageEnhance, ImageOps  # noqa: E402

NAMES = [kind.name for kind in RandAugment("x").table]


def forced(op, images: np.ndarray, **params) -> np.ndarray:
    """What an op makes of images with given draws."""
    rows = FeatureBatch({"x": tf.constant(images)}, tf.zeros([len(images)], tf.uint64))
    acts = tf.fill([len(images)], True)
    given = {name: tf.constant([value] * len(images)) for name, value in params.items()}
    return op.apply(rows, {"acts": acts, **given})["x"].numpy()


def one_kind(name: str, value: float, images: np.ndarray, **more) -> np.ndarray:
    op = RandAugment("x", count=1, **more)
    return forced(op, images, kind=[NAMES.index(name)], value=[float(value)])


class TestRandAugment(ImageContract):
    # One operation in 14 is the identity, some others are it for some images.
    cases = (ImageCase(RandAugment("photo", rate=0.6, magnitude=12), (0.45, 0.6)),)

    @pytest.mark.parametrize(
        ("name", "value", "change"),
        [
            ("identity", 0, lambda image: image),
            ("brightness", -0.7, lambda image: ImageEnhance.Brightness(image).enhance(0.3)),
            ("color", 0.8, lambda image: ImageEnhance.Color(image).enhance(1.8)),
            ("contrast", 0.5, lambda image: ImageEnhance.Contrast(image).enhance(1.5)),
            ("sharpness", -0.6, lambda image: ImageEnhance.Sharpness(image).enhance(0.4)),
            ("posterize", 3, lambda image: ImageOps.posterize(image, 5)),
            ("solarize", 127, lambda image: ImageOps.solarize(image, 128)),
            ("autocontrast", 0, ImageOps.autocontrast),
            ("equalize", 0, ImageOps.equalize),
        ],
    )
    def test_colours_and_tones_equal_pillows(self, name, value, change):
        images = photos(3, 20, 26)
        expected = np.stack([np.asarray(change(Image.fromarray(image))) for image in images])
        found = one_kind(name, value, images)
        assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
        unit = one_kind(name, value, (images / 255).astype(np.float32), value_range=(0, 1)) * 255
        assert np.abs(np.round(unit) - found).max() <= 1

    @pytest.mark.parametrize(
        ("name", "value", "arguments"),
        [
            ("rotate", -20, {"rotation": (-20, -20)}),
            ("translate_x", 0.25, {"width_shift": (0.25, 0.25)}),
            ("translate_y", -0.3, {"height_shift": (-0.3, -0.3)}),
            ("shear_x", 0.2, {"shear": (0.2, 0.2)}),
        ],
    )
    def test_what_moves_equals_random_affine(self, name, value, arguments):
        images = photos(2, 20, 26)
        op = RandomAffine("x", fill_mode="constant", cval=9, compiled=False, **arguments)
        assert np.array_equal(one_kind(name, value, images, cval=9), apply(op, images))
        if name == "shear_x":
            turned = one_kind("shear_y", value, images.transpose(0, 2, 1, 3), cval=9)
            assert np.array_equal(turned.transpose(0, 2, 1, 3), apply(op, images))

    def test_operations_are_drawn_evenly_and_apart_from_one_another(self):
        op = RandAugment("x", magnitude=15)
        keys = tf.bitcast(tf.range(20_000, dtype=tf.int64), tf.uint64)
        rows = FeatureBatch({"x": tf.zeros([20_000, 1, 1, 3])}, keys)
        params = {n: v.numpy() for n, v in op.draw(rows, KeyedRng(3, keys)).items()}
        both = np.bincount(params["kind"] @ [14, 1], minlength=196)
        assert np.abs(both - 20_000 / 196).max() < 4.9 * np.sqrt(20_000 / 196)
        turned = params["value"][params["kind"] == NAMES.index("rotate")]
        assert set(turned.tolist()) == {-15.0, 15.0} and abs(turned.mean()) < 1.5

    def test_magnitude_zero_and_gentle_kinds_change_nothing(self):
        images = photos(30)
        op = RandAugment("x", magnitude=0, count=1)
        kinds = np.arange(30) % 12  # All but auto-contrast and equalize, which have no strength.
        rows = FeatureBatch({"x": tf.constant(images)}, tf.zeros([30], tf.uint64))
        params = {"acts": tf.fill([30], True), "kind": kinds[:, None], "value": np.zeros([30, 1])}
        params = {"acts": params["acts"], "kind": tf.constant(params["kind"]),
                  "value": tf.constant(params["value"], tf.float32)}  # fmt: skip
        result = op.apply(rows, params)["x"].numpy()
        # A threshold of 255 inverts what is 255; these images have none.
        assert np.array_equal(result, images)

    def test_bad_arguments(self):
        for cls, arguments in (
            (RandAugment, {"count": 0}),
            (RandAugment, {"magnitude": 31}),
            (RandAugment, {"cval": 300}),
            (AugMix, {"severity": 11}),
            (AugMix, {"width": 0}),
            (AugMix, {"depth_range": (0, 2)}),
        ):
            with pytest.raises(InvalidArgumentError, match=f"`{next(iter(arguments))}` must be"):
                cls("x", **arguments)


class TestTrivialAugment(ImageContract):
    cases = (ImageCase(TrivialAugment("alpha", rate=0.7), (0.5, 0.7)),)

    def test_the_strength_is_drawn_in_31_steps(self):
        op = TrivialAugment("x")
        keys = tf.bitcast(tf.range(9000, dtype=tf.int64), tf.uint64)
        rows = FeatureBatch({"x": tf.zeros([9000, 1, 1, 3])}, keys)
        params = {n: v.numpy() for n, v in op.draw(rows, KeyedRng(3, keys)).items()}
        turned = params["value"][params["kind"] == NAMES.index("rotate")]
        steps = np.abs(turned) * 30 / 135
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
        assert set(np.round(steps).astype(int)) == set(range(31))


class TestAugMix(ImageContract):
    cases = (
        ImageCase(
            AugMix("unit", value_range=(0, 1), width=2, depth_range=(1, 2), rate=0.5), (0.45, 0.5)
        ),
    )

    def test_it_is_the_weighted_mix_of_its_chains(self):
        images = photos(2, 20, 26).astype(np.float32)
        op = AugMix("x", width=2, depth_range=(1, 2))
        names = [kind.name for kind in op.table]
        solarize, rotate = names.index("solarize"), names.index("rotate")
        found = forced(
            op,
            images,
            kind=[solarize, 0, solarize, rotate],
            value=[100.0, 20.0, 200.0, 20.0],
            weights=[0.25, 0.5],
        )
        first = one_kind("solarize", 100, images)
        second = one_kind("rotate", 20, one_kind("solarize", 200, images))
        np.testing.assert_allclose(found, 0.25 * images + 0.25 * first + 0.5 * second, atol=1e-3)

    def test_weights_are_dirichlets_times_an_even_share(self):
        op = AugMix("x")
        keys = tf.bitcast(tf.range(20_000, dtype=tf.int64), tf.uint64)
        rows = FeatureBatch({"x": tf.zeros([20_000, 1, 1, 3])}, keys)
        params = {n: v.numpy() for n, v in op.draw(rows, KeyedRng(3, keys)).items()}
        mix = params["weights"].sum(1)
        assert abs(mix.mean() - 0.5) < 4.9 / np.sqrt(12 * 20_000)
        shares = params["weights"] / mix[:, None]
        # Dirichlet(1, 1, 1): each share has mean 1/3 and variance 1/18.
        np.testing.assert_allclose(shares.mean(0), 1 / 3, atol=4.9 * np.sqrt(1 / 18 / 20_000))
        np.testing.assert_allclose(shares.var(0), 1 / 18, rtol=0.05)
        depth = (params["kind"].reshape(-1, 3) > 0).sum(1)
        assert np.abs(np.bincount(depth, minlength=4) - [0, *[20_000] * 3]).max() < 600
