"""Splits by history: what trains, what a row may know, and what its ranking leaves out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring.slices import Slices, measure_embeddings
from tfrs_augment.evaluation.splitting.histories import development_histories, split_histories

ITEMS = 30


@pytest.fixture(scope="module")
def data() -> Interactions:
    """80 users with 3 to 12 different items each, in rows of random order."""
    rng = np.random.default_rng(5)
    ids = np.array([b"i%02d" % i for i in range(ITEMS)])
    users = np.array([b"u%02d" % u for u in range(80)])
    rows = [
        (users[u], ids[i], time)
        for u in range(80)
        for time, i in enumerate(rng.choice(ITEMS, rng.integers(3, 13), replace=False))
    ]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    events = [np.array(column) for column in zip(*rows)]
    return Interactions.from_tables(
        dict(zip(("user_id", "item_id", "timestamp"), events)),
        items={"item_id": ids, "kind": np.array([b"k%d" % (i % 3) for i in range(ITEMS)])},
        users={"user_id": users, "age": np.arange(80, dtype=np.float32)},
        name="sequences",
    )


def sequences(data: Interactions) -> dict[bytes, list[bytes]]:
    order = np.argsort(data.rows["timestamp"], kind="stable")
    found: dict[bytes, list[bytes]] = {}
    for row in order:
        found.setdefault(data.rows["user_id"][row], []).append(data.rows["item_id"][row])
    return found


def rows_of(part: Interactions) -> set[tuple]:
    columns = part.rows["user_id"], part.rows["item_id"], part.rows["history"].to_lists()
    return {(user, item, tuple(history)) for user, item, history in zip(*columns)}


def test_rows_are_those_of_the_protocol(data):
    one = split_histories(data, cold_share=0.2, max_history=4, seed=3)
    popularity = one.popularity
    expected = {"train": set(), "validation": set(), "test": set()}
    # Drawn cold items train nowhere; the others are those with a training row but for a few that
    # are met at the end of sequences alone.
    drawn = set(one.cold_items.tolist())
    for user, items in sequences(data).items():
        warm = [item not in drawn for item in items]
        for place, item in enumerate(items):
            history = tuple([i for i, w in zip(items[:place], warm) if w][-4:])
            part = {1: "test", 2: "validation"}.get(len(items) - place, "train")
            if history and (warm[place] or part == "test"):
                expected[part].add((user, item, history))
    for part, rows in expected.items():
        assert rows_of(getattr(one, part)) == rows, part
    learned = [i for items in sequences(data).values() for i in items[:-2] if i not in drawn]
    ids = data.items["item_id"].tolist()
    np.testing.assert_array_equal(
        popularity, np.bincount([ids.index(i) for i in learned], minlength=30)
    )


def test_places_are_those_of_the_ids(data):
    one = split_histories(data, seed=1)
    for part in (one.train, one.validation, one.test):
        history, index = part.rows["history"], part.rows["history_index"]
        np.testing.assert_array_equal(data.items["item_id"][index.values], history.values)
        np.testing.assert_array_equal(history.row_splits, index.row_splits)


def test_a_fraction_takes_users_from_training_alone(data):
    whole, part = split_histories(data, seed=2), split_histories(data, fraction=0.3, seed=2)
    users = np.unique(part.train.rows["user_id"])
    assert 10 < len(users) < 40
    assert rows_of(part.train) == {row for row in rows_of(whole.train) if row[0] in users}
    assert rows_of(part.test) == rows_of(whole.test)
    assert rows_of(part.validation) == rows_of(whole.validation)
    np.testing.assert_array_equal(part.popularity, whole.popularity)
    for name, mask in Slices.of(whole).masks.items():
        np.testing.assert_array_equal(Slices.of(part).masks[name], mask)


def test_validation_rows_can_be_capped(data):
    one = split_histories(data, max_validation=7, seed=2)
    assert len(one.validation) == 7
    assert rows_of(one.validation) < rows_of(
        split_histories(data, max_validation=None, seed=2).validation
    )


def test_queries_do_not_hold_the_answer(data):
    one = split_histories(data)
    assert set(one.queries(one.test)) == {"user_id", "age", "timestamp", "history", "history_index"}
    np.testing.assert_array_equal(one.query_index(one.test), np.arange(len(one.test)))


def test_rankings_leave_out_what_came_before_and_nothing_else(data):
    one = split_histories(data, cold_share=0.2, max_history=2)
    ids = data.items["item_id"]
    all_items = sequences(data)
    for part, end in ((one.test, 1), (one.validation, 2)):
        seen = one.seen_before(part)
        for row, user in enumerate(part.rows["user_id"]):
            left_out = ids[seen.items[seen.offsets[row] : seen.offsets[row + 1]]]
            assert sorted(left_out) == sorted(all_items[user][:-end])


def test_test_rows_are_ranked_by_queries_of_their_own(data):
    one = split_histories(data, cold_share=0.2)
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(len(one.test), 4)), rng.normal(size=(ITEMS, 4))
    ranks = measure_embeddings(one, queries, candidates)["ranks"]["full"]
    ids = data.items["item_id"]
    for row, user in enumerate(one.test.rows["user_id"]):
        scores = candidates @ queries[row]
        seen = np.isin(ids, sequences(data)[user][:-1])
        true = ids == one.test.rows["item_id"][row]
        assert ranks.greater[row] == (scores[~seen & ~true] > scores[true]).sum()


def test_a_development_split_owes_nothing_to_test_rows_and_cold_items(data):
    whole = split_histories(data, cold_share=0.2, seed=1)
    inner = development_histories(whole, seed=2, cold_share=0.2)
    tested = set(zip(whole.test.rows["user_id"], whole.test.rows["timestamp"], strict=True))
    for part in (inner.train, inner.validation, inner.test, inner.seen):
        rows = set(zip(part.rows["user_id"], part.rows["timestamp"], strict=True))
        assert not rows & tested
        assert not np.isin(part.rows["item_id"], whole.cold_items).any()
    assert set(inner.train.items["item_id"]) == set(whole.train.items["item_id"]) - set(
        whole.cold_items
    )
    assert len(inner.cold_items) and len(inner.test)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 0.0}, r"`fraction` must be in \(0, 1\]"),
        ({"cold_share": 1.0}, r"`cold_share` must be in \[0, 1\)"),
        ({"max_history": 0}, "`max_history` must be at least 1"),
        ({"max_validation": 0}, "`max_validation` must be at least 1"),
    ],
)
def test_arguments_are_checked(data, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        split_histories(data, **arguments)


def test_data_that_cannot_be_split_are_refused(data):
    with pytest.raises(DataError, match="no training rows"):
        split_histories(data.take(data.rows["timestamp"] < 2))
    with pytest.raises(DataError, match="must have no column 'history'"):
        split_histories(split_histories(data).train)


def test_pseudo_cold_items_validate_and_neither_train_nor_test(data):
    plain = split_histories(data, cold_share=0.2, seed=3)
    one = split_histories(data, cold_share=0.2, pseudo_cold_share=0.2, seed=3)
    cold = set(plain.test.rows["item_id"][~plain.warm_items[plain.test.item_index()]].tolist())
    pseudo = set(one.validation.rows["item_id"].tolist()) & set(one.cold_items.tolist())
    assert pseudo and not pseudo & cold
    for part in (one.train, one.test):
        assert not pseudo & set(part.rows["item_id"].tolist())
    for part in (one.train, one.validation, one.test):
        assert not pseudo & set(part.rows["history"].values.tolist())
    tested = set(one.test.rows["item_id"].tolist()) & set(one.cold_items.tolist())
    assert tested <= cold, "the cold items are those of the split without pseudo-cold ones"


@pytest.fixture(scope="module")
def hurried(data) -> Interactions:
    """The same rows with two or three of a second, and users who come back to an item."""
    rows = {**data.rows, "timestamp": data.rows["timestamp"] // 3}
    rows["item_id"] = np.where(np.arange(len(data)) % 3, rows["item_id"], b"i00")
    return dataclasses.replace(data, rows=rows)


def test_a_fraction_has_the_same_test_rows_where_times_are_equal(hurried):
    whole = split_histories(hurried, max_validation=20, seed=2)
    for fraction in (0.3, 0.9):
        part = split_histories(hurried, fraction=fraction, max_validation=20, seed=2)
        for name in ("validation", "test"):
            assert rows_of(getattr(part, name)) == rows_of(getattr(whole, name))
        np.testing.assert_array_equal(part.popularity, whole.popularity)


def test_rankings_leave_out_what_came_before_in_the_same_second(hurried):
    one = split_histories(hurried, cold_share=0.0, max_history=100)
    seen_again = 0
    for part in (one.test, one.validation):
        seen = one.seen_before(part)
        for row, history in enumerate(part.rows["history_index"].to_lists()):
            left_out = seen.items[seen.offsets[row] : seen.offsets[row + 1]]
            # Nothing is cold, so that the history is all that came before: not the row's own item.
            assert sorted(left_out) == sorted(history)
            seen_again += part.item_index()[row] in history
    assert seen_again
