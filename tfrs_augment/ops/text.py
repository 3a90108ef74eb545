"""Ops on the words of texts: queries, titles, and lists of tokens."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, select_rows
from tfrs_augment.ops.popularity import find
from tfrs_augment.rng import Column, KeyedRng

Word = str | int
Synonyms = tuple[tuple[Word, tuple[Word, ...]], ...]


@dataclasses.dataclass(frozen=True)
class TextOp(Op, abstract=True):
    """What ops on words share: how a feature holds its texts.

    Args:
      feature: the texts, `[batch]`, `[batch, n]` or ragged.
      tokenized: False where each value is a text, whose words are what white space separates (as
        `tf.strings.split` has it); a text that changes is joined by single spaces. True where a row is one
        text and its values are the tokens: strings or integer ids.
      pad_value: with `tokenized`, the token that pads rows. It is no word; rows keep their width, and the
        padding of a row that changes goes to its end. By default there is none.
    """

    feature: str
    _: dataclasses.KW_ONLY
    tokenized: bool = False
    pad_value: Word | None = None

    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.tokenized, bool):
            raise self.invalid("tokenized", "must be True or False", self.tokenized)
        if self.pad_value is not None:
            if not isinstance(self.pad_value, Word):
                raise self.invalid("pad_value", "must be a string or an integer", self.pad_value)
            if not self.tokenized:
                raise self.invalid("pad_value", "goes with tokenized=True", self.pad_value)


class Words:
    """The words of a column's texts.

    Attributes:
      flat: the words, `[words]`.
      text: the text of each word, int64 `[words]`; `count` texts in all.
      position: its place in its text, int64 `[words]`.
      lengths: how many words each text has, int64 `[count]`.
      by_row: the words of each row, ragged `[batch, None]`: what draws hang on.
    """

    def __init__(self, op: TextOp, batch: FeatureBatch):
        self._op, self._column = op, op.column(batch, op.feature)
        column = self._column
        if op.tokenized:
            self._texts = self.by_row = self._tokens()
        elif column.dtype != tf.string:
            raise DataError(
                f"{op} takes texts. Received: '{op.feature}' of type {column.dtype.name}; "
                "ids of tokens need tokenized=True."
            )
        else:
            self._texts = tf.strings.split(tf.reshape(values_of(column), [-1]))
            self.by_row = self._texts
            if not _is_single(column):
                splits = tf.gather(self._texts.row_splits, _row_splits(column))
                self.by_row = _ragged(self._texts.flat_values, splits)
        self.flat, self.text = self._texts.flat_values, self._texts.value_rowids()
        self.lengths = self._texts.row_lengths()
        self.count = tf.size(self.lengths)
        places = tf.range(tf.size(self.text, tf.int64))
        self.position = places - tf.gather(self._texts.row_starts(), self.text)

    def _tokens(self) -> tf.RaggedTensor:
        values = tf.reshape(values_of(self._column), [-1])
        tokens = _ragged(values, _row_splits(self._column))
        if self._op.pad_value is None:
            return tokens
        if isinstance(self._op.pad_value, str) != (values.dtype == tf.string):
            raise self._op.invalid(
                "pad_value", f"must fit a {values.dtype.name} feature", self._op.pad_value
            )
        index = tf.where(tf.not_equal(values, tf.constant(self._op.pad_value, values.dtype)))[:, 0]
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(values, index),
            tf.gather(tokens.value_rowids(), index),
            nrows=tokens.nrows(),
            validate=False,
        )

    def of_texts(self, rng: KeyedRng, high: int, stream: int) -> tf.Tensor:
        """An integer in [0, high) for each text: int64 `[count]`."""
        like = None if self._op.tokenized else self._column
        return tf.reshape(rng.integers(high, like, stream=stream), [-1])

    def any_of(self, words: tf.Tensor) -> tf.Tensor:
        """Whether any word of a text is marked: bool `[words]` to bool `[count]`."""
        return tf.math.unsorted_segment_sum(tf.cast(words, tf.int32), self.text, self.count) > 0

    def put_back(self, flat: tf.Tensor, text: tf.Tensor, changed: tf.Tensor) -> Column:
        """The column with other words in the texts that changed.

        Args:
          flat: the words of all texts.
          text: the text of each, int64, ascending.
          changed: bool `[count]`.
        """
        column = self._column
        new = tf.RaggedTensor.from_value_rowids(
            flat, text, nrows=tf.cast(self.count, tf.int64), validate=False
        )
        if not self._op.tokenized:
            joined = tf.strings.reduce_join(new, axis=-1, separator=" ")
            old = values_of(column)
            result = tf.where(
                tf.reshape(changed, tf.shape(old)), tf.reshape(joined, tf.shape(old)), old
            )
            return with_values(column, result)
        if self._op.pad_value is not None:
            splits = _row_splits(column)
            padding = splits[1:] - splits[:-1] - new.row_lengths()
            pads = tf.fill([tf.reduce_sum(padding)], tf.constant(self._op.pad_value, column.dtype))
            new = tf.concat(
                [new, tf.RaggedTensor.from_row_lengths(pads, padding, validate=False)], 1
            )
        if isinstance(column, tf.RaggedTensor):
            new = new.with_row_splits_dtype(column.row_splits.dtype)
        else:
            new = tf.reshape(new.flat_values, tf.shape(column))
        return select_rows(changed, new, column)


def _is_single(column: Column) -> bool:
    return not isinstance(column, tf.RaggedTensor) and column.shape.rank == 1


def _row_splits(column: Column) -> tf.Tensor:
    """Where the rows of a column begin and end among its values: int64 `[batch + 1]`."""
    if isinstance(column, tf.RaggedTensor):
        return tf.cast(column.row_splits, tf.int64)
    shape = tf.shape(column, tf.int64)
    return tf.range(shape[0] + 1) * tf.reduce_prod(shape[1:])


def _ragged(values: tf.Tensor, row_splits: tf.Tensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)


@dataclasses.dataclass(frozen=True)
class TokenDropout(TextOp):
    """Leaves out words of a text, each by itself.

    A text that has words keeps at least one: the one that was the furthest from being left out.

    Args:
      feature: texts, `[batch]`, `[batch, n]` or ragged; or tokens, with `tokenized`.
      rate: the chance that a word is left out, in [0, 1].
      tokenized: whether each value is a token and each row a text; default: each value is a text.
      pad_value: the token that pads rows; dense rows of tokens `[batch, n]` need one to keep their width.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.TokenDropout("query", rate=1.0)], key_features=["query"])
      >>> kept = policy.augment({"query": tf.constant(["red summer dress"])})["query"].numpy()[0]
      >>> kept in (b"red", b"summer", b"dress")
      True

    Reference:
      Wei and Zou, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
      Tasks", EMNLP 2019, section 2 (random deletion).
    """

    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        words = Words(self, batch)
        uniform = rng.uniform(words.by_row)
        highest = tf.math.unsorted_segment_max(uniform, words.text, words.count)
        return {"keep": (uniform >= self.rate) | (uniform >= tf.gather(highest, words.text))}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        words, column = Words(self, batch), self.column(batch, self.feature)
        dense = not isinstance(column, tf.RaggedTensor) and column.shape.rank > 1
        if self.tokenized and dense and self.pad_value is None:
            rule = "is needed for dense rows of tokens, which keep their width; or pass them ragged"
            raise self.invalid("pad_value", rule, None)
        index = tf.where(params["keep"])[:, 0]
        flat, text = tf.gather(words.flat, index), tf.gather(words.text, index)
        return batch.replace(
            {self.feature: words.put_back(flat, text, words.any_of(~params["keep"]))}
        )


@dataclasses.dataclass(frozen=True)
class TokenSwap(TextOp):
    """Swaps neighbouring words.

    The words of a text are paired with a neighbour, from the first or the second word on as a draw has it,
    and each pair is swapped by itself: no word moves further than one place.

    Args:
      feature: texts, `[batch]`, `[batch, n]` or ragged; or tokens, with `tokenized`.
      rate: the chance that a pair is swapped, in [0, 1].
      tokenized: whether each value is a token and each row a text; default: each value is a text.
      pad_value: the token that pads rows, and is no word.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.TokenSwap("query", rate=1.0)], key_features=["query"])
      >>> policy.augment({"query": tf.constant(["red dress"])})["query"].numpy().tolist()
      [b'dress red']

    Reference:
      Wei and Zou, EMNLP 2019, section 2 (random swap); there any two words swap, here neighbours.
    """

    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        words = Words(self, batch)
        # Two words have one pair only.
        second = tf.where(words.lengths == 2, tf.constant(0, tf.int64), words.of_texts(rng, 2, 1))
        place = words.position - tf.gather(second, words.text)
        first = (place >= 0) & (place % 2 == 0)
        first &= words.position + 1 < tf.gather(words.lengths, words.text)
        swap = tf.cast(first & (rng.uniform(words.by_row) < self.rate), tf.int64)
        return {"shift": swap - tf.concat([tf.zeros_like(swap[:1]), swap[:-1]], 0)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        words, shift = Words(self, batch), params["shift"]
        flat = tf.gather(words.flat, tf.range(tf.size(shift, tf.int64)) + shift)
        new = words.put_back(flat, words.text, words.any_of(tf.not_equal(shift, 0)))
        return batch.replace({self.feature: new})


@dataclasses.dataclass(frozen=True)
class SynonymReplace(TextOp):
    """Replaces words by synonyms from a table.

    Args:
      feature: texts, `[batch]`, `[batch, n]` or ragged; or tokens, with `tokenized`.
      table: word to its synonyms; or the path of a JSON file with such an object. Words are compared as they
        are written, with their case. Ids of tokens have tables of integers. The table, not the path, becomes
        part of the policy. `aug.text.synonyms_from_embeddings` makes one from vectors.
      rate: the chance that a word that has synonyms is replaced by one of them, each as likely, in [0, 1].
      tokenized: whether each value is a token and each row a text; default: each value is a text.
      pad_value: the token that pads rows, and is no word.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> op = aug.ops.SynonymReplace("query", {"dress": ["gown"]}, rate=1.0)
      >>> policy = aug.AugmentationPolicy([op], key_features=["query"])
      >>> policy.augment({"query": tf.constant(["red dress"])})["query"].numpy().tolist()
      [b'red gown']

    Reference:
      Wei and Zou, EMNLP 2019, section 2 (synonym replacement), there of a fixed number of words by WordNet.
    """

    table: Synonyms | Mapping[Word, tuple[Word, ...]] | str
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()

    def __post_init__(self):
        object.__setattr__(self, "table", self._normal(self.table))
        super().__post_init__()

    def _normal(self, table: Any) -> Synonyms:
        if isinstance(table, str | pathlib.Path):
            try:
                with tf.io.gfile.GFile(str(table), "r") as file:
                    table = json.loads(file.read())
            except (tf.errors.OpError, ValueError) as error:
                raise DataError(
                    f"The table of synonyms '{table}' cannot be read: {error}"
                ) from error
        pairs = table.items() if isinstance(table, Mapping) else table
        rule = "must map words to lists of words"
        try:
            normal = tuple(
                sorted(
                    (word, (found,) if isinstance(found, Word) else tuple(found))
                    for word, found in pairs
                )
            )
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(f"`table` {rule}. Received: table={table!r}.") from error
        words = [word for key, found in normal for word in (key, *found)]
        if not words or len({type(word) for word in words}) > 1 or not isinstance(words[0], Word):
            raise InvalidArgumentError(f"`table` {rule}, all strings or all integers.")
        if len({key for key, _ in normal}) < len(normal) or not all(found for _, found in normal):
            raise InvalidArgumentError("`table` must give each word once, with a synonym.")
        spaced = [key for key, _ in normal if isinstance(key, str) and key.split() != [key]]
        if spaced or "" in words:
            raise InvalidArgumentError(
                "`table` must be of single words, and no synonym may be empty. "
                f"Received: {(spaced or [''])[0]!r}."
            )
        return normal

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        words = Words(self, batch)
        keys = [key for key, _ in self.table]
        if isinstance(keys[0], str) != (words.flat.dtype == tf.string):
            raise self.invalid("table", f"must fit a {words.flat.dtype.name} feature", keys[0])
        names = [key.encode() for key in keys] if isinstance(keys[0], str) else keys
        entry = find(names, words.flat)
        counts = tf.constant([*(len(found) for _, found in self.table), 0], tf.int64)
        count = tf.gather(counts, entry)
        start = tf.gather(tf.cumsum(counts, exclusive=True), entry)
        drawn = rng.integers(tf.maximum(count, 1), words.by_row, stream=1)
        replace = (count > 0) & (rng.uniform(words.by_row) < self.rate)
        return {"replace": replace, "synonym": tf.where(replace, start + drawn, -1)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        words, replace = Words(self, batch), params["replace"]
        synonyms = tf.constant(
            [word for _, found in self.table for word in found], words.flat.dtype
        )
        new = tf.where(replace, tf.gather(synonyms, tf.maximum(params["synonym"], 0)), words.flat)
        return batch.replace({self.feature: words.put_back(new, words.text, words.any_of(replace))})
