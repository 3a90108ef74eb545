"""The resampling of images: one bilinear or nearest look-up a pixel, by a matrix an image."""

from __future__ import annotations

import math

import tensorflow as tf

FILL_MODES = ("nearest", "reflect", "wrap", "constant")
INTERPOLATIONS = ("bilinear", "nearest")


def compose(
    size: tuple[tf.Tensor | int, tf.Tensor | int],
    *,
    rotation: tf.Tensor,
    shift_x: tf.Tensor,
    shift_y: tf.Tensor,
    shear: tf.Tensor,
    zoom_x: tf.Tensor,
    zoom_y: tf.Tensor,
    flip_x: tf.Tensor,
    flip_y: tf.Tensor,
) -> tf.Tensor:
    """Where each point of a frame looks in the source: the inverse of what happens to the content.

    The content turns about the centre of the frame by x' = x cos t - y sin t, y' = x sin t + y cos t, is
    shifted, sheared by x' = x + shear y, shrunk by the zoom, and flipped, in this order. x runs to the
    right and y down, in pixels.

    Args:
      size: (height, width) of the frame that the shifts are shares of.
      rotation: degrees; all the arguments are numeric `[batch]`, flips bool.

    Returns:
      float64 `[batch, 2, 3]`, from points of the frame to points of the source, both relative to the centre.
    """
    radians = tf.cast(rotation, tf.float64) * (math.pi / 180.0)
    # Quarter turns are exact, so that they only move pixels.
    cos, sin = (_snapped(f(radians)) for f in (tf.cos, tf.sin))
    shear, zoom_x, zoom_y, shift_x, shift_y = (
        tf.cast(v, tf.float64) for v in (shear, zoom_x, zoom_y, shift_x, shift_y)
    )
    one = tf.ones_like(cos)
    zoom_x = tf.where(flip_x, -one, one) * zoom_x
    zoom_y = tf.where(flip_y, -one, one) * zoom_y
    right = shift_x * tf.cast(size[1], tf.float64)
    down = shift_y * tf.cast(size[0], tf.float64)
    x_of_x, x_of_y = cos * zoom_x, (sin - cos * shear) * zoom_y
    y_of_x, y_of_y = -sin * zoom_x, (cos + sin * shear) * zoom_y
    x_of_1, y_of_1 = -cos * right - sin * down, sin * right - cos * down
    rows = [tf.stack(row, -1) for row in ((x_of_x, x_of_y, x_of_1), (y_of_x, y_of_y, y_of_1))]
    return tf.stack(rows, 1)


def _snapped(value: tf.Tensor) -> tf.Tensor:
    nearest = tf.round(value)
    return tf.where(tf.abs(value - nearest) < 1e-12, nearest, value)


def to_pixels(matrix: tf.Tensor, window: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """A matrix between centred points as one between pixels.

    Args:
      matrix: float64 `[batch, 2, 3]`, see `compose`.
      window: float64 `[batch, 4]`: top, left, height and width of the frame in the source, in pixels.
      size: (height, width) of the result, to which the frame is stretched.

    Returns:
      float64 `[batch, 2, 3]`, from the indices (x, y) of the result's pixels to those of the source.
    """
    top, left, height, width = tf.unstack(window, axis=1)
    rows, columns = tf.unstack(tf.cast(size, tf.float64))
    # The middle of a pixel is at its index, so the frame's centre at half its size less half a pixel.
    by_x = matrix[:, :, 0] * (width / columns)[:, tf.newaxis]
    by_y = matrix[:, :, 1] * (height / rows)[:, tf.newaxis]
    centre = tf.stack([left + (width - 1.0) / 2, top + (height - 1.0) / 2], 1)
    offset = matrix[:, :, 2] + centre - by_x * (columns - 1.0) / 2 - by_y * (rows - 1.0) / 2
    return tf.stack([by_x, by_y, offset], 2)


def resample(
    images: tf.Tensor,
    matrix: tf.Tensor,
    size: tuple[int, int] | tf.Tensor,
    *,
    interpolation: str = "bilinear",
    fill_mode: str = "nearest",
    cval: float = 0.0,
    compiled: bool = False,
) -> tf.Tensor:
    """Looks up each pixel of the result in the source.

    Args:
      images: `[batch, height, width, channels]`.
      matrix: float64 `[batch, 2, 3]`, see `to_pixels`.
      size: (height, width) of the result.
      interpolation: one of `INTERPOLATIONS`.
      fill_mode: what lies outside of the source, one of `FILL_MODES`.
      cval: the value there for "constant".
      compiled: by look-ups that XLA can compile, in place of TensorFlow's kernel.

    Returns:
      `[batch, *size, channels]`, of the images' dtype for "nearest" and float32 for "bilinear".
    """
    matrix = tf.cast(matrix, tf.float32)
    if interpolation == "bilinear" and not compiled:
        images = tf.cast(images, tf.float32)
    if compiled:
        return _gathered(images, matrix, size, interpolation, fill_mode, cval)
    flat = tf.reshape(matrix, [-1, 6])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.concat([flat, tf.zeros_like(flat[:, :2])], 1),
        output_shape=tf.cast(size, tf.int32),
        fill_value=tf.constant(cval, tf.float32),
        interpolation=interpolation.upper(),
        fill_mode=fill_mode.upper(),
    )


