"""Shares of a gain: the axioms that define them, on games whose values are known."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.explaining.games import (
    ExactShapley,
    LeaveOneOut,
    SampledShapley,
    shapley_plan,
)


def _values(plan, value) -> np.ndarray:
    return np.array([value(frozenset(np.flatnonzero(subset))) for subset in plan.subsets])


def _random_game(players: int, seed: int = 0):
    """A game of exact fractions, the same subset always of the same value."""
    rng = np.random.default_rng(seed)
    subsets = [
        frozenset(s)
        for size in range(players + 1)
        for s in itertools.combinations(range(players), size)
    ]
    table = {subset: Fraction(int(rng.integers(-999, 999)), 7) for subset in subsets}
    return table.__getitem__


def _by_definition(players: int, value) -> list:
    """The mean marginal contribution over all orders, written as the definition reads."""
    totals, orders = [Fraction(0)] * players, list(itertools.permutations(range(players)))
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            totals[player] += value(before | {player}) - value(before)
    return [total / len(orders) for total in totals]


@pytest.mark.parametrize("players", [1, 2, 3, 4, 5])
def test_exact_values_are_those_of_the_definition_and_sum_to_the_gain(players):
    value, plan = _random_game(players), ExactShapley.of(players)
    (shares,) = plan.contributions(_values(plan, value))
    assert shares.tolist() == _by_definition(players, value)
    gain = value(frozenset(range(players))) - value(frozenset())
    assert sum(shares) == gain  # exactly: these are fractions


def test_players_that_are_alike_get_alike():
    plan = ExactShapley.of(4)
    # Players 1 and 3 enter by their number alone.
    game = _values(plan, lambda s: Fraction(3 * len(s & {1, 3}) ** 2 + 5 * (0 in s) - (2 in s)))
    (shares,) = plan.contributions(game)
    assert shares[1] == shares[3] == Fraction(6)


@pytest.mark.parametrize(
    "plan",
    [ExactShapley.of(4), SampledShapley.of(4, 6), LeaveOneOut.of(4)],
    ids=lambda p: type(p).__name__,
)
def test_a_player_that_changes_nothing_gets_nothing(plan):
    shares = plan.contributions(_values(plan, lambda s: Fraction(len(s - {2}) ** 3)))
    assert (shares[:, 2] == 0).all()
    assert (shares[:, 0] != 0).all()


def test_contributions_are_linear_in_the_values():
    rng = np.random.default_rng(1)
    for plan in (ExactShapley.of(3), SampledShapley.of(3, 4), LeaveOneOut.of(3)):
        values = rng.normal(size=(len(plan.subsets), 50))
        together = plan.contributions(values)
        assert together.shape[1:] == (3, 50)
        each = [plan.contributions(values[:, i]) for i in range(50)]
        np.testing.assert_allclose(together, np.stack(each, axis=-1), atol=1e-12)


def test_every_sample_sums_to_the_gain():
    value, plan = _random_game(6), SampledShapley.of(6, 8, seed=3)
    shares = plan.contributions(_values(plan, value))
    assert shares.shape == (4, 6)
    assert set(shares.sum(axis=1)) == {value(frozenset(range(6))) - value(frozenset())}


def test_samples_find_the_exact_values():
    value = _random_game(5)
    plan = SampledShapley.of(5, 4000)
    samples = plan.contributions(_values(plan, value).astype(float))
    exact = np.array(_by_definition(5, value), float)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert (np.abs(samples.mean(axis=0) - exact) < 4 * error).all()
    assert (error > 0).all()


def test_a_reverse_cancels_what_depends_on_being_early():
    plan = SampledShapley.of(6, 4)
    # The value is a sum of pairs: an order and its reverse give exact values.
    pairs = np.random.default_rng(0).normal(size=(6, 6))
    value = lambda s: sum(pairs[i, j] for i in s for j in s)  # noqa: E731
    for shares in plan.contributions(_values(plan, value)):
        np.testing.assert_allclose(shares, (pairs + pairs.T).sum(axis=1) / 2, atol=1e-12)


def test_redundant_players_look_useless_by_leave_one_out_and_share_by_shapley():
    either = lambda s: float(bool(s & {0, 1}))  # noqa: E731
    for plan, expected in ((LeaveOneOut.of(3), 0.0), (ExactShapley.of(3), 0.5)):
        (shares,) = plan.contributions(_values(plan, either))
        assert shares[:2] == pytest.approx([expected, expected])


@pytest.mark.parametrize(
    "plan",
    [LeaveOneOut.of(1), LeaveOneOut.of(5), ExactShapley.of(4), SampledShapley.of(7, 10)],
    ids=lambda plan: f"{type(plan).__name__} {plan.players}",
)
def test_each_subset_is_there_once_the_first_empty_the_last_whole(plan):
    assert len(np.unique(plan.subsets, axis=0)) == len(plan.subsets)
    assert not plan.subsets[0].any() and plan.subsets[-1].all()
    for player in range(plan.players):
        place = plan.without(player)
        if place is not None:
            assert (~plan.subsets[place]).sum() == 1 and not plan.subsets[place][player]


def test_orders_are_seeded():
    first, again, other = (SampledShapley.of(8, 4, seed=seed).orders.tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert first[0] == first[1][::-1]


def test_the_plan_is_exact_while_it_can_be():
    options = {"exact_to": 4, "default": 6}
    assert isinstance(shapley_plan(4, None, **options), ExactShapley)
    assert len(shapley_plan(5, None, **options).orders) == 6
    assert len(shapley_plan(3, 4, **options).orders) == 4


@pytest.mark.parametrize("permutations", [0, 1, 2, 5, -4, 4.0, True, "4"])
def test_permutations_are_checked(permutations):
    with pytest.raises(InvalidArgumentError, match="`permutations` must be an even integer"):
        SampledShapley.of(5, permutations)
