"""`tfrs-augment report`: the page of a comparison drawn again, and the figures of augmented rows."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.cli import options
from tfrs_augment.cli.folder import ResultFolder

if TYPE_CHECKING:
    from tfrs_augment.datasets.interactions import Column
    from tfrs_augment.evaluation import AugmentedData
    from tfrs_augment.policy import AugmentationPolicy

_EXAMPLES = """\
  tfrs-augment report --comparison report.json --output report.html
  tfrs-augment report --comparison report.json --metric ndcg@10 --output report.html \\
      --markdown report.md
  tfrs-augment report --source 'in/*' --augmented 'out/*' --output data
  tfrs-augment report --source 'in/*' --augmented 'out/*' --label rating --positive 4 5 --output data
  tfrs-augment report --comparison report.json --data data/data.json --output report.html

--comparison takes what `tfrs-augment compare` or `Report.to_json` wrote. Of an output of `tfrs-augment run`
the policy, the source row of each copy and its draw are known: which op changed what is then told.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "report",
        help="draw the page of a comparison, or measure augmented rows",
        description=(
            "Draws the page of a comparison from its JSON, or measures augmented rows against their source:\n"
            "fidelity, diversity, drift, labels, and warnings where it is too much (docs/data_quality.md).\n"
            "Of rows it writes data.html, data.json and data.png."
        ),
        examples=_EXAMPLES,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--comparison", metavar="FILE", help="the JSON of a comparison")
    what.add_argument("--source", nargs="+", metavar="GLOB", help="files of the rows before")
    parser.add_argument(
        "--output", metavar="PATH", help="the page to write; with --source the folder of the report"
    )
    page = parser.add_argument_group("with --comparison")
    page.add_argument("--metric", metavar="NAME", help="what verdicts and plots are of")
    page.add_argument(
        "--markdown", metavar="FILE", help="write verdicts and tables as Markdown too"
    )
    page.add_argument("--data", metavar="FILE", help="show these figures of rows too: a data.json")
    rows = parser.add_argument_group("with --source")
    rows.add_argument("--augmented", nargs="+", metavar="GLOB", help="files of the rows after")
    options.add_policy(rows, required=False)
    rows.add_argument("--fitted", metavar="FILE", help="fitted statistics of the policy")
    rows.add_argument(
        "--input_format",
        default="tfrecord",
        choices=("tfrecord", "csv", "parquet"),
        help="of the source's files (default tfrecord); those of augmented rows are TFRecords",
    )
    options.add_compression(rows)
    options.add_schema(rows)
    options.add_columns(rows)
    rows.add_argument(
        "--label", metavar="NAME", help="ask a teacher whether rows keep the label in this column"
    )
    rows.add_argument(
        "--positive", nargs="+", metavar="VALUE", help="values of --label that are positive"
    )
    rows.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=X",
        help="another limit to warn beyond, or none: drift=0.3, copies=none; may be given several times",
    )
    rows.add_argument(
        "--max_rows",
        type=int,
        default=100_000,
        metavar="N",
        help="of each table; larger ones are sampled (default 100,000)",
    )
    rows.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    options.add_overwrite(parser, "the page, or a report in the folder")
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Draws a page, or measures rows."""
    _check(arguments)
    return _draw(arguments) if arguments.comparison else _measure(arguments)


def _check(arguments: argparse.Namespace) -> None:
    from tfrs_augment.errors import InvalidArgumentError

    mine, others = ("comparison", "source") if arguments.comparison else ("source", "comparison")
    owned = {
        "comparison": ("metric", "markdown", "data"),
        "source": ("augmented", "policy", "fitted", "columns", "label", "positive", "limit"),
    }
    for name in owned[others]:
        if value := getattr(arguments, name):
            raise InvalidArgumentError(
                f"`--{name}` goes with --{others}. Received: --{name} {value} with --{mine}."
            )
    if arguments.source and not arguments.augmented:
        raise InvalidArgumentError("`--augmented` must name files. Received: none.")
    if not arguments.output and not arguments.markdown:
        raise InvalidArgumentError("`--output` must name where the result goes. Received: none.")
    if arguments.positive and not arguments.label:
        raise InvalidArgumentError(
            f"`--positive` goes with --label. Received: --positive {' '.join(arguments.positive)}."
        )
    if arguments.fitted and not arguments.policy:
        raise InvalidArgumentError(
            f"`--fitted` goes with a --policy. Received: --fitted {arguments.fitted}."
        )


def _draw(arguments: argparse.Namespace) -> int:
    """Writes the page of a comparison's JSON."""
    from tfrs_augment.evaluation.reporting.markdown import document_markdown
    from tfrs_augment.evaluation.reporting.pages.document import read_comparison, read_data
    from tfrs_augment.evaluation.reporting.pages.report import report_page

    document = read_comparison(arguments.comparison)
    made = {}
    if arguments.output:
        data = None if arguments.data is None else read_data(arguments.data)
        made[arguments.output] = report_page(document, metric=arguments.metric, data=data)
    if arguments.markdown:
        made[arguments.markdown] = document_markdown(document, arguments.metric)
    for path, text in made.items():
        _write(path, text, arguments.overwrite)
    for path in made:
        print(f"written: {path}")
    return 0


