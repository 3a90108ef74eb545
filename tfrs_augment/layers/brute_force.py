"""Exact retrieval that may be asked for more than there is."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_recommenders as tfrs


class BruteForce(tfrs.layers.factorized_top_k.BruteForce):
    """`tfrs.layers.factorized_top_k.BruteForce` that returns all candidates where `k` is above their number.

    That of TFRS fails in `tf.math.top_k`, and so does its `query_with_exclusions` wherever `k` and
    the exclusions together are above the number of candidates. All else is as there.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> index = aug.layers.BruteForce(k=100).index(tf.eye(3), tf.constant(["a", "b", "c"]))
      >>> scores, ids = index(tf.constant([[0.0, 1.0, 0.5]]))
      >>> ids.numpy().tolist()
      [[b'b', b'c', b'a']]
    """

    def call(
        self, queries: tf.Tensor | dict[str, tf.Tensor], k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and identifiers, `[batch, min(k, candidates)]` each, the best first."""
        k = self._k if k is None else k
        if self._candidates is not None:
            k = tf.minimum(k, self._candidates.shape[0])
        return super().call(queries, k=k)
