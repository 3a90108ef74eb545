"""What commands that train models share: the model, the protocol, the policies."""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfrs_augment.datasets import Interactions
    from tfrs_augment.evaluation import Protocol
    from tfrs_augment.policy import AugmentationPolicy

_EPOCHS, _BATCH_SIZE = 30, 512


def add_training(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the model and of its training."""
    parser.add_argument(
        "--build_model",
        metavar="MODULE:FUNCTION",
        help="called with the training rows, returns a tfrs.Model with query_model and candidate_model "
        "(default: aug.towers.TwoTower)",
    )
    parser.add_argument(
        "--model_option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another argument of the model, its value in JSON; may be given several times",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=_EPOCHS,
        metavar="N",
        help=f"at most; training stops where validation gets no better (default {_EPOCHS})",
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=_BATCH_SIZE,
        metavar="N",
        help=f"rows a step (default {_BATCH_SIZE})",
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="train N models at a time (default 1)"
    )


def load_model(arguments: argparse.Namespace) -> Callable[..., Any]:
    """What --build_model names, with the options of --model_option.

    Raises:
      InvalidArgumentError: there is no such function, or it takes other arguments.
    """
    given = dict(_option(text) for text in arguments.model_option)
    if arguments.build_model is None:
        from tfrs_augment.towers import TwoTower

        build = TwoTower
    else:
        build = _import(arguments.build_model)
    check_options(arguments, build, given, option="model_option")
    return functools.partial(build, **given) if given else build


def check_options(
    arguments: argparse.Namespace,
    build: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    option: str,
) -> None:
    """Checks that a model's function takes the training rows and options, before anything is trained.

    Raises:
      InvalidArgumentError: it does not; the message lists close matches.
    """
    from tfrs_augment.errors import InvalidArgumentError, close_matches

    try:
        signature = inspect.signature(build)
    except (TypeError, ValueError):
        return  # Of some that are written in C nothing is known.
    model = arguments.build_model or "TwoTower"
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [name for name, kind in kinds.items() if kind in named]
    if inspect.Parameter.VAR_KEYWORD not in kinds.values():
        for name in given:
            if name not in known:
                raise InvalidArgumentError(
                    f"`--{option}` must be an argument of {model}. Received: '{name}'. "
                    f"{close_matches(name, known[1:])}"
                )
    try:
        signature.bind(None, **given)
    except TypeError as error:
        raise InvalidArgumentError(
            "`--build_model` must take the training rows and the options of --model_option. Received: "
            f"{model}, {error}."
        ) from error


def load_protocol(arguments: argparse.Namespace) -> Protocol:
    """The protocol of --epochs and --batch_size."""
    from tfrs_augment.evaluation import Protocol

    return Protocol(epochs=arguments.epochs, batch_size=arguments.batch_size)


def check_policy(policy: AugmentationPolicy, data: Interactions, path: str) -> None:
    """Checks that the rows have what a policy changes and hangs its draws on, before anything is trained.

    Raises:
      UnknownFeatureError: they lack a feature; the message lists close matches.
    """
    from tfrs_augment.errors import UnknownFeatureError, close_matches

    for name in (*policy.features, *policy.key_features):
        if name not in data.rows:
            raise UnknownFeatureError(
                f"The policy '{path}' names feature '{name}', which the rows do not have. "
                f"{close_matches(name, data.rows)}"
            )


def seed_range(option: str, count: int, *, fewest: int = 1) -> range:
    """The seeds 0 to `count` - 1.

    Raises:
      InvalidArgumentError: there are fewer than `fewest`.
    """
    from tfrs_augment.errors import InvalidArgumentError

    if count < fewest:
        raise InvalidArgumentError(
            f"`--{option}` must be at least {fewest}. Received: --{option} {count}."
        )
    return range(count)


def _import(text: str) -> Callable[..., Any]:
    from tfrs_augment.errors import InvalidArgumentError, close_matches

    module_name, colon, name = text.partition(":")
    if not (module_name and colon and name):
        raise InvalidArgumentError(
            "`--build_model` must be MODULE:FUNCTION, such as models:build for build() in models.py. "
            f"Received: --build_model {text}."
        )
    # A module beside the data, as `python -m` finds it.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        # Whatever its code raises; of a SyntaxError the text has the file and the line.
        raise InvalidArgumentError(
            f"`--build_model` names module '{module_name}', which cannot be imported: "
            f"{type(error).__name__}: {error}."
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InvalidArgumentError(
            f"`--build_model` must name a function of '{module_name}'. Received: '{name}'. "
            f"{close_matches(name, known)}"
        )
    return found


def _option(text: str) -> tuple[str, Any]:
    from tfrs_augment.errors import InvalidArgumentError

    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign):
        raise InvalidArgumentError(
            f"`--model_option` must be NAME=VALUE. Received: --model_option {text}."
        )
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value  # A word needs no quotes.
    return name, tuple(parsed) if isinstance(parsed, list) else parsed


def names_of(paths: Sequence[str]) -> list[str]:
    """Names of arms for files: what is before the suffix, or the path where two share that."""
    stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    return [stem if stems.count(stem) == 1 else path for stem, path in zip(stems, paths)]
