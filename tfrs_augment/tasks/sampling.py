"""Sampling probabilities that follow the rows that a model is trained on."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches

_ITEM_COUNTS = "item_counts.json"


class Shares:
    """The share of each item in the training rows.

    Args:
      ids: `[items]`, distinct.
      counts: `[items]`, counts or shares, none below 0 and not all 0.
      user: who asks, for messages.
      unseen: the share of an id that is none of `ids`.
    """

    def __init__(self, ids: np.ndarray, counts: Any, user: str, *, unseen: float = 0.0):
        counts = np.asarray(counts, np.float64)
        if counts.shape != ids.shape:
            raise DataError(
                f"`counts` of {user} must have one number an item. Received: shape "
                f"{counts.shape} for {len(ids)} items."
            )
        if len(np.unique(ids)) < len(ids):
            raise DataError(f"`items` of {user} must hold each id once. Received: repeated ids.")
        if not np.isfinite(counts).all() or (counts < 0).any() or not counts.any():
            raise DataError(
                f"`counts` of {user} must be finite, none below 0 and not all 0. "
                f"Received: from {counts.min()} to {counts.max()}."
            )
        with tf.init_scope():
            self._shares = tf.constant(np.append(counts / counts.sum(), unseen), tf.float32)
            keys = tf.constant(ids if ids.dtype.kind == "S" else ids.astype(np.int64))
            places = tf.range(len(ids), dtype=tf.int64)
            self._places = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(keys, places), default_value=len(ids)
            )

    def at(self, places: tf.Tensor) -> tf.Tensor:
        """float32 `[n]`, the shares of items by their places."""
        return tf.gather(self._shares, places)

    def of(self, ids: tf.Tensor) -> tf.Tensor:
        """float32 `[n]`, the shares of items by their ids."""
        ids = ids if ids.dtype == tf.string else tf.cast(ids, tf.int64)
        return self.at(self._places.lookup(ids))


class SamplingProbabilities:
    """Looks up the share that each item has of the training rows, for `candidate_sampling_probability`.

    An item that is often a positive is often a negative in the batch too, and is pushed down for
    it; `tfrs.tasks.Retrieval` takes that back by the logarithm of these shares (logQ). They must be
    those of the rows that are trained on: the Beam job writes the counts of its output, copies
    included, to item_counts.json.

    Args:
      counts: the path of an item_counts.json or of the job's output folder; or a dict from id to
        count, of feature names to such dicts where it holds several.
      feature: the feature whose ids are looked up, where there are several.

    Call arguments:
      ids: `[batch]`, strings or integers, as they were before an augmentation: a dropped id has no
        count.

    Returns:
      float32 `[batch]`, shares that sum up to 1 over the items. An id that was not counted has the
      share of a single row.

    Raises:
      DataError: the file is not there or is none of item counts; or there is nothing in it.
      UnknownFeatureError: the feature was not counted.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> probabilities = aug.tasks.SamplingProbabilities({"12": 3, "50": 1})
      >>> probabilities(tf.constant(["50", "12", "7"])).numpy().tolist()
      [0.25, 0.75, 0.25]

    Reference:
      Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
      RecSys 2019, section 3.
    """

    def __init__(self, counts: str | os.PathLike | Mapping[str, Any], feature: str | None = None):
        ids, numbers = _items(counts, feature)
        self._shares = Shares(ids, numbers, type(self).__name__, unseen=1.0 / numbers.sum())

    def __call__(self, ids: Any) -> tf.Tensor:
        """See the class."""
        ids = tf.convert_to_tensor(ids)
        # JSON has no keys but strings.
        return self._shares.of(ids if ids.dtype == tf.string else tf.strings.as_string(ids))


def sampling_probabilities(
    counts: str | os.PathLike | Mapping[str, Any], ids: Any, feature: str | None = None
) -> np.ndarray:
    """The share of each of some ids: an array, where `SamplingProbabilities` is for a model.

    Args:
      counts: see `SamplingProbabilities`.
      ids: `[n]`, strings or integers.
      feature: see `SamplingProbabilities`.

    Returns:
      float32 `[n]`.

    Example:
      >>> import tfrs_augment as aug
      >>> aug.tasks.sampling_probabilities({"12": 3, "50": 1}, ["12", "50"]).tolist()
      [0.75, 0.25]
    """
    return SamplingProbabilities(counts, feature)(ids).numpy()


def rescaled_probabilities(probabilities: Any) -> tf.Tensor:
    """Divides the sampling probabilities of a batch by their largest.

    TFRS clips them to [1e-6, 1]: expected counts, which may be above 1, and the shares of items
    that occur once in millions of rows would be changed. A common factor changes nothing: the
    softmax does not see it.

    Args:
      probabilities: `[candidates]`, positive: shares, or expected counts in a batch.

    Returns:
      float32 `[candidates]`, the largest 1.

    Example:
      >>> import tfrs_augment as aug
      >>> aug.tasks.rescaled_probabilities([4.0, 1.0]).numpy().tolist()
      [1.0, 0.25]
    """
    probabilities = tf.cast(probabilities, tf.float32)
    return probabilities / tf.reduce_max(probabilities)


def _items(counts: Any, feature: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Ids as bytes, and their counts."""
    if isinstance(counts, str | os.PathLike):
        counts = _read(pathlib.Path(counts))
    if not isinstance(counts, Mapping) or not counts:
        raise InvalidArgumentError(
            "`counts` must be a path, or a dict from id to count, not empty. "
            f"Received: a {type(counts).__name__} of {len(counts) if counts else 0}."
        )
    if isinstance(next(iter(counts.values())), Mapping):
        if feature is None and len(counts) == 1:
            feature = next(iter(counts))
        if feature not in counts:
            raise UnknownFeatureError(
                f"`feature` must be one of those that were counted. Received: feature={feature!r}. "
                f"{close_matches(str(feature), counts)}"
            )
        counts = counts[feature]
    ids = [one if isinstance(one, bytes) else str(one).encode() for one in counts]
    numbers = np.array(list(counts.values()), np.float64)
    if not len(numbers) or not np.isfinite(numbers).all() or (numbers < 0).any():
        raise DataError("`counts` must hold at least one item, and no count below 0.")
    if not numbers.any():
        raise DataError("`counts` must hold a count above 0. Received: all are 0.")
    return np.array(ids), numbers


def _read(path: pathlib.Path) -> Mapping[str, Any]:
    path = path / _ITEM_COUNTS if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"`counts` must be the path of an {_ITEM_COUNTS}, which the Beam job writes. "
            f"Received: {path}, which cannot be read as JSON: {error}."
        ) from error
