"""Distributions before and after as bars, and single numbers beside their limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfrs_augment.evaluation.reporting.pages.axes import (
    WIDTH,
    Scale,
    drawing,
    line_beside_text,
    mark,
    ticks_below,
    ticks_left,
)
from tfrs_augment.evaluation.reporting.pages.markup import Markup, tag

_ROW, _TOP, _FOOT, _SIDE = 34, 4, 22, 12
_LEFT, _RIGHT, _BOTTOM, _HEIGHT = 46, 350, 160, 198
_LONGEST = 34
"""Characters of a label that fit beside the numbers; the rest is in the title."""


def distribution(found: dict[str, Any]) -> Markup:
    """Returns a drawing of one column, before as filled bars and after as outlined ones.

    Args:
      found: JSON values of a `Distribution`.
    """
    label = f"{found['name']}: shares before and after"
    rows = list(zip(found["labels"], found["source"], found["augmented"], strict=True))
    if found["kind"] == "number":
        return _columns(rows, label)
    return _rows(rows, label, others=found.get("others", False))


def key() -> Markup:
    """Returns the list of what is drawn how."""

    def entry(name: str, class_: str) -> Markup:
        picture = tag("svg", tag("rect", x=4, y=1, width=32, height=10, class_=class_),
                      viewBox="0 0 40 12", aria_hidden="true")  # fmt: skip
        return tag("li", tag("span", picture, class_="s1"), name)

    entries = [entry("source", "before"), entry("augmented", "after")]
    return tag("ul", entries, class_="key")


def bars(
    rows: Sequence[tuple[str, float, str]], *, label: str, limit: float | None = None
) -> Markup:
    """Returns a drawing with a bar a row, and a dashed line at a limit.

    Args:
      rows: name, length of 0 or more, and what is written behind it.
      label: what the drawing shows, for readers who don't see it.
      limit: where the line is. Default: there is none.
    """
    bottom = _TOP + _ROW * len(rows)
    ends = [0.0, *(value for _, value, _ in rows), *([] if limit is None else [limit])]
    scale = Scale.over(ends, _SIDE, WIDTH - _SIDE, margin=0.0)
    drawn = []
    for place, (name, value, text) in enumerate(rows):
        top = _TOP + _ROW * place
        beyond = limit is not None and value > limit
        said = f"{name}: {text}" + (f", beyond the limit of {limit:g}" if beyond else "")
        drawn.append(
            mark(
                said,
                tag("rect", x=1, y=top, width=WIDTH - 2, height=_ROW - 2, rx=4, class_="hit"),
                tag("text", _cut(name), x=_SIDE - 6, y=top + 13),
                tag("text", text, x=WIDTH - 6, y=top + 13, text_anchor="end", class_="tick"),
                tag(
                    "rect",
                    x=scale(0),
                    y=top + 18,
                    width=_wide(scale, value),
                    height=9,
                    class_="bar",
                ),
                class_="hurts" if beyond else "s1",
            )
        )
    line = None
    if limit is not None:
        tops = (_TOP + _ROW * place for place in range(len(rows)))
        line = line_beside_text(scale(limit), [(top + 18, top + _ROW) for top in tops])
    return drawing(bottom + _FOOT, ticks_below(scale, _TOP, bottom), line, drawn, label=label)


def _rows(rows: Sequence[tuple[str, float, float]], label: str, *, others: bool) -> Markup:
    """A line a value, one bar below the other; all others together, which may outweigh them, as text."""
    bars_of = rows[:-1] if others and len(rows) > 1 else rows
    bottom = _TOP + _ROW * len(rows)
    scale = Scale.over(
        [0.0, *(s for row in bars_of for s in row[1:])], _SIDE, WIDTH - _SIDE, margin=0.0
    )
    drawn = []
    for place, (name, before, after) in enumerate(rows):
        top = _TOP + _ROW * place
        text = f"{before:.1%} → {after:.1%}"
        drawn_bars = [
            tag("rect", x=scale(0), y=y, width=_wide(scale, share), height=6, class_=class_)
            for share, y, class_ in ((before, top + 17, "before"), (after, top + 24, "after"))
            if place < len(bars_of)
        ]
        drawn.append(
            mark(
                f"{name}: {before:.2%} before, {after:.2%} after",
                tag("rect", x=1, y=top, width=WIDTH - 2, height=_ROW - 2, rx=4, class_="hit"),
                tag("text", _cut(name), x=_SIDE - 6, y=top + 13),
                tag("text", text, x=WIDTH - 6, y=top + 13, text_anchor="end", class_="tick"),
                drawn_bars,
                class_="s1",
            )
        )
    return drawing(bottom + _FOOT, ticks_below(scale, _TOP, bottom), drawn, label=label)


def _columns(rows: Sequence[tuple[str, float, float]], label: str) -> Markup:
    """A histogram: a bar a range of numbers, the other drawn over it as an outline."""
    y = Scale.over([0.0, *(s for row in rows for s in row[1:])], _BOTTOM, 10, count=4, margin=0.0)
    width = (_RIGHT - _LEFT) / len(rows)
    drawn = []
    for place, (name, before, after) in enumerate(rows):
        left = round(_LEFT + place * width, 1)
        heights = [(y(share), round(_BOTTOM - y(share), 1)) for share in (before, after)]
        drawn.append(
            mark(
                f"{name}: {before:.2%} before, {after:.2%} after",
                tag("rect", x=left, y=10, width=round(width, 1), height=_BOTTOM - 10, class_="hit"),
                *(
                    tag("rect", x=round(left + 0.5 + shift, 1), y=top, height=height, class_=class_,
                        width=round(max(width - 1 - 2 * shift, 0.5), 1))
                    for (top, height), class_, shift in zip(heights, ("before", "after"), (0, 0.8))
                ),
                class_="s1",
            )
        )  # fmt: skip
    ends = [
        tag(
            "text",
            rows[place][0],
            x=x,
            y=_BOTTOM + 16 + 15 * down,
            text_anchor=anchor,
            class_="tick",
        )
        for place, x, anchor, down in ((0, _LEFT, "start", 0), (-1, _RIGHT, "end", 1))
    ]
    return drawing(
        _HEIGHT,
        ticks_left(y, _LEFT, _RIGHT),
        drawn,
        tag("g", *ends, aria_hidden="true"),
        label=label,
    )


def _wide(scale: Scale, value: float) -> float:
    return round(max(scale(value) - scale(0), 0.0), 1)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
