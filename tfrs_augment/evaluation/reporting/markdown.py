"""A report as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.evaluation.reporting.pages.document import Document
from tfrs_augment.evaluation.statistics.figures import figure_cells
from tfrs_augment.evaluation.statistics.verdicts import UNCLEAR, phrases

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.report import Report


def report_markdown(report: Report, metric: str | None = None) -> str:
    """Returns verdicts of a metric, a table a metric, and what it takes to run it again.

    Args:
      report: what to write.
      metric: what the verdicts are of, and the first table. Default: the main one.
    """
    return document_markdown(report.to_dict(), metric or report.main_metric)


def document_markdown(values: Mapping[str, Any], metric: str | None = None) -> str:
    """Returns the same of a report's JSON values.

    Args:
      values: what `Report.to_dict` gives, of any version of the format.
      metric: as of `report_markdown`.

    Raises:
      DataError: the values are none of a comparison.
      InvalidArgumentError: there is no such metric.
    """
    view = Document(values, metric)
    lines = [
        f"# {_plain(values['name'])}",
        "",
        f"{view.metric.title} ({view.metric.direction}) against {_plain(view.baseline)}:",
        "",
    ]
    for arm in view.others:
        words = {_plain(view.titles[name]): view.word(arm, name) for name in view.slices_of()}
        lines.append(f"- **{_plain(arm)}** {'; '.join(phrases(words).values())}")
    for one in (view.metric, *(m for m in view.metrics.values() if m is not view.metric)):
        lines += [
            "",
            f"## {one.title}, {one.direction}",
            "",
            document_table(view, one.name, view.slices_of(one.name)),
        ]
    if values.get("notes"):
        lines += ["", *(f"- {_plain(note)}" for note in values["notes"])]
    facts = {"seeds": view.seeds, **values["settings"]}
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    return "\n".join([*lines, "", "## How to reproduce it", "", "```json", text, "```", ""])


def document_table(view: Document, metric: str, slices: Sequence[str]) -> str:
    """Returns a line an arm, grouped by slice; what can't be told is left blank: the eye finds the rest."""
    head = metric + ("" if view.metrics[metric].higher_is_better else ", lower is better")
    lines = [[head, "mean", "95 % interval", f"against {view.baseline}", "95 % interval", ""]]
    for name in slices:
        lines.append([f"{name}, {view.rows(name)}", "", "", "", "", ""])
        base = view.figure(view.baseline, name, metric)
        for arm in view.arms:
            is_base = arm == view.baseline
            cells = figure_cells(view.figure(arm, name, metric), None if is_base else base)
            word = "" if is_base else view.word(arm, name, metric)
            lines.append([f"  {arm}", *cells, "" if word == UNCLEAR else word])
    # A bar or a line break, in the name of an arm or in the value of a segment, would end its cell.
    lines = [
        [" ".join(cell.rstrip().split("\n")).replace("|", "\\|") for cell in line] for line in lines
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
        for line in lines
    )


def _plain(text: str) -> str:
    """A name that stays on its line and is no tag."""
    return " ".join(text.split()).replace("<", "&lt;")
