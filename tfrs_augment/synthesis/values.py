"""The values of one column, whatever holds them, as bytes, float32 or int64."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrs_augment.errors import DataError

_NUMPY = {"bytes": "S", "float": "f", "int64": "i"}
_INTEGER = int | np.integer | np.bool_
_MAX_WHOLE = 2**53
"""Every float64 from here on is a whole number, so that being whole says nothing."""


def as_column(name: str, values: Any, kind: str | None = None) -> np.ndarray:
    """Returns one column of a table.

    Args:
      name: what it is called in messages.
      values: an array, a list or a pandas Series `[n]`. None, NaN, pandas.NA and what an array masks are
        missing.
      kind: "bytes", "float" or "int64"; None keeps the one that the values have.

    Raises:
      DataError: the values are of another kind, of several kinds, or lists; one is infinite; an integer
        does not fit int64; a whole number, which may be an id or a time, does not fit float32; text can't be
        encoded, or ends in a NUL byte, which NumPy drops.
    """
    array = _array(name, values)
    if array.dtype == object:
        array = _from_objects(name, array, kind)
    if array.dtype.kind == "U":
        try:
            array = np.char.encode(array, "utf-8")
        except UnicodeEncodeError as error:
            raise _not_encoded(name, error) from error
    if array.dtype.kind == "u" and len(array) and array.max() > np.iinfo(np.int64).max:
        raise _too_large(name, array.max())
    if array.dtype.kind in "biu":
        array = array.astype(np.int64)
        if kind == "float":
            array = _to_float32(name, array)
    elif array.dtype.kind == "f":
        array = _to_integers(name, array) if kind == "int64" else _to_float32(name, array)
    elif array.dtype.kind != "S":
        raise _no_column(name, f"an array of {array.dtype}")
    if kind == "bytes" and array.dtype.kind == "f" and np.isnan(array).all():
        array = np.full(len(array), b"", "S1")  # of no value at all, the kind is not known
    if kind is not None and array.dtype.kind != _NUMPY[kind]:
        raise DataError(
            f"The column {name!r} must hold {kind}. Received: an array of {array.dtype}. Convert it "
            "first, or declare what it holds in the schema."
        )
    return array


def with_gaps(name: str, values: Any, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a column of a known kind, and where it has no value.

    Args:
      name: as of `as_column`.
      values: as of `as_column`; an integer may be missing too.
      kind: "bytes", "float" or "int64".

    Returns:
      `[n]` in the kind's dtype, 0 or b"" where it has no value; and bool `[n]`, true there.

    Raises:
      DataError: as of `as_column`.
    """
    if kind == "bytes":
        column = as_column(name, values, kind)
        return column, column == b""
    array = _array(name, values)
    absent = np.zeros(len(array), bool)
    if array.dtype == object:
        absent[:] = [_is_missing(row) for row in array.tolist()]
    elif array.dtype.kind == "f":
        absent = np.isnan(array)
    if absent.any():
        array = np.where(absent, 0, array)
    return as_column(name, array, kind), absent


def _array(name: str, values: Any) -> np.ndarray:
    """Values as an array of one dimension: of objects, missing ones None, unless all are of a dtype."""
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "row_splits"):
        raise _no_column(name, f"a {type(values).__name__} column of lists")
    if isinstance(values, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(values), None, values.data.astype(object))
    elif hasattr(values, "notna") and not isinstance(dtype, np.dtype):
        values = values.astype(object).where(values.notna(), None).to_numpy()
    elif isinstance(values, list | tuple):
        # NumPy would make text of the numbers beside text, and floats of large integers.
        values = np.fromiter(values, object, len(values))
    array = np.asarray(values)
    if array.ndim != 1:
        raise _no_column(name, f"{type(values).__name__} of shape {getattr(values, 'shape', ())}")
    return array


