"""A report as Markdown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tfrs_augment.evaluation.figures import SLICE_TITLES, metric_name
from tfrs_augment.evaluation.verdicts import phrases

if TYPE_CHECKING:
    from tfrs_augment.evaluation.report import Report


def report_markdown(report: Report, metric: str = "recall@10") -> str:
    """Returns verdicts of a metric, a table a metric, and what it takes to run it again.

    Args:
      report: what to write.
      metric: what the verdicts are of, and the first table.
    """
    metrics = [m for m in report.figures[report.baseline]["all"] if m != metric]
    slices = [name for name in SLICE_TITLES if report.rows(name)]
    lines = [
        f"# {_plain(report.name)}",
        "",
        f"{metric_name(metric)} against {_plain(report.baseline)}:",
        "",
    ]
    for arm, judged in report.verdicts.items():
        words = {SLICE_TITLES[name]: judged[name][metric].word for name in slices}
        lines.append(f"- **{_plain(arm)}** {'; '.join(phrases(words).values())}")
    for one in (metric, *metrics):
        lines += ["", f"## {metric_name(one)}", "", report.table(one, slices)]
    facts = {"seeds": list(report.seeds), **report.settings}
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    return "\n".join([*lines, "", "## How to reproduce it", "", "```json", text, "```", ""])


def _plain(text: str) -> str:
    """A name that stays on its line and is no tag."""
    return " ".join(text.split()).replace("<", "&lt;")
