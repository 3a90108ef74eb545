"""Boxes of an image painted over."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Params, check_range
from tfrs_augment.ops.image import base
from tfrs_augment.ops.numeric import between
from tfrs_augment.rng import KeyedRng


@dataclasses.dataclass(frozen=True)
class RandomErasing(base.CompiledImageOp):
    """Paints a box of a drawn area, shape and place over, so that a model looks at more than one part.

    Args:
      feature: images, `[batch, height, width, channels]` of uint8 or floats.
      area_range: (low, high), the box's share of the image's area, drawn evenly.
      ratio_range: (low, high), width over height of the box in pixels, its logarithm drawn evenly. A box that
        would be wider or higher than the image is as wide or as high as the image.
      fill: the value of the box's pixels, or "noise": each channel of each pixel drawn evenly from the value
        range, which costs a random number each.
      value_range: (low, high), the bounds of pixels, see `ColorJitter`; other pixels pass as they are.
      compiled: whether XLA compiles it, see `RandomAffine`.
      rate: the chance that an image gets a box, in [0, 1]; default 0.5.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> erase = aug.ops.RandomErasing("image", area_range=(0.5, 0.5), ratio_range=(1, 1), rate=1.0)
      >>> policy = aug.AugmentationPolicy([erase], key_features=["id"])
      >>> image = policy.augment({"id": [1], "image": tf.ones([1, 10, 10, 1])})["image"]
      >>> int(100 - tf.reduce_sum(image))
      49

    Reference:
      Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, section 3. There a box that does not fit is
      drawn anew; here it is cut to fit.
    """

    _: dataclasses.KW_ONLY
    area_range: tuple[float, float] = (0.02, 0.33)
    ratio_range: tuple[float, float] = (0.3, 3.3)
    fill: float | str = 0.0
    rate: float = 0.5

    channels: ClassVar[None] = None

    def __post_init__(self):
        super().__post_init__()
        for name, high in (("area_range", 1.0), ("ratio_range", float("inf"))):
            check_range(self, name, getattr(self, name), 0.0, high)
        if self.ratio_range[0] <= 0:
            raise self.invalid("ratio_range", "must be (low, high) with 0 < low", self.ratio_range)
        low, high = self.value_range
        painted = base.is_number(self.fill) and low <= self.fill <= high
        if not painted and self.fill != "noise":
            raise self.invalid("fill", f'must be in [{low:g}, {high:g}], or "noise"', self.fill)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        params = dict(super().draw(batch, rng))
        if self.fill == "noise":
            images = self.images(batch)
            flat = tf.zeros([tf.shape(images)[0], tf.reduce_prod(tf.shape(images)[1:])])
            noise = between(rng.uniform(flat, stream=2), self.value_range)
            params["noise"] = tf.reshape(noise, tf.shape(images))
        return params

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        height, width = (tf.cast(side, tf.float64) for side in base.size_of(images))
        names = ("area", "ratio", "top", "left")
        uniform = {
            name: tf.cast(value, tf.float64)
            for name, value in base.draw_uniforms(rng, tf.shape(images)[0], names).items()
        }
        area = between(uniform["area"], self.area_range) * height * width
        ratio = tf.exp(between(uniform["ratio"], tuple(map(math.log, self.ratio_range))))
        tall = tf.minimum(tf.round(tf.sqrt(area / ratio)), height)
        wide = tf.minimum(tf.round(tf.sqrt(area * ratio)), width)
        top = tf.floor(uniform["top"] * (height - tall + 1.0))
        left = tf.floor(uniform["left"] * (width - wide + 1.0))
        return {"box": tf.cast(tf.stack([top, left, top + tall, left + wide], 1), tf.int32)}

    def change_images(self, images: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        inside = in_boxes(given["box"], base.size_of(images))
        paint = base.to_dtype(given["noise"], images.dtype) if "noise" in given else self.fill
        return tf.where(inside, tf.cast(paint, images.dtype), images)

    def label(self, drawn: Mapping[str, Any]) -> str:
        top, left, bottom, right = drawn["box"]
        return f"erase {right - left} x {bottom - top}"


def in_boxes(boxes: tf.Tensor, size: tuple[int | tf.Tensor, int | tf.Tensor]) -> tf.Tensor:
    """Which pixels lie in the box of their image.

    Args:
      boxes: int32 `[batch, 4]`: top, left, bottom, right; the last two are outside.
      size: (height, width) of the images.

    Returns:
      bool `[batch, height, width, 1]`.
    """
    top, left, bottom, right = tf.unstack(boxes[:, tf.newaxis], axis=2)
    y, x = (tf.range(side)[tf.newaxis] for side in size)
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return (rows[:, :, tf.newaxis] & columns[:, tf.newaxis])[..., tf.newaxis]
