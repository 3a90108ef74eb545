"""The gate: which weight it chooses, and that trainings differ by their rows alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets import simulated_shop
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation import Protocol, fit_weight, split
from tfrs_augment.evaluation.comparing import mixed_rows
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.evaluation.synthetic import gate
from tfrs_augment.towers.two_tower import CorrectedTwoTower

SHORT = Protocol(epochs=5, optimizer=lambda: tf_keras.optimizers.Adam(0.02))


class Ids(CorrectedTwoTower):
    """Embeddings of known ids and nothing else: traced fast."""

    def __init__(self, train):
        super().__init__(train, temperature=0.1)
        self.query_model = self._tower(train.rows["user_id"], "user_id")
        self.candidate_model = self._tower(train.rows["item_id"], "item_id")

    def _tower(self, ids, name):
        lookup = tf_keras.layers.StringLookup(vocabulary=np.unique(ids))
        embedding = tf_keras.layers.Embedding(lookup.vocabulary_size(), 16)
        inputs = tf_keras.Input([], dtype=tf.string, name=name)
        unit = tf.math.l2_normalize(embedding(lookup(inputs)), axis=1)
        return _OfFeatures(tf_keras.Model(inputs, unit), name)


class _OfFeatures(tf_keras.layers.Layer):
    def __init__(self, model, feature):
        super().__init__()
        self.model, self.feature = model, feature

    def call(self, features, training=False):
        return self.model(features[self.feature])


@pytest.fixture(scope="module")
def shop():
    return simulated_shop("tiny", seed=1)


@pytest.fixture(scope="module")
def one(shop):
    return split(shop, cold_share=0.0)


def by_popularity(one, rows, seed):
    """A real user beside the item of another real row."""
    first, second = np.random.default_rng(seed).integers(len(one.train), size=(2, rows))
    real = one.train.rows
    return {
        "user_id": real["user_id"][first],
        "item_id": real["item_id"][second],
        "rating": real["rating"][second],
    }


def summed(means, users=60, seeds=4, noise=0.02):
    """Sums of a metric whose mean, by column, is given, with noise of users and of trainings."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(seeds):
        of_user = rng.normal(0, 0.1, (users, 1))
        of_run = rng.normal(0, noise, (1, len(means)))
        totals = np.asarray(means) + of_user + of_run + rng.normal(0, 0.02, (users, len(means)))
        made.append(bootstrap.Sums(totals, np.ones_like(totals)))
    return made


class TestJudge:
    """Choosing from the metrics of finished trainings."""

    NAMES = (
        gate.NONE,
        gate.AGAIN,
        "synthetic 0.1",
        "synthetic 1",
        "popularity 0.1",
        "popularity 1",
    )

    def judge(self, *means, **options):
        return gate._judge(self.NAMES, summed(means, **options), (0.1, 1.0))

    def test_a_clear_gain_is_taken(self):
        found = self.judge(0.3, 0.3, 0.32, 0.4, 0.3, 0.3, noise=0.002)
        assert found.weight == 1 and found.verdict.startswith("weight 1: gain of +0.09")
        assert "popularity" not in found.verdict
        assert found.confidence == 0.975

    def test_a_gain_within_the_noise_is_none(self):
        found = self.judge(0.3, 0.3, 0.305, 0.302, 0.3, 0.3, noise=0.02)
        assert found.weight == 0 and found.verdict.startswith("weight 0: no gain; the best of 2")

    def test_a_gain_over_one_initialization_alone_is_none(self):
        found = self.judge(0.3, 0.35, 0.34, 0.33, 0.3, 0.3, noise=0.002)
        assert found.weight == 0 and "no gain" in found.verdict
        assert found.trials["synthetic 0.1"].difference_low > 0

    def test_one_seed_whose_repetition_differs_as_much_shows_no_gain(self):
        found = self.judge(0.3, 0.275, 0.3, 0.32, 0.3, 0.3, noise=0.0, seeds=1)
        assert found.trials["synthetic 1"].difference_low > 0
        assert found.noise == pytest.approx(0.025, abs=0.005)
        assert found.weight == 0 and "no gain" in found.verdict

    def test_a_loss_is_no_gain(self):
        assert self.judge(0.3, 0.3, 0.2, 0.25, 0.3, 0.3, noise=0.002).weight == 0

    def test_what_popularity_gives_as_well_is_said(self):
        found = self.judge(0.3, 0.3, 0.38, 0.4, 0.4, 0.3, noise=0.002)
        assert found.weight == 1
        assert "not clear of popularity sampling, which gave +0.10" in found.verdict


