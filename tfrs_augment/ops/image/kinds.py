"""The operations that the learnt and drawn policies for images choose from, each by a strength in [0, 1].

One table for all of them, and one pass over a batch: the images are parted by what happens to them, each part
is changed by its own function, and the parts are put back in their places. So an image costs what its own
operation costs, and not the sum of all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrs_augment.ops.image import base, tone, warp
from tfrs_augment.ops.image.blur import sharpen

MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
ENHANCERS = ("brightness", "color", "contrast")

Values = Callable[[str], tf.Tensor]
"""From the name of an operation to its values, float32 `[batch]`, 0 for images that get another one."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """An operation and its greatest strength.

    Attributes:
      name: such as "rotate".
      greatest: the value at strength 1: degrees for "rotate"; pixels right (down) for each pixel below (right
        of) the centre for the shears; shares of width and height for the translations; the change of the
        factor for what enhances; bits taken away for "posterize"; levels by which the threshold lies below
        255 for "solarize".
      signed: whether the value gets a drawn sign.
    """

    name: str
    greatest: float = 0.0
    signed: bool = False

    @property
    def group(self) -> str:
        """Operations of one group are one function."""
        return "move" if self.name in MOVES else "enhance" if self.name in ENHANCERS else self.name


def _move(levels: tf.Tensor, values: Values, cval: float) -> tf.Tensor:
    """An image has one of the values at most, so their order does not matter."""
    size = base.size_of(levels)
    height, width = (tf.cast(side, tf.float64) for side in size)
    shear_x, shear_y, right, down, turn = (tf.cast(values(name), tf.float64) for name in MOVES)
    cos, sin = (f(turn * (math.pi / 180.0)) for f in (tf.cos, tf.sin))
    rows = (cos, sin - shear_x, -right * width), (-sin - shear_y, cos, -down * height)
    linear = tf.stack([tf.stack(row, -1) for row in rows], 1)
    window = tf.stack([0.0 * height, 0.0 * width, height, width])[tf.newaxis]
    matrix = warp.to_pixels(linear, window, size)
    return warp.resample(levels, matrix, size, fill_mode="constant", cval=cval)


def _enhance(levels: tf.Tensor, values: Values, cval: float) -> tf.Tensor:
    bright, colour, contrast = (base.per_image(1.0 + values(name)) for name in ENHANCERS)

    def change(pixels: tf.Tensor) -> tf.Tensor:
        grey = base.grey(pixels)
        mean = tf.reduce_mean(grey, [1, 2], keepdims=True)
        return pixels * (bright * colour * contrast) + (
            (1.0 - colour) * grey + (1.0 - contrast) * mean
        )

    return base.on_colours(levels, change)


def _toned(curve: Callable[[tf.Tensor, Values], tf.Tensor]):
    return lambda levels, values, cval: base.on_colours(levels, lambda x: curve(x, values))


_CHANGES: dict[str, Callable[[tf.Tensor, Values, float], tf.Tensor]] = {
    "identity": lambda levels, values, cval: levels,
    "move": _move,
    "enhance": _enhance,
    "sharpness": _toned(lambda x, values: sharpen(x, 1.0 + values("sharpness"))),
    "posterize": _toned(lambda x, values: tone.posterize(x, 8.0 - tf.round(values("posterize")))),
    "solarize": _toned(lambda x, values: tone.solarize(x, 255.0 - values("solarize"))),
    "autocontrast": _toned(lambda x, values: tone.autocontrast(x)),
    "equalize": _toned(lambda x, values: tone.equalize(x)),
}


def kinds(
    *,
    shear: float,
    translate: float,
    rotate: float,
    enhance: float | None,
    posterize: float,
    solarize: float = 255.0,
) -> tuple[Kind, ...]:
    """The table of operations with their greatest values; without those that enhance where it is None."""
    enhancers = (*ENHANCERS, "sharpness") if enhance is not None else ()
    return (
        Kind("identity"),
        Kind("shear_x", shear, True),
        Kind("shear_y", shear, True),
        Kind("translate_x", translate, True),
        Kind("translate_y", translate, True),
        Kind("rotate", rotate, True),
        *(Kind(name, enhance, True) for name in enhancers),
        Kind("posterize", posterize),
        Kind("solarize", solarize),
        Kind("autocontrast"),
        Kind("equalize"),
    )


def values_of(
    table: Sequence[Kind], kind: tf.Tensor, strength: tf.Tensor, sign: tf.Tensor
) -> tf.Tensor:
    """The values, in each operation's own unit.

    Args:
      table: the operations.
      kind: int64 `[...]`, indices of the table.
      strength: float32 `[...]` in [0, 1].
      sign: bool `[...]`, True for negative where the operation has a sign.
    """
    greatest = tf.gather(tf.constant([k.greatest for k in table], tf.float32), kind)
    negative = sign & tf.gather(tf.constant([k.signed for k in table]), kind)
    return strength * tf.where(negative, -greatest, greatest)


def change_by_kind(
    levels: tf.Tensor, table: Sequence[Kind], kind: tf.Tensor, value: tf.Tensor, cval: float
) -> tf.Tensor:
    """Does to each image what was chosen for it.

    Args:
      levels: float32 `[batch, height, width, channels]`, 0 to 255.
      table: the operations.
      kind: int64 `[batch]`.
      value: float32 `[batch]`, see `values_of`.
      cval: the level of what turns in from outside.

    Returns:
      float32 levels of the same shape, within 0 to 255.
    """
    groups = list(dict.fromkeys(entry.group for entry in table))
    of_kind = tf.constant([groups.index(entry.group) for entry in table])
    count = tf.range(tf.size(kind))
    places = tf.dynamic_partition(count, tf.gather(of_kind, kind), len(groups))
    parts = []
    for group, place in zip(groups, places, strict=True):
        part = tf.gather(levels, place)
        part.set_shape([None, *levels.shape[1:]])
        values = _values_by_name(table, tf.gather(kind, place), tf.gather(value, place))
        changed = _CHANGES[group](part, values, cval)
        parts.append(part if group == "identity" else tf.clip_by_value(changed, 0.0, 255.0))
    return tf.reshape(tf.dynamic_stitch(places, parts), tf.shape(levels))


def _values_by_name(table: Sequence[Kind], kind: tf.Tensor, value: tf.Tensor) -> Values:
    index = {entry.name: i for i, entry in enumerate(table)}
    return lambda name: tf.where(kind == index[name], value, 0.0)


def label(table: Sequence[Kind], kind: int, value: float) -> str:
    """What was drawn, in a few words."""
    entry = table[kind]
    if not entry.greatest:
        return entry.name
    shown = {
        "rotate": f"{value:.0f}\N{DEGREE SIGN}",
        "posterize": f"-{value:.0f} bit",
        "solarize": f"{255 - value:.0f}",
    }
    shown |= dict.fromkeys(("translate_x", "translate_y"), f"{value:+.0%}")
    shown |= {"solarize": f"{255 - value:.0f}"}
    name = entry.name.replace("_", " ").replace("color", "colour")
    return f"{name} {shown.get(entry.name, f'{value:+.2f}')}"
