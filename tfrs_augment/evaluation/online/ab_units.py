"""The table of an experiment as units: each one's arm, and the sums of its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.arrays import is_data_frame
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A metric that is a sum over a sum, such as clicks over impressions.

    Attributes:
      numerator: the column that is summed above.
      denominator: the column that is summed below. Default: the number of rows, so that the ratio is
        the mean of a row, such as the conversion rate of a session; of a covariate 1.
    """

    numerator: str
    denominator: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)


Metric = str | Ratio
"""The name of a column, whose mean over units of the sum over a unit's rows is meant; or a ratio."""


@dataclasses.dataclass(frozen=True)
class Units:
    """The units of an experiment.

    Attributes:
      arms: names, the control first.
      arm: int64 `[units]`, index into `arms`.
      rows: float64 `[units]`, how many rows each has.
      sums: by column, float64 `[units]`, over the rows of each unit.
    """

    arms: tuple[str, ...]
    arm: np.ndarray
    rows: np.ndarray
    sums: Mapping[str, np.ndarray]

    @property
    def counts(self) -> np.ndarray:
        """int64 `[arms]`: units in each arm."""
        return np.bincount(self.arm, minlength=len(self.arms))

    def values(self, metric: Metric) -> np.ndarray:
        """Returns float64 `[units]`: a number for each unit whose mean in an arm is the metric there.

        Of a ratio they are linearized in each arm, so that the variance of their mean is the delta
        method's for the ratio, with units as what is independent.

        Raises:
          DataError: the denominator of a ratio sums to 0 in an arm.

        Reference:
          Deng, Knoblich and Lu, Applying the Delta Method in Metric Analytics, KDD 2018, section 2.
        """
        if isinstance(metric, str):
            return self.sums[metric]
        above, below = self._parts(metric)
        size = self.counts
        means = [np.bincount(self.arm, part, len(size)) / size for part in (above, below)]
        empty = [name for name, mean in zip(self.arms, means[1]) if mean == 0]
        if empty:
            raise DataError(
                f"The denominator '{metric.denominator}' must not sum to 0 in an arm. "
                f"Received: 0 in {', '.join(map(repr, empty))}."
            )
        ratio = (means[0] / means[1])[self.arm]
        return ratio + (above - ratio * below) / means[1][self.arm]

    def covariate(self, metric: Metric) -> np.ndarray:
        """Returns float64 `[units]`: a number of each unit from before the experiment, mean 0.

        A ratio is linearized over all arms together. It weighs a unit by its denominator of that time,
        and by 1 where it has none: how many rows a unit has in the experiment is no past. A unit without
        a known value, or without one of a ratio's two, gets the mean: it is not adjusted.
        """
        if isinstance(metric, str):
            value = self.sums[metric] / self.rows
        else:
            above, below = (part / self.rows for part in self._parts(metric))
            known = ~np.isnan(above + below)
            total = below[known].sum()
            value = above - below * (above[known].sum() / total if total else 0.0)
        known = ~np.isnan(value)
        mean = value[known].mean() if known.any() else 0.0
        return np.where(known, value - mean, 0.0)

    def _parts(self, metric: Ratio) -> tuple[np.ndarray, np.ndarray]:
        below = self.rows if metric.denominator is None else self.sums[metric.denominator]
        return self.sums[metric.numerator], below


def read_units(
    table: Any,
    *,
    unit: str,
    arm: str,
    control: str,
    metrics: Iterable[str],
    covariates: Iterable[str],
    row_id: str | None,
) -> Units:
    """Reads the table of an experiment.

    Args:
      table: a mapping from names to columns of equal length, or a DataFrame.
      unit: the column of unit ids.
      arm: the column of arms.
      control: the arm that the others are compared with.
      metrics: columns of finite numbers.
      covariates: columns of numbers from before the experiment, NaN where unknown.
      row_id: the column whose values must be distinct, or None.

    Raises:
      UnknownFeatureError: a column is absent.
      DataError: a value is missing or no number, a unit is in several arms, a row id occurs twice, an
        arm has less than two units, or there are fewer than two arms.
      InvalidArgumentError: `table` is no such table, or no row is in `control`.
    """
    ids, arms = (labels(table, name) for name in (unit, arm))
    if len(ids) != len(arms):
        raise DataError(
            f"All columns must have one length. Received: {len(ids)} of '{unit}', {len(arms)} of '{arm}'."
        )
    if row_id is not None:
        check_distinct(labels(table, row_id), row_id)
    _, first, place = np.unique(ids, return_index=True, return_inverse=True)
    names, code = np.unique(arms, return_inverse=True)
    names = [str(name) for name in names]
    if str(control) not in names:
        raise InvalidArgumentError(
            f"`control` must be an arm of column '{arm}'. Received: control={control!r}. "
            f"{close_matches(str(control), names)}"
        )
    moved = np.unique(place[code != code[first][place]])
    if len(moved):
        shown = ", ".join(str(ids[first[index]]) for index in moved[:_SHOWN])
        raise DataError(
            f"A unit must be in one arm. Received: {len(moved):,} of {len(first):,} units of '{unit}' "
            f"in several, such as {shown}. Leave them out, or find why they crossed over."
        )
    order = [str(control), *(name for name in names if name != str(control))]
    of_unit = np.array([order.index(name) for name in names])[code[first]]
    if len(order) < 2:
        raise DataError(f"Column '{arm}' must hold two arms or more. Received: {order}.")
    counts = np.bincount(of_unit, minlength=len(order))
    few = [f"{count} in {name!r}" for name, count in zip(order, counts) if count < 2]
    if few:
        raise DataError(f"Each arm must have at least two units. Received: {', '.join(few)}.")
    size, sums = len(first), {}
    alike = "leave these units out, in all arms alike"
    for name in dict.fromkeys(metrics):
        sums[name] = np.bincount(place, numbers(table, name, len(ids), fix=alike), size)
    for name in dict.fromkeys(covariates):
        values = numbers(table, name, len(ids), missing=True, fix=alike)
        same = (values == values[first][place]) | np.isnan(values) & np.isnan(values[first][place])
        if not same.all():
            raise DataError(
                f"A covariate is of the time before the experiment: one value a unit. Received: several "
                f"values of '{name}' in {len(np.unique(place[~same])):,} units."
            )
        sums[name] = np.bincount(place, values, size)
    return Units(tuple(order), of_unit, np.bincount(place, minlength=size).astype(float), sums)


