"""One tower: the columns of a user or an item in, an embedding out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import Column, Ragged
from tfrs_augment.errors import DataError
from tfrs_augment.towers.images import CNN
from tfrs_augment.towers.text import Trigrams

_TEXT_DIM = 16
_NUMERIC_DIM = 8
_VECTOR_DIM = 32
_NUMERIC_LIMIT = 3.0

ImageEncoder = Callable[[], tf_keras.layers.Layer]


class FeatureTower(tf_keras.Model):
    """Embeds each column, concatenates, and maps to a unit vector through one hidden layer.

    Reads from the dict of features those columns that it was built from and ignores the others.

    - the id: an embedding of `embedding_dim`, with one row for unknown ids;
    - strings: an embedding of 16, with one row for unknown values;
    - strings named in `texts`: the mean embedding of their character trigrams;
    - ragged strings: the mean embedding of the known values, zeros where there is none;
    - numbers: standardized by the training mean and deviation, clipped to 3 deviations and passed
      through 8 rectified units; NaN counts as the mean;
    - embeddings, floats `[n, dim]`: the same for each of their numbers, through 32 rectified units;
    - photos, uint8 or floats `[n, height, width, channels]`: what `image_encoder` makes of them.

    Args:
      columns: the training users or items, one row each, and for a query also what comes with it, a
        row a training row; vocabularies and moments are theirs.
      id_column: name of the id column, or None for a tower that knows no ids.
      embedding_dim: width of the id embedding and of the result.
      hidden: units of the hidden layer.
      dropout: rate of dropout on the concatenated input.
      min_count: how often a value must occur among the columns' rows to get an embedding; others
        are unknown. What occurs on one or two items is their id in disguise, and misleads where
        it occurs on a new one.
      texts: names of columns of strings that are read as texts.
      image_encoder: called without arguments for each column of photos, returns the layer that
        encodes it, from `[batch, height, width, channels]` to `[batch, n]`. Default: `CNN`.
      name: of the model.

    Attributes:
      id_lookup: the layer that maps ids to rows of the embeddings; None without ids.
      id_embedding: the layer of id embeddings; row 0 stands for unknown ids. None without ids.

    Raises:
      DataError: a column has a shape of another kind; an id, or a frequent value of a column of strings that
        are not read as a text, is not UTF-8.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        *,
        id_column: str | None,
        embedding_dim: int,
        hidden: int,
        dropout: float,
        min_count: int,
        name: str,
        texts: Sequence[str] = (),
        image_encoder: ImageEncoder = CNN,
    ):
        super().__init__(name=name)
        self._id_column = id_column
        self.id_lookup = self.id_embedding = None
        if id_column is not None:
            self.id_lookup = id_lookup(np.unique(columns[id_column]), id_column)
            self.id_embedding = tf_keras.layers.Embedding(
                self.id_lookup.vocabulary_size(), embedding_dim, name="id_embedding"
            )
        self._encoders = {}
        for column_name, column in sorted(columns.items()):
            if column_name in texts:
                encoder = Trigrams(name=f"encode_{column_name}")
            else:
                encoder = encoder_of(column_name, column, min_count, image_encoder)
            if column_name != id_column and encoder is not None:
                self._encoders[column_name] = encoder
        self._lists = lists_of(columns)
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._hidden = tf_keras.layers.Dense(hidden, activation="relu")
        self._output = tf_keras.layers.Dense(embedding_dim)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that the tower reads."""
        ids = () if self._id_column is None else (self._id_column,)
        return (*ids, *self._encoders)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, embedding_dim]` of norm 1.

        Raises:
          DataError: a feature has one value a row where it had a list of them in training, or a list for one.
        """
        check_layout(features, self.feature_names, self._lists)
        parts = []
        if self._id_column is not None:
            parts.append(self.id_embedding(self.id_lookup(features[self._id_column])))
        parts += [encoder(features[name]) for name, encoder in self._encoders.items()]
        joined = self._dropout(tf.concat(parts, axis=1), training=training)
        return tf.math.l2_normalize(self._output(self._hidden(joined)), axis=1)


class _Category(tf_keras.layers.Layer):
    def __init__(self, lookup: tf_keras.layers.StringLookup, name: str):
        super().__init__(name=name)
        self._lookup = lookup
        self._embedding = tf_keras.layers.Embedding(self._lookup.vocabulary_size(), _TEXT_DIM)

    def call(self, values):
        return self._embedding(self._lookup(values))


class _CategoryBag(tf_keras.layers.Layer):
    def __init__(self, lookup: tf_keras.layers.StringLookup, name: str):
        super().__init__(name=name)
        self._lookup = lookup
        self._embedding = tf_keras.layers.Embedding(self._lookup.vocabulary_size(), _TEXT_DIM)

    def call(self, values):
        index = self._lookup(values.flat_values)
        known = tf.cast(index > 0, self.compute_dtype)[:, None]
        rows, count = values.value_rowids(), values.nrows()
        total = tf.math.unsorted_segment_sum(self._embedding(index) * known, rows, count)
        return total / tf.maximum(tf.math.unsorted_segment_sum(known, rows, count), 1.0)


