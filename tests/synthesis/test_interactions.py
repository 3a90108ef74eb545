"""Synthesized interactions: relational, unseen, distinct, keyed by user, under exact conditions."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tfrs_augment import datasets, synthesis
from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    UnknownFeatureError,
)
from tfrs_augment.synthesis.interactions import UserBlock

COLUMNS = (
    *("user_id", "item_id", "timestamp", "rating"),
    *("user_age", "user_gender", "item_category", "item_price"),
)
ROWS = 1_500


@pytest.fixture(scope="module")
def shop():
    return datasets.simulated_shop("tiny")


@pytest.fixture(scope="module")
def sampler(shop):
    return synthesis.PopularitySampler(columns=COLUMNS).fit(shop)


@pytest.fixture(scope="module")
def rows(sampler):
    return sampler.sample(ROWS, seed=3)


def changed(sampler, **options):
    """The same fit with other arguments of sampling."""
    other = type(sampler)(**{**sampler.get_config(), **options})
    other.spec = sampler.spec
    other._restore(*sampler._state())
    return other


def pairs(rows) -> list[tuple[bytes, bytes]]:
    return list(zip(rows["user_id"].tolist(), rows["item_id"].tolist()))


def whole_rows(rows) -> set[tuple]:
    return set(zip(*(rows[name].tolist() for name in COLUMNS)))


def test_columns_are_those_of_the_data(shop, rows):
    assert tuple(rows) == COLUMNS
    for name, column in rows.items():
        assert len(column) == ROWS and column.dtype == shop.rows[name].dtype
        if column.dtype.kind == "S":
            assert np.isin(column, shop.rows[name]).all()
        else:
            assert column.min() >= shop.rows[name].min()
            assert column.max() <= shop.rows[name].max()


def test_users_and_items_keep_their_features(shop, rows):
    for ids, table, names in (
        ("user_id", shop.users, ("user_age", "user_gender")),
        ("item_id", shop.items, ("item_category", "item_price")),
    ):
        place = np.searchsorted(table[ids], rows[ids])
        for name in names:
            np.testing.assert_array_equal(rows[name], table[name][place])


def test_pairs_are_unseen_and_distinct(shop, rows):
    drawn = pairs(rows)
    assert len(set(drawn)) == ROWS and not set(drawn) & set(pairs(shop.rows))


def test_seen_pairs_and_repeats_come_out_where_they_may(shop, sampler):
    refitted = synthesis.PopularitySampler(columns=COLUMNS[:2], exclude_seen=False, distinct=False)
    drawn = pairs(refitted.fit(shop).sample(ROWS, seed=3))
    assert len(set(drawn)) < ROWS and set(drawn) & set(pairs(shop.rows))
    # Repeats alone leave seen pairs out all the same.
    assert not set(pairs(changed(sampler, distinct=False).sample(ROWS))) & set(pairs(shop.rows))


def test_a_larger_sample_extends_each_users_rows(sampler, rows):
    assert whole_rows(sampler.sample(300, seed=3)) < whole_rows(rows)
    with_repeats = changed(sampler, distinct=False)
    assert whole_rows(with_repeats.sample(300, seed=3)) < whole_rows(
        with_repeats.sample(900, seed=3)
    )


def test_a_block_is_the_same_wherever_it_is_sampled(sampler, monkeypatch, tmp_path):
    monkeypatch.setattr("tfrs_augment.synthesis.interactions.BLOCK_USERS", 30)
    whole, blocks = sampler.sample(700, seed=5), sampler.blocks(700)
    sampler.save(tmp_path / "sampler.npz")
    worker = synthesis.Synthesizer.load(tmp_path / "sampler.npz")
    assert (
        len(blocks) == 7
        and [b.start for b in blocks[1:]] == np.cumsum([b.rows for b in blocks])[:-1].tolist()
    )
    for block in reversed(blocks):
        sent = UserBlock(**json.loads(json.dumps(dataclasses.asdict(block))))
        part = worker.sample_block(sent, seed=5)
        for name, column in part.items():
            np.testing.assert_array_equal(
                column, whole[name][block.start : block.start + block.rows]
            )


def test_other_seeds_give_other_rows(sampler, rows):
    common = whole_rows(sampler.sample(ROWS, seed=4)) & whole_rows(rows)
    assert len(common) < ROWS / 100


def test_activity_and_popularity_are_those_of_the_data(shop, rows, sampler):
    users = np.unique(shop.rows["user_id"])
    counts = [(r["user_id"][:, None] == users).sum(axis=0) for r in (shop.rows, rows)]
    np.testing.assert_allclose(counts[1], counts[0] * ROWS / len(shop), atol=1.01)
    even = changed(sampler, user_power=0.0).sample(600, seed=1)
    assert np.unique(even["user_id"], return_counts=True)[1].tolist() == [3] * 200


def test_a_users_rows_are_limited(sampler):
    limited = changed(sampler, max_per_user=8)
    assert np.unique(limited.sample(1_600)["user_id"], return_counts=True)[1].max() == 8
    with pytest.raises(DataError, match=r"At most 1600 rows.*max_per_user=8.*Received: n=1601"):
        limited.sample(1_601)


def test_no_more_rows_than_there_are_unseen_pairs(shop, sampler):
    seen = len(set(pairs(shop.rows)))
    items = len(np.unique(shop.rows["item_id"]))
    everything = sampler.sample(200 * items - seen)
    assert len(set(pairs(everything))) == 200 * items - seen
    with pytest.raises(DataError, match="rows are possible"):
        sampler.sample(200 * items - seen + 1)


def test_conditions_hold_exactly(sampler):
    times = sampler.spec["timestamp"]
    span = (int(times.minimum) + 10_000_000, int(times.minimum) + 10_050_000)
    conditions = {
        "user_gender": "F",
        "item_category": ["boots", "jacket"],
        "item_price": (5.0, 60.0),
        "rating": (4, 5),
        "timestamp": span,
    }
    drawn = sampler.sample(150, conditions=conditions, seed=1)
    assert set(drawn["user_gender"].tolist()) == {b"F"}
    assert set(drawn["item_category"].tolist()) <= {b"boots", b"jacket"}
    for name in ("item_price", "rating", "timestamp"):
        low, high = conditions[name]
        assert (drawn[name] >= low).all() and (drawn[name] <= high).all()
    one = sampler.sample(3, conditions={"user_id": "u007"})
    assert set(one["user_id"].tolist()) == {b"u007"}


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({"user_id": "u999"}, InvalidArgumentError, "user_id"),
        ({"gender": "F"}, UnknownFeatureError, "user_gender"),
        (
            {"user_id": "u007", "user_gender": "X", "user_age": (0.0, 1e3)},
            DataError,
            "none of 200 users",
        ),
    ],
)
def test_conditions_that_cannot_hold_are_refused(sampler, shop, conditions, error, message):
    if "user_id" in conditions and error is DataError:
        place = np.flatnonzero(shop.users["user_id"] == b"u007")[0]
        genders = [g for g in (b"F", b"M", b"X") if g != shop.users["user_gender"][place]]
        conditions = {**conditions, "user_gender": genders[0]}
    with pytest.raises(error, match=message):
        sampler.sample(5, conditions=conditions)


def test_features_are_imputed_from_ids_and_ids_from_the_rest(sampler, rows):
    gaps = {name: column[:200].copy() for name, column in rows.items()}
    gaps["user_age"][:100] = np.nan
    gaps["item_category"][50:150] = b""
    gaps["user_id"][190:] = b""
    gaps["timestamp"] = np.where(np.arange(200) < 20, np.nan, gaps["timestamp"].astype(np.float64))
    filled = sampler.impute(gaps, seed=1)
    np.testing.assert_array_equal(filled["user_age"], rows["user_age"][:200])
    np.testing.assert_array_equal(filled["item_category"], rows["item_category"][:200])
    assert np.isin(filled["user_id"], sampler.user_ids()).all()
    assert filled["timestamp"].min() >= sampler.spec["timestamp"].minimum
    np.testing.assert_array_equal(filled["rating"], rows["rating"][:200])


def test_saved_and_loaded_it_samples_and_imputes_the_same(sampler, rows, tmp_path):
    sampler.save(tmp_path / "a.npz")
    loaded = synthesis.PopularitySampler.load(tmp_path / "a.npz")
    again = loaded.sample(ROWS, seed=3)
    for name in COLUMNS:
        np.testing.assert_array_equal(again[name], rows[name])
    gaps = {**rows, "rating": np.full(ROWS, np.nan)}
    np.testing.assert_array_equal(
        loaded.impute(gaps, seed=2)["rating"], sampler.impute(gaps, seed=2)["rating"]
    )


def test_a_flat_table_of_pandas_with_integer_ids_is_told_apart(shop):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "who": shop.user_index(),
            "what": shop.item_index(),
            "age": shop.rows["user_age"],
            "kind": shop.rows["item_category"].astype(str),
            "rating": shop.rows["rating"],
            "fixed": 1,
        }
    )
    fitted = synthesis.PopularitySampler(user_id="who", item_id="what").fit(frame)
    layout = fitted._layout
    assert layout.user_features == ("age",) and layout.item_features == ("kind",)
    assert layout.events == ("rating", "fixed") and layout.timestamp is None
    drawn = fitted.sample(100, conditions={"who": 17})
    assert drawn["who"].dtype == np.int64 and set(drawn["who"].tolist()) == {17}
    assert set(drawn["fixed"].tolist()) == {1}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"user_id": "user"}, UnknownFeatureError, "`user_id`.*'user_id'"),
        ({"user_features": ["rating"]}, InvalidArgumentError, "same in all rows of a user_id"),
        ({"item_features": ["size"]}, UnknownFeatureError, "`item_features`"),
        ({"user_power": -1.0}, InvalidArgumentError, "user_power=-1.0"),
        ({"max_per_user": 0}, InvalidArgumentError, "max_per_user=0"),
        ({"seed": -1}, InvalidArgumentError, "seed=-1"),
    ],
)
def test_wrong_arguments_are_named(shop, options, error, message):
    table = {name: shop.rows[name] for name in COLUMNS}
    with pytest.raises(error, match=message):
        synthesis.PopularitySampler(**options).fit(table)


def test_data_without_items_to_choose_from_or_without_ids_are_refused():
    table = {"user_id": [b"a", b"b"], "item_id": [b"x", b"x"]}
    with pytest.raises(DataError, match="at least 2 items"):
        synthesis.PopularitySampler().fit(table)
    with pytest.raises(DataError, match="must have an id in 'user_id'"):
        synthesis.PopularitySampler().fit({"user_id": [b"a", b""], "item_id": [b"x", b"y"]})


def test_the_ids_must_be_among_the_columns(shop):
    with pytest.raises(InvalidArgumentError, match="`columns` must have the ids"):
        synthesis.PopularitySampler(columns=["user_id", "rating"]).fit(shop)


def test_features_may_be_called_as_contexts_are():
    table = {
        "user_id": [b"a", b"a", b"b", b"c"],
        "item_id": [b"x", b"y", b"y", b"z"],
        "user": [1, 1, 2, 3],
        "item": [b"p", b"q", b"q", b"r"],
        "rating": [1.0, 2.0, 3.0, 1.0],
    }
    rows = synthesis.PopularitySampler().fit(table).sample(4)
    numbers = {b"a": 1, b"b": 2, b"c": 3}
    assert rows["user"].tolist() == [numbers[user] for user in rows["user_id"].tolist()]


def test_joined_rows_are_interactions_with_ragged_features(shop, rows):
    joined = synthesis.join({name: rows[name] for name in COLUMNS}, shop)
    assert (
        joined.rows["item_title_words"].to_lists()[3]
        == (shop.items["item_title_words"].take(joined.item_index()[3:4]).to_lists()[0])
    )
    np.testing.assert_array_equal(joined.rows["rating"], rows["rating"])
