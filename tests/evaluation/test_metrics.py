"""The metrics against a slow reference that can be read at a glance, and against closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring import standings
from tfrs_augment.evaluation.measuring.metrics import Ranks, Seen, rank, rank_scores


def slow_counts(scores, query, item, seen_pairs, corpus):
    """Counts, one candidate after the other, those above the true item and those level with it."""
    greater = ties = 0
    for other in range(scores.shape[1]):
        if other == item or (query, other) in seen_pairs or not corpus[other]:
            continue
        greater += scores[query, other] > scores[query, item]
        ties += scores[query, other] == scores[query, item]
    return greater, ties


def slow_metric(greater, ties, gain):
    """The mean gain over every order of the true item among those that it ties with."""
    return np.mean([gain(greater + place) for place in range(1, ties + 2)])


@pytest.mark.parametrize("block", [1, 37, 10_000])
def test_ranks_agree_with_the_slow_reference(monkeypatch, block):
    rng = np.random.default_rng(0)
    queries, items, rows = 9, 23, 60
    scores = rng.integers(-3, 4, (queries, items)).astype(np.float32)
    query, item = rng.integers(queries, size=rows), rng.integers(items, size=rows)
    pairs = {(int(q), int(i)) for q, i in zip(rng.integers(9, size=50), rng.integers(23, size=50))}
    corpus = rng.random(items) < 0.8
    seen = Seen.from_pairs(*np.array(sorted(pairs, key=lambda pair: pair[::-1])).T, queries)
    monkeypatch.setattr(standings, "_BLOCK_NUMBERS", block)
    found = rank_scores(scores, query, item, seen=seen, corpus=corpus)
    expected = [slow_counts(scores, q, i, pairs, corpus) for q, i in zip(query, item)]
    assert found.greater.tolist() == [greater for greater, _ in expected]
    assert found.ties.tolist() == [ties for _, ties in expected]
    assert found.ties.max() > 0


def test_embeddings_and_their_scores_rank_alike(monkeypatch):
    rng = np.random.default_rng(1)
    queries, candidates = rng.normal(size=(20, 8)), rng.normal(size=(300, 8))
    query, item = rng.integers(20, size=200), rng.integers(300, size=200)
    monkeypatch.setattr(standings, "_BLOCK_NUMBERS", 1500)
    by_embedding = rank(queries, candidates, query, item)
    by_score = rank_scores(queries @ candidates.T, query, item)
    np.testing.assert_array_equal(by_embedding.expected, by_score.expected)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_metrics_are_means_over_the_orders_of_ties(k):
    for greater, ties in itertools.product(range(13), range(6)):
        found = Ranks(np.array([greater]), np.array([ties]))
        recall = slow_metric(greater, ties, lambda place: place <= k)
        ndcg = slow_metric(greater, ties, lambda place: (place <= k) / math.log2(place + 1))
        assert found.recall(k)[0] == pytest.approx(recall)
        assert found.ndcg(k)[0] == pytest.approx(ndcg)


def test_the_first_place_scores_one_and_a_place_beyond_k_zero():
    found = Ranks(np.array([0, 9, 10]), np.zeros(3, int))
    assert found.recall(10).tolist() == [1.0, 1.0, 0.0]
    np.testing.assert_allclose(found.ndcg(10), [1.0, 1 / math.log2(11), 0.0])
    assert found.expected.tolist() == [1.0, 10.0, 11.0]


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_constant_embeddings_score_like_chance(value):
    items, rows = 501, 300
    queries = np.full((rows, 7), value, np.float32)
    candidates = np.full((items, 7), value, np.float32)
    found = rank(queries, candidates, np.arange(rows), np.arange(rows))
    np.testing.assert_allclose(found.recall(10), 10 / items)
    assert found.expected.tolist() == [(items + 1) / 2] * rows


def test_equal_embeddings_tie_although_their_sums_differ_in_the_last_bit():
    rng = np.random.default_rng(2)
    queries = rng.normal(size=(50, 32)).astype(np.float32)
    one = rng.normal(size=32).astype(np.float32)
    candidates = np.stack([np.nextafter(one, np.float32(9)), one, np.nextafter(one, -one)])
    found = rank(queries, candidates, np.arange(50), np.ones(50, int))
    assert found.ties.tolist() == [2] * 50


def test_random_embeddings_score_like_chance():
    rng = np.random.default_rng(3)
    found = rank(
        rng.normal(size=(4000, 16)),
        rng.normal(size=(200, 16)),
        np.arange(4000),
        rng.integers(200, size=4000),
    )
    # Binomial: 0.05 +- 4 standard deviations of 0.0034.
    assert found.recall(10).mean() == pytest.approx(0.05, abs=0.014)


def test_what_was_seen_does_not_compete_but_the_true_item_always_does():
    scores = np.array([[3.0, 2.0, 1.0]])
    seen = Seen.from_pairs(np.array([0, 0]), np.array([0, 2]), 1)
    found = rank_scores(scores, np.array([0, 0]), np.array([1, 2]), seen=seen)
    assert found.expected.tolist() == [1.0, 2.0]
    outside = rank_scores(
        scores, np.array([0]), np.array([2]), corpus=np.array([True, False, False])
    )
    assert outside.expected.tolist() == [2.0]


def test_the_inputs_are_unchanged():
    scores = np.arange(6.0).reshape(2, 3)
    seen = Seen.from_pairs(np.array([0]), np.array([0]), 2)
    rank_scores(scores, np.array([0]), np.array([1]), seen=seen, corpus=np.array([True] * 3))
    assert scores.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_a_diverged_model_is_refused():
    queries = np.ones((2, 3))
    queries[1, 0] = np.nan
    with pytest.raises(DataError, match=r"`queries` must be finite. Received: 1 of 2"):
        rank(queries, np.ones((4, 3)), np.array([0]), np.array([0]))
    with pytest.raises(DataError, match="NaN"):
        rank_scores(np.full((1, 1), np.nan), np.array([0]), np.array([0]))


def test_indices_and_k_are_checked():
    with pytest.raises(InvalidArgumentError, match=r"`item_index` must lie in \[0, 4\)"):
        rank(np.ones((2, 3)), np.ones((4, 3)), np.array([0]), np.array([4]))
    with pytest.raises(InvalidArgumentError, match="`k` must be at least 1"):
        Ranks(np.array([0]), np.array([0])).recall(0)


def test_no_rows_give_no_ranks():
    none = np.zeros(0, int)
    assert len(rank(np.ones((2, 3)), np.ones((4, 3)), none, none)) == 0


def test_a_true_item_of_minus_infinity_is_never_found():
    for items, shown in ((1000, 10), (8, 2)):  # Fewer candidates than places, too.
        scores = np.full((1, items), -np.inf)
        scores[0, :shown] = np.arange(shown)
        query, item = np.zeros(2, int), np.array([shown, 0])
        found = rank_scores(scores, query, item)
        for values in (found.recall(50), found.ndcg(50), found.mrr(50)):
            assert values[0] == 0 < values[1]
        assert found.auc(np.full(2, items - 1)).tolist() == [0.0, 1 - (shown - 1) / (items - 1)]
        outside = rank_scores(scores, query, item, corpus=np.arange(items) < shown)
        assert outside.recall(50).tolist() == [0.0, 1.0]


def test_embeddings_whose_products_overflow_are_refused():
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(4, 8)), rng.normal(size=(50, 8))
    options = np.arange(4), np.array([3, 7, 9, 20])
    expected = rank(queries, candidates, *options).expected
    for scale, other in ((1e18, 1e18), (1e30, 1.0)):
        large = rank(queries * scale, candidates * other, *options).expected
        np.testing.assert_array_equal(large, expected)
    for scale, other in ((1e20, 1e20), (1e30, 1e10)):
        with pytest.raises(DataError, match="inner products within the range of float32"):
            rank(queries * scale, candidates * other, *options)
