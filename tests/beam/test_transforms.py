"""The PTransforms: the rows of the job, whatever the bundles; refused records; SequenceExamples."""

from __future__ import annotations

import collections
import pathlib
import pickle
import random
import tempfile

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.beam import cleaning
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.schema import Schema

ROWS = 500


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    rows.write(folder / "in.tfrecord", [rows.example(**rows.row(i)) for i in range(ROWS)])
    return folder / "in.tfrecord"


@pytest.fixture(scope="module")
def done(source):
    """The folder with the job's result, and the fitted policy."""
    output = source.parent / "out"
    aug.beam.run(rows.POLICY, input=str(source), output=str(output), copies=2, progress=False)
    policy = rows.POLICY.with_fitted(aug.ops.FittedState.load(output / "fitted.json"))
    return output, policy


@pytest.fixture(scope="module")
def schema(source) -> Schema:
    return aug.beam.infer_schema(str(source))


def pipeline() -> beam.Pipeline:
    return beam.Pipeline("FnApiRunner")


def collected(build) -> list[list]:
    """Runs a pipeline; returns the elements of each PCollection that `build(p)` gives."""
    with tempfile.TemporaryDirectory() as folder:
        with pipeline() as p:
            outputs = list(build(p))
            for number, collection in enumerate(outputs):
                path = pathlib.Path(folder) / str(number)
                _ = (
                    collection
                    | f"Window{number}" >> beam.WindowInto(GlobalWindows())
                    | f"List{number}" >> beam.combiners.ToList()
                    | f"Save{number}"
                    >> beam.Map(lambda found, to=path: to.write_bytes(pickle.dumps(found)))
                )
        return [
            pickle.loads((pathlib.Path(folder) / str(number)).read_bytes())
            for number in range(len(outputs))
        ]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_read_augment_write_gives_the_rows_of_the_job(source, done, schema, tmp_path, compression):
    output, policy = done
    with pipeline() as p:
        examples, damaged = p | aug.beam.ReadExamples(str(source))
        augmented, rejected = examples | aug.beam.AugmentExamples(policy, 2, schema=schema)
        augmented | aug.beam.WriteExamples(
            str(tmp_path / "out"), num_shards=3, compression=compression
        )
        assert_that(damaged, equal_to([]), label="damaged")
        assert_that(rejected, equal_to([]), label="rejected")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    suffix = ".gz" if compression == "gzip" else ""
    assert names == [f"augmented-0000{i}-of-00003.tfrecord{suffix}" for i in range(3)]
    assert rows.counted(tmp_path / "out") == rows.counted(output)


@pytest.mark.parametrize("buffer_rows", [1, 7, 10_000])
def test_rows_do_not_depend_on_order_and_buffers(done, schema, buffer_rows):
    output, policy = done
    count = 40 if buffer_rows == 1 else ROWS
    records = [rows.example(**rows.row(i)) for i in range(count)]
    random.Random(buffer_rows).shuffle(records)
    transform = aug.beam.AugmentExamples(policy, 2, schema=schema, buffer_rows=buffer_rows)
    (augmented,) = collected(
        lambda p: ((p | beam.Create(records) | beam.Reshuffle() | transform).augmented,)
    )
    expected = rows.counted(output)
    if count < ROWS:
        numbers = set(range(count))
        expected = {r: n for r, n in expected.items() if rows.values(r)["timestamp"][0] in numbers}
    assert collections.Counter(augmented) == expected


def test_only_copies_without_provenance(done, schema):
    _, policy = done
    records = [rows.example(**rows.row(i)) for i in range(20)]
    transform = aug.beam.AugmentExamples(
        policy, schema=schema, include_originals=False, provenance=False
    )
    (augmented,) = collected(lambda p: ((p | beam.Create(records) | transform).augmented,))
    assert len(augmented) == 20
    assert {name for r in augmented for name in rows.values(r)} <= set(rows.row(3))


