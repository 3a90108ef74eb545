"""Metrics of queries against all orders of ties, scikit-learn and ranx."""

from __future__ import annotations

import importlib.util
import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.measuring.metrics import Ranks, Seen, rank_scores
from tfrs_augment.evaluation.measuring.query_metrics import QueryRanks

METRICS = ("recall", "precision", "hit_rate", "mrr", "average_precision", "ndcg")
# What ranx 0.3.21 says of `drawn()` at 10, query by query.
FROZEN = {
    "recall": [
        0.0,
        0.375,
        0.0,
        0.076923077,
        0.0,
        0.5,
        0.0,
        0.166666667,
        0.2,
        0.0,
        0.083333333,
        0.133333333,
    ],
    "precision": [0.0, 0.3, 0.0, 0.1, 0.0, 0.3, 0.0, 0.2, 0.1, 0.0, 0.1, 0.2],
    "hit_rate": [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
    "mrr": [0.0, 0.5, 0.0, 0.125, 0.0, 1.0, 0.0, 0.5, 0.142857143, 0.0, 0.2, 0.5],
    "average_precision": [
        0.0,
        0.127777778,
        0.0,
        0.009615385,
        0.0,
        0.316666667,
        0.0,
        0.06547619,
        0.028571429,
        0.0,
        0.016666667,
        0.06,
    ],
    "ndcg": [
        0.0,
        0.308849256,
        0.0,
        0.069431222,
        0.0,
        0.527454161,
        0.0,
        0.212226366,
        0.113053402,
        0.0,
        0.085143118,
        0.224005562,
    ],
}


def query_ranks(scores, relevant, *, seen=None) -> QueryRanks:
    """The relevant items of each query, ranked among all."""
    query = np.repeat(np.arange(len(scores)), [len(items) for items in relevant])
    item = np.array([i for items in relevant for i in items], np.int64)
    return QueryRanks.of(rank_scores(scores, query, item, seen=seen), query, item)


def one_order(order, relevant, k) -> dict[str, float]:
    """The metrics of one ranking without ties, as their definitions read."""
    hits = [item in relevant for item in order[:k]]
    places = [place for place, hit in enumerate(hits, start=1) if hit]
    best = min(k, len(relevant))
    gain = sum(1 / math.log2(place + 1) for place in places)
    return {
        "recall": len(places) / len(relevant),
        "precision": len(places) / k,
        "hit_rate": float(bool(places)),
        "mrr": 1 / places[0] if places else 0.0,
        "average_precision": sum(n / place for n, place in enumerate(places, start=1)) / best,
        "ndcg": gain / sum(1 / math.log2(place + 1) for place in range(1, best + 1)),
    }


@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_metrics_are_means_over_all_orders_of_ties(k):
    rng = np.random.default_rng(k)
    for _ in range(12):
        scores = rng.integers(0, 3, 6).astype(float)
        relevant = rng.choice(6, rng.integers(1, 5), replace=False).tolist()
        orders = [
            order
            for order in itertools.permutations(range(6))
            if (np.diff(scores[list(order)]) <= 0).all()
        ]
        expected = [one_order(order, relevant, k) for order in orders]
        found = query_ranks(scores[None], [relevant])
        for name in METRICS:
            mean = np.mean([values[name] for values in expected])
            assert getattr(found, name)(k)[0] == pytest.approx(mean, abs=1e-12), name


def test_queries_keep_to_themselves_in_any_order_of_the_rows():
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 8, (20, 30)).astype(float)
    query = np.repeat(np.arange(20), 4)
    item = np.concatenate([rng.choice(30, 4, replace=False) for _ in range(20)])
    shuffled = rng.permutation(80)
    whole = QueryRanks.of(
        rank_scores(scores, query[shuffled], item[shuffled]), query[shuffled], item[shuffled]
    )
    assert whole.queries.tolist() == list(range(20)) and whole.total.tolist() == [4] * 20
    for name in METRICS:
        alone = [
            getattr(query_ranks(scores[[q]], [item[query == q].tolist()]), name)(5)[0]
            for q in range(20)
        ]
        np.testing.assert_allclose(getattr(whole, name)(5), alone)


def test_one_relevant_item_gives_the_metrics_of_its_row():
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 9, (40, 25)).astype(float)
    query, item = np.arange(40), rng.integers(25, size=40)
    rows = rank_scores(scores, query, item)
    found = QueryRanks.of(rows, query, item)
    np.testing.assert_allclose(found.recall(5), rows.recall(5))
    np.testing.assert_allclose(found.hit_rate(5), rows.recall(5))
    np.testing.assert_allclose(found.ndcg(5), rows.ndcg(5))
    np.testing.assert_allclose(found.mrr(5), rows.mrr(5))
    np.testing.assert_allclose(found.average_precision(5), rows.mrr(5))


