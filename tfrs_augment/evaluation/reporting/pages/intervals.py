"""Intervals as lines of a panel."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from tfrs_augment.evaluation.reporting.pages.axes import (
    WIDTH,
    Scale,
    drawing,
    line_beside_text,
    mark,
    ticks_below,
)
from tfrs_augment.evaluation.reporting.pages.markup import Markup, tag

_ROW, _TOP, _FOOT, _SIDE = 42, 4, 22, 12
_LONGEST = 28
"""Characters of a name that fit beside the numbers; the rest is in the title."""

_CLASSES = {"helps": "helps", "hurts": "hurts", "can't tell": "unclear", "": ""}


def verdict_class(word: str) -> str:
    """Returns the class that colours a verdict."""
    return _CLASSES[word]


@dataclasses.dataclass(frozen=True)
class Interval:
    """One line of a panel.

    Attributes:
      name: whose value it is.
      value: the number.
      low: lower end of its interval.
      high: upper end.
      word: a verdict that colours it and shapes its mark, or "".
    """

    name: str
    value: float
    low: float
    high: float
    word: str = ""

    def text(self, *, signed: bool) -> str:
        """The numbers, such as "+0.0068 [+0.0021, +0.0118]"."""
        form = "+.4f" if signed else ".4f"
        if not self.known:
            return f"{self.value:{form}}"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"

    @property
    def known(self) -> bool:
        """Whether its ends are; those of a metric of the whole catalogue are not with one seed."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def intervals(rows: Sequence[Interval], *, label: str, signed: bool) -> Markup:
    """Returns a drawing with a line an interval.

    Args:
      rows: from top to bottom.
      label: what the drawing shows, for readers who don't see it.
      signed: whether values are differences: signs are shown, and 0 is a dashed line.
    """
    bottom = _TOP + _ROW * len(rows)
    values = [number for row in rows for number in (row.value, row.low, row.high)]
    scale = Scale.over([0.0, *values], _SIDE, WIDTH - _SIDE)
    tops = [_TOP + _ROW * i for i in range(len(rows))]
    zero = None
    if signed:
        zero = line_beside_text(scale(0), [(top + 20, top + _ROW) for top in tops])
    lines = [_line(row, scale, top, signed) for row, top in zip(rows, tops)]
    return drawing(bottom + _FOOT, ticks_below(scale, _TOP, bottom), zero, lines, label=label)


def _line(row: Interval, scale: Scale, top: float, signed: bool) -> Markup:
    text = row.text(signed=signed)
    said = f"{row.name}: {text}" + (f", {row.word}" if row.word else "")
    name = row.name if len(row.name) <= _LONGEST else row.name[: _LONGEST - 1] + "…"
    middle = top + 26
    ends = [
        tag("line", x1=scale(x), x2=scale(x), y1=middle - 4, y2=middle + 4, class_="mark")
        for x in (row.low, row.high)
        if row.known
    ]
    bar = row.known and tag(
        "line", x1=scale(row.low), x2=scale(row.high), y1=middle, y2=middle, class_="mark"
    )
    return mark(
        said,
        tag("rect", x=1, y=top + 1, width=WIDTH - 2, height=_ROW - 2, rx=4, class_="hit"),
        tag("text", name, x=_SIDE - 6, y=top + 15),
        tag("text", text, x=WIDTH - 6, y=top + 15, text_anchor="end", class_="tick"),
        bar or None,
        ends,
        _shape(row.word, scale(row.value), middle) if math.isfinite(row.value) else None,
        class_=verdict_class(row.word) or "s0",
    )


def _shape(word: str, x: float, y: float) -> Markup:
    """Up for what helps, down for what hurts, round else: told apart without colours."""
    if word in ("helps", "hurts"):
        way = -1 if word == "helps" else 1
        points = f"M{x - 6:g} {y - 4 * way:g}L{x + 6:g} {y - 4 * way:g}L{x:g} {y + 6 * way:g}Z"
        return tag("path", d=points, class_="mark")
    return tag("circle", cx=x, cy=y, r=4, class_="mark")
