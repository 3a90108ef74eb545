"""Losses that `wrap` adds to a model's own."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tests.layers.tutorials import batch, dataset, policy
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.layers import unwrap, wrap

ITEMS = {"movie_title": np.array(tutorials.MOVIES)}
VIEWS = policy(rate=0.5)


def movie(model, features):
    return model.movie_model(features["movie_title"])


def contrastive(**arguments) -> aug.tasks.Contrastive:
    return aug.tasks.Contrastive(movie, views=VIEWS, **{"items": ITEMS, **arguments})


class Recording(aug.tasks.AuxiliaryTask):
    """Keeps what it is called with; its loss is a constant."""

    def __init__(self, seen: list | None = None, **arguments):
        super().__init__(weight=2.0, **arguments)
        # Behind a function: Keras would take a list that holds the model for a part of the task.
        self._see = (lambda *call: None) if seen is None else lambda *call: seen.append(call)

    def loss(self, model, features, draw):
        self._see(model, features, draw)
        return tf.constant(3.0)


def build(one):
    tf_keras.utils.set_random_seed(5)
    return one() if one is tutorials.Ranking else one(top_k=False)


def test_a_task_gets_the_model_the_original_features_and_the_draw_number():
    seen = []
    task, model = Recording(seen, reduction="mean"), build(tutorials.Ranking)
    wrap(model, policy(rate=1.0), tasks=[task])
    model.compile("sgd", run_eagerly=True)
    history = model.fit(dataset(), epochs=2, verbose=0).history
    assert [int(draw) for _, _, draw in seen] == list(range(8))
    assert all(given is model for given, _, _ in seen)
    for number, (_, features, _) in enumerate(seen):
        expected = batch(number % 4)
        # The label too, which compute_loss takes out of the dict.
        assert set(features) == set(expected)
        for name, column in expected.items():
            assert features[name].numpy().tolist() == column.numpy().tolist()
    assert min(history["loss"]) >= 6.0
    model.evaluate(dataset(), verbose=0)
    assert len(seen) == 8 and int(task.variables[0]) == 0


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_losses_are_added_in_training_only(reduction):
    plain, model = build(tutorials.MultiTask), build(tutorials.MultiTask)
    plain.compute_loss(batch()), model.compute_loss(batch())
    model.set_weights(plain.get_weights())
    task = Recording(reduction=reduction)
    wrap(model, None, tasks=[task, contrastive(reduction=reduction)], draw=0)
    own = float(plain.compute_loss(batch(), training=True))
    added = float(contrastive(reduction=reduction)(plain, batch(), draw=0))
    expected = own + added + 6.0 * (tutorials.BATCH if reduction == "sum" else 1)
    assert float(model.compute_loss(batch(), training=True)) == pytest.approx(expected, rel=1e-4)
    assert float(model.compute_loss(batch())) == pytest.approx(own, rel=1e-5)
    unwrap(model)
    assert float(model.compute_loss(batch(), training=True)) == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("one", [tutorials.Ranking, tutorials.MultiTask])
def test_eager_and_graph_train_alike_and_variables_stay_those_of_the_model(one, tmp_path):
    weights, losses = [], []
    for eager in (False, True):
        model = build(one)
        tasks = [contrastive(batch_size=8), contrastive(items=None, identity="movie_title")]
        if one is not tutorials.Ranking:
            tasks.append(
                aug.tasks.MixedNegatives(
                    movie, ITEMS, 12, ids="movie_title", counts=np.arange(1, 21)
                )
            )
        wrap(model, policy(), tasks=tasks)
        model.compile(tf_keras.optimizers.Adagrad(0.1), run_eagerly=eager)
        losses.append(model.fit(dataset(), epochs=1, verbose=0).history["loss"])
        weights.append(model.get_weights())
    np.testing.assert_allclose(*losses, rtol=1e-4)
    plain = build(one)
    plain.compile(tf_keras.optimizers.Adagrad(0.1))
    without = plain.fit(dataset(), epochs=1, verbose=0).history["loss"]
    assert not np.allclose(losses[0], without, rtol=1e-3)
    assert [w.shape for w in plain.get_weights()] == [w.shape for w in weights[0]]
    names = [[re.sub(r"_\d+", "", v.name) for v in one.variables] for one in (plain, model)]
    assert names[0] == names[1]
    checkpoint = tf.train.Checkpoint(model=model)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=plain).restore(path).assert_consumed()
    for found, expected in zip(plain.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(found, expected)


def test_training_that_resumes_draws_what_it_would_have_drawn(tmp_path):
    def trained(epochs, resume=None):
        model = wrap(build(tutorials.Retrieval), None, tasks=[contrastive(batch_size=8)])
        model.compile(tf_keras.optimizers.Adagrad(0.1))
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        if resume is not None:
            model.compute_loss(batch())
            model.optimizer.build(model.trainable_variables)
            checkpoint.restore(resume).assert_existing_objects_matched()
        losses = model.fit(dataset(), epochs=epochs, verbose=0).history["loss"]
        return losses, checkpoint.save(str(tmp_path / "at"))

    whole, _ = trained(4)
    first, path = trained(2)
    second, _ = trained(2, resume=path)
    np.testing.assert_allclose(whole, first + second, rtol=1e-4)


def test_a_compute_loss_of_its_own_tf_function_takes_tasks_too():
    class Traced(tutorials.Retrieval):
        compute_loss = tf.function(tutorials.Retrieval.compute_loss)

    plain = build(tutorials.Retrieval)
    model = Traced(top_k=False)
    plain.compute_loss(batch()), model.compute_loss(batch())
    model.set_weights(plain.get_weights())
    wrap(model, None, tasks=[contrastive()], draw=3)
    wrap(plain, None, tasks=[contrastive()], draw=3)
    found, expected = (one.compute_loss(batch(), training=True) for one in (model, plain))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_labels_and_weights_beside_the_features():
    class Tuples(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.movie_model = tutorials.tower(tutorials.MOVIES)

        def compute_loss(self, inputs, training=False):
            features, labels = inputs
            return tf.reduce_sum(self.movie_model(features["movie_title"])) * 0.0 + labels[0]

    model = wrap(Tuples(), None, tasks=[Recording(reduction="mean")])
    loss = model.compute_loss((batch(), tf.constant([2.0])), training=True)
    assert float(loss) == pytest.approx(8.0)


def test_what_cannot_be_a_task_is_refused():
    model = build(tutorials.Retrieval)
    for tasks in ([tfrs.tasks.Retrieval()], [lambda model, features: 1.0]):
        with pytest.raises(InvalidArgumentError, match="`tasks` of wrap must hold tasks of aug.ta"):
            wrap(model, None, tasks=tasks)
    with pytest.raises(InvalidArgumentError, match="`policy` of wrap must be an Augmentation"):
        wrap(model, None)
    assert "compute_loss" not in vars(model)

    class Vector(tfrs.Model):
        def compute_loss(self, features, training=False):
            return features["age"]

    wrap(Vector(), None, tasks=contrastive())
    vector = wrap(Vector(), None, tasks=[Recording()])
    with pytest.raises(InvalidArgumentError, match="must return a scalar for `tasks`"):
        vector.compute_loss(batch(), training=True)


def test_extra_candidates_need_the_task_in_the_same_graph():
    class Inside(tutorials.Retrieval):
        def compute_loss(self, features, training=False):
            @tf.function
            def run(user, movies):
                return self.task(user, movies, candidate_ids=features["movie_title"])

            user = self.user_model(features["user_id"])
            return run(user, self.movie_model(features["movie_title"]))

    negatives = aug.tasks.MixedNegatives(movie, ITEMS, 3, ids="movie_title")
    model = wrap(Inside(top_k=False), None, tasks=[negatives])
    with pytest.raises(InvalidArgumentError, match="extra candidates cannot be brought"):
        model.compute_loss(batch(), training=True)
