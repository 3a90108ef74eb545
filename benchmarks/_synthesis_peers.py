"""Peers of the synthesizers, run by an interpreter of their own: nothing of the project imports them.

    python3 -m venv peers
    peers/bin/pip install torch==2.13.0 ctgan==0.12.1 sdv==2.0.0 sdmetrics==0.32.0
    python benchmarks/synthesis.py --peers peers/bin/python

CTGAN, SDV and what they are built on are Business Source licensed, and SDMetrics, itself MIT licensed, needs
one of these. Rows come and go as CSV. The last line of the output is JSON; CPU-seconds are those of this
process. CTGAN and TVAE get one thread, which costs them fewer CPU-seconds than several.

    peers/bin/python _synthesis_peers.py sample FOLDER MODEL EPOCHS ROWS SEED
    peers/bin/python _synthesis_peers.py score FOLDER NAME

FOLDER holds real.csv and kinds.json (column to "numerical" or "categorical"); the first writes
MODEL-EPOCHS.csv, and the second scores NAME.csv.
"""

from __future__ import annotations

import json
import pathlib
import resource
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def read(path: pathlib.Path, kinds: dict[str, str]) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, kind in kinds.items():
        if kind == "numerical":
            frame[name] = pd.to_numeric(frame[name])
    return frame[list(kinds)]


def ctgan(kinds, epochs, seed):
    import torch
    from ctgan import CTGAN

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return CTGAN(epochs=epochs)


def tvae(kinds, epochs, seed):
    import torch
    from ctgan import TVAE

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return TVAE(epochs=epochs)


def sample(folder: pathlib.Path, model: str, epochs: int, rows: int, seed: int) -> dict[str, float]:
    """Fits a peer on real.csv and writes its rows."""
    kinds = json.loads((folder / "kinds.json").read_text())
    real = read(folder / "real.csv", kinds)
    np.random.seed(seed)
    if model == "GaussianCopula":
        from sdv.metadata import Metadata
        from sdv.single_table import GaussianCopulaSynthesizer

        columns = {name: {"sdtype": kind} for name, kind in kinds.items()}
        described = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}})
        peer = GaussianCopulaSynthesizer(described)
        fit = lambda: peer.fit({"table": real})  # noqa: E731
    else:
        peer = {"CTGAN": ctgan, "TVAE": tvae}[model](kinds, epochs, seed)
        categorical = [name for name, kind in kinds.items() if kind == "categorical"]
        fit = lambda: peer.fit(real, categorical)  # noqa: E731
    start = time.process_time()
    fit()
    fitted = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = peer.sample(rows)
    sampled = time.process_time()
    if isinstance(made, dict):
        made = made["table"]
    made[list(kinds)].to_csv(folder / f"{model}-{epochs}.csv", index=False)
    return {
        "fit_cpu": fitted - start,
        "sample_cpu": sampled - fitted,
        "rows": rows,
        "peak_mib": peak / 1024,
    }


def score(folder: pathlib.Path, name: str) -> dict[str, float]:
    """SDMetrics' scores of NAME.csv: its report as it is, and with every pair of columns."""
    from sdmetrics.reports.single_table import QualityReport

    kinds = json.loads((folder / "kinds.json").read_text())
    real, made = (read(folder / f"{part}.csv", kinds) for part in ("real", name))
    described = {"columns": {column: {"sdtype": kind} for column, kind in kinds.items()}}
    found = {}
    for suffix, threshold in (("", None), ("_all_pairs", 0)):
        report = QualityReport()
        if threshold is not None:
            report.real_correlation_threshold = threshold
            report.real_association_threshold = threshold
        report.generate(real, made, described, verbose=False)
        shapes, pairs = report.get_properties()["Score"]
        found |= {f"quality{suffix}": report.get_score(), f"pairs{suffix}": pairs}
        found["shapes"] = shapes
    return found


def main() -> None:
    action, folder, *rest = sys.argv[1:]
    folder = pathlib.Path(folder)
    arguments = [rest[0], *map(int, rest[1:])]
    found = {"sample": sample, "score": score}[action](folder, *arguments)
    print(json.dumps({name: float(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
