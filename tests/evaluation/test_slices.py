"""Slices by users and segments, what competes with a row's item, runs as arrays, and labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfrs_augment.datasets import simulated_shop
from tfrs_augment.datasets.interactions import Interactions, Ragged
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation.measuring import segments, slices
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import Slices, measure_embeddings, measure_scores
from tfrs_augment.evaluation.splitting.splits import Split, split


@pytest.fixture(scope="module")
def data() -> Interactions:
    return simulated_shop("tiny")


@pytest.fixture(scope="module")
def one(data) -> Split:
    return split(data, by="time", cold_share=0.1, seed=1)


def embeddings(one, dim=4):
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(len(one.train.users["user_id"]), dim))
    return queries, rng.normal(size=(len(one.train.items["item_id"]), dim))


def test_segments_are_the_values_of_users_and_of_rows(data, one):
    found = Slices.of(one, segments=["user_device", "rating", "item_title_words"])
    devices = one.test.rows["user_device"]
    for value in np.unique(devices):
        mask = found.masks[f"user_device={value.decode()}"]
        np.testing.assert_array_equal(mask, devices == value)
    np.testing.assert_array_equal(found.masks["rating=5"], one.test.rows["rating"] == 5)
    words = one.test.rows["item_title_words"].to_lists()
    (name,) = [n for n in found.masks if n.startswith("item_title_words=")][:1]
    word = name.split("=")[1].encode()
    np.testing.assert_array_equal(found.masks[name], [word in row for row in words])
    # A user has one device: its lists are of that; a rating is of a row.
    assert all(f"user_device={v.decode()}" in found.of_queries for v in np.unique(devices))
    assert "all" in found.of_queries and "rating=5" not in found.of_queries


def test_the_rare_values_of_a_segment_are_left_out_and_said_so(one, monkeypatch):
    monkeypatch.setattr(segments, "MOST_VALUES", 2)
    found = Slices.of(one, segments=["user_device"])
    names = [name for name in found.masks if name.startswith("user_device=")]
    values, counts = np.unique(
        np.concatenate([part.rows["user_device"] for part in (one.test, one.seen)]),
        return_counts=True,
    )
    kept = values[np.argsort(-counts)][:2]
    assert names == [f"user_device={value.decode()}" for value in kept]
    (note,) = found.left_out
    assert note.startswith(f"user_device: {len(values) - 2} rarer values of {len(values)}")


def test_a_missing_value_is_in_no_segment(one):
    rows = dict(one.test.rows)
    rows["campaign"] = np.where(np.arange(len(one.test)) % 2, b"", b"mail")
    rows["price"] = np.where(np.arange(len(one.test)) % 3, np.nan, 1.5).astype(np.float32)
    test = dataclasses.replace(one.test, rows=rows)
    found, _ = segments.segment_masks(dataclasses.replace(one, test=test), ["campaign", "price"])
    assert list(found) == ["campaign=mail", "price=1.5"]
    assert found["price=1.5"].sum() == -(-len(test) // 3)


def test_cold_users_are_those_without_training_rows(data):
    one = split(data, cold_share=0.0)
    assert "cold_users" not in Slices.of(one).masks, "each user's first rows are trained on"
    first = np.unique(one.train.rows["user_id"])[:20]
    train = one.train.take(~np.isin(one.train.rows["user_id"], first))
    held = dataclasses.replace(one, train=train, popularity=None)
    found = Slices.of(held)
    np.testing.assert_array_equal(
        found.masks["cold_users"], np.isin(one.test.rows["user_id"], first)
    )
    assert "cold_users" in found.of_queries


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["device"], UnknownFeatureError, "Received: 'device'.*user_device"),
        ("user_device", InvalidArgumentError, "must be a list of distinct names"),
        (["user_device"] * 2, InvalidArgumentError, "distinct"),
    ],
)
def test_segments_are_checked(one, names, error, message):
    with pytest.raises(error, match=message):
        Slices.of(one, segments=names)


def test_labels_are_numbers_without_gaps(one):
    found = Slices.of(one, label="rating")
    np.testing.assert_array_equal(found.labels, one.test.rows["rating"])
    assert found.positive is None
    rows = {**one.test.rows, "click": (one.test.rows["rating"] > 3).astype(np.int64)}
    clicked = dataclasses.replace(one, test=dataclasses.replace(one.test, rows=rows))
    np.testing.assert_array_equal(Slices.of(clicked, label="click").positive, rows["click"] == 1)
    with pytest.raises(UnknownFeatureError, match="`label` must be a column of the rows"):
        Slices.of(one, label="stars")
    with pytest.raises(DataError, match="one number a row"):
        Slices.of(one, label="user_device")
    with pytest.raises(DataError, match="one number a row"):
        Slices.of(one, label="item_title_words")
    rows["click"] = np.where(rows["click"] == 1, np.nan, 0.0).astype(np.float32)
    for worst in (np.nan, np.inf):
        rows["click"] = np.where(one.test.rows["rating"] > 3, worst, 0.0).astype(np.float32)
        with pytest.raises(
            DataError, match="`label` must be finite in every row. Received: 'click'"
        ):
            Slices.of(clicked, label="click")


def test_competitors_are_counted_one_by_one(one):
    found = Slices.of(one)
    seen = {}
    for user, item in zip(one.seen.user_index(), one.seen.item_index()):
        seen.setdefault(user, set()).add(item)
    warm = set(np.flatnonzero(one.warm_items))
    items = set(range(len(one.train.items["item_id"])))
    for row in range(0, len(one.test), 7):
        own, before = found.items[row], seen.get(found.users[row], set())
        assert found.again[row] == (own in before)
        for name, corpus in (("full", items), ("warm_corpus", warm), ("cold_corpus", items - warm)):
            assert found.others[name][row] == len(corpus - before - {own})


def test_ranks_never_lie_beyond_the_competitors(one):
    found, run = Slices.of(one), measure_embeddings(one, *embeddings(one))
    assert (run["ranks"]["full"].greater <= found.others["full"]).all()
    auc = run["ranks"]["full"].auc(found.others["full"])
    assert ((auc >= 0) & (auc <= 1)).all() and auc.mean() == pytest.approx(0.5, abs=0.05)


def test_scores_and_embeddings_measure_alike(one):
    queries, candidates = embeddings(one)
    user = one.test.user_index()
    by_score = measure_scores(one, lambda rows: queries[user[rows]] @ candidates.T, block=13)
    by_embedding = measure_embeddings(one, queries, candidates)
    np.testing.assert_array_equal(by_score["lists"], by_embedding["lists"])
    for name, ranks in by_embedding["ranks"].items():
        np.testing.assert_array_equal(by_score["ranks"][name].greater, ranks.greater)
    asked = np.isin(np.arange(len(queries)), user)
    lists = by_embedding["lists"]
    assert lists.shape == (len(queries), slices.LIST_LENGTH) and lists.dtype == np.int32
    assert ((lists >= 0).all(axis=1) == asked).all()
    scores = queries @ candidates.T
    scores[one.seen.user_index(), one.seen.item_index()] = -np.inf
    some = np.flatnonzero(asked)[0]
    assert lists[some].tolist() == np.argsort(-scores[some])[:10].tolist()
    with pytest.raises(DataError, match="`scores` must not hold NaN"):
        measure_scores(one, lambda rows: np.full((len(rows), len(candidates)), np.nan))


def test_runs_survive_a_file(one, tmp_path):
    whole = Run(
        **measure_embeddings(one, *embeddings(one)),
        loss=[1.0, 0.5],
        validation=[0.1],
        best_epoch=1,
        seconds=2.5,
    )
    rated = Run({}, [], [], 0, 0.1, predictions=np.linspace(0, 1, len(one.test)))
    for run in (whole, rated):
        np.savez(tmp_path / "run.npz", **run.to_arrays())
        with np.load(tmp_path / "run.npz") as file:
            found = Run.from_arrays(file)
        assert list(found.ranks) == list(run.ranks)
        for name in run.ranks:
            np.testing.assert_array_equal(found.ranks[name].ties, run.ranks[name].ties)
        for name in ("lists", "predictions"):
            if getattr(run, name) is None:
                assert getattr(found, name) is None
            else:
                np.testing.assert_array_equal(getattr(found, name), getattr(run, name))
        assert (found.loss, found.best_epoch, found.seconds) == (
            run.loss,
            run.best_epoch,
            run.seconds,
        )
    with pytest.raises(DataError, match="must hold 'loss'"):
        Run.from_arrays({"seconds": np.array(1.0)})


def test_a_segment_of_lists_of_values_counts_each(one):
    tags = Ragged.from_lists(
        [[b"new"] if i % 2 else [b"new", b"sale"] for i in range(len(one.test))], dtype="S"
    )
    test = dataclasses.replace(one.test, rows={**one.test.rows, "tags": tags})
    found, _ = segments.segment_masks(dataclasses.replace(one, test=test), ["tags"])
    assert found["tags=new"].all() and found["tags=sale"].sum() == -(-len(test) // 2)


def test_numbers_that_print_alike_have_segments_of_their_own(one):
    place = np.arange(len(one.test)) % 4
    codes = np.float32([9410500, 9410501, 9410502, np.nan])[place]
    prices = np.float32([0.1234567, 0.1234568, 2.5, 1e20])[place]
    test = dataclasses.replace(one.test, rows={**one.test.rows, "zip": codes, "price": prices})
    found, _ = segments.segment_masks(dataclasses.replace(one, test=test), ["zip", "price"])
    assert set(found) == {
        *("zip=9410500", "zip=9410501", "zip=9410502"),
        *("price=0.1234567", "price=0.1234568", "price=2.5", "price=1e+20"),
    }
    for number, name in enumerate(("zip=9410500", "zip=9410501", "zip=9410502")):
        np.testing.assert_array_equal(found[name], place == number)
