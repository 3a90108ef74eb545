"""Faults planted in clean interactions, to score cleaning rules by precision and recall."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfrs_augment import errors
from tfrs_augment.datasets import interactions, queries

RATES: Mapping[str, float] = {
    "exact_duplicate": 0.01,
    "near_duplicate": 0.01,
    "range_outlier": 0.005,
    "iqr_outlier": 0.005,
    "unknown_value": 0.01,
    "bot": 0.02,
    "missing_at_random": 0.02,
    "missing_dependent": 0.02,
    "no_item": 0.005,
}
ROW_ID = "row_id"
NEAR_SECONDS = 30  # A near duplicate is at most so far from its original in time,
NEAR_SHARE = 0.01  # or by this share in its number.
BOT_EVENTS = 200  # About so many events has a bot, 1 or 2 seconds apart.
DEPENDENCE = 4.0  # Odds of a value to be missing where the other one is above its median.


class Score(NamedTuple):
    """How well a rule found the faults of a kind.

    Attributes:
      precision: share of the rows found that have the fault; 1 if none was found.
      recall: share of the faults that were found; 1 if none was planted.
      found: number of rows found, without those forgiven.
      planted: number of faults planted.
    """

    precision: float
    recall: float
    found: int
    planted: int


@dataclasses.dataclass(frozen=True, eq=False)
class PlantedFaults:
    """Faulty rows, and what is wrong with them.

    Args:
      rows: the columns of the clean rows and `row_id` int64, sorted by time. A row of the clean data
        has its place there as its id; planted rows have the ids after these. A missing value is
        b"" or NaN.
      faults: one entry a fault, and no row has two: `row_id` int64; `kind` bytes, a name of `RATES`;
        `column` bytes, b"" where the whole row is at fault; `original` int64, the row that a
        duplicate repeats, else -1.
      clean: the data before: the true value of a faulty cell is `clean.rows[column][row_id]`.
    """

    rows: interactions.Table
    faults: Mapping[str, np.ndarray]
    clean: interactions.Interactions

    def rows_of(self, kind: str) -> np.ndarray:
        """Returns int64 `[faults]`, the ids of the rows with a fault of this kind, ascending.

        Raises:
          InvalidArgumentError: there is no such kind.
        """
        return np.sort(self.faults[ROW_ID][self._is(kind)])

    def score(self, kind: str, found: np.ndarray, *, forgive: Collection[str] = ()) -> Score:
        """Returns precision and recall of a rule.

        Of a row and its duplicate either may be found: a rule that keeps the last is as right as
        one that keeps the first. Both found is one too many.

        Args:
          kind: the fault that the rule looks for.
          found: int64 `[n]`, the `row_id` of the rows that it found; repeats count once.
          forgive: kinds whose rows the rule may find as well: a rule on quartiles finds what is
            out of range, too.

        Raises:
          InvalidArgumentError: there is no such kind.
        """
        found = np.unique(found)
        for other in forgive:
            allowed = self._is(other)
            twins = [self.faults[name][allowed] for name in (ROW_ID, "original")]
            found = found[~np.isin(found, np.concatenate(twins))]
        mask = self._is(kind)
        planted, originals = self.faults[ROW_ID][mask], self.faults["original"][mask]
        hits = int((np.isin(planted, found) | np.isin(originals, found)).sum())
        return Score(
            precision=hits / len(found) if len(found) else 1.0,
            recall=hits / len(planted) if len(planted) else 1.0,
            found=len(found),
            planted=len(planted),
        )

    def write_tfrecords(
        self, folder: str, *, shards: int = 1, compression: str = "", overwrite: bool = False
    ) -> list[str]:
        """Writes the faulty rows as `interactions.write_tfrecords` does.

        A planted missing value, and a missing item id, is a feature that the record lacks.

        Args:
          folder: as of `Interactions.write_tfrecords`, as are the others.
          shards: see there.
          compression: see there.
          overwrite: see there.

        Returns:
          The paths of the shards.
        """
        missing = {}
        without = ("missing_at_random", "missing_dependent", "no_item")
        of_kind = np.isin(self.faults["kind"], np.array(without, "S"))
        for name in np.unique(self.faults["column"][of_kind]):
            rows = self.faults[ROW_ID][of_kind & (self.faults["column"] == name)]
            missing[name.decode()] = np.isin(self.rows[ROW_ID], rows)
        return interactions.write_tfrecords(
            self.rows,
            folder,
            shards=shards,
            compression=compression,
            overwrite=overwrite,
            missing=missing,
        )

    def _is(self, kind: str) -> np.ndarray:
        _check_kinds((kind,))
        return self.faults["kind"] == kind.encode()


def plant_faults(
    data: interactions.Interactions,
    *,
    seed: int = 0,
    rates: Mapping[str, float] = RATES,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    categories: Sequence[str] = ("item_category", "user_city"),
    near: str = "item_price",
    missing: Sequence[str] = ("item_brand", "user_gender"),
    dependent: tuple[str, str] = ("user_age", "item_price"),
) -> PlantedFaults:
    """Plants faults of known kinds in clean data, no two in one row.

    The kinds, each `round(rate * len(data))` times:
      exact_duplicate: a row once more.
      near_duplicate: a row once more, up to `NEAR_SECONDS` earlier or later, or with `near` changed
        by at most `NEAR_SHARE`; half of them each.
      range_outlier: a number outside its range, below or above.
      iqr_outlier: a number inside its range, but above every clean one and above the third quartile
        by more than 3 interquartile ranges.
      unknown_value: a category with a typing error.
      bot: a row of a user that is none: users with some `BOT_EVENTS` events, 1 or 2 seconds apart,
        with the features of a real user; the rest of a row is that of any real one, so a bot may
        well take an item twice within seconds.
      missing_at_random: a value is missing, whatever the row.
      missing_dependent: the first column of `dependent` is missing, `DEPENDENCE` times as often
        where the second is above its median as elsewhere.
      no_item: the item id is missing, so that the row can't be repaired.

    Args:
      data: clean interactions; the defaults fit the simulated shops.
      seed: any integer of 0 or more.
      rates: shares of the clean rows by kind; a kind left out is not planted.
      ranges: `(low, high)` by float32 column, the values that a schema would allow; None is
        {"user_age": (0, 120), "item_price": (0, 10_000)}.
      categories: columns of bytes whose clean values are their domain.
      near: a float32 column.
      missing: columns of bytes or float32.
      dependent: two columns, the first bytes or float32, the second a number.

    Raises:
      InvalidArgumentError: a kind is unknown, a rate is out of range, the rates ask for more rows
        than there are, or a range has no room above the clean values.
      UnknownFeatureError: a column is not in the data.

    Example:
      >>> from tfrs_augment.datasets import simulated_shop
      >>> faulty = plant_faults(simulated_shop("tiny"), rates={"no_item": 0.01}, seed=1)
      >>> faulty.score("no_item", faulty.rows["row_id"][faulty.rows["item_id"] == b""]).recall
      1.0
    """
    ranges = {"user_age": (0.0, 120.0), "item_price": (0.0, 10_000.0)} if ranges is None else ranges
    _check(data, rates, (*ranges, *categories, near, *missing, *dependent))
    counts = {kind: round(rate * len(data)) for kind, rate in rates.items()}
    if sum(counts.values()) > len(data):
        raise errors.InvalidArgumentError(
            f"`rates` must add up to 1 at most. Received: {dict(rates)} for {len(data)} rows."
        )
    # One stream a kind, so that a rate changed leaves the values of the other kinds as they were.
    chooser, *streams = np.random.default_rng(seed).spawn(1 + len(RATES))
    streams = dict(zip(RATES, streams, strict=True))
    chosen = _choose(chooser, data, counts, dependent[1])

    bots = streams["bot"].integers(0, len(data), counts.get("bot", 0))
    copied = [chosen["exact_duplicate"], chosen["near_duplicate"], bots]
    source = np.concatenate([np.arange(len(data)), *copied])
    rows = {name: interactions.take_column(c, source) for name, c in data.rows.items()}
    rows[ROW_ID] = np.arange(len(source))
    new = np.split(rows[ROW_ID][len(data) :], np.cumsum([len(part) for part in copied])[:-1])
    log = _FaultLog()

    log.add("exact_duplicate", new[0], original=copied[0])
    half = len(new[1]) // 2
    rng = streams["near_duplicate"]
    shift = rng.integers(1, NEAR_SECONDS + 1, half) * rng.choice([-1, 1], half)
    rows[data.timestamp][new[1][:half]] += shift
    factor = 1 + NEAR_SHARE * rng.uniform(0.3, 0.99, len(new[1]) - half)
    rows[near][new[1][half:]] *= factor.astype(np.float32)
    names = np.where(np.arange(len(new[1])) < half, data.timestamp, near)
    log.add("near_duplicate", new[1], names, original=copied[1])
    _make_bots(streams["bot"], data, rows, new[2])
    log.add("bot", new[2])

    for kind, columns, change in (
        ("range_outlier", tuple(ranges), lambda *a: _out_of_range(*a, ranges)),
        ("iqr_outlier", tuple(ranges), lambda *a: _far_above(*a, ranges)),
        ("unknown_value", categories, _misspell),
        ("missing_at_random", missing, _blank),
        ("missing_dependent", dependent[:1], _blank),
        ("no_item", (data.item_id,), _blank),
    ):
        # The columns take turns over rows in random order.
        for turn, name in enumerate(columns):
            place = chosen[kind][turn :: len(columns)]
            if len(place):
                values = change(streams[kind], name, data.rows[name], place)
                rows[name] = rows[name].astype(np.promote_types(rows[name].dtype, values.dtype))
                rows[name][place] = values
                log.add(kind, place, np.full(len(place), name))
    order = np.lexsort((rows[ROW_ID], rows[data.timestamp]))
    rows = {name: interactions.take_column(column, order) for name, column in rows.items()}
    return PlantedFaults(rows, log.table(), data)


class _FaultLog:
    """Collects what was planted."""

    def __init__(self):
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(
        self,
        kind: str,
        rows: np.ndarray,
        columns: np.ndarray | None = None,
        *,
        original: np.ndarray | None = None,
    ) -> None:
        count = len(rows)
        columns = np.zeros(count, "S1") if columns is None else columns.astype("S")
        original = np.full(count, -1) if original is None else original
        self._parts.append((rows, np.full(count, kind.encode()), columns, original))

    def table(self) -> dict[str, np.ndarray]:
        columns = [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]
        return dict(zip((ROW_ID, "kind", "column", "original"), columns, strict=True))


def _check_kinds(kinds: Collection[str]) -> None:
    for kind in kinds:
        if kind not in RATES:
            raise errors.InvalidArgumentError(
                f"A kind of fault must be one of {', '.join(RATES)}. Received: {kind!r}. "
                f"{errors.close_matches(kind, RATES)}"
            )


def _check(
    data: interactions.Interactions, rates: Mapping[str, float], columns: Sequence[str]
) -> None:
    """Raises unless the rates and columns can be used."""
    _check_kinds(rates)
    for kind, rate in rates.items():
        if not 0 <= rate <= 1:
            raise errors.InvalidArgumentError(
                f"`rates` must be in [0, 1]. Received: {kind}={rate}."
            )
    for name in columns:
        if name not in data.rows:
            raise errors.UnknownFeatureError(
                f"A column must be in the rows of {data.name}. Received: {name!r}. "
                f"{errors.close_matches(name, data.rows)}"
            )
    if ROW_ID in data.rows:
        raise errors.InvalidArgumentError(
            f"`data` must have no column {ROW_ID!r}, which faulty rows get. Rename it."
        )


def _choose(
    rng: np.random.Generator,
    data: interactions.Interactions,
    counts: Mapping[str, int],
    depends_on: str,
) -> dict[str, np.ndarray]:
    """Returns the rows for each kind but bots: disjoint, in random order."""
    # First where the odds differ, as the smallest of exponential waiting times; then the rest.
    values = data.rows[depends_on]
    odds = np.where(values > np.median(values), DEPENDENCE, 1.0)
    dependent = counts.get("missing_dependent", 0)
    first = np.argsort(rng.exponential(size=len(data)) / odds, kind="stable")
    chosen = {"missing_dependent": first[:dependent]}
    rest = rng.permutation(first[dependent:])
    for kind in RATES:
        if kind not in ("bot", "missing_dependent"):
            chosen[kind], rest = np.split(rest, [counts.get(kind, 0)])
    return chosen


def _make_bots(
    rng: np.random.Generator,
    data: interactions.Interactions,
    rows: dict[str, interactions.Column],
    place: np.ndarray,
) -> None:
    """Gives the rows at `place` to bots, in equal shares."""
    if not len(place):
        return
    count = max(round(len(place) / BOT_EVENTS), 1)
    bot = np.sort(np.arange(len(place)) % count)
    # No id of a user can be equal, since it would sort behind the last one.
    last = np.sort(data.users[data.user_id])[-1]
    ids = np.array([last + b"-%d" % number for number in range(1, count + 1)])
    rows[data.user_id] = rows[data.user_id].astype(
        np.promote_types(ids.dtype, rows[data.user_id].dtype)
    )
    rows[data.user_id][place] = ids[bot]
    twin = rng.integers(0, len(data.users[data.user_id]), count)
    for name, column in data.users.items():
        if name != data.user_id and name in rows and not isinstance(column, interactions.Ragged):
            rows[name][place] = column[twin][bot]
    passed = np.cumsum(rng.integers(1, 3, len(place)))
    first = passed[np.searchsorted(bot, np.arange(count))]
    times = data.rows[data.timestamp]
    start = rng.integers(times.min(), times.max() + 1, count)
    rows[data.timestamp][place] = start[bot] + passed - first[bot]


def _out_of_range(
    rng: np.random.Generator,
    name: str,
    column: np.ndarray,
    place: np.ndarray,
    ranges: Mapping[str, tuple[float, float]],
) -> np.ndarray:
    """Returns values below and above the range, by a tenth to all of the clean values' span."""
    low, high = ranges[name]
    off = np.ptp(column) * rng.uniform(0.1, 1.0, len(place))
    return np.where(rng.random(len(place)) < 0.5, low - off, high + off).astype(np.float32)


