"""Tests of the shop's click log: that what it claims to hold can be found in it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tfrs_augment import errors
from tfrs_augment.datasets import interactions, shop, shop_log


@pytest.fixture(scope="module")
def log() -> shop_log.ShopLog:
    return shop_log.simulated_shop_log("100k", seed=0)


def assert_equal(left: interactions.Table, right: interactions.Table) -> None:
    assert left.keys() == right.keys()
    for name in left:
        if isinstance(left[name], interactions.Ragged):
            assert left[name].to_lists() == right[name].to_lists()
        else:
            np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.parametrize("size", ["1k", "10k", "100k"])
def test_sizes_are_exact(size, log):
    data = log if size == "100k" else shop_log.simulated_shop_log(size)
    expected = shop_log.SIZES[size]
    assert (len(data.users["user_id"]), len(data.items["item_id"]), len(data)) == (
        expected.users,
        expected.items,
        expected.interactions,
    )
    assert data.name == f"simulated-shop-log-{size}"
    assert np.bincount(data.user_index(), minlength=expected.users).min() >= shop.MIN_ACTIVITY


def test_rows_are_sorted_in_time_and_after_launch(log):
    user = log.user_index()
    assert (np.diff(user) >= 0).all()
    assert (np.diff(log.rows["timestamp"])[np.diff(user) == 0] >= 0).all()
    days = (log.rows["timestamp"] - shop.START) / shop.DAY
    assert days.min() >= 0 and days.max() < shop.DAYS
    assert (log.rows["timestamp"] >= log.rows["item_launch"]).all()
    joined = interactions.Interactions.from_tables(
        {n: c for n, c in log.rows.items() if n not in log.items and n not in log.users}
        | {n: log.rows[n] for n in ("user_id", "item_id")},
        log.items,
        log.users,
    )
    assert_equal(dict(sorted(joined.rows.items())), dict(sorted(log.rows.items())))


def test_blocks_are_independent():
    size = shop.ShopSize(users=2_300, items=80, interactions=15_000)
    whole = shop_log.simulated_shop_log(size, seed=4)
    # Another worker, the last block first.
    world = shop_log.ShopWorld(size, 4)
    assert world.blocks == 3
    for number in (2, 0):
        rows = slice(world.first_row(number), world.first_row(number + 1))
        assert_equal(world.block(number).rows, whole.take(np.arange(15_000)[rows]).rows)
    assert len(np.unique(whole.users["user_id"])) == 2_300
    assert not np.array_equal(
        world.block(0).rows["rating"][:500], world.block(1).rows["rating"][:500]
    )


def test_seeds_and_golden_rows():
    first, other = (shop_log.simulated_shop_log("1k", seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.rows["timestamp"], other.rows["timestamp"])
    # Prepared data of TFDS are kept by version: whoever changes the rows raises it as well.
    digest = hashlib.sha256()
    for name in ("user_id", "item_id", "timestamp", "device", "session_id", "query"):
        digest.update(np.ascontiguousarray(first.rows[name]).tobytes())
    assert digest.hexdigest()[:16] == "3770a92191d073a6"


def test_device_truth_is_recovered(log):
    rows = log.rows
    session, first = np.unique(rows["session_id"], return_index=True)
    starts = rows["session_position"][first] == 1
    assert starts.mean() > 0.99 and len(session) > 20_000
    prices = {}
    for name, device in shop_log.DEVICES.items():
        on = rows["device"] == name.encode()
        length = on.sum() / (rows["device"][first] == name.encode()).sum()
        # Sessions are cut at MAX_SESSION and at a user's last row: shorter than the law's mean.
        assert 0.75 * device.session_length < length < device.session_length
        searched = on & (rows["query"] != b"")
        assert searched.sum() / on.sum() == pytest.approx(device.search_rate, abs=0.015)
        typed, intended = rows["query"][searched], rows["query_intended"][searched]
        words = [
            left == right
            for a, b in zip(typed.tolist(), intended.tolist())
            for left, right in zip(a.split(), b.split(), strict=True)
        ]
        assert 1 - np.mean(words) == pytest.approx(device.typo_rate, abs=0.015)
        hours = (rows["timestamp"][first][rows["device"][first] == name.encode()] % shop.DAY) / 3600
        angle = np.angle(np.exp(2j * np.pi * hours / 24).mean()) * 24 / (2 * np.pi) % 24
        assert angle == pytest.approx(device.hour, abs=0.3)
        prices[name] = np.log(rows["item_price"][on]).mean()
    # Who shops on what device follows from no feature that prices depend on.
    assert prices["android"] < prices["tablet"] < min(prices["web"], prices["ios"])


def test_device_moves_taste(log):
    truth, item = log.truth, log.item_index()
    for number, name in enumerate(shop_log.DEVICES):
        scores = truth.device_vectors[number] @ truth.item_vectors.T
        on = log.rows["device"] == name.encode()
        assert scores[item[on]].mean() > scores[item[~on]].mean() + 0.1


def test_a_user_has_a_main_device_and_others(log):
    main = log.rows["device"] == log.rows["user_device"]
    assert 0.55 < main.mean() < 0.9
    pairs = np.unique(
        np.stack([log.user_index(), np.unique(log.rows["device"], return_inverse=True)[1]]), axis=1
    )
    devices = np.bincount(pairs[0])
    assert (devices > 1).mean() > 0.4 and devices.max() <= 4


def test_sessions_belong_to_one_user_and_device_and_never_repeat_an_item(log):
    rows = log.rows
    order = np.lexsort((rows["session_position"], rows["session_id"]))
    session = rows["session_id"][order]
    same = np.diff(session) == 0
    for name in ("user_id", "device"):
        assert (rows[name][order][1:][same] == rows[name][order][:-1][same]).all()
    position, time = rows["session_position"][order], rows["timestamp"][order]
    assert (np.diff(position)[same] == 1).all() and position.max() <= shop_log.MAX_SESSION
    assert (np.diff(time)[same] >= 5).all()
    pairs = np.unique(np.stack([rows["session_id"], log.item_index()]), axis=1)
    assert pairs.shape[1] == len(log)


def test_queries_name_the_item_beside_them(log):
    searched = np.flatnonzero(log.rows["query"] != b"")[:2_000]
    for row in searched:
        query = set(log.rows["query_intended"][row].split())
        of_item = {log.rows[f"item_{name}"][row] for name in ("category", "colour", "brand")}
        assert query <= of_item | set(log.rows["item_title"][row].lower().split())


def test_choices_follow_taste(log):
    rows, truth = log.rows, log.truth
    liked = truth.affinity(rows["user_id"], rows["item_id"], rows["timestamp"])
    shuffled = np.random.default_rng(0).permutation(rows["user_id"])
    other = truth.affinity(shuffled, rows["item_id"], rows["timestamp"])
    assert liked.mean() > other.mean() + 0.5
    assert np.corrcoef(liked, rows["rating"])[0, 1] > 0.4
    assert log.take(np.arange(5)).truth is truth
    with pytest.raises(errors.DataError, match="users of the shop"):
        truth.affinity(np.array([b"u9"]), rows["item_id"][:1], rows["timestamp"][:1])


def month_correlation(log: shop_log.ShopLog) -> float:
    """Returns how alike the shares of the categories and brands are, first and last month."""
    old = log.rows["item_launch"] == shop.START
    time = log.rows["timestamp"]
    shares = []
    for low, high in ((0, 30), (150, 180)):
        chosen = old & (time >= shop.START + low * shop.DAY) & (time < shop.START + high * shop.DAY)
        count = np.bincount(log.item_index()[chosen], minlength=len(log.items["item_id"]))
        shares.append(np.sqrt(count / count.sum()))
    return float(shares[0] @ shares[1])


def test_drift_is_measurable_and_absent_at_zero(log):
    still = month_correlation(shop_log.simulated_shop_log("100k", seed=0, drift=0.0))
    strong = month_correlation(shop_log.simulated_shop_log("100k", seed=0, drift=0.8))
    assert strong < month_correlation(log) - 0.05 < still - 0.08


def test_drift_is_the_one_of_the_truth(log):
    truth, item, time = log.truth, log.item_index(), log.rows["timestamp"]
    early, late = (
        np.bincount(item[part], minlength=2_000) + 1.0
        for part in (time < shop.START + 45 * shop.DAY, time > shop.START + 135 * shop.DAY)
    )
    sold = (truth.popularity[0] > 0) & (early + late > 60)
    change = np.log(truth.popularity[-1][sold] / truth.popularity[0][sold])
    assert np.corrcoef(change, np.log(late / early)[sold])[0, 1] > 0.4

    # A user's vector of the moment says more than the one of the first day, later ever more.
    late_rows = time > shop.START + 135 * shop.DAY
    user, bought = log.user_index()[late_rows], truth.item_vectors[item[late_rows]]
    stale = np.einsum("nk,nk->n", truth.first_vectors[user], bought).mean()
    moment = np.arange(len(log))[late_rows]
    fresh = truth.affinity(
        *(log.rows[name][moment] for name in ("user_id", "item_id", "timestamp"))
    )
    assert fresh.mean() > stale + 0.05


def test_affinity_keeps_its_scale(log):
    truth = log.truth
    for vectors in (truth.first_vectors, truth.last_vectors):
        assert (vectors @ truth.item_vectors.T).std() == pytest.approx(1.0, abs=0.05)


def test_bad_arguments_are_refused():
    with pytest.raises(errors.InvalidArgumentError, match=r"'1k', '10k'.*size='huge'"):
        shop_log.simulated_shop_log("huge")
    with pytest.raises(errors.InvalidArgumentError, match=r"drift=1.5"):
        shop_log.simulated_shop_log("1k", drift=1.5)


@pytest.mark.parametrize("size", [(1, 40, 5), (30, 50, 187), (7, 1_000, 35)])
def test_own_sizes(size):
    data = shop_log.simulated_shop_log(shop.ShopSize(*size), seed=5)
    assert len(data) == size[2]
