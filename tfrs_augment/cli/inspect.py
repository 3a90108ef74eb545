"""`tfrs-augment inspect`: what TFRecords hold, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfrs_augment.cli import options, tables

if TYPE_CHECKING:
    from tfrs_augment.beam.statistics import DataStatistics, FeatureStatistics

_EXAMPLES = """\
  tfrs-augment inspect 'in/*.tfrecord.gz'
  tfrs-augment inspect part-0.tfrecord part-1.tfrecord | less -S
  tfrs-augment inspect 'in/*' --schema schema.pbtxt
"""
_HEADER = (
    "feature",
    "kind",
    "present",
    "missing",
    "values",
    "distinct",
    "min / mean / max; top values",
)
_FEW = 20
"""Distinct numbers up to which the most frequent ones are shown."""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "inspect",
        help="features and statistics of TFRecords, as a table",
        description=(
            "Shows which features TFRecords of tf.train.Example hold, and what is in them.\n\n"
            "present  share of the records that have a value; missing: how many have none\n"
            "values   values a record\n"
            "distinct different values; exact up to 100,000\n"
            "top      the most frequent values and their share of all values; of numbers where few\n"
            "         are different"
        ),
        examples=_EXAMPLES,
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="TFRecord files or globs")
    options.add_schema(parser)
    options.add_compression(parser)
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Prints the table."""
    from tfrs_augment import beam

    statistics = beam.inspect(
        arguments.input,
        input_compression=arguments.input_compression,
        schema=options.load_schema(arguments),
    )
    print(render(statistics, tables.terminal_width()))
    return 0


def render(statistics: DataStatistics, width: int) -> str:
    """The statistics as text of at most `width` columns."""
    files = f"{statistics.files:,} file{'s' if statistics.files > 1 else ''}"
    lines = [
        f"{statistics.records:,} records in {files}, {statistics.bytes / 1e6:,.1f} MB"
        + (f"; {statistics.rejected:,} more cannot be used" if statistics.rejected else "")
    ]
    lines += [f"  {reason}" for reason in statistics.reasons]
    rows = [
        _row(name, feature, statistics.records) for name, feature in statistics.features.items()
    ]
    lines += ["", tables.table([_HEADER, *rows], align="<<>>>><", width=width)]
    return "\n".join(lines)


def _row(name: str, feature: FeatureStatistics, records: int) -> tuple[str, ...]:
    from tfrs_augment.beam.statistics import MAX_DISTINCT

    share = feature.rows / records
    # Rounding must not hide that some are missing.
    present = "100%" if share == 1 else f"{min(share, 0.999):.1%}"
    low, high = feature.shortest or 0, feature.longest
    distinct = f">{MAX_DISTINCT:,}" if feature.counts is None else f"{len(feature.counts):,}"
    return (
        name,
        feature.kind,
        present,
        f"{records - feature.rows:,}",
        str(low) if low == high else f"{low}-{high}",
        distinct,
        "; ".join(text for text in (_range(feature), _top(feature)) if text),
    )


def _range(feature: FeatureStatistics) -> str:
    if not feature.finite:
        return ""
    low, high = feature.minimum, feature.maximum
    ends = [str(int(n)) if feature.kind == "int64" else f"{n:.4g}" for n in (low, high)]
    return f"{ends[0]} / {feature.mean:.4g} / {ends[1]}"


def _top(feature: FeatureStatistics) -> str:
    """The most frequent values; those that occur once are none, and numbers need to be few."""
    counts = feature.counts or {}
    if feature.kind != "bytes" and len(counts) > _FEW:
        return ""
    repeated = [(value, count) for value, count in counts.items() if count > 1]
    ordered = sorted(repeated, key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(
        f"{tables.cut(tables.shown(value), 24)} {count / feature.values:.1%}"
        for value, count in ordered
    )
