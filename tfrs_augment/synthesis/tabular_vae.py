"""A variational autoencoder for tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.synthesis import networks
from tfrs_augment.synthesis.encoding import Encoded
from tfrs_augment.synthesis.neural import NeuralSynthesizer, Trainer
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler

_MIN_LOG_DEVIATION = -5.0


@dataclasses.dataclass(kw_only=True, eq=False)
class TabularVAE(NeuralSynthesizer):
    """Generates rows with the decoder of a variational autoencoder.

    The encoder maps a row to a normal distribution of a small vector, the decoder the vector back to a
    distribution of each column; both are trained to the evidence lower bound, with `reconstruction` as the
    weight of the row's likelihood. A new row is decoded from normal noise; its values are drawn from these
    distributions.

    Quicker to fit and steadier than a `TabularGAN`, and without its conditions: those of the user are met by
    rejection.

    Args:
      steps: the most steps of the optimizer, rounded up to whole validations.
      validate_every: steps from one look at held-out rows to the next.
      patience: looks without a better one after which training stops.
      batch_size: rows of a step.
      noise_dim: width of the vector.
      learning_rate: of Adam.
      averaging: the weights that are sampled with are an exponential moving average over the steps; this is
        what remains of it after each. 0 takes the last weights.
      validation_share: of rows held out to look at, in [0, 0.5]; fewer than 100 rows serve as both.
      units: widths of the hidden layers of the encoder, and in the same order of the decoder.
      reconstruction: weight of the log-likelihood of a row against the distance of its vector's
        distribution from the normal one. At 1 the loss is the evidence lower bound itself; there the decoder
        of a small table may do without the vector, and its columns come out unrelated.
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
      >>> vae = TabularVAE(steps=150, validate_every=50, units=(32,)).fit(table)
      >>> rows = vae.sample(50, conditions={"category": "hat"})
      >>> set(rows["category"].tolist()), bool(rows["price"].max() <= 199.5)
      ({b'hat'}, True)

    Reference:
      Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, section 4.5 (TVAE). There a
      category is the likeliest one; here it is drawn, and the deviation of a number is the row's own.
      Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    """

    units: Sequence[int] = (128, 128)
    reconstruction: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.units = networks.check_units("TabularVAE", "units", self.units)
        networks.check_numbers("TabularVAE", {"reconstruction": (self.reconstruction, 1e-6, 1e6)})

    def _trainer(self, data: Encoded, conditions: ConditionSampler) -> Trainer:
        return _AutoencoderTrainer(self, data)

    def _new_model(self) -> tf_keras.Model:
        numbers = 2 * len(self._encoding.numeric)
        # A decoder that has the shares from the start may never come to use the vector.
        return self._network(self.units, self.noise_dim, numbers, at_shares=False)

    def _numbers_of(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        mean, deviation = _normal_of(outputs)
        noise = tf.random.stateless_normal(tf.shape(mean), seed)
        return tf.clip_by_value(mean + deviation * noise, -1.0, 1.0)


class _AutoencoderTrainer(Trainer):
    """The steps of a `TabularVAE`."""

    def __init__(self, settings: TabularVAE, data: Encoded):
        self._settings = settings
        self._sizes = [head.size for head in settings._encoding.heads]
        self._codes, self._numbers = tf.constant(data.codes), tf.constant(data.numbers)
        self._decoder, self.model = settings._new_model(), settings._new_model()
        self._encoder = networks.multilayer(
            settings.units,
            2 * settings.noise_dim,
            sum(self._sizes) + data.numbers.shape[1],
            seed=settings.seed + 1,
        )
        self._weights = [
            *self._encoder.trainable_variables,
            *self._decoder.trainable_variables,
        ]
        self._optimizer = networks.adam(settings.learning_rate, self._weights)
        self.state = [*self._weights, *self._optimizer.variables()]

    def run(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, 3, int(number)])
        shape = [settings.validate_every, settings.batch_size]
        rows = rng.integers(0, len(self._codes), shape, np.int32)
        return {"loss": self._run(tf.cast(number, tf.int32), tf.constant(rows))}

    @tf.function
    def _run(self, number: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        settings, total = self._settings, tf.constant(0.0)
        for step in tf.range(settings.validate_every):
            seed = tf.stack([settings.seed % 2**31, number * settings.validate_every + step])
            total += self._step(rows[step], seed)
            networks.average_into(self.model.weights, self._decoder.weights, settings.averaging)
        return total / settings.validate_every

    def _step(self, rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        codes, numbers = tf.gather(self._codes, rows), tf.gather(self._numbers, rows)
        with tf.GradientTape() as tape:
            encoded = self._encoder(tf.concat([networks.one_hot(codes, self._sizes), numbers], 1))
            mean, log_variance = tf.split(encoded, 2, axis=1)
            noise = tf.random.stateless_normal(tf.shape(mean), seed)
            outputs = self._decoder(mean + tf.exp(0.5 * log_variance) * noise)
            distance = 0.5 * (tf.exp(log_variance) + mean**2 - 1.0 - log_variance)
            loss = tf.reduce_mean(
                tf.reduce_sum(distance, 1)
                - self._settings.reconstruction * self._log_likelihood(outputs, codes, numbers)
            )
        gradients = tape.gradient(loss, self._weights)
        self._optimizer.apply_gradients(zip(gradients, self._weights))
        return loss

    def _log_likelihood(self, outputs: tf.Tensor, codes: tf.Tensor, numbers: tf.Tensor):
        width = sum(self._sizes)
        total = tf.zeros([tf.shape(codes)[0]])
        for place, logits in enumerate(tf.split(outputs[:, :width], self._sizes, axis=1)):
            total -= tf.nn.sparse_softmax_cross_entropy_with_logits(codes[:, place], logits)
        mean, deviation = _normal_of(outputs[:, width:])
        scaled = (numbers - mean) / deviation
        return total - tf.reduce_sum(0.5 * scaled**2 + tf.math.log(deviation), 1)


def _normal_of(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and standard deviation `[n, numeric columns]` of the outputs beyond the logits."""
    mean, deviation = tf.split(outputs, 2, axis=1)
    return tf.tanh(mean), tf.exp(tf.maximum(deviation, _MIN_LOG_DEVIATION))