def _far_above(
    rng: np.random.Generator,
    name: str,
    column: np.ndarray,
    place: np.ndarray,
    ranges: Mapping[str, tuple[float, float]],
) -> np.ndarray:
    """Returns values in the range that are above all clean ones and the fence of the quartiles."""
    first, third = np.quantile(column, [0.25, 0.75])
    bound, high = max(column.max(), third + 3 * (third - first)), ranges[name][1]
    if bound >= high:
        raise errors.InvalidArgumentError(
            f"`ranges` must leave room for outliers above {bound:.6g}. Received: {name!r} up to "
            f"{high:.6g}. Raise it, or leave the column out."
        )
    return rng.uniform(0.9 * bound + 0.1 * high, high, len(place)).astype(np.float32)


def _misspell(
    rng: np.random.Generator, name: str, column: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Returns the values with a typing error that makes no other value of the domain."""
    del name
    width = column.dtype.itemsize + 1
    letters = column[place].astype(f"S{width}").view(np.uint8).reshape(len(place), width)
    typed = queries.mistype(rng, letters).reshape(-1).view(f"S{width}")
    return np.where(np.isin(typed, column), np.char.add(typed, b"?"), typed)


def _blank(
    rng: np.random.Generator, name: str, column: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Returns missing values."""
    del rng, name
    return np.full(len(place), b"" if column.dtype.kind == "S" else np.nan, column.dtype)
