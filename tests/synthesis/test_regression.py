"""Regressions in a chain: relations of each kind, order, conditions, gaps."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tfrs_augment.errors import AugmentError
from tfrs_augment.synthesis.columns import TableSpec
from tfrs_augment.synthesis.distances import pair_distances
from tfrs_augment.synthesis.independent import IndependentSampler
from tfrs_augment.synthesis.regression import RegressionSynthesizer


def hill(rows=4_000, seed=0):
    """`b` and `e` rise and fall with `a`; `c` is the sign of a product; `d` rises with `a`."""
    rng = np.random.default_rng(seed)
    a, x = rng.normal(size=[2, rows])
    c = np.where(rng.random(rows) < 0.9, a * x > 0, a * x <= 0)
    return {
        "a": a.astype(np.float32),
        "b": (-(a**2) + 0.5 * rng.normal(size=rows)).astype(np.float32),
        "x": x.astype(np.float32),
        "c": np.where(c, b"yes", b"no"),
        "e": np.where(np.abs(a) < 0.7, b"in", b"out"),
        "d": np.array([b"p", b"q", b"r"])[
            np.clip(np.rint(a + 1 + 0.3 * rng.normal(size=rows)), 0, 2).astype(int)
        ],
    }


def lost(synthesizer, table, pair):
    """The distance of a pair of columns as a share of that of independent columns."""
    table = {name: table[name] for name in synthesizer.columns or table}
    spec = TableSpec.of(table)
    found, floor = (
        pair_distances(table, s.fit(table).sample(len(table["a"])), spec)[pair]
        for s in (synthesizer, IndependentSampler())
    )
    return found / floor


def test_relations_that_rise_and_fall_and_those_of_categories_are_kept():
    table = hill()
    synthesizer = RegressionSynthesizer()
    assert lost(synthesizer, table, ("a", "b")) < 0.35
    assert lost(synthesizer, table, ("a", "d")) < 0.2
    assert lost(synthesizer, table, ("a", "e")) < 0.3
    assert lost(RegressionSynthesizer(knots=0, columns=["a", "e"]), table, ("a", "e")) > 0.6


def test_products_of_columns_need_degree_2():
    table = hill()

    def agreement(degree):
        rows = (
            RegressionSynthesizer(degree=degree, columns=["a", "x", "c"]).fit(table).sample(4_000)
        )
        return ((rows["a"] * rows["x"] > 0) == (rows["c"] == b"yes")).mean()

    assert agreement(1) < 0.58 < 0.68 < agreement(2)


def test_numbers_come_first_and_then_what_they_tell_most_of():
    order = RegressionSynthesizer().fit(hill())._order
    assert set(order[:3]) == {"a", "b", "x"} and order[:2] in (["a", "b"], ["b", "a"])
    assert set(order[3:]) == {"c", "d", "e"}


def test_imputed_cells_follow_columns_before_and_after_them():
    table = hill()
    synthesizer = RegressionSynthesizer().fit(table)
    kinds = np.array([b"p", b"q", b"r"]).repeat(300)
    filled = synthesizer.impute({"d": kinds})["a"]
    for kind in (b"p", b"q", b"r"):
        truth = table["a"][table["d"] == kind]
        assert filled[kinds == kind].mean() == pytest.approx(truth.mean(), abs=0.15)
        assert filled[kinds == kind].std() == pytest.approx(truth.std(), abs=0.15)


def test_categories_beyond_a_hundred_keep_their_shares():
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 301)
    code = rng.choice(300, 6_000, p=share / share.sum())
    table = {"id": np.array([f"i{c}".encode() for c in code]), "old": (code > 20).astype(np.int64)}
    rows = RegressionSynthesizer().fit(table).sample(6_000)
    rank = np.char.lstrip(rows["id"], b"i").astype(np.int64)
    assert (rank >= 100).mean() == pytest.approx((code >= 100).mean(), abs=0.02)
    assert ((rank > 20) == (rows["old"] == 1)).mean() > 0.95


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(AugmentError, match=r"pip install 'tfrs-augment\[synthesis\]'"):
        RegressionSynthesizer().fit(hill(50))
