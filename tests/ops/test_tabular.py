"""The tabular ops: the contract, and what is particular to each."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import CategorySwap, FeatureMask, GaussianNoise, IdDropout
from tfrs_augment.ops import base as ops_base


def swap_effect(rate: float, name: str) -> float:
    """The chance that a swap changes a value: the drawn one may be the one that was there."""
    values = np.concatenate([np.ravel(row) for row in rows_of(batch()[name])])
    shares = np.unique(values, return_counts=True)[1] / values.size
    return rate * (1 - (shares**2).sum())


class TestIdDropout(OpContract):
    cases = (
        Case(IdDropout("word", rate=0.3), 0.3),
        Case(IdDropout("words", rate=0.2), 0.2),
        Case(IdDropout("count", rate=0.5), 0.5),
        Case(IdDropout("small", rate=0.1, oov_token=0), 0.1),
        Case(IdDropout("tags", rate=0.4, oov_token="<none>"), 0.4),
        Case(IdDropout("ids", rate=0.6), 0.6),
    )

    def test_ids_become_the_token(self):
        for name, token, found in (
            ("word", None, b"[UNK]"),
            ("count", None, -1),
            ("count", 7, 7),
            ("word", "", b""),
        ):
            policy = self.policy(IdDropout(name, rate=1.0, oov_token=token))
            assert set(rows_of(policy.augment(batch())[name])) == {found}

    def test_a_token_of_another_type_is_refused(self):
        with pytest.raises(
            InvalidArgumentError,
            match="`oov_token` must fit a int64 feature. Received: oov_token='x'",
        ):
            self.policy(IdDropout("count", rate=0.5, oov_token="x")).augment(batch())
        with pytest.raises(
            InvalidArgumentError, match="`oov_token` must be a string or an integer"
        ):
            IdDropout("count", rate=0.5, oov_token=0.5)


class TestFeatureMask(OpContract):
    cases = (
        Case(FeatureMask(("word", "number"), rate=0.3), 0.3, per_row=True),
        Case(FeatureMask("tags", rate=0.25), 0.25, per_row=True),
        Case(FeatureMask(("vector", "words"), rate=0.5), 0.5, per_row=True),
        Case(
            FeatureMask(("count", "times"), rate=0.1, mask_values={"count": 0}), 0.1, per_row=True
        ),
    )

    def test_mask_values(self):
        op = FeatureMask(
            ("word", "count", "number", "tags", "vector"), rate=1.0, mask_values={"number": -5}
        )
        result = self.policy(op).augment(batch())
        assert [rows_of(result[n])[3] for n in op.features] == [
            b"[UNK]",
            -1,
            -5.0,
            [b"[UNK]"] * 3,
            [0.0, 0.0],
        ]

    def test_the_draws_of_a_feature_do_not_depend_on_the_others(self):
        def masked(features):
            op = FeatureMask(features, rate=0.5, id="same")
            return rows_of(self.policy(op).augment(batch())["word"])

        assert masked(("word", "number")) == masked(("count", "word")) == masked("word")

    def test_features_are_masked_independently(self):
        op = FeatureMask(("word", "number"), rate=0.5)
        results = [self.policy(op, seed).augment(batch()) for seed in range(10)]
        word = np.array([[v == b"[UNK]" for v in rows_of(r["word"])] for r in results])
        number = np.array([[v == 0.0 for v in rows_of(r["number"])] for r in results])
        assert abs((word & number).mean() - 0.25) < 4.9 * np.sqrt(0.25 * 0.75 / word.size)

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="must name each feature once"):
            FeatureMask(("a", "a"), rate=0.1)
        with pytest.raises(InvalidArgumentError, match="may only name features of"):
            FeatureMask(("a",), rate=0.1, mask_values={"b": 0})
        with pytest.raises(InvalidArgumentError, match="at least one feature"):
            FeatureMask((), rate=0.1)
        with pytest.raises(InvalidArgumentError, match="must fit 'word' of type string"):
            self.policy(FeatureMask(("word",), rate=0.1, mask_values={"word": 0})).augment(batch())


class TestCategorySwap(OpContract):
    cases = tuple(
        Case(CategorySwap(name, rate=rate), swap_effect(rate, name))
        for name, rate in (
            ("word", 0.3),
            ("count", 0.5),
            ("tags", 0.2),
            ("small", 0.4),
            ("words", 0.3),
        )
    )

    def test_values_come_as_often_as_in_the_data(self):
        data = {"genre": np.array(["a"] * 700 + ["b"] * 300)}
        policy = aug.AugmentationPolicy([CategorySwap("genre", rate=1.0)], key_features=("row",))
        policy = aug.fitting.fit(policy, data)
        rows = {"row": tf.range(20_000), "genre": tf.fill([20_000], "x")}
        share = np.mean(policy.augment(rows)["genre"].numpy() == b"a")
        assert abs(share - 0.7) < 4.9 * np.sqrt(0.21 / 20_000)

    def test_an_unfitted_policy_says_how_to_fit(self):
        policy = aug.AugmentationPolicy([CategorySwap("word", rate=0.5)], key_features=("row",))
        assert [str(r) for r in policy.missing_requirements()] == ["marginal of 'word'"]
        with pytest.raises(
            InvalidArgumentError, match=r"marginal of 'word', which is not fitted.*fitting.fit"
        ):
            policy.augment(batch())

    def test_a_batch_of_another_type_than_the_fitted_one_is_refused(self):
        policy = self.policy(CategorySwap("word", rate=0.5))
        with pytest.raises(
            InvalidArgumentError, match="was fitted on strings; the batch holds int64"
        ):
            policy.augment({**batch(), "word": batch()["count"]})


class TestGaussianNoise(OpContract):
    cases = (
        Case(GaussianNoise("number", stddev=0.5, rate=0.7), 0.7),
        Case(GaussianNoise("double", stddev=0.5, unit="stddev", rate=0.4), 0.4),
        Case(GaussianNoise("vector", stddev=0.1, unit="stddev", rate=0.5), 0.5),
        Case(GaussianNoise("times", stddev=2.0, rate=0.3), 0.3),
        # Noise of an integer is rounded: P(|N(0, 2)| > 1/2) = 0.802587 of the values change.
        Case(GaussianNoise("count", stddev=2.0, rate=0.5), 0.5 * 0.802587),
    )

    def test_the_noise_has_its_standard_deviation(self):
        rows = {"row": tf.range(50_000), "x": tf.zeros([50_000])}
        for op, expected in (
            (GaussianNoise("x", stddev=3.0), 3.0),
            (GaussianNoise("x", stddev=0.5, unit="stddev"), 2.0),
        ):
            policy = aug.AugmentationPolicy([op], key_features=("row",))
            policy = aug.fitting.fit(policy, {"x": np.array([-4.0, 4.0, -4.0, 4.0])})
            noise = policy.augment(rows)["x"].numpy()
            assert abs(noise.std() / expected - 1) < 4.9 / np.sqrt(2 * 50_000)
            assert abs(noise.mean()) < 4.9 * expected / np.sqrt(50_000)

    def test_strength_zero_is_the_identity_to_the_bit(self):
        values = tf.constant([0.0, -0.0, np.nan, np.inf, 1e-40], tf.float32)
        rows = {"row": tf.range(5), "x": values}
        policy = aug.AugmentationPolicy(
            [GaussianNoise("x", stddev=0.0, clip_range=(5, 6))], key_features=("row",)
        )
        assert policy.augment(rows)["x"].numpy().tobytes() == values.numpy().tobytes()

    def test_nan_and_infinity_stay(self):
        policy = aug.AugmentationPolicy([GaussianNoise("x", stddev=1.0)], key_features=("row",))
        result = policy.augment({"row": tf.range(3), "x": tf.constant([np.nan, np.inf, -np.inf])})[
            "x"
        ].numpy()
        assert np.isnan(result[0]) and result[1] == np.inf and result[2] == -np.inf

    def test_clip_range(self):
        policy = self.policy(GaussianNoise("number", stddev=50.0, clip_range=(0.0, 10.0)))
        noisy = policy.augment(batch())["number"].numpy()
        assert noisy.min() == 0.0 and noisy.max() == 10.0

    def test_bad_arguments(self):
        for arguments, message in (
            (
                {"stddev": -1.0},
                "`stddev` must be a finite number of at least 0. Received: stddev=-1.0",
            ),
            ({"stddev": float("nan")}, "`stddev` must be a finite"),
            ({"stddev": 1.0, "unit": "percent"}, '`unit` must be "absolute" or "stddev"'),
            ({"stddev": 1.0, "clip_range": (2, 1)}, "low <= high"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                GaussianNoise("x", **arguments)


def subclasses(cls: type) -> set[type]:
    return {cls, *(deep for sub in cls.__subclasses__() for deep in subclasses(sub))}


def test_every_op_has_a_test_class_that_inherits_the_contract():
    tested = {type(case.op) for contract in subclasses(OpContract) for case in contract.cases}
    public = {op for op in ops_base._REGISTRY.values() if op.__module__.startswith("tfrs_augment")}
    assert public == tested


def test_sparse_and_deeply_ragged_columns_are_refused():
    policy = aug.AugmentationPolicy([IdDropout("word", rate=0.5)], key_features=("row",))
    sparse = tf.sparse.from_dense(tf.constant([["a"], ["b"]]))
    with pytest.raises(DataError, match="'word' is a SparseTensor"):
        policy.augment({"row": tf.range(2), "word": sparse})
    with pytest.raises(DataError, match="ragged in one dimension"):
        policy.augment({"row": tf.range(1), "word": tf.ragged.constant([[["a"], []]])})
    assert len(batch()["row"]) == ROWS
