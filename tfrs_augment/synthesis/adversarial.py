"""The steps of a `TabularGAN`: a critic and a generator, trained in turn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfrs_augment.synthesis import networks
from tfrs_augment.synthesis.encoding import Encoded
from tfrs_augment.synthesis.neural import Trainer
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler

if TYPE_CHECKING:
    from tfrs_augment.synthesis.tabular_gan import TabularGAN

LEAK = 0.2
# Adam's first moment for adversarial training, as in the papers on WGAN-GP and CTGAN.
_MOMENT = 0.5


class AdversarialTrainer(Trainer):
    """The steps of a `TabularGAN`."""

    def __init__(self, settings: TabularGAN, data: Encoded, conditions: ConditionSampler):
        self._settings, self._conditions = settings, conditions
        self._sizes = [head.size for head in settings._encoding.heads]
        # Row h is 1 where head h is among all heads side by side.
        self._places = tf.constant(
            np.repeat(np.eye(len(self._sizes), dtype=np.float32), self._sizes, axis=1)
        )
        self._codes, self._numbers = tf.constant(data.codes), tf.constant(data.numbers)
        self._generator, self.model = settings._new_model(), settings._new_model()
        seen = sum(self._sizes) + data.numbers.shape[1] + len(self._sizes)
        self._critic = networks.multilayer(
            settings.critic_units, 1, seen * settings.pac, leak=LEAK, seed=settings.seed + 1
        )
        self._optimizers = [
            networks.adam(settings.learning_rate, network.trainable_variables, _MOMENT)
            for network in (self._generator, self._critic)
        ]
        self.state = [*self._generator.weights, *self._critic.weights]
        self.state += [v for optimizer in self._optimizers for v in optimizer.variables()]

    def run(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, 3, int(number)])
        shape = [settings.validate_every, settings.critic_steps + 1, settings.batch_size]
        chosen, rows = self._conditions.train(rng, math.prod(shape))
        batches = (tf.constant(a.reshape(shape)) for a in (*chosen, rows))
        critic, generator = self._run(tf.cast(number, tf.int32), *batches)
        return {"critic_loss": critic, "generator_loss": generator}

    @tf.function
    def _run(self, number, head, code, rows) -> tuple[tf.Tensor, tf.Tensor]:
        settings = self._settings
        critic, generator = tf.constant(0.0), tf.constant(0.0)
        for step in tf.range(settings.validate_every):
            place = number * settings.validate_every + step
            for i in range(settings.critic_steps):
                seeds = networks.seeds_of(settings.seed, place, i)
                critic += self._critic_step(head[step, i], code[step, i], rows[step, i], seeds)
            seeds = networks.seeds_of(settings.seed, place, settings.critic_steps)
            generator += self._generator_step(head[step, -1], code[step, -1], seeds)
            networks.average_into(self.model.weights, self._generator.weights, settings.averaging)
        steps = settings.validate_every
        return critic / (steps * settings.critic_steps), generator / steps

    def _critic_step(self, head, code, rows, seeds: Callable[[int], tf.Tensor]) -> tf.Tensor:
        columns = [networks.one_hot(tf.gather(self._codes, rows), self._sizes)]
        columns += [tf.gather(self._numbers, rows), tf.one_hot(head, len(self._sizes))]
        real = self._packed(tf.concat(columns, 1))
        fake = self._packed(self._generated(head, code, seeds))
        wasserstein = self._settings.loss == "wgan-gp"
        with tf.GradientTape() as tape:
            of_fake, of_real = tf.split(self._critic(tf.concat([fake, real], 0)), 2)
            if wasserstein:
                loss = tf.reduce_mean(of_fake) - tf.reduce_mean(of_real)
                share = tf.random.stateless_uniform([len(fake), 1], seeds(2))
                penalty = self._penalty(share * real + (1.0 - share) * fake)
                whole = loss + self._settings.gradient_penalty * penalty
            else:
                loss = tf.nn.softplus(of_fake) + tf.nn.softplus(-of_real)
                whole = loss = tf.reduce_mean(loss)
        weights = self._critic.trainable_variables
        self._optimizers[1].apply_gradients(zip(tape.gradient(whole, weights), weights))
        return loss

    def _penalty(self, between: tf.Tensor) -> tf.Tensor:
        """How far the critic's slope is from 1: the mean of (norm - 1) ** 2."""
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self._critic(between)
        squares = tf.reduce_sum(tape.gradient(scores, between) ** 2, 1)
        # The root of 0 has no slope.
        return tf.reduce_mean((tf.sqrt(squares + 1e-12) - 1.0) ** 2)

    def _generator_step(self, head, code, seeds: Callable[[int], tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores = self._critic(self._packed(self._generated(head, code, seeds)))
            if self._settings.loss == "wgan-gp":
                loss = -tf.reduce_mean(scores)
            else:
                loss = tf.reduce_mean(tf.nn.softplus(-scores))
        weights = self._generator.trainable_variables
        self._optimizers[0].apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    def _generated(self, head, code, seeds: Callable[[int], tf.Tensor]) -> tf.Tensor:
        """Rows as the critic sees them: `[batch, categories + numbers + heads]`."""
        settings, width = self._settings, sum(self._sizes)
        given = networks.condition(head, code, self._sizes)
        chosen = tf.one_hot(head, len(self._sizes))
        noise = tf.random.stateless_normal([tf.shape(head)[0], settings.noise_dim], seeds(0))
        outputs = self._generator(tf.concat([noise, given], 1))
        logits, numbers = outputs[:, :width], tf.tanh(outputs[:, width:])
        drawn = networks.straight_choices(logits, self._sizes, settings.temperature, seeds(1))
        drawn = drawn * (1.0 - chosen @ self._places) + given
        return tf.concat([drawn, numbers, chosen], 1)

    def _packed(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.reshape(rows, [self._settings.batch_size // self._settings.pac, -1])
