"""Pictures of what a policy does to images, drawn without a display."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import FeatureBatch, as_column
from tfrs_augment.ops import Op
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import KeyedRng

_WIDTH, _LINE, _HEAD = 1.9, 0.125, 0.24
"""Inches: of a column, of a line of a label, and of the heads."""
_CHARACTERS = 27
"""Of a line of a label."""


def plot_augmentations(
    policy: AugmentationPolicy,
    batch: Mapping[str, Any],
    path: str | os.PathLike | None = None,
    *,
    draws: int = 4,
    rows: int = 4,
    feature: str | None = None,
) -> Figure:
    """Shows images as they are and as a policy makes them, each with what was drawn for it.

    Args:
      policy: a policy with ops on images.
      batch: name to column, with the images as `[batch, height, width, channels]` and the policy's key
        features. Without key features in the policy, rows are told apart by their place.
      path: of a PNG to write. Default: none is written.
      draws: how many draws to show beside the original, from draw number 0 on.
      rows: how many rows of the batch to show.
      feature: the images' name. Default: the first feature that the policy changes and that is images.

    Returns:
      The figure of matplotlib; a notebook shows it. A column a draw, the original first.

    Raises:
      UnknownFeatureError: the batch has no such feature.
      DataError: no feature that the policy changes is images.
      InvalidArgumentError: `draws` or `rows` is less than 1.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.RandomAffine("image", rotation=40)])
      >>> figure = aug.plot_augmentations(policy, {"image": tf.zeros([3, 8, 8, 3])}, rows=2)
      >>> len(figure.axes)
      10
    """
    for name, value in (("draws", draws), ("rows", rows)):
        if not isinstance(value, int) or value < 1:
            raise InvalidArgumentError(
                f"`{name}` must be an integer of at least 1. Received: {name}={value!r}."
            )
    feature = _image_feature(policy, batch, feature)
    columns = {name: as_column(name, value)[:rows] for name, value in batch.items()}
    count = int(tf.shape(columns[feature])[0])
    keys = (
        policy.row_keys(columns)
        if policy.key_features
        else tf.bitcast(tf.range(count, dtype=tf.int64), tf.uint64)
    )
    ops = [op for op in policy.ops if feature in op.features]
    bounds = next(
        (p.value_range for op in ops for p in op.parts() if hasattr(p, "value_range")), None
    )
    cells = [[(image, "", bounds) for image in columns[feature].numpy()]]
    for draw in range(draws):
        rng, rows_now = KeyedRng(policy.seed, keys, draw), FeatureBatch(columns, keys)
        labels: list[list[str]] = [[] for _ in range(count)]
        for op in policy.ops:
            params = op.draw(rows_now, rng.fork(op.id))
            rows_now = op.apply(rows_now, params)
            if op in ops:
                for row, words in enumerate(labels):
                    words.extend(_labels(op, _row_of(params, row)))
        shown = _scaled(bounds, ops)
        images = rows_now[feature].numpy()
        cells.append([(image, ", ".join(words), shown) for image, words in zip(images, labels)])
    figure = _grid([list(row) for row in zip(*cells, strict=True)])
    if path is not None:
        figure.savefig(path)
    return figure


def _image_feature(
    policy: AugmentationPolicy, batch: Mapping[str, Any], feature: str | None
) -> str:
    names = policy.features if feature is None else (feature,)
    for name in names:
        if name in batch and len(getattr(batch[name], "shape", ())) == 4:
            return name
    if feature is not None and feature not in batch:
        raise UnknownFeatureError(
            f"The batch has no feature '{feature}'. {close_matches(feature, batch)}"
        )
    raise DataError(
        "plot_augmentations needs a feature of images, [batch, height, width, channels], that the policy "
        f"changes. Received: {', '.join(map(repr, names)) or 'a policy without ops'}."
    )


def _scaled(bounds: tuple[float, float] | None, ops: Sequence[Op]) -> tuple[float, float] | None:
    """The bounds of pixels after all ops: some rescale them."""
    factor = 1.0
    for op in ops:
        for part in op.parts():
            factor *= getattr(part, "rescale", None) or 1.0
    return None if bounds is None else (bounds[0] * factor, bounds[1] * factor)


def _row_of(params: Any, row: int) -> Any:
    """What was drawn for one row, as Python values."""
    if isinstance(params, Mapping):
        return {name: _row_of(value, row) for name, value in params.items()}
    if isinstance(params, tf.Tensor) and params.shape.rank:
        return params[row].numpy().tolist()
    return params


def _labels(op: Op, drawn: Mapping[str, Any]) -> Iterator[str]:
    """What an op did to a row, part by part."""
    parts = getattr(op, "ops", None)
    if parts is not None:
        for part in parts:
            if drawn[part.id]["rows"]:
                yield from _labels(part, drawn[part.id]["drawn"])
    elif not hasattr(op, "label"):
        yield type(op).__name__
    elif drawn.get("acts", True):
        words = op.label(drawn)
        if words:
            yield words


def _grid(cells: list[list[tuple[np.ndarray, str, tuple[float, float] | None]]]) -> Figure:
    """A figure with an image and its label in each cell."""
    texts = [[_wrapped(text) for _, text, _ in row] for row in cells]
    lines = [max(text.count("\n") + 1 for text in row) for row in texts]
    tallest = [max(image.shape[0] / image.shape[1] for image, _, _ in row) for row in cells]
    heights = [
        _WIDTH * min(ratio, 2.0) + _LINE * count + 0.1 for ratio, count in zip(tallest, lines)
    ]
    columns = len(cells[0])
    width, total = _WIDTH * columns + 0.1, sum(heights) + _HEAD
    figure = Figure(figsize=(width, total), dpi=130)
    FigureCanvasAgg(figure)
    for column in range(columns):
        head = "original" if column == 0 else f"draw {column - 1}"
        place = ((_WIDTH * (column + 0.5) + 0.05) / width, 1 - 0.12 / total)
        figure.text(*place, head, ha="center", va="center", fontsize=8, weight="bold")
    bottom = sum(heights)
    for row, words, height, count in zip(cells, texts, heights, lines):
        bottom -= height
        for column, ((image, _, bounds), text) in enumerate(zip(row, words)):
            left, base = _WIDTH * column + 0.08, bottom + _LINE * count + 0.06
            side, tall = _WIDTH - 0.06, height - _LINE * count - 0.1
            axes = figure.add_axes([left / width, base / total, side / width, tall / total])
            axes.set_axis_off()
            axes.set_anchor("S")
            axes.imshow(_picture(image, bounds), cmap="gray", vmin=0.0, vmax=1.0)
            axes.text(
                0.5, -0.02, text, transform=axes.transAxes, ha="center", va="top", fontsize=6.8
            )  # fmt: skip
    return figure


def _wrapped(label: str) -> str:
    """A label in short lines, broken between its parts alone."""
    joined = label.replace(" ", "\N{NO-BREAK SPACE}")
    for mark in (",", "\N{NO-BREAK SPACE}+"):
        joined = joined.replace(f"{mark}\N{NO-BREAK SPACE}", f"{mark} ")
    return textwrap.fill(joined, _CHARACTERS)


def _picture(image: np.ndarray, bounds: tuple[float, float] | None) -> np.ndarray:
    """An image as matplotlib shows it: floats in [0, 1], RGB, RGBA or grey."""
    low, high = bounds or (0.0, 255.0)
    scaled = np.clip((np.nan_to_num(image.astype(np.float64)) - low) / (high - low), 0.0, 1.0)
    return scaled if image.shape[-1] in (3, 4) else scaled[..., 0]
