"""One tower: the columns of a user or an item in, an embedding out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import Column, Ragged
from tfrs_augment.towers.text import Trigrams

_TEXT_DIM = 16
_NUMERIC_DIM = 8
_NUMERIC_LIMIT = 3.0


class FeatureTower(tf_keras.Model):
    """Embeds each column, concatenates, and maps to a unit vector through one hidden layer.

    Reads from the dict of features those columns that it was built from and ignores the others.

    - the id: an embedding of `embedding_dim`, with one row for unknown ids;
    - strings: an embedding of 16, with one row for unknown values;
    - strings named in `texts`: the mean embedding of their character trigrams;
    - ragged strings: the mean embedding of the known values, zeros where there is none;
    - numbers: standardized by the training mean and deviation, clipped to 3 deviations and passed
      through 8 rectified units; NaN counts as the mean.

    Args:
      columns: the training users or items, one row each, and for a query also what comes with it, a
        row a training row; vocabularies and moments are theirs.
      id_column: name of the id column.
      embedding_dim: width of the id embedding and of the result.
      hidden: units of the hidden layer.
      dropout: rate of dropout on the concatenated input.
      min_count: how often a value must occur among the columns' rows to get an embedding; others
        are unknown. What occurs on one or two items is their id in disguise, and misleads where
        it occurs on a new one.
      texts: names of columns of strings that are read as texts.
      name: of the model.

    Attributes:
      id_embedding: the layer of id embeddings; row 0 stands for unknown ids.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        *,
        id_column: str,
        embedding_dim: int,
        hidden: int,
        dropout: float,
        min_count: int,
        name: str,
        texts: Sequence[str] = (),
    ):
        super().__init__(name=name)
        self._id_column = id_column
        self.id_lookup = id_lookup(np.unique(columns[id_column]))
        self.id_embedding = tf_keras.layers.Embedding(
            self.id_lookup.vocabulary_size(), embedding_dim, name="id_embedding"
        )
        self._encoders = {}
        for column_name, column in sorted(columns.items()):
            if column_name in texts:
                encoder = Trigrams(name=f"encode_{column_name}")
            else:
                encoder = encoder_of(column_name, column, min_count)
            if column_name != id_column and encoder is not None:
                self._encoders[column_name] = encoder
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._hidden = tf_keras.layers.Dense(hidden, activation="relu")
        self._output = tf_keras.layers.Dense(embedding_dim)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that the tower reads."""
        return (self._id_column, *self._encoders)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, embedding_dim]` of norm 1."""
        parts = [self.id_embedding(self.id_lookup(features[self._id_column]))]
        parts += [encoder(features[name]) for name, encoder in self._encoders.items()]
        joined = self._dropout(tf.concat(parts, axis=1), training=training)
        return tf.math.l2_normalize(self._output(self._hidden(joined)), axis=1)


class _Category(tf_keras.layers.Layer):
    def __init__(self, vocabulary: np.ndarray, name: str):
        super().__init__(name=name)
        self._lookup = id_lookup(vocabulary)
        self._embedding = tf_keras.layers.Embedding(self._lookup.vocabulary_size(), _TEXT_DIM)

    def call(self, values):
        return self._embedding(self._lookup(values))


class _CategoryBag(tf_keras.layers.Layer):
    def __init__(self, vocabulary: np.ndarray, name: str):
        super().__init__(name=name)
        self._lookup = id_lookup(vocabulary)
        self._embedding = tf_keras.layers.Embedding(self._lookup.vocabulary_size(), _TEXT_DIM)

    def call(self, values):
        index = self._lookup(values.flat_values)
        known = tf.cast(index > 0, self.compute_dtype)[:, None]
        rows, count = values.value_rowids(), values.nrows()
        total = tf.math.unsorted_segment_sum(self._embedding(index) * known, rows, count)
        return total / tf.maximum(tf.math.unsorted_segment_sum(known, rows, count), 1.0)


class _Number(tf_keras.layers.Layer):
    def __init__(self, mean: float, deviation: float, name: str):
        super().__init__(name=name)
        self._mean, self._deviation = mean, deviation
        self._units = tf_keras.layers.Dense(_NUMERIC_DIM, activation="relu")

    def call(self, values):
        standard = (tf.cast(values, tf.float32) - self._mean) / self._deviation
        # Clipped: a masked number, often 0, must not outweigh every other feature.
        standard = tf.clip_by_value(standard, -_NUMERIC_LIMIT, _NUMERIC_LIMIT)
        standard = tf.where(tf.math.is_nan(standard), 0.0, standard)
        return self._units(standard[:, None])


def encoder_of(name: str, column: Column, min_count: int) -> tf_keras.layers.Layer | None:
    """Returns the layer that encodes a column, or None if the column cannot generalize."""
    layer_name = f"encode_{name}"
    if isinstance(column, Ragged):
        if column.dtype.kind != "S":
            return None
        return _CategoryBag(_frequent(column.values, min_count), layer_name)
    if column.dtype.kind == "S":
        vocabulary = _frequent(column, min_count)
        # A title is the id in disguise: it would carry the id around any dropout of the id.
        names_rows = len(np.unique(column)) > len(column) / 2
        return None if names_rows or not len(vocabulary) else _Category(vocabulary, layer_name)
    finite = column[np.isfinite(column)]
    mean, deviation = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 1.0)
    return _Number(mean, deviation if deviation > 0 else 1.0, layer_name)


def _frequent(values: np.ndarray, min_count: int) -> np.ndarray:
    vocabulary, counts = np.unique(values, return_counts=True)
    return vocabulary[(counts >= min_count) & (vocabulary != b"") & (vocabulary != b"[UNK]")]


def id_lookup(vocabulary: np.ndarray) -> tf_keras.layers.StringLookup:
    """Returns the layer that maps bytes to their place in a vocabulary from 1; 0 is unknown."""
    return tf_keras.layers.StringLookup(vocabulary=vocabulary.astype("U"), mask_token=None)
