"""Tables that are measured against each other, coded once: categories as integers, numbers as floats."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Interactions, Ragged
from tfrs_augment.errors import DataError
from tfrs_augment.synthesis.columns import ColumnSpec
from tfrs_augment.synthesis.inputs import read_table

Coded = Mapping[str, np.ndarray]
"""Columns `[n]`: int64 codes of a categorical column, float64 of a number with NaN where it is missing."""


@dataclasses.dataclass(frozen=True)
class CodedTables:
    """Tables of the same columns.

    Attributes:
      categories: by categorical column, its values in all tables together; a code is a place in it.
      numbers: names of the numeric columns.
      tables: by the name it was given, each table.
    """

    categories: Mapping[str, np.ndarray]
    numbers: tuple[str, ...]
    tables: Mapping[str, Coded]

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in the order asked for."""
        return tuple(next(iter(self.tables.values())))


def code_tables(tables: Mapping[str, Any], columns: Sequence[str] | None = None) -> CodedTables:
    """Codes tables that have the same columns.

    A column is categorical where a synthesizer takes it for one in the first table: bytes, and numbers of few
    different values.

    Args:
      tables: what `synthesis.read_table` reads, by the argument's name, for messages.
      columns: which columns. Default: all of the first table with one value a row.

    Raises:
      UnknownFeatureError: a table lacks a column.
      DataError: a column is of another kind than in the first table or holds lists, or a table has
        fewer than two rows.
    """
    first, reference = next(iter(tables.items()))
    if columns is None:
        columns = _columns_of(reference)
    plain = {name: read_table(table, columns=columns) for name, table in tables.items()}
    columns = list(plain[first])
    _check(plain, first)
    categories, numbers = {}, []
    coded: dict[str, dict[str, np.ndarray]] = {name: {} for name in plain}
    for column in columns:
        parts = [table[column] for table in plain.values()]
        if not ColumnSpec.of(column, parts[0]).categorical:
            numbers.append(column)
            codes = [part.astype(np.float64) for part in parts]
        else:
            categories[column], joint = np.unique(np.concatenate(parts), return_inverse=True)
            codes = np.split(joint, np.cumsum([len(part) for part in parts])[:-1])
        for name, code in zip(plain, codes, strict=True):
            coded[name][column] = code
    return CodedTables(categories, tuple(numbers), coded)


def rows_of(table: Coded) -> int:
    """The number of rows of a coded table."""
    return len(next(iter(table.values())))


def take(table: Coded, index: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the rows of a coded table at `index`."""
    return {name: column[index] for name, column in table.items()}


def draw(table: Coded, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns `count` rows drawn without replacement, or the table itself where it has no more."""
    rows = rows_of(table)
    return dict(table) if rows <= count else take(table, rng.choice(rows, count, replace=False))


def row_codes(tables: CodedTables) -> dict[str, np.ndarray]:
    """Returns int64 `[n]` by table: equal rows, of any of the tables, have equal codes."""
    joint = np.zeros(sum(map(rows_of, tables.tables.values())), np.int64)
    for column in tables.names:
        values = np.concatenate([table[column] for table in tables.tables.values()])
        _, codes = np.unique(values, return_inverse=True)
        # Coded anew after every column, so that the product never leaves int64.
        _, joint = np.unique(joint * (codes.max() + 1) + codes, return_inverse=True)
    ends = np.cumsum([rows_of(table) for table in tables.tables.values()])[:-1]
    return dict(zip(tables.tables, np.split(joint, ends), strict=True))


def _columns_of(table: Any) -> list[str] | None:
    rows = table.rows if isinstance(table, Interactions) else table
    if not isinstance(rows, Mapping):
        return None
    return [
        name
        for name, column in rows.items()
        if not isinstance(column, Ragged) and np.ndim(column) == 1
    ]


def _check(tables: Mapping[str, Mapping[str, np.ndarray]], first: str) -> None:
    for name, table in tables.items():
        if not table:
            raise DataError(f"`{name}` must have a column to measure. Received: none.")
        for column, values in table.items():
            reference = tables[first][column]
            if (values.dtype.kind == "S") != (reference.dtype.kind == "S"):
                raise DataError(
                    f"A column must be of one kind in all tables. Received: {column!r} of {values.dtype} in "
                    f"`{name}` and {reference.dtype} in `{first}`."
                )
        rows = len(next(iter(table.values())))
        if rows < 2:
            raise DataError(f"`{name}` must have at least 2 rows. Received: {rows}.")
