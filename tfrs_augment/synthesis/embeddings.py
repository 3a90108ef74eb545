"""Embeddings of users and items from a two-tower retrieval model of TensorFlow Recommenders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import Interactions, columns_to_tensors, take_column
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.synthesis import training
from tfrs_augment.synthesis.columns import Table
from tfrs_augment.synthesis.pairs import Pairs, log_popularity
from tfrs_augment.synthesis.private import PrivacyBudget
from tfrs_augment.towers.two_tower import TwoTower

_BATCH = 8_192
_VALIDATED = 2_048


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of users and items whose inner products tell who would choose what.

    Args:
      user_ids: `[users]`, distinct.
      users: float32 `[users, dim]`.
      item_ids: `[items]`, distinct.
      items: float32 `[items, dim]`.
      budget: what their training has spent, where it was differentially private; whoever trained them says
        so. None: it was not.

    Raises:
      InvalidArgumentError: shapes do not fit together, or a number is not finite.
    """

    user_ids: np.ndarray
    users: np.ndarray
    item_ids: np.ndarray
    items: np.ndarray
    budget: PrivacyBudget | None = None

    def __post_init__(self) -> None:
        for name in ("user", "item"):
            ids, table = getattr(self, f"{name}_ids"), getattr(self, f"{name}s")
            if table.ndim != 2 or len(ids) != len(table) or not np.isfinite(table).all():
                raise InvalidArgumentError(
                    f"`{name}s` must be finite numbers [{name}s, dim], one row an id. Received: shape "
                    f"{table.shape} for {len(ids)} ids."
                )
        if self.users.shape[1] != self.items.shape[1]:
            raise InvalidArgumentError(
                "Users and items must have embeddings of one width. Received: "
                f"{self.users.shape[1]} and {self.items.shape[1]}."
            )

    @classmethod
    def of_model(cls, model: tf_keras.Model, data: Interactions) -> Embeddings:
        """Embeds the users and items of some data with the towers of a model.

        Args:
          model: `query_model` and `candidate_model` take dicts of columns and return `[batch, dim]`.
          data: its `users` and `items` are embedded.
        """
        return cls(
            data.users[data.user_id],
            _embed(model.query_model, data.users),
            data.items[data.item_id],
            _embed(model.candidate_model, data.items),
        )

    def of(self, user_ids: np.ndarray, item_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the embeddings of users and of items by their ids.

        Raises:
          DataError: an id has none.
        """
        return (
            _take(self.users, self.user_ids, user_ids, "users"),
            _take(self.items, self.item_ids, item_ids, "items"),
        )


def train_two_tower(
    pairs: Pairs,
    users: Table,
    items: Table,
    *,
    dim: int,
    validation_share: float,
    schedule: training.Schedule,
    seed: int,
    identity: str,
    progress: bool,
    callbacks: Sequence[Any] = (),
    batch_size: int = 1_024,
    temperature: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, training.History]:
    """Trains a `TwoTower` on pairs: in-batch softmax, corrected for popularity (logQ).

    Args:
      pairs: the pairs.
      users: features of users `[users]`, may be none.
      items: features of items `[items]`, likewise.
      dim: width of the embeddings.
      validation_share: share of the pairs held out to stop by.
      schedule: see `training.Schedule`.
      seed: of everything random.
      identity: see `training.run`.
      progress: see `training.run`.
      callbacks: see `training.run`.
      batch_size: pairs a step.
      temperature: divides the cosine of a user and an item.

    Returns:
      float32 `[users, dim]` and `[items, dim]`, divided so that their inner product is the score before the
      softmax; and the history.
    """
    learned, held = pairs.hold_out(validation_share, seed)
    held = held if len(held) else learned
    data = _as_interactions(learned, users, items)
    # Without dropout, whose draws hang on global state: a resumed training would not repeat.
    model = TwoTower(data, embedding_dim=dim, dropout=0.0, temperature=temperature)
    rows = data.to_tensors()
    model.compute_loss({name: column[:2] for name, column in rows.items()})  # builds the weights
    _start(model, seed)
    optimizer = tf_keras.optimizers.Adam(2e-3)
    optimizer.build(model.trainable_variables)
    log_q = log_popularity(learned, smoothing=0.5)
    watched = held.take(np.random.default_rng(seed).permutation(len(held))[:_VALIDATED])
    batch = min(batch_size, len(learned))
    per_epoch = len(learned) // batch

    @tf.function
    def learn(index):
        features = {name: tf.gather(column, index) for name, column in rows.items()}
        with tf.GradientTape() as tape:
            loss = model.compute_loss(features, training=True)
        optimizer.minimize(loss, model.trainable_variables, tape=tape)
        return loss / batch

    def step(number):
        epoch, place = divmod(int(number), per_epoch)
        order = np.random.default_rng([seed, 0x707, epoch]).permutation(len(learned))
        return {"two_tower_loss": learn(tf.constant(order[place * batch : (place + 1) * batch]))}

    def embedded():
        scale = np.float32(temperature**-0.5)
        queries = _embed(model.query_model, data.users) * scale
        return queries, _embed(model.candidate_model, data.items) * scale

    def validate():
        queries, candidates = embedded()
        logits = queries[watched.user] @ candidates.T + log_q
        best = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - best).sum(axis=1)) + best[:, 0]
        own = logits[np.arange(len(watched)), watched.item]
        return {"two_tower_val_log_likelihood": float((own - total).mean())}

    history = training.run(
        step,
        validate,
        schedule,
        model=model,
        state=optimizer.variables,
        measure="two_tower_val_log_likelihood",
        identity=identity,
        progress=progress,
        callbacks=callbacks,
        description="two-tower",
    )
    history["two_tower_step"] = history.pop("step")
    return *embedded(), history


def _start(model: tf_keras.Model, seed: int) -> None:
    """Draws all matrices anew (Glorot's uniform), for Keras draws them from global random state."""
    draws = np.random.default_rng([seed, 0x57A7])
    for variable in model.trainable_variables:
        if variable.shape.rank == 2:
            limit = np.sqrt(6.0 / sum(variable.shape))
            variable.assign(draws.uniform(-limit, limit, variable.shape))


def _as_interactions(pairs: Pairs, users: Table, items: Table) -> Interactions:
    """Pairs as the towers take them; places stand for ids, so that these may be of any type."""
    user_ids, item_ids = _numbered(pairs.users), _numbered(pairs.items)
    return Interactions.from_tables(
        {
            "user": user_ids[pairs.user],
            "item": item_ids[pairs.item],
            "time": np.zeros(len(pairs), np.int64),
        },
        items={"item": item_ids, **{f"item/{name}": column for name, column in items.items()}},
        users={"user": user_ids, **{f"user/{name}": column for name, column in users.items()}},
        user_id="user",
        item_id="item",
        timestamp="time",
    )


def _numbered(count: int) -> np.ndarray:
    return np.char.encode(np.arange(count).astype(str))


def _embed(tower: tf_keras.Model, table: Mapping[str, Any]) -> np.ndarray:
    length = len(next(iter(table.values())))
    parts = [
        tower(
            columns_to_tensors({n: take_column(c, part) for n, c in table.items()}), training=False
        ).numpy()
        for part in np.array_split(np.arange(length), -(-length // _BATCH))
    ]
    return np.concatenate(parts).astype(np.float32)


def _take(table: np.ndarray, known: np.ndarray, ids: np.ndarray, what: str) -> np.ndarray:
    order = np.argsort(known)
    place = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(order) - 1)]
    absent = known[place] != ids
    if absent.any():
        raise DataError(
            f"Every one of the {what} must have an embedding. Received: {int(absent.sum())} of "
            f"{len(ids)} without, among them {ids[absent][0]!r}."
        )
    return table[place]
