"""Scales, ticks and the axes of a panel."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag

WIDTH = 360
"""Of a panel, in its own units: about pixels on a phone, so that text keeps its size there."""

_LETTER = 7
"""Width of a digit of a tick's text, the widest of fonts."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """From numbers to places of a panel.

    Attributes:
      low: the number at `start`.
      high: the number at `end`.
      start: place of the low end.
      end: place of the high end.
      ticks: numbers to label.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        start: float,
        end: float,
        *,
        count: int = 5,
        margin: float = 0.04,
    ) -> Scale:
        """Returns a scale that holds all values that are numbers, with about `count` round ticks."""
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        if low == high:
            room = abs(low) / 2 or 1.0
            low, high = low - room, high + room
        room = margin * (high - low)
        low, high = low - room, high + room
        step = _round_step((high - low) / count)
        first = math.ceil(low / step)
        ticks = tuple(k * step for k in range(first, math.floor(high / step) + 1))
        return cls(low, high, start, end, ticks)

    def __call__(self, value: float) -> float:
        """Returns the place of a number, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def labels(self) -> list[str]:
        """The ticks as text, with as many decimals as they need."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else self.high - self.low
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        places += bool(round(step * 10**places, 6) % 1)
        return [f"{tick + 0.0:,.{places}f}" for tick in self.ticks]


def _round_step(least: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= least * (1 - 1e-9))


def ticks_below(scale: Scale, top: float, bottom: float, label: str | None = None) -> Markup:
    """Returns grid lines from `top` to `bottom` and the ticks' text below; readers have it in words."""
    lines = [
        tag("line", x1=scale(t), x2=scale(t), y1=top, y2=bottom, class_="grid") for t in scale.ticks
    ]
    texts = [
        tag("text", text, **_within(scale(t), text), y=bottom + 15, class_="tick")
        for t, text in zip(scale.ticks, scale.labels)
    ]
    middle = (scale.start + scale.end) / 2
    name = label and tag(
        "text", label, x=middle, y=bottom + 31, text_anchor="middle", class_="tick"
    )
    return tag("g", join(lines, texts, name), aria_hidden="true")


def _within(middle: float, text: str) -> dict[str, object]:
    """Place and anchor of a tick's text, which would be cut where it leaves the drawing."""
    half = _LETTER * len(text) / 2
    if middle < half:
        return {"x": 0, "text_anchor": "start"}
    if middle > WIDTH - half:
        return {"x": WIDTH, "text_anchor": "end"}
    return {"x": middle, "text_anchor": "middle"}


def ticks_left(scale: Scale, left: float, right: float) -> Markup:
    """Returns grid lines from `left` to `right` and the ticks' text before them."""
    lines = [
        tag("line", y1=scale(t), y2=scale(t), x1=left, x2=right, class_="grid") for t in scale.ticks
    ]
    texts = [
        tag("text", text, x=left - 5, y=scale(t) + 4, text_anchor="end", class_="tick")
        for t, text in zip(scale.ticks, scale.labels)
    ]
    return tag("g", join(lines, texts), aria_hidden="true")


def line_beside_text(x: float, rows: Sequence[tuple[float, float]]) -> Markup:
    """Returns a dashed line down a drawing of rows, which leaves out the text at the head of each.

    Args:
      x: where it is.
      rows: from where to where it goes, below the text of each row.
    """
    path = "".join(f"M{x:g} {top:g}V{bottom:g}" for top, bottom in rows)
    return tag("path", d=path, class_="zero", aria_hidden="true")


def drawing(height: float, *children: object, label: str, width: float = WIDTH) -> Markup:
    """Returns an SVG whose marks are read one by one, under a name of its own."""
    return tag(
        "svg", *children, viewBox=f"0 0 {width:g} {height:g}", role="group", aria_label=label
    )


def mark(label: str, *children: object, class_: str) -> Markup:
    """Returns a part of a drawing that can be hovered, focused and read: `label` says what it shows."""
    return tag(
        "g",
        tag("title", label),
        *children,
        class_=class_,
        tabindex="0",
        role="img",
        aria_label=label,
    )


def panel(title: str, note: str | None, drawn: Markup) -> Markup:
    """Returns a drawing with its caption above."""
    return tag("figure", tag("figcaption", title, note and tag("small", note)), drawn)
