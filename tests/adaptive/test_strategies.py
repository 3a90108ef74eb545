"""What strategies choose and learn, by hand and on simulated rewards."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tfrs_augment.adaptive import (
    ByPopularity,
    Exp3,
    Fixed,
    GeneralizationGap,
    Outcome,
    Ramp,
    ThompsonSampling,
    UniformRandom,
)
from tfrs_augment.errors import InvalidArgumentError

ARMS = ("none", "weak", "medium", "strong")


def rng(epoch: int = 0, seed: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


def play(strategy, changes, epochs: int, seed: int = 0) -> list[int]:
    """The arms of a simulated training: `changes[epoch, arm]` is what the metric gains."""
    state, score, chosen = strategy.begin(ARMS), 0.0, []
    for epoch in range(epochs):
        place = strategy.place(state, ARMS, epoch, rng(epoch, seed))
        chosen.append(int(place))
        score += changes[epoch, int(place)]
        state, _ = strategy.learn(state, ARMS, place, Outcome(score))
        state = json.loads(json.dumps(state))  # As a file keeps it.
    return chosen


def test_controls():
    assert [Fixed("medium").place({}, ARMS, epoch, rng()) for epoch in (0, 9)] == [2.0, 2.0]
    ramp = Ramp(0.0, 1.0, epochs=3)
    assert [ramp.place({}, ARMS, epoch, rng()) for epoch in range(5)] == [0, 1, 2, 3, 3]
    down = Ramp(1.0, 0.5, epochs=1)
    assert [down.place({}, ARMS, epoch, rng()) for epoch in (0, 1)] == [3, 1.5]
    places = [UniformRandom().place({}, ARMS, 0, rng(epoch)) for epoch in range(4000)]
    counts = np.bincount(np.array(places, int), minlength=4)
    assert np.all(np.abs(counts - 1000) < 4 * math.sqrt(750))
    assert UniformRandom().settled({}, ARMS, 1.0) is None


def test_the_gap_opens_and_closes():
    strategy = GeneralizationGap(start=0.25, step=0.25, tolerance=0.1)
    state, strengths = strategy.begin(ARMS), []
    #  best, falls behind, falls behind, between (stays), best again, best again
    for score, training in ((1, -10), (0.9, -8), (0.8, -7), (0.97, -9.6), (1.1, -6), (1.2, -5)):
        place = strategy.place(state, ARMS, 0, rng())
        strengths.append(place / 3)
        state, _ = strategy.learn(state, ARMS, place, Outcome(score, training))
    assert strengths == [0.25, 0.0, 0.25, 0.5, 0.5, 0.25]
    assert state["gap"] == 0.0 and state["strength"] == 0.0


def test_the_gap_is_what_training_gained_and_validation_lost_since_the_best_epoch():
    strategy = GeneralizationGap()
    state = strategy.begin(ARMS)
    for score, training in ((0.5, -10.0), (0.45, -9.0)):
        state, _ = strategy.learn(state, ARMS, 0.0, Outcome(score, training))
    assert state["gap"] == pytest.approx(0.1 + 0.1)


def test_the_strength_stays_in_bounds():
    strategy = GeneralizationGap(start=0.5, step=1.0, tolerance=0.0)
    state = strategy.begin(ARMS)
    for score in (1.0, 0.5, 0.2, 0.1):
        state, _ = strategy.learn(state, ARMS, 0.0, Outcome(score, -1.0))
        assert 0 <= state["strength"] <= 1
    assert strategy.place(state, ARMS, 0, rng()) == 3.0
    assert strategy.learn(state, ARMS, 0.0, Outcome(math.nan, -1.0)) == (state, None)
    zero, _ = strategy.learn(strategy.begin(ARMS), ARMS, 0.0, Outcome(0.0, 0.0))
    assert strategy.learn(zero, ARMS, 0.0, Outcome(-1.0, 1.0))[0]["gap"] == 0.0


@pytest.mark.parametrize("strategy", [Exp3(), ThompsonSampling()], ids=["Exp3", "Thompson"])
def test_rewards_are_changes_among_the_recent_ones(strategy):
    state = strategy.begin(ARMS)
    state, reward = strategy.learn(state, ARMS, 0.0, Outcome(5.0))
    assert reward is None  # Nothing to tell a change from.
    rewards = []
    for score in (6.0, 7.0, 9.0, 8.0, 8.5, 100.0):
        state, reward = strategy.learn(state, ARMS, 1.0, Outcome(score))
        rewards.append(reward)
    assert rewards[:2] == [0.5, 0.5]
    assert rewards[2] > 0.5 > rewards[3]
    assert all(0 <= reward <= 1 for reward in rewards)
    again, reward = strategy.learn(state, ARMS, 1.0, Outcome(math.nan))
    assert reward == 0.0 and again["previous"] == 100.0


def test_the_size_of_changes_does_not_matter():
    changes = np.random.default_rng(1).normal(size=(30, 4))
    for strategy in (Exp3(), ThompsonSampling()):
        chosen = play(strategy, changes, 30)
        assert play(strategy, 1e-4 * changes, 30) == chosen
        assert play(strategy, 1e3 * changes, 30) == chosen


def test_exp3_by_hand():
    strategy = Exp3(exploration=0.4)
    state = strategy.begin(ARMS)
    assert strategy.probabilities(state, ARMS, 0) == pytest.approx([0.25] * 4)
    state = strategy.update(state, 1, 1.0)
    weight = math.exp(0.1 * 1.0 / 0.25)  # exploration / arms * reward / chance
    expected = [0.6 * w / (3 + weight) + 0.1 for w in (1, weight, 1, 1)]
    assert strategy.probabilities(state, ARMS, 1) == pytest.approx(expected)
    chance = expected[2]
    state = strategy.update(state, 2, 0.5)
    other = math.exp(0.1 * 0.5 / chance)
    total = 2 + weight + other
    expected = [0.6 * w / total + 0.1 for w in (1, weight, other, 1)]
    assert strategy.probabilities(state, ARMS, 2) == pytest.approx(expected)
    assert strategy.settled(state, ARMS, 0.0) == 1


def test_exp3_stays_finite():
    strategy = Exp3(exploration=0.1, learning_rate=5.0)
    state = strategy.begin(ARMS)
    for _ in range(500):
        state = strategy.update(state, 3, 1.0)
    chances = strategy.probabilities(state, ARMS, 0)
    assert chances == pytest.approx([0.025, 0.025, 0.025, 0.925])


def test_thompson_by_hand():
    strategy = ThompsonSampling(discount=0.5, noise=0.2)
    state = strategy.begin(ARMS)
    for arm, reward in ((0, 1.0), (0, 0.6), (2, 0.2)):
        state = strategy.update(state, arm, reward)
    assert state["counts"] == [0.75, 0, 1, 0]
    assert state["totals"] == pytest.approx([0.25 + 0.3, 0, 0.2, 0])
    assert strategy.settled(state, ARMS, 3.0) == 0
    draws = strategy._draws(state, rng(), 20000)
    assert draws.mean(axis=0) == pytest.approx([1.05 / 1.75, 0.5, 0.35, 0.5], abs=0.01)
    assert draws.std(axis=0) == pytest.approx(
        [0.2 / math.sqrt(n) for n in (1.75, 1, 2, 1)], abs=0.01
    )
    chances = strategy.probabilities(state, ARMS, 0)
    assert sum(chances) == pytest.approx(1) and np.argmax(chances) == 0


@pytest.mark.parametrize(
    "strategy",
    [Exp3(exploration=0.2), ThompsonSampling(discount=1.0)],
    ids=["Exp3", "Thompson"],
)
def test_bandits_find_the_arm_that_gains_most(strategy):
    numbers, shares = np.random.default_rng(2), []
    for seed in range(10):
        changes = numbers.normal([0.0, 0.0, 1.0, 0.0], 0.5, size=(300, 4))
        chosen = play(strategy, changes, 300, seed)
        shares.append(np.mean(np.array(chosen[150:]) == 2))
    assert np.mean(shares) > 0.5


def test_a_discount_lets_thompson_follow_a_change():
    numbers = np.random.default_rng(3)
    early, late = [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]
    shares = {}
    for discount in (0.8, 1.0):
        found = []
        for seed in range(10):
            changes = np.concatenate(
                [numbers.normal(early, 0.3, (200, 4)), numbers.normal(late, 0.3, (60, 4))]
            )
            chosen = play(ThompsonSampling(discount=discount, noise=0.1), changes, 260, seed)
            found.append(np.mean(np.array(chosen[220:]) == 3))
        shares[discount] = np.mean(found)
    assert shares[0.8] > shares[1.0] + 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(""), "`arm` of Fixed must be the name"),
        (lambda: Fixed(3), "`arm` of Fixed must be the name"),
        (lambda: Ramp(start=-0.1), r"`start` of Ramp must be in \[0, 1\]. Received: start=-0.1"),
        (lambda: Ramp(end=math.nan), "`end` of Ramp"),
        (lambda: Ramp(epochs=0), "`epochs` of Ramp must be an integer"),
        (lambda: Ramp(epochs=True), "`epochs` of Ramp"),
        (lambda: ByPopularity(""), "`feature` of ByPopularity"),
        (lambda: ByPopularity("a", rare=2), "`rare` of ByPopularity"),
        (lambda: ByPopularity("a", scale=0), "`scale` of ByPopularity must be more than 0"),
        (lambda: GeneralizationGap(start="0"), "`start` of GeneralizationGap"),
        (lambda: GeneralizationGap(step=0), r"`step` of GeneralizationGap must be in \(0, 1\]"),
        (lambda: GeneralizationGap(tolerance=-1), "`tolerance` of GeneralizationGap must be at"),
        (lambda: GeneralizationGap(training=""), "`training` of GeneralizationGap"),
        (lambda: Exp3(exploration=0), r"`exploration` of Exp3 must be in \(0, 1\]"),
        (lambda: Exp3(learning_rate=-1), "`learning_rate` of Exp3"),
        (lambda: Exp3(memory=1.5), "`memory` of Exp3"),
        (lambda: ThompsonSampling(discount=0), "`discount` of ThompsonSampling"),
        (lambda: ThompsonSampling(noise=math.inf), "`noise` of ThompsonSampling"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()
