"""The Augmenter in real pipelines, its artifacts read back from ML Metadata."""

from __future__ import annotations

import collections
import json
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.rows import POLICY
from tests.components import pipelines
from tfrs_augment.errors import DataError, InvalidArgumentError

# A pipeline of several processes takes long on a busy machine.
pytestmark = [pytest.mark.tfx, pytest.mark.slow, pytest.mark.timeout(1800)]

TRAIN, EVAL, COPIES = 600, 200, 2


def components(source: pathlib.Path, policy, **arguments) -> list:
    from tfx.components import SchemaGen, StatisticsGen

    from tfrs_augment.components import Augmenter

    gen = pipelines.example_gen(source)
    statistics = StatisticsGen(examples=gen.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    augmenter = Augmenter(
        gen.outputs["examples"], policy, schema=schema.outputs["schema"], **arguments
    )
    return [gen, statistics, schema, augmenter]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    return pipelines.write_source(tmp_path_factory.mktemp("source"), train=TRAIN, evaluated=EVAL)


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    POLICY.save(path)
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory, source, policy_file):
    """The folder of a pipeline that ran twice, with caching, and its metadata."""
    folder = tmp_path_factory.mktemp("pipeline")
    for _ in range(2):
        store = pipelines.run(folder, components(source, policy_file, copies=COPIES), cache=True)
    return store


def test_counts_of_records(ran):
    given = ran.output("ImportExampleGen", "examples")
    made = ran.output("Augmenter", "augmented_examples")
    assert len(pipelines.read(given, "train")) == TRAIN
    assert len(pipelines.read(made, "train")) == TRAIN * (1 + COPIES)
    report = ran.output("Augmenter", "augmentation_report")
    assert report.type == "Statistics"
    assert report.custom_properties["kept"].int_value == TRAIN
    assert report.custom_properties["made"].int_value == TRAIN * COPIES
    assert report.custom_properties["rejected"].int_value == 0
    document = json.loads((pathlib.Path(report.uri) / "report.json").read_text())
    assert document["counts"]["made"] == TRAIN * COPIES
    assert document["copied_splits"] == ["eval"]


def test_originals_are_kept_byte_for_byte(ran):
    given = pipelines.counted(ran.output("ImportExampleGen", "examples"), "train")
    made = pipelines.counted(ran.output("Augmenter", "augmented_examples"), "train")
    assert given <= made


def test_eval_files_are_equal_byte_for_byte(ran):
    folders = [
        pathlib.Path(ran.output(*place).uri) / "Split-eval"
        for place in (("ImportExampleGen", "examples"), ("Augmenter", "augmented_examples"))
    ]
    first, second = ({f.name: f.read_bytes() for f in folder.iterdir()} for folder in folders)
    assert first == second and first


def test_only_data_files_are_in_a_split(ran):
    folder = pathlib.Path(ran.output("Augmenter", "augmented_examples").uri)
    assert sorted(path.name for path in folder.iterdir()) == ["Split-eval", "Split-train"]
    names = {path.name for path in (folder / "Split-train").iterdir()}
    assert names and all(name.endswith(".tfrecord.gz") for name in names)


def test_what_else_the_job_writes_is_in_the_report(ran):
    folder = pathlib.Path(ran.output("Augmenter", "augmentation_report").uri)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {"manifest.json", "item_counts.json", "fitted.json"}
    assert names == {"report.json", "fitted.json", *(f"Split-train/{n}" for n in expected)}
    counts = json.loads((folder / "Split-train/item_counts.json").read_text())["movie_id"]
    assert sum(counts.values()) == TRAIN * (1 + COPIES)


def test_properties_are_those_of_example_gen(ran):
    given = ran.output("ImportExampleGen", "examples")
    made = ran.output("Augmenter", "augmented_examples")
    assert given.custom_properties["span"].int_value == 3
    assert given.custom_properties["version"].int_value == 2
    for name in ("span", "version", "payload_format", "file_format"):
        assert made.custom_properties[name] == given.custom_properties[name]
    assert made.properties == given.properties
    assert json.loads(made.properties["split_names"].string_value) == ["train", "eval"]
    document = json.loads(made.custom_properties["augmentation_policy"].string_value)
    assert document == POLICY.get_config()


