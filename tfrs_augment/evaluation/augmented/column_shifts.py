"""Column by column: what became of values under augmentation, and pictures of it as numbers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Ragged
from tfrs_augment.drift import Drift, column_drift
from tfrs_augment.evaluation.augmented.augmented_tables import Pair
from tfrs_augment.evaluation.synthetic import similarity
from tfrs_augment.evaluation.synthetic.coded_tables import Coded, CodedTables, code_tables
from tfrs_augment.rank_statistics import spearman

NUMBER, CATEGORY, LIST = "number", "category", "list"
_BINS = 20
_MOST_VALUES = 12
_POPULAR = 10
"""Different values from which on their order by frequency is compared."""
_LONGEST = 24


@dataclasses.dataclass(frozen=True)
class ColumnShift:
    """One column before and after. A column of lists counts by its values but for `changed`.

    Attributes:
      name: the column's name.
      kind: "number", "category" or "list".
      drift: how far its distribution has moved; see `aug.drift`.
      coverage: the share of the source's values, or of tenths of its numbers, that still occur.
      new: the share of augmented values that the source does not have, or that are beyond its range.
      changed: the share of augmented rows in which it is not as in the source row; NaN where that is not
        known.
      popularity: the rank correlation of how often values occur, before and after; NaN for numbers, and
        where values are few or all equally frequent.
    """

    name: str
    kind: str
    drift: Drift
    coverage: float
    new: float
    changed: float
    popularity: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; NaN becomes None."""
        numbers = {n: getattr(self, n) for n in ("coverage", "new", "changed", "popularity")}
        return {
            "kind": self.kind,
            "drift": self.drift.distance,
            "drift_kind": self.drift.kind,
            "drift_p_value": self.drift.p_value,
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        }


@dataclasses.dataclass(frozen=True)
class Distribution:
    """What a column's values are, before and after, as shares of all rows, or of all values of lists.

    Attributes:
      name: the column's name.
      kind: "number", "category" or "list".
      labels: of each bar: a value, a range of numbers, or what is left.
      source: share of each bar, of the source.
      augmented: of the augmented rows.
      others: whether the last bar is of all other values together.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    source: tuple[float, ...]
    augmented: tuple[float, ...]
    others: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


@dataclasses.dataclass(frozen=True)
class Cells:
    """Both tables as codes and numbers, lists as one code a list: what rows are compared by.

    Attributes:
      tables: "source" and "augmented".
      numbers: names of the columns that are numbers.
      changed: bool `[rows, columns]` of the augmented rows whose source row is known; None where none is.
      known: bool `[m]`, these rows.
    """

    tables: Mapping[str, Coded]
    numbers: tuple[str, ...]
    changed: np.ndarray | None
    known: np.ndarray

    @classmethod
    def of(cls, pair: Pair) -> Cells:
        """Returns the cells of a pair."""
        source, augmented, numbers = {}, {}, ()
        if pair.scalars:
            coded = coded_scalars(pair)
            source, augmented = (dict(coded.tables[key]) for key in ("source", "augmented"))
            numbers = coded.numbers
        for name in pair.lists:
            source[name], augmented[name] = _list_codes(pair.source[name], pair.augmented[name])
        changed, known = None, np.zeros(len(next(iter(augmented.values()))), bool)
        if pair.parents is not None:
            known = pair.parents >= 0
            parents = pair.parents[known]
            columns = [_differ(source[n][parents], augmented[n][known]) for n in source]
            changed = np.stack(columns, axis=1)
        return cls({"source": source, "augmented": augmented}, numbers, changed, known)


def coded_scalars(pair: Pair) -> CodedTables:
    """Returns the columns with one value a row, coded."""
    tables = {"source": pair.source, "augmented": pair.augmented}
    return code_tables({k: {n: t[n] for n in pair.scalars} for k, t in tables.items()})


def measure_columns(pair: Pair, cells: Cells) -> tuple[ColumnShift, ...]:
    """Returns what became of each column, the largest drift first."""
    found = []
    for place, name in enumerate(cells.tables["source"]):
        before, after = pair.source[name], pair.augmented[name]
        kind = NUMBER if name in cells.numbers else CATEGORY
        if isinstance(before, Ragged):
            kind, before, after = LIST, before.values, after.values
        changed = math.nan
        if cells.changed is not None and len(cells.changed):
            changed = float(cells.changed[:, place].mean())
        if len(before) and len(after):
            drift = column_drift(before, after, name=name)
        else:
            # Lists without a value in either table: equal, or as far apart as can be.
            drift = Drift(name, CATEGORY, float(len(before) != len(after)), None)
        numbers = kind == NUMBER
        coverage, new = _number_range(before, after) if numbers else _values(before, after)
        popularity = math.nan if numbers else _popularity(before, after)
        found.append(ColumnShift(name, kind, drift, coverage, new, changed, popularity))
    return tuple(sorted(found, key=lambda shift: (-shift.drift.distance, shift.name)))


def distributions(pair: Pair, columns: tuple[ColumnShift, ...]) -> tuple[Distribution, ...]:
    """Returns the distributions of columns, in their order."""
    found = []
    for column in columns:
        before, after = pair.source[column.name], pair.augmented[column.name]
        if isinstance(before, Ragged):
            before, after = before.values, after.values
        bars = _number_bars if column.kind == NUMBER else _value_bars
        if len(before) or len(after):
            found.append(Distribution(column.name, column.kind, *bars(before, after)))
    return tuple(found)


def _differ(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    if before.dtype.kind == "f":
        return (before != after) & ~(np.isnan(before) & np.isnan(after))
    return before != after


def _list_codes(before: Ragged, after: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """int64 `[n]` and `[m]`: equal lists have equal codes."""
    _, values = np.unique(np.concatenate([before.values, after.values]), return_inverse=True)
    lengths = np.concatenate([before.row_lengths(), after.row_lengths()])
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(values)) - np.repeat(starts, lengths)
    # A value and its place mixed to 64 bits; the sum over a list, with its length, tells lists apart.
    with np.errstate(over="ignore"):
        word = (values.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        word += (place.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03)
        word = (word ^ (word >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
        word ^= word >> np.uint64(29)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(word, dtype=np.uint64)])
        found = sums[starts + lengths] - sums[starts]
        found += lengths.astype(np.uint64) * np.uint64(0x94D049BB133111EB)
    _, codes = np.unique(found, return_inverse=True)
    return codes[: len(before)], codes[len(before) :]


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)] if values.dtype.kind == "f" else values


def _number_range(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Tenths of the source's numbers that occur, and the share of numbers beyond its range."""
    known, other = _known(before.astype(np.float64)), _known(after.astype(np.float64))
    if not len(known) or not len(other):
        return math.nan, math.nan
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1]))
    within = (other >= known.min()) & (other <= known.max())
    bins = np.unique(similarity.binned(known, edges))
    covered = np.isin(bins, similarity.binned(other[within], edges)).mean()
    return float(covered), float(1.0 - within.mean())


