"""Reads a TensorFlow Datasets split into the columns of `Interactions`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfrs_augment.datasets import interactions


def load_columns(
    name: str,
    columns: Sequence[str] | None = None,
    *,
    split: str = "train",
    data_dir: str | os.PathLike[str] | None = None,
) -> dict[str, interactions.Column]:
    """Loads a data set by name, prepares it on disk where it is not yet, and reads it whole.

    Args:
      name: as of `tfds.load`, for example "movielens/100k-movies".
      columns: the features to read, without those that the data set does not have; None reads all.
      split: the split to read.
      data_dir: where TFDS keeps prepared data; None is its default, ~/tensorflow_datasets.

    Returns:
      `{name: column}`: text as bytes, booleans and integers as int64, floats as float32, sequences
      as `Ragged`; class labels by name, in place of their numbers.
    """
    data_dir = None if data_dir is None else os.fspath(data_dir)
    data, info = tfds.load(name, split=split, data_dir=data_dir, with_info=True)
    names = info.features if columns is None else columns
    features = {column: info.features[column] for column in names if column in info.features}
    batches = data.map(lambda row: {column: row[column] for column in features})
    parts: dict[str, list] = {column: [] for column in features}
    for batch in batches.ragged_batch(8192):
        for column, tensor in batch.items():
            parts[column].append(tensor)
    return {column: _column(tf.concat(parts[column], 0), features[column]) for column in features}


def _column(
    tensor: tf.Tensor | tf.RaggedTensor, feature: tfds.features.FeatureConnector
) -> interactions.Column:
    """Returns one feature's values as a column."""
    if isinstance(tensor, tf.RaggedTensor):
        values = _column(tensor.flat_values, feature.feature)
        return interactions.Ragged(values, tensor.row_splits.numpy().astype(np.int64))
    values = tensor.numpy()
    if isinstance(feature, tfds.features.ClassLabel):
        values = np.array([name.encode("utf-8") for name in feature.names], object)[values]
    if values.dtype == object:
        return values.astype("S")
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)
