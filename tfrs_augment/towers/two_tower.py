"""A small two-tower retrieval model to show and to measure with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment import layers
from tfrs_augment.datasets.interactions import Column, Interactions, take_column
from tfrs_augment.errors import UnknownFeatureError, close_matches
from tfrs_augment.tasks.sampling import Shares
from tfrs_augment.towers.features import FeatureTower, ImageEncoder
from tfrs_augment.towers.images import CNN


class CorrectedTwoTower(tfrs.Model):
    """What the two-towers share: the loss of `query_model` and `candidate_model`, corrected by counts.

    Args:
      train: the interactions to learn from.
      temperature: divides the cosine of a query and an item.
    """

    query_model: tf_keras.Model
    candidate_model: tf_keras.Model

    def __init__(self, train: Interactions, *, temperature: float):
        super().__init__()
        self._item_id = train.item_id
        counts = np.bincount(train.item_index(), minlength=len(train.items[train.item_id]))
        self.task = CorrectedRetrieval(train.items[train.item_id], counts, temperature=temperature)

    def compute_loss(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the scalar loss, summed over the batch as TFRS does."""
        return self.task(
            self.query_model(features, training=training),
            self.candidate_model(features, training=training),
            candidate_ids=features[self._item_id],
            compute_metrics=not training,
        )


class TwoTower(CorrectedTwoTower):
    """A TFRS retrieval model built from interactions: user tower, item tower, in-batch softmax.

    Vocabularies, moments and sampling probabilities come from `train.rows` alone, so an item
    without a training row is unknown to the model but for its features. Sampled softmax is
    corrected for popularity (logQ), and other occurrences of the true item in a batch are not
    negatives.

    Args:
      train: the interactions to learn from.
      embedding_dim: width of the embeddings. Default: 32.
      hidden: units of the hidden layer of each tower. Default: 64.
      dropout: rate of dropout on the input of both towers, in [0, 1). Default: 0.2.
      temperature: divides the cosine of a user and an item, in (0, inf). Default: 0.1.
      min_count: how often a value of a feature must occur among the training users or items to be
        known. Default: 5.
      query_features: columns of `train.users` to use beside the id. Default: all.
      candidate_features: columns of `train.items` to use beside the id. Default: all but those
        that name the item, such as titles.
      context_features: columns of `train.rows` that a query comes with beside its user's, such as a
        device or a search query; test rows must then ask by their own columns
        (`Split.query_from="rows"`). Default: none.
      text_features: which features, of either tower, are texts. Default: none.
      item_ids: whether the item tower knows ids; without them an item is its features alone.
        Default: True.
      image_encoder: makes the layer that encodes a column of photos
        `[n, height, width, channels]`, such as `functools.partial(CNN, filters=(16, 32))`. Columns
        of embeddings `[n, dim]` need none. Default: `CNN`.

    Attributes:
      query_model: features of users to float32 `[batch, embedding_dim]` of norm 1.
      candidate_model: features of items to float32 `[batch, embedding_dim]` of norm 1.
      task: `CorrectedRetrieval`.

    Raises:
      UnknownFeatureError: a named feature is no column of the table.
      DataError: an id, or a frequent value of a column of strings, is not UTF-8.

    Example:
      >>> from tfrs_augment.datasets import simulated_shop  # doctest: +SKIP
      >>> model = TwoTower(train)  # doctest: +SKIP
      >>> model.compile("adam")  # doctest: +SKIP
      >>> model.fit(train.dataset(512, shuffle_seed=0))  # doctest: +SKIP

    Reference:
      Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations,
      RecSys 2019, section 3, with counts of the whole training set in place of a streaming
      estimate.
    """

    def __init__(
        self,
        train: Interactions,
        *,
        embedding_dim: int = 32,
        hidden: int = 64,
        dropout: float = 0.2,
        temperature: float = 0.1,
        min_count: int = 5,
        query_features: Sequence[str] | None = None,
        candidate_features: Sequence[str] | None = None,
        context_features: Sequence[str] = (),
        text_features: Sequence[str] = (),
        item_ids: bool = True,
        image_encoder: ImageEncoder = CNN,
    ):
        super().__init__(train, temperature=temperature)
        users, items = np.unique(train.user_index()), np.unique(train.item_index())
        options = {
            "embedding_dim": embedding_dim,
            "hidden": hidden,
            "dropout": dropout,
            "min_count": min_count,
            "texts": text_features,
            "image_encoder": image_encoder,
        }
        context = {
            name: known_column(train.rows, name, "context_features") for name in context_features
        }
        self.query_model = FeatureTower(
            _pick(train.users, users, train.user_id, query_features) | context,
            id_column=train.user_id,
            name="query_model",
            **options,
        )
        columns = _pick(train.items, items, train.item_id, candidate_features)
        if not item_ids:
            del columns[train.item_id]
        self.candidate_model = FeatureTower(
            columns,
            id_column=train.item_id if item_ids else None,
            name="candidate_model",
            **options,
        )


