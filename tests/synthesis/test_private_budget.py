"""The accountant of private fits: what they spend, and the noise that goes with it."""

from __future__ import annotations

import dataclasses
import math

import dp_accounting
import pytest
import scipy.optimize
import scipy.stats
from dp_accounting import pld, rdp

from tests.synthesis.private_cases import SPENT
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis.private import (
    DifferentialPrivacy,
    epsilon_of,
)


def test_epsilon_is_that_of_the_events():
    accountant = rdp.RdpAccountant()
    accountant.compose(
        dp_accounting.ComposedDpEvent(
            [
                dp_accounting.SelfComposedDpEvent(
                    dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.1)),
                    1000,
                ),
                dp_accounting.GaussianDpEvent(10.0),
            ]
        )
    )
    # The library looks at broken orders too, which can tell more, by little.
    assert 1.0 <= epsilon_of(SPENT) / accountant.get_epsilon(1e-5) < 1.01


def test_epsilon_bounds_the_tighter_one_of_loss_distributions_closely():
    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(
        dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.1)), 1000
    )
    accountant.compose(dp_accounting.GaussianDpEvent(10.0))
    assert 1.0 <= epsilon_of(SPENT) / accountant.get_epsilon(1e-5) < 1.25


def test_epsilon_of_steps_of_all_rows_is_near_the_one_in_closed_form():
    # Without sampling all is one Gaussian mechanism, whose delta Balle and Wang (2018), theorem 8, give.
    spent = dataclasses.replace(
        SPENT, sampling_probability=1.0, noise_multiplier=40.0, steps=100, delta=1e-6
    )
    distance = math.sqrt(100 / 40.0**2 + 1 / 10.0**2)

    def delta(epsilon):
        cdf = scipy.stats.norm.cdf
        first = cdf(distance / 2 - epsilon / distance)
        return first - math.exp(epsilon) * cdf(-distance / 2 - epsilon / distance)

    exact = scipy.optimize.brentq(lambda epsilon: delta(epsilon) - 1e-6, 0.01, 10.0)
    assert exact <= epsilon_of(spent) < 1.15 * exact


def test_epsilon_is_that_of_the_literature():
    # Abadi et al. (2016), section 4: q = 0.01, sigma = 4, T = 10,000, delta = 1e-5 give 1.26.
    spent = dataclasses.replace(
        SPENT, noise_multiplier=4.0, steps=10_000, count_noise_multiplier=1e6
    )
    assert epsilon_of(spent) == pytest.approx(1.26, abs=0.3)
    assert epsilon_of(spent) <= 1.26


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 20.0])
def test_noise_is_the_least_for_the_budget(epsilon):
    privacy = DifferentialPrivacy(epsilon=epsilon, delta=1e-5)
    budget = privacy.budget(rows=10_000, batch_size=100, steps=1000)
    assert budget.epsilon == pytest.approx(epsilon_of(budget)) and budget.epsilon <= epsilon
    less = dataclasses.replace(budget, noise_multiplier=budget.noise_multiplier * 0.99)
    assert epsilon_of(less) > epsilon


def test_a_budget_that_no_noise_meets_is_refused():
    for asked in ({"epsilon": 0.001}, {"epsilon": 0.5, "count_share": 0.999}):
        privacy = DifferentialPrivacy(**asked, delta=1e-5)
        with pytest.raises(InvalidArgumentError, match="`epsilon` must be above.*counts alone"):
            privacy.budget(rows=10_000, batch_size=100, steps=10)


@pytest.mark.parametrize("asked", [{"epsilon": 2.0}, {"noise_multiplier": 1.0}])
def test_counts_get_their_share_of_the_budget(asked):
    for share in (0.1, 0.5):
        privacy = DifferentialPrivacy(**asked, delta=1e-5, count_share=share)
        budget = privacy.budget(rows=10_000, batch_size=100, steps=1000)
        alone = dataclasses.replace(budget, noise_multiplier=1e6)
        assert epsilon_of(alone) == pytest.approx(budget.epsilon * math.sqrt(share), rel=0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 1e-5}, "One of `epsilon` and `noise_multiplier`"),
        ({"delta": 1e-5, "epsilon": 1.0, "noise_multiplier": 1.0}, "One of `epsilon`"),
        ({"delta": 0.0, "epsilon": 1.0}, "`delta` must be in"),
        ({"delta": 1e-5, "epsilon": -1.0}, "`epsilon` must be in"),
        ({"delta": 1e-5, "epsilon": math.inf}, "`epsilon` must be in"),
        ({"delta": 1e-5, "noise_multiplier": 0.0}, "`noise_multiplier` must be in"),
        ({"delta": 1e-5, "epsilon": 1.0, "clip_norm": 0.0}, "`clip_norm` must be"),
        ({"delta": 1e-5, "epsilon": 1.0, "count_share": 1.0}, "`count_share` must be in"),
    ],
)
def test_settings_are_checked(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        DifferentialPrivacy(**arguments)


def test_delta_must_be_below_one_over_the_rows():
    with pytest.raises(InvalidArgumentError, match="`delta` must be below 1 / rows"):
        DifferentialPrivacy(epsilon=1.0, delta=0.01).budget(rows=100, batch_size=10, steps=1)
