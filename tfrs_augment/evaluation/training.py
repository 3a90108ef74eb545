"""The training protocol that every arm of a comparison shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import (
    Column,
    Interactions,
    columns_to_tensors,
    take_column,
)
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.slices import ValidationRanker
from tfrs_augment.evaluation.splits import Split

Embed = Callable[[tf_keras.Model, Mapping[str, tf.Tensor]], tf.Tensor]

_EMBED_BATCH = 8192


def default_optimizer() -> tf_keras.optimizers.Optimizer:
    """Returns Adam with learning rate 0.002."""
    return tf_keras.optimizers.Adam(2e-3)


def default_query(model: tf_keras.Model, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns `model.query_model(features)`."""
    return _tower(model, "query_model")(features)


def default_candidate(model: tf_keras.Model, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns `model.candidate_model(features)`."""
    return _tower(model, "candidate_model")(features)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every arm is trained.

    Args:
      epochs: most passes over the training rows.
      batch_size: rows a step. An epoch is `ceil(training rows / batch_size)` steps in every arm,
        however many copies an arm trains on.
      optimizer: called for a fresh optimizer of each training.
      patience: validations without a better metric after which training stops.
      validate_every: epochs from one validation to the next.
      query: `(model, features of users, or of rows) -> [batch, dim]`.
      candidate: `(model, features of items) -> [batch, dim]`.
    """

    epochs: int = 30
    batch_size: int = 512
    optimizer: Callable[[], tf_keras.optimizers.Optimizer] = default_optimizer
    patience: int = 4
    validate_every: int = 1
    query: Embed = default_query
    candidate: Embed = default_candidate

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "validate_every"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(
                    f"`{name}` must be at least 1. Received: {name}={getattr(self, name)}."
                )


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
) -> Training:
    """Fits a model with early stopping; it ends with the weights of its best epoch.

    The validation metric is NDCG@50 of the validation rows: finer than a recall. Where all these are
    of warm items, they are ranked among these, and stopping favours no arm that aims at cold items;
    where the split has pseudo-cold items, all are ranked among all items, as they are when serving.

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

    Returns:
      The history.
    """
    model.compile(optimizer=protocol.optimizer())
    rows = split.train if rows is None else rows
    rows = rows if copies == 1 else rows.take(np.tile(_all(rows), copies))
    batches = rows.dataset(protocol.batch_size, shuffle_seed=seed).repeat().prefetch(2)
    watch = _EarlyStopping(split, protocol, after_fit, on_epoch)
    model.fit(
        batches,
        steps_per_epoch=-(-len(split.train) // protocol.batch_size),
        epochs=protocol.epochs,
        callbacks=[watch],
        verbose=0,
    )
    model.set_weights(watch.best_weights)
    return Training(watch.loss, watch.history, watch.best_epoch)


class Embedder:
    """Embeds the queries of one part of a split, and all items, with a model."""

    def __init__(self, split: Split, part: Interactions, protocol: Protocol):
        self._queries = _batches(split.queries(part))
        self._items = _batches(split.train.items)
        self._protocol = protocol

    def __call__(self, model: tf_keras.Model) -> tuple[np.ndarray, np.ndarray]:
        """Returns float32 `[queries, dim]` and `[items, dim]`, as the model embeds when serving."""
        queries = [self._protocol.query(model, batch).numpy() for batch in self._queries]
        candidates = [self._protocol.candidate(model, batch).numpy() for batch in self._items]
        return np.concatenate(queries), np.concatenate(candidates)


class _EarlyStopping(tf_keras.callbacks.Callback):
    """Keeps the best weights by the metric of the validation rows."""

    _supports_tf_logs = True  # The losses stay tensors until the epoch ends.

    def __init__(self, split: Split, protocol: Protocol, after_fit, on_epoch):
        super().__init__()
        self._after_fit = after_fit
        self._losses: list[tf.Tensor] = []
        self.loss: list[float] = []
        self._rank = ValidationRanker(split)
        self._embed = Embedder(split, split.validation, protocol)
        self._patience = protocol.patience
        self._every = protocol.validate_every
        self._epochs = protocol.epochs
        self._on_epoch = on_epoch
        self._best = 0
        self.history: list[float] = []
        self.best_epoch = 0
        self.best_weights = None

    def on_train_batch_end(self, batch, logs=None):
        if "loss" in logs:  # A model with a train_step of its own may name it otherwise.
            self._losses.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        if self._losses:
            self.loss.append(float(tf.reduce_mean(tf.stack(self._losses))))
            self._losses = []
        if (epoch + 1) % self._every and epoch + 1 < self._epochs:
            return
        metric = self._measure()
        self.history.append(metric)
        last = len(self.history) - 1
        if self.best_weights is None or metric > self.history[self._best]:
            self._best, self.best_epoch, self.best_weights = last, epoch, self.model.get_weights()
        elif last - self._best >= self._patience:
            self.model.stop_training = True
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, metric)

    def _measure(self) -> float:
        weights = None
        if self._after_fit is not None:
            weights = self.model.get_weights()
            self._after_fit(self.model)
        metric = float(self._rank(*self._embed(self.model)).ndcg(50).mean())
        if weights is not None:
            self.model.set_weights(weights)
        return metric


def _batches(table: Mapping[str, Column]) -> list[dict[str, tf.Tensor]]:
    length = len(next(iter(table.values())))
    spans = [
        np.arange(start, min(start + _EMBED_BATCH, length))
        for start in range(0, length, _EMBED_BATCH)
    ]
    return [
        columns_to_tensors({name: take_column(column, span) for name, column in table.items()})
        for span in spans
    ]


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
