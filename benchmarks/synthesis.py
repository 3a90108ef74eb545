"""What synthesized rows are worth: as a table, as interactions, and to a recommender.

    python benchmarks/synthesis.py --data path/to/shared/data [--part table] [--peers PYTHON] [--long]
    python benchmarks/synthesis.py                     # the simulated shop in place of MovieLens
    python benchmarks/synthesis.py --quick

Parts: `table` (MovieLens 100K as a table: 20,000 rows to fit on, 20,000 held out), `flat` (tables without
users and items), `interactions` (pairs, on 40 % of the rows and on all, without each user's last 7),
`recommender` (gated, on 10 % and 40 %). `--peers` names an interpreter with CTGAN, SDV and SDMetrics: see
_synthesis_peers.py. `--long` trains CTGAN for 300 epochs too. Figures:

- table: `quality` (SDMetrics' with peers, else the project's of the same definition), `pair_skill`,
  `tstr_skill`, `closer_to_train` of FactorizationSampler, the default for interactions; with peers
  `quality_over_best_peer` and `pair_skill_over_best_peer` (differences), and `fit_cpu_over_ctgan` and
  `sample_rate_over_ctgan` of TabularGAN over CTGAN's longest fit: its default of 300 epochs with `--long`;
  `quality_from_sdmetrics`, how far the project's own quality is from SDMetrics' at most;
- flat: by table, the lower of TabularGAN's and TabularVAE's `_quality` and `_pair_skill`, of all pairs, and
  with peers what they have above the best of CTGAN and TVAE, and the two ratios to CTGAN;
- interactions: `interaction_lift_over_popularity`, `interaction_lift_over_nearest`, `popularity_spearman` and
  `distinct_rate` of InteractionGAN, each the lower of the two sizes;
- recommender, with FactorizationSampler: by size, the gate's `weight`, and of the gated training against none
  the difference of Recall@10 on all items with its interval.
"""

from __future__ import annotations

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
import dataclasses
import functools
import tempfile
from collections.abc import Callable, Mapping

import _common
import _synthesis_data as tables
import numpy as np
from _synthesis_pairs import (
    INTERACTION_HEADER,
    QUICK,
    RECOMMENDER_HEADER,
    RELATIONAL,
    run_interactions,
    run_recommender,
    wanted,
)

from tfrs_augment.datasets import Interactions
from tfrs_augment.evaluation import Fidelity, Privacy, measure_fidelity, measure_privacy

