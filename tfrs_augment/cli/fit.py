"""`tfrs-augment fit`: the statistics that a policy asks for, written to a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tfrs_augment.cli import options

_EXAMPLES = """\
  tfrs-augment fit --policy policy.json --input 'in/*.tfrecord.gz' --output fitted.json
  tfrs-augment run --policy policy.json --fitted fitted.json --input 'new/*' --output out

Options that are not listed go to Beam.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "fit",
        help="learn the statistics that a policy asks for, as a Beam job",
        description=(
            "Learns the statistics that a policy's ops ask for, and writes them to a file. `run` does\n"
            "so by itself; a file lets several runs, and the model, use the statistics of the same data."
        ),
        examples=_EXAMPLES,
    )
    options.add_policy(parser)
    parser.add_argument("--input", required=True, nargs="+", metavar="GLOB", help="TFRecord files")
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write, JSON")
    options.add_schema(parser)
    options.add_compression(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.set_defaults(main=main, takes_beam_options=True)


def main(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    """Fits, writes, and says what was fitted."""
    from tfrs_augment import beam

    state = beam.fit(
        options.load_policy(arguments),
        input=arguments.input,
        output=arguments.output,
        input_compression=arguments.input_compression,
        schema=options.load_schema(arguments),
        overwrite=arguments.overwrite,
        beam_args=beam_args,
    )
    for requirement in sorted(state.arrays, key=str):
        print(f"fitted: {requirement}")
    if not state.arrays:
        print("the policy asks for no statistics")
    print(f"written: {arguments.output}")
    return 0
