"""Tests of the simulated shop: that it has what a recommender needs, and that it is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tfrs_augment import errors
from tfrs_augment.datasets import interactions, shop


@pytest.fixture(scope="module")
def small() -> shop.SimulatedShopInteractions:
    return shop.simulated_shop("small", seed=0)


def train_mask(data: interactions.Interactions) -> np.ndarray:
    """Returns the mask of the first 80 % of the interactions in time."""
    return data.rows["timestamp"] <= np.quantile(data.rows["timestamp"], 0.8)


def gini(counts: np.ndarray) -> float:
    counts = np.sort(counts)
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * counts.sum()))


def one_hot(*columns: interactions.Column) -> np.ndarray:
    """Returns the columns as one matrix of indicators, each scaled by how rare it is."""
    parts = []
    for column in columns:
        ragged = isinstance(column, interactions.Ragged)
        values = column.values if ragged else column
        rows = np.repeat(np.arange(len(column)), column.row_lengths() if ragged else 1)
        names, number = np.unique(values, return_inverse=True)
        part = np.zeros((len(column), len(names)))
        part[rows, number] = 1.0
        parts.append(part * np.log(len(column) / part.sum(0)))
    return np.concatenate(parts, axis=1)


def cold_auc(scores: np.ndarray, data: interactions.Interactions, seed: int = 0) -> float:
    """Returns how often a user's cold item outscores one that another user took.

    Both items of a pair are drawn from the cold interactions after training, so popularity, even
    the true one, tells nothing: its expected value is 0.5.
    """
    train, item, user = train_mask(data), data.item_index(), data.user_index()
    cold = np.isin(item, item[train], invert=True)
    bought = np.zeros(scores.shape, bool)
    bought[user, item] = True
    users, liked = user[cold], item[cold]
    other = np.random.default_rng(seed).permutation(liked)
    fair = ~bought[users, other]
    users, liked, other = users[fair], liked[fair], other[fair]
    difference = scores[users, liked] - scores[users, other]
    return float(np.mean(np.where(difference == 0, 0.5, difference > 0)))


def content_scores(data: interactions.Interactions, features: np.ndarray) -> np.ndarray:
    """Returns `[users, items]`: the item's features against the mean of those a user bought."""
    train = train_mask(data)
    profile = np.zeros((len(data.users["user_id"]), features.shape[1]))
    np.add.at(profile, data.user_index()[train], features[data.item_index()[train]])
    return (profile - profile.sum(0) / profile.sum() * profile.sum(1, keepdims=True)) @ features.T


def test_size(small):
    assert len(small.users["user_id"]) == 1_000
    assert len(small.items["item_id"]) == 800
    assert len(small) == pytest.approx(40_000, rel=0.05)
    assert small.name == "simulated-shop-small"


def test_small_is_made_in_under_three_seconds():
    start = time.process_time()
    shop.simulated_shop("small", seed=1)
    assert time.process_time() - start < 3.0


def test_no_user_takes_an_item_twice_or_before_its_launch(small):
    pairs = small.user_index() * 800 + small.item_index()
    assert len(np.unique(pairs)) == len(small)
    assert (small.rows["timestamp"] >= small.rows["item_launch"]).all()
    days = (small.rows["timestamp"] - shop.START) / 86_400
    assert days.min() >= 0
    assert days.max() <= shop.DAYS
    assert set(np.unique(small.rows["rating"])) == {1, 2, 3, 4, 5}


