"""Sampling probabilities that follow what was trained on, within TFRS's clip."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_augment as aug
from tests.tasks import reference
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError

COUNTS = {"movie_id": {"12": 6, "50": 2, "7": 0}, "user_id": {"1": 8}}


def test_shares_come_from_the_jobs_counts(tmp_path):
    (tmp_path / "item_counts.json").write_text(json.dumps(COUNTS))
    for source in (tmp_path, tmp_path / "item_counts.json", str(tmp_path), COUNTS):
        found = aug.tasks.sampling_probabilities(source, ["50", "12"], feature="movie_id")
        assert found.tolist() == [0.25, 0.75] and found.dtype == np.float32
    shares = aug.tasks.SamplingProbabilities(COUNTS, "movie_id")
    graph = tf.function(lambda ids: shares(ids))
    assert graph(tf.constant([12, 50], tf.int64)).numpy().tolist() == [0.75, 0.25]
    # An id that was not counted must not look 1e6 times as rare as it can be.
    assert shares(["never"]).numpy().tolist() == [0.125]
    assert aug.tasks.sampling_probabilities({b"12": 1, "50": 3}, [b"12"]).tolist() == [0.25]


def test_augmented_copies_change_the_counts_and_so_the_shares(tmp_path):
    """The whole way: the job writes the counts, the task corrects by them."""
    rows = [("1", "12"), ("1", "50"), ("2", "12"), ("2", "12")]
    with tf.io.TFRecordWriter(str(tmp_path / "in.tfrecord")) as writer:
        for user, movie in rows:
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                for name, value in (("user_id", user), ("movie_id", movie))
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("movie_id", rate=0.5)], key_features=("user_id", "movie_id")
    )
    aug.beam.run(
        policy, input=str(tmp_path / "in.tfrecord"), output=str(tmp_path / "out"), copies=4
    )
    written = json.loads((tmp_path / "out" / "item_counts.json").read_text())["movie_id"]
    assert sum(written.values()) == 20 and written["[UNK]"] > 0
    found = aug.tasks.sampling_probabilities(tmp_path / "out", list(written))
    np.testing.assert_allclose(found, np.array([*written.values()]) / 20, rtol=1e-6)


def test_expected_counts_above_one_are_handled():
    numbers = np.random.default_rng(0)
    queries, candidates = numbers.normal(size=(2, 4, 3)).astype(np.float32)
    expected_counts = np.array([4.0, 2.0, 0.5, 1e-7], np.float32)
    task = tfrs.tasks.Retrieval()

    def loss(probabilities):
        return float(
            task(
                queries,
                candidates,
                candidate_sampling_probability=probabilities,
                compute_metrics=False,
            )
        )

    ids = np.arange(4)
    right = reference.sampled_softmax(queries, candidates, ids, ids, [4.0, 2.0, 0.5, 4e-6])
    # As they are they would be clipped to [1e-6, 1], and 4, 2 and 1 be one.
    assert abs(loss(expected_counts) - right) > 0.5
    found = loss(aug.tasks.rescaled_probabilities(expected_counts))
    # The last is below even the rescaled range, and is clipped to 1e-6 of the largest.
    assert found == pytest.approx(right, rel=1e-5)


def test_bad_counts_are_refused(tmp_path):
    with pytest.raises(DataError, match="item_counts.json, which the Beam job writes. Received"):
        aug.tasks.SamplingProbabilities(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        aug.tasks.SamplingProbabilities(tmp_path / "bad.json")
    with pytest.raises(UnknownFeatureError, match="Received: feature='movie'. Did you mean"):
        aug.tasks.SamplingProbabilities(COUNTS, "movie")
    with pytest.raises(UnknownFeatureError, match="Received: feature=None"):
        aug.tasks.SamplingProbabilities(COUNTS)
    with pytest.raises(InvalidArgumentError, match="not empty. Received: a dict of 0"):
        aug.tasks.SamplingProbabilities({})
    for counts in ({"a": -1}, {"a": 0}, {"a": float("nan")}, {"movie_id": {}}):
        with pytest.raises(DataError, match="`counts` must hold"):
            aug.tasks.SamplingProbabilities(counts)
