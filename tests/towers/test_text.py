"""Texts by their trigrams, and queries that come with columns of their own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment.datasets.interactions import columns_to_tensors
from tfrs_augment.errors import UnknownFeatureError
from tfrs_augment.towers import Trigrams, TwoTower


def test_a_text_is_the_mean_of_its_trigrams():
    layer = Trigrams(dim=4, buckets=1 << 20)
    found = layer(tf.constant(["ab", "AB ", "", "ab  c"]))
    table = layer._table.embeddings.numpy()

    def row(trigram):
        return table[int(tf.strings.to_hash_bucket_fast(trigram, 1 << 20))]

    np.testing.assert_allclose(found[0], (row("#ab") + row("ab#")) / 2, rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], np.zeros(4))
    words = [row(t) for t in ("#ab", "ab#", "b#c", "#c#")]
    np.testing.assert_allclose(found[3], np.mean(words, axis=0), rtol=1e-5)


def test_a_query_may_come_with_columns_of_its_own(rows):
    queries = np.array([b"red hat", b"blue"] * len(rows))[: len(rows)]
    data = dataclasses.replace(rows, rows={**rows.rows, "query": queries})
    model = TwoTower(data, min_count=2, context_features=("query",), text_features=("query",))
    assert "query" in model.query_model.feature_names
    asked = columns_to_tensors({name: column[:1] for name, column in data.rows.items()
                                if isinstance(column, np.ndarray)})  # fmt: skip
    first = model.query_model(asked)
    other = model.query_model({**asked, "query": tf.constant(["green coat"])})
    assert np.abs(first - other).max() > 1e-4
    with pytest.raises(UnknownFeatureError, match="`context_features` must name.*'querry'"):
        TwoTower(data, context_features=("querry",))
