"""The reference two-tower: what it may know, and what its loss corrects."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.datasets.interactions import Interactions, columns_to_tensors
from tfrs_augment.errors import DataError, UnknownFeatureError
from tfrs_augment.layers import wrap
from tfrs_augment.ops import IdDropout
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.towers import CorrectedRetrieval, TwoTower, mean_oov


def test_vocabularies_come_from_training_rows_alone(rows):
    model = TwoTower(rows, min_count=2)
    assert model.candidate_model.id_lookup.get_vocabulary() == ["[UNK]", "a", "b", "c"]
    assert model.query_model.id_lookup.get_vocabulary() == ["[UNK]", "t", "u", "v"]
    # Neither the kind, the price nor the tags of item d, which has no row, leave a trace.
    changed = dict(rows.items, price=np.array([1.0, np.nan, 3.0, -5.0], np.float32))
    changed["kind"] = np.array([b"x", b"x", b"x", b"another"])
    other = TwoTower(type(rows)(rows.rows, changed, rows.users), min_count=2)
    for one, two in zip(_built(model, rows), _built(other, rows)):
        assert one.shape == two.shape
    batch = {name: column[:3] for name, column in columns_to_tensors(rows.items).items()}
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.candidate_model(batch), other.candidate_model(batch))


def test_columns_that_name_the_item_are_left_out_unless_asked_for(rows):
    assert set(TwoTower(rows, min_count=2).candidate_model.feature_names) == {
        "item_id",
        "kind",
        "price",
        "tags",
    }
    only = TwoTower(rows, min_count=2, candidate_features=("price",))
    assert only.candidate_model.feature_names == ("item_id", "price")
    with pytest.raises(UnknownFeatureError, match="Did you mean 'price'"):
        TwoTower(rows, min_count=2, candidate_features=("prise",))


def test_embeddings_are_unit_vectors_whatever_is_missing(rows):
    model = TwoTower(rows, min_count=2, embedding_dim=8)
    items = model.candidate_model(columns_to_tensors(rows.items))
    users = model.query_model(columns_to_tensors(rows.users))
    assert items.shape == (4, 8)
    np.testing.assert_allclose(tf.norm(items, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(tf.norm(users, axis=1), 1.0, rtol=1e-5)


def test_a_number_beyond_all_bounds_counts_as_three_deviations(rows):
    model = TwoTower(rows, min_count=2)
    items = columns_to_tensors(rows.items)
    # Training prices are 1 and 3: mean 2, deviation 1.
    by_price = [
        model.candidate_model(dict(items, price=tf.constant([price] * 4, tf.float32)))
        for price in (5.0, 1e9, np.inf, 2.0, np.nan)
    ]
    np.testing.assert_array_equal(by_price[0], by_price[1])
    np.testing.assert_array_equal(by_price[0], by_price[2])
    np.testing.assert_array_equal(by_price[3], by_price[4])
    assert np.abs(by_price[0] - by_price[3]).max() > 1e-3


def test_tags_that_occur_once_count_as_unknown(rows):
    model = TwoTower(rows, min_count=2)
    items = columns_to_tensors(rows.items)
    without = dict(items, tags=tf.ragged.constant([[b"p"], [b"p"], [], []]))
    np.testing.assert_allclose(
        model.candidate_model(items), model.candidate_model(without), rtol=1e-6
    )


def test_the_loss_is_tfrs_s_with_logq_and_without_accidental_hits(rows):
    model = TwoTower(rows, min_count=2, temperature=0.5)
    features = rows.to_tensors()
    scores = tf.matmul(
        model.query_model(features), model.candidate_model(features), transpose_b=True
    ).numpy()
    share = {b"a": 3 / 6, b"b": 2 / 6, b"c": 1 / 6}
    ids = rows.rows["item_id"]
    logits = scores / 0.5 - np.log([share[i] for i in ids])
    same = (ids[:, None] == ids[None, :]) & ~np.eye(6, dtype=bool)
    logits[same] = -np.inf
    expected = -(np.diag(logits) - np.log(np.exp(logits).sum(axis=1))).sum()
    assert float(model.compute_loss(features)) == pytest.approx(expected, rel=1e-4)


def test_the_correction_goes_by_the_ids_that_the_task_is_given(rows):
    task = CorrectedRetrieval(
        rows.items["item_id"], np.array([0.5, 0.3, 0.2, 0.0]), temperature=1.0
    )
    plain = tfrs.tasks.Retrieval(temperature=1.0, remove_accidental_hits=True)
    queries, candidates = (
        tf.eye(3),
        tf.constant(np.random.default_rng(0).normal(size=(3, 3)), tf.float32),
    )
    ids = tf.constant([b"b", b"d", b"no such item"])
    expected = plain(
        queries,
        candidates,
        candidate_ids=ids,
        candidate_sampling_probability=tf.constant([0.3, 0.0, 0.0]),
    )
    assert float(task(queries, candidates, candidate_ids=ids)) == pytest.approx(float(expected))


def test_training_lowers_the_loss_and_dropout_acts_in_training_alone(rows):
    # Keras draws the initial weights from a seed of its own, which TensorFlow's does not set.
    tf_keras.utils.set_random_seed(0)
    model = TwoTower(rows, min_count=2, dropout=0.5)
    features = rows.to_tensors()
    assert float(model.compute_loss(features)) == float(model.compute_loss(features))
    assert float(model.compute_loss(features, training=True)) != float(
        model.compute_loss(features, training=True)
    )
    model.compile(tf_keras.optimizers.Adam(0.01))
    before = float(model.compute_loss(features))
    model.fit(rows.dataset(6), epochs=100, verbose=0)
    assert float(model.compute_loss(features)) < 0.7 * before


def test_mean_oov_moves_the_unknown_row_alone(rows):
    model = TwoTower(rows, min_count=2)
    _built(model, rows)
    before = model.candidate_model.id_embedding.embeddings.numpy()
    mean_oov(model)
    after = model.candidate_model.id_embedding.embeddings.numpy()
    np.testing.assert_array_equal(after[1:], before[1:])
    np.testing.assert_allclose(after[0], before[1:].mean(axis=0), rtol=1e-5)


def test_a_tower_can_be_exported_and_served(rows, tmp_path):
    model = TwoTower(rows, min_count=2)
    items = columns_to_tensors(rows.items)
    expected = model.candidate_model(items)
    tf.saved_model.save(model.candidate_model, str(tmp_path))
    served = tf.saved_model.load(str(tmp_path))(items)
    np.testing.assert_allclose(served, expected, rtol=1e-6)


def _renamed(rows: Interactions, names: dict[str, dict[str, bytes]]) -> Interactions:
    """Interactions whose values of some columns have other names."""

    def renamed(table):
        return table | {
            name: np.array([to[v.decode()] for v in table[name]])
            for name, to in names.items()
            if name in table
        }

    return Interactions.from_tables(
        {name: renamed(rows.rows)[name] for name in ("user_id", "item_id", "timestamp")},
        items=renamed(rows.items),
        users=renamed(rows.users),
    )


BEYOND_ASCII = {
    column: {name: new.encode() for name, new in names.items()}
    for column, names in {
        "user_id": {"t": "usér-1", "u": "usér-2-漢", "v": "漢", "w": "🎬"},
        "item_id": {"a": "a", "b": "ítem", "c": "漢", "d": "🎬"},
        "kind": {"x": "été", "only d": "δ"},
    }.items()
}
"""In the order of the names that they are given for."""


def test_ids_and_values_beyond_ascii_are_found(rows, tmp_path):
    losses = []
    policy = AugmentationPolicy([IdDropout("item_id", rate=1.0)], key_features=["user_id"])
    for named in (rows, _renamed(rows, BEYOND_ASCII)):
        tf_keras.utils.set_random_seed(0)
        model = wrap(TwoTower(named, min_count=2, dropout=0.0), policy)
        features, items = named.to_tensors(), columns_to_tensors(named.items)
        model.candidate_model(items)  # Served with what it is first called with.
        losses.append([float(model.compute_loss(features, training=t)) for t in (False, True)])
    assert losses[0] == losses[1], "they differ by name alone"
    assert losses[0][0] != losses[0][1], "all ids are dropped in training"
    tower = model.candidate_model
    assert tower.id_lookup.get_vocabulary() == ["[UNK]", "a", "ítem", "漢"]
    assert tower.id_lookup(items["item_id"]).numpy().tolist() == [1, 2, 3, 0]
    tf.saved_model.save(tower, str(tmp_path))
    served = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(served(items), tower(items), rtol=1e-6)
    unknown = items | {"item_id": tf.fill([4], "[UNK]")}
    assert np.isclose(served(items), served(unknown)).all(axis=1).tolist() == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("user_id", {"t": b"t", "u": b"\xff\xfe196", "v": b"v", "w": b"w"}),
        ("item_id", {"a": b"a", "b": b"\xff\xfe196", "c": b"c", "d": b"d"}),
        ("kind", {"x": b"\xff\xfe196", "only d": b"d"}),
    ],
)
def test_values_that_are_not_utf_8_are_refused_with_their_column(rows, column, names):
    with pytest.raises(DataError, match=rf"Column '{column}' .*UTF-8.* Received: b'.xff.xfe196'"):
        TwoTower(_renamed(rows, {column: names}), min_count=2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("price", tf.ragged.constant([[1.0]]), "'price' must hold one value a row.*a list of"),
        ("item_id", tf.ragged.constant([["a"]]), "'item_id' must hold one value a row"),
        ("tags", tf.constant(["p"]), "'tags' must hold a list of values.*Received: one value"),
    ],
)
def test_lists_are_not_taken_for_values_nor_values_for_lists(rows, name, value, message):
    model = TwoTower(rows, min_count=2)
    items = columns_to_tensors({n: c.take([0]) for n, c in rows.items.items()})
    with pytest.raises(DataError, match=message):
        model.candidate_model(items | {name: value})


def _built(model, rows):
    model.compute_loss(rows.to_tensors())
    return model.get_weights()
