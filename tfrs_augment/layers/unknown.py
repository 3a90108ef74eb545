"""The embedding of ids that a model has not met in training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import DataError, InvalidArgumentError

_LOOKUPS = (tf_keras.layers.StringLookup, tf_keras.layers.IntegerLookup)


def mean_oov(
    model: tf.Module | tf.Variable,
    lookup: tf_keras.layers.Layer | None = None,
    *,
    trained: Iterable[Any] | None = None,
) -> None:
    """Sets the embedding of unknown ids to the mean of the trained ones.

    The row for ids that are out of the vocabulary is never met in training, unless ids are dropped
    to it (`aug.ops.IdDropout`): it keeps its random start, and new items are scored by noise. Their
    mean is what is known of an item that nothing is known of. It costs no training, so it is the
    control for whatever claims to help new items. Run it after `fit`, and compute embeddings of
    candidates anew.

    Args:
      model: an embedding layer, its table as a variable, or a model with one lookup and one
        embedding in it, such as the towers of TFRS's tutorials. Changed in place.
      lookup: the `StringLookup` or `IntegerLookup` in front of the embedding. Default: that of the
        model.
      trained: the ids that have training rows; those of the vocabulary that have none are set to
        the mean too. Default: the whole vocabulary counts as trained.

    Raises:
      InvalidArgumentError: the lookup or the embedding is missing, several, or the lookup has no
        row for unknown ids.
      DataError: the table is shorter than the vocabulary, or no id is trained.

    Example:
      >>> import numpy as np
      >>> import tensorflow as tf
      >>> import tf_keras
      >>> import tfrs_augment as aug
      >>> lookup = tf_keras.layers.StringLookup(vocabulary=["a", "b"], mask_token=None)
      >>> tower = tf_keras.Sequential([lookup, tf_keras.layers.Embedding(3, 1)])
      >>> _ = tower(tf.constant(["a"]))
      >>> tower.layers[1].set_weights([np.array([[9.0], [1.0], [3.0]])])
      >>> aug.layers.mean_oov(tower)
      >>> tower(tf.constant(["new"])).numpy().tolist()
      [[2.0]]
    """
    embedding = _only(model, (tf_keras.layers.Embedding,), "an Embedding", "model")
    lookup = _only(
        model if lookup is None else lookup, _LOOKUPS, "a StringLookup or IntegerLookup", "lookup"
    )
    table = embedding if isinstance(embedding, tf.Variable) else embedding.embeddings
    first = 0 if lookup.mask_token is None else 1
    unknown = np.arange(first, first + lookup.num_oov_indices)
    vocabulary = np.asarray(lookup.get_vocabulary(include_special_tokens=False))
    known = first + lookup.num_oov_indices + np.arange(len(vocabulary))
    if not lookup.num_oov_indices:
        raise InvalidArgumentError(
            "`lookup` must have a row for unknown ids. Received: num_oov_indices=0. Build it with "
            "num_oov_indices=1."
        )
    if table.shape[0] <= known.max(initial=0):
        raise DataError(
            "The embedding must have a row for every index of the lookup. Received: "
            f"{table.shape[0]} rows for a vocabulary of {lookup.vocabulary_size()}."
        )
    met = np.ones(len(known), bool)
    if trained is not None:
        ids = np.asarray([one.decode() if isinstance(one, bytes) else one for one in trained])
        met = np.isin(vocabulary, ids)
    if not met.any():
        raise DataError(
            "`trained` must hold ids of the lookup's vocabulary. Received: none of "
            f"{len(vocabulary)}, which begins with {vocabulary[:3].tolist()}."
        )
    mean = tf.reduce_mean(tf.gather(table, known[met]), axis=0, keepdims=True)
    places = np.concatenate([unknown, known[~met]])
    table.assign(
        tf.tensor_scatter_nd_update(
            tf.convert_to_tensor(table), places[:, None], tf.repeat(mean, len(places), axis=0)
        )
    )


def _only(part: Any, kinds: tuple[type, ...], what: str, argument: str) -> Any:
    """A part of a model that is there once, or the part itself."""
    if isinstance(part, (*kinds, tf.Variable)):
        found = [part]
    elif isinstance(part, tf.Module):
        found = [one for one in part.submodules if isinstance(one, kinds)]
    else:
        found = []
    built = [one for one in found if isinstance(one, (*_LOOKUPS, tf.Variable)) or one.built]
    if len(found) != 1 or len(built) != 1:
        raise InvalidArgumentError(
            f"`{argument}` of mean_oov must be {what} that has been called, or a model with one. "
            f"Received: {type(part).__name__} with {len(found)}, {len(built)} of them built. Pass "
            "the embedding and its lookup: mean_oov(model.tower.embedding, model.tower.lookup)."
        )
    return found[0]
