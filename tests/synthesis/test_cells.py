"""Cells of columns: encoding and decoding, rare categories, missing numbers, conditions."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.synthesis.cells import Cells
from tfrs_augment.synthesis.columns import TableSpec
from tfrs_augment.synthesis.conditions import Conditions

ROWS = 3_000
_RNG = np.random.default_rng(0)
_NORMAL = _RNG.normal(size=ROWS).astype(np.float32)
TABLE = {
    "genre": _RNG.choice(np.array([b"War", b"Drama", b""]), ROWS, p=[0.2, 0.7, 0.1]),
    "hour": _RNG.integers(0, 24, ROWS),
    "year": _RNG.integers(1900, 2000, ROWS),
    "price": np.exp(_NORMAL),
    "word": np.array([b"w%d" % w for w in _RNG.zipf(1.3, ROWS) % 400]),
    "gap": np.where(_RNG.random(ROWS) < 0.2, np.float32("nan"), _NORMAL),
    "constant": np.full(ROWS, 3),
    "nothing": np.full(ROWS, np.nan, np.float32),
}
SPEC = TableSpec.of(TABLE)


def cells_of(name: str) -> Cells:
    return Cells.fit(SPEC[name], TABLE[name])


@pytest.mark.parametrize("name", TABLE)
def test_decoded_values_fall_back_into_their_cells_with_the_shares_of_the_data(name):
    cells = cells_of(name)
    codes = cells.encode(TABLE[name])
    assert codes.min() >= 0 and codes.max() < cells.size <= 65
    values = cells.decode(codes, np.random.default_rng(1).random(ROWS))
    assert values.dtype == TABLE[name].dtype
    np.testing.assert_array_equal(cells.encode(values), codes)
    np.testing.assert_array_equal(
        SPEC[name].missing_mask(values), SPEC[name].missing_mask(TABLE[name])
    )


def test_frequent_categories_have_a_cell_each_and_the_others_share_one():
    cells = Cells.fit(SPEC["word"], TABLE["word"], max_cells=5)
    words, counts = np.unique(TABLE["word"], return_counts=True)
    frequent = words[np.argsort(-counts, kind="stable")]
    codes = cells.encode(frequent)
    assert sorted(codes[:4].tolist()) == [0, 1, 2, 3] and set(codes[4:].tolist()) == {4}


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("genre", "War"),
        ("hour", (5, 9)),
        ("year", 1950),
        ("price", (1.0, 1.01)),
        ("price", float(TABLE["price"][7])),
        ("word", ["w1", "w7"]),
        ("gap", (0.0, 0.1)),
    ],
)
def test_what_meets_a_condition_is_drawn_and_nothing_else(name, condition):
    cells, wanted = cells_of(name), Conditions.parse({name: condition}, SPEC).get(name)
    shares = cells.shares(wanted)
    rng = np.random.default_rng(2)
    codes = rng.choice(cells.size, 500, p=shares / shares.sum())
    assert wanted.mask(cells.decode(codes, rng.random(500), wanted)).all()


def test_shares_are_those_of_the_rows_that_meet_a_condition():
    cells, wanted = cells_of("year"), Conditions.parse({"year": (1910, 1947)}, SPEC).get("year")
    meet = wanted.mask(TABLE["year"])
    codes = cells.encode(TABLE["year"])
    expected = np.bincount(codes, meet, cells.size) / np.bincount(codes, minlength=cells.size)
    np.testing.assert_allclose(cells.shares(wanted), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["genre", "price", "gap"])
def test_cells_are_restored_from_their_arrays(name):
    cells = cells_of(name)
    again = Cells.restore(SPEC[name], cells.arrays())
    np.testing.assert_array_equal(again.encode(TABLE[name]), cells.encode(TABLE[name]))


@pytest.mark.parametrize("name", TABLE)
def test_cells_that_are_filled_give_no_missing_value(name):
    cells = cells_of(name)
    codes = np.random.default_rng(1).choice(np.flatnonzero(cells.filled()), ROWS)
    values = cells.decode(codes, np.random.default_rng(2).random(ROWS), there=True)
    np.testing.assert_array_equal(cells.encode(values), codes)
    # Of a column without any value there is nothing else to give.
    assert SPEC[name].missing_mask(values).all() == (name == "nothing")
    assert SPEC[name].missing_mask(values).any() == (name == "nothing")
