"""What an interaction has of its own, rating and time, given who chose what.

The columns are drawn one after the other, each from its distribution given the user, the item, their
features, and the columns before it (see `experts`). A timestamp is drawn as a day and an hour of the day.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.synthesis import keyed
from tfrs_augment.synthesis.cells import Cells
from tfrs_augment.synthesis.columns import ColumnSpec, Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.experts import Codes, Conditional, fit_conditional, log_softmax

_DAY, _HOUR = 86_400, 3_600
_MIN_DAYS = 3
# Seconds since 1970 from 1980 to 2100: smaller integers are prices and counts more often than times.
_EARLIEST, _LATEST = 315_532_800, 4_102_444_800
_MAX_EARLIER = 6
_CHUNK = 32_768


@dataclasses.dataclass(frozen=True, eq=False)
class Variable:
    """One link of the chain: a column, or the day or the hour of a timestamp.

    Args:
      name: what contexts call it.
      column: the column that it is, or is a part of.
      part: "whole", "day" or "hour".
      cells: its cells.
      conditional: the distribution of its cells.
    """

    name: str
    column: str
    part: str
    cells: Cells
    conditional: Conditional


class EventModel:
    """The columns of interactions, modelled as a chain.

    Args:
      variables: the links, in the order in which they are drawn.
    """

    def __init__(self, variables: Sequence[Variable]):
        self.variables = tuple(variables)

    @classmethod
    def fit(
        cls,
        table: Table,
        columns: Sequence[ColumnSpec],
        codes: Codes,
        sizes: Mapping[str, int],
        *,
        user_features: Sequence[str],
        item_features: Sequence[str],
        timestamp: str | None,
    ) -> EventModel:
        """Fits the chain.

        Args:
          table: the rows.
          columns: those to model; a timestamp is put first.
          codes: int64 `[n]`, "user", "item" and the names of features: who and what each row is of.
          sizes: number of codes of each.
          user_features: names in `codes`.
          item_features: names in `codes`.
          timestamp: the column that may be one; None if there is none.

        Returns:
          The model.
        """
        codes, sizes = dict(codes), dict(sizes)
        variables: list[Variable] = []
        for column, part, spec, values in _links(table, columns, timestamp):
            name = f"event/{column}" if part == "whole" else f"event/{column}/{part}"
            cells = Cells.fit(spec, values)
            target = cells.encode(values)
            earlier = [one.name for one in variables[-_MAX_EARLIER:]]
            conditional = fit_conditional(
                target,
                cells.size,
                codes,
                sizes,
                [
                    *(("user",), ("item",)),
                    *((feature,) for feature in (*user_features, *item_features, *earlier)),
                    *(("user", other) for other in (*earlier, *item_features)),
                ],
            )
            codes[name], sizes[name] = target, cells.size
            variables.append(Variable(name, column, part, cells, conditional))
        return cls(variables)

    def sample(
        self, codes: Codes, keys: np.ndarray, seed: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        """Draws the columns.

        Args:
          codes: as of `fit`.
          keys: uint64 `[n]`, what the draws of each row hang on.
          seed: of the draws.
          conditions: those on other columns are passed over. Met by construction, timestamps to the day: a
            column's cells are limited to those that meet its condition, so columns before it do not know
            of it.

        Returns:
          Columns `[n]`.

        Raises:
          DataError: no value of the fit meets a condition.
        """
        codes, values = dict(codes), {}
        for one in self.variables:
            shares = self._shares(one, conditions)
            codes[one.name] = np.concatenate(
                [
                    self._draw(one, part, keys[start : start + _CHUNK], seed, shares)
                    for start, part in _chunks(codes, len(keys))
                ]
            )
            uniform = keyed.uniform(seed, keys, 1, f"{one.name}/value")[:, 0]
            values[one.name] = one.cells.decode(codes[one.name], uniform, self._on(one, conditions))
        return self._join(values, keys, seed)

    def impute(
        self,
        table: Table,
        missing: Mapping[str, np.ndarray],
        codes: Codes,
        keys: np.ndarray,
        seed: int,
    ) -> dict[str, np.ndarray]:
        """Draws missing cells given all others of their row.

        A column is weighed by what the columns after it are under each of its values; of several that are
        missing in a row, the later ones do not speak for the earlier.

        Args:
          table: columns `[n]`.
          missing: bool `[n]` by column, where to draw.
          codes: as of `fit`.
          keys: as of `sample`.
          seed: of the draws.

        Returns:
          Columns `[n]`: drawn values where `missing`, the table's elsewhere.
        """
        codes = dict(codes)
        for one in self.variables:
            known = np.where(missing[one.column], -1, 0)
            there = known == 0
            encoded = one.cells.encode(_part_of(one, table[one.column][there]))
            known[there] = encoded
            codes[one.name] = known
        values = {}
        for place, one in enumerate(self.variables):
            absent = np.flatnonzero(missing[one.column])
            part = {name: column[absent] for name, column in codes.items()}
            logits = one.conditional.log_probabilities(part, len(absent))
            for later in self.variables[place + 1 :]:
                if any(one.name in e.names for e in later.conditional.experts):
                    logits = logits + _evidence(one, later, part)
            logits = np.where(one.cells.filled(), logits, -np.inf)
            logits += keyed.gumbel(seed, keys[absent], logits.shape[1], one.name)
            codes[one.name][absent] = logits.argmax(axis=1)
            uniform = keyed.uniform(seed, keys, 1, f"{one.name}/value")[:, 0]
            values[one.name] = one.cells.decode(codes[one.name], uniform, there=True)
        filled = self._join(values, keys, seed)
        return {
            name: np.where(missing[name], column, table[name]) for name, column in filled.items()
        }

    def to_parts(self) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        """JSON values and arrays, for a file."""
        document, arrays = [], {}
        for number, one in enumerate(self.variables):
            document.append(
                {
                    "name": one.name,
                    "column": one.column,
                    "part": one.part,
                    "spec": None if one.part == "whole" else one.cells.column.get_config(),
                    **one.conditional.get_config(),
                }
            )
            parts = {"cells": one.cells.arrays(), "conditional": one.conditional.arrays()}
            for part, named in parts.items():
                arrays |= {f"{number}/{part}/{name}": array for name, array in named.items()}
            if one.part != "whole" and one.cells.column.categorical:
                arrays[f"{number}/categories"] = one.cells.column.categories
        return document, arrays

    @classmethod
    def from_parts(
        cls,
        document: Sequence[Mapping[str, Any]],
        arrays: Mapping[str, np.ndarray],
        spec: TableSpec,
    ) -> EventModel:
        """The inverse of `to_parts`."""
        variables = []
        for number, one in enumerate(document):
            column = (
                spec[one["column"]]
                if one["spec"] is None
                else ColumnSpec(**one["spec"], categories=arrays.get(f"{number}/categories"))
            )
            variables.append(
                Variable(
                    one["name"],
                    one["column"],
                    one["part"],
                    Cells.restore(column, under(arrays, f"{number}/cells")),
                    Conditional.restore(one, under(arrays, f"{number}/conditional")),
                )
            )
        return cls(variables)

    def _draw(self, one: Variable, codes: Codes, keys: np.ndarray, seed: int, shares) -> np.ndarray:
        logits = one.conditional.logits(codes, len(keys))
        if shares is not None:
            with np.errstate(divide="ignore"):
                logits = logits + np.log(shares)
        return (logits + keyed.gumbel(seed, keys, logits.shape[1], one.name)).argmax(axis=1)

    def _on(self, one: Variable, conditions: Conditions):
        """The condition on a variable that is a whole column, or on the day of a timestamp."""
        condition = conditions.get(one.column)
        if condition is None or one.part == "whole":
            return condition
        if one.part == "hour":
            return None  # the caller clips what lies outside within the first and the last day
        return _days_of(one.cells.column, condition)

    def _shares(self, one: Variable, conditions: Conditions) -> np.ndarray | None:
        condition = self._on(one, conditions)
        return None if condition is None else one.cells.shares(condition)

    def _join(self, values, keys, seed) -> dict[str, np.ndarray]:
        columns = {}
        for one in self.variables:
            if one.part == "whole":
                columns[one.column] = values[one.name]
            elif one.part == "hour":
                within = keyed.uniform(seed, keys, 1, f"{one.name}/second")[:, 0]
                seconds = values[f"event/{one.column}/day"] * _DAY + values[one.name] * _HOUR
                columns[one.column] = seconds + np.floor(within * _HOUR).astype(np.int64)
        return columns


def under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names start with `prefix/`, without it."""
    prefix += "/"
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


