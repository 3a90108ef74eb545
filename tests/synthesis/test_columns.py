"""What is inferred of columns, and the distributions of single columns."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.errors import DataError, UnknownFeatureError
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis.columns import ColumnSpec, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.marginals import Marginal, stretch

NAN = np.float32("nan")


def test_bytes_and_few_numbers_are_categories_and_many_are_not():
    ratings = np.float32([1, 2, 3, 4, 5] * 10)
    assert ColumnSpec.of("rating", ratings).categories.tolist() == [1, 2, 3, 4, 5]
    assert ColumnSpec.of("genre", np.array([b"b", b"a"])).categories.tolist() == [b"a", b"b"]
    year = ColumnSpec.of("year", np.arange(1950, 2000))
    assert (year.categorical, year.minimum, year.maximum, year.decimals) == (False, 1950, 1999, 0)
    # Ten different numbers in ten rows are no categories, however few they are.
    assert not ColumnSpec.of("price", np.arange(10)).categorical


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([0.5, 1.25, 3.0], 2), ([1.0, 2.0, 7.0], 0), ([1 / 3, 2 / 3, 0.1234567], None)],
)
def test_decimals(values, decimals):
    assert ColumnSpec.of("price", np.float32(values)).decimals == decimals


def test_a_constant_and_a_column_without_values_are_single_categories():
    assert ColumnSpec.of("a", np.int64([7, 7])).categories.tolist() == [7]
    empty = ColumnSpec.of("b", np.full(3, NAN))
    assert np.isnan(empty.categories).tolist() == [True]
    assert np.isnan(empty.decode(empty.codes(np.full(2, NAN)))).all()


def test_nan_is_the_last_category_of_few_numbers_and_a_share_of_many():
    few = ColumnSpec.of("rating", np.float32([1, 2, NAN] * 5))
    assert few.categories[:2].tolist() == [1, 2] and np.isnan(few.categories[2])
    assert few.codes(np.float32([NAN, 2, 1])).tolist() == [2, 1, 0]
    many = ColumnSpec.of("price", np.append(np.arange(30, dtype=np.float32), [NAN] * 10))
    assert many.missing == 0.25 and many.maximum == 29


def test_the_schema_gives_bounds_and_vocabulary():
    schema = Schema(
        {"age": "int64", "genre": "bytes"},
        {"age": Domain(0, 120), "genre": Domain(values=frozenset([b"a", b"b", b"c"]))},
    )
    table = {"age": np.arange(20, 70), "genre": np.array([b"a", b"b"] * 25)}
    spec = TableSpec.of(table, schema)
    assert (spec["age"].minimum, spec["age"].maximum) == (0, 120)
    assert spec["genre"].categories.tolist() == [b"a", b"b", b"c"]
    with pytest.raises(DataError, match="'genre' must be in the schema's domain. .* b'z'"):
        TableSpec.of({"genre": np.array([b"a", b"z"])}, schema)
    with pytest.raises(UnknownFeatureError, match="Did you mean 'genre'"):
        spec["genres"]


def test_numbers_are_rounded_and_kept_within_the_bounds():
    column = ColumnSpec.of("price", np.float32([0.07, 12.5, 99.99]))
    finished = column.finish(np.array([-3.0, 12.499, 1e9]))
    assert finished.dtype == np.float32
    assert finished.tolist() == np.float32([0.07, 12.5, 99.99]).tolist()
    column.check(finished)
    with pytest.raises(DataError, match="'price' must be in .* 100.0"):
        column.check(np.float32([5, 100]))


def test_an_unknown_category_is_named():
    column = ColumnSpec.of("genre", np.array([b"a", b"b"]))
    with pytest.raises(DataError, match="'genre' .* among them b'longer than all'"):
        column.codes(np.array([b"a", b"longer than all"]))


def test_integers_that_are_ids_are_refused():
    with pytest.raises(DataError, match="'id' must be within 2\\*\\*53 of 0.* pass them as text"):
        ColumnSpec.of("id", np.int64(2**62) + np.arange(60))


@pytest.mark.parametrize(("columns", "rows"), [({}, 0), ({"a": np.arange(1)}, 1)])
def test_less_than_two_rows_are_refused(columns, rows):
    with pytest.raises(DataError, match=f"at least one column and 2 rows. .* {rows} rows"):
        TableSpec.of(columns)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).integers(0, 60, 2_000),
        np.random.default_rng(0).normal(size=2_000).astype(np.float32),
        np.where(np.arange(2_000) % 2, 0.0, np.linspace(1, 9, 2_000)).astype(np.float32),
        np.random.default_rng(0).choice(np.array([b"a", b"b", b"c"]), 2_000, p=(0.7, 0.2, 0.1)),
    ],
    ids=["integers", "any numbers", "half of them 0", "categories"],
)
class TestMarginal:
    def test_draws_have_the_shares_of_the_data(self, values):
        marginal = Marginal.fit(ColumnSpec.of("x", values), values)
        drawn = marginal.draw(np.random.default_rng(1), 20_000)
        assert drawn.dtype == values.dtype
        for value in (
            np.quantile(values, [0.1, 0.4, 0.8], method="nearest")
            if values.dtype.kind != "S"
            else np.unique(values)
        ):
            below = [(part <= value).mean() for part in (values, drawn)]
            assert below[0] == pytest.approx(below[1], abs=0.025)

    def test_a_value_lies_between_its_own_shares(self, values):
        marginal = Marginal.fit(ColumnSpec.of("x", values), values)
        low, high = marginal.intervals(values)
        assert ((low >= 0) & (low <= high) & (high <= 1)).all()
        middle = marginal.values(np.clip((low + high) / 2, 0, 1 - 1e-12))
        if values.dtype == np.float32 and marginal.column.decimals is None:
            np.testing.assert_allclose(middle, values, atol=1e-5)
        else:
            assert (middle == values).all()


def test_a_condition_cuts_the_distribution():
    values = np.arange(1_000) % 100
    spec = TableSpec.of({"x": values})
    marginal = Marginal.fit(spec["x"], values)
    condition = Conditions.parse({"x": (10, 19)}, spec).get("x")
    drawn = marginal.draw(np.random.default_rng(0), 10_000, condition)
    assert np.unique(drawn).tolist() == list(range(10, 20))
    np.testing.assert_allclose(np.bincount(drawn)[10:] / 10_000, 0.1, atol=0.015)


def test_a_condition_between_all_values_has_no_probability():
    values = np.array([0, 100] * 500 + list(range(101, 151)))
    spec = TableSpec.of({"x": values})
    with pytest.raises(DataError, match="'x' can't hold"):
        Marginal.fit(spec["x"], values).allowed(Conditions.parse({"x": (40, 60)}, spec).get("x"))


def test_stretch_maps_to_intervals_by_their_length():
    low, high = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 1.0])
    mapped = stretch(np.array([0.0, 0.25, 0.75, 1 - 1e-12]), low, high)
    np.testing.assert_allclose(mapped, [0.1, 0.15, 0.95, 1.0])
    assert stretch(np.array([0.1, 0.9]), low, low).tolist() == [0.1, 0.9]
