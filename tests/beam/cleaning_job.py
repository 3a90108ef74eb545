"""A job that cleans a few rows, for the tests of cleaning."""

from __future__ import annotations

import json
import pathlib

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.beam import cleaning as c

POLICY = aug.AugmentationPolicy([aug.ops.IdDropout("item", rate=0.5)], key_features=("user", "t"))
PLAIN = {"user": [b"u"], "item": [b"i"], "t": [0], "age": [20.0], "kind": [b"a"]}

EVERY_RULE = [
    c.RangeOutliers("age", low=-50, high=200),
    c.ExactDuplicates(),
    c.OutsideDomain("kind", min_count=5),
    c.NearDuplicates(("user", "item"), number="t", tolerance=150),
    c.BotUsers("user", timestamp="t", max_events=8, window=500),
    c.MissingFill("age", by="mean", group="kind"),
    c.MissingFill("kind", by="mode"),
    c.IqrOutliers("age", factor=1.0, action="clip"),
    c.Required(("item",)),
]


def row(**features) -> dict:
    """A row with some features of its own; None leaves one out."""
    return {name: v for name, v in {**PLAIN, **features}.items() if v is not None}


def run(folder: pathlib.Path, source: list[dict], rules, **arguments):
    """Cleans rows, and returns the report and the rows that were kept, in order."""
    rows.write(folder / "in.tfrecord", [rows.example(**features) for features in source])
    report = aug.beam.run(
        POLICY,
        input=str(folder / "in.tfrecord"),
        output=str(folder / "out"),
        cleaning=c.Cleaning(rules),
        progress=False,
        **{"copies": 0, **arguments},
    )
    return report, [rows.values(record) for record in rows.read(folder / "out")]


def rejected(report) -> list[dict]:
    lines = []
    for name in report.manifest["rejected_files"]:
        lines += (pathlib.Path(report.output) / name).read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_adds_up(report) -> None:
    counts, cleaning = report.counts, report.manifest["cleaning"]
    reasons = [entry["reason"] for entry in rejected(report)]
    assert counts["read"] == counts["kept"] + counts["rejected"]
    assert counts["rejected"] == len(reasons)
    for name, entry in cleaning.items():
        named = sum(reason.startswith(f"cleaning rule '{name}': ") for reason in reasons)
        assert named == (entry["found"] if entry["action"] == "drop" else 0)


def found(report) -> list[int]:
    return [entry["found"] for entry in report.manifest["cleaning"].values()]
