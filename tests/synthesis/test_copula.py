"""The Gaussian copula: what it learns of relations, and that conditions and gaps move the others."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.synthesis import gaussian
from tfrs_augment.synthesis.columns import TableSpec
from tfrs_augment.synthesis.copula import GaussianCopula
from tfrs_augment.synthesis.distances import pair_distances
from tfrs_augment.synthesis.independent import IndependentSampler

RHO = 0.7


def normal_pairs(rows, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.standard_normal(rows)
    return first, RHO * first + np.sqrt(1 - RHO**2) * rng.standard_normal(rows)


def cut(z, shares):
    return np.searchsorted(gaussian.quantile(np.cumsum(shares)[:-1]), z)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (None, None),
        ([0.5, 0.5], None),
        ([0.9, 0.1], [0.2, 0.5, 0.3]),
        ([0.05] * 20, [0.7, 0.3]),
    ],
    ids=["numbers", "halves", "few", "many"],
)
def test_the_correlation_behind_categories_is_found(first, second):
    z = normal_pairs(40_000)
    table = {
        name: zi.astype(np.float32) if shares is None else cut(zi, shares)
        for name, zi, shares in zip("ab", z, (first, second))
    }
    copula = GaussianCopula().fit(table)
    assert copula._correlation[0, 1] == pytest.approx(RHO, abs=0.02)


def test_nominal_categories_get_an_order_that_holds_the_relation():
    z = normal_pairs(4_000)
    names = np.array([f"c{i}".encode() for i in np.random.default_rng(1).permutation(12)])
    table = {"a": names[cut(z[0], [1 / 12] * 12)], "b": z[1].astype(np.float32)}
    spec = TableSpec.of(table)
    found, floor = (
        pair_distances(table, s.fit(table).sample(4_000), spec)["a", "b"]
        for s in (GaussianCopula(), IndependentSampler())
    )
    assert found < 0.35 * floor


def test_conditions_move_the_other_columns_as_the_model_says():
    z = normal_pairs(20_000)
    copula = GaussianCopula().fit({"a": z[0].astype(np.float32), "b": z[1].astype(np.float32)})
    low, high = 1.0, 3.0
    rows = copula.sample(8_192, conditions={"a": (low, high)})
    share = gaussian.cdf(np.array([low, high]))
    mean = -np.diff(gaussian.density(np.array([low, high])))[0] / np.diff(share)[0]
    assert rows["a"].mean() == pytest.approx(mean, abs=0.04)
    assert rows["b"].mean() == pytest.approx(RHO * mean, abs=0.05)
    at = copula.sample(4_096, conditions={"a": float(z[0].astype(np.float32)[0])})["b"]
    assert at.std() == pytest.approx(np.sqrt(1 - RHO**2), abs=0.05)


def test_two_conditions_agree_with_rejection():
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal(np.zeros(3), [[1, 0.8, 0.5], [0.8, 1, 0.2], [0.5, 0.2, 1]], 20_000)
    copula = GaussianCopula().fit(
        {name: z[:, i].astype(np.float32) for i, name in enumerate("abc")}
    )
    conditions = {"a": (0.5, 3.0), "b": (-3.0, -0.2)}
    exact = copula.sample(4_096, conditions=conditions)
    free = copula.sample(200_000, seed=1)
    kept = (free["a"] >= 0.5) & (free["b"] <= -0.2)
    assert kept.sum() > 3_000
    for name in "abc":
        assert exact[name].mean() == pytest.approx(free[name][kept].mean(), abs=0.05)
        assert exact[name].std() == pytest.approx(free[name][kept].std(), abs=0.05)


def test_imputed_cells_follow_those_that_are_there():
    z = normal_pairs(10_000)
    a, b = z[0].astype(np.float32), cut(z[1], [0.3, 0.4, 0.3])
    copula = GaussianCopula().fit({"a": a, "b": b})
    gaps = {"a": np.full(2_000, np.nan), "b": np.repeat([0.0, 2.0], 1_000)}
    filled = copula.impute(gaps)["a"]
    for code, part in ((0, filled[:1_000]), (2, filled[1_000:])):
        assert part.mean() == pytest.approx(a[b == code].mean(), abs=0.08)
        assert part.std() == pytest.approx(a[b == code].std(), abs=0.08)
    best = copula.impute(gaps, draws=50)["a"]
    assert best[:1_000].std() < 0.3 * filled[:1_000].std()


def test_what_is_missing_goes_with_other_columns():
    rng = np.random.default_rng(0)
    kind = rng.choice(np.array([b"x", b"y"]), 8_000)
    price = rng.uniform(1, 9, 8_000).astype(np.float32)
    price[(kind == b"x") & (rng.random(8_000) < 0.5)] = np.nan
    rows = GaussianCopula().fit({"kind": kind, "price": price}).sample(8_000)
    absent = np.isnan(rows["price"])
    assert absent[rows["kind"] == b"x"].mean() > 0.4
    assert absent[rows["kind"] == b"y"].mean() < 0.1


class TestGaussian:
    def test_truncated_draws_lie_in_their_intervals_even_far_out(self):
        rng = np.random.default_rng(0)
        ends = np.array([[-np.inf, -9.0], [9.0, 9.5], [30.0, 31.0], [-45.0, -44.0], [2.0, 2.0]])
        for low, high in ends:
            interval = np.full([100, 1], low), np.full([100, 1], high)
            drawn = gaussian.truncated(rng, np.zeros(100), 1.0, interval)
            assert ((drawn >= low) & (drawn <= high)).all()

    def test_truncated_draws_choose_intervals_by_their_mass(self):
        rng = np.random.default_rng(0)
        interval = np.array([[-np.inf, 1.0]]), np.array([[-1.0, np.inf]])
        drawn = gaussian.truncated(rng, np.full(20_000, 0.5), 1.0, interval)
        masses = gaussian.cdf(np.array([-1.5, -0.5]))
        assert (drawn < 0).mean() == pytest.approx(masses[0] / masses.sum(), abs=0.01)

    def test_nearest_correlation(self):
        broken = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
        repaired = gaussian.nearest_correlation(broken)
        assert np.linalg.eigvalsh(repaired)[0] > 0
        np.testing.assert_allclose(np.diag(repaired), 1.0)
        whole = np.array([[1, 0.5], [0.5, 1]])
        assert gaussian.nearest_correlation(whole) is whole
