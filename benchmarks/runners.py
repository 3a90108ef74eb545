"""Whether the ways of running on one machine give the same rows, and whether one of them loses any.

    python benchmarks/runners.py [--quick]

500,000 records in 4 files (--quick: 50,000): in memory, with 2 worker processes and with 2 threads; each
output is compared with the first as a multiset of records. Figures: `equal_multi_processing` and
`equal_multi_threading`, 1 where all rows are equal; `lost_multi_threading`, the rows that its run lacked, or
-1 where the job refused the run because the runner had lost work.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import collections
import hashlib
import logging
import pathlib
import tempfile
import time

import _common
import beam_throughput

import tfrs_augment as aug
from tfrs_augment import records

MODES = {
    "in_memory": [],
    "multi_processing": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
    "multi_threading": ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
}


def rows(folder: pathlib.Path) -> collections.Counter:
    """Digests of all records of a result, with how often each occurs."""
    found: collections.Counter = collections.Counter()
    for path in folder.glob("augmented-*"):
        with path.open("rb") as file:
            for frames in records.read_frames(file, compression="none"):
                found.update(hashlib.blake2b(p, digest_size=12).digest() for p in frames.payloads())
    return found


def main() -> None:
    arguments = _common.parse(__doc__)
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    count = 50_000 if arguments.quick else 500_000
    results, table = {}, []
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "in"
        source.mkdir()
        beam_throughput.write_input(source, count)
        for mode, options in MODES.items():
            output, started = pathlib.Path(folder) / mode, time.perf_counter()
            try:
                aug.beam.run(
                    beam_throughput.POLICY,
                    input=str(source / "*.tfrecord"),
                    output=str(output),
                    progress=False,
                    beam_args=["--runner=FnApiRunner", *options],
                )
                results[mode] = rows(output)
                shown = f"{sum(results[mode].values()):,} rows"
            except aug.errors.OutputError as error:
                results[mode] = None
                shown = f"refused: {error}"
            table.append([mode, shown, f"{time.perf_counter() - started:.1f}"])
    first = results["in_memory"]
    threaded = results["multi_threading"]
    lost = -1 if threaded is None else sum((first - threaded).values())
    figures = {f"equal_{mode}": results[mode] == first for mode in list(MODES)[1:]}
    _common.finish(
        "runners",
        {**figures, "lost_multi_threading": lost},
        header=["running mode", "outcome", "wall seconds, start of workers included"],
        table=table,
        notes=f"{count:,} records in 4 files, originals and one copy; the local runner.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
