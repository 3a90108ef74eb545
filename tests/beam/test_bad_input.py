"""Bad input: clear errors or rejected records; every intact record is kept, and the counts add up."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.rows import POLICY
from tfrs_augment.beam.reading import read_rows
from tfrs_augment.errors import DataError, OutputError

FITTED = aug.fitting.fit(
    POLICY,
    {
        "gender": tf.constant(["F", "M"]),
        "age": tf.constant([20.0, 40.0]),
    },
)


def run(source, output: pathlib.Path, **arguments):
    return aug.beam.run(FITTED, input=str(source), output=str(output), progress=False, **arguments)


def rejected(report) -> list[dict]:
    lines = []
    for name in report.manifest["rejected_files"]:
        lines += (pathlib.Path(report.output) / name).read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_kept(report, intact: list[bytes]) -> None:
    """The originals are exactly the intact records, in their number, and the counts add up."""
    found = rows.counted(pathlib.Path(report.output))
    originals = [record for record in found if b"aug/draw" not in record]
    assert sorted(originals) == sorted(intact)
    counts = report.counts
    assert counts["kept"] == len(intact)
    assert counts["read"] == counts["rejected"] + counts["kept"]
    assert counts["rejected"] == len(rejected(report))
    assert sum(found.values()) == counts["kept"] + counts["made"]


def test_flipped_bits_and_a_truncated_end(tmp_path):
    serialized = rows.records(400)
    starts = rows.frame_starts(serialized)
    path = rows.write(tmp_path / "in.tfrecord", serialized)
    rows.corrupt(path, int(starts[10]) + 30)  # in the data of record 10
    rows.corrupt(path, int(starts[50]) + 3)  # in the length of record 50
    rows.corrupt(path, int(starts[51]) - 2)  # in the footer of record 50
    path.write_bytes(path.read_bytes()[: int(starts[399]) + 20])
    report = run(path, tmp_path / "out")
    intact = [record for i, record in enumerate(serialized) if i not in (10, 50, 399)]
    assert_kept(report, intact)
    found = rejected(report)
    assert [entry["offset"] for entry in found] == [starts[10], starts[50], starts[399]]
    assert all(entry["file"] == str(path) and entry["reason"] for entry in found)


def test_records_that_are_no_example_or_lack_what_the_policy_needs(tmp_path):
    good = rows.records(20)
    bad = {
        "is no tf.train.Example": b"\x0a\xff no example",
        "'age' must be of kind float. Received: bytes": rows.example(
            **{**rows.row(3), "age": [b"old"]}
        ),
        "key feature 'timestamp' must have one value. Received: none": rows.example(
            **{k: v for k, v in rows.row(3).items() if k != "timestamp"}
        ),
        "key feature 'user_id' must have one value. Received: 2 values": rows.example(
            **{**rows.row(3), "user_id": [b"a", b"b"]}
        ),
        "'age' must be finite. Received: NaN": rows.example(
            **{**rows.row(3), "age": [float("nan")]}
        ),
        "'age' must be finite. Received: NaN or infinity": rows.example(
            **{**rows.row(3), "age": [float("inf")]}
        ),
    }
    report = run(
        rows.write(tmp_path / "in.tfrecord", good[:10] + list(bad.values()) + good[10:]),
        tmp_path / "out",
    )
    assert_kept(report, good)
    reasons = [entry["reason"] for entry in rejected(report)]
    assert all(expected in reason for expected, reason in zip(bad, reasons, strict=True)), reasons


def test_a_missing_feature_that_is_no_key_is_left_missing(tmp_path):
    serialized = [
        rows.example(**{k: v for k, v in rows.row(i).items() if k != "age" or i % 2})
        for i in range(40)
    ]
    report = run(rows.write(tmp_path / "in.tfrecord", serialized), tmp_path / "out")
    assert_kept(report, serialized)
    for record in rows.read(tmp_path / "out"):
        assert ("age" in rows.values(record)) == (rows.values(record)["timestamp"][0] % 2 == 1)


def test_records_in_another_valid_encoding_take_the_slow_path_and_are_counted(tmp_path):
    serialized = rows.records(30)
    # The same feature map in two `features` messages: valid protobuf, not what serializers write.
    first = tf.train.Example.FromString(serialized[3])
    second = tf.train.Example()
    second.features.feature["age"].CopyFrom(first.features.feature.pop("age"))
    unusual = first.SerializeToString() + second.SerializeToString()
    report = run(
        rows.write(tmp_path / "in.tfrecord", [unusual, *serialized]),
        tmp_path / "out",
        include_originals=False,
    )
    assert report.counts["slow_path"] == 1
    assert report.counts["made"] == 31
    made = [rows.values(r) for r in rows.read(tmp_path / "out")]
    assert made[0] == made[4], "the unusual record is augmented as its twin is"


def test_an_empty_shard_is_no_error(tmp_path):
    serialized = rows.records(10)
    rows.write(tmp_path / "in" / "a.tfrecord", [])
    rows.write(tmp_path / "in" / "b.tfrecord", serialized)
    report = run(tmp_path / "in" / "*", tmp_path / "out")
    assert_kept(report, serialized)
    assert len(report.manifest["shards"]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "matches no file. Received"),
        (b"", "holds no tf.train.Example"),
        (b"not a TFRecord" * 99, "holds no"),
    ],
)
def test_input_without_a_usable_record_is_an_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "in.tfrecord").write_bytes(content)
    with pytest.raises(DataError, match=message):
        run(tmp_path / "in.tfrecord*", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "received"),
    [
        (["a.tfrecord"], r"a\.tfrecord\.$"),
        (["a.tfrecord", "b"], r"a\.tfrecord and 1 more file\.$"),
        (["a", "b", "c"], r"a and 2 more files\.$"),
        (["a.parquet"], r"a\.parquet\. By its name .*'parquet' \(--input_format parquet\)"),
        (["a.csv.gz"], r"a\.csv\.gz\. By its name .*'csv' \(--input_format csv\)"),
        (["a.tsv"], r"a\.tsv\. By its name .*'csv' \(--input_format csv\)"),
    ],
)
def test_files_without_records_are_named_and_what_they_may_be(tmp_path, names, received):
    for name in names:
        content = gzip.compress(b"") if name.endswith("gz") else b""
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"holds no tf.train.Example.*Received: .*{received}"):
        run(tmp_path / "*", tmp_path / "out")
    with pytest.raises(DataError, match=f"holds no tf.train.Example with.*Received: .*{received}"):
        aug.beam.inspect(str(tmp_path / "*"))


def test_a_table_without_rows_is_not_taken_for_another_format(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id\n")
    with pytest.raises(DataError, match=r"no usable record .* Received: .*a\.csv\.$"):
        read_rows(str(tmp_path / "a.csv"), input_format="csv")


def test_input_whose_every_record_is_rejected_is_an_error_that_gives_a_reason(tmp_path):
    path = rows.write(
        tmp_path / "in.tfrecord", [rows.example(**{**rows.row(3), "age": [float("nan")]})] * 5
    )
    with pytest.raises(DataError, match="no usable record.*must be finite"):
        run(path, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_gzip_named_as_plain_is_named(tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", rows.records(10), "GZIP")
    with pytest.raises(DataError, match=r"in.tfrecord.*gzip"):
        run(path, tmp_path / "out")
    assert run(path, tmp_path / "out", input_compression="gzip").counts["kept"] == 10


def test_a_gzip_file_cut_short_gives_what_it_can(tmp_path):
    serialized = rows.records(2000)
    path = rows.write(tmp_path / "in.tfrecord.gz", serialized, "GZIP")
    path.write_bytes(path.read_bytes()[:-3000])
    report = run(path, tmp_path / "out")
    kept = [record for record in rows.read(tmp_path / "out") if b"aug/draw" not in record]
    assert len(kept) > 1000
    assert kept == serialized[: len(kept)]
    assert len(rejected(report)) == report.counts["rejected"] == 1


@pytest.mark.skipif(
    os.geteuid() == 0 and not pathlib.Path("/proc").is_dir(), reason="root may write anywhere"
)
def test_an_output_that_cannot_be_written_is_an_error(tmp_path):
    source = rows.write(tmp_path / "in.tfrecord", rows.records(5))
    (tmp_path / "file").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        run(source, tmp_path / "file" / "out")
    # Not even root can make a folder there.
    with pytest.raises(OutputError, match="/proc/out"):
        run(source, pathlib.Path("/proc/out"))


_KILLED = """
import os, sys
from tests.beam import rows, test_bad_input
from tfrs_augment.beam import units
original = units.AugmentUnit._write_block
def stop_half_way(self, shard, block, items):
    result = original(self, shard, block, items)
    if block.file_offsets[0] > 0:
        shard._file.flush()
        print("half-way", flush=True)
        import time; time.sleep(600)
    return result
