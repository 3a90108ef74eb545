"""Images of several sizes as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops.image.base import DTYPES, to_dtype

FITS = ("cover", "pad", "stretch")


def stack_images(
    images: Sequence[tf.Tensor] | tf.RaggedTensor,
    size: int | tuple[int, int],
    *,
    fit: str = "cover",
) -> tf.Tensor:
    """Resizes images of several sizes to one, smoothed where they shrink, one image at a time.

    Args:
      images: a list of `[height, width, channels]`, or a ragged tensor `[batch, None, None, channels]`, of
        uint8 or floats and of one number of channels.
      size: (height, width) of the result, or one number for both.
      fit: "cover" fills the size and cuts off what reaches out, "pad" shows the whole image between bars of
        zeros, "stretch" changes the aspect ratio.

    Returns:
      `[batch, *size, channels]` of the images' dtype.

    Raises:
      InvalidArgumentError: `size` or `fit` breaks its rule.
      DataError: there is no image, or one of another rank, dtype or number of channels, or without pixels.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> images = [tf.zeros([40, 30, 3]), tf.zeros([20, 50, 3])]
      >>> aug.ops.image.stack_images(images, (24, 32)).shape
      TensorShape([2, 24, 32, 3])
    """
    shape = check_size_and_fit(size, fit)
    if isinstance(images, tf.RaggedTensor):
        if images.shape.rank != 4 or images.shape[3] is None:
            raise DataError(
                "Ragged images must be [batch, None, None, channels] with a known number of channels. "
                f"Received: shape {images.shape}."
            )
        one = tf.TensorSpec([*shape, images.shape[3]], images.dtype)
        return tf.map_fn(
            lambda x: resized(x.to_tensor(), shape, fit), images, fn_output_signature=one
        )
    tensors = [tf.convert_to_tensor(image) for image in images]
    known = all(image.shape.rank == 3 and image.dtype in DTYPES for image in tensors)
    kinds = {(image.dtype, image.shape[2]) for image in tensors} if known else set()
    if len(kinds) != 1 or any(0 in image.shape for image in tensors):
        found = sorted({f"{image.dtype.name} {image.shape}" for image in tensors})
        raise DataError(
            "Images must be [height, width, channels], of at least one pixel, and of one dtype (uint8 or "
            f"floats) and number of channels. Received: {', '.join(found) or 'no image'}."
        )
    return tf.stack([resized(image, shape, fit) for image in tensors])


def check_size_and_fit(size: int | tuple[int, int], fit: str) -> tuple[int, int]:
    """The size as (height, width).

    Raises:
      InvalidArgumentError: `size` or `fit` breaks its rule.
    """
    shape = (size, size) if isinstance(size, int) else size
    fitting = isinstance(shape, tuple | list) and len(shape) == 2
    if not fitting or not all(isinstance(side, int) and side > 0 for side in shape):
        raise InvalidArgumentError(
            f"`size` must be (height, width), or one positive integer for both. Received: size={size!r}."
        )
    if fit not in FITS:
        raise InvalidArgumentError(
            f"`fit` must be one of {', '.join(FITS)}. Received: fit={fit!r}."
        )
    return tuple(shape)


def resized(image: tf.Tensor, size: tuple[int, int], fit: str) -> tf.Tensor:
    """One image `[height, width, channels]` at a size, smoothed where it shrinks; see `stack_images`."""
    height, width = size
    if fit == "stretch":
        resized = tf.image.resize(image, size, antialias=True)
    elif fit == "pad":
        resized = tf.image.resize_with_pad(image, height, width, antialias=True)
    else:
        sides = tf.cast(tf.shape(image)[:2], tf.float64)
        scale = tf.reduce_max(tf.constant(size, tf.float64) / sides)
        # At least the size, whatever the rounding.
        inner = tf.maximum(tf.cast(tf.round(sides * scale), tf.int32), tf.constant(size))
        resized = tf.image.resize(image, inner, antialias=True)
        start = (inner - tf.constant(size)) // 2
        resized = tf.slice(resized, [start[0], start[1], 0], [height, width, -1])
    if image.dtype == tf.uint8:
        resized = tf.clip_by_value(resized, 0.0, 255.0)
    return to_dtype(resized, image.dtype)
