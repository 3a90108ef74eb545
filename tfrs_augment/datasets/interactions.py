"""Interactions of users with items as plain NumPy columns, the form that every loader returns."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment import errors

_TFRECORD_SUFFIX = {"": ".tfrecord", "GZIP": ".tfrecord.gz"}


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """A column whose rows hold a varying number of values: genres, words of a title.

    Args:
      values: `[total]`, the values of all rows, one row after the other.
      row_splits: int64 `[n + 1]`; row `i` is `values[row_splits[i]:row_splits[i + 1]]`.

    Raises:
      InvalidArgumentError: `row_splits` does not cut `values` into rows.

    Example:
      >>> genres = Ragged.from_lists([[b"Drama"], [], [b"War", b"Drama"]], dtype="S")
      >>> genres.take(np.array([2, 0])).to_lists()
      [[b'War', b'Drama'], [b'Drama']]
    """

    values: np.ndarray
    row_splits: np.ndarray

    def __post_init__(self) -> None:
        splits = self.row_splits
        if splits.dtype != np.int64 or splits.ndim != 1 or self.values.ndim != 1:
            raise errors.InvalidArgumentError(
                "`values` and `row_splits` must have one dimension and `row_splits` be int64. "
                f"Received: values of shape {self.values.shape}, row_splits {splits.dtype} of "
                f"shape {splits.shape}."
            )
        ends_fit = len(splits) > 0 and splits[0] == 0 and splits[-1] == len(self.values)
        if not ends_fit or (np.diff(splits) < 0).any():
            raise errors.InvalidArgumentError(
                "`row_splits` must start at 0, never fall and end at len(values). Received: "
                f"{splits} for {len(self.values)} values. `Ragged.from_lists` builds it."
            )

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[Any]], *, dtype: np.typing.DTypeLike) -> Ragged:
        """Returns the column of a list of lists; `dtype` is "S", np.float32 or np.int64."""
        splits = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(row) for row in lists], out=splits[1:])
        return cls(np.array([value for row in lists for value in row], dtype), splits)

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self.values.dtype

    def row_lengths(self) -> np.ndarray:
        """Returns int64 `[n]`, the number of values in each row."""
        return np.diff(self.row_splits)

    def take(self, index: np.ndarray) -> Ragged:
        """Returns the rows at `index` (integers, or a mask of length n), in that order."""
        index = np.arange(len(self))[index]
        lengths = self.row_lengths()[index]
        splits = np.zeros(len(index) + 1, np.int64)
        np.cumsum(lengths, out=splits[1:])
        # A value's old place is its row's old start plus its offset in the row.
        offsets = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
        return Ragged(self.values[np.repeat(self.row_splits[index], lengths) + offsets], splits)

    def to_lists(self) -> list[list[Any]]:
        """Returns the rows as Python lists."""
        values, splits = self.values.tolist(), self.row_splits.tolist()
        return [values[start:end] for start, end in itertools.pairwise(splits)]

    def to_tf(self) -> tf.RaggedTensor:
        """Returns the column as a `tf.RaggedTensor` `[n, None]`."""
        return tf.RaggedTensor.from_row_splits(tf.constant(self.values), self.row_splits)


Column = np.ndarray | Ragged
Table = Mapping[str, Column]


@dataclasses.dataclass(frozen=True, eq=False)
class Interactions:
    """Interactions with the catalogue and the users that they refer to.

    A column is a one-dimensional array of dtype bytes ("S"), float32 or int64, or a `Ragged` of
    these; embeddings are float32 `[n, dim]`, photos uint8 or float32
    `[n, height, width, channels]`. Ids are bytes. Every id in `rows` is in its table, so a lookup by
    id never fails later.

    Args:
      rows: one entry an interaction: ids, timestamp, and the features of its user and item.
      items: the catalogue, one row an item, the id column unique.
      users: one row a user, the id column unique.
      user_id: name of the user id column, in `rows` and `users`.
      item_id: name of the item id column, in `rows` and `items`.
      timestamp: name of the int64 column in `rows` with the seconds since 1970.
      name: what these data are called in reports.

    Raises:
      DataError: a column is missing, of another dtype, or of another length than its table; an id
        is repeated in its table, or occurs in `rows` alone.

    Example:
      >>> data = Interactions.from_tables(
      ...     events={"user_id": np.array([b"u1", b"u1"]), "movie_id": np.array([b"b", b"a"]),
      ...             "timestamp": np.array([10, 20])},
      ...     items={"movie_id": np.array([b"a", b"b"]), "year": np.float32([1994, 1999])},
      ...     users={"user_id": np.array([b"u1"])}, item_id="movie_id")
      >>> data.rows["year"]
      array([1999., 1994.], dtype=float32)
    """

    rows: Table
    items: Table
    users: Table
    _: dataclasses.KW_ONLY
    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str = "timestamp"
    name: str = "interactions"

    def __post_init__(self) -> None:
        _check_table("rows", self.rows, (self.user_id, self.item_id), self.timestamp)
        for table, id_column in (("items", self.item_id), ("users", self.user_id)):
            columns = getattr(self, table)
            _check_table(table, columns, (id_column,))
            ids = columns[id_column]
            values, counts = np.unique(ids, return_counts=True)
            if (counts > 1).any():
                raise errors.DataError(
                    f"`{table}` must hold an id once. Received: {id_column}="
                    f"{bytes(values[counts > 1][0])!r} {counts[counts > 1][0]} times ({self.name})."
                )
            find_ids(self.rows[id_column], ids, f"`{table}` of {self.name}")

    @classmethod
    def from_tables(cls, events: Table, items: Table, users: Table, **names: str) -> Interactions:
        """Joins the features of users and items into the rows.

        Args:
          events: the columns of an interaction itself: ids, timestamp, rating.
          items: as of `Interactions`.
          users: as of `Interactions`.
          **names: `user_id`, `item_id`, `timestamp` and `name` of `Interactions`.

        Returns:
          Interactions whose `rows` hold `events` and, by id, every column of the two tables.

        Raises:
          DataError: as `Interactions`, or if two tables have a feature of the same name.
        """
        rows = dict(events)
        for table, columns, id_column in (
            ("items", items, names.get("item_id", cls.item_id)),
            ("users", users, names.get("user_id", cls.user_id)),
        ):
            _check_table("events", events, (id_column,))
            _check_table(table, columns, (id_column,))
            index = find_ids(events[id_column], columns[id_column], f"`{table}`")
            for name, column in columns.items():
                if name == id_column:
                    continue
                if name in rows:
                    raise errors.DataError(
                        f"A feature must be in one table. Received: {name!r} in `{table}` and "
                        "before it. Rename one of the two."
                    )
                rows[name] = take_column(column, index)
        return cls(rows, items, users, **names)

    def __len__(self) -> int:
        return len(self.rows[self.user_id])

    def item_index(self) -> np.ndarray:
        """Returns int64 `[n]`, the place in `items` of each row's item."""
        return find_ids(self.rows[self.item_id], self.items[self.item_id], "`items`")

    def user_index(self) -> np.ndarray:
        """Returns int64 `[n]`, the place in `users` of each row's user."""
        return find_ids(self.rows[self.user_id], self.users[self.user_id], "`users`")

    def take(self, index: np.ndarray) -> Interactions:
        """Returns the rows at `index` with the same catalogue and users.

        Args:
          index: integers, repeats allowed and order kept, or a boolean mask of length n.
        """
        rows = {name: take_column(column, index) for name, column in self.rows.items()}
        return dataclasses.replace(self, rows=rows)

    def to_tensors(self) -> dict[str, tf.Tensor | tf.RaggedTensor]:
        """Returns the rows as tensors `[n]`, ragged columns as RaggedTensors `[n, None]`."""
        return columns_to_tensors(self.rows)

    def dataset(
        self, batch_size: int | None = None, *, shuffle_seed: int | None = None
    ) -> tf.data.Dataset:
        """Returns the rows as a `tf.data.Dataset` of dicts.

        Batches are gathered from whole tensors, which is many times faster than batching single
        elements; shuffling moves row numbers only.

        Args:
          batch_size: rows a batch, the last one shorter; None yields one row an element.
          shuffle_seed: None keeps the order; an integer shuffles all rows, anew each time the
            dataset is iterated and the same way for the same seed.

        Returns:
          A dataset of dicts: tensors `[batch]` (or with the further dimensions of embeddings and
          photos) and RaggedTensors `[batch, None]`; without `batch_size` scalars and tensors
          `[None]`.

        Raises:
          InvalidArgumentError: `batch_size` is not positive.
        """
        if batch_size is not None and batch_size < 1:
            raise errors.InvalidArgumentError(
                f"`batch_size` must be at least 1 or None. Received: batch_size={batch_size}."
            )
        tensors = self.to_tensors()
        order = tf.data.Dataset.range(len(self))
        if shuffle_seed is not None:
            order = order.shuffle(max(len(self), 1), seed=shuffle_seed)
        order = order.batch(batch_size or 4096)
        batches = order.map(
            lambda index: {name: tf.gather(column, index) for name, column in tensors.items()},
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return batches.unbatch() if batch_size is None else batches

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature | tf.io.RaggedFeature]:
        """Returns the spec with which `tf.io.parse_example` reads what `write_tfrecords` wrote.

        Raises:
          DataError: a column is of uint8, which records do not hold.
        """
        _check_no_pixels(self.rows)
        spec: dict[str, Any] = {}
        for name, column in self.rows.items():
            dtype = tf.string if column.dtype.kind == "S" else tf.as_dtype(column.dtype)
            if isinstance(column, Ragged):
                spec[name] = tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
            else:
                spec[name] = tf.io.FixedLenFeature(column.shape[1:], dtype)
        return spec

    def write_tfrecords(
        self, folder: str, *, shards: int = 1, compression: str = "", overwrite: bool = False
    ) -> list[str]:
        """Writes the rows, in order, as `tf.train.Example` records.

        The same rows give the same bytes: features are serialized in a fixed order, and a shard is
        a run of neighbouring rows. A shard gets its name when it is complete.

        Args:
          folder: where `interactions-*-of-*.tfrecord` go; made if absent.
          shards: number of files, at least 1.
          compression: "" or "GZIP".
          overwrite: whether earlier `interactions-*` files in the folder are removed first.

        Returns:
          The paths of the shards.

        Raises:
          InvalidArgumentError: `shards` or `compression` breaks its rule.
          DataError: a column is of uint8, which records do not hold.
          OutputError: the folder holds such files and `overwrite` is False.
        """
        return write_tfrecords(
            self.rows, folder, shards=shards, compression=compression, overwrite=overwrite
        )


