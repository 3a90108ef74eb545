"""Sequences in their layouts: aligned columns of items, ragged or padded, and back as they stood."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Op, Params
from tfrs_augment.rng import Column, KeyedRng
from tfrs_augment.schema import kind_of_dtype

_PAD: Mapping[str, Any] = {"bytes": "", "int64": 0, "float": 0.0}
"""What pads a column by default, by kind: what `RaggedTensor.to_tensor` puts there."""


@dataclasses.dataclass(frozen=True)
class SequenceOp(Op, abstract=True):
    """What ops on sequences share: aligned features, padding, and the rule for short sequences.

    Args:
      sequence: the feature that holds the sequence, or several that describe the same items (ids, times,
        categories), equally many a row; the first leads. Ragged `[batch, None]` or padded `[batch, n]`.
      padding: None where rows have lengths of their own (ragged). "trailing" or "leading" where rows are
        padded to a width: they keep it, and padding stays at the end where it stands; the argument says
        where it goes in a row that has none yet. It counts in ragged columns too, because a file of
        tf.train.Examples does not tell a padded list from another one.
      pad_values: feature to what it is padded with, where that is not "" for strings and 0 for numbers. The
        first feature's says where the padding is: the items lie between its first and last other value.
      min_length: a sequence of fewer items stays as it is.
    """

    sequence: tuple[str, ...]
    _: dataclasses.KW_ONLY
    padding: str | None = None
    pad_values: Mapping[str, Any] | None = None
    min_length: int = 1

    one_feature: ClassVar[bool] = False
    """Whether the op takes one feature only."""

    def __post_init__(self):
        names = (self.sequence,) if isinstance(self.sequence, str) else tuple(self.sequence)
        object.__setattr__(self, "sequence", names)
        super().__post_init__()
        if len(set(names)) < len(names):
            raise self.invalid("sequence", "must name each feature once", names)
        if self.one_feature and len(names) > 1:
            raise self.invalid("sequence", "must be one feature", names)
        if self.padding not in (None, "trailing", "leading"):
            raise self.invalid("padding", 'must be None, "trailing" or "leading"', self.padding)
        for name, value in (self.pad_values or {}).items():
            if self.padding is None or name not in names:
                raise self.invalid(
                    "pad_values", f"may only name features of {names}, with `padding` set", name
                )
            if not isinstance(value, str | int | float):
                raise self.invalid(
                    "pad_values", "must map a feature to a string or a number", value
                )
        if not isinstance(self.min_length, int) or self.min_length < 1:
            raise self.invalid("min_length", "must be an integer of at least 1", self.min_length)

    @property
    def features(self) -> tuple[str, ...]:
        return self.sequence

    @property
    def aligned(self) -> tuple[str, ...]:
        return self.sequence

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        """What `draw` draws, for the sequences of a batch."""
        raise TypeError(f"{type(self).__name__} must define choose(items, rng).")

    def change(self, items: Items, params: Params) -> Mapping[str, tf.RaggedTensor]:
        """The sequences after what was drawn, by feature; those that stay as they are may be left out."""
        raise TypeError(f"{type(self).__name__} must define change(items, params).")

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        return self.choose(Items(self, batch), rng)

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        items = Items(self, batch)
        return batch.replace(items.put_back(self.change(items, params)))

    def __call__(self, batch: FeatureBatch, rng: KeyedRng) -> FeatureBatch:
        # What apply(draw()) gives, with the sequences found once.
        items = Items(self, batch)
        return batch.replace(items.put_back(self.change(items, self.choose(items, rng))))

    def check_share(self, name: str) -> None:
        """Checks an argument that is a share of a sequence.

        Raises:
          InvalidArgumentError: it is not in [0, 1].
        """
        value = getattr(self, name)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.invalid(name, "must be in [0, 1]", value)

    def acts(self, items: Items, rng: KeyedRng, *, stream: int) -> tf.Tensor:
        """The rows that are drawn and whose sequences are long enough: bool `[batch]`."""
        return (rng.uniform(stream=stream) < self.rate) & (items.lengths >= self.min_length)

    def pad_value(self, name: str, dtype: tf.DType) -> str | int | float:
        """What a feature of a type is padded with.

        Raises:
          InvalidArgumentError: it is of another type.
        """
        value = (self.pad_values or {}).get(name, _PAD[kind_of_dtype(dtype)])
        if isinstance(value, str) != (dtype == tf.string):
            raise self.invalid("pad_values", f"must fit '{name}' of type {dtype.name}", value)
        return value

    def check_not_padding(self, argument: str, value: Any, dtype: tf.DType) -> None:
        """Checks that a token for the first feature does not read as padding.

        Raises:
          InvalidArgumentError: it is what that feature is padded with.
        """
        if self.padding is not None and value == self.pad_value(self.sequence[0], dtype):
            raise self.invalid(argument, "must not be what the sequence is padded with", value)


class Items:
    """The sequences of a batch, without padding.

    Attributes:
      columns: feature to its items, ragged `[batch, None]` with equal int64 row splits.
      lead: the first feature's.
      lengths: int64 `[batch]`.
      rows: int64 `[items]`, the row that an item is in.
      positions: int64 `[items]`, its place in the sequence.
    """

    def __init__(self, op: SequenceOp, batch: FeatureBatch):
        self._op = op
        self._given = {name: op.column(batch, name) for name in op.sequence}
        self._wide = _aligned(op, {n: _as_ragged(op, n, c) for n, c in self._given.items()})
        self.columns = self._wide
        if op.padding is not None:
            self._trim()
        self.lead = self.columns[op.sequence[0]]
        self.lengths = self.lead.row_lengths()
        self.rows = self.lead.value_rowids()
        self.positions = _positions(self.lead, self.rows)

    def _trim(self) -> None:
        """Takes the padding away; notes where it was."""
        lead = self._wide[self._op.sequence[0]]
        rows, width = lead.value_rowids(), lead.row_lengths()
        place, batch = _positions(lead, rows), lead.nrows()
        there = lead.values != tf.constant(
            self._op.pad_value(self._op.sequence[0], lead.dtype), lead.dtype
        )
        # Of a row without items the ends are such that it has none.
        last = tf.math.unsorted_segment_max(tf.where(there, place, -1), rows, batch)
        last = tf.maximum(last, -1)
        first = tf.math.unsorted_segment_min(
            tf.where(there, place, tf.gather(width, rows)), rows, batch
        )
        first = tf.where(last < 0, tf.zeros_like(first), first)
        full = (first == 0) & (last == width - 1)
        leading = (first > 0) & (last == width - 1)
        self._leading = leading | full if self._op.padding == "leading" else leading
        self._first, self._rows, self._place = first, rows, place
        self._is_item = (place >= tf.gather(first, rows)) & (place <= tf.gather(last, rows))
        index = tf.where(self._is_item)[:, 0]
        self.columns = {
            name: tf.RaggedTensor.from_row_lengths(
                tf.gather(column.values, index), last - first + 1, validate=False
            )
            for name, column in self._wide.items()
        }

    def gathered(self, index: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.RaggedTensor]:
        """All columns with other items.

        Args:
          index: int64 `[new items]`, which item (of all in the batch) comes next.
          lengths: int64 `[batch]`, how many of them a row has.
        """
        return {
            name: tf.RaggedTensor.from_row_lengths(
                tf.gather(column.values, index), lengths, validate=False
            )
            for name, column in self.columns.items()
        }

    def put_back(self, changed: Mapping[str, tf.RaggedTensor]) -> dict[str, Column]:
        """Columns of the layout that was given, from items: a padded row keeps its last ones that fit."""
        result = {}
        for name, column in changed.items():
            given = self._given[name]
            if self._op.padding is not None:
                column = self._wide[name].with_values(self._padded(name, column))
            if isinstance(given, tf.RaggedTensor):
                result[name] = column.with_row_splits_dtype(given.row_splits.dtype)
            else:
                result[name] = tf.reshape(column.values, tf.shape(given))
                result[name].set_shape(given.shape)
        return result

    def _padded(self, name: str, column: tf.RaggedTensor) -> tf.Tensor:
        """The items at their places between the padding: the flat values of all rows."""
        wide = self._wide[name]
        width, lengths = wide.row_lengths(), column.row_lengths()
        kept = tf.minimum(lengths, width)
        begin = tf.where(self._leading, width - kept, tf.minimum(self._first, width - kept))
        offset = column.row_starts() + lengths - kept - begin
        rank = self._place - tf.gather(begin, self._rows)
        inside = (rank >= 0) & (rank < tf.gather(kept, self._rows))
        pad = tf.constant([self._op.pad_value(name, column.dtype)], column.dtype)
        values = tf.concat([column.values, pad], 0)
        end = tf.size(column.values, tf.int64)
        index = tf.where(inside, self._place + tf.gather(offset, self._rows), end)
        # Where padding was and still is it stays as it was, whatever it is.
        taken = inside | self._is_item
        return tf.where(taken, tf.gather(values, index), wide.values)

    def order(self, base: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
        """The items sorted by `base` (int64, below 2**31), those of equal base by their random bits."""
        key = tf.bitwise.left_shift(base, tf.constant(32, tf.int64)) + tf.cast(bits, tf.int64)
        return tf.cast(tf.argsort(key), tf.int64)

    def sample(self, count: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
        """Draws `count` `[batch]` items of each row, without repetition: bool `[items]`."""
        order = self.order(self.rows, bits)
        # Sorted by row, so the rank of an item in its row is its place in the order less the row's start.
        chosen = self.positions < tf.gather(count, self.rows)
        return tf.scatter_nd(order[:, tf.newaxis], chosen, tf.shape(chosen, tf.int64))


def share_of(lengths: tf.Tensor, share: float) -> tf.Tensor:
    """A share of lengths, rounded down, int64; what is whole but for the rounding of floats is whole."""
    return tf.cast(tf.floor(tf.cast(lengths, tf.float64) * share + 1e-9), tf.int64)


def _positions(column: tf.RaggedTensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.range(tf.size(rows, tf.int64)) - tf.gather(column.row_starts(), rows)


def _as_ragged(op: SequenceOp, name: str, column: Column) -> tf.RaggedTensor:
    if isinstance(column, tf.RaggedTensor):
        return column.with_row_splits_dtype(tf.int64)
    if column.shape.rank != 2:
        raise DataError(
            f"{op} takes sequences, ragged [batch, None] or padded [batch, n]. "
            f"Received: '{name}' of shape {column.shape}."
        )
    if op.padding is None:
        raise DataError(
            f"{op} must know how the dense feature '{name}' of shape {column.shape} is padded. "
            'Pass padding="trailing" or padding="leading", and pad_values where the padding is not "" or 0.'
        )
    shape = tf.shape(column, tf.int64)
    return tf.RaggedTensor.from_row_splits(
        tf.reshape(column, [-1]), tf.range(shape[0] + 1) * shape[1], validate=False
    )


def _aligned(op: SequenceOp, columns: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.RaggedTensor]:
    """The columns with the first one's row splits, which must be those of all."""
    lead, *others = columns
    splits = columns[lead].row_splits
    for name in others:
        message = (
            f"{op}: '{lead}' and '{name}' must have equally many values in each row, for they describe "
            "the same items."
        )
        try:
            check = tf.debugging.assert_equal(splits, columns[name].row_splits, message)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(message) from error
        with tf.control_dependencies([] if check is None else [check]):
            splits = tf.identity(splits)
    return {
        name: tf.RaggedTensor.from_row_splits(column.values, splits, validate=False)
        for name, column in columns.items()
    }
