"""Ops on sequences of items: crop, mask, reorder, dropped ids, moved times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.ops.base import Params, check_range
from tfrs_augment.ops.numeric import between
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.ops.sequence_layout import Items, SequenceOp, share_of
from tfrs_augment.ops.tabular import Token, check_mask_values, token_of
from tfrs_augment.rng import KeyedRng

LONG = 5
"""From how many items on a sequence is cropped or reordered: one more than the K = 4 of CoSeRec's code."""


@dataclasses.dataclass(frozen=True)
class SequenceCrop(SequenceOp):
    """Keeps a run of a sequence: a part of what the user did, in its order.

    The number of items kept is drawn evenly among those from floor(low * n) to floor(high * n), at least 1,
    and so is where the run starts.

    Args:
      sequence: a feature, or several of equal row lengths, of any kind; ragged `[batch, None]` or padded
        `[batch, n]`.
      keep_range: (low, high), the share of the items that is kept, each in (0, 1].
      rate: the chance that a row is cropped, in [0, 1]; default 1.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 5, after CoSeRec (below).

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> crop = aug.ops.SequenceCrop(("history", "times"), keep_range=(0.4, 0.4))
      >>> policy = aug.AugmentationPolicy([crop], key_features=["user_id"])
      >>> rows = {
      ...     "user_id": tf.constant([7]),
      ...     "history": tf.ragged.constant([[11, 12, 13, 14, 15]]),
      ...     "times": tf.ragged.constant([[1, 2, 3, 4, 5]]),
      ... }
      >>> cropped = policy.augment(rows, draw=0)
      >>> cropped["history"].to_list(), cropped["times"].to_list()
      ([[14, 15]], [[4, 5]])

    Reference:
      Xie et al., "Contrastive Learning for Sequential Recommendation" (CL4SRec), ICDE 2022, operator "item
      crop", there with one share for all. Liu et al., "Contrastive Self-supervised Sequential
      Recommendation with Robust Augmentation" (CoSeRec), arXiv 2108.06479: sequences of at most K items are
      neither cropped nor reordered; K is 4 in its code.
    """

    _: dataclasses.KW_ONLY
    keep_range: tuple[float, float] = (0.5, 0.9)
    min_length: int = LONG

    def __post_init__(self):
        super().__post_init__()
        check_range(self, "keep_range", self.keep_range, 0.0, 1.0)
        if self.keep_range[0] == 0:
            raise self.invalid("keep_range", "must start above 0", self.keep_range)

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        n = items.lengths
        low = tf.maximum(share_of(n, self.keep_range[0]), 1)
        high = tf.maximum(share_of(n, self.keep_range[1]), low)
        kept = low + rng.integers(high - low + 1)
        kept = tf.where(self.acts(items, rng, stream=1), kept, n)
        return {"kept": kept, "start": rng.integers(n - kept + 1, stream=2)}

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        start = tf.gather(params["start"], items.rows)
        kept = tf.gather(params["kept"], items.rows)
        inside = (items.positions >= start) & (items.positions < start + kept)
        return items.gathered(tf.where(inside)[:, 0], params["kept"])


