"""The page of a comparison, made from the report's JSON values alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.reporting.pages import augmented, curves
from tfrs_augment.evaluation.reporting.pages.axes import panel
from tfrs_augment.evaluation.reporting.pages.document import Document
from tfrs_augment.evaluation.reporting.pages.frame import Section, page
from tfrs_augment.evaluation.reporting.pages.intervals import Interval, intervals, verdict_class
from tfrs_augment.evaluation.reporting.pages.lines import Point, points, strengths
from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag
from tfrs_augment.evaluation.reporting.pages.metric_tables import (
    all_metrics,
    metric_table,
    other_metrics,
    table,
    word_cell,
)
from tfrs_augment.evaluation.statistics.verdicts import phrases

if TYPE_CHECKING:
    from tfrs_augment.evaluation.augmented.augmented_data import AugmentedData
    from tfrs_augment.evaluation.reporting.curves import History
    from tfrs_augment.evaluation.reporting.pages.samples import Sample

_FEW_SEEDS = 5


def report_page(
    document: Mapping[str, Any],
    *,
    metric: str | None = None,
    samples: Mapping[str, Sample] | None = None,
    strengths: Mapping[str, float] | None = None,
    histories: Mapping[str, History] | None = None,
    data: AugmentedData | Mapping[str, Any] | None = None,
) -> str:
    """Returns the page of a report as HTML; see `Report.to_html`.

    Args:
      document: what `Report.to_dict` gives, or the file of `Report.to_json` holds.
      metric: what verdicts and plots are of. Default: the main one.
      samples: as `Report.to_html` takes them.
      strengths: likewise.
      histories: likewise.
      data: what `measure_augmented` returned, or its JSON values. Default: none is shown.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: the document is none of a comparison.
    """
    view = Document(document, metric)
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
    if data is not None:
        values = _data_values(data)
        found.append(Section("data", "Is it too much?", augmented.warnings(values)))
        found += augmented.data_sections(values)
    if samples:
        from tfrs_augment.evaluation.reporting.pages.samples import samples as shown

        found.append(Section("samples", "Before and after", shown(samples)))
    found.append(Section("reproduce", "How to reproduce it", _reproduce(document)))
    return page(
        f"Did it help? {document['name']}",
        found,
        lead=_lead(view),
        note=f"Report of tfrs_augment, format {document['format_version']}. "
        "This file holds all that it shows and loads nothing.",
    )


def _data_values(data: AugmentedData | Mapping[str, Any]) -> Mapping[str, Any]:
    values = data.to_dict() if hasattr(data, "to_dict") else data
    if not isinstance(values, Mapping) or "distributions" not in values:
        raise InvalidArgumentError(
            "`data` must be what measure_augmented returned, or its JSON values. "
            f"Received: {type(data).__name__}."
        )
    return values


def _difference(view: Document, arm: str, name: str) -> Interval:
    f = view.figure(arm, name)
    word = "" if arm == view.baseline else view.word(arm, name)
    return Interval(arm, f.difference, f.difference_low, f.difference_high, word)


def _lead(view: Document) -> Markup:
    entries = []
    for arm in view.others:
        words = {view.titles[n]: view.word(arm, n) for n in view.slices_of()}
        said = phrases(words).items()
        spans = [tag("span", text, class_=verdict_class(word)) for word, text in said]
        entries.append(tag("li", tag("strong", arm), spans))
    seeds = len(view.seeds)
    return join(
        tag(
            "p",
            f"{view.metric.title} ({view.metric.direction}) of {_count(len(view.others), 'arm')} against "
            f"“{view.baseline}”, over {_count(seeds, 'seed')}.",
        ),
        tag("ul", entries, class_="lead") if entries else None,
        tag("p", _caution(seeds), class_="note") if seeds < _FEW_SEEDS else None,
    )


def _caution(seeds: int) -> str:
    if seeds == 1:
        return (
            "With one seed nothing can be told: by how much trainings differ by chance is not known, so "
            "another seed may say otherwise. Intervals hold the chance of the users alone. Run more seeds."
        )
    return (
        f"With {seeds} seeds the intervals hold the chance of training only roughly, and are rather "
        "too narrow."
    )


def _verdicts(view: Document) -> Markup:
    if not view.others:
        return tag("p", "There is no arm beside the baseline.")
    text = tag(
        "p",
        "An arm helps or hurts a slice where its paired difference to the baseline is clear of chance: "
        f"a chance of 5 % that any of the {view.comparisons()} comparisons of {view.metric.title}, on all "
        "slices, is called so wrongly (Holm's correction). It counts as help where the metric is "
        f"{'higher' if view.metric.higher_is_better else 'lower'}. Where nothing can be told, more seeds or "
        "rows may tell.",
    )
    head = [tag("th", "arm", scope="col")]
    slices = view.slices_of()
    head += [tag("th", view.titles[n], scope="col", class_="words") for n in slices]
    rows = []
    for arm in view.others:
        cells = [word_cell(view.word(arm, n)) for n in slices]
        rows.append(tag("tr", tag("th", arm, scope="row"), cells))
    caption = f"Verdicts by arm and slice, {view.metric.title}, {view.metric.direction}"
    return join(text, table(caption, [head], [rows]), _reasons(view), all_metrics(view))


def _reasons(view: Document) -> Markup | None:
    """Why it can't be told, where that is not chance."""
    found: dict[str, list[str]] = {}
    for arm in view.others:
        for name in view.slices_of():
            reason = view.verdict(arm, name).get("reason")
            if reason:
                found.setdefault(reason, []).append(f"{arm} on {view.titles[name]}")
    if not found:
        return None
    every = len(view.others) * len(view.slices_of())
    entries = [
        tag("li", f"{reason}: " + ("everywhere" if len(places) == every else ", ".join(places)))
        for reason, places in found.items()
    ]
    return join(
        tag("p", "Where it can't be told for another reason than chance:"), tag("ul", entries)
    )


