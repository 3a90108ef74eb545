"""Rows of files as interactions."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import tensorflow as tf

from tests.beam import rows
from tfrs_augment.beam.reading import read_rows
from tfrs_augment.cli.interactions import add_interactions, read_interactions
from tfrs_augment.datasets.interactions import Ragged
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError


def read(*argv, test=None):
    parser = argparse.ArgumentParser()
    add_interactions(parser)
    return read_interactions(parser.parse_args(list(map(str, argv))), test)


def lists(column):
    return column.to_lists() if isinstance(column, Ragged) else column.tolist()


def test_rows_come_back_as_they_were_written(files, shop):
    data, test = read("--input", files / "all" / "*")
    assert test is None and len(data) == len(shop)
    for name, column in shop.rows.items():
        assert lists(data.rows[name]) == lists(column), name
    assert set(data.items) == set(shop.items) and set(data.users) == set(shop.users)
    order = np.argsort(shop.items["item_id"])
    for name in ("price", "tags", "title"):
        present = np.isin(shop.items["item_id"][order], data.items["item_id"])
        assert lists(data.items[name]) == lists(
            shop.items[name].take(order[present])
            if isinstance(shop.items[name], Ragged)
            else shop.items[name][order[present]]
        )


def test_given_test_rows_share_the_catalogue(files, shop):
    train, test = read("--input", files / "train" / "*", test=[str(files / "test" / "*")])
    assert (len(train), len(test)) == (2500, 500)
    assert train.items is test.items and train.users is test.users
    assert train.rows["timestamp"].max() <= test.rows["timestamp"].min()


def write(path, examples):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in examples:
            writer.write(rows.example(**one))
    return path


def example(i, **more):
    return {
        "user_id": [i % 3],
        "item_id": [b"i%d" % (i % 5)],
        "timestamp": [float(i)],
        "device": [b"phone" if i % 2 else b"desktop"],
        "age": [float(20 + i % 3)],
        **more,
    }


def test_kinds_of_columns(tmp_path, capsys):
    examples = [example(i, **({"gap": [1.0]} if i % 4 else {})) for i in range(30)]
    examples.append(example(30, item_id=[b""], gap=[1.0]))
    data, _ = read("--input", write(tmp_path / "in.tfrecord", examples))
    err = capsys.readouterr().err
    assert len(data) == 30 and "rows without a user or an item, left out: 1\n" in err
    assert "left out, for some rows have no number: gap" in err
    assert data.rows["user_id"].tolist()[:3] == [b"0", b"1", b"2"]
    assert data.rows["timestamp"].dtype == np.int64
    assert set(data.users) == {"user_id", "age"}
    assert set(data.items) == {"item_id"}
    named, _ = read("--input", tmp_path / "in.tfrecord", "--user_features", "--item_features")
    assert set(named.users) == {"user_id"}


def test_what_is_wrong_is_named(files, tmp_path):
    for argv, error, message in (
        (["--item_id", "item"], UnknownFeatureError, "`--item_id` must name a column.*'item_id'"),
        (["--timestamp", "time"], UnknownFeatureError, "`--timestamp`.*Did you mean .*'timestamp'"),
        (["--user_id", "tags"], DataError, "column of strings or whole numbers, one a row"),
        (["--user_id", "age"], DataError, "values of float32"),
        (["--timestamp", "kind"], DataError, "must be a column of numbers"),
        (["--user_features", "kind"], InvalidArgumentError, "the same in all rows of a user_id"),
        (["--item_features", "kinds"], UnknownFeatureError, "Did you mean 'kind'"),
    ):
        with pytest.raises(error, match=message):
            read("--input", files / "all" / "*", *argv)
    with pytest.raises(DataError, match="matches no file"):
        read("--input", files / "absent" / "*")
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    with pytest.raises(DataError):
        read("--input", tmp_path / "empty.tfrecord")
    nobody = write(tmp_path / "nobody.tfrecord", [example(1, item_id=[b""])])
    with pytest.raises(DataError, match="rows with a user and an item. Received: 1 rows"):
        read("--input", nobody)
    late = {name: value for name, value in example(1).items() if name != "timestamp"}
    late = write(tmp_path / "late.tfrecord", [late, example(2)])
    with pytest.raises(DataError, match="`--timestamp` must be in every row"):
        read("--input", late)
    other = write(tmp_path / "other.tfrecord", [example(1, device=[1.0])])
    mine = write(tmp_path / "mine.tfrecord", [example(1)])
    with pytest.raises(DataError, match="'device' must be of one type in --input and --test"):
        read("--input", mine, test=[str(other)])


def test_lists_are_read_where_they_are_asked_for(files, shop):
    found = read_rows(str(files / "all" / "*"), lists=True)
    assert found.table["tags"].to_lists() == shop.rows["tags"].to_lists()
    assert not found.left_out
    assert read_rows(str(files / "all" / "*")).left_out == ("tags",)
    # One value in each row of these: no list.
    assert isinstance(found.table["kind"], np.ndarray)
