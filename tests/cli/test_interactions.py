"""Rows of files as interactions."""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet
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


@pytest.mark.parametrize("file_format", ["parquet", "csv", "tfrecord"])
@pytest.mark.parametrize("time", [881250949.0, 0.5, -(2.0**24)])
def test_times_that_floats_do_not_hold_are_refused(tmp_path, file_format, time):
    path = tmp_path / f"in.{file_format}"
    if file_format == "tfrecord":
        write(path, [example(1), example(2, timestamp=[time])])
    elif file_format == "csv":
        path.write_text(f"user_id,item_id,timestamp\na,x,1.0\nb,y,{time}\n")
    else:
        columns = {"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1.0, time]}
        pyarrow.parquet.write_table(pa.table(columns), path)
    shown = f"such as {np.float32(time):.17g}. Write"
    with pytest.raises(DataError, match=f"`--timestamp` must be whole numbers.*{shown}.*int64"):
        read("--input", path, "--input_format", file_format)


def test_whole_times_of_a_table_are_exact(tmp_path):
    times = [881250949, 2**53 + 1]
    for dtype, path in ((pa.int64(), "a"), (pa.timestamp("s"), "b")):
        table = {"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": pa.array(times, dtype)}
        pyarrow.parquet.write_table(pa.table(table), tmp_path / path, version="2.6")
    found, _ = read("--input", tmp_path / "a", "--input_format", "parquet")
    assert found.rows["timestamp"].tolist() == times
    low = {"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [2.0**24 - 1, 7.0]}
    pyarrow.parquet.write_table(pa.table(low), tmp_path / "low")
    found, _ = read("--input", tmp_path / "low", "--input_format", "parquet")
    assert found.rows["timestamp"].tolist() == [2**24 - 1, 7]


def test_test_rows_that_are_training_rows_are_counted(tmp_path, capsys):
    train = write(tmp_path / "train.tfrecord", [example(i) for i in range(20)])
    # The same user and item at another time, and one of the rows itself.
    again = [example(3, timestamp=[99.0]), example(7), example(20)]
    _, test = read("--input", train, test=[str(write(tmp_path / "again.tfrecord", again))])
    assert len(test) == 3
    assert "test rows that are rows of --input too: 1 of 3\n" in capsys.readouterr().err
    other = write(tmp_path / "other.tfrecord", [example(i) for i in range(20, 30)])
    read("--input", train, test=[str(other)])
    assert capsys.readouterr().err == ""
    some = write(tmp_path / "some.tfrecord", [example(4), example(5)])
    with pytest.raises(DataError, match="`--test` must have rows that --input lacks.*all 2 rows"):
        read("--input", train, test=[str(some)])


def test_errors_about_files_name_the_option(tmp_path):
    with pytest.raises(DataError, match="`--input` matches no file. Received: --input '.*none'"):
        read("--input", tmp_path / "none")
    mine = write(tmp_path / "mine.tfrecord", [example(1)])
    with pytest.raises(DataError, match="`--test` matches no file. Received: --test '.*none'"):
        read("--input", mine, test=[str(tmp_path / "none")])


def test_lists_are_read_where_they_are_asked_for(files, shop):
    found = read_rows(str(files / "all" / "*"), lists=True)
    assert found.table["tags"].to_lists() == shop.rows["tags"].to_lists()
    assert not found.left_out
    assert read_rows(str(files / "all" / "*")).left_out == ("tags",)
    # One value in each row of these: no list.
    assert isinstance(found.table["kind"], np.ndarray)
