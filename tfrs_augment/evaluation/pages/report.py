"""The page of a comparison, made from the report's JSON values alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.figures import SLICE_TITLES, Figure, figure_cells, metric_name
from tfrs_augment.evaluation.pages import curves
from tfrs_augment.evaluation.pages.axes import panel
from tfrs_augment.evaluation.pages.frame import Section, page, scrolled
from tfrs_augment.evaluation.pages.intervals import Interval, intervals, verdict_class
from tfrs_augment.evaluation.pages.lines import Point, points, strengths
from tfrs_augment.evaluation.pages.markup import Markup, join, tag
from tfrs_augment.evaluation.verdicts import phrases

if TYPE_CHECKING:
    from tfrs_augment.evaluation.curves import History
    from tfrs_augment.evaluation.pages.samples import Sample

_SHAPES = {"helps": "▲ ", "hurts": "▼ ", "can't tell": ""}
_FEW_SEEDS = 5


def report_page(
    document: Mapping[str, Any],
    *,
    metric: str = "recall@10",
    samples: Mapping[str, Sample] | None = None,
    strengths: Mapping[str, float] | None = None,
    histories: Mapping[str, History] | None = None,
) -> str:
    """Returns the page of a report as HTML; see `Report.to_html`.

    Args:
      document: what `Report.to_dict` gives, or the file of `Report.to_json` holds.
      metric: what verdicts and plots are of.
      samples: as `Report.to_html` takes them.
      strengths: likewise.
      histories: likewise.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
    """
    view = _View(document, metric)
    found = [
        Section("verdicts", "Verdicts", _verdicts(view)),
        Section("differences", "Differences to the baseline", _differences(view)),
        Section("figures", "Figures", _figures(view)),
    ]
    frontier = _frontier(view)
    if frontier:
        found.append(Section("frontier", "Old items against new ones", frontier))
    if strengths:
        found.append(Section("strength", "Strength", _strengths(view, strengths)))
    trained = curves.trainings(document)
    if histories:
        trained = join(trained, curves.histories(histories))
    if trained:
        found.append(Section("training", "Training", trained))
    if samples:
        from tfrs_augment.evaluation.pages.samples import samples as shown

        found.append(Section("samples", "Before and after", shown(samples)))
    found.append(Section("reproduce", "How to reproduce it", _reproduce(document)))
    return page(
        f"Did it help? {document['name']}",
        found,
        lead=_lead(view),
        note=f"Report of tfrs_augment, format {document['format_version']}. "
        "This file holds all that it shows and loads nothing.",
    )


class _View:
    """The parts of a document that sections ask for."""

    def __init__(self, document: Mapping[str, Any], metric: str):
        self.document = document
        self.baseline: str = document["baseline"]
        self.arms = list(document["figures"])
        self.others = [arm for arm in self.arms if arm != self.baseline]
        self.figures = {
            arm: {
                name: {
                    key: Figure(**{k: math.nan if v is None else v for k, v in values.items()})
                    for key, values in by_metric.items()
                }
                for name, by_metric in by_slice.items()
            }
            for arm, by_slice in document["figures"].items()
        }
        self.metrics = list(next(iter(next(iter(self.figures.values())).values())))
        if metric not in self.metrics:
            raise InvalidArgumentError(
                f"`metric` must be one of the report's: {', '.join(self.metrics)}. "
                f"Received: metric={metric!r}. {close_matches(metric, self.metrics)}"
            )
        self.metric = metric
        # Slices without a row are left out of everything but the count of them.
        self.slices = [n for n in SLICE_TITLES if document["rows"].get(n)]

    def figure(self, arm: str, name: str, metric: str | None = None):
        return self.figures[arm][name][metric or self.metric]

    def word(self, arm: str, name: str, metric: str | None = None) -> str:
        return self.document["verdicts"][arm][name][metric or self.metric]["word"]

    def rows(self, name: str) -> str:
        return f"{self.document['rows'][name]:,.0f} rows"

    def difference(self, arm: str, name: str) -> Interval:
        f = self.figure(arm, name)
        word = "" if arm == self.baseline else self.word(arm, name)
        return Interval(arm, f.difference, f.difference_low, f.difference_high, word)


def _lead(view: _View) -> Markup:
    entries = []
    for arm in view.others:
        words = {SLICE_TITLES[n]: view.word(arm, n) for n in view.slices}
        said = phrases(words).items()
        spans = [tag("span", text, class_=verdict_class(word)) for word, text in said]
        entries.append(tag("li", tag("strong", arm), spans))
    seeds = len(view.document["seeds"])
    return join(
        tag(
            "p",
            f"{metric_name(view.metric)} of {_count(len(view.others), 'arm')} against "
            f"“{view.baseline}”, over {_count(seeds, 'seed')}.",
        ),
        tag("ul", entries, class_="lead") if entries else None,
        tag("p", _caution(seeds), class_="note") if seeds < _FEW_SEEDS else None,
    )


def _caution(seeds: int) -> str:
    if seeds == 1:
        return (
            "With one seed the intervals hold the chance of the users alone, not that of training: "
            "another seed may say otherwise."
        )
    return (
        f"With {seeds} seeds the intervals hold the chance of training only roughly, and are rather "
        "too narrow."
    )


def _verdicts(view: _View) -> Markup:
    if not view.others:
        return tag("p", "There is no arm beside the baseline.")
    comparisons = len(view.others) * len(view.document["rows"])
    text = tag(
        "p",
        "An arm helps or hurts a slice where its paired difference to the baseline is clear of chance: "
        f"a chance of 5 % that any of the {comparisons} comparisons of a metric, on all slices, is "
        "called so wrongly (Holm's correction of the 95 % intervals). Where nothing can be told, more "
        "seeds or rows may tell.",
    )
    head = [tag("th", "arm", scope="col")]
    head += [tag("th", SLICE_TITLES[n], scope="col", class_="words") for n in view.slices]
    rows = []
    for arm in view.others:
        cells = [_word(view.word(arm, n)) for n in view.slices]
        rows.append(tag("tr", tag("th", arm, scope="row"), cells))
    caption = f"Verdicts by arm and slice, {metric_name(view.metric)}"
    return join(text, _table(caption, [head], [rows]))


def _word(word: str) -> Markup:
    return tag(
        "td", tag("span", _SHAPES[word], aria_hidden="true"), word,
        class_=f"words {verdict_class(word)}",
    )  # fmt: skip


def _differences(view: _View) -> Markup:
    name = metric_name(view.metric)
    panels = []
    for slice_name in view.slices:
        rows = [view.difference(arm, slice_name) for arm in view.others]
        label = f"{name} on {SLICE_TITLES[slice_name]}: difference to {view.baseline}"
        drawn = intervals(rows, label=label, signed=True)
        panels.append(panel(SLICE_TITLES[slice_name], view.rows(slice_name), drawn))
    text = (
        f"What each arm adds to the {name} of “{view.baseline}”, as a difference with its 95 % interval, "
        "paired by seed and user. The dashed line is the baseline. A triangle up helps, one down hurts, "
        "a circle can't be told. Each slice has a scale of its own."
    )
    return join(tag("p", text), tag("div", panels, class_="panels") if view.others else None)


def _figures(view: _View) -> Markup:
    name = metric_name(view.metric)
    text = (
        "Means over seeds, with 95 % intervals of a bootstrap over seeds and users. Items are ranked in "
        "the full catalogue, those that the user has seen left out. A difference is a share of the "
        "baseline where that is known well enough."
    )
    more = [m for m in view.metrics if m != view.metric]
    levels = []
    for slice_name in view.slices:
        found = [(arm, view.figure(arm, slice_name)) for arm in view.arms]
        rows = [Interval(arm, f.mean, f.low, f.high) for arm, f in found]
        label = f"{name} of each arm on {SLICE_TITLES[slice_name]}"
        drawn = intervals(rows, label=label, signed=False)
        levels.append(panel(SLICE_TITLES[slice_name], view.rows(slice_name), drawn))
    return join(
        tag("p", text),
        _metric_table(view, view.metric),
        [tag("details", tag("summary", metric_name(m)), _metric_table(view, m)) for m in more],
        tag("h3", f"{name} of each arm"),
        tag("div", levels, class_="panels"),
    )


def _metric_table(view: _View, metric: str) -> Markup:
    against = f"against {view.baseline}"
    titles = ("arm", "mean", "95 % interval", against, "95 % interval", "verdict")
    head = [tag("th", t, scope="col", class_="words" if t == "verdict" else None) for t in titles]
    groups = []
    for name in view.slices:
        title = f"{SLICE_TITLES[name]}, {view.rows(name)}"
        rows = [tag("tr", tag("th", title, scope="rowgroup", colspan=len(titles)))]
        for arm in view.arms:
            base = None if arm == view.baseline else view.figure(view.baseline, name, metric)
            cells = [tag("td", c) for c in figure_cells(view.figure(arm, name, metric), base)]
            cells.append(tag("td") if base is None else _word(view.word(arm, name, metric)))
            rows.append(tag("tr", tag("th", arm, scope="row"), cells))
        groups.append(rows)
    return _table(f"{metric_name(metric)} by slice and arm", [head], groups)


def _table(caption: str, head: Sequence[Any], groups: Sequence[Any]) -> Markup:
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", [tag("tr", row) for row in head]) if head else None,
        [tag("tbody", rows) for rows in groups],
    )
    return scrolled(table, caption)


def _frontier(view: _View) -> Markup | None:
    if not view.others or not {"warm", "cold"} <= set(view.slices):
        return None
    shown = [
        Point(view.difference(arm, "warm"), view.difference(arm, "cold")) for arm in view.others
    ]
    name = metric_name(view.metric)
    label = f"{name}: difference on cold items against difference on warm items"
    drawn = points(shown, label=label, x_name=f"difference on {SLICE_TITLES['warm']}")
    text = (
        f"What each arm adds to the {name} of items that training knows (across) and of new ones (up). "
        "An arm is on the frontier where no other is above it and to its right; the dashed lines are the "
        "baseline."
    )
    names = tag("ol", [tag("li", arm) for arm in view.others])
    title = f"up: difference on {SLICE_TITLES['cold']}"
    return join(
        tag("p", text), tag("div", panel(name, title, drawn), tag("div", names), class_="panels")
    )


def _strengths(view: _View, given: Mapping[str, float]) -> Markup:
    for arm in given:
        if arm not in view.arms:
            raise InvalidArgumentError(
                f"`strengths` must name arms of the report. Received: {arm!r}. "
                f"{close_matches(arm, view.arms)}"
            )
    if len(given) < 2 or not all(math.isfinite(s) for s in given.values()):
        raise InvalidArgumentError(
            "`strengths` must hold at least two arms, each with a number. "
            f"Received: strengths={dict(given)!r}."
        )
    name = metric_name(view.metric)
    panels = []
    for slice_name in view.slices:
        shown = [(float(s), view.difference(arm, slice_name)) for arm, s in given.items()]
        label = f"{name} on {SLICE_TITLES[slice_name]}: difference to the baseline by strength"
        drawn = strengths(shown, label=label, x_name="strength")
        panels.append(panel(SLICE_TITLES[slice_name], view.rows(slice_name), drawn))
    text = f"What each strength adds to the {name} of “{view.baseline}”, with 95 % intervals."
    return join(tag("p", text), tag("div", panels, class_="panels"))


def _reproduce(document: Mapping[str, Any]) -> Markup:
    settings = document["settings"]
    parts = []
    facts = {"Data": document["name"], "Split": settings.get("split")}
    facts["Seeds"] = ", ".join(map(str, document["seeds"]))
    parts.append(_facts("What was run", {k: v for k, v in facts.items() if v}))
    for key, title in (("versions", "Versions"), ("protocol", "Protocol of every training")):
        if settings.get(key):
            parts.append(_facts(title, dict(_flat(settings[key]))))
    if settings.get("arms"):
        parts += [tag("h3", "Arms"), _code(settings["arms"], "Arms as JSON")]
    for arm, policy in settings.get("policies", {}).items():
        parts += [tag("h3", f"Policy of {arm}"), _code(policy, f"Policy of {arm} as JSON")]
    return join(parts)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}: ")
        elif value is not None:
            yield f"{before}{key}", value


def _facts(title: str, facts: Mapping[str, Any]) -> Markup:
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", value, class_="wrap"))
        for name, value in facts.items()
    ]
    return _table(title, [], [rows])


def _code(value: Any, label: str) -> Markup:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return tag("pre", tag("code", text), tabindex="0", role="region", aria_label=label)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
