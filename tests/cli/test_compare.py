"""`tfrs-augment compare`: what it writes and prints, and its exit codes."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from tests.search.models import POLICY
from tfrs_augment import cli

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
        ("--epochs 0", 2, "`epochs` must be at least 1"),
        ("--copies -1", 2, "`--copies` must be at least 0"),
        ("--dropout 0.3", 2, "`--dropout` is of a control"),
        ("--folds 3 --by time", 2, "`--folds` goes with --by user, row, item"),
        ("--folds 3 --cold_share 0.1", 2, "Received: --cold_share"),
        ("--folds 3 --seeds 4", 2, "at most the number of folds"),
        ("--by row", 2, "`--by row` goes with --folds"),
        ("--test test/* --by time", 2, "which --test does already"),
        ("--cold_share 1.5", 2, "`cold_share` must be in [0, 1)"),
        ("--build_model models", 2, "must be MODULE:FUNCTION"),
        ("--build_model no.such:build", 2, "names module 'no.such', which cannot be imported"),
        ("--build_model tests.search.models:Mix", 2, "Did you mean 'Mixed'"),
        ("--model_option dropout", 2, "`--model_option` must be NAME=VALUE"),
        ("--metric recall@11", 2, "`--metric` must be one of the report's"),
    ],
)
def test_errors_take_one_line(shell, tmp_path, more, code, message):
    done, out, err = shell(
        f"compare --input train/* --policy policy.json --output {tmp_path}/out {FAST} --epochs 1 {more}"
    )
    assert (done, out) == (code, "") and message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "report.json").exists()


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
