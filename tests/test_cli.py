"""The command line: what it prints, where, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from tests.beam import rows
from tfrs_augment import cli


@pytest.fixture
def source(tmp_path):
    rows.POLICY.save(tmp_path / "policy.json")
    return rows.write(tmp_path / "in.tfrecord", rows.records(300))


def arguments(source, *more: str) -> list[str]:
    folder = source.parent
    required = {"--policy": folder / "policy.json", "--input": source, "--output": folder / "out"}
    named = [text for name, value in required.items() for text in (name, str(value))]
    return ["run", *named, "--quiet", *more]


def test_run(source, capsys):
    assert cli.main(arguments(source, "--copies", "2", "--num_shards", "2", "--seed", "0")) == 0
    assert (
        "300 records read, 300 kept, 600 made, 0 rejected; 2 shards in" in capsys.readouterr().out
    )
    assert len(rows.read(source.parent / "out")) == 900
    fitted = str(source.parent / "out" / "fitted.json")
    assert (
        cli.main(arguments(source, "--fitted", fitted, "--no_include_originals", "--overwrite"))
        == 0
    )
    assert len(rows.read(source.parent / "out")) == 300


def test_a_second_run_is_refused_in_one_line(source, capsys):
    assert cli.main(arguments(source)) == 0
    capsys.readouterr()
    assert cli.main(arguments(source)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and "holds a result" in captured.err


def test_balance(source, capsys):
    more = ("--copies", "2", "--balance", "gender", "--balance_exponent", "1", "--keep_expectation")
    assert cli.main(arguments(source, *more)) == 0
    made = [row for row in map(rows.values, rows.read(source.parent / "out")) if "aug/draw" in row]
    assert abs(len(made) - 600) < 30
    counts = Counter(row["timestamp"][0] % 3 > 0 for row in made)
    assert abs(counts[True] / counts[False] - 1) < 0.1, "twice as many rows are F as M"


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--balance", "gendre"], 2, "`balance` names feature 'gendre'. Did you mean"),
        (["--policy", "absent.json"], 2, "The policy file 'absent.json' cannot be read"),
        (["--copies", "-1"], 2, "`copies` must be an integer of at least 1"),
        (["--input", "absent-*"], 1, "matches no file. Received: input='absent-*'"),
        (["--fitted", "absent.json"], 1, "'absent.json' cannot be read"),
        (["--item_features", "movie"], 2, "names feature 'movie'. Did you mean 'movie_id'"),
    ],
)
def test_errors_take_one_line_and_have_their_code(source, capsys, more, code, message):
    assert cli.main(arguments(source, *more)) == code
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""


def test_a_wrong_option_and_no_command_exit_with_2(source, capsys):
    for argv in ([], ["fly"], ["run"], arguments(source, "--compression", "zip")):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        assert stopped.value.code == 2


def test_help_answers_without_tensorflow():
    code = "import sys; from tfrs_augment import cli\ntry: cli.main(['run', '--help'])\n"
    code += "finally: assert 'tensorflow' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "examples:" in shown.stdout and "--copies" in shown.stdout
