"""`tfrs-augment search`: what it writes and prints, and its exit codes."""

from __future__ import annotations

import json

import pytest

from tests.search.models import ID, POLICY, PRICE
from tfrs_augment import cli
from tfrs_augment.cli.search import _parameter
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.search import Choice, Float, Integer, Space, Switch
from tfrs_augment.search.study import StudyFile

SMALL = "--candidates 3 --rungs 2 --eta 2 --seeds 1 --confirm_seeds 4 --epochs 2 --quiet"


def search(output, model="Mixed", more=""):
    return (
        f"search --input train/* --policy policy.json --output {output} "
        f"--parameter {ID}.rate=0.3..0.8 --build_model tests.search.models:{model} {SMALL} {more}"
    )


@pytest.mark.slow
def test_what_is_found_is_written_and_resumed(shell, tmp_path):
    # Adam moves the share by 0.002 a step.
    helpful = "--model_option slope=20 --alpha 0.2"
    code, out, err = shell(search(tmp_path, more=helpful))
    assert (code, err) == (0, "")
    assert "\nFound: candidate" in out and "winner" in out
    assert f"written: {tmp_path / 'policy.json'}, " in out
    policy = AugmentationPolicy.load(tmp_path / "policy.json")
    read = json.loads((tmp_path / "trials.json").read_text(), parse_constant=pytest.fail)
    winner = read["trials"][read["winner"] - 1]
    assert AugmentationPolicy.from_config(winner["policy"]) == policy
    assert read["budget"] == 1 * (1 * 4 + 2 * 2) + 2 * 4 * 2 and read["spent"] <= read["budget"]
    for name in ("search.png", "report.html"):
        assert (tmp_path / name).stat().st_size > 1000
    assert read["settings"]["split"].startswith("train/* (development), by user_time")
    assert "(development)" in read["settings"]["split"]
    trainings = len(list((tmp_path / "study" / "runs").glob("*.npz")))
    code, _, err = shell(search(tmp_path, more=helpful))
    assert code == 1 and "holds a result" in err
    code, again, _ = shell(search(tmp_path, more=f"{helpful} --overwrite"))
    assert code == 0 and again == out
    assert len(list((tmp_path / "study" / "runs").glob("*.npz"))) == trainings
    code, _, err = shell(search(tmp_path, more=f"{helpful} --overwrite --seed 1"))
    assert (code, err) == (0, "")
    assert len(list((tmp_path / "study" / "runs").glob("*.npz"))) >= trainings, "none is lost"
    assert json.loads((tmp_path / "trials.json").read_text())["settings"]["seed"] == 1


def test_a_study_of_another_search_is_kept_without_overwrite(shell, tmp_path):
    space = Space(POLICY, {f"{ID}.rate": Float(0.3, 0.8)})
    (tmp_path / "study").mkdir()
    StudyFile(tmp_path / "study", space, {"seed": 7})
    before = (tmp_path / "study" / "study.journal").read_bytes()
    code, out, err = shell(search(tmp_path))
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "study' holds another search" in err and "Pass overwrite (--overwrite)" in err
    assert (tmp_path / "study" / "study.journal").read_bytes().startswith(before)


@pytest.mark.slow
def test_where_nothing_helps_no_policy_is_written(shell, tmp_path):
    (tmp_path / "policy.json").write_text("of an earlier search")
    code, out, _ = shell(search(tmp_path, "Harmed", "--weight warm=0.5 --weight cold=0.5"))
    assert code == 0 and "\nKeep training without augmentation." in out
    assert not (tmp_path / "policy.json").exists() and (tmp_path / "trials.json").exists()


@pytest.mark.parametrize("command", ["compare", "search"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and f"examples:\n  tfrs-augment {command} " in out


def test_parameters_of_the_command_line():
    assert _parameter(f"{ID}.rate=0..1", POLICY) == (f"{ID}.rate", Float(0, 1))
    assert _parameter(f"{PRICE}.stddev=0.01..1:log", POLICY)[1] == Float(0.01, 1, log=True)
    assert _parameter(f"{PRICE}=switch", POLICY) == (PRICE, Switch())
    assert _parameter("copies=1..3", POLICY) == ("copies", Integer(1, 3))
    assert _parameter(f"{ID}.rate=0.1,0.2", POLICY)[1] == Choice([0.1, 0.2])
    for text in ("rate", "=1..2", "a=", "a=1..x", "a=1..2:exp", "a=b,c"):
        with pytest.raises(InvalidArgumentError, match="`--parameter` must be NAME=LOW..HIGH"):
            _parameter(text, POLICY)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--parameter id_dropout:item.rate=0..1", "Did you mean 'id_dropout:item_id'"),
        ("--parameter copies=0..2", "integers of at least 1"),
        ("--weight cool=1", "Did you mean 'cold'"),
        ("--weight cold", "`--weight` must be SLICE=NUMBER"),
        ("--metric map", "`metric` must be ndcg@K or recall@K"),
        ("--candidates 1", "`candidates` must be an integer of at least 2"),
        ("--eta 1", "`eta` must be above 1"),
        ("--rungs 5", "more epochs than the one before"),
        ("--confirm_seeds 1", "`--confirm_seeds` must be at least 2. Received: --confirm_seeds 1."),
        ("--seeds 0", "`--seeds` must be at least 1. Received: --seeds 0."),
    ],
)
def test_errors_take_one_line(shell, tmp_path, more, message):
    code, out, err = shell(search(tmp_path / "out", more=more))
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
