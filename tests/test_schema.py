"""Schemas: inferred from tensors and records, and required."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.beam.rows import example
from tfrs_augment.errors import DataError, UnknownFeatureError
from tfrs_augment.schema import Domain, Schema


def test_of_tensors():
    features = {
        "a": tf.constant(["x"]),
        "b": tf.constant([1.0]),
        "c": tf.ragged.constant([[1], []]),
    }
    assert Schema.of_tensors(features).kinds == {"a": "bytes", "b": "float", "c": "int64"}


def test_of_examples_takes_the_kind_of_most_records():
    records = [
        example(a=[b"x"], b=[1.0]),
        b"\xff no example",
        example(a=[b"y"]),
        example(a=[3], c=[2]),
    ]
    assert Schema.of_examples(records).kinds == {"a": "bytes", "b": "float", "c": "int64"}
    unset = tf.train.Example(features=tf.train.Features(feature={"d": tf.train.Feature()}))
    assert Schema.of_examples([unset.SerializeToString()]).kinds == {}


def test_require():
    schema = Schema({"age": "float"})
    assert schema.require("age", ("float", "int64"), "an op") == "float"
    with pytest.raises(UnknownFeatureError, match="an op names feature 'aeg'. Did you mean 'age'"):
        schema.require("aeg", ("float",), "an op")
    with pytest.raises(
        DataError, match="an op takes bytes features. Received: 'age' of kind float"
    ):
        schema.require("age", ("bytes",), "an op")


PBTXT = """
feature { name: "movie_id" type: BYTES presence { min_fraction: 1.0 min_count: 1 } domain: "movies" }
feature { name: "gender" type: BYTES string_domain { value: "F" value: "M" } }
feature { name: "age" type: FLOAT float_domain { min: 0.0 max: 120.0 } }
feature { name: "count" type: INT int_domain { min: 0 } }
feature { name: "code" type: BYTES int_domain { min: 0 } }
feature { name: "untyped" int_domain { max: 3 } }
feature { name: "old" type: INT lifecycle_stage: DEPRECATED }
feature { name: "nested" type: STRUCT }
string_domain { name: "movies" value: "m1" value: "m\\303\\251" }
"""


def load(tmp_path, text: str) -> Schema:
    pytest.importorskip("tensorflow_metadata.proto.v0.schema_pb2", exc_type=ImportError)
    (tmp_path / "schema.pbtxt").write_text(text)
    return Schema.load(tmp_path / "schema.pbtxt")


def test_load(tmp_path):
    schema = load(tmp_path, PBTXT)
    assert schema.kinds == {
        "movie_id": "bytes",
        "gender": "bytes",
        "age": "float",
        "count": "int64",
        "code": "bytes",
        "untyped": "int64",
    }
    assert schema.domains == {
        "movie_id": Domain(values=frozenset([b"m1", "m\u00e9".encode()])),
        "gender": Domain(values=frozenset([b"F", b"M"])),
        "age": Domain(0.0, 120.0),
        "count": Domain(minimum=0),
        "untyped": Domain(maximum=3),
    }
    assert schema.presence == {"movie_id": 1.0}


def test_domains():
    assert Domain(0.0, 2.0).outside([-0.5, 0.0, 2.0, 3.0]) == [-0.5, 3.0]
    assert Domain(minimum=1).outside([0, 10**9]) == [0]
    assert Domain(values=frozenset([b"F"])).outside([b"F", b"X"]) == [b"X"]


def test_files_that_are_no_schema(tmp_path):
    with pytest.raises(DataError, match="schema.pbtxt' is no schema.pbtxt .* 1:1"):
        load(tmp_path, "nonsense { }")
    with pytest.raises(DataError, match="declares no feature with a type"):
        load(tmp_path, 'feature { name: "a" }')
    with pytest.raises(DataError, match="absent.pbtxt' cannot be read"):
        Schema.load(tmp_path / "absent.pbtxt")
