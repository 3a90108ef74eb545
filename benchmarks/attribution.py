"""Which op of the policy for MovieLens does what, by training with every subset of its ops.

    python benchmarks/attribution.py --data path/to/ml-100k

Shapley values and leave-one-out of `examples/policies/movielens.json` on warm and cold items. Resumable:
finished trainings are kept in report/attribution/ of the working directory. Figures: Recall@10 over no op,
of the whole policy and of each op, in the full catalogue, with 95 % intervals.
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))

import argparse
import functools

import _common
import quickstart

import tfrs_augment as aug
from tfrs_augment.evaluation import Attribution, Protocol, attribute
from tfrs_augment.towers import TwoTower

SLICES = ("warm", "cold")
HEADER = ["method", "slice", "op", "share", "95 % interval", "of no op"]
HEADER += ["alone", "added last", "verdict"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="folder with MovieLens 100K")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="the seeds")
    parser.add_argument("--epochs", type=int, default=30, help="most epochs (default: 30)")
    parser.add_argument("--plot", help="folder to write a PNG a slice to")


def rows_of(title: str, found: Attribution) -> list[list[str]]:
    """Lines of the table: those that `Attribution.table` shows, without its header."""
    lines = [line.split("|")[1:-1] for line in found.table().splitlines()[2:]]
    return [[title, found.slice_name, *(cell.strip() for cell in line)] for line in lines]


def figures_of(found: Attribution) -> dict[str, float]:
    """Gain and shares of a slice, with their intervals."""
    named = [("gain", found.gain)] + [
        (f"op_{number}", op.share) for number, op in enumerate(found.ops, 1)
    ]
    figures = {f"{found.slice_name}_no_op": found.baseline.value}
    for name, change in named:
        figures[f"{found.slice_name}_{name}"] = change.value
        figures[f"{found.slice_name}_{name}_low"] = change.low
        figures[f"{found.slice_name}_{name}_high"] = change.high
    return figures


def main() -> None:
    options = _common.parse(__doc__, add=add_arguments)
    if options.quick:
        scenario = quickstart.shop(aug.datasets.simulated_shop("tiny"))
    elif options.data is None:
        raise SystemExit("--data must name a folder with MovieLens 100K.")
    else:
        scenario = quickstart.load(options.data)
    epochs, seeds = (2, [0]) if options.quick else (options.epochs, options.seeds)
    run = functools.partial(
        attribute,
        functools.partial(TwoTower, **scenario.model),
        split=scenario.split,
        seeds=seeds,
        protocol=Protocol(epochs=epochs),
        cache_dir=pathlib.Path("report") / "attribution" / f"epochs_{epochs}",
    )
    # By "shapley" first: its trainings are those of "leave_one_out", and more.
    titles = {"shapley": "Shapley value", "leave_one_out": "left out"}
    table, figures = [], {}
    for method, title in titles.items():
        found = run(scenario.policy, method=method)
        for name in SLICES:
            one = found.on(name)
            table += rows_of(title, one)
            if method == "shapley":
                figures |= figures_of(one)
                if options.plot:
                    one.plot(pathlib.Path(options.plot) / f"attribution_movielens_{name}.png")
    rows = {name: found.report.rows(name) for name in SLICES}
    _common.finish(
        "attribution_" + ("quick" if options.quick else "movielens"),
        figures,
        header=HEADER,
        table=table,
        notes=(
            f"{found.report.name}, seeds {', '.join(map(str, seeds))}, at most {epochs} epochs; "
            f"{found.report.settings['split']}. Recall@10 in the full catalogue over no op, "
            + ", ".join(f"{count:,.0f} {name} rows a seed" for name, count in rows.items())
            + "."
        ),
        write=not options.quick,
    )


if __name__ == "__main__":
    main()
