"""Rows and images before and after a policy."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.reporting.pages.frame import scrolled
from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag
from tfrs_augment.explain import Explanation, OpExplanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Sample = Explanation | Sequence[Explanation] | Figure

_LONGEST = 120
"""Characters of a value."""


def samples(shown: Mapping[str, Sample]) -> Markup:
    """Returns rows as tables and figures as pictures, each under its name.

    Args:
      shown: name to what `policy.explain` returned, a list of these, or a figure of matplotlib such as
        `aug.plot_augmentations` returns.

    Raises:
      InvalidArgumentError: a sample is something else.
    """
    return join([[tag("h3", name), _sample(name, value)] for name, value in shown.items()])


def _sample(name: str, value: Any) -> Markup:
    if isinstance(value, Explanation):
        return _row(name, value)
    if isinstance(value, list | tuple) and value and all(isinstance(v, Explanation) for v in value):
        return join([_row(f"{name}, row {i}", one) for i, one in enumerate(value, start=1)])
    if hasattr(value, "savefig") and hasattr(value, "axes"):
        return _picture(name, value)
    raise InvalidArgumentError(
        "`samples` must hold what `policy.explain` returned, a list of these, or a figure of matplotlib. "
        f"Received: a {type(value).__name__} for {name!r}."
    )


def _row(name: str, said: Explanation) -> Markup:
    rows = []
    for feature, before in said.before.items():
        after = said.after[feature]
        changed = feature in said.changes
        cells = (tag("del", _text(before)), tag("ins", _text(after))) if changed else (
            _text(before), "unchanged")  # fmt: skip
        by = [line for op in said.ops for line in _acted(op, feature)] if changed else []
        rows.append(
            tag(
                "tr",
                tag("th", feature, scope="row", class_="words"),
                *(tag("td", cell, class_="wrap") for cell in cells),
                tag("td", ", ".join(by), class_="wrap"),
            )
        )
    head = [
        tag("th", text, scope="col", class_="words")
        for text in ("feature", "before", "after", "by")
    ]
    caption = f"{name}: row with key {said.key:016x}, draw {said.draw}"
    table = tag("table", tag("caption", caption), tag("thead", tag("tr", head)), tag("tbody", rows))
    return scrolled(table, caption)


def _acted(op: OpExplanation, feature: str) -> list[str]:
    """The ops that changed a feature, combinations by their parts."""
    if op.parts:
        return [line for part in op.parts for line in _acted(part, feature)]
    return [op.id] if feature in op.changes else []


def _picture(name: str, figure: Figure) -> Markup:
    file = io.BytesIO()
    # The version of matplotlib, which it writes else, is no part of a picture.
    figure.savefig(file, format="png", metadata={"Software": None})
    code = base64.b64encode(file.getvalue()).decode("ascii")
    texts = [text.get_text() for text in figure.texts]
    texts += [text.get_text() for axes in figure.axes for text in axes.texts]
    said = "; ".join(" ".join(text.split()) for text in texts if text.strip())
    alternative = f"{name}: {said}" if said else name
    width, height = (round(side * figure.dpi) for side in figure.get_size_inches())
    picture = tag(
        "img", src=f"data:image/png;base64,{code}", alt=alternative, width=width, height=height
    )
    return tag("figure", picture, class_="picture")


def _text(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bytes) and len(value) > _LONGEST:
        return f"{len(value):,} bytes"
    text = repr(_decoded(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
