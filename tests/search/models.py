"""A model that is the better, or the worse, the more ids its training rows lack; trained in no time."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tfrs_augment.evaluation import Protocol, development_split, split


def sgd():
    return tf_keras.optimizers.legacy.SGD(0.2)


PROTOCOL = Protocol(epochs=4, batch_size=256, optimizer=sgd)
POLICY = aug.AugmentationPolicy(
    [aug.ops.IdDropout("item_id", rate=0.3), aug.ops.GaussianNoise("price", stddev=1.0)],
    key_features=("user_id", "item_id", "timestamp"),
)
ID, PRICE = (op.id for op in POLICY.ops)


class Mixed(tfrs.Model):
    """Ranks by popularity and by chance, mixed by the share of dropped ids that it has met."""

    def __init__(self, train, start=0.1, slope=0.7):
        super().__init__()
        count = len(train.items["item_id"])
        counts = np.bincount(train.item_index(), minlength=count)
        chance = np.random.default_rng(0).random(count)
        table = np.stack([counts / counts.max(), chance], axis=1).astype(np.float32)
        self._ids, self._items = tf.constant(train.items["item_id"]), tf.constant(table)
        self._start, self._slope = start, slope
        self.share = tf.Variable(0.0)

    def query_model(self, features):
        weight = self._start + self._slope * self.share
        return tf.ones([tf.shape(features["user_id"])[0], 1]) * tf.stack([weight, 1.0 - weight])

    def candidate_model(self, features):
        same = features["item_id"][:, None] == self._ids[None, :]
        return tf.gather(self._items, tf.argmax(tf.cast(same, tf.int32), axis=1))

    def compute_loss(self, features, training=False):
        dropped = tf.reduce_mean(tf.cast(features["item_id"] == b"[UNK]", tf.float32))
        return (self.share - dropped) ** 2


class Harmed(Mixed):
    """The more ids are dropped, the worse it is."""

    def __init__(self, train):
        super().__init__(train, start=0.6, slope=-0.7)


def development(shop):
    """The development splits of a data set."""
    whole = split(shop, cold_share=0.1, seed=0)
    return lambda seed: development_split(whole, seed=seed, cold_share=0.1)
