"""The page on TFX: its snippets make a pipeline, and what it prints of thresholds is what they are."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.test_docs import snippets
from tfrs_augment.components.validator.findings import Thresholds

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "tfx.md").read_text("utf-8")


@pytest.mark.tfx
def test_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(snippets(PAGE), "docs/tfx.md", "exec"), names)
    assert set(names["validator"].outputs) == {"validation", "blessing"}
    assert set(names["augmenter"].inputs) == {"examples", "schema", "synthesizer"}


def test_defaults_of_the_thresholds_are_those_that_the_page_prints():
    (drift,) = re.findall(r"\| `max_drift`; of single features `max_drift_of` \| ([\d.]+) \|", PAGE)
    (labels,) = re.findall(r"\| `max_label_changes` \| ([\d.]+) \|", PAGE)
    (privacy,) = re.findall(r"\| `max_` and the name \| ([\d., ]+) \|", PAGE)
    (quality,) = re.findall(r"\| `max_quality_loss` \| ([\d.]+) \|", PAGE)
    defaults = Thresholds()
    assert [float(drift), float(labels), float(quality)] == [
        defaults.max_drift,
        defaults.max_label_changes,
        defaults.max_quality_loss,
    ]
    assert [float(number) for number in privacy.split(",")] == [
        defaults.max_closer_to_train,
        defaults.max_copies,
        defaults.max_membership_auc,
    ]
