"""An encoder of short texts, such as queries and titles."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


class Trigrams(tf_keras.layers.Layer):
    """The mean embedding of a text's character trigrams, hashed; zeros for an empty text.

    "#" stands for the ends of words: "red hat" is read as "#re", "red", "ed#", "d#h" and so on. A
    mistyped word still shares trigrams with the right one, where a vocabulary of words has nothing.

    Args:
      dim: width of the result. Default: 32.
      buckets: rows of the table. Default: 4096.

    Reference:
      Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough
      Data", CIKM 2013, section 3.2 (word hashing by letter trigrams), there one-hot and counted.
    """

    def __init__(self, dim: int = 32, buckets: int = 4096, **options):
        super().__init__(**options)
        self._buckets = buckets
        self._table = tf_keras.layers.Embedding(buckets, dim)

    def call(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns float32 `[batch, dim]` for strings `[batch]`."""
        words = tf.strings.regex_replace(tf.strings.lower(tf.strings.strip(texts)), r"\s+", "#")
        letters = tf.strings.unicode_split("#" + words + "#", "UTF-8", errors="replace")
        trigrams = tf.strings.ngrams(letters, 3, separator="")
        index = tf.strings.to_hash_bucket_fast(trigrams.flat_values, self._buckets)
        rows, count = trigrams.value_rowids(), trigrams.nrows()
        total = tf.math.unsorted_segment_sum(self._table(index), rows, count)
        lengths = tf.cast(trigrams.row_lengths(), total.dtype)[:, None]
        return tf.math.divide_no_nan(total, lengths)
