"""Rules about missing values: filled, or a reason to drop the row."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from tfrs_augment.beam.cleaning.base import FeatureRule, Learned, Rule, check_value
from tfrs_augment.beam.cleaning.rows import (
    Rows,
    distinct,
    replace_values,
    rows_with,
    to_bytes,
    to_text,
)
from tfrs_augment.beam.cleaning.summaries import STATISTICS, Grouped
from tfrs_augment.errors import DataError, close_matches
from tfrs_augment.records import BYTES, FLOAT, INT64, Column
from tfrs_augment.schema import KINDS, Schema

_INT64 = np.iinfo(np.int64)


@dataclasses.dataclass(frozen=True)
class MissingFill(FeatureRule):
    """Fills missing values: a row without the feature or with an empty list, and NaN.

    Args:
      feature: what to fill.
      by: "mean" or "median" (numbers; of an integer feature rounded to an integer, half to even), "mode" (the
        most frequent value; of equally frequent ones the smallest), or "constant".
      value: the constant.
      group: a bytes or integer feature: the statistic is that of the rows with the same value of it. Where a
        row has no group, or its group no value, that of all rows is taken.
      missing_values: values that stand for a missing one, such as ("", "N/A") or (-1,).

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.MissingFill("age", by="median", group="occupation").id
      'missing_fill:age,occupation'
    """

    _: dataclasses.KW_ONLY
    by: str
    value: str | float | None = None
    group: str | None = None
    missing_values: tuple[str | float, ...] = ()

    accepts: ClassVar = {"feature": KINDS, "group": ("bytes", "int64")}

    def __post_init__(self):
        object.__setattr__(self, "missing_values", self._named("missing_values"))
        super().__post_init__()
        ways = (*STATISTICS, "constant")
        if self.by not in ways:
            raise self.invalid(
                "by", f"must be a way to fill; {close_matches(str(self.by), ways)}", self.by
            )
        if (self.by == "constant") != (self.value is not None):
            raise self.invalid(
                "value", 'must be given where by is "constant", and only there', self.value
            )
        if self.by == "constant" and self.group is not None:
            raise self.invalid("group", "must be left out: a constant has no groups", self.group)
        if self.group is not None and not isinstance(self.group, str):
            raise self.invalid("group", "must name a feature", self.group)
        if self.group == self.feature:
            raise self.invalid("group", "must be another feature than `feature`", self.group)

    @property
    def does(self) -> str:
        return "fill"

    @property
    def learns(self) -> str | None:
        return None if self.by == "constant" else "summary"

    def check(self, schema: Schema) -> None:
        super().check(schema)
        kind = schema.kinds[self.feature]
        if kind == "bytes" and self.by in ("mean", "median"):
            raise DataError(
                f"{self}: by={self.by!r} takes float or int64 features. Received: '{self.feature}' of kind "
                "bytes. Use by='mode'."
            )
        for value in self.missing_values:
            check_value(self, "missing_values", value, kind)
        if self.value is not None:
            check_value(self, "value", self.value, kind)

    def summary(self) -> Grouped:
        return Grouped(STATISTICS[self.by])

    def summarize(self, summary: Grouped, rows: Rows) -> None:
        column = rows.column(self.feature)
        present = ~self._missing(column)
        if column.kind == BYTES:
            codes, texts = distinct(column)
            values = np.array([*texts, b""], object)[codes][present]
        else:
            values = column.values[present]
        if self.group is None:
            summary.add(values, None, [])
        else:
            codes, names = _groups(rows.column(self.group))
            summary.add(values, np.repeat(codes, np.diff(column.row_splits))[present], names)

    def learn(self, summary: Grouped) -> Learned:
        if summary.empty:
            raise DataError(
                f"{self}: the {self.by} cannot be told, since the data hold no value of '{self.feature}'."
            )
        groups = {to_text(name): _json(value) for name, value in summary.groups()}
        return {"value": _json(summary.result()), "groups": groups}

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        column = rows.column(self.feature)
        wrong = self._missing(column)
        found = rows_with(column, wrong) | (np.diff(column.row_splits) == 0)
        if not found.any():
            return 0
        overall = self.value if learned is None else learned["value"]
        fills = [overall] * int(found.sum())
        if self.group is not None:
            codes, names = _groups(rows.column(self.group))
            texts = [*map(to_text, names), ""]
            by_code = [learned["groups"].get(text, overall) for text in texts[:-1]] + [overall]
            fills = [by_code[code] for code in codes[found].tolist()]
        if column.kind == INT64:
            fills = [min(max(round(fill), _INT64.min), _INT64.max) for fill in fills]
        elif column.kind == BYTES:
            fills = [to_bytes(fill) for fill in fills]
        replace_values(rows, self.feature, column, found, wrong, fills)
        return int(found.sum())

    def _missing(self, column: Column) -> np.ndarray:
        """Which values are none: bool `[m]`."""
        if column.kind == BYTES:
            codes, values = distinct(column)
            none = {to_bytes(value) for value in self.missing_values}
            return np.array([*(value in none for value in values), False], bool)[codes]
        missing = (
            np.isnan(column.values) if column.kind == FLOAT else np.zeros(len(column.values), bool)
        )
        if self.missing_values:
            missing |= np.isin(column.values, np.array(self.missing_values, column.values.dtype))
        return missing

    def shown(self, learned: Learned) -> dict[str, Any]:
        if learned is None:
            return {}
        value = learned["value"]
        text = (
            to_bytes(value).decode("utf-8", "backslashreplace") if isinstance(value, str) else value
        )
        return {"value": text, "groups": len(learned["groups"])} if self.group else {"value": text}


@dataclasses.dataclass(frozen=True)
class Required(Rule):
    """Drops rows that lack a feature: what the rules before it could not repair.

    Args:
      required: the features that a row must have: at least one value, and no NaN or infinity.

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.Required(("user_id", "item_id")).id
      'required:user_id,item_id'
    """

    required: tuple[str, ...]

    accepts: ClassVar = {"required": KINDS}

    def __post_init__(self):
        object.__setattr__(self, "required", self._named("required"))
        super().__post_init__()
        if not self.required:
            raise self.invalid("required", "must name at least one feature", self.required)

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        total = 0
        for name in self.required:
            column = rows.column(name)
            lacks = np.diff(column.row_splits) == 0
            if column.kind == FLOAT:
                lacks |= rows_with(column, ~np.isfinite(column.values))
            rows.drop(lacks, self.reason(f"'{name}' is missing or no number"))
            total += int(lacks.sum())
        return total


def _json(value: Any) -> Any:
    return to_text(value) if isinstance(value, bytes) else value


def _groups(column: Column) -> tuple[np.ndarray, list[bytes | int]]:
    """The code of each row's group, -1 for none (or several), and the groups."""
    codes, names = distinct(column)
    one = np.diff(column.row_splits) == 1
    groups = np.full(len(column), -1, np.int64)
    groups[one] = codes[column.row_splits[:-1][one]]
    return groups, names