class _Numbers(tf_keras.layers.Layer):
    """Of one number a row, `[batch]`, or of several, `[batch, dim]`."""

    def __init__(self, column: np.ndarray, units: int, name: str):
        super().__init__(name=name)
        known, column = np.isfinite(column), column.astype(np.float64)
        count = np.maximum(known.sum(axis=0), 1)
        self._mean = np.where(known, column, 0.0).sum(axis=0) / count
        variance = np.where(known, (column - self._mean) ** 2, 0.0).sum(axis=0) / count
        self._deviation = np.where(variance > 0, np.sqrt(variance), 1.0)
        self._units = tf_keras.layers.Dense(units, activation="relu")

    def call(self, values):
        mean, deviation = (tf.constant(x, tf.float32) for x in (self._mean, self._deviation))
        standard = (tf.cast(values, tf.float32) - mean) / deviation
        # Clipped: a masked number, often 0, must not outweigh every other feature.
        standard = tf.clip_by_value(standard, -_NUMERIC_LIMIT, _NUMERIC_LIMIT)
        standard = tf.where(tf.math.is_nan(standard), 0.0, standard)
        return self._units(standard[:, None] if standard.shape.rank == 1 else standard)


def encoder_of(
    name: str, column: Column, min_count: int, image_encoder: ImageEncoder = CNN
) -> tf_keras.layers.Layer | None:
    """Returns the layer that encodes a column, or None if the column cannot generalize.

    Raises:
      DataError: numbers are neither `[n]`, `[n, dim]` nor `[n, height, width, channels]`; a frequent value of
        strings is not UTF-8.
    """
    layer_name = f"encode_{name}"
    if isinstance(column, Ragged):
        if column.dtype.kind != "S":
            return None
        return _CategoryBag(id_lookup(_frequent(column.values, min_count), name), layer_name)
    if column.dtype.kind == "S":
        vocabulary = _frequent(column, min_count)
        # A title is the id in disguise: it would carry the id around any dropout of the id.
        names_rows = len(np.unique(column)) > len(column) / 2
        if names_rows or not len(vocabulary):
            return None
        return _Category(id_lookup(vocabulary, name), layer_name)
    if column.ndim == 4:
        return image_encoder()
    if column.ndim > 2:
        raise DataError(
            "A tower takes numbers [n], embeddings [n, dim] and photos [n, height, width, channels]. "
            f"Received: '{name}' of shape {column.shape}."
        )
    return _Numbers(column, _NUMERIC_DIM if column.ndim == 1 else _VECTOR_DIM, layer_name)


def _frequent(values: np.ndarray, min_count: int) -> np.ndarray:
    vocabulary, counts = np.unique(values, return_counts=True)
    return vocabulary[(counts >= min_count) & (vocabulary != b"") & (vocabulary != b"[UNK]")]


def id_lookup(vocabulary: np.ndarray, column: str) -> tf_keras.layers.StringLookup:
    """Returns the layer that maps bytes to their place in a vocabulary from 1; 0 is unknown.

    Args:
      vocabulary: bytes `[n]`, distinct.
      column: that they are values of, for messages.

    Raises:
      DataError: one is not UTF-8.
    """
    try:
        words = np.char.decode(vocabulary, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"Column '{column}' must hold strings in UTF-8, or its vocabulary can't be kept in a model. "
            f"Received: {error.object!r}. Encode such values where they are read: `value.hex()`."
        ) from error
    return tf_keras.layers.StringLookup(vocabulary=words, mask_token=None)


def lists_of(columns: Mapping[str, Column]) -> frozenset[str]:
    """Returns the names of the columns that hold a list of values a row."""
    return frozenset(name for name, column in columns.items() if isinstance(column, Ragged))


def check_layout(
    features: Mapping[str, tf.Tensor], names: Iterable[str], lists: Collection[str]
) -> None:
    """Refuses features that are lists where a model was built from one value a row, or the other way.

    Args:
      features: a batch.
      names: the features that the model reads.
      lists: those of them that hold a list of values a row.

    Raises:
      DataError: a feature is of the other kind.
    """
    kinds = ("one value a row", "a list of values a row, ragged")
    for name in names:
        ragged = isinstance(features[name], tf.RaggedTensor)
        if ragged != (name in lists):
            raise DataError(
                f"Feature '{name}' must hold {kinds[name in lists]}, as in training. Received: "
                f"{kinds[ragged]}, of shape {features[name].shape}. In a row of plain values a list or an "
                "array is a list of values: give one value by itself, an embedding as a tensor [1, dim]."
            )
