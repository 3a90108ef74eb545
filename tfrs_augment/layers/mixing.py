"""Keras layers that mix rows of a batch, features and labels alike, while a model trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    UnknownFeatureError,
    close_matches,
)
from tfrs_augment.features import as_column
from tfrs_augment.layers.columns import columns_by_name, copied, is_training
from tfrs_augment.layers.keyed import KeyedLayer
from tfrs_augment.ops.base import select_rows
from tfrs_augment.rng import KeyedRng

_POINTS = 4096


@tf_keras.utils.register_keras_serializable(package="tfrs_augment")
class MixUp(KeyedLayer):
    """Mixes each row with another of the batch, in training only.

    With `r` drawn from Beta(alpha, alpha) for each row, and a partner drawn evenly from the batch,
    every tensor `x` becomes `r * x + (1 - r) * x[partner]`: give embeddings, or images, and labels
    together. Ids cannot be mixed, their embeddings can.

    Args:
      alpha: of the Beta distribution, in [0.01, 4]: small values leave most rows nearly as they are.
        Default: 0.2.
      seed: of the draws. Layers of one model should have different ones. Default: 0.
      draw: the draw number of every call. Default: the count of the training calls.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      inputs: a float tensor `[batch, ...]`, or a tuple, list or dict of them with one batch size;
        images `[batch, height, width, channels]` may be uint8, mixed in float32 and rounded.
      key: ids that tell rows apart, `[batch]`. Default: the place in the batch.
      training: a Python bool. Default: as Keras has it in the calling model, False elsewhere.

    Returns:
      The same structure; the inputs themselves when not training.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: a tensor is neither of floats nor uint8 images.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> rows, labels = tf.constant([[0.0], [1.0]]), tf.constant([0.0, 1.0])
      >>> mixed, mixed_labels = aug.layers.MixUp(alpha=1.0)((rows, labels), training=True)
      >>> bool(tf.reduce_all(mixed[:, 0] == mixed_labels))
      True

    Reference:
      Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2; there one
      ratio serves a batch and the partners are a permutation. Of hidden layers: Verma et al.,
      "Manifold Mixup", ICML 2019, section 2.
    """

    def __init__(self, alpha: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.alpha = check_alpha(alpha, "MixUp")

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, key: tf.Tensor | None = None, training: bool | None = None) -> Any:
        """See the class."""
        if not is_training(training, "MixUp"):
            return inputs
        tensors = tf.nest.flatten(inputs)
        for tensor in tensors:
            photos = tensor.dtype == tf.uint8 and tensor.shape.rank == 4
            if not (tensor.dtype.is_floating or photos):
                raise DataError(
                    "MixUp takes floats, and uint8 images [batch, height, width, channels]. "
                    f"Received: {tensor.dtype.name} of shape {tensor.shape}. "
                    "Cast labels with tf.cast(labels, tf.float32); embed ids first."
                )
        size = tf.shape(tensors[0])[0]
        _, rng = self.next_keys(size, key)
        ratio, partner = draw_mix(rng.fork("mixup"), size, self.alpha)
        return tf.nest.map_structure(lambda tensor: mixed(tensor, ratio, partner), inputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        return {**super().get_config(), "alpha": self.alpha}


@tf_keras.utils.register_keras_serializable(package="tfrs_augment")
class CutMix(KeyedLayer):
    """Takes some features of each row from another of the batch, and mixes the labels by their share.

    With `r` drawn from Beta(alpha, alpha) for each row, each feature comes from the partner, drawn
    evenly from the batch, with the chance `1 - r`; the label is mixed by the number of features
    that did. Values stay whole, so ids, categories and lists can take part.

    Args:
      features: at least two names of the columns that take part, of any kind and shape.
      label: the name of the label's column, floats `[batch]` or `[batch, n]`.
      alpha: of the Beta distribution, in [0.01, 4]. Default: 1, every share alike.
      seed: of the draws. Layers of one model should have different ones. Default: 0.
      draw: the draw number of every call. Default: the count of the training calls.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      inputs: a dict of columns, nested dicts too.
      key: ids that tell rows apart, `[batch]`. Default: the place in the batch.
      training: a Python bool. Default: as Keras has it in the calling model, False elsewhere.

    Returns:
      A new dict. Columns that are not named, and when not training all, are the same objects.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a named column is missing.
      DataError: the label is not of floats.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> rows = {
      ...     "genre": tf.constant(["War", "Drama"]),
      ...     "year": tf.constant([0, 1]),
      ...     "label": tf.constant([0.0, 1.0]),
      ... }
      >>> mixed = aug.layers.CutMix(("genre", "year"), label="label")(rows, training=True)
      >>> sorted(mixed)
      ['genre', 'label', 'year']

    Reference:
      Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
      Features", ICCV 2019, section 3.1, with features in place of the pixels of a box.
    """

    def __init__(self, features: Sequence[str], *, label: str, alpha: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        names = (features,) if isinstance(features, str) else tuple(features)
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise InvalidArgumentError(
                "`features` of CutMix must be at least two different names. "
                f"Received: features={features!r}."
            )
        if not isinstance(label, str) or not label or label in names:
            raise InvalidArgumentError(
                "`label` of CutMix must be the name of a column that is none of `features`. "
                f"Received: label={label!r}."
            )
        self.features, self.label, self.alpha = names, label, check_alpha(alpha, "CutMix")
        self._supports_ragged_inputs = True

    @tf.autograph.experimental.do_not_convert
    def call(
        self, inputs: Mapping[str, Any], key: tf.Tensor | None = None, training: bool | None = None
    ) -> dict[str, Any]:
        """See the class."""
        if not is_training(training, "CutMix"):
            return copied(inputs)
        columns = named_columns(inputs, (*self.features, self.label), "CutMix")
        label = float_label(self.label, columns[self.label], "CutMix")
        size = tf.shape(label)[0]
        _, rng = self.next_keys(size, key)
        rng = rng.fork("cutmix")
        ratio, partner = draw_mix(rng, size, self.alpha)
        changed, taken = {}, tf.zeros([size])
        for name in self.features:
            take = rng.uniform(stream=name) >= ratio
            column = as_column(name, columns[name])
            changed[name] = select_rows(take, tf.gather(column, partner), column)
            taken += tf.cast(take, tf.float32)
        changed[self.label] = mixed(label, 1.0 - taken / len(self.features), partner)
        return copied(inputs, changed)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        own = {"features": list(self.features), "label": self.label, "alpha": self.alpha}
        return {**super().get_config(), **own}


def named_columns(inputs: Mapping[str, Any], names: Sequence[str], user: str) -> dict[str, Any]:
    """The columns of a dict, nested dicts opened.

    Raises:
      UnknownFeatureError: one of the names is missing.
    """
    columns = columns_by_name(inputs, names)
    for name in names:
        if name not in columns:
            raise UnknownFeatureError(
                f"{user} needs feature '{name}', which is missing from the batch. "
                f"{close_matches(name, columns)}"
            )
    return columns


def float_label(name: str, column: Any, user: str) -> tf.Tensor:
    """A column as a label that can be mixed.

    Raises:
      DataError: it is ragged, or not of floats.
    """
    label = as_column(name, column)
    if isinstance(label, tf.RaggedTensor) or not label.dtype.is_floating:
        raise DataError(
            f"The label '{name}' of {user} must be dense floats. Received: {label.dtype.name}. "
            "Cast it with tf.cast(label, tf.float32), or tf.one_hot(label, classes) for classes."
        )
    return label


def draw_mix(rng: KeyedRng, size: tf.Tensor, alpha: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws a ratio and a partner for each row.

    Args:
      rng: the rows' random numbers.
      size: the number of rows, an int32 scalar.
      alpha: of the Beta distribution.

    Returns:
      float32 `[batch]` in [0, 1], and int64 `[batch]`.
    """
    partner = rng.integers(tf.maximum(tf.cast(size, tf.int64), 1), stream="partner")
    return beta(rng.uniform(stream="ratio"), alpha), partner


