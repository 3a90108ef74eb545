"""Which columns of a table of interactions are the user's, the item's, and the interaction's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Interactions, Ragged
from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.synthesis.columns import Table


@dataclasses.dataclass(frozen=True)
class Layout:
    """The parts of a table of interactions.

    Args:
      user_id: the column of user ids.
      item_id: the column of item ids.
      timestamp: the column of times, or None.
      user_features: columns that are the same in all rows of a user.
      item_features: columns that are the same in all rows of an item.
      events: all others but the ids, `timestamp` among them.
    """

    user_id: str
    item_id: str
    timestamp: str | None
    user_features: tuple[str, ...]
    item_features: tuple[str, ...]
    events: tuple[str, ...]

    @classmethod
    def of_interactions(cls, data: Interactions, columns: Sequence[str]) -> Layout:
        """Returns the layout of columns of `data.rows`: features are those of its two tables.

        Raises:
          InvalidArgumentError: the ids are not among the columns.
        """
        for name in (data.user_id, data.item_id):
            if name not in columns:
                raise InvalidArgumentError(
                    f"`columns` must have the ids {data.user_id!r} and {data.item_id!r}. Received: "
                    f"{list(columns)}."
                )
        users = tuple(n for n in columns if n in data.users and n != data.user_id)
        items = tuple(n for n in columns if n in data.items and n != data.item_id)
        return cls._of(columns, data.user_id, data.item_id, data.timestamp, users, items)

    @classmethod
    def infer(
        cls,
        table: Table,
        user_id: str,
        item_id: str,
        timestamp: str | None,
        user_features: Sequence[str] | None,
        item_features: Sequence[str] | None,
    ) -> Layout:
        """Returns the layout of a flat table.

        Args:
          table: the rows.
          user_id: as of the class.
          item_id: as of the class.
          timestamp: as of the class; none of that name is none.
          user_features: None takes the columns that no user has two values of, where users have several
            rows and the column several values.
          item_features: None takes those of items in the same way, of what is left.

        Raises:
          UnknownFeatureError: a named column is not there.
          InvalidArgumentError: a feature that is named varies within its user or item.
        """
        named = {"user_id": [user_id], "item_id": [item_id]}
        named |= {"user_features": user_features or (), "item_features": item_features or ()}
        for argument, names in named.items():
            for name in names:
                if name not in table:
                    raise UnknownFeatureError(
                        f"`{argument}` must name columns of the data. Received: {name!r}. "
                        f"{close_matches(name, table)}"
                    )
        taken = {user_id, item_id, timestamp, *(user_features or ()), *(item_features or ())}
        free = [name for name in table if name not in taken and len(np.unique(table[name])) > 1]
        if user_features is None:
            user_features = _constant_within(table, user_id, free)
            free = [name for name in free if name not in user_features]
        if item_features is None:
            item_features = _constant_within(table, item_id, free)
        for argument, names, owner in (
            ("user_features", user_features, user_id),
            ("item_features", item_features, item_id),
        ):
            for name in names:
                if not _is_constant(table[name], *_groups(table[owner])):
                    raise InvalidArgumentError(
                        f"`{argument}` must be the same in all rows of a {owner}. Received: {name!r}, "
                        "which varies. Leave it out: it is then a column of the interaction."
                    )
        return cls._of(tuple(table), user_id, item_id, timestamp, user_features, item_features)

    @classmethod
    def _of(cls, columns, user_id, item_id, timestamp, users, items) -> Layout:
        features = {user_id, item_id, *users, *items}
        events = tuple(name for name in columns if name not in features)
        known = timestamp if timestamp in events else None
        return cls(user_id, item_id, known, tuple(users), tuple(items), events)

    def get_config(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layout:
        """The inverse of `get_config`."""
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in config.items()})


def flat_columns(data: Interactions) -> tuple[str, ...]:
    """Returns the names of the columns of the rows that hold one value a row."""
    return tuple(name for name, column in data.rows.items() if not isinstance(column, Ragged))


def _groups(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order that puts equal ids together, and where in it each run starts."""
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.r_[True, ids[order][1:] != ids[order][:-1]])
    return order, starts


def _is_constant(column: np.ndarray, order: np.ndarray, starts: np.ndarray) -> bool:
    first = np.repeat(column[order][starts], np.diff(np.r_[starts, len(order)]))
    same = column[order] == first
    if column.dtype.kind == "f":
        same |= np.isnan(column[order]) & np.isnan(first)
    return bool(same.all())


def _constant_within(table: Table, id_column: str, names: Sequence[str]) -> tuple[str, ...]:
    order, starts = _groups(table[id_column])
    if len(starts) == len(order):
        return ()  # with one row each, every column looks like a feature
    return tuple(name for name in names if _is_constant(table[name], order, starts))
