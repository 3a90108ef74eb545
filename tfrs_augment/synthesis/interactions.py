"""Interactions, relational by construction: who, what, their features, and what came of it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis import inputs, keyed
from tfrs_augment.synthesis.base import Block, Synthesizer, as_integer
from tfrs_augment.synthesis.cells import Cells
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.draws import ranks, with_repeats, without_repeats
from tfrs_augment.synthesis.events import EventModel, under
from tfrs_augment.synthesis.layout import Layout, flat_columns
from tfrs_augment.synthesis.pairs import Pairs
from tfrs_augment.synthesis.quotas import quotas
from tfrs_augment.synthesis.seen import SeenPairs
from tfrs_augment.synthesis.values import as_column

BLOCK_USERS = 256
_FEATURE_CELLS = 16


@dataclasses.dataclass(frozen=True)
class UserBlock(Block):
    """The rows of a run of users.

    Attributes:
      number: the users are those from 256 times this on.
      start: as of `Block`.
      rows: as of `Block`.
      total: how many rows all blocks have together, which says how many each user gets.
    """

    total: int


@dataclasses.dataclass(kw_only=True, eq=False)
class InteractionSynthesizer(Synthesizer):
    """What synthesizers of interactions share; a subclass says who would choose what.

    A row is made in three steps: a user and an item are drawn by the subclass; their features are
    joined, so a user never changes age; then the columns of the interaction itself, rating and time,
    are drawn given both (`EventModel`).

    Users get rows in proportion to `activity ** user_power`, and each user has a sequence of draws of
    its own: a larger sample extends it, and no row depends on blocks, workers or other users. Rows come
    out user by user.

    `impute` takes a feature from the user's or the item's other rows: where these lack it, it stays missing.

    What the file of a fit tells: the ids and features of users and items that were met; how often each
    was chosen; smoothed tables of how ratings and times depend on user and item. With `exclude_seen` it
    holds salted hashes of the pairs that were seen: no pair can be read from them, but whoever has the
    file can test whether a pair is among them.

    Args:
      columns: as of `Synthesizer`; the ids must be among them. Of `Interactions`, ragged columns are left
        out: `join` brings them back.
      max_tries: has no effect: conditions are met by construction.
      user_id: the column of user ids; of `Interactions`, its own name counts.
      item_id: the column of item ids, likewise.
      timestamp: the column of int64 seconds since 1970, likewise; drawn as a day and an hour. None draws it
        as any other number.
      user_features: columns that belong to the user; None infers them: no user has two values. Of
        `Interactions`, its tables say.
      item_features: columns that belong to the item, likewise.
      user_power: exponent of a user's number of rows, in [0, 1.5]: 1 keeps the users' activity, 0 gives
        all users as many rows. Default: 1.
      max_per_user: most rows of a user; None does not limit them.
      exclude_seen: whether no pair of the data comes out. Default: True.
      distinct: whether a user gets an item at most once. Default: True.
      seed: of the fit.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
    """

    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str | None = "timestamp"
    user_features: Sequence[str] | None = None
    item_features: Sequence[str] | None = None
    user_power: float = 1.0
    max_per_user: int | None = None
    exclude_seen: bool = True
    distinct: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.user_power <= 1.5:
            raise InvalidArgumentError(
                f"`user_power` must be in [0, 1.5]. Received: user_power={self.user_power}."
            )
        if self.max_per_user is not None and self.max_per_user < 1:
            raise InvalidArgumentError(
                "`max_per_user` must be at least 1 or None. Received: "
                f"max_per_user={self.max_per_user}."
            )
        if self.seed < 0:
            raise InvalidArgumentError(f"`seed` must be 0 or more. Received: seed={self.seed}.")

    @abc.abstractmethod
    def _fit_pairs(self, pairs: Pairs, *, progress: bool, callbacks: Sequence[Any]) -> None:
        """Learns who chooses what."""

    @abc.abstractmethod
    def _log_weights(self, users: np.ndarray) -> np.ndarray:
        """Log-probabilities of the items for users, up to a constant a user.

        Args:
          users: int64 `[b]`, places of users.

        Returns:
          float32 `[b, items]`.
        """

    @abc.abstractmethod
    def _pair_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `_fit_pairs` learned, as JSON values and arrays."""

    @abc.abstractmethod
    def _restore_pairs(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `_pair_state`."""

    def blocks(self, n: int, *, conditions: Mapping[str, Any] | None = None) -> list[Block]:
        """Cuts n rows into blocks by users.

        Args:
          n: how many rows.
          conditions: as of `sample`.

        Raises:
          InvalidArgumentError: n is negative, or the conditions break a rule.
          DataError: fewer than n rows are possible: pairs are distinct, or users limited.
        """
        wanted, n = self._conditions(conditions), as_integer("n", n)
        counts = self._quotas(n, wanted)
        blocks, start = [], 0
        for number in range(-(-len(counts) // BLOCK_USERS)):
            rows = int(counts[number * BLOCK_USERS : (number + 1) * BLOCK_USERS].sum())
            if rows:
                blocks.append(UserBlock(number, start, rows, total=n))
            start += rows
        return blocks

    def sample_block(
        self, block: Block, *, seed: int = 0, conditions: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Samples the rows of one block of `blocks`; see `Synthesizer.sample_block`."""
        wanted, seed = self._conditions(conditions), as_integer("seed", seed)
        counts = self._quotas(block.total, wanted)
        users = np.arange(block.number * BLOCK_USERS, len(counts))[:BLOCK_USERS]
        users = users[counts[users] > 0]
        items = self._allowed("items", wanted)
        user, item, rank = self._choose(users, counts[users], items, seed)
        return self._rows(user, item, keyed.keys_of(user, rank), seed, wanted)

    def user_ids(self) -> np.ndarray:
        """Returns `[users]`, the ids of the users of the fit, by place."""
        self._fitted()
        return self._tables["users"][self._layout.user_id]

    def item_ids(self) -> np.ndarray:
        """Returns `[items]`, the ids of the items of the fit, by place."""
        self._fitted()
        return self._tables["items"][self._layout.item_id]

    def id_columns(self) -> tuple[str, str]:
        """Returns the names of the columns of user ids and item ids."""
        self._fitted()
        return self._layout.user_id, self._layout.item_id

    @property
    def layout(self) -> Layout:
        """Which columns are the user's, the item's, and the interaction's own."""
        self._fitted()
        return self._layout

    def places(self, rows: Table) -> tuple[np.ndarray, np.ndarray]:
        """Returns int64 `[n]`, the places of the users and of the items of rows.

        Raises:
          DataError: an id is not of the fit, or of another kind.
        """
        found = []
        for owner, name in zip(("users", "items"), self.id_columns()):
            known = self._tables[owner][name]
            ids = as_column(name, rows[name], self.spec[name].kind)
            place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            unknown = known[place] != ids
            if unknown.any():
                raise DataError(
                    f"The ids in {name!r} must be among the {len(known)} of the fit. Received: "
                    f"{int(unknown.sum())} that are not, among them {ids[unknown][0].item()!r}."
                )
            found.append(place)
        return found[0], found[1]

    def log_weights(self, users: np.ndarray) -> np.ndarray:
        """What users are likely to choose.

        Args:
          users: int64 `[b]`, places in `user_ids()`.

        Returns:
          float32 `[b, items]`, log-probabilities up to a constant a user, in the order of `item_ids()`;
          pairs that were seen count like the others.
        """
        self._fitted()
        return self._log_weights(np.asarray(users, np.int64))

    def seen(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Which pairs the data have; none without `exclude_seen`.

        Args:
          users: int64 `[n]`, places in `user_ids()`.
          items: int64 `[n]`, places in `item_ids()`.

        Returns:
          bool `[n]`.
        """
        self._fitted()
        return self._seen.contain(np.asarray(users, np.int64), np.asarray(items, np.int64))

    def _read(self, data: Any, schema: Schema | None) -> dict[str, np.ndarray]:
        if isinstance(data, Interactions):
            columns = self.columns if self.columns is not None else flat_columns(data)
            table = inputs.read_table(data, columns=columns, schema=schema)
            self._layout = Layout.of_interactions(data, columns)
        else:
            table = inputs.read_table(data, columns=self.columns, schema=schema)
            self._layout = Layout.infer(
                table,
                self.user_id,
                self.item_id,
                self.timestamp,
                self.user_features,
                self.item_features,
            )
        return table

    def _fit(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        layout, self._last_quotas = self._layout, (None, None)
        places, sizes = {}, {}
        self._tables, self._codes = {}, {}
        for owner, id_column, features in (
            ("users", layout.user_id, layout.user_features),
            ("items", layout.item_id, layout.item_features),
        ):
            names = (id_column, *features)
            if (spec[id_column].missing_mask(table[id_column])).any():
                raise DataError(f"Every row must have an id in {id_column!r}. Drop those without.")
            _, first, place = np.unique(table[id_column], return_index=True, return_inverse=True)
            self._tables[owner] = {name: table[name][first] for name in names}
            places[owner] = place
            for name in features:
                cells = Cells.fit(spec[name], self._tables[owner][name], _FEATURE_CELLS)
                self._codes[name] = cells.encode(self._tables[owner][name])
                sizes[name] = cells.size
        pairs = Pairs(
            places["users"],
            places["items"],
            len(self._tables["users"][layout.user_id]),
            len(self._tables["items"][layout.item_id]),
            {name: self._codes[name] for name in layout.user_features},
            {name: self._codes[name] for name in layout.item_features},
            sizes,
        )
        if pairs.items < 2:
            raise DataError("Interactions must be with at least 2 items. Received: 1.")
        self._activity = pairs.activity().astype(np.float64)
        self._seen = (
            SeenPairs.of(pairs, self.seed) if self.exclude_seen else SeenPairs.none(pairs.users)
        )
        self._events = EventModel.fit(
            table,
            [spec[name] for name in layout.events],
            self._contexts(pairs.user, pairs.item),
            context_sizes(pairs),
            user_features=[context_name(name) for name in layout.user_features],
            item_features=[context_name(name) for name in layout.item_features],
            timestamp=layout.timestamp,
        )
        self._fit_pairs(pairs, progress=progress, callbacks=callbacks)

    def _contexts(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """The codes of everything that an event hangs on, int64 `[n]`."""
        codes = {"user": user, "item": item}
        for names, place in (
            (self._layout.user_features, user),
            (self._layout.item_features, item),
        ):
            codes |= {context_name(name): self._codes[name][place] for name in names}
        return codes

    def _allowed(self, owner: str, wanted: Conditions) -> np.ndarray:
        """bool, which users or items meet the conditions on their ids and features."""
        table = self._tables[owner]
        mask = np.ones(len(next(iter(table.values()))), bool)
        for name, column in table.items():
            if name in wanted:
                mask &= wanted.get(name).mask(column)
        if not mask.any():
            names = ", ".join(repr(name) for name in table if name in wanted)
            raise DataError(
                f"The conditions on {names} can't hold together: none of {len(mask)} {owner} meets them. "
                "Loosen one."
            )
        return mask

    def _quotas(self, n: int, wanted: Conditions) -> np.ndarray:
        """int64 `[users]`, how many of n rows each user gets."""
        # The blocks of a sample ask for the same numbers.
        key = (n, *((c.column.name, *map(_bytes, (c.codes, c.low, c.high))) for c in wanted))
        if self._last_quotas[0] != key:
            self._last_quotas = (key, self._new_quotas(n, wanted))
        return self._last_quotas[1]

    def _new_quotas(self, n: int, wanted: Conditions) -> np.ndarray:
        allowed = self._allowed("users", wanted)
        items = self._allowed("items", wanted)
        weights = np.where(allowed, self._activity**self.user_power, 0.0)
        offsets = keyed.uniform(0, keyed.keys_of(np.arange(len(weights))), 1, "quota")[:, 0]
        limit = np.iinfo(np.int64).max if self.max_per_user is None else self.max_per_user
        if self.distinct:
            limit = min(limit, int(items.sum()))
        # The sum of the caps must stay within int64.
        caps = np.full(len(weights), min(limit, max(n, 1)), np.int64)
        counts = quotas(weights, caps, offsets, n)
        # Where no user comes near the number of items that are left, which these are is of no matter.
        if self.exclude_seen and (counts > int(items.sum()) - self._seen.counts).any():
            caps = np.minimum(caps, self._left(np.flatnonzero(allowed), items, limit))
            counts = quotas(weights, caps, offsets, n)
        if counts.sum() < n:
            raise DataError(
                f"At most {counts.sum()} rows are possible: {int(allowed.sum())} users and "
                f"{int(items.sum())} items meet the conditions, with distinct={self.distinct}, "
                f"exclude_seen={self.exclude_seen}, max_per_user={self.max_per_user}. Received: n={n}. "
                "Ask for fewer, or loosen one of them."
            )
        return counts

    def _left(self, users: np.ndarray, items: np.ndarray, limit: int) -> np.ndarray:
        """int64 `[all users]`, how many rows are possible for each of some users."""
        left = np.zeros(len(self._activity), np.int64)
        candidates = np.flatnonzero(items)
        for part in np.array_split(users, -(-len(users) // BLOCK_USERS)):
            unseen = (~self._seen.table(part, candidates)).sum(axis=1)
            left[part] = np.where(self.distinct | (unseen == 0), unseen, limit)
        return left

    def _choose(
        self, users: np.ndarray, counts: np.ndarray, items: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first draws of each user's sequence.

        Args:
          users: int64 `[b]`.
          counts: int64 `[b]`, how many draws.
          items: bool `[items]`, which may be drawn.
          seed: of the draws.

        Returns:
          User, item and number of the draw, int64 `[sum of counts]`.
        """
        weights = np.where(items, self._log_weights(users), -np.inf)
        draw = without_repeats if self.distinct else with_repeats
        drawn = draw(users, counts, weights, self._seen, seed)
        return np.repeat(users, counts), drawn, ranks(counts)

    def _rows(self, user, item, keys, seed, wanted: Conditions) -> dict[str, np.ndarray]:
        """The columns of pairs, in the order of the spec."""
        columns = self._events.sample(self._contexts(user, item), keys, seed, wanted)
        for name, values in columns.items():
            columns[name] = _bounded(self.spec[name], values, wanted)
        columns |= {name: values[user] for name, values in self._tables["users"].items()}
        columns |= {name: values[item] for name, values in self._tables["items"].items()}
        return {name: columns[name] for name in self.spec.names}

    def _draw(
        self, rng: np.random.Generator, n: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        """Rows of random users, seen pairs and repeats among them: donors of ids in `_impute`."""
        share = self._activity / self._activity.sum()
        users, counts = np.unique(rng.choice(len(share), n, p=share), return_counts=True)
        seed, none = int(rng.integers(2**31)), SeenPairs.none(len(share))
        parts = np.array_split(np.arange(len(users)), -(-len(users) // BLOCK_USERS))
        item = [
            with_repeats(users[p], counts[p], self._log_weights(users[p]), none, seed)
            for p in parts
        ]
        user = np.repeat(users, counts)
        keys = keyed.keys_of(user, ranks(counts))
        rows = self._rows(user, np.concatenate(item), keys, seed, conditions)
        order = rng.permutation(n)
        return {name: values[order] for name, values in rows.items()}

    def _impute(
        self, rng: np.random.Generator, table: Table, missing: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Features come from the ids, the interaction's own columns from what is likely given the rest."""
        layout, table = self._layout, dict(table)
        ids = (layout.user_id, layout.item_id)
        if any(missing[name].any() for name in ids if name in missing):
            donated = super()._impute(rng, table, missing)
            for name in ids:
                table[name] = np.where(missing[name], donated[name], table[name])
        user, item = self.places(table)
        for owner, place in (("users", user), ("items", item)):
            for feature, values in self._tables[owner].items():
                table[feature] = np.where(missing[feature], values[place], table[feature])
        keys = keyed.keys_of(int(rng.integers(2**31)), np.arange(len(user)))
        contexts = self._contexts(user, item)
        return {**table, **self._events.impute(table, missing, contexts, keys, seed=0)}

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        events, event_arrays = self._events.to_parts()
        state, pair_arrays = self._pair_state()
        document = {"layout": self._layout.get_config(), "events": events, "pairs": state}
        arrays = {f"events/{name}": array for name, array in event_arrays.items()}
        arrays |= {f"pairs/{name}": array for name, array in pair_arrays.items()}
        arrays |= {f"codes/{name}": array for name, array in self._codes.items()}
        for owner, table in self._tables.items():
            arrays |= {f"{owner}/{name}": array for name, array in table.items()}
        arrays |= {"seen/hashes": self._seen.hashes, "seen/counts": self._seen.counts}
        return document, {**arrays, "activity": self._activity}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._layout, self._last_quotas = Layout.from_config(state["layout"]), (None, None)
        self._tables = {owner: under(arrays, owner) for owner in ("users", "items")}
        self._codes = under(arrays, "codes")
        self._activity = arrays["activity"]
        self._seen = SeenPairs(self.seed, arrays["seen/hashes"], arrays["seen/counts"])
        self._events = EventModel.from_parts(state["events"], under(arrays, "events"), self.spec)
        self._restore_pairs(state["pairs"], under(arrays, "pairs"))


def context_name(feature: str) -> str:
    """Returns what contexts call a feature, so that one called "user" is not taken for the user."""
    return f"feature/{feature}"


def context_sizes(pairs: Pairs) -> dict[str, int]:
    """Returns how many codes each context has."""
    features = {context_name(name): size for name, size in pairs.sizes.items()}
    return {"user": pairs.users, "item": pairs.items, **features}


def _bytes(array: np.ndarray | None) -> bytes:
    return b"" if array is None else array.tobytes()


def _bounded(column, values: np.ndarray, wanted: Conditions) -> np.ndarray:
    """The hour of a timestamp may lie before the first or after the last of the data, or a condition."""
    if column.categorical or column.dtype != "int64":
        return values
    values = np.clip(values, int(column.minimum), int(column.maximum))
    condition = wanted.get(column.name)
    return values if condition is None else condition.clip(values)
