"""The training protocol that every arm of a comparison shares."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import name_of
from tfrs_augment.evaluation.comparing.validation import (
    EarlyStopping,
    Embedder,
    ErrorOfPredictions,
    RankingOfItems,
)
from tfrs_augment.evaluation.splitting.splits import Split

__all__ = ["Embedder", "Protocol", "Training", "train"]

Embed = Callable[[tf_keras.Model, Mapping[str, tf.Tensor]], tf.Tensor]


def default_optimizer() -> tf_keras.optimizers.Optimizer:
    """Returns Adam with learning rate 0.002."""
    return tf_keras.optimizers.Adam(2e-3)


def default_query(model: tf_keras.Model, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns `model.query_model(features)`."""
    return _tower(model, "query_model")(features)


def default_candidate(model: tf_keras.Model, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns `model.candidate_model(features)`."""
    return _tower(model, "candidate_model")(features)


def default_predict(model: tf_keras.Model, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns `model(features)`."""
    if type(model).call is tf_keras.Model.call:
        raise InvalidArgumentError(
            "`build_model` must return a model with `call`, features in and predictions out. Received: "
            f"{type(model).__name__} without it. Pass `predict=`, a function of (model, features) that "
            "returns one number a row."
        )
    return model(features)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every arm is trained, and what it is asked.

    A protocol with a `label` is of ranking models: they predict the label of each test row, and early
    stopping watches the RMSE of the validation rows, or their log loss where all labels are 0 or 1. Without
    one models retrieve: early stopping watches NDCG@50, and test rows are judged by the rank of their item.

    Args:
      epochs: most passes over the training rows.
      batch_size: rows a step. An epoch is `ceil(training rows / batch_size)` steps in every arm,
        however many copies an arm trains on.
      optimizer: called for a fresh optimizer of each training.
      patience: validations without a better metric after which training stops.
      validate_every: epochs from one validation to the next.
      query: `(model, features of users, or of rows) -> [batch, dim]`.
      candidate: `(model, features of items) -> [batch, dim]`.
      label: name of a column of numbers in the rows, what a ranking model predicts: a rating, or whether
        there was a click. Default: models retrieve.
      predict: `(model, features of rows) -> [batch]` or `[batch, 1]`, with a `label`; of labels 0 and 1 it
        must be a chance. The features are all columns but the label. Default: `model(features)`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
    """

    epochs: int = 30
    batch_size: int = 512
    optimizer: Callable[[], tf_keras.optimizers.Optimizer] = default_optimizer
    patience: int = 4
    validate_every: int = 1
    query: Embed = default_query
    candidate: Embed = default_candidate
    label: str | None = None
    predict: Embed = default_predict

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "validate_every"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(
                    f"`{name}` must be at least 1. Received: {name}={getattr(self, name)}."
                )
        if self.label is not None and (not isinstance(self.label, str) or not self.label):
            raise InvalidArgumentError(
                f"`label` must be the name of a column or None. Received: label={self.label!r}."
            )

    def describe(self) -> dict[str, Any]:
        """Returns the protocol as JSON values, the same for equal protocols."""
        described = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # The optimizer's settings count, not only the name of the function that makes it.
        described["optimizer"] = {
            key: value if isinstance(value, (int, float, str, bool, type(None))) else repr(value)
            for key, value in self.optimizer().get_config().items()
        }
        for name in ("query", "candidate", "predict"):
            described[name] = name_of(described[name])
        if self.label is None:  # As before there were labels: results of then stay valid.
            del described["label"], described["predict"]
        return described

    def measure(self, split: Split) -> RankingOfItems | ErrorOfPredictions:
        """Returns what early stopping watches, a function of the model."""
        return (RankingOfItems if self.label is None else ErrorOfPredictions)(split, self)


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training did.

    Attributes:
      loss: the mean of the steps' losses, as the model sums them, of each epoch.
      validation: the metric of each validation.
      best_epoch: index of the epoch whose weights were kept.
    """

    loss: list[float]
    validation: list[float]
    best_epoch: int


def train(
    model: tf_keras.Model,
    split: Split,
    protocol: Protocol,
    *,
    rows: Interactions | None = None,
    copies: int = 1,
    seed: int = 0,
    after_fit: Callable[[tf_keras.Model], None] | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
) -> Training:
    """Fits a model with early stopping; it ends with the weights of its best epoch.

    The validation metric is NDCG@50 of the validation rows: finer than a recall. Where all these are
    of warm items, they are ranked among these, and stopping favours no arm that aims at cold items;
    where the split has pseudo-cold items, all are ranked among all items, as they are when serving. Of a
    ranking model it is the error of its predictions; see `Protocol`.

    Args:
      model: compiled here, whatever it came with.
      split: its `train` rows are learned, its `validation` rows watched; an epoch has as many steps as its
        `train` rows fill.
      protocol: the settings that all arms share.
      rows: what is learned in place of `split.train`, of the same catalogue and users: real rows and
        synthesized ones, say.
      copies: how often each of these rows stands in the shuffled list that batches are cut from.
      seed: of the shuffling.
      after_fit: changes the model in place for each validation, as it will be changed once it is
        trained; then its weights are put back.
      on_epoch: called after each validation with the number of epochs done and the metric.
      callbacks: called after the early stopping, so that they find the metric in the epoch's `logs`:
        "val_ndcg@50", or "val_rmse" or "val_log_loss" of a ranking model.

    Returns:
      The history.
    """
    model.compile(optimizer=protocol.optimizer())
    rows = split.train if rows is None else rows
    rows = rows if copies == 1 else rows.take(np.tile(_all(rows), copies))
    batches = rows.dataset(protocol.batch_size, shuffle_seed=seed).repeat().prefetch(2)
    watch = EarlyStopping(protocol.measure(split), protocol, after_fit, on_epoch)
    fit = functools.partial(
        model.fit,
        batches,
        steps_per_epoch=-(-len(split.train) // protocol.batch_size),
        epochs=protocol.epochs,
        callbacks=[watch, *callbacks],
        verbose=0,
    )
    built = _build(model, rows)
    try:
        fit()
    except Exception:
        begun = watch.history or watch.loss
        if begun or not built or len(model.trainable_variables) == built:
            raise
        # Tracing the first step made more of them, which the optimizer refused: it shall start with them.
        model.compile(optimizer=protocol.optimizer())
        fit()
    model.set_weights(watch.best_weights)
    return Training(watch.loss, watch.history, watch.best_epoch)


def _build(model: tf_keras.Model, rows: Interactions) -> int:
    """Makes the variables of a model and its optimizer ahead of the first step, which then is traced once.

    A step that makes variables is traced twice, as long as some epochs of few rows take. Those that training
    alone makes are not among them: to find these takes a trace (`warm_starts.make_variables`).

    Returns:
      How many trainable variables the optimizer was built with; 0 where it was not.
    """
    by_loss = isinstance(model, tfrs.Model) and type(model).train_step is tfrs.Model.train_step
    if not by_loss or not isinstance(model.optimizer, tf_keras.optimizers.Optimizer):
        return 0
    model.compute_loss(rows.take(np.arange(min(2, len(rows)))).to_tensors(), training=False)
    model.optimizer.build(model.trainable_variables)
    return len(model.trainable_variables)


def _all(data) -> np.ndarray:
    return np.arange(len(data))


def _tower(model: tf_keras.Model, name: str) -> Callable:
    if not hasattr(model, name):
        raise InvalidArgumentError(
            f"`build_model` must return a model with `query_model` and `candidate_model`. Received: "
            f"{type(model).__name__} without `{name}`. Pass `query=` and `candidate=`, functions "
            "of (model, features) that return embeddings [batch, dim]."
        )
    return getattr(model, name)
