"""Negatives that a query scores nearly as high as its positive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment.errors import DataError
from tfrs_augment.layers.auxiliary import Function
from tfrs_augment.layers.columns import is_training as is_training_call
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.tasks.negatives import CorpusNegatives, Drawn, beside


class HardNegatives(CorpusNegatives):
    """Adds to each query the hardest negatives of a pool drawn evenly from the catalogue.

    An item that scores above the query's positive is likely one that the user would choose too: it
    is left out, and of the others the `count` with the highest scores are negatives of the query.
    They are the semi-hard negatives of the pool; no others of the pool count.

    In `wrap(model, policy, tasks=[...])` the call of the model's `tfrs.tasks.Retrieval` gets the
    pool as more candidates and a `score_mask` that leaves each query its own. The whole pool is
    embedded at every step, which is what this costs. A task with `num_hard_negatives` chooses
    among the batch and these together.

    Args:
      tower: see `MixedNegatives`.
      items: see `MixedNegatives`.
      pool: how many to draw a step, at least 1; with replacement.
      count: how many of them a query gets at most, at least 1.
      margin: a drawn item is left out where its score is above the positive's by more than this,
        in the unit of the inner product, before any temperature. Default: 0.
      ids: see `MixedNegatives`.
      counts: see `MixedNegatives`. The probabilities are those of the pool: what the choice among
        it does to them is not corrected.
      policy: see `MixedNegatives`.
      retrieval: see `MixedNegatives`.
      seed: of what is drawn, in [0, 2**63). Default: 0.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      model, features: see `MixedNegatives`.
      queries: float `[batch, dim]`.
      candidates, ids, probabilities, draw, training: see `MixedNegatives`.

    Returns:
      Embeddings `[batch + pool, dim]`, ids `[batch + pool]`, probabilities `[batch + pool]` or
      None, and the bool `score_mask` `[batch, batch + pool]` for the task, or None without
      training.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> negatives = aug.tasks.HardNegatives(
      ...     lambda model, features: tf.one_hot(features["movie_id"], 3),
      ...     {"movie_id": tf.constant([0, 1, 2])}, pool=6, count=1, ids="movie_id",
      ... )
      >>> own = tf.one_hot([0, 1], 3)
      >>> found = negatives(None, {"movie_id": tf.constant([0, 1])}, own, own)
      >>> found[3].shape
      TensorShape([2, 8])

    Reference:
      Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, section 3.2 (semi-hard negatives),
      there chosen within the batch.
    """

    def __init__(
        self,
        tower: Function,
        items: Mapping[str, Any],
        pool: int,
        count: int,
        *,
        ids: str,
        margin: float = 0.0,
        counts: Any = None,
        policy: AugmentationPolicy | None = None,
        retrieval: Callable[[Any], tfrs.tasks.Retrieval] | None = None,
        seed: int = 0,
        **kwargs,
    ):
        self._check_count(pool=pool, count=count)
        if not isinstance(margin, int | float) or not math.isfinite(margin):
            raise self._invalid("margin", "must be a finite number", margin)
        super().__init__(
            tower,
            items,
            drawn=pool,
            ids=ids,
            counts=counts,
            policy=policy,
            retrieval=retrieval,
            seed=seed,
            **kwargs,
        )
        self.count, self.margin = count, margin

    @tf.autograph.experimental.do_not_convert
    def call(
        self,
        model: Any,
        features: Mapping[str, Any],
        queries: tf.Tensor,
        candidates: tf.Tensor,
        ids: tf.Tensor | None = None,
        probabilities: tf.Tensor | None = None,
        draw: int | tf.Tensor | None = None,
        training: bool = True,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
        """See the class."""
        ids = self._ids_of(features, ids)
        if not is_training_call(training, type(self).__name__):
            return candidates, ids, probabilities, None
        drawn = self._draw(model, features, self._draw_number(draw), self._policy)
        mask = beside(None, ids, self._mask(drawn, queries, candidates, ids, False))
        return (*self._joined(drawn, candidates, ids, probabilities), mask)

    def _mask(self, drawn: Drawn, queries, candidates, ids, removes_hits):
        queries = tf.cast(queries, tf.float32)
        if queries.shape.rank != 2:
            raise DataError(
                "HardNegatives takes one embedding a query, [batch, dim]. "
                f"Received: shape {queries.shape}."
            )
        scores = tf.matmul(queries, drawn.embeddings, transpose_b=True)
        positive = tf.reduce_sum(queries * tf.cast(candidates, tf.float32), axis=1, keepdims=True)
        allowed = (scores <= positive + self.margin) & (ids[:, tf.newaxis] != drawn.ids[tf.newaxis])
        scores = tf.where(allowed, scores, -math.inf)
        best = tf.math.top_k(scores, k=min(self.count, self._drawn)).values
        return allowed & (scores >= best[:, -1:])