def _from_objects(name: str, array: np.ndarray, kind: str | None) -> np.ndarray:
    """An array of Python objects as one of text, or of numbers with NaN where they are missing."""
    rows = array.tolist()
    missing = [_is_missing(row) for row in rows]
    known = [row for row, absent in zip(rows, missing) if not absent]
    if all(isinstance(row, str | bytes) for row in known) and (known or kind == "bytes"):
        return _from_text(name, known, missing)
    if not all(isinstance(row, _INTEGER | float | np.floating) for row in known):
        kinds = sorted({type(row).__name__ for row in known})
        raise _no_column(name, f"objects of {', '.join(kinds[:5])}")
    integers = [row for row in known if isinstance(row, _INTEGER)]
    largest = max(map(abs, map(int, integers)), default=0)
    if largest > np.iinfo(np.int64).max:
        raise _too_large(name, largest)
    if integers and len(integers) == len(rows):
        return np.array(rows, np.int64)
    if largest > _MAX_WHOLE:
        raise _rounded(name, largest)
    return np.array([np.nan if absent else row for row, absent in zip(rows, missing)], np.float64)


def _from_text(name: str, known: list[str | bytes], missing: list[bool]) -> np.ndarray:
    try:
        encoded = [row.encode() if isinstance(row, str) else row for row in known]
    except UnicodeEncodeError as error:
        raise _not_encoded(name, error) from error
    cut = next((row for row in encoded if row.endswith(b"\0")), None)
    if cut is not None:
        raise DataError(
            f"The text of {name!r} must not end in a NUL byte, which an array of bytes drops. Received: "
            f"{cut!r}. Encode it another way, for instance with bytes.hex."
        )
    filled = np.full(len(missing), b"", f"S{max(map(len, encoded), default=1) or 1}")
    filled[~np.array(missing, bool)] = encoded
    return filled


def _is_missing(row: Any) -> bool:
    return row is None or (isinstance(row, float | np.floating) and row != row)


def _to_integers(name: str, array: np.ndarray) -> np.ndarray:
    whole = np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2.0**63)
    if not whole.all():
        raise DataError(
            f"The integers of {name!r} must not be missing, have decimals, or be beyond int64. Received: "
            f"{int((~whole).sum())} such values. Fill them in or drop their rows."
        )
    return array.astype(np.int64)


def _to_float32(name: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32)
    if np.isinf(rounded).any():
        raise DataError(
            f"The column {name!r} must hold finite float32 numbers, or NaN where missing. Received: "
            f"{int(np.isinf(rounded).sum())} infinite values."
        )
    exact, kept = array[~np.isnan(rounded)], rounded[~np.isnan(rounded)]
    lost = exact[kept != exact]
    if len(lost) and (array.dtype.kind == "i" or _are_whole(exact)):
        raise _rounded(name, lost[0])
    return rounded


def _are_whole(numbers: np.ndarray) -> bool:
    return bool(((numbers == np.round(numbers)) & (np.abs(numbers) < _MAX_WHOLE)).all())


def _no_column(name: str, received: str) -> DataError:
    return DataError(
        f"The column {name!r} must hold text, bytes or numbers, one value a row. Received: {received}. "
        "Convert it first; times become seconds with astype('datetime64[s]').astype('int64'). Or leave it "
        "out: name the others in `columns`."
    )


def _not_encoded(name: str, error: UnicodeEncodeError) -> DataError:
    return DataError(
        f"The text of {name!r} must be valid Unicode. Received: {error.object!r}. Encode it to bytes first, "
        "for instance with errors='replace'."
    )


def _too_large(name: str, value: Any) -> DataError:
    return DataError(
        f"The integers of {name!r} must fit int64. Received: {value}. If they are ids, pass them as text."
    )


def _rounded(name: str, value: Any) -> DataError:
    return DataError(
        f"The whole numbers of {name!r}, which may be ids or times, must fit float32. Received: {value}, "
        "which would be rounded. Pass them as int64 with no value missing, ids as text, or, where "
        "rounding does no harm, as float32."
    )
