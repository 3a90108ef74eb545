"""Tests of planted faults: their number, that each is what it is called, and the score."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment import errors
from tfrs_augment.datasets import faults, interactions, shop, shop_log


@pytest.fixture(scope="module", params=["shop", "log"])
def clean(request) -> interactions.Interactions:
    if request.param == "shop":
        return shop.simulated_shop("small", seed=0)
    return shop_log.simulated_shop_log("10k", seed=0)


@pytest.fixture(scope="module")
def faulty(clean) -> faults.PlantedFaults:
    return faults.plant_faults(clean, seed=3)


def by_id(faulty: faults.PlantedFaults, ids: np.ndarray) -> dict[str, interactions.Column]:
    """Returns the faulty rows with these ids, in that order."""
    place = np.argsort(faulty.rows["row_id"])[ids]
    return {name: interactions.take_column(c, place) for name, c in faulty.rows.items()}


def of_kind(faulty: faults.PlantedFaults, kind: str) -> dict[str, np.ndarray]:
    mask = faulty.faults["kind"] == kind.encode()
    return {name: column[mask] for name, column in faulty.faults.items()}


def differing(left: interactions.Table, right: interactions.Table) -> dict[str, np.ndarray]:
    """Returns the columns that differ and the mask of rows in which they do."""
    result = {}
    for name in right:
        a, b = left[name], right[name]
        if isinstance(a, interactions.Ragged):
            changed = np.array([x != y for x, y in zip(a.to_lists(), b.to_lists())])
        else:
            changed = ~((a == b) | ((a != a) & (b != b)))  # NaN is NaN.
        if changed.any():
            result[name] = changed
    return result


def test_counts_are_exact_and_no_row_has_two_faults(clean, faulty):
    kinds = collections.Counter(faulty.faults["kind"].tolist())
    assert kinds == {kind.encode(): round(r * len(clean)) for kind, r in faults.RATES.items()}
    rows = faulty.faults["row_id"]
    touched = np.concatenate([rows, faulty.faults["original"][faulty.faults["original"] >= 0]])
    assert len(np.unique(touched)) == len(touched)
    planted = sum(kinds[kind] for kind in (b"exact_duplicate", b"near_duplicate", b"bot"))
    assert np.array_equal(np.sort(faulty.rows["row_id"]), np.arange(len(clean) + planted))
    assert (np.diff(faulty.rows["timestamp"]) >= 0).all()


def test_all_that_is_not_planted_is_clean(clean, faulty):
    rows = by_id(faulty, np.arange(len(clean)))
    different = differing(rows, clean.rows)
    columns = {name.decode() for name in np.unique(faulty.faults["column"])}
    assert set(different) == columns - {"", "timestamp"}
    for name, changed in different.items():
        cells = faulty.faults["row_id"][faulty.faults["column"] == name.encode()]
        np.testing.assert_array_equal(np.flatnonzero(changed), np.sort(cells[cells < len(clean)]))


def test_duplicates(clean, faulty):
    exact = of_kind(faulty, "exact_duplicate")
    copies, originals = (by_id(faulty, exact[name]) for name in ("row_id", "original"))
    copies["row_id"] = originals["row_id"]
    assert differing(copies, originals) == {}

    near = of_kind(faulty, "near_duplicate")
    copies, originals = (by_id(faulty, near[name]) for name in ("row_id", "original"))
    copies["row_id"] = originals["row_id"]
    different = differing(copies, originals)
    assert set(different) == {"timestamp", "item_price"}
    assert (different["timestamp"] ^ different["item_price"]).all()
    assert different["timestamp"].sum() == len(near["row_id"]) // 2
    shift = np.abs(copies["timestamp"] - originals["timestamp"])
    assert shift.max() <= faults.NEAR_SECONDS
    ratio = copies["item_price"] / originals["item_price"]
    assert ratio.max() < 1 + faults.NEAR_SHARE
    np.testing.assert_array_equal(different["item_price"], near["column"] == b"item_price")


def test_outliers(clean, faulty):
    ranges = {"user_age": (0, 120), "item_price": (0, 10_000)}
    for kind in ("range_outlier", "iqr_outlier"):
        found = of_kind(faulty, kind)
        assert set(found["column"]) == {b"user_age", b"item_price"}
        rows = by_id(faulty, found["row_id"])
        for name, (low, high) in ranges.items():
            values = rows[name][found["column"] == name.encode()]
            inside = (values >= low) & (values <= high)
            first, third = np.quantile(clean.rows[name], [0.25, 0.75])
            if kind == "range_outlier":
                assert not inside.any() and (values < low).any() and (values > high).any()
            else:
                assert inside.all() and (values > third + 3 * (third - first)).all()
                assert values.min() > clean.rows[name].max()


def test_unknown_values(clean, faulty):
    found = of_kind(faulty, "unknown_value")
    rows = by_id(faulty, found["row_id"])
    for name in ("item_category", "user_city"):
        values = rows[name][found["column"] == name.encode()]
        assert len(values) > 10
        assert not np.isin(values, clean.rows[name]).any()
        assert (np.char.str_len(values) > 0).all()


def test_bots_act_faster_than_people(clean, faulty):
    rows = by_id(faulty, faulty.rows_of("bot"))
    users = np.unique(rows["user_id"])
    assert not np.isin(users, clean.users["user_id"]).any()
    assert np.isin(rows["item_id"], clean.items["item_id"]).all()
    for user in users:
        mask = rows["user_id"] == user
        times = np.sort(rows["timestamp"][mask])
        assert mask.sum() > faults.BOT_EVENTS / 2
        assert set(np.diff(times)) <= {1, 2}
        assert len(np.unique(rows["user_age"][mask])) == 1
    # No person comes near.
    person, times = clean.user_index(), clean.rows["timestamp"]
    order = np.lexsort((times, person))
    person, times = person[order], times[order]
    five_apart = (person[5:] == person[:-5]) & (times[5:] - times[:-5] <= 10)
    assert not five_apart.any()


def test_missing_values(clean, faulty):
    at_random = of_kind(faulty, "missing_at_random")
    rows = by_id(faulty, at_random["row_id"])
    for name in ("item_brand", "user_gender"):
        assert (rows[name][at_random["column"] == name.encode()] == b"").all()
    median = np.median(clean.rows["item_price"])
    dear = clean.rows["item_price"] > median
    assert dear[at_random["row_id"]].mean() == pytest.approx(0.5, abs=0.12)

    dependent = faulty.rows_of("missing_dependent")
    assert np.isnan(by_id(faulty, dependent)["user_age"]).all()
    expected = faults.DEPENDENCE / (faults.DEPENDENCE + 1)
    assert dear[dependent].mean() == pytest.approx(expected, abs=0.09)
    assert np.isnan(faulty.rows["user_age"]).sum() == len(dependent)
    assert (by_id(faulty, faulty.rows_of("no_item"))["item_id"] == b"").all()


def test_determinism_and_independence_of_the_kinds(clean, faulty):
    again = faults.plant_faults(clean, seed=3)
    assert differing(again.rows, faulty.rows) == {}
    assert differing(again.faults, faulty.faults) == {}
    other = faults.plant_faults(clean, seed=4)
    assert not np.array_equal(other.rows_of("no_item"), faulty.rows_of("no_item"))
    none = faults.plant_faults(clean, rates={})
    assert len(none.faults["row_id"]) == 0
    order = np.lexsort((np.arange(len(clean)), clean.rows["timestamp"]))
    assert differing(none.rows, clean.take(order).rows) == {}


def test_simple_rules_are_scored(clean, faulty):
    rows, ids = faulty.rows, faulty.rows["row_id"]
    out = (rows["item_price"] < 0) | (rows["item_price"] > 10_000)
    out |= (rows["user_age"] < 0) | (rows["user_age"] > 120)
    assert faulty.score("range_outlier", ids[out])[:2] == (1.0, 1.0)

    fence = np.zeros(len(ids), bool)
    for name in ("user_age", "item_price"):
        first, third = np.nanquantile(rows[name], [0.25, 0.75])
        fence |= rows[name] > third + 3 * (third - first)
    plain = faulty.score("iqr_outlier", ids[fence])
    forgiven = faulty.score("iqr_outlier", ids[fence], forgive=("range_outlier",))
    # The long tail of honest prices is beyond the fence as well.
    assert plain.recall == 1.0 and 0.1 < plain.precision < forgiven.precision <= 1.0

    minutes = collections.Counter(
        zip(rows["user_id"].tolist(), (rows["timestamp"] // 60).tolist(), strict=True)
    )
    fast = [user for (user, _), events in minutes.items() if events > 20]
    assert faulty.score("bot", ids[np.isin(rows["user_id"], fast)])[:2] == (1.0, 1.0)


def test_the_score_counts_pairs_once_and_forgives(faulty):
    pairs = of_kind(faulty, "exact_duplicate")
    planted = len(pairs["row_id"])
    assert faulty.score("exact_duplicate", pairs["row_id"]) == (1.0, 1.0, planted, planted)
    assert faulty.score("exact_duplicate", pairs["original"]) == (1.0, 1.0, planted, planted)
    both = np.concatenate([pairs["row_id"], pairs["original"], pairs["original"]])
    assert faulty.score("exact_duplicate", both) == (0.5, 1.0, 2 * planted, planted)
    half = faulty.score("exact_duplicate", pairs["row_id"][: planted // 2])
    assert half.precision == 1.0 and half.recall == pytest.approx(0.5, abs=0.01)
    near = faulty.rows_of("near_duplicate")
    wide = np.concatenate([pairs["row_id"], near])
    assert faulty.score("exact_duplicate", wide).precision == 0.5
    assert faulty.score("exact_duplicate", wide, forgive=("near_duplicate",)).precision == 1.0
    assert faulty.score("bot", np.zeros(0, np.int64))[:3] == (1.0, 0.0, 0)


def test_records_lack_what_is_missing(clean, faulty, tmp_path):
    paths = faulty.write_tfrecords(tmp_path, shards=2, compression="GZIP")
    examples = [
        tf.train.Example.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(paths, compression_type="GZIP").take(2_000)
    ]
    missing = {
        "item_id": set(faulty.rows_of("no_item").tolist()),
        "user_age": set(faulty.rows_of("missing_dependent").tolist()),
    }
    for row, example in enumerate(examples):
        feature = example.features.feature
        assert feature["row_id"].int64_list.value[0] == faulty.rows["row_id"][row]
        for name, without in missing.items():
            assert (name not in feature) == (faulty.rows["row_id"][row] in without)
        lacking = set(faulty.rows) - set(feature)
        assert len(lacking) <= 1 and lacking <= {*missing, "item_brand", "user_gender"}
    # A search that did not take place is no missing value.
    if "query" in faulty.rows:
        assert any(e.features.feature["query"].bytes_list.value == [b""] for e in examples)


def test_other_data():
    data = interactions.Interactions(
        rows={
            "user_id": np.array([b"9", b"10"] * 50),
            "movie_id": np.array([b"a"] * 100),
            "timestamp": np.arange(100),
            "rating": np.float32([1, 2, 3, 4] * 25),
            "sex": np.array([b"F", b"M"] * 50),
        },
        items={"movie_id": np.array([b"a"])},
        users={"user_id": np.array([b"9", b"10"]), "sex": np.array([b"F", b"M"])},
        item_id="movie_id",
    )
    columns = {
        "ranges": {"rating": (1.0, 100.0)},
        "categories": ("sex",),
        "near": "rating",
        "missing": ("sex",),
        "dependent": ("rating", "timestamp"),
    }
    faulty = faults.plant_faults(data, rates=dict.fromkeys(faults.RATES, 0.1), **columns)
    assert len(faulty.faults["row_id"]) == 90
    wrong = by_id(faulty, faulty.rows_of("unknown_value"))["sex"]
    assert not np.isin(wrong, [b"F", b"M"]).any()
    assert set(by_id(faulty, faulty.rows_of("bot"))["user_id"]) == {b"9-1"}
    with pytest.raises(errors.InvalidArgumentError, match=r"room.*'rating' up to 4"):
        faults.plant_faults(
            data, rates={"iqr_outlier": 0.1}, **{**columns, "ranges": {"rating": (1, 4)}}
        )


def test_bad_arguments_are_refused(clean, faulty):
    for rates, message in (
        ({"bots": 0.1}, r"near_duplicate.*'bots'.*bot"),
        ({"bot": 1.5}, "bot=1.5"),
        ({"no_item": 0.6, "unknown_value": 0.6}, "add up"),
    ):
        with pytest.raises(errors.InvalidArgumentError, match=message):
            faults.plant_faults(clean, rates=rates)
    with pytest.raises(errors.UnknownFeatureError, match=r"'item_prize'.*item_price"):
        faults.plant_faults(clean, near="item_prize")
    with pytest.raises(errors.InvalidArgumentError, match="'duplicate'"):
        faulty.rows_of("duplicate")
