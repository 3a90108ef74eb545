"""A conditional generative adversarial network for tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis import networks
from tfrs_augment.synthesis.encoding import Encoded
from tfrs_augment.synthesis.neural import NeuralSynthesizer, Trainer
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler

_LOSSES = ("wgan-gp", "minimax")
_LEAK = 0.2
# Adam's first moment for adversarial training, as in the papers on WGAN-GP and CTGAN.
_MOMENT = 0.5


@dataclasses.dataclass(kw_only=True, eq=False)
class TabularGAN(NeuralSynthesizer):
    """Generates rows with a network that was trained against a critic: a conditional WGAN-GP.

    The generator is told one category that its row must have; the critic, of some real or some generated
    rows at once, tells which they are. Rare categories are trained on as often as their log-count says, and
    sampled as often as they are.

    A condition on a column of categories is met by construction: the row is generated for it. Of several,
    the least likely one is, and the others are met by rejection, as are ranges of numbers.

    Args:
      steps: the most steps of the generator, rounded up to whole validations.
      validate_every: steps from one look at held-out rows to the next.
      patience: looks without a better one after which training stops.
      batch_size: rows of a step, a multiple of `pac`.
      noise_dim: width of the generator's noise.
      learning_rate: of Adam, for both networks.
      averaging: the weights that are sampled with are an exponential moving average over the steps; this is
        what remains of it after each. 0 takes the last weights.
      validation_share: of rows held out to look at, in [0, 0.5]; fewer than 100 rows serve as both.
      generator_units: widths of the generator's hidden layers.
      critic_units: widths of the critic's.
      critic_steps: steps of the critic before each of the generator.
      pac: rows that the critic sees at once (PacGAN). 10, as in the paper, holds the generator's rows apart
        where they come out too much alike, and leaves the critic a tenth of the examples.
      loss: "wgan-gp", the Wasserstein distance with a penalty on the critic's slope; or "minimax", the
        original game of a generator and a discriminator, in the form that does not saturate.
      gradient_penalty: weight of the penalty of "wgan-gp".
      temperature: of the softmax whose slopes generated categories are trained with.
      seed: an integer of 0 or more, of weights, batches and noise.
      checkpoint_dir: a folder from which a fit that was cut off goes on, with the same arguments on the same
        rows; None keeps none.
      columns: as of `Synthesizer`.
      max_tries: as of `Synthesizer`.

    Raises:
      InvalidArgumentError: an argument is outside its range.

    Example:
      >>> category = np.array([b"hat", b"shoe"]).repeat(100)
      >>> table = {"category": category, "price": np.arange(200) + 0.5}
      >>> gan = TabularGAN(steps=40, validate_every=20, generator_units=(32,)).fit(table)
      >>> rows = gan.sample(50, conditions={"category": "hat"})
      >>> set(rows["category"].tolist()), bool(rows["price"].max() <= 199.5)
      ({b'hat'}, True)

    References:
      Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, section 4. Where a row has a
      condition, its category is put into the generated row, so that no term of the loss has to ask for it;
      the critic is told which column has one. Generated categories are one-hot for the critic too
      (straight-through), and their logits start at the shares of the data.
      Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, section 4.
      Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018.
      Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3, for "minimax".
    """

    conditional = True

    steps: int = 2_000
    patience: int = 20
    generator_units: Sequence[int] = (128, 128)
    critic_units: Sequence[int] = (128, 128)
    critic_steps: int = 1
    pac: int = 1
    loss: str = "wgan-gp"
    gradient_penalty: float = 10.0
    temperature: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("generator_units", "critic_units"):
            setattr(self, name, networks.check_units("TabularGAN", name, getattr(self, name)))
        whole = {name: getattr(self, name) for name in ("critic_steps", "pac")}
        networks.check_integers("TabularGAN", whole)
        networks.check_numbers(
            "TabularGAN",
            {
                "gradient_penalty": (self.gradient_penalty, 0.0, math.inf),
                "temperature": (self.temperature, 0.01, 100.0),
            },
        )
        if self.loss not in _LOSSES:
            raise InvalidArgumentError(
                f"`loss` must be one of {', '.join(map(repr, _LOSSES))}. Received: "
                f"loss={self.loss!r} (TabularGAN)."
            )
        if self.batch_size % self.pac:
            raise InvalidArgumentError(
                f"`batch_size` must be a multiple of `pac`. Received: batch_size={self.batch_size}, "
                f"pac={self.pac} (TabularGAN)."
            )

    def _trainer(self, data: Encoded, conditions: ConditionSampler) -> Trainer:
        return _AdversarialTrainer(self, data, conditions)

    def _new_model(self) -> tf_keras.Model:
        width = sum(head.size for head in self._encoding.heads)
        numbers = len(self._encoding.numeric)
        inputs = self.noise_dim + width
        return self._network(self.generator_units, inputs, numbers, at_shares=True)

    def _numbers_of(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.tanh(outputs)


class _AdversarialTrainer(Trainer):
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
            settings.critic_units, 1, seen * settings.pac, leak=_LEAK, seed=settings.seed + 1
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
        noise = tf.random.stateless_normal([settings.batch_size, settings.noise_dim], seeds(0))
        outputs = self._generator(tf.concat([noise, given], 1))
        logits, numbers = outputs[:, :width], tf.tanh(outputs[:, width:])
        drawn = networks.straight_choices(logits, self._sizes, settings.temperature, seeds(1))
        drawn = drawn * (1.0 - chosen @ self._places) + given
        return tf.concat([drawn, numbers, chosen], 1)

    def _packed(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.reshape(rows, [self._settings.batch_size // self._settings.pac, -1])
