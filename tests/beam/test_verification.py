"""`verify`: an untouched output is as its manifest says; any change shows."""

from __future__ import annotations

import json
import shutil

import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.beam import cleaning
from tfrs_augment.errors import OutputError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    serialized = [*rows.records(400), rows.example(user_id=[b"no movie"])]
    rows.write(folder / "in.tfrecord", serialized)
    aug.beam.run(
        rows.POLICY,
        input=str(folder / "in.tfrecord"),
        output=str(folder / "out"),
        copies=2,
        num_shards=2,
        progress=False,
    )
    return folder / "out"


@pytest.fixture
def output(finished, tmp_path):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "out")


def differences(folder) -> str:
    return "\n".join(aug.beam.verify(str(folder)).differences)


def change_manifest(folder, change) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def rewrite(folder, change) -> None:
    """Changes the records of the first shard, and the manifest's size of it so that this does not show."""
    path = min(folder.glob("augmented-*"))
    kept = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    rows.write(path, change(kept))
    change_manifest(folder, lambda m: m["shards"][0].update(bytes=path.stat().st_size))


def with_feature(record: bytes, name: str, feature: tf.train.Feature) -> bytes:
    example = tf.train.Example.FromString(record)
    example.features.feature[name].CopyFrom(feature)
    return example.SerializeToString(deterministic=True)


def test_an_untouched_output_is_what_its_manifest_says(finished):
    verification = aug.beam.verify(str(finished))
    assert verification.ok and verification.differences == ()
    assert (verification.records, verification.shards) == (1200, 2)
    assert str(verification).endswith("out: as its manifest says")


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip", "include_originals": False},
        {"provenance": False, "item_features": []},
        {"copies": 0},
        {"balance": aug.beam.Balance("gender", max_copies=4, keep_expectation=True)},
    ],
    ids=["gzip", "bare", "originals", "balance"],
)
def test_outputs_of_other_kinds_are_as_their_manifests_say(tmp_path, options):
    rows.write(tmp_path / "in.tfrecord", rows.records(200))
    out = str(tmp_path / "out")
    aug.beam.run(
        rows.POLICY, input=str(tmp_path / "in.tfrecord"), output=out, progress=False, **options
    )
    assert aug.beam.verify(out).differences == ()


def test_a_cleaned_output(tmp_path):
    rows.write(tmp_path / "in.tfrecord", rows.records(100) * 2)
    rules = [
        cleaning.ExactDuplicates(),
        cleaning.RangeOutliers("age", low=15, high=40, action="clip"),
    ]
    out = str(tmp_path / "out")
    aug.beam.run(
        rows.POLICY,
        input=str(tmp_path / "in.tfrecord"),
        output=out,
        cleaning=cleaning.Cleaning(rules),
        progress=False,
    )
    verification = aug.beam.verify(out)
    assert verification.differences == () and verification.records == 200


def test_sequence_examples(tmp_path):
    sequences = []
    for record in rows.records(50):
        context = tf.train.Example.FromString(record).features
        sequence = tf.train.SequenceExample(context=context)
        sequence.feature_lists.feature_list["history"].feature.add().int64_list.value.append(1)
        sequences.append(sequence.SerializeToString(deterministic=True))
    rows.write(tmp_path / "in.tfrecord", sequences)
    out = str(tmp_path / "out")
    aug.beam.run(
        rows.POLICY,
        input=str(tmp_path / "in.tfrecord"),
        output=out,
        payload="sequence_example",
        progress=False,
    )
    verification = aug.beam.verify(out)
    assert verification.differences == () and verification.records == 100


def test_records_that_are_lost_doubled_or_damaged(output):
    rewrite(output, lambda kept: kept[:-1])
    assert "augmented-00000-of-00002.tfrecord, records: 1,199 found" in differences(output)
    assert "augmented records by aug/policy: 799 found, the manifest says 800" in differences(
        output
    )
    assert "item_counts.json: the counts of 'movie_id'" in differences(output)
    rows.corrupt(min(output.glob("augmented-*")), 200)
    assert "cannot be read on from record 0: corrupted record at" in differences(output)


def test_a_record_swapped_for_another(output):
    rewrite(output, lambda kept: [*kept[:-1], kept[-2]])
    assert "aug/parent_key: the parents of draw 1 are not the originals" in differences(output)


def test_provenance_that_is_wrong(output):
    draw = tf.train.Feature(int64_list=tf.train.Int64List(value=[7]))
    rewrite(output, lambda kept: [*kept[:-1], with_feature(kept[-1], "aug/draw", draw)])
    assert "aug/draw: [7] found, the manifest says 0 to 1" in differences(output)
    policy = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"another"]))
    rewrite(output, lambda kept: [*kept[:-1], with_feature(kept[-1], "aug/policy", policy)])
    assert "original records by aug/policy: 401 found" in differences(output)


def test_files_that_are_missing_or_too_many(output):
    (output / "augmented-00009-of-00009.tfrecord").write_bytes(b"")
    (output / "augmented-00001-of-00002.tfrecord").unlink()
    min(output.glob("rejected-*")).write_text("")
    found = differences(output)
    assert "augmented-00009-of-00009.tfrecord is not in the manifest" in found
    assert "augmented-00001-of-00002.tfrecord is missing" in found
    assert "rejected records: 0 found, the manifest says 1" in found


def test_a_policy_that_is_not_the_fingerprints(output):
    change_manifest(output, lambda m: m["policy"].update(seed=4))
    assert "fingerprint: the manifest says" in differences(output)
    change_manifest(output, lambda m: m["policy"].update(seed=-1))
    assert "the policy of the manifest cannot be used: `seed` must be" in differences(output)


def test_totals_that_do_not_add_up(output):
    change_manifest(output, lambda m: m["counts"].update(read=402))
    assert "read: its shards say 401, the manifest says 402" in differences(output)


def test_folders_that_are_no_result(tmp_path, output):
    with pytest.raises(OutputError, match="holds no result: there is no manifest.json"):
        aug.beam.verify(str(tmp_path))
    change_manifest(output, lambda m: m.pop("shards"))
    with pytest.raises(OutputError, match="is not one of ours: KeyError 'shards'"):
        aug.beam.verify(str(output))
