"""`policy.apply`: tables of arrays and pandas DataFrames, the same rows as `augment`."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.ops import FeatureMask, GaussianNoise, IdDropout

POLICY = aug.AugmentationPolicy(
    [
        IdDropout("item", rate=0.5),
        IdDropout("history", rate=0.5),
        GaussianNoise("age", stddev=1.0),
        FeatureMask("word", rate=0.3),
    ],
    seed=2,
    key_features=("user", "item"),
)
N = 30


def ragged(lists) -> np.ndarray:
    column = np.empty(len(lists), object)
    column[:] = lists
    return column


def table() -> dict[str, np.ndarray]:
    return {
        "user": np.arange(N, dtype=np.int32),
        "item": np.array([f"í{i}" for i in range(N)]),
        "history": ragged([[f"h{j}" for j in range(i % 4)] for i in range(N)]),
        "age": np.linspace(10, 40, N),
        "word": np.array([b"w%d" % i for i in range(N)]),
        "other": np.arange(N),
    }


def test_a_dict_of_arrays():
    given = table()
    before = {name: column.copy() for name, column in given.items()}
    result = POLICY.apply(given, draw=3)
    columns = {name: tf.constant(given[name]) for name in ("user", "age", "word")}
    columns["item"] = tf.constant(given["item"].tolist())
    columns["history"] = tf.ragged.constant(given["history"].tolist(), dtype=tf.string)
    expected = POLICY.augment(columns, draw=3)
    assert result["item"].tolist() == [v.decode() for v in expected["item"].numpy()]
    assert result["word"].tolist() == expected["word"].numpy().tolist()
    assert np.array_equal(result["age"], expected["age"].numpy())
    lists = [[v.decode() for v in row] for row in expected["history"].to_list()]
    assert result["history"].tolist() == lists
    assert [result[n].dtype.kind for n in ("item", "word", "age")] == ["U", "S", "f"]
    assert result["age"].dtype == np.float64 and result["other"] is given["other"]
    assert list(result) == list(given)
    for name, column in given.items():
        assert np.array_equal(column, before[name])
    assert (result["item"] == "[UNK]").any() and (result["item"] == given["item"]).any()


def test_other_draws_and_no_rows():
    first, second = POLICY.apply(table(), draw=0), POLICY.apply(table(), draw=1)
    assert not np.array_equal(first["item"], second["item"])
    none = POLICY.apply({name: column[:0] for name, column in table().items()})
    assert all(len(column) == 0 for column in none.values())


def test_missing_values_stay_missing():
    given = table()
    given["word"] = ragged(["a", None, float("nan"), "b"] + ["c"] * (N - 4))
    policy = aug.AugmentationPolicy([FeatureMask("word", rate=1.0)], key_features=["user"])
    masked = policy.apply(given)["word"].tolist()
    assert masked[:2] == ["[UNK]", None] and np.isnan(masked[2]) and set(masked[3:]) == {"[UNK]"}


def test_a_data_frame():
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame(table(), index=range(100, 100 + N))
    given["item"] = given["item"].astype("category")
    given["word"] = pandas.array([None, *["w"] * (N - 1)], dtype="string")
    given["count"] = pandas.array([None, *range(N - 1)], dtype="Int64")
    copy = given.copy(deep=True)
    policy = aug.AugmentationPolicy(
        [*POLICY.ops, FeatureMask("count", rate=0.5)], seed=2, key_features=("user", "item")
    )
    result = policy.apply(given, draw=3)
    pandas.testing.assert_frame_equal(given, copy)
    assert list(result.columns) == list(given.columns) and result.index.equals(given.index)
    assert result["item"].tolist() == POLICY.apply(table(), draw=3)["item"].tolist()
    assert result["item"].dtype.name == "category"
    same = ["user", "history", "age", "word", "count", "other"]
    assert (result.dtypes[same] == given.dtypes[same]).all()
    assert result["word"].isna().tolist() == given["word"].isna().tolist()
    assert result["count"].isna().tolist() == given["count"].isna().tolist()
    assert set(result["count"].dropna()) - set(given["count"].dropna()) == {-1}
    assert (result["history"].map(len) == given["history"].map(len)).all()


def test_tables_that_are_refused():
    with pytest.raises(InvalidArgumentError, match="`data` must be a dict .* Received: list"):
        POLICY.apply([1])
    with pytest.raises(UnknownFeatureError, match="Key feature 'item' is missing"):
        POLICY.apply({"user": np.arange(2)})
    with pytest.raises(DataError, match="arrays of one length"):
        POLICY.apply({**table(), "age": np.zeros(2)})
    with pytest.raises(DataError, match="'history' must hold strings, numbers or lists of them"):
        POLICY.apply({**table(), "history": ragged([{}] * N)})
    with pytest.raises(DataError, match="'history' must hold strings alone"):
        POLICY.apply({**table(), "history": ragged([["a", 1]] * N)})
    if "pandas" in sys.modules:
        frame = sys.modules["pandas"].DataFrame(np.zeros([2, 2]), columns=["age", "age"])
        with pytest.raises(InvalidArgumentError, match="one column a name"):
            POLICY.apply(frame)
