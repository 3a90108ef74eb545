"""What the ops on images share: checks of columns, value ranges, and work on some rows of a batch."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Op, Params
from tfrs_augment.rng import KeyedRng

DTYPES = (tf.uint8, tf.float16, tf.bfloat16, tf.float32, tf.float64)
BYTES = (0.0, 255.0)
LUMA = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in a grey value: ITU-R BT.601, Pillow's "L"."""


def check_images(op: Op | str, name: str, column: Any) -> tf.Tensor:
    """A column as images `[batch, height, width, channels]`.

    Args:
      op: who asks, for messages.
      name: the column's.
      column: a dense or a ragged one.

    Raises:
      DataError: it is ragged, of another rank or dtype, or has images without a pixel or a channel.
    """
    if isinstance(column, tf.RaggedTensor) or column.shape.rank != 4:
        shown = (
            "a ragged column" if isinstance(column, tf.RaggedTensor) else f"shape {column.shape}"
        )
        raise DataError(
            f"{op} takes images as one dense column [batch, height, width, channels]. "
            f"Received: '{name}', {shown}. Images of several sizes: aug.ops.image.stack_images(...); "
            "grey ones: image[..., tf.newaxis]."
        )
    if column.dtype not in DTYPES:
        raise DataError(
            f"{op} takes images of {', '.join(dtype.name for dtype in DTYPES)}. "
            f"Received: '{name}' of type {column.dtype.name}. Cast it."
        )
    if 0 in column.shape[1:]:
        raise DataError(
            f"{op} takes images of at least one pixel and one channel. "
            f"Received: '{name}' of shape {column.shape}."
        )
    if None in column.shape[1:3]:
        # The resampling reads memory that is not there for an image without pixels.
        with tf.control_dependencies(
            [
                tf.debugging.assert_positive(
                    tf.shape(column)[1:3],
                    message=f"{op} takes images of at least one pixel: '{name}'.",
                )
            ]
        ):
            return tf.identity(column)
    return column


def check_masks(op: Op, name: str, column: Any) -> tf.Tensor:
    """A column as masks `[batch, height, width, n]`, of numbers of any kind.

    Raises:
      DataError: it is ragged, of another rank, or of strings.
    """
    ragged = isinstance(column, tf.RaggedTensor)
    if ragged or column.shape.rank != 4 or column.dtype not in (*DTYPES, tf.int32, tf.int64):
        raise DataError(
            f"{op} takes masks as one dense column [batch, height, width, n] of uint8, int32, int64 or "
            f"floats. Received: '{name}', {'ragged' if ragged else column.shape}, {column.dtype.name}."
        )
    return column


def size_of(images: tf.Tensor) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """Height and width, as integers where they are known."""
    height, width = images.shape[1:3]
    if height is not None and width is not None:
        return height, width
    return tuple(tf.unstack(tf.shape(images)[1:3]))


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Images as float32."""
    return images if images.dtype == tf.float32 else tf.cast(images, tf.float32)


def to_dtype(pixels: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """float32 pixels in the dtype of the images; for uint8 they must be in [0, 255], and are rounded."""
    if dtype == tf.uint8 and pixels.dtype != tf.uint8:
        pixels = tf.round(pixels)
    return pixels if pixels.dtype == dtype else tf.cast(pixels, dtype)


def per_image(value: tf.Tensor) -> tf.Tensor:
    """One number an image, `[batch]`, as `[batch, 1, 1, 1]`."""
    return value[:, tf.newaxis, tf.newaxis, tf.newaxis]


def grey(pixels: tf.Tensor) -> tf.Tensor:
    """The grey values of RGB, RGBA or grey pixels, `[batch, height, width, 1]`."""
    if pixels.shape[-1] == 1:
        return pixels
    # Not as a matrix product: what that rounds to depends on how many pixels there are.
    return tf.add_n([weight * pixels[..., i : i + 1] for i, weight in enumerate(LUMA)])


def on_colours(pixels: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Changes the colour channels; a fourth one, alpha, stays."""
    if pixels.shape[-1] != 4:
        return change(pixels)
    return tf.concat([change(pixels[..., :3]), pixels[..., 3:]], -1)


