"""The tables of benchmarks/synthesis.py, synthesizers in processes of their own, and their peers."""

from __future__ import annotations

import concurrent.futures
import csv
import dataclasses
import json
import multiprocessing
import os
import pathlib
import resource
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions, movielens_100k, simulated_shop
from tfrs_augment.synthesis import TableSpec

SCRIPT = pathlib.Path(__file__).with_name("_synthesis_peers.py")
PEERS = ("GaussianCopula", "CTGAN", "TVAE")
MOVIELENS_COLUMNS = ("age", "gender", "occupation", "year", "genre", "hour", "weekday", "rating")
PRODUCT_COLUMNS = (
    *("gender", "masterCategory", "subCategory", "articleType"),
    *("baseColour", "season", "year", "usage"),
)

Table = Mapping[str, np.ndarray]


def movielens(folder: pathlib.Path) -> Interactions:
    """MovieLens 100K with one genre a movie, the rarest of its own, which tells most of it."""
    data = movielens_100k(folder / "ml-100k")
    genres = data.items["movie_genres"]
    names, counts = np.unique(genres.values, return_counts=True)
    rank = dict(zip(names.tolist(), counts.tolist()))
    genre = [min(own, key=rank.get) if own else b"Unknown" for own in genres.to_lists()]
    users = data.users
    return Interactions.from_tables(
        {
            "user_id": data.rows["user_id"],
            "movie_id": data.rows["movie_id"],
            "timestamp": data.rows["timestamp"],
            "rating": data.rows["user_rating"],
        },
        items={
            "movie_id": data.items["movie_id"],
            "year": data.items["movie_year"],
            "genre": np.array(genre, "S"),
        },
        users={
            "user_id": users["user_id"],
            "age": users["user_age"],
            "gender": users["user_gender"],
            "occupation": users["user_occupation"],
        },
        item_id="movie_id",
        name=data.name,
    )


def shop_interactions(size: str) -> Interactions:
    """The simulated shop with the columns of the same meaning, for runs without data."""
    shop = simulated_shop(size)
    rows, items, users = shop.rows, shop.items, shop.users
    return Interactions.from_tables(
        {name: rows[name] for name in ("user_id", "item_id", "timestamp", "rating")},
        items={
            "item_id": items["item_id"],
            "year": items["item_price"],
            "genre": items["item_category"],
        },
        users={
            "user_id": users["user_id"],
            "age": users["user_age"],
            "gender": users["user_gender"],
            "occupation": users["user_city"],
        },
    )


def flat(rows: Table) -> dict[str, np.ndarray]:
    """The columns of the table, with hour and weekday in place of the timestamp."""
    if "timestamp" in rows:
        time_of = rows["timestamp"]
        rows = {**rows, "hour": time_of // 3600 % 24, "weekday": (time_of // 86_400 + 4) % 7}
    return {name: rows[name] for name in MOVIELENS_COLUMNS}


def products(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The table of fashion products, without names and ids."""
    with open(folder / "fashion-products" / "products.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = {name: [row[name] for row in rows] for name in PRODUCT_COLUMNS}
    return {
        name: np.array(values, np.int64)
        if name == "year"
        else np.array([value.encode() for value in values], "S")
        for name, values in table.items()
    }


def shop_items(size: str) -> dict[str, np.ndarray]:
    """The shop's catalogue, without ids and titles."""
    items = simulated_shop(size).items
    names = ("item_category", "item_brand", "item_colour", "item_price")
    return {name: items[name] for name in names}


def halves(table: Table, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two halves of the rows in a random order."""
    rows = len(next(iter(table.values())))
    order = np.random.default_rng(seed).permutation(rows)
    parts = order[: rows // 2], order[rows // 2 :]
    return tuple({name: column[part] for name, column in table.items()} for part in parts)


@dataclasses.dataclass(frozen=True)
class Made:
    """The rows of a synthesizer, and what they cost in a process of their own.

    Attributes:
      rows: the columns.
      fit_cpu, sample_cpu: seconds of all threads.
      peak_mib: peak memory of the process after the fit.
    """

    rows: Table
    fit_cpu: float
    sample_cpu: float
    peak_mib: float

    @property
    def rate(self) -> float:
        """Rows per CPU-second of sampling."""
        return len(next(iter(self.rows.values()))) / max(self.sample_cpu, 1e-9)


def make(
    name: str, data: Any, rows: int, options: Mapping[str, Any] | None = None, *, apart: bool = True
) -> Made:
    """Fits a synthesizer of the project by its class's name, and samples.

    Args:
      name: of the class.
      data: what it is fitted on.
      rows: how many it samples.
      options: of its constructor.
      apart: whether in a process of its own, without which the peak memory is that of all before.
    """
    if not apart:
        return _make(name, data, rows, dict(options or {}))
    context = multiprocessing.get_context("spawn")
    # The peers get one thread too: it costs both the fewest CPU-seconds.
    with concurrent.futures.ProcessPoolExecutor(1, context, _one_thread) as pool:
        return pool.submit(_make, name, data, rows, dict(options or {})).result()


def _one_thread() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _make(name: str, data: Any, rows: int, options: dict[str, Any]) -> Made:
    synthesizer = getattr(aug.synthesis, name)(**options)
    start = time.process_time()
    synthesizer.fit(data)
    fitted = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    made = synthesizer.sample(rows, seed=0)
    return Made(made, fitted - start, time.process_time() - fitted, peak)


class Peers:
    """CTGAN, TVAE, SDV's GaussianCopula and SDMetrics behind an interpreter of their own.

    Args:
      python: the interpreter; see _synthesis_peers.py.
      real: the table they are fitted on.
      folder: where the files go.
    """

    def __init__(self, python: str, real: Table, folder: pathlib.Path):
        self._python, self._folder = python, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._spec = TableSpec.of(real)
        kinds = {c.name: "categorical" if c.categorical else "numerical" for c in self._spec}
        (folder / "kinds.json").write_text(json.dumps(kinds))
        self._write("real", real)

    def make(self, model: str, rows: int, *, epochs: int = 0, seed: int = 0) -> Made:
        """Fits a peer and samples."""
        found = self._run("sample", model, epochs, rows, seed)
        made = self._read(f"{model}-{epochs}")
        return Made(made, found["fit_cpu"], found["sample_cpu"], found["peak_mib"])

    def score(self, table: Table) -> dict[str, float]:
        """SDMetrics' scores of a table: quality, shapes, pairs, and both with all pairs."""
        self._write("scored", table)
        return self._run("score", "scored")

    def _run(self, action: str, *arguments) -> dict[str, float]:
        command = [self._python, SCRIPT, action, self._folder, *map(str, arguments)]
        # The caller's paths and TensorFlow's settings are not for this interpreter.
        variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def _write(self, name: str, table: Table) -> None:
        columns = []
        for column in self._spec:
            values = table[column.name].tolist()
            text = [v.decode() if isinstance(v, bytes) else f"{v:.9g}" for v in values]
            columns.append(["" if value == "nan" else value for value in text])
        with open(self._folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self._spec.names)
            writer.writerows(zip(*columns))

    def _read(self, name: str) -> dict[str, np.ndarray]:
        with open(self._folder / f"{name}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        table = {}
        for column in self._spec:
            texts = [row[column.name] for row in rows]
            if column.dtype == "bytes":
                table[column.name] = np.array([text.encode() for text in texts], "S")
            else:
                numbers = np.array([float(text or "nan") for text in texts])
                table[column.name] = (
                    numbers.round().astype(np.int64)
                    if column.dtype == "int64"
                    else numbers.astype(np.float32)
                )
        return table
