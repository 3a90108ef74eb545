"""Trainings side by side, each in a process of its own.

A process is a fresh interpreter (TensorFlow does not survive a fork), and not one of `multiprocessing`,
which would run the caller's script again in each: notebooks and scripts without
`if __name__ == "__main__"` work. Functions travel by cloudpickle, so lambdas and classes of the script do
too. Results come back as files of the cache, which are complete or absent: whatever ends a process, what was
finished before stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle

from tfrs_augment.errors import AugmentError, InvalidArgumentError
from tfrs_augment.evaluation.comparing.run_cache import RunCache
from tfrs_augment.evaluation.comparing.seed_runs import Listener, SeedRuns, Study
from tfrs_augment.evaluation.splitting.splits import Split

_SECONDS_TO_STOP = 5.0
_COMMAND = "from tfrs_augment.evaluation.comparing.parallel import work; work()"


class ProcessError(AugmentError, RuntimeError):
    """A process of a comparison ended before its work was done."""


@dataclasses.dataclass(frozen=True)
class Job:
    """Arms of one seed that need nothing of others.

    Attributes:
      seed: the seed.
      arms: names of the arms, in the order in which they are done.
      keys: of their runs in the cache.
    """

    seed: int
    arms: tuple[str, ...]
    keys: Mapping[str, str]


def run_jobs(
    jobs: Sequence[Job],
    study: Study,
    split: Callable[[int], Split],
    folder: str | os.PathLike,
    processes: int,
    listener: Listener,
) -> None:
    """Does the jobs in processes; their runs are in the cache then.

    Args:
      jobs: in the order in which they are begun.
      study: the arms and the protocol.
      split: from a seed to its split; each process makes the split of its job again.
      folder: of the cache.
      processes: the most at a time, each with its share of the machine's cores.
      listener: is told what is finished.

    Raises:
      InvalidArgumentError: a function does not travel.
      ProcessError: a process ended, or what it raised does not travel.
      Exception: whatever a job raised, with the process's own traceback as its cause.
    """
    if not jobs:
        return
    processes = min(processes, len(jobs))
    with (
        tempfile.TemporaryDirectory(prefix="tfrs_augment_") as scratch,
        contextlib.ExitStack() as stack,
    ):
        payload = pathlib.Path(scratch) / "payload"
        payload.write_bytes(_pickled(study, split, folder))
        workers = [stack.enter_context(_Worker(payload, processes)) for _ in range(processes)]
        left = list(jobs)
        for worker in workers:
            worker.give(left.pop(0))
        while busy := [worker for worker in workers if worker.job is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection in ready and worker.hear(listener) and left:
                    worker.give(left.pop(0))


class _Worker:
    """A process that does one job after the other, as the caller sees it."""

    def __init__(self, payload: pathlib.Path, processes: int):
        self.job: Job | None = None
        self._arm = ""
        self.connection, theirs = Pipe()
        # A session of its own: Ctrl-C in a terminal is for the caller, who stops the processes. Its input
        # is never written to; it ends when the caller does, however that happens.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, str(payload), str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=_environment(processes),
        )
        theirs.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the process, whatever it is doing."""
        self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self.connection.close()

    def give(self, job: Job) -> None:
        """Hands a job over."""
        self.job, self._arm = job, job.arms[0]
        with contextlib.suppress(BrokenPipeError):  # `hear` then says that the process has ended.
            self.connection.send_bytes(cloudpickle.dumps(job))

    def hear(self, listener: Listener) -> bool:
        """Takes one message; returns whether it says that the job is done."""
        try:
            kind, *values = cloudpickle.loads(self.connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            self._process.wait()
            raise ProcessError(
                f"A process of the comparison ended {_how(self._process.returncode)} at seed "
                f"{self.job.seed}, arm {self._arm!r}. What was finished is in `cache_dir`, where one was "
                "given: call `compare` again to go on. With little memory take fewer `processes`."
            ) from None
        if kind == "started":
            self._arm = values[1]
        elif kind == "raised":
            error, text = values
            if error is None:
                raise ProcessError(f"Seed {self.job.seed}, arm {self._arm!r}:\n{text}")
            raise error from ProcessError(f"Seed {self.job.seed}, arm {self._arm!r}:\n{text}")
        if kind == "done":
            self.job = None
            return True
        getattr(listener, kind)(*values)
        return False


class _Caller(Listener):
    """The caller, as a process sees it."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def receive(self) -> Job:
        return cloudpickle.loads(self._connection.recv_bytes())

    def tell(self, kind: str, *values: Any) -> None:
        self._connection.send_bytes(cloudpickle.dumps((kind, *values)))

    def started(self, seed: int, arm: str) -> None:
        self.tell("started", seed, arm)

    def finished(self, seed: int, arm: str) -> None:
        self.tell("finished", seed, arm)


def work() -> None:
    """What a process does: the jobs that it is handed, until there are no more."""
    threading.Thread(target=_end_with_caller, daemon=True).start()
    _limit_threads(int(os.environ[_THREADS]))
    path, descriptor = sys.argv[1:]
    caller = _Caller(Connection(int(descriptor)))
    try:
        given = cloudpickle.loads(pathlib.Path(path).read_bytes())
        sys.path[:] = given["path"]
        study, split, folder = (
            cloudpickle.loads(given[name]) for name in ("study", "split", "folder")
        )
        cache, last = RunCache(folder), (None, None)
        while True:
            job = caller.receive()
            if last[0] != job.seed:
                last = (None, None)  # Two splits of large data need not fit into memory.
                last = (job.seed, split(job.seed))
            SeedRuns(study, job.seed, last[1], job.keys, cache, caller).run(job.arms)
            caller.tell("done")
    except EOFError:
        return
    except BaseException as error:
        text = traceback.format_exc()
        try:
            caller.tell("raised", error, text)
        except Exception:  # It may hold what does not travel: its text does.
            caller.tell("raised", None, text)


_THREADS = "TFRS_AUGMENT_THREADS"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _environment(processes: int) -> dict[str, str]:
    """Returns the variables of a process: this one's, with its share of the cores."""
    # Not every system tells which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (cores or 1) // processes))
    shared = dict.fromkeys((_THREADS, *_THREAD_VARIABLES), threads)
    # TensorFlow would else take a GPU's whole memory in the first process.
    growth = {"TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true")}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, **shared, **growth, "PYTHONPATH": path}


