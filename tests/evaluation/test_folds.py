"""Folds test every unit once, and train on none of what they test."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation import folds
from tfrs_augment.evaluation.splitting.splits import development_split


def _places(part, whole):
    """Returns the numbers of the rows of a part, by what no two rows share."""
    names = np.arange(len(whole))
    key = {key: place for place, key in zip(names, _keys(whole))}
    return np.array([key[k] for k in _keys(part)])


def _keys(data):
    return list(zip(*(data.rows[name].tolist() for name in ("user_id", "item_id", "timestamp"))))


@pytest.fixture(scope="module")
def rows(shop):
    """The shop's rows, none twice."""
    return shop.take(np.unique(_keys(shop), axis=0, return_index=True)[1])


@pytest.mark.parametrize("by", ["user", "row", "item"])
def test_every_unit_is_tested_in_exactly_one_fold(rows, by):
    cut = folds(rows, 4, by=by, seed=3)
    tested = [_places(cut(number).test, rows) for number in range(4)]
    assert sorted(np.concatenate(tested).tolist()) == list(range(len(rows)))
    column = {"user": "user_id", "item": "item_id"}.get(by)
    if column:
        units = [set(rows.rows[column][places].tolist()) for places in tested]
        assert len(set.union(*units)) == sum(map(len, units))
        assert max(map(len, units)) - min(map(len, units)) <= 1
    else:
        assert max(map(len, tested)) - min(map(len, tested)) <= 1


@pytest.mark.parametrize("by", ["user", "row", "item"])
def test_parts_of_a_fold_are_disjoint_and_hold_out_what_they_say(rows, by):
    one = folds(rows, 4, by=by)(1)
    parts = [_places(part, rows) for part in (one.train, one.validation, one.test)]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) <= len(rows)
    assert sorted(_places(one.seen, rows).tolist()) == sorted(
        set(range(len(rows))) - set(parts[2].tolist())
    )
    column = {"user": "user_id", "item": "item_id"}.get(by)
    if column:
        trained, watched, tested = (
            set(part.rows[column].tolist()) for part in (one.train, one.validation, one.test)
        )
        assert not trained & watched and not trained & tested and not watched & tested
        assert len(watched) == pytest.approx(len(trained | watched) / 10, abs=1)
    if by == "item":
        assert np.isin(one.test.rows["item_id"], one.cold_items).all()
    else:
        assert np.isin(one.validation.rows["item_id"], one.train.rows["item_id"]).all()


def test_folds_are_drawn_by_the_seed(rows):
    first, again, other = (folds(rows, 3, seed=seed)(2).fingerprint() for seed in (0, 0, 1))
    assert first == again != other
    assert len({folds(rows, 3)(number).fingerprint() for number in range(3)}) == 3


def test_as_many_folds_as_units_leave_one_out(rows):
    few = rows.take(np.arange(len(rows)) % 10 == 0)
    users = len(np.unique(few.rows["user_id"]))
    cut = folds(few, users, by="user")
    assert len(np.unique(cut(0).test.rows["user_id"])) == 1
    with pytest.raises(InvalidArgumentError, match=f"number of users with rows, {users} in"):
        folds(few, users + 1, by="user")


def test_a_fold_can_be_split_for_development(rows):
    whole = folds(rows, 4)(0)
    inner = development_split(whole, seed=1)
    known = set(_places(whole.seen, rows).tolist())
    assert set(_places(inner.test, rows).tolist()) <= known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 1}, "`count` must be an integer of at least 2. Received: count=1"),
        ({"count": 2.5}, "`count` must be an integer"),
        ({"count": True}, "`count` must be an integer"),
        ({"by": "day"}, "`by` must be one of"),
        ({"by": "item", "count": 41}, "number of items with rows, 40"),
        ({"validation_share": 0.0}, "`validation_share` must be in"),
    ],
)
def test_arguments_are_checked(rows, arguments, message):
    arguments = {"count": 3, **arguments}
    with pytest.raises(InvalidArgumentError, match=message):
        folds(rows, arguments.pop("count"), **arguments)


@pytest.mark.parametrize("number", [-1, 3, 0.5, True, "a"])
def test_there_is_no_other_fold(rows, number):
    with pytest.raises(InvalidArgumentError, match=r"must be in \[0, 3\): seeds=range\(3\)"):
        folds(rows, 3)(number)


def test_bad_data_are_refused(rows):
    with pytest.raises(InvalidArgumentError, match="number of rows, 1 in"):
        folds(rows.take(np.arange(1)), 2, by="row")
    with pytest.raises(InvalidArgumentError, match="number of users"):
        folds(rows.take(np.arange(0)), 2)
    with pytest.raises(DataError, match="no (train|validation) rows"):
        folds(rows.take(np.arange(2)), 2, by="row")(0)
