"""What differential privacy costs a TabularGAN: quality of its rows by epsilon, and time of a step.

    python benchmarks/private.py --data path/to/shared/data [--epsilon 1 3 10] [--seeds 3]
    python benchmarks/private.py                # the simulated shop alone
    python benchmarks/private.py --quick

Tables: the simulated shop's interactions and MovieLens 100K as tables (about 20,000 rows to fit on, as many
held out), and the fashion products (990 and 990), which are few. A private fit takes 300 steps, since noise
adds up over them, and one without privacy 1,000. Vocabularies and bounds are taken for public, and declared
as those of all rows; delta is 1e-6. "none" is the same synthesizer without `privacy`, with what it then has:
mixtures, training by sampling, validation and calibration. Floor and ceiling are columns sampled on their
own, and the hold-out.

Figures: by table `TABLE_quality_EPSILON`, the mean over seeds of SDMetrics' quality as
`evaluation.measure_fidelity` computes it; `step_cost_ratio`, the CPU time of a private step over that of one
without, the median of paired runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import _common
import _synthesis_data as tables
import numpy as np
import tensorflow as tf

from tfrs_augment.evaluation import Fidelity, measure_fidelity
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis import DifferentialPrivacy, TabularGAN

DELTA = 1e-6
TIMED_STEPS = 100
MEASURED = 5_000
SCORES = ("quality", "shapes", "pairs")
HEADER = ("table", "epsilon", "noise", *SCORES, "pair skill")


def declared(table: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Schema]:
    """The table with whole numbers as integers, and a schema that declares what its columns may hold."""
    columns, kinds, domains = {}, {}, {}
    for name, column in table.items():
        if column.dtype.kind == "f" and (column == np.round(column)).all():
            column = column.astype(np.int64)
        columns[name] = column
        if column.dtype.kind == "S":
            kinds[name], domains[name] = "bytes", Domain(values=frozenset(column.tolist()))
        else:
            kinds[name] = "float" if column.dtype.kind == "f" else "int64"
            domains[name] = Domain(float(np.nanmin(column)), float(np.nanmax(column)))
    return columns, Schema(kinds, domains)


def parts(whole: Mapping[str, np.ndarray], rows: int) -> list[dict[str, np.ndarray]]:
    """Rows to fit on, and as many held out."""
    order = np.random.default_rng(0).permutation(len(next(iter(whole.values()))))
    return [{n: c[p] for n, c in whole.items()} for p in (order[:rows], order[-rows:])]


def make(
    real,
    schema,
    epsilon: float | None,
    seed: int,
    options: Mapping[str, Any],
    kind: type[TabularGAN] = TabularGAN,
) -> TabularGAN:
    """A fitted synthesizer, private or not."""
    privacy = None if epsilon is None else DifferentialPrivacy(epsilon=epsilon, delta=DELTA)
    return kind(privacy=privacy, seed=seed, batch_size=500, **options).fit(real, schema=schema)


def rows_of(name: str, epsilon: float | None, found: Sequence[Fidelity], noise: str) -> list[str]:
    """A row of the table: means over seeds, and their range."""
    cells = []
    for score in SCORES:
        values = [fidelity.scores[score].value for fidelity in found]
        cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    skill = np.mean([fidelity.scores["pairs"].skill for fidelity in found])
    return [name, "none" if epsilon is None else f"{epsilon:g}", noise, *cells, f"{skill:.2f}"]


def step_cost_ratio(real, schema, runs: int) -> float:
    """CPU time of compiled runs of private steps over that of others."""

    class Kept(TabularGAN):
        """One whose trainer can be run on."""

        def _train(self, run, validate, trainer, **more):
            self.kept = trainer
            super()._train(run, validate, trainer, **more)

    peers = {}
    for name, epsilon in (("private", 3.0), ("plain", None)):
        gan = make(real, schema, epsilon, 0, {"steps": 1, "validate_every": TIMED_STEPS}, Kept)
        numbers = iter(range(1, 10_000))
        peers[name] = lambda t=gan.kept, n=numbers: t.run(tf.constant(next(n), tf.int64))
    return _common.ratio(_common.alternate(peers, runs=runs), "private", "plain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=pathlib.Path, help="folder with ml-100k, fashion-products")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="one table")
    parser.add_argument("--steps", type=int, default=300, help="of a private fit")


def main() -> None:
    arguments = _common.parse(__doc__, add=add_arguments)
    plain = {"steps": 1000}
    if arguments.quick:
        arguments.epsilon, arguments.seeds, arguments.steps = [3.0], 1, 100
        plain = {"steps": 100}
    size = "tiny" if arguments.quick else "small"
    wholes = {}
    if arguments.data is not None:
        wholes["products"] = (tables.products(arguments.data), 990)
    wholes["shop"] = (tables.flat(tables.shop_interactions(size).rows), 20_000)
    if arguments.data is not None:
        wholes["movielens"] = (tables.flat(tables.movielens(arguments.data).rows), 20_000)
    figures, table = {}, []
    for name, (whole, rows) in wholes.items():
        if arguments.only not in (None, name):
            continue
        whole, schema = declared(whole)
        real, held = parts(whole, min(rows, len(next(iter(whole.values()))) // 2))
        count = len(next(iter(real.values())))
        for epsilon in (None, *arguments.epsilon):
            found, noise = [], ""
            for seed in range(arguments.seeds):
                options = plain if epsilon is None else {"steps": arguments.steps}
                gan = make(real, schema, epsilon, seed, options)
                if epsilon is not None:
                    noise = f"{gan.privacy_budget().noise_multiplier:.2f}"
                made = gan.sample(min(count, MEASURED), seed=seed)
                found.append(measure_fidelity(real, made, holdout=held, seed=seed))
            table.append(rows_of(name, epsilon, found, noise))
            print(table[-1], flush=True)
            mean = np.mean([fidelity.scores["quality"].value for fidelity in found])
            figures[f"{name}_quality_{table[-1][1]}"] = mean
        for end in ("floor", "ceiling"):
            cells = [f"{getattr(found[0].scores[score], end):.3f}" for score in SCORES]
            table.append([name, end, "", *cells, {"floor": "0.00", "ceiling": "1.00"}[end]])
    figures["step_cost_ratio"] = step_cost_ratio(real, schema, 3 if arguments.quick else 7)
    _common.finish(
        "private",
        figures,
        header=HEADER,
        table=table,
        notes=__doc__.split("\n\n")[2],
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