def test_refused_records_come_out_with_their_reasons(done, schema):
    _, policy = done
    bad = {
        rows.example(movie_id=[b"m"], timestamp=[1]): "key feature 'user_id' must have one value",
        rows.example(**{**rows.row(1), "age": [float("nan")]}): "'age' must be finite",
        b"\x0a\xff": "is no tf.train.Example",
    }
    good = [rows.example(**rows.row(i)) for i in range(10)]
    augmented, rejected = collected(
        lambda p: (
            p
            | beam.Create([*good[:5], *bad, *good[5:]])
            | aug.beam.AugmentExamples(policy, schema=schema)
        )
    )
    assert len(augmented) == 20
    assert set(good) < set(augmented)
    assert {element.record for element in rejected} == set(bad)
    for element in rejected:
        assert bad[element.record] in element.reason


def test_cleaning_gives_the_rows_of_the_job(done, schema, tmp_path):
    _, policy = done
    rules = cleaning.Cleaning(
        [
            cleaning.RangeOutliers("age", low=15, high=50),
            cleaning.MissingFill("genres", by="constant", value="none"),
        ]
    )
    records = [rows.example(**rows.row(i)) for i in range(60)]
    rows.write(tmp_path / "in.tfrecord", records)
    aug.beam.run(
        policy,
        input=str(tmp_path / "in.tfrecord"),
        output=str(tmp_path / "out"),
        cleaning=rules,
        progress=False,
    )

    def build(p):
        cleaned, dropped = (
            p | beam.Create(records) | aug.beam.CleanExamples(rules, schema=schema, buffer_rows=7)
        )
        augmented, rejected = cleaned | aug.beam.AugmentExamples(policy, schema=schema)
        return augmented, rejected, dropped

    augmented, rejected, dropped = collected(build)
    assert collections.Counter(augmented) == rows.counted(tmp_path / "out")
    assert rejected == []
    outliers = [r for r in records if not 15 <= rows.values(r)["age"][0] <= 50]
    assert sorted(element.record for element in dropped) == sorted(outliers)
    assert all("age" in element.reason for element in dropped)


def test_rules_that_learn_from_the_whole_data_are_refused(schema):
    rules = cleaning.Cleaning([cleaning.ExactDuplicates()])
    with pytest.raises(InvalidArgumentError, match="judge a row by itself.*ExactDuplicates"):
        aug.beam.CleanExamples(rules, schema=schema)
    with pytest.raises(InvalidArgumentError, match="`cleaning` must be"):
        aug.beam.CleanExamples("rules.json", schema=schema)


def test_damage_in_a_file_comes_out_with_its_place(tmp_path):
    records = [rows.example(**rows.row(i)) for i in range(20)]
    path = rows.write(tmp_path / "in.tfrecord", records)
    starts = rows.frame_starts(records)
    rows.corrupt(path, int(starts[5]) + 20)
    read, damaged = collected(lambda p: p | aug.beam.ReadExamples(str(path)))
    assert read == records[:5] + records[6:]
    (element,) = damaged
    assert element.record == b""
    assert str(path) in element.reason and f'"offset": {starts[5]}' in element.reason


def test_a_table_is_read_as_examples(tmp_path):
    (tmp_path / "in.csv").write_text("id,x\na,1\nb,2.5\n")
    read, _ = collected(
        lambda p: p | aug.beam.ReadExamples(str(tmp_path / "in.csv"), input_format="csv")
    )
    assert [rows.values(r) for r in read] == [
        {"id": [b"a"], "x": [1.0]}, {"id": [b"b"], "x": [2.5]},
    ]  # fmt: skip
    found = aug.beam.infer_schema(str(tmp_path / "in.csv"), input_format="csv")
    assert found == Schema({"id": "bytes", "x": "float"})