def test_a_row_that_is_there_twice_counts_once():
    scores = np.array([[3.0, 2.0, 1.0, 0.0]])
    query, item = np.zeros(3, int), np.array([0, 2, 0])
    found = QueryRanks.of(rank_scores(scores, query, item), query, item)
    assert found.total.tolist() == [2]
    assert found.average_precision(4)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_items_seen_before_stand_in_one_list_with_the_others():
    # Items 0 and 1 were bought before and are again: neither counts in the rank of another row.
    scores = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])
    seen = Seen.from_pairs(np.array([0, 0]), np.array([0, 1]), 1)
    query, item = np.zeros(3, int), np.array([0, 1, 3])
    ranks = rank_scores(scores, query, item, seen=seen)
    assert ranks.greater.tolist() == [0, 0, 1]
    found = QueryRanks.of(ranks, query, item, again=np.array([True, True, False]))
    # In one list: two items at the top, then item 2, then item 3.
    assert found.average_precision(4)[0] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found.ndcg(2)[0] == pytest.approx(1.0)


def test_scikit_learn_says_the_same_of_ndcg_with_ties():
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 6, (30, 20)).astype(float)
    relevant = [rng.choice(20, n, replace=False).tolist() for n in rng.integers(1, 9, 30)]
    truth = np.zeros((30, 20))
    for q, items in enumerate(relevant):
        truth[q, items] = 1
    found = query_ranks(scores, relevant).ndcg(10)
    each = [ndcg_score(truth[[q]], scores[[q]], k=10) for q in range(30)]
    np.testing.assert_allclose(found, each, atol=1e-9)


def drawn():
    """The rankings that `FROZEN` is of."""
    rng = np.random.default_rng(5)
    scores = rng.permuted(np.tile(np.arange(60, dtype=float), (12, 1)), axis=1)
    relevant = [sorted(rng.choice(60, n, replace=False).tolist()) for n in rng.integers(1, 16, 12)]
    return scores, relevant


def as_ranx_has_it(name: str, found: QueryRanks, values: np.ndarray) -> np.ndarray:
    """ranx divides average precision by all relevant items, ours by those that 10 places hold."""
    if name != "average_precision":
        return values
    return values * np.minimum(found.total, 10) / found.total


@pytest.mark.parametrize("name", METRICS)
def test_ranx_says_the_same(name):
    found = query_ranks(*drawn())
    ours = as_ranx_has_it(name, found, getattr(found, name)(10))
    np.testing.assert_allclose(ours, FROZEN[name], atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("ranx") is None, reason="ranx is not installed")
def test_ranx_says_the_same_live():
    from ranx import Qrels, Run, evaluate

    scores, relevant = drawn()
    names = [f"q{q:02d}" for q in range(len(scores))]
    qrels = Qrels({n: {f"i{i}": 1 for i in items} for n, items in zip(names, relevant)})
    run = Run({n: {f"i{i}": s for i, s in enumerate(row)} for n, row in zip(names, scores)})
    found = query_ranks(scores, relevant)
    for name, theirs in zip(METRICS, ("recall", "precision", "hit_rate", "mrr", "map", "ndcg")):
        evaluate(qrels, run, f"{theirs}@10")
        expected = [run.scores[f"{theirs}@10"][n] for n in names]
        ours = as_ranx_has_it(name, found, getattr(found, name)(10))
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_no_rows_give_no_queries():
    none = np.zeros(0, np.int64)
    found = QueryRanks.of(Ranks(none, none), none, none)
    for name in METRICS:
        assert getattr(found, name)(10).shape == (0,)


@pytest.mark.parametrize("name", METRICS)
def test_k_is_checked(name):
    found = query_ranks(np.array([[1.0, 0.0]]), [[0]])
    with pytest.raises(InvalidArgumentError, match="`k` must be at least 1"):
        getattr(found, name)(0)


@pytest.mark.parametrize("kind", METRICS)
def test_relevant_items_of_minus_infinity_are_never_found(kind):
    scores = np.array([[2.0, 1.0, -np.inf, -np.inf], [-np.inf, 1.0, -np.inf, -np.inf]])
    query, item = np.array([0, 0, 0, 1, 1]), np.array([1, 2, 3, 0, 3])
    one = QueryRanks.of(rank_scores(scores, query, item), query, item)
    found = getattr(one, kind)(10)
    assert 0 < found[0] <= 1 and found[1] == 0