def _inside(place: tf.Tensor, length: tf.Tensor, fill_mode: str) -> tf.Tensor:
    """Float indices of pixels, those outside of the image moved to what stands for them."""
    if fill_mode == "reflect":  # d c b a | a b c d | d c b a
        place = tf.math.floormod(place + 0.5, 2 * length)
        place = tf.minimum(place, 2 * length - place) - 0.5
    elif fill_mode == "wrap":
        place = tf.math.floormod(place, length)
    return tf.clip_by_value(place, tf.zeros_like(length), length - 1)


def _gathered(
    images: tf.Tensor,
    matrix: tf.Tensor,
    size: tuple[int, int] | tf.Tensor,
    interpolation: str,
    fill_mode: str,
    cval: float,
) -> tf.Tensor:
    """`resample` by look-ups in memory: slow as they stand, and fast where XLA makes one loop of them."""
    if fill_mode == "constant":
        # A rim of that value: it is interpolated with, and repeated beyond.
        rim = tf.cast(cval, images.dtype)
        images = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=rim)
        matrix += tf.constant([[0.0, 0.0, 1.0]] * 2)
    count, height, width, channels = tf.unstack(tf.shape(images))
    x = tf.cast(tf.range(size[1]), tf.float32)
    y = tf.cast(tf.range(size[0]), tf.float32)[:, tf.newaxis]
    terms = matrix[:, :, :, tf.newaxis, tf.newaxis]
    places = [
        _inside(row[:, 0] * x + row[:, 1] * y + row[:, 2], tf.cast(length, tf.float32), fill_mode)
        for row, length in ((terms[:, 0], width), (terms[:, 1], height))
    ]
    first = tf.range(count)[:, tf.newaxis, tf.newaxis] * (height * width)
    pixels = tf.reshape(images, [-1, channels])

    def look_up(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        found = tf.gather(pixels, first + row * width + column)
        return found if interpolation == "nearest" else tf.cast(found, tf.float32)

    if interpolation == "nearest":
        column, row = (tf.cast(tf.round(place), tf.int32) for place in places)
        return look_up(row, column)
    left, above = (tf.cast(place, tf.int32) for place in places)
    right, below = tf.minimum(left + 1, width - 1), tf.minimum(above + 1, height - 1)
    across, down = (
        (place - tf.cast(index, tf.float32))[..., tf.newaxis]
        for place, index in zip(places, (left, above), strict=True)
    )
    upper, lower = (
        look_up(row, left) * (1.0 - across) + look_up(row, right) * across for row in (above, below)
    )
    return upper * (1.0 - down) + lower * down


def move_boxes(boxes: tf.Tensor, matrix: tf.Tensor, size: tuple[int, int] | tf.Tensor) -> tf.Tensor:
    """Boxes around objects, where `resample` puts the objects.

    Args:
      boxes: `[batch, n, 4]`: x_min, y_min, x_max, y_max in pixels, the image from 0 to its width or height.
      matrix: float64 `[batch, 2, 3]`, see `to_pixels`.
      size: (height, width) of the result.

    Returns:
      float32 `[batch, n, 4]`: the boxes about the moved corners, cut to the frame. One that lies wholly
      outside has no width or no height.
    """
    boxes = tf.cast(boxes, tf.float64)
    x, y = tf.gather(boxes, [0, 0, 2, 2], axis=-1), tf.gather(boxes, [1, 3, 1, 3], axis=-1)
    inverse = tf.linalg.inv(matrix[:, :, :2])
    corners = tf.stack([x, y], -1) - 0.5 - matrix[:, tf.newaxis, tf.newaxis, :, 2]
    moved = tf.einsum("bij,bnkj->bnki", inverse, corners) + 0.5
    frame = tf.cast(tf.reverse(tf.convert_to_tensor(size), [0]), tf.float64)
    low, high = (
        tf.clip_by_value(f(moved, 2), tf.zeros_like(frame), frame)
        for f in (tf.reduce_min, tf.reduce_max)
    )
    return tf.cast(tf.concat([low, high], -1), tf.float32)
