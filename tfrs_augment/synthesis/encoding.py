"""A table as what a network reads and writes: choices among categories, and numbers in [-1, 1]."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfrs_augment.errors import DataError
from tfrs_augment.synthesis.columns import ColumnSpec, Table, TableSpec
from tfrs_augment.synthesis.declared import bins
from tfrs_augment.synthesis.mixtures import Mixture

MAX_CATEGORIES = 2000
"""A column of more has ids or texts, which rows of a network's width don't fit."""
_DEVIATIONS = 4.0


class Encoded(NamedTuple):
    """Encoded rows.

    Attributes:
      codes: int32 `[n, heads]`, the choice of each head.
      numbers: float32 `[n, numeric columns]`, in [-1, 1].
    """

    codes: np.ndarray
    numbers: np.ndarray


@dataclasses.dataclass(frozen=True)
class Head:
    """A choice among some, which a network makes by a softmax.

    Attributes:
      column: the column that it belongs to.
      kind: "category", its value; "missing", whether a number is missing (1) or there (0); or "mode", the
        mode of the column's mixture that a number belongs to.
      size: among how many.
    """

    column: ColumnSpec
    kind: str
    size: int


@dataclasses.dataclass(frozen=True, eq=False)
class TableEncoding:
    """Encodes rows, and decodes them within bounds and vocabularies.

    A category is one of a head's choices. A number is a mode of the column's mixture, drawn by how likely it
    is given the number, and the number's distance from the mode's mean in units of four standard deviations
    (mode-specific normalization). Whether it is missing is a head of its own.

    Attributes:
      spec: the columns.
      mixtures: by the name of each numeric column.
      learned: whether the mixtures are those of the data. If not, how a row is encoded hangs on no other one.

    Example:
      >>> table = {"genre": np.array([b"War", b"Drama"] * 50), "price": np.arange(100) / 8}
      >>> table["price"] = table["price"].astype(np.float32)
      >>> spec = TableSpec.of(table)
      >>> encoding = TableEncoding.fit(table, spec)
      >>> encoded = encoding.encode(table, np.random.default_rng(0))
      >>> back = encoding.decode(encoded)
      >>> bool(np.allclose(back["price"], table["price"], atol=0.01))
      True

    Reference:
      Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, section 4.2.
    """

    spec: TableSpec
    mixtures: Mapping[str, Mixture]
    learned: bool = True

    @classmethod
    def fit(cls, table: Table, spec: TableSpec) -> TableEncoding:
        """Fits the mixtures of the numeric columns.

        Args:
          table: columns `[n]`.
          spec: theirs.

        Raises:
          DataError: a column has too many categories.
        """
        _check_categories(spec)
        mixtures = {}
        for column in spec:
            if not column.categorical:
                values = table[column.name]
                known = values[~column.missing_mask(values)]
                mixtures[column.name] = Mixture.fit(known.astype(np.float64))
        return cls(spec, mixtures)

    @classmethod
    def of_bounds(cls, spec: TableSpec) -> TableEncoding:
        """Returns an encoding that is the same for all data: modes are equally wide parts of the bounds."""
        _check_categories(spec)
        return cls(spec, {c.name: bins(c) for c in spec if not c.categorical}, learned=False)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The choices, in the order of the columns."""
        heads = []
        for column in self.spec:
            if column.categorical:
                heads.append(Head(column, "category", len(column.categories)))
                continue
            if column.missing:
                heads.append(Head(column, "missing", 2))
            heads.append(Head(column, "mode", len(self.mixtures[column.name].weights)))
        return tuple(heads)

    @property
    def numeric(self) -> tuple[ColumnSpec, ...]:
        """The numeric columns, in order."""
        return tuple(column for column in self.spec if not column.categorical)

    def encode(self, table: Table, rng: np.random.Generator) -> Encoded:
        """Encodes rows.

        Args:
          table: columns `[n]` in the spec's dtypes.
          rng: draws modes, and numbers that stand where one is missing.
        """
        count = len(next(iter(table.values())))
        codes = np.zeros([count, len(self.heads)], np.int32)
        numbers = np.zeros([count, len(self.numeric)], np.float32)
        places = {column.name: place for place, column in enumerate(self.numeric)}
        for place, head in enumerate(self.heads):
            column = head.column
            values = table[column.name]
            if head.kind == "category":
                codes[:, place] = column.codes(values)
            elif head.kind == "missing":
                codes[:, place] = column.missing_mask(values)
            else:
                mixture = self.mixtures[column.name]
                known = _filled(column, values, rng, self.learned)
                modes = _choose(rng, mixture.log_shares(known))
                apart = (known - mixture.means[modes]) / (_DEVIATIONS * mixture.deviations[modes])
                codes[:, place] = modes
                numbers[:, places[column.name]] = np.clip(apart, -1.0, 1.0)
        return Encoded(codes, numbers)

    def numbers(self, encoded: Encoded, column: ColumnSpec) -> np.ndarray:
        """float64 `[n]`: a numeric column before it is rounded, none missing."""
        mixture = self.mixtures[column.name]
        place = [head.column.name for head in self.heads if head.kind == "mode"].index(column.name)
        modes = encoded.codes[:, self._place(column, "mode")]
        apart = encoded.numbers[:, place].astype(np.float64)
        return mixture.means[modes] + _DEVIATIONS * mixture.deviations[modes] * apart

    def missing(self, encoded: Encoded, column: ColumnSpec) -> np.ndarray:
        """bool `[n]`: where a number of a numeric column is missing."""
        if not column.missing:
            return np.zeros(len(encoded.codes), bool)
        return encoded.codes[:, self._place(column, "missing")] == 1

    def decode(self, encoded: Encoded) -> dict[str, np.ndarray]:
        """Columns `[n]` of the spec, of any codes and numbers."""
        table = {}
        for column in self.spec:
            if column.categorical:
                codes = encoded.codes[:, self._place(column, "category")]
                table[column.name] = column.decode(codes)
                continue
            values = column.finish(self.numbers(encoded, column))
            if column.missing:
                values[self.missing(encoded, column)] = np.nan
            table[column.name] = values
        return table

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of it, for a file."""
        return {
            f"mixture/{i}/{field.name}": getattr(self.mixtures[column.name], field.name)
            for i, column in enumerate(self.numeric)
            for field in dataclasses.fields(Mixture)
        }

    @classmethod
    def restore(cls, spec: TableSpec, arrays: Mapping[str, np.ndarray]) -> TableEncoding:
        """The inverse of `arrays`."""
        fields = [field.name for field in dataclasses.fields(Mixture)]
        numeric = (column for column in spec if not column.categorical)
        mixtures = {
            column.name: Mixture(**{field: arrays[f"mixture/{i}/{field}"] for field in fields})
            for i, column in enumerate(numeric)
        }
        return cls(spec, mixtures)

    def _place(self, column: ColumnSpec, kind: str) -> int:
        return [(h.column.name, h.kind) for h in self.heads].index((column.name, kind))


def _check_categories(spec: TableSpec) -> None:
    for column in spec:
        if column.categorical and len(column.categories) > MAX_CATEGORIES:
            raise DataError(
                f"A column of categories must have at most {MAX_CATEGORIES} for a network. Received: "
                f"{len(column.categories)} of {column.name!r}. Leave it out with `columns`; ids of "
                "users and items belong to an interaction synthesizer."
            )


def _filled(
    column: ColumnSpec, values: np.ndarray, rng: np.random.Generator, learned: bool
) -> np.ndarray:
    """The numbers of a column as float64; any others of it, or of its bounds, where they are missing."""
    absent = column.missing_mask(values)
    filled = values.astype(np.float64)
    if not learned:
        return np.where(absent, rng.uniform(column.minimum, column.maximum, len(filled)), filled)
    if absent.any():
        # Not one fixed number, which the mixture would take for a mode.
        known = filled[~absent] if not absent.all() else np.array([column.minimum])
        filled[absent] = rng.choice(known, int(absent.sum()))
    return filled


def _choose(rng: np.random.Generator, logs: np.ndarray) -> np.ndarray:
    """int64 `[n]`: a place drawn by the log-probabilities `[n, m]` of each row."""
    ends = np.exp(logs).cumsum(1)
    return np.minimum((rng.random([len(logs), 1]) > ends).sum(1), logs.shape[1] - 1)