def in_levels(
    pixels: tf.Tensor,
    value_range: tuple[float, float],
    change: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Changes float32 pixels in units of levels, 0 to 255, whatever their range."""
    if value_range == BYTES:
        return change(pixels)
    low, high = value_range
    scale = (high - low) / 255.0
    # 128 / 255 comes back as 127.99999, which would be another level.
    levels = tf.round((pixels - low) * (1024.0 / scale)) / 1024.0
    return change(levels) * scale + low


def on_rows(
    rows: tf.Tensor,
    images: tf.Tensor,
    params: Mapping[str, tf.Tensor],
    change: Callable[[tf.Tensor, Mapping[str, tf.Tensor]], tf.Tensor],
) -> tf.Tensor:
    """Changes some of the images; the others stay to the bit, and cost nothing but a copy.

    Args:
      rows: bool `[batch]`.
      images: `[batch, ...]`.
      params: tensors `[batch, ...]`.
      change: from images and their params to as many images of the same shape and dtype.
    """
    index = tf.where(rows)
    chosen = {name: tf.gather(value, index[:, 0]) for name, value in params.items()}
    return tf.tensor_scatter_nd_update(
        images, index, change(tf.gather(images, index[:, 0]), chosen)
    )


def draw_uniforms(rng: KeyedRng, count: tf.Tensor, names: tuple[str, ...]) -> dict[str, tf.Tensor]:
    """Uniform numbers in [0, 1), `[count]` for each name; a name keeps its numbers when others follow."""
    columns = rng.uniform(tf.zeros([count, len(names)]), stream=1)
    return dict(zip(names, tf.unstack(columns, axis=1), strict=True))


@dataclasses.dataclass(frozen=True)
class ImageOp(Op, abstract=True):
    """An op that changes the pixels of some of the images of one feature."""

    feature: str
    _: dataclasses.KW_ONLY
    value_range: tuple[float, float] = BYTES

    kinds: ClassVar[tuple[str, ...]] = ("int64", "float")
    channels: ClassVar[tuple[int, ...] | None] = (1, 3, 4)
    """The numbers of channels that the op takes; None for any."""

    def __post_init__(self):
        # A compiled function is kept by its op, which must have a hash.
        for field in dataclasses.fields(self):
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        super().__post_init__()
        bounds = self.value_range
        fit = isinstance(bounds, tuple) and len(bounds) == 2
        if not fit or not all(is_number(v) for v in bounds) or not bounds[0] < bounds[1]:
            raise self.invalid("value_range", "must be (low, high) with low < high", bounds)

    def images(self, batch: FeatureBatch) -> tf.Tensor:
        """The images, checked."""
        images = check_images(self, self.feature, self.column(batch, self.feature))
        if images.dtype == tf.uint8 and self.value_range != BYTES:
            raise DataError(
                f"uint8 images have the value_range (0, 255). Received: value_range={self.value_range} "
                f"({self}) for '{self.feature}' of type uint8."
            )
        if self.channels is not None and images.shape[-1] not in self.channels:
            raise DataError(
                f"{self} takes images of {' or '.join(map(str, self.channels))} channels, known before "
                f"it runs. Received: '{self.feature}' of shape {images.shape}."
            )
        return images

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        images = self.images(batch)
        return {"acts": rng.uniform() < self.rate, **self.draw_strengths(images, rng)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        images = self.images(batch)
        if self.rate == 0:
            return batch
        changed = self.on_acted("change_images", images, params["acts"], self.prepare(params))
        return batch.replace({self.feature: tf.ensure_shape(changed, images.shape)})

    def draw_strengths(self, images: tf.Tensor, rng: KeyedRng) -> dict[str, tf.Tensor]:
        """What is drawn for each image, whether the op acts on it or not: tensors `[batch, ...]`."""
        return {}

    def prepare(self, params: Params) -> dict[str, tf.Tensor]:
        """What `change_images` takes, tensors `[batch, ...]`, from what was drawn."""
        return {name: value for name, value in params.items() if name != "acts"}

    def change_images(self, images: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Changes all of the images that it gets; a function of tensors and of the op's arguments."""
        return to_dtype(self.change_pixels(to_float(images), given), images.dtype)

    def change_pixels(self, pixels: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The same for float32 pixels; the result is within `value_range`."""
        raise TypeError(f"{type(self).__name__} must define change_pixels(pixels, given).")

    def on_acted(
        self, method: str, images: tf.Tensor, acts: tf.Tensor, given: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Calls a method such as `change_images` for the images on which the op acts."""
        change = getattr(self, method)
        return change(images, given) if self.rate == 1 else on_rows(acts, images, given, change)

    def clip(self, pixels: tf.Tensor) -> tf.Tensor:
        """Pixels within the value range; NaN stays."""
        return tf.clip_by_value(pixels, *self.value_range)

    def label(self, drawn: Mapping[str, Any]) -> str:
        """In a few words what was drawn for an image on which the op acts; see `aug.plot_augmentations`.

        Args:
          drawn: what `draw` gave for one row, as Python values.
        """
        return ""


@dataclasses.dataclass(frozen=True)
class CompiledImageOp(ImageOp, abstract=True):
    """An op whose work XLA makes one loop of."""

    _: dataclasses.KW_ONLY
    compiled: bool | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.compiled not in (None, True, False):
            raise self.invalid("compiled", "must be None, True or False", self.compiled)

    @property
    def reshapes(self) -> bool:
        """Whether every image changes its size or type, acted on or not."""
        return False

    def compiles(self, images: tf.Tensor) -> bool:
        """Whether to compile the work on these images."""
        if self.compiled is not None:
            return self.compiled
        # Images whose size is not known while a function is traced may come in any size, each to be compiled.
        return None not in images.shape[1:] and not _has_gpu()

    def on_acted(
        self, method: str, images: tf.Tensor, acts: tf.Tensor, given: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        if self.compiles(images):
            return _compiled(self, method)(images, acts, given)
        if self.reshapes:
            return getattr(self, method)(images, given)
        return super().on_acted(method, images, acts, given)


@functools.lru_cache(maxsize=256)
def _compiled(op: CompiledImageOp, method: str) -> Callable[..., tf.Tensor]:
    """A method of an op as a compiled function of images, acts and what the method takes."""

    @tf.function(jit_compile=True, autograph=False)
    def change(images: tf.Tensor, acts: tf.Tensor, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        changed = getattr(op, method)(images, given)
        if op.rate == 1 or op.reshapes:
            return changed
        # All rows: their number is compiled in, that of the chosen ones differs from batch to batch.
        return tf.where(per_image(acts), changed, images)

    return change


@functools.cache
def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def as_range(op: Op, name: str, value: Any, low: float, high: float, centre: float = 0.0):
    """An argument that is a strength s, for (centre - s, centre + s), or a range, as a range.

    Raises:
      InvalidArgumentError: it is neither, or the range is not within [low, high].
    """
    bounds = value
    if is_number(value) and value >= 0:
        bounds = (centre - value, centre + value)
    fit = isinstance(bounds, tuple | list) and len(bounds) == 2 and all(map(is_number, bounds))
    if fit and low <= bounds[0] <= bounds[1] <= high:
        return tuple(bounds)
    within = "" if math.isinf(low) and math.isinf(high) else f" within [{low:g}, {high:g}]"
    raise op.invalid(
        name, f"must be a strength of at least 0, or (low, high) with low <= high{within}", value
    )


def as_size(op: Op, name: str, value: Any) -> tuple[int, int] | None:
    """An argument that is a size, (height, width) or one number for both, or None.

    Raises:
      InvalidArgumentError: it is not of positive integers.
    """
    if value is None:
        return None
    size = (value, value) if isinstance(value, int) else value
    fit = isinstance(size, tuple | list) and len(size) == 2
    if fit and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in size):
        return tuple(size)
    raise op.invalid(name, "must be (height, width), or one positive integer for both", value)
