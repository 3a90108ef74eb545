"""Augmented rows by TensorFlow Data Validation, which is there where TFX is."""

from __future__ import annotations

import numpy as np
import pytest

import tfrs_augment as aug
from tests.evaluation.test_augmented_data import KEYS, ROWS, make_rows
from tfrs_augment.evaluation import measure_augmented

pytestmark = pytest.mark.tfx


def test_skew_and_anomalies_are_those_of_the_rate(tmp_path):
    rows = make_rows()
    masked = aug.AugmentationPolicy([aug.ops.IdDropout("item", rate=0.4)], key_features=KEYS)
    found = measure_augmented(rows, masked)
    assert "[UNK]" in found.statistics.anomalies["item"]
    changed = {shift.name: shift.changed for shift in found.columns}
    # What is new is as frequent as what was changed.
    assert found.statistics.skew["item"] == pytest.approx(changed["item"], abs=1e-6)
    assert found.statistics.skew["brand"] == pytest.approx(0.0, abs=1e-6)
    assert found.to_dict()["statistics"]["version"] == found.statistics.version
    found.to_html(tmp_path / "data.html")
    assert "TensorFlow Data Validation" in (tmp_path / "data.html").read_text(encoding="utf-8")
    assert measure_augmented(rows, masked, statistics=False).statistics is None


def test_equal_rows_have_neither():
    rows = make_rows()
    found = measure_augmented(rows, rows, parents=np.arange(ROWS)).statistics
    assert found.anomalies == {}
    assert all(value == pytest.approx(0.0, abs=1e-6) for value in found.skew.values())
