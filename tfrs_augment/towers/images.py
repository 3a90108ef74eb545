"""An encoder of photos."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError


class CNN(tf_keras.layers.Layer):
    """Convolutions of 3 x 3, each rectified and halved by max pooling, then two dense layers.

    By default the network that Keras's guide for small sets of photos trains.

    Args:
      dim: width of the result. Default: 32.
      filters: channels of each convolution. Default: (32, 32, 64).
      hidden: width of the dense layer before the last one. Default: 64.
      dropout: rate of dropout before the last layer, in [0, 1). Default: 0.5.

    Raises:
      InvalidArgumentError: no filter, a width below 1, or a rate outside [0, 1).

    Example:
      >>> import tensorflow as tf
      >>> from tfrs_augment.towers import CNN
      >>> CNN(dim=8)(tf.zeros([2, 32, 24, 3], tf.uint8)).shape
      TensorShape([2, 8])

    Reference:
      Chollet, "Building powerful image classification models using very little data", The Keras Blog,
      2016; there convolutions are not padded, and one unit with a sigmoid follows.
    """

    def __init__(
        self,
        dim: int = 32,
        *,
        filters: Sequence[int] = (32, 32, 64),
        hidden: int = 64,
        dropout: float = 0.5,
        **options,
    ):
        super().__init__(**options)
        widths = {
            "dim": dim,
            "hidden": hidden,
            **{f"filters[{i}]": n for i, n in enumerate(filters)},
        }
        for name, width in widths.items():
            if not isinstance(width, int) or width < 1:
                raise InvalidArgumentError(
                    f"`{name}` must be an integer of at least 1. Received: {name}={width!r} (CNN)."
                )
        if not filters:
            raise InvalidArgumentError("`filters` must be at least one number. Received: () (CNN).")
        if not 0 <= dropout < 1:
            raise InvalidArgumentError(
                f"`dropout` must be in [0, 1). Received: dropout={dropout!r} (CNN)."
            )
        self._config = {
            "dim": dim,
            "filters": tuple(filters),
            "hidden": hidden,
            "dropout": dropout,
        }
        self._convolutions = [
            tf_keras.layers.Conv2D(n, 3, padding="same", activation="relu") for n in filters
        ]
        self._pool = tf_keras.layers.MaxPool2D(padding="same")
        self._flatten = tf_keras.layers.Flatten()
        self._hidden = tf_keras.layers.Dense(hidden, activation="relu")
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._output = tf_keras.layers.Dense(dim)

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float `[batch, dim]`.

        Args:
          images: `[batch, height, width, channels]` of a known size: uint8, which is scaled to [0, 1], or
            floats, which are taken as they are.
          training: whether dropout acts.
        """
        pixels = tf.cast(images, self.compute_dtype)
        if images.dtype == tf.uint8:
            pixels /= 255.0
        for convolution in self._convolutions:
            pixels = self._pool(convolution(pixels))
        encoded = self._hidden(self._flatten(pixels))
        return self._output(self._dropout(encoded, training=training))

    def get_config(self) -> dict:
        return {**super().get_config(), **self._config}
