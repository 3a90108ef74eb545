"""Private steps of the GANs: the critic's by DP-SGD, the generator's as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfrs_augment.synthesis import gan_model, networks
from tfrs_augment.synthesis.adversarial import LEAK, AdversarialTrainer
from tfrs_augment.synthesis.clipping import clipped_sum, critic_factors
from tfrs_augment.synthesis.encoding import Encoded
from tfrs_augment.synthesis.pairs import Pairs
from tfrs_augment.synthesis.private import PrivacyBudget
from tfrs_augment.synthesis.private_noise import Secret
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler

if TYPE_CHECKING:
    from tfrs_augment.synthesis.tabular_gan import TabularGAN


def poisson_sample(count: int, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """int32 `[m]`: of `count` rows those that are in a step, each with a probability of its own."""
    # Of float64, so that the probability is the one that is accounted for.
    uniform = tf.random.stateless_uniform([count], seed, dtype=tf.float64)
    return tf.cast(tf.where(uniform < probability)[:, 0], tf.int32)


def with_noise(sums: list[tf.Tensor], deviation: float, seed: tf.Tensor) -> list[tf.Tensor]:
    """Adds independent Gaussian noise to every number of some tensors."""
    # Of float64, whose tails reach further.
    total = sum(part.shape.num_elements() for part in sums)
    noise = deviation * tf.random.stateless_normal([total], seed, dtype=tf.float64)
    parts = tf.split(tf.cast(noise, tf.float32), [part.shape.num_elements() for part in sums])
    return [part + tf.reshape(drawn, part.shape) for part, drawn in zip(sums, parts)]


def noisy_mean(
    sums: list[tf.Tensor], budget: PrivacyBudget, count: int, seed: tf.Tensor
) -> list[tf.Tensor]:
    """A step's gradients: sums of clipped ones, with noise, over how many rows of `count` a step has."""
    noisy = with_noise(sums, budget.noise_multiplier * budget.clip_norm, seed)
    return [part / (budget.sampling_probability * count) for part in noisy]


