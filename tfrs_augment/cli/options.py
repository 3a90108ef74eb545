"""Options that several commands have, and what they name, loaded. TensorFlow is imported on use."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from tfrs_augment.policy import AugmentationPolicy
    from tfrs_augment.schema import Schema


def new_command(commands, name: str, *, help: str, description: str, examples: str):
    """A parser of a command whose help ends with examples."""
    return commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_policy(parser, *, required: bool = True) -> None:
    """Adds --policy."""
    parser.add_argument("--policy", required=required, metavar="FILE", help="the policy, JSON")


def add_rows(parser) -> None:
    """Adds --input and what says how it is read into memory."""
    parser.add_argument("--input", required=True, nargs="+", metavar="GLOB", help="files to read")
    parser.add_argument(
        "--input_format",
        default="tfrecord",
        choices=("tfrecord", "csv", "parquet"),
        help="of the files (default tfrecord, of tf.train.Example)",
    )
    add_compression(parser)


def add_columns(parser) -> None:
    """Adds --columns."""
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="NAME",
        help="the features that count (default: all with one value a row)",
    )


def add_owner_features(parser) -> None:
    """Adds --user_features and --item_features."""
    for owner in ("user", "item"):
        parser.add_argument(
            f"--{owner}_features",
            nargs="*",
            metavar="NAME",
            help=f"columns that belong to the {owner} (default: those that do not vary within one)",
        )


def add_synthesizer(parser, *, required: bool = True) -> None:
    """Adds --synthesizer."""
    parser.add_argument(
        "--synthesizer",
        required=required,
        metavar="FILE",
        help="a fitted synthesizer, as `tfrs-augment synthesize fit` writes it",
    )


def add_conditions(parser) -> None:
    """Adds --conditions."""
    parser.add_argument(
        "--conditions",
        metavar="JSON",
        help='that synthesized rows meet: {"genre": ["War", "Drama"], "year": {"low": 1990, "high": 1999}}',
    )


def add_overwrite(parser, what: str) -> None:
    """Adds --overwrite and --quiet."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_compression(parser) -> None:
    """Adds --input_compression."""
    parser.add_argument(
        "--input_compression",
        default="auto",
        choices=("auto", "none", "gzip"),
        help="default: .gz is gzip",
    )


def add_schema(parser) -> None:
    """Adds --schema."""
    parser.add_argument(
        "--schema",
        metavar="FILE",
        help="a schema.pbtxt of tensorflow_metadata; by default kinds are read off the records",
    )


def load_policy(arguments: argparse.Namespace) -> AugmentationPolicy:
    """The policy that --policy names, with the statistics that --fitted names."""
    from tfrs_augment.ops import FittedState
    from tfrs_augment.policy import AugmentationPolicy

    policy = AugmentationPolicy.load(arguments.policy)
    if getattr(arguments, "fitted", None):
        policy = policy.with_fitted(FittedState.load(arguments.fitted))
    return policy


def load_schema(arguments: argparse.Namespace) -> Schema | None:
    """The schema that --schema names, if it does."""
    from tfrs_augment.schema import Schema

    return Schema.load(arguments.schema) if arguments.schema else None


def load_conditions(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The conditions of --conditions, if there are any."""
    from tfrs_augment.beam.conditions import conditions_from_json

    return None if arguments.conditions is None else conditions_from_json(arguments.conditions)


def read_rows(
    arguments: argparse.Namespace,
    input: Sequence[str],
    columns: Sequence[str] | None,
    schema: Schema | None = None,
) -> dict[str, np.ndarray]:
    """The rows of files as a table; what was left out of it is said on stderr."""
    from tfrs_augment.beam.reading import read_rows

    rows = read_rows(
        input,
        columns=columns,
        schema=schema,
        input_format=arguments.input_format,
        input_compression=arguments.input_compression,
    )
    if rows.left_out:
        say(f"left out, for they have several values a row: {', '.join(rows.left_out)}")
    if rows.rejected:
        say(f"{rows.rejected:,} records cannot be used: {'; '.join(rows.reasons)}")
    return rows.table


@contextlib.contextmanager
def naming(option: str) -> Iterator[None]:
    """Tells what is wrong with an `input` by the name of the option that named the files."""
    from tfrs_augment.errors import DataError

    try:
        yield
    except DataError as error:
        text = str(error).replace("`input`", f"`--{option}`")
        raise DataError(text.replace("Received: input=", f"Received: --{option} ")) from error


def say(text: str) -> None:
    """Prints a note beside the result."""
    print(f"tfrs-augment: {text}", file=sys.stderr)
