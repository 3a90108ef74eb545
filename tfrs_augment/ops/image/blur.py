"""Blurring and sharpening."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment.ops.base import Params, check_range
from tfrs_augment.ops.image import base
from tfrs_augment.ops.numeric import between
from tfrs_augment.rng import KeyedRng


def _rim(pixels: tf.Tensor, axis: int, width: int) -> tf.Tensor:
    """Pixels with their outermost ones repeated on both sides of an axis."""
    count = tf.shape(pixels)[axis]
    place = tf.clip_by_value(tf.range(-width, count + width), 0, count - 1)
    return tf.gather(pixels, place, axis=axis)


def blur(pixels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """A weighted mean along the rows, then along the columns.

    Args:
      pixels: float32 `[batch, height, width, channels]`.
      weights: float32 `[batch, 2 * radius + 1]`, those of an image's neighbours.
    """
    radius = weights.shape[1] // 2
    for axis in (1, 2):
        count, padded = tf.shape(pixels)[axis], _rim(pixels, axis, radius)
        total = 0.0
        for i in range(2 * radius + 1):
            part = padded[:, i : i + count] if axis == 1 else padded[:, :, i : i + count]
            total += base.per_image(weights[:, i]) * part
        pixels = total
    return pixels


def sharpen(pixels: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends with a smoothed image as Pillow's ImageEnhance.Sharpness does; the rim stays.

    Args:
      pixels: float32 `[batch, height, width, channels]`.
      factor: float32 `[batch]`: 0 is smooth, 1 no change, above 1 sharper.

    Returns:
      float32 of the pixels' shape, not clipped.
    """
    height, width = tf.unstack(tf.shape(pixels)[1:3])
    padded = _rim(_rim(pixels, 1, 1), 2, 1)
    rows = [padded[:, i : i + height] for i in range(3)]
    square = tf.add_n(rows)
    square = tf.add_n([square[:, :, i : i + width] for i in range(3)])
    smooth = (square + 4.0 * pixels) * (1 / 13)
    down, across = (tf.range(n) for n in (height, width))
    inner = ((down > 0) & (down < height - 1))[:, tf.newaxis] & (across > 0) & (across < width - 1)
    blended = smooth + base.per_image(factor) * (pixels - smooth)
    return tf.where(inner[tf.newaxis, :, :, tf.newaxis], blended, pixels)


@dataclasses.dataclass(frozen=True)
class GaussianBlur(base.CompiledImageOp):
    """Blurs images with a Gaussian of a drawn width.

    Args:
      feature: images, `[batch, height, width, channels]` of uint8 or floats.
      stddev_range: (low, high), the Gaussian's standard deviation in pixels, drawn evenly; at most 20. It is
        cut off at 3 times `high`. The outermost pixels are repeated beyond the rim.
      value_range: (low, high), the bounds of pixels, see `ColorJitter`.
      compiled: whether XLA compiles it, see `RandomAffine`.
      rate: the chance that an image is blurred, in [0, 1]; default 1.

    Reference:
      Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
      appendix A.
    """

    _: dataclasses.KW_ONLY
    stddev_range: tuple[float, float] = (0.1, 1.0)

    channels: ClassVar[None] = None

    def __post_init__(self):
        super().__post_init__()
        check_range(self, "stddev_range", self.stddev_range, 0.0, 20.0)

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        return {"stddev": between(rng.uniform(stream=1), self.stddev_range)}

    def prepare(self, params: Params) -> dict[str, tf.Tensor]:
        radius = math.ceil(3 * self.stddev_range[1])
        # A width of 0 leaves the middle alone.
        width = tf.maximum(tf.cast(params["stddev"], tf.float64), 1e-3)[:, tf.newaxis]
        weights = tf.exp(-0.5 * (tf.range(-radius, radius + 1, dtype=tf.float64) / width) ** 2)
        weights /= tf.reduce_sum(weights, 1, keepdims=True)
        return {"weights": tf.cast(weights, tf.float32)}

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return self.clip(blur(pixels, given["weights"]))

    def label(self, drawn: Mapping[str, Any]) -> str:
        return f"blur {drawn['stddev']:.1f} px"
