"""The commands besides `run` by itself: what they print, and their exit codes."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.beam import rows
from tfrs_augment import beam, cli
from tfrs_augment.cli import tables

ROOT = pathlib.Path(__file__).resolve().parents[1]
PBTXT = """
feature { name: "user_id" type: BYTES }
feature { name: "movie_id" type: BYTES }
feature { name: "timestamp" type: INT }
feature { name: "gender" type: BYTES string_domain { value: "F" value: "M" } }
feature { name: "genres" type: BYTES }
feature { name: "age" type: FLOAT }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    rows.POLICY.save(folder / "policy.json")
    rows.write(folder / "in.tfrecord", rows.records(300))
    (folder / "schema.pbtxt").write_text(PBTXT)
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def shell(command: str, capsys) -> tuple[int, str, str]:
    code = cli.main(command.split())
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def needs_schemas() -> None:
    pytest.importorskip("tensorflow_metadata.proto.v0.schema_pb2", exc_type=ImportError)


@pytest.mark.parametrize("columns", [40, 80, 120, 300])
def test_inspect_fits_the_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = shell("inspect in.tfrecord", capsys)
    lines = out.splitlines()
    assert code == 0 and err == "" and lines[0].startswith("300 records in 1 file, ")
    assert max(map(len, lines)) <= min(max(columns, 80), 120)
    table = {line.split()[0]: line.split() for line in lines[2:]}
    assert table["feature"][1:6] == ["kind", "present", "missing", "values", "distinct"]
    assert table["age"][1:9] == ["float", "100%", "0", "1", "50", "10", "/", "34.5"]
    assert table["genres"][1:6] == ["bytes", "75.0%", "75", "0-3", "3"]
    assert table["gender"][6:10] == ["F", "66.7%,", "M", "33.3%"]


def test_inspect_says_what_cannot_be_read(capsys, tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", [*rows.records(3), b"\xff no example"])
    code, out, _ = shell(f"inspect {path}", capsys)
    assert code == 0 and "; 1 more cannot be used\n" in out
    assert "is not a canonical tf.train.Example" in out or "no tf.train.Example" in out
    assert shell("inspect absent", capsys)[0] == 1


def test_inspect_with_a_schema(capsys):
    needs_schemas()
    code, out, _ = shell("inspect in.tfrecord --schema schema.pbtxt", capsys)
    assert code == 0 and "age" in out and "untouched" not in out
    code, out, err = shell("inspect in.tfrecord --schema policy.json", capsys)
    assert (code, out) == (1, "") and err.count("\n") == 1 and "is no schema.pbtxt" in err


def test_validate(capsys, tmp_path):
    (tmp_path / "movies.txt").write_text("m0\nghost\n")
    vocabulary = f"--vocabulary movie_id={tmp_path / 'movies.txt'}"
    code, out, err = shell(
        f"validate --policy policy.json --input in.tfrecord {vocabulary}", capsys
    )
    assert code == 0 and err == ""
    first, fitting, unseen, outside, last = out.splitlines()
    assert first.startswith("policy.json: 4 ops, seed 3, key features user_id, movie_id, timestamp")
    assert fitting == "to be fitted: marginal of 'gender', moments of 'age'"
    assert unseen.endswith("ghost") and outside.startswith("warning: 210 of 211 ids")
    assert last == "0 errors, 2 warnings"


def test_validate_exits_with_1_for_errors_and_2_for_a_bad_command(capsys, tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", [rows.example(user_id=[b"u"])])
    code, out, err = shell(f"validate --policy policy.json --input {path}", capsys)
    assert code == 1 and err == "" and "error: IdDropout 'movie_id' names feature" in out
    assert out.endswith("6 errors, 0 warnings\n")
    for more, message in (
        ("--vocabulary movie_id", "`--vocabulary` must be NAME=FILE"),
        ("--vocabulary a=absent", "The vocabulary 'absent' cannot be read"),
        ("--vocabulary a=policy.json", "compared with data: pass `input`"),
    ):
        code, out, err = shell(f"validate --policy policy.json {more}", capsys)
        assert (code, out) == (2, "") and err.count("\n") == 1 and message in err


def test_validate_with_a_schema(capsys):
    needs_schemas()
    code, out, _ = shell("validate --policy policy.json --schema schema.pbtxt", capsys)
    assert code == 0 and out.endswith("0 errors, 0 warnings\n")


def test_fit_run_verify(capsys, tmp_path):
    fitted, out_folder = tmp_path / "fitted.json", tmp_path / "out"
    fit = f"fit --policy policy.json --input in.tfrecord --output {fitted}"
    code, out, _ = shell(fit, capsys)
    assert code == 0
    assert out == f"fitted: marginal of 'gender'\nfitted: moments of 'age'\nwritten: {fitted}\n"
    code, _, err = shell(fit, capsys)
    assert code == 1 and err.count("\n") == 1 and "is there already" in err
    run = f"run --policy policy.json --fitted {fitted} --input in.tfrecord --output {out_folder}"
    assert shell(f"{run} --quiet", capsys)[0] == 0
    code, out, _ = shell(f"verify {out_folder}", capsys)
    assert code == 0 and out.startswith("600 records in 1 shard of ")
    (out_folder / "item_counts.json").unlink()
    code, out, err = shell(f"verify {out_folder}", capsys)
    assert code == 1 and err == "" and "item_counts.json is missing" in out
    code, out, err = shell(f"verify {tmp_path}", capsys)
    assert (code, out) == (1, "") and "holds no result" in err


def test_dry_run(capsys, folder):
    before = sorted(folder.iterdir())
    code, out, err = shell(
        "run --policy policy.json --input in.tfrecord --dry_run 3 --copies 2", capsys
    )
    assert code == 0 and err == "" and sorted(folder.iterdir()) == before
    first, second, third, last = out.strip().split("\n\n")
    assert first.splitlines()[0] == "in.tfrecord, offset 0"
    assert second.splitlines()[1].split() == ["feature", "before", "copy", "0", "copy", "1"]
    cells = {line.split()[0]: line.split()[1:] for line in second.splitlines()[2:]}
    assert cells["user_id"] == ["u1", "=", "="] and cells["age"][0] == "11"
    assert all(float(age) != 11 for age in cells["age"][1:])
    assert "[Drama, War]" in third
    assert last == "dry run: 3 rows shown, nothing written; = is unchanged"


def test_dry_run_takes_a_seed_and_says_what_it_leaves_out(capsys):
    command = "run --policy policy.json --input in.tfrecord --dry_run 1"
    outputs = {shell(f"{command} --seed {seed}", capsys)[1] for seed in (0, 3)}
    assert len(outputs) == 2 and shell(command, capsys)[1] in outputs
    for more in ("--balance gender", "--drift_threshold 0.2"):
        assert f"; {more.split()[0]} left out" in shell(f"{command} {more}", capsys)[1]
    for more, message in (
        ("--dry_run 0", "`--dry_run` must be at least 1"),
        ("--input_format csv", "`--dry_run` reads TFRecords"),
    ):
        code, out, err = shell(f"{command} {more}", capsys)
        assert (code, out) == (2, "") and message in err


def test_run_needs_an_output_or_a_dry_run(capsys):
    code, _, err = shell("run --policy policy.json --input in.tfrecord", capsys)
    assert code == 2 and "`--output` must name a folder" in err


def test_options_of_beam_are_for_commands_that_run_beam(capsys):
    for command in ("inspect in.tfrecord", "verify out", "validate --policy policy.json"):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*command.split(), "--runner=FlinkRunner"])
        assert stopped.value.code == 2
        assert "unknown options of" in capsys.readouterr().err


