"""A log with propensities, checked and ready for estimators."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.online.ab_units import check_distinct, labels, numbers, rows_text

INTERACTIONS = ("none", "cascade", "all")

_SUM = 1e-4
_SAME = 1e-3


@dataclasses.dataclass(frozen=True)
class Log:
    """Rows of a log with what a target policy makes of them.

    Attributes:
      reward: float64 `[rows]`.
      weight: float64 `[rows]`, how much likelier the target is to show this.
      share: float64 `[rows]`: 1, or of a slate 1 over its rows; they sum to what the value is a mean of.
      unit: int64 `[rows]`, what is independent.
      expected: float64 `[rows]`, the predicted reward of what the target would show; None without
        predictions.
      predicted: float64 `[rows]`, the predicted reward of what was shown; None without predictions.
    """

    reward: np.ndarray
    weight: np.ndarray
    share: np.ndarray
    unit: np.ndarray
    expected: np.ndarray | None
    predicted: np.ndarray | None

    def at(self, rows: np.ndarray) -> Log:
        """Returns some of the rows, each with a share of 1."""
        unit = np.unique(self.unit[rows], return_inverse=True)[1]
        parts = (None if p is None else p[rows] for p in (self.expected, self.predicted))
        share = np.ones(len(unit))
        return Log(self.reward[rows], self.weight[rows], share, unit, *parts)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What `read_log` made of its arguments.

    Attributes:
      log: the rows.
      position: label `[rows]`, or None.
      unseen: the target's mean chance of what the log never shows; NaN where only its chances of what
        was logged are known.
    """

    log: Log
    position: np.ndarray | None
    unseen: float


def read_log(
    log: Any,
    *,
    target: Any,
    reward: str,
    propensity: str,
    action: str | None,
    actions: Sequence[Any] | None,
    position: str | None,
    unit: str | None,
    slate: str | None,
    interaction: str,
    predictions: Any,
    behaviour: Any,
    row_id: str | None,
) -> Reading:
    """Checks the arguments of `off_policy` and weighs the rows; they are as there."""
    if interaction not in INTERACTIONS:
        raise InvalidArgumentError(
            f"`interaction` must be one of {INTERACTIONS}. Received: interaction={interaction!r}."
        )
    if interaction != "none" and (slate is None or position is None):
        raise InvalidArgumentError(
            f"`interaction` {interaction!r} needs `slate` and `position`, the columns that say which rows "
            f"were shown together and where. Received: slate={slate!r}, position={position!r}."
        )
    chance = labels(log, propensity)
    rows = len(chance)
    chance = numbers(log, propensity, rows)
    _within(f"Column '{propensity}'", chance, chance <= 0, "above 0 and at most 1")
    rewards = numbers(log, reward, rows)
    if row_id is not None:
        check_distinct(labels(log, row_id), row_id)
    places = None if position is None else _column(log, position, rows)
    slates = None if slate is None else _codes(_column(log, slate, rows))
    units = np.arange(rows) if slates is None else slates
    if unit is not None:
        units = _codes(_column(log, unit, rows))
        if slates is not None:
            _nested(slates, units, slate, unit)
    shown = None
    if action is not None and actions is not None:
        shown = find_actions(_column(log, action, rows), actions, action)
    target, unseen = _target(target, rows, shown, actions)
    if behaviour is not None:
        _check_support(_matrix("behaviour", behaviour, rows, shown, actions), target, chance, shown)
    expected = predicted = None
    if predictions is not None:
        predictions = _matrix("predictions", predictions, rows, shown, actions)
        if target.ndim == 1:
            raise InvalidArgumentError(
                "`target` must hold the chance of every action, [rows, actions], where predictions are "
                f"given. Received: {list(target.shape)}."
            )
        expected = np.einsum("ij,ij->i", target, predictions)
        predicted = predictions[np.arange(rows), shown]
    weight = (target if target.ndim == 1 else target[np.arange(rows), shown]) / chance
    share = np.ones(rows)
    if slates is not None:
        share = 1.0 / np.bincount(slates)[slates]
        if interaction != "none":
            weight = _joint(weight, slates, _codes(places), interaction)
    if not weight.any():
        raise DataError(
            "The target must do some of what was logged. Received: a chance of 0 in all rows. Check that "
            "the order of its actions is that of `actions`."
        )
    return Reading(Log(rewards, weight, share, units, expected, predicted), places, unseen)


def find_actions(shown: np.ndarray, actions: Sequence[Any], name: str) -> np.ndarray:
    """Returns int64 `[rows]`: the index in `actions` of what each row shows.

    Raises:
      InvalidArgumentError: an action occurs twice in `actions`.
      DataError: a row shows another one.
    """
    known = np.asarray(actions)
    if known.dtype.kind in "SO":
        known = np.array([v.decode() if isinstance(v, bytes) else str(v) for v in known.tolist()])
    order = np.argsort(known, kind="stable")
    if len(np.unique(known)) != len(known):
        raise InvalidArgumentError(
            f"`actions` must be distinct. Received: {len(known)} with repeats."
        )
    if (known.dtype.kind == "U") != (shown.dtype.kind == "U"):
        raise InvalidArgumentError(
            f"`actions` must be of the type of column '{name}'. Received: {known.dtype} and {shown.dtype}."
        )
    place = np.searchsorted(known, shown, sorter=order)
    index = order[np.minimum(place, len(known) - 1)]
    bad = known[index] != shown
    if bad.any():
        names = ", ".join(map(str, np.unique(shown[bad])[:5]))
        raise DataError(
            f"Column '{name}' must hold actions of `actions`. Received: {bad.sum():,} rows with others, "
            f"{names}, such as {rows_text(bad)}."
        )
    return index


