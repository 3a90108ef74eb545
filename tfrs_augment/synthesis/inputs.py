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

_BATCH = 4096
_INFERRED_FROM = 1000
"""Records of a file that its schema is inferred from, where none is given."""
_NUMPY = {"bytes": np.dtype("S"), "float": np.dtype(np.float32), "int64": np.dtype(np.int64)}


def read_table(
    data: Any, *, columns: Sequence[str] | None = None, schema: Schema | None = None
) -> dict[str, np.ndarray]:
    """Reads rows into memory as columns of bytes, float32 or int64.

    Text becomes UTF-8 bytes, booleans and integers int64, other numbers float32. A missing value
    (None, NaN, pandas.NA, a feature that a record lacks) is NaN, or b"" in a column of bytes.

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
      DataError: a column holds lists, infinite values, or values that don't fit the schema; columns
        differ in length; no file matches the pattern; a dataset has no end.

    Example:
      >>> read_table({"title": ["Heat", None], "year": [1995, 1999]})
      {'title': array([b'Heat', b''], dtype='|S4'), 'year': array([1995, 1999])}
    """
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


def as_column(name: str, values: Any, kind: str | None = None) -> np.ndarray:
    """Returns one column of a table.

    Args:
      name: what it is called in messages.
      values: an array, a list or a pandas Series `[n]`.
      kind: "bytes", "float" or "int64"; None keeps the one that the values have.

    Raises:
      DataError: as `read_table`.
    """
    array = _array(name, values)
    if array.dtype == object:
        array = _from_objects(name, array, kind)
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    if array.dtype.kind == "u" and len(array) and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"The integers of {name!r} must fit int64. Received: {array.max()}.")
    if array.dtype.kind in "biu":
        array = array.astype(np.int64)
    elif array.dtype.kind == "f" and kind == "int64":
        array = _to_integers(name, array)
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    elif array.dtype.kind != "S":
        raise DataError(
            f"The column {name!r} must hold text, bytes or numbers. Received: {array.dtype}. Convert "
            "it first; times become seconds with astype('datetime64[s]').astype('int64')."
        )
    if kind == "float" and array.dtype == np.int64:
        array = array.astype(np.float32)
    if kind is not None and array.dtype.kind != _NUMPY[kind].kind:
        raise DataError(
            f"The schema declares {name!r} as {kind}. Received: an array of {array.dtype}."
        )
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise DataError(
            f"The column {name!r} must hold finite float32 numbers, or NaN where missing. Received: "
            f"{int(np.isinf(array).sum())} infinite values."
        )
    return array


def _array(name: str, values: Any) -> np.ndarray:
    """Values as an array of one dimension; missing values of pandas as None in one of objects."""
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "notna") and not isinstance(dtype, np.dtype):
        values = values.astype(object).where(values.notna(), None).to_numpy()
    if isinstance(values, list | tuple) and any(value is None for value in values):
        values = np.array(values, object)
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty([0, 0])
    if array.ndim != 1 or isinstance(values, tf.RaggedTensor) or hasattr(values, "row_splits"):
        raise DataError(
            f"The column {name!r} must hold one value a row. Received: {type(values).__name__} of "
            f"shape {getattr(values, 'shape', array.shape)}. Leave it out: name the others in "
            "`columns`."
        )
    return array


def _from_objects(name: str, array: np.ndarray, kind: str | None) -> np.ndarray:
    """An array of Python objects as one of text, or of numbers with NaN where they are missing."""
    rows = array.tolist()
    missing = [row is None or (isinstance(row, float) and row != row) for row in rows]
    known = [row for row, absent in zip(rows, missing) if not absent]
    if all(isinstance(row, str | bytes) for row in known) and (known or kind == "bytes"):
        encoded = [row.encode() if isinstance(row, str) else row for row in known]
        filled = np.full(len(rows), b"", f"S{max(map(len, encoded), default=1) or 1}")
        filled[~np.array(missing, bool)] = encoded
        return filled
    if not all(isinstance(row, int | float | np.number) for row in known):
        kinds = sorted({type(row).__name__ for row in known})
        raise DataError(
            f"The column {name!r} must hold text or numbers, one a row. Received: objects of "
            f"{', '.join(kinds[:5])}. Convert it first."
        )
    if not any(missing):
        return np.array(known)
    return np.array([np.nan if absent else row for row, absent in zip(rows, missing)], np.float64)


def _to_integers(name: str, array: np.ndarray) -> np.ndarray:
    whole = np.isfinite(array) & (array == np.round(array))
    if not whole.all():
        raise DataError(
            f"The schema declares {name!r} as int64, which can't be missing or have decimals. "
            f"Received: {int((~whole).sum())} such values. Fill them in or drop their rows."
        )
    return array.astype(np.int64)


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
            parts[name].append(values.astype("S") if values.dtype == object else values)
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
