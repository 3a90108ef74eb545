"""Combinations of ops: the contract, nesting, weights and choice."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops import (
    CategorySwap,
    FeatureMask,
    GaussianNoise,
    IdDropout,
    OneOf,
    RandomAffine,
    RandomResizedCrop,
    Sequential,
    SomeOf,
)
from tfrs_augment.rng import KeyedRng
from tfrs_augment.schema import Schema

DROP, MASK = IdDropout("word", rate=1.0), FeatureMask("number", rate=1.0)
NOISE, EMPTY = GaussianNoise("vector", stddev=0.5), FeatureMask("tags", rate=1.0)
MASKED = {"word": b"[UNK]", "number": 0.0, "count": -1, "small": -1}


def masked(result, name: str) -> np.ndarray:
    """Which rows have the feature masked."""
    return np.array([value == MASKED[name] for value in rows_of(result[name])])


class TestSequential(OpContract):
    cases = (
        Case(Sequential((DROP, MASK), rate=0.3), 0.3),
        Case(Sequential((EMPTY, IdDropout("words", rate=1.0)), rate=0.4), 0.4),
    )

    def test_parts_act_in_order_and_on_the_same_rows(self):
        op = Sequential((DROP, MASK, IdDropout("word", rate=0.5, oov_token="last")), rate=0.5)
        result = self.policy(op).augment(batch())
        last = np.array(rows_of(result["word"])) == b"last"
        assert np.array_equal(masked(result, "word") | last, masked(result, "number"))
        assert 0.15 < np.mean(last) < 0.35


class TestOneOf(OpContract):
    cases = (
        Case(OneOf((DROP, MASK), rate=0.6), 0.3),
        Case(OneOf((EMPTY, FeatureMask("words", rate=1.0)), weights=(1, 1)), 0.5, per_row=True),
    )

    def test_weights_are_the_shares_and_one_part_acts_on_a_row(self):
        names = ("word", "number", "count")
        op = OneOf(tuple(FeatureMask(n, rate=1.0) for n in names), weights=(5, 3, 2))
        results = [self.policy(op).augment(batch(), draw=d) for d in range(20)]
        found = np.concatenate([[masked(r, n) for n in names] for r in results], axis=1)
        assert (found.sum(axis=0) == 1).all()
        for share, expected in zip(found.mean(axis=1), (0.5, 0.3, 0.2), strict=True):
            assert abs(share - expected) < 4.9 * np.sqrt(expected * (1 - expected) / (20 * ROWS))

    def test_bad_arguments(self):
        for weights in ((1,), (1, -1), (0, 0), (1, float("inf"))):
            with pytest.raises(InvalidArgumentError, match="`weights` must be 2 numbers"):
                OneOf((DROP, MASK), weights=weights)
        for ops, message in (
            ((), "at least one op"),
            (DROP, "must be a list"),
            (("x",), "must hold ops"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                OneOf(ops)


class TestSomeOf(OpContract):
    cases = (
        # One or two of three parts, so each acts on half of the rows.
        Case(
            SomeOf((DROP, MASK, FeatureMask("count", rate=1.0)), count_range=(1, 2), rate=0.8), 0.4
        ),
        Case(
            SomeOf((EMPTY, FeatureMask("words", rate=1.0)), count_range=(1, 1)), 0.5, per_row=True
        ),
    )

    def test_counts_and_weights(self):
        names = ("word", "number", "count", "small")
        parts = tuple(FeatureMask(n, rate=1.0) for n in names)
        op = SomeOf(parts, count_range=(1, 3), weights=(4, 1, 1, 0))
        results = [self.policy(op).augment(batch(), draw=d) for d in range(20)]
        found = np.concatenate([[masked(r, n) for n in names] for r in results], axis=1)
        counts = np.bincount(found.sum(axis=0), minlength=5)
        rows = 20 * ROWS
        assert counts[0] == counts[4] == 0
        assert (np.abs(counts[1:4] / rows - 1 / 3) < 4.9 * np.sqrt(2 / 9 / rows)).all()
        assert found[3].sum() == 0, "a part of weight 0 never acts"
        alone = found[:, found.sum(axis=0) == 1].mean(axis=1)
        assert abs(alone[0] - 4 / 6) < 4.9 * np.sqrt(2 / 9 / counts[1])

    def test_bad_arguments(self):
        for count_range in ((0, 3), (2, 1), (1.0, 2), (1,)):
            with pytest.raises(InvalidArgumentError, match="`count_range` must be"):
                SomeOf((DROP, MASK), count_range=count_range)


def test_combinations_nest_and_survive_json():
    inner = OneOf((DROP, SomeOf((MASK, NOISE), count_range=(1, 2))))
    nested = Sequential((inner, CategorySwap("word", rate=0.5)), rate=0.9)
    policy = aug.AugmentationPolicy([nested], seed=4, key_features=("row",))
    assert [str(r) for r in policy.requirements()] == ["marginal of 'word'"]
    policy = aug.fitting.fit(policy, batch())
    again = aug.AugmentationPolicy.from_json(policy.to_json()).with_fitted(policy.fitted)
    assert again == policy
    first, second = policy.augment(batch(), draw=2), again.augment(batch(), draw=2)
    assert all(rows_of(first[name]) == rows_of(second[name]) for name in nested.features)
    parts = [type(part) for part in nested.parts()]
    assert parts == [IdDropout, FeatureMask, GaussianNoise, CategorySwap]


def test_a_mistake_in_a_nested_op_says_where():
    config = aug.AugmentationPolicy([OneOf((DROP, MASK))], key_features=("row",)).get_config()
    config["ops"][0]["ops"][1]["rate"] = 7
    with pytest.raises(
        InvalidArgumentError, match=r"ops\[0\].ops\[1\]: `rate` must be in \[0, 1\]"
    ):
        aug.AugmentationPolicy.from_config(config)


def test_check_looks_into_combinations():
    policy = aug.AugmentationPolicy([OneOf((DROP, MASK))], key_features=("row",))
    with pytest.raises(UnknownFeatureError, match="FeatureMask 'number' names feature 'number'"):
        policy.check(Schema({"word": "bytes", "row": "int64"}))
    with pytest.raises(DataError, match="IdDropout 'word' takes bytes or int64"):
        policy.check(Schema({"word": "float", "row": "int64", "number": "float"}))


def test_adding_a_part_does_not_reshuffle_the_draws_of_the_others():
    def result(*parts):
        op = Sequential((IdDropout("word", rate=0.5), *parts), id="same")
        policy = aug.AugmentationPolicy([op], key_features=("row",))
        return rows_of(policy.augment(batch())["word"])

    assert result() == result(MASK)


@pytest.mark.parametrize(
    ("op", "result"),
    [
        (RandomAffine("photo", size=(4, 6), rotation=9), r"uint8 \(3, 4, 6, 3\) of 'photo'"),
        (RandomResizedCrop("photo", size=5), r"uint8 \(3, 5, 5, 3\) of 'photo'"),
        (RandomAffine("photo", rescale=1 / 255), r"float32 \(3, 8, 8, 3\) of 'photo'"),
    ],
)
def test_a_part_that_changes_the_shape_or_type_of_all_rows_is_named(op, result):
    rows = {"row": [1, 2, 3], "photo": tf.zeros([3, 8, 8, 3], tf.uint8)}
    other = RandomAffine("photo", horizontal_flip=True)
    for combined in (OneOf((other, op)), SomeOf((other, op)), Sequential((OneOf((op,)), other))):
        policy = aug.AugmentationPolicy([combined], key_features=["row"])
        message = (
            f"keep the shape and the type.*{type(op).__name__} 'photo', which makes {result}, uint8"
        )
        with pytest.raises(InvalidArgumentError, match=message):
            policy.augment(rows)
        with pytest.raises(InvalidArgumentError, match=message):
            tf.function(policy.augment)(rows)


def test_draw_and_apply_repeat_what_a_call_does():
    op = SomeOf((DROP, Sequential((NOISE, MASK)), EMPTY), count_range=(1, 2))
    keys = tf.bitcast(tf.range(ROWS, dtype=tf.int64), tf.uint64)
    rows = FeatureBatch(batch(), keys)
    rng = KeyedRng(3, keys, 1)
    called, replayed = op(rows, rng), op.apply(rows, op.draw(rows, rng))
    assert all(rows_of(called[name]) == rows_of(replayed[name]) for name in op.features)
