"""A ranking model that predicts ratings: embedded features, crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.datasets.interactions import Column, Interactions, take_column
from tfrs_augment.errors import DataError, UnknownFeatureError, close_matches
from tfrs_augment.towers.encoders import MLP
from tfrs_augment.towers.features import check_layout, encoder_of, id_lookup, lists_of


class Ranking(tfrs.Model):
    """A TFRS ranking model: the features of a user and an item in, a rating out.

    The features are embedded as in `FeatureTower`, crossed with one another by layers of DCN V2, and
    mapped to a number. Its loss is the squared error, its metric the root of the mean (RMSE).
    Vocabularies, moments and the mean rating, from which the prediction departs, come from the
    training rows alone.

    Args:
      train: the interactions to learn from.
      label: name of the float32 column of ratings. Default: "user_rating".
      features: columns of `train.rows` to use beside the two ids. Default: all but the ids, the
        label, the timestamp, and those that name an item or a user.
      embedding_dim: width of the embeddings of ids. Default: 32.
      crosses: number of cross layers. Default: 2.
      hidden: units of the hidden layer. Default: 64.
      dropout: rate of dropout on the embedded features, in [0, 1). Default: 0.2.
      min_count: how often a value of a feature must occur to be known. Default: 5.

    Attributes:
      task: `tfrs.tasks.Ranking`.

    Raises:
      DataError: there is no such column of ratings; an id, or a frequent value of a column of strings, is not
        UTF-8.
      UnknownFeatureError: a named feature is no column of the rows.

    Reference:
      Wang et al., "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale
      Learning to Rank Systems", WWW 2021, section 3: the deep part follows the cross layers
      ("stacked").
    """

    def __init__(
        self,
        train: Interactions,
        *,
        label: str = "user_rating",
        features: Sequence[str] | None = None,
        embedding_dim: int = 32,
        crosses: int = 2,
        hidden: int = 64,
        dropout: float = 0.2,
        min_count: int = 5,
    ):
        super().__init__()
        ratings = train.rows.get(label)
        if not isinstance(ratings, np.ndarray) or ratings.dtype != np.float32:
            raise DataError(
                f"`train.rows` must have a float32 column {label!r}. "
                f"{close_matches(label, train.rows)}"
            )
        self._label = label
        ids = (train.user_id, train.item_id)
        if features is None:
            features = [n for n in train.rows if n not in (*ids, label, train.timestamp)]
        self._encoders: dict[str, tf_keras.layers.Layer] = {}
        for name in ids:
            lookup = id_lookup(np.unique(train.rows[name]), name)
            table = tf_keras.layers.Embedding(lookup.vocabulary_size(), embedding_dim)
            self._encoders[name] = tf_keras.Sequential([lookup, table], name=f"encode_{name}")
        for name in features:
            if name not in train.rows:
                raise UnknownFeatureError(
                    f"`features` must name columns of the rows. Received: {name!r}. "
                    f"{close_matches(name, train.rows)}"
                )
            encoder = encoder_of(name, _of_table(train, name), min_count)
            if encoder is not None:
                self._encoders[name] = encoder
        self._lists = lists_of(train.rows)
        self._dropout = tf_keras.layers.Dropout(dropout)
        self._crosses = [tfrs.layers.dcn.Cross() for _ in range(crosses)]
        self._deep = MLP(hidden, 1)
        self._mean = float(ratings.mean())
        self.task = tfrs.tasks.Ranking(
            loss=tf_keras.losses.MeanSquaredError(),
            metrics=[tf_keras.metrics.RootMeanSquaredError(name="rmse")],
        )

    def embed(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns float32 `[batch, dim]`, the embedded features side by side, as MixUp takes them.

        Raises:
          DataError: a feature has one value a row where it had a list of them in training, or a list for one.
        """
        check_layout(features, self._encoders, self._lists)
        return tf.concat(
            [encode(features[name]) for name, encode in self._encoders.items()], axis=1
        )

    def score(self, embedded: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, 1]`, the rating, for what `embed` gives."""
        first = crossed = self._dropout(embedded, training=training)
        for cross in self._crosses:
            crossed = cross(first, crossed)
        return self._mean + self._deep(crossed, training=training)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns float32 `[batch, 1]`, the predicted rating."""
        return self.score(self.embed(features), training=training)

    def compute_loss(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the mean squared error of a batch whose features hold the label."""
        return self.task(
            labels=features[self._label][:, None],
            predictions=self(features, training=training),
        )


def _of_table(train: Interactions, name: str) -> Column:
    """Returns a feature once an item or a user with a row, where it is one of theirs."""
    for table, index in ((train.items, train.item_index), (train.users, train.user_index)):
        if name in table:
            return take_column(table[name], np.unique(index()))
    return train.rows[name]
