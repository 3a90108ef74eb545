"""The arguments of Keras's ImageDataGenerator in terms of RandomAffine's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

from tfrs_augment.errors import InvalidArgumentError, close_matches

_SAME = {
    "rotation_range": "rotation",
    "channel_shift_range": "channel_shift",
    "horizontal_flip": "horizontal_flip",
    "vertical_flip": "vertical_flip",
    "fill_mode": "fill_mode",
    "cval": "cval",
}
_STATISTICS = (
    "which needs statistics of the data: use tf_keras.layers.Normalization(...).adapt(images)"
)
_WITHOUT_PLACE = {
    "featurewise_center": _STATISTICS,
    "samplewise_center": "which is no augmentation: use tf.image.per_image_standardization",
    "featurewise_std_normalization": _STATISTICS,
    "samplewise_std_normalization": "which is no augmentation: use tf.image.per_image_standardization",
    "zca_whitening": _STATISTICS,
    "preprocessing_function": "which no file can hold: map it over the data set",
}
_IGNORED = ("zca_epsilon", "dtype", "validation_split")
_OTHER = (
    "width_shift_range",
    "height_shift_range",
    "shear_range",
    "zoom_range",
    "brightness_range",
    "rescale",
    "interpolation_order",
    "data_format",
)


def affine_arguments(given: Mapping[str, Any], own: Set[str]) -> dict[str, Any]:
    """See `RandomAffine.from_image_data_generator`.

    Args:
      given: the generator's arguments, and arguments of the op that the generator has not.
      own: the names of the op's arguments.
    """
    known = {*_SAME, *_WITHOUT_PLACE, *_IGNORED, *_OTHER}
    result: dict[str, Any] = {"zoom_per_axis": True}
    for name, value in given.items():
        if name in _WITHOUT_PLACE and value:
            raise InvalidArgumentError(
                f"`{name}` of ImageDataGenerator has no place in RandomAffine, {_WITHOUT_PLACE[name]}. "
                f"Received: {name}={value!r}."
            )
        if name in _SAME:
            result[_SAME[name]] = value
        elif name not in known and name in own:
            result[name] = value
        elif name not in known:
            raise InvalidArgumentError(
                f"ImageDataGenerator has no argument `{name}`. {close_matches(name, known)}"
            )
    for axis in ("width_shift", "height_shift"):
        result.update(_shift(axis, given.get(f"{axis}_range", 0.0)))
    if given.get("data_format") not in (None, "channels_last"):
        raise InvalidArgumentError(
            "`data_format` must be 'channels_last': transpose the images first. "
            f"Received: data_format={given['data_format']!r}."
        )
    zoom = given.get("zoom_range", 0.0)
    result["zoom"] = (1 - zoom, 1 + zoom) if isinstance(zoom, int | float) else tuple(zoom)
    shear = math.tan(math.radians(given.get("shear_range", 0.0)))
    result["shear"] = (-shear, shear)
    if given.get("brightness_range") is not None:
        result["brightness"] = tuple(given["brightness_range"])
    if given.get("rescale"):
        result["rescale"] = given["rescale"]
    order = given.get("interpolation_order", 1)
    if order not in (0, 1):
        raise InvalidArgumentError(
            "`interpolation_order` must be 0 (nearest) or 1 (bilinear). "
            f"Received: interpolation_order={order!r}."
        )
    result["interpolation"] = ("nearest", "bilinear")[order]
    return result


def _shift(name: str, value: Any) -> dict[str, Any]:
    """Keras draws floats from a range, integers from the whole pixels below, and lists from their values,
    the latter two with a drawn sign."""
    if isinstance(value, float) or value == 0:
        return {name: (-abs(value), abs(value))}
    values = range(value) if isinstance(value, int) else value
    return {f"{name}_choices": tuple(sign * v for sign in (1, -1) for v in values)}
