"""Trains under MirroredStrategy on two logical CPUs; run as a process, for TensorFlow must start so."""

from __future__ import annotations

import tfrs_augment as aug  # isort: skip  Before TensorFlow: it asks for Keras 2.

import tensorflow as tf

from tests.layers import tutorials
from tests.layers.tutorials import dataset, policy


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = aug.AdaptivePolicy(
        aug.adaptive.strengths(policy(1.0), (0, 1)), strategy=aug.adaptive.Ramp(epochs=2)
    )
    with strategy.scope():
        model = aug.wrap(tutorials.Retrieval(top_k=False), one)
        model.compile("adagrad")
    callback = one.callback()
    model.fit(dataset(), epochs=3, verbose=0, callbacks=[callback])
    control = model.compute_loss.control
    print(strategy.num_replicas_in_sync, [e["place"] for e in callback.history])
    print([float(value) for value in strategy.experimental_local_results(control.place)])


if __name__ == "__main__":
    main()
