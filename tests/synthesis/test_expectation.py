"""Expected draws against draws, and the shift that keeps popularity."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.synthesis.expectation import (
    Watch,
    expected_draws,
    incidence,
    popularity_shift,
)
from tfrs_augment.synthesis.pairs import Pairs


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """200 users with 10 different items each of 50, by popularity 1 / rank."""
    rng = np.random.default_rng(5)
    share = 1.0 / np.arange(1, 51)
    items = [rng.choice(50, 10, replace=False, p=share / share.sum()) for _ in range(200)]
    user = np.repeat(np.arange(200), 10)
    return Pairs(user, np.concatenate(items), 200, 50, {}, {}, {})


def test_expected_draws_are_rows_a_user_over_unseen_items():
    weights = np.log(np.array([[1.0, 2.0, 1.0], [3.0, 1.0, 1.0]], np.float32))
    seen = np.array([[False, True, False], [False, False, False]])
    drawn = expected_draws(weights, seen, np.array([4, 10]))
    np.testing.assert_allclose(drawn, [[2, 0, 2], [6, 2, 2]], rtol=1e-6)


def test_incidence_marks_the_pairs_of_the_users(pairs):
    users = np.array([3, 17, 199])
    table = incidence(pairs, users)
    assert table.sum() == 30
    for place, user in enumerate(users):
        assert set(np.flatnonzero(table[place])) == set(pairs.item[pairs.user == user])


def test_the_shift_brings_popularity_back_that_seen_pairs_took(pairs):
    popularity = np.log(pairs.popularity() + 0.5).astype(np.float32)

    def log_weights(users):
        return np.tile(popularity, (len(users), 1))

    seen = incidence(pairs, np.arange(200))

    def gap(shift):
        drawn = expected_draws(log_weights(np.arange(200)) + shift, seen, pairs.activity())
        share = drawn.sum(axis=0) / drawn.sum()
        return np.abs(share - pairs.popularity() / len(pairs)).sum()

    gaps = [
        gap(popularity_shift(pairs, log_weights, seed=0, rounds=rounds)) for rounds in (0, 2, 40)
    ]
    assert gaps[1] < 0.75 * gaps[0] and gaps[2] < gaps[1]


def test_a_user_who_has_every_item_does_not_break_it():
    everything = Pairs(np.repeat([0, 1], 3)[:4], np.array([0, 1, 2, 0]), 2, 3, {}, {}, {})
    shift = popularity_shift(everything, lambda users: np.zeros((len(users), 3)), seed=0)
    assert np.isfinite(shift).all()


def test_the_watch_knows_better_weights_from_worse(pairs):
    learned, held = pairs.hold_out(0.2, 0)
    flat = Watch(learned, held, lambda users: np.zeros((len(users), 50), np.float32), 0)()
    popularity = np.log(learned.popularity() + 0.5).astype(np.float32)
    popular = Watch(learned, held, lambda users: np.tile(popularity, (len(users), 1)), 0)()
    assert flat["lift"] == pytest.approx(1.0)
    assert popular["lift"] > 1.5 and popular["popularity_correlation"] > 0.9
