"""Products of experts over smoothed counts: they find what was planted, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.synthesis import experts

USERS, ITEMS = 60, 40
SIZES = {"user": USERS, "item": ITEMS, "colour": 3}
CONTEXTS = [("user",), ("item",), ("colour",), ("user", "colour")]


def planted(rows: int, seed: int):
    """Codes of contexts, a column that hangs on user and item, and its true log-probabilities."""
    rng = np.random.default_rng(seed)
    codes = {name: rng.integers(0, size, rows) for name, size in SIZES.items()}
    truth = np.random.default_rng(99)
    user, item = truth.normal(size=(USERS, 4)), truth.normal(size=(ITEMS, 4))
    logits = experts.log_softmax(user[codes["user"]] + item[codes["item"]])
    target = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return codes, target, logits


def score(conditional, codes, target) -> float:
    return float(
        conditional.log_probabilities(codes, len(target))[np.arange(len(target)), target].mean()
    )


def test_it_comes_near_the_truth_on_rows_it_has_not_seen():
    codes, target, _ = planted(6_000, seed=1)
    fitted = experts.fit_conditional(target, 4, codes, SIZES, CONTEXTS)
    new_codes, new_target, truth = planted(4_000, seed=2)
    best = float(truth[np.arange(4_000), new_target].mean())
    marginal = float(np.log(np.bincount(target) / len(target))[new_target].mean())
    reached = (score(fitted, new_codes, new_target) - marginal) / (best - marginal)
    assert 0.9 < reached < 1.0
    assert {expert.names for expert in fitted.experts} == {("user",), ("item",)}


def test_shares_of_the_training_rows_are_kept():
    codes, target, _ = planted(6_000, seed=1)
    fitted = experts.fit_conditional(target, 4, codes, SIZES, CONTEXTS)
    predicted = np.exp(fitted.log_probabilities(codes, len(target))).mean(axis=0)
    np.testing.assert_allclose(predicted, np.bincount(target) / len(target), atol=0.01)


def test_contexts_that_tell_nothing_are_left_out():
    codes, _, _ = planted(4_000, seed=3)
    target = np.random.default_rng(4).integers(0, 4, 4_000)
    fitted = experts.fit_conditional(target, 4, codes, SIZES, CONTEXTS)
    held = np.random.default_rng(5).integers(0, 4, 4_000)
    # Log 4 is the best that is possible.
    assert score(fitted, codes, held) == pytest.approx(-np.log(4), abs=2e-3)


def test_an_unknown_context_backs_off():
    codes, target, _ = planted(3_000, seed=1)
    fitted = experts.fit_conditional(target, 4, codes, SIZES, CONTEXTS)
    nobody = {name: np.full(2, -1) for name in SIZES}
    np.testing.assert_allclose(fitted.logits(nobody, 2), np.tile(fitted.base, (2, 1)))


@pytest.mark.parametrize("rows", [1, 5])
def test_few_rows_and_a_single_cell_are_no_trouble(rows):
    codes = {name: np.zeros(rows, np.int64) for name in SIZES}
    for cells in (1, 3):
        target = np.arange(rows) % cells
        fitted = experts.fit_conditional(target, cells, codes, SIZES, CONTEXTS)
        assert np.isfinite(fitted.logits(codes, rows)).all()


def test_it_is_restored_from_its_parts():
    codes, target, _ = planted(1_000, seed=1)
    fitted = experts.fit_conditional(target, 4, codes, SIZES, CONTEXTS)
    again = experts.Conditional.restore(fitted.get_config(), fitted.arrays())
    np.testing.assert_array_equal(again.logits(codes, 1_000), fitted.logits(codes, 1_000))
