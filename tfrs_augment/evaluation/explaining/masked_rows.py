"""One row, and copies of it with some of its features masked by the ops of the library.

What is masked is chosen here, not drawn: an op's `draw` is left out and its `apply` is given the masks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.explain import row_columns
from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops import FeatureMask, Op, SequenceMask, TokenDropout
from tfrs_augment.ops.sequence_layout import Items
from tfrs_augment.ops.text import Words
from tfrs_augment.rng import Column

MASKS = (FeatureMask, SequenceMask, TokenDropout)

Columns = Mapping[str, Column]


@dataclasses.dataclass(frozen=True)
class Player:
    """What is masked or not as one: a feature, features that go together, an item of a history, a word.

    Attributes:
      name: such as "age", "history[2]" or "title: summer".
      value: what the row has there.
      op: its place among the ops that mask.
      place: which item or word of the op's sequence or text; None where the op masks whole features.
    """

    name: str
    value: Any
    op: int
    place: int | None = None


def row_of(name: str, row: Any) -> dict[str, Column]:
    """Returns a row of plain values as columns of a batch of one.

    Args:
      name: of the argument, for messages.
      row: feature to a number, a string, a list (ragged) or an array, as `policy.explain` takes them; or
        a tensor that has a batch dimension of 1 already.

    Raises:
      InvalidArgumentError: it is no such mapping, or a value is missing.
    """
    if not isinstance(row, Mapping) or not row:
        raise InvalidArgumentError(
            f"`{name}` must map the names of features to their values. Received: {row!r}."
        )
    columns = {}
    for feature, value in row.items():
        if not isinstance(feature, str):
            raise InvalidArgumentError(
                f"`{name}` must have features named by strings. Received: {feature!r}."
            )
        if value is None:
            raise InvalidArgumentError(
                f"`{name}` must have a value for each feature. Received: {feature}=None. Leave the feature "
                "out where the model does not read it, or give what stands for a missing value there."
            )
        if isinstance(value, tf.Tensor | tf.RaggedTensor):
            if value.shape.rank in (None, 0) or value.shape[0] != 1:
                raise InvalidArgumentError(
                    f"`{name}` may hold tensors of one row, with a batch dimension of 1. Received: "
                    f"{feature} of shape {value.shape}."
                )
            if isinstance(value, tf.RaggedTensor):
                value = value.with_row_splits_dtype(tf.int64)
            columns[feature] = value
        elif isinstance(value, float | np.floating) and value != value:
            columns[feature] = tf.constant([value], tf.float32)  # A number, not a missing list.
        else:
            columns |= row_columns({feature: value}, ())[0]
    return columns


def mask_ops(features: Sequence[str | Op], known: Sequence[str]) -> tuple[Op, ...]:
    """Returns the op that masks each feature.

    Args:
      features: names, each masked as a whole, and ops of `MASKS`.
      known: the features of the row.

    Raises:
      InvalidArgumentError: something else is among them, a feature is there twice, or there is none.
      UnknownFeatureError: the row has no such feature.
    """
    if isinstance(features, str | Op):
        features = (features,)
    ops = []
    for one in features:
        op = FeatureMask(one, rate=1.0) if isinstance(one, str) and one else one
        if not isinstance(op, MASKS):
            raise InvalidArgumentError(
                "`features` must hold names of features, FeatureMask, SequenceMask or TokenDropout. "
                f"Received: {one!r}."
            )
        for name in op.features:
            if name not in known:
                raise UnknownFeatureError(
                    f"`features` must name features of the query or the item. Received: {name!r}. "
                    f"{close_matches(name, known)}"
                )
        ops.append(op)
    names = [name for op in ops for name in op.features]
    if not names or len(set(names)) < len(names):
        raise InvalidArgumentError(
            f"`features` must name each feature once, and at least one. Received: {names}."
        )
    return tuple(ops)


def check_shared(rows: Mapping[str, Columns], names: Sequence[str] | None) -> None:
    """Refuses features that query and item both have, with other values.

    Args:
      rows: "query" and "item".
      names: the features that are masked; None where each feature is given once, to a ranking model.

    Raises:
      InvalidArgumentError: one of these features has two values.
    """
    query, item = rows["query"], rows["item"]
    why, remedy = "is masked in both", "`features`, or of the row whose tower does not read it"
    if names is None:
        names = list(query)
        why, remedy = (
            "a ranking model is given once",
            "the row that the model should not read it from",
        )
    for name in names:
        if name in query and name in item and not _same(query[name], item[name]):
            raise InvalidArgumentError(
                f"`query` and `item` must have the same value of a feature that {why}. Received: {name!r} "
                f"of {plain(query[name])} and {plain(item[name])}. Leave it out of {remedy}."
            )


def _same(one: Column, other: Column) -> bool:
    """Whether two rows have the same values; NaN is itself."""
    if _layout(one) != _layout(other):
        return False
    first, second = values_of(one).numpy(), values_of(other).numpy()
    return bool(np.all((first == second) | ((first != first) & (second != second))))


def _layout(column: Column) -> list[list[int]]:
    if isinstance(column, tf.RaggedTensor):
        return [part.numpy().tolist() for part in column.nested_row_splits]
    return [list(column.shape)]


def players_of(ops: Sequence[Op], columns: Columns) -> tuple[Player, ...]:
    """Returns what the ops mask in a row, in their order: features, items and words.

    Raises:
      DataError: a feature is of a kind or shape that its op does not take.
    """
    batch, players = FeatureBatch(columns, tf.zeros([1], tf.uint64)), []
    for number, op in enumerate(ops):
        if isinstance(op, FeatureMask):
            values = {name: plain(columns[name]) for name in op.features}
            value = next(iter(values.values())) if len(values) == 1 else values
            players.append(Player(" + ".join(op.features), value, number))
            continue
        if isinstance(op, SequenceMask):
            found, name = plain_list(Items(op, batch).lead.values), op.features[0]
            named = [f"{name}[{place}]" for place in range(len(found))]
        else:
            found, name = plain_list(Words(op, batch).flat), op.feature
            named = [f"{name}: {word}" for word in found]
        players += [
            Player(label, value, number, place)
            for place, (label, value) in enumerate(zip(named, found))
        ]
    return tuple(players)


class MaskedRow:
    """Copies of a row in which players are masked.

    Args:
      columns: the row, a batch of one.
      ops: the ops that mask; those of features that this row lacks do nothing here.
      players: of all ops.

    Attributes:
      acting: bool `[players]`, those that are part of this row.
    """

    def __init__(self, columns: Columns, ops: Sequence[Op], players: Sequence[Player]):
        self.columns = dict(columns)
        self._ops: list[tuple[Op, list[int]]] = []
        self.acting = np.zeros(len(players), bool)
        for number, op in enumerate(ops):
            here = [name for name in op.features if name in columns]
            own = [place for place, player in enumerate(players) if player.op == number]
            if not here or not own:
                continue
            if len(here) < len(op.features):
                op = self._part_of(op, here)
            self._ops.append((op, own))
            self.acting[own] = True

    @staticmethod
    def _part_of(op: Op, here: list[str]) -> Op:
        """The op for those of its features that this row has: it may mask a query and an item together."""
        if not isinstance(op, FeatureMask):
            raise InvalidArgumentError(
                f"{op} must act on features of the query alone, or of the item alone. Received: "
                f"{op.features}, of which {here} are on one side."
            )
        values = {n: v for n, v in (op.mask_values or {}).items() if n in here}
        return dataclasses.replace(op, masked=tuple(here), mask_values=values or None)

    def masked(self, there: np.ndarray) -> dict[str, Column]:
        """Returns copies of the row as columns `[n, ...]`.

        Args:
          there: bool `[n, players]`, which of them a copy keeps.
        """
        rows = tf.zeros([len(there)], tf.int32)
        columns = {name: tf.gather(column, rows) for name, column in self.columns.items()}
        batch = FeatureBatch(columns, tf.zeros([len(there)], tf.uint64))
        for op, own in self._ops:
            kept = there[:, own]
            if isinstance(op, FeatureMask):
                params = {name: tf.constant(~kept[:, 0]) for name in op.features}
            elif isinstance(op, SequenceMask):
                params = {"mask": tf.constant(~kept.reshape(-1))}
            else:
                params = {"keep": tf.constant(kept.reshape(-1))}
            batch = op.apply(batch, params)
        return dict(batch.columns)


def plain(column: Column) -> Any:
    """Returns the only row of a column as a plain value or a list; a picture as its shape."""
    row = column[0]
    if isinstance(column, tf.RaggedTensor) or row.shape.rank == 1:
        return plain_list(row)
    if row.shape.rank > 1:
        return f"array of shape {tuple(row.shape)}"
    return _text(row.numpy().item() if hasattr(row.numpy(), "item") else row.numpy())


def plain_list(values: tf.Tensor) -> list[Any]:
    """Returns values `[n]` as plain ones."""
    return [_text(value) for value in values.numpy().tolist()]


def cast_like(name: str, columns: Columns, table: Columns) -> dict[str, Column]:
    """Returns columns in the types and layouts of a table's, where they can be taken for these.

    Args:
      name: of the argument, for messages.
      columns: a row.
      table: columns of other rows of its kind.

    Raises:
      DataError: a column is text and the table's is not, or a list and the table's is not.
    """
    cast = dict(columns)
    for feature, column in columns.items():
        if feature not in table:
            continue
        like, values = table[feature], values_of(column)
        if values.dtype != like.dtype and tf.string in (values.dtype, like.dtype):
            if tf.size(values):
                raise DataError(
                    f"`{name}` must have values of the catalogue's types. Received: {feature} of type "
                    f"{values.dtype.name}, in `items` {like.dtype.name}."
                )
            values = tf.zeros([0], like.dtype)  # A list without values is one of any type.
        column = with_values(column, tf.cast(values, like.dtype))
        ragged = isinstance(column, tf.RaggedTensor)
        if ragged and not isinstance(like, tf.RaggedTensor) and like.shape.rank == 2:
            column = column.to_tensor()  # A list of numbers stands for an embedding.
        elif ragged != isinstance(like, tf.RaggedTensor):
            raise DataError(
                f"`{name}` must have its values as the catalogue has them. Received: {feature} as "
                f"{'a list' if ragged else 'one value'}."
            )
        cast[feature] = column
    return cast


def _text(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
