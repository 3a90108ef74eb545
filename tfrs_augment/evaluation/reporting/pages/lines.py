"""Lines over epochs or strengths, and points of two slices, as panels."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from tfrs_augment.evaluation.reporting.pages.axes import (
    WIDTH,
    Scale,
    drawing,
    mark,
    ticks_below,
    ticks_left,
)
from tfrs_augment.evaluation.reporting.pages.frame import SERIES
from tfrs_augment.evaluation.reporting.pages.intervals import Interval
from tfrs_augment.evaluation.reporting.pages.markup import Markup, tag

_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 46, 350, 8, 200, 238
_DASHES = (None, "7 3", "2 3", "9 3 2 3", "5 5", "12 3", "4 2", "1 4")
_MOST_DOTS = 30
_MOST_NUMBERS = 12
"""Of points that share a mark; the rest is in its title."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a panel.

    Attributes:
      name: whose it is.
      place: its number among the names of the page, which gives colour and dashes.
      x: places from left to right.
      y: numbers, as many; NaN leaves a gap.
      kept: the x that is ringed; None for none.
      thin: whether it is the fainter of two, such as training beside validation.
    """

    name: str
    place: int
    x: Sequence[float]
    y: Sequence[float]
    kept: float | None = None
    thin: bool = False


def lines(shown: Sequence[Line], *, label: str, x_name: str) -> Markup:
    """Returns a drawing of lines with an axis each way."""
    x = Scale.over([v for line in shown for v in line.x], _LEFT + 6, _RIGHT - 6, margin=0.0)
    y = Scale.over([v for line in shown for v in line.y], _BOTTOM, _TOP)
    if all(float(v).is_integer() for line in shown for v in line.x):
        x = dataclasses.replace(x, ticks=tuple(t for t in x.ticks if float(t).is_integer()))
    drawn = [_line(line, x, y) for line in shown]
    return drawing(
        _HEIGHT,
        ticks_left(y, _LEFT, _RIGHT),
        ticks_below(x, _BOTTOM, _BOTTOM, x_name),
        drawn,
        label=label,
    )


def key(names: Sequence[str], *, ringed: str | None = None) -> Markup:
    """Returns the list of what is drawn how.

    Args:
      names: in the order of their places.
      ringed: what a ring means. Default: there is none.
    """

    def entry(name: str, class_: str, *children: object) -> Markup:
        picture = tag("svg", *children, viewBox="0 0 40 12", aria_hidden="true")
        return tag("li", tag("span", picture, class_=class_), name)

    entries = [
        entry(name, f"s{i % SERIES}", _stroke(i, "M1 6H39", thin=False))
        for i, name in enumerate(names)
    ]
    if ringed:
        entries.append(entry(ringed, "s0", tag("circle", cx=20, cy=6, r=5, class_="ring")))
    return tag("ul", entries, class_="key")


@dataclasses.dataclass(frozen=True)
class Point:
    """A place on two slices.

    Attributes:
      x: on the slice from left to right.
      y: on the slice from bottom to top.
    """

    x: Interval
    y: Interval


def points(shown: Sequence[Point], *, label: str, x_name: str) -> Markup:
    """Returns a drawing of numbered points with intervals both ways and lines through 0.

    Points whose marks would hide one another's numbers share a mark, such as "2, 4", in their middle.
    """
    x = Scale.over([0.0, *_numbers(p.x for p in shown)], _LEFT, _RIGHT)
    y = Scale.over([0.0, *_numbers(p.y for p in shown)], _BOTTOM, _TOP)
    crossing = [
        tag("line", x1=x(0), x2=x(0), y1=_TOP, y2=_BOTTOM, class_="zero", aria_hidden="true"),
        tag("line", x1=_LEFT, x2=_RIGHT, y1=y(0), y2=y(0), class_="zero", aria_hidden="true"),
    ]
    places = {i: (x(p.x.value), y(p.y.value)) for i, p in enumerate(shown, start=1)}
    crosses, marks = [], []
    for numbers in _sharing(places):
        said = []
        for number in numbers:
            point, (cx, cy) = shown[number - 1], places[number]
            across, up = (p.text(signed=True) for p in (point.x, point.y))
            said.append(f"{number}, {point.x.name}: across {across}, up {up}")
            lines_of = [
                tag("line", x1=x(point.x.low), x2=x(point.x.high), y1=cy, y2=cy, class_="mark")
                if point.x.known
                else None,
                tag("line", x1=cx, x2=cx, y1=y(point.y.low), y2=y(point.y.high), class_="mark")
                if point.y.known
                else None,
            ]
            crosses.append(tag("g", lines_of, class_=f"s{number % SERIES}"))
        left, top, width, text = _badge(numbers, places)
        marks.append(
            mark(
                "; ".join(said),
                tag("rect", x=left, y=top, width=width, height=16, rx=8, class_="mark"),
                tag(
                    "text",
                    text,
                    x=round(left + width / 2, 1),
                    y=round(top + 11.5, 1),
                    class_="number",
                ),
                class_=f"s{numbers[0] % SERIES}",
            )
        )
    return drawing(
        _HEIGHT,
        ticks_left(y, _LEFT, _RIGHT),
        ticks_below(x, _TOP, _BOTTOM, x_name),
        crossing,
        # Below all marks, whose numbers they would strike through.
        tag("g", crosses, aria_hidden="true"),
        marks,
        label=label,
    )


def _sharing(places: dict[int, tuple[float, float]]) -> list[list[int]]:
    """The numbers of points, those together whose marks would hide one another's text."""
    found = [[number] for number in places]
    while True:
        boxes = [_badge(numbers, places) for numbers in found]
        hidden = (
            (i, j)
            for i, j in itertools.combinations(range(len(found)), 2)
            if _hides(boxes[i], boxes[j]) or _hides(boxes[j], boxes[i])
        )
        pair = next(hidden, None)
        if pair is None:
            return found
        found[pair[0]] = sorted(found[pair[0]] + found.pop(pair[1]))


