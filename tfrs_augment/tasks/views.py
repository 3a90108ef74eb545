"""Rows for a loss on a sub-batch, and two views of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrs_augment.errors import UnknownFeatureError, close_matches
from tfrs_augment.features import as_column, row_keys
from tfrs_augment.layers.columns import batch_size, columns_by_name, copied, position_keys
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import Column, absorb, mix


def first_rows(features: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    """The first rows of a dict of columns, nested dicts too; all where `count` is None."""
    return {
        name: first_rows(value, count)
        if isinstance(value, Mapping)
        else as_column(name, value)[:count]
        for name, value in features.items()
    }


def keys_of_rows(policy: AugmentationPolicy, rows: Mapping[str, Any]) -> tf.Tensor:
    """uint64 `[batch]`: by the policy's key features; by place where it has none."""
    if not policy.key_features:
        return position_keys(batch_size(rows))
    return row_keys(columns_by_name(rows, policy.key_features), policy.key_features)


def two_views(
    policy: AugmentationPolicy, rows: Mapping[str, Any], keys: tf.Tensor, draw: tf.Tensor
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two draws of a policy: numbers `2 * draw` and `2 * draw + 1`."""
    columns = columns_by_name(rows, policy.features)

    def view(number: tf.Tensor) -> dict[str, Any]:
        changed = policy.augment(columns, draw=number, keys=keys)
        return copied(rows, {name: changed[name] for name in policy.features})

    return view(2 * draw), view(2 * draw + 1)


def identity_of(rows: Mapping[str, Any], names: Sequence[str]) -> tf.Tensor:
    """Hashes columns of any shape: int64 `[batch]`, equal for rows that are equal in them.

    Raises:
      UnknownFeatureError: a column is missing.
    """
    columns, state = columns_by_name(rows, names), None
    for name in names:
        if name not in columns:
            raise UnknownFeatureError(
                f"The loss needs feature '{name}', which is missing from the batch. "
                f"{close_matches(name, columns)}"
            )
        word = _hash_rows(as_column(name, columns[name]))
        state = word if state is None else absorb(state, word)
    return tf.bitcast(state, tf.int64)


def _hash_rows(column: Column) -> tf.Tensor:
    """uint64 `[batch]`; the order of the values in a row counts."""
    if not isinstance(column, tf.RaggedTensor) and column.shape.rank == 1:
        return row_keys({"": column}, [""])
    if isinstance(column, tf.RaggedTensor):
        rows = column.value_rowids()
        starts = tf.gather(tf.cast(column.row_starts(), tf.int64), rows)
        place = tf.range(tf.size(rows, tf.int64)) - starts
        values, count = column.flat_values, column.nrows()
    else:
        shape = tf.shape(column, tf.int64)
        per_row = tf.reduce_prod(shape[1:])
        place = tf.tile(tf.range(per_row), shape[:1])
        rows = tf.repeat(tf.range(shape[0]), per_row)
        values, count = tf.reshape(column, [-1]), shape[0]
    words = mix(absorb(row_keys({"": values}, [""]), tf.bitcast(place, tf.uint64)))
    # A sum of words that know their places: there is no scan along the rows of a ragged tensor.
    total = tf.math.unsorted_segment_sum(tf.bitcast(words, tf.int64), rows, count)
    return tf.bitcast(total, tf.uint64)
