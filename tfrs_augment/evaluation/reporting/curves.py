"""Curves of trainings, drawn without a display."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfrs_augment.errors import DataError, InvalidArgumentError, close_matches
from tfrs_augment.evaluation.reporting.plots import _COLOURS

if TYPE_CHECKING:
    import tf_keras

    History = tf_keras.callbacks.History | Mapping[str, Sequence[float]]

_VALIDATION = "val_"
_STYLES = {"": ":", _VALIDATION: "-"}
_MOST_COLUMNS = 3
_MOST_DOTS = 30
"""Epochs up to which each has a dot; a single epoch would else show nothing."""


def plot_training(
    histories: Mapping[str, History],
    path: str | os.PathLike | None = None,
    *,
    metrics: Sequence[str] | None = None,
    best_epochs: Mapping[str, int] | None = None,
) -> Figure:
    """Draws the loss and the metrics of one or several trainings, epoch by epoch.

    A metric has a panel, and its validation twin, whose name begins with "val_", is in the same one:
    training dotted, validation as a line, a colour for each training. A training that lacks a metric is
    left out of its panel.

    Args:
      histories: name to the `History` that `model.fit` returned, or to a mapping from metric to its
        values, one an epoch. NaN leaves a gap.
      path: of a PNG to write. Default: none is written.
      metrics: the metrics to draw, without "val_". Default: all, in the order in which they come.
      best_epochs: name of a training to the epoch to mark, from 0, as Keras counts: the one whose
        weights were kept. Default: none is marked.

    Returns:
      The figure of matplotlib; a notebook shows it.

    Raises:
      InvalidArgumentError: there is nothing to draw, or an argument names what is not there.
      DataError: the values of a metric are no numbers, one an epoch.

    Example:
      >>> import tfrs_augment as aug
      >>> curves = {"loss": [3.0, 2.0, 1.5], "val_loss": [3.1, 2.5, 2.6]}
      >>> figure = aug.evaluation.plot_training({"baseline": curves}, best_epochs={"baseline": 1})
      >>> [axes.get_title() for axes in figure.axes]
      ['loss']
    """
    curves = {name: _values(name, history) for name, history in histories.items()}
    shown = _metrics(curves, metrics)
    best_epochs = _checked_epochs(curves, best_epochs or {})
    columns = min(len(shown), _MOST_COLUMNS)
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(4.2 * columns + 0.4, 3.2 * rows + 0.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, metric in zip(panels, shown, strict=False):
        for number, (name, values) in enumerate(curves.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            _draw(axes, values, metric, colour, best_epochs.get(name))
        axes.set_title(metric, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for axes in list(figure.axes)[len(shown) :]:
        axes.remove()
    _legend(figure, curves, marked=bool(best_epochs))
    if path is not None:
        figure.savefig(path)
    return figure


def _draw(axes, values: Mapping[str, np.ndarray], metric: str, colour: str, best: int | None):
    """One training in one panel."""
    for prefix, style in _STYLES.items():
        if prefix + metric not in values:
            continue
        line = values[prefix + metric]
        dot = "." if len(line) <= _MOST_DOTS else None
        axes.plot(range(1, len(line) + 1), line, style, color=colour, marker=dot)
        # On the validation line, where there is one: it is what an epoch is chosen by.
        if best is not None and (prefix or _VALIDATION + metric not in values):
            axes.plot([best + 1], line[best : best + 1], "o", color=colour, fillstyle="none", ms=9)


def _legend(figure: Figure, curves: Mapping[str, Mapping[str, np.ndarray]], *, marked: bool):
    """Trainings by colour, training and validation by style."""
    handles = [
        Line2D([], [], color=_COLOURS[number % len(_COLOURS)], lw=3, label=name)
        for number, name in enumerate(curves)
    ]
    grey = {"color": "0.35"}
    handles.append(Line2D([], [], linestyle=_STYLES[""], label="training", **grey))
    if any(metric.startswith(_VALIDATION) for values in curves.values() for metric in values):
        style = _STYLES[_VALIDATION]
        handles.append(Line2D([], [], linestyle=style, label="validation", **grey))
    if marked:
        mark = {"marker": "o", "fillstyle": "none", "linestyle": "none"}
        handles.append(Line2D([], [], label="epoch that was kept", **mark, **grey))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 4), fontsize=9
    )


def _values(name: str, history: History) -> dict[str, np.ndarray]:
    """The curves of one training as arrays."""
    history = getattr(history, "history", history)
    if not isinstance(history, Mapping):
        raise InvalidArgumentError(
            "`histories` must hold what `model.fit` returned, or mappings from metric to values. "
            f"Received: a {type(history).__name__} for {name!r}."
        )
    values = {}
    for metric, line in history.items():
        try:
            values[metric] = np.asarray(line, np.float64)
        except (TypeError, ValueError) as error:
            raise _no_numbers(name, metric, line) from error
        if values[metric].ndim != 1:
            raise _no_numbers(name, metric, line)
    return values


def _no_numbers(name: str, metric: str, line: object) -> DataError:
    return DataError(
        "The values of a metric must be numbers, one an epoch. "
        f"Received: {line!r} for {metric!r} of {name!r}."
    )


def _metrics(
    curves: Mapping[str, Mapping[str, np.ndarray]], metrics: Sequence[str] | None
) -> list[str]:
    """The metrics to draw, each once, without "val_"."""
    found = dict.fromkeys(
        metric.removeprefix(_VALIDATION)
        for values in curves.values()
        for metric, line in values.items()
        if len(line)
    )
    if not found:
        raise InvalidArgumentError(
            "`histories` must hold at least one epoch of one training. "
            f"Received: {', '.join(map(repr, curves)) or 'none'}, without a value."
        )
    if metrics is None:
        return list(found)
    wanted = list(dict.fromkeys([metrics] if isinstance(metrics, str) else metrics))
    for metric in wanted:
        if metric not in found:
            raise InvalidArgumentError(
                "`metrics` must name metrics of the trainings, without 'val_'. "
                f"Received: {metric!r}. {close_matches(metric, found)}"
            )
    if not wanted:
        raise InvalidArgumentError("`metrics` must name at least one. Received: metrics=().")
    return wanted


def _checked_epochs(
    curves: Mapping[str, Mapping[str, np.ndarray]], epochs: Mapping[str, int]
) -> Mapping[str, int]:
    for name, epoch in epochs.items():
        if name not in curves:
            raise InvalidArgumentError(
                f"`best_epochs` must name trainings of `histories`. Received: {name!r}. "
                f"{close_matches(name, curves)}"
            )
        length = max(map(len, curves[name].values()), default=0)
        if not 0 <= epoch < length:
            raise InvalidArgumentError(
                f"`best_epochs` must be epochs of their training, from 0 to {length - 1}. "
                f"Received: {epoch} for {name!r}."
            )
    return epochs
