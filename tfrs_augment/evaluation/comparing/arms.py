"""The arms of a comparison: ways of training, and what else is measured beside them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.adaptive.policy import AdaptivePolicy
from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.evaluation.measuring.slices import Scorer
from tfrs_augment.evaluation.splitting.splits import Split
from tfrs_augment.policy import AugmentationPolicy

BuildModel = Callable[..., tf_keras.Model]
Policy = AugmentationPolicy | AdaptivePolicy
POLICIES = (AugmentationPolicy, AdaptivePolicy)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of training that is compared with others.

    Args:
      policy: augments the training batches inside the model (`aug.wrap`): an `AugmentationPolicy`, or an
        `aug.adaptive.AdaptivePolicy`, which chooses its augmentation while the model trains. A policy that
        needs fitted statistics gets those of the training rows. Default: no augmentation.
      copies: how often each training row stands in the shuffled list that batches are cut from;
        the number of steps stays that of one copy. Default: 1.
      rows: called with the split and the seed, returns the rows to learn in place of `split.train`, of the
        same catalogue and users: real rows and synthesized ones, say (`evaluation.with_synthetic`).
        Model, policy, losses and `after_fit` are given these. Its name tells arms apart in the cache.
      model_options: keyword arguments for `build_model` beside the training rows.
      after_fit: called with the trained model and the training rows, changes the model in place; and for
        each validation, after which the weights are put back.
      tasks: called with the training rows, returns the losses that are added to the model's own
        (`aug.wrap(..., tasks=)`). Its name, not its code, tells arms apart in the cache. Default:
        no loss is added.
      share: name of an arm whose trained weights this one takes in place of training itself.
      scorer: called with the split in place of training a model, returns a function of the numbers
        of test rows, int `[n]`, to scores float `[n, items]`: a reference to hold the models
        against, such as `evaluation.comparing.references.popularity`.
      start: name of an arm whose trained weights, as they are before its `after_fit`, this one starts from.
        Both models must have the same variables. Its training comes on top of the other's: an arm that
        starts from another has had more steps than the rest.
      frozen: names of layers that do not train, attributes of the model, with dots for inner ones
        ("candidate_model.id_embedding"). With `start` a frozen pretrained tower; without it what
        `build_model` made.
      ensemble: names of two or more arms whose scores are averaged in place of training a model, each on its
        own scale; see `evaluation.comparing.ensembles`. Of ranking models, predictions are averaged as they
        are.
      initialization: 0 trains with the initial weights and batches of the seed that all arms share; another
        number with others. Default: 0.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or an arm that trains nothing has settings of a
        training.
    """

    policy: Policy | None = None
    _: dataclasses.KW_ONLY
    copies: int = 1
    rows: Callable[[Split, int], Interactions] | None = None
    model_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    after_fit: Callable[[tf_keras.Model, Interactions], None] | None = None
    tasks: Callable[[Interactions], Sequence[tfrs.tasks.Task]] | None = None
    share: str | None = None
    scorer: Callable[[Split], Scorer] | None = None
    start: str | None = None
    frozen: tuple[str, ...] = ()
    ensemble: tuple[str, ...] = ()
    initialization: int = 0

    def __post_init__(self) -> None:
        if self.policy is not None and not isinstance(self.policy, POLICIES):
            raise InvalidArgumentError(
                "`policy` must be an AugmentationPolicy, an AdaptivePolicy or None. Received: "
                f"{self.policy!r}."
            )
        if self.copies < 1:
            raise InvalidArgumentError(
                f"`copies` must be at least 1. Received: copies={self.copies}."
            )
        number = self.initialization
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InvalidArgumentError(
                f"`initialization` must be an integer of 0 or more. Received: initialization={number!r}."
            )
        for name in ("rows", "after_fit", "tasks", "scorer"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise InvalidArgumentError(
                    f"`{name}` must be a function or None. Received: {name}={function!r}."
                )
        for name in ("frozen", "ensemble"):
            names = _as_names(name, getattr(self, name))
            object.__setattr__(self, name, names)
        trains = self.policy or self.copies != 1 or self.rows or self.model_options or self.tasks
        trains = trains or self.start or self.frozen or self.initialization
        if self.share is not None and trains:
            raise InvalidArgumentError(
                "An arm with `share` takes another arm's training as it is. Received: "
                f"share={self.share!r} beside `policy`, `copies`, `rows`, `model_options`, `start`, "
                "`frozen`, `initialization` or `tasks`."
            )
        if self.scorer is not None and (trains or self.share or self.after_fit):
            raise InvalidArgumentError(
                "An arm with `scorer` trains no model. Received: `scorer` beside another option."
            )
        if self.ensemble and (trains or self.share or self.after_fit or self.scorer):
            raise InvalidArgumentError(
                "An arm with `ensemble` trains no model. Received: `ensemble` beside another option."
            )
        if len(self.ensemble) == 1:
            raise InvalidArgumentError(
                f"`ensemble` must name two or more arms. Received: ensemble={self.ensemble!r}."
            )

    @property
    def trains(self) -> bool:
        """Whether the arm trains a model of its own."""
        return self.share is None and self.scorer is None and not self.ensemble

    @property
    def needs(self) -> tuple[str, ...]:
        """The arms that this one takes something of."""
        named = (self.share, self.start)
        return (*(name for name in named if name is not None), *self.ensemble)

    def describe(self) -> dict[str, Any]:
        """Returns the arm as JSON values, the same for equal arms."""
        described = {
            "policy": None if self.policy is None else self.policy.fingerprint,
            "copies": self.copies,
            "model_options": {name: _text(v) for name, v in sorted(self.model_options.items())},
            "after_fit": None if self.after_fit is None else name_of(self.after_fit),
            "share": self.share,
        }
        # What is left at its default is not told, so that results of before stay valid.
        for name in ("tasks", "scorer", "rows"):
            if getattr(self, name) is not None:
                described[name] = name_of(getattr(self, name))
        if self.start is not None:
            described["start"] = self.start
        for name in ("frozen", "ensemble"):
            if getattr(self, name):
                described[name] = list(getattr(self, name))
        if self.initialization:
            described["initialization"] = self.initialization
        return described


def as_arms(
    arms: Mapping[str, Arm | Policy | None], baseline: str | None
) -> tuple[dict[str, Arm], str]:
    """Returns arms by name and the name of the baseline, all references among them checked.

    Raises:
      InvalidArgumentError: `arms` is no mapping, or a value none of `Arm`, policy and None; the baseline or
        an arm that another one takes something of is not there, or cannot give it.
    """
    if not isinstance(arms, Mapping):
        raise InvalidArgumentError(
            "`arms` must map names to arms, such as {'baseline': None, 'augmented': policy}. Received: "
            f"{type(arms).__name__}."
        )
    arms = {name: _as_arm(name, value) for name, value in arms.items()}
    baseline = next(iter(arms), None) if baseline is None else baseline
    if baseline not in arms:
        raise InvalidArgumentError(
            f"`baseline` must be one of `arms`. Received: {baseline!r}. "
            f"{close_matches(str(baseline), arms)}"
        )
    for name, arm in arms.items():
        for argument in ("share", "start"):
            other = getattr(arm, argument)
            if other is not None and (other not in arms or not arms[other].trains):
                raise InvalidArgumentError(
                    f"`{argument}` must name an arm that trains itself. Received: "
                    f"{argument}={other!r} (arm {name!r}). {close_matches(other, arms)}"
                )
        if name in arm.ensemble:
            raise InvalidArgumentError(
                f"`ensemble` must not name the arm itself. Received: {arm.ensemble!r} (arm {name!r})."
            )
        for other in arm.ensemble:
            if other not in arms or arms[other].ensemble:
                raise InvalidArgumentError(
                    f"`ensemble` must name arms that are no ensembles. Received: {other!r} "
                    f"(arm {name!r}). {close_matches(other, arms)}"
                )
    for name in arms:
        if name in needed(name, arms):
            raise InvalidArgumentError(
                f"`start` must not lead back to the arm itself. Received: {name!r}, which starts from "
                f"{arms[name].start!r}."
            )
    return arms, baseline


def needed(name: str, arms: Mapping[str, Arm]) -> list[str]:
    """Returns the arms that one takes something of, and those that these do, nearest first."""
    found: list[str] = []
    open_ = list(arms[name].needs)
    while open_:
        other = open_.pop(0)
        if other not in found:
            found.append(other)
            open_ += arms[other].needs
    return found


def groups(arms: Mapping[str, Arm]) -> Iterator[list[str]]:
    """Yields the arms in groups that have nothing to do with one another, in the order given."""
    group = {name: {name} for name in arms}
    for name, arm in arms.items():
        for other in arm.needs:
            joined = group[name] | group[other]
            for member in joined:
                group[member] = joined
    told: set[str] = set()
    for name in arms:
        if name not in told:
            told |= group[name]
            yield [member for member in arms if member in group[name]]


def name_of(function: Callable) -> str:
    """Returns a name that is the same in every process, unlike a repr with an address."""
    if isinstance(function, functools.partial):
        bound = [
            *map(_text, function.args),
            *(f"{k}={_text(v)}" for k, v in function.keywords.items()),
        ]
        return f"{name_of(function.func)}({', '.join(bound)})"
    module = getattr(function, "__module__", type(function).__module__)
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _text(value: Any) -> str:
    """Returns what tells a value from others in every process: of a long array a repr leaves numbers out."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        text = ", ".join(map(_text, value))
        return f"[{text}]" if isinstance(value, list) else f"({text})"
    if isinstance(value, np.ndarray | tf.Tensor | tf.Variable):
        array = np.asarray(value)
        held = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
        return f"array({array.dtype}, {array.shape}, {hashlib.sha256(held).hexdigest()[:16]})"
    if isinstance(value, functools.partial | types.FunctionType | types.MethodType | type):
        return name_of(value)
    return repr(value)


def _as_arm(name: str, value: Arm | Policy | None) -> Arm:
    if isinstance(value, Arm):
        return value
    if value is None or isinstance(value, POLICIES):
        return Arm(value)
    raise InvalidArgumentError(
        f"`arms` must hold Arm, AugmentationPolicy, AdaptivePolicy or None. Received: {value!r} "
        f"(arm {name!r})."
    )


def _as_names(argument: str, names: Any) -> tuple[str, ...]:
    names = (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise InvalidArgumentError(
            f"`{argument}` must hold distinct names. Received: {argument}={names!r}."
        )
    return names
