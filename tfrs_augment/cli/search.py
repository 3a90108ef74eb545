"""`tfrs-augment search`: which policy, and how strong, by successive halving."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.cli import options, training
from tfrs_augment.cli.folder import ResultFolder
from tfrs_augment.cli.interactions import add_interactions, read_interactions

if TYPE_CHECKING:
    from tfrs_augment.policy import AugmentationPolicy
    from tfrs_augment.search import Objective, SearchResult, Space

_CUTS = ("user_time", "time", "user")

_EXAMPLES = """\
  tfrs-augment search --input 'train/*.tfrecord' --policy policy.json --output found
  tfrs-augment search --input 'train/*' --item_id movie_id --policy policy.json \\
      --parameter id_dropout:movie_id.rate=0.0..0.5 --parameter feature_mask:movie_genres=switch \\
      --parameter copies=1..3 --weight warm=0.8 --weight cold=0.2 --output found
  tfrs-augment compare --input 'train/*' --test 'test/*' --policy found/policy.json --output report

--input are the rows to train on: keep the test rows out of it, and judge what was found on these, by
`tfrs-augment compare`. An interrupted search goes on from OUTPUT/study.
"""
_PARAMETERS = """\
what may vary, once or several times: OP.FIELD=LOW..HIGH, with :log behind it for strengths over several
orders; OP.FIELD=A,B,C, values in JSON; OP=switch, in or out; copies=LOW..HIGH (default: each op in or out,
each rate from 0 to twice its own)
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "search",
        help="find a policy and its strengths, or that none helps",
        description=(
            "Trains many variants of a policy for a few epochs, the best of them longer, and holds the\n"
            "winner against no augmentation, all on rows held out of --input (docs/search.md).\n"
            "Writes trials.json, search.png, report.html and, where it helps, policy.json."
        ),
        examples=_EXAMPLES,
    )
    add_interactions(parser)
    options.add_policy(parser)
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUES", help=_PARAMETERS
    )
    for name, default, text in (
        ("candidates", 9, "policies of the first rung"),
        ("rungs", 2, "rounds"),
        ("seeds", 2, "trainings of each policy in a rung"),
        ("confirm_seeds", 5, "trainings of the best and of no augmentation, with other seeds"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default {default})"
        )
    parser.add_argument(
        "--eta",
        type=float,
        default=3.0,
        metavar="X",
        help="1/X of the policies go on to the next rung, which has X times the epochs (default 3)",
    )
    parser.add_argument(
        "--metric",
        default="ndcg@50",
        metavar="NAME",
        help="what is made better: ndcg@K or recall@K (default ndcg@50)",
    )
    parser.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="SLICE=X",
        help="what a slice weighs in it: warm=0.8 and cold=0.2, say (default all=1)",
    )
    parser.add_argument(
        "--by", default="user_time", choices=_CUTS, help="of the splits (default user_time)"
    )
    parser.add_argument(
        "--cold_share",
        type=float,
        default=0.15,
        metavar="X",
        help="share of the items that no training row has (default 0.15)",
    )
    parser.add_argument(
        "--alpha",
        type=float,
        default=0.05,
        metavar="X",
        help="chance that a policy without effect is called helpful (default 0.05)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the drawn policies")
    training.add_training(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the result goes")
    options.add_overwrite(parser, "a result in the folder, and a study of other settings")
    parser.set_defaults(main=main, takes_beam_options=False)


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Searches, writes the result, and prints what was found."""
    from tfrs_augment.evaluation import split
    from tfrs_augment.search import Schedule, search

    policy = options.load_policy(arguments)
    space, objective = _space(policy, arguments.parameter), _objective(arguments)
    schedule = Schedule(candidates=arguments.candidates, eta=arguments.eta, rungs=arguments.rungs)
    seeds = training.seed_range("seeds", arguments.seeds)
    confirm = training.seed_range("confirm_seeds", arguments.confirm_seeds, fewest=2)
    build_model, protocol = training.load_model(arguments), training.load_protocol(arguments)
    schedule.plan(protocol.epochs)
    folder = ResultFolder(arguments.output, "trials.json", arguments.overwrite)
    data, _nothing = read_interactions(arguments)
    training.check_policy(policy, data, arguments.policy)
    data = dataclasses.replace(data, name=f"{data.name} (development)")

    def development(seed):
        # All of --input may choose: the test rows are elsewhere.
        one = split(data, by=arguments.by, cold_share=arguments.cold_share, seed=seed)
        return dataclasses.replace(one, development=True)

    result = search(
        build_model,
        space,
        split=development,
        seeds=seeds,
        confirm_seeds=[len(seeds) + number for number in confirm],
        schedule=schedule,
        objective=objective,
        protocol=protocol,
        alpha=arguments.alpha,
        seed=arguments.seed,
        folder=os.path.join(arguments.output, "study"),
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
        processes=arguments.processes,
    )
    folder.write(lambda path: _write(path, result))
    _forget_earlier(arguments.output, result)
    print(result.table())
    print(f"\n{result}")
    print(f"{result.spent:,} of {result.budget:,} epochs were trained.")
    names = ["policy.json"] if result.policy is not None else []
    names += ["trials.json", "search.png", "report.html"]
    written = [os.path.join(arguments.output, name) for name in names]
    print(f"written: {', '.join(written)}")
    return 0


def _forget_earlier(output: str, result: SearchResult) -> None:
    """Removes the policy of an earlier search, which a search that found none would seem to stand by."""
    path = os.path.join(output, "policy.json")
    if result.policy is None and os.path.exists(path):
        os.remove(path)


def _write(folder: str, result: SearchResult) -> None:
    """Writes the result into an empty folder."""

    def path(name: str) -> str:
        return os.path.join(folder, name)

    if result.policy is not None:
        result.save(path("policy.json"))
    result.plot(path("search.png"))
    result.confirmation.to_html(path("report.html"))
    result.to_json(path("trials.json"))


def _space(policy: AugmentationPolicy, texts: Sequence[str]) -> Space:
    from tfrs_augment.search import Space

    if not texts:
        return Space.of(policy)
    return Space(policy, dict(_parameter(text, policy) for text in texts))


def _parameter(text: str, policy: AugmentationPolicy) -> tuple[str, Any]:
    from tfrs_augment.errors import InvalidArgumentError
    from tfrs_augment.search import Choice, Float, Integer, Switch

    # An op's id may hold an equals sign, what it may be does not.
    name, sign, value = text.rpartition("=")
    wrong = InvalidArgumentError(
        "`--parameter` must be NAME=LOW..HIGH, NAME=A,B,C or NAME=switch. "
        f"Received: --parameter {text}."
    )
    if not (name and sign and value):
        raise wrong
    if value == "switch":
        return name, Switch()
    bounds, _, log = value.partition(":")
    if ".." in bounds:
        if log not in ("", "log"):
            raise wrong
        try:
            low, high = map(json.loads, bounds.split("..", 1))
        except ValueError as error:
            raise wrong from error
        if _counts(name, policy) and not log:
            return name, Integer(low, high)
        return name, Float(low, high, log=bool(log))
    try:
        values = json.loads(f"[{value}]")
    except ValueError as error:
        raise wrong from error
    return name, Choice(values)


def _counts(name: str, policy: AugmentationPolicy) -> bool:
    """Whether a parameter is a whole number: the copies, or a field that holds one."""
    owner, _, field = name.rpartition(".")
    held = [getattr(op, field, None) for op in policy.ops if op.id == owner]
    # A rate of 1 is a share all the same.
    return name == "copies" or (field != "rate" and any(type(value) is int for value in held))


def _objective(arguments: argparse.Namespace) -> Objective:
    from tfrs_augment.errors import InvalidArgumentError
    from tfrs_augment.search import Objective

    if not arguments.weight:
        return Objective(arguments.metric)
    weights = {}
    for text in arguments.weight:
        name, sign, value = text.partition("=")
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise InvalidArgumentError(
                f"`--weight` must be SLICE=NUMBER. Received: --weight {text}."
            ) from error
        if not (name and sign):
            raise InvalidArgumentError(
                f"`--weight` must be SLICE=NUMBER. Received: --weight {text}."
            )
    return Objective(arguments.metric, weights)
