"""How fast the Beam job augments, against per-record Beam and against copying the same files.

    python benchmarks/beam_throughput.py [--quick] [--records N]

500,000 tf.train.Examples of 8 features (about 200 bytes) in 4 files; IdDropout, FeatureMask and
GaussianNoise; one copy with provenance, originals left out; one worker. Peers, in alternate runs:

- `job`: `aug.beam.run` on the local runner; without --quick also with 1, 8 and 16 ops.
- `per-record Beam`: `ReadFromTFRecord | Map(in-place edit of tf.train.Example) | WriteToTFRecord` with the
  same edits and provenance, on the same runner.
- `copy`: a plain Python loop that reads the same files, checks both CRCs of each record and writes it again.
- `floor`: the codec's own read, check and copy.

Figures: `speedup_over_per_record_beam` (bar 8, aim 16), `time_over_copy` (bar 1.5, aim 1.0) and
`time_over_floor`.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import logging
import pathlib
import random
import shutil
import struct
import tempfile

import _common
import apache_beam as beam
import google_crc32c
import numpy as np
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment import records

FILES = 4
OPTIONS = ["--runner=FnApiRunner"]
POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("movie_id", rate=0.2),
        aug.ops.FeatureMask("occupation", rate=0.1),
        aug.ops.GaussianNoise("age", stddev=0.5),
    ],
    seed=7,
    key_features=("user_id", "movie_id", "timestamp"),
)


WORDS = ("engineer", "student", "writer", "doctor", "artist")
GENRES = [b"action", b"comedy", b"drama", b"romance"]


def strings(values) -> records.Column:
    return records.Column.from_rows(records.BYTES, [[value.encode()] for value in values])


def numbers(kind: int, values: np.ndarray) -> records.Column:
    return records.Column(kind, np.arange(len(values) + 1), values=values)


def write_input(folder: pathlib.Path, count: int) -> None:
    """Records of a shop's size and kinds; the bytes are those that TensorFlow's writer makes."""
    rng = np.random.default_rng(7)
    for number in range(FILES):
        n = count // FILES
        columns = {
            "user_id": strings(f"user-{u}" for u in rng.integers(0, 5000, n)),
            "movie_id": strings(f"movie-{m}" for m in rng.integers(0, 2000, n)),
            "occupation": strings(rng.choice(WORDS, n)),
            "genres": records.Column.from_rows(
                records.BYTES, [GENRES[:k] for k in rng.integers(1, 5, n)]
            ),
            "age": numbers(records.FLOAT, rng.integers(10, 80, n)),
            "rating": numbers(records.FLOAT, rng.integers(1, 6, n)),
            "timestamp": numbers(records.INT64, rng.integers(8e8, 9e8, n)),
            "weekday": numbers(records.INT64, rng.integers(0, 7, n)),
        }
        (folder / f"{number}.tfrecord").write_bytes(records.encode_rows(columns).tobytes())


def edit(record: bytes) -> bytes:
    """The same edits in plain Python, as a user would write them."""
    example = tf.train.Example.FromString(record)
    feature = example.features.feature
    if random.random() < 0.2:
        feature["movie_id"].bytes_list.value[0] = b"[UNK]"
    if random.random() < 0.1:
        feature["occupation"].bytes_list.value[0] = b"[UNK]"
    feature["age"].float_list.value[0] += random.gauss(0.0, 0.5)
    feature["aug/parent_key"].int64_list.value.append(hash(record) >> 1)
    feature["aug/draw"].int64_list.value.append(0)
    feature["aug/policy"].bytes_list.value.append(POLICY.fingerprint.encode())
    feature["sample_weight"].float_list.value.append(1.0)
    return example.SerializeToString(deterministic=True)


def per_record(source: pathlib.Path, target: pathlib.Path) -> None:
    with beam.Pipeline(options=beam.options.pipeline_options.PipelineOptions(OPTIONS)) as pipeline:
        _ = (
            pipeline
            | beam.io.ReadFromTFRecord(str(source / "*.tfrecord"))
            | beam.Map(edit)
            | beam.io.WriteToTFRecord(str(target / "out"), num_shards=FILES)
        )


def masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    header = struct.Struct("<QI")
    footer = struct.Struct("<I")
    for path in sorted(source.iterdir()):
        with path.open("rb", 1 << 20) as read, (target / path.name).open("wb", 1 << 20) as write:
            while head := read.read(12):
                length, crc = header.unpack(head)
                data, tail = read.read(length), read.read(4)
                if masked_crc(head[:8]) != crc or masked_crc(data) != footer.unpack(tail)[0]:
                    raise ValueError(f"{path} is corrupt")
                write.write(head)
                write.write(data)
                write.write(tail)


def floor(source: pathlib.Path, target: pathlib.Path) -> None:
    for path in sorted(source.iterdir()):
        with path.open("rb") as read, (target / path.name).open("wb") as write:
            for frames in records.read_frames(read, compression="none"):
                write.write(records.verify_and_copy(frames))


def policy_of(count: int) -> aug.AugmentationPolicy:
    """A policy of so many ops: the first three, and more of their kind."""
    more = [
        aug.ops.ScaleJitter("rating", scale_range=(0.9, 1.1)),
        aug.ops.IdDropout("genres", rate=0.2),
        aug.ops.FeatureMask(("weekday", "genres"), rate=0.1),
        aug.ops.NumericCrop("age", value_range=(10.0, 80.0)),
        aug.ops.DomainSwap("occupation", rate=0.1, domains=WORDS),
    ]
    ops = [*POLICY.ops, *more, *POLICY.ops, *more][:count]
    return aug.AugmentationPolicy(ops, seed=7, key_features=POLICY.key_features)


def job(
    source: pathlib.Path, target: pathlib.Path, policy: aug.AugmentationPolicy = POLICY
) -> None:
    aug.beam.run(
        policy,
        input=str(source / "*.tfrecord"),
        output=str(target),
        include_originals=False,
        progress=False,
        beam_args=OPTIONS,
    )


def main() -> None:
    arguments = _common.parse(
        __doc__,
        add=lambda parser: parser.add_argument("--records", type=int, help="default 500,000"),
    )
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    count = arguments.records or (100_000 if arguments.quick else 500_000)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        source = root / "in"
        source.mkdir()
        write_input(source, count)
        size = sum(path.stat().st_size for path in source.iterdir())

        def fresh(run):
            def timed():
                target = root / "out"
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir()
                run(source, target)

            return timed

        peers = {"job": job, "per-record Beam": per_record, "copy": copy, "floor": floor}
        if not arguments.quick:
            for ops in (1, 8, 16):
                peers[f"job of {ops} ops"] = functools.partial(job, policy=policy_of(ops))
        timings = _common.alternate(
            {name: fresh(run) for name, run in peers.items()}, runs=3 if arguments.quick else 5
        )
    figures = {
        "speedup_over_per_record_beam": _common.ratio(timings, "per-record Beam", "job"),
        "time_over_copy": _common.ratio(timings, "job", "copy"),
        "time_over_floor": _common.ratio(timings, "job", "floor"),
    }
    _common.finish(
        "beam_throughput",
        figures,
        header=["peer", "CPU us a record: median (range)", "wall us a record: median (range)"],
        table=_common.rows_of(timings, count, "us"),
        notes=f"{count:,} records of {size / count:.0f} bytes, frames included.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