def test_rows_keep_their_timestamps_and_windows(done, schema):
    _, policy = done

    class Place(beam.DoFn):
        def process(self, r, time=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
            yield rows.values(r)["timestamp"][0], float(time), float(window.end)

    def build(p):
        augmented, rejected = (
            p
            | beam.Create(list(enumerate(records)))
            | beam.MapTuple(lambda i, record: TimestampedValue(record, i))
            | beam.WindowInto(FixedWindows(10))
            | aug.beam.AugmentExamples(policy, schema=schema)
        )
        rejected = rejected | beam.Map(lambda rejected: rejected.record)
        return augmented | beam.ParDo(Place()), rejected | "PlaceRejected" >> beam.ParDo(Place())

    records = [rows.example(**rows.row(i)) for i in range(30)]
    records.append(rows.example(timestamp=[30]))
    augmented, rejected = collected(build)
    assert sorted(augmented) == sorted(
        2 * [(i, float(i), float(i // 10 * 10 + 10)) for i in range(30)]
    )
    assert rejected == [(30, 30.0, 40.0)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"copies": -1}, InvalidArgumentError, "`copies` must be an integer of at least 1"),
        ({"buffer_rows": 0}, InvalidArgumentError, "`buffer_rows` must be an integer"),
        ({"payload": "json"}, InvalidArgumentError, "`payload` must be one of"),
        ({"schema": {}}, InvalidArgumentError, "`schema` must be a Schema"),
        ({"policy": rows.POLICY}, InvalidArgumentError, "`policy` must be fitted.*aug.beam.fit"),
        ({"schema": Schema({"user_id": "bytes"})}, UnknownFeatureError, "'movie_id'"),
    ],
)
def test_bad_arguments_of_augment(done, schema, arguments, error, message):
    with pytest.raises(error, match=message):
        aug.beam.AugmentExamples(**{"policy": done[1], "schema": schema, **arguments})


def test_bad_arguments_of_read_and_write(tmp_path):
    with pytest.raises(DataError, match="matches no file"):
        aug.beam.ReadExamples(str(tmp_path / "absent*"))
    with pytest.raises(InvalidArgumentError, match='`compression` must be "none" or "gzip"'):
        aug.beam.WriteExamples("out", compression="auto")
    with pytest.raises(InvalidArgumentError, match="`num_shards` must be an integer"):
        aug.beam.WriteExamples("out", num_shards=-1)


# tf.train.SequenceExample.

SEQUENCE_POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("history", rate=0.4),
        aug.ops.IdDropout("movie_id", rate=0.4),
        aug.ops.GaussianNoise("watched", stddev=0.5),
        aug.ops.CategorySwap("gender", rate=0.5),
        aug.ops.IdDropout("pairs", rate=1.0),
    ],
    seed=3,
    key_features=("user_id", "timestamp"),
)


def sequence_row(i: int) -> tuple[dict[str, list], dict[str, list]]:
    """Context features, and feature lists as lists of their steps."""
    context = {"user_id": [b"u%d" % (i % 7)], "timestamp": [i], "gender": [b"FM"[i % 2 :][:1]]}
    context["movie_id"], context["other"] = [b"m%d" % (i % 11)], [1.5]
    steps = range(i % 4)
    return context, {
        "history": [[b"m%d" % (i + step)] for step in steps],
        "watched": [[float(step)] for step in steps],
        "pairs": [[b"a", b"b"], [b"c"]],
        "untouched": [[step, step] for step in steps],
    }


def sequence(context: dict[str, list], lists: dict[str, list]) -> bytes:
    record = tf.train.SequenceExample()
    for name, values in context.items():
        record.context.feature[name].CopyFrom(rows.feature(values))
    for name, steps in lists.items():
        record.feature_lists.feature_list[name].SetInParent()
        for step in steps:
            record.feature_lists.feature_list[name].feature.append(rows.feature(step))
    return record.SerializeToString(deterministic=True)


