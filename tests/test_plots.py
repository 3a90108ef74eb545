"""The grid of images: what is shown, and what the labels say."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.image_contract import photos
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError


def labels(figure) -> list[str]:
    """The labels, without their line breaks."""
    texts = [axes.texts[0].get_text() for axes in figure.axes]
    return [text.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ") for text in texts]


def test_each_cell_shows_the_policys_image_and_says_what_was_drawn(tmp_path):
    ops = [
        aug.ops.IdDropout("id", rate=0.5),
        aug.ops.RandomAffine("image", rotation=(30, 30), horizontal_flip=1.0, rescale=1 / 255),
        aug.ops.OneOf(
            [
                aug.ops.Grayscale("image", value_range=(0, 1)),
                aug.ops.RandomErasing("image", rate=1.0, value_range=(0, 1)),
            ]
        ),
    ]
    policy = aug.AugmentationPolicy(ops, seed=3, key_features=["id"])
    batch = {"id": tf.constant(["a", "b", "c"]), "image": tf.constant(photos(3, 20, 14))}
    figure = aug.plot_augmentations(policy, batch, tmp_path / "grid.png", draws=3, rows=2)
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 2 * 4
    for row in range(2):
        cells = figure.axes[4 * row : 4 * row + 4]
        np.testing.assert_allclose(
            cells[0].images[0].get_array(), batch["image"][row].numpy() / 255
        )
        for draw in range(3):
            expected = policy.augment(batch, draw=draw)["image"][row].numpy()
            shown = cells[draw + 1].images[0].get_array()
            np.testing.assert_allclose(shown, np.clip(expected, 0, 1), atol=1e-6)
    said = labels(figure)
    assert said[0] == said[4] == ""
    assert all(text.startswith("rot 30\N{DEGREE SIGN}, flip, ") for text in said if text)
    assert {text.split(", ")[2].split()[0] for text in said if text} == {"grey", "erase"}


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (aug.ops.RandomAffine("image", shift=(0.1, 0.1), zoom=(0.5, 0.5)), "shift +10% +10%, zoom 0.50"),
        (aug.ops.ColorJitter("image", brightness=(0.5, 0.5), hue=(0.1, 0.1)), "light 0.50, hue +36"),
        (aug.ops.RandomResizedCrop("image", area_range=(1, 1), ratio_range=(0.7, 0.7)), "crop 84% x 100%"),
        (aug.ops.GaussianBlur("image", stddev_range=(2, 2)), "blur 2.0 px"),
        (aug.ops.Posterize("image", bits_range=(3, 3)), "posterize 3 bit"),
        (aug.ops.Solarize("image", threshold_range=(99, 99)), "solarize 99"),
        (aug.ops.AutoContrast("image"), "auto-contrast"),
        (aug.ops.Equalize("image"), "equalize"),
        (aug.ops.RandAugment("image"), ", "),
        (aug.ops.AugMix("image"), "% "),
        (aug.ops.RandomErasing("image", rate=0.0), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, aug.ops.Op) else None,
)  # fmt: skip
def test_labels(op, words):
    figure = aug.plot_augmentations(
        aug.AugmentationPolicy([op]), {"image": photos(1, channels=3)}, draws=1
    )
    said = labels(figure)[1]
    assert words in said and bool(words) == bool(said)


def test_bad_arguments():
    policy = aug.AugmentationPolicy([aug.ops.Grayscale("image"), aug.ops.IdDropout("id", rate=0.5)])
    for batch, more, error, message in (
        ({"image": photos(1)}, {"draws": 0}, InvalidArgumentError, "`draws` must be an integer"),
        ({"id": tf.constant(["a"])}, {}, DataError, "needs a feature of images"),
        ({"image": photos(1)}, {"feature": "imag"}, UnknownFeatureError, "no feature 'imag'"),
    ):
        with pytest.raises(error, match=message):
            aug.plot_augmentations(policy, batch, **more)
