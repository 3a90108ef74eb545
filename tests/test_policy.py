"""The policy: JSON, fingerprints, checks, keys."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests import golden
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.ops import CategorySwap, FeatureMask, GaussianNoise, IdDropout
from tfrs_augment.schema import Schema

OPS = (
    IdDropout("movie_id", rate=0.2),
    FeatureMask(("age", "gender"), rate=0.1, mask_values={"age": -1.0}),
    CategorySwap("genre", rate=0.05),
    GaussianNoise("age", stddev=0.1, unit="stddev", clip_range=(0.0, 99.0)),
)
POLICY = aug.AugmentationPolicy(OPS, seed=7, key_features=("user_id", "movie_id"))


def rows() -> dict[str, tf.Tensor]:
    n = 40
    return {
        "user_id": tf.constant([f"u{i % 9}" for i in range(n)]),
        "movie_id": tf.constant([f"m{i}" for i in range(n)]),
        "age": tf.constant(np.arange(n), tf.float32),
        "gender": tf.constant(["F", "M"] * (n // 2)),
        "genre": tf.constant(["Drama", "War", "Drama", "Comedy"] * (n // 4)),
    }


def test_json_round_trip(tmp_path: pathlib.Path):
    POLICY.save(tmp_path / "policy.json")
    loaded = aug.AugmentationPolicy.load(tmp_path / "policy.json")
    assert loaded == POLICY and loaded.fingerprint == POLICY.fingerprint
    fitted = aug.fitting.fit(POLICY, rows())
    fitted.fitted.save(tmp_path / "fitted.json")
    again = loaded.with_fitted(aug.ops.FittedState.load(tmp_path / "fitted.json"))
    assert again.fingerprint == fitted.fingerprint != POLICY.fingerprint
    first, second = fitted.augment(rows(), draw=3), again.augment(rows(), draw=3)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_files_of_format_1_keep_their_meaning():
    path = pathlib.Path(golden.__file__).parent / "policy_v1.json"
    policy = aug.AugmentationPolicy.load(path)
    assert policy == POLICY
    result = aug.fitting.fit(policy, rows()).augment(rows(), draw=1)
    frozen = {
        name: result[name].numpy().astype(str).tolist() for name in ("movie_id", "gender", "genre")
    }
    golden.check("policy_v1_rows.json", "rows", frozen)
    golden.check("policy_v1_rows.json", "age", result["age"].numpy().tolist(), rtol=1e-5)
    golden.check("policy_v1_rows.json", "fingerprint", policy.fingerprint)


def test_arguments_with_defaults_may_be_left_out():
    noise = {"op": "GaussianNoise", "feature": "a", "stddev": 1}
    policy = aug.AugmentationPolicy.from_config(
        {"format_version": 1, "key_features": ["a"], "ops": [noise]}
    )
    assert policy.ops[0].rate == 1.0 and policy.ops[0].id == "gaussian_noise:a" and policy.seed == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, r"`format_version` must be from 1 to 1. Received: 2.*upgrade"),
        ({"format_version": None}, "`format_version` must be"),
        ({"sed": 1}, "Unknown field 'sed' in the policy. Did you mean 'seed'"),
        ({"seed": -1}, r"`seed` must be an integer in \[0, 2\*\*63\). Received: seed=-1"),
        ({"seed": True}, "`seed` must be an integer"),
        ({"key_features": ["a", "a"]}, "`key_features` must be distinct"),
        ({"ops": {}}, "`ops` must be a list"),
        (
            {"ops": [{"op": "IdDroput"}]},
            r"ops\[0\]: there is no op 'IdDroput'. Did you mean 'IdDropout'",
        ),
        ({"ops": [{"feature": "a"}]}, r'ops\[0\] must be an object with an "op"'),
        (
            {"ops": [{"op": "IdDropout", "feature": "a", "rte": 0.1}]},
            r"ops\[0\] \(IdDropout\): unknown argument 'rte'. Did you mean 'rate'",
        ),
        (
            {"ops": [{"op": "IdDropout", "feature": "a"}]},
            r"ops\[0\] \(IdDropout\): the argument 'rate' is missing",
        ),
        (
            {"ops": [{"op": "IdDropout", "feature": "a", "rate": 1.3}]},
            r"ops\[0\]: `rate` must be in \[0, 1\]. Received: rate=1.3 \(IdDropout 'a'\)",
        ),
        (
            {"ops": [{"op": "IdDropout", "feature": 3, "rate": 0.3}]},
            r"ops\[0\]: `features` must be non-empty",
        ),
    ],
)
def test_a_bad_file_gets_an_error_that_says_what_and_where(tmp_path, change, message):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**POLICY.get_config(), **change}))
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        aug.AugmentationPolicy.load(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_policy(tmp_path):
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        aug.AugmentationPolicy.load(tmp_path / "absent.json")
    for text, message in (("{", "not valid JSON"), ("[]", "must be a JSON object")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InvalidArgumentError, match=message):
            aug.AugmentationPolicy.load(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidArgumentError, match="bad.json"):
        aug.AugmentationPolicy.load(tmp_path / "bad.json")


def test_arguments_of_another_type_are_refused():
    with pytest.raises(InvalidArgumentError, match="`ops` must be a list of ops"):
        aug.AugmentationPolicy(OPS[0])
    with pytest.raises(InvalidArgumentError, match="`ops` must hold ops"):
        aug.AugmentationPolicy(["IdDropout"])


def test_the_fingerprint_changes_with_all_that_changes_rows():
    variants = [
        POLICY,
        dataclasses.replace(POLICY, seed=8),
        dataclasses.replace(POLICY, key_features=("user_id",)),
        dataclasses.replace(POLICY, ops=OPS[:3]),
        dataclasses.replace(POLICY, ops=OPS[::-1]),
        aug.fitting.fit(POLICY, rows()),
        aug.fitting.fit(POLICY, {**rows(), "age": rows()["age"] * 2}),
    ]
    assert len({policy.fingerprint for policy in variants}) == len(variants)


def test_inserting_an_op_does_not_reshuffle_the_draws_of_the_others():
    alone = aug.AugmentationPolicy([OPS[0]], seed=7, key_features=("user_id",))
    both = aug.AugmentationPolicy(
        [GaussianNoise("age", stddev=1.0), OPS[0]], seed=7, key_features=("user_id",)
    )
    assert np.array_equal(alone.augment(rows())["movie_id"], both.augment(rows())["movie_id"])


def test_repeated_ops_get_ids_and_draws_of_their_own():
    policy = aug.AugmentationPolicy([OPS[0], OPS[0]], key_features=("user_id",))
    assert [op.id for op in policy.ops] == ["id_dropout:movie_id", "id_dropout:movie_id#2"]
    dropped = [
        policy.augment(
            {"user_id": tf.strings.as_string(tf.range(5000)), "movie_id": tf.fill([5000], "m")},
            draw=d,
        )
        for d in range(4)
    ]
    share = np.mean([r["movie_id"].numpy() == b"[UNK]" for r in dropped])
    assert abs(share - 0.36) < 4.9 * np.sqrt(0.36 * 0.64 / 20_000)


def test_check_names_features_and_kinds():
    POLICY.check(Schema.of_tensors(rows()))
    with pytest.raises(
        UnknownFeatureError,
        match="IdDropout 'movie_id' names feature 'movie_id'. Did you mean 'movie_ids'",
    ):
        POLICY.check(Schema({"movie_ids": "bytes"}))
    kinds = dict(Schema.of_tensors(rows()).kinds)
    with pytest.raises(
        DataError, match="takes bytes or int64 features. Received: 'movie_id' of kind float"
    ):
        POLICY.check(Schema({**kinds, "movie_id": "float"}))
    del kinds["user_id"]
    with pytest.raises(UnknownFeatureError, match="key_features names feature 'user_id'"):
        POLICY.check(Schema(kinds))


def test_keys():
    keys = POLICY.row_keys(rows()).numpy()
    assert keys.dtype == np.uint64 and len(set(keys.tolist())) == 40
    one = {"user_id": tf.constant([3], tf.int32), "movie_id": tf.constant([2.5], tf.float64)}
    two = {"user_id": tf.constant([[3]], tf.int64), "movie_id": tf.constant([2.5], tf.float32)}
    assert POLICY.row_keys(one) == POLICY.row_keys(two)
    swapped = {"user_id": rows()["movie_id"], "movie_id": rows()["user_id"]}
    assert not np.any(POLICY.row_keys(swapped).numpy() == keys)
    golden.check("keys.json", "strings", [str(k) for k in keys[:8]])
    golden.check("keys.json", "numbers", str(POLICY.row_keys(one).numpy()[0]))


def test_keys_that_do_not_tell_rows_apart_are_refused():
    with pytest.raises(
        UnknownFeatureError, match="Key feature 'movie_id' is missing.*key='position'"
    ):
        POLICY.augment({"user_id": tf.constant(["a"])})
    with pytest.raises(
        DataError, match="Key feature 'user_id' must have one value a row. Received: a ragged"
    ):
        POLICY.row_keys({**rows(), "user_id": tf.ragged.constant([["a"], ["b"]])})
    with pytest.raises(DataError, match=r"must have one value a row. Received: shape \(3, 2\)"):
        POLICY.row_keys({**rows(), "user_id": tf.zeros([3, 2])})
    with pytest.raises(InvalidArgumentError, match="no key_features"):
        aug.AugmentationPolicy([OPS[0]]).augment(rows())


def test_given_keys_take_the_place_of_the_key_features():
    position = tf.bitcast(tf.range(40, dtype=tf.int64), tf.uint64)
    policy = aug.AugmentationPolicy([OPS[0]])
    first = policy.augment(rows(), keys=position)["movie_id"]
    assert np.array_equal(first, policy.augment(rows(), keys=position)["movie_id"])
    assert not np.array_equal(first, policy.augment(rows(), keys=position + 1)["movie_id"])


def test_equal_keys_get_equal_draws():
    twice = {name: tf.repeat(column, 2) for name, column in rows().items()}
    result = aug.fitting.fit(POLICY, rows()).augment(twice)
    assert all(np.array_equal(result[name][::2], result[name][1::2]) for name in result)
