"""Models that start from trained weights, and parts of models that do not train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import InvalidArgumentError, close_matches


def make_variables(model: tf_keras.Model, rows: Interactions) -> list[tf.Variable]:
    """Returns the variables of a model in the order of its weights, those that its first step makes too.

    The order is that of a model all of whose layers train: freezing some changes that of `model.weights`.
    """
    batch = rows.take(np.arange(min(2, len(rows)))).to_tensors()
    # Traced, as `fit` does, and not run: moving averages and random streams stay where they are.
    tf.function(lambda: model.compute_loss(batch, training=True)).get_concrete_function()
    return list(model.weights)


def assign(variables: Sequence[tf.Variable], weights: Sequence[np.ndarray], start: str):
    """Gives the variables of one arm's model the weights of another's.

    Raises:
      InvalidArgumentError: the models are not of the same shape.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    given = [weight.shape for weight in weights]
    if shapes != given:
        differ = [pair for pair in zip(shapes, given) if pair[0] != pair[1]]
        where = (
            f"{differ[0][0]} where the other has {differ[0][1]}"
            if differ
            else f"{len(shapes)} variables where the other has {len(given)}"
        )
        raise InvalidArgumentError(
            f"An arm with `start` must have a model of the same shape as the arm it starts from. Received: "
            f"{where} (start={start!r}). Give both the same `model_options` and `rows` of the "
            "same users and items."
        )
    for variable, weight in zip(variables, weights):
        variable.assign(weight)


def freeze(model: tf_keras.Model, names: Sequence[str]) -> None:
    """Keeps the named layers of a model from training.

    Raises:
      InvalidArgumentError: there is no such attribute, it is no layer, or nothing is left that trains.
    """
    for name in names:
        for layer in _layers(_attribute(model, name), name):
            layer.trainable = False
    if not model.trainable_weights:
        raise InvalidArgumentError(
            f"`frozen` must leave something to train. Received: frozen={tuple(names)!r}, after which "
            f"{type(model).__name__} has no weight that trains."
        )


def _attribute(model: Any, name: str) -> Any:
    value = model
    for part in name.split("."):
        if not hasattr(value, part):
            known = [known for known in vars(value) if not known.startswith("_")]
            raise InvalidArgumentError(
                f"`frozen` must name attributes of the model. Received: {name!r}, but "
                f"{type(value).__name__} has no {part!r}. {close_matches(part, known)}"
            )
        value = getattr(value, part)
    return value


def _layers(value: Any, name: str) -> Iterator[tf_keras.layers.Layer]:
    if isinstance(value, tf_keras.layers.Layer):
        yield value
    elif isinstance(value, (list, tuple)) and value:
        for member in value:
            yield from _layers(member, name)
    elif isinstance(value, dict) and value:
        for member in value.values():
            yield from _layers(member, name)
    else:
        raise InvalidArgumentError(
            f"`frozen` must name layers, or lists or dicts of layers. Received: {name!r}, which is "
            f"{type(value).__name__}."
        )
