"""A softmax of the inner products of users and items, fitted by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.synthesis import training
from tfrs_augment.synthesis.pairs import Pairs, log_popularity

_USERS_A_BATCH = 1024
_VALIDATED_USERS = 2048


class Factors(tf_keras.Model):
    """Embeddings of users and items, each the sum of the id's and of those of its features.

    The score of a pair is the inner product plus a bias of the item, which starts at its log-popularity.

    Args:
      pairs: what it will be trained on.
      dim: width of the embeddings.
      smoothing: pseudo-count of each item in the bias.
      seed: of the start.
    """

    def __init__(self, pairs: Pairs, dim: int, smoothing: float, seed: int):
        super().__init__()
        draws = np.random.default_rng([seed, 0xFAC7])
        self._codes, self._tables = [], []
        for count, codes in ((pairs.users, pairs.user_codes), (pairs.items, pairs.item_codes)):
            # Code -1, unknown, has a row of its own at the end: `gather` knows no negative places.
            columns = [np.arange(count)] + [
                np.where(c < 0, pairs.sizes[name], c) for name, c in codes.items()
            ]
            sizes = [count] + [pairs.sizes[name] + 1 for name in codes]
            self._codes.append([tf.constant(column, tf.int64) for column in columns])
            self._tables.append(
                [
                    self.add_weight(
                        name=f"embedding_{len(self._tables)}_{i}",
                        shape=[size, dim],
                        initializer=tf_keras.initializers.Constant(
                            draws.normal(0, 0.1 if i == 0 else 0.02, [size, dim])
                        ),
                    )
                    for i, size in enumerate(sizes)
                ]
            )
        bias = log_popularity(pairs, smoothing)
        self.bias = self.add_weight(
            name="bias", shape=[pairs.items], initializer=tf_keras.initializers.Constant(bias)
        )

    def users(self, index: tf.Tensor) -> tf.Tensor:
        """Returns float32 `[n, dim]`, the embeddings of users by their places."""
        return self._embed(0, index)

    def items(self, index: tf.Tensor) -> tf.Tensor:
        """Returns float32 `[n, dim]`, the embeddings of items by their places."""
        return self._embed(1, index)

    def penalty(self) -> tf.Tensor:
        """The sum of squares of all embeddings."""
        return tf.add_n([tf.nn.l2_loss(t) for tables in self._tables for t in tables])

    def _embed(self, side: int, index: tf.Tensor) -> tf.Tensor:
        parts = zip(self._tables[side], self._codes[side])
        return tf.add_n([tf.gather(table, tf.gather(codes, index)) for table, codes in parts])


class Objective:
    """The log-likelihood of pairs: exact, or with sampled candidates where the catalogue is large.

    Candidates are drawn by popularity `q`, with replacement, and each stands for `1 / (count q)` items.

    Args:
      pairs: what popularity is counted from.
      smoothing: see `Factors`.
      max_items: largest catalogue whose softmax is exact.
      sampled: candidates a step beyond it.
    """

    def __init__(self, pairs: Pairs, smoothing: float, max_items: int, sampled: int):
        self._log_q = tf.constant(log_popularity(pairs, max(smoothing, 1e-3)))
        self._exact, self._sampled = pairs.items <= max_items, sampled
        self._all = tf.range(pairs.items, dtype=tf.int64)

    def log_likelihood(self, model, users, row, item, seed) -> tf.Tensor:
        """Returns float32 `[pairs]`.

        Args:
          model: `Factors`.
          users: int64 `[b]`, distinct users.
          row: int64 `[pairs]`, the place in `users` of each pair's.
          item: int64 `[pairs]`.
          seed: int64 `[2]`, of the candidates.
        """
        embedded = model.users(users)
        own = model.items(item)
        score = tf.reduce_sum(tf.gather(embedded, row) * own, 1) + tf.gather(model.bias, item)
        if self._exact:
            logits = tf.matmul(embedded, model.items(self._all), transpose_b=True) + model.bias
            return score - tf.gather(tf.reduce_logsumexp(logits, axis=1), row)
        drawn = tf.random.stateless_categorical(self._log_q[tf.newaxis], self._sampled, seed)[0]
        logits = tf.matmul(embedded, model.items(drawn), transpose_b=True)
        logits += tf.gather(model.bias - self._log_q, drawn) - np.log(self._sampled)
        others = tf.gather(tf.reduce_logsumexp(logits, axis=1), row)
        return score - tf.reduce_logsumexp(tf.stack([score, others], axis=1), axis=1)


def fit_factors(
    pairs: Pairs,
    *,
    dim: int,
    prior: float,
    learning_rate: float,
    smoothing: float,
    validation_share: float,
    max_items: int,
    sampled: int,
    schedule: training.Schedule,
    seed: int,
    identity: str,
    progress: bool,
    callbacks: Sequence[tf_keras.callbacks.Callback],
) -> tuple[Factors, training.History]:
    """Fits `Factors`, stopped early by the log-likelihood of held-out pairs.

    Args:
      pairs: the pairs.
      dim: width of the embeddings.
      prior: precision of the normal prior on every coordinate of an embedding.
      learning_rate: of Adam.
      smoothing: see `Factors`.
      validation_share: share of pairs to hold out.
      max_items: see `Objective`.
      sampled: see `Objective`.
      schedule: see `training.Schedule`.
      seed: of everything random.
      identity: see `training.run`.
      progress: see `training.run`.
      callbacks: see `training.run`.

    Returns:
      The model and its history.
    """
    learned, held = pairs.hold_out(validation_share, seed)
    # Without a pair to spare, the likelihood of what was learned must do.
    held = held if len(held) else learned
    model = Factors(learned, dim, smoothing, seed)
    objective = Objective(learned, smoothing, max_items, sampled)
    optimizer = tf_keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)
    batches = _Batches(learned, seed)
    watched = _Batches(held, seed, at_most=_VALIDATED_USERS)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64)] * 3 + [tf.TensorSpec([2], tf.int64)]
    )
    def train_step(users, row, item, draw):
        with tf.GradientTape() as tape:
            likelihood = objective.log_likelihood(model, users, row, item, draw)
            loss = -tf.reduce_mean(likelihood) + prior / len(learned) * model.penalty()
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64)] * 3 + [tf.TensorSpec([2], tf.int64)]
    )
    def watch_step(users, row, item, draw):
        return tf.reduce_sum(objective.log_likelihood(model, users, row, item, draw))

    def step(number):
        users, row, item = batches(int(number))
        return {"loss": train_step(users, row, item, tf.stack([seed + 1, number]))}

    def validate():
        parts = [
            watch_step(*batch, tf.constant([seed, -1], tf.int64)) for batch in watched.epoch(0)
        ]
        return {"val_log_likelihood": float(tf.add_n(parts)) / watched.pairs}

    history = training.run(
        step,
        validate,
        schedule,
        model=model,
        state=optimizer.variables,
        measure="val_log_likelihood",
        identity=identity,
        progress=progress,
        callbacks=callbacks,
        description="factorization",
    )
    return model, history


class _Batches:
    """Batches of users with all of their pairs: a softmax then serves all pairs of its user."""

    def __init__(self, pairs: Pairs, seed: int, at_most: int | None = None):
        order = np.argsort(pairs.user, kind="stable")
        self._item = pairs.item[order]
        self._users, self._counts = np.unique(pairs.user, return_counts=True)
        self._starts = np.cumsum(self._counts) - self._counts
        self._seed = seed
        if at_most is not None and len(self._users) > at_most:
            kept = np.sort(np.random.default_rng(seed).permutation(len(self._users))[:at_most])
            self._users, self._counts = self._users[kept], self._counts[kept]
            self._starts = self._starts[kept]
        self.pairs = int(self._counts.sum())
        self._size = -(-len(self._users) // _USERS_A_BATCH)

    def __call__(self, number: int):
        """The batch of a step: int64 users, the place of each pair's user among them, its item."""
        epoch, place = divmod(number, self._size)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._users))
        chosen = np.sort(np.array_split(order, self._size)[place])
        counts = self._counts[chosen]
        row = np.repeat(np.arange(len(chosen)), counts)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        item = self._item[np.repeat(self._starts[chosen], counts) + offset]
        return tuple(tf.constant(x, tf.int64) for x in (self._users[chosen], row, item))

    def epoch(self, number: int):
        """The batches of an epoch."""
        return (self(number * self._size + i) for i in range(self._size))
