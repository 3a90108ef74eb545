"""Plots of synthetic rows beside real ones, drawn without a display.

Each returns the figure of matplotlib, which a notebook shows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfrs_augment.datasets.interactions import Interactions, find_ids
from tfrs_augment.evaluation.splitting.splits import catalogue_size
from tfrs_augment.evaluation.synthetic.coded_tables import CodedTables, code_tables
from tfrs_augment.evaluation.synthetic.fidelity import Fidelity
from tfrs_augment.evaluation.synthetic.privacy import Privacy
from tfrs_augment.synthesis.inputs import read_table

# Of Okabe and Ito's palette, told apart by colour-blind readers too.
_REAL, _SYNTHETIC = "#000000", "#E69F00"
_FILL = "#AAAAAA"
_MOST_CATEGORIES = 15
_BINS = 30
_COLUMNS = 4


def plot_marginals(
    real: Any,
    synthetic: Any,
    path: str | os.PathLike | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> Figure:
    """Draws the distribution of each column, real and synthetic.

    Numbers are cut in 30 bins of the range of both; of categories the 15 most frequent real ones are shown,
    and the others together.

    Args:
      real: what `synthesis.read_table` reads.
      synthetic: rows with the same columns.
      path: of a PNG to write. Default: none is written.
      columns: which columns. Default: all of `real` with one value a row.

    Raises:
      UnknownFeatureError: `synthetic` lacks a column.
      DataError: the tables do not fit each other.
    """
    tables = code_tables({"real": real, "synthetic": synthetic}, columns)
    across = min(_COLUMNS, len(tables.names))
    down = -(-len(tables.names) // across)
    canvas = _canvas(3.2 * across, 2.6 * down + 0.4)
    axes = canvas.subplots(down, across, squeeze=False).ravel()
    for axis, name in zip(axes, tables.names):
        draw = _draw_categories if name in tables.categories else _draw_numbers
        draw(axis, tables, name)
        axis.set_title(name, fontsize=10)
        _plain(axis)
    for axis in axes[len(tables.names) :]:
        axis.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return _written(canvas, path)


def plot_pairs(found: Fidelity, path: str | os.PathLike | None = None) -> Figure:
    """Draws how well each pair of columns is kept: the loss of the synthetic rows, and of the hold-out.

    A cell is 1 minus the pair's score, and the diagonal 1 minus the column's; a dark cell is a relation that
    is lost. What the hold-out loses is chance.

    Args:
      found: what `measure_fidelity` found.
      path: of a PNG to write. Default: none is written.
    """
    names = list(found.columns)
    place = {name: index for index, name in enumerate(names)}
    panels = {
        "synthetic": "value",
        "columns independent (floor)": "floor",
        "hold-out (ceiling)": "ceiling",
    }
    losses = []
    for end in panels.values():
        loss = np.full((len(names), len(names)), np.nan)
        for name, score in found.columns.items():
            loss[place[name], place[name]] = 1 - getattr(score, end)
        for (first, second), score in found.pairs.items():
            loss[place[second], place[first]] = 1 - getattr(score, end)
        losses.append(loss)
    size = 0.42 * len(names) + 1.6
    labels = 0.08 * max(map(len, names))  # Inches that the longest name takes, turned.
    canvas = _canvas(len(panels) * size + labels + 0.8, size + labels + 0.5)
    axes = canvas.subplots(1, len(panels), squeeze=False)[0]
    most = max(0.05, np.nanmax([np.nanmax(loss, initial=0.0) for loss in losses]))
    for axis, title, loss in zip(axes, panels, losses):
        image = axis.imshow(loss, vmin=0.0, vmax=most, cmap="viridis_r")
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axis.set_yticks(range(len(names)), names if axis is axes[0] else [], fontsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    canvas.colorbar(image, ax=list(axes), shrink=0.8, label="lost of 1")
    return _written(canvas, path)


def plot_popularity(
    real: Interactions, synthetic: Any, path: str | os.PathLike | None = None
) -> Figure:
    """Draws the popularity of items, real and synthetic, in the order of the real one.

    Args:
      real: the interactions that the synthesizer was fitted on.
      synthetic: its rows, with the item id of `real`.
      path: of a PNG to write. Default: none is written.

    Raises:
      UnknownFeatureError: `synthetic` lacks the id column.
      DataError: an id is not in the catalogue.
    """
    items = catalogue_size(real)
    ids = read_table(synthetic, columns=[real.item_id])[real.item_id]
    found = find_ids(ids, real.items[real.item_id], "the items of `real`")
    counts = [np.bincount(index, minlength=items) for index in (real.item_index(), found)]
    order = np.argsort(-counts[0], kind="stable")
    order = order[: max(1, int((counts[0] > 0).sum()))]
    rank = np.arange(1, len(order) + 1)
    canvas = _canvas(9.0, 3.6)
    curve, scatter = canvas.subplots(1, 2)
    shares = [count[order] / max(count.sum(), 1) for count in counts]
    for share, colour, label in zip(shares[::-1], (_SYNTHETIC, _REAL), ("synthetic", "real")):
        curve.plot(rank, np.cumsum(share), color=colour, label=label)
    curve.set_xlabel("items, the most popular real ones first")
    curve.set_ylabel("share of the rows, cumulated")
    curve.set_ylim(0, 1.02)
    curve.legend(fontsize=9)
    # Half an occurrence stands for none, so that missed items show on an axis of logarithms.
    floor = [0.5 / max(count.sum(), 1) for count in counts]
    scatter.loglog(
        np.maximum(shares[0], floor[0]),
        np.maximum(shares[1], floor[1]),
        ".",
        ms=3,
        color=_SYNTHETIC,
    )
    ends = [min(floor), max(share.max() for share in shares)]
    scatter.plot(ends, ends, color=_REAL, linewidth=1, linestyle="--", label="equal")
    scatter.set_xlabel("share of the real rows, an item a dot")
    scatter.set_ylabel("share of the synthetic rows")
    scatter.legend(fontsize=9)
    for axis in (curve, scatter):
        _plain(axis)
    return _written(canvas, path)


def plot_distances(found: Privacy, path: str | os.PathLike | None = None) -> Figure:
    """Draws the distances of synthetic rows to their nearest training and to their nearest held-out row.

    The two lie on each other where the synthesizer has not learned rows by heart.

    Args:
      found: what `measure_privacy` found.
      path: of a PNG to write. Default: none is written.
    """
    most = float(np.quantile(np.concatenate([found.to_train, found.to_holdout]), 0.995))
    edges = np.linspace(0.0, most if most > 0 else 1.0, _BINS + 1)
    canvas = _canvas(5.6, 3.6)
    axis = canvas.subplots()
    for distances, colour, label in (
        (found.to_holdout, _REAL, "to the nearest held-out row"),
        (found.to_train, _SYNTHETIC, "to the nearest training row"),
    ):
        shares = np.histogram(np.minimum(distances, edges[-1]), edges)[0] / len(distances)
        axis.stairs(shares, edges, color=colour, label=label, linewidth=1.6)
    low, high = found.intervals["closer_to_train"]
    axis.set_title(
        f"{found.values['closer_to_train']:.1%} [{low:.1%}, {high:.1%}] closer to training",
        fontsize=10,
    )
    axis.set_xlabel("distance of a synthetic row")
    axis.set_ylabel("share of the synthetic rows")
    axis.legend(fontsize=9)
    _plain(axis)
    return _written(canvas, path)


def _draw_numbers(axis, tables: CodedTables, name: str) -> None:
    real, synthetic = (table[name] for table in tables.tables.values())
    known = np.concatenate([real[~np.isnan(real)], synthetic[~np.isnan(synthetic)]])
    edges = np.histogram_bin_edges(known, bins=_BINS)
    if edges[-1] - edges[0] <= 2 * _BINS and (known == np.rint(known)).all():
        # A bin a whole number: others would hold one, two or none of them in turn.
        edges = np.arange(known.min() - 0.5, known.max() + 1.0)
    # Shares of all rows, so that missing numbers show as less area.
    shares = [np.histogram(part, edges)[0] / len(part) for part in (real, synthetic)]
    axis.stairs(shares[0], edges, color=_FILL, fill=True, label="real")
    axis.stairs(shares[1], edges, color=_SYNTHETIC, linewidth=1.4, label="synthetic")


def _draw_categories(axis, tables: CodedTables, name: str) -> None:
    values = tables.categories[name]
    shares = [
        np.bincount(table[name], minlength=len(values)) / len(table[name])
        for table in tables.tables.values()
    ]
    order = np.argsort(-shares[0], kind="stable")
    shown, rest = order[:_MOST_CATEGORIES], order[_MOST_CATEGORIES:]
    labels = [_text(value) for value in values[shown].tolist()]
    if len(rest):
        labels.append(f"{len(rest)} others")
    places = np.arange(len(labels))
    for share, colour, label, shift in zip(
        shares, (_FILL, _SYNTHETIC), ("real", "synthetic"), (-0.2, 0.2)
    ):
        heights = [*share[shown], *([share[rest].sum()] if len(rest) else [])]
        axis.bar(places + shift, heights, width=0.4, color=colour, label=label)
    turned = len(labels) * max(map(len, labels)) > _COLUMNS * 6
    axis.set_xticks(places, labels, rotation=90 if turned else 0, fontsize=7)


def _text(value: bytes | float) -> str:
    if isinstance(value, bytes):
        text = value.decode("utf-8", errors="replace") or "(empty)"
        return text if len(text) <= 14 else text[:13] + "…"
    return "(missing)" if math.isnan(value) else f"{value:g}"


def _written(canvas: Figure, path: str | os.PathLike | None) -> Figure:
    if path is not None:
        canvas.savefig(path)
    return canvas


def _canvas(width: float, height: float) -> Figure:
    canvas = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(canvas)
    return canvas


def _plain(axis) -> None:
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", alpha=0.3)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
