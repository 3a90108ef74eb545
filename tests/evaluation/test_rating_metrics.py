"""Metrics of predictions against scikit-learn, and what their terms' spread is of."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tfrs_augment.evaluation.measuring import rating_metrics


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Chances that are rounded, so that some tie, and what happened."""
    rng = np.random.default_rng(0)
    truth = rng.random(800)
    return np.round(np.clip(truth + rng.normal(0, 0.2, 800), 0, 1), 2), rng.random(800) < truth


def test_scikit_learn_says_the_same(drawn):
    chance, positive = drawn
    found = rating_metrics.auc_terms(chance, positive)
    assert found.mean() == pytest.approx(sklearn_metrics.roc_auc_score(positive, chance), abs=1e-12)
    losses = rating_metrics.log_losses(chance, positive)
    assert losses.mean() == pytest.approx(sklearn_metrics.log_loss(positive, chance), abs=1e-9)
    labels = 5 * np.random.default_rng(1).random(800)
    errors = rating_metrics.squared_errors(5 * chance, labels)
    expected = sklearn_metrics.root_mean_squared_error(labels, 5 * chance)
    assert np.sqrt(errors.mean()) == pytest.approx(expected, abs=1e-12)


def test_the_spread_of_the_terms_is_that_of_delong(drawn):
    chance, positive = drawn
    terms = rating_metrics.auc_terms(chance, positive)
    ones, others = chance[positive], chance[~positive]
    above = (ones[:, None] > others).astype(float) + 0.5 * (ones[:, None] == others)
    delong = above.mean(axis=1).var(ddof=0) / len(ones) + above.mean(axis=0).var(ddof=0) / len(
        others
    )
    assert terms.var() / len(terms) == pytest.approx(delong)


def test_one_kind_of_rows_has_no_auc():
    assert len(rating_metrics.auc_terms(np.ones(4), np.ones(4, bool))) == 0


def test_certain_and_wrong_is_a_finite_loss():
    losses = rating_metrics.log_losses(np.array([0.0, 1.0]), np.array([True, True]))
    assert losses[0] == pytest.approx(36.04, abs=0.01) and losses[1] == pytest.approx(
        0.0, abs=1e-12
    )


def test_calibration_is_the_gap_of_chances_and_shares():
    chance = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 1.0])
    positive = np.array([0, 0, 0, 1, 1, 1, 0], bool)
    # The bin of 0.1: 0.4 against 1 of 4 rows; that of 0.9 and 1: 2.8 against 2 of 3.
    expected = (abs(0.4 - 1) + abs(2.8 - 2)) / 7
    assert rating_metrics.calibration_error(chance, positive) == pytest.approx(expected)
    rng = np.random.default_rng(2)
    true = rng.random(200_000)
    assert rating_metrics.calibration_error(true, rng.random(200_000) < true) < 0.01
    assert np.isnan(rating_metrics.calibration_error(np.zeros(0), np.zeros(0, bool)))
