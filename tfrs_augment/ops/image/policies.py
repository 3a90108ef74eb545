"""RandAugment, TrivialAugment and AugMix: operations drawn from one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrs_augment.ops.image import base, kinds
from tfrs_augment.rng import KeyedRng


@dataclasses.dataclass(frozen=True)
class _DrawnKinds(base.ImageOp, abstract=True):
    """An op that draws operations of a table, one after another, for each image."""

    _: dataclasses.KW_ONLY
    cval: float | None = None

    def __post_init__(self):
        super().__post_init__()
        low, high = self.value_range
        if self.cval is not None and not (base.is_number(self.cval) and low <= self.cval <= high):
            raise self.invalid("cval", f"must be None or in [{low:g}, {high:g}]", self.cval)

    @property
    def table(self) -> tuple[kinds.Kind, ...]:
        """The operations to draw from."""
        raise TypeError(f"{type(self).__name__} must define table.")

    def _level(self) -> float:
        """What fills the outside, as a level: the middle of the range by default."""
        low, high = self.value_range
        return 127.5 if self.cval is None else (self.cval - low) * 255.0 / (high - low)

    def _draw_kinds(
        self,
        images: tf.Tensor,
        rng: KeyedRng,
        count: int,
        strength: float | None,
        first: int = 0,
    ) -> dict[str, tf.Tensor]:
        """`count` operations an image: kind int64 and value float32, each `[batch, count]`.

        Args:
          images: those to draw for.
          rng: the op's random numbers.
          count: how many.
          strength: in [0, 1]; None to draw it in 31 steps.
          first: the first operation of the table to draw.
        """
        like = tf.zeros([tf.shape(images)[0], count])
        kind = first + rng.integers(len(self.table) - first, like, stream="kind")
        sign = rng.uniform(like, stream="sign") < 0.5
        if strength is None:
            # By a table: graphs put products with constants in another order than eager code.
            steps = tf.constant([step / 30 for step in range(31)], tf.float32)
            drawn = tf.gather(steps, rng.integers(31, like, stream="strength"))
        else:
            drawn = tf.fill(tf.shape(like), strength)
        return {"kind": kind, "value": kinds.values_of(self.table, kind, drawn, sign)}

    def _change(self, levels: tf.Tensor, kind: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        return kinds.change_by_kind(levels, self.table, kind, value, self._level())

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return base.in_levels(
            self.clip(pixels), self.value_range, lambda levels: self.change_levels(levels, given)
        )

    def change_levels(self, levels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Changes float32 levels, 0 to 255: one drawn operation after another."""
        for kind, value in zip(
            tf.unstack(given["kind"], axis=1), tf.unstack(given["value"], axis=1), strict=True
        ):
            levels = self._change(levels, kind, value)
        return levels

    def label(self, drawn: Mapping[str, Any]) -> str:
        pairs = zip(_listed(drawn["kind"]), _listed(drawn["value"]), strict=True)
        return ", ".join(kinds.label(self.table, kind, value) for kind, value in pairs)


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


@dataclasses.dataclass(frozen=True)
class RandAugment(_DrawnKinds):
    """A number of operations drawn for each image, all of one strength: two numbers to tune.

    The operations are identity, shears, translations, rotation, brightness, colour, contrast, sharpness,
    posterize, solarize, auto-contrast and equalize.

    Args:
      feature: images of 1, 3 or 4 channels, `[batch, height, width, channels]` of uint8 or floats. A fourth
        channel, alpha, is moved and else stays.
      count: how many operations, one after another, from 1 to 8.
      magnitude: their strength, from 0 (none) to 30 (shear 0.3, translation by 45 % of the size, rotation by
        30 degrees, factors 1 - 0.9 to 1 + 0.9, 4 bits, solarize everything).
      cval: the value of what comes in from outside, in units of the pixels. Default: the middle of the range.
      value_range: (low, high), the bounds of pixels: (0, 255), which uint8 always has, or (0, 1); pixels
        outside are clipped.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    Differences to the reference: pixels are rounded once, at the end; shears are about the centre.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.RandAugment("image")], key_features=["id"])
      >>> policy.augment({"id": tf.range(2), "image": tf.zeros([2, 8, 8, 3])})["image"].shape
      TensorShape([2, 8, 8, 3])

    Reference:
      Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS
      2020, section 3; the strengths are those of torchvision's.
    """

    _: dataclasses.KW_ONLY
    count: int = 2
    magnitude: int | float = 9

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.count, int) or not 1 <= self.count <= 8:
            raise self.invalid("count", "must be an integer from 1 to 8", self.count)
        if not base.is_number(self.magnitude) or not 0 <= self.magnitude <= 30:
            raise self.invalid("magnitude", "must be a number from 0 to 30", self.magnitude)

    @property
    def table(self) -> tuple[kinds.Kind, ...]:
        return kinds.kinds(
            shear=0.3, translate=150.0 / 331.0, rotate=30.0, enhance=0.9, posterize=4.0
        )

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        return self._draw_kinds(images, rng, self.count, self.magnitude / 30.0)


