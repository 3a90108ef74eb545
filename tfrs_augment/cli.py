"""The command line: `tfrs-augment run ...`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from tfrs_augment import __version__

_RUN_EXAMPLES = """\
examples:
  tfrs-augment run --policy policy.json --input 'in/*.tfrecord.gz' --output out --copies 2
  tfrs-augment run --policy policy.json --input 'in/*.tfrecord' --output out \\
      --direct_num_workers 2 --direct_running_mode multi_processing
  tfrs-augment run --policy policy.json --input 'gs://b/in/*' --output gs://b/out \\
      --runner DataflowRunner --project P --region R --temp_location gs://b/tmp
  tfrs-augment run --policy policy.json --input 'hdfs://in/*' --output hdfs://out \\
      --runner FlinkRunner --flink_master host:8081 --environment_type DOCKER

Options that are not listed go to Beam. Exit codes: 0 done, 1 the input or the output was at fault,
2 the command was.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfrs-augment",
        description="Data augmentation for TensorFlow Recommenders.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="write augmented copies of TFRecords, as a Beam job",
        description="Writes augmented copies of TFRecords of tf.train.Example.",
        epilog=_RUN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run.add_argument("--policy", required=True, metavar="FILE", help="the policy, JSON")
    run.add_argument(
        "--fitted", metavar="FILE", help="fitted statistics; by default fitted on the input"
    )
    run.add_argument("--input", required=True, nargs="+", metavar="GLOB", help="TFRecord files")
    run.add_argument("--output", required=True, metavar="FOLDER", help="where the result goes")
    run.add_argument(
        "--copies", type=int, default=1, metavar="N", help="augmented rows a row (default 1)"
    )
    run.add_argument(
        "--include_originals",
        action="store_true",
        default=True,
        help="write the source rows too (the default)",
    )
    run.add_argument("--no_include_originals", action="store_false", dest="include_originals")
    run.add_argument(
        "--compression",
        default="auto",
        choices=("auto", "none", "gzip"),
        help="of the output (default as input)",
    )
    run.add_argument(
        "--input_compression",
        default="auto",
        choices=("auto", "none", "gzip"),
        help="default: .gz is gzip",
    )
    run.add_argument(
        "--num_shards", type=int, metavar="N", help="output files (default one an input file)"
    )
    run.add_argument("--seed", type=int, help="takes the place of the policy's seed")
    run.add_argument(
        "--item_features",
        nargs="*",
        metavar="NAME",
        help="count these in item_counts.json (default: dropped ids)",
    )
    run.add_argument(
        "--no_provenance",
        action="store_false",
        dest="provenance",
        help="leave out the aug/* features",
    )
    run.add_argument(
        "--overwrite", action="store_true", help="replace a result in the output folder"
    )
    run.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _run(arguments: argparse.Namespace, beam_args: Sequence[str]) -> None:
    # Imported here, so that --help and a wrong option answer at once.
    from tfrs_augment.beam import run
    from tfrs_augment.ops import FittedState
    from tfrs_augment.policy import AugmentationPolicy

    policy = AugmentationPolicy.load(arguments.policy)
    if arguments.fitted:
        policy = policy.with_fitted(FittedState.load(arguments.fitted))
    report = run(
        policy,
        input=arguments.input,
        output=arguments.output,
        copies=arguments.copies,
        include_originals=arguments.include_originals,
        compression=arguments.compression,
        input_compression=arguments.input_compression,
        num_shards=arguments.num_shards,
        seed=arguments.seed,
        item_features=arguments.item_features,
        provenance=arguments.provenance,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
        beam_args=beam_args,
    )
    print(report)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    from tfrs_augment.errors import AugmentError, InvalidArgumentError, UnknownFeatureError

    # What is not ours is Beam's.
    arguments, beam_args = _parser().parse_known_args(argv)
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
        _run(arguments, beam_args)
    except AugmentError as error:
        print(f"tfrs-augment: {error}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgumentError | UnknownFeatureError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
