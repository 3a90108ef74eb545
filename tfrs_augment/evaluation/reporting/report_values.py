"""A report as JSON values."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tfrs_augment.evaluation.measuring.registry import REGISTRY
from tfrs_augment.evaluation.measuring.slices import SLICES
from tfrs_augment.evaluation.statistics.figures import Figure, slice_title
from tfrs_augment.evaluation.statistics.verdicts import Verdict

if TYPE_CHECKING:
    from tfrs_augment.evaluation.reporting.report import Report

_FORMAT_VERSION = 1


def report_values(report: Report) -> dict[str, Any]:
    """Returns what `Report.to_dict` does."""
    return {
        "format_version": _FORMAT_VERSION,
        "name": report.name,
        "baseline": report.baseline,
        "seeds": list(report.seeds),
        "settings": dict(report.settings),
        "rows": {name: report.rows(name) for name in (*SLICES, *report.slice_names)},
        "metrics": [
            {
                "name": metric.name,
                "title": metric.title,
                "higher_is_better": metric.higher_is_better,
                "unit": metric.unit,
                "slices": list(report.slices_of(metric.name)),
            }
            for metric in (REGISTRY[name] for name in report.metrics)
        ],
        "slices": [
            {"name": name, "title": slice_title(name), "rows": report.rows(name)}
            for name in report.slice_names
        ],
        "notes": list(report.notes),
        "validation_metric": report.validation_metric,
        "figures": {
            arm: {
                name: {metric: _json_values(figure) for metric, figure in by_metric.items()}
                for name, by_metric in by_slice.items()
            }
            for arm, by_slice in report.figures.items()
        },
        "verdicts": {
            arm: {
                name: {metric: _json_values(verdict) for metric, verdict in by_metric.items()}
                for name, by_metric in by_slice.items()
            }
            for arm, by_slice in report.verdicts.items()
        },
        "runs": [
            {
                "arm": arm,
                "seed": seed,
                "validations": len(run.validation),
                "best_epoch": run.best_epoch + 1,
                "loss": list(run.loss),
                f"validation_{report.validation_metric}": list(run.validation),
                "seconds": round(run.seconds, 1),
            }
            for (arm, seed), run in report.runs.items()
        ],
    }


def _json_values(found: Figure | Verdict) -> dict[str, float | str | None]:
    values = dataclasses.asdict(found)
    return {name: None if value != value else value for name, value in values.items()}
