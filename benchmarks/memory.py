"""Whether the job's memory grows with its input.

    python benchmarks/memory.py [--quick]

Runs the job in a process of its own on one file of 0.5 million records and on one of 5 million (--quick:
50 and 500 thousand), with the policy of beam_throughput.py. Figure: `rss_growth`, the peak resident memory of
the larger run over that of the smaller (bar 1.2).
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import _common
import beam_throughput


def peak_memory(source: pathlib.Path, target: pathlib.Path) -> tuple[float, float]:
    """Peak resident memory in MiB and seconds of a job, in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--job", str(source), str(target)]
    shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(shown.split()[-1]), time.perf_counter() - started


def main() -> None:
    if "--job" in sys.argv:
        beam_throughput.job(*map(pathlib.Path, sys.argv[-2:]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    arguments = _common.parse(__doc__)
    small = 50_000 if arguments.quick else 500_000
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "written").mkdir()
        beam_throughput.write_input(root / "written", small)
        once = b"".join(path.read_bytes() for path in sorted((root / "written").iterdir()))
        peaks, table = [], []
        for times in (1, 10):
            source = root / f"in-{times}"
            source.mkdir()
            with (source / "all.tfrecord").open("wb") as file:
                for _ in range(times):
                    file.write(once)
            peak, seconds = peak_memory(source, root / f"out-{times}")
            peaks.append(peak)
            table.append([f"{small * times:,}", f"{peak:.0f}", f"{seconds:.1f}"])
    _common.finish(
        "memory",
        {"rss_growth": peaks[1] / peaks[0]},
        header=["records", "peak resident memory, MiB", "wall seconds, start included"],
        table=table,
        notes="One file, one worker, one copy with provenance.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
