"""Sketches: exact for few values, the same for any order and cut, near the exact drift for many."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment.drift import column_drift
from tfrs_augment.errors import DataError
from tfrs_augment.fitting import Fitter, sketches
from tfrs_augment.fitting.sketches import CATEGORIES, NUMBERS, sketch_drift
from tfrs_augment.ops import FittedState, Requirement

NUMBER, CATEGORY = Requirement(NUMBERS, "x"), Requirement(CATEGORIES, "c")


def data(rows: int, seed: int = 0, shift: float = 0.0, new: float = 0.0) -> dict:
    rng = np.random.default_rng(seed)
    ids = rng.zipf(1.5, rows) % 3000
    ids = np.where(rng.random(rows) < new, ids + 10_000, ids)
    return {"x": rng.normal(shift, 1.0, rows), "c": np.array([b"i%d" % i for i in ids])}


def sketch(columns: dict, cuts: int = 1, seed: int = 0) -> FittedState:
    """The sketches of rows in some order, in as many parts that are merged."""
    order = np.random.default_rng(seed).permutation(len(columns["x"]))
    total = Fitter([NUMBER, CATEGORY])
    for part in np.array_split(order, cuts):
        fitter = Fitter([NUMBER, CATEGORY])
        for batch in np.array_split(part, 2):
            fitter.add({name: column[batch] for name, column in columns.items()})
        total.merge(fitter)
    return total.state()


@pytest.mark.parametrize("size", [64, 8192], ids=["more values than room", "all values"])
def test_any_order_and_cut_gives_the_same(monkeypatch, size):
    monkeypatch.setattr(sketches, "SIZE", size)
    columns = data(3000)
    expected = sketch(columns).digest()
    for cuts in (2, 7, 50):
        assert sketch(columns, cuts, seed=cuts).digest() == expected


def test_few_values_are_exact():
    before, after = data(3000), data(2000, seed=1, shift=0.3, new=0.5)
    first, second = sketch(before), sketch(after)
    for requirement in (NUMBER, CATEGORY):
        name = requirement.feature
        found = sketch_drift(requirement, first[requirement], second[requirement])
        exact = column_drift(before[name], after[name], name=name)
        assert (found.name, found.kind) == (exact.name, exact.kind)
        # Sums in the order of the hashes differ in their last digits.
        for attribute in ("distance", "p_value", "chance"):
            assert getattr(found, attribute) == pytest.approx(getattr(exact, attribute), rel=1e-9)


def test_many_values_are_near_the_exact_drift_in_bounded_room(monkeypatch):
    monkeypatch.setattr(sketches, "SIZE", 256)
    before, after = data(20_000), data(20_000, seed=1, shift=0.3, new=0.5)
    first, second = sketch(before), sketch(after)
    for requirement, tolerance in ((NUMBER, 0.01), (CATEGORY, 0.15)):
        assert len(first[requirement]["codes"]) <= 256
        name = requirement.feature
        found = sketch_drift(requirement, first[requirement], second[requirement])
        exact = column_drift(before[name], after[name], name=name)
        assert found.distance == pytest.approx(exact.distance, abs=tolerance)
        assert found.significant()
        # An exact sketch and one that is not are compared too.
        mixed = sketch_drift(requirement, second[requirement], sketch(data(100))[requirement])
        assert mixed.distance > 0.1
    same = sketch(data(20_000, seed=2))
    for requirement in (NUMBER, CATEGORY):
        assert not sketch_drift(requirement, first[requirement], same[requirement]).significant()


def test_missing_values_and_lists_are_counted():
    lists = tf.ragged.constant([[1.0, 2.0], [], [3.0]])
    fitter = Fitter([NUMBER])
    fitter.add({"x": lists})
    fitter.add({"x": np.array([np.nan, 3.0])})
    arrays = fitter.state()[NUMBER]
    assert (int(arrays["missing"]), int(arrays["present"])) == (2, 4)
    assert arrays["counts"].tolist() == [1, 1, 2]
    exact = np.array([1.0, 2.0, 3.0, 3.0, np.nan, np.nan])
    assert sketch_drift(NUMBER, arrays, arrays).distance == 0.0
    full = Fitter([NUMBER])
    full.add({"x": np.array([1.0, 2.0, 3.0])})
    found = sketch_drift(NUMBER, arrays, full.state()[NUMBER])
    assert found == column_drift(exact, np.array([1.0, 2.0, 3.0]), name="x")


def test_negative_numbers_and_zeros_are_in_order(monkeypatch):
    monkeypatch.setattr(sketches, "SIZE", 4)
    values = np.array([-5.0, -1e-3, -0.0, 0.0, 1e-3, 4.0, 1e30, -np.inf])
    fitter = Fitter([NUMBER])
    fitter.add({"x": values})
    arrays = fitter.state()[NUMBER]
    assert arrays["counts"].sum() == 8 and len(arrays["codes"]) <= 4
    assert np.all(np.diff(arrays["codes"].astype(float)) > 0)


def test_column_without_a_value_has_a_sketch():
    fitter = Fitter([CATEGORY])
    fitter.add({"c": tf.ragged.constant([[], []], dtype=tf.string)})
    empty = fitter.state()[CATEGORY]
    other = Fitter([CATEGORY])
    other.add({"c": np.array([b"a", b"b"])})
    assert sketch_drift(CATEGORY, empty, other.state()[CATEGORY]).distance == 1.0
    assert sketch_drift(CATEGORY, empty, empty).distance == 0.0


def test_integers_are_categories_where_they_are_asked_for_as_such():
    fitter = Fitter([Requirement(CATEGORIES, "x"), Requirement(NUMBERS, "x")])
    fitter.add({"x": np.array([3, 3, 2**60])})
    state = fitter.state()
    for requirement in state.arrays:
        assert sorted(state[requirement]["counts"].tolist()) == [1, 2]


def test_sketch_survives_its_file(tmp_path):
    state = sketch(data(500))
    state.save(tmp_path / "statistics.json")
    assert FittedState.load(tmp_path / "statistics.json").digest() == state.digest()


def test_strings_are_no_numbers():
    with pytest.raises(DataError, match="holds strings"):
        Fitter([NUMBER]).add({"x": np.array([b"a"])})


def of_ids(*ids: np.ndarray) -> list:
    """The sketch of each column of numbered ids."""
    found = []
    for column in ids:
        fitter = Fitter([Requirement(CATEGORIES, "x")])
        fitter.add({"x": column})
        found.append(fitter.state()[Requirement(CATEGORIES, "x")])
    return found


@pytest.mark.parametrize("tail", [0, 1], ids=["alike", "one of them once"])
def test_few_categories_that_become_many_have_drifted(monkeypatch, tail):
    monkeypatch.setattr(sketches, "SIZE", 64)
    for start in range(0, 20_000, 1000):
        few = start + np.arange(600) % 5
        if tail:
            few[1:][few[1:] == start] += 1
        first, second = of_ids(few, 1_000_000 + start + np.arange(900))
        found = sketch_drift(CATEGORY, first, second)
        assert found.excess > 0.5 and found.p_value < 1e-6
        turned = sketch_drift(CATEGORY, second, first)
        assert (turned.excess, turned.p_value) == pytest.approx((found.excess, found.p_value))


def test_few_categories_that_get_rare_company_have_not_drifted_far(monkeypatch):
    monkeypatch.setattr(sketches, "SIZE", 64)
    for start in range(0, 20_000, 1000):
        rare = np.where(np.arange(20_000) % 100, np.arange(20_000) % 5, 5 + np.arange(20_000))
        found = sketch_drift(CATEGORY, *of_ids(start + np.arange(600) % 5, start + rare))
        assert found.excess < 0.05


@pytest.mark.parametrize(("heavy", "rows"), [(0.0, 150), (0.95, 150), (0.95, 700)])
def test_small_data_beside_large_of_the_same_seldom_alarm(monkeypatch, heavy, rows):
    monkeypatch.setattr(sketches, "SIZE", 64)
    p_values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        pair = [
            np.where(rng.random(n) < heavy, rng.integers(5, size=n), 5 + rng.integers(9999, size=n))
            for n in (rows, 4000)
        ]
        pair = of_ids(*(ids + 20_000 * seed for ids in pair))
        p_values.append(sketch_drift(CATEGORY, *pair).p_value)
    # 0.05 of 150 is 7.5, with a deviation of 2.7.
    assert np.sum(np.array(p_values) < 0.05) <= 16 and min(p_values) > 1e-4


def test_missing_values_drift_where_no_category_is_in_the_sample(monkeypatch):
    monkeypatch.setattr(sketches, "SIZE", 64)
    rows = np.arange(9000)
    for start in range(0, 10_000, 1000):
        few, many = of_ids(start + rows[:600] % 2, start + np.where(rows % 100, rows % 2, rows))
        assert sketch_drift(CATEGORY, few, many).excess < 0.05
        gone = {**many, "missing": np.array(9000)}
        assert sketch_drift(CATEGORY, few, gone).excess > 0.2
