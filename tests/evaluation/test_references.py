"""References: scorers against their definitions, and as arms of a comparison."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.comparing.comparison import Arm, compare
from tfrs_augment.evaluation.comparing.references import ease, popularity
from tfrs_augment.evaluation.measuring.metrics import Seen
from tfrs_augment.evaluation.measuring.slices import measure_embeddings, measure_scores
from tfrs_augment.evaluation.splitting.histories import split_histories
from tfrs_augment.evaluation.splitting.splits import split


def slow_ease(one, regularization):
    users, items = len(one.train.users["user_id"]), len(one.train.items["item_id"])
    x = np.zeros((users, items))
    x[one.train.user_index(), one.train.item_index()] = 1
    if "history_index" in one.train.rows:
        for user, history in zip(
            one.train.user_index(), one.train.rows["history_index"].to_lists()
        ):
            x[user, history] = 1
    p = np.linalg.inv(x.T @ x + regularization * np.eye(items))
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    seen = one.seen_before(one.test)
    asked = np.zeros((len(seen.offsets) - 1, items))
    for query in range(len(asked)):
        asked[query, seen.items[seen.offsets[query] : seen.offsets[query + 1]]] = 1
    asked[:, x.sum(axis=0) == 0] = 0
    return (asked @ weights)[one.query_index(one.test)]


@pytest.mark.parametrize("make", [split, split_histories])
def test_ease_is_its_equation(shop, make):
    one = make(shop, cold_share=0.2, seed=2)
    rows = np.arange(0, len(one.test), 7)
    expected = slow_ease(one, 5.0)[rows]
    np.testing.assert_allclose(ease(one, regularization=5.0)(rows), expected, atol=1e-4)
    with pytest.raises(InvalidArgumentError, match="must be above 0"):
        ease(one, regularization=0.0)


def test_scores_rank_as_embeddings_do(shop):
    one = split(shop, cold_share=0.2, seed=2)
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(60, 4)), rng.normal(size=(40, 4))
    query = one.query_index(one.test)
    found = measure_scores(one, lambda rows: queries[query[rows]] @ candidates.T, block=13)
    for name, ranks in measure_embeddings(one, queries, candidates)["ranks"].items():
        np.testing.assert_array_equal(found["ranks"][name].greater, ranks.greater)
        np.testing.assert_array_equal(found["ranks"][name].ties, ranks.ties)


def test_seen_can_be_taken():
    seen = Seen.from_pairs(np.array([0, 2, 2, 0]), np.array([5, 6, 7, 8]), 3).take(
        np.array([2, 1, 2])
    )
    assert seen.offsets.tolist() == [0, 2, 2, 4] and seen.items.tolist() == [6, 7, 6, 7]


def test_references_are_arms_that_train_nothing(shop, tmp_path):
    arms = {"popularity": Arm(scorer=popularity), "EASE": Arm(scorer=ease)}

    def compared():
        return compare(
            None,
            arms,
            split=lambda seed: split(shop, cold_share=0.2, seed=seed),
            seeds=[0, 1],
            cache_dir=tmp_path,
            progress=False,
        )

    report = compared()
    # Users have tastes, which popularity does not know; neither knows a cold item.
    assert report.figure("EASE", "warm").difference_low > 0
    assert report.figure("popularity", "cold").mean < 0.1
    assert compared().to_dict() == report.to_dict()
    with pytest.raises(InvalidArgumentError, match="trains no model"):
        Arm(scorer=popularity, copies=2)
