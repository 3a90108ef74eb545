"""The tabular ops: the contract, and what is particular to each."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of, take
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import (
    CategorySwap,
    DomainSwap,
    FeatureCrop,
    FeatureMask,
    IdDropout,
    InBatchSwap,
)


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
            match="`oov_token` must fit 'count' of type int64. Received: oov_token='x'",
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


def swap_row_effect(rate: float, name: str) -> float:
    """The chance that a row with values differs after taking those of a row drawn evenly."""
    rows = [np.ravel(row).tolist() for row in rows_of(batch()[name])]
    same = [rows.count(row) / len(rows) for row in rows if row]
    return rate * (1 - float(np.mean(same)))


class TestFeatureCrop(OpContract):
    # Of four features ceil(0.5 * 4) = 2 to ceil(0.9 * 4) = 4 are kept, so a quarter is masked on average.
    cases = (
        Case(FeatureCrop(("word", "number", "vector", "count"), rate=0.6), 0.15, per_row=True),
        Case(FeatureCrop(("tags", "words"), keep_range=(0.5, 0.5), rate=0.8), 0.4, per_row=True),
    )

    def test_what_is_kept_is_a_run_of_neighbours(self):
        group = ("word", "count", "number", "small")
        op = FeatureCrop(group, keep_range=(0.25, 1.0))
        result = self.policy(op).augment(batch())
        masked = {"word": b"[UNK]", "count": -1, "number": 0.0, "small": -1}
        kept = np.array([[v != masked[n] for v in rows_of(result[n])] for n in group]).T
        runs = np.diff(np.pad(kept.astype(int), ((0, 0), (1, 1))), axis=1)
        assert (np.sum(runs == 1, axis=1) == 1).all()
        lengths = np.bincount(kept.sum(axis=1), minlength=5)
        assert lengths[0] == 0
        assert (np.abs(lengths[1:] - ROWS / 4) < 4.9 * np.sqrt(ROWS * 0.25 * 0.75)).all()

    def test_bad_arguments(self):
        for arguments, message in (
            ({"group": ("a",)}, "at least two features"),
            ({"group": ("a", "a")}, "each once"),
            ({"group": ("a", "b"), "keep_range": (0.0, 0.5)}, "must start above 0"),
            ({"group": ("a", "b"), "keep_range": (0.5, 1.5)}, r"low <= high in \[0, 1\]"),
            ({"group": ("a", "b"), "mask_values": {"c": 1}}, "may only name features"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                FeatureCrop(**arguments)


class TestDomainSwap(OpContract):
    cases = (
        Case(DomainSwap("word", rate=0.3), 0.3),
        Case(DomainSwap("tags", rate=0.2, domains=("ios", "android")), 0.2),
        Case(DomainSwap("small", rate=0.5, domains=(1, 2, 3)), 0.5),
    )

    def test_every_other_domain_is_as_likely_and_the_own_never_drawn(self):
        domains = ("ios", "android", "web")
        rows = {"row": tf.range(30_000), "device": tf.repeat(["ios", "web", "tv"], 10_000)}
        policy = aug.AugmentationPolicy(
            [DomainSwap("device", rate=1.0, domains=domains)], key_features=("row",)
        )
        found = policy.augment(rows)["device"].numpy().astype(str).reshape(3, 10_000)
        for own, drawn in zip(("ios", "web", "tv"), found, strict=True):
            others = [d for d in domains if d != own]
            shares = [np.mean(drawn == d) for d in others]
            assert abs(sum(shares) - 1.0) < 1e-9
            chance = 1 / len(others)
            assert all(
                abs(s - chance) < 4.9 * np.sqrt(chance * (1 - chance) / 10_000) for s in shares
            )

    def test_bad_arguments(self):
        for domains in ((), ("a",), ("a", "a"), ("a", 1)):
            with pytest.raises(InvalidArgumentError, match="`domains` must"):
                DomainSwap("device", rate=0.5, domains=domains)
        with pytest.raises(InvalidArgumentError, match="`domains` must fit a int64 feature"):
            self.policy(DomainSwap("count", rate=0.5, domains=("a", "b"))).augment(batch())


class TestInBatchSwap(OpContract):
    cases = tuple(
        Case(
            InBatchSwap(name, rate=rate),
            swap_row_effect(rate, name),
            per_row=True,
            layouts_agree=False,
        )
        for name, rate in (("word", 0.4), ("vector", 0.3), ("tags", 0.5), ("small", 0.2))
    )

    def test_features_come_from_one_partner_together(self):
        rows = {**batch(), "twin": batch()["row"] * 10}
        policy = aug.AugmentationPolicy(
            [InBatchSwap(("row", "twin"), rate=0.5)], key_features=("word", "row")
        )
        for variant in (policy, aug.fitting.fit(policy, rows)):
            result = variant.augment(rows)
            assert np.array_equal(result["twin"], result["row"] * 10)
            assert 0.4 < np.mean(result["row"].numpy() != np.arange(ROWS)) < 0.6

    def test_the_pool_is_the_same_from_other_batches(self):
        rows = {"row": tf.range(20_000), "x": tf.random.stateless_normal([20_000], (1, 2))}
        policy = aug.AugmentationPolicy([InBatchSwap("x", rate=1.0)], key_features=("row",))
        whole = aug.fitting.fit(policy, rows)
        order = np.random.default_rng(0).permutation(20_000)
        parts = [take(rows, part) for part in np.array_split(order, 7)]
        assert aug.fitting.fit(policy, parts).fingerprint == whole.fingerprint
        assert len(whole.fitted[whole.requirements()[0]]["row_splits"]) == 4097

    def test_a_dense_column_takes_no_ragged_pool(self):
        policy = self.policy(InBatchSwap("tags", rate=0.5))
        with pytest.raises(InvalidArgumentError, match="has rows of other lengths in the pool"):
            policy.augment({**batch(), "tags": batch()["word"]})


def test_sparse_and_deeply_ragged_columns_are_refused():
    policy = aug.AugmentationPolicy([IdDropout("word", rate=0.5)], key_features=("row",))
    sparse = tf.sparse.from_dense(tf.constant([["a"], ["b"]]))
    with pytest.raises(DataError, match="'word' is a SparseTensor"):
        policy.augment({"row": tf.range(2), "word": sparse})
    with pytest.raises(DataError, match="ragged in one dimension"):
        policy.augment({"row": tf.range(1), "word": tf.ragged.constant([[["a"], []]])})
    assert len(batch()["row"]) == ROWS