def test_provenance_leads_to_parents(ran):
    given = [
        rows.values(r) for r in pipelines.read(ran.output("ImportExampleGen", "examples"), "train")
    ]
    columns = {name: tf.constant([row[name][0] for row in given]) for name in POLICY.key_features}
    parents = {key - (key >> 63 << 64) for key in POLICY.row_keys(columns).numpy().tolist()}
    made = [
        rows.values(r)
        for r in pipelines.read(ran.output("Augmenter", "augmented_examples"), "train")
    ]
    augmented = [row for row in made if "aug/draw" in row]
    assert collections.Counter(row["aug/draw"][0] for row in augmented) == {0: TRAIN, 1: TRAIN}
    assert {row["aug/parent_key"][0] for row in augmented} == parents
    fingerprint = ran.output("Augmenter", "augmented_examples").custom_properties[
        "augmentation_fingerprint"
    ]
    assert {row["aug/policy"][0].decode() for row in augmented} == {fingerprint.string_value}
    assert {row["sample_weight"][0] for row in augmented} == {1.0}


def test_second_run_is_cached(ran):
    for name in ("ImportExampleGen", "StatisticsGen", "SchemaGen", "Augmenter"):
        assert ran.states(name) == ["COMPLETE", "CACHED"]


def test_rows_are_those_of_the_beam_job_and_of_the_model(ran, policy_file, tmp_path):
    given = ran.output("ImportExampleGen", "examples")
    aug.beam.run(
        aug.AugmentationPolicy.load(policy_file),
        input=f"{given.uri}/Split-train/*",
        output=str(tmp_path / "out"),
        copies=COPIES,
        progress=False,
    )
    made = ran.output("Augmenter", "augmented_examples")
    assert pipelines.counted(made, "train") == rows.counted(tmp_path / "out")
    # And of the layer in a model, at an equal draw.
    fitted = aug.ops.FittedState.load(
        f"{ran.output('Augmenter', 'augmentation_report').uri}/fitted.json"
    )
    policy = aug.AugmentationPolicy.load(policy_file).with_fitted(fitted)
    parents = [rows.values(record) for record in pipelines.read(given, "train")]
    columns = {
        name: tf.constant([row[name][0] for row in parents])
        for name in ("user_id", "movie_id", "timestamp", "gender", "age")
    }
    columns["genres"] = tf.ragged.constant([row.get("genres", []) for row in parents], tf.string)
    model = aug.layers.Augment(policy, draw=1)(columns, training=True)
    keys = policy.row_keys(columns).numpy().tolist()
    by_key = {
        key - (key >> 63 << 64): tuple(model[n][i].numpy() for n in ("movie_id", "gender", "age"))
        for i, key in enumerate(keys)
    }
    found = {
        row["aug/parent_key"][0]: tuple(row[n][0] for n in ("movie_id", "gender", "age"))
        for row in map(rows.values, pipelines.read(made, "train"))
        if row.get("aug/draw") == [1]
    }
    assert found == by_key


def test_changed_policy_is_run_anew(ran, source, tmp_path):
    import dataclasses

    policy = dataclasses.replace(POLICY, seed=4)
    store = pipelines.run(tmp_path, components(source, policy), cache=True)
    store = pipelines.run(
        tmp_path, components(source, dataclasses.replace(policy, seed=5)), cache=True
    )
    assert store.states("StatisticsGen") == ["COMPLETE", "CACHED"]
    assert store.states("Augmenter") == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"copies": 0, "include_originals": False}, "`copies` must be an integer of at least 1"),
        ({"splits": "train"}, "`splits` must be a list of distinct names"),
        ({"splits": []}, "`splits` must be a list of distinct names"),
        ({"balance": {"feature": "movie_id", "power": 1}}, "`balance` must be an aug.beam.Balance"),
        (
            {"num_synthetic": 10},
            "`num_synthetic` above 0 and the channel `synthesizer` go together",
        ),
        ({"policy": 3}, "`policy` must be an AugmentationPolicy, JSON text, or the path"),
        ({"policy": "nowhere.json"}, "nowhere.json"),
        (
            {"policy": POLICY.with_fitted(aug.ops.FittedState({}))},
            "`policy` holds fitted statistics",
        ),
    ],
)
def test_arguments_are_refused_when_the_pipeline_is_made(source, arguments, message):
    policy = arguments.pop("policy", POLICY)
    with pytest.raises(InvalidArgumentError, match=message):
        components(source, policy, **arguments)


def test_unknown_split_is_refused(tmp_path, source):
    with pytest.raises(InvalidArgumentError, match="Did you mean 'train'"):
        pipelines.run(tmp_path, components(source, POLICY, splits=["trian"]))


@pytest.mark.parametrize("payload", ["FORMAT_PROTO", "FORMAT_PARQUET"])
def test_other_payloads_are_refused(tmp_path, source, payload):
    from tfx.dsl.components.common.importer import Importer
    from tfx.types import standard_artifacts

    from tfrs_augment.components import Augmenter

    folder = tmp_path / "given" / "Split-train"
    rows.write(folder / "data.gz", rows.records(10), "GZIP")
    given = Importer(
        source_uri=str(tmp_path / "given"),
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": '["train"]'},
        custom_properties={"payload_format": payload},
    ).with_id("given")
    augmenter = Augmenter(given.outputs["result"], POLICY)
    with pytest.raises(DataError, match=f"Received: {payload} in 'tfrecords_gzip'"):
        pipelines.run(tmp_path, [given, augmenter])


