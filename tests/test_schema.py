"""Schemas: inferred from tensors and records, and required."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.beam.rows import example
from tfrs_augment.errors import DataError, UnknownFeatureError
from tfrs_augment.schema import Schema


def test_of_tensors():
    features = {"a": tf.constant(["x"]), "b": tf.constant([1.0]), "c": tf.ragged.constant([[1], []])}
    assert Schema.of_tensors(features).kinds == {"a": "bytes", "b": "float", "c": "int64"}


def test_of_examples_takes_the_kind_of_most_records():
    records = [example(a=[b"x"], b=[1.0]), b"\xff no example", example(a=[b"y"]), example(a=[3], c=[2])]
    assert Schema.of_examples(records).kinds == {"a": "bytes", "b": "float", "c": "int64"}
    unset = tf.train.Example(features=tf.train.Features(feature={"d": tf.train.Feature()}))
    assert Schema.of_examples([unset.SerializeToString()]).kinds == {}


def test_require():
    schema = Schema({"age": "float"})
    assert schema.require("age", ("float", "int64"), "an op") == "float"
    with pytest.raises(UnknownFeatureError, match="an op names feature 'aeg'. Did you mean 'age'"):
        schema.require("aeg", ("float",), "an op")
    with pytest.raises(DataError, match="an op takes bytes features. Received: 'age' of kind float"):
        schema.require("age", ("bytes",), "an op")
