"""Colours, tone curves, blur, erasing and crops: the contract, and Pillow's and published results."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.image_contract import ImageCase, ImageContract, apply, photos
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import (
    AutoContrast,
    ColorJitter,
    Equalize,
    GaussianBlur,
    Grayscale,
    Posterize,
    RandomErasing,
    RandomResizedCrop,
    Solarize,
)
from tfrs_augment.ops.image.blur import sharpen

PIL = pytest.importorskip("PIL", reason="Pillow is not installed")
from PIL import Image, ImageEnhance, ImageOps  # noqa: E402

KERNELS = pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])


def pictures() -> np.ndarray:
    """uint8 images, one of few levels and one that is flat among them."""
    images = photos(5, 21, 34)
    images[3] = images[3] // 3 + 40
    images[4] = 77
    return images


def by_pillow(images: np.ndarray, change) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def assert_within_a_level(found: np.ndarray, expected: np.ndarray):
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def in_both_ranges(op_of, images: np.ndarray) -> list[np.ndarray]:
    """Levels of the result for uint8, and for floats in [0, 1]."""
    unit = apply(op_of(value_range=(0.0, 1.0)), (images / 255).astype(np.float32))
    return [apply(op_of(), images), np.round(unit * 255).astype(np.uint8)]


class TestColorJitter(ImageContract):
    cases = (
        ImageCase(
            ColorJitter("photo", brightness=0.4, contrast=(0.3, 0.8), saturation=0.5, hue=0.1, rate=0.6),
            0.6,
        ),
        ImageCase(
            ColorJitter("unit", hue=(0.2, 0.4), value_range=(0, 1), rate=0.5, compiled=False), 0.5
        ),
        ImageCase(ColorJitter("alpha", brightness=(0.5, 0.9), saturation=0.2, rate=0.7), 0.7),
    )  # fmt: skip

    @KERNELS
    @pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
    @pytest.mark.parametrize(
        ("name", "enhancer"),
        [
            ("brightness", ImageEnhance.Brightness),
            ("contrast", ImageEnhance.Contrast),
            ("saturation", ImageEnhance.Color),
        ],
    )
    def test_it_equals_pillows_image_enhance(self, name, enhancer, factor, compiled):
        expected = by_pillow(pictures(), lambda image: enhancer(image).enhance(factor))
        for found in in_both_ranges(
            lambda **more: ColorJitter("x", **{name: (factor, factor)}, compiled=compiled, **more),
            pictures(),
        ):
            assert_within_a_level(found, expected)

    @KERNELS
    def test_hue_turns_in_the_plane_of_yiq(self, compiled):
        pixels = pictures().astype(np.float32) / 255
        for turn in (-0.3, 0.1, 0.5):
            y, i, q = tf.unstack(tf.image.rgb_to_yiq(pixels), axis=-1)
            cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
            expected = tf.image.yiq_to_rgb(tf.stack([y, cos * i - sin * q, sin * i + cos * q], -1))
            op = ColorJitter("x", hue=(turn, turn), value_range=(0, 1), compiled=compiled)
            np.testing.assert_allclose(apply(op, pixels), np.clip(expected, 0, 1), atol=1 / 255)

    @KERNELS
    def test_all_together_equal_one_after_another_where_nothing_is_clipped(self, compiled):
        images = (100 + photos(4) / 8).astype(np.float32)
        given = {"brightness": 0.9, "contrast": 1.2, "saturation": 0.7, "hue": 0.1}
        expected = images
        for name, value in given.items():
            expected = apply(ColorJitter("x", **{name: (value, value)}), expected)
        op = ColorJitter("x", **{n: (v, v) for n, v in given.items()}, compiled=compiled)
        np.testing.assert_allclose(apply(op, images), expected, atol=0.01)

    def test_grey_images_and_alpha(self):
        images = photos(4, channels=4)
        op = ColorJitter("x", brightness=(0.5, 0.5), saturation=(0.3, 0.3), hue=0.4)
        changed = apply(op, images)
        assert np.array_equal(changed[..., 3], images[..., 3])
        assert np.array_equal(changed[..., :3], apply(op, images[..., :3]))
        grey = images[..., :1].astype(np.float32)
        np.testing.assert_array_equal(apply(op, grey), grey / 2)
        with pytest.raises(DataError, match="images of 1 or 3 or 4 channels"):
            apply(op, photos(1, channels=2))

    def test_strengths_and_bad_arguments(self):
        assert ColorJitter("x", contrast=1.5)._ranges()["contrast"] == (0.0, 2.5)
        pixels = tf.fill([3000, 1, 1, 1], 100.0)
        values = apply(ColorJitter("x", brightness=(0.5, 1.5)), pixels).ravel()
        assert 50 <= values.min() < 51 and 149 < values.max() <= 150
        assert abs(values.mean() - 100) < 4.9 * 100 / math.sqrt(12 * 3000)
        for arguments in ({"hue": 0.6}, {"brightness": -1}, {"saturation": (2, 1)}):
            with pytest.raises(InvalidArgumentError, match=f"`{next(iter(arguments))}` must be"):
                ColorJitter("x", **arguments)


class TestGrayscale(ImageContract):
    cases = (ImageCase(Grayscale("photo", rate=0.4), 0.4),)

    @KERNELS
    def test_it_equals_pillows_grey(self, compiled):
        expected = by_pillow(pictures(), lambda image: image.convert("L").convert("RGB"))
        for found in in_both_ranges(
            lambda **more: Grayscale("x", compiled=compiled, **more), pictures()
        ):
            assert_within_a_level(found, expected)


class TestPosterize(ImageContract):
    cases = (ImageCase(Posterize("unit", bits_range=(1, 3), value_range=(0, 1), rate=0.3), 0.3),)

    @pytest.mark.parametrize("bits", [1, 4, 8])
    def test_it_equals_pillows(self, bits):
        expected = by_pillow(pictures(), lambda image: ImageOps.posterize(image, bits))
        for found in in_both_ranges(
            lambda **more: Posterize("x", bits_range=(bits, bits), **more), pictures()
        ):
            assert np.array_equal(found, expected)

    def test_bits_are_drawn_evenly_with_both_ends(self):
        values = apply(Posterize("x", bits_range=(1, 4)), np.full([4000, 1, 1, 1], 255, np.uint8))
        found, counts = np.unique(values, return_counts=True)
        assert found.tolist() == [128, 192, 224, 240]
        assert np.abs(counts - 1000).max() < 4.9 * math.sqrt(4000 * 3 / 16)
        with pytest.raises(InvalidArgumentError, match="`bits_range` must be"):
            Posterize("x", bits_range=(0, 4))


class TestSolarize(ImageContract):
    cases = (ImageCase(Solarize("photo", threshold_range=(10, 100), rate=0.5), 0.5),)

    @pytest.mark.parametrize("threshold", [0, 128, 255])
    def test_it_equals_pillows(self, threshold):
        expected = by_pillow(pictures(), lambda image: ImageOps.solarize(image, threshold))
        found = apply(Solarize("x", threshold_range=(threshold, threshold)), pictures())
        assert np.array_equal(found, expected)

    def test_its_threshold_is_in_the_upper_half_by_default(self):
        pixels = np.full([200, 1, 1, 1], 0.49, np.float32)
        np.testing.assert_allclose(
            apply(Solarize("x", value_range=(0, 1)), pixels), pixels, atol=1e-3
        )
        with pytest.raises(InvalidArgumentError, match=r"within|in \[0, 1\]"):
            Solarize("x", threshold_range=(0, 128), value_range=(0, 1))


class TestAutoContrast(ImageContract):
    cases = (ImageCase(AutoContrast("grey", rate=0.6), 0.6),)

    def test_it_equals_pillows(self):
        expected = by_pillow(pictures(), ImageOps.autocontrast)
        for found in in_both_ranges(lambda **more: AutoContrast("x", **more), pictures()):
            assert_within_a_level(found, expected)


class TestEqualize(ImageContract):
    cases = (ImageCase(Equalize("alpha", rate=0.5), 0.5),)

    def test_it_equals_pillows(self):
        expected = by_pillow(pictures(), ImageOps.equalize)
        for found in in_both_ranges(lambda **more: Equalize("x", **more), pictures()):
            assert np.array_equal(found, expected)

    def test_nan_counts_as_black(self):
        pixels = pictures().astype(np.float32)
        pixels[0, 0, 0] = np.nan
        black = np.nan_to_num(pixels)
        np.testing.assert_array_equal(apply(Equalize("x"), pixels), apply(Equalize("x"), black))


class TestGaussianBlur(ImageContract):
    cases = (ImageCase(GaussianBlur("photo", stddev_range=(0.5, 1.5), rate=0.5), 0.5),)

    @KERNELS
    @pytest.mark.parametrize("stddev", [0.0, 0.7, 2.0])
    def test_it_equals_scipys(self, stddev, compiled):
        ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
        pixels = pictures().astype(np.float32)
        sigma, radius = max(stddev, 1e-3), math.ceil(3 * stddev)
        expected = ndimage.gaussian_filter(
            pixels, (0, sigma, sigma, 0), mode="nearest", radius=(0, radius, radius, 0)
        )
        op = GaussianBlur("x", stddev_range=(stddev, stddev), compiled=compiled)
        np.testing.assert_allclose(apply(op, pixels), expected, atol=0.01)

    @pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.9])
    def test_sharpness_equals_pillows(self, factor):
        expected = by_pillow(pictures(), lambda i: ImageEnhance.Sharpness(i).enhance(factor))
        found = sharpen(tf.constant(pictures(), tf.float32), tf.fill([5], factor))
        # Pillow rounds the smoothed image before it blends, by as much as the factor is from 1.
        difference = np.clip(found, 0, 255) - expected.astype(np.float32)
        assert np.abs(difference).max() <= 1.0 + 0.51 * abs(1 - factor)
        with pytest.raises(InvalidArgumentError, match="`stddev_range` must be"):
            GaussianBlur("x", stddev_range=(0, 50))


class TestRandomErasing(ImageContract):
    cases = (
        ImageCase(RandomErasing("photo", area_range=(0.1, 0.2), rate=0.3), 0.3),
        ImageCase(
            RandomErasing("unit", area_range=(0.1, 0.3), fill="noise", value_range=(0, 1)), 0.5
        ),
    )

    def test_the_box_has_the_drawn_area_shape_and_place(self):
        white = np.full([3000, 40, 30, 1], 255, np.uint8)
        op = RandomErasing("x", area_range=(0.05, 0.15), ratio_range=(0.5, 2.0), rate=1.0)
        areas, ratios, middles = [], [], []
        for image in apply(op, white)[..., 0]:
            y, x = np.nonzero(image == 0)
            tall, wide = np.ptp(y) + 1, np.ptp(x) + 1
            assert tall * wide == len(y)
            areas.append(len(y) / 1200)
            ratios.append(wide / tall)
            middles.append(((y.min()) / max(40 - tall, 1), x.min() / max(30 - wide, 1)))
        assert min(areas) > 0.04 and max(areas) < 0.17 and abs(np.mean(areas) - 0.1) < 0.003
        assert min(ratios) > 0.4 and max(ratios) < 2.5 and abs(np.mean(np.log(ratios))) < 0.05
        assert np.abs(np.mean(middles, 0) - 0.5).max() < 4.9 / math.sqrt(12 * 3000)

    def test_a_box_may_cover_everything_and_noise_fills_the_value_range(self):
        whole = {"area_range": (1, 1), "ratio_range": (9, 9), "rate": 1.0}
        rows = apply(RandomErasing("x", fill=7, **whole), np.full([1, 9, 9, 1], 255, np.uint8))
        assert (rows == 7).any(axis=(2, 3)).sum() == 3
        noise = apply(
            RandomErasing("x", fill="noise", area_range=(1, 1), ratio_range=(1, 1), rate=1.0),
            np.zeros([4, 50, 50, 3], np.uint8),
        )
        assert noise.min() == 0 and noise.max() == 255 and abs(noise.mean() - 127.5) < 2.1
        with pytest.raises(InvalidArgumentError, match='`fill` must be in \\[0, 1\\], or "noise"'):
            RandomErasing("x", fill=7, value_range=(0, 1))


class TestRandomResizedCrop(ImageContract):
    cases = (ImageCase(RandomResizedCrop("photo", area_range=(0.1, 0.6), rate=0.6), 0.6),)

    @KERNELS
    def test_the_part_has_the_drawn_area_and_ratio_and_lies_within(self, compiled):
        """Of an image whose channels are the coordinates, the result tells which part it is."""
        height, width = 60, 90
        y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
        images = np.repeat(np.stack([x, y], -1)[None], 2000, 0)
        op = RandomResizedCrop(
            "x", size=(20, 20), area_range=(0.2, 0.5), ratio_range=(0.8, 1.25), compiled=compiled
        )
        found = apply(op, images)
        wide = (found[:, 0, 15, 0] - found[:, 0, 5, 0]) * 2
        tall = (found[:, 15, 0, 1] - found[:, 5, 0, 1]) * 2
        area, ratio = wide * tall / (height * width), wide / tall
        assert 0.199 < area.min() < 0.21 and 0.49 < area.max() < 0.501
        assert 0.799 < ratio.min() < 0.81 and 1.24 < ratio.max() < 1.251
        assert abs(area.mean() - 0.35) < 4.9 * 0.3 / math.sqrt(12 * 2000)
        left = found[:, 0, 10, 0] - wide * 10.5 / 20
        assert left.min() > -0.01 and (left + wide).max() < width + 0.01
        assert abs(np.mean(left / (width - wide)) - 0.5) < 4.9 / math.sqrt(12 * 2000)

    def test_images_on_which_it_does_not_act_are_resized_whole(self):
        images = photos(3, 20, 30)
        resized = apply(RandomResizedCrop("x", size=10, rate=0.0), images)
        expected = tf.image.resize(images, (10, 10)).numpy()
        assert np.abs(resized - expected).max() <= 0.51
        with pytest.raises(InvalidArgumentError, match="`area_range` must be"):
            RandomResizedCrop("x", area_range=(0, 1))
