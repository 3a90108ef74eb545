"""Ops on numbers."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, check_range, spread
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.rng import Column, KeyedRng


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Op):
    """Adds Gaussian noise to numbers.

    Args:
      feature: floats or integers, `[batch]`, `[batch, n]` or ragged; each value gets noise of its own.
        Integers stay integers: the noise is rounded.
      stddev: the noise's standard deviation, at least 0.
      unit: "absolute" (the feature's own unit) or "stddev" (of the feature's fitted standard deviation).
      rate: the chance that a value gets noise, in [0, 1]; default 1.
      clip_range: (low, high), bounds for the changed values, in the feature's unit. Default: none.

    NaN and infinity stay what they are.

    Reference:
      Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural Computation 1995.
    """

    feature: str
    _: dataclasses.KW_ONLY
    stddev: float
    unit: str = "absolute"
    clip_range: tuple[float, float] | None = None

    kinds: ClassVar[tuple[str, ...]] = ("float", "int64")

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.stddev, int | float) or not 0 <= self.stddev < float("inf"):
            raise self.invalid("stddev", "must be a finite number of at least 0", self.stddev)
        if self.unit not in ("absolute", "stddev"):
            raise self.invalid("unit", 'must be "absolute" or "stddev"', self.unit)
        if self.clip_range is not None:
            check_range(self, "clip_range", self.clip_range)

    def requirements(self) -> tuple[Requirement, ...]:
        return (Requirement("moments", self.feature),) if self.unit == "stddev" else ()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        scale = self.stddev
        if self.unit == "stddev":
            scale *= float(self.statistic(self.requirements()[0])["stddev"])
        noise = rng.normal(column, stream=1) * tf.constant(scale, tf.float32)
        if self.rate < 1:
            noise = tf.where(rng.uniform(column) < self.rate, noise, 0.0)
        return {"noise": noise}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        values, noise = values_of(column), params["noise"]
        noise = tf.cast(noise if column.dtype.is_floating else tf.round(noise), column.dtype)
        noisy = values + noise
        if self.clip_range is not None:
            noisy = tf.clip_by_value(
                noisy, *(tf.cast(bound, column.dtype) for bound in self.clip_range)
            )
        # What got no noise stays as it was to the bit: not clipped, and -0.0 not turned into 0.0.
        values = tf.where(tf.equal(noise, 0), values, noisy)
        return batch.replace({self.feature: with_values(column, values)})


@dataclasses.dataclass(frozen=True)
class ScaleJitter(Op):
    """Multiplies numbers by a factor near 1, drawn evenly from a range.

    Args:
      feature: floats or integers, `[batch]`, `[batch, n]` or ragged; each value gets a factor of its own.
        Integers stay integers: the product is rounded.
      scale_range: (low, high), the factors.
      rate: the chance that a value is scaled, in [0, 1]; default 1.

    Reference:
      "Scaling" in Um et al., ICMI 2017, section 3.2, there with a normal factor.
    """

    feature: str
    _: dataclasses.KW_ONLY
    scale_range: tuple[float, float] = (0.9, 1.1)

    kinds: ClassVar[tuple[str, ...]] = ("float", "int64")

    def __post_init__(self):
        super().__post_init__()
        check_range(self, "scale_range", self.scale_range)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        scale = between(rng.uniform(column, stream=1), self.scale_range)
        return {"scale": tf.where(rng.uniform(column) < self.rate, scale, 1.0)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        values, scale = values_of(column), params["scale"]
        # In float64, so that large integers keep their last digits.
        scaled = tf.cast(values, tf.float64) * tf.cast(scale, tf.float64)
        scaled = tf.cast(scaled if column.dtype.is_floating else tf.round(scaled), column.dtype)
        values = tf.where(tf.equal(scale, 1.0), values, scaled)
        return batch.replace({self.feature: with_values(column, values)})


@dataclasses.dataclass(frozen=True)
class Rotate(Op):
    """Rotates a pair of numbers in their plane about their fitted mean.

    x' = x cos t - y sin t and y' = x sin t + y cos t, with x and y relative to their means: latitude and
    longitude, or two coordinates of an embedding, vary together and keep their distance to the centre.

    Args:
      pair: the two features, floats of equal shapes, `[batch]`, `[batch, n]` or ragged; the values of a row
        turn by the same angle. A row that lacks one of them, or has unequal lengths, stays as it is.
      angle_range: (low, high) in degrees, drawn evenly.
      rate: the chance that a row is rotated, in [0, 1]; default 1.

    Reference:
      "Rotation" in Um et al., ICMI 2017, section 3.2, in the plane.
    """

    pair: tuple[str, str]
    _: dataclasses.KW_ONLY
    angle_range: tuple[float, float] = (-15.0, 15.0)

    scope: ClassVar[str] = "dataset"
    kinds: ClassVar[tuple[str, ...]] = ("float",)

    def __post_init__(self):
        object.__setattr__(self, "pair", tuple(self.pair))
        super().__post_init__()
        if len(set(self.pair)) != 2 or len(self.pair) != 2:
            raise self.invalid("pair", "must be two different features", self.pair)
        check_range(self, "angle_range", self.angle_range)

    @property
    def features(self) -> tuple[str, ...]:
        return self.pair

    def requirements(self) -> tuple[Requirement, ...]:
        return tuple(Requirement("moments", name) for name in self.pair)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        angle = between(rng.uniform(stream=1), self.angle_range)
        return {"angle": tf.where(rng.uniform() < self.rate, angle, 0.0)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        first, second = (self.column(batch, name) for name in self.pair)
        angle = params["angle"]
        ragged = isinstance(first, tf.RaggedTensor)
        if ragged != isinstance(second, tf.RaggedTensor):
            raise self.invalid("pair", "must be both dense or both ragged", self.pair)
        if ragged:
            alike = tf.equal(first.row_lengths(), second.row_lengths())
            angle = tf.where(alike, angle, 0.0)
        means = [float(self.statistic(requirement)["mean"]) for requirement in self.requirements()]
        turned = (
            _turn(first, _aligned(second, first), means, -angle),
            _turn(second, _aligned(first, second), means[::-1], angle),
        )
        changed = (
            with_values(column, values)
            for column, values in zip((first, second), turned, strict=True)
        )
        return batch.replace(dict(zip(self.pair, changed, strict=True)))


def _aligned(other: Column, column: Column) -> tf.Tensor:
    """The values of `other` at the rows and positions of the values of `column`."""
    if not isinstance(column, tf.RaggedTensor):
        return other
    rows = column.value_rowids()
    index = tf.gather(other.row_starts() - column.row_starts(), rows) + tf.range(
        tf.size(rows, rows.dtype), dtype=rows.dtype
    )
    # Rows of unequal lengths are not turned, so what stands in for their missing values does not count.
    padded = tf.concat([other.flat_values, tf.zeros([1], other.dtype)], 0)
    return tf.gather(padded, tf.clip_by_value(index, 0, tf.size(other.flat_values, index.dtype)))


def _turn(column: Column, other: tf.Tensor, means, angle: tf.Tensor) -> tf.Tensor:
    """own cos t + other sin t about the means, in float64; t = -angle gives x', t = angle gives y'."""
    radians = tf.cast(spread(angle, column), tf.float64) * (math.pi / 180.0)
    own = tf.cast(values_of(column), tf.float64) - means[0]
    turned = (
        own * tf.cos(radians) + (tf.cast(other, tf.float64) - means[1]) * tf.sin(radians) + means[0]
    )
    return tf.where(tf.equal(radians, 0.0), values_of(column), tf.cast(turned, column.dtype))


@dataclasses.dataclass(frozen=True)
class NumericCrop(Op):
    """Clips numbers to a drawn part of their range.

    Args:
      feature: floats or integers, `[batch]`, `[batch, n]` or ragged; the values of a row share the part.
      keep_range: (low, high), the share of the range that is kept, each in [0, 1]; the share and where the
        part starts are drawn evenly.
      value_range: (low, high), the feature's range; by default the fitted one.
      rate: the chance that a row is cropped, in [0, 1]; default 1.

    NaN stays what it is.

    Reference:
      Random crop of images, applied to a number's range.
    """

    feature: str
    _: dataclasses.KW_ONLY
    keep_range: tuple[float, float] = (0.8, 1.0)
    value_range: tuple[float, float] | None = None

    scope: ClassVar[str] = "dataset"
    kinds: ClassVar[tuple[str, ...]] = ("float", "int64")

    def __post_init__(self):
        super().__post_init__()
        check_range(self, "keep_range", self.keep_range, 0.0, 1.0)
        if self.value_range is not None:
            check_range(self, "value_range", self.value_range)

    def requirements(self) -> tuple[Requirement, ...]:
        return (Requirement("moments", self.feature),) if self.value_range is None else ()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        if self.value_range is None:
            moments = self.statistic(self.requirements()[0])
            low, high = float(moments["min"]), float(moments["max"])
        else:
            low, high = self.value_range
        share = between(rng.uniform(stream=1), self.keep_range)
        start = rng.uniform(stream=2) * (1.0 - share)
        cropped = rng.uniform() < self.rate
        # In float64: a range may be that of large integers.
        start, share = tf.cast(start, tf.float64), tf.cast(share, tf.float64)
        return {
            "cropped": cropped,
            "low": low + start * (high - low),
            "high": low + (start + share) * (high - low),
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        values = values_of(column)
        low, high = spread(params["low"], column), spread(params["high"], column)
        wide = tf.cast(values, tf.float64)
        outside = spread(params["cropped"], column) & ((wide < low) | (wide > high))
        clipped = tf.clip_by_value(wide, low, high)
        clipped = tf.cast(clipped if column.dtype.is_floating else tf.round(clipped), column.dtype)
        return batch.replace(
            {self.feature: with_values(column, tf.where(outside, clipped, values))}
        )


def between(uniform: tf.Tensor, bounds: tuple[float, float]) -> tf.Tensor:
    """Numbers drawn evenly from a range, from uniforms in [0, 1)."""
    return bounds[0] + uniform * (bounds[1] - bounds[0])
