"""Segments: slices of the test rows by the values of a feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrs_augment.datasets.interactions import Column, Ragged, take_column
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.evaluation.splitting.splits import Split

MOST_VALUES = 12
"""How many values of a feature have a slice: of more, each would hold few rows and cost all power."""

# Whole numbers beyond are written with an exponent.
_LONGEST = 1e16


def segment_masks(
    split: Split, segments: Sequence[str]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Returns the test rows of the most frequent values of features, and what was left out.

    A value's frequency is that among all rows, so that every seed of a data set has the same slices.
    A row of a feature of many values is in the slice of each. Missing values, NaN or the empty string, are
    in none.

    Args:
      split: whose test rows are cut.
      segments: names of columns of the users or of the test rows; bytes or numbers.

    Returns:
      bool `[test rows]` by `name=value`, the most frequent value of each feature first; and a sentence
      for each feature with values that have no slice.

    Raises:
      UnknownFeatureError: a segment is no such column.
      DataError: a column holds embeddings or photos.
      InvalidArgumentError: a segment is named twice.
    """
    if isinstance(segments, str) or len(set(segments)) < len(segments):
        raise InvalidArgumentError(
            f"`segments` must be a list of distinct names. Received: segments={segments!r}."
        )
    masks: dict[str, np.ndarray] = {}
    left_out = []
    for name in segments:
        tested, values, counts = _values(split, name)
        order = np.lexsort((values, -counts))
        for value in values[order[:MOST_VALUES]]:
            masks[f"{name}={_text(value)}"] = _has(tested, value)
        if len(values) > MOST_VALUES:
            share = counts[order[MOST_VALUES:]].sum() / counts.sum()
            left_out.append(
                f"{name}: {len(values) - MOST_VALUES} rarer values of {len(values)}, with {share:.1%} "
                "of the rows, have no slice."
            )
    return masks, tuple(left_out)


def _values(split: Split, name: str) -> tuple[Column, np.ndarray, np.ndarray]:
    """Returns the column of the test rows, its distinct values in all rows, and their counts."""
    users, rows = split.train.users, split.test.rows
    if name in users:
        parts = [take_column(users[name], part.user_index()) for part in (split.test, split.seen)]
    elif name in rows:
        parts = [part.rows[name] for part in (split.test, split.seen) if name in part.rows]
    else:
        raise UnknownFeatureError(
            f"`segments` must name columns of the users or of the test rows. Received: {name!r}. "
            f"{close_matches(name, [*users, *rows])}"
        )
    if any(not isinstance(part, Ragged) and part.ndim != 1 for part in parts):
        raise DataError(
            f"`segments` must name columns of bytes or numbers. Received: {name!r} of shape "
            f"{parts[0].shape}."
        )
    flat = np.concatenate([part.values if isinstance(part, Ragged) else part for part in parts])
    missing = flat == b"" if flat.dtype.kind == "S" else flat != flat
    values, counts = np.unique(flat[~missing], return_counts=True)
    return parts[0], values, counts


def _has(column: Column, value: np.generic) -> np.ndarray:
    if not isinstance(column, Ragged):
        return column == value
    row = np.repeat(np.arange(len(column)), column.row_lengths())
    return np.bincount(row[column.values == value], minlength=len(column)) > 0


def _text(value: np.generic) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    # A shorter text would be that of other numbers, too.
    whole = isinstance(value, np.floating) and value.is_integer() and abs(value) < _LONGEST
    return str(int(value)) if whole else str(value)
