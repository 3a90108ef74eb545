"""What `wrap(model, policy, tasks=[...])` takes: losses beside a model's own, and extra candidates.

The tasks themselves are in `tfrs_augment.tasks`; these are the two forms that they have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.layers.columns import batch_size, is_draw, is_training, leaves
from tfrs_augment.layers.counting import CountingLayer
from tfrs_augment.policy import AugmentationPolicy

REDUCTIONS = ("sum", "mean")

Function = Callable[[Any, Mapping[str, Any]], tf.Tensor]
"""A part of a model, as a function of the model and a dict of features."""


class _Task(CountingLayer, tfrs.tasks.Task):
    """A layer that draws: by the number that it is given, or else by the count of its calls."""

    def __init__(self, *, seed: int, **kwargs):
        super().__init__(**kwargs)
        if not is_draw(seed):
            raise InvalidArgumentError(
                f"`seed` of {type(self).__name__} must be an integer in [0, 2**63). "
                f"Received: seed={seed!r}."
            )
        self.seed = seed

    def __call__(self, *args, training: bool = True, **kwargs):
        # Left out, Keras would fill in that of the calling layer, or False.
        return super().__call__(*args, training=training, **kwargs)

    def _draw_number(self, draw: int | tf.Tensor | None) -> tf.Tensor:
        return tf.cast(super()._draw_number(draw), tf.int64)

    def _invalid(self, argument: str, rule: str, value: Any) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"`{argument}` of {type(self).__name__} {rule}. Received: {argument}={value!r}."
        )

    def _check_positive(self, **arguments: float) -> None:
        for name, value in arguments.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                raise self._invalid(name, "must be a finite number above 0", value)

    def _check_count(self, **arguments: int) -> None:
        for name, value in arguments.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise self._invalid(name, "must be an integer of at least 1", value)

    def _check_function(self, **arguments: Any) -> None:
        for name, value in arguments.items():
            if not callable(value):
                raise self._invalid(
                    name,
                    "must be a function of (model, features), such as "
                    "lambda model, features: model.movie_model(features['movie_title'])",
                    value,
                )


class AuxiliaryTask(_Task):
    """A loss that is added to a model's own while it trains.

    Derive from it for a loss of your own: define `loss`. It works in `wrap(..., tasks=[...])`, and
    by hand as one line of `compute_loss`: `loss += self.task(self, features, training=training)`.

    The task owns no trainable variable. By hand, as an attribute of a model, it adds one to the
    model's non-trainable ones, the count of its calls, which is its draw number; in `wrap` it gets
    the draw number of the policy and adds none.

    Args:
      weight: the factor of the loss, above 0.
      reduction: "sum" multiplies the mean loss by the number of rows of the batch, as the loss of
        `tfrs.tasks.Retrieval` is a sum over the batch; "mean" does not, for models whose loss is a
        mean, as rankers have.
      seed: of what the task draws, in [0, 2**63).
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      model: the model, for the functions of (model, features) that a task is built from.
      features: the dict of features, not augmented.
      draw: the draw number, an integer or a scalar tensor. Default: the count of the calls.
      training: a Python bool; without training the loss is 0. Default: True.

    Returns:
      A float32 scalar.
    """

    def __init__(self, *, weight: float, reduction: str = "sum", seed: int = 0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self._check_positive(weight=weight)
        if reduction not in REDUCTIONS:
            raise self._invalid("reduction", f"must be one of {', '.join(REDUCTIONS)}", reduction)
        self.weight, self.reduction = weight, reduction

    def loss(self, model: Any, features: Mapping[str, Any], draw: tf.Tensor) -> tf.Tensor:
        """The mean loss of a row, a float32 scalar.

        Args:
          model: see the class.
          features: see the class.
          draw: the draw number, an int64 scalar.
        """
        raise TypeError(f"{type(self).__name__} must define loss(model, features, draw).")

    @tf.autograph.experimental.do_not_convert
    def call(
        self,
        model: Any,
        features: Mapping[str, Any],
        draw: int | tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """See the class."""
        if not is_training(training, type(self).__name__):
            return tf.zeros([])
        loss = self.weight * self.loss(model, features, self._draw_number(draw))
        if self.reduction == "sum":
            loss *= tf.cast(batch_size(features), tf.float32)
        return loss


class CandidateExtender(_Task):
    """A source of extra negatives for the retrieval task of a model, in `wrap(..., tasks=[...])`.

    Args:
      retrieval: a function of the model that returns its `tfrs.tasks.Retrieval`, where the model
        has several. Default: the model's only one.
      seed: of what is drawn, in [0, 2**63).
      **kwargs: arguments of a Keras layer, such as `name`.
    """

    def __init__(
        self,
        *,
        retrieval: Callable[[Any], tfrs.tasks.Retrieval] | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(seed=seed, **kwargs)
        self.retrieval = retrieval

    def extension(
        self,
        model: Any,
        features: Mapping[str, Any],
        draw: tf.Tensor,
        policy: AugmentationPolicy | None,
    ) -> Callable[[dict[str, Any], bool], dict[str, Any]]:
        """What to do to a call of the retrieval task.

        Args:
          model: the model.
          features: the dict of features, not augmented.
          draw: the draw number.
          policy: that of `wrap`, which augments the positives.

        Returns:
          A function of the arguments of `tfrs.tasks.Retrieval.call` by name, and of whether the
          task removes accidental hits, that returns the arguments to use.
        """
        raise TypeError(f"{type(self).__name__} must define extension(...).")


def embed(function: Function, model: Any, features: Mapping[str, Any], argument: str) -> tf.Tensor:
    """Calls a function of (model, features); returns its result in float32.

    Raises:
      UnknownFeatureError: it asks for a feature that is not there.
    """
    try:
        result = function(model, dict(features))
    except KeyError as error:
        names = dict(leaves(features))
        if len(error.args) != 1 or error.args[0] in names or not isinstance(error.args[0], str):
            raise
        raise UnknownFeatureError(
            f"`{argument}` asks for feature '{error.args[0]}', which it is not given. "
            f"{close_matches(error.args[0], names)}"
        ) from error
    return tf.cast(result, tf.float32)
