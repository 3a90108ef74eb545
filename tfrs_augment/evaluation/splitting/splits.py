"""Training, validation and test rows, with items that training never sees.

Splits are by time unless asked otherwise, because a random split lets a model learn from what comes after
the rows that it is tested on. Three cuts are offered:

- `by="user_time"` (the default) cuts each user's rows at the same shares of the user's own history.
  Every user then has training rows, so the slices speak of items. On MovieLens, whose users rate all
  in one sitting, a global cut would leave most test users without any training row.
- `by="time"` cuts all rows at the same moments. Nothing in training comes after a test row of anybody,
  and items launched after the cut are cold by nature; use it where users come back, as in a shop.
- `by="user"` holds out whole users, drawn: test users and validation users have no training row, and all
  of their rows are tested, or validate. It asks how the model serves strangers by their features alone,
  and knows nothing of time: other users' later rows train.

Cold users beside a cut by time are drawn with `cold_user_share`: none of their rows trains or validates,
their last rows are tested like those of others, and their earlier rows tell what they have already seen. A
model embeds a user without a training row by its features and by its row of unknown ids, which training
never touches unless ids are dropped to it; `towers.mean_oov` gives it the mean of the known users.

Cold items are drawn, and all of their rows are held out of training. With `cold_rows="last"` they are
tested like the others, by the last rows, and their earlier rows only tell what a user has already seen.
That leaves few rows to judge them by: on MovieLens 100K some 300, of which a handful are ever found.
`cold_rows="all"` tests every row of theirs, some ten times as many; a model then knows what a user did
after it, too, so it asks how a new item is placed among a user's tastes, and not what comes next.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from tfrs_augment.datasets.interactions import Interactions, Ragged, Table, take_column
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring.metrics import Seen
from tfrs_augment.evaluation.splitting.cuts import (
    check_cold_shares,
    check_interactions,
    check_parts,
    cut_by_time,
    cut_by_user,
    draw_cold,
    draw_cold_users,
    is_last,
    positions,
)

QUERY_SOURCES = ("users", "rows")

_CUTS = ("user_time", "time", "user")
_COLD_ROWS = ("last", "all")


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows of one data set, cut for one comparison.

    Attributes:
      train: rows that a model learns from. Vocabularies come from these alone.
      validation: later rows, for early stopping and tuning, of items that training has seen; and of
        pseudo-cold ones, where the split holds out any.
      test: the last rows, on warm and cold items.
      seen: every row outside `test`, also those on cold items: what a user has seen by then.
      name: how the split was made, for reports.
      query_from: "users" where a user asks, by the features in `train.users`, once for all of the
        user's rows; "rows" where each validation and test row asks by columns of its own, such as
        the history before it.
      popularity: int64 `[items]`, the counts that tell warm from cold items, and head from tail.
        Default: the training rows of each item. A split whose `train` is a sample of the rows gives
        the counts before sampling, so that a slice holds the same items at any size of the sample.
      earlier: bool `[test rows]`, the test rows that are not of the last ones: earlier rows of cold
        items, which count for the slices of cold items alone. Default: none.
      development: whether no row is of the test of a whole split: what `development_split` returns.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    seen: Interactions
    name: str
    query_from: str = "users"
    popularity: np.ndarray | None = None
    earlier: np.ndarray | None = None
    development: bool = False

    def __post_init__(self) -> None:
        if self.query_from not in QUERY_SOURCES:
            raise InvalidArgumentError(
                f"`query_from` must be one of {QUERY_SOURCES}. Received: {self.query_from!r}."
            )
        if self.popularity is None:
            counts = np.bincount(self.train.item_index(), minlength=catalogue_size(self.train))
            object.__setattr__(self, "popularity", counts)
        if self.earlier is None:
            object.__setattr__(self, "earlier", np.zeros(len(self.test), bool))

    @property
    def warm_items(self) -> np.ndarray:
        """bool `[items]` in the order of the catalogue: the items with a count in `popularity`."""
        return self.popularity > 0

    @property
    def cold_items(self) -> np.ndarray:
        """bytes `[n]`, ids of catalogue items that are not warm: drawn, late or never met."""
        return self.train.items[self.train.item_id][~self.warm_items]

    def queries(self, part: Interactions) -> Table:
        """Returns the columns by which the rows of a part ask, one row a query.

        Args:
          part: `validation` or `test`.

        Returns:
          The table of users; or, with `query_from="rows"`, the part's rows without the columns of
          their items, which are the answer.
        """
        if self.query_from == "users":
            return part.users
        return {name: column for name, column in part.rows.items() if name not in part.items}

    def query_index(self, part: Interactions) -> np.ndarray:
        """Returns int64 `[n]`, the row of `queries(part)` that asks for each row of a part."""
        return part.user_index() if self.query_from == "users" else np.arange(len(part))

    def seen_before(self, part: Interactions) -> Seen:
        """Returns what the rankings of a part leave out, by query.

        For users, the items of `train` where `part` is `validation`, and else those of `seen`. For
        rows, the items of those rows of `seen` that are earlier than the asking row, and of its user; of
        equal time, those that stand before it in `seen`, and before a test row all of them.
        """
        known = self.train if part is self.validation and self.query_from == "users" else self.seen
        user, item = known.user_index(), known.item_index()
        if self.query_from == "users":
            return Seen.from_pairs(user, item, len(known.users[known.user_id]))
        order = np.argsort(user, kind="stable")
        counts = np.bincount(user, minlength=len(known.users[known.user_id]))
        asking = part.user_index()
        # Each query once for every known row of its user, and the places of these rows.
        query = np.repeat(np.arange(len(part)), counts[asking])
        first = (np.cumsum(counts) - counts)[asking]
        offset = np.arange(len(query)) - np.repeat(
            np.cumsum(counts[asking]) - counts[asking], counts[asking]
        )
        place = order[np.repeat(first, counts[asking]) + offset]
        time, now = known.rows[known.timestamp][place], part.rows[part.timestamp][query]
        own = np.full(len(part), len(known))
        if part is not self.test:
            itself = (time == now) & (item[place] == part.item_index()[query])
            own[query[itself]] = place[itself]  # Of several, the last.
        earlier = (time < now) | ((time == now) & (place < own[query]))
        return Seen.from_pairs(query[earlier], item[place][earlier], len(part))

    def fingerprint(self) -> str:
        """Returns a hash of all rows of all parts and of the tables, for caches."""
        digest = hashlib.sha256(f"{self.name}, {self.query_from}".encode())
        digest.update(np.asarray(self.popularity, np.int64).tobytes())
        digest.update(np.packbits(self.earlier).tobytes())
        parts = (self.train, self.validation, self.test, self.seen)
        tables = [part.rows for part in parts] + [self.train.items, self.train.users]
        for table in tables:
            for name, column in sorted(table.items()):
                digest.update(name.encode())
                arrays = (
                    (column.values, column.row_splits) if isinstance(column, Ragged) else (column,)
                )
                for array in arrays:
                    digest.update(str((array.dtype, array.shape)).encode())
                    digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def split(
    data: Interactions,
    *,
    by: str = "user_time",
    test_share: float = 0.1,
    validation_share: float = 0.1,
    cold_share: float = 0.15,
    cold_rows: str = "last",
    pseudo_cold_share: float = 0.0,
    cold_user_share: float = 0.0,
    seed: int = 0,
) -> Split:
    """Splits interactions by time or by user and holds a share of the items out of training.

    Args:
      data: the interactions.
      by: "user_time" cuts each user's rows at equal shares, "time" all rows at equal moments, "user" holds
        out whole users; see the module. Rows of equal time are put in a seeded random order.
      test_share: share of the rows that come last, or of the users, in (0, 1). Of a user's `n` rows
        `n * test_share` are tested, rounded down: at the default, none of a user with fewer than ten rows,
        unless an item is drawn with `cold_rows="all"`. Default: 0.1.
      validation_share: share of the rows just before them, or of the users, in (0, 1). Of a user's `n` rows
        `n * (test_share + validation_share)` are tested or validate, rounded down. Default: 0.1.
      cold_share: share of the catalogue that is drawn to be cold, in [0, 1). Items without a
        training row for any other reason are cold too. Default: 0.15.
      cold_rows: "last" tests the drawn items by the last rows, as the others; "all" by every row of
        theirs. See the module.
      pseudo_cold_share: share of the catalogue that is drawn beside the cold items, held out of training
        as they are, and validates, so that early stopping sees what becomes of new items; `cold_rows`
        says by which rows. They are not tested. Default: 0.
      cold_user_share: share of the users with rows that is drawn to be cold, in [0, 1): none of their rows
        trains or validates, and they are tested by their last rows. Not with `by="user"`, where all tested
        users are cold. Which they are depends on the seed alone, and the items drawn do not change.
        Default: 0.
      seed: of the cold items, of the users that are drawn, and of the order of rows of equal time.

    Returns:
      The split. Validation rows of other items without a training row are left out of `validation` (they
      stay in `seen`): without a `pseudo_cold_share` early stopping does not look at cold items.

    Raises:
      InvalidArgumentError: a share, `by` or `cold_rows` breaks its rule.
      DataError: no training, validation or test rows are left.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> names = np.array([b"a", b"b", b"c", b"d"])
      >>> events = {"user_id": names[rng.integers(2, size=200)],
      ...           "item_id": names[rng.integers(4, size=200)],
      ...           "timestamp": np.arange(200)}
      >>> tables = {"items": {"item_id": names}, "users": {"user_id": names}}
      >>> data = Interactions.from_tables(events, **tables)
      >>> one = split(data, cold_share=0.25)
      >>> len(one.cold_items), len(one.test)
      (1, 19)
    """
    check_interactions(data=data)
    if by not in _CUTS:
        raise InvalidArgumentError(f"`by` must be one of {_CUTS}. Received: by={by!r}.")
    shares = {"test_share": test_share, "validation_share": validation_share}
    for name, share in shares.items():
        if not 0 < share < 1:
            raise InvalidArgumentError(f"`{name}` must be in (0, 1). Received: {name}={share}.")
    if test_share + validation_share >= 1:
        raise InvalidArgumentError(
            "`test_share` and `validation_share` must leave rows to train on. Received: "
            f"{test_share} and {validation_share}."
        )
    check_cold_shares(cold_share, pseudo_cold_share)
    if cold_rows not in _COLD_ROWS:
        raise InvalidArgumentError(
            f"`cold_rows` must be one of {_COLD_ROWS}. Received: cold_rows={cold_rows!r}."
        )
    if not 0 <= cold_user_share < 1:
        raise InvalidArgumentError(
            f"`cold_user_share` must be in [0, 1). Received: cold_user_share={cold_user_share}."
        )
    if by == "user" and cold_user_share:
        raise InvalidArgumentError(
            '`cold_user_share` is for cuts by time: with by="user" every tested user is cold. Received: '
            f"cold_user_share={cold_user_share}."
        )
    rng = np.random.default_rng([seed, 0x5EED])
    item, items = data.item_index(), catalogue_size(data)
    cold, pseudo = draw_cold(items, cold_share, pseudo_cold_share, rng)
    if by == "user":
        last, late = cut_by_user(data, test_share, validation_share, seed)
    else:
        last, late = cut_by_time(data, by, test_share, validation_share, rng)
    stranger = draw_cold_users(data, cold_user_share, seed)[data.user_index()]
    every = cold_rows == "all"
    test = (last | cold[item] if every else last) & ~pseudo[item]
    validation = ~test & ~last & (late | pseudo[item] if every else late) & ~stranger
    train = ~test & ~validation & ~(cold | pseudo)[item] & ~stranger
    warm = np.bincount(item[train], minlength=items) > 0
    validation &= (warm | pseudo)[item]
    tested = f"{cold_share:g} cold" + (" by all their rows" if every else "")
    tested += f", {pseudo_cold_share:g} pseudo-cold" if pseudo_cold_share else ""
    tested += f", {cold_user_share:g} cold users" if cold_user_share else ""
    check_parts(data.name, train=train.sum(), validation=validation.sum(), test=test.sum())
    return Split(
        train=data.take(train),
        validation=data.take(validation),
        test=data.take(test),
        seen=data.take(~test),
        name=f"{data.name}, by {by}, {test_share:g} test, {tested}, seed {seed}",
        earlier=~last[test],
    )


def development_split(whole: Split, *, seed: int = 0, **options) -> Split:
    """Splits what is not test data again, so that choices can be made without the test rows.

    The rows of `whole.train` and `whole.validation` become a data set of their own, with its own
    last rows and its own drawn cold items ("pseudo-cold": `whole` trains on them). A policy's
    strength chosen here owes nothing to the rows, or the cold items, that it is judged on later.
    Items without a row there leave the catalogue: as candidates that can never be right they would
    let cold items look worse than they are.

    Args:
      whole: the split whose test rows stay unseen.
      seed: of the pseudo-cold items.
      **options: as of `split`.

    Returns:
      A split of the rows of `whole.train` and `whole.validation`.
    """
    warm = whole.warm_items
    # Pseudo-cold items of `whole` validate there, and leave the catalogue here.
    validation = whole.validation.take(warm[whole.validation.item_index()])
    known = Interactions(
        rows=_concatenate(whole.train.rows, validation.rows),
        items={name: take_column(column, warm) for name, column in whole.train.items.items()},
        users=whole.train.users,
        user_id=whole.train.user_id,
        item_id=whole.train.item_id,
        timestamp=whole.train.timestamp,
        name=f"{whole.train.name} (development)",
    )
    return dataclasses.replace(split(known, seed=seed, **options), development=True)


def split_of(
    train: Interactions, test: Interactions, *, validation_share: float = 0.1, seed: int = 0
) -> Split:
    """Makes a split of given training and test rows: the last training rows validate.

    Args:
      train: rows to learn from, in any order.
      test: rows to judge by, with the same catalogue.
      validation_share: share of each user's training rows, its last, that validate, in (0, 1). Of `n` rows
        `n * validation_share` do, rounded down: at the default, none of a user with fewer than ten.
        Default: 0.1.
      seed: of the order of rows of equal time.

    Returns:
      The split; what a user has seen is all of `train`.

    Raises:
      InvalidArgumentError: `validation_share` breaks its rule.
      DataError: the catalogues differ, or a part has no rows.
    """
    check_interactions(train=train, test=test)
    if not 0 < validation_share < 1:
        raise InvalidArgumentError(
            f"`validation_share` must be in (0, 1). Received: validation_share={validation_share}."
        )
    if not np.array_equal(train.items[train.item_id], test.items[test.item_id]):
        raise DataError(
            "`train` and `test` must have the same catalogue in `items`. Received: "
            f"{catalogue_size(train)} and {catalogue_size(test)} items or another order. Take both "
            "from one Interactions with `take`."
        )
    if not np.array_equal(train.users[train.user_id], test.users[test.user_id]):
        raise DataError("`train` and `test` must have the same users in `users`.")
    position = positions(train, "user_time", np.random.default_rng([seed, 0x5EED]))
    validation = is_last(position, validation_share)
    kept = ~validation
    warm = np.bincount(train.item_index()[kept], minlength=catalogue_size(train)) > 0
    validation &= warm[train.item_index()]
    check_parts(train.name, train=kept.sum(), test=len(test))
    check_parts(
        train.name,
        validation=validation.sum(),
        remedy=(
            f"Of a user's n training rows n * {validation_share:g} validate, rounded down. Where histories "
            "are short, give `compare` no `train` and `test`, but split=lambda seed: split_of(train, test, "
            "validation_share=0.5, seed=seed), of tfrs_augment.evaluation.splitting.splits."
        ),
    )
    return Split(
        train=train.take(kept),
        validation=train.take(validation),
        test=test,
        seen=train,
        name=f"{train.name}, given test rows",
    )


def catalogue_size(data: Interactions) -> int:
    """Returns the number of items in the catalogue."""
    return len(data.items[data.item_id])


def _concatenate(first, second):
    joined = {}
    for name, column in first.items():
        other = second[name]
        if isinstance(column, Ragged):
            values = np.concatenate([column.values, other.values])
            splits = np.concatenate(
                [column.row_splits, column.row_splits[-1] + other.row_splits[1:]]
            )
            joined[name] = Ragged(values, splits)
        else:
            joined[name] = np.concatenate([column, other])
    return joined
