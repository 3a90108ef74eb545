"""How far two tables are apart, by the shares of values and of pairs of values: light and bounded.

The distance of two distributions over bins is their total variation: half the sum of the absolute
differences, from 0 (equal) to 1 (nothing in common). Two tables of real rows are not at 0, for counts
are finite: a distance means something beside that of other real rows.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from tfrs_augment.synthesis.columns import ColumnSpec, Table, TableSpec

BINS = 10
"""The numbers of a column fall in this many bins of about equal mass."""
MAX_CATEGORIES = 50
"""The rarer categories of a column share one more bin."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bins:
    """A column's values as few codes.

    Attributes:
      column: the column.
      edges: float64, of a numeric column: where the bins begin, but for the first; the missing values
        have the last bin.
      merged: int64 `[categories]`, of a categorical column: the bin of each category.
    """

    column: ColumnSpec
    edges: np.ndarray | None = None
    merged: np.ndarray | None = None

    @classmethod
    def of(cls, column: ColumnSpec, values: np.ndarray, limit: int = MAX_CATEGORIES) -> Bins:
        """Returns bins that suit `[n]` values in the column's dtype.

        Args:
          column: the column.
          values: the values.
          limit: the most categories that have a bin of their own.
        """
        if not column.categorical:
            known = values[~column.missing_mask(values)]
            cuts = np.quantile(known.astype(np.float64), np.arange(1, BINS) / BINS)
            return cls(column, edges=np.unique(cuts))
        counts = np.bincount(column.codes(values), minlength=len(column.categories))
        return cls.of_weights(column, counts, limit)

    @classmethod
    def of_weights(
        cls, column: ColumnSpec, weights: np.ndarray, limit: int = MAX_CATEGORIES
    ) -> Bins:
        """Returns bins of categories, of which the most frequent have one of their own.

        Args:
          column: a categorical column.
          weights: counts or shares of its categories.
          limit: as of `of`.
        """
        rank = np.empty(len(weights), np.int64)
        rank[np.argsort(-weights, kind="stable")] = np.arange(len(weights))
        return cls(column, merged=np.minimum(rank, limit))

    @property
    def count(self) -> int:
        """How many bins there are."""
        return int(self.merged.max()) + 1 if self.edges is None else len(self.edges) + 2

    def codes(self, values: np.ndarray) -> np.ndarray:
        """int64 `[n]`: the bin of each value."""
        if self.edges is None:
            return self.merged[self.column.codes(values)]
        codes = np.searchsorted(self.edges, values, "right")
        return np.where(self.column.missing_mask(values), len(self.edges) + 1, codes)


def column_distances(real: Table, other: Table, spec: TableSpec) -> dict[str, float]:
    """The total variation between two tables, column by column.

    Args:
      real: the table whose quantiles are the bins.
      other: the table that is compared with it.
      spec: the columns; the values of both tables fit it.

    Returns:
      Column to distance in [0, 1].
    """
    distances = {}
    for column in spec:
        bins = Bins.of(column, real[column.name])
        counts = [
            np.bincount(bins.codes(table[column.name]), minlength=bins.count)
            for table in (real, other)
        ]
        distances[column.name] = _total_variation(*counts)
    return distances


def pair_distances(real: Table, other: Table, spec: TableSpec) -> dict[tuple[str, str], float]:
    """The total variation between two tables, for each two columns together.

    Args:
      real: as of `column_distances`.
      other: as of `column_distances`.
      spec: as of `column_distances`.

    Returns:
      Two columns, in the spec's order, to distance in [0, 1].

    Example:
      >>> table = {"a": np.array([b"x", b"y"] * 5), "b": np.array([b"u", b"v"] * 5)}
      >>> other = {"a": table["a"], "b": table["b"][::-1]}
      >>> spec = TableSpec.of(table)
      >>> column_distances(table, other, spec), pair_distances(table, other, spec)
      ({'a': 0.0, 'b': 0.0}, {('a', 'b'): 1.0})
    """
    bins = {column.name: Bins.of(column, real[column.name]) for column in spec}
    codes = [
        {name: bins[name].codes(table[name]) for name in spec.names} for table in (real, other)
    ]
    distances = {}
    for first, second in itertools.combinations(spec.names, 2):
        width = bins[second].count
        counts = [
            np.bincount(part[first] * width + part[second], minlength=bins[first].count * width)
            for part in codes
        ]
        distances[first, second] = _total_variation(*counts)
    return distances


def _total_variation(first: np.ndarray, second: np.ndarray) -> float:
    return float(0.5 * np.abs(first / first.sum() - second / second.sum()).sum())
