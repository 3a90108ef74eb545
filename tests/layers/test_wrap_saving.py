"""Whatever can be saved unwrapped can be saved wrapped, and loads into either."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.layers import tutorials
from tests.layers.tutorials import TUTORIALS, batch, dataset, policy
from tfrs_augment.layers import wrap

pytestmark = pytest.mark.filterwarnings("ignore:You are saving")

SAVES = {
    "weights": lambda model, path: model.save_weights(path),
    "weights_h5": lambda model, path: model.save_weights(f"{path}.h5"),
    "weights_keras": lambda model, path: model.save_weights(f"{path}.weights.h5"),
    "checkpoint": lambda model, path: tf.train.Checkpoint(model=model).write(path),
    "tower": lambda model, path: tf.saved_model.save(model.movie_model, path),
    "keras": lambda model, path: model.save(f"{path}.keras"),
    "h5": lambda model, path: model.save(f"{path}.h5"),
    "keras_saved_model": lambda model, path: model.save(path, save_format="tf"),
    "saved_model": lambda model, path: tf.saved_model.save(model, path),
}

REFUSED = {
    # Keras writes whole subclassed models to no HDF5 file.
    ("Retrieval", "h5"): "NotImplementedError",
    ("Ranking", "h5"): "NotImplementedError",
    ("MultiTask", "h5"): "NotImplementedError",
    # A retrieval model has no call(), and the top-K metric holds a dataset.
    ("Retrieval", "keras_saved_model"): "ValueError",
    ("Retrieval", "saved_model"): "FailedPreconditionError",
    ("MultiTask", "keras_saved_model"): "FailedPreconditionError",
    ("MultiTask", "saved_model"): "FailedPreconditionError",
}
"""What TFRS and Keras refuse of the unwrapped models; the same must be refused of the wrapped."""


def trained(build, wrapped: bool) -> tf_keras.Model:
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(2)
    model = build()
    if wrapped:
        wrap(model, policy())
    model.compile(tf_keras.optimizers.Adagrad(0.1))
    model.fit(dataset().take(2), verbose=0)
    return model


@pytest.fixture(scope="module", params=TUTORIALS, ids=lambda build: build.__name__)
def pair(request):
    return request.param, [trained(request.param, wrapped) for wrapped in (False, True)]


def outcome(save, model, path: pathlib.Path) -> str:
    try:
        save(model, str(path))
    except Exception as error:  # Which one it is is the outcome.
        return type(error).__name__
    return "done"


def variables_of(checkpoint: pathlib.Path) -> list:
    return sorted(tf.train.list_variables(str(checkpoint)))


def test_what_is_saved_and_what_is_refused(pair, tmp_path):
    build, models = pair
    for form, save in SAVES.items():
        found = [outcome(save, m, tmp_path / f"{form}{i}") for i, m in enumerate(models)]
        expected = REFUSED.get((build.__name__, form), "done")
        assert found == [expected, expected], form

    # The variables, and the paths by which files know them.
    assert [v.name for v in models[0].weights] == [v.name for v in models[1].weights]
    for form in ("weights", "checkpoint"):
        assert variables_of(tmp_path / f"{form}0") == variables_of(tmp_path / f"{form}1")
    # An exported tower is the class's own: it knows nothing of the policy.
    tower, titles = tf.saved_model.load(str(tmp_path / "tower1")), batch()["movie_title"]
    for training in (False, True):
        found = tower(titles, training=training)
        np.testing.assert_array_equal(found, models[1].movie_model(titles))
    for archive in (tmp_path / "keras0.keras", tmp_path / "keras1.keras"):
        with zipfile.ZipFile(archive) as file:
            assert b"tfrs_augment" not in file.read("config.json")
    if build is tutorials.Ranking:
        check_serving(models[1], tmp_path)


LOADS = {
    "weights": lambda model, path: model.load_weights(path).assert_consumed(),
    "weights_h5": lambda model, path: model.load_weights(f"{path}.h5"),
    "weights_keras": lambda model, path: model.load_weights(f"{path}.weights.h5"),
    "checkpoint": lambda model, path: tf.train.Checkpoint(model=model).read(path).assert_consumed(),
}
UNLOADABLE = {("Retrieval", "weights_h5"): "ValueError"}
"""Keras reads this format into models that have been called; a retrieval model has no call()."""


@pytest.mark.parametrize("form", LOADS)
def test_weights_load_both_ways(pair, form, tmp_path):
    build, models = pair
    expected = UNLOADABLE.get((build.__name__, form), "done")
    for source, target in (models, models[::-1], models[:1] * 2):
        path, saved = tmp_path / str(id(source)), source.get_weights()
        SAVES[form](source, str(path))
        target.set_weights([np.zeros_like(weight) for weight in saved])
        assert outcome(LOADS[form], target, path) == expected
        if expected != "done":
            target.set_weights(saved)
        for left, right in zip(saved, target.get_weights()):
            np.testing.assert_array_equal(left, right)


def check_serving(model: tf_keras.Model, folder: pathlib.Path) -> None:
    """A wrapped model that was exported whole serves what it serves itself, and trains on."""
    features = {name: column for name, column in batch().items() if name != "user_rating"}
    expected = model(features)
    for load, name in (
        (tf_keras.models.load_model, "keras_saved_model1"),
        (tf.saved_model.load, "saved_model1"),
    ):
        restored = load(str(folder / name))
        for training in (False, True):
            found = restored(features, training=training)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    model.fit(dataset().take(1), verbose=0)
    assert int(model.optimizer.iterations) == 3


def test_a_keras_file_loads_alike(pair, tmp_path):
    build, models = pair
    # The embeddings of a model that was never called are not built when their weights are read.
    expected = "ValueError" if build is tutorials.Retrieval else "done"
    for index, model in enumerate(models):
        path, restored = tmp_path / f"{index}.keras", []
        model.save(path)
        load = lambda _, file, into=restored: into.append(  # noqa: E731
            tf_keras.models.load_model(file, custom_objects={build.__name__: build})
        )
        assert outcome(load, None, path) == expected
        for one in restored:
            assert type(one) is build
            assert "compute_loss" not in vars(one)
            (table,) = one.movie_model.layers[1].get_weights()
            np.testing.assert_array_equal(table, *model.movie_model.layers[1].get_weights())
