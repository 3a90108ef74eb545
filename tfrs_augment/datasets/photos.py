"""Product photos of the simulated shop, drawn: the outline tells the category, the paint the colour.

The fabric's pattern tells the brand: plain, striped, checked or dotted, with a period and an angle
that are the brand's own. Size, tilt, place, light, background and grain are of the photo alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrs_augment import errors, rng
from tfrs_augment.datasets import interactions, shop

_PART = 256  # Photos drawn at once: the planes of more would leave the processor's cache.
_RGB = {
    "black": (38, 38, 42),
    "white": (240, 240, 236),
    "grey": (136, 138, 142),
    "navy": (36, 48, 104),
    "red": (196, 42, 44),
    "green": (52, 128, 72),
    "yellow": (236, 196, 52),
    "pink": (236, 140, 172),
    "beige": (212, 190, 152),
    "brown": (122, 78, 46),
}

# An outline is a function of x (to the right) and y (down), both in [-1, 1]: how far a point lies
# inside, negative outside. A second value says the same of a detail: a zip, a sole, a clock face.
Plane = np.ndarray
Outline = Callable[[Plane, Plane], tuple[Plane, Plane]]


def draw_photos(items: interactions.Table, *, seed: int = 0, size: int = 48) -> np.ndarray:
    """Draws a photo of each item.

    A photo depends on the seed, the size and its item's id, category, colour and brand alone, not
    on the items beside it.

    Args:
      items: a catalogue of the simulated shop, or some of its rows: `item_id`, `item_category`,
        `item_colour` and `item_brand`, bytes `[n]`.
      seed: any integer.
      size: height and width in pixels, at least 16.

    Returns:
      uint8 `[n, size, size, 3]`, RGB.

    Raises:
      InvalidArgumentError: `size` is too small.
      DataError: a category or colour is none of the shop's.

    Example:
      >>> items = shop.simulated_shop("tiny").items
      >>> draw_photos(items, size=32).shape
      (160, 32, 32, 3)
    """
    if size < 16:
        raise errors.InvalidArgumentError(f"`size` must be at least 16. Received: size={size}.")
    category = _places(items["item_category"], shop.CATEGORIES, "item_category")
    colour = _places(items["item_colour"], shop.COLOURS, "item_colour")
    photos = np.empty((len(category), size, size, 3), np.uint8)
    for number, name in enumerate(shop.CATEGORIES):
        same = np.flatnonzero(category == number)
        for start in range(0, len(same), _PART):
            part = same[start : start + _PART]
            ids, brands = items["item_id"][part], items["item_brand"][part]
            paint = np.array([_RGB[shop.COLOURS[c]] for c in colour[part]], np.float32) / 255
            photos[part] = _draw(_OUTLINES[name], paint, ids, brands, seed, size)
    return photos


def encode_photos(photos: np.ndarray, *, image_format: str = "png") -> np.ndarray:
    """Returns bytes `[n]`, each photo as a PNG or JPEG file.

    Args:
      photos: uint8 `[n, height, width, 3]`.
      image_format: "png", which keeps every pixel, or "jpeg", a quarter of the size.

    Raises:
      InvalidArgumentError: `image_format` is another.
    """
    if image_format not in ("png", "jpeg"):
        raise errors.InvalidArgumentError(
            f"`image_format` must be 'png' or 'jpeg'. Received: image_format={image_format!r}."
        )
    encode = tf.io.encode_png if image_format == "png" else tf.io.encode_jpeg
    # Both formats end with a byte that is not 0, so NumPy's padding takes nothing away.
    return np.array([encode(photo).numpy() for photo in photos], "S")


def _places(column: np.ndarray, names: tuple[str, ...], column_name: str) -> np.ndarray:
    """Returns int64 `[n]`, the places of the values among the names."""
    matches = column[:, None] == np.array(names, "S")
    if not matches.any(axis=1).all():
        unknown = column[~matches.any(axis=1)][0]
        raise errors.DataError(
            f"`items[{column_name!r}]` must hold values of the simulated shop: "
            f"{', '.join(names)}. Received: {bytes(unknown)!r}."
        )
    return matches.argmax(axis=1)


def _keyed(seed: int, names: np.ndarray) -> rng.KeyedRng:
    """Returns random numbers that belong to the names."""
    words = tf.bitcast(tf.fingerprint(tf.constant(names)), tf.uint64)
    return rng.KeyedRng(seed, words).fork("photo")


def _draw(
    outline: Outline, paint: np.ndarray, ids: np.ndarray, brands: np.ndarray, seed: int, size: int
) -> np.ndarray:
    """Returns uint8 `[n, size, size, 3]`, photos of items that share an outline."""
    count = len(ids)
    keyed = _keyed(seed, ids)
    # Twelve numbers a photo, each [n, 1, 1] in [-1, 1).
    draws = 2 * keyed.uniform(tf.zeros([count, 12]), stream="photo").numpy()[..., None, None] - 1
    tilt, zoom, right, down, light, bright, ground, tint, phase, fold = (
        draws[:, i] for i in range(10)
    )
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    column, row = np.broadcast_to(axis, (1, size, size)), axis[None, :, None]

    angle, scale = 0.2 * tilt, 1.12 + 0.12 * zoom
    x, y = column - 0.1 * right, row - 0.08 * down
    x, y = (
        scale * (np.cos(angle) * x + np.sin(angle) * y),
        scale * (np.cos(angle) * y - np.sin(angle) * x),
    )
    pixel = 2 * scale / size
    inside, detail = outline(x, y)
    cover = np.clip(inside / pixel + 0.5, 0, 1)
    marked = np.clip(detail / pixel + 0.5, 0, 1) * cover

    # Light from one side, a few folds in the fabric, and darker rims.
    side = np.cos(1.5 * light) * y + np.sin(1.5 * light) * x
    shade = 1 + 0.1 * bright - 0.14 * side
    shade += 0.05 * np.sin(5 * x + 4 * fold * y + 3 * phase) * np.cos(3 * y + 5 * fold)
    shade *= 0.78 + 0.22 * np.clip(inside / 0.16, 0, 1)
    cloth = paint[:, None, None, :] * (shade * _pattern(_keyed(seed, brands), x, y))[..., None]
    # Details stand out from light cloth darker, from dark cloth lighter.
    dark = paint.mean(axis=1)[:, None, None, None] < 0.35
    cloth += marked[..., None] * np.where(dark, 0.3, -0.45 * cloth)

    backdrop = 0.86 + 0.07 * ground - 0.06 * row
    # A soft shadow below: the ground is darker where the thing, moved down, would be.
    backdrop = backdrop - 0.12 * np.clip(0.5 + (0.2 - np.hypot(x, (y - 0.85) * 3)) / 0.6, 0, 1)
    backdrop = backdrop[..., None] + 0.03 * tint[..., None] * np.array([1.0, 0.0, -1.0])
    photo = backdrop + cover[..., None] * (cloth - backdrop)
    grain = keyed.normal(tf.zeros([count, size, size]), stream="grain").numpy()
    photo = photo + 0.015 * grain[..., None]
    return np.clip(np.rint(255 * photo), 0, 255).astype(np.uint8)


def _pattern(keyed: rng.KeyedRng, x: Plane, y: Plane) -> Plane:
    """Returns what the paint is multiplied with: the fabric of each item's brand."""
    kind = keyed.integers(4, stream="kind").numpy()[:, None, None]
    period, angle = (
        keyed.uniform(stream=name).numpy()[:, None, None] for name in ("period", "angle")
    )
    wave = 2 * np.pi * (2.5 + 2 * period)
    a = np.sin(wave * (np.cos(np.pi * angle) * x + np.sin(np.pi * angle) * y))
    b = np.sin(wave * (np.cos(np.pi * angle) * y - np.sin(np.pi * angle) * x))
    plain, stripes = np.zeros_like(a), a
    checks = np.where(a > 0, 0.5, -0.5) + np.where(b > 0, 0.5, -0.5)
    dots = np.where(a * b > 0.35, 1.2, -0.2)
    return 1 - 0.24 * np.choose(kind, [plain, stripes, checks, dots])


