"""Comparisons over processes: the same results, and nothing lost whatever ends them."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.evaluation.tiny_models import FAST, Layered
from tfrs_augment.errors import AugmentError, DataError, InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import Arm
from tfrs_augment.evaluation.comparing.comparison import compare
from tfrs_augment.evaluation.comparing.parallel import ProcessError, _environment
from tfrs_augment.evaluation.comparing.references import popularity
from tfrs_augment.evaluation.splitting import splits

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _options(shop, **options):
    return {
        "split": lambda seed: splits.split(shop, cold_share=0.2, seed=seed),
        "seeds": (0, 1),
        "protocol": FAST,
        "progress": False,
        **options,
    }


def _same(run, other):
    assert run.loss == other.loss and run.validation == other.validation
    assert run.best_epoch == other.best_epoch
    for name, ranks in run.ranks.items():
        np.testing.assert_array_equal(ranks.greater, other.ranks[name].greater)
        np.testing.assert_array_equal(ranks.ties, other.ranks[name].ties)
    np.testing.assert_array_equal(run.lists, other.lists)


@pytest.mark.slow
def test_processes_give_what_one_process_gives(shop, tmp_path, capfd):
    arms = {
        "plain": None,
        "halved": Arm(
            share="plain",
            after_fit=lambda model, rows: model.items.set_weights(
                [0.5 * weight for weight in model.items.get_weights()]
            ),
        ),
        "mean": Arm(ensemble=("plain", "wide")),
        "wide": Arm(model_options={"dim": 16}),
        "popularity": Arm(scorer=popularity),
    }

    class Local(Layered):
        """It travels by value: no process can import it."""

    def build(train, **options):
        return Local(train, **options)

    one = compare(build, arms, **_options(shop))
    several = compare(build, arms, **_options(shop, cache_dir=tmp_path, processes=2, progress=True))
    assert several.arms == one.arms
    for key, run in one.runs.items():
        _same(run, several.runs[key])
    assert several.to_dict()["figures"] == one.to_dict()["figures"]
    assert several.settings == one.settings
    assert "10/10" in capfd.readouterr().err, "the bar counts every arm of every seed"
    # The cache is one for both ways.
    again = compare(build, arms, **_options(shop, cache_dir=tmp_path))
    assert again.to_dict() == several.to_dict()


class Killed(Layered):
    """Ends its process as the kernel does where memory runs out."""

    def __init__(self, train, dim=8):
        super().__init__(train, dim)
        if dim == 16 and not os.environ.get("TEST_SPARED"):
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_is_named_and_nothing_finished_is_lost(shop, tmp_path, monkeypatch):
    # The ensemble ties them into one job, so that the first is finished when the second ends it.
    arms = {
        "plain": None,
        "wide": Arm(model_options={"dim": 16}),
        "mean": Arm(ensemble=("plain", "wide")),
    }
    options = _options(shop, seeds=(4,), cache_dir=tmp_path)
    with pytest.raises(ProcessError, match="by signal SIGKILL at seed 4, arm 'wide'") as caught:
        compare(Killed, arms, **options, processes=2)
    assert isinstance(caught.value, AugmentError) and isinstance(caught.value, RuntimeError)
    assert [path.name.split("-")[0] for path in tmp_path.glob("*.npz")] == ["plain"]
    before = next(tmp_path.glob("plain-4-*.npz")).stat().st_mtime_ns
    monkeypatch.setenv("TEST_SPARED", "1")
    resumed = compare(Killed, arms, **options, processes=2)
    assert next(tmp_path.glob("plain-4-*.npz")).stat().st_mtime_ns == before
    whole = compare(Killed, arms, **_options(shop, seeds=(4,)))
    for key, run in whole.runs.items():
        _same(run, resumed.runs[key])


class Failing(Layered):
    def __init__(self, train):
        raise DataError("no such rows")


@pytest.mark.slow
def test_an_error_is_raised_as_it_was_with_where_it_came_from(shop):
    with pytest.raises(DataError, match=r"^no such rows \(arm 'plain', seed 7\)$") as caught:
        compare(Failing, {"plain": None}, **_options(shop, seeds=(7,)), processes=2)
    assert "Seed 7, arm 'plain'" in str(caught.value.__cause__)
    assert "Traceback" in str(caught.value.__cause__)


def test_what_does_not_travel_is_named(shop):
    lock = threading.Lock()

    def locked(train):
        with lock:
            return Layered(train)

    def last(model, rows):
        lock.acquire()

    with pytest.raises(
        InvalidArgumentError, match="above 1, `build_model` must be one that cloudpickle"
    ):
        compare(locked, {"a": None}, **_options(shop), processes=2)
    with pytest.raises(InvalidArgumentError, match="above 1, the arm 'b' must be one"):
        compare(Layered, {"a": None, "b": Arm(after_fit=last)}, **_options(shop), processes=2)


@pytest.mark.parametrize("processes", [0, 1.5, True, "2"])
def test_the_number_of_processes_is_checked(shop, processes):
    with pytest.raises(InvalidArgumentError, match="`processes` must be an integer of at least 1"):
        compare(Layered, {"a": None}, **_options(shop), processes=processes)


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert _environment(3)["OMP_NUM_THREADS"] == "2"
    assert _environment(16)["OMP_NUM_THREADS"] == "1"
    assert os.environ.get("PATH") == _environment(3)["PATH"]


# Without `if __name__ == "__main__"`: a script of two lines needs none.
SCRIPT = """
import json, signal, time
import tfrs_augment

signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.

from tests.evaluation import conftest
from tests.evaluation.tiny_models import FAST, Layered
from tfrs_augment.evaluation import Arm, compare, split
from tfrs_augment.evaluation.comparing.references import popularity

with open({log!r}, "a") as file:
    file.write("run\\n")

def slow(split):
    time.sleep({wait})
    return popularity(split)

report = compare(
    Layered,
    {{"plain": None, "popularity": Arm(scorer=popularity), "last": Arm(scorer=slow)}},
    split=lambda seed: split(conftest.make_shop()),
    seeds=(0,),
    protocol=FAST,
    cache_dir={folder!r},
    processes={processes},
)
with open({found!r}, "w") as file:
    json.dump(report.to_dict()["figures"], file)
"""


def _start(tmp_path, *, wait, processes):
    names = {"log": "log", "folder": "results", "found": "figures.json"}
    paths = {name: str(tmp_path / path) for name, path in names.items()}
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(wait=wait, processes=processes, **paths))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, script], env=environment, cwd=tmp_path)


def _wait_for(condition, seconds=500):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def _children(pid):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def _is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def uninterrupted(shop):
    """The figures of what the script compares."""
    scored = Arm(scorer=popularity)
    arms = {"plain": None, "popularity": scored, "last": scored}
    options = _options(shop, seeds=(0,), split=lambda seed: splits.split(shop))
    return json.loads(json.dumps(compare(Layered, arms, **options).to_dict()["figures"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "processes"), [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGINT, 2)]
)
def test_a_comparison_that_is_ended_resumes_with_equal_figures(
    tmp_path, uninterrupted, ending, processes
):
    folder, found = tmp_path / "results", tmp_path / "figures.json"
    with _start(tmp_path, wait=600, processes=processes) as broken:
        try:
            _wait_for(lambda: len(list(folder.glob("*.npz"))) == 2)
            children = _children(broken.pid)
            assert len(children) == (processes if processes > 1 else 0)
            broken.send_signal(ending)
            broken.wait(60)
        finally:
            broken.kill()
    _wait_for(lambda: not any(map(_is_running, children)), seconds=20)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(kept) == 2 and not found.exists()
    assert _start(tmp_path, wait=0, processes=processes).wait() == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "they were not trained again"
    assert len(list(folder.glob("*.npz"))) == 3
    assert json.loads(found.read_text()) == uninterrupted
    # Once a start: processes do not run the script.
    assert (tmp_path / "log").read_text().count("run") == 2
