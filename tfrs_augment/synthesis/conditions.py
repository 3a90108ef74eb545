"""Conditions on synthesized rows: parsed, checked against the columns, and met by a mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.synthesis.columns import ColumnSpec, Table, TableSpec

_NO_MISSING = "must not be {}: a condition can't ask for missing values"


@dataclasses.dataclass(frozen=True, eq=False)
class Condition:
    """The values that one column may have; exactly one of the two forms is set.

    Attributes:
      column: the column.
      codes: int64 `[m]`, of a categorical column: places in its categories, rising.
      low: `[m]` of a numeric column, in its dtype: lower ends of intervals, rising and apart.
      high: `[m]`, their upper ends, both included. A single value is an interval of that value.
    """

    column: ColumnSpec
    codes: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def mask(self, values: np.ndarray) -> np.ndarray:
        """bool `[n]`: which values of the column fit. A missing value never does."""
        if self.codes is not None:
            return np.isin(self.column.codes(values), self.codes)
        return ((values[:, None] >= self.low) & (values[:, None] <= self.high)).any(1)

    def clip(self, values: np.ndarray) -> np.ndarray:
        """The nearest values of a numeric column that fit; the dtype stays."""
        clipped = np.clip(values[:, None], self.low, self.high)
        distance = np.abs(clipped.astype(np.float64) - values[:, None].astype(np.float64))
        return clipped[np.arange(len(values)), distance.argmin(1)]


@dataclasses.dataclass(frozen=True, eq=False)
class Conditions:
    """Conditions by column, all of which a row must meet; true if there is any."""

    by_column: Mapping[str, Condition]

    @classmethod
    def parse(
        cls, conditions: Mapping[str, Any] | Conditions | None, spec: TableSpec
    ) -> Conditions:
        """Reads conditions as users write them.

        Args:
          conditions: column to one value, a list of values of which any fits, or a tuple `(low,
            high)` of numbers, both ends included. Text is encoded as UTF-8.
          spec: the columns.

        Raises:
          UnknownFeatureError: there is no such column; the message lists close matches.
          InvalidArgumentError: a value is outside the vocabulary or bounds of its column, is of another
            kind or missing (NaN or b""), or is a range where the column has no order.

        Example:
          >>> table = {"genre": np.array([b"War", b"Drama"]), "year": np.float32([1994, 1999])}
          >>> spec = TableSpec.of(table)
          >>> Conditions.parse({"genre": "War", "year": (1990, 1995)}, spec).mask(table)
          array([ True, False])
        """
        if isinstance(conditions, Conditions):
            return conditions
        if conditions is not None and not isinstance(conditions, Mapping):
            raise InvalidArgumentError(
                "`conditions` must be a mapping of columns to values. Received: "
                f"{type(conditions).__name__}."
            )
        for name in conditions or {}:
            if name not in spec.names:
                raise UnknownFeatureError(
                    f"`conditions` name {name!r}. {close_matches(str(name), spec.names)}"
                )
        return cls({name: _parse(spec[name], value) for name, value in (conditions or {}).items()})

    def __bool__(self) -> bool:
        return bool(self.by_column)

    def __iter__(self) -> Iterator[Condition]:
        return iter(self.by_column.values())

    def __contains__(self, name: str) -> bool:
        return name in self.by_column

    def get(self, name: str) -> Condition | None:
        """The condition on a column, or None."""
        return self.by_column.get(name)

    def mask(self, table: Table) -> np.ndarray:
        """bool `[n]`: the rows of a table that meet all conditions."""
        fits = np.ones(len(next(iter(table.values()))), bool)
        for name, condition in self.by_column.items():
            fits &= condition.mask(table[name])
        return fits


def _parse(column: ColumnSpec, value: Any) -> Condition:
    if isinstance(value, tuple):
        return _range(column, value)
    several = isinstance(value, list | set | frozenset) or getattr(value, "ndim", 0)
    values = list(value) if several else [value]
    if not values:
        raise _refused(column, "must allow a value", value)
    parsed = np.array(
        [_value(column, v) for v in values], column.numpy_dtype if column.ordered else "S"
    )
    if column.categorical:
        known = np.isin(parsed, column.categories)
        if not known.all():
            wrong = parsed[~known][0].item()
            text, *names = (
                value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
                for value in (wrong, *column.categories.tolist())
            )
            raise _refused(
                column, f"must be in the vocabulary. {close_matches(text, names)}", wrong
            )
        return Condition(column, codes=np.unique(column.codes(parsed)))
    parsed = np.unique(parsed)
    low, high = np.asarray([column.minimum, column.maximum]).astype(parsed.dtype)
    outside = (parsed < low) | (parsed > high)
    if outside.any():
        rule = f"must be in [{column.minimum:.15g}, {column.maximum:.15g}]"
        raise _refused(column, rule, parsed[outside][0].item())
    return Condition(column, low=parsed, high=parsed)


def _value(column: ColumnSpec, value: Any) -> Any:
    """One value of a condition in the column's dtype."""
    if not column.ordered:
        if not isinstance(value, str | bytes):
            raise _refused(column, "must be text or bytes", value)
        try:
            encoded = value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError as error:
            raise _refused(column, "must be valid Unicode", value) from error
        if not encoded:
            raise _refused(column, _NO_MISSING.format('b""'), value)
        if encoded.endswith(b"\0"):  # NumPy would drop it
            raise _refused(column, "must not end in a NUL byte", value)
        return encoded
    number = _number(column, value)
    if np.isinf(number) or (column.dtype == "int64" and not abs(number) < 2.0**63):
        rule = "must fit int64" if column.dtype == "int64" else "must be finite"
        raise _refused(column, rule, value)
    if column.dtype == "int64" or column.decimals is not None:
        decimals = 0 if column.dtype == "int64" else column.decimals
        if abs(np.round(number, decimals) - number) > 1e-6 * max(1.0, abs(number)):
            raise _refused(column, f"must have at most {decimals} decimals", value)
    return value if column.dtype == "int64" and isinstance(value, int | np.integer) else number


