"""Rules about rows that are compared with one another: duplicates, and users that act like programs."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np

from tfrs_augment.beam.cleaning.base import (
    Learned,
    Rule,
    among,
    is_number,
    new_messages,
    sort_messages,
)
from tfrs_augment.beam.cleaning.kernels import hash_rows, thin
from tfrs_augment.beam.cleaning.rows import Rows
from tfrs_augment.records import FLOAT, Column
from tfrs_augment.schema import KINDS


@dataclasses.dataclass(frozen=True)
class _Compared(Rule, abstract=True):
    """A rule whose messages are rows, each by its place; the rows for which it holds are dropped."""

    learns: ClassVar[str | None] = "messages"

    def apply(self, rows: Rows, learned: Learned, tokens: np.ndarray) -> int:
        found = among(rows.places, tokens)
        rows.drop(found, self.reason(self._why()))
        return int(found.sum())

    def _why(self) -> str:
        raise TypeError(f"{type(self).__name__} must define _why().")


@dataclasses.dataclass(frozen=True)
class ExactDuplicates(_Compared):
    """Drops all but one of the records that are the same, byte for byte.

    Records are compared by a hash of 128 bits. Serializers may write equal features in different orders;
    `NearDuplicates` compares values, whatever their order in the bytes.

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.ExactDuplicates().id
      'exact_duplicates'
    """

    reads_bytes: ClassVar[bool] = True

    def messages(self, rows: Rows) -> np.ndarray:
        return new_messages(rows.hashes(), rows.places)

    def judge(self, messages: np.ndarray, units: np.ndarray) -> np.ndarray:
        order, starts = sort_messages(messages, units)
        found = np.empty(len(messages), bool)
        found[order] = ~starts
        return found

    def _why(self) -> str:
        return "another record has the same bytes"


@dataclasses.dataclass(frozen=True)
class NearDuplicates(_Compared):
    """Drops rows that repeat a kept row: the same key features, and a number within a tolerance.

    Among rows with equal key features, in the order of the number, the first is kept; the rows within the
    tolerance of it are dropped; the next is kept, and so on. Of rows with equal numbers the one whose bytes
    have the smallest hash comes first. A row without the number (none, several, NaN) is left alone; key
    features are compared as lists, so two rows that both lack one are equal in it.

    Args:
      key_features: what tells an event from another, such as ("user_id", "item_id").
      number: a feature of one number a row, such as "timestamp"; None compares the key features alone.
      tolerance: in the unit of `number`, at least 0; default 0.

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.NearDuplicates(("user_id", "item_id"), number="timestamp", tolerance=5).id
      'near_duplicates:user_id,item_id,timestamp'
    """

    key_features: tuple[str, ...]
    _: dataclasses.KW_ONLY
    number: str | None = None
    tolerance: float = 0

    accepts: ClassVar = {"key_features": KINDS, "number": ("float", "int64")}
    reads_bytes: ClassVar[bool] = True

    def __post_init__(self):
        object.__setattr__(self, "key_features", self._named("key_features"))
        super().__post_init__()
        if not self.key_features:
            raise self.invalid("key_features", "must name at least one feature", self.key_features)
        if not is_number(self.tolerance) or self.tolerance < 0:
            raise self.invalid("tolerance", "must be a number of at least 0", self.tolerance)
        if self.tolerance and self.number is None:
            raise self.invalid("tolerance", "needs `number`, of which it is one", self.tolerance)

    def messages(self, rows: Rows) -> np.ndarray:
        hashes = hash_rows([rows.column(name) for name in self.key_features])
        bytes_hash = rows.hashes()[:, 0]
        if self.number is None:
            values, has = np.zeros(len(rows), np.uint64), np.ones(len(rows), bool)
        else:
            values, has = _rising(rows.column(self.number))
        return new_messages(
            hashes[has], rows.places[has], value=values[has], bytes_hash=bytes_hash[has]
        )

    def judge(self, messages: np.ndarray, units: np.ndarray) -> np.ndarray:
        order, starts = sort_messages(messages, units, "value", "bytes_hash")
        values = messages["value"][order]
        found = np.empty(len(messages), bool)
        found[order] = thin(starts, values, _width(self.tolerance, values.dtype))
        return found

    def _why(self) -> str:
        within = f" and '{self.number}' within {self.tolerance}" if self.number else ""
        return f"a row with equal {', '.join(map(repr, self.key_features))}{within} is kept"


@dataclasses.dataclass(frozen=True)
class BotUsers(_Compared):
    """Drops all rows of users that act faster than people do.

    A user is one where any `window` holds more than `max_events` of its events. Windows slide: every one is
    looked at, wherever it begins. Events are counted as the rules before this one leave them, so duplicates
    that a retry made should be dropped first.

    Args:
      user: the feature of one value a row that tells users apart.
      timestamp: the time of the event, a number; a row without it is no event, and goes with its user.
      max_events: how many events a person may have in a window, at least 1.
      window: the length of a window in the unit of `timestamp`, above 0.

    Example:
      >>> from tfrs_augment.beam import cleaning
      >>> cleaning.BotUsers("user_id", timestamp="timestamp", max_events=100, window=3600).id
      'bot_users:user_id,timestamp'
    """

    user: str
    _: dataclasses.KW_ONLY
    timestamp: str
    max_events: int
    window: float

    accepts: ClassVar = {"user": ("bytes", "int64"), "timestamp": ("float", "int64")}

    def __post_init__(self):
        super().__post_init__()
        for argument in self.accepts:
            if not isinstance(getattr(self, argument), str):
                raise self.invalid(argument, "must name a feature", getattr(self, argument))
        whole = isinstance(self.max_events, int) and not isinstance(self.max_events, bool)
        if not whole or self.max_events < 1:
            raise self.invalid("max_events", "must be an integer of at least 1", self.max_events)
        if not is_number(self.window) or self.window <= 0:
            raise self.invalid("window", "must be a number above 0", self.window)

    def messages(self, rows: Rows) -> np.ndarray:
        user = rows.column(self.user)
        values, is_event = _rising(rows.column(self.timestamp))
        has = np.diff(user.row_splits) == 1
        return new_messages(
            hash_rows([user])[has],
            rows.places[has],
            value=np.where(is_event, values, values.dtype.type(0))[has],
            is_event=is_event[has],
        )

    def judge(self, messages: np.ndarray, units: np.ndarray) -> np.ndarray:
        order, starts = sort_messages(messages, units, "is_event", "value")
        users = np.cumsum(starts) - 1
        values, is_event = messages["value"][order], messages["is_event"][order]
        bots = np.zeros(users[-1] + 1 if len(users) else 0, bool)
        first, last = slice(None, -self.max_events), slice(self.max_events, None)
        # The window that begins at an event and holds the `max_events` that follow it is too full.
        full = (users[first] == users[last]) & is_event[first]
        full &= values[last] - values[first] < _width(self.window, values.dtype, strict=True)
        bots[users[first][full]] = True
        found = np.empty(len(messages), bool)
        found[order] = bots[users]
        return found

    def _why(self) -> str:
        return (
            f"its '{self.user}' has more than {self.max_events} events within {self.window} of "
            f"'{self.timestamp}'"
        )


def _rising(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row, and whether it has exactly one, and a finite one.

    Integers come as uint64 in the same order, so that no difference of two overflows; floats as float64.
    """
    has = np.diff(column.row_splits) == 1
    if column.kind == FLOAT:
        numbers = np.zeros(len(column), np.float64)
        numbers[has] = column.values[column.row_splits[:-1][has]]
        return numbers, has & np.isfinite(numbers)
    numbers = np.zeros(len(column), np.uint64)
    numbers[has] = column.values[column.row_splits[:-1][has]].view(np.uint64) ^ np.uint64(1 << 63)
    return numbers, has


def _width(value: float, dtype: np.dtype, *, strict: bool = False) -> np.generic:
    """A width to compare differences of `_rising` numbers with: by <=, or by < where it is strict."""
    if dtype != np.uint64:
        return np.float64(value)
    return np.uint64(min(math.ceil(value) if strict else math.floor(value), (1 << 64) - 1))
