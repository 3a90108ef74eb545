"""Rules about the values of one feature: outliers, domains, missing values."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tfrs_augment.beam.cleaning.base import (
    FeatureRule,
    Learned,
    among,
    check_value,
    is_number,
    is_whole,
    new_messages,
    sort_messages,
)
from tfrs_augment.beam.cleaning.kernels import hash_values
from tfrs_augment.beam.cleaning.rows import (
    Rows,
    column_of_rows,
    distinct,
    replace_values,
    row_values,
    rows_with,
    to_bytes,
    to_text,
)
from tfrs_augment.beam.cleaning.summaries import Quantiles
from tfrs_augment.records import INT64, Column
from tfrs_augment.schema import Schema

_INT64 = np.iinfo(np.int64)


@dataclasses.dataclass(frozen=True)
class RangeOutliers(FeatureRule):
    """Drops or clips numbers outside a given range.

    A row with several values is an outlier if any of them is. A missing value and NaN are none: they are for
    `MissingFill` and `Required`.

    Args:
      feature: a float or integer feature.
      low: the smallest number that is right; None for no bound.
      high: the largest.
      action: "drop" the row, or "clip" the value to the bound.

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.RangeOutliers("age", low=0, high=120, action="clip").id
      'range_outliers:age'
    """

    _: dataclasses.KW_ONLY
    low: float | None = None
    high: float | None = None
    action: str = "drop"

    accepts: ClassVar = {"feature": ("float", "int64")}
    actions: ClassVar = ("drop", "clip")

    def __post_init__(self):
        super().__post_init__()
        if self.low is None and self.high is None:
            raise self.invalid("low", "or `high` must be given", None)
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is not None and not is_number(value):
                raise self.invalid(name, "must be a finite number", value)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise self.invalid("low", f"must be at most `high`, {self.high}", self.low)

    def check(self, schema: Schema) -> None:
        super().check(schema)
        low, high = _whole(self.low, self.high)
        if schema.kinds[self.feature] == "int64" and low > high:
            raise self.invalid("low", f"to `high`, {self.high}, must hold an integer", self.low)

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        return _bound(self, rows, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class IqrOutliers(FeatureRule):
    """Drops or clips numbers far outside the quartiles.

    Outside means below Q1 - factor * (Q3 - Q1), or above Q3 + factor * (Q3 - Q1). Quartiles are those of all
    values, by linear interpolation; exact up to 65,536 distinct values, and within a relative 2**-15 beyond.
    Where they are equal their distance says nothing of the spread, and the rule finds nothing.

    Args:
      feature: a float or integer feature.
      factor: above 0; default 1.5.
      scale: "linear", or "log": the fences are of the logarithms, for prices and other long-tailed numbers.
        Quartiles are then those of the positive numbers, and 0 and negative ones lie below every fence.
      action: "drop" the row, or "clip" the value to the bound.

    Reference:
      Tukey, "Exploratory Data Analysis", 1977, section 2C (fences).

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.IqrOutliers("price", factor=3.0).id
      'iqr_outliers:price'
    """

    _: dataclasses.KW_ONLY
    factor: float = 1.5
    scale: str = "linear"
    action: str = "drop"

    accepts: ClassVar = {"feature": ("float", "int64")}
    actions: ClassVar = ("drop", "clip")
    learns: ClassVar[str | None] = "summary"

    def __post_init__(self):
        super().__post_init__()
        if not is_number(self.factor) or self.factor <= 0:
            raise self.invalid("factor", "must be a number above 0", self.factor)
        if self.scale not in ("linear", "log"):
            raise self.invalid("scale", 'must be "linear" or "log"', self.scale)

    def summary(self) -> Quantiles:
        return Quantiles()

    def summarize(self, summary: Quantiles, rows: Rows) -> None:
        values = rows.column(self.feature).values
        summary.add(values[values > 0] if self.scale == "log" else values)

    def learn(self, summary: Quantiles) -> Learned:
        if summary.empty:
            return None
        low, high = summary.quantile(0.25), summary.quantile(0.75)
        if low == high:
            return None
        if self.scale == "log":
            # A power of a ratio is a multiple of a difference of logarithms.
            ratio = math.exp(min(self.factor * (math.log(high) - math.log(low)), 700.0))
            return {"low": low / ratio, "high": min(high * ratio, sys.float_info.max)}
        margin = self.factor * (high - low)
        return {"low": low - margin, "high": high + margin}

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        return 0 if learned is None else _bound(self, rows, learned["low"], learned["high"])

    def shown(self, learned: Learned) -> dict[str, Any]:
        return dict(learned or {"low": None, "high": None})


def _whole(low: float | None, high: float | None) -> tuple[int, int]:
    """The smallest and the largest integer of a range."""
    return (
        _INT64.min if low is None else min(max(math.ceil(low), _INT64.min), _INT64.max),
        _INT64.max if high is None else min(max(math.floor(high), _INT64.min), _INT64.max),
    )


def _bound(rule: RangeOutliers | IqrOutliers, rows: Rows, low, high) -> int:
    """Drops or clips what lies outside of [low, high]."""
    column = rows.column(rule.feature)
    values = column.values
    if column.kind == INT64:
        least, most = _whole(low, high)
    else:
        least, most = -math.inf if low is None else low, math.inf if high is None else high
        values = values.astype(np.float64)
        # The float32 within the range that is nearest to the bound: what is clipped is no outlier again.
        small, large = np.float32(least), np.float32(most)
        small = np.nextafter(small, np.float32(np.inf)) if float(small) < least else small
        large = np.nextafter(large, np.float32(-np.inf)) if float(large) > most else large
    found = rows_with(column, (values < least) | (values > most))
    if not found.any():
        return 0
    if rule.action == "drop":
        shown = f"outside [{low}, {high}]"
        rows.drop(
            found,
            lambda i: rule.reason(f"'{rule.feature}' is {shown}: {row_values(column, i)}"),
        )
    else:
        bounds = (least, most) if column.kind == INT64 else (small, large)
        clipped = Column(
            column.kind,
            column.row_splits,
            values=np.minimum(np.maximum(column.values, bounds[0]), bounds[1]),
        )
        rows.replace(rule.feature, clipped, found)
    return int(found.sum())


@dataclasses.dataclass(frozen=True)
class OutsideDomain(FeatureRule):
    """Drops rows with a value outside a domain, or puts another value in its place.

    Args:
      feature: a bytes or integer feature, of one or several values a row. A missing value is not outside.
      values: the domain, strings or integers. Or
      min_count: the domain is the values that occur at least so often in the data.
      action: "drop" the row, or "fill" the value in.
      fill_value: what "fill" fills in, such as "[UNK]".

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.OutsideDomain("gender", values=("F", "M"), action="fill", fill_value="unknown").does
      'fill'
    """

    _: dataclasses.KW_ONLY
    values: tuple[str | int, ...] | None = None
    min_count: int | None = None
    action: str = "drop"
    fill_value: str | int | None = None

    accepts: ClassVar = {"feature": ("bytes", "int64")}
    actions: ClassVar = ("drop", "fill")

    def __post_init__(self):
        if self.values is not None:
            object.__setattr__(self, "values", self._named("values"))
        super().__post_init__()
        if (self.values is None) == (self.min_count is None):
            raise self.invalid("values", "or `min_count` must be given, and not both", self.values)
        if self.min_count is not None and (
            not is_whole(self.min_count) or isinstance(self.min_count, str) or self.min_count < 1
        ):
            raise self.invalid("min_count", "must be an integer of at least 1", self.min_count)
        if self.values is not None:
            if not self.values or len({isinstance(value, str) for value in self.values}) != 1:
                raise self.invalid("values", "must be strings, or integers", self.values)
            if not all(is_whole(value) for value in self.values):
                raise self.invalid("values", "must be strings, or integers", self.values)
        if (self.action == "fill") != (self.fill_value is not None):
            raise self.invalid(
                "fill_value",
                'must be given where action is "fill", and only there',
                self.fill_value,
            )
        if self.fill_value is not None and not is_whole(self.fill_value):
            raise self.invalid("fill_value", "must be a string or an integer", self.fill_value)

    @property
    def learns(self) -> str | None:
        return None if self.min_count is None else "messages"

    def check(self, schema: Schema) -> None:
        super().check(schema)
        for value in self.values or ():
            check_value(self, "values", value, schema.kinds[self.feature])
        if self.fill_value is not None:
            check_value(self, "fill_value", self.fill_value, schema.kinds[self.feature])

    def messages(self, rows: Rows) -> np.ndarray:
        column = rows.column(self.feature)
        codes, values = distinct(column)
        counts = np.bincount(codes, minlength=len(values))
        hashes = hash_values(_column_of(column.kind, values))
        return new_messages(hashes, hashes[:, 0], count=counts.astype(np.int64))

    def judge(self, messages: np.ndarray, units: np.ndarray) -> np.ndarray:
        order, starts = sort_messages(messages, units)
        number = np.cumsum(starts) - 1
        totals = np.zeros(number[-1] + 1 if len(number) else 0, np.int64)
        np.add.at(totals, number, messages["count"][order])
        found = np.empty(len(messages), bool)
        found[order] = totals[number] < self.min_count
        return found

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        column = rows.column(self.feature)
        codes, values = distinct(column)
        if self.values is None:
            outside = among(hash_values(_column_of(column.kind, values))[:, 0], tokens)
        else:
            domain = {_stored(value) for value in self.values}
            outside = np.array([value not in domain for value in values], bool)
        wrong = outside[codes]
        if self.action == "fill":
            stored = _stored(self.fill_value)
            wrong &= codes != (values.index(stored) if stored in values else -1)
        found = rows_with(column, wrong)
        if not found.any():
            return 0
        if self.action == "drop":
            why = "not in the domain" if self.values else f"rarer than {self.min_count}"
            rows.drop(
                found,
                lambda i: self.reason(
                    f"'{self.feature}' is {why}: {[*map(to_text, row_values(column, i))]}"
                ),
            )
        else:
            replace_values(rows, self.feature, column, found, wrong, stored)
        return int(found.sum())


def _stored(value: str | int) -> bytes | int:
    return to_bytes(value) if isinstance(value, str) else value


def _column_of(kind: int, values: Sequence[Any]) -> Column:
    """Values as a column of one value a row."""
    return column_of_rows(kind, np.ones(len(values), bool), [[value] for value in values])
