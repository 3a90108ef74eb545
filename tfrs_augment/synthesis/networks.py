"""What the networks share: layers, choices of heads, compiled steps, held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError

_MIN_ROWS_TO_HOLD_OUT = 100


def multilayer(
    units: Sequence[int],
    outputs: int,
    inputs: int,
    *,
    leak: float = 0.0,
    seed: int = 0,
    last_stddev: float | None = None,
) -> tf_keras.Sequential:
    """Dense layers, rectified but for the last one, built.

    Args:
      units: the widths of the hidden layers.
      outputs: of the last one.
      inputs: of the first one.
      leak: the slope below zero of the rectifier; 0.2 makes it the LeakyReLU of a discriminator.
      seed: of the weights.
      last_stddev: the deviation from 0 at which the weights of the last layer start. Default: as the others.
    """
    layers: list[Any] = [tf_keras.layers.InputLayer([inputs])]
    for number, width in enumerate([*units, outputs]):
        place = seed * 1000 + number
        initializer = tf_keras.initializers.GlorotUniform(seed=place)
        if last_stddev is not None and number == len(units):
            initializer = tf_keras.initializers.RandomNormal(stddev=last_stddev, seed=place)
        layers.append(tf_keras.layers.Dense(width, kernel_initializer=initializer))
        if number < len(units):
            layers.append(tf_keras.layers.LeakyReLU(leak) if leak else tf_keras.layers.ReLU())
    return tf_keras.Sequential(layers)


def straight_choices(
    logits: tf.Tensor, sizes: Sequence[int], temperature: float, seed: tf.Tensor
) -> tf.Tensor:
    """Draws a choice of each head: one-hot forward, and backward the slopes of a softmax.

    Rows that are nearly one-hot would not do: a critic tells them from real ones by that alone, and drives
    the logits so far apart that a generator no longer chooses but always takes the same.

    Args:
      logits: float32 `[n, width]`, all heads side by side.
      sizes: their widths.
      temperature: of the softmax.
      seed: int32 `[2]`.

    Returns:
      float32 `[n, width]`.

    Reference:
      Jang et al., "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017, section 2.2.
    """
    noisy = logits + _gumbel(tf.shape(logits), seed)
    parts = tf.split(noisy, list(sizes), axis=1)
    soft = tf.concat([tf.nn.softmax(part / temperature) for part in parts], 1)
    codes = tf.stack([tf.argmax(part, 1, tf.int32) for part in parts], 1)
    return soft + tf.stop_gradient(one_hot(codes, sizes) - soft)


def hard_choices(logits: tf.Tensor, sizes: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws a choice of each head: int32 `[n, heads]`; arguments as of `straight_choices`."""
    noisy = logits + _gumbel(tf.shape(logits), seed)
    parts = tf.split(noisy, list(sizes), axis=1)
    return tf.stack([tf.argmax(part, 1, tf.int32) for part in parts], 1)


def one_hot(codes: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """float32 `[n, sum of sizes]`: codes `[n, heads]` as one-hot rows side by side."""
    return tf.concat([tf.one_hot(codes[:, i], size) for i, size in enumerate(sizes)], 1)


def seeds_of(seed: int, step: tf.Tensor, part: int) -> Callable[[int], tf.Tensor]:
    """Seeds of a step's operations, int32 `[2]`, by the place of use: from 0, below 8."""
    base = tf.stack([tf.constant(seed % 2**31, tf.int32), tf.cast(step, tf.int32)])
    return lambda place: tf.random.experimental.stateless_fold_in(base, 8 * part + place)


def average_into(averages: Sequence[tf.Variable], weights: Sequence[tf.Variable], rate: float):
    """Moves averages towards weights: `average += (1 - rate) * (weight - average)`."""
    for average, weight in zip(averages, weights):
        average.assign_add((1.0 - rate) * (weight - average))


def held_out(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts rows into those to train on and those to validate with.

    Args:
      count: how many rows there are.
      share: of those to validate with. None are held out of fewer than 100 rows: they serve as both.
      seed: which ones.

    Returns:
      Two arrays of places, int64.
    """
    places = np.random.default_rng([seed, 1]).permutation(count)
    validation = int(math.ceil(share * count))
    if count < _MIN_ROWS_TO_HOLD_OUT or validation == 0:
        return places, places
    return places[validation:], places[:validation]


def condition(head: tf.Tensor, code: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """float32 `[n, sum of sizes]`: one-hot where the row's head has its choice; zeros where head is -1."""
    starts = tf.constant(np.cumsum([0, *sizes[:-1]]), tf.int32)
    place = tf.where(head >= 0, tf.gather(starts, tf.maximum(head, 0)) + code, -1)
    return tf.one_hot(place, sum(sizes))


def adam(
    learning_rate: float, variables: Sequence[tf.Variable], beta_1: float = 0.9
) -> tf_keras.optimizers.Optimizer:
    """Adam with its state for these variables, so that a checkpoint can hold it from the start.

    The one that is a single operation a variable: small networks spend their time on the number of these.
    """
    optimizer = tf_keras.optimizers.legacy.Adam(
        learning_rate, beta_1, 0.9 if beta_1 < 0.9 else 0.999
    )
    optimizer._create_all_weights(variables)
    return optimizer


def check_units(name: str, argument: str, units: Sequence[int]) -> tuple[int, ...]:
    """Returns the widths of layers as a tuple, or raises an InvalidArgumentError."""
    if isinstance(units, str) or not isinstance(units, Sequence) or not units:
        raise InvalidArgumentError(
            f"`{argument}` must be widths of layers, at least one. Received: "
            f"{argument}={units!r} ({name})."
        )
    check_integers(name, {f"{argument}[{i}]": width for i, width in enumerate(units)})
    return tuple(units)


def check_integers(name: str, values: dict[str, Any], low: int = 1) -> None:
    """Raises an InvalidArgumentError for a value, by argument, that is no integer of at least `low`."""
    for argument, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise InvalidArgumentError(
                f"`{argument}` must be an integer of at least {low}. Received: "
                f"{argument}={value!r} ({name})."
            )


def check_numbers(name: str, values: dict[str, tuple[Any, float, float]]) -> None:
    """Raises an InvalidArgumentError for a number outside `[low, high]`.

    Args:
      name: the class, for the message.
      values: argument to value, low and high.
    """
    for argument, (value, low, high) in values.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            rule = f"at least {low:g}" if math.isinf(high) else f"in [{low:g}, {high:g}]"
            raise InvalidArgumentError(
                f"`{argument}` must be {rule}. Received: {argument}={value!r} ({name})."
            )


def _gumbel(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    uniform = tf.random.stateless_uniform(shape, seed, 1e-20, 1.0)
    return -tf.math.log(-tf.math.log(uniform))
