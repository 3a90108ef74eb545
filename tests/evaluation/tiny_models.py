"""Models and parts that the tests of comparisons share: fast to trace, and importable by a process."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.evaluation.comparing.training import Protocol

FAST = Protocol(epochs=2, batch_size=512, patience=2)


class Table(tf_keras.layers.Layer):
    """Unit vectors of ids such as b"i07"."""

    def __init__(self, dim: int):
        super().__init__()
        self._dim = dim

    def build(self, shape):
        self.table = self.add_weight("table", [100, self._dim], initializer="random_normal")

    def call(self, ids):
        index = tf.strings.to_number(tf.strings.substr(ids, 1, 2), tf.int32)
        return tf.math.l2_normalize(tf.gather(self.table, index), axis=1)


class Layered(tfrs.Model):
    """Two tables that are made at the first step, as the layers of most models are."""

    def __init__(self, train, dim=8):
        super().__init__()
        self.users, self.items = Table(dim), Table(dim)
        self.task = tfrs.tasks.Retrieval(temperature=0.2)

    def query_model(self, features):
        return self.users(features["user_id"])

    def candidate_model(self, features):
        return self.items(features["item_id"])

    def compute_loss(self, features, training=False):
        return self.task(
            self.query_model(features), self.candidate_model(features), compute_metrics=False
        )


class Rater(tfrs.Model):
    """Predicts a label from a bias of the user and one of the item."""

    def __init__(self, train, label="rating", binary=False):
        super().__init__()
        self._label, self._binary = label, binary
        self.users, self.items = tf.Variable(tf.zeros([100])), tf.Variable(tf.zeros([100]))

    def call(self, features):
        index = [
            tf.strings.to_number(tf.strings.substr(features[name], 1, 2), tf.int32)
            for name in ("user_id", "item_id")
        ]
        found = tf.gather(self.users, index[0]) + tf.gather(self.items, index[1])
        return tf.sigmoid(found) if self._binary else found

    def compute_loss(self, features, training=False):
        return tf.reduce_sum((features[self._label] - self(features)) ** 2)


class Constant(tfrs.Model):
    """Embeds all alike: any metric that rewards it is wrong."""

    def __init__(self, train):
        super().__init__()
        self.weight = tf.Variable(1.0)
        self.query_model = self.candidate_model = lambda features: (
            self.weight * tf.ones([tf.shape(next(iter(features.values())))[0], 4])
        )

    def compute_loss(self, features, training=False):
        return self.weight**2
