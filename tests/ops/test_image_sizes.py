"""Images of several sizes as one batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.image_contract import photos
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops.image import stack_images

IMAGES = [photos(1, 30, 20)[0], photos(1, 10, 40)[0]]


@pytest.mark.parametrize("fit", ["cover", "pad", "stretch"])
def test_every_way_to_fit_has_the_size_and_keeps_the_dtype(fit):
    stacked = stack_images(IMAGES, (12, 16), fit=fit)
    assert stacked.shape == (2, 12, 16, 3) and stacked.dtype == tf.uint8
    rows = [tf.RaggedTensor.from_tensor(image) for image in IMAGES]
    ragged = tf.ragged.stack(rows)
    assert np.array_equal(stack_images(ragged, (12, 16), fit=fit), stacked)
    alone = stack_images(IMAGES[1:], (12, 16), fit=fit)
    assert np.array_equal(alone[0], stacked[1])


def test_what_each_way_does():
    white = [np.full([10, 40, 1], 255, np.uint8)]
    assert stack_images(white, 20, fit="cover").numpy().min() == 255
    assert stack_images(white, 20, fit="stretch").numpy().min() == 255
    padded = stack_images(white, 20, fit="pad").numpy()[0, :, :, 0]
    assert (padded == 255).sum() == 5 * 20 and (padded == 0).sum() == 15 * 20
    same = photos(2, 9, 7)
    assert np.array_equal(stack_images(list(same), (9, 7)), same)


def test_bad_arguments():
    with pytest.raises(InvalidArgumentError, match="`size` must be"):
        stack_images(IMAGES, (0, 4))
    with pytest.raises(InvalidArgumentError, match="`fit` must be one of cover, pad, stretch"):
        stack_images(IMAGES, 4, fit="crop")
    for images, found in (
        ([], "no image"),
        ([IMAGES[0], IMAGES[1][..., :1]], r"uint8 \(10, 40, 1\)"),
        ([IMAGES[0][..., 0]], r"\(30, 20\)"),
        ([IMAGES[0][:0]], r"\(0, 20, 3\)"),
        ([IMAGES[0].astype(np.int64)], "int64"),
    ):
        with pytest.raises(DataError, match=found):
            stack_images(images, 4)
