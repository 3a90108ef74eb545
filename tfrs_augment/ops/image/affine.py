"""Rotation, shift, shear, zoom, flips, crop and size in one resampling of an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Params
from tfrs_augment.ops.image import base, geometric, warp
from tfrs_augment.ops.image.generator import affine_arguments
from tfrs_augment.ops.numeric import between
from tfrs_augment.rng import KeyedRng

_NEUTRAL = {
    "rotation": 0.0,
    "shift_x": 0.0,
    "shift_y": 0.0,
    "shear": 0.0,
    "zoom_x": 1.0,
    "zoom_y": 1.0,
    "flip_x": False,
    "flip_y": False,
    "brightness": 1.0,
    "channel_shift": 0.0,
}
"""What is drawn for an image, and the values that change nothing."""
_DRAWN = tuple(_NEUTRAL)
_GEOMETRY = _DRAWN[:8]
Range = float | tuple[float, float]


@dataclasses.dataclass(frozen=True)
class RandomAffine(geometric.GeometricOp):
    """Rotates, shifts, shears, zooms, flips, crops and resizes images, each in one resampling.

    Keras's layers resample an image once each, which blurs it and costs as much each time; here one matrix an
    image does all of it. Values are drawn evenly from their ranges, for each image anew. The content is
    rotated about the centre of the image by x' = x cos t - y sin t, y' = x sin t + y cos t, then shifted,
    sheared, zoomed and flipped. x runs to the right and y down, in pixels, so on the screen a positive angle
    turns clockwise.

    Args:
      feature: images, `[batch, height, width, channels]` of uint8 or floats.
      rotation: degrees; r stands for (-r, r).
      shift: shares of width and height by which the content moves right and down; s stands for (-s, s).
        From 1 on they are pixels, as in Keras.
      width_shift, height_shift: the same for one direction, in place of `shift`.
      width_shift_choices, height_shift_choices: values to draw from in place of a range.
      shear: pixels that a row moves right for each pixel that it lies below the centre; s stands for (-s, s).
      zoom: the share of the image's height and width that is shown: below 1 is closer, above 1 farther; z
        stands for (1 - z, 1 + z).
      zoom_per_axis: draw the zoom for height and width apart. Default: one zoom for both.
      horizontal_flip, vertical_flip: the chance of a flip; True stands for 0.5.
      crop: (height, width) in pixels of a window at a random place, to which the image is cut. The rest acts
        on the window; what lies about it in the image is still there to be turned in.
      size: (height, width) of the result. Default: that of the window, or of the image.
      fill_mode: what lies outside of the image: "nearest" (a a | a b c | c c), "reflect" (b a | a b c | c b),
        "wrap" or "constant".
      cval: the value for "constant".
      interpolation: "bilinear" or "nearest".
      brightness: a factor for the pixels, as (low, high); b stands for (1 - b, 1 + b).
      channel_shift: what is added to all pixels of an image, in units of the pixels; c stands for (-c, c).
      rescale: a factor for the pixels of every image, after all else. The result is then float32.
      value_range: (low, high), the bounds of pixels: (0, 255), which uint8 always has, or (0, 1). The result
        of `brightness` and `channel_shift` is clipped to it; else pixels outside pass.
      masks: further features with the same geometry, such as segmentation masks: `[batch, height, width, n]`,
        moved alike with interpolation "nearest" and without a change of their values. Their height and width
        may be other than the images'.
      compiled: whether XLA compiles the work, 2 to 3 times as fast on a CPU; that takes up to a second once
        for each shape of a batch, in tf.data once for each pass. Default: where the height and width of the
        images are known while the function is traced, on a machine without a GPU. Floats of the two ways
        agree within 1e-4 of the value range, not to the bit.
      rate: the chance that an image is changed, in [0, 1]; default 1. `crop` (to the middle), `size` and
        `rescale` are for every image.

    `crop`, `size` and `rescale` happen where the policy is applied, which is not at evaluation: a model must
    get its size and scale there in another way.

    Images are cast to float32 before they are resampled, and rounded where they are uint8. NaN spreads to the
    pixels that are interpolated with it. A result of less than half the size needs smoothing first, which
    this op does not do: use tf.image.resize(..., antialias=True).

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> turn = aug.ops.RandomAffine("image", rotation=(90, 90))
      >>> policy = aug.AugmentationPolicy([turn], key_features=["id"])
      >>> rows = {"id": tf.constant([1]), "image": tf.reshape(tf.range(4.0), [1, 2, 2, 1])}
      >>> policy.augment(rows)["image"][0, :, :, 0].numpy().tolist()
      [[2.0, 0.0], [3.0, 1.0]]

    Reference:
      Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
      Document Analysis", ICDAR 2003, section 2.
    """

    _: dataclasses.KW_ONLY
    rotation: Range = 0.0
    shift: Range = 0.0
    width_shift: Range | None = None
    height_shift: Range | None = None
    width_shift_choices: tuple[float, ...] | None = None
    height_shift_choices: tuple[float, ...] | None = None
    shear: Range = 0.0
    zoom: Range = 0.0
    zoom_per_axis: bool = False
    horizontal_flip: bool | float = False
    vertical_flip: bool | float = False
    crop: int | tuple[int, int] | None = None
    brightness: Range = 0.0
    channel_shift: Range = 0.0
    rescale: float | None = None

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "crop", base.as_size(self, "crop", self.crop))
        self._ranges()
        for name in ("width_shift_choices", "height_shift_choices"):
            value = getattr(self, name)
            if value is not None:
                fit = isinstance(value, tuple) and value and all(map(base.is_number, value))
                if not fit:
                    raise self.invalid(name, "must be at least one number", value)
        for name in ("horizontal_flip", "vertical_flip"):
            value = getattr(self, name)
            if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
                raise self.invalid(name, "must be True, False or a chance in [0, 1]", value)
        if self.rescale is not None and not base.is_number(self.rescale):
            raise self.invalid("rescale", "must be a finite number", self.rescale)
        if not isinstance(self.zoom_per_axis, bool):
            raise self.invalid("zoom_per_axis", "must be True or False", self.zoom_per_axis)

    def _ranges(self) -> dict[str, tuple[float, float]]:
        """What is drawn from a range, by the name that it has in `draw`'s result."""
        infinite = float("inf")
        zoom = base.as_range(self, "zoom", self.zoom, 0.0, infinite, 1.0)
        if zoom[0] <= 0:
            raise self.invalid(
                "zoom", "must be below 1, or (low, high) with 0 < low <= high", self.zoom
            )
        shifts = {}
        for axis, name in (("shift_x", "width_shift"), ("shift_y", "height_shift")):
            if getattr(self, name) is None:
                name = "shift"
            shifts[axis] = base.as_range(self, name, getattr(self, name), -infinite, infinite)
        return {
            "rotation": base.as_range(self, "rotation", self.rotation, -infinite, infinite),
            **shifts,
            "shear": base.as_range(self, "shear", self.shear, -infinite, infinite),
            "zoom_x": zoom,
            "zoom_y": zoom,
            "brightness": base.as_range(self, "brightness", self.brightness, 0.0, infinite, 1.0),
            "channel_shift": base.as_range(
                self, "channel_shift", self.channel_shift, -infinite, infinite
            ),
        }

    @classmethod
    def from_image_data_generator(cls, feature: str, **arguments: Any) -> RandomAffine:
        """The op for the arguments of Keras's `ImageDataGenerator`, as they are.

        Args:
          feature: the images, of values from 0 to 255.
          **arguments: rotation_range, width_shift_range, height_shift_range (floats, integers or lists),
            brightness_range, shear_range, zoom_range, channel_shift_range, fill_mode, cval, horizontal_flip,
            vertical_flip, rescale, interpolation_order (0 or 1). `dtype`, `validation_split` and
            `data_format="channels_last"` are taken and have no effect. Arguments of RandomAffine that the
            generator has not, such as `size`, `rate` or `masks`, are passed on.

        Where the result differs from that of tf-keras: there `height_shift_range` moves images sideways and
        `width_shift_range` up and down, and images that are not square turn about a point that is not their
        centre; here they do what they say. The height is not shrunk by the cosine of the shear, and the shear
        is drawn evenly by its tangent. `channel_shift_range` and `brightness_range` are clipped once, to
        [0, 255] and not to the image's own range. In fill_mode "constant" the outermost pixels blend with
        cval; "wrap" repeats the image after its width, not after its width less one.

        Raises:
          InvalidArgumentError: an argument has no place in the op (statistics of a data set, a function),
            or is unknown.

        Example:
          >>> import tfrs_augment as aug
          >>> op = aug.ops.RandomAffine.from_image_data_generator("image", rotation_range=40, zoom_range=0.2)
          >>> op.rotation, op.zoom, op.zoom_per_axis
          (40, (0.8, 1.2), True)
        """
        return cls(
            feature, **affine_arguments(arguments, {f.name for f in dataclasses.fields(cls)})
        )

    @property
    def reshapes(self) -> bool:
        return self.size is not None or self.crop is not None or self.rescale is not None

    @property
    def moves(self) -> bool:
        still = all(self._ranges()[name] == (_NEUTRAL[name],) * 2 for name in _DRAWN[:6])
        chosen = self.width_shift_choices or self.height_shift_choices
        return not still or bool(chosen) or self.size is not None or self.crop is not None

    def flips(self, name: str) -> bool:
        return bool({"flip_x": self.horizontal_flip, "flip_y": self.vertical_flip}[name])

    def result_size(self, source):
        return self.size or self.crop or source

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        images = self.images(batch)
        sizes = dict(zip(("shift_y", "shift_x"), base.size_of(images), strict=True))
        uniforms = base.draw_uniforms(rng, tf.shape(images)[0], (*_DRAWN, "crop_x", "crop_y"))
        drawn = {n: between(uniforms[n], bounds) for n, bounds in self._ranges().items()}
        if not self.zoom_per_axis:
            drawn["zoom_y"] = drawn["zoom_x"]
        for axis, name in (("shift_x", "width_shift"), ("shift_y", "height_shift")):
            choices, bounds = getattr(self, f"{name}_choices"), self._ranges()[axis]
            if choices is not None:
                index = tf.cast(uniforms[axis] * float(len(choices)), tf.int32)
                drawn[axis] = tf.gather(tf.constant(choices, tf.float32), index)
                bounds = choices
            if max(map(abs, bounds)) >= 1:
                # Divided by a constant, a graph would multiply by its inverse, and eager code not.
                drawn[axis] *= tf.cast(1.0 / tf.cast(sizes[axis], tf.float64), tf.float32)
        drawn["flip_x"] = uniforms["flip_x"] < _chance(self.horizontal_flip)
        drawn["flip_y"] = uniforms["flip_y"] < _chance(self.vertical_flip)
        acts = rng.uniform() < self.rate
        if self.rate < 1:
            drawn = {n: tf.where(acts, value, _NEUTRAL[n]) for n, value in drawn.items()}
        if self.crop is not None:
            drawn["window"] = self._window(acts, uniforms, sizes)
        return {"acts": acts, **drawn}

    def _window(self, acts, uniforms, sizes) -> tf.Tensor:
        """float64 `[batch, 4]`: top, left, height and width of the drawn window, in shares of the image."""
        sides = []
        for axis, length, part in zip("yx", sizes.values(), self.crop, strict=True):
            room = tf.cast(length - part, tf.float64)
            uniform = tf.cast(uniforms[f"crop_{axis}"], tf.float64)
            # A window larger than the image reaches over its rim.
            start = tf.minimum(room, 0.0) + tf.floor(uniform * (tf.abs(room) + 1.0))
            start = tf.where(acts, start, tf.floor(room / 2))
            length = tf.cast(length, tf.float64)
            sides.append((start / length, tf.fill(tf.shape(start), part / length)))
        return tf.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], 1)

    def prepare(self, params: Params) -> dict[str, tf.Tensor]:
        return {n: params[n] for n in ("flip_x", "flip_y", "brightness", "channel_shift")}

    def change_images(self, images: tf.Tensor, given: Params) -> tf.Tensor:
        pixels = self.move(images, given, self.interpolation)
        ranges = self._ranges()
        if any(ranges[n] != (_NEUTRAL[n],) * 2 for n in ("brightness", "channel_shift")):
            gain, shift = (base.per_image(given[n]) for n in ("brightness", "channel_shift"))
            pixels = self.clip((base.to_float(pixels) + shift) * gain)
        if self.rescale is not None:
            return base.to_float(pixels) * tf.constant(self.rescale, tf.float32)
        return base.to_dtype(pixels, images.dtype)

    def linear(self, params: Params, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        return warp.compose((height, width), **{name: params[name] for name in _GEOMETRY})

    def label(self, drawn: Mapping[str, Any]) -> str:
        words = [
            f"rot {round(drawn['rotation'])}\N{DEGREE SIGN}",
            f"shift {round(100 * drawn['shift_x']):+}% {round(100 * drawn['shift_y']):+}%",
            f"shear {drawn['shear']:+.2f}",
            f"zoom {drawn['zoom_x']:.2f}",
            "flip" * drawn["flip_x"],
            "flip up-down" * drawn["flip_y"],
            f"light {drawn['brightness']:.2f}",
            f"level {drawn['channel_shift']:+.3g}",
        ]
        if self.zoom_per_axis:
            words[3] += f" x {drawn['zoom_y']:.2f}"
        ranges = self._ranges()
        used = [
            ranges["rotation"] != (0, 0),
            max(abs(drawn["shift_x"]), abs(drawn["shift_y"])) >= 0.005,
            ranges["shear"] != (0, 0),
            ranges["zoom_x"] != (1, 1),
            drawn["flip_x"],
            drawn["flip_y"],
            ranges["brightness"] != (1, 1),
            ranges["channel_shift"] != (0, 0),
        ]
        return ", ".join(word for word, use in zip(words, used, strict=True) if use)


def _chance(flip: bool | float) -> float:
    return 0.5 if flip is True else float(flip)
