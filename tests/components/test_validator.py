"""The AugmentationValidator in real pipelines: what it blesses, what it refuses, and how it says so."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam.rows import POLICY
from tests.components import pipelines
from tfrs_augment.errors import InvalidArgumentError

# A pipeline of several processes takes long on a busy machine.
pytestmark = [pytest.mark.tfx, pytest.mark.slow, pytest.mark.timeout(1800)]

MILD = aug.AugmentationPolicy(
    [aug.ops.IdDropout("movie_id", rate=0.1), aug.ops.GaussianNoise("age", stddev=0.5)],
    key_features=POLICY.key_features,
)
ABSURD = dataclasses.replace(
    MILD,
    ops=[aug.ops.IdDropout("movie_id", rate=1.0), aug.ops.GaussianNoise("age", stddev=500.0)],
)


def components(source: pathlib.Path, policy, copies=2, more=(), **arguments) -> list:
    """A pipeline up to Pusher, which pushes a model that `more` gives, or a stand-in."""
    from tfx.components import Pusher, SchemaGen, StatisticsGen
    from tfx.dsl.components.common.importer import Importer
    from tfx.proto import pusher_pb2
    from tfx.types import standard_artifacts

    from tfrs_augment.components import AugmentationValidator, Augmenter

    gen = pipelines.example_gen(source)
    statistics = StatisticsGen(examples=gen.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    augmenter = Augmenter(gen.outputs["examples"], policy, copies=copies)
    validator = AugmentationValidator(
        gen.outputs["examples"],
        augmenter.outputs["augmented_examples"],
        schema=schema.outputs["schema"],
        **arguments,
    )
    model = Importer(
        source_uri=str(source / "model"), artifact_type=standard_artifacts.Model
    ).with_id("model")
    pusher = Pusher(
        model=model.outputs["result"],
        model_blessing=validator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(source / "pushed"))
        ),
    )
    return [gen, statistics, schema, augmenter, validator, model, *more, pusher]


@pytest.fixture
def source(tmp_path) -> pathlib.Path:
    folder = pipelines.write_source(tmp_path / "in", train=600, evaluated=200)
    save_model(folder / "model" / "Format-Serving")
    return folder


def save_model(folder: pathlib.Path, knows: bool = True) -> None:
    """A SavedModel with the signatures of embeddings: it knows the answer, or embeds all items alike."""

    def embedding(constant):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def signature(examples):
            spec = {"movie_id": tf.io.FixedLenFeature([], tf.string, "")}
            ids = tf.io.parse_example(examples, spec)["movie_id"]
            number = tf.strings.to_number(tf.strings.substr(ids, 1, 9), tf.int32)
            return {"embedding": tf.one_hot(0 * number if constant else number, 256)}

        return signature

    module = tf.Module()
    module.query, module.candidate = embedding(False), embedding(not knows)
    signatures = {"query_embedding": module.query, "candidate_embedding": module.candidate}
    tf.saved_model.save(module, str(folder), signatures)


def validation_of(store) -> dict:
    folder = pathlib.Path(store.output("AugmentationValidator", "validation").uri)
    return json.loads((folder / "validation.json").read_text())


def test_mild_augmentation_is_blessed_and_pushed(tmp_path, source):
    store = pipelines.run(tmp_path, components(source, MILD, label="gender"))
    found = validation_of(store)
    assert found["refusals"] == [] and found["blessed"]
    blessing = store.output("AugmentationValidator", "blessing")
    assert blessing.type == "ModelBlessing"
    assert blessing.custom_properties["blessed"].int_value == 1
    assert [path.name for path in pathlib.Path(blessing.uri).iterdir()] == ["BLESSED"]
    assert store.output("Pusher", "pushed_model").custom_properties["pushed"].int_value == 1
    (version,) = (source / "pushed").iterdir()
    assert (version / "saved_model.pb").is_file()
    # Every feature of the schema is judged for its drift, and labels are joined with their sources.
    drifts = {f["subject"]: f["value"] for f in found["findings"] if f["check"] == "drift"}
    assert set(drifts) == {
        f"'{name}' (train)"
        for name in ("user_id", "movie_id", "timestamp", "gender", "age", "genres", "untouched")
    }
    # Two of three rows are copies, and a tenth of those has lost the id.
    assert drifts["'movie_id' (train)"] == pytest.approx(2 / 3 * 0.1, abs=0.02)
    assert drifts["'user_id' (train)"] == pytest.approx(0, abs=1e-6)
    (labels,) = (f for f in found["findings"] if f["check"] == "labels")
    assert labels["value"] == 0 and "1,200 augmented rows" in labels["note"]


def test_absurd_augmentation_is_not_blessed_and_not_pushed(tmp_path, source):
    store = pipelines.run(tmp_path, components(source, ABSURD))
    found = validation_of(store)
    assert not found["blessed"]
    refusals = {f["subject"]: f for f in found["findings"] if f["passed"] is False}
    assert set(refusals) == {"'movie_id' (train)", "'age' (train)"}
    assert refusals["'movie_id' (train)"]["value"] == pytest.approx(2 / 3, abs=0.01)
    # The refusal names the feature and the number.
    text = next(line for line in found["refusals"] if "'movie_id'" in line)
    assert text.startswith("drift, 'movie_id' (train): 0.6") and "at most 0.2" in text
    validation = store.output("AugmentationValidator", "validation").custom_properties
    assert validation["refusals"].int_value == 2
    assert validation["first_refusal"].string_value in found["refusals"]
    page = pathlib.Path(
        store.output("AugmentationValidator", "validation").uri, "validation.html"
    ).read_text()
    assert "REFUSED" in page and "&#x27;movie_id&#x27; (train)" in page and "src=" not in page
    blessing = store.output("AugmentationValidator", "blessing")
    assert blessing.custom_properties["blessed"].int_value == 0
    assert [path.name for path in pathlib.Path(blessing.uri).iterdir()] == ["NOT_BLESSED"]
    assert store.output("Pusher", "pushed_model").custom_properties["pushed"].int_value == 0
    assert not (source / "pushed").exists()


def test_changed_labels_and_values_outside_the_schema_are_refused(tmp_path, source):
    policy = dataclasses.replace(
        MILD,
        ops=[aug.ops.FeatureMask("gender", rate=0.5, mask_values={"gender": "other"})],
    )
    thresholds = {"max_drift": 0.9}
    store = pipelines.run(
        tmp_path, components(source, policy, label="gender", thresholds=thresholds)
    )
    refused = {f["check"]: f for f in validation_of(store)["findings"] if f["passed"] is False}
    assert set(refused) == {"schema", "labels"}
    assert refused["schema"]["subject"] == "'gender' (train)"
    assert "other" in refused["schema"]["note"]
    assert refused["labels"]["value"] == pytest.approx(0.5, abs=0.05)


def test_unknown_token_is_no_breach_of_the_schema(tmp_path, source):
    policy = dataclasses.replace(MILD, ops=[aug.ops.FeatureMask("gender", rate=0.2)])
    store = pipelines.run(tmp_path, components(source, policy))
    assert validation_of(store)["refusals"] == []


def test_copied_synthetic_rows_are_refused_by_their_privacy(tmp_path, source):
    from tfrs_augment.components.validator import rows
    from tfrs_augment.components.validator.findings import Thresholds

    # A "synthesizer" that gives training rows back.
    files = sorted(str(p) for p in source.rglob("train/*.gz"))
    marked = tmp_path / "marked.gz"
    with tf.io.TFRecordWriter(str(marked), "GZIP") as writer:
        for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            example.features.feature["aug/synthesizer"].bytes_list.value.append(b"copier")
            writer.write(example.SerializeToString())
    schema = aug.beam.infer_schema(files)
    holdout = [str(p) for p in source.rglob("eval/*.gz")]
    found = rows.check_privacy(
        files, [str(marked)], holdout, schema, ["genres", "untouched"], "train", Thresholds()
    )
    refused = {finding.subject: finding for finding in found if not finding.passed}
    assert set(refused) == {
        "closer_to_train (train)",
        "copies (train)",
        "membership_auc (train)",
    }
    assert refused["copies (train)"].value > 0.9
    assert str(refused["copies (train)"]).startswith("privacy, copies (train): ")


@pytest.mark.parametrize("better", [True, False])
def test_model_that_is_worse_than_its_baseline_is_refused(tmp_path, source, better):
    from tfx.dsl.components.common.importer import Importer
    from tfx.types import standard_artifacts

    importers = []
    for name, knows in (("augmented", better), ("baseline", not better)):
        save_model(tmp_path / name / "Format-Serving", knows)
        importers.append(
            Importer(
                source_uri=str(tmp_path / name), artifact_type=standard_artifacts.Model
            ).with_id(name)
        )
    model, baseline = (importer.outputs["result"] for importer in importers)
    arguments = {"model": model, "baseline_model": baseline, "item_feature": "movie_id"}
    store = pipelines.run(tmp_path, components(source, MILD, more=importers, **arguments))
    (quality,) = (f for f in validation_of(store)["findings"] if f["check"] == "quality")
    assert quality["subject"] == "recall@10" and quality["passed"] is better
    # 211 items that tie: 10 of them are in the list by chance.
    chance = 10 / 211
    expected = (chance - 1) / chance if better else 1 - chance
    assert quality["value"] == pytest.approx(expected, rel=1e-3)
    blessing = store.output("AugmentationValidator", "blessing").custom_properties
    assert blessing["blessed"].int_value == int(better)
    assert blessing["current_model"].string_value == str(tmp_path / "augmented")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thresholds": {"max_drift": 2}}, "`max_drift` must be in"),
        ({"thresholds": {"max_drift_of": {"age": -1}}}, "max_drift_of\\['age'\\]"),
        ({"thresholds": {"drift": 1}}, "`thresholds` names 'drift'. Did you mean 'max_drift'"),
        ({"thresholds": {"unknown_values": "[UNK]"}}, "`unknown_values` must be a list"),
        ({"holdout_split": "train"}, "`holdout_split` must be none of `splits`"),
        ({"top_k": 0}, "`top_k` must be an integer of at least 1"),
    ],
)
def test_arguments_are_refused_when_the_pipeline_is_made(tmp_path, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        components(tmp_path, MILD, **arguments)