def _write(path: str, text: str, overwrite: bool) -> None:
    """Writes a file whole, or not at all."""
    from tfrs_augment.beam.files import as_output_error
    from tfrs_augment.errors import OutputError

    if os.path.exists(path) and not overwrite:
        raise OutputError(
            f"'{path}' exists. Pass --overwrite to replace it, or choose another name."
        )
    staged = f"{path}.staged"
    with as_output_error(path):
        try:
            with open(staged, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(staged, path)
        finally:
            if os.path.exists(staged):
                os.remove(staged)


def _measure(arguments: argparse.Namespace) -> int:
    """Measures augmented rows, writes the report, and prints its tables and warnings."""
    from tfrs_augment.evaluation import measure_augmented

    folder = ResultFolder(arguments.output, "data.json", arguments.overwrite)
    limits = _limits(arguments.limit)
    policy = options.load_policy(arguments) if arguments.policy else _policy_of(arguments.augmented)
    with options.naming("source"):
        source = _read(arguments, arguments.source, arguments.input_format)
    with options.naming("augmented"):
        augmented = _read(arguments, arguments.augmented, "tfrecord")
    found = measure_augmented(
        source,
        augmented,
        policy=policy,
        columns=arguments.columns,
        label=arguments.label,
        positive=None if arguments.positive is None else list(map(_value, arguments.positive)),
        limits=limits,
        max_rows=arguments.max_rows,
        seed=arguments.seed,
    )
    folder.write(lambda path: _write_report(path, found))
    print(_said(found))
    print(f"written: {arguments.output}")
    return 0


def _write_report(folder: str, found: AugmentedData) -> None:
    found.to_html(os.path.join(folder, "data.html"))
    found.plot(os.path.join(folder, "data.png"))
    found.to_json(os.path.join(folder, "data.json"))


def _said(found: AugmentedData) -> str:
    """The tables for a terminal, and the warnings."""
    rows = f"{found.rows['augmented']:,} augmented rows, {found.rows['source']:,} of the source"
    left = [f"not measured: {name}, for {why}" for name, why in found.left_out.items()]
    return "\n".join([rows, *found.notes, *left, "", found.table()])


def _policy_of(patterns: Sequence[str]) -> AugmentationPolicy | None:
    """The policy that a manifest beside the files says they were made by, if there is one."""
    from tfrs_augment.beam import files
    from tfrs_augment.ops import FittedState
    from tfrs_augment.policy import AugmentationPolicy

    folder = _folder_of(patterns[0])
    manifest = files.read_manifest(folder)
    if not manifest or not manifest.get("policy"):
        return None
    policy = AugmentationPolicy.from_config(manifest["policy"])
    if files.FITTED in manifest["files"]:
        policy = policy.with_fitted(FittedState.load(files.join(folder, files.FITTED)))
    return policy


def _folder_of(pattern: str) -> str:
    return pattern if os.path.isdir(pattern) else os.path.dirname(pattern) or "."


def _read(
    arguments: argparse.Namespace, patterns: Sequence[str], input_format: str
) -> Mapping[str, Column]:
    """The rows of files, lists too, and of TFRecords where each row comes from."""
    from tfrs_augment.beam.reading import read_rows
    from tfrs_augment.evaluation.augmented.augmented_tables import DRAW, PARENT_KEY
    from tfrs_augment.schema import Schema

    paths = _files(patterns, arguments.input_compression)
    read = {"input_format": input_format, "input_compression": arguments.input_compression}
    rows = read_rows(paths, schema=options.load_schema(arguments), lists=True, **read)
    if rows.rejected:
        options.say(f"{rows.rejected:,} records cannot be used: {'; '.join(rows.reasons)}")
    table = dict(rows.table)
    if input_format == "tfrecord":
        # Originals, which files begin with, have none of these.
        kinds = dict.fromkeys((PARENT_KEY, DRAW), "int64")
        provenance = read_rows(paths, columns=list(kinds), schema=Schema(kinds), lists=True, **read)
        if len(provenance) == len(rows):
            table.update(provenance.table)
    return table


def _files(patterns: Sequence[str], compression: str) -> list[str]:
    """The files of globs and folders; of a job's output its shards alone."""
    from tfrs_augment.beam import files

    paths = []
    for pattern in patterns:
        manifest = files.read_manifest(_folder_of(pattern))
        wanted = files.join(pattern, "*") if os.path.isdir(pattern) else pattern
        found = [file.path for file in files.find_inputs([wanted], compression)]
        if manifest is not None:
            shards = {shard["name"] for shard in manifest["shards"]}
            found = [path for path in found if os.path.basename(path) in shards] or found
        paths += found
    return paths


def _limits(given: Sequence[str]):
    from tfrs_augment.errors import InvalidArgumentError, close_matches
    from tfrs_augment.evaluation import AugmentationLimits

    known = list(AugmentationLimits.__dataclass_fields__)
    values: dict[str, float | None] = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in known:
            raise InvalidArgumentError(
                f"`--limit` must name a limit. Received: --limit {text}. {close_matches(name, known)}"
            )
        try:
            values[name] = None if number == "none" else float(number)
        except ValueError:
            raise InvalidArgumentError(
                f"`--limit` must be NAME=X, X a number in [0, 1] or none. Received: --limit {text}."
            ) from None
    return AugmentationLimits(**values)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # A word needs no quotes.
