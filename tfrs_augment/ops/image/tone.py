"""Tone curves: posterize, solarize, auto-contrast and equalize, as Pillow's ImageOps define them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrs_augment.ops.base import check_range
from tfrs_augment.ops.image import base
from tfrs_augment.ops.numeric import between
from tfrs_augment.rng import KeyedRng


def posterize(levels: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the upper bits of levels.

    Args:
      levels: float32 `[batch, height, width, channels]`, 0 to 255.
      bits: `[batch]`, 0 to 8.
    """
    step = base.per_image(tf.pow(2.0, 8.0 - tf.cast(bits, tf.float32)))
    return tf.floor(levels / step) * step


def solarize(levels: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts the levels from a threshold `[batch]` on; arguments as in `posterize`."""
    return tf.where(levels >= base.per_image(threshold), 255.0 - levels, levels)


def autocontrast(levels: tf.Tensor) -> tf.Tensor:
    """Stretches each channel so that its least level is 0 and its greatest 255; flat ones stay."""
    low, high = (f(levels, [1, 2], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
    flat = high <= low
    scale = 255.0 / tf.where(flat, 1.0, high - low)
    return tf.where(flat, levels, tf.clip_by_value((levels - low) * scale, 0.0, 255.0))


def equalize(levels: tf.Tensor) -> tf.Tensor:
    """Makes the levels of each channel about equally frequent.

    Args:
      levels: float32 `[batch, height, width, channels]`; rounded to whole levels 0 to 255, NaN to 0.
    """
    shape = tf.shape(levels)
    levels = tf.where(tf.math.is_nan(levels), 0.0, levels)
    whole = tf.cast(tf.clip_by_value(tf.round(levels), 0.0, 255.0), tf.int32)
    planes = tf.reshape(
        tf.transpose(whole, [0, 3, 1, 2]), [shape[0] * shape[3], shape[1] * shape[2]]
    )
    counts = tf.math.bincount(planes, minlength=256, maxlength=256, axis=-1)
    counts = tf.reshape(counts, [-1, 256])
    # Pillow's rule: the count of the greatest level that occurs is left out of the step.
    greatest = tf.reduce_max(planes, 1)
    last = tf.gather(counts, greatest, batch_dims=1)
    step = (tf.reduce_sum(counts, 1) - last) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    curve = (below + step[:, tf.newaxis] // 2) // tf.maximum(step, 1)[:, tf.newaxis]
    curve = tf.where(step[:, tf.newaxis] == 0, tf.range(256), tf.minimum(curve, 255))
    # One flat look-up: that with batch_dims costs several times as much.
    start = 256 * tf.range(tf.shape(planes)[0])[:, tf.newaxis]
    new = tf.gather(tf.reshape(tf.cast(curve, tf.float32), [-1]), planes + start)
    new = tf.transpose(tf.reshape(new, [shape[0], shape[3], shape[1], shape[2]]), [0, 2, 3, 1])
    return tf.ensure_shape(new, levels.shape)


def _on_levels(op: base.ImageOp, pixels: tf.Tensor, change) -> tf.Tensor:
    """Changes the colour channels of pixels, clipped, in units of levels."""

    def colours(found: tf.Tensor) -> tf.Tensor:
        return base.in_levels(op.clip(found), op.value_range, change)

    return base.on_colours(pixels, colours)


@dataclasses.dataclass(frozen=True)
class Posterize(base.CompiledImageOp):
    """Keeps the upper bits of each level, so that few are left.

    Args:
      feature: images of 1, 3 or 4 channels, `[batch, height, width, channels]` of uint8 or floats. A fourth
        channel, alpha, stays.
      bits_range: (low, high), how many bits are kept, 1 to 8; drawn evenly, both ends included.
      value_range: (low, high), the bounds of pixels: (0, 255), which uint8 always has, or (0, 1); pixels
        outside are clipped.
      compiled: whether XLA compiles it, see `RandomAffine`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    Reference:
      Pillow's ImageOps.posterize.
    """

    _: dataclasses.KW_ONLY
    bits_range: tuple[int, int] = (4, 7)

    def __post_init__(self):
        super().__post_init__()
        bits = self.bits_range
        fit = isinstance(bits, tuple | list) and len(bits) == 2
        if not fit or not all(isinstance(b, int) for b in bits) or not 1 <= bits[0] <= bits[1] <= 8:
            raise self.invalid("bits_range", "must be (low, high) integers in [1, 8]", bits)

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        low, high = self.bits_range
        return {"bits": low + rng.integers(high - low + 1, stream=1)}

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return _on_levels(self, pixels, lambda levels: posterize(levels, given["bits"]))

    def label(self, drawn: Mapping[str, Any]) -> str:
        return f"posterize {drawn['bits']} bit"


@dataclasses.dataclass(frozen=True)
class Solarize(base.CompiledImageOp):
    """Inverts the pixels from a threshold on.

    Args:
      feature: see `Posterize`.
      threshold_range: (low, high) in units of the pixels, drawn evenly. Default: the upper half of the
        value range.
      value_range, compiled: see `Posterize`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    Reference:
      Pillow's ImageOps.solarize.
    """

    _: dataclasses.KW_ONLY
    threshold_range: tuple[float, float] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.threshold_range is not None:
            check_range(self, "threshold_range", self.threshold_range, *self.value_range)

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        low, high = self.value_range
        bounds = self.threshold_range or ((low + high) / 2, high)
        return {"threshold": between(rng.uniform(stream=1), bounds)}

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        low, high = self.value_range
        threshold = (given["threshold"] - low) * (255.0 / (high - low))
        return _on_levels(self, pixels, lambda levels: solarize(levels, threshold))

    def label(self, drawn: Mapping[str, Any]) -> str:
        return f"solarize {drawn['threshold']:.3g}"


@dataclasses.dataclass(frozen=True)
class AutoContrast(base.CompiledImageOp):
    """Stretches each channel of an image over the whole value range.

    Args:
      feature: see `Posterize`.
      value_range, compiled: see `Posterize`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    A channel of one level stays. NaN spreads over its channel.

    Reference:
      Pillow's ImageOps.autocontrast, which rounds down where this rounds.
    """

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return _on_levels(self, pixels, autocontrast)

    def label(self, drawn: Mapping[str, Any]) -> str:
        return "auto-contrast"


@dataclasses.dataclass(frozen=True)
class Equalize(base.ImageOp):
    """Makes the levels of each channel of an image about equally frequent.

    Args:
      feature: see `Posterize`. Floats are rounded to 256 levels.
      value_range: see `Posterize`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    Reference:
      Pillow's ImageOps.equalize.
    """

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return _on_levels(self, pixels, equalize)

    def label(self, drawn: Mapping[str, Any]) -> str:
        return "equalize"
