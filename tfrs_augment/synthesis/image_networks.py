"""The networks of `ImageGAN`, and their training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.synthesis import networks

if TYPE_CHECKING:
    from tfrs_augment.synthesis.image_gan import ImageGAN

SIZE = 64
_LEAK = 0.2


class DeepTrainer:
    """The steps of an `ImageGAN`."""

    def __init__(self, settings: ImageGAN, images: np.ndarray):
        self._settings, self._images = settings, tf.constant(images)
        channels = images.shape[-1]
        self._generator, self.model = (new_generator(settings, channels) for _ in range(2))
        self._discriminator = _discriminator(settings, channels)
        self._optimizers = [
            networks.adam(settings.learning_rate, network.trainable_variables, 0.5)
            for network in (self._generator, self._discriminator)
        ]
        self.state = [*self._generator.weights, *self._discriminator.weights]
        self.state += [v for optimizer in self._optimizers for v in optimizer.variables()]

    def epoch(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        settings = self._settings
        rng = np.random.default_rng([settings.seed, 1, int(number)])
        shape = [settings.steps_per_epoch, settings.batch_size]
        rows = rng.integers(0, len(self._images), shape, np.int32)
        losses = self._epoch(tf.cast(number, tf.int32), tf.constant(rows))
        return dict(zip(("discriminator_loss", "generator_loss"), losses))

    @tf.function
    def _epoch(self, number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        settings = self._settings
        sums = tf.zeros([2])
        for step in tf.range(settings.steps_per_epoch):
            seeds = networks.seeds_of(settings.seed, number * settings.steps_per_epoch + step, 0)
            photos = tf.cast(tf.gather(self._images, rows[step]), tf.float32) / 127.5 - 1.0
            sums += tf.stack(self._step(photos, seeds(0)))
            networks.average_into(self.model.weights, self._generator.weights, settings.averaging)
        sums /= settings.steps_per_epoch
        return sums[0], sums[1]

    def _step(self, photos: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        settings = self._settings
        noise = tf.random.stateless_normal([settings.batch_size, settings.noise_dim], seed)
        # Both networks learn from one pass: the discriminator's slopes are those before its own step.
        with tf.GradientTape(persistent=True) as tape:
            fake = self._generator(noise, training=True)
            # Apart, so that batch normalization does not mix real with generated photos.
            of_real = self._discriminator(photos, training=True)
            of_fake = self._discriminator(fake, training=True)
            told = tf.reduce_mean(tf.nn.softplus(-of_real) + tf.nn.softplus(of_fake))
            fooled = tf.reduce_mean(tf.nn.softplus(-of_fake))
        pairs = zip((fooled, told), (self._generator, self._discriminator), self._optimizers)
        for loss, network, optimizer in pairs:
            weights = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return told, fooled


def new_generator(settings: ImageGAN, channels: int) -> tf_keras.Model:
    """From noise to photos in [-1, 1]: 4, 8, 16, 32 and 64 pixels wide."""
    seeds = iter(range(1000 * settings.seed, 1000 * settings.seed + 10))
    widths = [8 * settings.filters, 4 * settings.filters, 2 * settings.filters, settings.filters]
    layers: list[Any] = [
        tf_keras.layers.InputLayer([settings.noise_dim]),
        tf_keras.layers.Dense(16 * widths[0], use_bias=False, kernel_initializer=_normal(seeds)),
        tf_keras.layers.Reshape([4, 4, widths[0]]),
    ]
    for width in [*widths[1:], None]:
        layers += [tf_keras.layers.BatchNormalization(momentum=0.9), tf_keras.layers.ReLU()]
        last = width is None
        layers.append(
            tf_keras.layers.Conv2DTranspose(
                channels if last else width,
                4,
                strides=2,
                padding="same",
                use_bias=last,
                activation="tanh" if last else None,
                kernel_initializer=_normal(seeds),
            )
        )
    return tf_keras.Sequential(layers)


def _discriminator(settings: ImageGAN, channels: int) -> tf_keras.Model:
    """From photos to one number: 32, 16, 8 and 4 pixels wide."""
    seeds = iter(range(1000 * settings.seed + 500, 1000 * settings.seed + 510))
    layers: list[Any] = [tf_keras.layers.InputLayer([SIZE, SIZE, channels])]
    for place in range(4):
        layers.append(
            tf_keras.layers.Conv2D(
                settings.filters * 2**place,
                4,
                strides=2,
                padding="same",
                use_bias=place == 0,
                kernel_initializer=_normal(seeds),
            )
        )
        if place:
            layers.append(tf_keras.layers.BatchNormalization(momentum=0.9))
        layers.append(tf_keras.layers.LeakyReLU(_LEAK))
    layers.append(tf_keras.layers.Flatten())
    layers.append(tf_keras.layers.Dense(1, kernel_initializer=_normal(seeds)))
    return tf_keras.Sequential(layers)


def _normal(seeds: Iterator[int]) -> tf_keras.initializers.Initializer:
    return tf_keras.initializers.RandomNormal(stddev=0.02, seed=next(seeds))
