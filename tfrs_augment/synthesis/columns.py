"""What a synthesizer knows of each column: kind, vocabulary or bounds, decimals, missing share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import DataError, UnknownFeatureError, close_matches
from tfrs_augment.schema import Domain, Schema

Table = Mapping[str, np.ndarray]
"""Columns `[n]` of bytes ("S"), float32 (NaN is missing) or int64."""

MAX_NUMBER_CATEGORIES = 20
"""A column of numbers with at most this many different ones is categorical."""
_ROWS_A_CATEGORY = 5
_MAX_DECIMALS = 6
_MAX_INTEGER = 2**53
"""Larger integers are not exact in float64, in which quantiles are computed."""


@dataclasses.dataclass(frozen=True, eq=False)
class ColumnSpec:
    """One column.

    A column is categorical if it holds bytes, or numbers of which there are few different ones (at
    most 20, and 5 rows or more for each): ratings, flags, a constant. Its values are `categories`
    and nothing else. NaN, a missing number, is a category of a categorical column, so a column
    without any value is categorical too, with that one category.

    Attributes:
      name: the column's name.
      dtype: "bytes", "float32" or "int64".
      categories: the values in rising order, NaN last, in the column's dtype; None if numeric.
      minimum: the lowest value of a numeric column: that of the schema where it declares one, else
        that of the data; None if categorical.
      maximum: the highest value, likewise.
      decimals: places behind the point of a numeric column, 0 for integers; None for any number, or
        if categorical.
      missing: the share of NaN in a numeric column; 0 if categorical.
    """

    name: str
    dtype: str
    categories: np.ndarray | None = None
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    missing: float = 0.0

    @classmethod
    def of(cls, name: str, values: np.ndarray, domain: Domain | None = None) -> ColumnSpec:
        """Returns the spec of a column of data.

        Args:
          name: the column's name.
          values: `[n]`, n at least 1, as in a `Table`.
          domain: the values that the schema allows.

        Raises:
          DataError: a value is outside the domain; or an integer, where they are many, is not exact in
            float64.
        """
        dtype = "bytes" if values.dtype.kind == "S" else str(values.dtype)
        known = values[~np.isnan(values)] if dtype == "float32" else values
        distinct = np.unique(known)
        outside = domain.outside(distinct.tolist()) if domain is not None else []
        domain = domain or Domain()
        if outside:
            raise DataError(
                f"The values of {name!r} must be in the schema's domain. Received: "
                f"{len(outside)} that are not, among them {outside[0]!r}."
            )
        few = min(MAX_NUMBER_CATEGORIES, max(1, len(known) // _ROWS_A_CATEGORY))
        if dtype == "bytes" or len(distinct) <= few:
            if domain.values:
                distinct = np.union1d(distinct, np.array(sorted(domain.values), "S"))
            if len(known) < len(values):
                distinct = np.append(distinct, np.float32("nan"))
            return cls(name, dtype, categories=distinct)
        if dtype == "int64" and max(-int(distinct[0]), int(distinct[-1])) > _MAX_INTEGER:
            raise DataError(
                f"The integers of {name!r} must be within 2**53 of 0, to be quantities. Received: "
                f"{distinct[0]} to {distinct[-1]}. If they are ids, pass them as text."
            )
        decimals = 0 if dtype == "int64" else _decimals(distinct)
        scale = 1.0 if decimals is None else 10.0**decimals
        low, high = float(distinct[0]), float(distinct[-1])
        # Bounds that are declared need not have the data's decimals.
        if domain.minimum is not None:
            low = domain.minimum if decimals is None else np.ceil(domain.minimum * scale) / scale
        if domain.maximum is not None:
            high = domain.maximum if decimals is None else np.floor(domain.maximum * scale) / scale
        missing = 1.0 - len(known) / len(values)
        return cls(name, dtype, None, float(low), float(high), decimals, missing)

    @property
    def categorical(self) -> bool:
        """Whether its values are categories."""
        return self.categories is not None

    @property
    def kind(self) -> str:
        """What a schema calls its dtype: "bytes", "float" or "int64"."""
        return "float" if self.dtype == "float32" else self.dtype

    @property
    def ordered(self) -> bool:
        """Whether its values are numbers, so that a range of them means something."""
        return self.dtype != "bytes"

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype of the column's arrays; of bytes, as long as the longest category."""
        return self.categories.dtype if self.categorical else np.dtype(self.dtype)

    def missing_mask(self, values: np.ndarray) -> np.ndarray:
        """bool `[n]`: the rows without a value: NaN, and of bytes b""."""
        if values.dtype.kind == "S":
            return values == b""
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The places in `categories` of the values of a categorical column.

        Args:
          values: `[n]` in the column's dtype.

        Returns:
          int64 `[n]`.

        Raises:
          DataError: a value is none of the categories.
        """
        places = np.searchsorted(self.categories, values)
        codes = np.minimum(places, len(self.categories) - 1)
        found = self.categories[codes]
        known = (found == values) | (self.missing_mask(found) & self.missing_mask(values))
        if not known.all():
            unknown = np.unique(values[~known])
            raise DataError(
                f"The values of {self.name!r} must be among the {len(self.categories)} that the "
                f"synthesizer was fitted with. Received: {len(unknown)} that are not, among them "
                f"{unknown[0].item()!r}. Fit it on data that have them, or with a schema that "
                "declares them."
            )
        return codes.astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The categories at `codes`, int64 `[n]`, in the column's dtype."""
        return self.categories[codes]

    def finish(self, numbers: np.ndarray) -> np.ndarray:
        """Makes any numbers values of a numeric column: rounded, within bounds, in its dtype.

        Args:
          numbers: float64 `[n]`; NaN stays NaN where the dtype is float32.
        """
        if self.decimals is not None:
            numbers = np.round(numbers, self.decimals)
        numbers = np.clip(numbers, self.minimum, self.maximum)
        if self.dtype == "int64":
            return numbers.astype(np.int64)
        # float32 may round a value past a bound that is a float64.
        low, high = np.float32(self.minimum), np.float32(self.maximum)
        return np.clip(numbers.astype(np.float32), low, high)

    def check(self, values: np.ndarray) -> None:
        """Raises a DataError unless all values are categories, or numbers within the bounds."""
        if self.categorical:
            self.codes(values)
            return
        low, high = np.asarray([self.minimum, self.maximum]).astype(values.dtype)
        outside = (values < low) | (values > high)
        if outside.any():
            raise DataError(
                f"The values of {self.name!r} must be in [{self.minimum:.15g}, {self.maximum:.15g}]. "
                f"Received: {int(outside.sum())} that are not, among them "
                f"{values[outside][0].item()!r}."
            )

    def placeholders(self, n: int) -> np.ndarray:
        """`[n]` values of the column, all the same, to be overwritten."""
        if self.categorical:
            return np.repeat(self.categories[:1], n)
        return np.full(n, self.minimum).astype(self.dtype)

    def get_config(self) -> dict[str, Any]:
        """All but `categories` as JSON values."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if f.name != "categories"}


@dataclasses.dataclass(frozen=True, eq=False)
class TableSpec:
    """The columns of a table, in order.

    Attributes:
      columns: one spec a column.
      rows: how many rows it was made from.

    Example:
      >>> table = {"genre": np.array([b"War", b"Drama"]), "year": np.float32([1994, 1999])}
      >>> spec = TableSpec.of(table)
      >>> spec["genre"].categories, spec["year"].maximum
      (array([b'Drama', b'War'], dtype='|S5'), 1999.0)
    """

    columns: tuple[ColumnSpec, ...]
    rows: int

    @classmethod
    def of(cls, table: Table, schema: Schema | None = None) -> TableSpec:
        """Returns the spec of a table.

        Args:
          table: at least 2 rows.
          schema: bounds and vocabularies; what it declares beyond the table's columns is ignored.

        Raises:
          DataError: the table has no column or fewer than 2 rows, or a value breaks the schema.
        """
        rows = len(next(iter(table.values()))) if table else 0
        if rows < 2:
            raise DataError(
                "A synthesizer is fitted on at least one column and 2 rows. Received: "
                f"{len(table)} columns and {rows} rows."
            )
        domains = schema.domains if schema is not None else {}
        columns = (ColumnSpec.of(name, table[name], domains.get(name)) for name in table)
        return cls(tuple(columns), rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def __iter__(self) -> Iterator[ColumnSpec]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> ColumnSpec:
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownFeatureError(
            f"The synthesizer has no column {name!r}. {close_matches(name, self.names)}"
        )

    def empty(self) -> dict[str, np.ndarray]:
        """A table without rows."""
        return {column.name: np.zeros(0, column.numpy_dtype) for column in self}

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON values and arrays that `from_parts` takes."""
        document = {"rows": self.rows, "columns": [column.get_config() for column in self]}
        arrays = {
            f"categories/{i}": column.categories
            for i, column in enumerate(self)
            if column.categorical
        }
        return document, arrays

    @classmethod
    def from_parts(cls, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TableSpec:
        """The inverse of `to_parts`."""
        columns: Sequence[Mapping[str, Any]] = document["columns"]
        return cls(
            tuple(
                ColumnSpec(**config, categories=arrays.get(f"categories/{i}"))
                for i, config in enumerate(columns)
            ),
            document["rows"],
        )


def _decimals(numbers: np.ndarray) -> int | None:
    """The fewest places behind the point that give every float32 back, or None if many are needed."""
    exact = numbers.astype(np.float64)
    for decimals in range(_MAX_DECIMALS + 1):
        if (np.round(exact, decimals).astype(np.float32) == numbers).all():
            return decimals
    return None