class PrivateTrainer(AdversarialTrainer):
    """Trains the critic on noisy sums of clipped gradients, and the generator against the critic.

    The critic's steps are all that reads rows. A row is in a step or not, whatever the others are; there a
    generated row stands against it that has the same category as it in a column drawn at random; the gradient
    of both, with the penalty between them, is clipped. The losses of the critic are not noted.

    Args:
      settings: the synthesizer.
      data: the rows.
      conditions: of private counts.
      budget: what is spent.
      secret: what noise and batches are drawn from.
    """

    def __init__(
        self,
        settings: TabularGAN,
        data: Encoded,
        conditions: ConditionSampler,
        budget: PrivacyBudget,
        secret: Secret,
    ):
        super().__init__(settings, data, conditions)
        self._budget, self._secret = budget, secret

    def run(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        settings, number = self._settings, int(number)
        steps = settings.validate_every
        rng = np.random.default_rng([settings.seed, 3, number])
        chosen = self._conditions.sample(rng, steps * settings.batch_size)
        head, code = (tf.constant(part.reshape([steps, -1])) for part in chosen)
        seeds = self._secret.seeds("critic", number, [steps, settings.critic_steps, 4])
        return {"generator_loss": self._run(tf.constant(number), head, code, tf.constant(seeds))}

    @tf.function
    def _run(self, number, head, code, secret) -> tf.Tensor:
        settings, loss = self._settings, tf.constant(0.0)
        for step in tf.range(settings.validate_every):
            for i in range(settings.critic_steps):
                self._private_step(secret[step, i])
            place = number * settings.validate_every + step
            loss += self._generator_step(
                head[step], code[step], networks.seeds_of(settings.seed, place, 0)
            )
            networks.average_into(self.model.weights, self._generator.weights, settings.averaging)
        return loss / settings.validate_every

    def _private_step(self, seeds: tf.Tensor) -> None:
        """One step of the critic, with seeds int64 `[4, 2]`."""
        budget, count = self._budget, len(self._codes)
        rows = poisson_sample(count, budget.sampling_probability, seeds[0])
        sums = self._clipped_sum(rows, seeds[1:3])
        gradients = noisy_mean(sums, budget, count, seeds[3])
        self._optimizers[1].apply_gradients(zip(gradients, self._critic.trainable_variables))

    def _clipped_sum(self, rows: tf.Tensor, seeds: tf.Tensor) -> list[tf.Tensor]:
        """The sum of the clipped gradients of rows int32 `[m]`, with seeds int64 `[2, 2]`."""
        settings, count = self._settings, tf.shape(rows)[0]
        codes = tf.gather(self._codes, rows)
        head, code = self._conditions_of(codes, seeds[0])
        columns = [networks.one_hot(codes, self._sizes), tf.gather(self._numbers, rows)]
        real = tf.concat([*columns, tf.one_hot(head, len(self._sizes))], 1)

        def fold(place: int) -> tf.Tensor:
            return tf.random.experimental.stateless_fold_in(seeds[1], place)

        fake = self._generated(head, code, fold)
        between = tf.random.stateless_uniform([count, 1], fold(2))
        factors = critic_factors(
            self._critic,
            real,
            fake,
            between,
            leak=LEAK,
            loss=settings.loss,
            gradient_penalty=settings.gradient_penalty,
        )
        return clipped_sum(factors, self._budget.clip_norm)

    def _conditions_of(self, codes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A column of categories for each row, drawn at random, and the row's own category there."""
        count = tf.shape(codes)[0]
        if not self._conditions.places:
            return tf.fill([count], -1), tf.zeros([count], tf.int32)
        places = tf.constant(self._conditions.places, tf.int32)
        drawn = tf.random.stateless_uniform([count], seed, 0, len(places), tf.int32)
        head = tf.gather(places, drawn)
        return head, tf.gather(codes, head, batch_dims=1)


class PrivatePairTrainer(gan_model.Trainer):
    """As `gan_model.Trainer`, with DP-SGD in the critic: each pair is in a step with the same probability.

    Args:
      pairs: as of `gan_model.Trainer`.
      users: likewise.
      generator: likewise.
      settings: likewise; `training_power` is that of the generator's steps alone.
      budget: what the critic spends.
      secret: what its noise and batches are drawn from.
    """

    def __init__(
        self,
        pairs: Pairs,
        users: np.ndarray,
        generator: gan_model.Generator,
        settings: gan_model.Settings,
        budget: PrivacyBudget,
        secret: Secret,
    ):
        super().__init__(pairs, users, generator, settings)
        self._budget, self._secret = budget, secret

    def step(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Some private steps of the critic and one of the generator."""
        seeds = self._secret.seeds("critic", int(number), [self._settings.critic_steps, 2])
        return {"generator_loss": self._private_step(number, tf.constant(seeds))}

    @tf.function
    def _private_step(self, number: tf.Tensor, secret: tf.Tensor) -> tf.Tensor:
        budget, count = self._budget, len(self._item)
        for i in range(self._settings.critic_steps):
            rows = poisson_sample(count, budget.sampling_probability, secret[i, 0])
            draws = gan_model.Draws(self._settings.seed, number, i)
            sums = self._clipped_sum(rows, draws)
            gradients = noisy_mean(sums, budget, count, secret[i, 1])
            self._optimizers[0].apply_gradients(zip(gradients, self.critic.trainable_variables))
        draws = gan_model.Draws(self._settings.seed, number, self._settings.critic_steps)
        return self._generator_step(draws)

    def _clipped_sum(self, rows: tf.Tensor, draws: gan_model.Draws) -> list[tf.Tensor]:
        """The sum of the clipped gradients of pairs int32 `[m]`."""
        item = tf.gather(self._item, rows)
        user = tf.gather(self._users, tf.gather(self._user, rows))
        condition = tf.gather(self.generator.groups, item)
        logits, table = self._logits(user, condition, draws)
        drawn = tf.argmax(logits + draws.gumbel(tf.shape(logits)), axis=1)
        factors = critic_factors(
            self.critic,
            self._pair(user, condition, tf.gather(self.generator.items, item)),
            self._pair(user, condition, tf.gather(table, drawn)),
            draws.uniform([tf.shape(rows)[0], 1]),
            leak=gan_model.LEAK,
            loss="wgan-gp",
            gradient_penalty=gan_model.PENALTY,
        )
        return clipped_sum(factors, self._budget.clip_norm)