def column(table: Any, name: str) -> np.ndarray:
    """Returns a column of a mapping or DataFrame as an array.

    Raises:
      InvalidArgumentError: it is neither.
      UnknownFeatureError: there is none of that name.
    """
    if not isinstance(table, Mapping) and not is_data_frame(table):
        raise InvalidArgumentError(
            "A table must be a mapping from names to columns, or a DataFrame. Received: "
            f"{type(table).__name__}."
        )
    if name not in table:
        raise UnknownFeatureError(
            f"The table has no column {name!r}. {close_matches(name, map(str, table))}"
        )
    return np.asarray(table[name])


def numbers(
    table: Any,
    name: str,
    rows: int,
    *,
    missing: bool = False,
    fix: str = "leave these rows out",
) -> np.ndarray:
    """Returns a column as float64 `[rows]`.

    Args:
      table: a mapping or DataFrame.
      name: of the column.
      rows: its length.
      missing: whether NaN is a number here.
      fix: what may be done with rows without one, for the message.

    Raises:
      DataError: it has another length, or holds other things than finite numbers; NaN may be among
        them where `missing` is True.
    """
    given = column(table, name)
    try:
        values = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Column '{name}' must hold numbers. Received: {given.dtype}.") from error
    if values.shape != (rows,):
        raise DataError(
            f"Column '{name}' must hold one number a row, [{rows}]. Received: {list(values.shape)}."
        )
    bad = np.isinf(values) if missing else ~np.isfinite(values)
    if bad.any():
        raise DataError(
            f"Column '{name}' must hold finite numbers. Received: {bad.sum():,} of {rows:,} rows that "
            f"are not, such as {rows_text(bad)}. Fill them in or {fix}."
        )
    return values


def check_distinct(values: np.ndarray, name: str) -> None:
    """Raises DataError where a row id occurs twice."""
    _, first, counts = np.unique(values, return_index=True, return_counts=True)
    repeated = first[counts > 1]
    if len(repeated):
        shown = ", ".join(str(values[index]) for index in repeated[:_SHOWN])
        raise DataError(
            f"Column '{name}' must hold distinct ids. Received: {(counts - 1).sum():,} repeated rows, "
            f"such as of {shown}. Drop the copies."
        )


def rows_text(bad: np.ndarray | Sequence[int]) -> str:
    """The first rows that a mask marks, for a message."""
    rows = np.flatnonzero(bad)
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_SHOWN]))}"


def labels(table: Any, name: str) -> np.ndarray:
    """Returns a column of ids or names, `[rows]`; bytes and objects as text.

    Raises:
      UnknownFeatureError: there is none of that name.
      DataError: it has no rows, a missing value, or more than one value a row.
    """
    values = column(table, name)
    if values.ndim != 1:
        raise DataError(
            f"Column '{name}' must hold one value a row. Received: {list(values.shape)}."
        )
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype == object:
        # NaN differs from itself, and a comparison of pandas' own missing value is neither.
        missing = np.array([v is None or (v == v) is not True for v in values.tolist()], bool)
    else:
        missing = np.zeros(len(values), bool)
    if missing.any():
        raise DataError(
            f"Column '{name}' must have a value in each row. Received: {missing.sum():,} of "
            f"{len(values):,} rows without, such as {rows_text(missing)}."
        )
    if not len(values):
        raise DataError(f"Column '{name}' must have rows. Received: none.")
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "backslashreplace")
    if values.dtype == object:
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()])
    return values