def test_rows_are_sorted_by_user_and_time(small):
    user = small.user_index()
    assert (np.diff(user) >= 0).all()
    assert (np.diff(small.rows["timestamp"])[np.diff(user) == 0] >= 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_popularity_follows_a_power_law_and_activity_has_a_long_tail(seed):
    data = shop.simulated_shop("small", seed=seed)
    counts = np.sort(np.bincount(data.item_index(), minlength=800))[::-1]
    rank = np.arange(1, 801)
    middle = slice(5, 300)
    slope, offset = np.polyfit(np.log(rank[middle]), np.log(counts[middle]), 1)
    residual = np.log(counts[middle]) - slope * np.log(rank[middle]) - offset
    assert -1.1 < slope < -0.5
    assert residual.std() < 0.2
    assert 0.45 < gini(counts) < 0.7
    activity = np.bincount(data.user_index(), minlength=1_000)
    assert activity.min() >= 5
    assert activity.max() > 5 * np.median(activity)


@pytest.mark.parametrize("seed", range(4))
def test_some_items_and_users_are_cold(seed):
    data = shop.simulated_shop("small", seed=seed)
    train, item, user = train_mask(data), data.item_index(), data.user_index()
    cold = np.isin(item[~train], item[train], invert=True)
    assert len(np.unique(item[~train][cold])) >= 40
    assert 0.05 < cold.mean() < 0.3
    assert len(np.setdiff1d(user[~train], user[train])) >= 5


def test_the_same_seed_gives_the_same_shop_and_another_seed_another():
    first, again = shop.simulated_shop("tiny", seed=0), shop.simulated_shop("tiny", seed=0)
    for name, column in first.rows.items():
        if isinstance(column, interactions.Ragged):
            assert column.to_lists() == again.rows[name].to_lists()
        else:
            np.testing.assert_array_equal(column, again.rows[name])
    np.testing.assert_array_equal(first.truth.item_vectors, again.truth.item_vectors)
    other = shop.simulated_shop("tiny", seed=1)
    assert not np.array_equal(first.truth.item_vectors, other.truth.item_vectors)
    assert not np.array_equal(first.rows["timestamp"][:100], other.rows["timestamp"][:100])


def test_truth(small):
    truth = small.truth
    matrix = truth.affinity_matrix()
    assert matrix.shape == (1_000, 800)
    assert abs(matrix.mean()) < 1e-3
    assert matrix.std() == pytest.approx(1.0, abs=1e-3)
    liked = truth.affinity(small.rows["user_id"], small.rows["item_id"])
    np.testing.assert_allclose(
        liked, matrix[small.user_index(), small.item_index()], rtol=1e-4, atol=1e-5
    )
    assert liked.mean() > 0.8
    assert np.corrcoef(liked, small.rows["rating"])[0, 1] > 0.5
    with pytest.raises(errors.DataError, match=r"items of the shop.* b'none'"):
        truth.affinity(np.array([b"u0001"]), np.array([b"none"]))


def test_truth_outlives_take(small):
    part = small.take(train_mask(small))
    assert part.truth is small.truth
    assert len(part) < len(small)


@pytest.mark.parametrize("seed", range(3))
def test_features_of_items_tell_what_users_like_among_cold_items(seed):
    data = shop.simulated_shop("small", seed=seed)
    columns = ("item_category", "item_brand", "item_title_words")
    features = one_hot(*(data.items[name] for name in columns))
    content = cold_auc(content_scores(data, features), data)
    oracle = cold_auc(data.truth.affinity_matrix(), data)
    popularity = np.bincount(data.item_index(), minlength=800)
    by_popularity = cold_auc(np.tile(popularity, (1_000, 1)), data)
    assert by_popularity == pytest.approx(0.5, abs=0.06)
    assert content > by_popularity + 0.1
    assert oracle > content
    # The control: features of other items tell nothing.
    shuffled = features[np.random.default_rng(seed).permutation(800)]
    assert cold_auc(content_scores(data, shuffled), data) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("seed", range(3))
def test_features_carry_a_part_of_the_vectors_and_not_all(seed):
    data = shop.simulated_shop("small", seed=seed)
    users, items = data.users, data.items
    age = np.digitize(users["user_age"], [20, 25, 30, 35, 40, 50, 60])
    for vectors, features in (
        (data.truth.user_vectors, one_hot(age, users["user_gender"], users["user_city"])),
        (data.truth.item_vectors, one_hot(items["item_category"], items["item_brand"])),
    ):
        half = len(vectors) // 2
        features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        fit, *_ = np.linalg.lstsq(features[:half], vectors[:half], rcond=1e-6)
        error = ((vectors[half:] - features[half:] @ fit) ** 2).sum()
        explained = 1 - error / ((vectors[half:] - vectors[:half].mean(0)) ** 2).sum()
        assert 0.15 < explained < 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 100, 100), "users=0"),
        ((10, 39, 100), "at least 40"),
        ((10, 100, 49), r"\[50, 125\].*interactions=49"),
        ((10, 100, 126), "interactions=126"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        shop.ShopSize(*arguments)


def test_an_unknown_size_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match=r"'tiny', 'small'.*size='huge'"):
        shop.simulated_shop("huge")


@pytest.mark.parametrize("size", [(1, 40, 5), (30, 50, 187), (7, 1_000, 35)])
def test_own_sizes(size):
    size = shop.ShopSize(*size)
    data = shop.simulated_shop(size, seed=5)
    assert len(data.items["item_id"]) == size.items
    assert len(data) == pytest.approx(size.interactions, rel=0.1)
