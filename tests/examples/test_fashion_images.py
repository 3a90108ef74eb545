"""Photos of a catalogue: one epoch of each training, on products that are drawn."""

from __future__ import annotations

import csv
import importlib
import pathlib

import numpy as np
import pytest
import tensorflow as tf

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
KINDS = ("Bags", "Caps", "Shoes", "Skirts")


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("fashion_images")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Thirty products of each of four article types; a photo's shade tells the type, some are grey."""
    folder = tmp_path_factory.mktemp("products")
    (folder / "images").mkdir()
    columns = ("id", "gender", "masterCategory", "subCategory", "articleType", "baseColour")
    columns += ("season", "year", "usage", "productDisplayName", "image")
    with open(folder / "products.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for number in range(30 * len(KINDS)):
            kind = number % len(KINDS)
            channels = 1 if number % 10 == 0 else 3
            photo = np.full([80, 60 - number % 3, channels], 40 + 60 * kind, np.uint8)
            name = f"images/{number}.jpg"
            (folder / name).write_bytes(tf.io.encode_jpeg(photo).numpy())
            words = ("Men", "Things", "More", KINDS[kind], "Red", "Fall", "2012", "Casual")
            writer.writerow([number, *words, f"Maker {number} {KINDS[kind]}", name])
    return folder


@pytest.mark.slow
def test_it_trains_measures_and_draws(example, folder, tmp_path, capsys):
    report = tmp_path / "report"
    example.main(["--data_dir", str(folder), "--epochs", "1", "--report", str(report)])
    shown = capsys.readouterr().out
    for name in ("types: accuracy", "search: Recall@10, new", "search: Recall@10, all"):
        (line,) = (line for line in shown.splitlines() if line.startswith(name))
        assert all(0 <= float(word) <= 1 for word in line.split()[-2:])
    for name in ("augmentations", "types", "search"):
        assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_photos_are_read_as_rgb_of_one_size_beside_the_columns(example, folder):
    products = example.load(folder)
    assert products.photo.shape == (120, *example.SIZE, 3) and products.photo.dtype == np.uint8
    shade = products.photo.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shade, 40 + 60 * products.kind, atol=2)
    assert products.items["articleType"][5] == b"Caps" and products.kind[5] == 1
    assert products.items["title"][7] == b"Maker 7 Skirts"


def test_seeds_share_the_test_products_and_nothing_else(example, folder):
    products = example.load(folder)
    for task, counts in (("types", (10, 5, 15)), ("search", (21, 3, 6))):
        first, second = (example.parts_of(task, products, seed) for seed in (0, 1))
        for parts in (first, second):
            places = [parts.train, parts.validation, parts.test]
            assert len(np.unique(np.concatenate(places))) == 30 * len(KINDS)
            for part, count in zip(places, counts, strict=True):
                assert (np.bincount(products.kind[part]) == count).all()
        np.testing.assert_array_equal(first.test, second.test)
        assert not np.array_equal(first.train, second.train)


def test_new_products_are_ranked_by_what_they_say_alone(example, folder):
    """A model that knows shades and article types finds as many as these tell."""
    products = example.load(folder)

    class Model:
        """One direction for each article type, from the shade of a photo or the words of a title."""

        def query_model(self, rows):
            shade = tf.reduce_mean(tf.cast(rows["photo"], tf.float32), [1, 2, 3])
            return tf.one_hot(tf.cast(tf.round((shade - 40) / 60), tf.int32), len(KINDS))

        def candidate_model(self, rows):
            kinds = tf.constant([kind.encode() for kind in KINDS])
            return tf.cast(rows["articleType"][:, None] == kinds[None], tf.float32)

    test = example.parts_of("search", products, 0).test
    hits = example.hits("search", Model(), products, test)
    # Six new products of a type tie for the first places, and thirty of all: ten places of thirty.
    assert (hits["Recall@10, new products"] == 1).all()
    np.testing.assert_allclose(hits["Recall@10, all products"], 1 / 3, rtol=1e-6)


def test_arguments_are_checked(example, tmp_path, capsys):
    for arguments, message in (
        (["--data_dir", str(tmp_path), "--seeds", "0"], "--seeds must be at least 1"),
        (["--data_dir", str(tmp_path)], "--data_dir must hold products.csv"),
    ):
        with pytest.raises(SystemExit):
            example.main(arguments)
        assert message in capsys.readouterr().err