@pytest.mark.slow
def test_rows_that_show_what_users_like_are_taken(shop, one):
    def truth(one, rows, seed):
        noise = np.random.default_rng(seed).gumbel(size=shop.truth.choice_scores().shape)
        count = -(-rows // len(noise))
        chosen = np.argsort(-(shop.truth.choice_scores() + noise), axis=1)[:, :count]
        user = np.repeat(np.arange(len(noise)), count)
        order = np.random.default_rng(seed).permutation(len(user))[:rows]
        return {
            "user_id": shop.truth.user_ids[user[order]],
            "item_id": shop.truth.item_ids[chosen.ravel()[order]],
            "rating": np.full(rows, 3, np.float32),
        }

    found = fit_weight(
        Ids,
        lambda seed: one,
        truth,
        weights=(0, 1),
        popularity=by_popularity,
        seeds=(5, 6),
        protocol=SHORT,
        progress=False,
    )
    assert found.weight == 1, found.table()
    assert found.trials["synthetic 1"].difference > 0.02 > found.trials["popularity 1"].difference
    assert list(found.trials) == [gate.NONE, gate.AGAIN, "synthetic 1", "popularity 1"]
    assert found.verdict in found.table()
    assert json.loads(json.dumps(found.to_dict()))["weight"] == 1


def test_synthetic_rows_change_the_rows_of_a_training_and_nothing_else(one, monkeypatch):
    seen = {}

    def train(model, split, protocol, **options):
        seen.update(options, split=split)

    monkeypatch.setattr(mixed_rows, "train", train)
    rows = mixed_rows.with_synthetic(one.train, by_popularity(one, 2 * len(one.train), 0))
    built = []
    mixed_rows.train_on(lambda given: built.append(given), one, rows, SHORT, seed=3)
    # Steps, seen items, warm items and validation are those of the split.
    assert seen == {"split": one, "rows": rows, "seed": 3}
    assert built == [rows] and len(rows) == 3 * len(one.train)


def test_features_of_synthetic_rows_are_joined(one):
    columns = by_popularity(one, 300, 0)
    rows = mixed_rows.with_synthetic(one.train, columns)
    extra = rows.take(np.arange(len(one.train), len(rows)))
    assert len(extra) == 300
    brand = extra.items["item_brand"][extra.item_index()]
    np.testing.assert_array_equal(extra.rows["item_brand"], brand)
    assert set(extra.rows["timestamp"]) == {one.train.rows["timestamp"].max()}
    assert {k: v.dtype.kind for k, v in rows.rows.items()} == {
        k: v.dtype.kind for k, v in one.train.rows.items()
    }


def test_bad_rows_and_arguments_are_refused(one):
    columns = by_popularity(one, 10, 0)
    arms = gate._arms(one, {"synthetic": lambda *arguments: columns}, (1.0,), 0)
    with pytest.raises(DataError, match="A weight of 1 needs .* Received: 10 \\(synthetic"):
        list(arms)
    del columns["rating"]
    with pytest.raises(DataError, match="of their own. Received: no 'rating'"):
        mixed_rows.with_synthetic(one.train, columns)
    with pytest.raises(InvalidArgumentError, match="`weights` must be finite and at least 0"):
        fit_weight(Ids, one, by_popularity, weights=(-1.0,), popularity=by_popularity)
    with pytest.raises(InvalidArgumentError, match="`weights` must hold one above 0"):
        fit_weight(Ids, one, by_popularity, weights=(0.0,), popularity=by_popularity)
    with pytest.raises(InvalidArgumentError, match="`seeds` must be distinct"):
        fit_weight(Ids, one, by_popularity, seeds=(1, 1), popularity=by_popularity)
