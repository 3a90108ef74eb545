"""What each op of a policy changed, on many rows at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_augment.datasets.interactions import Column, Ragged, Table, take_column
from tfrs_augment.errors import UnknownFeatureError, close_matches
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops import Op
from tfrs_augment.ops.base import select_rows
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import KeyedRng

_BATCH = 8192


@dataclasses.dataclass(frozen=True)
class Replay:
    """What a policy makes of rows.

    Attributes:
      table: the rows after it.
      rows: by op, bool `[n]`: whether the op changed the row. A combination stands as its parts.
      cells: by op, how many cells it changed.
    """

    table: Table
    rows: Mapping[str, np.ndarray]
    cells: Mapping[str, int]


def replay(policy: AugmentationPolicy, table: Table, draws: np.ndarray) -> Replay:
    """Returns what a policy makes of rows, op by op.

    Args:
      policy: fitted where its ops ask for it.
      table: name to column `[n]`, with the features of the policy and its key features.
      draws: int64 `[n]`, the draw number of each row.

    Raises:
      UnknownFeatureError: the table lacks a feature of the policy.
      DataError, InvalidArgumentError: as of `policy.augment`.
    """
    used = tuple(dict.fromkeys((*policy.features, *policy.key_features)))
    for name in used:
        if name not in table:
            raise UnknownFeatureError(
                f"`policy` uses the feature '{name}', which `source` lacks. {close_matches(name, table)}"
            )
    parts: dict[str, list[Column]] = {name: [] for name in policy.features}
    changed: dict[str, list[np.ndarray]] = {}
    cells: dict[str, int] = {}
    for start in range(0, len(draws), _BATCH):
        index = np.arange(start, min(start + _BATCH, len(draws)))
        columns = {name: _to_tensor(take_column(table[name], index)) for name in used}
        batch = FeatureBatch(columns, policy.row_keys(columns))
        rng = KeyedRng(policy.seed, batch.keys, tf.constant(draws[index]))
        for op in policy.ops:
            for name, before, after in _steps(op, batch, op.draw(batch, rng.fork(op.id))):
                found = [_differ(before[f], after[f]) for f in before]
                changed.setdefault(name, []).append(np.logical_or.reduce(found))
                cells[name] = cells.get(name, 0) + int(np.sum(found))
                batch = batch.replace(after)
        for name, part in parts.items():
            part.append(_to_array(batch[name]))
    result = dict(table)
    result.update({name: _concatenate(part) for name, part in parts.items()})
    return Replay(result, {n: np.concatenate(rows) for n, rows in changed.items()}, cells)


def _steps(
    op: Op, batch: FeatureBatch, drawn: Mapping[str, object], before: str = ""
) -> Iterator[tuple[str, dict[str, object], dict[str, object]]]:
    """Yields each part of an op by its name, with its features before and after it."""
    parts: Sequence[Op] = getattr(op, "ops", ())
    if not parts:
        after = op.apply(batch, drawn)
        yield before + op.id, {f: batch[f] for f in op.features}, {f: after[f] for f in op.features}
        return
    for part in parts:
        chosen = drawn[part.id]
        for name, old, new in _steps(part, batch, chosen["drawn"], f"{before}{op.id} / "):
            kept = {f: select_rows(chosen["rows"], new[f], old[f]) for f in new}
            yield name, old, kept
            batch = batch.replace(kept)


def _differ(before: object, after: object) -> np.ndarray:
    """bool `[batch]`: which rows of a column are not what they were."""
    if isinstance(before, tf.RaggedTensor) or isinstance(after, tf.RaggedTensor):
        lengths = [column.row_lengths().numpy() for column in (before, after)]
        different = lengths[0] != lengths[1]
        same = np.flatnonzero(~different)
        old, new = (tf.gather(column, same) for column in (before, after))
        unequal = _unequal(old.flat_values.numpy(), new.flat_values.numpy())
        different[same[old.value_rowids().numpy()[unequal]]] = True
        return different
    old, new = before.numpy(), after.numpy()
    if old.shape != new.shape:
        return np.ones(len(old), bool)
    unequal = _unequal(old, new)
    return unequal.reshape(len(old), -1).any(axis=1)


def _unequal(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    if old.dtype.kind == "f":
        return (old != new) & ~(np.isnan(old) & np.isnan(new))
    return np.asarray(old != new)


def _to_tensor(column: Column) -> tf.Tensor | tf.RaggedTensor:
    return column.to_tf() if isinstance(column, Ragged) else tf.constant(column)


def _to_array(column: tf.Tensor | tf.RaggedTensor) -> Column:
    if isinstance(column, tf.RaggedTensor):
        values = column.flat_values.numpy()
        values = values.astype("S") if values.dtype == object else values
        return Ragged(values, column.row_splits.numpy().astype(np.int64))
    values = column.numpy()
    return values.astype("S") if values.dtype == object else values


def _concatenate(parts: Sequence[Column]) -> Column:
    if not any(isinstance(part, Ragged) for part in parts):
        return np.concatenate(parts)
    lists = [p if isinstance(p, Ragged) else Ragged(p, np.arange(len(p) + 1)) for p in parts]
    lengths = np.concatenate([part.row_lengths() for part in lists])
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(np.concatenate([part.values for part in lists]), splits)
