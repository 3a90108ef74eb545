"""What a model is measured by while it trains, and the callback that keeps its best weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import (
    Column,
    Interactions,
    columns_to_tensors,
    take_column,
)
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring.rating_metrics import log_losses, squared_errors
from tfrs_augment.evaluation.measuring.slices import ValidationRanker, labels_of
from tfrs_augment.evaluation.splitting.splits import Split

if TYPE_CHECKING:
    from tfrs_augment.evaluation.comparing.training import Protocol

_BATCH = 8192


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


class Predictor:
    """Predicts the label of each row of one part of a split; the model is not shown the label."""

    def __init__(self, part: Interactions, protocol: Protocol):
        rows = {name: column for name, column in part.rows.items() if name != protocol.label}
        self._batches = _batches(rows)
        self._protocol = protocol

    def __call__(self, model: tf_keras.Model) -> np.ndarray:
        """Returns float64 `[rows]`, as the model predicts when serving.

        Raises:
          InvalidArgumentError: `Protocol.predict` does not return one number a row.
          DataError: a prediction is NaN or infinite.
        """
        parts = [self._predict(model, batch) for batch in self._batches]
        predictions = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(predictions).all():
            bad = int((~np.isfinite(predictions)).sum())
            raise DataError(
                f"Predictions must be finite. Received: {bad} of {len(predictions)} with NaN or infinity; "
                "the model has diverged, lower its learning rate."
            )
        return predictions

    def _predict(self, model, batch) -> np.ndarray:
        found = np.asarray(self._protocol.predict(model, batch))
        rows = len(next(iter(batch.values())))
        if found.shape not in ((rows,), (rows, 1)):
            raise InvalidArgumentError(
                "`predict` must return one number a row, [batch] or [batch, 1]. Received: shape "
                f"{found.shape} for {rows} rows."
            )
        return found.reshape(rows)


class RankingOfItems:
    """NDCG@50 of the validation rows; see `training.train`."""

    name, higher_is_better = "val_ndcg@50", True

    def __init__(self, split: Split, protocol: Protocol):
        self._rank = ValidationRanker(split)
        self._embed = Embedder(split, split.validation, protocol)

    def __call__(self, model: tf_keras.Model) -> float:
        return float(self._rank(*self._embed(model)).ndcg(50).mean())


class ErrorOfPredictions:
    """RMSE of the validation rows, or their mean log loss where all labels are 0 or 1."""

    higher_is_better = False

    def __init__(self, split: Split, protocol: Protocol):
        self._labels = labels_of(split.validation, protocol.label)
        learned = labels_of(split.train, protocol.label)
        self._binary = bool(np.isin([*learned, *self._labels], (0.0, 1.0)).all())
        self._predict = Predictor(split.validation, protocol)
        self.name = "val_log_loss" if self._binary else "val_rmse"

    def __call__(self, model: tf_keras.Model) -> float:
        predicted = self._predict(model)
        if not self._binary:
            return float(np.sqrt(squared_errors(predicted, self._labels).mean()))
        if predicted.min() < 0 or predicted.max() > 1:
            raise InvalidArgumentError(
                "`predict` must return chances in [0, 1] where all labels are 0 or 1. Received: "
                f"{predicted.min():g} to {predicted.max():g}. Apply tf.sigmoid to logits."
            )
        return float(log_losses(predicted, self._labels == 1).mean())


class EarlyStopping(tf_keras.callbacks.Callback):
    """Keeps the best weights by a metric of the validation rows.

    At each validation the metric goes into the epoch's `logs` under its name, where callbacks that come after
    this one find it.

    Args:
      measure: from the model to its metric, with `name` and `higher_is_better`.
      protocol: says how often to validate and when to stop.
      after_fit: changes the model in place for each validation, or None.
      on_epoch: called after each validation with the number of epochs done and the metric, or None.

    Attributes:
      loss: the mean loss of each epoch's steps.
      history: the metric of each validation.
      best_epoch: index of the best epoch.
      best_weights: the model's weights after it.
    """

    _supports_tf_logs = True  # The losses stay tensors until the epoch ends.

    def __init__(
        self,
        measure: RankingOfItems | ErrorOfPredictions,
        protocol: Protocol,
        after_fit: Callable[[tf_keras.Model], None] | None,
        on_epoch: Callable[[int, float], None] | None,
    ):
        super().__init__()
        self._measure = measure
        self._after_fit = after_fit
        self._on_epoch = on_epoch
        self._patience = protocol.patience
        self._every = protocol.validate_every
        self._epochs = protocol.epochs
        self._losses: list[tf.Tensor] = []
        self._best = 0
        self.loss: list[float] = []
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
        metric = self._validate()
        self.history.append(metric)
        if logs is not None:
            logs[self._measure.name] = metric
        last = len(self.history) - 1
        if self.best_weights is None or self._is_better(metric, self.history[self._best]):
            self._best, self.best_epoch, self.best_weights = last, epoch, self.model.get_weights()
        elif last - self._best >= self._patience:
            self.model.stop_training = True
        if self._on_epoch is not None:
            self._on_epoch(epoch + 1, metric)

    def _is_better(self, metric: float, best: float) -> bool:
        return metric > best if self._measure.higher_is_better else metric < best

    def _validate(self) -> float:
        weights = None
        if self._after_fit is not None:
            weights = self.model.get_weights()
            self._after_fit(self.model)
        metric = self._measure(self.model)
        if weights is not None:
            self.model.set_weights(weights)
        return metric


def _batches(table: Mapping[str, Column]) -> list[dict[str, tf.Tensor]]:
    length = len(next(iter(table.values())))
    spans = [np.arange(start, min(start + _BATCH, length)) for start in range(0, length, _BATCH)]
    return [
        columns_to_tensors({name: take_column(column, span) for name, column in table.items()})
        for span in spans
    ]
