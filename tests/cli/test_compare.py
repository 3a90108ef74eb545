"""`tfrs-augment compare`: what it writes and prints, and its exit codes."""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil

import pytest

from tests.search.models import POLICY
from tfrs_augment import cli
from tfrs_augment.cli import training
from tfrs_augment.cli.compare import _OF_PREDICTIONS
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.measuring.registry import REGISTRY

MODEL = "--build_model tests.search.models:Mixed"
FAST = f"{MODEL} --epochs 2 --seeds 2 --quiet"


@pytest.fixture(scope="module")
def report(files, tmp_path_factory):
    """A finished report, and what the command printed."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("report")
    out = io.StringIO()
    command = f"compare --input {files}/all/* --policy {files}/policy.json --output {folder} {FAST}"
    with contextlib.redirect_stdout(out):
        code = cli.main([*command.split(), "--controls", "--segments", "kind"])
    assert code == 0
    return folder, out.getvalue()


def test_the_report_is_written_and_printed(report):
    folder, out = report
    for name in ("report.html", "report.md", "report.png", "training.png", "report.json"):
        assert (folder / name).stat().st_size > 1000, name
    read = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert read["seeds"] == [0, 1]
    arms = list(read["figures"])
    assert arms == ["baseline", "oversampling", "re-initialisation", "policy"]
    assert any(name.startswith("kind=") for name in read["figures"]["policy"])
    assert out.startswith("| recall@10") and "\npolicy: " in out
    assert out.endswith(f"written: {folder / 'report.html'}\n")
    page = (folder / "report.html").read_text()
    assert "A row, policy" in page and POLICY.ops[0].id in page


def test_a_second_run_is_refused_and_overwrites_from_the_cache(report, shell):
    folder, first = report
    command = f"compare --input all/* --policy policy.json --output {folder} {FAST} --controls"
    code, out, err = shell(f"{command} --segments kind")
    assert (code, out) == (1, "") and "holds a report" in err
    before = sorted(path.name for path in (folder / "runs").iterdir())
    code, out, _ = shell(f"{command} --segments kind --overwrite")
    assert code == 0
    assert sorted(path.name for path in (folder / "runs").iterdir()) == before
    assert out.splitlines()[2:] != [] and len(out.splitlines()) == len(first.splitlines())


@pytest.mark.slow
def test_given_test_rows_and_two_policies(shell, tmp_path):
    shutil.copy("policy.json", tmp_path / "strong.json")
    code, out, _ = shell(
        f"compare --input train/* --test test/* --policy policy.json --policy {tmp_path}/strong.json "
        f"--copies 1 --output {tmp_path}/report {FAST} --cache {tmp_path}/cache --metric ndcg@10"
    )
    assert code == 0 and out.startswith("| ndcg@10")
    read = json.loads((tmp_path / "report" / "report.json").read_text())
    assert list(read["figures"]) == ["baseline", "policy", "strong"]
    assert read["settings"]["arms"]["strong"]["copies"] == 2
    assert read["rows"]["all"] == 500
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 6
    assert not (tmp_path / "report" / "runs").exists()


def test_folds(shell, tmp_path):
    code, _, _ = shell(
        f"compare --input all/* --policy policy.json --folds 2 --by row --output {tmp_path}/report "
        f"{MODEL} --epochs 1 --quiet"
    )
    read = json.loads((tmp_path / "report" / "report.json").read_text())
    assert code == 0 and read["seeds"] == [0, 1] and read["rows"]["all"] == 1500


@pytest.mark.slow
def test_the_default_model(shell, tmp_path):
    code, out, err = shell(
        f"compare --input all/* --policy policy.json --output {tmp_path}/report --epochs 1 --seeds 2 "
        "--model_option dropout=0.1 --model_option embedding_dim=8"
    )
    assert code == 0 and "seed 1, policy" in err and "policy: " in out


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ("--input absent/*", 1, "matches no file"),
        ("--policy absent.json", 2, "The policy file 'absent.json' cannot be read"),
        ("--policy policy.json", 2, "`--policy` must name a file once"),
        (
            "--item_id items",
            2,
            "`--item_id` must name a column of the rows. Received: 'items'. Did you mean",
        ),
        (
            "--segments kinds",
            2,
            "`--segments` must name columns of the rows. Received: 'kinds'. Did you",
        ),
        ("--baseline none", 2, "`baseline` must be one of `arms`"),
        ("--seeds -1", 2, "`--seeds` must be at least 1"),
        ("--seeds 0", 2, "`--seeds` must be at least 1. Received: --seeds 0."),
        ("--folds 0", 2, "`--folds` must be at least 2. Received: --folds 0."),
        ("--folds -2", 2, "`--folds` must be at least 2. Received: --folds -2."),
        ("--folds 1", 2, "`--folds` must be at least 2. Received: --folds 1."),
        ("--folds 0 --test test/*", 2, "`--folds` says how --input is split"),
        ("--test absent/*", 1, "`--test` matches no file"),
        ("--test train/*", 1, "`--test` must have rows that --input lacks"),
        ("--epochs 0", 2, "`epochs` must be at least 1"),
        ("--copies -1", 2, "`--copies` must be at least 0"),
        ("--dropout 0.3", 2, "`--dropout` is of a control"),
        ("--controls --dropout 1.5", 2, "`--dropout` must be in [0, 1). Received: --dropout 1.5."),
        ("--controls --dropout nan", 2, "`--dropout` must be in [0, 1). Received: --dropout nan."),
        ("--controls --dropout 0.3", 2, "`--dropout` must be an argument of tests.search.models:M"),
        ("--folds 3 --by time", 2, "`--folds` goes with --by user, row, item"),
        ("--folds 3 --cold_share 0.1", 2, "Received: --cold_share"),
        ("--folds 3 --seeds 4", 2, "at most the number of folds"),
        ("--by row", 2, "`--by row` goes with --folds"),
        ("--test test/* --by time", 2, "which --test does already"),
        ("--cold_share 1.5", 2, "`cold_share` must be in [0, 1)"),
        ("--build_model models", 2, "must be MODULE:FUNCTION"),
        ("--build_model no.such:build", 2, "names module 'no.such', which cannot be imported"),
        ("--build_model tests.search.models:Mix", 2, "Did you mean 'Mixed'"),
        ("--build_model tests.shell:shell", 2, "tests.shell:shell, missing a required argument"),
        ("--model_option dropout", 2, "`--model_option` must be NAME=VALUE"),
        (
            "--model_option slop=1",
            2,
            "of tests.search.models:Mixed. Received: 'slop'. Did you mean 's",
        ),
        ("--model_option train=1", 2, "tests.search.models:Mixed, multiple values for argument"),
        ("--metric recall@11", 2, "`--metric` must be one of the report's"),
        ("--metric rmse", 2, "`--metric` must be one of the report's. Received: 'rmse'."),
        ("--metric log_loss", 2, "`--metric` must be one of the report's. Received: 'log_loss'."),
    ],
)
def test_errors_take_one_line(shell, tmp_path, more, code, message):
    done, out, err = shell(
        f"compare --input train/* --policy policy.json --output {tmp_path}/out {FAST} --epochs 1 {more}"
    )
    assert (done, out) == (code, "") and message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "report.json").exists()
    assert not list(tmp_path.glob("out/runs/*")), "nothing was trained"


def test_metrics_of_predictions_are_those_that_a_retrieval_model_lacks(report):
    read = json.loads((report[0] / "report.json").read_text())
    measured = set(read["figures"]["policy"]["all"])
    assert {*REGISTRY} - measured == {*_OF_PREDICTIONS}


def load_model(*argv):
    parser = argparse.ArgumentParser()
    training.add_training(parser)
    return training.load_model(parser.parse_args(argv))


def test_options_of_the_model_are_checked_before_it_is_built(tmp_path, monkeypatch):
    assert load_model("--model_option", "dropout=0.1").keywords == {"dropout": 0.1}
    with pytest.raises(InvalidArgumentError, match="TwoTower. Received: 'dropou'. Did you mean 'd"):
        load_model("--model_option", "dropou=0.1")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_models.py").write_text("def any(train, **options): pass\ndef none(): pass\n")
    assert load_model("--build_model", "own_models:any", "--model_option", "a=1").keywords == {
        "a": 1
    }
    with pytest.raises(InvalidArgumentError, match="own_models:none.*too many positional arg"):
        load_model("--build_model", "own_models:none")
    # Of some that are written in C nothing is known.
    assert load_model("--build_model", "builtins:iter") is iter


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef build(train:\n", r"SyntaxError: .*\(own_\w+.py, line 2\)"),
        ("import no_such\n", "ModuleNotFoundError: No module named 'no_such'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_in_one_line(tmp_path, monkeypatch, text, message):
    name = f"own_{tmp_path.name[-8:].strip('_')}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(
        InvalidArgumentError, match=f"'{name}', which cannot be imported: {message}"
    ):
        load_model("--build_model", f"{name}:build")


def test_a_policy_for_other_data_is_refused_before_training(shell, tmp_path):
    text = pathlib.Path("policy.json").read_text().replace('"price"', '"prize"')
    (tmp_path / "other.json").write_text(text)
    code, _, err = shell(
        f"compare --input train/* --policy {tmp_path}/other.json --output {tmp_path}/out {FAST}"
    )
    assert (
        code == 2
        and "names feature 'prize', which the rows do not have. Did you mean 'price'" in err
    )
    assert not (tmp_path / "out" / "runs").exists()
