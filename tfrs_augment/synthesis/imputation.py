"""Missing cells: which they are, donors for them, and how well they are filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfrs_augment.arrays import is_data_frame
from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    UnknownFeatureError,
    close_matches,
)
from tfrs_augment.synthesis.columns import ColumnSpec, Table, TableSpec
from tfrs_augment.synthesis.values import with_gaps

if TYPE_CHECKING:
    from tfrs_augment.synthesis.base import Synthesizer

_DONORS = 5


def incomplete_table(
    rows: Table, spec: TableSpec
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reads rows with missing cells.

    Args:
      rows: a mapping of columns `[n]`, or a DataFrame; a cell is missing if it is None, NaN or b"". A
        column of integers may come as float for that. A column that is absent is missing throughout.
      spec: the columns of the synthesizer.

    Returns:
      Columns of the spec, where missing cells of numbers are 0 and those of bytes b""; and bool
      `[n]` by column, true where a cell is missing and the column has a value to fill in.

    Raises:
      UnknownFeatureError: a column is not the synthesizer's.
      InvalidArgumentError: `rows` are no table.
      DataError: a value is outside its vocabulary or of another kind, or the lengths differ.
    """
    if not is_data_frame(rows) and not isinstance(rows, Mapping):
        raise InvalidArgumentError(
            f"`rows` must be a mapping of columns or a DataFrame. Received: {type(rows).__name__}."
        )
    for name in rows:
        if name not in spec.names:
            raise UnknownFeatureError(
                f"`rows` hold the column {name!r}. {close_matches(str(name), spec.names)}"
            )
    parts = {name: with_gaps(name, values, spec[name].kind) for name, values in rows.items()}
    lengths = {name: len(absent) for name, (_, absent) in parts.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"`rows` must have columns, of one length. Received: {lengths}.")
    count = next(iter(lengths.values()))
    table, missing = {}, {}
    for column in spec:
        if column.name not in parts:
            parts[column.name] = with_gaps(column.name, [None] * count, column.kind)
        values, absent = parts[column.name]
        # A number beyond the bounds stays as it is, and tells what the bound would.
        if column.categorical and not absent.all():
            column.codes(values[~absent])
        fillable = not column.categorical or not column.missing_mask(column.categories).all()
        if column.ordered and not fillable:
            values = np.full(count, np.nan, np.float32)
        table[column.name] = values
        missing[column.name] = absent & fillable
    return table, missing


def from_donors(
    rng: np.random.Generator,
    spec: TableSpec,
    table: Table,
    missing: Mapping[str, np.ndarray],
    donors: Table,
) -> dict[str, np.ndarray]:
    """Fills the missing cells of a row from one of the five donors that are most like it.

    Likeness is Gower's: the mean over the columns that are there of |difference| / range for
    numbers, and of 0 or 1 for categories.

    Args:
      rng: draws which donor.
      spec: the columns.
      table: columns `[n]`.
      missing: bool `[n]` by column.
      donors: columns `[m]`; where one lacks a value, it gets that of another.

    Returns:
      Columns `[n]`, filled in where `missing` is true and anything elsewhere.

    Raises:
      DataError: a column that is to be filled in has no value in any donor.

    Reference:
      Gower, "A general coefficient of similarity and some of its properties", Biometrics 1971.
    """
    fillable = [column for column in spec if column.name in missing]
    donors = {c.name: _complete(rng, c, donors[c.name], missing[c.name]) for c in fillable}
    count = len(next(iter(table.values())))
    chosen = np.zeros(count, np.int64)
    # In parts, so that the table of distances stays small.
    for start in range(0, count, 256):
        part = slice(start, min(start + 256, count))
        distance = np.float32(0.0)
        for column in fillable:
            apart = _distances(column, table[column.name][part], donors[column.name])
            distance = distance + np.where(missing[column.name][part, None], 0.0, apart)
        near = np.argpartition(distance, _DONORS - 1, axis=1)[:, :_DONORS]
        chosen[part] = near[np.arange(len(near)), rng.integers(0, _DONORS, len(near))]
    return {name: values[chosen] for name, values in donors.items()}


