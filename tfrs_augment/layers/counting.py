"""The base of layers whose draw number is the count of their training calls."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


class CountingLayer(tf_keras.layers.Layer):
    """A layer that counts its calls in a non-trainable weight, which is saved and checkpointed.

    Args:
      counts: whether there is such a weight; without, every call must be given its draw number.
      **kwargs: arguments of a Keras layer, such as `name`.
    """

    def __init__(self, *, counts: bool = True, **kwargs):
        # Columns keep their types, whatever the mixed precision of the model.
        super().__init__(autocast=False, **kwargs)
        self._calls = None
        if counts:
            self._calls = self.add_weight(
                "draw",
                shape=(),
                dtype=tf.int64,
                initializer="zeros",
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def _draw_number(self, given: int | tf.Tensor | None) -> int | tf.Tensor:
        """The draw number of a call: the given one, or the number of the calls before."""
        if given is not None:
            return given
        draw = self._calls.read_value()
        self._calls.assign_add(1)
        return draw
