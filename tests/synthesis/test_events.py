"""The columns of an interaction given who chose what: planted tastes and hours are found."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment import synthesis

USERS, ITEMS, ROWS = 50, 30, 2_500
DAY, HOUR = 86_400, 3_600
START = 1_700_000_000 // DAY * DAY
TRUTH = np.random.default_rng(7)
KINDNESS, QUALITY = TRUTH.normal(0, 1.0, USERS), TRUTH.normal(0, 0.8, ITEMS)
EVENING = TRUTH.integers(0, 24, USERS)


def planted(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Ratings by kind users of good items; each user comes at an hour of its own, and late ones praise."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, USERS, rows), rng.integers(0, ITEMS, rows)
    rating = np.clip(
        np.rint(3 + KINDNESS[user] + QUALITY[item] + 0.4 * rng.normal(size=rows)), 1, 5
    )
    hour = (EVENING[user] + rng.integers(0, 2, rows)) % 24
    return {
        "user_id": np.array([b"u%02d" % u for u in user]),
        "item_id": np.array([b"i%02d" % i for i in item]),
        "timestamp": START
        + rng.integers(0, 30, rows) * DAY
        + hour * HOUR
        + rng.integers(0, HOUR, rows),
        "rating": rating.astype(np.float32),
        "minutes": np.float32(10 * rating + np.clip(rng.normal(size=rows), -2, 2)),
    }


@pytest.fixture(scope="module")
def fitted():
    return synthesis.PopularitySampler(exclude_seen=False).fit(planted(ROWS, seed=1))


@pytest.fixture(scope="module")
def rows(fitted):
    return fitted.sample(1_500, seed=2)


def places(rows) -> tuple[np.ndarray, np.ndarray]:
    return tuple(
        np.array([int(i[1:]) for i in rows[name].tolist()]) for name in ("user_id", "item_id")
    )


def test_ratings_hang_on_user_and_item_as_planted(rows):
    user, item = places(rows)
    expected = np.clip(3 + KINDNESS[user] + QUALITY[item], 1, 5)
    assert np.corrcoef(expected, rows["rating"])[0, 1] > 0.7


def test_times_are_within_the_span_and_at_the_hours_of_the_user(fitted, rows):
    data = planted(ROWS, seed=1)["timestamp"]
    assert rows["timestamp"].min() >= data.min() and rows["timestamp"].max() <= data.max()
    user, _ = places(rows)
    late = (rows["timestamp"] % DAY // HOUR - EVENING[user]) % 24
    assert np.mean(late < 2) > 0.85
    days = np.bincount((rows["timestamp"] - START) // DAY, minlength=30)
    assert days.min() > 0.5 * days.mean()


def test_a_number_follows_the_column_before_it(rows):
    assert np.abs(rows["minutes"] - 10 * rows["rating"]).mean() < 2.5


def test_shares_are_those_of_the_data(rows):
    data = planted(ROWS, seed=1)["rating"]
    for rating in range(1, 6):
        assert np.mean(rows["rating"] == rating) == pytest.approx(np.mean(data == rating), abs=0.03)


def test_a_missing_rating_is_read_from_the_user_the_item_and_what_came_after(fitted):
    truth = planted(400, seed=3)
    gaps = {**truth, "rating": np.full(400, np.nan)}
    mode = float(np.bincount(truth["rating"].astype(int)).argmax())
    without = {**gaps, "minutes": np.full(400, np.nan)}
    hits = [
        np.mean(fitted.impute(known, draws=9)["rating"] == truth["rating"])
        for known in (gaps, without)
    ]
    assert hits[0] > 0.9  # the minutes tell the rating, though they are drawn after it
    assert hits[0] > hits[1] > np.mean(truth["rating"] == mode) + 0.1


def test_missing_numbers_are_nearer_than_the_mean(fitted):
    truth = planted(400, seed=3)
    filled = fitted.impute({**truth, "minutes": np.full(400, np.nan)}, draws=10)["minutes"]
    errors = [
        np.mean((guess - truth["minutes"]) ** 2) for guess in (filled, truth["minutes"].mean())
    ]
    assert errors[0] < 0.1 * errors[1]


def test_ranges_of_numbers_and_times_are_met(fitted):
    span = (START + 3 * DAY + 100, START + 3 * DAY + 20_000)
    drawn = fitted.sample(300, conditions={"timestamp": span, "minutes": (20.0, 22.5)}, seed=1)
    assert ((drawn["timestamp"] >= span[0]) & (drawn["timestamp"] <= span[1])).all()
    assert ((drawn["minutes"] >= 20.0) & (drawn["minutes"] <= 22.5)).all()


def test_missing_values_come_out_as_often_as_they_were():
    data = planted(800, seed=4)
    data["minutes"] = np.where(np.random.default_rng(5).random(800) < 0.3, np.nan, data["minutes"])
    data["never"] = np.full(800, np.nan, np.float32)
    drawn = synthesis.PopularitySampler(timestamp=None).fit(data).sample(800, seed=1)
    assert np.isnan(drawn["minutes"]).mean() == pytest.approx(0.3, abs=0.06)
    assert np.isnan(drawn["never"]).all()


def test_without_columns_of_its_own_an_interaction_is_a_pair():
    data = {name: planted(300, seed=6)[name] for name in ("user_id", "item_id")}
    drawn = synthesis.PopularitySampler().fit(data).sample(50)
    assert tuple(drawn) == ("user_id", "item_id")
