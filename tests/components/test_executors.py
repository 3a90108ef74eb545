"""Executors called by themselves, on artifacts made by hand."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.rows import POLICY
from tfrs_augment.errors import DataError, InvalidArgumentError

pytestmark = pytest.mark.tfx

SIMPLE = aug.AugmentationPolicy(
    [aug.ops.IdDropout("movie_id", rate=0.5)], key_features=POLICY.key_features
)


def examples(folder: pathlib.Path, *, splits=("train", "eval"), count: int = 20, **properties):
    """An Examples artifact with `count` rows a split."""
    from tfx.types import standard_artifacts

    made = standard_artifacts.Examples()
    made.uri = str(folder)
    made.split_names = json.dumps(list(splits))
    for split in splits:
        rows.write(folder / f"Split-{split}" / "data.gz", rows.records(count), "GZIP")
    for name, value in properties.items():
        if isinstance(value, str):
            made.set_string_custom_property(name, value)
        else:
            made.set_int_custom_property(name, value)
    return made


def augment(folder: pathlib.Path, given: list, *, reference=None, **properties):
    """Runs the Augmenter's executor; returns its two artifacts."""
    from tfx.types import standard_artifacts
    from tfx.types.experimental import simple_artifacts

    from tfrs_augment.components.augmenter.executor import Executor

    made, report = standard_artifacts.Examples(), simple_artifacts.Statistics()
    made.uri, report.uri = str(folder / "made"), str(folder / "report")
    executor = Executor()
    executor.Do(
        {"examples": given, "reference": [] if reference is None else [reference]},
        {"augmented_examples": [made], "augmentation_report": [report]},
        {
            "policy": SIMPLE.to_json(),
            "splits": '["train"]',
            "copies": 1,
            "balance": "",
            "num_synthetic": 0,
            "include_originals": 1,
            "provenance": 1,
            **properties,
        },
    )
    return made, report


def test_declared_span_and_text_properties_are_carried(tmp_path):
    given = examples(tmp_path / "in", version="7")
    given.span = 5
    made, _ = augment(tmp_path, [given])
    assert made.span == 5 and made.get_int_custom_property("version") == 7
    assert not made.has_custom_property("span")
    # A version that was not declared is none still.
    assert "version" not in made.mlmd_artifact.properties


def test_splits_are_augmented_by_what_the_first_teaches(tmp_path):
    given = examples(tmp_path / "in", splits=("train", "test", "eval"))
    made, report = augment(tmp_path, [given], policy=POLICY.to_json(), splits='["train", "test"]')
    document = json.loads((pathlib.Path(report.uri) / "report.json").read_text())
    assert {split: found["made"] for split, found in document["splits"].items()} == {
        "train": 20,
        "test": 20,
    }
    assert document["copied_splits"] == ["eval"]
    fingerprints = {
        json.loads((pathlib.Path(report.uri) / f"Split-{s}/manifest.json").read_text())[
            "fingerprint"
        ]
        for s in ("train", "test")
    }
    assert fingerprints == {made.get_string_custom_property("augmentation_fingerprint")}


def test_without_provenance_and_originals(tmp_path):
    made, report = augment(
        tmp_path, [examples(tmp_path / "in")], include_originals=0, provenance=0, copies=3
    )
    folder = pathlib.Path(made.uri) / "Split-train"
    assert report.get_int_custom_property("kept") == 0
    (file,) = folder.iterdir()
    import tensorflow as tf

    found = [rows.values(r) for r in tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator()]
    assert len(found) == 60 and not any("aug/draw" in row for row in found)


@pytest.mark.parametrize(
    ("properties", "received"),
    [
        (
            {"payload_format": "FORMAT_PARQUET", "file_format": "parquet"},
            "FORMAT_PARQUET in 'parquet'",
        ),
        ({"payload_format": "FORMAT_PROTO"}, "FORMAT_PROTO in 'tfrecords_gzip'"),
        ({"file_format": "tfrecords_snappy"}, "FORMAT_TF_EXAMPLE in 'tfrecords_snappy'"),
    ],
)
def test_other_formats_are_refused(tmp_path, properties, received):
    with pytest.raises(DataError, match=received):
        augment(tmp_path, [examples(tmp_path / "in", **properties)])


def test_several_artifacts_are_refused(tmp_path):
    given = [examples(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(
        InvalidArgumentError, match="`examples` must hold one artifact. Received: 2"
    ):
        augment(tmp_path, given)


def test_empty_split_is_refused(tmp_path):
    given = examples(tmp_path / "in")
    for path in (tmp_path / "in" / "Split-train").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="split 'train' has no file"):
        augment(tmp_path, [given])


def test_kind_of_a_feature_that_its_op_does_not_take_is_refused_by_name(tmp_path):
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("age", rate=0.5)], key_features=POLICY.key_features
    )
    with pytest.raises(DataError, match="'age' of kind float"):
        augment(tmp_path, [examples(tmp_path / "in")], policy=policy.to_json())


