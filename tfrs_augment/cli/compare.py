"""`tfrs-augment compare`: did it help? Models trained with and without policies, and a report."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.cli import options, training
from tfrs_augment.cli.folder import ResultFolder
from tfrs_augment.cli.interactions import add_interactions, read_interactions

if TYPE_CHECKING:
    from tfrs_augment.datasets import Interactions
    from tfrs_augment.evaluation import Arm, Report, Split

BASELINE = "baseline"
_CUTS = ("user_time", "time", "user")
_FOLDS = ("user", "row", "item")
_SEEDS = 5
_OF_PREDICTIONS = ("rmse", "log_loss", "auc", "calibration")
"""Metrics of ranking models: what this command trains is retrieval models."""
_DROPOUT = 0.4
"""Of the control without a policy; the default of TwoTower is 0.2."""

_EXAMPLES = """\
  tfrs-augment compare --input 'rows/*.tfrecord' --policy policy.json --output report
  tfrs-augment compare --input 'rows/*' --item_id movie_id --policy weak.json --policy strong.json \\
      --controls --seeds 5 --cold_share 0.15 --output report
  tfrs-augment compare --input 'train/*' --test 'test/*' --policy policy.json --output report
  tfrs-augment compare --input 'rows/*' --policy policy.json --folds 5 --by user --output report
  tfrs-augment compare --input rows.parquet --input_format parquet --policy policy.json \\
      --build_model models:build --segments device --output report

