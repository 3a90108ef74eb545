"""Compilation: without a cache folder, with stale caches, and without the CRC instruction."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import tfrs_augment.records
from tfrs_augment.records.compiling import kernel_input

PACKAGE = pathlib.Path(tfrs_augment.records.__file__).parent


@pytest.fixture
def copy(tmp_path):
    """A copy of the package under another name: it stands alone, so it can be imported so."""
    shutil.copytree(PACKAGE, tmp_path / "codec", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _run(folder: pathlib.Path, script: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")},
        "PYTHONPATH": str(folder),
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "home" / ".cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


FRAME = """
    import codec.frames
    framed = codec.frame([b"x"])
    assert len(framed) == 17
    stats = codec.frames._frame_payloads.stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_folders_that_cannot_be_written_are_no_obstacle(copy):
    # Files where folders should be refuse the superuser too.
    (copy / "codec" / "__pycache__").touch()
    (copy / "home").touch()
    done = _run(copy, FRAME, NUMBA_OPT="1")
    assert done.stdout.split()[0] == "0"
    assert done.stderr.count("set NUMBA_CACHE_DIR to a writable folder") == 1


def test_kernels_are_cached_until_any_source_changes(copy):
    assert _run(copy, FRAME, NUMBA_OPT="1").stdout.split() == ["0", "1"]
    assert _run(copy, FRAME, NUMBA_OPT="1").stdout.split() == ["1", "0"]
    source = copy / "codec" / "crc.py"  # Not the file of the kernel, but what it calls.
    source.write_text(source.read_text() + "\n# changed\n")
    assert _run(copy, FRAME, NUMBA_OPT="1").stdout.split() == ["0", "1"]


def test_files_without_the_processors_crc(copy):
    done = _run(
        copy,
        """
        import io
        import codec
        from codec import crc
        assert not crc.HAS_HARDWARE_CRC and crc.crc32c is crc.crc32c_software
        payloads = [b"x" * n for n in range(50)]
        data = codec.frame(payloads)
        (frames,) = codec.read_frames(io.BytesIO(data), compression="none")
        assert frames.payloads() == payloads and not frames.rejected
        print(data.hex())
        """,
        NUMBA_CPU_NAME="generic",
        NUMBA_CPU_FEATURES="",
        NUMBA_OPT="1",
    )
    want = tfrs_augment.records.frame([b"x" * n for n in range(50)])
    assert bytes.fromhex(done.stdout) == want


def test_importing_compiles_nothing_and_needs_no_tensorflow(copy):
    done = _run(
        copy,
        """
        import sys
        import codec
        from numba.core.dispatcher import Dispatcher
        kernels = [
            value
            for name, module in list(sys.modules.items())
            if name.startswith("codec.")
            for value in vars(module).values()
            if isinstance(value, Dispatcher)
        ]
        assert len(kernels) > 20 and not any(kernel.overloads for kernel in kernels)
        print([name for name in ("tensorflow", "google.protobuf", "pandas") if name in sys.modules])
        """,
    )
    assert done.stdout.strip() == "[]"


def test_warm_up_compiles_each_kernel_once():
    script = """
        import sys
        import codec
        from numba.core.dispatcher import Dispatcher
        codec.warm_up()
        kernels = {
            value.py_func.__name__: len(value.overloads)
            for name, module in list(sys.modules.items())
            if name.startswith("codec.")
            for value in vars(module).values()
            if isinstance(value, Dispatcher) and not value.targetoptions.get("forceinline")
        }
        assert set(kernels.values()) == {1}, kernels
    """
    script = script.replace("codec", "tfrs_augment.records")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_kernel_input_makes_one_type_of_all():
    for array in (
        np.frombuffer(b"abcdefgh", np.uint8),
        np.zeros(8, np.uint8),
        np.zeros(16, np.uint8)[::2],
        np.zeros(8, np.int64),
        [0] * 8,
    ):
        made = kernel_input(array, np.uint8)
        assert made.dtype == np.uint8 and made.shape == (8,)
        assert made.flags.c_contiguous and made.flags.aligned and not made.flags.writeable
    writable = np.zeros(8, np.uint8)
    assert np.shares_memory(kernel_input(writable, np.uint8), writable)
    assert writable.flags.writeable
