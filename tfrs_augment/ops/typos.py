"""Typing errors."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params
from tfrs_augment.rng import Column, KeyedRng

EDITS = ("insert", "delete", "replace", "transpose")

_NONE, _INSERT, _DELETE, _REPLACE, _TRANSPOSE = range(5)
_CHOICES = 840
"""Divisible by all numbers of neighbours that a key can have, so that each is as likely."""


def _keyboard() -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of each byte on a QWERTY keyboard: uint8 `[256, 8]`, and how many they are, `[256]`.

    A row of keys is shifted against the one above it; keys are neighbours if their centres are less than 1.3
    widths of a key apart. Capitals have capitals for neighbours. A byte without a key has none.
    """
    rows = (("1234567890", 0.0), ("qwertyuiop", 0.5), ("asdfghjkl", 0.75), ("zxcvbnm", 1.25))
    places = {
        key: (x + shift, y) for y, (keys, shift) in enumerate(rows) for x, key in enumerate(keys)
    }
    near, count = np.zeros([256, 8], np.uint8), np.zeros([256], np.int64)
    for key, (x, y) in places.items():
        others = sorted(
            other
            for other, (u, v) in places.items()
            if other != key and (u - x) ** 2 + (v - y) ** 2 < 1.3**2
        )
        # A digit is its own capital: what it gets last, its neighbours without the shift key, counts.
        for cased, names in ((key.upper(), [o.upper() for o in others]), (key, others)):
            near[ord(cased), : len(names)], count[ord(cased)] = [ord(n) for n in names], len(names)
    return near, count


_NEAR, _COUNT = _keyboard()