def _target(
    target: Any, rows: int, shown: np.ndarray | None, actions: Sequence[Any] | None
) -> tuple[np.ndarray, float]:
    """Returns the target's chances, and those of what the log never shows."""
    chances = np.asarray(target, np.float64)
    if chances.ndim == 1 and len(chances) == rows:
        _within("`target`", chances, chances < 0, "in [0, 1]")
        return chances, float("nan")
    chances = _matrix("target", chances, rows, shown, actions)
    wrong = ~((chances >= 0) & (chances <= 1)).all(axis=1)
    wrong |= ~(np.abs(chances.sum(axis=1) - 1.0) <= _SUM)
    if wrong.any():
        raise DataError(
            f"`target` must hold chances in [0, 1] that sum to 1 in each row. Received: {wrong.sum():,} of "
            f"{rows:,} rows that do not, such as {rows_text(wrong)}."
        )
    never = np.bincount(shown, minlength=chances.shape[1]) == 0
    return chances, float(chances[:, never].sum() / rows)


def _matrix(
    name: str, values: Any, rows: int, shown: np.ndarray | None, actions: Sequence[Any] | None
) -> np.ndarray:
    """An argument with a number for each row and action."""
    if shown is None or actions is None:
        raise InvalidArgumentError(
            f"`{name}` of every action needs `action`, the column of what was shown, and `actions`, all "
            "actions in the order of its columns."
        )
    values = np.asarray(values, np.float64)
    if values.shape != (rows, len(actions)):
        raise InvalidArgumentError(
            f"`{name}` must hold a number for each row and action, {[rows, len(actions)]}. "
            f"Received: {list(values.shape)}."
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise DataError(
            f"`{name}` must hold finite numbers. Received: {bad.sum():,} rows with others, such as "
            f"{rows_text(bad)}."
        )
    return values


def _check_support(
    behaviour: np.ndarray, target: np.ndarray, chance: np.ndarray, shown: np.ndarray
) -> None:
    """Refuses a target that may do what the log's policy never does."""
    rows = np.arange(len(chance))
    other = np.abs(behaviour[rows, shown] - chance) > _SAME * chance
    if other.any():
        raise DataError(
            "`behaviour` must hold the propensity at what was shown. Received: another one in "
            f"{other.sum():,} rows, such as {rows_text(other)}."
        )
    if target.ndim == 1:
        raise InvalidArgumentError(
            "`behaviour` is compared with the target's chance of every action: `target` must be "
            f"[rows, actions]. Received: {list(target.shape)}."
        )
    outside = ((target > 0) & (behaviour <= 0)).any(axis=1)
    if outside.any():
        mass = float(np.where(behaviour <= 0, target, 0.0).sum() / len(target))
        raise DataError(
            "The target must do nothing that the log's policy never does: no log tells what that gives. "
            f"Received: {outside.sum():,} of {len(outside):,} rows with such actions, {mass:.2%} of the "
            f"target's chances, such as {rows_text(outside)}. Take these actions from the target."
        )


def _within(name: str, values: np.ndarray, low: np.ndarray, rule: str) -> None:
    bad = low | ~(values <= 1)
    if bad.any():
        shown = ", ".join(f"{value:g}" for value in values[bad][:5])
        raise DataError(
            f"{name} must be {rule} in each row: a probability. Received: {bad.sum():,} of "
            f"{len(values):,} rows outside, such as {rows_text(bad)}: {shown}."
        )


def _joint(weight: np.ndarray, slate: np.ndarray, place: np.ndarray, kind: str) -> np.ndarray:
    """The weights of rows that were shown together, multiplied."""
    table = np.ones((slate.max() + 1, place.max() + 1))
    twice = np.bincount(slate * table.shape[1] + place) > 1
    if twice.any():
        raise DataError(
            "A slate must have one row a position. Received: several in "
            f"{len(np.unique(np.flatnonzero(twice) // table.shape[1])):,} slates."
        )
    table[slate, place] = weight
    if kind == "cascade":
        return np.cumprod(table, axis=1)[slate, place]
    return table.prod(axis=1)[slate]


def _nested(slates: np.ndarray, units: np.ndarray, slate: str, unit: str) -> None:
    first = np.unique(slates, return_index=True)[1]
    other = units[first][slates] != units
    if other.any():
        raise DataError(
            f"A slate must be of one unit. Received: '{slate}' with several of '{unit}' in "
            f"{len(np.unique(slates[other])):,} slates."
        )


def _column(log: Any, name: str, rows: int) -> np.ndarray:
    values = labels(log, name)
    if len(values) != rows:
        raise DataError(
            f"All columns must have one length. Received: {len(values)} of '{name}', not {rows}."
        )
    return values


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]
