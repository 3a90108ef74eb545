"""Why it helped and why this item, on a shop small enough for a test."""

from __future__ import annotations

import importlib
import json
import pathlib

import pytest

import tfrs_augment as aug

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("explain")


@pytest.mark.slow
def test_it_says_which_op_and_which_feature_did_what(example, monkeypatch, tmp_path, capsys):
    tiny = aug.datasets.simulated_shop("tiny")
    monkeypatch.setattr(aug.datasets, "simulated_shop", lambda size: tiny)
    example.main(["--seeds", "1", "--epochs", "1", "--report", str(tmp_path)])
    ops = [op.id for op in example.quickstart.shop(tiny).policy.ops]
    for name in ("warm", "cold"):
        read = json.loads((tmp_path / f"attribution-{name}.json").read_text())
        assert [op["id"] for op in read["ops"]] == ops
        assert read["trainings"] == len(ops) + 2
        assert (tmp_path / f"attribution-{name}.png").stat().st_size > 5_000
    read = json.loads((tmp_path / "recommendation.json").read_text())
    total = sum(share["contribution"] for share in read["shares"])
    assert total == pytest.approx(read["score"] - read["masked_score"], abs=1e-6)
    assert read["rank"] == 1
    assert (tmp_path / "recommendation.png").stat().st_size > 5_000
    shown = capsys.readouterr().out
    assert all(f". {op} " in shown for op in ops) and "The best item for user" in shown


def test_numbers_are_checked(example, capsys):
    with pytest.raises(SystemExit):
        example.main(["--seeds", "0"])
    assert "--seeds must be at least 1" in capsys.readouterr().err