def write_tfrecords(
    columns: Table,
    folder: str,
    *,
    shards: int = 1,
    compression: str = "",
    overwrite: bool = False,
    missing: Mapping[str, np.ndarray] | None = None,
) -> list[str]:
    """Writes the rows of a table, in order, as `tf.train.Example` records.

    Args:
      columns: the table, columns as of `Interactions`, at least one.
      folder: as of `Interactions.write_tfrecords`, and so are the three arguments after it.
      shards: see there.
      compression: see there.
      overwrite: see there.
      missing: bool `[n]` by column: in these rows the feature is left out of the record.

    Returns:
      The paths of the shards.

    Raises:
      InvalidArgumentError: as `Interactions.write_tfrecords`.
      DataError: as `Interactions.write_tfrecords`.
      OutputError: as `Interactions.write_tfrecords`.
    """
    if shards < 1:
        raise errors.InvalidArgumentError(
            f"`shards` must be at least 1. Received: shards={shards}."
        )
    if compression not in _TFRECORD_SUFFIX:
        raise errors.InvalidArgumentError(
            f"`compression` must be '' or 'GZIP'. Received: compression={compression!r}."
        )
    _check_no_pixels(columns)
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    earlier = tf.io.gfile.glob(os.path.join(folder, "interactions-*.tfrecord*"))
    if earlier and not overwrite:
        raise errors.OutputError(
            f"`folder` must hold no earlier interactions. Received: {folder} with "
            f"{len(earlier)} such files. Pass overwrite=True or another folder."
        )
    for path in earlier:
        os.remove(path)
    paths = []
    rows = len(next(iter(columns.values())))
    bounds = np.linspace(0, rows, shards + 1).astype(np.int64)
    for shard, (start, end) in enumerate(itertools.pairwise(bounds)):
        name = f"interactions-{shard:05d}-of-{shards:05d}{_TFRECORD_SUFFIX[compression]}"
        paths.append(os.path.join(folder, name))
        part = os.path.join(folder, f".{name}.part")
        with tf.io.TFRecordWriter(part, compression or None) as writer:
            for example in _examples(columns, np.arange(start, end), missing):
                writer.write(example)
        os.replace(part, paths[-1])
    return paths


