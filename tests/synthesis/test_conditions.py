"""Conditions as users write them, and those that no row can meet."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError
from tfrs_augment.synthesis.columns import TableSpec
from tfrs_augment.synthesis.conditions import Conditions

TABLE = {
    "genre": np.array([b"War", b"Drama", b"Comedy"] * 20),
    "rating": np.float32([1, 2, 3, 4, 5] * 12),
    "price": np.linspace(0.5, 30, 60).round(2).astype(np.float32),
    "year": np.arange(1940, 2000),
}
SPEC = TableSpec.of(TABLE)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (None, np.ones(60, bool)),
        ({"genre": "War"}, TABLE["genre"] == b"War"),
        ({"genre": [b"War", "Drama"]}, TABLE["genre"] != b"Comedy"),
        ({"rating": (2.5, 4)}, (TABLE["rating"] == 3) | (TABLE["rating"] == 4)),
        ({"rating": [1, 5.0]}, (TABLE["rating"] == 1) | (TABLE["rating"] == 5)),
        ({"price": (1, 1.5)}, (TABLE["price"] >= 1) & (TABLE["price"] <= 1.5)),
        ({"price": float(TABLE["price"][7])}, np.arange(60) == 7),
        ({"year": [1950, 1960]}, np.isin(TABLE["year"], [1950, 1960])),
        (
            {"year": (1990, 9_999), "genre": "War"},
            (TABLE["year"] > 1989) & (TABLE["genre"] == b"War"),
        ),
    ],
)
def test_mask(conditions, expected):
    parsed = Conditions.parse(conditions, SPEC)
    assert bool(parsed) == bool(conditions)
    np.testing.assert_array_equal(parsed.mask(TABLE), expected)


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            {"genre": "Wra"},
            "'genre' must be in the vocabulary. Did you mean .*War.* Received: b'Wra'",
        ),
        ({"genre": 3}, "must be text or bytes"),
        ({"genre": ("A", "B")}, "bytes have no ranges"),
        ({"genre": []}, "must allow a value"),
        ({"rating": 2.5}, "'rating' must be in the vocabulary"),
        ({"rating": (2.1, 2.9)}, "must hold one of the values 1, 2, 3, 4, 5"),
        ({"price": 31}, r"must be in \[0.5, 30\]"),
        ({"price": "dear"}, "must be a number"),
        ({"price": float("nan")}, "must not be NaN"),
        ({"price": (3, 1)}, "low <= high"),
        ({"price": (31, 40)}, r"must hold a value in \[0.5, 30\]"),
        ({"year": 1990.5}, "must have at most 0 decimals"),
        ({"year": (1990.2, 1990.8)}, "with at most 0 decimals"),
        ({"year": True}, "must be a number"),
    ],
)
def test_refused(conditions, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Conditions.parse(conditions, SPEC)


def test_unknown_column():
    with pytest.raises(UnknownFeatureError, match="'gender'. Did you mean 'genre'"):
        Conditions.parse({"gender": "F"}, SPEC)


def test_clip_gives_the_nearest_value_that_fits():
    condition = Conditions.parse({"year": [1950, 1960]}, SPEC).get("year")
    assert condition.clip(np.array([1900, 1954, 1957, 1999])).tolist() == [1950, 1950, 1960, 1960]
    price = Conditions.parse({"price": (1.0, 2.0)}, SPEC).get("price")
    assert price.clip(np.float32([np.pi])).dtype == np.float32