def _values(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    values = np.unique(before)
    if not len(values) or not len(after):
        return math.nan, math.nan
    return float(np.isin(values, after).mean()), float(1.0 - np.isin(after, values).mean())


def _popularity(before: np.ndarray, after: np.ndarray) -> float:
    values, counts = np.unique(before, return_counts=True)
    if len(values) < _POPULAR:
        return math.nan
    found, others = np.unique(after, return_counts=True)
    after_counts = np.zeros(len(values), np.int64)
    place = np.minimum(np.searchsorted(values, found), len(values) - 1)
    same = values[place] == found
    after_counts[place[same]] = others[same]
    if not np.ptp(counts):
        return math.nan
    correlation = spearman(counts, after_counts)
    # Where all came out equally frequent, or none at all, nothing is left of the order.
    return 0.0 if math.isnan(correlation) else correlation


def _number_bars(before: np.ndarray, after: np.ndarray):
    """Labels and shares of bins over the source's range, and of what is outside it."""
    known = _known(before.astype(np.float64))
    if not len(known):
        known = _known(after.astype(np.float64))
    if not len(known):
        return ("missing",), (1.0,), (1.0,), False
    low, high = float(known.min()), float(known.max())
    whole = bool((known == np.rint(known)).all())
    if whole and high - low < 2 * _BINS:
        # A bin a whole number: others would hold one, two or none of them in turn.
        edges = np.arange(low - 0.5, high + 1.0)
        labels = [f"{value:g}" for value in np.arange(low, high + 0.5)]
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
        labels = [f"{_short(a)} to {_short(b)}" for a, b in itertools.pairwise(edges)]
    shares = []
    for values in (before.astype(np.float64), after.astype(np.float64)):
        inside = np.histogram(values[~np.isnan(values)], edges)[0]
        ends = (values < edges[0]).sum(), (values > edges[-1]).sum(), np.isnan(values).sum()
        shares.append(np.array([ends[0], *inside, *ends[1:]]) / max(len(values), 1))
    labels = [f"below {_short(edges[0])}", *labels, f"above {_short(edges[-1])}", "missing"]
    shown = [i for i in range(len(labels)) if 0 < i < len(labels) - 2 or any(s[i] for s in shares)]
    return (
        tuple(labels[i] for i in shown),
        *(tuple(float(share[i]) for i in shown) for share in shares),
        False,
    )


def _value_bars(before: np.ndarray, after: np.ndarray):
    """Labels and shares of the most frequent values of both, and of the others together."""
    values, joint = np.unique(np.concatenate([before, after]), return_inverse=True)
    counts = [
        np.bincount(part, minlength=len(values)) / max(len(part), 1)
        for part in np.split(joint, [len(before)])
    ]
    order = np.argsort(-np.maximum(*counts), kind="stable")
    # The order of the source; new values, which it lacks, come last.
    shown = order[:_MOST_VALUES]
    shown = shown[np.lexsort((-counts[1][shown], -counts[0][shown]))]
    rest = order[_MOST_VALUES:]
    labels = [_text(value) for value in values[shown].tolist()]
    shares = [[*count[shown]] for count in counts]
    if len(rest):
        labels.append(f"{len(rest):,} others")
        for share, count in zip(shares, counts):
            share.append(count[rest].sum())
    return tuple(labels), *(tuple(map(float, share)) for share in shares), len(rest) > 0


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1e5 else f"{number:.5g}"


def _text(value: bytes | float) -> str:
    if isinstance(value, bytes):
        text = value.decode("utf-8", errors="backslashreplace") or "(empty)"
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "missing" if math.isnan(value) else f"{value:g}"
