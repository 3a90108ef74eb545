"""Rows of interactions for the tests of the job."""

from __future__ import annotations

import collections
import pathlib

import numpy as np
import tensorflow as tf

import tfrs_augment as aug

ROWS = 3000

POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("movie_id", rate=0.3),
        aug.ops.FeatureMask(("gender", "genres"), rate=0.2),
        aug.ops.CategorySwap("gender", rate=0.5),
        aug.ops.GaussianNoise("age", stddev=0.5, unit="stddev"),
    ],
    seed=3,
    key_features=("user_id", "movie_id", "timestamp"),
)


def feature(values) -> tf.train.Feature:
    """A feature of the kind of its values."""
    if values and isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**features) -> bytes:
    """A serialized tf.train.Example of lists of values."""
    content = tf.train.Features(
        feature={name: feature(values) for name, values in features.items()}
    )
    return tf.train.Example(features=content).SerializeToString(deterministic=True)


def row(i: int) -> dict:
    genres = [b"Drama", b"War", b"Comedy"][: i % 4]
    return {
        "user_id": [b"u%d" % (i % 97)],
        "movie_id": [b"m%d" % (i * 7 % 211)],
        "timestamp": [i],
        "gender": [b"F" if i % 3 else b"M"],
        "age": [float(i % 50 + 10)],
        **({"genres": genres} if genres else {}),
        "untouched": [0.25, float(i)],
    }


def records(rows: int = ROWS) -> list[bytes]:
    return [example(**row(i)) for i in range(rows)]


def write(path: pathlib.Path, serialized, compression: str = "") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in serialized:
            writer.write(record)
    return path


def read(folder: pathlib.Path) -> list[bytes]:
    """All records of a result, by TensorFlow's own reader."""
    found = []
    for path in sorted(folder.glob("augmented-*")):
        kind = "GZIP" if path.suffix == ".gz" else ""
        found += tf.data.TFRecordDataset(str(path), compression_type=kind).as_numpy_iterator()
    return found


def counted(folder: pathlib.Path) -> collections.Counter:
    return collections.Counter(read(folder))


def values(record: bytes) -> dict[str, list]:
    """A record as lists of values."""
    content = tf.train.Example.FromString(record).features.feature
    return {n: list(getattr(f, f.WhichOneof("kind")).value) for n, f in content.items()}


def corrupt(path: pathlib.Path, position: int) -> None:
    """Flips a bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def frame_starts(serialized) -> np.ndarray:
    """Where each record's frame starts in a plain file."""
    return np.cumsum([0, *(len(record) + 16 for record in serialized)])
