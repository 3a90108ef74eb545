"""The metric that counts no tie as a hit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_augment as aug
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation import rank

KS = (1, 5, 100)
NUMBERS = np.random.default_rng(6)
# Coarse numbers, so that many scores tie.
CORPUS = NUMBERS.integers(-1, 2, (60, 3)).astype(np.float32)
TRUE = NUMBERS.integers(0, 60, 40)
QUERIES = NUMBERS.integers(-1, 2, (40, 3)).astype(np.float32)


def dataset(with_ids: bool, size: int = 17) -> tf.data.Dataset:
    embeddings = tf.data.Dataset.from_tensor_slices(CORPUS)
    if with_ids:
        ids = tf.data.Dataset.from_tensor_slices([f"i{i}" for i in range(60)])
        embeddings = tf.data.Dataset.zip((ids, embeddings))
    return embeddings.batch(size)


def results(metric, **arguments) -> list[float]:
    metric.update_state(QUERIES, CORPUS[TRUE], **arguments)
    return [float(one) for one in metric.result()]


def expected(weight=None) -> list[float]:
    """By the evaluation core."""
    ranks = rank(QUERIES, CORPUS, np.arange(40), TRUE)
    return [np.average(ranks.recall(k), weights=weight) for k in KS]


@pytest.mark.parametrize("given", ["scores", "ids", "streaming", "brute force"])
def test_it_agrees_with_the_evaluation_core(given):
    top_k = tfrs.layers.factorized_top_k
    corpus = dataset(with_ids=given != "scores")
    if given == "streaming":
        corpus = top_k.Streaming().index_from_dataset(corpus)
    elif given == "brute force":
        corpus = top_k.BruteForce().index_from_dataset(corpus)
    ids = None if given == "scores" else tf.constant([f"i{i}" for i in TRUE])
    found = results(aug.tasks.TieAwareTopK(corpus, KS), true_candidate_ids=ids)
    np.testing.assert_allclose(found, expected(), rtol=1e-5)
    weight = NUMBERS.uniform(size=40).astype(np.float32)
    weighted = results(
        aug.tasks.TieAwareTopK(corpus, KS), true_candidate_ids=ids, sample_weight=weight
    )
    np.testing.assert_allclose(weighted, expected(weight), rtol=1e-5)


def test_a_constant_tower_scores_like_chance_and_not_like_the_best():
    corpus = tf.data.Dataset.from_tensor_slices(tf.ones([500, 4])).batch(100)
    plain = tfrs.metrics.FactorizedTopK(candidates=corpus, ks=(1, 10))
    tied = aug.tasks.TieAwareTopK(corpus, ks=(1, 10))
    for metric in (plain, tied):
        metric.update_state(tf.ones([8, 4]), tf.ones([8, 4]))
    assert [float(one) for one in plain.result()] == [1.0, 1.0]
    np.testing.assert_allclose([float(one) for one in tied.result()], [1 / 500, 10 / 500])


def test_sums_that_differ_by_rounding_tie():
    numbers = np.random.default_rng(1).normal(size=64).astype(np.float32)
    permuted = np.stack([numbers, numbers[::-1], np.roll(numbers, 5)])
    metric = aug.tasks.TieAwareTopK(tf.data.Dataset.from_tensors(permuted), ks=(1,))
    metric.update_state(tf.ones([1, 64]), permuted[:1])
    assert float(metric.result()[0]) == pytest.approx(1 / 3)


def test_it_is_a_drop_in_for_the_metric_of_a_task():
    class Model(tfrs.Model):
        def __init__(self, metric):
            super().__init__()
            self.corpus = tf.Variable(CORPUS)
            corpus = dataset(with_ids=True)
            self.task = tfrs.tasks.Retrieval(metrics=metric(corpus, ks=KS))

        def compute_loss(self, features, training=False):
            return self.task(
                features["query"],
                tf.gather(self.corpus, features["place"]),
                candidate_ids=features["id"],
                compute_metrics=not training,
            )

    data = {"query": QUERIES, "place": TRUE, "id": [f"i{i}" for i in TRUE]}
    data = tf.data.Dataset.from_tensor_slices(data).batch(16)
    names = []
    for metric in (aug.tasks.TieAwareTopK, tfrs.metrics.FactorizedTopK):
        model = Model(metric)
        model.compile("sgd")
        found = model.evaluate(data, return_dict=True, verbose=0)
        names.append([name for name in found if "accuracy" in name])
        if metric is aug.tasks.TieAwareTopK:
            np.testing.assert_allclose([found[n] for n in names[0]], expected(), rtol=1e-5)
            # A second evaluation starts anew.
            assert model.evaluate(data, return_dict=True, verbose=0) == found
    assert names[0] == names[1] and len(names[0]) == 3


def test_arguments_are_checked():
    for ks in ((), (0,), (1.5,)):
        with pytest.raises(InvalidArgumentError, match="`ks` of TieAwareTopK must be integers"):
            aug.tasks.TieAwareTopK(dataset(False), ks)
    for corpus in (CORPUS, tfrs.layers.factorized_top_k.BruteForce()):
        with pytest.raises(InvalidArgumentError, match="must be a dataset of batches"):
            aug.tasks.TieAwareTopK(corpus)
