"""Histories in Beam: rows whose lengths change, lists of one value, padding; and `SlidingWindow`."""

from __future__ import annotations

import apache_beam as beam
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.test_transforms import collected
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.schema import Schema

SCHEMA = Schema({"user": "bytes", "seen": "int64", "names": "bytes", "other": "float"})


def record(i: int, length: int, width: int = 0) -> bytes:
    seen = [10 * i + k + 1 for k in range(length)]
    names = [b"n%d" % item for item in seen]
    pad = max(width - length, 0)
    lists = {"seen": seen + [0] * pad, "names": names + [b""] * pad} if length + pad else {}
    return rows.example(user=[b"u%d" % i], other=[0.5, float(i)], **lists)


def augmented(policy: aug.AugmentationPolicy, records: list[bytes]):
    transform = aug.beam.AugmentExamples(
        policy, schema=SCHEMA, include_originals=False, provenance=False, buffer_rows=16
    )
    made, rejected = collected(lambda p: tuple((p | beam.Create(records)) | transform))
    return {row["user"][0]: row for row in map(rows.values, made)}, rejected


def test_rows_come_out_longer_and_shorter_as_in_a_model():
    ops = [
        aug.ops.SequenceInsert(("seen", "names"), share=0.5),
        aug.ops.SequenceCrop(("seen", "names"), min_length=3),
    ]
    policy = aug.AugmentationPolicy(ops, seed=2, key_features=("user",))
    columns = {
        "user": tf.constant([f"u{i}" for i in range(40)]),
        "seen": tf.ragged.constant(
            [[10 * i + k + 1 for k in range(i % 7)] for i in range(40)], tf.int64
        ),
    }
    columns["names"] = columns["seen"].with_values(
        tf.strings.join(["n", tf.strings.as_string(columns["seen"].values)])
    )
    policy = aug.fitting.fit(policy, columns)
    found, rejected = augmented(policy, [record(i, i % 7) for i in range(40)])
    expected = policy.augment(columns)
    assert rejected == [] and len(found) == 40
    for i, (seen, names) in enumerate(
        zip(expected["seen"].to_list(), expected["names"].to_list(), strict=True)
    ):
        lists = {"seen": seen, "names": names} if seen else {}
        assert found[b"u%d" % i] == {"user": [b"u%d" % i], "other": [0.5, float(i)], **lists}


def test_a_block_whose_lists_all_have_one_value():
    policy = aug.AugmentationPolicy(
        [aug.ops.SequenceMask("seen", share=1.0)], key_features=("user",)
    )
    found, _ = augmented(policy, [record(i, 1) for i in range(5)])
    assert [row["seen"] for row in found.values()] == [[-1]] * 5


def test_padded_lists_keep_their_width_and_give_the_models_rows():
    op = aug.ops.SequenceCrop(("seen", "names"), padding="trailing", min_length=2)
    policy = aug.AugmentationPolicy([op], key_features=("user",))
    found, _ = augmented(policy, [record(i, i % 6, width=6) for i in range(30)])
    seen = [[10 * i + k + 1 if k < i % 6 else 0 for k in range(6)] for i in range(30)]
    columns = {"user": [f"u{i}" for i in range(30)], "seen": seen}
    columns["names"] = [[f"n{item}" if item else "" for item in row] for row in seen]
    expected = policy.augment({name: tf.constant(column) for name, column in columns.items()})
    for i in range(30):
        assert found[b"u%d" % i]["seen"] == expected["seen"][i].numpy().tolist()
        assert found[b"u%d" % i]["names"] == expected["names"][i].numpy().tolist()


def test_records_whose_lists_do_not_match_are_rejected():
    policy = aug.AugmentationPolicy(
        [aug.ops.SequenceReorder(("seen", "names"))], key_features=("user",)
    )
    bad = rows.example(user=[b"bad"], seen=[1, 2, 3], names=[b"a"])
    found, rejected = augmented(policy, [record(1, 6), bad, record(2, 6)])
    assert set(found) == {b"u1", b"u2"}
    ((payload, reason),) = rejected
    assert payload == bad
    assert reason == "features 'seen' and 'names' must have equally many values. Received: 3 and 1"


def test_co_occurrence_is_fitted_on_files(tmp_path):
    policy = aug.AugmentationPolicy([aug.ops.SequenceSubstitute("seen")], key_features=("user",))
    paths = [
        rows.write(tmp_path / f"in{part}", [record(i, i % 7) for i in range(part, 40, 2)])
        for part in range(2)
    ]
    state = aug.beam.fit(
        policy, input=[str(path) for path in paths], output=str(tmp_path / "fitted.json")
    )
    seen = tf.ragged.constant([[10 * i + k + 1 for k in range(i % 7)] for i in range(40)], tf.int64)
    assert state.digest() == aug.fitting.fit(policy, {"seen": seen}).fitted.digest()


