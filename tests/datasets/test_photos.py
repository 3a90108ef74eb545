"""Tests of the drawn product photos: what they show can be seen, and nothing else moves it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment import errors
from tfrs_augment.datasets import photos, shop


@pytest.fixture(scope="module")
def items():
    return shop.simulated_shop("small", seed=0).items


@pytest.fixture(scope="module")
def drawn(items):
    return photos.draw_photos(items)


def nearest_centroid(features: np.ndarray, labels: np.ndarray) -> float:
    """Returns the accuracy on the second half of centroids from the first half."""
    half = len(labels) // 2
    names = np.unique(labels)
    centroids = np.stack([features[:half][labels[:half] == name].mean(0) for name in names])
    distance = ((features[half:, None] - centroids) ** 2).sum(2)
    return float((names[distance.argmin(1)] == labels[half:]).mean())


def test_category_is_in_the_outline(items, drawn):
    # Which pixels differ from the backdrop at the border, in grey and at a quarter of the size.
    grey = drawn.astype(np.float32).mean(3)
    border = np.median(np.concatenate([grey[:, 0], grey[:, -1]], axis=1), axis=1)
    outline = (np.abs(grey - border[:, None, None]) > 25).reshape(-1, 12, 4, 12, 4).mean((2, 4))
    accuracy = nearest_centroid(outline.reshape(len(grey), -1), items["item_category"])
    assert accuracy > 0.6  # By chance 1 of 12.
    shuffled = np.random.default_rng(0).permutation(items["item_category"])
    assert nearest_centroid(outline.reshape(len(grey), -1), shuffled) < 0.2


def test_colour_is_in_the_paint(items, drawn):
    centre = drawn[:, 12:36, 12:36].astype(np.float32)
    median = np.median(centre.reshape(len(centre), -1, 3), axis=1)
    darkest = np.quantile(centre.reshape(len(centre), -1, 3), 0.2, axis=1)
    accuracy = nearest_centroid(np.concatenate([median, darkest], axis=1), items["item_colour"])
    assert accuracy > 0.5  # By chance 1 of 10.


def test_brand_is_in_the_pattern(items, drawn):
    tops = np.flatnonzero(np.isin(items["item_category"], [b"shirt", b"jacket", b"knitwear"]))
    centre = np.log(drawn[tops, 18:34, 16:32].astype(np.float64).mean(3) + 20)
    spectrum = np.log(np.abs(np.fft.fft2(centre - centre.mean((1, 2), keepdims=True))) + 0.3)
    # Neighbouring frequencies together, since photos are tilted.
    for axis in (1, 2):
        spectrum = spectrum + np.roll(spectrum, 1, axis) + np.roll(spectrum, -1, axis)
    spectrum = spectrum.reshape(len(tops), -1)
    distance = np.linalg.norm(spectrum[:, None] - spectrum, axis=2)
    np.fill_diagonal(distance, np.inf)
    brand = items["item_brand"][tops]
    by_chance = (brand[:, None] == brand).mean()
    assert (brand[distance.argmin(1)] == brand).mean() > 2.5 * by_chance


def test_a_photo_depends_on_its_own_item_alone(items, drawn):
    index = np.array([700, 3, 41])
    some = {name: items[name][index] for name in items if name != "item_title_words"}
    np.testing.assert_array_equal(photos.draw_photos(some), drawn[index])
    assert not np.array_equal(photos.draw_photos(some, seed=1), drawn[index])
    assert photos.draw_photos(some, size=31).shape == (3, 31, 31, 3)
    none = {name: column[:0] for name, column in some.items()}
    assert photos.draw_photos(none).shape == (0, 48, 48, 3)


def test_no_two_photos_are_alike_and_all_have_contrast(drawn):
    assert len({hashlib.sha256(photo.tobytes()).digest() for photo in drawn}) == len(drawn)
    assert drawn.std((1, 2, 3)).min() > 8


@pytest.mark.parametrize(("image_format", "exact"), [("png", True), ("jpeg", False)])
def test_encoded(drawn, image_format, exact):
    files = photos.encode_photos(drawn[:5], image_format=image_format)
    decoded = np.stack([tf.io.decode_image(file).numpy() for file in files.tolist()])
    assert np.abs(decoded.astype(int) - drawn[:5]).mean() <= (0 if exact else 8)


def test_bad_arguments_are_refused(items, drawn):
    with pytest.raises(errors.InvalidArgumentError, match="size=8"):
        photos.draw_photos(items, size=8)
    with pytest.raises(errors.InvalidArgumentError, match="'gif'"):
        photos.encode_photos(drawn[:1], image_format="gif")
    with pytest.raises(errors.DataError, match=r"item_colour.*b'mauve'"):
        photos.draw_photos({**items, "item_colour": np.full(800, b"mauve")})
