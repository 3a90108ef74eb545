"""The intervals: what they resample, that arms stay paired, and that they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfrs_augment.evaluation.statistics import bootstrap


def _sums(users, *columns):
    everything = np.ones(len(users), bool)
    return bootstrap.Sums.of(users, columns, [everything] * len(columns))


def test_rows_are_summed_by_user_and_mask():
    users = np.array([7, 7, 9])
    values = np.array([1.0, 0.0, 1.0])
    sums = bootstrap.Sums.of(users, [values, values], [np.array([1, 1, 1], bool), values > 0])
    assert sums.totals.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert sums.counts[:, sums.place].tolist() == [[2.0, 1.0], [1.0, 1.0]]


def test_means_are_over_rows_within_a_seed_then_over_seeds():
    first = _sums(np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 0.0]))
    second = _sums(np.array([0]), np.array([0.0]))
    assert bootstrap.means([first, second]).tolist() == [0.375]


def test_a_slice_without_rows_has_no_mean_and_no_interval():
    sums = bootstrap.Sums.of(np.array([0, 1]), [np.ones(2)], [np.zeros(2, bool)])
    assert math.isnan(bootstrap.means([sums])[0])
    assert math.isnan(bootstrap.interval(bootstrap.resample([sums])[:, 0])[0])


def test_arms_are_paired():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 5)
    base = rng.random(500)
    samples = bootstrap.resample([_sums(users, base, base + 0.125)] * 2)
    np.testing.assert_allclose(samples[:, 1] - samples[:, 0], 0.125)
    assert samples[:, 0].std() > 0.005


def test_the_rows_of_a_user_stay_together():
    rng = np.random.default_rng(1)
    by_user = rng.random(80)
    alone = bootstrap.resample([_sums(np.arange(80), by_user)])
    tenfold = bootstrap.resample([_sums(np.repeat(np.arange(80), 10), np.repeat(by_user, 10))])
    np.testing.assert_allclose(alone, tenfold)


def test_the_variance_of_the_seeds_counts():
    users = np.arange(1000)
    seeds = [_sums(users, np.full(1000, value)) for value in (0.0, 1.0)]
    low, high = bootstrap.interval(bootstrap.resample(seeds)[:, 0])
    assert (low, high) == (0.0, 1.0)


def test_seeds_that_test_the_same_users_do_not_make_more_of_them():
    values = np.random.default_rng(3).random(200)
    one = _sums(np.arange(200), values)
    alone, fourfold = (bootstrap.resample([one] * count)[:, 0].std() for count in (1, 4))
    assert fourfold == pytest.approx(alone, rel=0.1)
    folds = [_sums(np.arange(200) + 200 * number, values) for number in range(4)]
    assert bootstrap.resample(folds)[:, 0].std() == pytest.approx(alone / 2, rel=0.1)


def test_the_interval_covers_where_users_and_seeds_have_chance_of_their_own():
    rng, users, seeds = np.random.default_rng(6), np.arange(150), 5
    covered = 0
    for trial in range(200):
        own, means = rng.normal(size=150), rng.normal(size=seeds)
        # Of the mean over users, and over seeds, alike.
        made = [_sums(users, own + mean * math.sqrt(seeds / 150)) for mean in means]
        low, high = bootstrap.interval(bootstrap.resample(made, seed=trial, resamples=400)[:, 0])
        covered += low <= 0.0 <= high
    assert covered >= 180


def test_equal_seeds_give_equal_intervals():
    sums = [_sums(np.arange(50), np.random.default_rng(2).random(50))]
    first, again, other = (bootstrap.resample(sums, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(200):
        values = (rng.random(150) < 0.3).astype(float)
        samples = bootstrap.resample([_sums(np.arange(150), values)], seed=trial, resamples=400)
        low, high = bootstrap.interval(samples[:, 0])
        covered += low <= 0.3 <= high
    # 95 % of 200 with a binomial deviation of 3: below 180 the interval would be too narrow.
    assert 180 <= covered <= 199


def test_an_interval_is_of_percentiles():
    assert bootstrap.interval(np.arange(101.0), confidence=0.9) == pytest.approx((5.0, 95.0))
