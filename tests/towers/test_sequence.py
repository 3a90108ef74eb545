"""The two-tower over histories: what acts on what, what it may know, and its encoders."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tfrs_augment.datasets.interactions import Interactions, Ragged, columns_to_tensors
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.towers import SequentialTwoTower, mean_oov
from tfrs_augment.towers.encoders import ENCODERS, make_encoder

NAMES = [b"a", b"b", b"c", b"d", b"e"]
ATTRIBUTES = [[b"x"], [b"x", b"y"], [b"z"], [], [b"only e"]]


@pytest.fixture
def train() -> Interactions:
    """Four rows; item d has no row, item e is in a history alone."""
    histories = [[0], [0, 1], [4, 0, 1], [2, 1]]
    data = Interactions.from_tables(
        {
            "user_id": np.array([b"u", b"u", b"v", b"w"]),
            "item_id": np.array([b"b", b"c", b"c", b"a"]),
            "timestamp": np.array([1, 2, 3, 2]),
        },
        items={
            "item_id": np.array(NAMES),
            "attributes": Ragged.from_lists(ATTRIBUTES, dtype="S"),
        },
        users={"user_id": np.array([b"u", b"v", b"w"])},
    )
    columns = {
        "history": Ragged.from_lists([[NAMES[i] for i in row] for row in histories], dtype="S"),
        "history_index": Ragged.from_lists(histories, dtype=np.int64),
    }
    return dataclasses.replace(data, rows={**data.rows, **columns})


@pytest.fixture
def model(train) -> SequentialTwoTower:
    tf_keras.utils.set_random_seed(1)
    return SequentialTwoTower(train, embedding_dim=8, hidden=6)


def items(**changes) -> dict:
    table = {"item_id": tf.constant(NAMES), "attributes": tf.ragged.constant(ATTRIBUTES)}
    return table | changes


def test_both_towers_give_unit_vectors(model, train):
    queries, candidates = model.query_model(train.to_tensors()), model.candidate_model(items())
    assert queries.shape == (4, 8) and candidates.shape == (5, 8)
    for embeddings in (queries, candidates):
        np.testing.assert_allclose(tf.norm(embeddings, axis=1), 1.0, rtol=1e-5)


def test_vocabularies_come_from_training_rows_and_their_histories_alone(model):
    assert model.candidate_model.id_lookup.get_vocabulary() == ["[UNK]", "a", "b", "c", "e"]
    assert model.query_model.id_lookup is model.candidate_model.id_lookup
    known = model.query_model._items.attribute_lookup.get_vocabulary()
    assert known == ["[UNK]", "only e", "x", "y", "z"]


def test_a_dropped_id_keeps_the_attributes_and_a_masked_attribute_the_id(model):
    unknown = tf.constant([b"[UNK]"] * 5)
    by_attributes = model.candidate_model(items(item_id=unknown)).numpy()
    assert not np.allclose(by_attributes[0], by_attributes[2])
    np.testing.assert_allclose(by_attributes[3], model.candidate_model(items())[3], rtol=1e-5)
    masked = items()["attributes"].with_flat_values(tf.constant([b"[UNK]"] * 5))
    by_ids = model.candidate_model(items(attributes=masked)).numpy()
    none = tf.RaggedTensor.from_row_lengths(tf.constant([], tf.string), [0] * 5)
    np.testing.assert_allclose(by_ids, model.candidate_model(items(attributes=none)), rtol=1e-5)
    assert not np.allclose(by_ids[0], by_ids[1])


def test_dropped_ids_of_a_history_keep_their_attributes(model, train):
    rows = train.to_tensors()
    unknown = tf.fill(tf.shape(rows["history"].flat_values), b"[UNK]")
    dropped = dict(rows, history=rows["history"].with_flat_values(unknown))
    with_places = model.query_model(dropped)
    without = model.query_model({"history": dropped["history"]})
    assert not np.allclose(with_places, without, atol=1e-4)
    # For serving the ids are enough.
    np.testing.assert_allclose(
        model.query_model({"history": rows["history"]}), model.query_model(rows), rtol=1e-5
    )


@pytest.mark.parametrize("encoder", [*ENCODERS, "mean"])
def test_a_history_does_not_depend_on_the_batch_and_its_order_counts(train, encoder):
    tf_keras.utils.set_random_seed(1)
    model = SequentialTwoTower(train, embedding_dim=8, encoder=encoder)
    histories = [[], [b"a"], [b"a", b"b", b"c"], [b"c", b"b", b"a"], [b"no such item", b"b"]]
    together = model.query_model({"history": tf.ragged.constant(histories, dtype=tf.string)})
    assert np.isfinite(together).all()
    for row, history in enumerate(histories):
        alone = model.query_model(
            {
                "history": tf.RaggedTensor.from_row_lengths(
                    tf.constant(history, tf.string), [len(history)]
                )
            }
        )
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)
    assert not np.allclose(together[2], together[3], atol=1e-3)


def test_places_beyond_the_longest_history_share_an_embedding(train):
    tf_keras.utils.set_random_seed(1)
    model = SequentialTwoTower(train, encoder="mean", max_history=1)
    one, two = model.query_model(
        {"history": tf.ragged.constant([[b"a", b"b", b"c"], [b"c", b"b", b"a"]])}
    )
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_an_item_without_an_id_is_its_attributes(train):
    model = SequentialTwoTower(train, item_ids=False)
    changed = model.candidate_model(items(item_id=tf.constant(NAMES[::-1])))
    np.testing.assert_array_equal(changed, model.candidate_model(items()))
    assert float(model.compute_loss(train.to_tensors())) > 0


def test_mean_oov_sets_the_row_that_both_towers_share(model, train):
    model.compute_loss(train.to_tensors())
    before = model.candidate_model.id_embedding.embeddings.numpy()
    mean_oov(model)
    after = model.query_model.id_embedding.embeddings.numpy()
    np.testing.assert_allclose(after[0], before[1:].mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(after[1:], before[1:])


def test_it_trains_under_a_policy_and_a_contrastive_loss(model, train):
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("item_id", rate=0.3), aug.ops.HistoryIdDropout("history", rate=0.3)],
        key_features=("user_id", "item_id"),
    )
    views = aug.ops.ComplementaryFeatureMask(("item_id", "attributes"))
    task = aug.tasks.Contrastive(
        lambda model, features: model.candidate_model(features, training=True),
        views=aug.AugmentationPolicy([views]),
        items=columns_to_tensors(train.items),
    )
    aug.wrap(model, policy, tasks=[task], original_ids="item_id")
    model.compile(tf_keras.optimizers.legacy.Adam(0.01))
    losses = model.fit(train.dataset(4), epochs=40, verbose=0).history["loss"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_a_tower_can_be_exported_and_served(model, train, tmp_path):
    rows = {"history": train.to_tensors()["history"]}
    expected = model.query_model(rows)
    serve = tf.function(
        lambda history: model.query_model({"history": history}),
        input_signature=[tf.RaggedTensorSpec([None, None], tf.string)],
    )
    tf.saved_model.save(model.query_model, str(tmp_path), signatures={"serve": serve})
    served = tf.saved_model.load(str(tmp_path))
    signature = served.signatures["serve"]
    found = signature(history=rows["history"].flat_values, history_1=rows["history"].row_splits)
    np.testing.assert_allclose(next(iter(found.values())), expected, rtol=1e-5)


def test_arguments_are_checked(train):
    with pytest.raises(InvalidArgumentError, match="`encoder` must be one of"):
        SequentialTwoTower(train, encoder="lstm")
    with pytest.raises(
        DataError, match="ragged column 'historie' of bytes. Did you mean 'history'"
    ):
        SequentialTwoTower(train, history="historie")
    with pytest.raises(DataError, match="`train.items` must have a ragged column 'item_id'"):
        SequentialTwoTower(train, attributes="item_id")
    with pytest.raises(InvalidArgumentError, match="`heads` must divide `dim`"):
        make_encoder("transformer", 7, 0.0)
