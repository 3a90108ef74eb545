"""`validate`: what it says of policies, schemas, data and vocabularies."""

from __future__ import annotations

import pytest

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.ops import FeatureMask, GaussianNoise, IdDropout
from tfrs_augment.schema import Domain, Schema

KINDS = {
    "user_id": "bytes",
    "movie_id": "bytes",
    "timestamp": "int64",
    "gender": "bytes",
    "genres": "bytes",
    "age": "float",
}
KEYS = ("user_id", "movie_id", "timestamp")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("validate") / "in.tfrecord"
    return str(rows.write(path, rows.records(300)))


def said(policy=rows.POLICY, **arguments) -> list[str]:
    return [str(finding) for finding in aug.beam.validate(policy, **arguments)]


def test_nothing_to_say(source):
    assert said(schema=Schema(KINDS)) == []
    movies = sorted({rows.row(i)["movie_id"][0] for i in range(300)})
    assert said(input=source, vocabularies={"movie_id": movies}) == []


def test_all_errors_of_a_schema_are_listed():
    kinds = {**KINDS, "age": "bytes", "movie": "bytes"}
    del kinds["movie_id"], kinds["timestamp"]
    found = said(schema=Schema(kinds))
    assert found == [
        "error: IdDropout 'movie_id' names feature 'movie_id'. Did you mean 'movie' or 'user_id'? "
        "Known: 'age', 'gender', 'genres', 'movie', 'user_id'.",
        "error: GaussianNoise 'age' takes float or int64 features. Received: 'age' of kind bytes.",
        "error: key_features names feature 'movie_id'. Did you mean 'movie' or 'user_id'? "
        "Known: 'age', 'gender', 'genres', 'movie', 'user_id'.",
        "error: key_features names feature 'timestamp'. "
        "Known: 'age', 'gender', 'genres', 'movie', 'user_id'.",
    ]


def test_a_schema_that_is_not_the_datas(source):
    found = said(input=source, schema=Schema({**KINDS, "age": "int64"}))
    assert found == ["error: 'age' is int64 in the schema and float in the data"]


def test_policies_that_do_nothing_or_tell_no_rows_apart():
    assert said(aug.AugmentationPolicy([])) == [
        "warning: the policy has no ops: it changes nothing",
        "warning: the policy has no key_features: a job cannot tell rows apart",
    ]
    never = aug.AugmentationPolicy([IdDropout("movie_id", rate=0.0)], key_features=KEYS)
    assert said(never) == ["warning: IdDropout 'movie_id' has rate 0: it changes nothing"]


def test_keys_that_many_rows_share(source):
    policy = aug.AugmentationPolicy([IdDropout("movie_id", rate=0.1)], key_features=["user_id"])
    (found,) = said(policy, input=source)
    assert "203 of 300 rows have the key of another row" in found and "user_id do not" in found


def test_records_that_a_job_would_reject(tmp_path):
    some = [*rows.records(10), rows.example(user_id=[b"u"], timestamp=[1])]
    path = str(rows.write(tmp_path / "some.tfrecord", some))
    (found,) = said(input=path)
    assert found.startswith("warning: 1 of 11 records would be rejected; 1 because key feature")
    row = {**rows.row(0), "movie_id": [b"a", b"b"], "genres": [b"War"]}
    path = str(rows.write(tmp_path / "all.tfrecord", [rows.example(**row)]))
    assert said(input=path)[0].startswith("error: 1 of 1 records would be rejected")


def test_values_that_leave_the_domain(source):
    ops = [FeatureMask("gender", rate=0.5), GaussianNoise("age", stddev=0.1, clip_range=(10, 59))]
    policy = aug.AugmentationPolicy(ops, key_features=KEYS)
    domains = {"gender": Domain(values=frozenset([b"F", b"M"])), "age": Domain(10.0, 59.0)}
    found = said(policy, input=source, schema=Schema(KINDS, domains))
    assert found == ["warning: the policy gives 'gender' values outside the schema's domain: [UNK]"]


def test_vocabularies(source):
    movies = {rows.row(i)["movie_id"][0].decode() for i in range(300)}
    known = [*sorted(movies - {"m0"}), "ghost", "never"]
    unseen, outside = said(input=source, vocabularies={"movie_id": known})
    assert "2 of 212 ids in the vocabulary of 'movie_id' are in no row" in unseen
    assert unseen.endswith("never trained: ghost, never")
    assert "1 of 211 ids of 'movie_id' (0.7% of its values) are not in the vocabulary" in outside
    times = said(input=source, vocabularies={"timestamp": [b"0", b"1000"]})
    assert "1 of 2 ids in the vocabulary of 'timestamp'" in times[0]


def test_vocabularies_that_cannot_be_compared(source):
    with pytest.raises(InvalidArgumentError, match="pass `input`"):
        said(vocabularies={"movie_id": ["a"]})
    with pytest.raises(UnknownFeatureError, match="a vocabulary names feature 'movie'"):
        said(input=source, vocabularies={"movie": ["a"]})
    with pytest.raises(DataError, match="vocabulary of 'timestamp' must hold integers"):
        said(input=source, vocabularies={"timestamp": ["a"]})
