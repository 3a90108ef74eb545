"""Photos as bytes in the Beam job: augmented as tf.data does it, and broken ones rejected."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.errors import DataError

POLICY = aug.AugmentationPolicy(
    [
        aug.ops.EncodedImages(
            "photo",
            [
                aug.ops.RandomAffine("photo", rotation=20, zoom=0.2, horizontal_flip=True),
                aug.ops.ColorJitter("photo", brightness=0.3, hue=0.05),
            ],
            size=(64, 48),
        )
    ],
    seed=3,
    key_features=["item_id"],
)


@pytest.fixture(scope="module")
def photos(shared_data) -> list[bytes]:
    paths = sorted((shared_data / "clothing-cc0").glob("*/*.jpg"))[::40]
    return [path.read_bytes() for path in paths]


def record(i: int, *images: bytes) -> bytes:
    return rows.example(item_id=[i], **({"photo": list(images)} if images else {}), price=[i / 2])


def test_real_photos_with_a_broken_one_among_them(photos, tmp_path):
    broken = [photos[0][:-5000], b""]
    good = [record(i, photo) for i, photo in enumerate(photos)]
    serialized = [*good[:2], record(90, broken[0]), *good[2:], record(91, broken[1])]
    path = rows.write(tmp_path / "in.tfrecord", serialized)
    output = tmp_path / "out"
    report = aug.beam.run(POLICY, input=str(path), output=str(output), copies=2, progress=False)
    assert report.counts["rejected"] == 2 and report.counts["kept"] == len(good) > 4
    assert report.counts["made"] == 2 * len(good)

    lines = "".join((output / n).read_text() for n in report.manifest["rejected_files"])
    rejected = [json.loads(line) for line in lines.splitlines()]
    starts = rows.frame_starts(serialized)
    assert [entry["offset"] for entry in rejected] == [starts[2], starts[len(serialized) - 1]]
    assert all(entry["file"] == str(path) for entry in rejected)
    for entry, value in zip(rejected, broken, strict=True):
        shown = f"'photo' must be an image as JPEG or PNG. Received: {len(value)} bytes ("
        assert shown in entry["reason"]

    found = rows.read(output)
    assert [r for r in found if b"aug/draw" not in r] == good
    made = [rows.values(r) for r in found if b"aug/draw" in r]
    columns = {"item_id": tf.range(len(photos), dtype=tf.int64), "photo": tf.constant(photos)}
    for draw in (0, 1):
        expected = POLICY.augment(columns, draw=draw)["photo"].numpy().tolist()
        draws = [row for row in made if row["aug/draw"] == [draw]]
        assert [row["photo"] for row in draws] == [[value] for value in expected]
    shapes = {tf.io.decode_jpeg(row["photo"][0]).shape for row in made}
    assert shapes == {tf.TensorShape([64, 48, 3])}


def _jpeg(i: int) -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, [20 + i, 16, 3], dtype=np.uint8)
    return tf.io.encode_jpeg(pixels).numpy()


def test_rows_with_several_photos_or_none(tmp_path):
    serialized = [record(0, _jpeg(0), _jpeg(1)), record(1), record(2, _jpeg(2))]
    bad = record(3, _jpeg(3), b"no image")
    path = rows.write(tmp_path / "in.tfrecord", [*serialized, bad])
    run = aug.beam.run(POLICY, input=str(path), output=str(tmp_path / "out"), progress=False)
    assert (run.counts["kept"], run.counts["rejected"]) == (3, 1)
    found = [r for r in map(rows.values, rows.read(pathlib.Path(run.output))) if "aug/draw" in r]
    assert [len(row.get("photo", [])) for row in found] == [2, 0, 1]


def test_photos_of_which_none_can_be_read_are_an_error_that_says_why(tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", [record(i, b"x") for i in range(3)])
    with pytest.raises(DataError, match="'photo' must be an image as JPEG or PNG"):
        aug.beam.run(POLICY, input=str(path), output=str(tmp_path / "out"), progress=False)


def test_a_feature_that_is_not_bytes_is_named(tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", [rows.example(item_id=[1], photo=[1.5])] * 3)
    with pytest.raises(DataError, match=r"EncodedImages 'photo'.*'photo' of kind float"):
        aug.beam.run(POLICY, input=str(path), output=str(tmp_path / "out"), progress=False)