@dataclasses.dataclass(frozen=True)
class SequenceMask(SequenceOp):
    """Hides a share of a sequence's items, drawn anew for each row; the length stays.

    Args:
      sequence: a feature, or several of equal row lengths, of any kind, which are hidden at the same places;
        ragged `[batch, None]` or padded `[batch, n]`.
      share: the share of the items, in [0, 1]; floor(share * n) of n are hidden.
      mask_values: feature to what stands in place of an item, where the default ("[UNK]" for strings, -1 for
        integers, 0.0 for floats) is not the one that the model knows.
      rate: the chance that a row is masked, in [0, 1]; default 1.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 1.

    Reference:
      Xie et al., CL4SRec, ICDE 2022, operator "item mask". There the mask is an item of its own; here it is
      the unknown one unless `mask_values` names another.
    """

    _: dataclasses.KW_ONLY
    share: float = 0.3
    mask_values: Mapping[str, Token] | None = None

    def __post_init__(self):
        super().__post_init__()
        self.check_share("share")
        check_mask_values(self)

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        count = tf.where(
            self.acts(items, rng, stream=1),
            share_of(items.lengths, self.share),
            tf.zeros([], tf.int64),
        )
        return {"mask": items.sample(count, rng.bits(items.lead))}

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        masked, lead = {}, self.sequence[0]
        self.check_not_padding("mask_values", (self.mask_values or {}).get(lead), items.lead.dtype)
        for name, column in items.columns.items():
            value = (self.mask_values or {}).get(name)
            token = token_of(self, "mask_values", value, name, column)
            masked[name] = column.with_values(tf.where(params["mask"], token, column.values))
        return masked


@dataclasses.dataclass(frozen=True)
class SequenceReorder(SequenceOp):
    """Shuffles one run of a sequence; the items before and after it keep their places.

    For models that should not lean on the exact order: an order of purchases is partly chance.

    Args:
      sequence: a feature, or several of equal row lengths, of any kind, which are shuffled alike; leave the
        times out, and they stay in order. Ragged `[batch, None]` or padded `[batch, n]`.
      share: the run's share of the sequence, in [0, 1]: floor(share * n) items of n. Where it starts is drawn
        evenly. A run of fewer than two items changes nothing.
      rate: the chance that a row is shuffled, in [0, 1]; default 1.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 5, as in `SequenceCrop`.

    Reference:
      Xie et al., CL4SRec, ICDE 2022, operator "item reorder".
    """

    _: dataclasses.KW_ONLY
    share: float = 0.3
    min_length: int = LONG

    def __post_init__(self):
        super().__post_init__()
        self.check_share("share")

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        size = share_of(items.lengths, self.share)
        size = tf.where(self.acts(items, rng, stream=1), size, tf.zeros_like(size))
        start = tf.gather(rng.integers(items.lengths - size + 1, stream=2), items.rows)
        shuffled = (items.positions >= start) & (
            items.positions < start + tf.gather(size, items.rows)
        )
        # The items of a run stand at its first item's place, in the order of their bits.
        here = tf.range(tf.size(items.rows, tf.int64))
        base = tf.where(shuffled, here - items.positions + start, here)
        bits = tf.where(shuffled, rng.bits(items.lead), tf.zeros([], tf.uint32))
        order = items.order(base, bits)
        # Relative to the row, so that what was drawn does not depend on the batch.
        return {"source": tf.gather(items.positions, order)}

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        index = tf.gather(items.lead.row_starts(), items.rows) + params["source"]
        return items.gathered(index, items.lengths)


@dataclasses.dataclass(frozen=True)
class HistoryIdDropout(SequenceOp):
    """Replaces ids within a history by the out-of-vocabulary token, each by itself.

    The user's tower learns to read a history that holds items it does not know. `IdDropout` does the same to
    ragged columns; this one leaves the padding of padded columns as it is.

    Args:
      sequence: the feature of ids, strings or integers; ragged `[batch, None]` or padded `[batch, n]`.
      rate: the chance that an id is dropped, in [0, 1], or a `PopularityRate`.
      oov_token: what it is replaced by; by default "[UNK]" for strings and -1 for integers.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 1.

    Reference:
      Volkovs, Yu and Poutanen, "DropoutNet", NeurIPS 2017, section 4.1, on the ids of a history.
    """

    _: dataclasses.KW_ONLY
    rate: float | PopularityRate = dataclasses.field()
    oov_token: str | int | None = None

    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")
    adaptive: ClassVar[bool] = True
    one_feature: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if not (self.oov_token is None or isinstance(self.oov_token, str | int)):
            raise self.invalid("oov_token", "must be a string or an integer", self.oov_token)

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        long = tf.gather(items.lengths >= self.min_length, items.rows)
        rate = self.rate_of(items.lead, self.sequence[0])
        return {"drop": (rng.uniform(items.lead) < rate) & long}

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        (name,) = self.sequence
        self.check_not_padding("oov_token", self.oov_token, items.lead.dtype)
        token = token_of(self, "oov_token", self.oov_token, name, items.lead)
        values = tf.where(params["drop"], token, items.lead.values)
        return {name: items.lead.with_values(values)}


