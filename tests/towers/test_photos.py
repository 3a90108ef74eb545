"""Items that have photos or embeddings beside ids, attributes and titles."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tfrs_augment.datasets.interactions import Interactions, columns_to_tensors
from tfrs_augment.errors import DataError
from tfrs_augment.towers import CNN, FeatureTower, TwoTower, mean_oov

SMALL = functools.partial(CNN, 8, filters=(4, 4), hidden=8, dropout=0.0)
ITEMS = 8


def catalogue() -> Interactions:
    """Each user takes to one item; photos are of one shade an item, with grain."""
    rng = np.random.default_rng(3)
    shade = np.linspace(30, 220, ITEMS)[:, None, None, None]
    photo = np.clip(shade + rng.normal(0, 8, [ITEMS, 16, 12, 3]), 0, 255).astype(np.uint8)
    ids = np.array([f"i{i}".encode() for i in range(ITEMS)])
    users = np.array([f"u{i}".encode() for i in range(ITEMS)])
    events = {
        "user_id": np.repeat(users, 4),
        "item_id": np.repeat(ids, 4),
        "timestamp": np.arange(4 * ITEMS),
    }
    items = {
        "item_id": ids,
        "photo": photo,
        "vector": rng.normal(size=[ITEMS, 5]).astype(np.float32),
        "kind": np.array([b"shoe", b"hat"])[np.arange(ITEMS) % 2],
        "title": np.array([f"a fine {word} thing".encode() for word in "abcdefgh"]),
    }
    return Interactions.from_tables(events, items, {"user_id": users})


def two_tower(data: Interactions, **options) -> TwoTower:
    tf_keras.utils.set_random_seed(1)
    options = {"min_count": 1, "text_features": ("title",), "image_encoder": SMALL} | options
    return TwoTower(data, embedding_dim=8, hidden=16, **options)


def test_every_kind_of_column_is_read_by_its_shape():
    data = catalogue()
    model = two_tower(data)
    items = columns_to_tensors(data.items)
    embedded = model.candidate_model(items)
    assert set(model.candidate_model.feature_names) == set(data.items)
    np.testing.assert_allclose(tf.norm(embedded, axis=1), 1.0, rtol=1e-5)
    for name in data.items:
        turned = dict(items, **{name: tf.reverse(items[name], [0])})
        assert np.abs(model.candidate_model(turned) - embedded).max() > 1e-4, name


def test_one_policy_changes_each_feature_in_its_own_way_and_in_training_alone(monkeypatch):
    data = catalogue()
    model = two_tower(data)
    policy = aug.AugmentationPolicy(
        [
            # Not compiled: that would take longer than the rest.
            aug.ops.RandomAffine(
                "photo", rotation=20, zoom=0.2, horizontal_flip=True, compiled=False
            ),
            aug.ops.IdDropout("item_id", rate=0.5),
            aug.ops.FeatureMask("kind", rate=0.5),
            aug.ops.TokenDropout("title", rate=0.5),
        ],
        seed=7,
        key_features=("user_id", "timestamp"),
    )
    plain, met = model.candidate_model.call, []

    def spied(features, training=None):
        met.append(features)
        return plain(features, training=training)

    monkeypatch.setattr(model.candidate_model, "call", spied)
    aug.wrap(model, policy)
    features = data.to_tensors()
    trained = model.compute_loss(features, training=True)
    assert np.isfinite(trained)
    changed, expected = met.pop(), policy.augment(features, draw=0)
    for name in ("photo", "item_id", "kind", "title", "vector"):
        np.testing.assert_array_equal(changed[name], expected[name])
        same = np.array_equal(changed[name], features[name])
        assert same == (name == "vector"), name
    model.compute_loss(features, training=False)
    for name, column in met.pop().items():
        np.testing.assert_array_equal(column, features[name])
    model.compile(tf_keras.optimizers.legacy.Adam(0.01))
    history = model.fit(data.dataset(16, shuffle_seed=0), epochs=20, verbose=0).history["loss"]
    assert np.mean(history[-4:]) < 0.8 * np.mean(history[:2])


def test_a_new_item_is_placed_by_its_photo_alone():
    """Without ids an item with a photo like another's lies beside it, whatever its id."""
    data = catalogue()
    model = two_tower(data, item_ids=False, candidate_features=("photo",))
    assert model.candidate_model.feature_names == ("photo",)
    assert model.candidate_model.id_embedding is None and model.candidate_model.id_lookup is None
    model.compile(tf_keras.optimizers.legacy.Adam(0.01))
    model.fit(data.dataset(16, shuffle_seed=0), epochs=60, verbose=0)
    mean_oov(model)  # Leaves a tower without ids as it is.
    photo = np.clip(data.items["photo"].astype(int) + 3, 0, 255).astype(np.uint8)
    new = {"photo": tf.constant(photo)}
    scores = model.query_model(columns_to_tensors(data.users)) @ tf.transpose(
        model.candidate_model(new)
    )
    assert (np.argmax(scores, axis=1) == np.arange(ITEMS)).mean() >= 0.75


