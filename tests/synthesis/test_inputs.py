"""Rows from mappings, DataFrames, datasets and records as one kind of table."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment.datasets import simulated_shop
from tfrs_augment.datasets.interactions import write_tfrecords
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis.inputs import read_table

TABLE = {
    "genre": np.array([b"War", b"Drama", b""]),
    "price": np.float32([1.5, np.nan, 3.0]),
    "year": np.int64([1994, 1999, 2001]),
}


def same(table, expected=TABLE):
    assert list(table) == list(expected)
    for name, values in expected.items():
        assert table[name].dtype.kind == values.dtype.kind
        np.testing.assert_array_equal(table[name], values)


def test_mapping_of_lists():
    lists = {"genre": ["War", "Drama", None], "price": [1.5, None, 3], "year": [1994, 1999, 2001]}
    same(read_table(lists))


def test_data_frame():
    pandas = pytest.importorskip("pandas", reason="the extra dev is not installed")
    frame = pandas.DataFrame(
        {
            "genre": pandas.Categorical(["War", "Drama", None]),
            "price": pandas.array([1.5, None, 3.0], dtype="Float64"),
            "year": [1994, 1999, 2001],
        },
        index=[7, 8, 9],
    )
    same(read_table(frame))
    same(read_table(frame.astype({"genre": object})))
    twice = pandas.concat([frame, frame[["year"]]], axis=1)
    same(read_table(twice, columns=["genre"]), {"genre": TABLE["genre"]})
    with pytest.raises(DataError, match="a name of its own, .* Received: 'year', 2 times"):
        read_table(twice)


@pytest.mark.parametrize("batch", [None, 2])
def test_dataset(batch):
    dataset = tf.data.Dataset.from_tensor_slices(TABLE)
    same(read_table(dataset.batch(batch) if batch else dataset))


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_records_that_lack_what_is_missing(tmp_path, compression):
    missing = {"genre": TABLE["genre"] == b"", "price": np.isnan(TABLE["price"])}
    write_tfrecords(TABLE, tmp_path, shards=2, compression=compression, missing=missing)
    same(read_table(f"{tmp_path}/*.tfrecord*"))
    schema = Schema({"year": "int64", "genre": "bytes"})
    same(read_table(f"{tmp_path}/*", columns=["year"], schema=schema), {"year": TABLE["year"]})


def test_records_of_lists_and_of_integers_that_are_missing_are_refused(tmp_path):
    write_tfrecords(TABLE, tmp_path, missing={"year": np.array([True, False, False])})
    with pytest.raises(
        DataError, match="'year' of int64 must be in every record. .* 1 records of 3"
    ):
        read_table(f"{tmp_path}/*")
    shop = simulated_shop("tiny").take(np.arange(20))
    shop.write_tfrecords(tmp_path / "shop")
    with pytest.raises(DataError, match="'item_title_words' must hold one value a record"):
        read_table(f"{tmp_path}/shop/*")
    (tmp_path / "broken").write_bytes(b"no record at all, though long enough")
    with pytest.raises(DataError, match="broken"):
        read_table(str(tmp_path / "broken"), schema=Schema({"a": "bytes"}))
    with pytest.raises(DataError, match="No file matches"):
        read_table(f"{tmp_path}/absent-*")


def test_interactions_give_the_named_columns_of_their_rows():
    shop = simulated_shop("tiny").take(np.arange(9))
    names = ["rating", "item_category"]
    same(read_table(shop, columns=names), {name: shop.rows[name] for name in names})
    with pytest.raises(DataError, match="'item_title_words' must hold .*one value a row"):
        read_table(shop)


def test_data_that_hold_no_table():
    with pytest.raises(InvalidArgumentError, match="`data` must be .* Received: int"):
        read_table(3)
    with pytest.raises(DataError, match="one length. .*'a': 1, 'b': 2"):
        read_table({"a": [1], "b": [1, 2]})
    with pytest.raises(UnknownFeatureError, match="'yaer', .* Did you mean 'year'"):
        read_table(TABLE, columns=["yaer"])
    with pytest.raises(
        DataError, match="must have a name of its own, of text. Received: 3, 1 times"
    ):
        read_table({3: [1]})
    with pytest.raises(InvalidArgumentError, match="`schema` must be a Schema .* Schema.load"):
        read_table(TABLE, schema="schema.pbtxt")
    with pytest.raises(DataError, match="has no end"):
        read_table(tf.data.Dataset.from_tensors({"a": 1}).repeat())
    with pytest.raises(InvalidArgumentError, match="dataset of dicts"):
        read_table(tf.data.Dataset.range(3))
