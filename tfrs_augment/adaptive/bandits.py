"""Bandits over arms: the reward is how much the monitored metric changed while an arm was in force."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import ClassVar

import numpy as np

from tfrs_augment.adaptive.strategies import State, Strategy

_SAMPLES = 4000
"""Draws by which Thompson sampling's chances are counted."""


@dataclasses.dataclass(frozen=True)
class _Bandit(Strategy, abc.ABC, abstract=True):
    """What the bandits share: the reward.

    A change of the metric counts by how it stands among the recent ones, whose size falls as a training
    goes on: its distance to their running mean, in running mean deviations, cut at 2 on either side, and
    mapped to [0, 1]; 0.5 is a change like the recent ones. Both means weigh a change by `memory` to the
    power of its age.
    """

    memory: float = dataclasses.field(default=0.7, kw_only=True)

    watches: ClassVar[bool] = True

    def __post_init__(self):
        self.check_number("memory", 0, 1)

    def begin(self, arms):
        scale = {"weight": 0.0, "mean": 0.0, "deviation": 0.0}
        return {"previous": None, **scale, **self.begin_arms(len(arms))}

    @abc.abstractmethod
    def begin_arms(self, arms: int) -> State:
        """What is known of the arms at first."""

    @abc.abstractmethod
    def update(self, state: State, arm: int, reward: float) -> State:
        """What is known of the arms after one had a reward, of [0, 1]."""

    def learn(self, state, arms, place, outcome):
        if not math.isfinite(outcome.score):
            return self.update(state, int(place), 0.0), 0.0
        if state["previous"] is None:  # Nothing to tell a change from.
            return {**state, "previous": outcome.score}, None
        change = outcome.score - state["previous"]
        state, reward = self._normalized({**state, "previous": outcome.score}, change)
        return self.update(state, int(place), reward), reward

    def _normalized(self, state: State, change: float) -> tuple[State, float]:
        """The state with a change counted in, and the change as a reward."""
        weight = self.memory * state["weight"] + 1
        mean = state["mean"] + (change - state["mean"]) / weight
        distance = abs(change - mean)
        deviation = state["deviation"] + (distance - state["deviation"]) / weight
        state = {**state, "weight": weight, "mean": mean, "deviation": deviation}
        if deviation == 0:
            return state, 0.5
        return state, float(np.clip(0.5 + (change - mean) / (4 * deviation), 0, 1))


@dataclasses.dataclass(frozen=True)
class Exp3(_Bandit):
    """Exponential weights for exploration and exploitation: no assumption on how rewards come about.

    An arm of weight w is drawn with the chance `(1 - exploration) * w / sum(w) + exploration / arms`; a
    reward r of an arm that had the chance p multiplies its weight by `exp(learning_rate * r / p)`.

    Args:
      exploration: share of the epochs that go to arms by chance, in (0, 1]: gamma in the paper.
      learning_rate: more than 0. Default: `exploration / arms`, as in the paper.
      memory: how much older changes count for the size of a change, in [0, 1].

    Reference:
      Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic multiarmed bandit problem", SIAM Journal on
      Computing 32(1), 2002, section 3, figure 1. The reward's normalization is not of the paper.
    """

    exploration: float = 0.3
    learning_rate: float | None = None

    def __post_init__(self):
        super().__post_init__()
        self.check_number("exploration", 0, 1, above=True)
        if self.learning_rate is not None:
            self.check_number("learning_rate", 0, above=True)

    def begin_arms(self, arms):
        return {"log_weights": [0.0] * arms}

    def probabilities(self, state, arms, epoch):
        return self._chances(state).tolist()

    def place(self, state, arms, epoch, rng):
        return float(rng.choice(len(arms), p=self._chances(state)))

    def update(self, state, arm, reward):
        chances, weights = self._chances(state), np.array(state["log_weights"])
        rate = self.exploration / len(weights) if self.learning_rate is None else self.learning_rate
        weights[arm] += rate * reward / chances[arm]
        # Only differences count: this keeps them finite.
        return {**state, "log_weights": (weights - weights.max()).tolist()}

    def settled(self, state, arms, place):
        return int(np.argmax(state["log_weights"]))

    def _chances(self, state: State) -> np.ndarray:
        weights = np.exp(np.array(state["log_weights"]))
        shares = weights / weights.sum()
        chances = (1 - self.exploration) * shares + self.exploration / len(weights)
        return chances / chances.sum()


@dataclasses.dataclass(frozen=True)
class ThompsonSampling(_Bandit):
    """The arm whose reward, drawn from what is believed of it, is highest; old rewards are forgotten.

    Rewards are taken for normal of standard deviation `noise` around a mean of each arm, which is normal
    around 0.5 at first, as if one reward had been seen. Each new reward multiplies the weight of all earlier
    ones by `discount`, those of other arms too: what is believed of an arm that is not chosen grows vague
    again.

    Args:
      discount: weight of a reward after one more, in (0, 1]; 1 forgets nothing.
      noise: standard deviation of a reward, more than 0; rewards are in [0, 1].
      memory: how much older changes count for the size of a change, in [0, 1].

    Reference:
      Agrawal and Goyal, "Further optimal regret bounds for Thompson sampling", AISTATS 2013, algorithm
      2 (normal rewards). Raj and Kalyani, "Taming non-stationary bandits: a Bayesian approach", 2017 (the
      discount).
    """

    discount: float = 0.9
    noise: float = 0.25

    def __post_init__(self):
        super().__post_init__()
        self.check_number("discount", 0, 1, above=True)
        self.check_number("noise", 0, above=True)

    def begin_arms(self, arms):
        return {"counts": [0.0] * arms, "totals": [0.0] * arms}

    def probabilities(self, state, arms, epoch):
        best = self._draws(state, np.random.default_rng(0), _SAMPLES).argmax(axis=1)
        return (np.bincount(best, minlength=len(arms)) / _SAMPLES).tolist()

    def place(self, state, arms, epoch, rng):
        return float(self._draws(state, rng, 1)[0].argmax())

    def update(self, state, arm, reward):
        counts, totals = (self.discount * np.array(state[name]) for name in ("counts", "totals"))
        counts[arm] += 1
        totals[arm] += reward
        return {**state, "counts": counts.tolist(), "totals": totals.tolist()}

    def settled(self, state, arms, place):
        return int(np.argmax(self._means(state)))

    def _means(self, state: State) -> np.ndarray:
        return (0.5 + np.array(state["totals"])) / (1 + np.array(state["counts"]))

    def _draws(self, state: State, rng: np.random.Generator, count: int) -> np.ndarray:
        spread = self.noise / np.sqrt(1 + np.array(state["counts"]))
        return self._means(state) + spread * rng.standard_normal((count, len(spread)))
