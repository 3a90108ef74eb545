"""The example of generated photos, with few photos and one step."""

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
    return importlib.import_module("image_gan")


def test_it_trains_draws_and_compares(example, tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = ["id,articleType,image"]
    for i in range(20):
        photo = rng.integers(0, 255, [80, 60, 3]).astype(np.uint8)
        (tmp_path / f"{i}.jpg").write_bytes(tf.io.encode_jpeg(photo).numpy())
        lines.append(f"{i},{'Hats' if i % 2 else 'Shoes'},{i}.jpg")
    (tmp_path / "products.csv").write_text("\n".join(lines))
    report = tmp_path / "report"
    example.main(
        [
            *("--data_dir", str(tmp_path), "--report", str(report), "--classifier_epochs", "1"),
            *("--epochs", "1", "--steps_per_epoch", "1", "--filters", "2"),
        ]
    )
    shown = capsys.readouterr().out
    assert "16 photos to train with, 4 to compare with" in shown
    assert all(f"  {name}: " in shown for name in ("DCGAN", "noise", "mean photo"))
    assert (report / "epochs" / "epoch_001.png").exists() and (report / "image_gan.npz").exists()
