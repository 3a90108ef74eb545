"""Ops that put correlated items into sequences."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_augment.ops.base import Params
from tfrs_augment.ops.fitted import Requirement, bytes_table
from tfrs_augment.ops.sequence_layout import Items, SequenceOp, share_of
from tfrs_augment.rng import KeyedRng

MOST_NEIGHBORS = 16
"""How many correlated items the statistic holds for an item."""


class _Table(NamedTuple):
    """What was fitted, as tensors.

    Attributes:
      items: `[items]`, in the column's type.
      lookup: int64 `[items]`, rising: what an item is found by.
      begin, count: int64 `[items]`, where an item's neighbors stand, and how many there are.
      neighbors: int32 `[pairs]`, numbers of items, the most correlated first.
    """

    items: tf.Tensor
    lookup: tf.Tensor
    begin: tf.Tensor
    count: tf.Tensor
    neighbors: tf.Tensor


@dataclasses.dataclass(frozen=True)
class _CorrelatedItemOp(SequenceOp, abstract=True):
    """Draws places of a sequence, and for each of them an item that is correlated with the one there."""

    _: dataclasses.KW_ONLY
    share: float = 0.1
    top_k: int = 5
    discount: bool = True

    scope: ClassVar[str] = "dataset"

    def __post_init__(self):
        super().__post_init__()
        self.check_share("share")
        if not isinstance(self.top_k, int) or not 1 <= self.top_k <= MOST_NEIGHBORS:
            raise self.invalid(
                "top_k", f"must be an integer from 1 to {MOST_NEIGHBORS}", self.top_k
            )
        if not isinstance(self.discount, bool):
            raise self.invalid("discount", "must be true or false", self.discount)

    def requirements(self) -> tuple[Requirement, ...]:
        statistic = "cooccurrence" if self.discount else "cooccurrence_counts"
        return (Requirement(statistic, self.sequence[0]),)

    def _table(self, dtype: tf.DType) -> _Table:
        arrays = self.statistic(self.requirements()[0])
        if ("values" in arrays) == (dtype == tf.string):
            fitted = "integers" if "values" in arrays else "strings"
            raise self.invalid(
                "sequence", f"was fitted on {fitted}; the batch holds {dtype.name}", self.sequence
            )
        if "values" in arrays:
            items, lookup = tf.constant(arrays["values"], dtype), arrays["values"]
        else:
            items, lookup = tf.constant(bytes_table(arrays), tf.string), arrays["hashes"]
        splits, neighbors = arrays["row_splits"], arrays["neighbors"]
        if self.padding is not None:
            splits, neighbors = self._without_padding(arrays, dtype)
        count = np.minimum(np.diff(splits), self.top_k)
        return _Table(
            items,
            tf.constant(lookup, tf.int64),
            tf.constant(splits[:-1], tf.int64),
            tf.constant(count, tf.int64),
            tf.constant(neighbors, tf.int32),
        )

    def _without_padding(self, arrays, dtype: tf.DType) -> tuple[np.ndarray, np.ndarray]:
        """The neighbors but for the padding: to the statistic that was an item like any other."""
        splits, neighbors = arrays["row_splits"], arrays["neighbors"]
        value = self.pad_value(self.sequence[0], dtype)
        if dtype == tf.string:
            table = bytes_table(arrays)
            value = value.encode()
            number = table.index(value) if value in table else -1
        else:
            number = int(np.searchsorted(arrays["values"], value))
            if number == len(arrays["values"]) or arrays["values"][number] != value:
                number = -1
        keep = neighbors != number
        before = np.concatenate([[0], np.cumsum(keep)])
        return before[splits], neighbors[keep]

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        table = self._table(items.lead.dtype)
        place, known = _look_up(table, items.lead.values)
        available = tf.where(known, tf.gather(table.count, place), tf.zeros([], tf.int64))
        count = tf.maximum(share_of(items.lengths, self.share), 1)
        if self.share == 0:
            count = tf.zeros_like(count)
        count = tf.where(self.acts(items, rng, stream=2), count, tf.zeros_like(count))
        chosen = items.sample(count, rng.bits(items.lead)) & (available > 0)
        drawn = rng.integers(tf.maximum(available, 1), items.lead, stream=1)
        index = tf.where(chosen, tf.gather(table.begin, place) + drawn, tf.zeros([], tf.int64))
        # A table without any neighbor has nothing to gather from.
        neighbors = tf.concat([table.neighbors, tf.zeros([1], tf.int32)], 0)
        item = tf.cast(tf.gather(neighbors, index), tf.int64)
        return {"chosen": chosen, "item": item}


def _look_up(table: _Table, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The number of each value in the table, and whether it is there."""
    if values.dtype == tf.string:
        sought = tf.strings.to_hash_bucket_fast(values, (1 << 63) - 1)
    else:
        sought = tf.cast(values, tf.int64)
    place = tf.searchsorted(table.lookup, sought, out_type=tf.int64)
    place = tf.minimum(place, tf.size(table.lookup, tf.int64) - 1)
    return place, tf.gather(table.items, place) == values


