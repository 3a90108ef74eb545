"""Ops on dense time series: audio features, sensor readings, anything of [time, channel]."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Op, Params
from tfrs_augment.ops.sequence_layout import share_of
from tfrs_augment.rng import Column, KeyedRng


@dataclasses.dataclass(frozen=True)
class _SignalMask(Op):
    """Hides bands of one axis of a time series."""

    feature: str
    _: dataclasses.KW_ONLY
    max_width: int
    count: int = 1
    fill: str = "zero"
    channels: int | None = None

    kinds: ClassVar[tuple[str, ...]] = ("float",)
    axis: ClassVar[int] = 1
    """The axis of [batch, time, channel] that bands are hidden of."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("max_width", "count", "channels"):
            value = getattr(self, name)
            if name == "channels" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise self.invalid(name, "must be an integer of at least 1", value)
        if self.fill not in ("zero", "mean"):
            raise self.invalid("fill", 'must be "zero" or "mean"', self.fill)

    @property
    def aligned(self) -> tuple[str, ...]:
        return (self.feature,)

    def widest(self, length: tf.Tensor) -> tf.Tensor:
        """The width of the widest mask, int64 `[batch]`."""
        return tf.minimum(length, self.max_width)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        channels = self._channels(column)
        length = _row_sizes(column) // channels
        if self.axis == 2:
            length = tf.fill(tf.shape(length), tf.constant(channels, tf.int64))
        acts = rng.uniform() < self.rate
        starts, widths = [], []
        for i in range(self.count):
            width = rng.integers(self.widest(length) + 1, stream=2 * i + 1)
            width = tf.where(acts, width, tf.zeros_like(width))
            starts.append(rng.integers(length - width + 1, stream=2 * i + 2))
            widths.append(width)
        return {"start": tf.stack(starts, 1), "width": tf.stack(widths, 1)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        channels = self._channels(column)
        masked = self._masked_ragged if isinstance(column, tf.RaggedTensor) else self._masked_dense
        return batch.replace({self.feature: masked(column, channels, params)})

    def _masked_dense(self, column: tf.Tensor, channels: int, params: Params) -> tf.Tensor:
        shape = tf.shape(column)
        steps = tf.reduce_prod(shape[1:]) // channels
        values = tf.reshape(column, tf.stack([shape[0], steps, channels]))
        place = tf.range(tf.shape(values, tf.int64)[self.axis])[tf.newaxis, :, tf.newaxis]
        start = params["start"][:, tf.newaxis]
        inside = (place >= start) & (place < start + params["width"][:, tf.newaxis])
        inside = tf.expand_dims(tf.reduce_any(inside, 2), 3 - self.axis)
        filling = tf.zeros([], values.dtype)
        if self.fill == "mean":
            # In float64, so that the order of the sum is lost in rounding: layouts agree.
            mean = tf.reduce_mean(tf.cast(values, tf.float64), [1, 2], keepdims=True)
            filling = tf.cast(mean, values.dtype)
        masked = tf.reshape(tf.where(inside, filling, values), shape)
        return tf.ensure_shape(masked, column.shape)

    def _masked_ragged(
        self, column: tf.RaggedTensor, channels: int, params: Params
    ) -> tf.RaggedTensor:
        rows, sizes = column.value_rowids(), _row_sizes(column)
        position = tf.range(tf.size(rows, tf.int64)) - tf.gather(tf.cumsum(sizes) - sizes, rows)
        place = position // channels if self.axis == 1 else position % channels
        start = tf.gather(params["start"], rows)
        inside = (place[:, tf.newaxis] >= start) & (
            place[:, tf.newaxis] < start + tf.gather(params["width"], rows)
        )
        # A row that is no whole number of steps is not of this many channels.
        inside = tf.reduce_any(inside, 1) & (tf.gather(sizes % channels, rows) == 0)
        values = column.flat_values
        filling = tf.zeros([], values.dtype)
        if self.fill == "mean":
            total = tf.math.unsorted_segment_sum(
                tf.cast(values, tf.float64), rows, tf.size(sizes, tf.int64)
            )
            mean = total / tf.cast(tf.maximum(sizes, 1), tf.float64)
            filling = tf.gather(tf.cast(mean, values.dtype), rows)
        return column.with_flat_values(tf.where(inside, filling, values))

    def _channels(self, column: Column) -> int:
        shape = column.shape
        if isinstance(column, tf.RaggedTensor) or shape.rank == 2:
            if self.channels is None:
                raise DataError(
                    f"{self} takes [batch, time, channel], or flat rows of time * channel values with "
                    f"`channels` given. Received: shape {shape} without channels."
                )
            flat = shape[1] if not isinstance(column, tf.RaggedTensor) else None
            if flat is not None and flat % self.channels:
                raise self.invalid(
                    "channels", f"must divide the {flat} values of a row", self.channels
                )
            return self.channels
        if shape.rank != 3 or shape[2] is None:
            raise DataError(
                f"{self} takes [batch, time, channel] with a known number of channels. "
                f"Received: shape {shape}."
            )
        if self.channels not in (None, shape[2]):
            raise self.invalid("channels", f"must be the {shape[2]} of the feature", self.channels)
        return shape[2]


def _row_sizes(column: Column) -> tf.Tensor:
    """How many values each row has: int64 `[batch]`."""
    if isinstance(column, tf.RaggedTensor):
        return tf.cast(column.row_lengths(), tf.int64)
    shape = tf.shape(column, tf.int64)
    return tf.fill(shape[:1], tf.reduce_prod(shape[1:]))


@dataclasses.dataclass(frozen=True)
class TimeMask(_SignalMask):
    """Hides runs of time steps, in all channels.

    Args:
      feature: floats, `[batch, time, channel]`; or flat rows of time * channel values (channels of a step
        next to each other), dense `[batch, n]` or ragged, with `channels` given, as a tf.train.Example
        holds them.
      max_width: the widest mask in steps; the width is drawn evenly from 0 to this.
      max_share: a mask is at most this share of a row's steps, in (0, 1]; default 1.
      count: how many masks a row gets; they may overlap.
      fill: what stands in the place of what is hidden: "zero", or "mean" (of the row).
      channels: the number of channels, for flat rows; a ragged row that is no multiple of it stays as it is.
      rate: the chance that a row is masked, in [0, 1]; default 1.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> mask = aug.ops.TimeMask("sound", max_width=2)
      >>> policy = aug.AugmentationPolicy([mask], key_features=["clip_id"])
      >>> rows = {"clip_id": tf.constant([5]), "sound": tf.ones([1, 4, 2])}
      >>> policy.augment(rows, draw=0)["sound"].numpy()[0].tolist()
      [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]

    Reference:
      Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition",
      Interspeech 2019, section 2, time masking: T is `max_width`, p `max_share`, m_T `count`. The last start
      is drawn too here, so that the end of a row is hidden as often as its beginning.
    """

    _: dataclasses.KW_ONLY
    max_share: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.max_share, int | float) or not 0 < self.max_share <= 1:
            raise self.invalid("max_share", "must be in (0, 1]", self.max_share)

    def widest(self, length: tf.Tensor) -> tf.Tensor:
        return tf.minimum(share_of(length, self.max_share), self.max_width)


@dataclasses.dataclass(frozen=True)
class FrequencyMask(_SignalMask):
    """Hides runs of neighbouring channels, at all times.

    Args:
      feature: as in `TimeMask`.
      max_width: the widest mask in channels; the width is drawn evenly from 0 to this, or to all of them.
      count: how many masks a row gets; they may overlap.
      fill: "zero", or "mean" (of the row).
      channels: the number of channels, for flat rows; a ragged row that is no multiple of it stays as it is.
      rate: the chance that a row is masked, in [0, 1]; default 1.

    Reference:
      Park et al., SpecAugment, Interspeech 2019, section 2, frequency masking: F is `max_width`, m_F `count`.
    """

    axis: ClassVar[int] = 2
