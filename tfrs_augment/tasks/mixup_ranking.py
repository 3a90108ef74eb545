"""MixUp for ranking models, as a loss beside their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column
from tfrs_augment.layers.auxiliary import AuxiliaryTask, Function, embed
from tfrs_augment.layers.columns import batch_size as rows_of
from tfrs_augment.layers.columns import columns_by_name, copied, position_keys
from tfrs_augment.layers.mixing import check_alpha, draw_mix, mixed
from tfrs_augment.rng import KeyedRng
from tfrs_augment.tasks.views import first_rows


def squared_error(labels: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """The squared error of each row."""
    return (labels - predictions) ** 2


def draw_near(values: tf.Tensor, bandwidth: float, uniform: tf.Tensor) -> tf.Tensor:
    """Draws for each value another one, or itself, the more likely the nearer it is.

    Args:
      values: float32 `[n]`.
      bandwidth: the standard deviation of the Gaussian kernel.
      uniform: float32 `[n]` in [0, 1), what is drawn by.

    Returns:
      int32 `[n]`, places in `values`.
    """
    distance = (values[:, tf.newaxis] - values) / bandwidth
    chances = tf.cumsum(tf.exp(-0.5 * distance**2), axis=1)
    found = tf.searchsorted(chances, (uniform * chances[:, -1])[:, tf.newaxis], side="right")[:, 0]
    return tf.minimum(found, tf.size(values) - 1)


class MixUpRanking(AuxiliaryTask):
    """The loss of a ranking model on rows that are mixed in pairs, labels too.

    With `r` drawn from Beta(alpha, alpha) for each row and a partner drawn from the batch, evenly or
    by how near its label is (`bandwidth`), `x` becomes `r * x + (1 - r) * x[partner]`, and so does
    the label. What is mixed is either

    - `embed`: what this function of (model, features) makes of the rows, such as the concatenated
      embeddings of user and movie; `predict` then takes that in place of the features. This mixes
      all that the prediction is made of, ids too; or
    - `features`: numeric columns of the input. All other columns stay the row's own, so `r` is
      taken as `max(r, 1 - r)`: the row outweighs its partner.

    Args:
      predict: a function of (model, features), or of (model, embedded) where there is `embed`, that
        returns predictions `[batch]` or `[batch, 1]`.
      label: the name of the label's column in the features; numbers `[batch]` or `[batch, 1]`.
        Labels that `fit` passes beside the features are out of a task's sight.
      embed: see above: a function of (model, features) that returns `[batch, dim]`.
      features: see above: names of float columns, dense.
      loss: a function of (labels, predictions), both `[batch]` (a Keras loss will do), that returns
        a loss a row or their mean. Default: the squared error.
      alpha: of the Beta distribution, in [0.01, 4]. Default: 0.2.
      bandwidth: above 0, in the unit of the label: a partner is drawn with a chance in proportion to
        `exp(-d**2 / (2 * bandwidth**2))`, `d` the difference of the labels. That takes `[rows, rows]`
        numbers a step. Default: None, every partner alike.
      weight: the factor of the loss, above 0. Default: 1.
      batch_size: how many rows of the batch are used, the first ones. Default: all.
      reduction: "mean" or "sum"; see `AuxiliaryTask`. Default: "mean", as rankers have it.
      seed: of the draws, in [0, 2**63). Default: 0.
      **kwargs: arguments of a Keras layer, such as `name`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: in training, if the label or a feature is missing from the batch.
      DataError: in training, if a feature to mix is not of dense floats.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> task = aug.tasks.MixUpRanking(
      ...     lambda model, features: 2.0 * features["age"], label="rating", features=("age",)
      ... )
      >>> rows = {"age": tf.constant([1.0, 2.0]), "rating": tf.constant([2.0, 4.0])}
      >>> round(float(task(None, rows)), 4)
      0.0

    Reference:
      Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2; for `embed`
      Verma et al., "Manifold Mixup", ICML 2019, section 2. There one ratio serves a batch. For
      `bandwidth` Yao et al., "C-Mixup: Improving Generalization in Regression", NeurIPS 2022; there
      partners come from the whole training set.
    """

    def __init__(
        self,
        predict: Function,
        *,
        label: str,
        embed: Function | None = None,
        features: Sequence[str] | None = None,
        loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = squared_error,
        alpha: float = 0.2,
        bandwidth: float | None = None,
        weight: float = 1.0,
        batch_size: int | None = None,
        reduction: str = "mean",
        **kwargs,
    ):
        super().__init__(weight=weight, reduction=reduction, **kwargs)
        self._check_function(predict=predict)
        if (embed is None) == (features is None):
            raise InvalidArgumentError(
                "MixUpRanking takes either `embed`, a function of (model, features), or `features`, "
                f"numeric columns. Received: embed={embed!r}, features={features!r}."
            )
        if embed is not None:
            self._check_function(embed=embed)
        if batch_size is not None:
            self._check_count(batch_size=batch_size)
        if bandwidth is not None and not (
            isinstance(bandwidth, int | float) and 0 < bandwidth < math.inf
        ):
            raise self._invalid("bandwidth", "must be None or a number above 0", bandwidth)
        if not isinstance(label, str) or not label:
            raise self._invalid("label", "must be the name of a column", label)
        names = (features,) if isinstance(features, str) else tuple(features or ())
        if features is not None and (not names or label in names):
            raise self._invalid(
                "features", "must name numeric columns, and not the label", features
            )
        if not callable(loss):
            raise self._invalid("loss", "must be a function of (labels, predictions)", loss)
        self.predict, self.embed, self.label = predict, embed, label
        self.alpha, self.batch_size = check_alpha(alpha, "MixUpRanking"), batch_size
        self.bandwidth = bandwidth
        self._mixed, self._loss = names, loss

    def loss(self, model: Any, features: Mapping[str, Any], draw: tf.Tensor) -> tf.Tensor:
        """See `AuxiliaryTask`."""
        rows = first_rows(features, self.batch_size)
        columns = columns_by_name(rows, (*self._mixed, self.label))
        size = rows_of(rows)
        rng = KeyedRng(self.seed, position_keys(size), draw).fork("mixup_ranking")
        ratio, partner = draw_mix(rng, size, self.alpha)
        labels = tf.cast(self._column(columns, self.label), tf.float32)
        if self.bandwidth is not None:
            uniform = rng.uniform(stream="near_partner")
            partner = draw_near(tf.reshape(labels, [-1]), self.bandwidth, uniform)
        if self.embed is not None:
            embedded = embed(self.embed, model, rows, "embed")
            predictions = self.predict(model, mixed(embedded, ratio, partner))
        else:
            ratio = tf.maximum(ratio, 1.0 - ratio)
            changed = {
                name: mixed(self._column(columns, name), ratio, partner) for name in self._mixed
            }
            predictions = embed(self.predict, model, copied(rows, changed), "predict")
        labels = tf.reshape(mixed(labels, ratio, partner), [-1])
        predictions = tf.reshape(tf.cast(predictions, tf.float32), [-1])
        tf.debugging.assert_equal(
            tf.size(labels), tf.size(predictions), "`predict` must return one number a row."
        )
        losses = self._loss(labels, predictions)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32))

    def _column(self, columns: Mapping[str, Any], name: str) -> tf.Tensor:
        if name not in columns:
            raise UnknownFeatureError(
                f"MixUpRanking needs feature '{name}', which is missing from the batch. "
                f"{close_matches(name, columns)} Labels must be a column of the features."
            )
        column = as_column(name, columns[name])
        dense = not isinstance(column, tf.RaggedTensor)
        if not dense or column.dtype == tf.string:
            raise DataError(
                f"MixUpRanking takes dense numbers. Received: '{name}' of {column.dtype.name}. "
                "Mix embeddings of it with `embed`."
            )
        if name != self.label and not column.dtype.is_floating:
            raise DataError(
                f"MixUpRanking mixes floats. Received: '{name}' of {column.dtype.name}. Ids and "
                "counts have no value between two: mix embeddings with `embed`."
            )
        return column
