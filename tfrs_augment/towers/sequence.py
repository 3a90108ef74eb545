"""A two-tower retrieval model whose query is a history of items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import Interactions, Ragged, find_ids
from tfrs_augment.errors import DataError, close_matches
from tfrs_augment.towers.encoders import MLP, make_encoder
from tfrs_augment.towers.features import id_lookup
from tfrs_augment.towers.two_tower import CorrectedTwoTower

_ATTRIBUTE_DIM = 24


class SequentialTwoTower(CorrectedTwoTower):
    """A TFRS retrieval model: history tower, item tower, in-batch softmax.

    An item is the sum of its id embedding and of what a hidden layer makes of that embedding and
    the mean embedding of its attributes. Both towers share these layers, and both give unit vectors.
    The history tower adds the place from the end, normalizes, and encodes the sequence.

    What it reads, so that a policy can act on each by itself: the id of the item and its
    `attributes`; the ids of the `history`, and `history_index`, the items' places in
    `train.items`, by which their attributes are looked up. So an id that is dropped from a history
    leaves the attributes of its item there, and an item whose id is dropped keeps its attributes.
    Without the column `history_index` attributes are looked up by the ids, for serving; an op that
    takes items out of a history, or moves them, must take both columns.

    Vocabularies and sampling probabilities come from the training rows alone. Sampled softmax is
    corrected for popularity (logQ), and other occurrences of the true item in a batch are not
    negatives.

    Args:
      train: training rows with a column of histories, as `evaluation.split_histories` gives them.
      encoder: "attention", "gru", "transformer" or "mean". Default: "attention".
      embedding_dim: width of the embeddings. Default: 48.
      hidden: units of the hidden layer of an item. Default: 64.
      dropout: rate of dropout on the input of the hidden layer of items, and on the steps of a
        history, in [0, 1). Default: 0.2.
      temperature: divides the cosine of a history and an item, in (0, inf). Default: 0.1.
      max_history: places from the end with an embedding of their own; those further away share
        the last one. Default: 20.
      item_ids: whether the item tower knows ids; without them an item is its attributes alone, and
        the history tower still knows the ids. Default: True.
      attributes: name of the ragged column of items with bytes.
      history: name of the ragged column of rows with ids.
      history_index: name of the ragged column of rows with places in `train.items`.

    Attributes:
      query_model: features of rows to float32 `[batch, embedding_dim]` of norm 1.
      candidate_model: features of items to float32 `[batch, embedding_dim]` of norm 1.
      task: `CorrectedRetrieval`.

    Raises:
      DataError: a column is missing or of another kind; an id or an attribute is not UTF-8.
      InvalidArgumentError: there is no such encoder.

    Example:
      >>> from tfrs_augment.evaluation import split_histories  # doctest: +SKIP
      >>> split = split_histories(amazon_beauty(folder), fraction=0.1)  # doctest: +SKIP
      >>> model = SequentialTwoTower(split.train)  # doctest: +SKIP
      >>> model.compile(tf_keras.optimizers.legacy.Adam(2e-3))  # doctest: +SKIP
      >>> model.fit(split.train.dataset(256, shuffle_seed=0))  # doctest: +SKIP
    """

    def __init__(
        self,
        train: Interactions,
        *,
        encoder: str = "attention",
        embedding_dim: int = 48,
        hidden: int = 64,
        dropout: float = 0.2,
        temperature: float = 0.1,
        max_history: int = 20,
        item_ids: bool = True,
        attributes: str = "attributes",
        history: str = "history",
        history_index: str = "history_index",
    ):
        super().__init__(train, temperature=temperature)
        for table, name in (("items", attributes), ("rows", history)):
            column = getattr(train, table).get(name)
            if not isinstance(column, Ragged) or column.dtype.kind != "S":
                raise DataError(
                    f"`train.{table}` must have a ragged column {name!r} of bytes. "
                    f"{close_matches(name, getattr(train, table))}"
                )
        met = np.union1d(
            np.unique(train.item_index()),
            np.unique(
                find_ids(train.rows[history].values, train.items[train.item_id], "`train.items`")
            ),
        )
        items = _Items(
            id_lookup(train.items[train.item_id][met], train.item_id),
            id_lookup(np.unique(train.items[attributes].take(met).values), attributes),
            embedding_dim=embedding_dim,
            hidden=hidden,
            dropout=dropout,
        )
        self.query_model = HistoryTower(
            items,
            train.items[train.item_id],
            train.items[attributes],
            encoder=make_encoder(encoder, embedding_dim, dropout),
            dropout=dropout,
            max_history=max_history,
            columns=(history, history_index),
        )
        # An item without an id has layers of its own: those of histories take the id in.
        if item_ids:
            self.candidate_model = ItemTower(items, columns=(train.item_id, attributes))
        else:
            self.candidate_model = ContentTower(
                items, hidden=hidden, dropout=dropout, column=attributes
            )


class _Items(tf_keras.layers.Layer):
    """What both towers know of items: embeddings of ids and attributes, and the hidden layer."""

    def __init__(
        self,
        ids: tf_keras.layers.StringLookup,
        attributes: tf_keras.layers.StringLookup,
        *,
        embedding_dim: int,
        hidden: int,
        dropout: float,
    ):
        super().__init__(name="items")
        self.dim = embedding_dim
        self.id_lookup, self.attribute_lookup = ids, attributes
        self.id_embedding = tf_keras.layers.Embedding(
            self.id_lookup.vocabulary_size(), embedding_dim, name="id_embedding"
        )
        self._attribute_embedding = tf_keras.layers.Embedding(
            self.attribute_lookup.vocabulary_size(), _ATTRIBUTE_DIM, name="attribute_embedding"
        )
        self._mix = MLP(hidden, embedding_dim, dropout=dropout)

    def call(self, ids: tf.Tensor, attributes: tf.Tensor, training: bool | None = None):
        """Returns `[n, dim]` for ids bytes `[n]` and bags of attributes `[n, dim]`."""
        embedded = self.id_embedding(self.id_lookup(ids))
        return embedded + self._mix(tf.concat([embedded, attributes], axis=1), training=training)

    def bag(self, index: tf.Tensor) -> tf.Tensor:
        """Returns the mean embedding `[n, 24]` of the known attributes in int `[n, m]`; 0 is none."""
        known = tf.cast(index > 0, tf.float32)
        total = tf.einsum("nm,nmd->nd", known, self._attribute_embedding(index))
        return total / tf.maximum(tf.reduce_sum(known, axis=1, keepdims=True), 1.0)

    def bag_of(self, attributes: tf.RaggedTensor) -> tf.Tensor:
        """Returns the same for ragged bytes; a masked attribute is unknown."""
        index = attributes.with_flat_values(self.attribute_lookup(attributes.flat_values))
        return self.bag(index.to_tensor())


class _Tower(tf_keras.Model):
    """A tower that shares the items' layers with the other one.

    Attributes:
      id_lookup: the layer that maps ids to rows of the embeddings.
      id_embedding: the layer of id embeddings, of both towers; row 0 stands for unknown ids.
    """

    def __init__(self, items: _Items, name: str):
        super().__init__(name=name)
        self._items = items
        self.id_lookup, self.id_embedding = items.id_lookup, items.id_embedding


class ItemTower(_Tower):
    """The features of an item in, a unit vector out; see `SequentialTwoTower`."""

    def __init__(self, items: _Items, *, columns: tuple[str, str]):
        super().__init__(items, "candidate_model")
        self._item_id, self._attributes = columns

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, embedding_dim]` of norm 1."""
        attributes = self._items.bag_of(features[self._attributes])
        item = self._items(features[self._item_id], attributes, training=training)
        return tf.math.l2_normalize(item, axis=1)