@dataclasses.dataclass(frozen=True)
class CharTypos(Op):
    """Puts typing errors into texts: a key's neighbour is hit, too or instead, or two letters are swapped.

    Only ASCII letters and digits are edited; all other characters, and those of UTF-8 beyond ASCII, stay as
    they are. Words stay words: the first character of a run of letters and digits is never left out, and none
    moves out of its word, so a text and a list of its tokens get the same errors.

    Args:
      feature: strings, `[batch]`, `[batch, n]` or ragged.
      rate: the chance that a letter or digit has an error, in [0, 1]; an error that cannot be made where it
        was drawn (see above; a swap needs a next character that has no error) is not made.
      edits: which errors there are, each as likely: of "insert" (a neighbouring key after the right one),
        "delete", "replace" (by a neighbouring key) and "transpose" (with the next character); default all.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> typos = aug.ops.CharTypos("query", rate=1.0, edits=("delete",))
      >>> policy = aug.AugmentationPolicy([typos], key_features=["query"])
      >>> policy.augment({"query": tf.constant(["red dress, été"])})["query"].numpy()[0].decode()
      'r d, été'

    Reference:
      Pruthi, Dhingra and Lipton, "Combating Adversarial Misspellings with Robust Word Recognition", ACL 2019,
      section 3 (swap, drop, add, and keyboard mistakes), there one or two a sentence.
    """

    feature: str
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()
    edits: tuple[str, ...] = EDITS

    kinds: ClassVar[tuple[str, ...]] = ("bytes",)

    def __post_init__(self):
        edits = (self.edits,) if isinstance(self.edits, str) else tuple(self.edits)
        object.__setattr__(self, "edits", edits)
        super().__post_init__()
        if not edits or set(edits) - set(EDITS) or len(set(edits)) < len(edits):
            raise self.invalid("edits", f"must be some of {EDITS}, each once", edits)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        text = _Bytes(self.column(batch, self.feature))
        key = tf.cast(text.codes, tf.int32)
        editable = tf.gather(tf.constant(_COUNT > 0), key)
        # Numbers are drawn for editable characters only, and hang on their place among those of the row.
        index = tf.where(editable)[:, 0]
        by_row = tf.RaggedTensor.from_value_rowids(
            index, tf.gather(text.rows, index), nrows=text.batch, validate=False
        )
        threshold = round(self.rate * 2**32)
        bits = tf.cast(rng.bits(by_row), tf.int64)
        hit = tf.where(bits < threshold)[:, 0]
        place = tf.gather(index, hit)
        # Below the threshold the bits are as good as new ones: they choose the edit and the key.
        choice = tf.gather(bits, hit) * (_CHOICES * len(self.edits)) // max(threshold, 1)
        kinds = tf.constant([EDITS.index(edit) + 1 for edit in self.edits])
        near = tf.gather(tf.constant(_COUNT), tf.gather(key, place))
        near = choice % _CHOICES * near // _CHOICES
        keys = tf.gather(
            tf.constant(_NEAR.ravel()), tf.gather(key, place) * 8 + tf.cast(near, tf.int32)
        )

        def spread(values):
            return tf.scatter_nd(place[:, tf.newaxis], values, tf.shape(key, tf.int64))

        edit = spread(tf.gather(kinds, choice // _CHOICES))
        return {
            "edit": _possible(edit, editable, text.text),
            "key": tf.cast(spread(tf.cast(keys, tf.int32)), tf.uint8),
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        text, edit, key = _Bytes(column), params["edit"], params["key"]
        swap = tf.equal(edit, _TRANSPOSE)
        swapped = _previous(swap)
        first = tf.where(tf.equal(edit, _REPLACE), key, text.codes)
        first = tf.where(swap, _next(text.codes), first)
        first = tf.where(swapped, _previous(text.codes), first)
        inserted = tf.equal(edit, _INSERT)
        kept = tf.stack([tf.not_equal(edit, _DELETE), inserted], axis=1)
        codes = tf.boolean_mask(tf.stack([first, key], axis=1), kept)
        change = tf.cast(inserted, tf.int32) - tf.cast(tf.equal(edit, _DELETE), tf.int32)
        lengths = text.lengths + tf.math.unsorted_segment_sum(
            change, text.text, tf.size(text.lengths)
        )
        values = tf.reshape(_strings(codes, lengths), tf.shape(values_of(column)))
        return batch.replace({self.feature: with_values(column, values)})


class _Bytes:
    """The bytes of a column's strings.

    Attributes:
      codes: uint8 `[bytes]`.
      text: the string of each, int64 `[bytes]`.
      lengths: bytes of each string, int32 `[strings]`.
      rows: the row of each byte, int64 `[bytes]`.
      batch: the number of rows, int64.
    """

    def __init__(self, column: Column):
        values = tf.reshape(values_of(column), [-1])
        self.lengths = tf.strings.length(values)
        self.codes = tf.io.decode_raw(tf.strings.reduce_join(values), tf.uint8)
        size = tf.size(self.codes, tf.int64)
        # A step up at the end of each string; several at one place where strings are empty.
        ends = tf.cumsum(tf.cast(self.lengths, tf.int64))
        steps = tf.math.unsorted_segment_sum(tf.ones_like(ends), ends, size + 1)
        self.text = tf.cumsum(steps)[:-1]
        if isinstance(column, tf.RaggedTensor):
            self.batch = tf.cast(column.nrows(), tf.int64)
            self.rows = tf.gather(tf.cast(column.value_rowids(), tf.int64), self.text)
        else:
            shape = tf.shape(column, tf.int64)
            self.batch = shape[0]
            self.rows = self.text // tf.maximum(tf.reduce_prod(shape[1:]), 1)


def _strings(codes: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Bytes as strings of the given lengths, `[strings]`.

    A serialized tensor of uint8 ends in its bytes as they are: to cut strings out of it costs a tenth of what
    joining one-byte strings does.
    """
    serialized = tf.io.serialize_tensor(codes)
    start = tf.strings.length(serialized) - tf.size(codes)
    return tf.strings.substr(
        tf.reshape(serialized, [1]), start + tf.cumsum(lengths, exclusive=True), lengths
    )


def _possible(edit: tf.Tensor, editable: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
    """The edits without those that would lose a word or reach out of one."""
    joined = _next(tf.cast(editable, tf.int32)) > 0
    joined &= editable & tf.equal(_next(text), text)
    free = joined & tf.equal(_next(edit), _NONE)
    lost = tf.equal(edit, _DELETE) & ~_previous(joined)
    stuck = tf.equal(edit, _TRANSPOSE) & ~free
    return tf.where(lost | stuck, tf.zeros_like(edit), edit)


def _next(values: tf.Tensor) -> tf.Tensor:
    """For each byte what the next one has; nothing (0) for the last."""
    return tf.concat([values[1:], tf.zeros_like(values[:1])], 0)


def _previous(values: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.zeros_like(values[:1]), values[:-1]], 0)