def _number(column: ColumnSpec, value: Any) -> float:
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise _refused(column, "must be a number", value)
    if value != value:
        raise _refused(column, _NO_MISSING.format("NaN"), value)
    # Larger Python integers than any float are beyond every bound.
    return float(min(max(value, -1e300), 1e300)) if isinstance(value, int) else float(value)


def _range(column: ColumnSpec, ends: tuple) -> Condition:
    if not column.ordered:
        raise _refused(column, "must be a value or a list of values: bytes have no ranges", ends)
    if len(ends) != 2 or not _number(column, ends[0]) <= _number(column, ends[1]):
        raise _refused(column, "must be a range (low, high) with low <= high", ends)
    if column.categorical:
        inside = (column.categories >= ends[0]) & (column.categories <= ends[1])
        if not inside.any():
            known = ", ".join(f"{category:g}" for category in column.categories)
            raise _refused(column, f"must hold one of the values {known}", ends)
        return Condition(column, codes=np.flatnonzero(inside))
    low, high = max(ends[0], column.minimum), min(ends[1], column.maximum)
    if column.decimals is not None:
        scale = 10.0**column.decimals
        # The tolerance is for ends such as 0.07, which times 100 is not 7.
        low, high = np.ceil(low * scale - 1e-4) / scale, np.floor(high * scale + 1e-4) / scale
    if low > high:
        rule = f"must hold a value in [{column.minimum:.15g}, {column.maximum:.15g}]"
        if column.decimals is not None:
            rule += f" with at most {column.decimals} decimals"
        raise _refused(column, rule, ends)
    as_array = np.array([low, high]).astype(column.numpy_dtype)
    return Condition(column, low=as_array[:1], high=as_array[1:])


def _refused(column: ColumnSpec, rule: str, value: Any) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"The condition on {column.name!r} {rule.rstrip('.')}. Received: {value!r}."
    )
