"""What the benchmarks share: peers in alternate runs, versions, tables, and the closing line of figures."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = ("tensorflow", "tf-keras", "tensorflow-recommenders", "apache-beam", "numba", "numpy")


def parse(
    description: str, *, add: Callable[[argparse.ArgumentParser], None] | None = None
) -> argparse.Namespace:
    """Command-line arguments: --quick, and what `add` adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="done within 50 s, for a look; noisier"
    )
    if add is not None:
        add(parser)
    return parser.parse_args()


@dataclasses.dataclass
class Timing:
    """Seconds of repeated runs: wall time, and CPU time of this process and its children."""

    wall: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)


def _cpu_seconds() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def alternate(
    peers: Mapping[str, Callable[[], object]], *, runs: int, warm_up: int = 1
) -> dict[str, Timing]:
    """Times peers in turn (A B C A B C ...), so that a drift of the machine's speed hits all alike."""
    timings = {name: Timing() for name in peers}
    for number in range(-warm_up, runs):
        for name, run in peers.items():
            wall, cpu = time.perf_counter(), _cpu_seconds()
            run()
            if number >= 0:
                timings[name].wall.append(time.perf_counter() - wall)
                timings[name].cpu.append(_cpu_seconds() - cpu)
    return timings


def ratio(timings: Mapping[str, Timing], name: str, over: str, *, clock: str = "cpu") -> float:
    """The median over runs of one peer's time over another's, paired by run."""
    pairs = zip(getattr(timings[name], clock), getattr(timings[over], clock), strict=True)
    return statistics.median(a / b for a, b in pairs)


def rows_of(timings: Mapping[str, Timing], per: float, unit: str) -> list[list[str]]:
    """Table rows: name, median CPU and wall time per item, and their range, in `unit` of "us" or "ns"."""
    scale = {"us": 1e6, "ns": 1e9, "ms": 1e3}[unit] / per
    table = []
    for name, timing in timings.items():
        cells = [f"{statistics.median(t) * scale:.3g} ({min(t) * scale:.3g} to {max(t) * scale:.3g})"
                 for t in (timing.cpu, timing.wall)]  # fmt: skip
        table.append([name, *cells])
    return table


def markdown(header: Sequence[str], table: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in table]


def finish(
    name: str,
    figures: Mapping[str, float],
    *,
    header: Sequence[str],
    table: Sequence[Sequence[str]],
    notes: str = "",
    more: str = "",
    write: bool = True,
) -> None:
    """Prints the table, writes it to results/NAME.md, and prints the figures as the last line.

    Args:
      name: the benchmark.
      figures: what is claimed.
      header: of the table.
      table: its rows.
      notes: what was timed, in a sentence or two.
      more: Markdown that goes below the table in the file.
      write: False where the run was a quick one, whose figures are no result.
    """
    lines = markdown(header, table)
    print("\n".join(lines))
    if write:
        RESULTS.mkdir(exist_ok=True)
        versions = ", ".join(
            f"{package} {importlib.metadata.version(package)}" for package in PACKAGES
        )
        command = "python benchmarks/" + " ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
        shown = "\n".join(f"- `{key}`: {value:.3g}" for key, value in figures.items())
        text = (
            f"# {name}\n\n{notes}\n\nCommand: `{command}`\n\n{shown}\n\n"
            + "\n".join(lines)
            + (f"\n\n{more}" if more else "")
            + "\n\n"
            f"Python {platform.python_version()}, {versions}; {os.cpu_count()} cores, {platform.machine()}.\n"
        )
        (RESULTS / f"{name}.md").write_text(text)
    rounded = {key: round(float(value), 4) for key, value in figures.items()}
    print(json.dumps({"benchmark": name, "figures": rounded}))
