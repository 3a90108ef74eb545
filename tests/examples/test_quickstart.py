"""The quickstart, on a shop small enough for a test."""

from __future__ import annotations

import importlib
import json
import pathlib

import pytest

import tfrs_augment as aug

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def quickstart(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("quickstart")


@pytest.mark.slow
def test_it_writes_records_their_augmented_copy_and_a_report(
    quickstart, monkeypatch, tmp_path, capsys
):
    tiny = aug.datasets.simulated_shop("tiny")
    monkeypatch.setattr(aug.datasets, "simulated_shop", lambda size: tiny)
    quickstart.main(["--seeds", "1", "--report", str(tmp_path)])
    manifest = json.loads((tmp_path / "augmented" / "manifest.json").read_text())
    rows = len(quickstart.shop(tiny).split(0).train)
    assert manifest["counts"]["read"] == rows
    assert manifest["counts"]["made"] == 2 * rows
    report = json.loads((tmp_path / "report.json").read_text())
    arms = ["baseline", "tuned dropout", "mean-OOV", "oversampling", "policy"]
    assert list(report["figures"]) == arms
    assert (tmp_path / "report.png").stat().st_size > 10_000
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(f">{arm}</th>" in page for arm in arms)
    assert "Before and after" in page
    shown = capsys.readouterr().out
    assert all(f"|   {arm} " in shown for arm in arms)


def test_the_policy_fits_the_shop(quickstart):
    _check_policy(quickstart.load())


def test_the_policy_fits_movielens(quickstart, shared_data):
    _check_policy(quickstart.load(data_dir=str(shared_data / "ml-100k")))


def _check_policy(scenario):
    rows = scenario.data.take(slice(0, 50)).to_tensors()
    assert set(scenario.policy.augment(rows, draw=0)) == set(rows)
    assert set(scenario.policy.features) <= set(rows)


def test_a_development_split_shares_no_test_row(quickstart):
    scenario = quickstart.shop(aug.datasets.simulated_shop("tiny"))
    whole, inner = scenario.split(3), scenario.development(3)
    assert inner.test.rows["timestamp"].max() <= whole.test.rows["timestamp"].min()
    assert not set(inner.train.items["item_id"]) & set(whole.cold_items)


def test_seeds_are_checked(quickstart, capsys):
    with pytest.raises(SystemExit):
        quickstart.main(["--seeds", "0"])
    assert "--seeds must be at least 1" in capsys.readouterr().err