def sequence_example(number: int) -> bytes:
    """A session of 1 to 4 clicks."""
    steps = [
        tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for v in range(1 + number % 4)
    ]
    return tf.train.SequenceExample(
        context=tf.train.Features(feature={"user_id": rows.feature([b"u%d" % number])}),
        feature_lists=tf.train.FeatureLists(
            feature_list={"clicks": tf.train.FeatureList(feature=steps)}
        ),
    ).SerializeToString(deterministic=True)


def test_sequence_examples(tmp_path):
    from tfx.components import SchemaGen, StatisticsGen

    from tfrs_augment.components import AugmentationValidator, Augmenter

    serialized = [sequence_example(number) for number in range(120)]
    place = tmp_path / "in" / "span-1" / "version-1"
    rows.write(place / "train" / "a.gz", serialized[:100], "GZIP")
    rows.write(place / "eval" / "a.gz", serialized[100:], "GZIP")
    gen = pipelines.example_gen(tmp_path / "in", "FORMAT_TF_SEQUENCE_EXAMPLE")
    statistics = StatisticsGen(examples=gen.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    policy = aug.AugmentationPolicy(
        [aug.ops.SequenceMask("clicks", share=0.5)], key_features=["user_id"]
    )
    augmenter = Augmenter(gen.outputs["examples"], policy, schema=schema.outputs["schema"])
    validator = AugmentationValidator(
        gen.outputs["examples"],
        augmenter.outputs["augmented_examples"],
        schema=schema.outputs["schema"],
    )
    store = pipelines.run(tmp_path, [gen, statistics, schema, augmenter, validator])
    made = store.output("Augmenter", "augmented_examples")
    assert made.custom_properties["payload_format"].string_value == "FORMAT_TF_SEQUENCE_EXAMPLE"
    found = [tf.train.SequenceExample.FromString(r) for r in pipelines.read(made, "train")]
    assert len(found) == 200
    copies = [e for e in found if "aug/draw" in e.context.feature]
    values = [
        step.int64_list.value[0]
        for e in copies
        for step in e.feature_lists.feature_list["clicks"].feature
    ]
    # Of 1 to 4 clicks 0, 1, 1 and 2 are hidden.
    assert len(copies) == 100 and values.count(-1) == 25 * (0 + 1 + 1 + 2)
    assert pipelines.counted(made, "eval") == collections.Counter(serialized[100:])


def test_statistics_serve_for_kinds_where_there_is_no_schema(tmp_path, source):
    from tfx.components import StatisticsGen

    from tfrs_augment.components import Augmenter

    gen = pipelines.example_gen(source)
    statistics = StatisticsGen(examples=gen.outputs["examples"])
    augmenter = Augmenter(
        gen.outputs["examples"], POLICY, statistics=statistics.outputs["statistics"]
    )
    store = pipelines.run(tmp_path, [gen, statistics, augmenter])
    assert (
        len(pipelines.read(store.output("Augmenter", "augmented_examples"), "train")) == 2 * TRAIN
    )


def test_fitted_statistics_of_another_augmenter_are_used(tmp_path, source):
    from tfrs_augment.components import Augmenter

    gen = pipelines.example_gen(source)
    first = Augmenter(gen.outputs["examples"], POLICY)
    again = Augmenter(
        gen.outputs["examples"],
        POLICY,
        fitted=first.outputs["augmentation_report"],
        splits=["eval"],
    ).with_id("OfEval")
    store = pipelines.run(tmp_path, [gen, first, again])
    names = ["augmentation_fingerprint"] * 2
    one, two = (
        store.output(node, "augmented_examples").custom_properties[name].string_value
        for node, name in zip(("Augmenter", "OfEval"), names)
    )
    # The fingerprint holds the fitted statistics: those of eval's own rows would differ.
    assert one == two
    made = store.output("OfEval", "augmented_examples")
    assert len(pipelines.read(made, "eval")) == 2 * EVAL
    assert len(pipelines.read(made, "train")) == TRAIN


def test_a_later_run_is_compared_with_the_one_before(tmp_path):
    from tfx import v1 as tfx
    from tfx.types.experimental import simple_artifacts

    from tfrs_augment.components import Augmenter, LatestGuardedReport

    def run_once():
        gen = pipelines.example_gen(tmp_path / "in")
        previous = tfx.dsl.Resolver(
            strategy_class=LatestGuardedReport,
            reference=tfx.dsl.Channel(
                type=simple_artifacts.Statistics,
                producer_component_id="Augmenter",
                output_key="augmentation_report",
            ),
        ).with_id("PreviousReport")
        augmenter = Augmenter(
            gen.outputs["examples"],
            POLICY,
            reference=previous.outputs["reference"],
            drift_threshold=0.1,
        )
        store = pipelines.run(tmp_path, [gen, previous, augmenter])
        report = store.output("Augmenter", "augmentation_report")
        document = json.loads((pathlib.Path(report.uri) / "report.json").read_text())
        return report.custom_properties, document

    pipelines.write_source(tmp_path / "in", span=1, train=400, evaluated=100)
    properties, first = run_once()
    assert properties["adapted"].int_value == 0 and "drift" not in properties
    properties, second = run_once()
    assert (properties["adapted"].int_value, properties["drift"].double_value) == (0, 0.0)
    assert second["fingerprint"] == first["fingerprint"]
    # A new span, in which all are older.
    moved = [rows.row(i) for i in range(400)]
    older = [rows.example(**{**row, "age": [row["age"][0] + 30.0]}) for row in moved]
    place = tmp_path / "in" / "span-2" / "version-1"
    rows.write(place / "train" / "a.gz", older, "GZIP")
    rows.write(place / "eval" / "a.gz", older[:100], "GZIP")
    properties, third = run_once()
    assert properties["adapted"].int_value == 1
    assert properties["drift"].double_value == pytest.approx(0.57, abs=0.01)
    assert third["drift"]["drifted"] == ["age"]
    assert third["fingerprint"] != first["fingerprint"]


KILLED = """
import os, pathlib, sys
from tests.components import pipelines, test_augmenter
import tfrs_augment as aug
from tfrs_augment.components.augmenter import executor

run = executor.beam.run
def killed(*arguments, output, **options):
    run(*arguments, output=output, **options)
    # When all is written but the report: the worst moment.
    os.kill(os.getpid(), 9)
executor.beam.run = killed
folder, source, policy = map(pathlib.Path, sys.argv[1:])
pipelines.run(folder, test_augmenter.components(source, policy), cache=True)
"""


def test_pipeline_goes_on_after_a_component_was_killed(tmp_path, source, policy_file):
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, source, policy_file],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()[-2000:]
    left = pipelines.Store(tmp_path)
    assert left.states("Augmenter") == ["RUNNING"]
    store = pipelines.run(tmp_path, components(source, policy_file), cache=True)
    # What was done before is not done again, and what was half done is not taken.
    assert store.states("StatisticsGen") == ["COMPLETE", "CACHED"]
    assert store.states("Augmenter")[-1] == "COMPLETE"
    made = store.output("Augmenter", "augmented_examples")
    assert len(pipelines.read(made, "train")) == 2 * TRAIN
    folders = list((tmp_path / "root" / "Augmenter" / "augmented_examples").iterdir())
    assert str(pathlib.Path(made.uri)) == str(max(folders, key=lambda f: int(f.name)))


