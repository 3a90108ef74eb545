"""Which items occur near each other: what `SequenceInsert` and `SequenceSubstitute` draw from."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.ops.sequence_items import MOST_NEIGHBORS
from tfrs_augment.rng import Column, absorb, as_word, mix


@dataclasses.dataclass(frozen=True)
class _Sequences:
    """Distinct sequences, one after the other.

    Attributes:
      hashes: uint64 `[n]`, of the sequences.
      counts: int64 `[n]`, how often each was met.
      lengths: int64 `[n]`, how many items each has.
      values: int64 or bytes objects, the items of all.
    """

    hashes: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray
    values: np.ndarray

    def take(self, index: np.ndarray, counts: np.ndarray) -> _Sequences:
        """Some of the sequences, with other counts."""
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[index]
        offsets = np.repeat(starts[index] - (np.cumsum(lengths) - lengths), lengths)
        values = self.values[offsets + np.arange(lengths.sum())]
        return _Sequences(self.hashes[index], counts, lengths, values)


class CooccurrenceSummary:
    """How often two items stand within `WINDOW` steps of each other in a sequence, either first.

    It holds the distinct sequences themselves, those with the smallest hashes, at most `MAX_ITEMS` items in
    all: what is kept of a part contains what is kept of the whole, so counts do not depend on how the data
    were cut or ordered. Within the bound they are exact; beyond it they are those of an even sample of the
    distinct sequences.
    """

    WINDOW = 3
    NEIGHBORS = MOST_NEIGHBORS
    """How many correlated items of an item are kept at most."""
    MAX_ITEMS = 1 << 22
    """34 MB of integers; of strings about 50 bytes and their length each."""

    discount = True
    """Whether a pair's count is divided by the square root of the neighbor's, so that popular items are not
    everybody's neighbors (the cosine of item-based collaborative filtering)."""

    def __init__(self):
        self._parts: list[_Sequences] = []
        self._pending = 0

    def add(self, column: Column, keys: np.ndarray | None) -> None:
        """Adds the sequences of a column, ragged `[batch, None]` or dense `[batch, n]`.

        Raises:
          DataError: the column holds floats.
        """
        if column.dtype.is_floating:
            raise DataError(
                "Co-occurrence is one of items: strings or integers. "
                f"Received: a column of {column.dtype.name}."
            )
        if not isinstance(column, tf.RaggedTensor):
            column = tf.RaggedTensor.from_tensor(tf.reshape(column, [tf.shape(column)[0], -1]))
        lengths = column.row_lengths().numpy().astype(np.int64)
        filled = lengths > 0
        if not filled.any():
            return
        column = tf.ragged.boolean_mask(column, filled)
        lengths = lengths[filled]
        starts = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        # Places are mixed first: those and small integers would cancel out otherwise.
        words = absorb(mix(as_word(tf.constant(places + 1))), as_word(_hash(column.flat_values)))
        hashes = np.add.reduceat(words.numpy(), starts)
        values = column.flat_values.numpy()
        values = values if values.dtype == object else values.astype(np.int64)
        self._extend([_Sequences(hashes, np.ones(len(lengths), np.int64), lengths, values)])

    def merge(self, other: CooccurrenceSummary) -> None:
        """Adds the sequences that another summary holds."""
        self._extend(other._parts)

    def _extend(self, parts: list[_Sequences]) -> None:
        self._parts = self._parts + parts
        self._pending += sum(len(part.values) for part in parts)
        if self._pending > self.MAX_ITEMS:
            self._compact()

    def _compact(self) -> None:
        """One part of distinct sequences: the longest run in the order of hashes that is within the bound."""
        joined = _Sequences(
            *(
                np.concatenate([getattr(part, field.name) for part in self._parts])
                for field in dataclasses.fields(_Sequences)
            )
        )
        _, first, inverse = np.unique(joined.hashes, return_index=True, return_inverse=True)
        counts = np.zeros(len(first), np.int64)
        np.add.at(counts, inverse, joined.counts)
        within = np.cumsum(joined.lengths[first]) <= self.MAX_ITEMS
        self._parts = [joined.take(first[within], counts[within])]
        self._pending = 0

    def arrays(self, requirement: Requirement) -> dict[str, np.ndarray]:
        """The correlated items of each item as arrays; see `FittedState`."""
        if not self._parts:
            raise DataError(f"The {requirement} cannot be fitted: the data hold no value of it.")
        self._compact()
        (sequences,) = self._parts
        items, codes = np.unique(sequences.values, return_inverse=True)
        codes = codes.astype(np.int64)
        row = np.repeat(np.arange(len(sequences.lengths)), sequences.lengths)
        weights = sequences.counts[row]
        totals = np.zeros(len(items), np.int64)
        np.add.at(totals, codes, weights)
        pairs, counts = self._pairs(codes, row, weights, len(items))
        left, right = np.divmod(pairs, len(items))
        score = counts.astype(np.float64)
        if self.discount:
            score = score * score / totals[right]
        order = np.lexsort((right, -score, left))
        left, right = left[order], right[order]
        rank = np.arange(len(left)) - np.searchsorted(left, left)
        left, right = left[rank < self.NEIGHBORS], right[rank < self.NEIGHBORS]
        return _table(items, left, right)

    def _pairs(
        self, codes: np.ndarray, row: np.ndarray, weights: np.ndarray, items: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of different items near each other, both ways, as left * items + right; and counts."""
        found, weight = [], []
        for step in range(1, self.WINDOW + 1):
            left, right = codes[:-step], codes[step:]
            near = (row[:-step] == row[step:]) & (left != right)
            left, right = left[near], right[near]
            found += [left * items + right, right * items + left]
            weight += [weights[:-step][near]] * 2
        pairs, inverse = np.unique(np.concatenate(found), return_inverse=True)
        counts = np.zeros(len(pairs), np.int64)
        np.add.at(counts, inverse, np.concatenate(weight))
        return pairs, counts


class CooccurrenceCountSummary(CooccurrenceSummary):
    """The same by counts alone: popular items come first."""

    discount = False


def _hash(values: tf.Tensor) -> tf.Tensor:
    """int64 `[n]`: integers themselves, strings by a hash that is fixed for ever."""
    if values.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(values, (1 << 63) - 1)
    return tf.cast(values, tf.int64)


def _table(items: np.ndarray, left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """Items in the order of what they are looked up by, and the numbers of their neighbors."""
    splits = np.searchsorted(left, np.arange(len(items) + 1))
    arrays = {}
    if items.dtype == object:
        hashes = _hash(tf.constant(items)).numpy()
        order = np.argsort(hashes, kind="stable")
        items = items[order]
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        lengths = np.diff(splits)[order]
        starts = np.repeat(splits[:-1][order] - (np.cumsum(lengths) - lengths), lengths)
        right = rank[right[starts + np.arange(lengths.sum())]]
        splits = np.concatenate([[0], np.cumsum(lengths)])
        arrays["hashes"] = hashes[order]
        arrays["data"] = np.frombuffer(b"".join(items), np.uint8)
        arrays["offsets"] = np.cumsum([0, *map(len, items)], dtype=np.int64)
    else:
        arrays["values"] = items
    return {
        **arrays,
        "row_splits": splits.astype(np.int64),
        "neighbors": right.astype(np.int32),
    }