report.html holds all, in one file. Trainings are kept in OUTPUT/runs, or in --cache: a comparison that was
interrupted goes on from there.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = options.new_command(
        commands,
        "compare",
        help="train with and without policies, and report whether it helped",
        description=(
            "Trains a model without augmentation and with each policy, over several seeds, and reports what\n"
            "each adds on all, warm, head, tail and cold items, with intervals and verdicts.\n"
            "Writes report.html, report.json, report.md, report.png and training.png."
        ),
        examples=_EXAMPLES,
    )
    add_interactions(parser)
    parser.add_argument(
        "--test",
        nargs="+",
        metavar="GLOB",
        help="files of test rows (default: --input is split, each seed with cold items of its own)",
    )
    parser.add_argument(
        "--policy",
        action="append",
        required=True,
        metavar="FILE",
        help="a policy, JSON; an arm, called as the file; may be given several times",
    )
    parser.add_argument(
        "--baseline",
        default=BASELINE,
        metavar="ARM",
        help="the arm that the others are held against (default baseline, no augmentation)",
    )
    parser.add_argument(
        "--copies",
        type=int,
        default=0,
        metavar="N",
        help="copies of each row beside itself in the arms with a policy (default 0)",
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="arms without a policy: each row once more (or --copies times), other initial weights, "
        "more dropout",
    )
    parser.add_argument(
        "--dropout",
        type=float,
        metavar="X",
        help=f"of the control with more dropout; needs a model with that argument (default {_DROPOUT} "
        "for TwoTower)",
    )
    _add_split(parser)
    training.add_training(parser)
    parser.add_argument(
        "--cache", metavar="FOLDER", help="where trainings are kept (default OUTPUT/runs)"
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="of the verdicts and plots (default recall@10)"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the report goes")
    options.add_overwrite(parser, "a report in the folder")
    parser.set_defaults(main=main, takes_beam_options=False)


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="how many (default 5; with --folds as many as these)"
    )
    parser.add_argument(
        "--by",
        choices=sorted({*_CUTS, *_FOLDS}),
        help="what --input is split by: user_time (default), time, user; with --folds user, row, item",
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="cross-validation in place of one split a seed"
    )
    parser.add_argument(
        "--cold_share",
        type=float,
        metavar="X",
        help="share of the items that no training row has (default 0.15)",
    )
    parser.add_argument(
        "--cold_user_share",
        type=float,
        metavar="X",
        help="share of the users that no training row has (default 0)",
    )
    parser.add_argument(
        "--segments",
        nargs="+",
        default=[],
        metavar="NAME",
        help="columns whose values are slices of their own, such as a device",
    )


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Trains, writes the report, and prints its table and verdicts."""
    from tfrs_augment.evaluation import compare
    from tfrs_augment.evaluation.measuring.registry import REGISTRY

    split_options = _split_options(arguments)
    _check_metric(arguments.metric, [name for name in REGISTRY if name not in _OF_PREDICTIONS])
    counts = (arguments.seeds, arguments.folds, _SEEDS)
    seeds = training.seed_range("seeds", next(count for count in counts if count is not None))
    build_model, protocol = training.load_model(arguments), training.load_protocol(arguments)
    arms = _arms(arguments, build_model)
    folder = ResultFolder(arguments.output, "report.json", arguments.overwrite)
    data, test = read_interactions(arguments, arguments.test)
    for path, (_, arm) in zip(arguments.policy, _policies(arms), strict=True):
        training.check_policy(arm.policy, data, path)
    _check_segments(arguments.segments, data)
    report = compare(
        build_model,
        arms,
        *(() if test is None else (data, test)),
        split=None if test is not None else _splitter(data, arguments, split_options),
        seeds=seeds,
        baseline=arguments.baseline,
        protocol=protocol,
        cache_dir=arguments.cache or os.path.join(arguments.output, "runs"),
        progress=not arguments.quiet,
        segments=arguments.segments,
        processes=arguments.processes,
    )
    _check_metric(arguments.metric, report.metrics)
    metric = arguments.metric or report.main_metric
    folder.write(lambda path: _write(path, report, metric, data, _policies(arms)))
    print(report.table(metric))
    print()
    print(_verdicts(report, metric))
    print(f"\nwritten: {os.path.join(arguments.output, 'report.html')}")
    return 0


def _split_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `evaluation.split`, and whether they go together."""
    from tfrs_augment.errors import InvalidArgumentError

    given = {
        name: getattr(arguments, name)
        for name in ("by", "cold_share", "cold_user_share")
        if getattr(arguments, name) is not None
    }
    if arguments.test is not None and (given or arguments.folds is not None):
        names = [*given, *(["folds"] if arguments.folds is not None else [])]
        raise InvalidArgumentError(
            f"`--{names[0]}` says how --input is split, which --test does already. Leave out one of them."
        )
    if arguments.folds is not None:
        training.seed_range("folds", arguments.folds, fewest=2)
        shares = [name for name in given if name != "by"]
        if shares or given.get("by", "user") not in _FOLDS:
            what = f"--{shares[0]}" if shares else f"--by {given['by']}"
            raise InvalidArgumentError(
                f"`--folds` goes with --by {', '.join(_FOLDS)} and no share. Received: {what}."
            )
        if arguments.seeds is not None and arguments.seeds > arguments.folds:
            raise InvalidArgumentError(
                f"`--seeds` must be at most the number of folds. Received: --seeds {arguments.seeds}, "
                f"--folds {arguments.folds}."
            )
    elif given.get("by") not in (None, *_CUTS):
        raise InvalidArgumentError(f"`--by {given['by']}` goes with --folds. Received: no --folds.")
    return given


def _splitter(
    data: Interactions, arguments: argparse.Namespace, given: Mapping[str, Any]
) -> Callable[[int], Split]:
    from tfrs_augment.evaluation import folds, split

    if arguments.folds is not None:
        return folds(data, arguments.folds, **given)
    return lambda seed: split(data, seed=seed, **given)


def _arms(arguments: argparse.Namespace, build_model: Callable[..., Any]) -> dict[str, Arm]:
    from tfrs_augment.errors import InvalidArgumentError
    from tfrs_augment.evaluation import Arm, controls

    if arguments.copies < 0:
        raise InvalidArgumentError(
            f"`--copies` must be at least 0. Received: --copies {arguments.copies}."
        )
    if arguments.dropout is not None and not arguments.controls:
        raise InvalidArgumentError(
            f"`--dropout` is of a control. Received: --dropout {arguments.dropout}, no --controls."
        )
    arms = {BASELINE: Arm()}
    if arguments.controls:
        dropout = arguments.dropout
        if dropout is None and arguments.build_model is None:
            dropout = _DROPOUT
        if dropout is not None:
            _check_dropout(arguments, build_model, dropout)
        arms |= controls(
            copies=max(arguments.copies, 1),
            dropout=None if dropout is None else {"dropout": dropout},
        )
    for name, path in zip(training.names_of(arguments.policy), arguments.policy, strict=True):
        if name in arms:
            name = path
        if name in arms:
            raise InvalidArgumentError(f"`--policy` must name a file once. Received: {path} twice.")
        arms[name] = Arm(_load(path), copies=1 + arguments.copies)
    return arms


