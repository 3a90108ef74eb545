"""Images as JPEG or PNG bytes: decoded, changed by ops on images, and encoded again."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError
from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, op_from_config, with_unique_ids
from tfrs_augment.ops.image import base
from tfrs_augment.ops.image.sizes import FITS, check_size_and_fit, resized
from tfrs_augment.rng import KeyedRng

FORMATS = ("jpeg", "png")


@dataclasses.dataclass(frozen=True)
class EncodedImages(Op):
    """Ops on images for a feature of encoded images: decodes each, applies the ops, encodes the result.

    So a Beam job or tf.data augments photos as they lie in an Example's bytes. Images are read as RGB: grey
    ones and those with a palette get three equal or looked-up channels, CMYK JPEGs are converted, alpha is
    dropped, 16 bits become 8. The orientation in EXIF is not followed.

    Args:
      feature: bytes of JPEG or PNG, `[batch]` or ragged `[batch, None]`; whatever else TensorFlow's
        decode_image reads (GIF, of which the first frame counts, and BMP) passes, too. The images of one row
        are changed alike. Missing ones stay missing; empty bytes are no image.
      ops: ops on images, or combinations of such, all on `feature`, without `masks` and `rescale`.
      size: (height, width) to which every image is brought first, one number for both, or None: each keeps
        its own. With a size, XLA compiles the ops once; without, TensorFlow's own kernels run.
      fit: how an image is brought to `size`, "cover", "pad" or "stretch"; see `aug.ops.image.stack_images`.
      format: of the result, "jpeg" or "png".
      quality: of JPEG, from 1 to 100; default 95.
      rate: the chance that the ops act on an image, in [0, 1]; default 1. Without a `size` other images stay
        as they are to the byte.

    A Beam job rejects records whose images cannot be decoded. Elsewhere they are errors that name the
    feature; a policy is not applied at evaluation, so a model decodes there with
    `aug.ops.image.decode_images`.

    JPEG loses a little each time. Decode photos once, and augment pixels, where they are read many times.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> flip = aug.ops.RandomAffine("photo", horizontal_flip=1.0)
      >>> op = aug.ops.EncodedImages("photo", [flip], format="png")
      >>> policy = aug.AugmentationPolicy([op], key_features=["id"])
      >>> photo = tf.io.encode_png(tf.constant([[[0, 0, 0], [9, 9, 9]]], tf.uint8))
      >>> flipped = policy.augment({"id": [1], "photo": photo[tf.newaxis]})["photo"][0]
      >>> tf.io.decode_png(flipped)[0, :, 0].numpy().tolist()
      [9, 0]
    """

    feature: str
    ops: Sequence[Op]
    _: dataclasses.KW_ONLY
    size: int | tuple[int, int] | None = None
    fit: str = "cover"
    format: str = "jpeg"
    quality: int = 95

    kinds: ClassVar[tuple[str, ...]] = ("bytes",)

    def __post_init__(self):
        super().__post_init__()
        ops = self.ops
        if isinstance(ops, Op) or not isinstance(ops, Sequence) or not ops:
            raise self.invalid("ops", "must be a list of at least one op", ops)
        for op in ops:
            images = isinstance(op, Op) and all(isinstance(p, base.ImageOp) for p in op.parts())
            if not images or op.features != (self.feature,):
                raise self.invalid("ops", f"must hold ops on images of '{self.feature}' alone", op)
            for part in op.parts():
                if part.value_range != base.BYTES or getattr(part, "rescale", None) is not None:
                    raise self.invalid(
                        "ops", "must keep the values of uint8: no `value_range`, no `rescale`", part
                    )
        object.__setattr__(self, "ops", with_unique_ids(ops, self.fitted))
        object.__setattr__(self, "size", base.as_size(self, "size", self.size))
        for name, known in (("fit", FITS), ("format", FORMATS)):
            if getattr(self, name) not in known:
                raise self.invalid(name, f"must be one of {', '.join(known)}", getattr(self, name))
        quality = self.quality
        if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
            raise self.invalid("quality", "must be an integer from 1 to 100", quality)

    @property
    def encoded(self) -> tuple[str, ...]:
        return (self.feature,)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        # What the ops draw depends on the size of each image, so each gets a seed here, and they draw later.
        halves = [rng.bits(stream="low"), rng.bits(stream="high")]
        return {
            "acts": rng.uniform() < self.rate,
            "seed": tf.bitcast(tf.stack(halves, 1), tf.uint64),
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        ragged = isinstance(column, tf.RaggedTensor)
        if not ragged and column.shape.rank != 1:
            raise DataError(
                f"{self} takes encoded images as [batch] or ragged [batch, None]. "
                f"Received: '{self.feature}' of shape {column.shape}."
            )
        if self.rate == 0 and self.size is None:
            return batch
        acts, seeds = params["acts"], params["seed"]
        if ragged:
            acts, seeds = (tf.gather(drawn, column.value_rowids()) for drawn in (acts, seeds))
        values = values_of(column)
        # Eager code would compile the ops for each size anew.
        change = (
            _as_graph(json.dumps(self.get_config())) if tf.executing_eagerly() else self._on_all
        )
        try:
            changed = change(values, acts, seeds)
        except tf.errors.InvalidArgumentError:
            broken = undecodable(values, self.feature)
            if not broken:
                raise
            raise DataError(f"{next(iter(broken.values()))} ({self}).") from None
        changed = tf.ensure_shape(changed, values.shape)
        return batch.replace({self.feature: with_values(column, changed)})

    def _on_all(self, values: tf.Tensor, acts: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        # One image at a time: sizes may differ, and the pixels of a whole block would fill the memory.
        return tf.map_fn(
            lambda given: self._on_one(*given),
            (values, acts, seeds),
            fn_output_signature=tf.TensorSpec([], tf.string),
        )

    def _on_one(self, value: tf.Tensor, acts: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if self.rate == 1:
            return self._changed(value, seed)
        return tf.cond(
            acts,
            lambda: self._changed(value, seed),
            lambda: value if self.size is None else self._encode(self._decode(value)),
        )

    def _changed(self, value: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        keys = seed[tf.newaxis]
        batch = FeatureBatch({self.feature: self._decode(value)[tf.newaxis]}, keys)
        rng = KeyedRng(0, keys)
        for op in self.ops:
            batch = op(batch, rng.fork(op.id))
        return self._encode(batch[self.feature][0])

    def _decode(self, value: tf.Tensor) -> tf.Tensor:
        return _decode(value, self.feature, self.size, self.fit)

    def _encode(self, image: tf.Tensor) -> tf.Tensor:
        if self.format == "png":
            return tf.io.encode_png(image)
        return tf.io.encode_jpeg(image, format="rgb", quality=self.quality)


@functools.lru_cache(maxsize=64)
def _as_graph(config: str) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """What an op, given by its configuration as JSON, does to values, acts and seeds."""
    op = op_from_config(json.loads(config), "EncodedImages")
    signature = [tf.TensorSpec([None], dtype) for dtype in (tf.string, tf.bool, tf.uint64)]
    return tf.function(op._on_all, input_signature=signature, autograph=False)


def decode_images(
    values: tf.Tensor, size: int | tuple[int, int], *, fit: str = "cover", feature: str = "images"
) -> tf.Tensor:
    """Decodes images to one size, as RGB; what a model does where no policy is applied.

    Args:
      values: bytes of JPEG or PNG, `[batch]`.
      size: (height, width), or one number for both.
      fit: "cover", "pad" or "stretch"; see `stack_images`.
      feature: the name for messages.

    Returns:
      uint8 `[batch, *size, 3]`, as `EncodedImages` decodes.

    Raises:
      InvalidArgumentError: `size` or `fit` breaks its rule.
      DataError: bytes are no image. In a graph tf.errors.InvalidArgumentError, which names the feature.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> photo = tf.io.encode_jpeg(tf.zeros([40, 30, 3], tf.uint8))
      >>> aug.ops.image.decode_images(photo[tf.newaxis], 24).shape
      TensorShape([1, 24, 24, 3])
    """
    shape = check_size_and_fit(size, fit)
    return tf.map_fn(
        lambda value: _decode(value, feature, shape, fit),
        tf.convert_to_tensor(values),
        fn_output_signature=tf.TensorSpec([*shape, 3], tf.uint8),
    )


def undecodable(values: tf.Tensor, feature: str) -> dict[int, str]:
    """Which of many encoded images cannot be decoded, and why; eager code, for jobs that go on without them.

    Args:
      values: bytes, `[n]`.
      feature: the name for messages.

    Returns:
      Index to reason.
    """
    # A pipeline that skips errors: a call of Python for each image would cost more than a small one.
    found = tf.data.Dataset.from_tensor_slices(values).enumerate()
    found = found.map(lambda i, value: (i, tf.shape(_decode(value, feature)))).ignore_errors()
    good = {int(i) for i, _ in found.as_numpy_iterator()}
    reasons = {}
    for i in range(len(values)):
        if i not in good:
            try:
                _decode(values[i], feature)
            except DataError as error:
                reasons[i] = str(error)
    return reasons


def _decode(
    value: tf.Tensor, feature: str, size: tuple[int, int] | None = None, fit: str = "cover"
) -> tf.Tensor:
    """An image, uint8 `[height, width, 3]`; see `decode_images` on errors."""
    # In a graph the decoder's error shows the name of the node, and nothing else of ours.
    name = re.sub(r"[^A-Za-z0-9_.]", "_", f"feature_{feature}_must_be_JPEG_or_PNG")
    try:
        # CMYK JPEGs come as RGB where three channels are asked for.
        image = tf.io.decode_image(value, channels=3, expand_animations=False, name=name)
    except tf.errors.InvalidArgumentError as error:
        length = len(value.numpy())
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", error.message).rstrip(".")
        raise DataError(
            f"feature {feature!r} must be an image as JPEG or PNG. Received: {length} bytes ({reason})"
        ) from error
    image.set_shape([None, None, 3])
    return image if size is None else resized(image, size, fit)
