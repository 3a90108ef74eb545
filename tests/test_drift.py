"""Drift: its distances beside SciPy's, its p-values beside simulations, and what it refuses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tfrs_augment import drift
from tfrs_augment.drift import Drift, column_drift, table_drift
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation.synthetic.similarity import ks_complement


def numbers(seed: int, size: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, size)


@pytest.mark.parametrize("ties", [False, True])
def test_numbers_are_those_of_scipy(ties):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    first, second = numbers(0, 400), numbers(1, 150, 0.2)
    if ties:
        first, second = first.round(), second.round()
    expected = stats.ks_2samp(first, second, method="asymp")
    found = column_drift(first, second, name="x")
    assert (found.name, found.kind) == ("x", "number")
    assert found.distance == pytest.approx(expected.statistic, abs=1e-12)
    # The correction for small samples moves the limit a little.
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.25)


def test_categories_are_those_of_scipy():
    distance = pytest.importorskip("scipy.spatial.distance", reason="SciPy is not installed")
    first, second = np.array([5, 0, 3, 2]), np.array([1, 4, 0, 5])
    expected = distance.jensenshannon(first, second, base=2) ** 2
    assert drift.jensen_shannon(first, second) == pytest.approx(expected, abs=1e-12)


def test_large_tables_have_the_usual_chi_square_test():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    first, second = np.array([300, 210, 150, 90]), np.array([180, 160, 110, 70])
    expected = stats.chi2_contingency([first, second], correction=False).pvalue
    assert drift.chi_square_p_value(first, second) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("totals", "size"), [((3, 4, 2), 4), ((1, 1, 1, 5), 3), ((2, 2, 2, 3), 5)])
def test_moments_of_the_chi_square_are_exact(totals, size):
    rest = sum(totals) - size
    values, chances = [], []
    for taken in itertools.product(*(range(total + 1) for total in totals)):
        if sum(taken) != size:
            continue
        ways = math.prod(math.comb(total, k) for total, k in zip(totals, taken, strict=True))
        chances.append(ways / math.comb(sum(totals), size))
        values.append(
            sum(
                (k * rest - (total - k) * size) ** 2 / total
                for total, k in zip(totals, taken, strict=True)
            )
            / (size * rest)
        )
    mean = np.dot(values, chances)
    rows = sum(totals)
    assert mean == pytest.approx(rows * (len(totals) - 1) / (rows - 1))
    found = drift._variance(
        rows, 1 / size + 1 / rest, 2, sum(1 / total for total in totals), len(totals)
    )
    assert found == pytest.approx(np.dot((values - mean) ** 2, chances))


@pytest.mark.parametrize(
    ("values", "size"), [(3, 60), (400, 200), (50_000, 2_000)], ids=["few", "rare", "nearly unique"]
)
def test_categories_of_one_distribution_alarm_as_often_as_they_say(values, size):
    shares = 1.0 / np.arange(1, values + 1)
    shares /= shares.sum()
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        parts = rng.multinomial(size, shares), rng.multinomial(2 * size, shares)
        found.append(drift.drift_of_counts("x", "category", *parts))
    p_values = np.array([f.p_value for f in found])
    # 0.05 of 300 is 15, with a deviation of 4.
    assert 3 <= np.sum(p_values < 0.05) <= 33
    assert 0.4 < np.mean(p_values < 0.5) < 0.65
    # What chance alone makes of the distance is known.
    distances = np.array([f.distance for f in found])
    assert np.mean([f.chance for f in found]) == pytest.approx(distances.mean(), rel=0.1)
    assert not any(f.significant() for f in found)


@pytest.mark.parametrize("size", [3, 10, 200])
def test_numbers_of_one_distribution_seldom_alarm(size):
    found = [column_drift(numbers(s, size), numbers(s + 999, size), name="x") for s in range(300)]
    # Of three values each the smallest chance that there is is 0.1, and the limit says 0.046.
    assert np.mean([f.p_value < (0.01 if size == 3 else 0.05) for f in found]) < 0.1
    assert not any(f.significant() for f in found)


def test_large_distance_of_a_small_sample_is_not_significant():
    found = column_drift(np.array([1.0, 2.0, 3.0]), np.array([2.5, 3.5, 4.0]), name="x")
    assert found.distance > 0.5 and not found.significant(0.05)
    ids = [np.array([b"%d" % i for i in range(start, start + 50)]) for start in (0, 50)]
    found = column_drift(*ids, name="id")
    # Each occurs once: that none is in both says nothing.
    assert found.distance == 1.0 and found.p_value == 1.0
    assert found.excess == 0.0


def test_drift_is_found():
    years = column_drift(numbers(0, 500), numbers(1, 500, 1.0), name="year")
    assert years.distance > 0.3 and years.significant() and years.excess > 0.25
    old = np.repeat(np.array([b"%d" % i for i in range(100)]), 5)
    new = np.repeat(np.array([b"%d" % i for i in range(50, 150)]), 5)
    genres = column_drift(old, new, name="genre")
    assert genres.distance == pytest.approx(0.5) and genres.significant() and genres.excess > 0.3


def test_equal_data_have_no_drift():
    for column in (numbers(0, 50), np.array(["a", "b", "b"]), np.array([3, 1, 2])):
        found = column_drift(column, column[::-1], name="x")
        assert (found.distance, found.excess) == (0.0, 0.0) and found.p_value > 0.5


def test_drift_is_symmetric_and_bounded():
    first, second = numbers(0, 30), numbers(1, 20, 9.0)
    assert column_drift(first, second, name="x") == column_drift(second, first, name="x")
    assert column_drift(first, second + 99, name="x").distance == 1.0
    assert column_drift(np.array(["a"]), np.array(["b"]), name="x").distance == 1.0


def test_missing_values_count():
    full, half = np.arange(100.0), np.where(np.arange(100) % 2, np.arange(100.0), np.nan)
    assert column_drift(full, half, name="x").distance == pytest.approx(0.5)
    assert column_drift(full, np.full(100, np.nan), name="x").distance == 1.0
    text = np.array(["a", "b"] * 50, object)
    gone = np.where(np.arange(100) % 2, text, None)
    assert column_drift(text, gone, name="x").significant()
    assert column_drift(text, np.array([None] * 9, object), name="x").distance == 1.0
    assert column_drift(gone, gone, name="x").distance == 0.0


def test_text_and_bytes_and_objects_are_the_same_values():
    text = np.array(["é", "b", "b"])
    for other in (np.char.encode(text, "utf-8"), text.astype(object)):
        assert column_drift(text, other, name="x").distance == 0.0
    mixed = np.array([1, 2.5, None], object)
    assert column_drift(mixed, np.array([1, 2.5, np.nan]), name="x").distance == 0.0
    assert column_drift(np.array([True, False]), np.array([True]), name="x").kind == "category"


def test_large_integers_are_told_apart():
    first = np.array([2**62, 2**62 + 1])
    assert column_drift(first, first[:1], name="x").distance == 0.5


def test_table_is_sorted_by_distance():
    before = {"a": numbers(0, 50), "b": numbers(1, 50), "c": np.array(["x", "y"])}
    after = {"a": numbers(2, 50), "b": numbers(3, 50, 5.0), "c": np.array(["x", "y"]), "more": 0}
    found = table_drift(before, after)
    assert [f.name for f in found] == ["b", "a", "c"]
    assert [f.name for f in table_drift(before, after, columns=["c", "a"])] == ["a", "c"]


def test_core_distance_is_that_of_the_fidelity_report():
    first, second = numbers(0, 70), numbers(1, 40, 0.5)
    assert ks_complement(first, second) == 1.0 - column_drift(first, second, name="x").distance


@pytest.mark.parametrize(
    ("source", "other", "message"),
    [
        (np.array([]), np.array([1.0]), r"`source` must be a vector \[n\] of at least one value"),
        (np.array([1.0]), np.ones((2, 2)), r"`other` must be a vector .* shape \(2, 2\)"),
        (np.array([1.0]), np.array(["a"]), "'x' must be of one kind .* category in `other`"),
        (np.array([[1], [2, 3]], object), np.array([1]), "must hold numbers, bytes or text"),
        (np.array(["2020"], "M8[Y]"), np.array([1]), "must hold numbers, bytes or text"),
        (np.array([1, "a"], object), np.array([1]), "must hold numbers, bytes or text"),
        (3.0, np.array([1]), r"Received: shape \(\)"),
    ],
)
def test_wrong_columns_are_refused(source, other, message):
    with pytest.raises(DataError, match=message):
        column_drift(source, other, name="x")


def test_wrong_tables_are_refused():
    table = {"year": np.array([1])}
    with pytest.raises(UnknownFeatureError, match="no column 'yeer'.*Did you mean 'year'"):
        table_drift(table, table, columns=["yeer"])
    with pytest.raises(UnknownFeatureError, match="no column 'year'"):
        table_drift(table, {"other": np.array([1])})
    for columns in ([], "year"):
        with pytest.raises(InvalidArgumentError, match="`columns` must name at least one column"):
            table_drift(table, table, columns=columns)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, True, "0.05", float("nan")])
def test_wrong_level_is_refused(alpha):
    with pytest.raises(InvalidArgumentError, match=r"`alpha` must be in \(0, 1\)"):
        Drift("x", "number", 0.5, 0.01).significant(alpha)


def test_drift_without_a_p_value_is_not_significant():
    assert not Drift("x", "number", 0.9).significant()
    assert Drift("x", "number", 0.9).excess == 0.9
