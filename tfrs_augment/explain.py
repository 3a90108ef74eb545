"""What a policy did to one row: op by op, what was drawn, and what it changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.arrays import empty_dtype, features_of, to_column
from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops import OneOf, Op, Sequential, SomeOf
from tfrs_augment.rng import Column, KeyedRng


@dataclasses.dataclass(frozen=True)
class OpExplanation:
    """What one op did to the row.

    Attributes:
      id: the op's id in the policy, or in the combination that it is a part of.
      op: the op as text, such as "IdDropout 'movie_id'".
      chosen: False for a part that its combination did not draw for this row.
      drawn: what the op drew, by name, as plain Python values; empty for a combination and where not chosen.
      changes: feature to (before, after), of the features that are different after the op.
      parts: those of a combination, in order.
    """

    id: str
    op: str
    chosen: bool
    drawn: Mapping[str, Any]
    changes: Mapping[str, tuple[Any, Any]]
    parts: tuple[OpExplanation, ...] = ()

    @property
    def acted(self) -> bool:
        """Whether it changed anything."""
        return bool(self.changes)

    def lines(self, indent: str = "") -> Iterator[str]:
        """The explanation as lines of text."""
        what = "acted" if self.acted else "changed nothing" if self.chosen else "not drawn"
        yield f"{indent}{self.id}: {what}"
        if self.parts:
            for part in self.parts:
                yield from part.lines(indent + "  ")
        else:
            for name, (before, after) in self.changes.items():
                yield f"{indent}  {name}: {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    """A value as text; an encoded image would fill the screen."""
    encoded = isinstance(value, bytes) and len(value) > 100
    return f"{len(value)} bytes" if encoded else repr(value)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a policy did to one row. `str()` of it is made to be read.

    Attributes:
      key: the row's key, from its key features.
      draw: the draw number.
      ops: one entry an op, in order.
      before: the features that the policy may change, as they were: a value, a list of values, or None.
      after: the same features after all ops.
    """

    key: int
    draw: int
    ops: tuple[OpExplanation, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Feature to (before, after) over all ops, of the features that came out different."""
        return {
            name: (value, self.after[name])
            for name, value in self.before.items()
            if not _same(value, self.after[name])
        }

    def __str__(self) -> str:
        lines = [line for op in self.ops for line in op.lines("  ")]
        return "\n".join([f"row with key {self.key:016x}, draw {self.draw}", *lines])


@dataclasses.dataclass(frozen=True)
class _Shape:
    """How to turn the values of a column of one row back into what was given."""

    scalar: bool
    text: bool
    missing: bool

    def plain(self, column: Column) -> Any:
        values = column[0].numpy()
        rows = values.tolist() if isinstance(values, np.ndarray | np.generic) else values
        listed = rows if isinstance(rows, list) else [rows]
        if self.text:
            listed = [_text(value) for value in listed]
        if self.missing:
            return None
        return (listed[0] if listed else None) if self.scalar else listed


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b))
    return a == b or (a != a and b != b)


def row_columns(
    row: Mapping[str, Any], ops: Sequence[Op]
) -> tuple[dict[str, Column], dict[str, _Shape]]:
    """One row of plain values as columns of a batch of one, and how to read them back.

    Args:
      row: name to a number, a string, a list (ragged), None (missing), or an array: `[n]` is a list of its
        dtype, more dimensions are a dense value such as an image.
      ops: who uses the features; they say what a list without values is a list of.
    """
    columns, shapes = {}, {}
    for name, value in row.items():
        array = np.empty(1, object)
        missing = value is None
        scalar = not missing and np.ndim(value) == 0
        flat = np.ravel(value).tolist() if not missing else []
        text = any(isinstance(item, str) for item in flat)
        if isinstance(value, np.ndarray) and value.ndim > 1:
            columns[name] = tf.convert_to_tensor(value[None])
        elif not scalar and not flat:
            typed = isinstance(value, np.ndarray) and value.dtype.kind in "biufS"
            values = tf.zeros([0], tf.as_dtype(value.dtype) if typed else empty_dtype(name, ops))
            columns[name] = tf.RaggedTensor.from_row_splits(values, [0, 0])
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            dense = tf.convert_to_tensor(value.reshape(-1))
            columns[name] = (
                dense if scalar else tf.RaggedTensor.from_row_splits(dense, [0, len(flat)])
            )
        else:
            array[0] = flat[0] if scalar else flat
            columns[name] = _with_file_types(to_column(name, array, ops)[0])
        shapes[name] = _Shape(scalar, text, missing)
    return columns, shapes


def _with_file_types(column: Column) -> Column:
    """Plain Python numbers have no width: floats get that of a tf.train.Example."""
    return tf.cast(column, tf.float32) if column.dtype == tf.float64 else column


def explain_op(
    op: Op, batch: FeatureBatch, drawn: Mapping[str, Any], shapes: Mapping[str, _Shape]
) -> tuple[OpExplanation, FeatureBatch]:
    """Applies what an op drew for a batch of one row; says what that changed."""
    parts, after = [], batch
    if isinstance(op, Sequential | OneOf | SomeOf):
        for part in op.ops:
            if bool(drawn[part.id]["rows"][0]):
                said, after = explain_op(part, after, drawn[part.id]["drawn"], shapes)
            else:
                said = OpExplanation(part.id, str(part), False, {}, {})
            parts.append(said)
        shown = {}
    else:
        after = op.apply(batch, drawn)
        shown = _plain_params(drawn)
    changes = {}
    for name in op.features:
        old, new = shapes[name].plain(batch[name]), shapes[name].plain(after[name])
        if not _same(old, new):
            changes[name] = (old, new)
    return OpExplanation(op.id, str(op), True, shown, changes, tuple(parts)), after


def _plain_params(value: Any) -> Any:
    """What an op drew for its only row, as plain values without the batch's dimension."""
    if isinstance(value, Mapping):
        return {str(name): _plain_params(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_params(item) for item in value]
    if isinstance(value, tf.RaggedTensor):
        return _text(value.to_list()[0] if value.shape[0] == 1 else value.to_list())
    if isinstance(value, tf.Tensor):
        plain = _text(value.numpy().tolist() if value.shape.rank else value.numpy().item())
        return plain[0] if isinstance(plain, list) and len(plain) == 1 else plain
    return value


def explain_row(
    row: Mapping[str, Any],
    ops: Sequence[Op],
    seed: int,
    key_features: Sequence[str],
    keys_of: Callable[[Mapping[str, Column]], tf.Tensor],
    draw: int,
) -> Explanation:
    """Explains the ops of a policy on one row; see `AugmentationPolicy.explain`."""
    touched = features_of(ops)
    columns, shapes = row_columns({name: row[name] for name in touched if name in row}, ops)
    given = {name: _only_value(name, row[name]) for name in key_features if name in row}
    key = keys_of({name: row_columns({name: value}, ops)[0][name] for name, value in given.items()})
    batch = FeatureBatch(columns, key)
    rng = KeyedRng(seed, key, draw)
    explained, after = [], batch
    for op in ops:
        said, after = explain_op(op, after, op.draw(after, rng.fork(op.id)), shapes)
        explained.append(said)
    return Explanation(
        key=int(key.numpy()[0]),
        draw=draw,
        ops=tuple(explained),
        before={name: shapes[name].plain(batch[name]) for name in touched},
        after={name: shapes[name].plain(after[name]) for name in touched},
    )


def _only_value(name: str, value: Any) -> Any:
    flat = np.ravel(value) if value is not None else []
    if len(flat) != 1:
        raise DataError(f"Key feature '{name}' must have one value a row. Received: {value!r}.")
    return flat[0]
