"""A table beside its augmented rows: columns of one form, and which source row each came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.arrays import is_data_frame
from tfrs_augment.datasets.interactions import Column, Interactions, Ragged, Table, take_column
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.synthesis.values import as_column

PARENT_KEY, DRAW = "aug/parent_key", "aug/draw"
"""The features in which the Beam job says where an augmented row comes from."""
WEIGHT = "sample_weight"
_JOB = "aug/"
_EXACT, _EXACT_WITH_GAPS = 2**53, 2**24
"""Larger integers are not exact as float64, and as float32, which has NaN for what is missing."""
_LONGEST = 1000
"""Bytes of a value that is still text."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A source and its augmented rows, in the same columns.

    Attributes:
      source: name to column `[n]`: bytes, float32 with NaN for missing, int64, or `Ragged`.
      augmented: likewise, `[m]`.
      parents: int64 `[m]`, the source row of each augmented row, -1 where it is not known; None where none
        is.
      draws: int64 `[m]`, the draw number of each augmented row; None where it is not known.
      left_out: columns that are not measured, each with why.
      notes: what was done to the tables, in sentences.
      raw: the source with all its columns, as they were given, missing values as empty lists.
    """

    source: Table
    augmented: Table
    parents: np.ndarray | None
    draws: np.ndarray | None
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()
    raw: Table = dataclasses.field(default_factory=dict)

    @property
    def lists(self) -> tuple[str, ...]:
        """The columns whose rows hold lists."""
        return tuple(name for name, column in self.source.items() if isinstance(column, Ragged))

    @property
    def scalars(self) -> tuple[str, ...]:
        """The columns with one value a row."""
        return tuple(name for name, column in self.source.items() if not isinstance(column, Ragged))

    def sample(self, most: int, rng: np.random.Generator) -> Pair:
        """Returns a pair of at most `most` rows each; known parents keep all their augmented rows.

        Where they are known, source rows are drawn and their augmented rows come with them, so that both
        tables still speak of the same rows.
        """
        before, after = rows_of(self.source), rows_of(self.augmented)
        if before <= most and after <= most:
            return self
        if self.parents is None or (self.parents < 0).all():
            chosen = _draw(before, most, rng), _draw(after, most, rng)
            return self._take(*chosen, None)
        count = max(2, min(most, before, int(before * most / max(after, 1))))
        source = _draw(before, count, rng)
        place = np.full(before, -1, np.int64)
        place[source] = np.arange(len(source))
        parents = np.where(self.parents < 0, -1, place[self.parents])
        rows = np.flatnonzero((parents >= 0) | (self.parents < 0))
        rows = rows[_draw(len(rows), most, rng)]
        return self._take(source, rows, parents[rows])

    def _take(self, source: np.ndarray, augmented: np.ndarray, parents: np.ndarray | None) -> Pair:
        counts = (rows_of(self.source), rows_of(self.augmented), len(source), len(augmented))
        note = "Measured on a sample: {2:,} of {0:,} source rows and {3:,} of {1:,} augmented ones."
        return dataclasses.replace(
            self,
            source={name: take_column(column, source) for name, column in self.source.items()},
            raw={name: take_column(column, source) for name, column in self.raw.items()},
            augmented={n: take_column(column, augmented) for n, column in self.augmented.items()},
            parents=parents,
            draws=None if self.draws is None else self.draws[augmented],
            notes=(*self.notes, note.format(*counts)),
        )


def pair_tables(
    source: Any,
    augmented: Any,
    *,
    columns: Sequence[str] | None = None,
    parents: Sequence[int] | None = None,
    policy: AugmentationPolicy | None = None,
) -> Pair:
    """Reads two tables into columns of one form.

    Where augmented rows hold `aug/draw`, as those of the Beam job do, rows without it are originals, and are
    left out. A source that holds it keeps its originals alone: both may be the output of one job.

    Args:
      source: `Interactions`, a mapping of columns, or a DataFrame. A column holds a value or a list a row.
      augmented: likewise.
      columns: the columns to measure. Default: all of `source` but those that the job adds.
      parents: the source row of each augmented row, -1 where it is not known. Default: found by
        `aug/parent_key` and the key features of the policy, if there are both.
      policy: what made the augmented rows. Default: not known.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a table lacks a column.
      DataError: a table has fewer than two rows, or a column is of another kind than in the other.
    """
    before, after = read_columns(source, "source"), read_columns(augmented, "augmented")
    given = len(_some(after))
    if DRAW in before:
        before = _take(before, _lengths(before[DRAW]) == 0)
    made = _lengths(after[DRAW]) > 0 if DRAW in after else np.ones(given, bool)
    after = _take(after, made)
    for name, table in (("source", before), ("augmented", after)):
        if len(_some(table)) < 2:
            raise DataError(
                f"`{name}` must have at least 2 rows. Received: {len(_some(table))}"
                + (f" that hold '{DRAW}'." if name == "augmented" and not made.all() else ".")
            )
    draws = _only(after[DRAW]) if DRAW in after else None
    if parents is not None:
        parents = _checked_parents(parents, len(_some(before)), given)[made]
        parents = parents if (parents >= 0).any() else None
    elif PARENT_KEY in after and policy is not None and policy.key_features:
        parents = _parents_by_key(before, after[PARENT_KEY], policy)
    names, left_out = _names(before, after, columns)
    first, second = {}, {}
    for name in names:
        first[name], second[name] = _alike(name, before[name], after[name])
    notes = ()
    if not made.all():
        notes = (f"{int((~made).sum()):,} originals among the augmented rows are left out.",)
    return Pair(first, second, parents, draws, left_out, notes, before)


def rows_of(table: Table) -> int:
    """Returns the number of rows of a table."""
    return len(_some(table))


def read_columns(data: Any, argument: str) -> dict[str, Column]:
    """Returns the columns of a table in one form each; columns of images and embeddings stay arrays.

    Args:
      data: `Interactions`, a mapping of columns, or a DataFrame.
      argument: what it is called in messages.

    Raises:
      InvalidArgumentError: it is nothing of the kind.
      DataError: it has no column, or columns of other lengths than the first.
    """
    if isinstance(data, Interactions):
        data = data.rows
    if not isinstance(data, Mapping) and not is_data_frame(data):
        raise InvalidArgumentError(
            f"`{argument}` must be Interactions, a mapping of columns or a DataFrame. "
            f"Received: {type(data).__name__}."
        )
    table = {str(name): _column(str(name), data[name]) for name in data}
    lengths = {name: len(column) for name, column in table.items()}
    if not table or len(set(lengths.values())) > 1:
        raise DataError(f"`{argument}` must have columns of one length. Received: {lengths}.")
    return table


def _column(name: str, values: Any) -> Column:
    if isinstance(values, tf.RaggedTensor):
        splits = values.row_splits.numpy().astype(np.int64)
        values = Ragged(as_column(name, values.flat_values.numpy()), splits)
    if isinstance(values, tf.Tensor):
        values = values.numpy()
    if isinstance(values, Ragged):
        flat = as_column(name, values.values)
        return flat if (values.row_lengths() == 1).all() else Ragged(flat, values.row_splits)
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return values
    plain = list(values) if not isinstance(values, np.ndarray) or values.dtype == object else ()
    if any(isinstance(row, list | tuple | np.ndarray) for row in plain):
        lists = [_as_list(row) for row in plain]
        flat = as_column(name, [value for row in lists for value in row])
        splits = np.cumsum([0, *map(len, lists)], dtype=np.int64)
        return Ragged(flat, splits)
    return as_column(name, values)


def _as_list(row: Any) -> list[Any]:
    if isinstance(row, list | tuple | np.ndarray):
        return list(row)
    return [] if row is None or row != row else [row]


def _some(table: Table) -> Column:
    return next(iter(table.values()))


def _take(table: Table, index: np.ndarray) -> dict[str, Column]:
    return dict(table) if index.all() else {n: take_column(c, index) for n, c in table.items()}


def _draw(rows: int, most: int, rng: np.random.Generator) -> np.ndarray:
    if rows <= most:
        return np.arange(rows)
    return np.sort(rng.choice(rows, most, replace=False))


def _lengths(column: Column) -> np.ndarray:
    return column.row_lengths() if isinstance(column, Ragged) else np.ones(len(column), np.int64)


def _only(column: Column) -> np.ndarray:
    """The one value of each row, -1 where a row has none."""
    if not isinstance(column, Ragged):
        return column.astype(np.int64)
    found = np.full(len(column), -1, np.int64)
    some = column.row_lengths() > 0
    found[some] = column.values[column.row_splits[:-1][some]]
    return found


def _checked_parents(parents: Sequence[int], sources: int, rows: int) -> np.ndarray:
    parents = np.asarray(parents)
    fits = parents.shape == (rows,) and parents.dtype.kind in "iu"
    if not fits or (rows and (parents.min() < -1 or parents.max() >= sources)):
        raise InvalidArgumentError(
            f"`parents` must be {rows} integers, places in the {sources} source rows or -1. Received: "
            f"an array of {parents.dtype} of shape {parents.shape}"
            + (f", from {parents.min()} to {parents.max()}." if fits else ".")
        )
    return parents.astype(np.int64)


def _parents_by_key(source: Table, keys: Column, policy: AugmentationPolicy) -> np.ndarray | None:
    """The source row of each key, -1 where no source row has it; the first of those that share one."""
    missing = [name for name in policy.key_features if name not in source]
    if missing:
        raise UnknownFeatureError(
            f"`policy` has the key feature '{missing[0]}', which `source` lacks. "
            f"{close_matches(missing[0], source)}"
        )
    columns = {}
    for name in policy.key_features:
        if isinstance(source[name], Ragged):
            raise DataError(
                f"Key feature '{name}' of `policy` must have one value a row. Received: rows of `source` "
                "with none, or several."
            )
        columns[name] = tf.constant(source[name])
    own = tf.bitcast(policy.row_keys(columns), tf.int64).numpy()
    wanted, known = _only(keys), _lengths(keys) > 0
    order = np.argsort(own, kind="stable")
    place = np.minimum(np.searchsorted(own[order], wanted), len(own) - 1)
    parents = np.where(known & (own[order][place] == wanted), order[place], -1)
    return parents if (parents >= 0).any() else None


def _names(
    source: Table, augmented: Table, columns: Sequence[str] | None
) -> tuple[list[str], dict[str, str]]:
    """The columns to measure, and those that are not, with why."""
    if columns is not None:
        wanted = [columns] if isinstance(columns, str) else list(dict.fromkeys(columns))
        for name in wanted:
            if name not in source:
                raise UnknownFeatureError(
                    f"`columns` names {name!r}, which `source` lacks. {close_matches(name, source)}"
                )
    else:
        wanted = [name for name in source if not name.startswith(_JOB) and name != WEIGHT]
    left_out, names = {}, []
    for name in wanted:
        if name not in augmented:
            if columns is not None:
                raise UnknownFeatureError(
                    f"`columns` names {name!r}, which `augmented` lacks. {close_matches(name, augmented)}"
                )
            left_out[name] = "the augmented rows lack it"
        elif any(isinstance(t[name], np.ndarray) and t[name].ndim > 1 for t in (source, augmented)):
            left_out[name] = "it has more than one dimension"
        elif any(_is_binary(t[name]) for t in (source, augmented)):
            left_out[name] = "its values are longer than 1,000 bytes: pictures, perhaps"
        else:
            names.append(name)
    if not names:
        raise DataError(
            f"`source` and `augmented` must share a column to measure. Received: {list(source)} and "
            f"{list(augmented)}."
        )
    return names, left_out


def _is_binary(column: Column) -> bool:
    return column.dtype.kind == "S" and column.dtype.itemsize > _LONGEST


def _alike(name: str, first: Column, second: Column) -> tuple[Column, Column]:
    """Two columns of one kind and one form: values, or lists where a row of either holds several."""
    if (first.dtype.kind == "S") != (second.dtype.kind == "S"):
        raise DataError(
            f"A column must be of one kind in both tables. Received: {name!r} of {first.dtype} in `source` "
            f"and {second.dtype} in `augmented`."
        )
    if any(_lengths(column).max(initial=0) > 1 for column in (first, second)):
        return _as_lists(first), _as_lists(second)
    gaps = any(isinstance(column, Ragged) for column in (first, second))
    most = max(_largest(column) for column in (first, second))
    if most > (_EXACT_WITH_GAPS if gaps else _EXACT):
        # No quantity: an id, or a hash.
        first, second = (_as_text(column) for column in (first, second))
    return tuple(_with_gaps(column) if gaps else column for column in (first, second))


def _largest(column: Column) -> int:
    """The size of the largest integer; 0 of all that are none."""
    values = column.values if isinstance(column, Ragged) else column
    if values.dtype.kind != "i" or not len(values):
        return 0
    return max(-int(values.min()), int(values.max()))


def _as_text(column: Column) -> Column:
    if isinstance(column, Ragged):
        return Ragged(column.values.astype("S"), column.row_splits)
    return column.astype("S")


def _as_lists(column: Column) -> Ragged:
    if isinstance(column, Ragged):
        return column
    return Ragged(column, np.arange(len(column) + 1, dtype=np.int64))


def _with_gaps(column: Column) -> np.ndarray:
    """At most one value a row as an array: NaN, or no bytes, where there is none."""
    column = _as_lists(column)
    some = column.row_lengths() > 0
    if column.dtype.kind == "S":
        filled = np.zeros(len(column), column.dtype)
    else:
        filled = np.full(len(column), np.nan, np.float64)
    filled[some] = column.values
    return filled