def _limit_threads(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _end_with_caller() -> None:
    """Ends this process when its input ends, as it does when the caller is gone."""
    while os.read(0, 1):  # Not through `sys.stdin`, which a thread may not hold when Python ends.
        pass
    os._exit(1)


def _pickled(study: Study, split: Callable[[int], Split], folder: str | os.PathLike) -> bytes:
    try:
        given = {
            name: cloudpickle.dumps(value)
            for name, value in (("study", study), ("split", split), ("folder", os.fspath(folder)))
        }
    except Exception as error:
        raise InvalidArgumentError(
            f"With `processes` above 1, {_first_refused(study, split)} must be one that cloudpickle takes. "
            f"Received: one that it refuses ({error}). Make open files, locks and models inside the function."
        ) from error
    # The path is read before the others, which hold names that are found by it.
    return cloudpickle.dumps({"path": sys.path, **given})


def _first_refused(study: Study, split: Callable[[int], Split]) -> str:
    parts = {
        "`build_model`": study.build_model,
        "`protocol`": study.protocol,
        **{f"the arm {name!r}": arm for name, arm in study.arms.items()},
    }
    for name, part in parts.items():
        try:
            cloudpickle.dumps(part)
        except Exception:
            return name
    return "`split`"


def _how(code: int) -> str:
    if code < 0:
        return f"by signal {signal.Signals(-code).name}"
    return f"with exit code {code}"