def test_ctrl_c_takes_one_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(beam, "inspect", interrupted)
    assert shell("inspect in.tfrecord", capsys) == (130, "", "tfrs-augment: interrupted\n")


def test_ctrl_c_in_the_middle_of_a_job(capsys, monkeypatch, request, tmp_path):
    """In the local engine the signal may meet the code of a worker."""
    from tfrs_augment.beam import blocks

    # As in a terminal: a shell starts what runs in its background with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        # Another thread may have got it, and Python tells this one a moment later.
        time.sleep(30)

    monkeypatch.setattr(blocks.BlockAugmenter, "augment", interrupted)
    out = tmp_path / "out"
    code, _, err = shell(
        f"run --policy policy.json --input in.tfrecord --output {out} --quiet --seed 99", capsys
    )
    assert code == 130 and err.endswith("tfrs-augment: interrupted\n")
    assert not (out / "manifest.json").exists() and list(out.iterdir()) == []


def start(arguments: list[str], **streams) -> subprocess.CompletedProcess:
    paths = os.pathsep.join(path or str(ROOT) for path in sys.path)
    return subprocess.run(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
        **streams,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_left_ends_in_silence(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    # A command that answers at once: this is about what is around it.
    code = "import sys; from tfrs_augment import cli; cli._main = lambda _: print('text') or 0; "
    with os.fdopen(write, "w") as pipe:
        done = start(["-c", code + "sys.exit(cli.main())"], stdout=pipe)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_under_stdout_takes_one_line():
    code = "import sys; from tfrs_augment import cli; cli._main = lambda _: print('text') or 0; "
    with open("/dev/full", "w") as full:
        done = start(["-c", code + "sys.exit(cli.main())"], stdout=full)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "stdout cannot be written" in done.stderr


@pytest.mark.slow
def test_errors_are_one_line_of_stderr_from_the_first_start():
    """TensorFlow and Beam speak to stderr when they are imported; that is no result and no error."""
    arguments = ["-m", "tfrs_augment.cli", "inspect", "absent"]
    done = start(arguments, stdout=subprocess.PIPE)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "tfrs-augment: `input` matches no file. Received: input='absent'.\n"


@pytest.mark.parametrize("command", ["inspect", "validate", "run", "fit", "verify"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and f"examples:\n  tfrs-augment {command} " in out


def test_tables():
    rows = [["name", "n", "text"], ["a", "10", "x" * 50], ["b\x1b[31m", "5", "é\n"]]
    text = tables.table(rows, align="<><", width=30)
    assert text.splitlines() == [
        "name        n  text",
        "a          10  xxxxxxxxxxxx...",
        "b\\x1b[31m   5  é\\n",
    ]
    assert [tables.cut("abcdef", n) for n in (6, 5, 3, 2)] == ["abcdef", "ab...", "...", ".."]
