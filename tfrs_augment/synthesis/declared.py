"""What a schema alone says of a table, so that nothing has to be learned from its rows."""

from __future__ import annotations

import numpy as np

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis.columns import ColumnSpec, Table, TableSpec
from tfrs_augment.synthesis.mixtures import Mixture

MAX_INTEGER_CATEGORIES = 50
"""A column of integers with at most this many possible values is one of categories."""
_BINS = 20
_MAX_INTEGER = 2**53
_DEVIATIONS = 4.0


def declared_spec(table: Table, schema: Schema | None) -> TableSpec:
    """Returns the spec that a schema declares, whatever the rows are.

    A column of bytes has the categories of its vocabulary, one of integers with at most 50 possible values
    these. Other numbers have bounds. A float may be missing unless its presence is declared to be 1.

    Args:
      table: columns `[n]`; their names, dtypes and n are looked at, and all values checked.
      schema: bounds and vocabularies.

    Raises:
      InvalidArgumentError: the schema does not declare all that is needed; the message names the columns.
      DataError: a value breaks the schema.
    """
    wanting = {name: _wanting(name, schema) for name in table}
    wanting = {name: what for name, what in wanting.items() if what}
    if wanting:
        listed = ", ".join(f"{what} of {name!r}" for name, what in wanting.items())
        raise InvalidArgumentError(
            "A private fit learns no vocabulary and no bounds from the rows: `schema` must declare them. "
            f"Received: a schema without {listed}. Declare them, or leave these columns out with `columns`."
        )
    rows = len(next(iter(table.values()))) if table else 0
    if rows < 2:
        raise DataError(
            "A synthesizer is fitted on at least one column and 2 rows. Received: "
            f"{len(table)} columns and {rows} rows."
        )
    spec = TableSpec(tuple(_column(name, schema) for name in table), rows)
    for column in spec:
        column.check(table[column.name])
        if not column.categorical and not column.missing:
            absent = int(column.missing_mask(table[column.name]).sum())
            if absent:
                raise DataError(
                    f"The schema declares that {column.name!r} is never missing. Received: {absent} rows "
                    "without it. Declare a lower presence, or fill them in."
                )
    return spec


def bins(column: ColumnSpec) -> Mixture:
    """Returns equally wide parts of a numeric column's bounds, as modes that each cover one."""
    half = 0.5 if column.decimals == 0 else 0.0
    edges = np.linspace(column.minimum - half, column.maximum + half, _BINS + 1)
    means = (edges[1:] + edges[:-1]) / 2.0
    deviation = (edges[1] - edges[0]) / (2.0 * _DEVIATIONS)
    return Mixture(np.full(_BINS, 1.0 / _BINS), means, np.full(_BINS, deviation))


def _wanting(name: str, schema: Schema | None) -> str:
    """What the schema does not say of a column, "" if nothing."""
    if schema is None or name not in schema.kinds:
        return "the kind"
    domain = schema.domains.get(name, Domain())
    if schema.kinds[name] == "bytes":
        return "" if domain.values else "the values"
    bounds = (domain.minimum, domain.maximum)
    if None in bounds or not np.isfinite(bounds).all() or bounds[0] > bounds[1]:
        return "the minimum and maximum"
    if schema.kinds[name] == "int64" and max(-bounds[0], bounds[1]) > _MAX_INTEGER:
        return "bounds within 2**53 of 0"
    return ""


def _column(name: str, schema: Schema) -> ColumnSpec:
    kind, domain = schema.kinds[name], schema.domains[name]
    if kind == "bytes":
        return ColumnSpec(name, "bytes", categories=np.array(sorted(domain.values), "S"))
    low, high = domain.minimum, domain.maximum
    if kind == "int64":
        low, high = int(np.ceil(low)), int(np.floor(high))
        if high - low < MAX_INTEGER_CATEGORIES:
            return ColumnSpec(name, "int64", categories=np.arange(low, high + 1))
        return ColumnSpec(name, "int64", None, float(low), float(high), 0)
    # The most that may be missing: what is missing is measured with the other counts.
    missing = 1.0 - schema.presence.get(name, 0.0)
    if low == high:
        categories = np.float32([low] if not missing else [low, np.nan])
        return ColumnSpec(name, "float32", categories=categories)
    return ColumnSpec(name, "float32", None, float(low), float(high), None, missing)
