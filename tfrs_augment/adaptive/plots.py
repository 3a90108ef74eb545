"""A picture of what a strategy chose, drawn without a display."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfrs_augment.errors import InvalidArgumentError

_LINE, _DOT = "#0072B2", "#D55E00"


def plot_choices(
    history: Sequence[Mapping[str, Any]],
    arms: Sequence[str],
    monitor: str,
    path: str | os.PathLike | None = None,
) -> Figure:
    """Draws the arm of each epoch, over the chances of all arms, and the monitored metric below.

    Args:
      history: of an `AdaptiveCallback`.
      arms: the names of the arms, from weak to strong.
      monitor: the name of the metric.
      path: of a PNG to write. Default: none is written.

    Returns:
      The figure of matplotlib. A darker field is a likelier arm; a rewarded epoch has its reward beside it.

    Raises:
      InvalidArgumentError: there is no epoch.
    """
    if not history:
        raise InvalidArgumentError(
            "`history` must hold at least one epoch: train with the callback first. Received: none."
        )
    epochs = np.arange(1, len(history) + 1)
    figure = Figure(figsize=(7.2, 4.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    if any(entry["probabilities"] is not None for entry in history):
        blank = [np.nan] * len(arms)
        chances = np.array([entry["probabilities"] or blank for entry in history], np.float64)
        extent = (0.5, len(history) + 0.5, -0.5, len(arms) - 0.5)
        shown = upper.imshow(
            chances.T, aspect="auto", origin="lower", extent=extent, cmap="Greys", vmin=0, vmax=1
        )
        figure.colorbar(shown, ax=upper, label="chance")
    places = np.array(
        [np.nan if entry["place"] is None else entry["place"] for entry in history], np.float64
    )
    upper.plot(epochs, places, "o-", color=_LINE, lw=1, ms=5)
    if np.isnan(places).all():
        upper.text(0.5, 0.5, "by rows", transform=upper.transAxes, ha="center")
    for epoch, place, entry in zip(epochs, places, history):
        if entry["reward"] is not None:
            upper.annotate(
                f"{entry['reward']:.1f}",
                (epoch, place),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=_DOT,
            )
    upper.set_yticks(range(len(arms)), arms)
    upper.set_ylim(-0.5, len(arms) - 0.5)
    upper.set_ylabel("arm in force")
    values = [np.nan if entry["monitor"] is None else entry["monitor"] for entry in history]
    lower.plot(epochs, values, "o-", color=_DOT, lw=1, ms=4)
    lower.set_ylabel(monitor)
    lower.set_xlabel("epoch")
    lower.xaxis.get_major_locator().set_params(integer=True)
    lower.grid(alpha=0.3)
    for axes in (upper, lower):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if path is not None:
        figure.savefig(path)
    return figure