def _differences(view: Document) -> Markup:
    name = view.metric.title
    panels = []
    for slice_name in view.slices_of():
        rows = [_difference(view, arm, slice_name) for arm in view.others]
        label = f"{name} on {view.titles[slice_name]}: difference to {view.baseline}"
        drawn = intervals(rows, label=label, signed=True)
        panels.append(panel(view.titles[slice_name], view.rows(slice_name), drawn))
    text = (
        f"What each arm adds to the {name} of “{view.baseline}”, as a difference with its 95 % interval, "
        f"paired by seed and user; {view.metric.direction}. The dashed line is the baseline. A triangle up "
        "helps, one down hurts, a circle can't be told. Each slice has a scale of its own."
    )
    return join(tag("p", text), tag("div", panels, class_="panels") if view.others else None)


def _figures(view: Document) -> Markup:
    name = view.metric.title
    text = (
        "Means over seeds, with 95 % intervals of a bootstrap over seeds and users. Items are ranked in "
        "the full catalogue, those that the user has seen left out. A difference is a share of the "
        "baseline where that is known well enough."
    )
    levels = []
    for slice_name in view.slices_of():
        found = [(arm, view.figure(arm, slice_name)) for arm in view.arms]
        rows = [Interval(arm, f.mean, f.low, f.high) for arm, f in found]
        label = f"{name} of each arm on {view.titles[slice_name]}"
        drawn = intervals(rows, label=label, signed=False)
        levels.append(panel(view.titles[slice_name], view.rows(slice_name), drawn))
    notes = view.values.get("notes") or []
    return join(
        tag("p", text),
        metric_table(view, view.metric),
        other_metrics(view),
        tag("ul", [tag("li", note) for note in notes], class_="note") if notes else None,
        tag("h3", f"{name} of each arm"),
        tag("div", levels, class_="panels"),
    )


def _frontier(view: Document) -> Markup | None:
    if not view.others or not {"warm", "cold"} <= set(view.slices_of()):
        return None
    shown = [
        Point(_difference(view, arm, "warm"), _difference(view, arm, "cold")) for arm in view.others
    ]
    name = view.metric.title
    label = f"{name}: difference on cold items against difference on warm items"
    drawn = points(shown, label=label, x_name=f"difference on {view.titles['warm']}")
    text = (
        f"What each arm adds to the {name} of items that training knows (across) and of new ones (up). "
        "An arm is on the frontier where no other is above it and to its right; the dashed lines are the "
        "baseline. Arms too near one another to be told apart share a mark."
    )
    names = tag("ol", [tag("li", arm) for arm in view.others])
    title = f"up: difference on {view.titles['cold']}"
    return join(
        tag("p", text), tag("div", panel(name, title, drawn), tag("div", names), class_="panels")
    )


def _strengths(view: Document, given: Mapping[str, float]) -> Markup:
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
    name = view.metric.title
    panels = []
    for slice_name in view.slices_of():
        shown = [(float(s), _difference(view, arm, slice_name)) for arm, s in given.items()]
        label = f"{name} on {view.titles[slice_name]}: difference to the baseline by strength"
        drawn = strengths(shown, label=label, x_name="strength")
        panels.append(panel(view.titles[slice_name], view.rows(slice_name), drawn))
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
    return table(title, [], [rows])


def _code(value: Any, label: str) -> Markup:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return tag("pre", tag("code", text), tabindex="0", role="region", aria_label=label)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