PARTS = ("table", "flat", "interactions", "recommender")
FLAT = ("IndependentSampler", "GaussianCopula", "RegressionSynthesizer", "TabularGAN", "TabularVAE")
NETWORKS = ("TabularGAN", "TabularVAE")
DEFAULT = "FactorizationSampler"
"""For interactions, as `tfrs-augment synthesize fit` has it."""
TARGET = {"target": "rating", "positive": (4.0, 5.0)}


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a table of the comparison shows of one synthesizer."""

    made: tables.Made
    fidelity: Fidelity
    privacy: Privacy
    sdmetrics: Mapping[str, float]

    @property
    def quality(self) -> float:
        return self.sdmetrics.get("quality", self.fidelity.scores["quality"].value)

    def skill(self, name: str) -> float:
        score = self.fidelity.scores.get(name)
        return float("nan") if score is None else score.skill

    def row(self, name: str) -> list[str]:
        closer = self.privacy.values["closer_to_train"]
        low, high = self.privacy.intervals["closer_to_train"]
        numbers = [self.quality, *(self.skill(n) for n in ("pairs", "all_pairs", "transfer"))]
        return [
            name,
            *(f"{number:.3f}" for number in numbers),
            f"{closer:.3f} [{low:.3f}, {high:.3f}]",
            f"{self.privacy.values['membership_auc']:.3f}",
            f"{self.made.fit_cpu:.1f}",
            f"{self.made.rate:,.0f}",
            f"{self.made.peak_mib:,.0f}",
        ]


HEADER = (
    *("rows of", "quality", "pair skill", "skill of all pairs", "TSTR skill", "closer to train"),
    *("membership AUC", "fit CPU-s", "rows per CPU-s", "peak MiB"),
)


class Bench:
    """One table, its hold-out, and what is known of each synthesizer of it."""

    def __init__(self, arguments, real: tables.Table, holdout: tables.Table, folder, **target):
        self._real, self._holdout, self._target = real, holdout, target
        self._rows = len(next(iter(holdout.values())))
        self._arguments = arguments
        self.peers = arguments.peers and tables.Peers(arguments.peers, real, folder)
        self.found: dict[str, Scored] = {}

    def add(self, name: str, data=None, read: Callable = lambda rows: rows) -> None:
        """Fits a synthesizer of the project on the table, or on `data` whose samples `read` flattens."""
        options = QUICK.get(name) if self._arguments.quick else None
        source = self._real if data is None else data
        made = tables.make(name, source, self._rows, options, apart=not self._arguments.quick)
        self._add(name, dataclasses.replace(made, rows=read(made.rows)))

    def add_peers(self) -> None:
        """Fits the peers."""
        epochs = {"GaussianCopula": (0,), "CTGAN": (30,), "TVAE": (30,)}
        if self._arguments.long:
            epochs["CTGAN"] = (30, 300)
        for model, lengths in epochs.items():
            for count in lengths if self.peers else ():
                made = self.peers.make(model, self._rows, epochs=count)
                self._add(f"{model} (peer)" + (f", {count} epochs" if count else ""), made)

    def best_peer(self, value: Callable[[Scored], float], *models: str) -> float:
        """The best value of the peers whose names begin so."""
        peers = {n: s for n, s in self.found.items() if "(peer)" in n}
        return max(value(s) for name, s in peers.items() if name.startswith(models))

    def over_ctgan(self) -> dict[str, float]:
        """TabularGAN's CPU time to fit, and rows per CPU-second, over those of CTGAN's longest fit."""
        gan, peers = (
            [s for name, s in self.found.items() if name.startswith(start)]
            for start in ("TabularGAN", "CTGAN (peer)")
        )
        if not gan or not peers:
            return {}
        ours, theirs = gan[0].made, peers[-1].made
        return {
            "fit_cpu_over_ctgan": ours.fit_cpu / theirs.fit_cpu,
            "sample_rate_over_ctgan": ours.rate / theirs.rate,
        }

    def rows(self) -> list[list[str]]:
        """The rows of the table: what is reachable, then each synthesizer."""
        one = next(iter(self.found.values()), None)
        ends = {"ceiling (held-out rows)": "ceiling", "floor (columns independent)": "floor"}
        blank = [""] * (len(HEADER) - 2)
        known = [
            [name, f"{getattr(one.fidelity.scores['quality'], end):.3f}", *blank]
            for name, end in ends.items()
            if one is not None
        ]
        return known + [scored.row(name) for name, scored in self.found.items()]

    def _add(self, name: str, made: tables.Made) -> None:
        self.found[name] = Scored(
            made,
            measure_fidelity(self._real, made.rows, holdout=self._holdout, **self._target),
            measure_privacy(self._real, made.rows, holdout=self._holdout),
            self.peers.score(made.rows) if self.peers else {},
        )
        print(" | ".join(self.found[name].row(name)), flush=True)


def run_table(arguments, data: Interactions, folder: pathlib.Path):
    """Part `table`."""
    rows = 3000 if arguments.quick else 20_000
    order = np.random.default_rng(0).permutation(len(data))
    fitted, held = data.take(np.sort(order[:rows])), data.take(np.sort(order[-rows:]))
    bench = Bench(arguments, tables.flat(fitted.rows), tables.flat(held.rows), folder, **TARGET)
    for name in RELATIONAL:
        if wanted(arguments, name):
            bench.add(name, fitted, tables.flat)
    for name in FLAT:
        if wanted(arguments, name):
            bench.add(name)
    bench.add_peers()
    first = bench.found.get(DEFAULT)
    figures = {}
    if first is not None:
        figures = {
            "quality": first.quality,
            "pair_skill": first.skill("pairs"),
            "tstr_skill": first.skill("transfer"),
            "closer_to_train": first.privacy.values["closer_to_train"],
        }
    if first is not None and bench.peers:
        pairs = functools.partial(Scored.skill, name="pairs")
        figures["quality_over_best_peer"] = first.quality - bench.best_peer(
            lambda s: s.quality, *tables.PEERS
        )
        figures["pair_skill_over_best_peer"] = first.skill("pairs") - bench.best_peer(
            pairs, *tables.PEERS
        )
    figures |= bench.over_ctgan()
    if bench.peers:
        figures["quality_from_sdmetrics"] = max(
            abs(s.fidelity.scores["quality"].value - s.quality) for s in bench.found.values()
        )
    return figures, bench.rows()


def run_flat(arguments, shared: pathlib.Path | None, folder: pathlib.Path):
    """Part `flat`."""
    sources = {"shop": tables.shop_items("tiny" if arguments.quick else "small")}
    if shared is not None and not arguments.quick:
        sources["products"] = tables.products(shared)
    figures, shown = {}, []
    for source, table in sources.items():
        bench = Bench(arguments, *tables.halves(table), folder / source)
        for name in FLAT:
            if wanted(arguments, name):
                bench.add(name)
        bench.add_peers()
        shown += [[f"{source}: {name}", *rest] for name, *rest in bench.rows()]
        networks = [bench.found[name] for name in NETWORKS if name in bench.found]
        figures |= {f"{source}_{name}": value for name, value in bench.over_ctgan().items()}
        values = {"quality": lambda s: s.quality, "pair_skill": lambda s: s.skill("all_pairs")}
        for name, value in values.items() if networks else ():
            figures[f"{source}_{name}"] = min(map(value, networks))
            if bench.peers:
                peer = bench.best_peer(value, "CTGAN", "TVAE")
                figures[f"{source}_{name}_over_peers"] = figures[f"{source}_{name}"] - peer
    return figures, shown


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--data", type=pathlib.Path, help="folder with ml-100k and others")
        parser.add_argument("--part", choices=PARTS, help="one part (default: all)")
        parser.add_argument("--peers", help="interpreter with CTGAN, SDV and SDMetrics")
        parser.add_argument("--long", action="store_true", help="CTGAN for 300 epochs too")
        parser.add_argument("--seeds", type=int, default=10, help="of `recommender` (default: 10)")
        parser.add_argument(
            "--only", type=lambda text: text.split(","), help="synthesizers, by commas"
        )

    arguments = _common.parse(__doc__, add=add)
    parts = PARTS if arguments.part is None else (arguments.part,)
    if arguments.data is not None and not arguments.quick:
        data = tables.movielens(arguments.data)
    else:
        data = tables.shop_interactions("tiny" if arguments.quick else "small")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        work = {
            "table": (HEADER, lambda: run_table(arguments, data, folder / "table")),
            "flat": (HEADER, lambda: run_flat(arguments, arguments.data, folder)),
            "interactions": (INTERACTION_HEADER, lambda: run_interactions(arguments, data)),
            "recommender": (
                RECOMMENDER_HEADER,
                lambda: run_recommender(arguments, data, (arguments.only or [DEFAULT])[0]),
            ),
        }
        for part in parts:
            header, run = work[part]
            figures, shown = run()
            _common.finish(
                f"synthesis_{part}",
                figures,
                header=header,
                table=shown,
                notes=f"{data.name}; part `{part}` of benchmarks/synthesis.py.",
                write=not arguments.quick and arguments.only is None,
            )


if __name__ == "__main__":
    main()