def _badge(
    numbers: Sequence[int], places: dict[int, tuple[float, float]]
) -> tuple[float, float, float, str]:
    """Left, top and width of the mark of points, in their middle, and its text."""
    text = ", ".join(map(str, numbers[:_MOST_NUMBERS])) + ", …" * (len(numbers) > _MOST_NUMBERS)
    width = max(16, 6 * len(text) + 4)
    cx, cy = (sum(places[n][way] for n in numbers) / len(numbers) for way in (0, 1))
    left = min(max(cx - width / 2, 0), WIDTH - width)
    return round(left, 1), round(cy - 8, 1), width, text


def _hides(upper: tuple[float, float, float, str], lower: tuple[float, float, float, str]) -> bool:
    """Whether a mark lies on the text, which is 6 wide a letter and 8 high, of another."""
    apart = abs((upper[0] + upper[2] / 2) - (lower[0] + lower[2] / 2))
    return apart < upper[2] / 2 + 3 * len(lower[3]) and abs(upper[1] - lower[1]) < 8 + 4


def strengths(shown: Sequence[tuple[float, Interval]], *, label: str, x_name: str) -> Markup:
    """Returns a drawing of differences with intervals over the strengths that gave them."""
    shown = sorted(shown, key=lambda pair: pair[0])
    x = Scale.over([strength for strength, _ in shown], _LEFT + 8, _RIGHT - 8)
    y = Scale.over([0.0, *_numbers(i for _, i in shown)], _BOTTOM, _TOP)
    zero = tag("line", x1=_LEFT, x2=_RIGHT, y1=y(0), y2=y(0), class_="zero", aria_hidden="true")
    path = "M" + "L".join(f"{x(strength):g} {y(i.value):g}" for strength, i in shown)
    drawn = []
    for strength, interval in shown:
        at = x(strength)
        said = f"strength {strength:g}, {interval.name}: {interval.text(signed=True)}"
        drawn.append(
            mark(
                f"{said}, {interval.word}" if interval.word else said,
                tag(
                    "rect",
                    x=round(at - 9, 1),
                    y=_TOP,
                    width=18,
                    height=_BOTTOM - _TOP,
                    class_="hit",
                ),
                tag("line", x1=at, x2=at, y1=y(interval.low), y2=y(interval.high), class_="mark")
                if interval.known
                else None,
                tag("circle", cx=at, cy=y(interval.value), r=4, class_="mark"),
                class_="s1",
            )
        )
    return drawing(
        _HEIGHT,
        ticks_left(y, _LEFT, _RIGHT),
        ticks_below(x, _BOTTOM, _BOTTOM, x_name),
        zero,
        tag("g", tag("path", d=path, class_="line"), class_="s1", aria_hidden="true"),
        drawn,
        label=label,
    )


def _numbers(intervals) -> list[float]:
    return [number for i in intervals for number in (i.value, i.low, i.high)]


def _line(line: Line, x: Scale, y: Scale) -> Markup:
    known = [(a, b) for a, b in zip(line.x, line.y) if math.isfinite(b)]
    if not known:
        return Markup()
    said = f"{line.name}: from {known[0][1]:.4g} to {known[-1][1]:.4g} at {known[-1][0]:g}"
    # A stroke a run of numbers between gaps.
    path, gap = "", True
    for a, b in zip(line.x, line.y):
        if math.isfinite(b):
            path += f"{'M' if gap else 'L'}{x(a):g} {y(b):g}"
        gap = not math.isfinite(b)
    dots = []
    if len(known) <= _MOST_DOTS:
        dots = [
            tag("circle", tag("title", f"{line.name}, {a:g}: {b:.4g}"), cx=x(a), cy=y(b), r=2.5,
                class_="mark")
            for a, b in known
        ]  # fmt: skip
    ring = None
    if line.kept is not None:
        at = min(known, key=lambda pair: abs(pair[0] - line.kept))
        ring = tag("circle", cx=x(at[0]), cy=y(at[1]), r=6, class_="ring")
        said += f"; kept: {at[1]:.4g} at {at[0]:g}"
    stroke = _stroke(line.place, path, thin=line.thin)
    return mark(said, stroke, dots, ring, class_=f"s{line.place % SERIES}")


def _stroke(place: int, path: str, *, thin: bool) -> Markup:
    dashes = _DASHES[place % len(_DASHES)]
    style = "stroke-width:1;stroke-dasharray:1 3" if thin else None
    return tag("path", d=path, class_="line", stroke_dasharray=dashes, style=style)
