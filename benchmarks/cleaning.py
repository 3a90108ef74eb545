"""Precision and recall of the cleaning rules, on the simulated shop with planted faults.

    python benchmarks/cleaning.py [--quick]

Faults of nine kinds are planted in the shop's interactions (`datasets.plant_faults`) and cleaned by the job
with one rule or a few a kind, in one list, so that rules meet the faults of the others too. Figures: for
each kind `KIND_precision` and `KIND_recall`, the lowest of three seeds.

A dropped row is known by its place in the rejected file, a filled one by its changed value in the output. Of
a duplicate and its original either may be the one that is dropped.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import logging
import pathlib
import tempfile

import _common
import numpy as np
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment import records
from tfrs_augment.beam import cleaning as c
from tfrs_augment.datasets import Score, interactions, plant_faults, simulated_shop

POLICY = aug.AugmentationPolicy(
    [aug.ops.IdDropout("item_id", rate=0.2)], key_features=("user_id", "item_id", "timestamp")
)
MISSING = ("missing_at_random", "missing_dependent", "no_item")
FILLED = ("item_brand", "user_gender", "user_age")


def rules(count: int) -> dict[str, list[c.Rule]]:
    """The rules for so many rows by the kind of fault that they are for, in the order of their work."""
    return {
        "no_item": [c.Required("item_id")],
        "exact_duplicate": [c.ExactDuplicates()],
        "bot": [c.BotUsers("user_id", timestamp="timestamp", max_events=20, window=60)],
        "near_duplicate": [
            c.NearDuplicates(
                ("user_id", "item_id"), number="timestamp", tolerance=30, id="near:time"
            ),
            c.NearDuplicates(
                ("user_id", "item_id", "timestamp"),
                number="item_price",
                tolerance=100,
                id="near:price",
            ),
        ],
        "range_outlier": [
            c.RangeOutliers("user_age", low=0, high=120),
            c.RangeOutliers("item_price", low=0, high=10_000),
        ],
        "iqr_outlier": [
            c.IqrOutliers("user_age", factor=3.0),
            c.IqrOutliers("item_price", factor=1.5, scale="log"),
        ],
        "unknown_value": [
            c.OutsideDomain(name, min_count=count // 1000)
            for name in ("item_category", "user_city")
        ],
        "missing": [
            c.MissingFill("item_brand", by="mode", group="item_category"),
            c.MissingFill("user_gender", by="mode"),
            c.MissingFill("user_age", by="median", group="user_gender"),
        ],
    }


def found_rows(
    source: str, output: pathlib.Path, by_kind: dict[str, list[c.Rule]], columns: dict
) -> dict[str, np.ndarray]:
    """The places of the rows that the rules for each kind have found."""
    with open(source, "rb") as stream:
        blocks = records.read_frames(stream, compression="none")
        starts = np.concatenate([frames.file_offsets for frames in blocks])
    dropped: dict[str, list[int]] = {}
    for path in output.glob("rejected-*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            rule = entry["reason"].removeprefix("cleaning rule '").split("'")[0]
            dropped.setdefault(rule, []).append(int(np.searchsorted(starts, entry["offset"])))
    found = {
        kind: np.array([place for rule in of_kind for place in dropped.get(rule.id, [])], np.int64)
        for kind, of_kind in by_kind.items()
    }
    # What is left stands in the order of the source, where each row's place is known by counting.
    kept = np.setdiff1d(np.arange(len(starts)), np.concatenate(list(dropped.values())))
    (shard,) = output.glob("augmented-*")
    written = tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    changed = []
    for place, record in zip(kept.tolist(), written, strict=True):
        feature = tf.train.Example.FromString(record).features.feature
        for name in FILLED:
            field = feature[name].WhichOneof("kind")
            if getattr(feature[name], field).value[0] != columns[name][place]:
                changed.append(place)
    found["missing"] = np.array(changed, np.int64)
    return found


def one_seed(size: str, seed: int, folder: pathlib.Path) -> dict[str, Score]:
    """Plants, cleans and scores."""
    faulty = plant_faults(simulated_shop(size, seed=seed), seed=seed)
    ids = faulty.rows["row_id"]
    # Without the ids of rows, by which no two records would be the same.
    columns = {name: column for name, column in faulty.rows.items() if name != "row_id"}
    is_missing = np.isin(faulty.faults["kind"], np.array(MISSING, "S"))
    missing = {
        name.decode(): np.isin(
            ids, faulty.faults["row_id"][is_missing & (faulty.faults["column"] == name)]
        )
        for name in np.unique(faulty.faults["column"][is_missing])
    }
    (source,) = interactions.write_tfrecords(columns, str(folder / "in"), missing=missing)
    by_kind = rules(len(ids))
    aug.beam.run(
        POLICY,
        input=source,
        output=str(folder / "out"),
        copies=0,
        cleaning=c.Cleaning([rule for of_kind in by_kind.values() for rule in of_kind]),
        progress=False,
    )
    found = found_rows(source, folder / "out", by_kind, columns)
    scores = {
        kind: faulty.score(kind, ids[places]) for kind, places in found.items() if kind != "missing"
    }
    for kind, other in (MISSING[:2], MISSING[1::-1]):
        scores[kind] = faulty.score(kind, ids[found["missing"]], forgive=(other,))
    return scores


def main() -> None:
    arguments = _common.parse(__doc__)
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    size, seeds = ("tiny", 1) if arguments.quick else ("small", 3)
    runs = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(one_seed(size, seed, pathlib.Path(folder)))
    figures, table = {}, []
    for kind in runs[0]:
        scores = [run[kind] for run in runs]
        figures[f"{kind}_precision"] = min(score.precision for score in scores)
        figures[f"{kind}_recall"] = min(score.recall for score in scores)
        table.append(
            [
                kind,
                sum(score.planted for score in scores),
                sum(score.found for score in scores),
                f"{figures[f'{kind}_precision']:.4f}",
                f"{figures[f'{kind}_recall']:.4f}",
            ]
        )
    _common.finish(
        "cleaning",
        figures,
        header=["fault", "planted", "found", "precision (lowest)", "recall (lowest)"],
        table=table,
        notes=f"Simulated shop '{size}', {seeds} seeds; planted and found are sums over the seeds.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
