"""Small encoders of a history: the steps of a sequence in, one vector out."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError

_MASKED = -1e9


class MLP(tf_keras.layers.Layer):
    """Dense layers, rectified but for the last one.

    Args:
      units: width of each layer, the last one that of the result.
      dropout: rate of dropout on the input, in [0, 1). Default: 0.
    """

    def __init__(self, *units: int, dropout: float = 0.0, **options):
        super().__init__(**options)
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._layers = [
            *(tf_keras.layers.Dense(n, activation="relu") for n in units[:-1]),
            tf_keras.layers.Dense(units[-1]),
        ]

    def call(self, values: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[..., units[-1]]` for `[..., n]`."""
        values = self._dropout(values, training=training)
        for layer in self._layers:
            values = layer(values)
        return values


class Mean(tf_keras.layers.Layer):
    """The mean of the steps; zeros where there is none."""

    def call(self, steps: tf.Tensor, lengths: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, dim]`.

        Args:
          steps: float32 `[batch, n, dim]`, n at least 1, a sequence's own steps first.
          lengths: int `[batch]`, the number of own steps.
          training: whether dropout acts; this encoder has none.
        """
        mask = tf.sequence_mask(lengths, tf.shape(steps)[1], steps.dtype)
        total = tf.einsum("bn,bnd->bd", mask, steps)
        return total / tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)


class Attention(tf_keras.layers.Layer):
    """The last step, what it attends to in the sequence, and the mean, through a residual layer.

    Args:
      dim: width of a step and of the result.
      dropout: rate of dropout on what is attended to, in [0, 1).

    Reference:
      Liu et al., "STAMP: Short-Term Attention/Memory Priority Model for Session-based
      Recommendation", KDD 2018, section 3: the last step asks, and general interest is the mean.
      Here the attention is a scaled inner product.
    """

    def __init__(self, dim: int, *, dropout: float = 0.0, **options):
        super().__init__(**options)
        self._scale = 1.0 / math.sqrt(dim)
        self._query, self._key, self._value = (
            tf_keras.layers.Dense(dim, use_bias=False) for _ in range(3)
        )
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._norm = tf_keras.layers.LayerNormalization()
        self._mean = Mean()
        self._residual = MLP(2 * dim, dim)

    def call(self, steps: tf.Tensor, lengths: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, dim]`; arguments as of `Mean`."""
        last = last_step(steps, lengths)
        scores = tf.einsum("bd,bnd->bn", self._query(last), self._key(steps)) * self._scale
        own = tf.sequence_mask(lengths, tf.shape(steps)[1])
        weights = tf.nn.softmax(tf.where(own, scores, _MASKED))
        attended = tf.einsum("bn,bnd->bd", weights, self._value(steps))
        joined = last + self._dropout(attended, training=training) + self._mean(steps, lengths)
        joined = self._norm(joined)
        return joined + self._residual(joined)


class GRU(tf_keras.layers.Layer):
    """A gated recurrent unit; its state after the last step.

    Args:
      dim: width of a step and of the result.
      dropout: rate of dropout on the state that is returned, in [0, 1).

    Reference:
      Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016.
    """

    def __init__(self, dim: int, *, dropout: float = 0.0, **options):
        super().__init__(**options)
        self._cell = tf_keras.layers.GRU(dim)
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._output = tf_keras.layers.Dense(dim)

    def call(self, steps: tf.Tensor, lengths: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, dim]`; arguments as of `Mean`."""
        state = self._cell(steps, mask=tf.sequence_mask(lengths, tf.shape(steps)[1]))
        return self._output(self._dropout(state, training=training))


class Transformer(tf_keras.layers.Layer):
    """One block of multi-head self-attention; what it makes of the last step.

    Nothing is hidden from a step but padding: only the last one is used, and it comes after all.

    Args:
      dim: width of a step and of the result.
      dropout: rate of dropout in the block, in [0, 1).
      heads: number of attention heads, a divisor of `dim`. Default: 2.

    Reference:
      Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, section III, with one
      block, and layers normalized before they act.
    """

    def __init__(self, dim: int, *, dropout: float = 0.0, heads: int = 2, **options):
        super().__init__(**options)
        if dim % heads:
            raise InvalidArgumentError(
                f"`heads` must divide `dim`. Received: heads={heads} for dim={dim}."
            )
        self._attention = tf_keras.layers.MultiHeadAttention(heads, dim // heads, dropout=dropout)
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._norms = [tf_keras.layers.LayerNormalization() for _ in range(3)]
        self._residual = MLP(2 * dim, dim)

    def call(self, steps: tf.Tensor, lengths: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, dim]`; arguments as of `Mean`."""
        own = tf.sequence_mask(lengths, tf.shape(steps)[1])[:, None, :]
        normed = self._norms[0](steps)
        # The last step alone asks: what the others would attend to reaches nobody.
        asking = last_step(normed, lengths)[:, None, :]
        attended = self._attention(asking, normed, attention_mask=own, training=training)[:, 0]
        state = last_step(steps, lengths) + self._dropout(attended, training=training)
        state += self._dropout(self._residual(self._norms[1](state)), training=training)
        return self._norms[2](state)


ENCODERS = {"attention": Attention, "gru": GRU, "transformer": Transformer}


def make_encoder(name: str, dim: int, dropout: float) -> tf_keras.layers.Layer:
    """Returns the encoder of a name: "attention", "gru", "transformer" or "mean".

    Raises:
      InvalidArgumentError: there is none of that name.
    """
    if name == "mean":
        return Mean()
    if name not in ENCODERS:
        raise InvalidArgumentError(
            f"`encoder` must be one of {', '.join([*ENCODERS, 'mean'])}. Received: {name!r}."
        )
    return ENCODERS[name](dim, dropout=dropout)


def last_step(steps: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns `[batch, dim]`, the last own step of each sequence; the first one of an empty one."""
    place = tf.maximum(tf.cast(lengths, tf.int32) - 1, 0)
    return tf.gather(steps, place, batch_dims=1)
