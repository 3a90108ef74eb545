"""`tfrs-augment synthesize sample`: rows of a fitted synthesizer, as a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tfrs_augment.cli import options

_EXAMPLES = """\
  tfrs-augment synthesize sample --synthesizer shop.npz --num_rows 10000 --output rows.csv
  tfrs-augment synthesize sample --synthesizer shop.npz --num_rows 500 --seed 7 \\
      --conditions '{"user_gender": "F", "rating": {"low": 4, "high": 5}}' --output rows.parquet
  tfrs-augment synthesize sample --synthesizer shop.npz --num_rows 1000000 --num_shards 8 \\
      --output folder

The rows are those of synthesizer.sample(N, seed=SEED) in Python, in their order. On many workers, and
beside other rows: tfrs-augment run --synthesizer.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of `synthesize`."""
    parser = options.new_command(
        commands,
        "sample",
        help="write rows of a synthesizer as TFRecords, CSV or Parquet",
        description="Writes rows of a fitted synthesizer.",
        examples=_EXAMPLES,
    )
    options.add_synthesizer(parser)
    options.add_conditions(parser)
    parser.add_argument("--num_rows", type=int, required=True, metavar="N", help="at least 1")
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="a file .tfrecord, .tfrecord.gz, .csv or .parquet; or a folder, for TFRecords",
    )
    parser.add_argument(
        "--num_shards", type=int, metavar="N", help="files in the folder (default 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the rows (default 0)")
    options.add_overwrite(parser, "an earlier sample")
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Samples and writes."""
    from tfrs_augment.beam.sampling import write_sample
    from tfrs_augment.synthesis import Synthesizer

    synthesizer = Synthesizer.load(arguments.synthesizer)
    paths = write_sample(
        synthesizer,
        arguments.output,
        arguments.num_rows,
        seed=arguments.seed,
        conditions=options.load_conditions(arguments),
        num_shards=arguments.num_shards,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
    )
    where = paths[0] if len(paths) == 1 else f"{len(paths)} files in {arguments.output}"
    print(f"{arguments.num_rows:,} rows of the {type(synthesizer).__name__} written: {where}")
    return 0
