"""Damaged files by the thousand, and disks that fail: nothing is lost, nothing half-done reads as done."""

from __future__ import annotations

import collections
import os
import struct
import subprocess

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf

from tests.beam import rows
from tests.beam.test_bad_input import rejected, run
from tfrs_augment.beam import units
from tfrs_augment.errors import DataError, OutputError

FILES, RECORDS = 1000, 12


def intact_records(data: bytes) -> list[bytes]:
    """All whole frames of a file, by an independent reader: any offset may start one."""

    def masked(part: bytes) -> int:
        crc = google_crc32c.value(part)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    found, position = [], 0
    while position + 16 <= len(data):
        length, crc = struct.unpack_from("<QI", data, position)
        end = position + 12 + length
        if masked(data[position : position + 8]) == crc and end + 4 <= len(data):
            payload = data[position + 12 : end]
            if masked(payload) == struct.unpack_from("<I", data, end)[0]:
                found.append(payload)
                position = end + 4
                continue
        position += 1
    return found


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with bytes flipped, cut out, repeated, or put in from elsewhere."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        start, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
        span = data[start : start + size]
        kind = rng.integers(5)
        if kind == 0:
            data[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[start : start + size]
        elif kind == 2:
            data[start:start] = span
        elif kind == 3:
            target = int(rng.integers(len(data)))
            data[target : target + len(span)] = span
        else:
            del data[start:]
        if not data:
            break
    return bytes(data)


def is_usable(payload: bytes) -> bool:
    """Whether the job's policy can augment a record, by protobuf alone."""
    try:
        feature = tf.train.Example.FromString(payload).features.feature
    except Exception:  # Any failure to parse says the same.
        return False
    keys = [
        feature["user_id"].bytes_list.value,
        feature["movie_id"].bytes_list.value,
        feature["timestamp"].int64_list.value,
    ]
    return all(len(values) == 1 for values in keys)


@pytest.mark.slow
def test_a_thousand_damaged_files(tmp_path):
    seed = 20_261_124
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    expected: collections.Counter = collections.Counter()
    serialized = rows.records(FILES)
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        chosen = [serialized[i] for i in rng.integers(0, FILES, RECORDS)]
        path = rows.write(tmp_path / "in" / f"{number:04d}.tfrecord", chosen)
        path.write_bytes(mutated(path.read_bytes(), rng))
        expected.update(p for p in intact_records(path.read_bytes()) if is_usable(p))
    report = run(tmp_path / "in" / "*", tmp_path / "out", num_shards=3)
    found = rows.counted(tmp_path / "out")
    originals = {record: n for record, n in found.items() if b"aug/draw" not in record}
    assert originals == expected
    assert report.counts["kept"] == sum(expected.values()) > 0.6 * FILES * RECORDS
    explained = rejected(report)
    assert len(explained) == report.counts["rejected"] > 300
    assert all(entry["reason"] and entry["length"] > 0 for entry in explained)
    assert len({entry["reason"] for entry in explained}) >= 3


def test_a_file_that_vanishes_is_named(tmp_path, monkeypatch):
    source = rows.write(tmp_path / "in.tfrecord", rows.records(20))
    original = units.AugmentUnit.setup

    def vanish(self):
        original(self)
        source.unlink(missing_ok=True)

    monkeypatch.setattr(units.AugmentUnit, "setup", vanish)
    with pytest.raises(DataError, match=r"in\.tfrecord' cannot be read"):
        run(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_leaves_no_result(tmp_path, small_disk):
    source = rows.write(tmp_path / "in.tfrecord", rows.records(6000))
    with pytest.raises(OutputError, match="cannot be written.*No space left"):
        run(source, small_disk / "out", copies=3)
    assert not (small_disk / "out" / "manifest.json").exists()
    assert not list((small_disk / "out").glob("augmented-*"))
    small = rows.write(tmp_path / "small.tfrecord", rows.records(50))
    assert run(small, small_disk / "out").counts["kept"] == 50


def test_a_folder_that_turns_read_only_is_named(tmp_path, small_disk):
    source = rows.write(tmp_path / "in.tfrecord", rows.records(50))
    run(source, small_disk / "out")
    before = {path.name: path.read_bytes() for path in (small_disk / "out").iterdir()}
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OutputError, match="Read-only file system"):
        run(source, small_disk / "out", overwrite=True)
    assert {path.name: path.read_bytes() for path in (small_disk / "out").iterdir()} == before


def test_the_independent_reader_reads_what_tensorflow_reads(tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", rows.records(30))
    assert intact_records(path.read_bytes()) == list(
        tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    )
