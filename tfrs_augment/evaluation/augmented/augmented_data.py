"""What augmented rows are, beside the source that they were made of: before any model has learned them."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from tfrs_augment.evaluation.augmented.augmentation_limits import (
    AugmentationLimits,
    AugmentationWarning,
)
from tfrs_augment.evaluation.augmented.column_shifts import ColumnShift, Distribution
from tfrs_augment.evaluation.augmented.embedding_spread import EmbeddingSpread
from tfrs_augment.evaluation.augmented.label_consistency import LabelConsistency
from tfrs_augment.evaluation.augmented.tfdv_statistics import TfdvStatistics
from tfrs_augment.evaluation.synthetic.fidelity import Fidelity

_FORMAT_VERSION = 1
_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class OpChanges:
    """What one op changed.

    Attributes:
      rows: the share of the augmented rows that it changed.
      cells: the share of all changed cells that it changed.
    """

    rows: float
    cells: float


@dataclasses.dataclass(frozen=True)
class Changes:
    """What was changed, of augmented rows whose source row is known.

    Attributes:
      known: the share of augmented rows whose source row is known.
      rows: the share of these in which a cell is not as it was.
      cells: the mean share of a row's cells that are not as they were.
      by_op: by op, where the policy is known: a combination stands as its parts.
    """

    known: float
    rows: float
    cells: float
    by_op: Mapping[str, OpChanges]


@dataclasses.dataclass(frozen=True)
class Diversity:
    """How different augmented rows are, from the source and from each other.

    Distances are Euclidean: a number counts by its share of the source's range, another category or another
    list counts 1, and numbers beyond the source's range count as its ends. They are means over at most 500
    rows.

    Attributes:
      distinct: number of different augmented rows, as a share of them.
      source_distinct: the same of the source.
      changed_distinct: of the augmented rows that equal no source row, beside as many source rows: the
        share of different ones by that of the source; NaN where all are copies.
      copies: the share of augmented rows that equal a source row.
      to_source: the mean distance of an augmented row to its nearest source row.
      within_source: the mean distance of a source row to its nearest other one.
      within_augmented: the mean distance of an augmented row to its nearest other one.
    """

    distinct: float
    source_distinct: float
    changed_distinct: float
    copies: float
    to_source: float
    within_source: float
    within_augmented: float


@dataclasses.dataclass(frozen=True)
class AugmentedData:
    """What `measure_augmented` found.

    Attributes:
      rows: how many rows "source" and "augmented" have.
      columns: what became of each column, the largest drift first.
      diversity: how different the rows are.
      fidelity: similarity by column and by pair of columns with one value a row; the ceiling is the source
        itself, the floor its columns drawn independently. None where no column has one value a row.
      changes: what was changed; None where no source row is known.
      labels: whether labels are kept; None where that was not asked.
      spread: of embeddings; None without a model that gives them.
      statistics: what TensorFlow Data Validation says; None where it is not installed, or was not asked.
      distributions: of columns, in their order.
      limits: beyond which is warned.
      warnings: the numbers that are beyond a limit.
      left_out: columns that are not measured, each with why.
      notes: what else should be known of the measurement, in sentences.
      settings: how it was measured, as JSON values.
    """

    rows: Mapping[str, int]
    columns: tuple[ColumnShift, ...]
    diversity: Diversity
    fidelity: Fidelity | None
    changes: Changes | None
    labels: LabelConsistency | None
    spread: EmbeddingSpread | None
    statistics: TfdvStatistics | None
    distributions: tuple[Distribution, ...]
    limits: AugmentationLimits
    warnings: tuple[AugmentationWarning, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def augmented_share(self) -> float:
        """Augmented rows among all."""
        return self.rows["augmented"] / (self.rows["augmented"] + self.rows["source"])

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON values; NaN becomes None.

        Within a `format_version` keys may be added; none is taken away or changes its meaning.
        """
        return {
            "format_version": _FORMAT_VERSION,
            "rows": dict(self.rows),
            "augmented_share": self.augmented_share,
            "columns": {shift.name: shift.to_dict() for shift in self.columns},
            "diversity": _json(dataclasses.asdict(self.diversity)),
            "fidelity": None if self.fidelity is None else self.fidelity.to_dict(),
            "changes": None if self.changes is None else _json(dataclasses.asdict(self.changes)),
            "labels": None if self.labels is None else self.labels.to_dict(),
            "spread": None if self.spread is None else self.spread.to_dict(),
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
            "distributions": [found.to_dict() for found in self.distributions],
            "limits": dataclasses.asdict(self.limits),
            "warnings": [warning.to_dict() for warning in self.warnings],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }

    def to_json(self, path: str | os.PathLike) -> None:
        """Writes `to_dict()` to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def figures(self) -> dict[str, float]:
        """Returns the numbers of the whole table by name; NaN where one is not known."""
        unknown = math.nan
        changes, labels, spread = self.changes, self.labels, self.spread
        return {
            "augmented share": self.augmented_share,
            "changed rows": unknown if changes is None else changes.rows,
            "changed cells": unknown if changes is None else changes.cells,
            "copies of source rows": self.diversity.copies,
            "distinct rows": self.diversity.distinct,
            "distinct rows of the source": self.diversity.source_distinct,
            "distinct among changed": self.diversity.changed_distinct,
            "distance to the source": self.diversity.to_source,
            "distance within the source": self.diversity.within_source,
            "distance within augmented": self.diversity.within_augmented,
            "similarity of columns": self._fidelity("shapes"),
            "similarity of pairs": self._fidelity("all_pairs"),
            "label consistency": unknown if labels is None else labels.consistency,
            "predicted labels that stay": unknown if labels is None else labels.stays,
            "change of the prediction": unknown if labels is None else labels.shift,
            "embedding variance": unknown if spread is None else spread.variance_share,
            "embedding rank": unknown if spread is None else spread.rank_share,
        }

    def table(self) -> str:
        """Returns the figures and the columns as Markdown tables, with the warnings below them."""
        lines = ["| figure | value |", "| --- | --- |"]
        lines += [f"| {n} | {v:.3f} |" for n, v in self.figures().items() if not math.isnan(v)]
        titles = ("column", "kind", "drift", "changed", "coverage", "new", "popularity")
        lines += ["", f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
        for shift in self.columns[:_SHOWN]:
            values = (shift.drift.distance, shift.changed, shift.coverage, shift.new)
            cells = [_shown(value) for value in (*values, shift.popularity)]
            lines.append(f"| {' | '.join([shift.name, shift.kind, *cells])} |")
        if len(self.columns) > _SHOWN:
            lines += ["", f"{len(self.columns) - _SHOWN} columns of less drift are not shown."]
        lines += ["", *(f"warning: {warning}" for warning in self.warnings)]
        if not self.warnings:
            lines.append("no warning: every number that was measured is within its limit")
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike) -> None:
        """Writes a PNG: drift, and distributions before and after of the columns that have moved most."""
        from tfrs_augment.evaluation.augmented.augmented_plots import plot_augmented_data

        plot_augmented_data(self, path)

    def to_html(self, path: str | os.PathLike, *, title: str = "Augmented rows") -> None:
        """Writes a page: warnings, figures, drift, labels, ops and distributions, in one file.

        The page loads nothing; see `evaluation.reporting.pages`.

        Args:
          path: of the HTML file.
          title: what the rows are called.
        """
        from tfrs_augment.evaluation.reporting.pages.augmented import augmented_page

        text = augmented_page(self.to_dict(), title=title)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def _fidelity(self, name: str) -> float:
        return math.nan if self.fidelity is None else self.fidelity.scores[name].value


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