@dataclasses.dataclass(frozen=True)
class SequenceSubstitute(_CorrelatedItemOp):
    """Replaces items of a sequence by items that stand near them in other sequences.

    The other features of the sequence keep their values at a replaced place: right for its time, wrong for
    what describes the item (its category). Leave such features out of the rows, and look them up by the id
    after the augmentation.

    Args:
      sequence: the feature of item ids, strings or integers, fitted; others of equal row lengths may follow.
        Ragged `[batch, None]` or padded `[batch, n]`.
      share: the share of the items, in [0, 1]; floor(share * n) of n are replaced, and at least one. An item
        that the fitted statistic does not know stays.
      top_k: the new item is drawn evenly from so many most correlated ones, 1 to 16; default 5.
      discount: whether correlation is the cosine, which takes popularity out, or counts alone.
      rate: the chance that a row is changed, in [0, 1]; default 1.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 1: short ones are changed too.

    Reference:
      Liu et al., "Contrastive Self-supervised Sequential Recommendation with Robust Augmentation" (CoSeRec),
      arXiv 2108.06479, operator "substitute". There the correlation is one of users (ItemCF-IUF), mixed with
      that of embeddings as training goes on, and the most correlated item is taken; here it is that of items
      within 3 steps of each other, fixed before training, and one of `top_k` is drawn.
    """

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        new = tf.gather(self._table(items.lead.dtype).items, params["item"])
        lead = items.lead.with_values(tf.where(params["chosen"], new, items.lead.values))
        return {self.sequence[0]: lead}


@dataclasses.dataclass(frozen=True)
class SequenceInsert(_CorrelatedItemOp):
    """Puts items into a sequence, each before one that it stands near in other sequences.

    Short sequences become longer. The other features of the sequence get the values of the item that follows:
    right for times, wrong for what describes the item (see `SequenceSubstitute`). A padded row keeps its
    width and the last items that fit.

    Args:
      sequence: the feature of item ids, strings or integers, fitted; others of equal row lengths may follow.
        Ragged `[batch, None]` or padded `[batch, n]`.
      share: items put in as a share of the sequence, in [0, 1]: before floor(share * n) of n, and at least
        one. None is put before an item that the fitted statistic does not know.
      top_k, discount: as in `SequenceSubstitute`.
      rate: the chance that a row is changed, in [0, 1]; default 1.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 1: short ones are changed too.

    Reference:
      Liu et al., CoSeRec, arXiv 2108.06479, operator "insert"; see `SequenceSubstitute`.
    """

    _: dataclasses.KW_ONLY
    share: float = 0.2

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        more = tf.cast(params["chosen"], tf.int64)
        size = tf.size(more, tf.int64)
        source = tf.repeat(tf.range(size), 1 + more)
        # An item that one is put before comes twice; the first of the two is the new one.
        ends = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(1 + more)], 0)
        first = tf.range(tf.size(source, tf.int64)) == tf.gather(ends, source)
        new = first & tf.gather(params["chosen"], source)
        splits = tf.gather(ends, items.lead.row_splits)
        result = items.gathered(source, splits[1:] - splits[:-1])
        lead = result[self.sequence[0]]
        put_in = tf.gather(self._table(lead.dtype).items, tf.gather(params["item"], source))
        result[self.sequence[0]] = lead.with_values(tf.where(new, put_in, lead.values))
        return result
