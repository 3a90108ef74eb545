"""What sections ask of a comparison's JSON values, of any version of format 1."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from tfrs_augment.errors import DataError, InvalidArgumentError, close_matches
from tfrs_augment.evaluation.measuring.slices import MAIN_SLICES, SLICES
from tfrs_augment.evaluation.statistics.figures import (
    SLICE_TITLES,
    Figure,
    metric_name,
    slice_title,
)

FORMAT_VERSION = 1
_MAIN_METRIC = "recall@10"
_NEEDED = (
    "format_version",
    "name",
    "baseline",
    "seeds",
    "settings",
    "rows",
    "figures",
    "verdicts",
    "runs",
)


@dataclasses.dataclass(frozen=True)
class MetricInfo:
    """A metric of a comparison.

    Attributes:
      name: its key.
      title: how it is written.
      higher_is_better: what verdicts count as help.
      unit: "row", "query" or "corpus"; see `evaluation.measuring.registry`.
      slices: the slices that it is defined on; None is all.
    """

    name: str
    title: str
    higher_is_better: bool = True
    unit: str = "row"
    slices: tuple[str, ...] | None = None

    @property
    def direction(self) -> str:
        """ "higher is better" or "lower is better"."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"


class Document:
    """A comparison as its JSON values hold it; documents of before there were more metrics too.

    Args:
      values: what `Report.to_dict` gives.
      metric: what verdicts and plots are of. Default: Recall@10, or the first that there is.

    Raises:
      DataError: the values are none of a comparison.
      InvalidArgumentError: there is no such metric.
    """

    def __init__(self, values: Mapping[str, Any], metric: str | None = None):
        self.values = _checked(values, "document")
        self.baseline: str = values["baseline"]
        self.arms = list(values["figures"])
        self.others = [arm for arm in self.arms if arm != self.baseline]
        self.seeds = list(values["seeds"])
        self.figures = {
            arm: {
                name: {
                    key: Figure(**{k: math.nan if v is None else v for k, v in figure.items()})
                    for key, figure in by_metric.items()
                }
                for name, by_metric in by_slice.items()
            }
            for arm, by_slice in values["figures"].items()
        }
        self.metrics = {info.name: info for info in self._metrics()}
        if metric is None:
            metric = _MAIN_METRIC if _MAIN_METRIC in self.metrics else next(iter(self.metrics))
        if metric not in self.metrics:
            raise InvalidArgumentError(
                f"`metric` must be one of the report's: {', '.join(self.metrics)}. "
                f"Received: metric={metric!r}. {close_matches(metric, self.metrics)}"
            )
        self.metric = self.metrics[metric]
        given = values.get("slices") or [
            {"name": name, "title": slice_title(name)} for name in SLICE_TITLES
        ]
        self.titles = {one["name"]: one["title"] for one in given}

    def slices_of(self, metric: str | None = None) -> list[str]:
        """Returns the slices to show of a metric: main ones, cold users and segments that have rows."""
        info = self.metrics[metric or self.metric.name]
        names = [*MAIN_SLICES, *(name for name in self.titles if name not in SLICES)]
        return [
            name
            for name in names
            if name in self.titles
            and self.values["rows"].get(name)
            and (info.slices is None or name in info.slices)
            and not math.isnan(self.figure(self.baseline, name, info.name).mean)
        ]

    def figure(self, arm: str, name: str, metric: str | None = None) -> Figure:
        """Returns the figure of an arm on a slice."""
        return self.figures[arm][name][metric or self.metric.name]

    def verdict(self, arm: str, name: str, metric: str | None = None) -> Mapping[str, Any]:
        """Returns the verdict of an arm on a slice, as JSON values."""
        return self.values["verdicts"][arm][name][metric or self.metric.name]

    def word(self, arm: str, name: str, metric: str | None = None) -> str:
        """Returns the verdict's word."""
        return self.verdict(arm, name, metric)["word"]

    def rows(self, name: str) -> str:
        """Returns how many rows a slice has, in words."""
        return f"{self.values['rows'][name]:,.0f} rows"

    def comparisons(self) -> int:
        """Returns how many comparisons of the metric are judged together."""
        judged = (
            by_metric.get(self.metric.name, {}).get("p_value")
            for by_slice in self.values["verdicts"].values()
            for by_metric in by_slice.values()
        )
        return sum(value is not None for value in judged)

    def _metrics(self) -> list[MetricInfo]:
        if not self.values.get("metrics"):
            first = next(iter(next(iter(self.figures.values())).values()))
            return [MetricInfo(name, metric_name(name)) for name in first]
        return [
            MetricInfo(
                one["name"],
                one.get("title") or metric_name(one["name"]),
                one.get("higher_is_better", True),
                one.get("unit", "row"),
                None if one.get("slices") is None else tuple(one["slices"]),
            )
            for one in self.values["metrics"]
        ]


def read_comparison(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the JSON of a comparison.

    Raises:
      DataError: the file cannot be read, or holds something else.
    """
    return _checked(_read(path), os.fspath(path))


def read_data(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the JSON of `AugmentedData`.

    Raises:
      DataError: the file cannot be read, or holds something else.
    """
    values = _read(path)
    if not isinstance(values, Mapping) or not {"distributions", "diversity"} <= set(values):
        raise DataError(
            f"'{os.fspath(path)}' must hold figures of augmented rows, as AugmentedData.to_json writes them."
        )
    _check_version(values, os.fspath(path))
    return values


def _read(path: str | os.PathLike) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise DataError(f"'{os.fspath(path)}' cannot be read as JSON: {error}") from error


def _checked(values: Any, what: str) -> dict[str, Any]:
    missing = [key for key in _NEEDED if not isinstance(values, Mapping) or key not in values]
    if missing or not values["figures"] or values["baseline"] not in values["figures"]:
        raise DataError(
            f"'{what}' must hold a comparison, as Report.to_json writes it. Received: no "
            f"{', '.join(missing) or 'figures of the baseline'}."
        )
    _check_version(values, what)
    return values


def _check_version(values: Mapping[str, Any], what: str) -> None:
    if values["format_version"] != FORMAT_VERSION:
        raise DataError(
            f"'{what}' must be of format_version {FORMAT_VERSION}. Received: {values['format_version']!r}. "
            "A newer tfrs_augment reads it."
        )