def _check_dropout(
    arguments: argparse.Namespace, build_model: Callable[..., Any], dropout: float
) -> None:
    from tfrs_augment.errors import InvalidArgumentError

    if not 0 <= dropout < 1:
        raise InvalidArgumentError(f"`--dropout` must be in [0, 1). Received: --dropout {dropout}.")
    training.check_options(arguments, build_model, {"dropout": dropout}, option="dropout")


def _load(path: str):
    """A policy, or an adaptive one, as the file says."""
    from tfrs_augment.adaptive import AdaptivePolicy
    from tfrs_augment.policy import AugmentationPolicy

    try:
        with open(path, encoding="utf-8") as file:
            adaptive = "arms" in json.load(file)
    except (OSError, ValueError, TypeError):
        adaptive = False  # The loader says what is wrong.
    return (AdaptivePolicy if adaptive else AugmentationPolicy).load(path)


def _policies(arms: Mapping[str, Arm]) -> list[tuple[str, Arm]]:
    return [(name, arm) for name, arm in arms.items() if arm.policy is not None]


def _check_segments(names: Sequence[str], data: Interactions) -> None:
    from tfrs_augment.errors import UnknownFeatureError, close_matches

    for name in names:
        if name not in data.rows:
            raise UnknownFeatureError(
                f"`--segments` must name columns of the rows. Received: '{name}'. "
                f"{close_matches(name, data.rows)}"
            )


def _check_metric(name: str | None, known: Iterable[str]) -> None:
    from tfrs_augment.errors import InvalidArgumentError, close_matches

    if name is not None and name not in known:
        raise InvalidArgumentError(
            f"`--metric` must be one of the report's. Received: '{name}'. {close_matches(name, known)}"
        )


def _verdicts(report: Report, metric: str) -> str:
    """A line an arm."""
    from tfrs_augment.evaluation.statistics.figures import slice_title
    from tfrs_augment.evaluation.statistics.verdicts import phrases

    lines = []
    for arm, judged in report.verdicts.items():
        names = [name for name in report.default_slices(metric) if report.rows(name)]
        words = {slice_title(name): judged[name][metric].word for name in names}
        lines.append(f"{arm}: {'; '.join(phrases(words).values())}")
    return "\n".join(lines)


def _write(
    folder: str,
    report: Report,
    metric: str,
    data: Interactions,
    policies: Sequence[tuple[str, Arm]],
) -> None:
    """Writes the report into an empty folder."""

    def path(name: str) -> str:
        return os.path.join(folder, name)

    samples = {f"A row, {name}": _sample(arm.policy, data) for name, arm in policies}
    report.to_html(
        path("report.html"),
        metric=metric,
        samples={name: said for name, said in samples.items() if said is not None},
    )
    report.to_markdown(path("report.md"))
    report.plot(path("report.png"))
    report.plot_training(path("training.png"))
    report.to_json(path("report.json"))


def _sample(policy, data: Interactions):
    """What a policy does to the first row, at the first of 20 draws that changes it."""
    from tfrs_augment.policy import AugmentationPolicy

    if not isinstance(policy, AugmentationPolicy) or not policy.key_features:
        return None
    if policy.missing_requirements():
        from tfrs_augment.fitting import fit

        policy = fit(policy, data.dataset(8192))
    columns = data.take(slice(0, 1)).to_tensors()
    row = {name: column[0].numpy() for name, column in columns.items()}
    explained = [policy.explain(row, draw) for draw in range(20)]
    return next((said for said in explained if said.changes), explained[0])
