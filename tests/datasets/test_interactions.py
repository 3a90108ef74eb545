"""Tests of `Ragged` and `Interactions`."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment import errors
from tfrs_augment.datasets import interactions


def make(rows: int = 7) -> interactions.Interactions:
    """Returns rows over three movies and two users; the third movie has no genres."""
    return interactions.Interactions.from_tables(
        events={
            "user_id": np.array([b"u1", b"u2"])[np.arange(rows) % 2],
            "movie_id": np.array([b"b", b"long id", b"a"])[np.arange(rows) % 3],
            "timestamp": np.arange(rows) + 100,
        },
        items={
            "movie_id": np.array([b"a", b"b", b"long id"]),
            "genres": interactions.Ragged.from_lists([[b"War", b"Drama"], [b"War"], []], dtype="S"),
            "year": np.float32([1994, 1999, 2001]),
        },
        users={"user_id": np.array([b"u1", b"u2"]), "user_name": np.array(["Å".encode(), b""])},
        item_id="movie_id",
        name="test",
    )


def as_lists(column: interactions.Column | tf.Tensor | tf.RaggedTensor) -> list:
    if isinstance(column, interactions.Ragged):
        return column.to_lists()
    if isinstance(column, tf.RaggedTensor):
        return column.to_list()
    return (column.numpy() if isinstance(column, tf.Tensor) else column).tolist()


def test_ragged_round_trip_and_take():
    lists = [[b"Drama"], [], [b"War", b"Drama"], []]
    column = interactions.Ragged.from_lists(lists, dtype="S")
    assert len(column) == 4
    assert column.to_lists() == column.to_tf().to_list() == lists
    assert column.row_lengths().tolist() == [1, 0, 2, 0]
    assert column.take(np.array([2, 1, 2])).to_lists() == [lists[2], [], lists[2]]
    assert column.take(np.array([True, False, True, False])).to_lists() == [lists[0], lists[2]]
    assert column.take(np.array([-1, 0])).to_lists() == [[], lists[0]]
    assert len(column.take(np.array([], np.int64))) == 0


def test_ragged_without_rows_keeps_its_dtype():
    column = interactions.Ragged.from_lists([[], []], dtype=np.float32)
    assert column.dtype == np.float32
    assert column.to_tf().dtype == tf.float32


@pytest.mark.parametrize(
    "splits", [[0, 1], [1, 3], [0, 2, 1, 3], [], np.array([0, 3], np.int32), [[0, 3]]]
)
def test_ragged_refuses_wrong_splits(splits):
    splits = splits if isinstance(splits, np.ndarray) else np.array(splits, np.int64)
    with pytest.raises(errors.InvalidArgumentError, match="row_splits"):
        interactions.Ragged(np.array([1, 2, 3]), splits)


def test_from_tables_joins_features_by_id():
    data = make()
    assert data.rows["year"].tolist() == [1999, 2001, 1994, 1999, 2001, 1994, 1999]
    assert data.rows["genres"].to_lists()[:3] == [[b"War"], [], [b"War", b"Drama"]]
    assert data.rows["user_name"].tolist()[:2] == ["Å".encode(), b""]
    assert data.item_index().tolist() == [1, 2, 0, 1, 2, 0, 1]
    assert data.user_index().tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_from_tables_refuses_one_name_in_two_tables():
    data = make()
    users = {**data.users, "year": np.array([1, 2])}
    events = {name: data.rows[name] for name in ("user_id", "movie_id", "timestamp")}
    with pytest.raises(errors.DataError, match="'year' in `users`"):
        interactions.Interactions.from_tables(events, data.items, users, item_id="movie_id")


def test_take_keeps_the_catalogue():
    data = make()
    part = data.take(np.array([6, 0, 6]))
    assert len(part) == 3
    assert part.rows["timestamp"].tolist() == [106, 100, 106]
    assert part.items is data.items
    assert (part.item_id, part.name) == ("movie_id", "test")
    masked = data.take(data.rows["year"] < 1995)
    assert masked.rows["movie_id"].tolist() == [b"a", b"a"]
    assert len(data) == 7
    assert len(data.take(np.zeros(7, bool))) == 0


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        ("rows", "year", np.float32([1.0]), "equal lengths.*'year' with 1 and 'user_id' with 7"),
        ("rows", "movie_id", np.array([b"z"] * 7), r"`items` of test.*1 ids.* b'z'"),
        ("rows", "user_id", np.array([b"u9"] * 7), "`users` of test.*b'u9'"),
        ("rows", "user_id", np.array(["u1"] * 7), "array of bytes.*<U2"),
        ("rows", "timestamp", np.zeros(7, np.float32), "array of int64.*float32"),
        ("rows", "year", np.zeros(7, np.float64), "float32 or int64.*float64.*astype"),
        ("rows", "year", np.zeros((7, 2), np.int64), r"one dimension.*int64 .*\(7, 2\).*Ragged"),
        ("rows", "year", np.zeros((7, 2, 2), np.float32), r"one dimension.*\(7, 2, 2\)"),
        ("rows", "year", np.zeros((7, 2), np.uint8), "uint8 photos.*Received: uint8"),
        ("items", "movie_id", np.array([b"a", b"b", b"b"]), "once.*movie_id=b'b' 2 times"),
        ("users", "user_id", None, "column 'user_id'.*Known: 'user_name'"),
        ("rows", "timestamp", None, "column 'timestamp'"),
    ],
)
def test_refuses_tables_that_do_not_fit(table, column, values, message):
    data = make()
    columns = {**getattr(data, table), column: values}
    if values is None:
        del columns[column]
    with pytest.raises(errors.DataError, match=message):
        dataclasses.replace(data, **{table: columns})


def test_embeddings_and_photos_are_columns(tmp_path):
    data = make()
    vector = np.arange(14, dtype=np.float32).reshape(7, 2)
    photo = np.arange(7 * 12, dtype=np.uint8).reshape(7, 2, 2, 3)
    wide = dataclasses.replace(data, rows={**data.rows, "vector": vector, "photo": photo})
    (batch,) = wide.take(np.array([3, 1])).dataset(4)
    np.testing.assert_array_equal(batch["vector"], vector[[3, 1]])
    np.testing.assert_array_equal(batch["photo"], photo[[3, 1]])
    with pytest.raises(errors.DataError, match="uint8 photos in the column 'photo'.*encode_photos"):
        wide.write_tfrecords(tmp_path)
    with pytest.raises(errors.DataError, match="uint8 photos in the column 'photo'"):
        wide.feature_spec()
    del wide.rows["photo"]
    (path,) = wide.write_tfrecords(tmp_path)
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    parsed = tf.io.parse_example(records, wide.feature_spec())
    np.testing.assert_array_equal(parsed["vector"], vector)


def test_to_tensors_has_every_column():
    data = make()
    tensors = data.to_tensors()
    assert tensors.keys() == data.rows.keys()
    for name, column in data.rows.items():
        assert as_lists(tensors[name]) == as_lists(column)
    assert isinstance(tensors["genres"], tf.RaggedTensor)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_dataset_batches_hold_all_rows_in_order(batch_size):
    data = make()
    batches = list(data.dataset(batch_size))
    assert len(batches) == -(-7 // batch_size)
    for name, column in data.rows.items():
        assert as_lists(tf.concat([batch[name] for batch in batches], 0)) == as_lists(column)


def test_dataset_without_batch_size_yields_rows_that_batch_again():
    data = make()
    rows = list(data.dataset())
    assert [row["genres"].numpy().tolist() for row in rows] == data.rows["genres"].to_lists()
    (batch,) = data.dataset().batch(10)
    assert batch["genres"].to_list() == data.rows["genres"].to_lists()


def test_dataset_shuffles_by_seed_and_anew_each_time():
    data = make(200)

    def orders(seed: int) -> list[list[int]]:
        dataset = data.dataset(64, shuffle_seed=seed)
        return [
            np.concatenate([batch["timestamp"] for batch in dataset]).tolist() for _ in range(2)
        ]

    first = orders(0)
    assert first[0] != first[1]
    assert first[0] != data.rows["timestamp"].tolist()
    assert sorted(first[0]) == data.rows["timestamp"].tolist()
    assert orders(0) == first
    assert orders(1) != first


def test_dataset_of_no_rows_is_empty():
    assert list(make(0).dataset(4, shuffle_seed=1)) == []


def test_dataset_refuses_batch_size_0():
    with pytest.raises(errors.InvalidArgumentError, match="batch_size=0"):
        make().dataset(0)


@pytest.mark.parametrize(("compression", "suffix"), [("", "tfrecord"), ("GZIP", "tfrecord.gz")])
def test_tfrecords_round_trip(tmp_path: pathlib.Path, compression: str, suffix: str):
    data = make()
    paths = data.write_tfrecords(tmp_path / "out", shards=3, compression=compression)
    assert [pathlib.Path(path).name for path in paths] == [
        f"interactions-{shard:05d}-of-00003.{suffix}" for shard in range(3)
    ]
    assert len(list((tmp_path / "out").iterdir())) == 3
    (serialized,) = tf.data.TFRecordDataset(paths, compression).batch(100)
    parsed = tf.io.parse_example(serialized, data.feature_spec())
    assert parsed.keys() == data.rows.keys()
    for name, column in data.rows.items():
        assert as_lists(parsed[name]) == as_lists(column)


def test_tfrecords_are_the_same_bytes_each_time_and_keep_the_kind_of_empty_lists(tmp_path):
    data = make()
    (first,) = data.write_tfrecords(tmp_path / "a")
    (second,) = data.write_tfrecords(tmp_path / "b")
    assert pathlib.Path(first).read_bytes() == pathlib.Path(second).read_bytes()
    records = [record.numpy() for record in tf.data.TFRecordDataset(first)]
    empty = tf.train.Example.FromString(records[1]).features.feature["genres"]
    assert empty.WhichOneof("kind") == "bytes_list"


def test_tfrecords_of_fewer_rows_than_shards(tmp_path):
    paths = make(2).write_tfrecords(tmp_path, shards=4)
    counts = [sum(1 for _ in tf.data.TFRecordDataset(path)) for path in paths]
    assert len(counts) == 4
    assert sum(counts) == 2


def test_tfrecords_do_not_mix_with_earlier_ones(tmp_path):
    data = make()
    data.write_tfrecords(tmp_path, shards=3)
    with pytest.raises(errors.OutputError, match=r"3 such files.*overwrite=True"):
        data.write_tfrecords(tmp_path)
    data.write_tfrecords(tmp_path, shards=1, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["interactions-00000-of-00001.tfrecord"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"shards": 0}, "shards=0"), ({"compression": "gzip"}, "compression='gzip'")],
)
def test_write_tfrecords_refuses_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        make().write_tfrecords(tmp_path, **arguments)