def _box(x: Plane, y: Plane, left: float, right: float, top: float, bottom: float) -> Plane:
    return np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))


def _ellipse(x: Plane, y: Plane, cx: float, cy: float, rx: float, ry: float) -> Plane:
    return (1 - np.hypot((x - cx) / rx, (y - cy) / ry)) * min(rx, ry)


def _taper(x: Plane, y: Plane, top: float, bottom: float, upper: float, lower: float) -> Plane:
    """A trapezoid about x = 0, from half width `upper` to half width `lower`."""
    half = upper + (lower - upper) * (y - top) / (bottom - top)
    return np.minimum(half - np.abs(x), np.minimum(y - top, bottom - y))


def _bar(
    x: Plane, y: Plane, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Plane:
    """A bar with round ends between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    return radius - np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)


def _union(*parts: Plane) -> Plane:
    return np.maximum.reduce(parts)


def _jacket(x, y):
    body = _taper(x, y, -0.6, 0.7, 0.4, 0.46)
    arm = _bar(np.abs(x), y, (0.38, -0.45), (0.62, 0.5), 0.15)
    collar = _taper(x, y, -0.78, -0.55, 0.16, 0.26)
    zipper = _union(
        _box(x, y, -0.03, 0.03, -0.7, 0.7), _bar(np.abs(x), y, (0.14, 0.3), (0.3, 0.4), 0.035)
    )
    return _union(body, arm, collar), zipper


def _trousers(x, y):
    leg = _bar(np.abs(x), y, (0.2, -0.5), (0.28, 0.85), 0.18)
    hips = _taper(x, y, -0.85, -0.1, 0.32, 0.4)
    return np.minimum(_union(leg, hips), 0.9 - y), _box(x, y, -0.4, 0.4, -0.85, -0.76)


def _shirt(x, y):
    body = _box(x, y, -0.4, 0.4, -0.55, 0.75)
    sleeve = _bar(np.abs(x), y, (0.36, -0.42), (0.66, -0.1), 0.17)
    neck = _ellipse(x, y, 0, -0.58, 0.18, 0.14)
    button = _union(*(_ellipse(x, y, 0, place, 0.05, 0.05) for place in (-0.25, 0.05, 0.35)))
    return np.minimum(_union(body, sleeve), -neck), button


def _shoes(x, y):
    foot = np.minimum(_ellipse(x, y, 0.1, 0.28, 0.78, 0.42), 0.36 - y)
    heel = _box(x, y, -0.68, -0.1, -0.22, 0.36)
    sole = _box(x, y, -0.72, 0.86, 0.3, 0.46)
    return _union(foot, heel, sole), sole


def _boots(x, y):
    shaft = _box(x, y, -0.42, 0.1, -0.8, 0.6)
    foot = np.minimum(_ellipse(x, y, 0.08, 0.62, 0.56, 0.42), 0.66 - y)
    sole = _union(_box(x, y, -0.44, 0.66, 0.6, 0.74), _box(x, y, -0.44, -0.16, 0.7, 0.86))
    return _union(shaft, foot, sole), sole


def _bag(x, y):
    body = _taper(x, y, -0.2, 0.75, 0.6, 0.72)
    ring = 0.07 - np.abs(np.hypot(x / 0.36, (y + 0.2) / 0.5) - 1) * 0.4
    flap = _box(x, y, -0.64, 0.64, 0.08, 0.14)
    return _union(body, np.minimum(ring, -0.15 - y)), flap


def _hat(x, y):
    dome = np.minimum(_ellipse(x, y, 0, 0.2, 0.48, 0.72), 0.24 - y)
    brim = _ellipse(x, y, 0, 0.26, 0.88, 0.2)
    return _union(dome, brim), _box(x, y, -0.48, 0.48, -0.04, 0.12)


def _dress(x, y):
    bodice = _taper(x, y, -0.6, -0.1, 0.3, 0.2)
    skirt = _taper(x, y, -0.15, 0.88, 0.2, 0.66)
    strap = _bar(np.abs(x), y, (0.2, -0.86), (0.22, -0.55), 0.05)
    return _union(bodice, skirt, strap), _box(x, y, -0.22, 0.22, -0.17, -0.07)


def _knitwear(x, y):
    body = _box(x, y, -0.44, 0.44, -0.5, 0.66)
    arm = _bar(np.abs(x), y, (0.4, -0.36), (0.78, 0.4), 0.17)
    roll = _box(x, y, -0.2, 0.2, -0.82, -0.45)
    hem = _box(x, y, -0.5, 0.5, 0.54, 0.7)
    return _union(body, arm, roll), _union(hem, _box(x, y, -0.2, 0.2, -0.64, -0.58))


def _socks(x, y):
    side = np.where(x < 0, x + 0.45, x - 0.4)
    leg = _box(side, y, -0.17, 0.13, -0.75, 0.45)
    foot = _bar(side, y, (-0.02, 0.52), (0.24, 0.58), 0.16)
    return _union(leg, foot), _box(side, y, -0.2, 0.2, -0.62, -0.52)


def _watch(x, y):
    strap = _taper(np.abs(y), x, -0.24, 0.24, 0.92, 0.92)
    case = _ellipse(x, y, 0, 0, 0.46, 0.46)
    hands = _union(_bar(x, y, (0, 0), (0, -0.26), 0.04), _bar(x, y, (0, 0), (0.18, 0.06), 0.04))
    rim = 0.05 - np.abs(np.hypot(x, y) - 0.38)
    return _union(strap, case), _union(hands, rim)


def _swimwear(x, y):
    cup = _ellipse(np.abs(x), y, 0.24, -0.35, 0.22, 0.22)
    string = _bar(np.abs(x), y, (0.24, -0.5), (0.1, -0.85), 0.035)
    band = _box(x, y, -0.56, 0.56, -0.3, -0.23)
    slip = np.minimum(_taper(x, y, 0.2, 0.75, 0.56, 0.02), y - 0.2)
    return _union(cup, string, band, slip), _box(x, y, -0.56, 0.56, 0.2, 0.28)


_OUTLINES: dict[str, Outline] = {
    "jacket": _jacket,
    "trousers": _trousers,
    "shirt": _shirt,
    "shoes": _shoes,
    "boots": _boots,
    "bag": _bag,
    "hat": _hat,
    "dress": _dress,
    "knitwear": _knitwear,
    "socks": _socks,
    "watch": _watch,
    "swimwear": _swimwear,
}
