"""Tables of a comparison's metrics: verdicts side by side, and figures by slice and arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfrs_augment.evaluation.reporting.pages.document import Document, MetricInfo
from tfrs_augment.evaluation.reporting.pages.frame import scrolled
from tfrs_augment.evaluation.reporting.pages.intervals import verdict_class
from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag
from tfrs_augment.evaluation.statistics.figures import figure_cells

_SHAPES = {"helps": "▲ ", "hurts": "▼ ", "can't tell": ""}
_GROUPS = {
    "Ranks of the test rows": "row",
    "Lists, query by query": "query",
    "The catalogue as a whole": "corpus",
}
_PREDICTIONS = ("rmse", "log_loss", "auc", "calibration")


def all_metrics(view: Document) -> Markup | None:
    """Returns what all metrics say of all rows, a line an arm; None where there is one alone.

    So that no metric is shown for saying what was hoped.
    """
    metrics = [m for m in view.metrics.values() if "all" in view.slices_of(m.name)]
    if len(metrics) < 2:
        return None
    head = [tag("th", "arm", scope="col")]
    head += [tag("th", m.title, scope="col", class_="words") for m in metrics]
    rows = [
        tag(
            "tr",
            tag("th", arm, scope="row"),
            [word_cell(view.word(arm, "all", m.name)) for m in metrics],
        )
        for arm in view.others
    ]
    caption = "Verdicts by arm and metric, on all rows; each metric is corrected by itself"
    return tag("details", tag("summary", "All metrics"), table(caption, [head], [rows]))


def other_metrics(view: Document) -> list[Markup]:
    """Returns figures of all metrics but the main one, grouped by what they are means of."""
    return [_group(view, title, metrics) for title, metrics in _grouped(view).items()]


def _grouped(view: Document) -> dict[str, list[MetricInfo]]:
    """The other metrics by what they are means of."""
    found: dict[str, list[MetricInfo]] = {}
    for info in view.metrics.values():
        if info.name == view.metric.name or not view.slices_of(info.name):
            continue
        title = next((t for t, unit in _GROUPS.items() if unit == info.unit), "Other metrics")
        found.setdefault("Predictions" if info.name in _PREDICTIONS else title, []).append(info)
    return found


def _group(view: Document, title: str, metrics: Sequence[MetricInfo]) -> Markup:
    tables = [
        tag("details", tag("summary", f"{m.title}, {m.direction}"), metric_table(view, m))
        for m in metrics
    ]
    return join(tag("h3", title), tables)


def metric_table(view: Document, metric: MetricInfo) -> Markup:
    """Returns figures of a metric, grouped by slice."""
    against = f"against {view.baseline}"
    titles = ("arm", "mean", "95 % interval", against, "95 % interval", "verdict")
    head = [tag("th", t, scope="col", class_="words" if t == "verdict" else None) for t in titles]
    groups = []
    for name in view.slices_of(metric.name):
        title = f"{view.titles[name]}, {view.rows(name)}"
        rows = [tag("tr", tag("th", title, scope="rowgroup", colspan=len(titles)))]
        for arm in view.arms:
            base = None if arm == view.baseline else view.figure(view.baseline, name, metric.name)
            cells = [tag("td", c) for c in figure_cells(view.figure(arm, name, metric.name), base)]
            cells.append(
                tag("td") if base is None else word_cell(view.word(arm, name, metric.name))
            )
            rows.append(tag("tr", tag("th", arm, scope="row"), cells))
        groups.append(rows)
    return table(f"{metric.title} by slice and arm, {metric.direction}", [head], groups)


def table(caption: str, head: Sequence[Any], groups: Sequence[Any]) -> Markup:
    """Returns a table that scrolls by itself where it is wide.

    Args:
      caption: what it holds.
      head: rows of cells.
      groups: lists of rows, each a body of its own.
    """
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", [tag("tr", row) for row in head]) if head else None,
        [tag("tbody", rows) for rows in groups],
    )
    return scrolled(table, caption)


def word_cell(word: str) -> Markup:
    """Returns a cell with a verdict, told by shape and colour too."""
    return tag(
        "td", tag("span", _SHAPES[word], aria_hidden="true"), word,
        class_=f"words {verdict_class(word)}",
    )  # fmt: skip
