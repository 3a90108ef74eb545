"""No kernel reads past the end of its input: input ends where an unreadable page begins.

Neither Numba nor NumPy checks the raw loads of the kernels, and a read of a few bytes too many mostly
goes unnoticed. Here it ends the process, so each test runs in a process of its own.
"""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.records import damage, samples
from tfrs_augment import records

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")

ROOT = pathlib.Path(__file__).resolve().parents[2]

PRELUDE = """
    import ctypes, mmap, random, sys
    import numpy as np
    from tests.records import damage, probe
    from tfrs_augment import records
    from tfrs_augment.records import frames, reading

    PAGES = 4
    region = mmap.mmap(-1, (PAGES + 1) * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    end = PAGES * mmap.PAGESIZE
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert mprotect(address + end, mmap.PAGESIZE, 0) == 0, ctypes.get_errno()
    memory = np.frombuffer(region, np.uint8)

    def guarded(data):
        data = np.frombuffer(data, np.uint8)
        view = memory[end - len(data) : end]
        view[:] = data
        return view
"""


def _run(body: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
    script = textwrap.dedent(PRELUDE) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def _assert_runs(body: str, *arguments: str) -> None:
    done = _run(body + "\n    print('reached the end')\n", *arguments)
    assert done.returncode == 0 and "reached the end" in done.stdout, done.stderr[-3000:]


def test_the_guard_catches_a_read_of_one_byte():
    body = """
    guarded(b"x")
    print(probe.read_byte(memory, end - 1), flush=True)
    print(probe.read_byte(memory, end), flush=True)
    """
    done = _run(body)
    assert done.stdout.split() == [str(ord("x"))]
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)


def test_decoding_and_encoding_damaged_records(tmp_path):
    rng = random.Random(0)
    payloads = []
    for k in range(4000):
        payload = samples.serialized(samples.example(rng), rng)
        payloads.append(damage.damaged(payload, rng) if k % 4 else payload)
    path = tmp_path / "damaged.tfrecord"
    path.write_bytes(records.frame(payloads))
    _assert_runs(
        """
    (read,) = records.read_frames(open(sys.argv[1], "rb"), compression="none")
    kinds = {"b": 1, "f": 2, "i": 3, "": 1}
    accepted = 0
    for payload in read.payloads():
        framed = guarded(records.frame([payload]))
        block = records.decode(records.Frames(framed, [0, len(framed)], [0]), kinds)
        if block.n:
            assert np.shares_memory(block.frames, memory)
            accepted += 1
            block.encode({name: records.Edit(block.column(name)) for name in kinds})
            block.take(np.ones(1, np.bool_))
    assert accepted > 1000, accepted
    """,
        str(path),
    )


def test_scanning_damaged_files():
    _assert_runs(
        """
    rng = random.Random(0)
    starts, sizes = np.empty((2, 50), np.int64)
    for _ in range(2000):
        data = records.frame([rng.randbytes(rng.randrange(40)) for _ in range(5)])
        data = damage.damaged(data, rng, bytes(range(256)))
        view = guarded(data)
        frozen = frames.kernel_input(view, np.uint8)
        for at_eof in (False, True):
            position = 0
            while True:
                state, count, position, _ = reading._scan(
                    frozen, position, len(view), 0, at_eof, starts, sizes, 0, 1 << 20
                )
                if count:
                    offsets = np.append(starts[:count], starts[count - 1] + sizes[count - 1])
                    frames.verify(view, offsets)
                    frames.gather(view, offsets, np.ones(count, np.bool_))
                if state < reading._BAD_LENGTH_CRC:
                    break
                position, found = reading._find_frame(frozen, position + 1, len(view), at_eof)
                if not found:
                    break
    """
    )


def test_strings():
    _assert_runs(
        """
    rng = random.Random(0)
    for _ in range(500):
        values = [rng.randbytes(rng.randrange(30)) for _ in range(rng.randrange(8))]
        column = records.Column.from_rows(records.BYTES, [values * 2])
        data = guarded(column.data)
        records.pack_strings(column.value_offsets, data)
        codes, first = records.unique(column.value_offsets, data)
        assert [(values * 2)[first[code]] for code in codes] == values * 2
        again = records.Column(
            records.BYTES, column.row_splits, value_offsets=column.value_offsets, data=data
        )
        records.encode_rows({"b": again})
    """
    )
