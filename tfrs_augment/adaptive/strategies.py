"""Strategies: which arm of an `AdaptivePolicy` is in force, epoch by epoch or row by row.

A strategy is a frozen dataclass without state of its own. What it has learnt is a dict of JSON values, which
its methods take and return, so that an interrupted training can go on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column
from tfrs_augment.json_file import part_from_config, register
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.rng import Column

State = Mapping[str, Any]

_REGISTRY: dict[str, type[Strategy]] = {}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a strategy learns from.

    Attributes:
      score: the monitored metric, negated where lower is better; so higher is better.
      training: the metric of the training rows that the strategy asked for, likewise; else None.
    """

    score: float
    training: float | None = None


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Which arm is in force.

    An arm in force is a place along the arms: 0.0 is the first, 1.0 the second, and at 1.25 each row gets
    the third with the chance 0.25, else the second.
    """

    watches: ClassVar[bool] = False
    """Whether it needs the monitored metric; then its arm stays until there is one."""
    by_row: ClassVar[bool] = False
    """Whether each row has a place of its own, by `row_places`; nothing is learnt then."""

    def __init_subclass__(cls, abstract: bool = False, **kwargs):
        super().__init_subclass__(**kwargs)
        if not abstract:
            register(_REGISTRY, cls, "a strategy")

    def __post_init__(self):
        """Checks the arguments."""

    @property
    def training_metric(self) -> str | None:
        """The metric of the training rows that it needs beside the monitored one."""
        return None

    def check(self, arms: Sequence[str]) -> None:
        """Checks that it can choose among arms of these names."""

    def requirements(self) -> tuple[Requirement, ...]:
        """The statistics that must be fitted before it can choose."""
        return ()

    def begin(self, arms: Sequence[str]) -> State:
        """What it knows before the first epoch."""
        return {}

    def probabilities(self, state: State, arms: Sequence[str], epoch: int) -> list[float] | None:
        """The chance of each arm to be chosen now, float `[arms]`; None where none is drawn."""
        return None

    def place(
        self, state: State, arms: Sequence[str], epoch: int, rng: np.random.Generator
    ) -> float:
        """The place in force.

        Args:
          state: what it knows.
          arms: the names of the arms.
          epoch: the number of epochs before.
          rng: random numbers, the same at each call for this epoch.

        Returns:
          A place along the arms, in [0, arms - 1].
        """
        raise TypeError(f"{type(self).__name__} must define place(state, arms, epoch, rng).")

    def learn(
        self, state: State, arms: Sequence[str], place: float, outcome: Outcome
    ) -> tuple[State, float | None]:
        """What it knows after a place was in force, and the reward that it took from the outcome."""
        return state, None

    def settled(self, state: State, arms: Sequence[str], place: float) -> int | None:
        """The index of the arm that it settled on; None where it never settles."""
        return int(round(place))

    def row_places(
        self, features: Mapping[str, Column], fitted: FittedState | None, arms: int
    ) -> tf.Tensor:
        """The place of each row, float32 `[batch]`, where `by_row` is set."""
        raise TypeError(f"{type(self).__name__} must define row_places(features, fitted, arms).")

    def invalid(self, argument: str, rule: str, value: Any) -> InvalidArgumentError:
        """The error for an argument that breaks its rule."""
        return InvalidArgumentError(
            f"`{argument}` of {type(self).__name__} {rule}. Received: {argument}={value!r}."
        )

    def check_number(
        self, name: str, low: float, high: float = math.inf, *, above: bool = False
    ) -> None:
        """Checks that an argument is a finite number in [low, high], or (low, high] with `above`."""
        value = getattr(self, name)
        fits = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
            and not (above and value == low)
        )
        if not fits:
            bounds = f"{'(' if above else '['}{low:g}, {high:g}]"
            rule = f"must be in {bounds}" if high < math.inf else f"must be at least {low:g}"
            if above and high == math.inf:
                rule = f"must be more than {low:g}"
            raise self.invalid(name, rule, value)

    def get_config(self) -> dict[str, Any]:
        """The strategy as JSON values: its class under "strategy" and every argument."""
        return {"strategy": type(self).__name__, **dataclasses.asdict(self)}


def strategy_from_config(config: Any) -> Strategy:
    """The inverse of `Strategy.get_config`.

    Raises:
      InvalidArgumentError: an unknown strategy, an unknown or missing argument, or a value that breaks its
        rule.
    """
    return part_from_config(
        config,
        "strategy",
        tag="strategy",
        registry=_REGISTRY,
        convert=lambda value, where: value,
    )


@dataclasses.dataclass(frozen=True)
class Fixed(Strategy):
    """One arm all along: the control that needs the answer beforehand.

    Args:
      arm: its name.
    """

    arm: str

    def __post_init__(self):
        if not isinstance(self.arm, str) or not self.arm:
            raise self.invalid("arm", "must be the name of an arm", self.arm)

    def check(self, arms):
        if self.arm not in arms:
            raise InvalidArgumentError(
                "`arm` of Fixed must name one of the arms. Received: "
                f"arm={self.arm!r}. {close_matches(self.arm, arms)}"
            )

    def place(self, state, arms, epoch, rng):
        return float(list(arms).index(self.arm))


@dataclasses.dataclass(frozen=True)
class UniformRandom(Strategy):
    """An arm by chance in each epoch, all alike: the control that learns nothing."""

    def probabilities(self, state, arms, epoch):
        return [1 / len(arms)] * len(arms)

    def place(self, state, arms, epoch, rng):
        return float(rng.integers(len(arms)))

    def settled(self, state, arms, place):
        return None


@dataclasses.dataclass(frozen=True)
class Ramp(Strategy):
    """A strength that changes evenly over some epochs, whatever comes of it.

    Args:
      start: the strength of the first epoch, in [0, 1]: 0 is the first arm, 1 the last, and in between each
        row gets one of the two arms that are next to it. Default: 0.
      end: the strength after `epochs` epochs, in [0, 1]. Default: 1.
      epochs: how many it takes, at least 1.
    """

    start: float = 0.0
    end: float = 1.0
    epochs: int = 10

    def __post_init__(self):
        self.check_number("start", 0, 1)
        self.check_number("end", 0, 1)
        if not isinstance(self.epochs, int) or isinstance(self.epochs, bool) or self.epochs < 1:
            raise self.invalid("epochs", "must be an integer of at least 1", self.epochs)

    def place(self, state, arms, epoch, rng):
        share = min(1.0, epoch / self.epochs)
        return (self.start + (self.end - self.start) * share) * (len(arms) - 1)


@dataclasses.dataclass(frozen=True)
class ByPopularity(Strategy):
    """A strength for each row, by how often its item occurs: constant in time, so it needs no callback.

    `popular + (rare - popular) * min(1, scale / count)`: an item that occurs `scale` times or less, or that
    the fit did not see, has the strength `rare`; the more often it occurs, the nearer it is to `popular`. It
    is to a whole policy what `ops.PopularityRate` is to the rate of one op.

    Args:
      feature: the item's id, a column of one value a row. Its counts are those of the fitted marginal:
        `aug.fitting.fit(adaptive, rows)`.
      rare: strength of rare items, in [0, 1]: 0 is the first arm, 1 the last, and in between a row gets one
        of the two arms that are next to it. Default: 1.
      popular: strength of popular items, in [0, 1]. Default: 0.
      scale: occurrences up to which an item is rare, more than 0.
    """

    feature: str
    rare: float = 1.0
    popular: float = 0.0
    scale: float = 10.0

    by_row: ClassVar[bool] = True

    def __post_init__(self):
        if not isinstance(self.feature, str) or not self.feature:
            raise self.invalid("feature", "must be a feature's name", self.feature)
        self.check_number("rare", 0, 1)
        self.check_number("popular", 0, 1)
        self.check_number("scale", 0, above=True)

    @property
    def requirement(self) -> Requirement:
        """The counts that it reads."""
        return Requirement("marginal", self.feature)

    def requirements(self):
        return (self.requirement,)

    def place(self, state, arms, epoch, rng):
        return 0.0

    def settled(self, state, arms, place):
        return None

    def row_places(self, features, fitted, arms):
        if self.feature not in features:
            raise UnknownFeatureError(
                f"ByPopularity needs feature '{self.feature}', which is missing from the batch. "
                f"{close_matches(self.feature, features)}"
            )
        column = as_column(self.feature, features[self.feature])
        if isinstance(column, tf.RaggedTensor) or column.shape.rank != 1:
            raise DataError(
                f"`feature` of ByPopularity must have one value a row. Received: '{self.feature}' of "
                f"shape {column.shape}."
            )
        rarity = PopularityRate(scale=self.scale, maximum=1.0).of(column, fitted[self.requirement])
        return (self.popular + (self.rare - self.popular) * rarity) * (arms - 1)


@dataclasses.dataclass(frozen=True)
class GeneralizationGap(Strategy):
    """A strength that rises while validation falls behind training, and falls when it catches up.

    The gap is measured since the epoch that was best on validation: how much training has gained since,
    as a share of its value there, and how much validation has lost, likewise. An epoch that is the best yet
    has a gap of 0. Each validated epoch moves the strength by one step at most: up where the gap is above
    `tolerance`, down where it is at most half of it.

    Args:
      start: the strength of the first epoch, in [0, 1]: 0 is the first arm, 1 the last, and in between
        each row gets one of the two arms that are next to it. Default: 0.
      step: how much it changes at most in an epoch, in (0, 1].
      tolerance: the gap that is taken for chance, at least 0.
      training: the metric of the training rows. Default: "loss".

    Reference:
      Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section
      3: there, too, the strength moves by fixed steps with the sign of an overfitting measure; theirs is
      that of a discriminator.
    """

    start: float = 0.0
    step: float = 0.25
    tolerance: float = 0.02
    training: str = "loss"

    watches: ClassVar[bool] = True

    def __post_init__(self):
        self.check_number("start", 0, 1)
        self.check_number("step", 0, 1, above=True)
        self.check_number("tolerance", 0)
        if not isinstance(self.training, str) or not self.training:
            raise self.invalid("training", "must be a metric's name", self.training)

    @property
    def training_metric(self):
        return self.training

    def begin(self, arms):
        return {"strength": self.start, "score": None, "training": None, "gap": None}

    def place(self, state, arms, epoch, rng):
        return state["strength"] * (len(arms) - 1)

    def learn(self, state, arms, place, outcome):
        score, training = outcome.score, outcome.training
        if not math.isfinite(score) or not math.isfinite(training):
            return state, None
        if state["score"] is None or score > state["score"]:
            state = {**state, "score": score, "training": training, "gap": 0.0}
        else:
            gained = _share(training - state["training"], state["training"])
            state = {**state, "gap": gained + _share(state["score"] - score, state["score"])}
        strength = state["strength"]
        if state["gap"] > self.tolerance:
            strength = min(1.0, strength + self.step)
        elif state["gap"] <= self.tolerance / 2:
            strength = max(0.0, strength - self.step)
        return {**state, "strength": strength}, None


def _share(difference: float, base: float) -> float:
    """A difference as a share of the size of what it is a difference to; 0 of nothing."""
    return difference / abs(base) if base else 0.0
