"""Distances between tables, the choice by them, and scores of imputed cells."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthesis.tables import equal, shop_table
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.choosing import choose
from tfrs_augment.synthesis.columns import TableSpec
from tfrs_augment.synthesis.copula import GaussianCopula
from tfrs_augment.synthesis.distances import Bins, column_distances, pair_distances
from tfrs_augment.synthesis.imputation import imputation_scores
from tfrs_augment.synthesis.independent import IndependentSampler
from tfrs_augment.synthesis.regression import RegressionSynthesizer


def related(rows, seed=0):
    """`b` goes with `a` in a way that no monotone curve has; `c` is of its own."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, 6, rows)
    kinds = np.array([b"p", b"q"])
    return {
        "a": a.astype(np.float32),
        "b": kinds[((a.astype(int) % 2) ^ (rng.random(rows) < 0.05)).astype(int)],
        "c": rng.choice(kinds, rows),
    }


def test_distances():
    table, other = related(500), related(500, seed=1)
    spec = TableSpec.of(table)
    assert set(column_distances(table, table, spec).values()) == {0.0}
    assert set(pair_distances(table, table, spec)) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert max(pair_distances(table, other, spec).values()) < 0.15
    shuffled = {**table, "b": np.random.default_rng(0).permutation(table["b"])}
    assert column_distances(table, shuffled, spec)["b"] == 0.0
    assert pair_distances(table, shuffled, spec)["a", "b"] > 0.3


def test_bins_keep_missing_numbers_apart_and_join_rare_categories():
    values = np.append(np.arange(100, dtype=np.float32), np.float32([np.nan] * 7))
    bins = Bins.of(TableSpec.of({"x": values})["x"], values)
    counts = np.bincount(bins.codes(values), minlength=bins.count)
    assert counts[-1] == 7 and counts[:-1].tolist() == [10] * 10
    names = np.array([b"a"] * 5 + [b"b"] * 3 + [b"c", b"d"])
    bins = Bins.of(TableSpec.of({"x": names})["x"], names, limit=2)
    assert np.bincount(bins.codes(names)).tolist() == [5, 3, 2]


def test_the_cheapest_that_passes_is_chosen_and_fitted_on_all_rows():
    table = related(1_500)
    simple = choose({"c": table["c"], "d": np.random.default_rng(5).permutation(table["c"])})
    assert isinstance(simple.synthesizer, IndependentSampler) and simple.passed
    choice = choose(table)
    names = [type(trial.synthesizer).__name__ for trial in choice.trials]
    assert names == ["IndependentSampler", "GaussianCopula", "RegressionSynthesizer"]
    assert choice.passed and choice.synthesizer.spec.rows == 1_500
    assert [trial.passed for trial in choice.trials] == [False, False, True]
    assert choice.real[1] < choice.trials[-1].pairs < choice.floor[1]
    assert "RegressionSynthesizer" in str(choice) and "passed" in str(choice)
    assert equal(choice.synthesizer.sample(9), choose(table).synthesizer.sample(9))


def test_where_none_passes_the_nearest_is_taken_and_said_so():
    choice = choose(related(1_500), [IndependentSampler(), GaussianCopula()])
    assert not choice.passed and "None passed" in str(choice)
    assert choice.trials[0].pairs >= min(trial.pairs for trial in choice.trials)


def test_arguments_of_choose():
    with pytest.raises(InvalidArgumentError, match="`candidates` must hold a synthesizer"):
        choose(related(100), [])
    with pytest.raises(InvalidArgumentError, match="`tolerance` be in"):
        choose(related(100), tolerance=1.5)
    with pytest.raises(DataError, match="at least 20 rows.* Received: 19"):
        choose(related(19))


class Donors(GaussianCopula):
    """Imputes as a synthesizer without a way of its own does."""

    _impute = Synthesizer._impute


@pytest.mark.parametrize("kind", [GaussianCopula, RegressionSynthesizer, Donors])
def test_imputation_beats_mean_median_and_mode_where_columns_tell_of_each_other(kind):
    rng = np.random.default_rng(0)
    a = rng.normal(size=4_000)
    b = a + 0.3 * rng.normal(size=4_000)
    table = {
        "a": a.astype(np.float32),
        "b": b.astype(np.float32),
        "c": np.array([b"low", b"middle", b"high"])[np.searchsorted([-0.5, 0.5], a)],
    }
    train, rows = (
        {n: v[part] for n, v in table.items()} for part in (slice(3_000), slice(3_000, None))
    )
    scores = imputation_scores(kind().fit(train), rows, share=0.2)
    found = {(score.column, score.measure): score for score in scores}
    assert set(found) == {(n, m) for n in "ab" for m in ("rmse", "mae")} | {("c", "accuracy")}
    for (_, measure), score in found.items():
        if measure == "accuracy":
            assert score.synthesizer > score.baseline + 0.2
        else:
            assert score.synthesizer < 0.75 * score.baseline
        assert 150 < score.cells < 250


def test_imputation_scores_pass_over_cells_that_are_missing():
    table = shop_table()
    fitted = IndependentSampler().fit(table)
    scores = imputation_scores(fitted, {n: v[:500] for n, v in table.items()}, share=0.5, draws=3)
    assert {s.column for s in scores} == set(table) - {"empty"}
    price = next(s for s in scores if s.column == "price")
    assert 0.35 * 500 < price.cells < 0.5 * 500
    # Independent columns tell nothing of each other, so the mean can't be beaten.
    assert price.synthesizer > 0.98 * price.baseline
    with pytest.raises(InvalidArgumentError, match="`share` must be in"):
        imputation_scores(fitted, table, share=1.0)
    with pytest.raises(InvalidArgumentError, match="must be fitted first"):
        imputation_scores(IndependentSampler(), table)


def test_rows_to_impute_that_do_not_fit():
    fitted = IndependentSampler().fit(shop_table())
    assert fitted.impute({"age": np.float32([999])})["age"] == 999
    for rows, message in (
        ({"gender": np.array([b"Q"])}, "'gender' must be among"),
        ({"rating": np.float32([9])}, "'rating' must be among"),
        ({"age": np.array([b"old"])}, "'age' must hold float"),
        ({"age": np.float32([20]), "rating": np.float32([1, 2])}, "of one length"),
        ({}, "must have columns"),
    ):
        with pytest.raises(DataError, match=message):
            fitted.impute(rows)
    with pytest.raises(LookupError, match="Did you mean 'age'"):
        fitted.impute({"agee": np.float32([20])})