def take_column(column: Column, index: np.ndarray) -> Column:
    """Returns the entries of a column at `index` (integers or a mask)."""
    return column.take(index) if isinstance(column, Ragged) else column[index]


def columns_to_tensors(columns: Table) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Returns every column of a table as a tensor; use it for `items` and `users`."""
    return {
        name: column.to_tf() if isinstance(column, Ragged) else tf.constant(column)
        for name, column in columns.items()
    }


def find_ids(ids: np.ndarray, table_ids: np.ndarray, table: str) -> np.ndarray:
    """Returns int64 `[n]`, the place in `table_ids` of each of `ids`.

    Args:
      ids: bytes `[n]`.
      table_ids: bytes `[m]`, unique.
      table: what the table is called in the message.

    Raises:
      DataError: an id is not in the table.
    """
    order = np.argsort(table_ids)
    found = np.searchsorted(table_ids, ids, sorter=order)
    index = order[np.minimum(found, len(order) - 1)] if len(order) else np.zeros(len(ids), np.int64)
    known = table_ids[index] == ids if len(order) else np.zeros(len(ids), bool)
    if not known.all():
        missing = np.unique(ids[~known])
        raise errors.DataError(
            f"Every id of an interaction must be in {table}. Received: {len(missing)} ids that are "
            f"not, among them {bytes(missing[0])!r}. Add their rows, or drop their interactions."
        )
    return index


def _check_table(
    table: str, columns: Table, id_columns: Sequence[str], timestamp: str | None = None
) -> None:
    """Raises a DataError unless the columns are of allowed dtypes, equal lengths and complete."""
    for name in (*id_columns, *([timestamp] if timestamp else [])):
        if name not in columns:
            raise errors.DataError(
                f"`{table}` must have the column {name!r}. {errors.close_matches(name, columns)}"
            )
        expected = "int64" if name == timestamp else "bytes"
        column = columns[name]
        fits = column.dtype == np.int64 if name == timestamp else column.dtype.kind == "S"
        if isinstance(column, Ragged) or not fits:
            raise errors.DataError(
                f"`{table}[{name!r}]` must be an array of {expected}. Received: "
                f"{type(column).__name__} of {column.dtype}."
            )
    rows = len(columns[id_columns[0]])
    for name, column in columns.items():
        photos = isinstance(column, np.ndarray) and column.ndim == 4 and column.dtype == np.uint8
        known = column.dtype.kind == "S" or column.dtype in (np.float32, np.int64) or photos
        if not known:
            raise errors.DataError(
                f"`{table}[{name!r}]` must be bytes ('S'), float32 or int64, or uint8 photos "
                f"[n, height, width, channels]. Received: {column.dtype}. Cast it with `astype`; "
                "encode text with `np.char.encode`."
            )
        dense = photos or (column.dtype == np.float32 and column.ndim in (2, 4))
        if not isinstance(column, Ragged) and column.ndim != 1 and not dense:
            raise errors.DataError(
                f"`{table}[{name!r}]` must have one dimension, or be float32 embeddings [n, dim] or "
                f"photos [n, height, width, channels]. Received: {column.dtype} of shape "
                f"{column.shape}. A varying number of values a row is a `Ragged`."
            )
        if len(column) != rows:
            raise errors.DataError(
                f"The columns of `{table}` must have equal lengths. Received: {name!r} with "
                f"{len(column)} and {id_columns[0]!r} with {rows}."
            )


def _check_no_pixels(columns: Table) -> None:
    for name, column in columns.items():
        if column.dtype == np.uint8:
            raise errors.DataError(
                "Records hold bytes, float32 and int64. Received: uint8 photos in the column "
                f"{name!r}. Encode them first: `datasets.encode_photos(photos)`."
            )


def _examples(
    columns: Table, index: np.ndarray, missing: Mapping[str, np.ndarray] | None = None
) -> Iterator[bytes]:
    """Yields the rows at `index` as serialized Examples with features in a fixed order."""
    absent = {name: mask[index] for name, mask in (missing or {}).items()}
    lists = {}
    for name, column in sorted(columns.items()):
        kind = {"S": "bytes_list", "f": "float_list", "i": "int64_list"}[column.dtype.kind]
        part = take_column(column, index)
        if isinstance(part, Ragged):
            values = part.to_lists()
        else:
            values = part.reshape(len(index), math.prod(part.shape[1:])).tolist()
        lists[name] = (kind, values)
    for row in range(len(index)):
        example = tf.train.Example()
        feature = example.features.feature
        for name, (kind, values) in lists.items():
            if name in absent and absent[name][row]:
                continue
            # `SetInParent` keeps the kind of an empty list, which parsers tell from a missing one.
            kind_list = getattr(feature[name], kind)
            kind_list.SetInParent()
            kind_list.value.extend(values[row])
        yield example.SerializeToString(deterministic=True)
