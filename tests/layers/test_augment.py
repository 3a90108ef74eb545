"""The layer: what it does in training and outside, its draw number, saving, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tfrs_augment as aug
from tests.layers.tutorials import BATCH, KEYS, MOVIES, USERS, batch, dataset, policy
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError


def full_policy(**arguments) -> aug.AugmentationPolicy:
    """Ops of every kind, one of them fitted."""
    return aug.fitting.fit(
        aug.AugmentationPolicy(
            [
                aug.ops.IdDropout("movie_title", rate=0.4),
                aug.ops.CategorySwap("user_id", rate=0.3),
                aug.ops.FeatureMask(("user_rating", "tags"), rate=0.3),
                aug.ops.GaussianNoise("age", stddev=3.0),
            ],
            seed=5,
            key_features=KEYS,
            **arguments,
        ),
        rows(),
    )


def rows() -> dict[str, tf.Tensor | tf.RaggedTensor]:
    tags = tf.RaggedTensor.from_row_lengths(
        tf.constant([f"t{i}" for i in range(31)]), [i % 3 + 1 for i in range(BATCH)]
    )
    return {**batch(), "tags": tags}


def same(left, right) -> bool:
    if isinstance(left, tf.RaggedTensor):
        return left.to_list() == right.to_list()
    return bool(tf.reduce_all(left == right))


def test_passes_the_same_objects_on_unless_training():
    layer, features = aug.layers.Augment(full_policy()), rows()
    for arguments in ({}, {"training": False}, {"training": None}):
        result = layer(features, **arguments)
        assert all(result[name] is features[name] for name in features)
        assert result is not features


def test_training_changes_the_policys_columns_alone():
    layer, features = aug.layers.Augment(full_policy()), rows()
    before = dict(features)
    result = layer(features, training=True)
    assert all(features[name] is before[name] for name in before)
    touched = set(layer.policy.features)
    for name in features:
        assert (result[name] is features[name]) == (name not in touched), name
        assert result[name].dtype == features[name].dtype
        if name in touched:
            assert not same(result[name], features[name]), name


def test_equals_the_policy_at_the_same_draw_number():
    """The layer, eager or in a graph, tf.data, and the policy by itself give one result."""
    one, features = full_policy(), rows()
    layer = aug.layers.Augment(one)
    traced = aug.layers.Augment(one)
    step = tf.function(lambda columns: traced(columns, training=True))
    mapped = iter(
        tf.data.Dataset.from_tensors(features)
        .repeat(3)
        .enumerate()
        .map(lambda draw, columns: one.augment(columns, draw=draw))
    )
    seen = []
    for draw in range(3):
        expected = one.augment(features, draw=draw)
        fixed = aug.layers.Augment(one, draw=draw)
        for found in (
            layer(features, training=True),
            step(features),
            next(mapped),
            fixed(features, training=True),
            fixed(features, training=True),
        ):
            assert all(same(found[name], expected[name]) for name in expected)
        seen.append(expected)
    assert not same(seen[0]["age"], seen[1]["age"])


def test_a_column_of_numpy_values_will_do():
    features = {name: column.numpy() for name, column in batch().items()}
    result = aug.layers.Augment(policy())(features, training=True)
    assert same(result["movie_title"], policy().augment(batch(), draw=0)["movie_title"])


def test_counts_training_calls_alone():
    layer = aug.layers.Augment(policy())
    (count,) = layer.weights
    assert not layer.trainable_weights
    layer(batch())
    assert int(count) == 0
    layer(batch(), training=True)
    layer(batch(), training=True)
    assert int(count) == 2
    assert aug.layers.Augment(policy(), draw=3).weights == []


def test_draw_zero_counts_as_a_draw():
    layer = aug.layers.Augment(policy(), draw=0)
    assert layer.get_config()["draw"] == 0
    first, second = (layer(batch(), training=True)["movie_title"] for _ in range(2))
    assert same(first, second)


def test_a_checkpoint_keeps_the_draw_number(tmp_path):
    layer = aug.layers.Augment(policy())
    for _ in range(3):
        layer(batch(), training=True)
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    restored = aug.layers.Augment(policy())
    tf.train.Checkpoint(layer=restored).restore(path).assert_consumed()
    found = restored(batch(), training=True)["movie_title"]
    assert same(found, policy().augment(batch(), draw=3)["movie_title"])


def test_position_keys_need_no_key_feature():
    one = policy(key_features=())
    layer, features = (
        aug.layers.Augment(one, key="position"),
        {"movie_title": batch()["movie_title"]},
    )
    expected = one.augment(features, draw=0, keys=np.arange(BATCH, dtype=np.uint64))
    assert same(layer(features, training=True)["movie_title"], expected["movie_title"])


def test_position_keys_count_the_rows_of_a_ragged_column():
    one = aug.AugmentationPolicy([aug.ops.FeatureMask("tags", rate=0.5)])
    layer, features = aug.layers.Augment(one, key="position"), {"tags": rows()["tags"]}
    expected = one.augment(features, draw=0, keys=np.arange(BATCH, dtype=np.uint64))
    assert same(layer(features, training=True)["tags"], expected["tags"])


def test_equal_keys_get_equal_draws():
    one = policy(key_features=("user_id",))
    features = {
        "user_id": tf.constant(["u1"] * 8 + ["u2"] * 8),
        "movie_title": tf.constant(MOVIES[:16]),
    }
    for draw in range(8):
        dropped = (
            aug.layers.Augment(one, draw=draw)(features, training=True)["movie_title"] == "[UNK]"
        ).numpy()
        assert len(set(dropped[:8])) == len(set(dropped[8:])) == 1


def test_nested_dicts_are_opened():
    flat = batch()
    nested = {
        "dense": flat["age"],
        "sparse": {name: flat[name] for name in ("user_id", "movie_title")},
        "row": flat["row"],
    }
    result = aug.layers.Augment(policy(), draw=1)(nested, training=True)
    expected = policy().augment(flat, draw=1)["movie_title"]
    assert same(result["sparse"]["movie_title"], expected)
    assert result["sparse"]["user_id"] is flat["user_id"]
    assert nested["sparse"]["movie_title"] is flat["movie_title"]


def test_two_columns_of_one_name_are_refused():
    nested = {"a": {"movie_title": batch()["movie_title"]}, "b": batch()}
    with pytest.raises(DataError, match="Feature 'movie_title' must be one column"):
        aug.layers.Augment(policy())(nested, training=True)


@pytest.mark.parametrize("traced", [False, True])
def test_a_missing_key_feature_is_named_at_the_first_call(traced):
    layer = aug.layers.Augment(policy(key_features=("user_id", "movie_titel")))
    call = tf.function(layer) if traced else layer
    with pytest.raises(UnknownFeatureError, match="Key feature 'movie_titel' is missing") as error:
        call(batch(), training=True)
    assert "Did you mean 'movie_title'" in str(error.value)
    assert "position" in str(error.value)


def test_a_missing_column_is_named():
    features = {name: column for name, column in batch().items() if name != "movie_title"}
    layer = aug.layers.Augment(policy(key_features=("user_id",)))
    with pytest.raises(UnknownFeatureError, match="no feature 'movie_title'"):
        layer(features, training=True)
    layer = aug.layers.Augment(policy(), key="position")
    with pytest.raises(UnknownFeatureError, match="no feature 'movie_title'"):
        layer(features, training=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "policy.json"}, "`policy` of Augment must be an AugmentationPolicy"),
        ({"policy": policy(), "key": "row"}, "`key` of Augment must be None.*key='row'"),
        ({"policy": policy(key_features=())}, "key_features.*key='position'"),
        ({"policy": policy(), "draw": -1}, r"`draw` of Augment must be None.*draw=-1"),
        ({"policy": policy(), "draw": 1.5}, r"`draw` of Augment must be None.*draw=1.5"),
        ({"policy": policy(), "draw": True}, r"`draw` of Augment must be None.*draw=True"),
        (
            {"policy": full_policy().with_fitted(None)},
            "needs a fitted policy. Not fitted: marginal of 'user_id'.*aug.fitting.fit",
        ),
        (
            {
                "policy": aug.AugmentationPolicy(
                    [aug.ops.EmbeddingNoise("age", scale=0.1)], key_features="row"
                )
            },
            "EmbeddingNoise 'age'.*stage 'embedding'",
        ),
    ],
)
def test_refuses_at_construction(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        aug.layers.Augment(**arguments)


def test_refuses_what_is_no_dict():
    with pytest.raises(InvalidArgumentError, match="takes a dict of features"):
        aug.layers.Augment(policy())(tf.constant([1.0]), training=True)


def test_refuses_a_training_flag_that_only_the_graph_knows():
    layer = aug.layers.Augment(policy())
    assert "movie_title" in layer(batch(), training=tf.constant(True))

    @tf.function
    def step(training):
        return layer(batch(), training=training)["movie_title"]

    with pytest.raises(InvalidArgumentError, match="`training` of Augment must be a Python bool"):
        step(tf.constant(True))


def test_config_round_trip():
    layer = aug.layers.Augment(full_policy(), draw=2, key="position", name="ours")
    config = tf_keras.layers.serialize(layer)
    restored = tf_keras.layers.deserialize(config)
    assert isinstance(restored, aug.layers.Augment)
    assert restored.name == "ours"
    assert restored.policy == layer.policy
    assert restored.policy.fingerprint == layer.policy.fingerprint
    assert restored.get_config() == layer.get_config()
    left, right = (one(rows(), training=True) for one in (layer, restored))
    assert all(same(left[name], right[name]) for name in left)


def functional_model(one: aug.AugmentationPolicy) -> tf_keras.Model:
    inputs = {
        "user_id": tf_keras.Input((), dtype=tf.string, name="user_id"),
        "movie_title": tf_keras.Input((), dtype=tf.string, name="movie_title"),
        "age": tf_keras.Input((), name="age"),
        "user_rating": tf_keras.Input((), name="user_rating"),
        "row": tf_keras.Input((), dtype=tf.int64, name="row"),
        "tags": tf_keras.Input((None,), dtype=tf.string, ragged=True, name="tags"),
    }
    features = aug.layers.Augment(one, name="augment")(inputs)
    embedded = []
    for name, vocabulary in (("user_id", USERS), ("movie_title", MOVIES), ("tags", ["t1", "t2"])):
        ids = tf_keras.layers.StringLookup(vocabulary=vocabulary)(features[name])
        values = tf_keras.layers.Embedding(len(vocabulary) + 1, 4)(ids)
        if name == "tags":
            values = tf_keras.layers.GlobalAveragePooling1D()(values)
        embedded.append(values)
    numbers = tf_keras.layers.Reshape((1,))(features["age"])
    merged = tf_keras.layers.Concatenate()([*embedded, numbers])
    return tf_keras.Model(inputs, tf_keras.layers.Dense(1)(merged))


@pytest.fixture(scope="module")
def trained():
    """A functional model, 3 training steps old, and what it gives in inference."""
    model = functional_model(full_policy())
    model.compile("adam", "mse")
    data = tf.data.Dataset.from_tensors((rows(), tf.ones([BATCH, 1]))).repeat(3)
    model.fit(data, verbose=0)
    return model, model(rows())


@pytest.mark.parametrize("form", ["keras", "tf"])
def test_a_functional_model_round_trips(trained, form, tmp_path):
    model, expected = trained
    path = tmp_path / ("model.keras" if form == "keras" else "model")
    model.save(path, save_format=form)
    restored = tf_keras.models.load_model(path)
    layer = restored.get_layer("augment")
    assert isinstance(layer, aug.layers.Augment)
    assert layer.policy.fingerprint == full_policy().fingerprint
    np.testing.assert_array_equal(restored(rows()), expected)
    (count,) = layer.weights
    assert int(count) == 3
    found = layer(rows(), training=True)
    augmented = full_policy().augment(rows(), draw=3)
    assert all(same(found[name], augmented[name]) for name in augmented)
    if form == "tf":
        # Without Keras too, it augments in training alone.
        served = tf.saved_model.load(str(path))
        np.testing.assert_array_equal(served(rows(), training=False), expected)
        assert not np.array_equal(served(rows(), training=True), expected)


def test_mixed_precision_leaves_the_columns_types():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = aug.layers.Augment(full_policy())
        found = layer(rows(), training=True)
        assert found["age"].dtype == tf.float32
        assert same(found["age"], full_policy().augment(rows(), draw=0)["age"])
        model = functional_model(full_policy())
        model.compile("adam", "mse")
        data = tf.data.Dataset.from_tensors((rows(), tf.ones([BATCH, 1]))).repeat(2)
        assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def test_trains_inside_compute_loss():
    """The layer as an attribute of a model, over the rows of a dataset."""
    layer = aug.layers.Augment(policy())
    for features in dataset():
        layer(features, training=True)
    assert int(layer.weights[0]) == len(dataset())
