"""The page of augmented rows, and its parts for the page of a comparison: from JSON values alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tfrs_augment.evaluation.reporting.pages import bars
from tfrs_augment.evaluation.reporting.pages.axes import panel
from tfrs_augment.evaluation.reporting.pages.frame import Section, page, scrolled
from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag

_MOST_PANELS = 24
_COLUMN_HEADS = ("column", "kind", "drift", "changed", "coverage", "new values", "popularity")


def augmented_page(document: Mapping[str, Any], *, title: str = "Augmented rows") -> str:
    """Returns the page of `AugmentedData.to_dict()` as HTML.

    Args:
      document: what `AugmentedData.to_dict` gives.
      title: what the rows are called.
    """
    sections = [
        Section("warnings", "Is it too much?", warnings(document)),
        *data_sections(document),
    ]
    sections.append(Section("reproduce", "How it was measured", _settings(document)))
    return page(
        title,
        sections,
        lead=_lead(document),
        note=f"Figures of augmented rows by tfrs_augment, format {document['format_version']}. "
        "This file holds all that it shows and loads nothing.",
    )


def data_sections(document: Mapping[str, Any]) -> list[Section]:
    """Returns figures, columns, ops, labels and distributions as parts of a page."""
    found = [
        Section("data-figures", "Augmented rows in figures", _figures(document)),
        Section("data-columns", "Columns before and after", _columns(document)),
    ]
    if document["changes"] and document["changes"]["by_op"]:
        found.append(Section("data-ops", "What each op changed", _ops(document)))
    if document["labels"]:
        found.append(
            Section("data-labels", "Do rows keep their labels?", _labels(document["labels"]))
        )
    if document["statistics"]:
        checked = Section("data-tfdv", "TensorFlow Data Validation", _tfdv(document["statistics"]))
        found.append(checked)
    if document["distributions"]:
        found.append(Section("data-distributions", "Distributions", _distributions(document)))
    return found


def warnings(document: Mapping[str, Any]) -> Markup:
    """Returns the warnings with their numbers and limits, or that there is none."""
    found = document["warnings"]
    measured = sum(limit is not None for limit in document["limits"].values())
    if not found:
        return tag(
            "p",
            f"No warning: of {measured} limits none is passed by a number that was measured. That is no "
            "proof of a gain; a comparison of models says whether there is one.",
        )
    entries = [
        tag(
            "li",
            tag("strong", one["name"].replace("_", " ")),
            tag("span", f"{one['number']:.3g}, limit {one['threshold']:.3g}", class_="hurts"),
            one["message"],
        )
        for one in found
    ]
    return join(tag("p", "Numbers beyond their limits:"), tag("ul", entries, class_="lead"))


def _lead(document: Mapping[str, Any]) -> Markup:
    rows = document["rows"]
    count = len(document["warnings"])
    said = "no warning" if not count else f"{count} warning" + ("" if count == 1 else "s")
    notes = [tag("p", note, class_="note") for note in document["notes"]]
    return join(
        tag(
            "p",
            f"{rows['augmented']:,} augmented rows beside {rows['source']:,} of the source: ",
            tag("span", said, class_="hurts" if count else "helps"),
            ".",
        ),
        notes,
    )


def _figures(document: Mapping[str, Any]) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", _number(value)),
            tag("td", note, class_="wrap"),
        )
        for name, value, note in _facts(document)
        if value is not None
    ]
    return _table("Figures of the augmented rows", _figure_head(), rows)


def _figure_head() -> Markup:
    heads = (("figure", None), ("value", None), ("what it is", "words"))
    return tag("tr", [tag("th", text, scope="col", class_=c) for text, c in heads])


def _facts(document: Mapping[str, Any]) -> list[tuple[str, float | None, str]]:
    """Name, number, and what it says."""
    diversity, changes = document["diversity"], document["changes"] or {}
    spread = document["spread"] or {}
    scores = (document["fidelity"] or {}).get("scores", {})
    shapes, pairs = (scores.get(name, {}).get("value") for name in ("shapes", "all_pairs"))
    floor = scores.get("all_pairs", {}).get("floor")
    lost = "" if floor is None else f"; {floor:.3f} for columns drawn independently"
    return [
        ("augmented among all", document["augmented_share"], "share of all rows"),
        ("changed rows", changes.get("rows"), "share in which a cell is not as in the source row"),
        ("changed cells", changes.get("cells"), "mean share of a row's cells"),
        ("copies", diversity["copies"], "share of augmented rows that equal a source row"),
        ("distinct", diversity["distinct"],
         f"different rows; of the source {diversity['source_distinct']:.3f}"),
        ("distinct among changed", diversity["changed_distinct"],
         "different ones, as a share of what as many source rows have"),
        ("distance to the source", diversity["to_source"],
         f"to the nearest source row; within the source {diversity['within_source']:.3f}"),
        ("distance to each other", diversity["within_augmented"], "to the nearest augmented row"),
        ("similarity of columns", shapes, "1 for equal distributions"),
        ("similarity of pairs", pairs, f"of two columns; 1 for equal{lost}"),
        ("embedding variance", spread.get("variance_share"), "as a share of the source's"),
        ("embedding rank", spread.get("rank_share"), "effective rank, as a share of the source's"),
        ("embedding moved", spread.get("moved"),
         "from its source row, as a share of the distance of two source rows"),
    ]  # fmt: skip


def _columns(document: Mapping[str, Any]) -> Markup:
    text = (
        "Drift is 0 for equal distributions and 1 for the farthest: Kolmogorov-Smirnov's distance of "
        "numbers, Jensen-Shannon's divergence of categories and of the values of lists. Coverage is the "
        "share of the source's values that still occur; popularity the rank correlation of how often they do."
    )
    limits = document["limits"]
    panels = []
    for title, numbers, limit in (
        ("Drift of categories and lists", False, limits["drift"]),
        ("Drift of numbers", True, limits["number_drift"]),
    ):
        shown = [
            (name, column["drift"], f"{column['drift']:.3f}")
            for name, column in document["columns"].items()
            if (column["drift_kind"] == "number") == numbers
        ]
        if shown:
            note = (
                f"the {_MOST_PANELS} largest of {len(shown)}" if len(shown) > _MOST_PANELS else None
            )
            said = f"{title}, column by column"
            drawn = bars.bars(shown[:_MOST_PANELS], label=said, limit=limit)
            panels.append(panel(title, note or "the dashed line is the limit", drawn))
    rows = []
    for name, column in document["columns"].items():
        numbers = [column[k] for k in ("drift", "changed", "coverage", "new", "popularity")]
        cells = [tag("td", column["kind"]), *(tag("td", _number(n)) for n in numbers)]
        rows.append(tag("tr", tag("th", name, scope="row"), cells))
    head = tag("tr", [tag("th", text, scope="col") for text in _COLUMN_HEADS])
    left = document["left_out"]
    return join(
        tag("p", text),
        tag("div", panels, class_="panels"),
        _table("What became of each column, the largest drift first", head, rows),
        tag("p", "Not measured: " + "; ".join(f"{n}, for {why}" for n, why in left.items()) + ".",
            class_="note") if left else None,
    )  # fmt: skip


def _ops(document: Mapping[str, Any]) -> Markup:
    labels = (document["labels"] or {}).get("by_op", {})
    by_op = document["changes"]["by_op"]
    shown = [(name, op["cells"], f"{op['cells']:.1%}") for name, op in by_op.items()]
    limit = document["limits"]["one_op"]
    drawn = bars.bars(shown, label="Share of all changes, op by op", limit=limit)
    rows = []
    for name, op in by_op.items():
        stays = labels.get(name)
        cells = [tag("td", _number(op[key])) for key in ("rows", "cells")]
        cells.append(tag("td", "" if stays is None else _number(stays["stays"])))
        cells.append(tag("td", "" if stays is None else _asked(stays)))
        rows.append(tag("tr", tag("th", name, scope="row", class_="words"), cells))
    heads = (
        "op",
        "rows changed",
        "share of changes",
        "predicted labels that stay",
        "judged by rows",
    )
    head = tag("tr", [tag("th", text, scope="col") for text in heads])
    return join(
        tag("div", panel("Share of all changed cells", None, drawn), class_="panels"),
        _table("What each op changed", head, rows),
    )


def _asked(stays: Mapping[str, Any]) -> str:
    return f"{stays['rows']:,}" + ("" if stays["alone"] else ", not alone")


def _labels(found: Mapping[str, Any]) -> Markup:
    error = found["measure"] == "variance explained"
    names = ("root mean squared error", "error") if error else ("labels as predicted", "share")
    facts = [
        ("consistency", found["consistency"],
         "how well augmented rows fit their labels, as a share of how well source rows do"),
        ("predictions that stay", found["stays"],
         "share of augmented rows for which the prediction is that of their source row"
         + (f", within {found['tolerance']:.3g}" if found["tolerance"] is not None else "")),
        ("mean change", found["shift"], "of the prediction"),
        ("mean size of the change", found["moved"], "of the prediction"),
        ("labels changed", found["carried"], "share of rows that carry another label than their source row"),
        (f"source: {names[0]}", found["agreement"][0], f"{names[1]} on rows the teacher has not seen"),
        (f"augmented: {names[0]}", found["agreement"][1], f"{names[1]} on their augmented rows"),
        ("skill of the teacher", found["skill"], found["measure"]),
    ]  # fmt: skip
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", _number(v)),
            tag("td", note, class_="wrap"),
        )
        for name, v, note in facts
        if v is not None
    ]
    text = f"A teacher was asked about {found['rows']:,} augmented rows"
    text += f" and their “{found['label']}”." if found["label"] else "."
    if not found["skilled"]:
        text += " It hardly knows the label of source rows, so what it says of augmented ones is no warning."
    return join(tag("p", text), _table("Labels of augmented rows", _figure_head(), rows))


def _tfdv(found: Mapping[str, Any]) -> Markup:
    names = list(dict.fromkeys((*found["anomalies"], *found["skew"])))
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", _number(found["skew"].get(name))),
            tag("td", found["anomalies"].get(name, ""), class_="wrap"),
        )
        for name in names
    ]
    text = f"What version {found['version']} finds by the schema that it infers from the source."
    head = tag("tr", [tag("th", t, scope="col") for t in ("feature", "skew", "anomaly")])
    return join(tag("p", text), _table("Skew and anomalies by feature", head, rows))


def _distributions(document: Mapping[str, Any]) -> Markup:
    found = document["distributions"]
    panels = [
        panel(one["name"], _note(document, one), bars.distribution(one))
        for one in found[:_MOST_PANELS]
    ]
    text = "Shares of the rows, of lists shares of all their values; the columns that have moved most first."
    if len(found) > _MOST_PANELS:
        text += f" {len(found) - _MOST_PANELS} more are in the JSON."
    tables = tag(
        "details", tag("summary", "Distributions in numbers"),
        [_bars_table(one) for one in found[:_MOST_PANELS]],
    )  # fmt: skip
    return join(tag("p", text), bars.key(), tag("div", panels, class_="panels"), tables)


def _note(document: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    column = document["columns"][one["name"]]
    return f"{one['kind']}, drift {column['drift']:.3f}"


def _bars_table(one: Mapping[str, Any]) -> Markup:
    rows = [
        tag("tr", tag("th", label, scope="row"), tag("td", f"{a:.2%}"), tag("td", f"{b:.2%}"))
        for label, a, b in zip(one["labels"], one["source"], one["augmented"], strict=True)
    ]
    head = tag("tr", [tag("th", t, scope="col") for t in ("value", "source", "augmented")])
    return _table(f"Shares of {one['name']}", head, rows)


def _settings(document: Mapping[str, Any]) -> Markup:
    limits = [
        tag("tr", tag("th", name.replace("_", " "), scope="row"), tag("td", _number(limit)))
        for name, limit in document["limits"].items()
    ]
    head = tag("tr", [tag("th", t, scope="col") for t in ("limit", "number")])
    settings = json.dumps(document["settings"], indent=2, ensure_ascii=False)
    return join(
        _table("Limits that numbers were held against", head, limits),
        tag("h3", "Settings"),
        tag(
            "pre", tag("code", settings), tabindex="0", role="region", aria_label="Settings as JSON"
        ),
    )


def _table(caption: str, head: Markup, rows: Sequence[Markup]) -> Markup:
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", list(rows)))
    return scrolled(table, caption)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
