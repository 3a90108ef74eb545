"""Options that several commands have, and what they name, loaded. TensorFlow is imported on use."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def add_policy(parser) -> None:
    """Adds --policy."""
    parser.add_argument("--policy", required=True, metavar="FILE", help="the policy, JSON")


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
