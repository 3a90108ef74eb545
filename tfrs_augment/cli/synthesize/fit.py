"""`tfrs-augment synthesize fit`: a synthesizer, fitted on files and saved."""

from __future__ import annotations

import argparse
import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.cli import options, tables

if TYPE_CHECKING:
    from tfrs_augment.synthesis import Synthesizer

AUTO = "auto"
MODELS = (
    AUTO,
    "FactorizationSampler",
    "InteractionGAN",
    "PopularitySampler",
    "GaussianCopula",
    "IndependentSampler",
    "RegressionSynthesizer",
    "TabularGAN",
    "TabularVAE",
)
_ARGUMENTS = (
    "user_id",
    "item_id",
    "timestamp",
    "user_features",
    "item_features",
    "seed",
    "checkpoint_dir",
)
"""Arguments of synthesizers that have an option of their own."""

_EXAMPLES = """\
  tfrs-augment synthesize fit --input 'in/*.tfrecord.gz' --output shop.npz
  tfrs-augment synthesize fit --input 'in/*' --model FactorizationSampler --item_id movie_id \\
      --option sharpness=2 --option steps=200 --output movies.npz
  tfrs-augment synthesize fit --input products.csv --input_format csv --model TabularGAN \\
      --option generator_units=[64,64] --checkpoint_dir steps --output products.npz

A fit that was interrupted goes on from --checkpoint_dir.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of `synthesize`."""
    parser = options.new_command(
        commands,
        "fit",
        help="fit a synthesizer on files, and save it",
        description=(
            "Fits a synthesizer on rows and writes it to a file of arrays and JSON.\n\n"
            "--model auto takes FactorizationSampler where the rows have the columns --user_id and\n"
            "--item_id, and otherwise the cheapest model of a table whose rows pass as real ones."
        ),
        examples=_EXAMPLES,
    )
    options.add_rows(parser)
    options.add_columns(parser)
    options.add_schema(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write, .npz")
    parser.add_argument(
        "--model", default=AUTO, choices=MODELS, metavar="MODEL", help=", ".join(MODELS)
    )
    parser.add_argument("--user_id", metavar="NAME", help="of interactions (default user_id)")
    parser.add_argument("--item_id", metavar="NAME", help="of interactions (default item_id)")
    parser.add_argument("--timestamp", metavar="NAME", help="of interactions (default timestamp)")
    options.add_owner_features(parser)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another argument of the model, its value in JSON; may be given several times",
    )
    parser.add_argument("--seed", type=int, help="of the fit")
    parser.add_argument(
        "--checkpoint_dir", metavar="FOLDER", help="from which a fit that was interrupted goes on"
    )
    options.add_overwrite(parser, "a file that is there")
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Fits, saves, and says what the columns were taken for."""
    from tfrs_augment.beam import files, synthetic
    from tfrs_augment.errors import InvalidArgumentError

    named = {name: getattr(arguments, name) for name in _ARGUMENTS}
    named = {name: value for name, value in named.items() if value is not None}
    more = dict(_option(text) for text in arguments.option)
    synthesizer = None
    if arguments.model != AUTO:
        synthesizer = _new(arguments.model, named, more)
    elif more:
        raise InvalidArgumentError(
            f"`--option` needs a --model. Received: --model {AUTO}, options {more}."
        )
    staged = f"{arguments.output}{files.STAGING}{uuid.uuid4().hex[:12]}"
    with files.prepare_file(arguments.output, staged, arguments.overwrite):
        schema = options.load_schema(arguments)
        table = options.read_rows(arguments, arguments.input, arguments.columns, schema)
        progress = not arguments.quiet
        if synthesizer is None:
            ids = [named.get("user_id", "user_id"), named.get("item_id", "item_id")]
            if set(ids) <= set(table):
                synthesizer = _new("FactorizationSampler", named, {})
        if synthesizer is None:
            synthesizer = _chosen(table, schema, named, progress)
        else:
            synthesizer.fit(table, schema=schema, progress=progress)
        synthetic.save(synthesizer, staged)
        fingerprint = synthetic.fingerprint(staged)
    print(_columns(synthesizer))
    print(
        f"\n{type(synthesizer).__name__} of {synthesizer.spec.rows:,} rows, fingerprint {fingerprint}, "
        f"written: {arguments.output}"
    )
    return 0


def _new(model: str, named: Mapping[str, Any], more: Mapping[str, Any]) -> Synthesizer:
    """An unfitted synthesizer of the arguments that were given."""
    from tfrs_augment import synthesis
    from tfrs_augment.errors import InvalidArgumentError, close_matches

    cls = getattr(synthesis, model)
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    for name in named:
        if name not in known:
            raise InvalidArgumentError(
                f"`--{name}` is no argument of {model}. Received: --{name} {named[name]}."
            )
    for name in more:
        if name in (*_ARGUMENTS, "columns"):
            raise InvalidArgumentError(f"Use --{name}. Received: --option {name}={more[name]}.")
        if name not in known:
            raise InvalidArgumentError(
                f"`--option` names '{name}', which is no argument of {model}. "
                f"{close_matches(name, known)}"
            )
    try:
        return cls(**named, **more)
    except TypeError as error:
        # A value of another type met a comparison of the class's own checks.
        raise InvalidArgumentError(
            f"The options of {model} must be of the types of its arguments. "
            f"Received: {dict(more)}: {error}."
        ) from error


def _chosen(table, schema, named: Mapping[str, Any], progress: bool) -> Synthesizer:
    """The cheapest synthesizer that passes; the trials are printed."""
    from tfrs_augment.errors import InvalidArgumentError
    from tfrs_augment.synthesis import choose

    seed = named.get("seed", 0)
    if others := {name: value for name, value in named.items() if name != "seed"}:
        raise InvalidArgumentError(
            f"`--{next(iter(others))}` needs a --model, or rows with the columns --user_id and --item_id. "
            f"Received: --model {AUTO}, {others}, columns {', '.join(table)}."
        )
    choice = choose(table, schema=schema, seed=seed, progress=progress)
    print(f"{choice}\n")
    return choice.synthesizer


def _option(text: str) -> tuple[str, Any]:
    from tfrs_augment.errors import InvalidArgumentError

    name, sign, value = text.partition("=")
    if not (name and sign):
        raise InvalidArgumentError(f"`--option` must be NAME=VALUE. Received: --option {text}.")
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value  # A word needs no quotes.
    return name, tuple(parsed) if isinstance(parsed, list) else parsed


def _columns(synthesizer: Synthesizer) -> str:
    """What each column was taken for, as a table."""
    rows = [("column", "kind", "taken for", "values")]
    for column in synthesizer.spec:
        if column.categorical:
            known = [tables.shown(value) for value in column.categories[:3].tolist()]
            more = ", ..." if len(column.categories) > 3 else ""
            values = f"{len(column.categories):,}: {', '.join(known)}{more}"
        else:
            ends = (column.minimum, column.maximum)
            values = " to ".join(
                f"{end:.0f}" if column.decimals == 0 else f"{end:g}" for end in ends
            )
        rows.append((column.name, column.dtype, _role(synthesizer, column), values))
    return tables.table(rows, align="<<<<", width=tables.terminal_width())


def _role(synthesizer: Synthesizer, column) -> str:
    from tfrs_augment.synthesis import InteractionSynthesizer

    kind = "categories" if column.categorical else "numbers"
    if not isinstance(synthesizer, InteractionSynthesizer):
        return kind
    if column.name in synthesizer.id_columns():
        return "id"
    layout = synthesizer.layout
    for owner, names in (("user", layout.user_features), ("item", layout.item_features)):
        if column.name in names:
            return f"{kind} of the {owner}"
    return "time" if column.name == layout.timestamp else kind
