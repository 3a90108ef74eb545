"""A control of InteractionGAN: an unconditional WGAN-GP whose vectors become items by nearest neighbours.

The generator makes a user's and an item's embedding from noise alone, the critic tells such pairs from real
ones, and a made vector stands for the user or the item whose embedding is nearest.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets import Interactions
from tfrs_augment.synthesis import Embeddings
from tfrs_augment.towers import TwoTower

_NOISE, _UNITS, _BATCH, _CRITIC_STEPS = 32, 128, 512, 3


class NearestGAN:
    """See the module.

    Args:
      steps: of the generator.
      epochs: of the two-tower whose embeddings it uses.
      seed: of all.
    """

    def __init__(self, *, steps: int = 600, epochs: int = 10, seed: int = 0):
        self._steps, self._epochs, self._seed = steps, epochs, seed

    def fit(self, data: Interactions) -> NearestGAN:
        tf_keras.utils.set_random_seed(self._seed)
        model = TwoTower(data)
        model.compile(optimizer=tf_keras.optimizers.Adam(2e-3))
        model.fit(data.dataset(_BATCH, shuffle_seed=self._seed), epochs=self._epochs, verbose=0)
        known = np.unique(data.item_index())
        embeddings = Embeddings.of_model(model, data)
        self._names = data.user_id, data.item_id
        self._ids = embeddings.user_ids, embeddings.item_ids[known]
        # Standardized, so that users and items weigh alike in the critic.
        self._tables = [_standard(embeddings.users), _standard(embeddings.items[known])]
        place = np.full(len(embeddings.item_ids), -1)
        place[known] = np.arange(len(known))
        real = tf.constant(
            np.concatenate(
                [self._tables[0][data.user_index()], self._tables[1][place[data.item_index()]]], 1
            )
        )
        self._train(real)
        return self

    def sample(self, rows: int, *, seed: int = 0) -> dict[str, np.ndarray]:
        noise = tf.random.stateless_normal([rows, _NOISE], [seed, 1])
        made = np.split(self._generator(noise).numpy(), 2, axis=1)
        return {
            name: ids[_nearest(part, table)]
            for name, ids, part, table in zip(self._names, self._ids, made, self._tables)
        }

    def _train(self, real: tf.Tensor) -> None:
        width = real.shape[1]
        self._generator = _network(_NOISE, width)
        critic = _network(width, 1)
        optimizers = [tf_keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.9) for _ in range(2)]

        @tf.function
        def criticize():
            index = tf.random.uniform([_BATCH], maxval=tf.shape(real)[0], dtype=tf.int32)
            true = tf.gather(real, index)
            made = self._generator(tf.random.normal([_BATCH, _NOISE]))
            with tf.GradientTape() as tape:
                share = tf.random.uniform([_BATCH, 1])
                between = share * true + (1 - share) * made
                with tf.GradientTape() as inner:
                    inner.watch(between)
                    score = critic(between)
                slope = tf.norm(inner.gradient(score, between) + 1e-12, axis=1)
                loss = tf.reduce_mean(critic(made)) - tf.reduce_mean(critic(true))
                loss += 10.0 * tf.reduce_mean((slope - 1.0) ** 2)
            variables = critic.trainable_variables
            optimizers[0].apply_gradients(zip(tape.gradient(loss, variables), variables))

        @tf.function
        def generate():
            variables = self._generator.trainable_variables
            with tf.GradientTape() as tape:
                made = self._generator(tf.random.normal([_BATCH, _NOISE]))
                loss = -tf.reduce_mean(critic(made))
            optimizers[1].apply_gradients(zip(tape.gradient(loss, variables), variables))

        for _ in range(self._steps):
            for _ in range(_CRITIC_STEPS):
                criticize()
            generate()


def _network(inputs: int, outputs: int) -> tf_keras.Model:
    layers = [tf_keras.Input([inputs])]
    for _ in range(2):
        layers += [tf_keras.layers.Dense(_UNITS), tf_keras.layers.LeakyReLU(0.2)]
    return tf_keras.Sequential([*layers, tf_keras.layers.Dense(outputs)])


def _standard(table: np.ndarray) -> np.ndarray:
    return (table - table.mean(axis=0)) / table.std(axis=0).mean()


def _nearest(vectors: np.ndarray, table: np.ndarray) -> np.ndarray:
    squares = (table**2).sum(axis=1)
    blocks = np.array_split(vectors, -(-len(vectors) // 4096))
    return np.concatenate([np.argmin(squares - 2 * part @ table.T, axis=1) for part in blocks])