@dataclasses.dataclass(frozen=True)
class TrivialAugment(_DrawnKinds):
    """One operation drawn for each image, of a drawn strength: nothing to tune.

    The operations are those of `RandAugment` over a wide range: shear 0.99, translation by 32 pixels of 224,
    rotation by 135 degrees, factors 1 - 0.99 to 1 + 0.99, 6 bits.

    Args:
      feature: see `RandAugment`.
      cval: see `RandAugment`.
      value_range: see `RandAugment`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    Reference:
      Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
      section 3 (the wide space, whose 32 pixels are here a share of the size).
    """

    @property
    def table(self) -> tuple[kinds.Kind, ...]:
        return kinds.kinds(
            shear=0.99, translate=32.0 / 224.0, rotate=135.0, enhance=0.99, posterize=6.0
        )

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        return self._draw_kinds(images, rng, 1, None)


@dataclasses.dataclass(frozen=True)
class AugMix(_DrawnKinds):
    """A mix of the image and of several chains of operations on it: robust, and close to the original.

    Args:
      feature: see `RandAugment`.
      severity: the greatest strength, from 0 to 10; that of each operation is drawn evenly below it.
      width: how many chains, from 1 to 8.
      depth_range: (low, high), how many operations a chain has; drawn evenly, both ends included, at most 8.
      all_ops: also brightness, colour, contrast and sharpness, which the paper leaves out because its test
        images are corrupted by them.
      cval: see `RandAugment`.
      value_range: see `RandAugment`.
      rate: the chance that an image is changed, in [0, 1]; default 1.

    The weights of the chains are of a Dirichlet distribution and that of the mix against the original is of
    a Beta distribution, both with parameter 1, as in the paper.

    Reference:
      Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", ICLR
      2020, section 3. Its consistency loss is not a part of it.
    """

    _: dataclasses.KW_ONLY
    severity: float = 3.0
    width: int = 3
    depth_range: tuple[int, int] = (1, 3)
    all_ops: bool = True

    def __post_init__(self):
        super().__post_init__()
        if not base.is_number(self.severity) or not 0 <= self.severity <= 10:
            raise self.invalid("severity", "must be a number from 0 to 10", self.severity)
        if not isinstance(self.width, int) or not 1 <= self.width <= 8:
            raise self.invalid("width", "must be an integer from 1 to 8", self.width)
        depth = self.depth_range
        fit = isinstance(depth, tuple | list) and len(depth) == 2
        if (
            not fit
            or not all(isinstance(d, int) for d in depth)
            or not 1 <= depth[0] <= depth[1] <= 8
        ):
            raise self.invalid("depth_range", "must be (low, high) integers in [1, 8]", depth)

    @property
    def table(self) -> tuple[kinds.Kind, ...]:
        return kinds.kinds(
            shear=0.3,
            translate=1.0 / 3.0,
            rotate=30.0,
            enhance=0.9 if self.all_ops else None,
            posterize=4.0,
        )

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        low, longest = self.depth_range
        steps = tf.zeros([tf.shape(images)[0], self.width * longest])
        chains = tf.zeros([tf.shape(images)[0], self.width])
        drawn = self._draw_kinds(images, rng, self.width * longest, self.severity / 10.0, first=1)
        drawn["value"] *= rng.uniform(steps, stream="strength")
        # A chain of fewer operations ends with identities.
        depth = low + rng.integers(longest - low + 1, chains, stream="depth")
        ended = tf.range(longest, dtype=tf.int64) >= depth[:, :, tf.newaxis]
        drawn["kind"] = tf.where(
            tf.reshape(ended, tf.shape(steps)), tf.zeros([], tf.int64), drawn["kind"]
        )
        # Exponentials over their sum are Dirichlet(1, ..., 1).
        weights = -tf.math.log(1.0 - tf.cast(rng.uniform(chains, stream="weights"), tf.float64))
        mix = tf.cast(rng.uniform(stream="mix"), tf.float64)[:, tf.newaxis]
        weights *= mix / tf.reduce_sum(weights, 1, keepdims=True)
        return {**drawn, "weights": tf.cast(weights, tf.float32)}

    def change_levels(self, levels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        # The chains are images of one batch.
        chains = tf.repeat(levels, self.width, axis=0)
        kind, value = (
            tf.reshape(given[name], [-1, self.depth_range[1]]) for name in ("kind", "value")
        )
        for step in range(self.depth_range[1]):
            chains = self._change(chains, kind[:, step], value[:, step])
        chains = tf.reshape(
            chains, tf.concat([tf.shape(given["weights"]), tf.shape(levels)[1:]], 0)
        )
        total = base.per_image(1.0 - tf.reduce_sum(given["weights"], 1)) * levels
        for chain in range(self.width):
            total += base.per_image(given["weights"][:, chain]) * chains[:, chain]
        return total

    def label(self, drawn: Mapping[str, Any]) -> str:
        longest, words = self.depth_range[1], []
        kind = _listed(drawn["kind"])
        for chain, weight in enumerate(_listed(drawn["weights"])):
            places = kind[chain * longest : (chain + 1) * longest]
            names = [self.table[i].name.replace("_", " ") for i in places if i]
            words.append(f"{weight:.0%} {' + '.join(names)}")
        return ", ".join(words)
