"""The rows of a catalogue, to draw from with equal chances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column
from tfrs_augment.layers.columns import position_keys
from tfrs_augment.rng import Column, KeyedRng, absorb


class Catalogue:
    """Items as columns.

    No trackable object of Keras, so that a model that holds a task does not save its catalogue.

    Args:
      items: name to a column: an array, a tensor, a ragged one, or a `datasets.Ragged`; all of one
        length, of at least one row.
      user: who asks, for messages.
    """

    def __init__(self, items: Mapping[str, Any], user: str):
        if not isinstance(items, Mapping) or not items:
            raise InvalidArgumentError(
                f"`items` of {user} must be a dict of the catalogue's columns. "
                f"Received: a {type(items).__name__}."
            )
        with tf.init_scope():
            self.columns = {
                name: as_column(name, column.to_tf() if hasattr(column, "to_tf") else column)
                for name, column in items.items()
            }
        sizes = {name: int(column.shape[0]) for name, column in self.columns.items()}
        self.size = next(iter(sizes.values()))
        if len(set(sizes.values())) > 1 or not self.size:
            raise DataError(
                f"`items` of {user} must be columns of one length, of at least one row. "
                f"Received: {sizes}."
            )

    def draw(self, count: int, seed: int, draw: tf.Tensor) -> tf.Tensor:
        """Places of items, drawn with replacement, each with the same chance: int64 `[count]`."""
        rng = KeyedRng(seed, position_keys(count), draw).fork("catalogue")
        return rng.integers(self.size)

    def take(self, index: tf.Tensor) -> dict[str, Column]:
        """The rows at some places."""
        return {name: tf.gather(column, index) for name, column in self.columns.items()}

    def column(self, name: str, argument: str) -> Column:
        """A column by name.

        Raises:
          UnknownFeatureError: there is none of that name.
        """
        if name not in self.columns:
            raise UnknownFeatureError(
                f"`{argument}` names '{name}', which `items` lacks. "
                f"{close_matches(name, self.columns)}"
            )
        return self.columns[name]


def keys_of(index: tf.Tensor) -> tf.Tensor:
    """Row keys of drawn items, uint64 `[count]`: an item that is drawn twice draws anew."""
    places = tf.bitcast(tf.cast(index, tf.int64), tf.uint64)
    return absorb(places, position_keys(tf.size(index)))


def as_array(values: Any) -> np.ndarray:
    """A column of one value a row as an array: strings as bytes."""
    array = values.numpy() if tf.is_tensor(values) else np.asarray(values)
    if array.dtype.kind == "U":
        return np.char.encode(array, "utf-8")
    return array.astype("S") if array.dtype.kind == "O" else array
