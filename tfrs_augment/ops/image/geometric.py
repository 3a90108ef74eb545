"""What the ops that move pixels have in common: one resampling by a matrix an image, for masks, boxes too."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Params
from tfrs_augment.ops.image import base, warp


@dataclasses.dataclass(frozen=True)
class GeometricOp(base.CompiledImageOp, abstract=True):
    """An op that looks up each pixel of its result in the source."""

    _: dataclasses.KW_ONLY
    size: int | tuple[int, int] | None = None
    fill_mode: str = "nearest"
    cval: float = 0.0
    interpolation: str = "bilinear"
    masks: tuple[str, ...] = ()

    channels: ClassVar[None] = None

    def __post_init__(self):
        if isinstance(self.masks, str):
            object.__setattr__(self, "masks", (self.masks,))
        super().__post_init__()
        object.__setattr__(self, "size", base.as_size(self, "size", self.size))
        for name, values in (
            ("fill_mode", warp.FILL_MODES),
            ("interpolation", warp.INTERPOLATIONS),
        ):
            if getattr(self, name) not in values:
                raise self.invalid(name, f"must be one of {', '.join(values)}", getattr(self, name))
        low, high = self.value_range
        if not base.is_number(self.cval) or not low <= self.cval <= high:
            raise self.invalid("cval", f"must be in the value_range ({low:g}, {high:g})", self.cval)

    @property
    def features(self) -> tuple[str, ...]:
        return (self.feature, *self.masks)

    @property
    def reshapes(self) -> bool:
        return self.size is not None

    @property
    def moves(self) -> bool:
        """Whether pixels move otherwise than by a flip."""
        return True

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        images = self.images(batch)
        if self.rate == 0 and not self.reshapes:
            return batch
        changed = {}
        for name in self.features:
            is_mask = name != self.feature
            column = base.check_masks(self, name, batch[name]) if is_mask else images
            given = self.prepare(params)
            if self.moves:
                source = base.size_of(column)
                given["matrix"] = self.matrix(params, source)
            method = "move" if is_mask else "change_images"
            result = self.on_acted(method, column, params["acts"], given)
            size = self.result_size(column.shape[1:3])
            changed[name] = tf.ensure_shape(result, [column.shape[0], *size, column.shape[3]])
        return batch.replace(changed)

    def result_size(self, source):
        """(height, width) of the result for those of the source."""
        return self.size or source

    def move(self, images: tf.Tensor, given: Params, interpolation: str = "nearest") -> tf.Tensor:
        """Images or masks, resampled; bilinear ones come out as float32."""
        if not self.moves:
            for axis, name in ((1, "flip_y"), (2, "flip_x")):
                if self.flips(name):
                    turned = tf.reverse(images, [axis])
                    images = tf.where(base.per_image(given[name]), turned, images)
            return images
        return warp.resample(
            images,
            given["matrix"],
            self.result_size(base.size_of(images)),
            interpolation=interpolation,
            fill_mode=self.fill_mode,
            cval=self.cval,
            compiled=self.compiles(images),
        )

    def flips(self, name: str) -> bool:
        """Whether "flip_x" or "flip_y" is ever drawn."""
        return False

    def change_images(self, images: tf.Tensor, given: Params) -> tf.Tensor:
        return base.to_dtype(self.move(images, given, self.interpolation), images.dtype)

    def linear(self, params: Params, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor | None:
        """The matrix about the centre of a frame of a size; None where it is the identity."""
        return None

    def matrix(
        self, params: Params, source: tuple[int, int], size: tuple[int, int] | None = None
    ) -> tf.Tensor:
        """Where the pixels of the result look in the source.

        Args:
          params: what `draw` returned.
          source: (height, width) of the images or masks.
          size: (height, width) of the result; default as `apply` has it.

        Returns:
          float64 `[batch, 2, 3]`: from the indices (x, y) of a pixel of the result to those in the source,
          as scipy.ndimage.affine_transform and OpenCV's warpAffine (WARP_INVERSE_MAP) take it.
        """
        height, width = (tf.cast(side, tf.float64) for side in source)
        if "window" in params:
            window = params["window"] * tf.stack([height, width, height, width])
        else:
            window = tf.stack([0.0 * height, 0.0 * width, height, width])[tf.newaxis]
        linear = self.linear(params, window[:, 2], window[:, 3])
        if linear is None:
            linear = tf.eye(2, 3, batch_shape=[tf.shape(window)[0]], dtype=tf.float64)
        return warp.to_pixels(linear, window, size or self.result_size(source))

    def move_boxes(self, boxes: tf.Tensor, params: Params, source: tuple[int, int]) -> tf.Tensor:
        """Boxes around objects, moved with them.

        Args:
          boxes: `[batch, n, 4]`: x_min, y_min, x_max, y_max in pixels of the images before.
          params: what `draw` returned.
          source: (height, width) of the images before.

        Returns:
          float32 `[batch, n, 4]` in pixels of the images after: the boxes about the moved corners, cut to the
          frame. One that lies wholly outside has no width or no height.
        """
        return warp.move_boxes(boxes, self.matrix(params, source), self.result_size(source))
