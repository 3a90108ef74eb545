"""Rates by popularity: the formula, for every op that takes one, and their place in a policy's file."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import CategorySwap, GaussianNoise, IdDropout, PopularityRate
from tfrs_augment.ops.popularity import find

RATE = PopularityRate(scale=5.0, maximum=0.6)


def mean_rate(name: str) -> float:
    values = np.concatenate([np.ravel(row) for row in rows_of(batch()[name])])
    _, counts = np.unique(values, return_counts=True)
    return float((counts * np.minimum(0.6, 5.0 / counts)).sum() / counts.sum())


class TestIdDropoutByPopularity(OpContract):
    cases = (
        Case(IdDropout("tags", rate=RATE, id="popular:tags"), mean_rate("tags")),
        Case(IdDropout("count", rate=RATE, id="popular:count"), mean_rate("count")),
    )

    @pytest.mark.parametrize("integers", [False, True])
    def test_the_rate_of_head_and_tail_ids_is_that_of_the_formula(self, integers):
        counts = {1: 800, 2: 100, 3: 10, 4: 5}
        ids = np.repeat(list(counts), list(counts.values()))
        seen = np.concatenate([ids, np.repeat(9, 40)])  # 9 is unknown to the fit

        def columns(ids):
            return {"row": np.arange(len(ids)), "id": ids if integers else ids.astype("S1")}

        policy = aug.AugmentationPolicy([IdDropout("id", rate=RATE)], key_features=("row",))
        augment = tf.function(aug.fitting.fit(policy, columns(ids)).augment)
        dropped = np.mean(
            [
                augment(columns(seen), draw=tf.constant(d))["id"].numpy()
                == (-1 if integers else b"[UNK]")
                for d in range(200)
            ],
            axis=0,
        )
        for value, count in {**counts, 9: 0}.items():
            rate = min(0.6, 5.0 / count) if count else 0.6
            share, draws = dropped[seen == value].mean(), 200 * (seen == value).sum()
            assert abs(share - rate) < 4.9 * np.sqrt(rate * (1 - rate) / draws), value

    def test_swaps_by_popularity(self):
        op = CategorySwap("word", rate=PopularityRate(scale=0.0, maximum=1.0))
        result = self.policy(op).augment({**batch(), "word": tf.fill([ROWS], "new")})
        assert b"new" not in rows_of(result["word"])
        assert rows_of(self.policy(op).augment(batch())["word"]) == rows_of(batch()["word"])

    def test_json_and_bad_arguments(self):
        policy = aug.AugmentationPolicy([IdDropout("id", rate=RATE)])
        again = aug.AugmentationPolicy.from_json(policy.to_json())
        assert again == policy and again.ops[0].rate == RATE
        assert again.fingerprint == policy.fingerprint
        assert [str(r) for r in policy.requirements()] == ["marginal of 'id'"]
        with pytest.raises(InvalidArgumentError, match="needs the marginal of 'id'"):
            policy.augment({"id": tf.constant(["a"])}, keys=tf.zeros([1], tf.uint64))
        with pytest.raises(InvalidArgumentError, match="must be a number here, not by popularity"):
            GaussianNoise("number", stddev=1.0, rate=RATE)
        for config in ({"by": "popularity", "scale": 1}, {"by": "size", "scale": 1, "maximum": 1}):
            with pytest.raises(
                InvalidArgumentError, match='must be a number or {"by": "popularity"'
            ):
                IdDropout("id", rate=config)
        with pytest.raises(InvalidArgumentError, match="`scale` must be a finite number"):
            PopularityRate(scale=-1.0)
        with pytest.raises(InvalidArgumentError, match=r"`maximum` must be in \[0, 1\]"):
            PopularityRate(scale=1.0, maximum=2.0)


def test_find():
    names = [b"b", b"", b"a"]
    values = tf.constant([["a", "zz"], ["b", ""]])
    assert find(names, values).numpy().tolist() == [[2, 3], [0, 1]]
    assert find(np.array([5, -3]), tf.constant([-3, 0, 5, 9])).numpy().tolist() == [1, 2, 0, 2]
    assert find([], values).numpy().tolist() == [[0, 0], [0, 0]]
    assert find(names, tf.zeros([0], tf.string)).shape == (0,)
