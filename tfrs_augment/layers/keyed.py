"""The base of layers that draw inside a model, from a step counter and a key."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.features import row_keys
from tfrs_augment.layers.columns import is_draw, position_keys
from tfrs_augment.rng import KeyedRng


class KeyedLayer(tf_keras.layers.Layer):
    """A layer that draws numbers for rows in training.

    Args:
      seed: of the draws, in [0, 2**63). Give the layers of a model different ones, or they draw
        alike for equal keys.
      draw: an integer, to use this draw number in every training call. Default: count the calls in
        a non-trainable weight.
      **kwargs: arguments of a Keras layer, such as `name`.
    """

    def __init__(self, *, seed: int = 0, draw: int | None = None, **kwargs):
        # Tensors keep their types, whatever the mixed precision of the model.
        super().__init__(autocast=False, **kwargs)
        user = type(self).__name__
        for name, value in {"seed": seed, "draw": draw}.items():
            if not is_draw(value) and not (name == "draw" and value is None):
                raise InvalidArgumentError(
                    f"`{name}` of {user} must be an integer in [0, 2**63). Received: {name}={value!r}."
                )
        self.seed, self._draw, self._calls = seed, draw, None
        if draw is None:
            self._calls = self.add_weight(
                "draw",
                shape=(),
                dtype=tf.int64,
                initializer="zeros",
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def next_keys(self, size: tf.Tensor, key: tf.Tensor | None) -> tuple[tf.Tensor, KeyedRng]:
        """The keys of the rows, uint64 `[batch]`, and their random numbers for this call.

        Args:
          size: the number of rows.
          key: ids that tell rows apart, `[batch]`, or None to draw by the place in the batch.
        """
        draw = self._draw
        if self._calls is not None:
            draw = self._calls.read_value()
            self._calls.assign_add(1)
        keys = position_keys(size) if key is None else row_keys({"key": key}, ["key"])
        return keys, KeyedRng(self.seed, keys, draw)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        return {**super().get_config(), "seed": self.seed, "draw": self._draw}
