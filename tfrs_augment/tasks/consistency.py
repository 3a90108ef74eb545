"""A loss on predictions that differ between two views of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrs_augment.layers.auxiliary import AuxiliaryTask, Function, embed
from tfrs_augment.layers.columns import POSITION, check_policy
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.tasks.views import first_rows, keys_of_rows, two_views

DISTANCES = ("squared", "kl")


class Consistency(AuxiliaryTask):
    """Asks a model to predict the same for two views of a row.

    It says nothing about which prediction is right: beside a loss with labels it spreads what they
    teach to rows whose features are noisy or missing; alone it would make all predictions equal.

    Args:
      predict: a function of (model, features) that returns predictions, `[batch]` or `[batch, n]`:
        ratings, logits, or the embeddings of a tower.
      views: the policy that makes the views: draw `2 * step` is the first, `2 * step + 1` the
        second. Its key features tell rows apart; without them their places in the batch do.
      distance: "squared", the squared difference, summed over `n`; or "kl", for logits: the mean of
        both Kullback-Leibler divergences, of a yes or no for `[batch]` and `[batch, 1]`, of a
        choice among `n` else. Default: "squared".
      weight: the factor of the loss, above 0. Default: 1.
      batch_size: how many rows of the batch are used, the first ones. Default: 256.
      reduction: "mean" or "sum"; see `AuxiliaryTask`. Default: "mean", as rankers have it.
      **kwargs: arguments of a Keras layer, such as `name`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.GaussianNoise("age", stddev=1.0)])
      >>> task = aug.tasks.Consistency(lambda model, features: model * features["age"], views=policy)
      >>> rows = {"age": tf.constant([24.0, 35.0])}
      >>> float(task(tf.constant(0.0), rows)), bool(task(tf.constant(2.0), rows) > 0)
      (0.0, True)

    Reference:
      Xie et al., "Unsupervised Data Augmentation for Consistency Training", NeurIPS 2020, section
      2.2, there from the clean row to one view; Liang et al., "R-Drop", NeurIPS 2021, section 2.1,
      for the mean of both divergences, there of two dropouts.
    """

    def __init__(
        self,
        predict: Function,
        *,
        views: AugmentationPolicy,
        distance: str = "squared",
        weight: float = 1.0,
        batch_size: int = 256,
        reduction: str = "mean",
        **kwargs,
    ):
        super().__init__(weight=weight, reduction=reduction, **kwargs)
        self._check_function(predict=predict)
        self._check_count(batch_size=batch_size)
        check_policy(views, POSITION, "Consistency")
        if distance not in DISTANCES:
            raise self._invalid("distance", f"must be one of {', '.join(DISTANCES)}", distance)
        self.predict, self.distance, self.batch_size = predict, distance, batch_size
        self._views = views

    def loss(self, model: Any, features: Mapping[str, Any], draw: tf.Tensor) -> tf.Tensor:
        """See `AuxiliaryTask`."""
        rows = first_rows(features, self.batch_size)
        views = two_views(self._views, rows, keys_of_rows(self._views, rows), draw)
        first, second = (embed(self.predict, model, view, "predict") for view in views)
        if first.shape.rank == 1:
            first, second = first[:, tf.newaxis], second[:, tf.newaxis]
        if self.distance == "squared":
            losses = tf.reduce_sum((first - second) ** 2, axis=1)
        else:
            losses = _divergence(first, second)
        return tf.math.divide_no_nan(
            tf.reduce_sum(losses), tf.cast(tf.shape(losses)[0], tf.float32)
        )


def _divergence(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The mean of both Kullback-Leibler divergences of logits `[batch, n]`: `[batch]`.

    `(KL(p, q) + KL(q, p)) / 2 = sum((p - q) * (log p - log q)) / 2`.
    """
    if first.shape[1] == 1:
        # A logit of yes against no: log p - log q of both, whose p - q are opposite.
        first, second = (tf.concat([one, tf.zeros_like(one)], axis=1) for one in (first, second))
    log_first, log_second = tf.nn.log_softmax(first), tf.nn.log_softmax(second)
    difference = tf.exp(log_first) - tf.exp(log_second)
    return 0.5 * tf.reduce_sum(difference * (log_first - log_second), axis=1)
