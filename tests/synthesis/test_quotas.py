"""How rows are divided among users."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.synthesis.quotas import quotas

RNG = np.random.default_rng(0)
WEIGHTS = RNG.gamma(1.0, size=50)
OFFSETS = RNG.random(50)
CAPS = np.full(50, 40)


@pytest.mark.parametrize("n", [0, 1, 7, 49, 400, 1_999, 2_000])
def test_the_rows_are_all_given_out_and_no_cap_is_passed(n):
    counts = quotas(WEIGHTS, CAPS, OFFSETS, n)
    assert counts.sum() == n and (counts >= 0).all() and (counts <= CAPS).all()


def test_no_users_number_falls_as_the_rows_grow():
    counts = np.stack([quotas(WEIGHTS, CAPS, OFFSETS, n) for n in range(0, 2_001, 13)])
    assert (np.diff(counts, axis=0) >= 0).all()


def test_numbers_follow_the_weights():
    counts = quotas(WEIGHTS, np.full(50, 10**6), OFFSETS, 100_000)
    np.testing.assert_allclose(counts, 100_000 * WEIGHTS / WEIGHTS.sum(), atol=1.5)


def test_equal_offsets_are_ties_that_are_broken():
    assert quotas(np.ones(4), np.full(4, 9), np.zeros(4), 6).tolist() == [2, 2, 1, 1]


def test_users_without_a_weight_get_nothing_and_the_caps_are_the_most():
    counts = quotas(np.array([0.0, 1.0, 1.0]), np.array([9, 2, 3]), np.zeros(3), 100)
    assert counts.tolist() == [0, 2, 3]
