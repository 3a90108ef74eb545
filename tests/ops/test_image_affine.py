"""RandomAffine: the contract, SciPy's and Keras's results, and what must hold of turns and flips."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.image_contract import ImageCase, ImageContract, apply, batch, photos, policy
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops import RandomAffine
from tfrs_augment.rng import KeyedRng

EVERYTHING = {
    "rotation": 180, "shift": 0.4, "shear": 0.3, "zoom": 0.3, "zoom_per_axis": True,
    "horizontal_flip": True, "vertical_flip": True,
}  # fmt: skip
KERNELS = pytest.mark.parametrize("compiled", [False, True], ids=["kernel", "compiled"])
# The names that SciPy has for these modes.
SCIPY_MODES = {
    "nearest": "nearest",
    "reflect": "grid-mirror",
    "wrap": "grid-wrap",
    "constant": "grid-constant",
}


def smooth(count: int, height: int, width: int) -> np.ndarray:
    return photos(count, height, width).astype(np.float32)


def drawn(op: RandomAffine, images: np.ndarray, draw: int = 0):
    """A batch of the images, what the op draws for it, and what it makes of it."""
    keys = tf.bitcast(tf.range(len(images), dtype=tf.int64), tf.uint64)
    rows = FeatureBatch({op.feature: tf.convert_to_tensor(images)}, keys)
    params = op.draw(rows, KeyedRng(7, keys, draw))
    return rows, params, op.apply(rows, params)[op.feature].numpy()


class TestRandomAffine(ImageContract):
    cases = (
        ImageCase(RandomAffine("photo", rate=0.5, rotation=(5, 40), zoom=0.1, shift=0.1), 0.5),
        ImageCase(
            RandomAffine("unit", rate=0.7, shear=(0.1, 0.2), value_range=(0, 1), compiled=False),
            0.7,
        ),
        ImageCase(RandomAffine("grey", rate=0.8, horizontal_flip=0.5), 0.4),
        ImageCase(
            RandomAffine(
                "alpha", rotation=(90, 180), rate=0.6, masks=("mask",), fill_mode="reflect"
            ),
            0.6,
        ),
    )

    @KERNELS
    @pytest.mark.parametrize("fill_mode", SCIPY_MODES)
    def test_it_equals_scipys_affine_transform(self, fill_mode, compiled):
        ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
        images = smooth(8, 37, 50)
        op = RandomAffine("x", **EVERYTHING, fill_mode=fill_mode, cval=99.0, compiled=compiled)
        _, params, result = drawn(op, images)
        for matrix, image, found in zip(op.matrix(params, (37, 50)).numpy(), images, result):
            (a, b, c), (d, e, f) = matrix
            expected = np.stack(
                [
                    ndimage.affine_transform(
                        image[..., k].astype(np.float64), [[e, d], [b, a]], [f, c],
                        order=1, mode=SCIPY_MODES[fill_mode], cval=99.0,
                    )
                    for k in range(3)
                ],
                -1,
            )  # fmt: skip
            y, x = np.mgrid[:37, :50]
            across, down = a * x + b * y + c, d * x + e * y + f
            inside = (across >= 0) & (across <= 49) & (down >= 0) & (down <= 36)
            assert np.abs(found - expected)[inside].max() < 0.01
            # Outside, "wrap" repeats the last pixel at the seam where SciPy blends it with the first one.
            assert np.abs(found - expected).mean() < (3.0 if fill_mode == "wrap" else 0.01)

    def test_the_two_kernels_agree(self):
        images = smooth(6, 33, 21)
        for more in ({"interpolation": "nearest"}, {"size": (11, 40)}, {"crop": 16}):
            plain, compiled = (
                drawn(RandomAffine("x", rotation=30, **more, compiled=c), images)[2]
                for c in (False, True)
            )
            # A coordinate that lies between two pixels to the bit may round to either.
            assert np.mean(np.abs(plain - compiled) > 0.02) < 0.001

    def test_it_equals_what_keras_does_at_the_same_values(self):
        pytest.importorskip("scipy", reason="SciPy is not installed")
        from tf_keras.preprocessing.image import apply_affine_transform

        # Keras turns images that are not square about another point than their centre.
        image = smooth(1, 30, 30)
        op = RandomAffine(
            "x", rotation=(20, 20), height_shift=(3, 3), width_shift=(-5, -5), zoom=(0.9, 0.9)
        )
        expected = apply_affine_transform(
            image[0], theta=-20, tx=5, ty=-3, zx=0.9, zy=0.9, row_axis=0, col_axis=1, channel_axis=2
        )
        np.testing.assert_allclose(drawn(op, image)[2][0], expected, atol=0.01)

    @KERNELS
    def test_turns_and_flips_only_move_pixels(self, compiled):
        image = photos(2, 9, 9)
        turn = RandomAffine("x", rotation=(90, 90), compiled=compiled)
        # x' = -y and y' = x: what was to the right of the centre is below it.
        assert np.array_equal(apply(turn, image), np.rot90(image, -1, (1, 2)))
        turned = image
        for _ in range(4):
            turned = apply(turn, turned)
        assert np.array_equal(turned, image)
        for flip, axis in (("horizontal_flip", 2), ("vertical_flip", 1)):
            # A turn of 0 to 0 degrees has the matrix do the flip.
            for more in ({}, {"size": (9, 9)}):
                op = RandomAffine("x", **{flip: 1.0}, **more, compiled=compiled)
                assert np.array_equal(apply(op, image), np.flip(image, axis))
                assert np.array_equal(apply(op, apply(op, image)), image)

    @KERNELS
    def test_zero_strength_is_the_identity(self, compiled):
        image = photos(3, 8, 13)
        assert np.array_equal(apply(RandomAffine("x"), image), image)
        still = RandomAffine("x", size=(8, 13), rotation=(360, 360), compiled=compiled)
        assert np.array_equal(apply(still, image), image)
        spoilt = image / np.float32(1)
        spoilt[0, 0, 0] = np.nan
        # Images on which it does not act keep NaN where it is, and values out of range.
        seldom = RandomAffine("x", rotation=9, brightness=0.1, rate=1e-9, compiled=compiled)
        np.testing.assert_array_equal(apply(seldom, spoilt * 9), spoilt * 9)
        spoilt[0, 4, 6] = np.nan
        turned = apply(RandomAffine("x", rotation=(45, 45), compiled=compiled), spoilt)
        assert 0 < np.isnan(turned).sum() <= 3 * 16

    def test_a_crop_is_a_part_of_the_image_and_size_stretches(self):
        image = np.arange(12 * 10, dtype=np.uint8).reshape(1, 12, 10, 1)
        images = np.repeat(image, 400, 0)
        cropped = apply(RandomAffine("x", crop=(5, 4)), images)
        corners = {tuple(np.argwhere(image[0, ..., 0] == part[0, 0, 0])[0]) for part in cropped}
        assert all(
            np.array_equal(part, image[0, y : y + 5, x : x + 4])
            for part in cropped
            for y, x in np.argwhere(image[0, ..., 0] == part[0, 0, 0])
        )
        assert corners == {(y, x) for y in range(8) for x in range(7)}
        padded = apply(RandomAffine("x", crop=14, fill_mode="constant"), images)
        assert padded.shape == (400, 14, 14, 1)
        assert {int(part.sum()) for part in padded} == {int(image.sum())}
        ramp = np.tile(np.arange(8, dtype=np.float32)[None, None, :, None], [1, 4, 1, 1])
        # The middles of pixels that are half as wide: -0.25, 0.25, 0.75, ...
        wide = apply(RandomAffine("x", size=(4, 16)), ramp)
        np.testing.assert_allclose(
            wide[0, 0, :, 0], np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7), atol=1e-5
        )
        not_acting = apply(RandomAffine("x", crop=(4, 4), rotation=9, rate=0.0), ramp)
        np.testing.assert_array_equal(not_acting, ramp[:, :, 2:6])

    def test_light_level_and_rescale(self):
        images = photos(40)
        dark = apply(RandomAffine("x", brightness=(0.5, 0.5)), images)
        np.testing.assert_array_equal(dark, np.round(images / np.float32(2)).astype(np.uint8))
        raised = apply(RandomAffine("x", channel_shift=(60, 60)), images).astype(int)
        np.testing.assert_array_equal(raised, np.minimum(images.astype(int) + 60, 255))
        for rate in (0.0, 0.5, 1.0):
            scaled = apply(RandomAffine("x", rotation=5, rescale=1 / 255, rate=rate), images)
            assert scaled.dtype == np.float32 and 0 <= scaled.min() <= scaled.max() <= 1

    def test_draws_fill_their_ranges_evenly(self):
        images = np.zeros([4000, 2, 4, 1], np.float32)
        op = RandomAffine(
            "x", rotation=40, width_shift=1.0, height_shift=(0.1, 0.3), shear=0.2, zoom=0.2,
            zoom_per_axis=True, horizontal_flip=True, vertical_flip=0.2, brightness=(0.5, 2),
            channel_shift=20,
        )  # fmt: skip
        params = {n: v.numpy() for n, v in drawn(op, images)[1].items()}
        # A shift of 1 is one pixel, of 4.
        ranges = {
            "rotation": (-40, 40), "shift_x": (-0.25, 0.25), "shift_y": (0.1, 0.3),
            "shear": (-0.2, 0.2), "zoom_x": (0.8, 1.2), "zoom_y": (0.8, 1.2),
            "brightness": (0.5, 2), "channel_shift": (-20, 20),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            places = np.sort((params[name] - low) / (high - low))
            assert places[0] >= -1e-6 and places[-1] <= 1 + 1e-6
            # Kolmogorov and Smirnov's bound at a chance of 1e-6.
            assert np.abs(places - (np.arange(4000) + 0.5) / 4000).max() < 2.7 / np.sqrt(4000)
        assert abs(np.corrcoef(params["zoom_x"], params["zoom_y"])[0, 1]) < 0.08
        for name, chance in (("flip_x", 0.5), ("flip_y", 0.2)):
            assert abs(params[name].mean() - chance) < 4.9 * np.sqrt(chance * (1 - chance) / 4000)

    def test_two_views_masks_and_boxes_share_a_draw(self):
        images = np.zeros([6, 40, 60, 3], np.uint8)
        images[:, 10:20, 15:35] = 255
        mask = (images[:, ::2, ::2, :1] // 255).astype(np.int32)
        op = RandomAffine("x", rotation=25, shift=0.1, zoom=0.1, masks="mask", horizontal_flip=True)
        features = {"row": tf.range(6), "x": tf.constant(images), "mask": tf.constant(mask)}
        result = policy(op).augment(features)
        assert result["mask"].dtype == tf.int32 and set(np.unique(result["mask"])) == {0, 1}
        agree = (result["x"].numpy()[:, ::2, ::2, :1] > 127) == result["mask"].numpy()
        assert agree.mean() > 0.96
        rows, params, first = drawn(op.__class__("x", rotation=25, shift=0.1), images)
        other = rows.replace({"x": tf.reverse(rows["x"], [-1])})
        op = RandomAffine("x", rotation=25, shift=0.1)
        assert np.array_equal(op.apply(other, params)["x"], first)
        boxes = op.move_boxes(tf.constant([[[15, 10, 35, 20]]] * 6), params, (40, 60)).numpy()
        for (x_low, y_low, x_high, y_high), image in zip(boxes[:, 0], first[..., 0]):
            y, x = np.nonzero(image > 127)
            found = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            np.testing.assert_allclose(found, [x_low, y_low, x_high, y_high], atol=1.01)

    def test_lists_are_tuples_and_policies_explain_what_was_drawn(self):
        op = RandomAffine("photo", rotation=[30, 30], masks=["mask"], value_range=[0, 255])
        assert op == RandomAffine("photo", rotation=(30, 30), masks="mask")
        assert apply(RandomAffine("x", rotation=[30, 30]), photos(1)).shape == (1, 18, 18, 3)
        row = {"row": 3, "photo": photos(1)[0], "mask": np.ones([9, 9, 1], np.int32)}
        (said,) = policy(op).explain(row).ops
        assert said.acted and said.drawn["rotation"] == 30.0

    def test_bad_arguments(self):
        for arguments, message in (
            ({"rotation": -5}, "`rotation` must be a strength of at least 0, or"),
            ({"rotation": (5, float("nan"))}, "`rotation` must be"),
            ({"zoom": 1}, "`zoom` must be below 1"),
            ({"zoom": (-1, 1)}, "`zoom` must be"),
            ({"horizontal_flip": 2}, "`horizontal_flip` must be True, False or a chance"),
            ({"fill_mode": "edge"}, "`fill_mode` must be one of nearest, reflect"),
            ({"interpolation": "cubic"}, "`interpolation` must be one of bilinear, nearest"),
            ({"cval": 300}, r"`cval` must be in the value_range \(0, 255\)"),
            ({"size": (0, 4)}, "`size` must be"),
            ({"crop": 2.5}, "`crop` must be"),
            ({"rescale": "1/255"}, "`rescale` must be"),
            ({"compiled": 3}, "`compiled` must be"),
            ({"width_shift_choices": ()}, "`width_shift_choices` must be at least one number"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                RandomAffine("x", **arguments)
        with pytest.raises(DataError, match="uint8 images have the value_range"):
            apply(RandomAffine("x", value_range=(0, 1)), photos(1))
        with pytest.raises(DataError, match="takes masks as one dense column"):
            policy(RandomAffine("photo", masks="row")).augment(batch())


class TestFromImageDataGenerator:
    def test_all_arguments_have_their_place(self):
        given = {
            "rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.2,
            "shear_range": 10, "zoom_range": [0.5, 1.5], "channel_shift_range": 30.0,
            "brightness_range": [0.5, 1.5], "horizontal_flip": True, "vertical_flip": True,
            "fill_mode": "reflect", "cval": 3.0, "rescale": 1 / 255, "interpolation_order": 0,
            "data_format": "channels_last", "dtype": "float32", "validation_split": 0.1,
        }  # fmt: skip
        op = RandomAffine.from_image_data_generator("image", **given, size=(20, 30))
        expected = RandomAffine(
            "image", rotation=40, width_shift=(-0.2, 0.2), height_shift=(-0.2, 0.2),
            shear=(-np.tan(np.radians(10)), np.tan(np.radians(10))), zoom=(0.5, 1.5),
            zoom_per_axis=True, channel_shift=30.0, brightness=(0.5, 1.5), horizontal_flip=True,
            vertical_flip=True, fill_mode="reflect", cval=3.0, rescale=1 / 255,
            interpolation="nearest", size=(20, 30),
        )  # fmt: skip
        assert op == expected

    def test_shifts_are_drawn_as_keras_draws_them(self):
        """The set of values that Keras's own code draws, for integers, lists and floats."""
        from tf_keras.preprocessing.image import ImageDataGenerator

        images = np.zeros([500, 10, 20, 1], np.float32)
        np.random.seed(0)  # Keras draws from the global state.
        for given in (3, [2, 5], [0.1, 0.4], 0.3, 1.5):
            generator = ImageDataGenerator(width_shift_range=given)
            theirs = [generator.get_random_transform((10, 20, 1))["ty"] for _ in range(500)]
            op = RandomAffine.from_image_data_generator("x", width_shift_range=given)
            ours = drawn(op, images)[1]["shift_x"].numpy() * 20
            if isinstance(given, float):
                assert abs(np.max(np.abs(ours)) - np.max(np.abs(theirs))) < 0.1
            else:
                assert set(np.round(ours, 4)) == set(np.round(np.array(theirs) + 0.0, 4))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"featurewise_center": True}, "tf_keras.layers.Normalization"),
            ({"preprocessing_function": abs}, "map it over the data set"),
            ({"data_format": "channels_first"}, "`data_format` must be 'channels_last'"),
            ({"interpolation_order": 3}, "`interpolation_order` must be 0"),
            ({"rotation": 4, "zomm_range": 0.1}, "no argument `zomm_range`.*zoom_range"),
        ],
    )
    def test_what_has_no_place_is_refused(self, arguments, message):
        with pytest.raises(InvalidArgumentError, match=message):
            RandomAffine.from_image_data_generator("image", **arguments)


def test_a_graph_without_known_sizes_gives_the_same_images():
    op = RandomAffine("photo", rotation=30, crop=(6, 9), shift=0.1)
    spec = {
        "row": tf.TensorSpec([None], tf.int64),
        "photo": tf.TensorSpec([None, None, None, 3], tf.uint8),
    }
    rows = {name: batch()[name] for name in spec}
    whole = policy(op).augment(rows)["photo"].numpy().astype(int)
    unknown = tf.function(policy(op).augment, input_signature=[spec])(rows)["photo"]
    assert unknown.shape == (80, 6, 9, 3)
    # Of the two kernels, which may round to other neighbours.
    assert np.abs(unknown.numpy().astype(int) - whole).max() <= 1


def test_golden_angles_do_not_depend_on_other_arguments():
    images = np.zeros([5, 4, 4, 1], np.uint8)
    alone = drawn(RandomAffine("x", rotation=40), images)[1]
    among = drawn(RandomAffine("x", rotation=40, shift=0.2, crop=2, brightness=0.5), images)[1]
    assert np.array_equal(alone["rotation"], among["rotation"])
    assert aug.ops.RandomAffine is RandomAffine
