"""One training: what it traces, how it ends, and what it tells others."""

from __future__ import annotations

import dataclasses

import pytest
import tensorflow as tf
import tf_keras

from tests.evaluation.tiny_models import FAST, Layered
from tfrs_augment.evaluation.comparing.training import train
from tfrs_augment.evaluation.splitting import splits


class Shy(Layered):
    """Has a variable that only a training step makes, and counts how often that step is traced."""

    def __init__(self, train, shy=True):
        super().__init__(train)
        self._shy, self.traced, self.bias = shy, 0, None

    def compute_loss(self, features, training=False):
        loss = super().compute_loss(features, training)
        if not training:
            return loss
        self.traced += 1
        if self.bias is None and self._shy:
            with tf.init_scope():
                self.bias = tf.Variable(1.0)
        return loss + self.bias**2 if self._shy else loss


def test_a_step_is_traced_once_unless_it_makes_variables_of_its_own(shop):
    split = splits.split(shop, cold_share=0.2, seed=0)
    bold, shy = Shy(split.train, shy=False), Shy(split.train)
    train(bold, split, FAST)
    train(shy, split, FAST)
    assert bold.traced == 1
    # It was trained with the others, by an optimizer that knows it.
    assert abs(float(shy.bias)) < 1.0


class OwnStep(Layered):
    """Trains without a loss of TFRS, and does not name what it lost."""

    def train_step(self, features):
        self.query_model(features), self.candidate_model(features)
        for variable in self.trainable_variables:
            variable.assign(0.9 * variable)
        return {"mine": tf.constant(1.0)}

    def compute_loss(self, features, training=False):
        raise AssertionError("is not asked")


def test_a_model_may_have_a_step_of_its_own(shop):
    split = splits.split(shop, cold_share=0.2, seed=0)
    history = train(OwnStep(split.train), split, FAST)
    assert history.loss == [] and history.validation


@pytest.mark.parametrize("optimizer", [tf_keras.optimizers.Adam, tf_keras.optimizers.legacy.Adam])
def test_a_step_that_fails_is_not_tried_again(shop, optimizer):
    class Broken(Layered):
        tried = 0

        def compute_loss(self, features, training=False):
            loss = super().compute_loss(features, training)
            if training:
                Broken.tried += 1
                raise ValueError("no loss today")
            return loss

    split = splits.split(shop, cold_share=0.2, seed=0)
    protocol = dataclasses.replace(FAST, optimizer=optimizer)
    with pytest.raises(ValueError, match="no loss today"):
        train(Broken(split.train), split, protocol)
    assert Broken.tried == 1


def test_the_validation_metric_is_in_the_logs_of_later_callbacks(shop):
    seen = []

    class Watch(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs.get("val_ndcg@50"))

    one = splits.split(shop, cold_share=0.2, seed=0)
    protocol = dataclasses.replace(FAST, validate_every=2)
    history = train(Layered(one.train), one, protocol, callbacks=[Watch()])
    assert seen == [None, *history.validation], "the second of two epochs"
