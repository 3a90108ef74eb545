"""The base of layers that draw inside a model, from a step counter and a key."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.features import row_keys
from tfrs_augment.layers.columns import is_draw, position_keys
from tfrs_augment.layers.counting import CountingLayer
from tfrs_augment.rng import KeyedRng


class KeyedLayer(CountingLayer):
    """A layer that draws numbers for rows in training.

    Args:
      seed: of the draws, in [0, 2**63). Give the layers of a model different ones, or they draw
        alike for equal keys.
      draw: an integer, to use this draw number in every training call. Default: count the calls in
        a non-trainable weight.
      **kwargs: arguments of a Keras layer, such as `name`.
    """

    def __init__(self, *, seed: int = 0, draw: int | None = None, **kwargs):
        super().__init__(counts=draw is None, **kwargs)
        user = type(self).__name__
        for name, value in {"seed": seed, "draw": draw}.items():
            if not is_draw(value) and not (name == "draw" and value is None):
                raise InvalidArgumentError(
                    f"`{name}` of {user} must be an integer in [0, 2**63). Received: {name}={value!r}."
                )
        self.seed, self._draw = seed, draw

    def next_keys(self, size: tf.Tensor, key: tf.Tensor | None) -> tuple[tf.Tensor, KeyedRng]:
        """The keys of the rows, uint64 `[batch]`, and their random numbers for this call.

        Args:
          size: the number of rows.
          key: ids that tell rows apart, `[batch]`, or None to draw by the place in the batch.
        """
        keys = position_keys(size) if key is None else row_keys({"key": key}, ["key"])
        return keys, KeyedRng(self.seed, keys, self._draw_number(self._draw))

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        return {**super().get_config(), "seed": self.seed, "draw": self._draw}