def test_loss_of_quality_is_judged_beside_chance():
    import numpy as np

    from tfrs_augment.components.validator.findings import Thresholds
    from tfrs_augment.components.validator.quality import _compared

    users = np.repeat(np.arange(50), 4)
    hits = np.tile([1.0, 1.0, 0.0, 0.0], 50)
    equal = _compared("recall@10", hits, hits, users, Thresholds(), higher_is_better=True)
    assert equal.passed and equal.value == 0
    worse = _compared("recall@10", hits * 0.5, hits, users, Thresholds(), higher_is_better=True)
    assert not worse.passed and worse.value == pytest.approx(0.5)
    # Lower errors are better: half the squared error is a negative loss.
    better = _compared("rmse", hits * 0.25, hits, users, Thresholds(), higher_is_better=False)
    assert better.passed and better.value == pytest.approx(-0.5)
    # A loss that one user of fifty makes may be chance.
    one = hits.copy()
    one[:4] = 0
    chance = _compared(
        "recall@10", one, hits, users, Thresholds(max_quality_loss=0.01), higher_is_better=True
    )
    assert chance.value > 0.01 and chance.passed and "may be chance" in chance.note


def drifting(folder: pathlib.Path, *, shift: float):
    """An Examples artifact whose ages are moved."""
    from tfx.types import standard_artifacts

    made = standard_artifacts.Examples()
    made.uri = str(folder)
    made.split_names = '["train", "eval"]'
    for split in ("train", "eval"):
        moved = [rows.row(i) for i in range(300)]
        serialized = [rows.example(**{**row, "age": [row["age"][0] + shift]}) for row in moved]
        rows.write(folder / f"Split-{split}" / "data.gz", serialized, "GZIP")
    return made


def weaker(policy, drifts, files):
    """An `adapt` of the tests below."""
    assert drifts[0].name == "age" and files[0].endswith("data.gz")
    ops = [aug.ops.IdDropout("movie_id", rate=0.125), policy.ops[-1]]
    return aug.AugmentationPolicy(ops, key_features=policy.key_features)


def test_drift_is_measured_described_and_adapted_to(tmp_path):
    guarded = {
        "policy": POLICY.to_json(),
        "splits": '["train", "eval"]',
        "drift_threshold": 0.1,
        "adapt": "tests.components.test_executors:weaker",
    }
    made, report = augment(tmp_path / "a", [drifting(tmp_path / "1", shift=0.0)], **guarded)
    assert made.get_int_custom_property("adapted") == 0
    assert not report.has_custom_property("drift")
    fingerprint = made.get_string_custom_property("augmentation_fingerprint")
    made, again = augment(
        tmp_path / "b", [drifting(tmp_path / "2", shift=0.25)], reference=report, **guarded
    )
    # As before, by the statistics of before.
    assert (made.get_int_custom_property("adapted"), fingerprint) == (
        0,
        made.get_string_custom_property("augmentation_fingerprint"),
    )
    assert 0 <= again.get_float_custom_property("drift") < 0.1
    made, third = augment(
        tmp_path / "c", [drifting(tmp_path / "3", shift=30.0)], reference=again, **guarded
    )
    for described in (made, third):
        assert described.get_int_custom_property("adapted") == 1
        assert described.get_float_custom_property("drift") == pytest.approx(0.57, abs=0.01)
    policy = aug.AugmentationPolicy.from_json(
        made.get_string_custom_property("augmentation_policy")
    )
    assert [op.rate for op in policy.ops[:1]] == [0.125] and len(policy.ops) == 2
    document = json.loads((pathlib.Path(third.uri) / "report.json").read_text())
    assert document["drift"]["drifted"] == ["age"]
    assert document["fingerprint"] == made.get_string_custom_property("augmentation_fingerprint")
    # All splits are augmented by the policy that the first has led to, none is compared but the first.
    for split in ("train", "eval"):
        path = pathlib.Path(third.uri) / f"Split-{split}" / "manifest.json"
        manifest = json.loads(path.read_text())
        assert manifest["fingerprint"] == document["fingerprint"]
        assert (manifest["drift"] is None) == (split == "eval")
    for name in ("drift.json", "statistics.json", "adapted_policy.json"):
        assert (pathlib.Path(third.uri) / "Split-train" / name).exists()
        assert not list(pathlib.Path(made.uri).rglob(name))


def test_report_without_statistics_is_refused_as_a_reference(tmp_path):
    given = examples(tmp_path / "in")
    _, report = augment(tmp_path / "a", [given])
    with pytest.raises(DataError, match="Split-train' has no statistics.json to compare"):
        augment(tmp_path / "b", [given], reference=report, drift_threshold=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adapt": "module:function"}, "go with a `drift_threshold`"),
        ({"drift_columns": ["age"]}, "go with a `drift_threshold`"),
        ({"drift_threshold": 1.5}, r"`threshold` must be in \(0, 1\]"),
        ({"drift_threshold": 0.1, "drift_columns": "age"}, "`columns` must be a list"),
        ({"drift_threshold": 0.1, "adapt": "module"}, 'import path "module:function"'),
        ({"drift_threshold": 0.1, "adapt": len}, 'import path "module:function"'),
    ],
)
def test_wrong_arguments_of_drift_are_refused_when_the_pipeline_is_made(arguments, message):
    from tfx import types
    from tfx.types import standard_artifacts

    from tfrs_augment.components import Augmenter

    with pytest.raises(InvalidArgumentError, match=message):
        Augmenter(types.Channel(type=standard_artifacts.Examples), SIMPLE, **arguments)


def test_newest_guarded_report_is_found():
    from tfx.types.experimental import simple_artifacts

    from tfrs_augment.components import LatestGuardedReport

    reports = []
    for number in (3, 1, 2, 4):
        report = simple_artifacts.Statistics()
        report.id = number
        if number != 4:
            report.set_int_custom_property("adapted", 0)
        reports.append(report)
    found = LatestGuardedReport().resolve_artifacts(None, {"a": reports, "b": reports[3:]})
    assert [report.id for report in found["a"]] == [3] and found["b"] == []