def test_bad_records_are_set_aside_and_counted(tmp_path):
    from tfrs_augment.components import Augmenter

    good = rows.records(50)
    without_key = rows.example(user_id=[b"u"], movie_id=[b"m"])
    place = tmp_path / "in" / "span-1" / "version-1"
    rows.write(place / "train" / "a.gz", [*good, without_key], "GZIP")
    rows.write(place / "eval" / "a.gz", good, "GZIP")
    gen = pipelines.example_gen(tmp_path / "in")
    augmenter = Augmenter(gen.outputs["examples"], POLICY)
    store = pipelines.run(tmp_path, [gen, augmenter])
    report = store.output("Augmenter", "augmentation_report")
    assert report.custom_properties["rejected"].int_value == 1
    (rejected,) = pathlib.Path(report.uri).glob("Split-train/rejected-*.jsonl")
    assert "key feature 'timestamp' must have one value" in rejected.read_text()
    assert len(pipelines.read(store.output("Augmenter", "augmented_examples"), "train")) == 100


def test_function_form_gives_the_rows_of_the_class_form(tmp_path, source):
    from tfrs_augment.components import Augmenter, augment_examples

    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("movie_id", rate=0.3), aug.ops.GaussianNoise("age", stddev=2.0)],
        key_features=POLICY.key_features,
    )
    gen = pipelines.example_gen(source)
    examples = gen.outputs["examples"]
    function = augment_examples(examples=examples, policy=policy.to_json(), copies=COPIES)
    store = pipelines.run(tmp_path, [gen, function, Augmenter(examples, policy, copies=COPIES)])
    one = store.output("augment_examples", "augmented_examples")
    other = store.output("Augmenter", "augmented_examples")
    for split in ("train", "eval"):
        assert pipelines.counted(one, split) == pipelines.counted(other, split)
    assert one.custom_properties["span"] == other.custom_properties["span"]