def combine(
    spec: TableSpec,
    table: Table,
    missing: Mapping[str, np.ndarray],
    draws: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Puts the mean, or the most frequent category, of some draws into the missing cells.

    Args:
      spec: the columns.
      table: columns `[n]`.
      missing: bool `[n]` by column.
      draws: columns `[n]`, at least those that have a missing cell.

    Returns:
      Columns `[n]`; `table` stays as it is.
    """
    filled = {}
    for column in spec:
        values, absent = table[column.name], missing[column.name]
        if not absent.any():
            filled[column.name] = values.copy()
            continue
        drawn = [draw[column.name][absent] for draw in draws]
        if len(drawn) == 1:
            guess = drawn[0]
        elif column.categorical:
            guess = column.decode(_most_frequent([column.codes(values) for values in drawn]))
        else:
            guess = column.finish(np.mean(drawn, axis=0, dtype=np.float64))
        room = values.astype(np.promote_types(values.dtype, guess.dtype))
        room[absent] = guess
        filled[column.name] = room
    return filled


@dataclasses.dataclass(frozen=True)
class ImputationScore:
    """How well the masked cells of a column were filled in.

    Attributes:
      column: the column's name.
      measure: "rmse" or "mae", lower is better, or "accuracy", higher is better.
      synthesizer: what the synthesizer reached.
      baseline: what the mean (for rmse), the median (mae) or the most frequent category (accuracy) of
        the cells that were not masked reached.
      cells: how many cells were masked.
    """

    column: str
    measure: str
    synthesizer: float
    baseline: float
    cells: int


def imputation_scores(
    synthesizer: Synthesizer, rows: Table, *, share: float = 0.1, seed: int = 0, draws: int = 20
) -> list[ImputationScore]:
    """Masks cells that are there, fills them in, and compares that with mean, median and mode.

    Args:
      synthesizer: a fitted one; `rows` should not be what it was fitted on.
      rows: columns `[n]`, as of `Synthesizer.impute`.
      share: of the cells to mask, in (0, 1).
      seed: which cells are masked, and what is drawn.
      draws: as of `Synthesizer.impute`.

    Returns:
      Scores in the order of the columns; a column none of whose cells was masked has none.

    Raises:
      InvalidArgumentError: `share` is outside (0, 1), or as of `Synthesizer.impute`.
    """
    if not 0.0 < share < 1.0:
        raise InvalidArgumentError(f"`share` must be in (0, 1). Received: share={share!r}.")
    synthesizer.blocks(0)  # raises where it is not fitted
    spec = synthesizer.spec
    truth, absent = incomplete_table(rows, spec)
    rng = np.random.default_rng(seed)
    absent = {c.name: absent[c.name] | c.missing_mask(truth[c.name]) for c in spec}
    masked = {name: (rng.random(len(m)) < share) & ~m for name, m in absent.items()}
    gaps = {}
    for column in spec:
        values, gap = truth[column.name], masked[column.name] | absent[column.name]
        if column.ordered:
            gaps[column.name] = np.where(gap, np.nan, values.astype(np.float64))
        else:
            gaps[column.name] = np.where(gap, b"", values)
    filled = synthesizer.impute(gaps, seed=seed, draws=draws)
    scores = []
    for column in spec:
        gap = masked[column.name]
        there = ~gap & ~absent[column.name]
        if gap.any() and there.any():
            parts = (truth[column.name][gap], filled[column.name][gap], truth[column.name][there])
            scores += _scores(column, *parts)
    return scores


def _scores(
    column: ColumnSpec, truth: np.ndarray, guess: np.ndarray, others: np.ndarray
) -> list[ImputationScore]:
    """The scores of one column, from its masked cells and those that were left."""
    count = len(truth)
    if column.categorical:
        values, counts = np.unique(others, return_counts=True)
        hits = float((guess == truth).mean()), float((values[counts.argmax()] == truth).mean())
        return [ImputationScore(column.name, "accuracy", *hits, count)]
    truth, guess, others = (part.astype(np.float64) for part in (truth, guess, others))
    squares = [np.sqrt(np.mean((g - truth) ** 2)) for g in (guess, others.mean())]
    errors = [np.mean(np.abs(g - truth)) for g in (guess, np.median(others))]
    return [
        ImputationScore(column.name, "rmse", *map(float, squares), count),
        ImputationScore(column.name, "mae", *map(float, errors), count),
    ]


def _complete(
    rng: np.random.Generator, column: ColumnSpec, values: np.ndarray, missing: np.ndarray
) -> np.ndarray:
    """The donors' values of a column, those that are missing taken from other donors."""
    absent = column.missing_mask(values)
    if absent.all() and missing.any():
        raise DataError(
            f"The column {column.name!r} can't be filled in: none of {len(values)} sampled rows has "
            "a value there. Leave it out with `columns`."
        )
    if not absent.any() or absent.all():
        return values
    values = values.copy()
    values[absent] = rng.choice(values[~absent], int(absent.sum()))
    return values


def _distances(column: ColumnSpec, values: np.ndarray, donors: np.ndarray) -> np.ndarray:
    """float32 `[n, m]`: how far a column's values are apart, from 0 to 1."""
    if column.categorical:
        return (values[:, None] != donors).astype(np.float32)
    scale = max(column.maximum - column.minimum, 1e-30)
    return np.abs((values[:, None] - donors.astype(np.float64)) / scale).astype(np.float32)


def _most_frequent(draws: Sequence[np.ndarray]) -> np.ndarray:
    """int64 `[n]`: in each row the code that most of some draws `[n]` have, of ties the first."""
    stacked = np.stack(draws, 1)
    votes = (stacked[:, :, None] == stacked[:, None, :]).sum(2)
    return stacked[np.arange(len(stacked)), votes.argmax(1)]
