"""The classic small project, with few photos and one epoch."""

from __future__ import annotations

import importlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("folder_cnn")


def write_photos(folder: pathlib.Path, shades: dict[str, int], count: int) -> None:
    """A folder a class, of photos of one shade and of several sizes."""
    for name, shade in shades.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            photo = tf.io.encode_jpeg(np.full([30 + i, 40, 3], shade, np.uint8))
            (folder / name / f"{i}.jpg").write_bytes(photo.numpy())


def test_it_trains_with_and_without_augmentation_and_draws_the_curves(example, tmp_path, capsys):
    write_photos(tmp_path / "photos", {"dark": 20, "light": 230}, 5)
    report = tmp_path / "report"
    example.main(
        [
            *("--data_dir", str(tmp_path / "photos"), "--classes", "dark", "light"),
            *("--train", "3", "--epochs", "1", "--report", str(report)),
        ]
    )
    shown = capsys.readouterr().out
    assert "dark and light: 6 photos to train with, 2 to validate with" in shown
    assert "without augmentation: accuracy" in shown and "\nwith augmentation: accuracy" in shown
    assert (report / "curves.png").stat().st_size > 10_000
    assert (report / "augmentations.png").stat().st_size > 5_000


def test_the_layout_of_image_folder_is_read_as_it_is(example, tmp_path):
    for split, count in (("train", 3), ("validation", 2)):
        write_photos(tmp_path / split, {"dark": 20, "grey": 100, "light": 230}, count)
    # The order of the classes is that of the argument.
    photos = example.load(tmp_path, ["light", "dark"], 99, 99)
    for split, count in (("train", 6), ("validation", 4)):
        columns, labels = photos[split]
        assert columns["image"].shape == (count, 150, 150, 3)
        shades = tf.reduce_mean(tf.cast(columns["image"], tf.float32), [1, 2, 3]).numpy()
        np.testing.assert_array_equal(labels, shades < 100)


def test_real_photos_are_split_without_overlap(example, shared_data):
    photos = example.load(shared_data / "clothing-cc0", ["longsleeve", "pants"], 4, 3)
    names = {split: columns["name"].numpy().tolist() for split, (columns, _) in photos.items()}
    assert (len(names["train"]), len(names["validation"])) == (8, 6)
    assert len(set(names["train"]) | set(names["validation"])) == 14
    assert all(np.mean(labels) == 0.5 for _, labels in photos.values())


def test_a_folder_without_photos_is_named(example, tmp_path):
    write_photos(tmp_path, {"dark": 20}, 3)
    with pytest.raises(SystemExit, match="absent must hold photos. Found: 0"):
        example.load(tmp_path, ["dark", "absent"], 4, 4)


def test_counts_are_checked(example, capsys):
    with pytest.raises(SystemExit):
        example.main(["--data_dir", "x", "--epochs", "0"])
    assert "--epochs must be at least 1" in capsys.readouterr().err