class ContentTower(_Tower):
    """The attributes of an item in, a unit vector out: a new item is as good as an old one."""

    def __init__(self, items: _Items, *, hidden: int, dropout: float, column: str):
        super().__init__(items, "candidate_model")
        self._attributes = column
        self._mix = MLP(hidden, items.dim, dropout=dropout)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, embedding_dim]` of norm 1."""
        attributes = self._items.bag_of(features[self._attributes])
        return tf.math.l2_normalize(self._mix(attributes, training=training), axis=1)


class HistoryTower(_Tower):
    """A history in, a unit vector out; see `SequentialTwoTower`."""

    def __init__(
        self,
        items: _Items,
        ids: np.ndarray,
        attributes: Ragged,
        *,
        encoder: tf_keras.layers.Layer,
        dropout: float,
        max_history: int,
        columns: tuple[str, str],
    ):
        super().__init__(items, "query_model")
        self._history, self._history_index = columns
        self._places = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(ids), tf.range(len(ids), dtype=tf.int64)
            ),
            default_value=len(ids),
        )
        known = items.attribute_lookup(attributes.to_tf().flat_values)
        table = attributes.to_tf().with_flat_values(known).to_tensor()
        # The last row is for an item outside the catalogue, which has no attribute.
        self._attributes = tf.pad(table, [[0, 1], [0, 0]])
        self._positions = tf_keras.layers.Embedding(max_history, items.dim, name="positions")
        self._norm = tf_keras.layers.LayerNormalization()
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._encoder = encoder

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, embedding_dim]` of norm 1."""
        history = features[self._history]
        ids, lengths = history.flat_values, history.row_lengths()
        if self._history_index in features:
            places = features[self._history_index].flat_values
        else:
            places = self._places.lookup(ids)
        # On the values of all histories in a row: nothing is computed for padding.
        attributes = self._items.bag(tf.gather(self._attributes, places))
        # Dropout acts on the steps below; Keras would pass `training` on by itself.
        steps = self._items(ids, attributes, training=False)
        from_end = tf.repeat(lengths, lengths) - 1 - _place_in_row(history)
        from_end = tf.minimum(from_end, self._positions.input_dim - 1)
        steps = self._norm(steps + self._positions(from_end))
        steps = history.with_flat_values(self._dropout(steps, training=training)).to_tensor()
        # A batch of empty histories still has a step, of zeros.
        steps = tf.pad(steps, [[0, 0], [0, tf.maximum(1 - tf.shape(steps)[1], 0)], [0, 0]])
        return tf.math.l2_normalize(self._encoder(steps, lengths, training=training), axis=1)


def _place_in_row(ragged: tf.RaggedTensor) -> tf.Tensor:
    """Returns int64 `[values]`, the place of each value in its row from 0."""
    starts = tf.gather(ragged.row_starts(), ragged.value_rowids())
    return tf.range(tf.size(starts, out_type=starts.dtype)) - starts
