"""Ops on images as JPEG and PNG bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests import golden
from tests.ops.contract import Case, OpContract, batch
from tests.ops.image_contract import photos
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import ColorJitter, EncodedImages, RandomAffine
from tfrs_augment.ops.image import decode_images
from tfrs_augment.ops.image.encoded import undecodable

FLIP = RandomAffine("photo", horizontal_flip=1.0)
TURN = RandomAffine("photo", rotation=40, shift=0.1)
IMAGES = [photos(1, 30, 20)[0], photos(1, 10, 40)[0], photos(1, 24, 24)[0]]


def png(image: np.ndarray) -> bytes:
    return tf.io.encode_png(image).numpy()


def jpeg(image: np.ndarray) -> bytes:
    return tf.io.encode_jpeg(image).numpy()


def by_pillow(image: np.ndarray, mode: str, kind: str) -> tuple[bytes, np.ndarray]:
    """An image in a mode of Pillow's, encoded, and what Pillow decodes it to."""
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.fromarray(image).convert(mode).save(file, kind)
    return file.getvalue(), np.asarray(pillow.open(file).convert("RGB"))


def policy(op: EncodedImages) -> aug.AugmentationPolicy:
    return aug.AugmentationPolicy([op], seed=5, key_features=["row"])


def apply(op: EncodedImages, values, draw: int = 0) -> list[bytes]:
    rows = {"row": tf.range(len(values)), "photo": tf.constant(values)}
    return policy(op).augment(rows, draw=draw)["photo"].numpy().tolist()


def pixels(value: bytes) -> np.ndarray:
    return tf.io.decode_image(value).numpy()


class TestEncodedImages(OpContract):
    cases = (
        Case(
            EncodedImages(
                "photo", [FLIP, ColorJitter("photo", brightness=0.3)], format="png", rate=0.4
            ),
            0.4,
        ),
    )

    def test_golden(self, case):
        # The pixels: how well they are packed is up to TensorFlow's version of zlib.
        found = policy(case.op).augment(batch(), draw=1)["photo"].numpy()[:12]
        values = [float(pixels(value).mean()) for value in found]
        golden.check("ops.json", f"{case.name} photo", values, rtol=1e-5)


