"""Splits leak neither time nor items, and their slices say what they claim."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring import slices
from tfrs_augment.evaluation.measuring.metrics import rank
from tfrs_augment.evaluation.splitting.cross_validation import folds
from tfrs_augment.evaluation.splitting.histories import split_histories
from tfrs_augment.evaluation.splitting.splits import development_split, split, split_of


def _by_user(data):
    for user in np.unique(data.rows["user_id"]):
        yield user, data.rows["timestamp"][data.rows["user_id"] == user]


def test_each_users_last_tenth_is_tested_and_the_tenth_before_validates(shop):
    one = split(shop, cold_share=0.0)
    for user, times in _by_user(shop):
        tested = one.test.rows["user_id"] == user
        trained = one.train.rows["timestamp"][one.train.rows["user_id"] == user]
        validated = one.validation.rows["timestamp"][one.validation.rows["user_id"] == user]
        assert tested.sum() == pytest.approx(len(times) / 10, abs=1)
        assert trained.max() <= one.test.rows["timestamp"][tested].min()
        assert trained.max() <= validated.min()
        assert validated.max() <= one.test.rows["timestamp"][tested].min()
    assert len(one.train) + len(one.validation) + len(one.test) == len(shop)


def test_a_global_cut_trains_on_nothing_that_comes_later(shop):
    one = split(shop, by="time", cold_share=0.1)
    train, validation, test = (
        part.rows["timestamp"] for part in (one.train, one.validation, one.test)
    )
    assert train.max() <= validation.min()
    assert validation.max() <= test.min()
    assert len(test) == len(shop) // 10


@pytest.mark.parametrize("by", ["user_time", "time"])
def test_cold_items_are_in_no_training_row_and_in_test(shop, by):
    one = split(shop, by=by, cold_share=0.2, seed=4)
    assert len(one.cold_items) == 8
    assert not np.isin(one.train.rows["item_id"], one.cold_items).any()
    assert not np.isin(one.validation.rows["item_id"], one.cold_items).any()
    assert np.isin(one.test.rows["item_id"], one.cold_items).any()
    # What users did with cold items before the test rows is known, and left out of their rankings.
    assert np.isin(one.seen.rows["item_id"], one.cold_items).any()


@pytest.mark.parametrize("by", ["user_time", "time"])
def test_all_rows_of_cold_items_may_test_and_count_for_cold_slices_alone(shop, by):
    few = split(shop, by=by, cold_share=0.2, seed=4)
    many = split(shop, by=by, cold_share=0.2, cold_rows="all", seed=4)
    on_cold = np.isin(shop.rows["item_id"], many.cold_items)
    assert many.cold_items.tolist() == few.cold_items.tolist()
    assert many.train.rows["timestamp"].tolist() == few.train.rows["timestamp"].tolist()
    assert np.isin(many.test.rows["item_id"], many.cold_items).sum() == on_cold.sum()
    assert not np.isin(many.seen.rows["item_id"], many.cold_items).any()
    one, other = slices.Slices.of(few).masks, slices.Slices.of(many).masks
    for name in ("all", "warm", "head", "tail"):
        assert one[name].sum() == other[name].sum()
    assert other["cold"].sum() == on_cold.sum() > 3 * one["cold"].sum()
    assert few.fingerprint() != many.fingerprint()


def test_items_that_appear_after_the_cut_are_cold_by_nature(shop):
    late = shop.rows["timestamp"] > 9_500
    old = shop.rows["item_id"] != b"i00"
    one = split(shop.take(late | old), by="time", cold_share=0.0)
    assert b"i00" in one.cold_items.tolist()
    assert (one.test.rows["item_id"] == b"i00").any()


def test_a_seed_decides_the_cold_items(shop):
    first, again, other = (split(shop, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.cold_items.tolist() == again.cold_items.tolist() != other.cold_items.tolist()


def test_a_development_split_knows_no_test_row(shop):
    whole = split(shop, seed=1)
    inner = development_split(whole, seed=2, cold_share=0.2)
    known = len(whole.train) + len(whole.validation)
    assert len(inner.test) == pytest.approx(known / 10, rel=0.2)
    outer = {
        tuple(row) for row in zip(*(whole.seen.rows[c].tolist() for c in shop.rows if c != "tags"))
    }
    tested = {
        tuple(row) for row in zip(*(inner.test.rows[c].tolist() for c in shop.rows if c != "tags"))
    }
    assert tested <= outer
    # Its cold items are pseudo-cold: the whole split trains on them; its own cold items are no
    # candidates.
    assert len(inner.cold_items) >= 5
    assert np.isin(inner.cold_items, whole.train.rows["item_id"]).all()
    assert not np.isin(inner.train.items["item_id"], whole.cold_items).any()
    assert len(inner.train.rows["tags"]) == len(inner.train)


def test_given_rows_become_a_split(shop):
    train, test = shop.take(np.arange(2500)), shop.take(np.arange(2500, 3000))
    one = split_of(train, test)
    assert len(one.test) == 500
    assert len(one.seen) == 2500
    assert len(one.validation) == pytest.approx(250, abs=40)


def test_slices_divide_the_test_rows(shop):
    one = split(shop, cold_share=0.2, seed=4)
    masks = slices.Slices.of(one).masks
    assert set(masks) == set(slices.SLICES)
    np.testing.assert_array_equal(masks["head"] ^ masks["tail"], masks["warm"])
    np.testing.assert_array_equal(masks["warm"], ~masks["cold"])
    np.testing.assert_array_equal(masks["cold"], np.isin(one.test.rows["item_id"], one.cold_items))
    counts = np.array([(one.train.rows["item_id"] == i).sum() for i in shop.items["item_id"]])
    head = np.unique(one.test.item_index()[masks["head"]])
    tail = np.unique(one.test.item_index()[masks["tail"]])
    assert counts[head].min() >= counts[tail].max()


def test_the_head_is_a_fifth_of_the_training_items():
    counts = np.array([5, 0, 7, 7, 1, 2, 3, 4, 0, 9, 8, 6])
    assert np.flatnonzero(slices.head_items(counts)).tolist() == [9, 10]


def test_ranks_of_each_corpus(shop):
    one = split(shop, cold_share=0.2, seed=4)
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(60, 4)), rng.normal(size=(40, 4))
    found = slices.measure_embeddings(one, queries, candidates)["ranks"]
    user, item = one.test.user_index(), one.test.item_index()
    plain = rank(queries, candidates, user, item)
    assert (found["full"].greater <= plain.greater).all()
    warm = one.warm_items[item]
    # The warm and the cold items that rank above are all that rank above.
    for name, rows in (("warm_corpus", warm), ("cold_corpus", ~warm)):
        assert (found[name].greater[rows] <= found["full"].greater[rows]).all()
        assert (found[name].greater[~rows] == (one.warm_items == warm[rows][0]).sum()).all()
    for row in range(0, len(item), 17):
        seen = set(one.seen.item_index()[one.seen.user_index() == user[row]].tolist())
        others = [i for i in range(40) if i not in seen and i != item[row]]
        scores = candidates @ queries[user[row]]
        above = np.array([i for i in others if scores[i] > scores[item[row]]], int)
        assert found["full"].greater[row] == len(above)
        same = one.warm_items[above] == warm[row]
        assert found["warm_corpus" if warm[row] else "cold_corpus"].greater[row] == same.sum()


def test_validation_ranks_leave_cold_items_out(shop):
    one = split(shop, cold_share=0.2, seed=4)
    candidates = np.where(one.warm_items, 0.0, 1.0)[:, None]
    found = slices.ValidationRanker(one)(np.ones((60, 1)), candidates)
    assert found.greater.max() == 0


@pytest.mark.parametrize("make", [split, split_histories, lambda rows: folds(rows, 3)])
def test_tables_that_are_no_interactions_are_refused_with_the_way(shop, make):
    with pytest.raises(InvalidArgumentError, match="`data` must be .*: dict.*from_tables"):
        make(shop.rows)
    for pair in ((shop.rows, shop), (shop, shop.rows)):
        with pytest.raises(InvalidArgumentError, match="must be Interactions. Received: dict"):
            split_of(*pair)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "item"}, "`by` must be one of"),
        ({"cold_user_share": 1.0}, r"`cold_user_share` must be in \[0, 1\)"),
        ({"by": "user", "cold_user_share": 0.1}, "`cold_user_share` is for cuts by time"),
        ({"test_share": 0.0}, r"`test_share` must be in \(0, 1\)"),
        ({"test_share": 0.6, "validation_share": 0.5}, "must leave rows to train on"),
        ({"cold_rows": "first"}, "`cold_rows` must be one of"),
        ({"cold_share": 1.0}, r"`cold_share` must be in \[0, 1\)"),
    ],
)
def test_arguments_are_checked(shop, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        split(shop, **arguments)


def test_a_part_without_rows_is_refused(shop):
    with pytest.raises(DataError, match="no validation rows"):
        split(shop.take(np.arange(2)), by="time", test_share=0.5, validation_share=0.1)
    other = type(shop)(shop.rows, shop.items, {"user_id": shop.users["user_id"][::-1]})
    with pytest.raises(DataError, match="same users"):
        split_of(shop, other)


@pytest.mark.parametrize("cold_rows", ["last", "all"])
def test_pseudo_cold_items_validate_and_neither_train_nor_test(shop, cold_rows):
    options = {"cold_share": 0.2, "cold_rows": cold_rows, "seed": 4}
    plain, one = split(shop, **options), split(shop, pseudo_cold_share=0.1, **options)
    pseudo = set(one.cold_items.tolist()) - set(plain.cold_items.tolist())
    assert len(pseudo) == 4
    rows = {name: getattr(one, name).rows["item_id"] for name in ("train", "validation", "test")}
    validating = np.isin(rows["validation"], list(pseudo)).sum()
    assert not np.isin([*rows["train"], *rows["test"]], list(pseudo)).any()
    assert set(rows["validation"].tolist()) & set(one.cold_items.tolist()) == pseudo
    every = np.isin(shop.rows["item_id"], list(pseudo)).sum()
    share = validating / every
    assert 0.8 < share < 1 if cold_rows == "all" else 0 < share < 0.2
    # The other rows are where they were.
    others = ~np.isin(plain.test.rows["item_id"], list(pseudo))
    np.testing.assert_array_equal(plain.test.rows["timestamp"][others], one.test.rows["timestamp"])


def test_cold_shares_must_leave_items(shop):
    with pytest.raises(InvalidArgumentError, match="must leave items to train on"):
        split(shop, cold_share=0.5, pseudo_cold_share=0.5)
    with pytest.raises(InvalidArgumentError, match="`pseudo_cold_share` must be in"):
        split(shop, pseudo_cold_share=-0.1)


def test_validation_ranks_pseudo_cold_items_among_all(shop):
    for pseudo_cold_share in (0.0, 0.2):
        one = split(shop, cold_share=0.2, pseudo_cold_share=pseudo_cold_share, seed=4)
        ranker = slices.ValidationRanker(one)
        # All score alike: a rank ties with every candidate that is not the item or was seen.
        users, items = len(one.train.users["user_id"]), len(one.train.items["item_id"])
        ties = ranker(np.ones((users, 2)), np.ones((items, 2))).ties
        seen = [
            set(one.train.rows["item_id"][one.train.rows["user_id"] == user].tolist())
            for user in one.validation.rows["user_id"]
        ]
        corpus = set(shop.items["item_id"].tolist())
        if not pseudo_cold_share:
            corpus -= set(one.cold_items.tolist())
        expected = [
            len(corpus - known - {item})
            for known, item in zip(seen, one.validation.rows["item_id"].tolist())
        ]
        np.testing.assert_array_equal(ties, expected)


def test_a_development_split_leaves_pseudo_cold_items_out(shop):
    whole = split(shop, cold_share=0.2, cold_rows="all", pseudo_cold_share=0.1, seed=4)
    one = development_split(whole, cold_share=0.2, pseudo_cold_share=0.1, seed=5)
    known = set(one.train.items["item_id"].tolist())
    assert known == set(whole.train.items["item_id"][whole.warm_items].tolist())
    assert 0 < len(set(one.cold_items.tolist())) < len(known) / 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "f19e034b1c8b1e33"),
        ({"by": "time"}, "faa92d5bccdf6a9f"),
        ({"cold_rows": "all"}, "1cc08ce7840d005d"),
        ({"pseudo_cold_share": 0.1, "seed": 3}, "797f07bbab917998"),
        (
            {"by": "time", "pseudo_cold_share": 0.1, "cold_rows": "all", "seed": 2},
            "9ffe5990d7a1187a",
        ),
    ],
)
def test_splits_of_before_are_what_they_were(shop, options, expected):
    # Results in caches, and figures that were published, hang on these rows.
    assert split(shop, **options).fingerprint() == expected


@pytest.mark.parametrize("cold_rows", ["last", "all"])
def test_whole_users_are_held_out(shop, cold_rows):
    one = split(shop, by="user", cold_share=0.2, cold_rows=cold_rows, test_share=0.2, seed=4)
    trained, watched = (set(part.rows["user_id"].tolist()) for part in (one.train, one.validation))
    tested = set(one.test.rows["user_id"][~one.earlier].tolist())
    assert len(tested) == 12 and len(watched) == 6
    assert not trained & watched and not trained & tested and not watched & tested
    for user in tested:
        rows = shop.rows["user_id"] == user
        assert (one.test.rows["user_id"] == user).sum() == rows.sum(), "all of them are tested"
    others = set(one.test.rows["user_id"][one.earlier].tolist())
    assert bool(others) == (cold_rows == "all"), "cold items of training users count for cold alone"
    assert len(one.cold_items) == 8
    assert not np.isin(one.train.rows["item_id"], one.cold_items).any()
    # Which items are cold does not depend on how users are cut.
    assert one.cold_items.tolist() == split(shop, cold_share=0.2, seed=4).cold_items.tolist()


def test_held_out_users_have_one_of_each_kind_at_least(shop):
    few = shop.take(np.isin(shop.rows["user_id"], [b"u00", b"u01", b"u02"]))
    one = split(few, by="user", cold_share=0.0)
    assert [len(set(p.rows["user_id"])) for p in (one.train, one.validation, one.test)] == [1, 1, 1]
    with pytest.raises(DataError, match="no train rows"):
        split(shop.take(np.isin(shop.rows["user_id"], [b"u00", b"u01"])), by="user", cold_share=0.0)


@pytest.mark.parametrize("by", ["user_time", "time"])
@pytest.mark.parametrize("cold_rows", ["last", "all"])
def test_cold_users_are_tested_by_their_last_rows_and_train_nothing(shop, by, cold_rows):
    options = {"by": by, "cold_share": 0.2, "cold_rows": cold_rows, "seed": 4}
    plain, one = split(shop, **options), split(shop, cold_user_share=0.1, **options)
    known = [*one.train.rows["user_id"].tolist(), *one.validation.rows["user_id"].tolist()]
    strangers = set(shop.rows["user_id"].tolist()) - set(known)
    assert len(strangers) == 6
    # The items, the order of rows and the test rows are those of a split without them.
    np.testing.assert_array_equal(plain.test.rows["timestamp"], one.test.rows["timestamp"])
    np.testing.assert_array_equal(plain.seen.rows["timestamp"], one.seen.rows["timestamp"])
    kept = ~np.isin(plain.train.rows["user_id"], list(strangers))
    np.testing.assert_array_equal(plain.train.rows["timestamp"][kept], one.train.rows["timestamp"])
    assert np.isin(one.test.rows["user_id"], list(strangers)).any()
    assert np.isin(one.seen.rows["user_id"], list(strangers)).any()
    assert "0.1 cold users" in one.name


def test_cold_users_are_drawn_among_those_with_rows_whatever_else_is_drawn(shop):
    few = shop.take(np.isin(shop.rows["user_id"], shop.users["user_id"][:10]))
    one = split(few, cold_user_share=0.2, cold_share=0.0, seed=1)
    assert len(set(one.train.rows["user_id"].tolist())) == 8
    other = split(few, cold_user_share=0.2, cold_share=0.3, pseudo_cold_share=0.1, seed=1)
    assert set(other.train.rows["user_id"].tolist()) == set(one.train.rows["user_id"].tolist())
    third = split(few, cold_user_share=0.2, cold_share=0.0, seed=2)
    assert set(third.train.rows["user_id"].tolist()) != set(one.train.rows["user_id"].tolist())


def _short(shop, rows: int):
    """Users with equally many rows each."""
    users = np.repeat(shop.users["user_id"], rows)
    items = np.random.default_rng(0).choice(shop.items["item_id"][:4], len(users))
    rows = {"user_id": users, "item_id": items, "timestamp": np.arange(len(users))}
    return dataclasses.replace(shop, rows=rows)


@pytest.mark.parametrize("test_share", [0.1, 0.2, 0.3, 0.6])
@pytest.mark.parametrize("validation_share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("rows", [10, 20, 30])
def test_shares_cut_where_they_say(shop, test_share, validation_share, rows):
    shares = {"test_share": test_share, "validation_share": validation_share}
    one = split(_short(shop, rows), cold_share=0.0, **shares)
    users = len(shop.users["user_id"])
    assert len(one.test) == users * round(test_share * rows)
    assert len(one.validation) == users * round(validation_share * rows)


def test_users_with_few_rows_have_no_test_row(shop):
    with pytest.raises(DataError, match="no test rows"):
        split(_short(shop, 9), cold_share=0.0)


def test_short_histories_of_given_rows_say_what_to_do(shop):
    short = _short(shop, 9)
    options = short.take(np.arange(len(short)) % 9 < 8), short.take(np.arange(len(short)) % 9 > 7)
    with pytest.raises(
        DataError, match="split=lambda seed: split_of.train, test, validation_share="
    ):
        split_of(*options)
    one = split_of(*options, validation_share=0.25)
    assert len(one.validation) == 2 * len(one.test)
    with pytest.raises(InvalidArgumentError, match=r"`validation_share` must be in \(0, 1\)"):
        split_of(*options, validation_share=1.0)
