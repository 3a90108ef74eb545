"""`mean_oov`, and retrieval beyond the corpus: traps of Keras and TFRS that are closed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tfrs_augment.errors import DataError, InvalidArgumentError

VOCABULARY = ["a", "b", "c"]


def lookup(**arguments):
    return tf_keras.layers.StringLookup(vocabulary=VOCABULARY, **{"mask_token": None, **arguments})


def table(rows: int) -> tf.Variable:
    return tf.Variable(np.arange(rows * 2, dtype=np.float32).reshape(rows, 2) ** 2)


def test_the_tower_of_a_tutorial_gives_new_items_the_mean():
    model = tutorials.Retrieval(top_k=False)
    tower = model.movie_model
    known = tower(tf.constant(tutorials.MOVIES)).numpy()
    before = tower(tf.constant(["new"])).numpy()
    aug.layers.mean_oov(tower)
    np.testing.assert_allclose(tower(tf.constant(["new"]))[0], known.mean(axis=0), rtol=1e-5)
    assert not np.allclose(before, known.mean(axis=0))
    np.testing.assert_array_equal(tower(tf.constant(tutorials.MOVIES)), known)


@pytest.mark.parametrize("ids", [["a", "c"], [b"a", b"c"], np.array([b"a", b"c", b"z"])])
def test_ids_without_training_rows_get_the_mean_too(ids):
    values = table(4)
    before = values.numpy()
    aug.layers.mean_oov(values, lookup(), trained=ids)
    mean = (before[1] + before[3]) / 2
    np.testing.assert_array_equal(values, [mean, before[1], mean, before[3]])


def test_masks_and_several_unknown_rows_are_told_apart():
    values = table(6)
    before = values.numpy()
    aug.layers.mean_oov(values, lookup(mask_token="", num_oov_indices=2))
    mean = before[3:].mean(axis=0)
    np.testing.assert_allclose(values, [before[0], mean, mean, *before[3:]])


def test_integer_ids():
    values = table(4)
    integers = tf_keras.layers.IntegerLookup(vocabulary=[7, 8, 9], mask_token=None)
    before = values.numpy()
    aug.layers.mean_oov(values, integers, trained=[8])
    np.testing.assert_array_equal(values, [before[2], before[2], before[2], before[2]])


def test_what_it_cannot_find_is_said():
    model = tutorials.Retrieval(top_k=False)
    model.compute_loss(tutorials.batch())
    with pytest.raises(InvalidArgumentError, match="with 2, 2 of them built. Pass the embedding"):
        aug.layers.mean_oov(model)
    with pytest.raises(InvalidArgumentError, match="must be an Embedding that has been called"):
        aug.layers.mean_oov(tf_keras.layers.Embedding(4, 2), lookup())
    with pytest.raises(InvalidArgumentError, match="num_oov_indices=0"):
        aug.layers.mean_oov(table(4), lookup(num_oov_indices=0))
    with pytest.raises(DataError, match="3 rows for a vocabulary of 4"):
        aug.layers.mean_oov(table(3), lookup())
    with pytest.raises(DataError, match="`trained` must hold ids of the lookup's vocabulary"):
        aug.layers.mean_oov(table(4), lookup(), trained=["x"])


def test_brute_force_beyond_the_corpus_returns_all_of_it(tmp_path):
    queries, candidates = tf.eye(2, 3), tf.random.stateless_normal([5, 3], [1, 2])
    names = tf.constant([f"n{i}" for i in range(5)])
    plain = tfrs.layers.factorized_top_k.BruteForce(k=9).index(candidates, names)
    # Where TFRS clamps by itself, the layer has done its service.
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least k columns"):
        plain(queries)
    index = aug.layers.BruteForce(k=9).index(candidates, names)
    scores, ids = index(queries)
    order = np.argsort(-(queries @ tf.transpose(candidates)).numpy(), axis=1)
    np.testing.assert_array_equal(ids, names.numpy()[order])
    assert scores.shape == [2, 5]
    for one, other in zip(index(queries, k=2), plain(queries, k=2)):
        np.testing.assert_array_equal(one, other)
    left = index.query_with_exclusions(queries, names[tf.newaxis, :3] + tf.constant([[""], [""]]))
    assert left[1].shape[1] == 5 and {*left[1].numpy()[0, :2]} == {b"n3", b"n4"}
    tf.saved_model.save(index, str(tmp_path / "index"))
    loaded = tf.saved_model.load(str(tmp_path / "index"))
    np.testing.assert_array_equal(loaded(queries)[1], ids)
