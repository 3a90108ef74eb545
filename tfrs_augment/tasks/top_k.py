"""A metric of retrieval in which equal scores are no hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.errors import InvalidArgumentError

_TOLERANCE = 1e-6


class TieAwareTopK(tfrs.metrics.Factorized):
    """How often the true candidate is among the best `k` of all, over random orders of ties.

    A drop-in for `tfrs.metrics.FactorizedTopK`, which by score counts every tie as a hit: a tower
    that embeds all candidates alike has 100 % there, and here `k` of the number of candidates.
    Scores that differ by rounding alone tie: by at most 1e-6 of the product of the norms.

    Args:
      candidates: a dataset of batches of embeddings `[batch, dim]`, or of pairs (ids, embeddings);
        or a `Streaming` or `BruteForce` layer of `tfrs.layers.factorized_top_k` that is indexed.
        It must hold the true candidates.
      ks: the lengths of the list shown, each at least 1; they may be above the number of candidates.
      name: of the metric, to which TFRS's names are added, as "/top_5_categorical_accuracy".

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> import tensorflow as tf
      >>> import tensorflow_recommenders as tfrs
      >>> import tfrs_augment as aug
      >>> corpus = tf.data.Dataset.from_tensor_slices(tf.ones([100, 4])).batch(32)
      >>> task = tfrs.tasks.Retrieval(metrics=aug.tasks.TieAwareTopK(corpus, ks=(5,)))
      >>> _ = task(tf.ones([8, 4]), tf.ones([8, 4]))
      >>> [round(float(m.result()), 4) for m in task.metrics]
      [0.05]
    """

    def __init__(
        self,
        candidates: Any,
        ks: Sequence[int] = (1, 5, 10, 50, 100),
        name: str = "factorized_top_k",
    ):
        super().__init__(name=name)
        self._ks = tuple(ks)
        if not self._ks or not all(isinstance(k, int) and k >= 1 for k in self._ks):
            raise InvalidArgumentError(
                f"`ks` of TieAwareTopK must be integers of at least 1. Received: ks={ks!r}."
            )
        self._corpus = candidates
        _batches(candidates)
        self._recalls = [
            tf_keras.metrics.Mean(name=f"{self.name}/top_{k}_categorical_accuracy")
            for k in self._ks
        ]

    @tf.autograph.experimental.do_not_convert
    def update_state(
        self,
        query_embeddings: tf.Tensor,
        true_candidate_embeddings: tf.Tensor,
        true_candidate_ids: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Counts a batch.

        Args:
          query_embeddings: `[batch, dim]`.
          true_candidate_embeddings: `[batch, dim]`.
          true_candidate_ids: `[batch]`. With them a candidate of the same id is the true one; those
            of `candidates` must be of the same type. Without them, or where `candidates` has none,
            one candidate that ties with the true one is taken for it.
          sample_weight: `[batch]`.

        Returns:
          An operation, for graphs.
        """
        queries = tf.cast(query_embeddings, tf.float32)
        true = tf.cast(true_candidate_embeddings, tf.float32)
        scores = tf.reduce_sum(queries * true, axis=1, keepdims=True)
        norms = [tf.norm(one, axis=1, keepdims=True) for one in (queries, true)]
        dataset = _batches(self._corpus)
        has_ids = isinstance(dataset.element_spec, tuple)
        ids = None
        if has_ids and true_candidate_ids is not None:
            # TFRS hands on those of extra negatives too.
            ids = tf.reshape(true_candidate_ids, [-1])[: tf.shape(queries)[0], tf.newaxis]

        def count(state, batch):
            identifiers, embeddings = batch if has_ids else (None, batch)
            embeddings = tf.cast(embeddings, tf.float32)
            others = tf.matmul(queries, embeddings, transpose_b=True)
            largest = tf.maximum(tf.norm(embeddings, axis=1)[tf.newaxis], norms[1])
            slack = _TOLERANCE * norms[0] * largest
            above, near = others > scores + slack, tf.abs(others - scores) <= slack
            if ids is not None:
                other = ids != identifiers[tf.newaxis]
                above, near = above & other, near & other
            sums = [tf.reduce_sum(tf.cast(one, tf.float32), axis=1) for one in (above, near)]
            return state[0] + sums[0], state[1] + sums[1]

        zeros = tf.zeros([tf.shape(queries)[0]])
        greater, ties = dataset.reduce((zeros, zeros), count)
        if ids is None:
            ties = tf.maximum(ties - 1.0, 0.0)
        updates = []
        for k, recall in zip(self._ks, self._recalls):
            hits = tf.clip_by_value((float(k) - greater) / (ties + 1.0), 0.0, 1.0)
            updates.append(recall.update_state(hits, sample_weight))
        return tf.group(updates)


def _batches(candidates: Any) -> tf.data.Dataset:
    """The dataset of batches of candidates."""
    if isinstance(candidates, tf.data.Dataset):
        return candidates
    layers = tfrs.layers.factorized_top_k
    known = getattr(candidates, "_candidates", None)
    if isinstance(candidates, layers.Streaming) and known is not None:
        return known
    if isinstance(candidates, layers.BruteForce) and known is not None:
        return tf.data.Dataset.from_tensors((candidates._identifiers, known))
    raise InvalidArgumentError(
        "`candidates` of TieAwareTopK must be a dataset of batches of embeddings, or a Streaming or "
        f"BruteForce layer that is indexed: ties need exact scores. Received: {candidates!r}."
    )
