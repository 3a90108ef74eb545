"""`inspect`: the statistics of files, against what was written."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.beam import statistics
from tfrs_augment.errors import DataError
from tfrs_augment.schema import Schema

N = 500


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    serialized = rows.records(N)
    late = rows.example(late=[float("nan"), -1.0])
    rows.write(folder / "a.tfrecord", serialized[:100])
    rows.write(folder / "b.tfrecord.gz", [*serialized[100:], b"\xff no example", late], "GZIP")
    return aug.beam.inspect([str(folder / "a*"), str(folder / "b*")])


def test_records_and_features(found):
    assert (found.files, found.records, found.rejected) == (2, N + 1, 1)
    assert "b.tfrecord.gz, offset" in found.reasons[0]
    names = ["age", "gender", "genres", "late", "movie_id", "timestamp", "untouched", "user_id"]
    assert list(found.features) == names


def test_values_are_those_that_were_written(found):
    written = [rows.row(i) for i in range(N)]
    for name in ("age", "gender", "genres", "movie_id", "timestamp"):
        values = [value for row in written for value in row.get(name, [])]
        feature = found.features[name]
        assert feature.values == len(values)
        assert feature.counts == collections.Counter(values)
        assert feature.rows == sum(name in row for row in written)
    age = [row["age"][0] for row in written]
    feature = found.features["age"]
    assert (feature.minimum, feature.maximum) == (min(age), max(age))
    assert feature.mean == pytest.approx(np.mean(age))
    assert found.features["gender"].finite == 0 and np.isnan(found.features["gender"].mean)


def test_lengths_and_numbers_that_are_none(found):
    lengths = {n: (f.shortest, f.longest) for n, f in found.features.items()}
    assert lengths["genres"] == (0, 3) and lengths["untouched"] == (0, 2)
    late = found.features["late"]
    assert (late.kind, late.rows, late.values, late.finite, late.minimum) == (
        "float",
        1,
        2,
        1,
        -1.0,
    )


def test_many_values_are_no_longer_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "MAX_DISTINCT", 50)
    path = rows.write(tmp_path / "a.tfrecord", rows.records(60))
    features = aug.beam.inspect(str(path)).features
    assert features["timestamp"].counts is None and features["timestamp"].values == 60
    assert len(features["gender"].counts) == 2


def test_a_schema_names_the_features(tmp_path):
    path = rows.write(tmp_path / "a.tfrecord", rows.records(5))
    found = aug.beam.inspect(str(path), schema=Schema({"age": "float", "absent": "bytes"}))
    assert list(found.features) == ["absent", "age"] and found.features["absent"].rows == 0
    with pytest.raises(DataError, match="no usable record.*'age' must be of kind bytes"):
        aug.beam.inspect(str(path), schema=Schema({"age": "bytes"}))
    empty = rows.write(tmp_path / "empty.tfrecord", [])
    with pytest.raises(DataError, match="no tf.train.Example with a feature"):
        aug.beam.inspect(str(empty))
