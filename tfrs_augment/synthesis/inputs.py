"""Whatever holds rows as a table of NumPy columns: what every synthesizer is fitted on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.arrays import is_data_frame
from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis.values import as_column

_BATCH = 4096
_INFERRED_FROM = 1000
"""Records of a file that its schema is inferred from, where none is given."""


def read_table(
    data: Any, *, columns: Sequence[str] | None = None, schema: Schema | None = None
) -> dict[str, np.ndarray]:
    """Reads rows into memory as columns of bytes, float32 or int64.

    Text becomes UTF-8 bytes, booleans and integers int64, other numbers float32, to which fractions are
    rounded. A missing value (None, NaN, pandas.NA, a feature that a record lacks) is NaN, or b"" in a
    column of bytes.

    Args:
      data: one of
        - a mapping of names to arrays or lists `[n]`;
        - `Interactions`, whose `rows` are read;
        - a pandas DataFrame, whose index is left out;
        - a `tf.data.Dataset` of dicts of scalars, or of batches of them;
        - a path or glob pattern of TFRecords of `tf.train.Example`, GZIP if its name ends in ".gz".
      columns: the names to read, in this order; None reads all.
      schema: kinds of the columns; None infers them. Of records, it says which features are read.

    Returns:
      Name to array `[n]`.

    Raises:
      InvalidArgumentError: `data` is nothing of the kind.
      UnknownFeatureError: a name of `columns` is not in the data.
      DataError: a column holds lists, values of several kinds, infinite ones, or others that `as_column`
        refuses or that don't fit the schema; columns differ in length, or have a name that is no text or
        that two of them have; no file matches the pattern; a dataset has no end.

    Example:
      >>> read_table({"title": ["Heat", None], "year": [1995, 1999]})
      {'title': array([b'Heat', b''], dtype='|S4'), 'year': array([1995, 1999])}
    """
    if schema is not None and not isinstance(schema, Schema):
        raise InvalidArgumentError(
            f"`schema` must be a Schema or None. Received: {type(schema).__name__}. Schema.load reads a "
            "schema.pbtxt."
        )
    kinds = dict(schema.kinds) if schema is not None else {}
    if isinstance(data, Interactions):
        data = data.rows
    if isinstance(data, str | os.PathLike):
        table = _read_records(os.fspath(data), columns, schema)
    elif isinstance(data, tf.data.Dataset):
        table = _read_dataset(data, columns)
    elif is_data_frame(data) or isinstance(data, Mapping):
        names = list(data) if columns is None else columns
        _require(names, list(data))
        for name in names:
            if not isinstance(name, str) or list(data).count(name) > 1:
                raise DataError(
                    f"Each column of `data` must have a name of its own, of text. Received: {name!r}, "
                    f"{list(data).count(name)} times. Rename it, or name the others in `columns`."
                )
        table = {name: data[name] for name in names}
    else:
        raise InvalidArgumentError(
            "`data` must be a mapping of columns, Interactions, a DataFrame, a tf.data.Dataset or a "
            f"path of TFRecords. Received: {type(data).__name__}."
        )
    table = {name: as_column(name, column, kinds.get(name)) for name, column in table.items()}
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"The columns must have one length. Received: {lengths}.")
    return table


def _require(names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownFeatureError(
                f"`columns` names {name!r}, which the data lack. {close_matches(name, known)}"
            )


def _read_dataset(data: tf.data.Dataset, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
    spec = data.element_spec
    if not isinstance(spec, Mapping):
        raise InvalidArgumentError(
            "`data` must be a dataset of dicts. Received: elements of "
            f"{type(spec).__name__}. Map the features out: dataset.map(lambda x, y: x)."
        )
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("The dataset has no end. Take a part of it: dataset.take(count).")
    names = list(spec) if columns is None else list(columns)
    _require(names, spec)
    data = data.map(lambda features: {name: features[name] for name in names})
    for name in names:
        if not isinstance(spec[name], tf.TensorSpec) or spec[name].shape.rank not in (0, 1):
            raise DataError(
                f"The column {name!r} must hold one value a row. Received: {spec[name]}. Leave it "
                "out: name the others in `columns`."
            )
    if all(spec[name].shape.rank == 0 for name in names):
        data = data.batch(_BATCH)
    return _concatenate(names, data.as_numpy_iterator())


def _concatenate(
    names: Sequence[str], batches: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in batches:
        for name in names:
            values = batch[name]
            parts[name].append(
                as_column(name, values, "bytes") if values.dtype == object else values
            )
    return {name: np.concatenate(parts[name]) if parts[name] else np.zeros(0) for name in names}


def _read_records(
    pattern: str, columns: Sequence[str] | None, schema: Schema | None
) -> dict[str, np.ndarray]:
    paths = sorted(tf.io.gfile.glob(pattern))
    if not paths:
        raise DataError(f"No file matches `data`. Received: {pattern!r}.")
    compression = "GZIP" if paths[0].endswith(".gz") else None
    records = tf.data.TFRecordDataset(paths, compression)
    if schema is None:
        schema = Schema.of_examples(records.take(_INFERRED_FROM).as_numpy_iterator())
        # Features have no order in a record.
        schema = Schema(dict(sorted(schema.kinds.items())))
    names = list(schema.kinds) if columns is None else list(columns)
    _require(names, schema.kinds)
    dtypes = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}
    spec = {name: tf.io.VarLenFeature(dtypes[schema.kinds[name]]) for name in names}
    batches = records.batch(_BATCH).map(lambda batch: tf.io.parse_example(batch, spec))
    try:
        return _concatenate(
            names, ({name: _dense(name, batch[name]) for name in names} for batch in batches)
        )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(f"The records of {pattern!r} can't be read: {error.message}") from error


def _dense(name: str, column: tf.SparseTensor) -> np.ndarray:
    """A feature of a batch of records, one value a row; NaN or b"" where a record lacks it."""
    rows = column.indices.numpy()[:, 0]
    count = int(column.dense_shape[0])
    values = column.values.numpy()
    if len(rows) > len(np.unique(rows)):
        raise DataError(
            f"The feature {name!r} must hold one value a record. Received: records with several. "
            "Leave it out: name the others in `columns`."
        )
    if values.dtype == np.int64 and len(rows) < count:
        raise DataError(
            f"The feature {name!r} of int64 must be in every record, for integers have no missing "
            f"value. Received: {count - len(rows)} records of {count} without it."
        )
    missing = {"f": np.nan, "i": 0, "O": b""}[values.dtype.kind]
    filled = np.full(count, missing, values.dtype)
    filled[rows] = values
    return filled
