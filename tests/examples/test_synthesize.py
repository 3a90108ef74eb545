"""The example of synthesized interactions, in few steps."""

from __future__ import annotations

import importlib
import pathlib

import pytest
import tensorflow as tf

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("synthesize")


def test_it_fits_samples_judges_and_writes(example, tmp_path, capsys):
    example.main(["--steps", "10", "--rows", "400", "--report", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "quality" in shown and "lift_over_popularity" in shown
    (path,) = tmp_path.glob("interactions-*.tfrecord")
    records = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    assert len(records) == 100
    genders = {r.features.feature["user_gender"].bytes_list.value[0] for r in records}
    assert genders == {b"F"}
    for name in ("popularity.png", "training.png", "synthesizer.npz"):
        assert (tmp_path / name).stat().st_size > 5_000
