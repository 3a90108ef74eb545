"""`tfrs-augment synthesize fit|sample|report`: synthesizers without a line of Python."""

from __future__ import annotations

from tfrs_augment.cli import options
from tfrs_augment.cli.synthesize import fit, report, sample

_EXAMPLES = """\
  tfrs-augment synthesize fit --input 'train/*' --item_id movie_id --output movies.npz
  tfrs-augment synthesize report --synthesizer movies.npz --input 'train/*' --holdout 'test/*' \\
      --output report
  tfrs-augment synthesize sample --synthesizer movies.npz --num_rows 10000 --output rows.parquet

`tfrs-augment run --synthesizer movies.npz --num_synthetic 10000` writes them with other rows.
"""


def add_parser(commands) -> None:
    """Adds the command and its three to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "synthesize",
        help="fit a synthesizer, sample rows of it, and measure what they are worth",
        description="Models of a table, fitted on real rows, that give new ones (docs/synthesis.md).",
        examples=_EXAMPLES,
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="fit|sample|report")
    for step in (fit, sample, report):
        step.add_parser(steps)
