"""`tfrs-augment run`: the Beam job."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfrs_augment.cli import dry_run, options

if TYPE_CHECKING:
    from tfrs_augment.beam import DriftGuard

_RUN_EXAMPLES = """\
examples:
  tfrs-augment run --policy policy.json --input 'in/*.tfrecord.gz' --output out --copies 2
  tfrs-augment run --policy policy.json --input 'in/*.tfrecord.gz' --dry_run 5
  tfrs-augment run --policy policy.json --input 'in/*.csv' --input_format csv --output out
  tfrs-augment run --policy policy.json --tfds movielens/100k-ratings --output out
  tfrs-augment run --policy policy.json --input 'tuesday/*' --output out_tuesday \\
      --drift_reference out_monday
  tfrs-augment run --policy policy.json --input 'in/*' --output out \\
      --synthesizer synthesizer.npz --num_synthetic 20000
  tfrs-augment run --policy policy.json --input 'in/*.tfrecord' --output out \\
      --direct_num_workers 2 --direct_running_mode multi_processing
  tfrs-augment run --policy policy.json --input 'gs://b/in/*' --output gs://b/out \\
      --runner DataflowRunner --project P --region R --temp_location gs://b/tmp
  tfrs-augment run --policy policy.json --input 'hdfs://in/*' --output hdfs://out \\
      --runner FlinkRunner --flink_master host:8081 --environment_type DOCKER

