"""`tfrs-augment verify`: recounts a finished output."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tfrs_augment.cli import options

_EXAMPLES = """\
  tfrs-augment verify out
  tfrs-augment verify out && python train.py --data 'out/augmented-*'

Exit codes: 0 the output is what its manifest says, 1 it is not, 2 the command was at fault.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "verify",
        help="recount a finished output and compare it with its manifest",
        description=(
            "Reads a finished output with TensorFlow's own reader and compares it with its manifest:\n"
            "files and sizes, records and checksums, provenance, fingerprint, item counts."
        ),
        examples=_EXAMPLES,
    )
    parser.add_argument("output", metavar="FOLDER", help="the folder that `run` wrote to")
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Prints what was found; returns 1 if it differs from the manifest."""
    from tfrs_augment import beam

    verification = beam.verify(arguments.output)
    print(verification)
    return 0 if verification.ok else 1
