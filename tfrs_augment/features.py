"""Batches of features, and the keys of their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfrs_augment.errors import DataError, UnknownFeatureError, close_matches
from tfrs_augment.rng import Column, absorb, mix


@dataclasses.dataclass(frozen=True)
class FeatureBatch:
    """The columns of a batch of rows, with one key a row.

    Attributes:
      columns: name to a dense tensor `[batch]` or `[batch, ...]`, or a `tf.RaggedTensor` `[batch, None]`.
      keys: uint64 `[batch]`, what the rows' random numbers hang on.
    """

    columns: Mapping[str, Column]
    keys: tf.Tensor

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise UnknownFeatureError(
                f"The batch has no feature '{name}'. {close_matches(name, self.columns)}"
            )
        return self.columns[name]

    def replace(self, changed: Mapping[str, Column]) -> FeatureBatch:
        """A batch with some columns replaced; the others stay the same objects, this batch as it was."""
        return dataclasses.replace(self, columns={**self.columns, **changed})


def as_column(name: str, value) -> Column:
    """Checks that a value can be a column, and makes a tensor of an array or a list.

    Raises:
      DataError: for a sparse tensor, a scalar, or a ragged tensor of more than one ragged dimension.
    """
    if isinstance(value, tf.RaggedTensor):
        if value.ragged_rank != 1 or value.flat_values.shape.rank != 1:
            raise DataError(
                f"Feature '{name}' must be ragged in one dimension, [batch, None]. "
                f"Received: ragged rank {value.ragged_rank}, shape {value.shape}."
            )
        return value
    if isinstance(value, tf.SparseTensor):
        raise DataError(
            f"Feature '{name}' is a SparseTensor, which ops do not take. "
            "Use tf.RaggedTensor.from_sparse(...) or tf.sparse.to_dense(...)."
        )
    value = tf.convert_to_tensor(value)
    if value.shape.rank is None or value.shape.rank < 1:
        raise DataError(
            f"Feature '{name}' must have a batch dimension of known rank. Received: shape {value.shape}."
        )
    return value


def values_of(column: Column) -> tf.Tensor:
    """The values of a column: a dense column itself, the flat `[values]` of a ragged one."""
    return column.flat_values if isinstance(column, tf.RaggedTensor) else column


def with_values(column: Column, values: tf.Tensor) -> Column:
    """A column laid out like `column`, with other values."""
    return column.with_flat_values(values) if isinstance(column, tf.RaggedTensor) else values


def row_keys(features: Mapping[str, Column], names: Sequence[str]) -> tf.Tensor:
    """Hashes the key features of each row to 64 bits.

    The integer widths and the float widths of a value hash alike, so that a model that holds int32 ids and a
    file that holds int64 ids agree; 0.0 and -0.0 hash alike.

    Args:
      features: name to column.
      names: the key features, each `[batch]` or `[batch, 1]`: one value a row.

    Returns:
      uint64 `[batch]`.

    Raises:
      UnknownFeatureError: a key feature is missing.
      DataError: a key feature does not have exactly one value a row.
    """
    state = None
    for name in names:
        if name not in features:
            raise UnknownFeatureError(
                f"Key feature '{name}' is missing from the batch, so its rows have no key. "
                f"{close_matches(name, features)} Pass the feature on, or change the policy's key_features; "
                "in a layer key='position' draws by the place in the batch instead."
            )
        column = as_column(name, features[name])
        if isinstance(column, tf.RaggedTensor):
            raise DataError(
                f"Key feature '{name}' must have one value a row. Received: a ragged column."
            )
        if column.shape.rank > 1:
            if column.shape.rank != 2 or column.shape[1] != 1:
                raise DataError(
                    f"Key feature '{name}' must have one value a row. Received: shape {column.shape}."
                )
            column = column[:, 0]
        word = hash_values(column)
        state = absorb(tf.zeros_like(word) if state is None else state, word)
    return state


def hash_values(column: tf.Tensor) -> tf.Tensor:
    """Hashes each value to uint64, of the same shape; see `row_keys` on which values hash alike."""
    if column.dtype == tf.string:
        # FarmHash fingerprints are fixed for ever; the bucket count is the largest that the op takes.
        return tf.bitcast(tf.strings.to_hash_bucket_fast(column, (1 << 63) - 1), tf.uint64)
    if column.dtype.is_floating:
        bits = tf.bitcast(tf.cast(column, tf.float32) + 0.0, tf.uint32)
        return mix(tf.cast(bits, tf.uint64))
    return mix(tf.bitcast(tf.cast(column, tf.int64), tf.uint64))