def lists_of(record: bytes) -> tuple[dict[str, list], dict[str, list]]:
    parsed = tf.train.SequenceExample.FromString(record)

    def of(feature):
        return list(getattr(feature, feature.WhichOneof("kind")).value)

    context = {name: of(feature) for name, feature in parsed.context.feature.items()}
    lists = parsed.feature_lists.feature_list
    return context, {name: [of(step) for step in steps.feature] for name, steps in lists.items()}


@pytest.fixture(scope="module")
def sequences_done(tmp_path_factory):
    """A file of SequenceExamples, the job's result on it, and that on the same rows as Examples."""
    folder = tmp_path_factory.mktemp("sequences")
    content = [sequence_row(i) for i in range(200)]
    rows.write(folder / "in.tfrecord", [sequence(*row) for row in content])
    flat = []
    for context, lists in content:
        values = {n: [v for step in lists[n] for v in step] for n in ("history", "watched")}
        flat.append(rows.example(**context, **{n: v for n, v in values.items() if v}))
    rows.write(folder / "flat.tfrecord", flat)
    schema = aug.beam.infer_schema(str(folder / "in.tfrecord"), payload="sequence_example")
    assert "pairs" not in schema.kinds
    schema = Schema({**schema.kinds, "pairs": "bytes"})
    for name, payload in (("in", "sequence_example"), ("flat", "example")):
        report = aug.beam.run(
            SEQUENCE_POLICY,
            input=str(folder / f"{name}.tfrecord"),
            output=str(folder / f"out-{name}"),
            schema=schema,
            payload=payload,
            progress=False,
        )
        assert report.counts["made"] == 200
    return folder, schema


def test_sequences_are_augmented_as_the_same_rows_in_examples_are(sequences_done):
    folder, _ = sequences_done
    flat = [rows.values(record) for record in rows.read(folder / "out-flat")]
    flat = {row["timestamp"][0]: row for row in flat if "aug/draw" in row}
    found = rows.read(folder / "out-in")
    copies = [record for record in found if b"aug/draw" in record]
    originals = [record for record in found if b"aug/draw" not in record]
    assert originals == [sequence(*sequence_row(i)) for i in range(200)]
    assert len(copies) == 200
    changed = 0
    for record in copies:
        context, lists = lists_of(record)
        source_context, source_lists = sequence_row(context["timestamp"][0])
        expected = flat[context["timestamp"][0]]
        for name, values in context.items():
            assert values == expected[name]
        assert set(context) > set(source_context)
        for name in ("history", "watched"):
            assert lists[name] == [[value] for value in expected.get(name, [])]
            changed += lists[name] != source_lists[name]
        assert lists["untouched"] == source_lists["untouched"]
        assert lists["pairs"] == source_lists["pairs"], "lists of another shape pass through"
    assert changed > 100
    counts = collections.Counter(context["movie_id"][0] for context, _ in map(lists_of, copies))
    assert 50 < counts[b"[UNK]"] < 110


def test_the_transform_gives_the_jobs_sequences(sequences_done):
    folder, schema = sequences_done
    policy = SEQUENCE_POLICY.with_fitted(
        aug.ops.FittedState.load(folder / "out-in" / "fitted.json")
    )
    broken = sequence(*sequence_row(3))
    twice = sequence(
        {"user_id": [b"u"], "timestamp": [1], "history": [b"m"]}, {"history": [[b"m"]]}
    )
    records = [sequence(*sequence_row(i)) for i in range(200)]
    augmented, rejected = collected(
        lambda p: (
            p
            | beam.Create([broken[:-5], *records, twice])
            | aug.beam.AugmentExamples(
                policy, schema=schema, payload="sequence_example", buffer_rows=33
            )
        )
    )
    assert collections.Counter(augmented) == rows.counted(folder / "out-in")
    reasons = {element.record: element.reason for element in rejected}
    assert reasons == {
        broken[:-5]: "the record is no tf.train.SequenceExample",
        twice: "feature 'history' is in the context and in the feature lists",
    }
