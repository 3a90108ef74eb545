"""Encoding of tables for networks, the mixtures behind it, and the calibration after it."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.errors import DataError
from tfrs_augment.synthesis import encoding as encoding_module
from tfrs_augment.synthesis.calibration import NumberCalibration, fit_biases
from tfrs_augment.synthesis.columns import TableSpec
from tfrs_augment.synthesis.encoding import Encoded, TableEncoding
from tfrs_augment.synthesis.mixtures import Mixture
from tfrs_augment.synthesis.pair_likelihood import PairLikelihood
from tfrs_augment.synthesis.training_by_sampling import Chosen, ConditionSampler


@pytest.fixture(scope="module")
def table() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    n = 600
    side = rng.random(n) < 0.5
    price = np.where(side, rng.normal(10, 1, n), rng.normal(90, 4, n)).round(2).astype(np.float32)
    price[:60] = np.nan
    return {
        "side": np.where(side, b"low", b"high"),
        "price": price,
        "stock": rng.integers(0, 500, n),
        "stars": rng.integers(1, 6, n),
        "shop": np.full(n, b"only"),
        "note": np.full(n, np.nan, np.float32),
    }


def test_a_mixture_finds_the_modes_and_no_more():
    rng = np.random.default_rng(1)
    numbers = np.concatenate([rng.normal(0, 1, 700), rng.normal(30, 2, 300)])
    mixture = Mixture.fit(numbers)
    low = mixture.means < 15
    assert mixture.weights.sum() == pytest.approx(1.0)
    assert mixture.weights[low].sum() == pytest.approx(0.7, abs=0.01)
    assert np.average(mixture.means[~low], weights=mixture.weights[~low]) == pytest.approx(
        30, abs=0.5
    )


def test_a_mixture_of_one_value_or_of_one_that_many_share_is_finite():
    assert Mixture.fit(np.full(5, 7.0)).means.tolist() == [7.0]
    skewed = np.concatenate([np.full(900, 3.0), np.linspace(4, 1e9, 100)])
    mixture = Mixture.fit(skewed)
    assert np.isfinite(mixture.means).all() and (mixture.deviations > 0).all()
    assert np.isfinite(mixture.log_shares(skewed)).any(1).all()


def test_decoding_inverts_encoding(table):
    spec = TableSpec.of(table)
    coding = TableEncoding.fit(table, spec)
    back = coding.decode(coding.encode(table, np.random.default_rng(2)))
    assert list(back) == list(table)
    for name in ("side", "stars", "shop", "note", "stock"):
        np.testing.assert_array_equal(back[name], table[name])
    np.testing.assert_allclose(back["price"], table["price"], atol=0.011)
    assert [back[name].dtype for name in table] == [c.numpy_dtype for c in spec]


def test_any_network_output_decodes_within_bounds(table):
    spec = TableSpec.of(table)
    coding = TableEncoding.fit(table, spec)
    rng = np.random.default_rng(3)
    codes = np.stack([rng.integers(0, h.size, 500) for h in coding.heads], 1).astype(np.int32)
    wild = Encoded(codes, rng.uniform(-1, 1, [500, len(coding.numeric)]).astype(np.float32))
    back = coding.decode(wild)
    for column in spec:
        there = ~column.missing_mask(back[column.name])
        column.check(back[column.name][there])
    assert np.isnan(back["price"]).any()


def test_the_arrays_restore_the_encoding(table):
    spec = TableSpec.of(table)
    coding = TableEncoding.fit(table, spec)
    again = TableEncoding.restore(spec, coding.arrays())
    encoded = coding.encode(table, np.random.default_rng(4))
    np.testing.assert_array_equal(
        again.encode(table, np.random.default_rng(4)).codes, encoded.codes
    )


def test_a_column_of_ids_is_refused(monkeypatch):
    monkeypatch.setattr(encoding_module, "MAX_CATEGORIES", 5)
    table = {"id": np.array([b"u%d" % i for i in range(6)])}
    with pytest.raises(DataError, match="at most 5 for a network. Received: 6 of 'id'"):
        TableEncoding.fit(table, TableSpec.of(table))


def test_biases_give_every_choice_its_share_given_ones_included():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, [4000, 3]).astype(np.float32)
    target = np.array([0.7, 0.3, 0.0])
    chosen = Chosen(np.where(np.arange(4000) < 1000, 0, -1), np.zeros(4000, np.int32))
    biases = fit_biases(logits, [target], chosen, rounds=40)
    free = np.exp(logits[1000:] + biases - (logits[1000:] + biases).max(1, keepdims=True))
    free /= free.sum(1, keepdims=True)
    share = (free.sum(0) + np.array([1000.0, 0.0, 0.0])) / 4000
    np.testing.assert_allclose(share, target, atol=0.005)


def test_calibrated_numbers_have_the_distribution_of_the_data(table):
    spec = TableSpec.of(table)
    coding = TableEncoding.fit(table, spec)
    rng = np.random.default_rng(6)
    codes = np.stack([rng.integers(0, h.size, 4000) for h in coding.heads], 1).astype(np.int32)
    wild = Encoded(codes, rng.uniform(-1, 1, [4000, len(coding.numeric)]).astype(np.float32))
    calibration = NumberCalibration.fit(table, coding, wild)
    restored = NumberCalibration.restore(spec, calibration.arrays())
    for decoded in (calibration.decode(coding, wild), restored.decode(coding, wild)):
        for share in (0.1, 0.5, 0.9):
            assert np.nanquantile(decoded["stock"], share) == pytest.approx(
                np.quantile(table["stock"], share), abs=8
            )


def test_conditions_in_training_favour_rare_categories_and_come_with_a_row_that_has_them(table):
    rare = {**table, "side": np.where(np.arange(600) < 6, b"rare", b"most")}
    spec = TableSpec.of(rare)
    coding = TableEncoding.fit(rare, spec)
    codes = coding.encode(rare, np.random.default_rng(7)).codes
    sampler = ConditionSampler.fit(coding.heads, codes)
    chosen, rows = sampler.train(np.random.default_rng(8), 4000)
    np.testing.assert_array_equal(codes[rows, chosen.head], chosen.code)
    assert len(np.unique(chosen.head)) == 2  # side and stars; a constant column has no choice
    side = chosen.head == 0
    expected = np.log1p(6) / (np.log1p(6) + np.log1p(594))
    assert (chosen.code[side] == 1).mean() == pytest.approx(expected, abs=0.04)
    drawn = sampler.sample(np.random.default_rng(9), 4000)
    assert (drawn.code[drawn.head == 0] == 1).mean() == pytest.approx(0.01, abs=0.01)


def test_pair_likelihood_is_zero_for_independent_columns_and_best_for_real_rows():
    rng = np.random.default_rng(10)

    def rows(n):
        a = rng.integers(0, 4, n)
        return {
            "a": a,
            "b": (a + (rng.random(n) < 0.2)) % 4,
            "c": rng.normal(size=n).astype(np.float32),
        }

    train, held_out, real = rows(2000), rows(1000), rows(2000)
    measure = PairLikelihood(train, held_out, TableSpec.of(train))
    mixed = {name: rng.permutation(values) for name, values in real.items()}
    wrong = {**real, "b": 3 - real["a"]}
    assert measure(mixed) == pytest.approx(0.0, abs=0.05)
    assert measure(real) > 0.2
    assert measure(wrong) < measure(mixed)
