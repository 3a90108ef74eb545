"""Tables of NumPy arrays or a pandas DataFrame as columns for ops, and back as they were.

Ops take tensors; models outside TensorFlow hold arrays. A value that is missing (None, or NaN in a column of
objects) is a row without values, as a feature that a tf.train.Example lacks is, and is missing still after.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import values_of
from tfrs_augment.ops import Op
from tfrs_augment.rng import Column

Augment = Callable[[Mapping[str, Column]], Mapping[str, Column]]


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What must be known of a column of objects to put new values in it."""

    scalars: np.ndarray
    """bool `[batch]`: the row held a value and not a list of them."""
    missing: np.ndarray
    """bool `[batch]`."""
    text: bool
    """Whether its strings were str and not bytes."""


def is_data_frame(data: Any) -> bool:
    """Whether this is a pandas DataFrame; does not import pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def apply_to_arrays(
    data: Mapping[str, np.ndarray], ops: Sequence[Op], keys: Sequence[str], augment: Augment
) -> dict[str, np.ndarray]:
    """Augments the columns of a dict of arrays; see `AugmentationPolicy.apply`.

    Args:
      data: name to array.
      ops: the ops, whose features come out changed.
      keys: the key features.
      augment: columns to columns.

    Returns:
      A new dict; the arrays that no op changes are the same objects.
    """
    changed = features_of(ops)
    used = dict.fromkeys((*changed, *keys))
    arrays = {name: np.asarray(data[name]) for name in used if name in data}
    lengths = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        raise DataError(f"The columns must be arrays of one length. Received: {lengths}.")
    columns, layouts = {}, {}
    for name, array in arrays.items():
        columns[name], layouts[name] = to_column(name, array, ops)
    augmented = augment(columns)
    result = dict(data)
    for name in changed:
        result[name] = _to_array(augmented[name], arrays[name], layouts[name])
    return result


def apply_to_frame(data: Any, ops: Sequence[Op], keys: Sequence[str], augment: Augment) -> Any:
    """The same for a pandas DataFrame: index, order of columns and dtypes stay."""
    if not data.columns.is_unique:
        raise InvalidArgumentError("`data` must have one column a name. Rename those that repeat.")
    used = dict.fromkeys((*features_of(ops), *keys))
    arrays = {name: _series_array(data[name]) for name in used if name in data}
    augmented = apply_to_arrays(arrays, ops, keys, augment)
    result = data.copy(deep=False)
    for name in features_of(ops):
        series = data[name]
        values = type(series)(augmented[name], index=data.index, name=name, copy=False)
        categories = getattr(series.dtype, "categories", None)
        if categories is not None:
            # A token that is no category yet would read as missing.
            new = values.dropna().unique()
            known = series.cat.add_categories([v for v in new if v not in categories])
            result[name] = values.astype(known.dtype)
        elif values.dtype != series.dtype:
            result[name] = values.astype(series.dtype)
        else:
            result[name] = values
    return result


def _series_array(series: Any) -> np.ndarray:
    """A series as an array of NumPy's own types; missing values of pandas as None."""
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    array = np.empty(len(series), object)
    array[:] = series.astype(object).where(series.notna(), None)
    return array


def features_of(ops: Sequence[Op]) -> tuple[str, ...]:
    """The features that ops change, in the order of their first use."""
    return tuple(dict.fromkeys(name for op in ops for name in op.features))


def to_column(name: str, array: np.ndarray, ops: Sequence[Op]) -> tuple[Column, _Layout | None]:
    """An array as a column; an array of objects holds strings, lists, or numbers with missing ones."""
    if array.dtype.kind == "U":
        return tf.constant(np.char.encode(array, "utf-8").astype(object)), None
    if array.dtype.kind == "S":
        return tf.constant(array.astype(object)), None
    if array.dtype != object:
        return tf.convert_to_tensor(array), None
    rows = [None if _is_missing(row) else row for row in array.tolist()]
    missing = np.array([row is None for row in rows], bool)
    scalars = np.array([not isinstance(row, list | tuple | np.ndarray) for row in rows], bool)
    lists = [[] if row is None else [row] if s else list(row) for row, s in zip(rows, scalars)]
    flat = [value for row in lists for value in row]
    layout = _Layout(scalars & ~missing, missing, any(isinstance(value, str) for value in flat))
    values = _flat_values(name, flat, ops)
    if not missing.any() and scalars.all():
        return values, layout
    row_splits = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return tf.RaggedTensor.from_row_splits(values, row_splits), layout


def _is_missing(row: Any) -> bool:
    return row is None or (isinstance(row, float) and row != row)


def empty_dtype(name: str, ops: Sequence[Op]) -> tf.DType:
    """What a column without any value is a column of: the first kind that all its ops take."""
    kinds = [part.kinds for op in ops for part in op.parts() if name in part.features]
    common = [kind for kind in kinds[0] if all(kind in k for k in kinds)] if kinds else []
    return {"bytes": tf.string, "int64": tf.int64}.get(common[0] if common else "", tf.float32)


def _flat_values(name: str, flat: list, ops: Sequence[Op]) -> tf.Tensor:
    if not flat:
        return tf.zeros([0], empty_dtype(name, ops))
    if isinstance(flat[0], str | bytes):
        if not all(isinstance(value, str | bytes) for value in flat):
            raise DataError(
                f"Feature '{name}' must hold strings alone. Received: other values too."
            )
        return tf.constant([v.encode() if isinstance(v, str) else v for v in flat])
    array = np.array(flat)
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise DataError(
            f"Feature '{name}' must hold strings, numbers or lists of them. "
            f"Received: {array.dtype} of shape {array.shape}."
        )
    return tf.convert_to_tensor(array)


def _to_array(column: Column, source: np.ndarray, layout: _Layout | None) -> np.ndarray:
    """A column as an array of its source's type."""
    values = values_of(column).numpy()
    if layout is None and source.dtype.kind == "U":
        return np.char.decode(values.astype(bytes), "utf-8")
    if layout is None:
        return values.astype(bytes) if source.dtype.kind == "S" else values
    flat = values.tolist()
    if layout.text:
        flat = [value.decode("utf-8", "backslashreplace") for value in flat]
    result = np.empty(len(source), object)
    if not isinstance(column, tf.RaggedTensor):
        result[:] = flat
        return result
    splits = column.row_splits.numpy().tolist()
    for i in range(len(source)):
        row = flat[splits[i] : splits[i + 1]]
        # A scalar that an op took away altogether is missing from then on.
        result[i] = (
            source[i]
            if layout.missing[i]
            else (row[0] if row else None)
            if layout.scalars[i]
            else row
        )
    return result