class CorrectedRetrieval(tfrs.tasks.Retrieval):
    """`tfrs.tasks.Retrieval` that looks up the sampling probability of each candidate id.

    Both the logQ correction and the removal of accidental hits then go by the `candidate_ids`, and
    by the original ones where a policy replaces ids in the features.

    Args:
      ids: bytes `[items]`, the catalogue.
      counts: `[items]`, how often each occurs in the training rows, or its share of them. TFRS clips
        the shares to 1e-6.
      temperature: as of `tfrs.tasks.Retrieval`.
    """

    def __init__(self, ids: np.ndarray, counts: np.ndarray, *, temperature: float):
        super().__init__(temperature=temperature, remove_accidental_hits=True)
        self._shares = Shares(ids, counts, "CorrectedRetrieval")

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        *,
        candidate_ids: tf.Tensor,
        candidate_sampling_probability: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
        compute_metrics: bool = True,
        score_mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the loss; arguments are those of `tfrs.tasks.Retrieval.call`.

        Probabilities that are given are used in place of those that would be looked up.
        """
        if candidate_sampling_probability is None:
            candidate_sampling_probability = self._shares.of(candidate_ids)
        return super().call(
            query_embeddings,
            candidate_embeddings,
            candidate_sampling_probability=candidate_sampling_probability,
            candidate_ids=candidate_ids,
            sample_weight=sample_weight,
            compute_metrics=compute_metrics,
            score_mask=score_mask,
        )


def mean_oov(model: TwoTower, train: Interactions | None = None) -> None:
    """Sets the embedding of unknown ids to the mean of the trained ones, in both towers.

    A control for augmentation: it gives cold items a sensible place at no cost of training, while
    the row of unknown ids, never met in training, otherwise keeps its random start. Towers without
    ids stay as they are.

    Args:
      model: a trained model; changed in place.
      train: taken so that this can be an arm's `after_fit`; the model knows its training ids.
    """
    del train
    for tower in (model.query_model, model.candidate_model):
        if tower.id_embedding is not None:
            layers.mean_oov(tower.id_embedding, tower.id_lookup)


def known_column(table: Mapping[str, Column], name: str, argument: str) -> Column:
    """A column by name.

    Raises:
      UnknownFeatureError: the table has none of that name.
    """
    if name not in table:
        raise UnknownFeatureError(
            f"`{argument}` must name columns of their table. Received: {name!r}. "
            f"{close_matches(name, table)}"
        )
    return table[name]


def _pick(
    table: Mapping[str, Column], index: np.ndarray, id_column: str, names: Sequence[str] | None
) -> dict[str, Column]:
    names = [name for name in table if name != id_column] if names is None else list(names)
    names = [id_column, *names]
    columns = [known_column(table, n, "query_features` and `candidate_features") for n in names]
    return {name: take_column(column, index) for name, column in zip(names, columns, strict=True)}
