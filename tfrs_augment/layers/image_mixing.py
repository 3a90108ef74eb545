"""A Keras layer that mixes boxes of images of a batch, and their labels, while a model trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.features import as_column
from tfrs_augment.layers.columns import copied, is_training
from tfrs_augment.layers.keyed import KeyedLayer
from tfrs_augment.layers.mixing import check_alpha, draw_mix, float_label, mixed, named_columns
from tfrs_augment.ops.image.base import check_images, size_of
from tfrs_augment.ops.image.erasing import in_boxes


@tf_keras.utils.register_keras_serializable(package="tfrs_augment")
class ImageCutMix(KeyedLayer):
    """Pastes a box of another image of the batch into each, and mixes the labels by area.

    With `r` drawn from Beta(alpha, alpha) for each row, a box of the image's shape and of the share
    `1 - r` of its area is taken from the partner, drawn evenly from the batch. Its centre is drawn
    evenly from the image, and what lies outside is cut off; the label is mixed by the area that is
    left. Pixels stay as they are, whatever their type and range.

    Args:
      feature: the name of the images' column, uint8 or floats `[batch, height, width, channels]`.
      label: the name of the label's column, floats `[batch]` or `[batch, n]`, such as a one-hot
        class.
      alpha: of the Beta distribution, in [0.01, 4]. Default: 1, every share alike.
      seed: of the draws. Layers of one model should have different ones. Default: 0.
      draw: the draw number of every call. Default: the count of the training calls.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      inputs: a dict of columns, nested dicts too.
      key: ids that tell rows apart, `[batch]`. Default: the place in the batch.
      training: a Python bool. Default: as Keras has it in the calling model, False elsewhere.

    Returns:
      A new dict. Other columns, and when not training all, are the same objects.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a named column is missing.
      DataError: the images are of another shape or dtype, or the label is not of floats.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> shades = tf.constant([0.0, 1.0])
      >>> rows = {"photo": tf.ones([2, 8, 8, 1]) * shades[:, None, None, None], "label": shades}
      >>> mixed = aug.layers.ImageCutMix("photo", label="label")(rows, training=True)
      >>> bool(tf.reduce_all(tf.reduce_mean(mixed["photo"], [1, 2, 3]) == mixed["label"]))
      True

    Reference:
      Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
      Features", ICCV 2019, section 3.1; there one ratio and one box serve a batch, and the
      partners are a permutation.
    """

    def __init__(self, feature: str, *, label: str, alpha: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        for name, value in {"feature": feature, "label": label}.items():
            if not isinstance(value, str) or not value:
                raise InvalidArgumentError(
                    f"`{name}` of ImageCutMix must be the name of a column. "
                    f"Received: {name}={value!r}."
                )
        if feature == label:
            raise InvalidArgumentError(
                "`label` of ImageCutMix must be another column than `feature`. "
                f"Received: label={label!r}."
            )
        self.feature, self.label = feature, label
        self.alpha = check_alpha(alpha, "ImageCutMix")
        self._supports_ragged_inputs = True

    @tf.autograph.experimental.do_not_convert
    def call(
        self, inputs: Mapping[str, Any], key: tf.Tensor | None = None, training: bool | None = None
    ) -> dict[str, Any]:
        """See the class."""
        if not is_training(training, "ImageCutMix"):
            return copied(inputs)
        columns = named_columns(inputs, (self.feature, self.label), "ImageCutMix")
        images = as_column(self.feature, columns[self.feature])
        images = check_images("ImageCutMix", self.feature, images)
        label = float_label(self.label, columns[self.label], "ImageCutMix")
        size = tf.shape(label)[0]
        _, rng = self.next_keys(size, key)
        rng = rng.fork("image_cutmix")
        ratio, partner = draw_mix(rng, size, self.alpha)
        centre = rng.uniform(stream="y"), rng.uniform(stream="x")
        boxes, taken = _boxes(ratio, centre, size_of(images))
        pasted = tf.where(in_boxes(boxes, size_of(images)), tf.gather(images, partner), images)
        changed = {self.feature: pasted, self.label: mixed(label, 1.0 - taken, partner)}
        return copied(inputs, changed)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        own = {"feature": self.feature, "label": self.label, "alpha": self.alpha}
        return {**super().get_config(), **own}


def _boxes(
    ratio: tf.Tensor, centre: tuple[tf.Tensor, tf.Tensor], size: tuple[Any, Any]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes of the images' shape about a centre, cut to the frame.

    Args:
      ratio: float32 `[batch]`, the share of the area outside of the box.
      centre: (y, x) in shares of the sides, float32 `[batch]` each.
      size: (height, width) of the images.

    Returns:
      int32 `[batch, 4]`: top, left, bottom, right; and float32 `[batch]`, the share of the area.
    """
    share, starts, ends, area, taken = tf.sqrt(1.0 - ratio), [], [], 1.0, 1.0
    for middle, length in zip(centre, size, strict=True):
        side = tf.cast(length, tf.float32)
        # Whole pixels: a box of their number, about the pixel that the centre is in.
        long = tf.round(share * side)
        start = tf.floor(middle * side) - tf.floor(long / 2.0)
        end = tf.minimum(start + long, side)
        start = tf.maximum(start, 0.0)
        starts.append(start)
        ends.append(end)
        taken *= tf.cast(end - start, tf.float64)
        area *= tf.cast(length, tf.float64)
    # Divided by a constant, a graph would multiply by its inverse, and eager code not.
    taken = tf.cast(taken * (1.0 / area), tf.float32)
    return tf.cast(tf.stack([*starts, *ends], 1), tf.int32), taken
