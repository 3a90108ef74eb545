"""`policy.explain`: the same rows as `augment`, and who changed what."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.ops import FeatureMask, GaussianNoise, IdDropout, OneOf, Sequential, SomeOf

KEYS = ("user_id", "movie_id", "timestamp")


@pytest.fixture(scope="module")
def policy():
    ops = [
        IdDropout("movie_id", rate=0.3),
        SomeOf(
            (
                FeatureMask("genres", rate=0.8),
                OneOf((GaussianNoise("age", stddev=1.0), FeatureMask("age", rate=1.0))),
                Sequential((FeatureMask("gender", rate=1.0), GaussianNoise("age", stddev=0.1))),
            ),
            count_range=(0, 2),
        ),
        aug.ops.CategorySwap("gender", rate=0.5),
    ]
    fitted = {"gender": np.array(["F", "F", "M"])}
    return aug.fitting.fit(aug.AugmentationPolicy(ops, seed=3, key_features=KEYS), fitted)


def given(i: int) -> dict:
    """A row of the job's tests as plain values, one list for the ragged feature."""
    row = {name: values[0] for name, values in rows.row(i).items()}
    return {**row, "genres": rows.row(i).get("genres", []), "gender": row["gender"].decode()}


def test_the_row_comes_out_as_from_augment(policy):
    n, draws = 40, 2
    batch = {name: tf.constant([given(i)[name] for i in range(n)]) for name in (*KEYS, "gender")}
    batch["age"] = tf.constant([given(i)["age"] for i in range(n)], tf.float32)
    batch["genres"] = tf.ragged.constant([given(i)["genres"] for i in range(n)], dtype=tf.string)
    changed = 0
    for draw in range(draws):
        expected = policy.augment(batch, draw=draw)
        for i in range(n):
            said = policy.explain(given(i), draw)
            assert said.key == policy.row_keys(batch).numpy()[i]
            for name in policy.features:
                value = expected[name][i].numpy()
                value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
                value = value.decode() if name == "gender" else value
                assert said.after[name] == (pytest.approx(value) if name == "age" else value)
            changed += len(said.changes)
    assert changed > n


def test_what_each_op_says_adds_up(policy):
    def leaves(ops):
        for op in ops:
            yield from leaves(op.parts) if op.parts else [op]

    for i in range(40):
        said = policy.explain(given(i), draw=1)
        state = dict(said.before)
        for op in leaves(said.ops):
            assert op.chosen or not op.acted
            for name, (before, after) in op.changes.items():
                assert state[name] == before != after
                state[name] = after
        assert state == said.after


def test_text_names_ops_and_values():
    dropout = IdDropout("movie_id", rate=1.0)
    never = OneOf((FeatureMask("age", rate=1.0),), rate=0.0)
    policy = aug.AugmentationPolicy([dropout, never], key_features=["movie_id"])
    said = policy.explain({"movie_id": "12", "age": 24.0}, draw=4)
    key, *lines = str(said).splitlines()
    assert key == f"row with key {said.key:016x}, draw 4"
    assert lines == [
        "  id_dropout:movie_id: acted",
        "    movie_id: '12' -> '[UNK]'",
        "  one_of:age: changed nothing",
        "    feature_mask:age: not drawn",
    ]
    assert said.ops[0].drawn == {"drop": True} and said.ops[0].acted and said.ops[1].chosen
    assert said.changes == {"movie_id": ("12", "[UNK]")}


def test_values_keep_their_form():
    mask = FeatureMask(("ids", "words", "vector", "none", "number"), rate=1.0)
    policy = aug.AugmentationPolicy([mask], key_features=["key"])
    row = {
        "key": np.int32(5),
        "ids": [3, 2**40],
        "words": [b"raw"],
        "vector": np.ones(3, np.float64),
        "none": None,
        "number": np.float32(2),
        "unrelated": object(),
    }
    said = policy.explain(row)
    assert said.before == {
        "ids": [3, 2**40],
        "words": [b"raw"],
        "vector": [1.0, 1.0, 1.0],
        "none": None,
        "number": 2.0,
    }
    assert said.after == {
        "ids": [-1, -1],
        "words": [b"[UNK]"],
        "vector": [0.0, 0.0, 0.0],
        "none": None,
        "number": 0.0,
    }
    assert policy.explain({**row, "words": np.array([], "S1"), "ids": []}).after["ids"] == []


def test_rows_that_cannot_be_explained(policy):
    with pytest.raises(UnknownFeatureError, match="'movie_id'"):
        policy.explain({"movie": "1", "user_id": "u", "timestamp": 3})
    with pytest.raises(UnknownFeatureError, match="Key feature 'timestamp' is missing"):
        policy.explain({name: value for name, value in given(1).items() if name != "timestamp"})
    with pytest.raises(DataError, match="'user_id' must have one value a row. Received: None"):
        policy.explain({**given(1), "user_id": None})
    unfitted = aug.AugmentationPolicy([aug.ops.CategorySwap("gender", rate=1.0)], key_features=KEYS)
    with pytest.raises(InvalidArgumentError, match="not fitted"):
        unfitted.explain(given(1))
