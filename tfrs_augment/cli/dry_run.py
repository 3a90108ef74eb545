"""`tfrs-augment run --dry_run N`: rows before and after, side by side, and synthesized ones."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfrs_augment.cli import options, tables

if TYPE_CHECKING:
    from tfrs_augment.beam.preview import PreviewRow
    from tfrs_augment.policy import AugmentationPolicy

_MAX_COPIES = 4
"""More do not fit side by side."""
_LEFT_OUT = ("cleaning", "balance", "drift_reference", "drift_threshold")
"""What asks for a pass over all rows before the first is augmented."""


def main(
    policy: AugmentationPolicy | None, arguments: argparse.Namespace, beam_args: Sequence[str]
) -> int:
    """Prints the first rows and their copies, and the first synthesized rows; writes nothing."""
    from tfrs_augment.beam import sources
    from tfrs_augment.beam.preview import preview, preview_synthesis
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
    if policy is None and arguments.synthesizer is None:
        raise InvalidArgumentError("`run` must have a --policy or a --synthesizer. Received: none.")
    schema = options.load_schema(arguments)
    rows = []
    if policy is not None:
        rows = preview(
            policy,
            inputs=inputs,
            rows=arguments.dry_run,
            copies=min(arguments.copies, _MAX_COPIES),
            schema=schema,
            beam_args=beam_args,
        )
    for row in rows:
        print(render(row, tables.terminal_width()))
    shown = f"{len(rows)} rows"
    if arguments.synthesizer is not None:
        synthesized = preview_synthesis(
            arguments.synthesizer,
            arguments.num_synthetic,
            inputs=inputs,
            rows=arguments.dry_run,
            seed=policy.seed if policy is not None else arguments.seed or 0,
            conditions=options.load_conditions(arguments),
            schema=schema,
        )
        print(_render_synthesized(synthesized, tables.terminal_width()))
        found = f"{len(synthesized)} synthesized rows"
        shown = f"{shown} and {found}" if rows else found
    left_out = [f"--{name}" for name in _LEFT_OUT if getattr(arguments, name) is not None]
    print(
        f"dry run: {shown} shown, nothing written"
        + ("; = is unchanged" if rows else "")
        + (f"; {' and '.join(left_out)} left out" if left_out else "")
    )
    return 0


def _render_synthesized(rows: Sequence[Mapping[str, object]], width: int) -> str:
    """Synthesized rows as tables, some rows beside each other; a feature a line."""
    texts = []
    for start in range(0, len(rows), 1 + _MAX_COPIES):
        part = rows[start : start + 1 + _MAX_COPIES]
        header = ("feature", *(f"row {start + place}" for place in range(len(part))))
        lines = [(name, *(tables.shown(row[name]) for row in part)) for name in part[0]]
        text = tables.table([header, *lines], align="<" * len(header), width=width)
        texts.append(f"synthesized\n{text}\n")
    return "\n".join(texts)


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
