"""Keras layers that disturb embeddings while a model trains."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from tfrs_augment.features import FeatureBatch
from tfrs_augment.layers.columns import is_training
from tfrs_augment.layers.keyed import KeyedLayer
from tfrs_augment.ops import embedding as ops
from tfrs_augment.ops.base import Op

_COLUMN = "embedding"


class _EmbeddingLayer(KeyedLayer):
    """Applies an op to a tensor of embeddings."""

    _op: Op

    @tf.autograph.experimental.do_not_convert
    def call(
        self, inputs: tf.Tensor, key: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        """See the class."""
        if not is_training(training, type(self).__name__):
            return inputs
        keys, rng = self.next_keys(tf.shape(inputs)[0], key)
        batch = FeatureBatch({_COLUMN: inputs}, keys)
        return self._op(batch, rng.fork(self._op.id))[_COLUMN]


@tf_keras.utils.register_keras_serializable(package="tfrs_augment")
class EmbeddingNoise(_EmbeddingLayer):
    """Adds noise to embeddings, in training only.

    "gaussian" adds normal numbers. "simgcl" adds a vector of norm `scale` whose numbers are drawn
    evenly from [0, 1), normalized, with the signs of the embedding's: the noisy vector stays in the
    orthant of the clean one. Two noisy embeddings of a row are the two views of SimGCL:
    `info_nce(noise(embedded), noise(embedded))`.

    Args:
      scale: of "gaussian" the standard deviation of a number, of "simgcl" the norm of the noise; at
        least 0.
      kind: "gaussian" (default) or "simgcl".
      rate: the chance that a vector gets noise, in [0, 1]. Default: 1.
      seed: of the draws. Layers of one model should have different ones. Default: 0.
      draw: the draw number of every call. Default: the count of the training calls.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      inputs: floats `[batch, ..., dim]`.
      key: ids that tell rows apart, `[batch]`. Default: the place in the batch.
      training: a Python bool. Default: as Keras has it in the calling model, False elsewhere.

    Returns:
      A tensor of the shape and type of the inputs; the inputs themselves when not training.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: the inputs are no vectors.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> layer = aug.layers.EmbeddingNoise(0.1, kind="simgcl")
      >>> noise = layer(tf.ones([2, 8]), training=True) - 1.0
      >>> bool(tf.reduce_all(noise >= 0)), [round(float(n), 4) for n in tf.norm(noise, axis=1)]
      (True, [0.1, 0.1])

    Reference:
      Yu et al., "Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for
      Recommendation", SIGIR 2022, section 3.1 ("simgcl").
    """

    def __init__(self, scale: float, *, kind: str = "gaussian", rate: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self._op = ops.EmbeddingNoise(_COLUMN, scale=scale, kind=kind, rate=rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        op = self._op
        return {**super().get_config(), "scale": op.scale, "kind": op.kind, "rate": op.rate}


@tf_keras.utils.register_keras_serializable(package="tfrs_augment")
class EmbeddingDropout(_EmbeddingLayer):
    """Sets whole embeddings to zero, in training only.

    A zero vector stands for "unknown", as for an item without a history; so what is kept is not
    scaled up, as `tf_keras.layers.Dropout` does with single numbers. Serve unknown ids as zeros
    then; where a lookup has a row for them, `aug.ops.IdDropout` trains that row instead.

    Args:
      rate: the chance that a vector is dropped, in [0, 1].
      seed: of the draws. Layers of one model should have different ones. Default: 0.
      draw: the draw number of every call. Default: the count of the training calls.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      inputs: floats `[batch, ..., dim]`; of `[batch, n, dim]` each of the n by itself.
      key: ids that tell rows apart, `[batch]`. Default: the place in the batch.
      training: a Python bool. Default: as Keras has it in the calling model, False elsewhere.

    Returns:
      A tensor of the shape and type of the inputs; the inputs themselves when not training.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: the inputs are no vectors.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> layer = aug.layers.EmbeddingDropout(0.5)
      >>> kept = layer(tf.ones([1000, 4]), training=True)
      >>> sorted(set(tf.reduce_sum(kept, axis=1).numpy().tolist()))
      [0.0, 4.0]

    Reference:
      Volkovs, Yu and Poutanen, "DropoutNet: Addressing Cold Start in Recommender Systems", NeurIPS
      2017, section 4.1.
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        self._op = ops.EmbeddingDropout(_COLUMN, rate=rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        return {**super().get_config(), "rate": self._op.rate}
