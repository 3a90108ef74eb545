"""What a job is told of drift: what to compare its rows with, and what to do where they have drifted."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from tfrs_augment.drift import Drift
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.policy import AugmentationPolicy

Adapt = Callable[[AugmentationPolicy, Sequence[Drift], Sequence[str]], AugmentationPolicy]


@dataclasses.dataclass(frozen=True)
class DriftGuard:
    """Compares the rows of a job with earlier ones, and adapts the policy where they have drifted.

    A column has drifted where its distance, corrected for chance (`Drift.excess`), is above `threshold` and
    significant, and where it has at least 100 incoming values. A job with such a column fits all statistics
    of its policy anew, on its own rows, and lets `adapt` change the policy.

    Args:
      reference: the `statistics.json` of an earlier job, or the folder of its result. Of a folder the
        statistics in `fitted.json` are used where the policy has none, or has those that this job was given,
        and `adapted_policy.json` in place of the policy that it was adapted from. None is the first run,
        which writes statistics alone.
      threshold: in (0, 1]. Default: 0.1.
      columns: the features to compare. Default: those of the reference; without one those that the policy
        changes or has statistics of. An integer feature counts as a category where the policy's ops take it
        for one, as ids are, else as a number.
      adapt: called at a drift as `adapt(policy, drifts, rows)`, or its import path "module:function". It gets
        the policy, fitted on the incoming rows, the drift of each column, that of the largest excess first,
        and the paths of the TFRecord files with the incoming rows, as they were before any cleaning. It
        returns the policy to run with; statistics that this one lacks are fitted, and its seed is that of the
        policy given. Default: the policy stays, fitted anew.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or there is no such function.
    """

    reference: str | None = None
    _: dataclasses.KW_ONLY
    threshold: float = 0.1
    columns: tuple[str, ...] | None = None
    adapt: Adapt | str | None = None

    def __post_init__(self):
        if self.reference is not None and (
            not isinstance(self.reference, str) or not self.reference
        ):
            raise InvalidArgumentError(
                f"`reference` must be a path. Received: reference={self.reference!r} (DriftGuard)."
            )
        number = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        if not number or not 0 < self.threshold <= 1:
            raise InvalidArgumentError(
                f"`threshold` must be in (0, 1]. Received: threshold={self.threshold!r} (DriftGuard)."
            )
        if self.columns is not None:
            names = () if isinstance(self.columns, str) else tuple(self.columns)
            if (
                not names
                or not all(isinstance(n, str) for n in names)
                or len({*names}) < len(names)
            ):
                raise InvalidArgumentError(
                    "`columns` must be a list of distinct feature names. "
                    f"Received: columns={self.columns!r} (DriftGuard)."
                )
            object.__setattr__(self, "columns", names)
        if isinstance(self.adapt, str):
            object.__setattr__(self, "adapt", function_at(self.adapt))
        if self.adapt is not None and not callable(self.adapt):
            raise InvalidArgumentError(
                '`adapt` must be a function or its import path "module:function". '
                f"Received: adapt={self.adapt!r} (DriftGuard)."
            )


def split_path(path: str) -> tuple[str, str]:
    """The module and the name in an import path "module:function".

    Raises:
      InvalidArgumentError: the path is of another form.
    """
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if not module or not name.isidentifier():
        raise InvalidArgumentError(
            f'`adapt` must be a function or its import path "module:function". Received: adapt={path!r}.'
        )
    return module, name


def function_at(path: str) -> Callable[..., Any]:
    """The function of an import path "module:function".

    Raises:
      InvalidArgumentError: the path is of another form, or there is no such function.
    """
    module, name = split_path(path)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise InvalidArgumentError(
            f"`adapt` '{path}' cannot be imported: {error}. Its module must be on Python's path."
        ) from error
    return found
