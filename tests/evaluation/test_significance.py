"""The test of paired differences: closed forms, and that it is right where nothing differs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.statistics import significance
from tfrs_augment.evaluation.statistics.bootstrap import Sums
from tfrs_augment.evaluation.statistics.distributions import student_tail
from tfrs_augment.evaluation.statistics.permutation import permute
from tfrs_augment.evaluation.statistics.power import paired_power, seeds_needed

COUNTS = np.random.default_rng(0).integers(1, 20, 100).astype(float)


def comparisons(
    number, *, seeds, of_seeds=0.0, of_users=0.0, of_cells=0.0, effect=0.0, disjoint=False, rng=0
):
    """Sums of `number` comparisons by chance alone, with variances of the mean difference by kind."""
    rng = np.random.default_rng(rng)
    users = len(COUNTS)
    own = rng.normal(size=(users, number))
    sums = []
    for seed in range(seeds):
        own = rng.normal(size=(users, number)) if disjoint else own
        value = effect + math.sqrt(of_seeds) * rng.normal(size=number)
        value = value + math.sqrt(of_users * users) * own
        value = value + math.sqrt(of_cells * users) * rng.normal(size=(users, number))
        totals = np.concatenate([np.zeros((users, 1)), value * COUNTS[:, None]], axis=1)
        ids = np.arange(users) + (users * seed if disjoint else 0)
        sums.append(Sums(totals, COUNTS[:, None], np.zeros(number + 1, int), ids))
    return sums


def p_values(number, **options) -> np.ndarray:
    sums = comparisons(number, **options)
    columns = np.arange(1, number + 1)
    return significance.p_values(significance.spread(sums, columns, np.zeros(number, int)))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    "chance",
    [
        {"of_seeds": 1.0},
        {"of_users": 1.0},
        {"of_cells": 1.0},
        {"of_cells": 1.0, "disjoint": True},
        {"of_seeds": 1.0, "of_users": 1.0, "of_cells": 1.0},
        {"of_seeds": 3.0, "of_users": 1.0},
        {"of_seeds": 0.3, "of_users": 1.0, "of_cells": 0.3},
    ],
)
def test_chance_alone_is_called_an_effect_no_more_often_than_alpha(seeds, chance):
    found = p_values(2000, seeds=seeds, rng=seeds, **chance)
    # Binomial bounds of 4 deviations above 5 %, 1 % and 0.2 %, which a correction for 25 asks for.
    for alpha in (0.05, 0.01, 0.002):
        assert (found < alpha).mean() <= alpha + 4 * math.sqrt(alpha / 2000)


@pytest.mark.parametrize("chance", [{"of_seeds": 1.0}, {"of_users": 1.0}, {"of_cells": 1.0}])
def test_no_power_is_thrown_away_where_one_kind_of_chance_rules(chance):
    found = p_values(2000, seeds=5, rng=9, **chance)
    assert (found < 0.05).mean() >= 0.02


def test_seeds_that_agree_by_luck_on_a_few_hits_say_little():
    # 400 rows of 100 users, hit with a chance of 3 % by both arms: two seeds often differ by equal counts.
    rng, columns = np.random.default_rng(4), np.arange(3000)
    sums = []
    for _ in range(2):
        hits = rng.binomial(4, 0.03, (100, 6000)).astype(np.float64)
        sums.append(Sums(hits, np.full((100, 1), 4.0), np.zeros(6000, np.int64)))
    found = significance.p_values(significance.spread(sums, columns, columns + 3000))
    for alpha in (0.05, 0.01, 0.002):
        assert (found < alpha).mean() <= alpha + 4 * math.sqrt(alpha / 3000)


def test_with_seeds_alone_it_is_the_t_test_over_seeds():
    sums = comparisons(6, seeds=4, of_seeds=1.0, of_cells=0.0)
    each = np.stack([one.totals.sum(axis=0) / COUNTS.sum() for one in sums])[:, 1:]
    t = each.mean(axis=0) / (each.std(axis=0, ddof=1) / 2.0)
    expected = [2 * student_tail(abs(value), 3) for value in t]
    spread = significance.spread(sums, np.arange(1, 7), np.zeros(6, int))
    np.testing.assert_allclose(spread.difference, each.mean(axis=0))
    np.testing.assert_allclose(significance.p_values(spread), expected, rtol=1e-4)


def test_the_parts_of_the_variance_are_found():
    sums = comparisons(400, seeds=6, of_seeds=2.0, of_users=3.0, of_cells=1.0)
    spread = significance.spread(sums, np.arange(1, 401), np.zeros(400, int))
    weights = COUNTS / COUNTS.sum()
    scale = len(COUNTS) * (weights**2).sum()
    assert spread.seeds.mean() == pytest.approx((2.0 + scale) / 6, rel=0.15)
    assert spread.users.mean() == pytest.approx(3.0 * scale, rel=0.15)
    assert spread.difference.var() == pytest.approx((spread.standard_error**2).mean(), rel=0.25)


def test_one_seed_no_rows_and_no_spread_say_nothing():
    sums = comparisons(3, seeds=1, of_users=1.0)
    spread = significance.spread(sums, np.arange(1, 4), np.zeros(3, int))
    assert np.isnan(significance.p_values(spread)).all()
    assert not np.isnan(spread.difference).any()
    flat = comparisons(2, seeds=3, effect=0.5)
    spread = significance.spread(flat, np.arange(1, 3), np.zeros(2, int))
    assert significance.p_values(spread).tolist() == [1.0, 1.0]
    empty = [Sums(one.totals * 0, one.counts * 0, one.place) for one in flat]
    spread = significance.spread(empty, np.arange(1, 3), np.zeros(2, int))
    assert np.isnan(spread.difference).all() and np.isnan(significance.p_values(spread)).all()


def test_a_seed_without_rows_of_the_slice_does_not_count():
    sums = comparisons(4, seeds=4, of_seeds=1.0, of_users=0.5, of_cells=0.5)
    whole = significance.spread(sums[:3], np.arange(1, 5), np.zeros(4, int))
    last = Sums(sums[3].totals * 0, sums[3].counts * 0, sums[3].place)
    beside = significance.spread([*sums[:3], last], np.arange(1, 5), np.zeros(4, int))
    np.testing.assert_allclose(significance.p_values(beside), significance.p_values(whole))


def test_a_root_is_judged_by_its_slope():
    rng = np.random.default_rng(3)
    sums, roots = [], np.array([True, True])
    for _ in range(3):
        squares = rng.exponential(4.0, (100, 2)) * np.array([1.0, 1.3])
        sums.append(Sums(squares, np.ones((100, 1)), np.zeros(2, int)))
    spread = significance.spread(sums, np.array([1]), np.array([0]), roots=roots)
    expected = np.mean([np.sqrt(s.totals.mean(axis=0)) @ [-1, 1] for s in sums])
    assert spread.difference[0] == pytest.approx(expected)
    moved = [np.sqrt(s.totals.mean(axis=0)) @ [-1, 1] for s in sums]
    assert spread.seeds[0] == pytest.approx(np.var(moved, ddof=1) / 3)


def test_bounds_are_where_the_p_value_is_alpha():
    first = np.array([0.5, 2.0])
    bound = significance.bounds(first, 4, 1.0, alpha=0.01)
    found = significance.behrens_fisher(bound, first, 4, np.ones(2), np.full(2, 1e9))
    np.testing.assert_allclose(found, 0.01, rtol=5e-3)


def test_seeds_needed_hold_after_the_correction():
    for comparisons_, users_error in ((1, 0.0), (18, 0.0), (18, 0.3)):
        options = {"stddev": 1.0, "users_error": users_error}
        seeds = seeds_needed(1.5, comparisons=comparisons_, **options)
        alpha = 0.05 / comparisons_
        assert paired_power(seeds, 1.5, alpha=alpha, **options) >= 0.8
        assert paired_power(seeds - 1, 1.5, alpha=alpha, **options) < 0.8
    found = p_values(1500, seeds=seeds, of_seeds=1.0, of_users=0.09 / 1.34, effect=1.5, rng=4)
    # The users' part is a little larger than asked for, as their rows are of unequal number.
    assert (found < alpha).mean() == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"comparisons": 0}, "`comparisons` must be a whole number of 1 or more"),
        ({"comparisons": 1.5}, "`comparisons` must be a whole number"),
        ({"users_error": -1.0}, "`users_error` must be finite and at least 0"),
        ({"users_error": 3.0}, "`effect` must be large enough for the test users"),
    ],
)
def test_arguments_of_seeds_needed_are_checked(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        seeds_needed(0.5, stddev=1.0, **options)


def one_seed(values, counts=None):
    """Sums of one seed, column 0 the arm's and column 1 the baseline's, which is 0."""
    values = np.asarray(values, float)
    counts = np.ones(len(values)) if counts is None else np.asarray(counts, float)
    totals = np.stack([values * counts, np.zeros(len(values))], axis=1)
    return [Sums(totals, counts[:, None], np.zeros(2, int))]


def test_permutations_of_few_users_are_exact():
    found = permute(one_seed([1.0, 2.0, 3.0, 4.0]), 0, 1, permutations=20_000)
    # Of 16 ways to set the signs two are as extreme as all alike.
    assert found.p_value == pytest.approx(2 / 16, abs=0.01)
    assert found.difference == pytest.approx(2.5) and found.users == 4


def test_permutations_call_chance_an_effect_no_more_often_than_alpha():
    rng = np.random.default_rng(1)
    found = [
        permute(one_seed(rng.standard_t(3, 30)), 0, 1, permutations=400, seed=trial).p_value
        for trial in range(600)
    ]
    # 5 % of 600 is 30, with a deviation of 5.3.
    assert 12 <= sum(p <= 0.05 for p in found) <= 50


def test_the_interval_holds_what_the_test_does_not_reject():
    rng = np.random.default_rng(2)
    values, counts = rng.normal(0.4, 1.0, 40), rng.integers(1, 6, 40)
    sums = one_seed(values, counts)
    found = permute(sums, 0, 1, permutations=2000)
    assert found.low < found.difference < found.high
    for bound in (found.low, found.high):
        for shift, rejected in ((-0.01, bound == found.low), (0.01, bound == found.high)):
            true = bound + shift
            moved = one_seed(values - true, counts)
            p_value = permute(moved, 0, 1, permutations=2000).p_value
            assert (p_value <= 0.05) == rejected


@pytest.mark.parametrize("users", [1, 2, 3, 4, 5, 6])
def test_the_interval_of_few_users_is_everything(users):
    for trial in range(20):
        rng = np.random.default_rng([users, trial])
        sums = one_seed(0.5 + rng.random(users), rng.integers(1, 4, users))
        found = permute(sums, 0, 1, permutations=4000)
        # Of five users a sixteenth of the flips turn all signs or none, above 5 %; of six a 32nd.
        if users < 6:
            assert (found.low, found.high) == (-math.inf, math.inf) and found.p_value > 0.05
        else:
            assert 0 < found.low < found.difference < found.high < math.inf


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        found = permute(one_seed(rng.normal(1.0, 2.0, 25)), 0, 1, permutations=300, seed=trial)
        covered += found.low <= 1.0 <= found.high
    assert covered >= 270


def test_permutations_pair_users_over_seeds():
    rng = np.random.default_rng(4)
    own = rng.normal(size=60)
    sums = [one_seed(own + 0.01 * rng.normal(size=60))[0] for _ in range(5)]
    others = [dataclasses.replace(s, users=s.users + 60 * i) for i, s in enumerate(sums)]
    paired, apart = permute(sums, 0, 1), permute(others, 0, 1)
    assert paired.users == 60 and apart.users == 300
    width = [found.high - found.low for found in (paired, apart)]
    assert width[0] == pytest.approx(width[1] * math.sqrt(5), rel=0.1)


@pytest.mark.parametrize(
    ("column", "options", "message"),
    [
        (-1, {}, "`metric` must be a mean over rows or queries"),
        (0, {"permutations": 10}, "`permutations` must be at least 100"),
        (0, {"confidence": 1.0}, "`confidence` must be in"),
    ],
)
def test_arguments_of_permutations_are_checked(column, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        permute(one_seed([1.0, 2.0]), column, 1, **options)
