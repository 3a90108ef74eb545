"""A random part of an image, resized: the standard crop of image classification."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Params, check_range
from tfrs_augment.ops.image import base, geometric
from tfrs_augment.ops.numeric import between
from tfrs_augment.rng import KeyedRng


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop(geometric.GeometricOp):
    """Cuts out a part of the image of a drawn area and aspect ratio, and resizes it, in one resampling.

    Args:
      feature: images, `[batch, height, width, channels]` of uint8 or floats.
      size: (height, width) of the result, or one number for both. Default: that of the images.
      area_range: (low, high), the part's share of the image's area, drawn evenly.
      ratio_range: (low, high), width over height of the part in pixels, its logarithm drawn evenly. A part
        that would be wider or higher than the image is as wide or as high as the image.
      interpolation: "bilinear" or "nearest".
      value_range: see `RandomAffine`.
      masks: further features with the same geometry, see `RandomAffine`.
      fill_mode, cval: no part reaches outside, so they have no effect but at the outermost half pixel.
      compiled: see `RandomAffine`.
      rate: the chance that a part is cut out, in [0, 1]; default 1. Other images are resized whole.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> crop = aug.ops.RandomResizedCrop("image", size=8, area_range=(0.25, 1.0))
      >>> policy = aug.AugmentationPolicy([crop], key_features=["id"])
      >>> policy.augment({"id": tf.range(2), "image": tf.zeros([2, 20, 16, 3])})["image"].shape
      TensorShape([2, 8, 8, 3])

    Reference:
      Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6. There a part that does not fit
      is drawn anew; here it is cut to fit.
    """

    _: dataclasses.KW_ONLY
    area_range: tuple[float, float] = (0.08, 1.0)
    ratio_range: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self):
        super().__post_init__()
        for name, high in (("area_range", 1.0), ("ratio_range", float("inf"))):
            check_range(self, name, getattr(self, name), 0.0, high)
            if getattr(self, name)[0] <= 0:
                raise self.invalid(name, "must be (low, high) with 0 < low", getattr(self, name))

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        images = self.images(batch)
        height, width = (tf.cast(side, tf.float64) for side in base.size_of(images))
        names = ("area", "ratio", "top", "left")
        uniform = {
            name: tf.cast(value, tf.float64)
            for name, value in base.draw_uniforms(rng, tf.shape(images)[0], names).items()
        }
        area = between(uniform["area"], self.area_range)
        ratio = tf.exp(between(uniform["ratio"], tuple(map(math.log, self.ratio_range))))
        # In shares of the sides; whole pixels would make a step of what is to be even.
        tall = tf.minimum(tf.sqrt(area * width / (ratio * height)), 1.0)
        wide = tf.minimum(tf.sqrt(area * ratio * height / width), 1.0)
        acts = rng.uniform() < self.rate
        tall, wide = (tf.where(acts, side, 1.0) for side in (tall, wide))
        top, left = uniform["top"] * (1.0 - tall), uniform["left"] * (1.0 - wide)
        return {"acts": acts, "window": tf.stack([top, left, tall, wide], 1)}

    def prepare(self, params: Params) -> dict[str, tf.Tensor]:
        return {}

    def label(self, drawn: Mapping[str, Any]) -> str:
        top, left, tall, wide = drawn["window"]
        return f"crop {wide:.0%} x {tall:.0%} at {left:.0%} {top:.0%}"