units.AugmentUnit._write_block = stop_half_way
units.records.read_frames = __import__("functools").partial(units.records.read_frames, block_records=64)
test_bad_input.run(sys.argv[1], test_bad_input.pathlib.Path(sys.argv[2]))
"""


def test_a_killed_job_leaves_no_result_and_a_second_run_succeeds(tmp_path):
    serialized = rows.records(500)
    source, output = rows.write(tmp_path / "in.tfrecord", serialized), tmp_path / "out"
    worker = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(source), str(output)], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline().strip() == "half-way"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert list(output.glob(".staging-*/shard-*")), "the job was killed while it wrote"
    assert not list(output.glob("augmented-*")) and not (output / "manifest.json").exists()
    assert_kept(run(source, output), serialized)
    assert not list(output.glob(".staging-*"))


def test_a_failing_worker_leaves_no_result_and_its_error_is_told(tmp_path, monkeypatch):
    source, output = rows.write(tmp_path / "in.tfrecord", rows.records(50)), tmp_path / "out"
    from tfrs_augment.beam import units

    def full(self, *_):
        raise OutputError("output 'x' cannot be written: No space left on device")

    monkeypatch.setattr(units.AugmentUnit, "_write_block", full)
    with pytest.raises(
        OutputError, match="^output 'x' cannot be written: No space left on device$"
    ):
        run(source, output)
    assert list(output.iterdir()) == []


def test_two_results_cannot_be_mixed_by_a_job_that_fails_while_it_publishes(tmp_path, monkeypatch):
    from tfrs_augment.beam import files

    source, output = rows.write(tmp_path / "in.tfrecord", rows.records(50)), tmp_path / "out"
    run(source, output)
    real = files.FileSystems.rename

    def fail(sources, targets):
        raise OSError("the disk is gone")

    monkeypatch.setattr(files.FileSystems, "rename", fail)
    with pytest.raises(OutputError, match="the disk is gone"):
        run(source, output, overwrite=True)
    assert not (output / "manifest.json").exists()
    monkeypatch.setattr(files.FileSystems, "rename", real)
    assert run(source, output).counts["kept"] == 50


def test_progress_is_shown_on_stderr(tmp_path, capfd):
    from tfrs_augment.beam.progress import Progress

    (tmp_path / "shard-0").write_bytes(b"x" * 2_500_000)
    with Progress(str(tmp_path), 3, enabled=True):
        time.sleep(1.5)
    shown = capfd.readouterr()
    assert "2.50MB" in shown.err and "1 of 3 shards begun" in shown.err
    assert shown.out == ""
