"""Trains under MirroredStrategy on two logical CPUs; run as a process, for TensorFlow must start so.

Prints a line a check; exits with an error at the first that fails.
"""

from __future__ import annotations

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tests.layers import tutorials
from tests.layers.tutorials import batch, dataset, policy

STEPS = 4


class Watched(tfrs.Model):
    """Keeps the titles that each replica trains on; may hold a layer of its own."""

    def __init__(self, layer=None):
        super().__init__()
        self.movie_model, self.user_model = (
            tutorials.tower(tutorials.MOVIES),
            tutorials.tower(tutorials.USERS),
        )
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
        self.layer, self._seen = layer, []

    def by_step(self) -> list[list[bytes]]:
        """The titles of each step, those of the two replicas together, sorted."""
        pairs = zip(self._seen[::2], self._seen[1::2])
        return [sorted(first + second) for first, second in pairs]

    def compute_loss(self, features, training=False):
        if self.layer is not None:
            features = self.layer(features, training=training)
        titles = features["movie_title"]
        tf.py_function(lambda values: self._seen.append(values.numpy().tolist()), [titles], [])
        return self.task(
            self.user_model(features["user_id"]),
            self.movie_model(titles),
            candidate_ids=titles if self.layer is None else features["row"],
        )


def expected(one: aug.AugmentationPolicy, draw: int, number: int) -> list[bytes]:
    return sorted(one.augment(batch(number), draw=draw)["movie_title"].numpy().tolist())


def outcome(strategy, build, wrapped: bool):
    """The losses of a model in training and evaluation, or the error that it ends with."""
    tf_keras.utils.set_random_seed(4)
    with strategy.scope():
        model = build()
        if wrapped:
            aug.wrap(model, policy(rate=0.0))
        model.compile(tf_keras.optimizers.Adagrad(0.1))
    try:
        losses = model.fit(dataset().take(2), verbose=0).history["loss"]
        losses.append(model.evaluate(dataset().take(2), verbose=0, return_dict=True)["loss"])
    except Exception as error:  # Which one it is is the outcome.
        return type(error).__name__
    return losses


def check_tutorials(strategy) -> None:
    """As they are, Keras refuses all three; so they are also tried as Keras and TFRS take them."""
    for build, refused in (
        (tutorials.Retrieval, "TypeError"),
        (tutorials.Ranking, "ValueError"),
        (tutorials.MultiTask, "ValueError"),
        (lambda: tutorials.Retrieval(top_k=False), None),
        (lambda: tutorials.MultiTask(reduction="sum", top_k=False), None),
    ):
        unwrapped, wrapped = (outcome(strategy, build, flag) for flag in (False, True))
        if refused:
            assert (unwrapped, wrapped) == (refused, refused)
        else:
            np.testing.assert_allclose(unwrapped, wrapped, rtol=1e-4)
    print("tutorials")


def check_fit(strategy) -> None:
    with strategy.scope():
        model = aug.wrap(Watched(), policy())
        model.compile(tf_keras.optimizers.Adagrad(0.1))
    model.fit(dataset(), verbose=0)
    assert model.by_step() == [expected(policy(), step, step) for step in range(STEPS)]
    print("fit")


def check_custom_loop(strategy) -> None:
    """A loop of one's own, with the model wrapped outside the scope."""
    with strategy.scope():
        model = Watched()
        model.movie_model(batch()["movie_title"]), model.user_model(batch()["user_id"])
    aug.wrap(model, policy())

    @tf.function
    def step(features):
        return strategy.run(lambda f: model.compute_loss(f, training=True), (features,))

    for features in strategy.experimental_distribute_dataset(dataset()):
        step(features)
    assert model.by_step() == [expected(policy(), step, step) for step in range(STEPS)]
    print("custom loop")


def check_layer(strategy) -> None:
    with strategy.scope():
        layer = aug.layers.Augment(policy())
        model = Watched(layer)
        model.compile(tf_keras.optimizers.Adagrad(0.1))
    model.fit(dataset(), verbose=0)
    model.evaluate(dataset(), verbose=0)
    assert model.by_step()[:STEPS] == [expected(policy(), step, step) for step in range(STEPS)]
    assert int(layer.weights[0].numpy()) == STEPS
    print("layer")


def check_positions(strategy) -> None:
    """Rows at one place of two replicas draw apart."""
    one = policy(key_features=())
    titles = {"movie_title": tf.constant(["m1"] * 64)}

    @tf.function
    def augment():
        layer = aug.layers.Augment(one, draw=0, key="position")
        return strategy.run(lambda: layer(titles, training=True)["movie_title"])

    first, second = (value.numpy().tolist() for value in augment().values)
    plain = one.augment(titles, draw=0, keys=np.arange(64, dtype=np.uint64))["movie_title"]
    assert first == plain.numpy().tolist()
    assert first != second
    print("positions")


def main() -> None:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    for check in (
        check_fit,
        check_custom_loop,
        check_layer,
        check_positions,
        check_tutorials,
    ):
        check(strategy)


if __name__ == "__main__":
    main()