def mixed(tensor: tf.Tensor, ratio: tf.Tensor, partner: tf.Tensor) -> tf.Tensor:
    """`ratio * x + (1 - ratio) * x[partner]`, in the type of `x`; uint8 is rounded."""
    if tensor.dtype == tf.uint8:
        return tf.cast(tf.round(mixed(tf.cast(tensor, tf.float32), ratio, partner)), tf.uint8)
    rank = tensor.shape.rank
    share = tf.reshape(ratio, tf.concat([tf.shape(ratio), tf.ones([rank - 1], tf.int32)], 0))
    share = tf.cast(share, tensor.dtype)
    return share * tensor + (1 - share) * tf.gather(tensor, partner)


def beta(uniform: tf.Tensor, alpha: float) -> tf.Tensor:
    """Numbers of Beta(alpha, alpha) from uniform ones in [0, 1), by the inverse of its distribution."""
    # The distribution is symmetric: the lower half is tabulated.
    lower = uniform < 0.5
    table = tf.constant(_beta_table(float(alpha)), tf.float32)
    place = tf.where(lower, uniform, 1.0 - uniform) * (2.0 * _POINTS)
    index = tf.minimum(tf.cast(place, tf.int32), _POINTS - 1)
    step = place - tf.cast(index, tf.float32)
    value = tf.gather(table, index) * (1.0 - step) + tf.gather(table, index + 1) * step
    half = tf.sin(value ** (0.5 / alpha)) ** 2
    return tf.where(lower, half, 1.0 - half)


@functools.lru_cache(maxsize=16)
def _beta_table(alpha: float) -> np.ndarray:
    """Quantiles 0 to 1/2 of Beta(alpha, alpha): not `x` but `t = arcsin(sqrt(x)) ** (2 alpha)`.

    In `t` the density has no pole at 0, and so the quantiles can be interpolated.
    """
    top = (math.pi / 4) ** (2 * alpha)
    grid = np.linspace(0, top, 16 * _POINTS + 1)
    angle = grid ** (0.5 / alpha)
    with np.errstate(invalid="ignore"):
        relative = np.where(angle > 0, np.sin(2 * angle) / (2 * angle), 1.0)
    density = relative ** (2 * alpha - 1)
    sums = np.concatenate([[0], np.cumsum(np.diff(grid) * (density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(0, 1, _POINTS + 1), sums / sums[-1], grid)


def check_alpha(alpha: float, user: str) -> float:
    """Checks the parameter of a Beta distribution, and returns it."""
    number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not number or not 0.01 <= alpha <= 4:
        raise InvalidArgumentError(
            f"`alpha` of {user} must be a number in [0.01, 4]. Received: alpha={alpha!r}."
        )
    return alpha