def windows(records: list[bytes], **arguments):
    target = arguments.pop("target", {"seen": "movie", "names": "title"})
    transform = aug.beam.SlidingWindow(
        ("seen", "names"), target, schema=SCHEMA, key_features="user", **arguments
    )
    made, rejected = collected(lambda p: tuple((p | beam.Create(records)) | transform))
    return [rows.values(row) for row in made], rejected


@pytest.mark.parametrize("arguments", [{}, {"window": 2, "stride": 2, "min_history": 2}])
def test_windows_are_those_of_tf_data(arguments):
    found, rejected = windows([record(i, i % 5) for i in range(12)], buffer_rows=5, **arguments)
    columns = {
        "user": tf.constant([f"u{i}" for i in range(12)]),
        "seen": tf.ragged.constant(
            [[10 * i + k + 1 for k in range(i % 5)] for i in range(12)], tf.int64
        ),
    }
    expected = aug.datasets.sliding_windows(columns, history="seen", target="movie", **arguments)
    assert rejected == [] and len(found) == len(expected["user"])
    key = lambda row: (row["user"], row["aug/position"])  # noqa: E731
    wanted = zip(
        expected["user"].numpy().tolist(),
        expected["aug/position"].numpy().tolist(),
        expected["seen"].to_list(),
        expected["movie"].numpy().tolist(),
        strict=True,
    )
    policy = aug.AugmentationPolicy([aug.ops.IdDropout("user", rate=0.0)], key_features=["user"])
    for row, (user, position, seen, movie) in zip(
        sorted(found, key=key), sorted(wanted), strict=True
    ):
        number = int(user[1:])
        parent = policy.row_keys({"user": tf.constant([user])})
        assert row == {
            "user": [user],
            "seen": seen,
            "names": [b"n%d" % item for item in seen],
            "movie": [movie],
            "title": [b"n%d" % movie],
            "other": [0.5, float(number)],
            "aug/position": [position],
            "aug/parent_key": tf.bitcast(parent, tf.int64).numpy().tolist(),
        }


def test_windows_can_be_augmented_each_with_draws_of_its_own():
    transform = aug.beam.SlidingWindow("seen", "movie", schema=SCHEMA, key_features=["user"])
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("movie", rate=0.5)], key_features=("user", "aug/position")
    )
    augment = aug.beam.AugmentExamples(policy, schema=transform.schema, include_originals=False)

    def build(p):
        made = (p | beam.Create([record(1, 200)])) | transform
        return ((made.windows | augment).augmented,)

    (found,) = collected(build)
    dropped = [rows.values(row)["movie"] == [-1] for row in found]
    assert len(found) == 199 and 60 < sum(dropped) < 140


def test_records_without_a_key_and_lists_that_do_not_match():
    found, rejected = windows(
        [
            record(1, 3),
            rows.example(seen=[1, 2], names=[b"a", b"b"]),
            rows.example(user=[b"x"], seen=[1, 2], names=[b"a"]),
            b"no example",
            record(2, 1),
        ]
    )
    assert len(found) == 2
    assert sorted(refused.reason[:40] for refused in rejected) == [
        "features 'seen' and 'names' must have eq",
        "key feature 'user' must have one value. ",
        "the record is no tf.train.Example",
    ]


def test_a_feature_of_the_targets_name_is_replaced():
    old = rows.example(user=[b"x"], seen=[1, 2], names=[b"a", b"b"], movie=[7], title=[b"c", b"d"])
    (found,), _ = windows([old])
    assert found["movie"] == [2] and found["title"] == [b"b"]


def test_bad_arguments_of_the_window():
    def build(*history, schema=SCHEMA, keys="user", target="movie", **arguments):
        return aug.beam.SlidingWindow(
            history, target, schema=schema, key_features=keys, **arguments
        )

    with pytest.raises(UnknownFeatureError, match="SlidingWindow names feature 'sen'"):
        build("sen")
    with pytest.raises(InvalidArgumentError, match="`window` must be an integer"):
        build("seen", window=0)
    for keys in ("seen", ()):
        with pytest.raises(
            InvalidArgumentError, match="`key_features` must name features with one"
        ):
            build("seen", keys=keys)
    with pytest.raises(InvalidArgumentError, match="must not be features that are written here"):
        build("seen", keys="other", target="other")
    with pytest.raises(DataError, match="writes 'other' of kind int64"):
        build("seen", target="other")
    with pytest.raises(InvalidArgumentError, match="`schema` must be a Schema"):
        build("seen", schema=None)
