"""Metrics of the lists shown: closed forms, and slow references."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tfrs_augment.datasets.interactions import Ragged
from tfrs_augment.evaluation.measuring import list_metrics, standings
from tfrs_augment.evaluation.measuring.metrics import Seen
from tfrs_augment.evaluation.measuring.similar_items import ItemFeatures
from tfrs_augment.evaluation.measuring.standings import Scores, stand


def lists_of(scores, *, seen=None, length=10, queries=None) -> np.ndarray:
    query = np.arange(len(scores)) if queries is None else queries
    return stand(
        Scores.of_matrix(scores), query, np.zeros(len(query), int), seen=seen, length=length
    ).lists


@pytest.mark.parametrize("items", [3, 10, 11, 400, 3000])
@pytest.mark.parametrize("block", [1, 5000, 1 << 22])
def test_lists_hold_the_best_in_order_without_what_was_seen(monkeypatch, items, block):
    monkeypatch.setattr(standings, "_BLOCK_NUMBERS", block)
    rng = np.random.default_rng(items)
    scores = rng.permuted(np.tile(np.arange(items, dtype=np.float32), (15, 1)), axis=1)
    pairs = np.unique(rng.integers([15, items], size=(40, 2)), axis=0)
    found = lists_of(scores, seen=Seen.from_pairs(pairs[:, 0], pairs[:, 1], 15))
    for query in range(15):
        left = [i for i in np.argsort(-scores[query]) if [query, i] not in pairs.tolist()][:10]
        assert found[query].tolist() == left + [-1] * (10 - len(left))


def test_queries_without_a_row_are_shown_nothing():
    found = lists_of(np.eye(3), length=2, queries=np.array([2]))
    assert (found[:2] == -1).all() and found[2, 0] == 2


def test_ties_for_the_last_places_are_drawn_fairly_and_alike_in_any_block(monkeypatch):
    scores = np.zeros((4000, 20), np.float32)
    scores[:, 3] = 1.0
    found = lists_of(scores, length=5)
    assert (found[:, 0] == 3).all()
    shown = np.delete(list_metrics.exposure(found, 20), 3)
    # Binomial: 4000 * 4 / 19 = 842, deviation 26.
    assert abs(shown - 842).max() < 110
    monkeypatch.setattr(standings, "_BLOCK_NUMBERS", 77)
    np.testing.assert_array_equal(lists_of(scores, length=5), found)


def test_coverage_and_gini_of_known_exposure():
    lists = np.array([[0, 1], [0, 2], [0, -1]])
    assert list_metrics.exposure(lists, 5).tolist() == [3, 1, 1, 0, 0]
    assert list_metrics.coverage(lists, 5) == pytest.approx(0.6)
    shown = [3, 1, 1, 0, 0]
    pairs = sum(abs(a - b) for a, b in itertools.product(shown, shown))
    # The mean difference over twice the mean, and 5 / 4 so that one item alone gives 1.
    assert list_metrics.gini(lists, 5) == pytest.approx(pairs / (2 * 25 * 1.0) * 5 / 4)
    assert list_metrics.gini(np.array([[2], [2]]), 4) == pytest.approx(1.0)
    assert list_metrics.gini(np.array([[0, 1], [2, 3]]), 4) == pytest.approx(0.0)
    assert math.isnan(list_metrics.gini(np.full((2, 3), -1), 4))


def test_novelty_is_the_mean_surprise_of_the_items():
    counts = np.array([6, 1, 0])
    bits = [-math.log2(share / 10) for share in (7, 2, 1)]
    found = list_metrics.novelty(np.array([[0, 1], [2, -1], [-1, -1]]), counts)
    np.testing.assert_allclose(found[:2], [(bits[0] + bits[1]) / 2, bits[2]])
    assert math.isnan(found[2])


@pytest.fixture(scope="module")
def table() -> dict:
    return {
        "item_id": np.array([b"i%d" % i for i in range(8)]),
        "kind": np.array([b"a", b"a", b"b", b"b", b"a", b"b", b"", b"a"]),
        "tags": Ragged.from_lists(
            [[b"x"], [b"x", b"y"], [b"y"], [], [b"x"], [b"x", b"y"], [b"y"], [b"x", b"x"]],
            dtype="S",
        ),
        "title": np.array([b"title %d" % i for i in range(8)]),
        "price": np.arange(8, dtype=np.float32),
    }


def test_diversity_is_the_mean_distance_of_pairs(table):
    features = ItemFeatures.of(table, "item_id")
    assert features.names == ("kind", "tags")
    kinds = {b"a": [1.0, 0.0], b"b": [0.0, 1.0], b"": [0.0, 0.0]}
    vectors = []
    for kind, tags in zip(table["kind"], table["tags"].to_lists()):
        tag = np.array([b"x" in tags, b"y" in tags], float)
        tag = tag / np.linalg.norm(tag) if tag.any() else tag
        vectors.append(np.concatenate([kinds[kind], tag]) / math.sqrt(2))
    vectors = np.array(vectors)
    lists = np.array([[0, 1, 2], [3, 6, 7], [0, 4, -1], [5, -1, -1]])
    found = features.distance(lists)
    for row, shown in enumerate(lists[:3]):
        pairs = list(itertools.combinations(shown[shown >= 0], 2))
        expected = np.mean([1 - vectors[a] @ vectors[b] for a, b in pairs])
        assert found[row] == pytest.approx(expected)
    assert found[2] == pytest.approx(0.0), "two items that are alike"
    assert math.isnan(found[3]), "one item has no pair"


def test_a_catalogue_without_categories_has_no_diversity(table):
    bare = {name: table[name] for name in ("item_id", "title", "price")}
    assert ItemFeatures.of(bare, "item_id") is None


def test_items_of_minus_infinity_are_in_no_list():
    scores = np.full((2, 12), -np.inf)
    scores[0, [3, 5]] = [1.0, 2.0]
    assert lists_of(scores, length=3).tolist() == [[5, 3, -1], [-1, -1, -1]]
