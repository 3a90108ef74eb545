"""Tables of text for a terminal."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence

MIN_WIDTH, MAX_WIDTH = 80, 120


def terminal_width() -> int:
    """The columns to fill: the terminal's, from 80 to 120; 100 where stdout is none."""
    columns = shutil.get_terminal_size((100, 24)).columns
    return min(max(columns, MIN_WIDTH), MAX_WIDTH)


def table(rows: Sequence[Sequence[str]], *, align: str, width: int) -> str:
    """Rows as aligned columns, two spaces apart; the last column takes what is left of the width.

    Args:
      rows: the cells, the header first.
      align: "<" or ">" a column.
      width: no line is longer; cells that are too long are cut and end in an ellipsis.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # What is too wide is taken from the widest columns first.
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 3:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in rows:
        cells = [
            f"{cut(cell, size):{side}{size}}"
            for cell, size, side in zip(row, widths, align, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def cut(text: str, size: int) -> str:
    """A text of at most `size` characters."""
    return text if len(text) <= size else text[: max(size - 3, 0)] + "..."[:size]


def printable(text: str) -> str:
    """A text without what would move the cursor or colour the terminal."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c).startswith("C") else c for c in text)


def shown(value: object) -> str:
    """A value of a feature as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return "-" if value is None else str(value)
