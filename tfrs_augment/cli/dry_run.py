"""`tfrs-augment run --dry_run N`: rows before and after, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfrs_augment.cli import options, tables

if TYPE_CHECKING:
    from tfrs_augment.beam.preview import PreviewRow
    from tfrs_augment.policy import AugmentationPolicy

_MAX_COPIES = 4
"""More do not fit side by side."""


def main(
    policy: AugmentationPolicy, arguments: argparse.Namespace, beam_args: Sequence[str]
) -> int:
    """Prints the first rows and their copies; writes nothing."""
    from tfrs_augment.beam import sources
    from tfrs_augment.beam.preview import preview
    from tfrs_augment.errors import InvalidArgumentError

    if arguments.payload != "example" or arguments.input_format != "tfrecord":
        raise InvalidArgumentError(
            "`--dry_run` reads TFRecords of tf.train.Example. Received: "
            f"--payload {arguments.payload} --input_format {arguments.input_format}."
        )
    if arguments.dry_run < 1:
        raise InvalidArgumentError(
            f"`--dry_run` must be at least 1. Received: --dry_run {arguments.dry_run}."
        )
    inputs = sources.find_inputs(
        arguments.tfds or arguments.input,
        "tfds" if arguments.tfds else "tfrecord",
        arguments.input_compression,
        arguments.tfds_data_dir,
    )
    rows = preview(
        policy,
        inputs=inputs,
        rows=arguments.dry_run,
        copies=min(arguments.copies, _MAX_COPIES),
        schema=options.load_schema(arguments),
        beam_args=beam_args,
    )
    for row in rows:
        print(render(row, tables.terminal_width()))
    left_out = [f"--{name}" for name in ("cleaning", "balance") if getattr(arguments, name)]
    print(
        f"dry run: {len(rows)} rows shown, nothing written; = is unchanged"
        + (f"; {' and '.join(left_out)} left out" if left_out else "")
    )
    return 0


def render(row: PreviewRow, width: int) -> str:
    """A row and its copies as a table of at most `width` columns; a feature a line."""
    header = ("feature", "before", *(f"copy {copy.draw}" for copy in row.copies))
    lines = [
        (name, tables.shown(value), *(_after(name, copy) for copy in row.copies))
        for name, value in (
            (name, row.copies[0].before.get(name, value)) for name, value in row.values.items()
        )
    ]
    text = tables.table([header, *lines], align="<" * len(header), width=width)
    return f"{row.file}, offset {row.offset}\n{text}\n"


def _after(name: str, copy) -> str:
    return tables.shown(copy.changes[name][1]) if name in copy.changes else "="