def _is_time(column: ColumnSpec) -> bool:
    if column.categorical or column.dtype != "int64":
        return False
    spans = column.maximum - column.minimum > _MIN_DAYS * _DAY
    return spans and column.minimum > _EARLIEST and column.maximum < _LATEST


def _links(
    table: Table, columns: Sequence[ColumnSpec], timestamp: str | None
) -> Iterator[tuple[str, str, ColumnSpec, np.ndarray]]:
    """The chain: column, part, spec and values of each link."""
    times = [one for one in columns if one.name == timestamp and _is_time(one)]
    for one in times:
        seconds = table[one.name]
        for part, values in (("day", seconds // _DAY), ("hour", seconds % _DAY // _HOUR)):
            yield one.name, part, ColumnSpec.of(f"{one.name}/{part}", values), values
    for one in columns:
        if one not in times:
            yield one.name, "whole", one, table[one.name]


def _part_of(one: Variable, values: np.ndarray) -> np.ndarray:
    if one.part == "whole":
        return values
    part = values // _DAY if one.part == "day" else values % _DAY // _HOUR
    # A row to impute may lie at an hour that the fit did not meet.
    spec = one.cells.column
    if spec.categorical:
        return spec.categories[np.abs(spec.categories - part[:, None]).argmin(axis=1)]
    return np.clip(part, int(spec.minimum), int(spec.maximum))


def _days_of(spec: ColumnSpec, condition):
    """A condition on seconds as one on days; times that are apart within a day become one interval."""
    low, high = condition.low // _DAY, condition.high // _DAY
    kind = type(condition)
    if spec.categorical:
        inside = (spec.categories[:, None] >= low) & (spec.categories[:, None] <= high)
        return kind(spec, codes=np.flatnonzero(inside.any(axis=1)))
    return kind(spec, low=low, high=high)


def _chunks(codes: Codes, rows: int) -> Iterator[tuple[int, Codes]]:
    for start in range(0, max(rows, 1), _CHUNK):
        yield start, {name: column[start : start + _CHUNK] for name, column in codes.items()}


def _evidence(one: Variable, later: Variable, codes: Codes) -> np.ndarray:
    """float32 `[n, cells of one]`, how likely what came later is under each cell; 0 where it is missing."""
    rows, cells = len(codes[later.name]), one.cells.size
    there = codes[later.name] >= 0
    evidence = np.zeros((rows, cells), np.float32)
    for cell in range(cells):
        given = {**codes, one.name: np.full(rows, cell)}
        likely = log_softmax(later.conditional.logits(given, rows))
        evidence[:, cell] = np.where(there, likely[np.arange(rows), codes[later.name]], 0.0)
    return evidence