Options that are not listed go to Beam. Exit codes: 0 done, 1 the input or the output was at fault,
2 the command was, 130 interrupted.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    run = commands.add_parser(
        "run",
        help="write augmented copies of TFRecords, and synthesized rows, as a Beam job",
        description=(
            "Writes augmented copies of rows, and synthesized rows, as TFRecords of tf.train.Example.\n"
            "Without --policy there are no copies, and --synthesizer is needed."
        ),
        epilog=_RUN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_policy(run, required=False)
    run.add_argument(
        "--fitted", metavar="FILE", help="fitted statistics; by default fitted on the input"
    )
    run.add_argument(
        "--cleaning",
        metavar="FILE",
        help="rules to clean the rows by before, JSON (docs/cleaning.md)",
    )
    source = run.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", nargs="+", metavar="GLOB", help="files to read")
    source.add_argument(
        "--tfds",
        metavar="NAME",
        help="a data set of TensorFlow Datasets: NAME[/CONFIG][:VERSION][/SPLIT]",
    )
    run.add_argument(
        "--tfds_data_dir", metavar="FOLDER", help="where TensorFlow Datasets keeps prepared data"
    )
    run.add_argument(
        "--input_format",
        default="tfrecord",
        choices=("tfrecord", "csv", "parquet"),
        help="of the files (default tfrecord); tables are first written as TFRecords, in a pass more",
    )
    run.add_argument(
        "--payload",
        default="example",
        choices=("example", "sequence_example"),
        help="what TFRecords hold (default example); sequence_example is slower",
    )
    options.add_schema(run)
    run.add_argument("--output", metavar="FOLDER", help="where the result goes")
    run.add_argument(
        "--dry_run",
        type=int,
        metavar="N",
        help="show the first N rows before and after, side by side, and write nothing",
    )
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
    options.add_synthesizer(run, required=False)
    run.add_argument(
        "--num_synthetic", type=int, metavar="N", help="rows of the synthesizer, in all shards"
    )
    run.add_argument(
        "--synthetic_weight",
        type=float,
        default=1.0,
        metavar="X",
        help="sample_weight of synthesized rows (default 1)",
    )
    options.add_conditions(run)
    run.add_argument(
        "--seed", type=int, help="takes the place of the policy's seed, for synthesized rows too"
    )
    run.add_argument(
        "--item_features",
        nargs="*",
        metavar="NAME",
        help="count these in item_counts.json (default: dropped ids, and synthesized item ids)",
    )
    run.add_argument(
        "--balance",
        metavar="NAME",
        help="more copies for rows whose value of this feature is rare; --copies is then the mean",
    )
    run.add_argument(
        "--balance_exponent",
        type=float,
        default=0.5,
        metavar="X",
        help="0 copies all alike, 1 gives every value as many (default 0.5)",
    )
    run.add_argument(
        "--max_copies",
        type=int,
        default=20,
        metavar="N",
        help="of a row under --balance (default 20)",
    )
    run.add_argument(
        "--keep_expectation",
        action="store_true",
        help="under --balance, write sample_weight so that weighted means are those of the source",
    )
    run.add_argument(
        "--drift_reference",
        metavar="PATH",
        help="compare the rows with these: an earlier output, or its statistics.json (docs/beam.md)",
    )
    run.add_argument(
        "--drift_threshold",
        type=float,
        metavar="X",
        help="adapt above this distance, in (0, 1] (default 0.1); by itself: a first run, to compare with",
    )
    run.add_argument(
        "--drift_columns",
        nargs="+",
        metavar="NAME",
        help="compare these (default: those of the reference, else those of the policy)",
    )
    run.add_argument(
        "--adapt",
        metavar="MODULE:FUNCTION",
        help="gives another policy at a drift: adapt(policy, drifts, files)",
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
    run.set_defaults(main=main, takes_beam_options=True)


def main(arguments: argparse.Namespace, beam_args: Sequence[str]) -> int:
    """Runs the job; options that are not ours go to Beam."""
    # Imported here, so that --help and a wrong option answer at once.
    from tfrs_augment.beam import Balance, run
    from tfrs_augment.beam.cleaning import Cleaning
    from tfrs_augment.errors import InvalidArgumentError

    policy = options.load_policy(arguments) if arguments.policy else None
    if policy is None and arguments.fitted:
        raise InvalidArgumentError(
            f"`--fitted` goes with a --policy. Received: --fitted {arguments.fitted}."
        )
    if arguments.dry_run is not None:
        if policy is not None and arguments.seed is not None:
            policy = dataclasses.replace(policy, seed=arguments.seed)
        return dry_run.main(policy, arguments, beam_args)
    if arguments.output is None:
        raise InvalidArgumentError(
            "`--output` must name a folder. Received: none, and no --dry_run."
        )
    balance = None
    if arguments.balance is not None:
        balance = Balance(
            arguments.balance,
            exponent=arguments.balance_exponent,
            max_copies=arguments.max_copies,
            keep_expectation=arguments.keep_expectation,
        )
    report = run(
        policy,
        input=arguments.tfds or arguments.input,
        input_format="tfds" if arguments.tfds else arguments.input_format,
        payload=arguments.payload,
        schema=options.load_schema(arguments),
        tfds_data_dir=arguments.tfds_data_dir,
        output=arguments.output,
        copies=arguments.copies,
        include_originals=arguments.include_originals,
        compression=arguments.compression,
        input_compression=arguments.input_compression,
        num_shards=arguments.num_shards,
        seed=arguments.seed,
        item_features=arguments.item_features,
        cleaning=Cleaning.load(arguments.cleaning) if arguments.cleaning else None,
        balance=balance,
        drift=_drift_guard(arguments),
        synthesizer=arguments.synthesizer,
        num_synthetic=arguments.num_synthetic,
        synthetic_weight=arguments.synthetic_weight,
        conditions=options.load_conditions(arguments),
        provenance=arguments.provenance,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
        beam_args=beam_args,
    )
    print(report)
    return 0


def _drift_guard(arguments: argparse.Namespace) -> DriftGuard | None:
    """The guard that the options ask for, if any does."""
    from tfrs_augment.beam import DriftGuard
    from tfrs_augment.errors import InvalidArgumentError

    if arguments.drift_reference is None and arguments.drift_threshold is None:
        if arguments.adapt is not None or arguments.drift_columns is not None:
            raise InvalidArgumentError(
                "`--adapt` goes with --drift_reference, and `--drift_columns` with it or --drift_threshold. "
                f"Received: --adapt {arguments.adapt}, --drift_columns {arguments.drift_columns}."
            )
        return None
    if arguments.adapt is not None:
        # A function of a file here, though the command is installed elsewhere.
        sys.path.insert(0, os.getcwd())
    return DriftGuard(
        arguments.drift_reference,
        threshold=0.1 if arguments.drift_threshold is None else arguments.drift_threshold,
        columns=arguments.drift_columns,
        adapt=arguments.adapt,
    )
