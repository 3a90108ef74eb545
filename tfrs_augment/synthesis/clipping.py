"""Gradients of single examples of a critic, clipped and summed without being written out.

The gradient that an example gives a dense layer is a sum of outer products of what goes into the layer and
what comes back through it. So its norm follows from inner products, and the clipped sum over a batch is one
matrix product: a step costs about what one without clipping does.

Reference:
  Goodfellow, "Efficient Per-Example Gradient Computations", 2015, for the norm. Abadi et al., "Deep Learning
  with Differential Privacy", CCS 2016, algorithm 1, for what the sum is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tf_keras


class Factors(NamedTuple):
    """Gradients of one dense layer, an example each: the sum over k of `left[i, k] * right[i, k]^T`.

    Attributes:
      left: float32 `[n, k, inputs + 1]`; the last place is the bias's.
      right: float32 `[n, k, outputs]`.
    """

    left: tf.Tensor
    right: tf.Tensor


def critic_factors(
    critic: tf_keras.Sequential,
    real: tf.Tensor,
    fake: tf.Tensor,
    between: tf.Tensor,
    *,
    leak: float,
    loss: str,
    gradient_penalty: float,
) -> list[Factors]:
    """Returns the gradients of a critic's loss of each pair of a real and a generated row.

    The loss of a pair is `critic(fake) - critic(real)`, plus the weighted penalty on the critic's slope
    between them; or that of the "minimax" game.

    Args:
      critic: of `networks.multilayer`, with one output.
      real: float32 `[n, inputs]`.
      fake: float32 `[n, inputs]`.
      between: float32 `[n, 1]`, the real row's share of the place where the slope is looked at.
      leak: of the critic's rectifiers.
      loss: "wgan-gp" or "minimax".
      gradient_penalty: weight of the penalty of "wgan-gp".

    Returns:
      One a dense layer.
    """
    weights = critic.trainable_variables
    kernels, biases = weights[::2], weights[1::2]
    passes = []
    for rows, sign in ((fake, 1.0), (real, -1.0)):
        lefts, slopes, score = _forward(rows, kernels, biases, leak)
        outer = sign * (tf.sigmoid(sign * score) if loss == "minimax" else tf.ones_like(score))
        rights, _ = _backward(outer, kernels, slopes)
        passes.append((lefts, rights))
    if loss == "wgan-gp":
        mixed = between * real + (1.0 - between) * fake
        _, slopes, score = _forward(mixed, kernels, biases, leak)
        rights, gradient = _backward(tf.ones_like(score), kernels, slopes)
        # The root of 0 has no slope.
        norm = tf.sqrt(tf.reduce_sum(gradient**2, 1, keepdims=True) + 1e-12)
        # The critic is linear around a row, so the slope's change is a pass forward of its direction.
        pushed = gradient_penalty * 2.0 * (norm - 1.0) / norm * gradient
        lefts = []
        for kernel, slope in zip(kernels, slopes):
            lefts.append(_with_last(pushed, 0.0))
            pushed = (pushed @ kernel) * slope
        passes.append((lefts, rights))
    return [
        Factors(
            tf.stack([lefts[layer] for lefts, _ in passes], 1),
            tf.stack([rights[layer] for _, rights in passes], 1),
        )
        for layer in range(len(kernels))
    ]


def clipped_sum(factors: Sequence[Factors], clip_norm: float) -> list[tf.Tensor]:
    """Scales the gradient of each example down to a norm of at most `clip_norm`, and adds them up.

    Args:
      factors: one a dense layer.
      clip_norm: the bound of the norm over all layers together.

    Returns:
      Kernel and bias of each layer, as `trainable_variables` has them.
    """
    squares = 0.0
    for left, right in factors:
        # In float64, or what cancels out would hide how long the gradient is.
        wide, tall = tf.cast(left, tf.float64), tf.cast(right, tf.float64)
        inner = tf.matmul(wide, wide, transpose_b=True) * tf.matmul(tall, tall, transpose_b=True)
        squares += tf.reduce_sum(inner, [1, 2])
    norms = tf.sqrt(tf.maximum(squares, 0.0))
    scale = tf.cast(clip_norm / tf.maximum(norms, clip_norm), tf.float32)[:, None, None]
    sums = []
    for left, right in factors:
        rows = tf.reshape(left, [-1, left.shape[2]])
        total = tf.matmul(rows, tf.reshape(right * scale, [-1, right.shape[2]]), transpose_a=True)
        sums += [total[:-1], total[-1]]
    return sums


def _forward(rows, kernels, biases, leak: float):
    """What goes into each layer, with a 1 for the bias; the slopes of the rectifiers; the scores `[n, 1]`."""
    lefts, slopes = [], []
    for place, (kernel, bias) in enumerate(zip(kernels, biases)):
        lefts.append(_with_last(rows, 1.0))
        rows = rows @ kernel + bias
        last = place == len(kernels) - 1
        slopes.append(tf.ones_like(rows) if last else tf.where(rows > 0, 1.0, leak))
        rows *= slopes[-1]
    return lefts, slopes, rows


def _backward(outer, kernels, slopes):
    """What comes back into each layer; and the gradient of the rows that went in."""
    rights = []
    for kernel, slope in zip(reversed(kernels), reversed(slopes)):
        rights.append(outer * slope)
        outer = tf.matmul(rights[-1], kernel, transpose_b=True)
    return rights[::-1], outer


def _with_last(rows: tf.Tensor, value: float) -> tf.Tensor:
    return tf.pad(rows, [[0, 0], [0, 1]], constant_values=value)
