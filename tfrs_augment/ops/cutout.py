"""Blanks a run of neighbouring numbers."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, check_range, spread
from tfrs_augment.rng import Column, KeyedRng


@dataclasses.dataclass(frozen=True)
class Cutout(Op):
    """Sets a drawn run of neighbouring numbers to a fill value.

    For blocks of numbers in which neighbours belong together (a spectrum, an hour-by-hour count, an
    embedding made elsewhere, a group of related columns): the model learns not to lean on one stretch.

    Args:
      block: a feature of floats or integers, `[batch, n]` or ragged, whose values lie in order; or at least
        two features, in the order in which they are neighbours, of any shape, which are filled as a whole.
      size_range: (low, high), the share of the n numbers (or features) that is cut, each in [0, 1]. How many
        are cut is drawn evenly from ceil(low * n) to ceil(high * n), and so is where the run starts.
      fill_value: what they become. In an integer feature it must be an integer.
      rate: the chance that a row is cut, in [0, 1]; default 1.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> cutout = aug.ops.Cutout("hours", size_range=(0.5, 0.5))
      >>> policy = aug.AugmentationPolicy([cutout], key_features=["row"])
      >>> rows = {"row": tf.constant([1]), "hours": tf.constant([[3.0, 1.0, 4.0, 1.0]])}
      >>> int(tf.math.count_nonzero(policy.augment(rows)["hours"]))
      2

    Reference:
      DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, in one
      dimension. There the square may reach over the border; here the run lies within, and its size varies.
    """

    block: tuple[str, ...]
    _: dataclasses.KW_ONLY
    size_range: tuple[float, float] = (0.1, 0.3)
    fill_value: float = 0.0

    kinds: ClassVar[tuple[str, ...]] = ("float", "int64")

    def __post_init__(self):
        names = (self.block,) if isinstance(self.block, str) else tuple(self.block)
        object.__setattr__(self, "block", names)
        super().__post_init__()
        if len(set(names)) < len(names):
            raise self.invalid("block", "must name each feature once", names)
        check_range(self, "size_range", self.size_range, 0.0, 1.0)
        if not isinstance(self.fill_value, int | float):
            raise self.invalid("fill_value", "must be a number", self.fill_value)

    @property
    def features(self) -> tuple[str, ...]:
        return self.block

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        n = tf.constant(len(self.block), tf.int64)
        if len(self.block) == 1:
            n = self._lengths(self.column(batch, self.block[0]))
        low, high = (_ceil_share(share, n) for share in self.size_range)
        size = low + rng.integers(high - low + 1)
        start = rng.integers(n - size + 1, stream=1)
        return {
            "start": start,
            "size": tf.where(rng.uniform(stream=2) < self.rate, size, tf.zeros_like(size)),
        }

    def _lengths(self, column: Column) -> tf.Tensor:
        """How many numbers a row has: int64 `[batch]` or scalar."""
        if isinstance(column, tf.RaggedTensor):
            return tf.cast(column.row_lengths(), tf.int64)
        if column.shape.rank != 2:
            raise DataError(
                f"{self} takes one feature [batch, n] or ragged, or several features. "
                f"Received: '{self.block[0]}' of shape {column.shape}."
            )
        return tf.shape(column, tf.int64)[1]

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        start, end = params["start"], params["start"] + params["size"]
        changed = {}
        for place, name in enumerate(self.block):
            column = self.column(batch, name)
            position = tf.constant(place, tf.int64)
            if len(self.block) == 1:
                position = _positions(column)
            cut = (spread(start, column) <= position) & (position < spread(end, column))
            fill = self._fill(column, name)
            changed[name] = with_values(column, tf.where(cut, fill, values_of(column)))
        return batch.replace(changed)

    def _fill(self, column: Column, name: str) -> tf.Tensor:
        if not column.dtype.is_floating and not float(self.fill_value).is_integer():
            rule = f"must be an integer for '{name}' of type {column.dtype.name}"
            raise self.invalid("fill_value", rule, self.fill_value)
        value = self.fill_value if column.dtype.is_floating else int(self.fill_value)
        return tf.constant(value, column.dtype)


def _positions(column: Column) -> tf.Tensor:
    """The place of each value in its row, laid out like the column's values."""
    if isinstance(column, tf.RaggedTensor):
        rows = column.value_rowids()
        starts = tf.cast(tf.gather(column.row_starts(), rows), tf.int64)
        return tf.range(tf.size(rows, tf.int64)) - starts
    return tf.range(tf.shape(column, tf.int64)[1])[tf.newaxis]


def _ceil_share(share: float, n: tf.Tensor) -> tf.Tensor:
    """ceil(share * n), where 0.7 * 10 is 7 whatever its last bit."""
    return tf.cast(tf.math.ceil(share * tf.cast(n, tf.float64) - 1e-9), tf.int64)
