"""Colour: brightness, contrast, saturation and hue as one matrix an image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrs_augment.ops.base import Params
from tfrs_augment.ops.image import base
from tfrs_augment.ops.numeric import between
from tfrs_augment.rng import KeyedRng

# The NTSC matrix from RGB to YIQ; rotating I and Q turns the hue and keeps the grey value.
_TO_YIQ = np.array(
    [
        base.LUMA,
        [0.59590059, -0.27455667, -0.32134392],
        [0.21153661, -0.52273617, 0.31119955],
    ]
)
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_GREY = np.tile(np.array(base.LUMA), (3, 1))
_ON_I = _FROM_YIQ @ np.diag([0.0, 1.0, 1.0]) @ _TO_YIQ
_ACROSS = _FROM_YIQ @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64) @ _TO_YIQ


def colour_matrix(saturation: tf.Tensor, hue: tf.Tensor) -> tf.Tensor:
    """float32 `[batch, 3, 3]` by which RGB (a column) is saturated and its hue turned.

    Args:
      saturation: `[batch]`, 0 for grey, 1 for no change.
      hue: `[batch]` in turns; 1 is once around.
    """
    saturation, angle = (
        tf.cast(v, tf.float64)[:, tf.newaxis, tf.newaxis] for v in (saturation, hue)
    )
    angle *= 2.0 * math.pi
    # The colour, what is left without the grey, scaled and turned; where it is not, to the bit.
    turned = _ON_I * (tf.cos(angle) - 1.0) + _ACROSS * tf.sin(angle)
    matrix = np.eye(3) + (saturation - 1.0) * (np.eye(3) - _GREY) + saturation * turned
    return tf.cast(matrix, tf.float32)


def change_colours(
    pixels: tf.Tensor, matrix: tf.Tensor | None, gain: tf.Tensor, pivot: tf.Tensor, *, fused: bool
) -> tf.Tensor:
    """matrix (gain pixels + pivot m), m the image's mean grey value.

    Args:
      pixels: float32 `[batch, height, width, 1 or 3]`.
      matrix: float32 `[batch, 3, 3]` with rows that sum to 1; None for grey pixels.
      gain, pivot: float32 `[batch]`.
      fused: as sums, which XLA makes one loop of, and not as a matrix product.
    """
    mean = tf.reduce_mean(pixels, [1, 2])
    if pixels.shape[-1] == 3:
        mean = base.grey(mean)
    offset = pivot[:, tf.newaxis] * mean
    if matrix is None or pixels.shape[-1] == 1:
        return pixels * base.per_image(gain) + offset[:, tf.newaxis, tf.newaxis]
    matrix = tf.transpose(matrix * gain[:, tf.newaxis, tf.newaxis], [0, 2, 1])
    if fused:
        mixed = tf.add_n(
            [pixels[..., i : i + 1] * matrix[:, tf.newaxis, tf.newaxis, i] for i in range(3)]
        )
    else:
        shape = tf.shape(pixels)
        mixed = tf.reshape(tf.matmul(tf.reshape(pixels, [shape[0], -1, 3]), matrix), shape)
    return mixed + offset[:, tf.newaxis, tf.newaxis]


@dataclasses.dataclass(frozen=True)
class ColorJitter(base.CompiledImageOp):
    """Changes brightness, contrast, saturation and hue: all four are one matrix an image, applied once.

    Args:
      feature: images of 1, 3 or 4 channels, `[batch, height, width, channels]` of uint8 or floats. Grey ones
        have no saturation and hue; a fourth channel, alpha, stays.
      brightness: a factor for the pixels; b stands for (max(0, 1 - b), 1 + b), and so on.
      contrast: a factor for the distance to the image's mean grey value.
      saturation: a factor for the distance to the pixel's own grey value; 0 is grey.
      hue: turns about the colour circle, h stands for (-h, h), within [-0.5, 0.5].
      value_range: (low, high), the bounds of pixels: (0, 255), which uint8 always has, or (0, 1). The result
        is clipped to it, once.
      compiled: whether XLA compiles it, see `RandomAffine`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    The grey value is 0.299 red + 0.587 green + 0.114 blue. Brightness, contrast and saturation equal those
    of Pillow's ImageEnhance; hue turns in the plane of I and Q of YIQ, which keeps the grey value, where
    torchvision and tf.image.adjust_hue turn in HSV.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> jitter = aug.ops.ColorJitter("image", brightness=(0.5, 0.5))
      >>> policy = aug.AugmentationPolicy([jitter], key_features=["id"])
      >>> policy.augment({"id": [1], "image": tf.fill([1, 1, 1, 3], 80.0)})["image"].numpy().ravel().tolist()
      [40.0, 40.0, 40.0]

    Reference:
      Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013,
      section 2.2 (the colours); Haeberli, "Matrix Operations for Image Processing", 1993 (the matrix).
    """

    _: dataclasses.KW_ONLY
    brightness: float | tuple[float, float] = 0.0
    contrast: float | tuple[float, float] = 0.0
    saturation: float | tuple[float, float] = 0.0
    hue: float | tuple[float, float] = 0.0

    def __post_init__(self):
        super().__post_init__()
        self._ranges()

    def _ranges(self) -> dict[str, tuple[float, float]]:
        ranges = {"hue": base.as_range(self, "hue", self.hue, -0.5, 0.5)}
        for name in ("brightness", "contrast", "saturation"):
            value = getattr(self, name)
            if base.is_number(value) and value > 1:
                value = (0.0, 1.0 + value)
            ranges[name] = base.as_range(self, name, value, 0.0, float("inf"), 1.0)
        return ranges

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        ranges = self._ranges()
        names = ("brightness", "contrast", "saturation", "hue")
        drawn = base.draw_uniforms(rng, tf.shape(images)[0], names)
        return {name: between(drawn[name], ranges[name]) for name in names}

    def prepare(self, params: Params) -> dict[str, tf.Tensor]:
        bright, contrast = params["brightness"], params["contrast"]
        return {
            "gain": bright * contrast,
            "pivot": bright * (1.0 - contrast),
            "matrix": colour_matrix(params["saturation"], params["hue"]),
        }

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        ranges, fused = self._ranges(), self.compiles(pixels)
        coloured = ranges["saturation"] != (1, 1) or ranges["hue"] != (0, 0)
        matrix = given["matrix"] if coloured else None

        def change(colours: tf.Tensor) -> tf.Tensor:
            changed = change_colours(colours, matrix, given["gain"], given["pivot"], fused=fused)
            return self.clip(changed)

        return base.on_colours(pixels, change)

    def label(self, drawn: Mapping[str, Any]) -> str:
        shown = {"brightness": "light", "contrast": "contrast", "saturation": "colour"}
        ranges = self._ranges()
        words = [f"{word} {drawn[n]:.2f}" for n, word in shown.items() if ranges[n] != (1, 1)]
        if ranges["hue"] != (0, 0):
            words.append(f"hue {round(360 * drawn['hue']):+}\N{DEGREE SIGN}")
        return ", ".join(words)


@dataclasses.dataclass(frozen=True)
class Grayscale(base.CompiledImageOp):
    """Takes the colour out of images; they keep their channels, all equal.

    Args:
      feature: images of 1, 3 or 4 channels, `[batch, height, width, channels]` of uint8 or floats. A fourth
        channel, alpha, stays.
      value_range: see `ColorJitter`.
      compiled: whether XLA compiles it, see `RandomAffine`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    Reference:
      Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
      appendix A; the grey value of ITU-R BT.601.
    """

    channels: ClassVar[tuple[int, ...]] = (1, 3, 4)

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        def change(colours: tf.Tensor) -> tf.Tensor:
            return tf.repeat(base.grey(colours), colours.shape[-1], axis=-1)

        return self.clip(base.on_colours(pixels, change))

    def label(self, drawn: Mapping[str, Any]) -> str:
        return "grey"
