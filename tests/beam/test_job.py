"""The job from end to end: rows, counts, provenance, and independence of files and workers."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.rows import POLICY, ROWS
from tfrs_augment.beam import files
from tfrs_augment.beam.units import plan
from tfrs_augment.errors import InvalidArgumentError, OutputError, UnknownFeatureError


def run(source: pathlib.Path, output: pathlib.Path, policy=POLICY, **arguments):
    return aug.beam.run(policy, input=str(source), output=str(output), progress=False, **arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
    """A source file, and the result of the job with two copies."""
    folder = tmp_path_factory.mktemp("job")
    rows.write(folder / "in" / "a.tfrecord", rows.records())
    run(folder / "in" / "*.tfrecord", folder / "out", copies=2)
    return folder / "in" / "a.tfrecord", folder / "out"


def test_counts_and_files(done):
    _, output = done
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["counts"] == {
        "read": ROWS,
        "rejected": 0,
        "kept": ROWS,
        "made": 2 * ROWS,
        "synthesized": 0,
        "slow_path": 0,
    }
    assert sorted(path.name for path in output.iterdir()) == [
        "augmented-00000-of-00001.tfrecord",
        "fitted.json",
        "item_counts.json",
        "manifest.json",
    ]
    assert (
        manifest["shards"][0]["bytes"]
        == (output / "augmented-00000-of-00001.tfrecord").stat().st_size
    )
    assert len(rows.read(output)) == 3 * ROWS


def test_originals_pass_through_byte_for_byte(done):
    _, output = done
    found = rows.counted(output)
    assert all(found[record] == 1 for record in rows.records())


def test_copies_are_what_the_policy_gives_and_carry_their_provenance(done):
    _, output = done
    policy = POLICY.with_fitted(aug.ops.FittedState.load(output / "fitted.json"))
    source = [rows.row(i) for i in range(ROWS)]
    features = {
        "user_id": tf.constant([r["user_id"][0] for r in source]),
        "movie_id": tf.constant([r["movie_id"][0] for r in source]),
        "timestamp": tf.constant([r["timestamp"][0] for r in source], tf.int64),
        "gender": tf.constant([r["gender"][0] for r in source]),
        "age": tf.constant([r["age"][0] for r in source]),
        "genres": tf.ragged.constant([r.get("genres", []) for r in source], dtype=tf.string),
    }
    copies = [values for values in map(rows.values, rows.read(output)) if "aug/draw" in values]
    by_draw = {d: {v["timestamp"][0]: v for v in copies if v["aug/draw"] == [d]} for d in (0, 1)}
    keys = policy.row_keys(features).numpy().astype(np.int64)
    layer_inputs = {**features}
    for d in (0, 1):
        assert len(by_draw[d]) == ROWS
        expected = policy.augment(features, draw=d)
        layer = aug.layers.Augment(policy, draw=d)(layer_inputs, training=True)
        for i in range(ROWS):
            row = by_draw[d][i]
            for name in ("user_id", "movie_id", "gender", "age"):
                assert row[name] == [expected[name].numpy()[i]] == [layer[name].numpy()[i]]
            assert row.get("genres", []) == expected["genres"][i].numpy().tolist()
            assert row["untouched"] == [0.25, float(i)]
            assert row["aug/parent_key"] == [keys[i]]
            assert row["aug/policy"] == [policy.fingerprint.encode()]
            assert row["sample_weight"] == [1.0]


def test_item_counts_are_those_of_the_output(done):
    _, output = done
    counts = json.loads((output / "item_counts.json").read_text())["movie_id"]
    ids = [rows.values(record)["movie_id"][0].decode() for record in rows.read(output)]
    assert counts == {item: ids.count(item) for item in set(ids)}
    assert counts["[UNK]"] > 0.25 * 2 * ROWS


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_the_same_rows_from_other_files_in_another_order(done, tmp_path, shards):
    serialized = rows.records()
    order = np.random.default_rng(1).permutation(ROWS)
    for number, part in enumerate(np.split(order, [17, 17, 1500])):  # The second is an empty file.
        name, kind = (
            (f"{9 - number}.tfrecord.gz", "GZIP") if number % 2 else (f"{9 - number}.tfrecord", "")
        )
        rows.write(tmp_path / "in" / name, [serialized[i] for i in part], kind)
    report = run(
        tmp_path / "in" / "*", tmp_path / "out", copies=2, num_shards=shards, compression="none"
    )
    assert len(report.manifest["shards"]) == shards
    assert rows.counted(tmp_path / "out") == rows.counted(done[1])


@pytest.mark.slow
def test_the_same_rows_with_two_worker_processes(done, tmp_path):
    beam_args = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    report = run(done[0], tmp_path / "out", copies=2, num_shards=4, beam_args=beam_args)
    assert report.counts["made"] == 2 * ROWS
    assert rows.counted(tmp_path / "out") == rows.counted(done[1])


def test_only_copies_without_provenance(done, tmp_path):
    report = run(
        done[0], tmp_path / "out", include_originals=False, provenance=False, compression="gzip"
    )
    counts = {"read": ROWS, "rejected": 0, "kept": 0, "made": ROWS, "synthesized": 0}
    assert report.counts == {**counts, "slow_path": 0}
    found = [rows.values(record) for record in rows.read(tmp_path / "out")]
    assert len(found) == ROWS
    assert not any(
        name.startswith("aug/") or name == "sample_weight" for row in found for name in row
    )


def test_seed_takes_the_place_of_the_policys(done, tmp_path):
    other = run(done[0], tmp_path / "a", seed=0, include_originals=False)
    again = run(
        done[0], tmp_path / "b", policy=dataclasses.replace(POLICY, seed=0), include_originals=False
    )
    assert other.manifest["fingerprint"] == again.manifest["fingerprint"]
    assert rows.counted(tmp_path / "a") == rows.counted(tmp_path / "b") != rows.counted(done[1])


def test_weights_that_are_there_are_kept_and_augmenting_twice_duplicates_no_feature(done, tmp_path):
    weighted = [rows.example(**rows.row(i), sample_weight=[0.25]) for i in range(50)]
    rows.write(tmp_path / "in.tfrecord", weighted)
    run(tmp_path / "in.tfrecord", tmp_path / "once", include_originals=False)
    run(tmp_path / "once" / "augmented-*", tmp_path / "twice", include_originals=False)
    for record in rows.read(tmp_path / "twice"):
        assert rows.values(record)["sample_weight"] == [0.25]
        assert len(rows.values(record)["aug/draw"]) == 1


def test_a_result_is_refused_without_overwrite_and_replaced_with_it(done, tmp_path):
    output = tmp_path / "out"
    run(done[0], output, copies=1, num_shards=3)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(OutputError, match="holds a result.*--overwrite"):
        run(done[0], output)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    run(done[0], output, copies=2, overwrite=True)
    assert rows.counted(output) == rows.counted(done[1])
    assert not list(output.glob("*-of-00003*"))


def test_output_must_not_be_the_inputs_folder(done):
    with pytest.raises(OutputError, match="must not hold the input"):
        run(done[0], done[0].parent, overwrite=True)
    assert done[0].exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"copies": -1}, "`copies` must be an integer of at least 1"),
        ({"copies": 0, "include_originals": False}, "`copies` must be"),
        ({"num_shards": 0}, "`num_shards` must be an integer of at least 1"),
        (
            {"compression": "zip"},
            '`compression` must be "auto", "none" or "gzip". Received: compression=\'zip\'',
        ),
        ({"policy": aug.AugmentationPolicy(POLICY.ops)}, "`policy` must have key_features"),
        ({"policy": "policy.json"}, "`policy` must be an AugmentationPolicy"),
    ],
)
def test_bad_arguments(done, tmp_path, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        run(done[0], tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_unknown_features_are_named_before_anything_is_written(done, tmp_path):
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("movieid", rate=0.1)], key_features=("user_id",)
    )
    with pytest.raises(
        UnknownFeatureError, match="names feature 'movieid'. Did you mean 'movie_id'"
    ):
        run(done[0], tmp_path / "out", policy=policy)
    with pytest.raises(UnknownFeatureError, match="`item_features` names feature 'item'"):
        run(done[0], tmp_path / "out", item_features=["item"])
    assert not (tmp_path / "out").exists()


def test_plan_divides_files_and_blocks():
    inputs = [
        files.InputFile(f"f{i}", size, "none") for i, size in enumerate((10, 10, 1000, 10, 10))
    ]
    assert [len(unit.files) for unit in plan(inputs, None)] == [1] * 5
    for count in (1, 2, 3, 4):
        units = plan(inputs, count)
        assert [unit.shard for unit in units] == list(range(count))
        assert all(unit.files for unit in units)
        assert [file for unit in units for file in unit.files] == inputs
    units = plan(inputs[:2], 5)
    assert [(unit.files[0].path, unit.part, unit.parts) for unit in units] == [
        ("f0", 0, 3), ("f0", 1, 3), ("f0", 2, 3), ("f1", 0, 2), ("f1", 1, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("step", ["AugmentUnit", "SummarizeUnit"])
@pytest.mark.parametrize("lost", [{1}, {0, 1, 2}])
def test_work_that_a_runner_loses_is_an_error_and_no_result(
    done, tmp_path, monkeypatch, step, lost
):
    from tfrs_augment.beam import units

    original = getattr(units, step).process

    def process(self, keyed):
        if keyed[0] not in lost:
            yield from original(self, keyed)

    monkeypatch.setattr(getattr(units, step), "process", process)
    with pytest.raises(OutputError, match="of 3 units of work"):
        run(done[0], tmp_path / "out", num_shards=3)
    assert not (tmp_path / "out" / "manifest.json").exists()
