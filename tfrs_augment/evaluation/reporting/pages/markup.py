"""Tags whose text is escaped, always."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = object
"""What a tag holds: Markup as it is; None for nothing; a list of children; all else as escaped text."""

_EMPTY = frozenset({"meta", "img", "link", "path", "line", "rect", "circle", "polyline", "br"})


def join(*children: Child) -> Markup:
    """Returns children side by side.

    Example:
      >>> join("a < b", Markup("<br>"), None, ["c", "d"])
      'a &lt; b<br>cd'
    """
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, list | tuple):
            parts.append(join(*child))
        elif isinstance(child, Markup):
            parts.append(child)
        else:
            parts.append(html.escape(str(child)))
    return Markup("".join(parts))


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Returns an element.

    Args:
      name: of the tag.
      *children: see `Child`.
      **attributes: a trailing underscore is cut off (`class_`), others become hyphens
        (`aria_label`). None and False leave an attribute out; True gives one without a value.

    Example:
      >>> tag("p", "1 < 2", class_="note", title='"', hidden=None)
      '<p class="note" title="&quot;">1 &lt; 2</p>'
    """
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _EMPTY and not children:
        return Markup(f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")
