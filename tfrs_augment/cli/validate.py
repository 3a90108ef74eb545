"""`tfrs-augment validate`: a policy against a schema, data and vocabularies."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tfrs_augment.cli import options

_EXAMPLES = """\
  tfrs-augment validate --policy policy.json --schema schema.pbtxt
  tfrs-augment validate --policy policy.json --input 'in/*.tfrecord.gz'
  tfrs-augment validate --policy policy.json --input 'in/*' --vocabulary movie_id=movies.txt

Exit codes: 0 no errors (there may be warnings), 1 errors, 2 the command or the policy file was at
fault.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "validate",
        help="check a policy against a schema, data and vocabularies",
        description=(
            "Checks a policy by itself, against a schema, and against data: features and kinds,\n"
            "records that a job would reject, rows that the key features do not tell apart, values\n"
            "that leave the schema's domain, ids of a vocabulary that training never sees."
        ),
        examples=_EXAMPLES,
    )
    options.add_policy(parser)
    parser.add_argument("--fitted", metavar="FILE", help="fitted statistics")
    parser.add_argument("--input", nargs="+", metavar="GLOB", help="TFRecord files")
    options.add_schema(parser)
    parser.add_argument(
        "--vocabulary",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="ids that the lookup layer of a feature knows, one a line; may be given several times",
    )
    options.add_compression(parser)
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Prints the findings; returns 1 if one is an error."""
    from tfrs_augment import beam

    policy = options.load_policy(arguments)
    vocabularies = dict(_vocabulary(text) for text in arguments.vocabulary)
    findings = beam.validate(
        policy,
        schema=options.load_schema(arguments),
        input=arguments.input,
        input_compression=arguments.input_compression,
        vocabularies=vocabularies,
    )
    print(
        f"{arguments.policy}: {len(policy.ops)} ops, seed {policy.seed}, "
        f"key features {', '.join(policy.key_features) or 'none'}, fingerprint {policy.fingerprint}"
    )
    if missing := policy.missing_requirements():
        print(f"to be fitted: {', '.join(map(str, missing))}")
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    print(f"{errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


def _vocabulary(text: str) -> tuple[str, list[bytes]]:
    from tfrs_augment.errors import InvalidArgumentError

    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise InvalidArgumentError(
            f"`--vocabulary` must be NAME=FILE. Received: --vocabulary {text}."
        )
    try:
        with open(path, "rb") as file:
            return name, [line for line in file.read().splitlines() if line]
    except OSError as error:
        raise InvalidArgumentError(f"The vocabulary '{path}' cannot be read: {error}") from error