@pytest.mark.parametrize(
    ("mode", "kind", "levels"),
    [
        ("RGB", "JPEG", 3),
        ("L", "JPEG", 3),
        ("CMYK", "JPEG", 3),
        ("RGB", "PNG", 0),
        ("L", "PNG", 0),
        ("P", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("LA", "PNG", 0),
    ],
)
def test_every_kind_of_image_is_read_as_rgb_as_pillow_reads_it(mode, kind, levels):
    value, expected = by_pillow(IMAGES[0], mode, kind)
    (found,) = apply(EncodedImages("photo", [FLIP], format="png"), [value])
    assert found[:4] == b"\x89PNG"
    difference = np.abs(pixels(found).astype(int) - expected[:, ::-1])
    assert difference.max() <= levels


def test_16_bits_are_cut_to_8():
    wide = (IMAGES[0].astype(np.uint16) << 8) + 77
    (found,) = apply(EncodedImages("photo", [FLIP], format="png"), [tf.io.encode_png(wide).numpy()])
    np.testing.assert_array_equal(pixels(found), IMAGES[0][:, ::-1])


def test_the_result_is_what_the_ops_make_of_the_pixels():
    value = jpeg(IMAGES[0])
    jitter = ColorJitter("photo", brightness=(0.5, 0.5))
    (found,) = apply(EncodedImages("photo", [FLIP, jitter], quality=100), [value])
    assert found[:3] == b"\xff\xd8\xff"
    expected = pixels(value)[:, ::-1] * 0.5
    # JPEG keeps less of the colours than of the light.
    light = np.float64([0.299, 0.587, 0.114])
    assert np.abs((pixels(found) - expected) @ light).mean() < 1.2


def test_images_keep_their_own_sizes_without_a_size():
    found = apply(EncodedImages("photo", [TURN]), [jpeg(image) for image in IMAGES])
    assert [pixels(value).shape for value in found] == [image.shape for image in IMAGES]


@pytest.mark.parametrize("fit", ["cover", "pad", "stretch"])
def test_a_size_holds_for_every_image_acted_on_or_not(fit):
    values = [png(image) for image in IMAGES]
    op = EncodedImages("photo", [FLIP], size=(12, 16), fit=fit, format="png", rate=0.0)
    found = np.stack([pixels(value) for value in apply(op, values)])
    np.testing.assert_array_equal(found, aug.ops.image.stack_images(IMAGES, (12, 16), fit=fit))
    np.testing.assert_array_equal(found, decode_images(values, (12, 16), fit=fit))


def test_images_that_no_op_acts_on_stay_to_the_byte_without_a_size():
    values = [jpeg(IMAGES[i % 3]) for i in range(60)]
    found = apply(EncodedImages("photo", [FLIP], rate=0.5), values)
    assert 15 < sum(a == b for a, b in zip(found, values, strict=True)) < 45


@pytest.mark.parametrize("size", [None, 16])
def test_draws_do_not_depend_on_the_batch_or_the_mode(size):
    values = tf.constant([jpeg(IMAGES[i % 3]) for i in range(12)])
    combined = aug.ops.OneOf([TURN, ColorJitter("photo", contrast=0.5)])
    augment = policy(EncodedImages("photo", [combined, FLIP], size=size)).augment
    rows = {"row": tf.range(12), "photo": values}
    eager = augment(rows, draw=3)["photo"].numpy().tolist()
    assert len(set(eager)) == 12
    graph = tf.function(augment)(rows, draw=tf.constant(3))["photo"]
    assert graph.numpy().tolist() == eager
    data = tf.data.Dataset.from_tensor_slices(rows).batch(5)
    parts = [part["photo"].numpy() for part in data.map(lambda part: augment(part, draw=3))]
    assert np.concatenate(parts).tolist() == eager
    assert augment(rows, draw=4)["photo"].numpy().tolist() != eager


def test_the_images_of_a_row_are_changed_alike_and_missing_ones_stay_missing():
    value = png(IMAGES[2])
    ragged = tf.RaggedTensor.from_row_lengths([value] * 3, [2, 0, 1])
    augment = policy(EncodedImages("photo", [TURN], format="png")).augment
    found = augment({"row": tf.range(3), "photo": ragged})["photo"].to_list()
    assert [len(row) for row in found] == [2, 0, 1]
    assert found[0][0] == found[0][1] != found[2][0]
    dense = augment({"row": tf.range(3), "photo": tf.constant([value] * 3)})["photo"].numpy()
    assert found[0][0] == dense[0] and found[2][0] == dense[2]


def test_less_quality_is_shorter():
    values = [jpeg(IMAGES[2])]
    lengths = [len(apply(EncodedImages("photo", [FLIP], quality=q), values)[0]) for q in (10, 95)]
    assert lengths[0] < lengths[1]


BROKEN = {
    "empty": b"",
    "text": b"no image",
    "a cut JPEG": jpeg(IMAGES[0])[:-40],
    "a cut PNG": png(IMAGES[0])[:-40],
    "the head alone": b"\xff\xd8\xff",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_image_is_an_error_that_names_the_feature(name):
    rows = {"row": tf.range(2), "photo": tf.constant([png(IMAGES[0]), BROKEN[name]])}
    augment = policy(EncodedImages("photo", [FLIP])).augment
    shown = f"'photo' must be an image as JPEG or PNG. Received: {len(BROKEN[name])} bytes"
    with pytest.raises(DataError, match=shown):
        augment(rows)
    with pytest.raises(DataError, match=shown):
        decode_images(rows["photo"], 8, feature="photo")
    data = tf.data.Dataset.from_tensors(rows).map(augment)
    with pytest.raises(tf.errors.InvalidArgumentError, match="feature_photo_must_be_JPEG_or_PNG"):
        list(data)


def test_the_broken_ones_of_many_are_found_with_their_reasons():
    values = [jpeg(IMAGES[0]), *BROKEN.values(), png(IMAGES[1])]
    found = undecodable(tf.constant(values), "photo")
    assert list(found) == [1, 2, 3, 4, 5]
    assert "0 bytes (Input is empty)" in found[1] and "{{" not in "".join(found.values())
    assert undecodable(tf.zeros([0], tf.string), "photo") == {}


def test_an_explanation_tells_the_length_and_not_the_bytes():
    value = jpeg(IMAGES[0])
    said = str(policy(EncodedImages("photo", [FLIP])).explain({"row": 1, "photo": value}))
    assert f"photo: {len(value)} bytes -> " in said and len(said) < 200


@pytest.mark.parametrize(
    ("ops", "options", "message"),
    [
        ([], {}, "`ops` must be a list of at least one op"),
        (FLIP, {}, "`ops` must be a list"),
        ([RandomAffine("image")], {}, "must hold ops on images of 'photo' alone"),
        ([RandomAffine("photo", masks=("mask",))], {}, "of 'photo' alone"),
        ([aug.ops.IdDropout("photo", rate=0.5)], {}, "of 'photo' alone"),
        ([RandomAffine("photo", rescale=1 / 255)], {}, "no `rescale`"),
        ([aug.ops.OneOf([ColorJitter("photo", value_range=(0, 1))])], {}, "no `value_range`"),
        ([FLIP], {"size": 0}, "`size` must be"),
        ([FLIP], {"fit": "crop"}, "`fit` must be one of cover, pad, stretch"),
        ([FLIP], {"format": "gif"}, "`format` must be one of jpeg, png"),
        ([FLIP], {"quality": 95.0}, "`quality` must be an integer from 1 to 100"),
        ([FLIP], {"quality": 101}, "`quality` must be an integer from 1 to 100"),
    ],
)
def test_bad_arguments_are_refused(ops, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        EncodedImages("photo", ops, **options)


def test_a_column_of_pixels_or_of_rank_two_is_refused():
    augment = policy(EncodedImages("photo", [FLIP])).augment
    with pytest.raises(DataError, match="takes bytes features. Received: 'photo' of type uint8"):
        augment({"row": [1], "photo": IMAGES[0][np.newaxis]})
    with pytest.raises(DataError, match=r"Received: 'photo' of shape \(1, 1\)"):
        augment({"row": [1], "photo": tf.constant([[jpeg(IMAGES[0])]])})


@pytest.mark.parametrize("size", [0, (8,), (8, 0), None])
def test_sizes_to_decode_to_are_checked(size):
    with pytest.raises(InvalidArgumentError, match="`size` must be"):
        decode_images([png(IMAGES[0])], size)
    with pytest.raises(InvalidArgumentError, match="`fit` must be"):
        decode_images([png(IMAGES[0])], 8, fit="crop")
