"""A report in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfrs_augment.evaluation.measuring.registry import REGISTRY
from tfrs_augment.evaluation.statistics.figures import slice_title
from tfrs_augment.evaluation.statistics.verdicts import NO_ROWS, phrases

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.report import Report

_MOST_ARMS, _MOST_SLICES = 8, 6


def report_words(report: Report) -> str:
    """Returns what was compared and the verdicts of the main metric, a line an arm."""
    metric = REGISTRY[report.main_metric]
    others = [arm for arm in report.arms if arm != report.baseline]
    direction = "higher" if metric.higher_is_better else "lower"
    lines = [
        f"Report of {report.name!r}: {metric.title} ({direction} is better) of "
        f"{_count(len(others), 'arm')} against {report.baseline!r}, {_count(len(report.seeds), 'seed')}"
    ]
    for arm in others[:_MOST_ARMS]:
        judged = {
            n: report.verdicts[arm][n][metric.name] for n in report.default_slices(metric.name)
        }
        words = {slice_title(n): v.word for n, v in judged.items() if v.reason != NO_ROWS}
        lines.append(f"  {arm!r}: {_verdicts(words)}")
    if len(others) > _MOST_ARMS:
        lines.append(f"  and {_count(len(others) - _MOST_ARMS, 'arm')} more")
    return "\n".join(lines)


def _verdicts(words: Mapping[str, str]) -> str:
    """All verdicts of an arm, of each the first slices by name."""
    found = []
    for word, text in phrases(words).items():
        more = [name for name, said in words.items() if said == word][_MOST_SLICES:]
        short = text.removesuffix(", " + ", ".join(more))
        found.append(text if short == text else f"{short} and {len(more)} more")
    return "; ".join(found)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