def tower_of(column: np.ndarray, **options) -> FeatureTower:
    tf_keras.utils.set_random_seed(2)
    return FeatureTower(
        {"vector": column},
        id_column=None,
        embedding_dim=4,
        hidden=8,
        dropout=0.0,
        min_count=1,
        name="tower",
        **options,
    )


def test_embeddings_are_standardized_by_each_of_their_numbers():
    column = np.float32([[1, 7, 0], [3, 7, 100], [np.nan, 7, 200], [np.inf, 7, 300]])
    tower = tower_of(column)
    assert tower.feature_names == ("vector",)

    def embed(*numbers):
        return tower({"vector": tf.constant([numbers], tf.float32)}).numpy()

    # Training rows: 1 and 3, mean 2 and deviation 1; 7 alone; mean 150.
    np.testing.assert_array_equal(embed(5, 7, 150), embed(np.inf, 7, 150))
    np.testing.assert_array_equal(embed(2, 7, 150), embed(np.nan, 7, np.nan))
    assert np.abs(embed(2, 7, 150) - embed(3, 7, 150)).max() > 1e-3
    # A unit of all three numbers moves what a deviation of each does, not what its size does.
    (encoder,) = (layer for layer in tower.layers if layer.name == "encode_vector")
    shifted = encoder(tf.constant([[3.0, 7.0, 150.0 + 50 * np.sqrt(5)]]))
    weights, bias = encoder.get_weights()
    expected = np.maximum(weights[0] + weights[2] + bias, 0)
    np.testing.assert_allclose(shifted[0], expected, rtol=1e-4, atol=1e-6)


def test_other_shapes_are_refused():
    with pytest.raises(
        DataError, match=r"embeddings \[n, dim\] and photos.*'vector' of shape \(2, 3, 4\)"
    ):
        tower_of(np.zeros([2, 3, 4], np.float32))  # fmt: skip


def test_a_tower_of_photos_can_be_exported_and_served(tmp_path):
    data = catalogue()
    model = two_tower(data)
    items = columns_to_tensors(data.items)
    expected = model.candidate_model(items)
    tf.saved_model.save(model.candidate_model, str(tmp_path))
    served = tf.saved_model.load(str(tmp_path))(items)
    np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-6)


def test_dropout_of_the_cnn_acts_in_training_alone():
    encoder = functools.partial(CNN, 8, filters=(4,), hidden=8, dropout=0.5)
    data = catalogue()
    model = two_tower(data, image_encoder=encoder, dropout=0.0, candidate_features=("photo",))
    items = columns_to_tensors(data.items)
    first, second = (model.candidate_model(items, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(model.candidate_model(items), model.candidate_model(items))