@dataclasses.dataclass(frozen=True)
class TimeJitter(SequenceOp):
    """Moves the times of a sequence a little.

    Args:
      sequence: the feature of times, integers or floats; ragged `[batch, None]` or padded `[batch, n]`.
      stddev: the standard deviation of a normal move, in the feature's unit; or
      jitter_range: (low, high), the bounds of an even one. One of the two is given. Integers stay integers:
        the move is rounded.
      keep_order: whether the times stay in the order in which they were, rising or falling or any other: the
        moved times are dealt out anew by the rank of the old ones. Default true.
      rate: the chance that a row's times are moved, in [0, 1]; default 1.
      padding, pad_values: see `docs/sequences.md`; needed for padded columns.
      min_length: a sequence of fewer items stays as it is; default 1.

    A row with NaN or infinity in it stays as it is.

    Reference:
      "Jittering" of time series in Um et al., ICMI 2017, section 3.2, there of the values and not the times.
    """

    _: dataclasses.KW_ONLY
    stddev: float | None = None
    jitter_range: tuple[float, float] | None = None
    keep_order: bool = True

    kinds: ClassVar[tuple[str, ...]] = ("float", "int64")
    one_feature: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if (self.stddev is None) == (self.jitter_range is None):
            raise self.invalid("stddev", "or `jitter_range` must be given, not both", self.stddev)
        if self.jitter_range is not None:
            check_range(self, "jitter_range", self.jitter_range)
        elif not isinstance(self.stddev, int | float) or not 0 <= self.stddev < float("inf"):
            raise self.invalid("stddev", "must be a finite number of at least 0", self.stddev)
        if not isinstance(self.keep_order, bool):
            raise self.invalid("keep_order", "must be true or false", self.keep_order)

    def choose(self, items: Items, rng: KeyedRng) -> Params:
        if self.jitter_range is None:
            move = rng.normal(items.lead, stream=2) * tf.constant(self.stddev, tf.float32)
        else:
            move = between(rng.uniform(items.lead, stream=2), self.jitter_range)
        return {"move": move, "moved": self.acts(items, rng, stream=1)}

    def change(self, items: Items, params: Params) -> dict[str, tf.RaggedTensor]:
        times, move = items.lead.values, params["move"]
        moved = params["moved"]
        if times.dtype.is_floating:
            broken = tf.cast(~tf.math.is_finite(times), tf.int32)
            moved &= tf.math.unsorted_segment_sum(broken, items.rows, tf.size(moved)) == 0
        else:
            move = tf.round(move)
        new = times + tf.cast(move, times.dtype)
        if self.keep_order:
            dealt = tf.gather(new, _order_by_row(items, new))
            place = _order_by_row(items, times)
            new = tf.scatter_nd(place[:, tf.newaxis], dealt, tf.shape(dealt, tf.int64))
        values = tf.where(tf.gather(moved, items.rows), new, times)
        return {self.sequence[0]: items.lead.with_values(values)}


def _order_by_row(items: Items, values: tf.Tensor) -> tf.Tensor:
    """The items sorted by row and, within a row, by value; equal ones as they stand: int64 `[items]`."""
    by_value = tf.cast(tf.argsort(values, stable=True), tf.int64)
    rank = tf.scatter_nd(
        by_value[:, tf.newaxis], tf.range(tf.size(by_value)), tf.shape(by_value, tf.int64)
    )
    return items.order(items.rows, tf.cast(rank, tf.uint32))
