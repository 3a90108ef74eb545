"""Which op of a policy did what: its gain over no augmentation, shared out among its ops.

The game's players are the policy's ops, and the value of a subset is the metric of a model that is
trained with these alone. Ops keep their ids, so an op draws the same with and without the others.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.comparing.arms import Arm, BuildModel
from tfrs_augment.evaluation.comparing.comparison import compare
from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.explaining import games
from tfrs_augment.evaluation.explaining.attribution_result import (
    Attribution,
    arm_name,
    check_metric,
    check_slice,
)
from tfrs_augment.evaluation.explaining.game_values import is_measured
from tfrs_augment.evaluation.measuring.slices import Slices
from tfrs_augment.evaluation.splitting.splits import Split
from tfrs_augment.policy import AugmentationPolicy

METHODS = ("leave_one_out", "shapley")

_EXACT_TO = 4
_PERMUTATIONS = 8


def attribute(
    build_model: BuildModel,
    policy: AugmentationPolicy,
    *,
    split: Callable[[int], Split],
    seeds: Iterable[int] = range(5),
    method: str = "leave_one_out",
    slice_name: str = "all",
    metric: str = "recall@10",
    permutations: int | None = None,
    arm: Arm | None = None,
    segments: Sequence[str] = (),
    protocol: Protocol | None = None,
    cache_dir: str | os.PathLike | None = None,
    processes: int = 1,
    progress: bool = True,
) -> Attribution:
    """Says which op of a policy did what, by training with some of its ops.

    Every op is a player: a combination (`OneOf`, `SomeOf`, `Sequential`) is one, with all of its parts.

    - "leave_one_out" trains the whole policy, no op, and the policy without each op: `ops + 2` trainings a
      seed. An op's share is what the policy loses without it. Of two ops that do the same each then looks
      useless, because the other is still there.
    - "shapley" averages what an op adds over all orders in which ops may be added. Shares sum to the gain
      of the whole policy. Up to 4 ops all subsets are trained, `2 ** ops` a seed; beyond, those that 8
      sampled orders pass, at most `8 * (ops - 1) + 2`. No subset is trained twice.

    Args:
      build_model: as of `compare`.
      policy: at least two ops. If it asks for fitted statistics it gets those of the training rows.
      split: `seed -> Split`, as of `compare`.
      seeds: as of `compare`.
      method: "leave_one_out" or "shapley".
      slice_name: the test rows that are looked at; `Attribution.on` looks at others later.
      metric: what is measured on them, such as "recall@10": a mean over rows or queries. Of one where lower
        is better, such as "rmse" of a ranking model, an op helps where its share is below 0.
      permutations: with "shapley", how many orders are sampled, reverses counted; an even number. Default:
        none to 4 ops, 8 beyond.
      arm: what all trainings share beside their ops, such as `Arm(after_fit=mean_oov)`. Default: `Arm()`.
      segments: as of `compare`, for slices such as "device=phone".
      protocol: as of `compare`.
      cache_dir: as of `compare`; the other method, slices and metrics find their trainings there.
      processes: as of `compare`.
      progress: as of `compare`.

    Returns:
      The shares, with intervals and verdicts.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: the slice has no test rows, or as `compare` does.

    Example:
      >>> found = attribute(TwoTower, policy, split=lambda seed: split(data, seed=seed),
      ...                   method="shapley", slice_name="cold")  # doctest: +SKIP
      >>> print(found.table())  # doctest: +SKIP

    Reference:
      See `evaluation.explaining.games`.
    """
    seeds = tuple(seeds)
    plan = _plan(policy, method, permutations)
    arm = Arm() if arm is None else arm
    if not isinstance(arm, Arm) or arm.policy is not None or arm.scorer or arm.needs:
        raise InvalidArgumentError(
            "`arm` must be an Arm that trains by itself, without `policy`: it is trained with each subset "
            f"of the ops. Received: arm={arm!r}."
        )
    if not callable(split):
        raise InvalidArgumentError(
            f"`split` must be a function from a seed to a Split. Received: {type(split).__name__}."
        )
    protocol = Protocol() if protocol is None else protocol
    check_metric(metric)
    if seeds:  # Before hours of training; `compare` says what is wrong with none.
        first = Slices.of(split(seeds[0]), segments=segments, label=protocol.label)
        check_slice(slice_name, first)
        if not is_measured(first, slice_name, metric, ranking=protocol.label is not None):
            raise InvalidArgumentError(
                f"`metric` must be one that the trainings have on the slice. Received: metric={metric!r} on "
                f"{slice_name!r}, with label={protocol.label!r} in the protocol."
            )
    arms = {
        arm_name(subset): dataclasses.replace(arm, policy=sub_policy(policy, subset))
        for subset in plan.subsets
    }
    report = compare(
        build_model,
        arms,
        split=split,
        seeds=seeds,
        protocol=protocol,
        cache_dir=cache_dir,
        progress=progress,
        segments=segments,
        processes=processes,
    )
    return Attribution(policy, method, slice_name, metric, report, plan)


def sub_policy(policy: AugmentationPolicy, subset: np.ndarray) -> AugmentationPolicy | None:
    """Returns the policy with some of its ops, each with the id that it has in the whole; None for none.

    Args:
      policy: the whole.
      subset: bool `[ops]`.
    """
    kept = tuple(op for op, there in zip(policy.ops, subset, strict=True) if there)
    return dataclasses.replace(policy, ops=kept) if kept else None


def _plan(policy: Any, method: str, permutations: int | None) -> games.Plan:
    if not isinstance(policy, AugmentationPolicy):
        raise InvalidArgumentError(
            f"`policy` must be an AugmentationPolicy. Received: {type(policy).__name__}."
        )
    if len(policy.ops) < 2:
        raise InvalidArgumentError(
            "`policy` must have at least two ops: the gain of a policy of one is that op's, which "
            f"`compare` measures. Received: {len(policy.ops)}."
        )
    if method not in METHODS:
        raise InvalidArgumentError(
            f"`method` must be one of {METHODS}. Received: method={method!r}. "
            f"{close_matches(str(method), METHODS)}"
        )
    if method == "shapley":
        return games.shapley_plan(
            len(policy.ops), permutations, exact_to=_EXACT_TO, default=_PERMUTATIONS
        )
    if permutations is not None:
        raise InvalidArgumentError(
            "`permutations` goes with method='shapley'. Received: "
            f"permutations={permutations!r} with method={method!r}."
        )
    return games.LeaveOneOut.of(len(policy.ops))
