"""The networks of `InteractionGAN`, and their training."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.synthesis.networks import multilayer
from tfrs_augment.synthesis.pairs import Pairs, log_popularity

PENALTY = 10.0
LEAK = 0.2
# What a masked item's logit is lowered by: far below any logit, and finite, so gradients stay numbers.
_MASKED = 1e9


class Generator(tf_keras.Model):
    """Noise, the user's embedding and a condition to logits over items.

    A network gives a vector in the space of item embeddings; the logits are its inner products with them,
    plus a bias of each item that starts at its log-popularity. The last layer starts near 0: the untrained
    generator samples by popularity.

    Args:
      items: float32 `[items, dim]`.
      log_popularity: float32 `[items]`.
      groups: int64 `[items]`, the value of the condition that each item has; all 0 without one.
      noise_dim: width of the noise.
      hidden: units of the two hidden layers.
      seed: of the start.
    """

    def __init__(self, items, log_popularity, groups, *, noise_dim: int, hidden: int, seed: int):
        super().__init__()
        self.noise_dim, self.conditions = noise_dim, int(groups.max()) + 1
        self.items, self.groups = tf.constant(items), tf.constant(groups)
        self._network = multilayer(
            (hidden, hidden),
            items.shape[1],
            noise_dim + items.shape[1] + self.conditions,
            leak=LEAK,
            seed=seed,
            last_stddev=0.01,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=[len(items)],
            initializer=tf_keras.initializers.Constant(log_popularity),
        )

    def call(self, inputs: Any, candidates: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 `[b, items]`, or of the candidates alone; items of other groups are masked.

        Args:
          inputs: noise `[b, noise_dim]`, embeddings of users `[b, dim]`, conditions int64 `[b]`.
          candidates: int64 `[s]`, places of items; None takes all.
        """
        noise, user, condition = inputs
        one_hot = tf.one_hot(condition, self.conditions)
        vector = self._network(tf.concat([noise, user, one_hot], axis=1))
        items, bias, groups = self.items, self.bias, self.groups
        if candidates is not None:
            items, bias, groups = (tf.gather(part, candidates) for part in (items, bias, groups))
        logits = tf.matmul(vector, items, transpose_b=True) + bias
        if self.conditions == 1:
            return logits
        return tf.where(groups == condition[:, tf.newaxis], logits, -_MASKED)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a training; see `InteractionGAN`."""

    batch_size: int
    critic_steps: int
    learning_rate: float
    temperature: float
    hidden: int
    training_power: float
    max_softmax_items: int
    sampled_items: int
    seed: int


class Trainer:
    """Alternating training by the Wasserstein loss with a gradient penalty.

    A critic step compares real pairs with pairs of the same users and conditions whose item the generator
    drew. The generator's step sends the critic's gradient through a draw: forward the embedding of the one
    item drawn, backward that of the softmax with Gumbel noise (straight through).

    Args:
      pairs: to learn from.
      users: float32 `[users, dim]`, of mean 0 and deviation about 1.
      generator: see `Generator`.
      settings: see `Settings`.
    """

    def __init__(self, pairs: Pairs, users: np.ndarray, generator: Generator, settings: Settings):
        self.generator, self._settings = generator, settings
        dim = users.shape[1]
        self.critic = multilayer(
            (2 * settings.hidden, settings.hidden),
            1,
            2 * dim + generator.conditions,
            leak=LEAK,
            seed=settings.seed + 1,
        )
        self._users = tf.constant(users)
        self._user, self._item = tf.constant(pairs.user), tf.constant(pairs.item)
        # A user of activity a has a rows, and is drawn in proportion to a ** power.
        weights = pairs.activity()[pairs.user] ** (settings.training_power - 1.0)
        self._cumulative = tf.constant(np.cumsum(weights) / weights.sum(), tf.float64)
        self._log_q = tf.constant(log_popularity(pairs, 0.5))
        self._exact = pairs.items <= settings.max_softmax_items
        self._optimizers = [
            tf_keras.optimizers.Adam(settings.learning_rate, beta_1=0.5, beta_2=0.9)
            for _ in range(2)
        ]
        for optimizer, model in zip(self._optimizers, (self.critic, generator)):
            optimizer.build(model.trainable_variables)

    @property
    def state(self) -> list[tf.Variable]:
        """What a checkpoint holds beside the generator's weights."""
        return [v for o in self._optimizers for v in o.variables] + self.critic.weights

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)])
    def step(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Some steps of the critic and one of the generator; all draws come from the step's number."""
        distance = tf.constant(0.0)
        for i in range(self._settings.critic_steps):
            draws = Draws(self._settings.seed, number, i)
            distance += self._critic_step(draws)
        loss = self._generator_step(Draws(self._settings.seed, number, self._settings.critic_steps))
        return {
            "wasserstein_distance": distance / self._settings.critic_steps,
            "generator_loss": loss,
        }

    def _rows(self, draws: Draws) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Users' embeddings, conditions and items of rows of the data."""
        uniform = draws.uniform([self._settings.batch_size], tf.float64)
        index = tf.searchsorted(self._cumulative, uniform, side="right")
        index = tf.minimum(index, tf.size(self._item) - 1)
        item = tf.gather(self._item, index)
        user = tf.gather(self._users, tf.gather(self._user, index))
        return user, tf.gather(self.generator.groups, item), item

    def _logits(self, user, condition, draws: Draws):
        """Logits over all items, or over candidates; and the embeddings of these."""
        noise = draws.normal([tf.shape(user)[0], self.generator.noise_dim])
        inputs = (noise, user, condition)
        if self._exact:
            return self.generator(inputs), self.generator.items
        seed = draws.next()
        drawn = tf.random.stateless_categorical(
            self._log_q[tf.newaxis], self._settings.sampled_items, seed
        )[0]
        # Each candidate stands for as many items as it is rare.
        logits = self.generator(inputs, drawn) - tf.gather(self._log_q, drawn)
        return logits, tf.gather(self.generator.items, drawn)

    def _pair(self, user, condition, item_embedding) -> tf.Tensor:
        one_hot = tf.one_hot(condition, self.generator.conditions)
        return tf.concat([user, item_embedding, one_hot], axis=1)

    def _critic_step(self, draws: Draws) -> tf.Tensor:
        user, condition, item = self._rows(draws)
        logits, table = self._logits(user, condition, draws)
        drawn = tf.argmax(logits + draws.gumbel(tf.shape(logits)), axis=1)
        real = self._pair(user, condition, tf.gather(self.generator.items, item))
        fake = tf.stop_gradient(self._pair(user, condition, tf.gather(table, drawn)))
        between = draws.uniform([self._settings.batch_size, 1])
        mixed = between * real + (1.0 - between) * fake
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(mixed)
                score = self.critic(mixed)
            slope = tf.norm(inner.gradient(score, mixed) + 1e-12, axis=1)
            distance = tf.reduce_mean(self.critic(real)) - tf.reduce_mean(self.critic(fake))
            loss = PENALTY * tf.reduce_mean((slope - 1.0) ** 2) - distance
        self._optimizers[0].minimize(loss, self.critic.trainable_variables, tape=tape)
        return distance

    def _generator_step(self, draws: Draws) -> tf.Tensor:
        user, condition, _ = self._rows(draws)
        with tf.GradientTape() as tape:
            logits, table = self._logits(user, condition, draws)
            noisy = logits + draws.gumbel(tf.shape(logits))
            soft = tf.nn.softmax(noisy / self._settings.temperature)
            hard = tf.one_hot(tf.argmax(noisy, axis=1), tf.shape(noisy)[1])
            straight = tf.stop_gradient(hard - soft) + soft
            loss = -tf.reduce_mean(self.critic(self._pair(user, condition, straight @ table)))
        self._optimizers[1].minimize(loss, self.generator.trainable_variables, tape=tape)
        return loss


class Draws:
    """The random numbers of one half-step, one after the other, by its number."""

    def __init__(self, seed: int, number: tf.Tensor, half: int):
        self._number, self._first, self._count = number, seed, half << 8

    def next(self) -> tf.Tensor:
        """The next seed, int64 `[2]`."""
        self._count += 1
        return tf.stack([tf.constant(self._first, tf.int64), self._number * 65_536 + self._count])

    def uniform(self, shape, dtype=tf.float32) -> tf.Tensor:
        """Numbers in [0, 1)."""
        return tf.random.stateless_uniform(shape, self.next(), dtype=dtype)

    def normal(self, shape) -> tf.Tensor:
        """Standard normal numbers."""
        return tf.random.stateless_normal(shape, self.next())

    def gumbel(self, shape) -> tf.Tensor:
        """Standard Gumbel numbers."""
        tiny = 1e-7
        uniform = tf.random.stateless_uniform(shape, self.next(), minval=tiny, maxval=1.0 - tiny)
        return -tf.math.log(-tf.math.log(uniform))
