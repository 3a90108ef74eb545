"""What it costs to rank test rows among the full catalogue: ours against `tfrs.metrics.FactorizedTopK`.

Both get the same float32 embeddings and find Recall@1, 5, 10, 50 and 100 of every row. Ours counts the
candidates above each true item; `FactorizedTopK` keeps the best 100 candidates of each row. It is timed in a
`tf.function`, over batches of rows, with candidates as a data set of one batch (its default, `Streaming`) and
as a `BruteForce` index; the figure is over the faster of the two. Of several rows of a user ours scores once.
Then the same with all that a report needs: seen items left out, ranks among all, warm and cold items, and
lists of the best. Both run on one thread.

    python benchmarks/metrics.py [--quick]

Figures, CPU time: `factorized_topk_over_ours` and `factorized_topk_over_a_report` at the size of MovieLens
and at that of 20,000 items, where all of them spend most time on the product of the embeddings; and
`largest_difference` of the recalls, where `FactorizedTopK` is told ids (else it takes a true item whose
score it rounds twice in two ways for one above itself, in one row of a thousand).
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # TFRS needs Keras 2.
# One thread each: CPU time is then that of work, and not of threads that wait in a loop.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import dataclasses
import functools

import _common
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment.evaluation.measuring.metrics import Seen, rank
from tfrs_augment.evaluation.measuring.standings import Scores, Standings, stand

KS = (1, 5, 10, 50, 100)


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a problem is: users who ask, their rows, and the catalogue."""

    queries: int
    rows: int
    items: int
    dim: int = 32


SIZES = {
    "MovieLens 100K": Size(943, 10_000, 1_682),
    "20,000 items, 5,000 queries": Size(5_000, 5_000, 20_000),
}


def problem(size: Size) -> tuple[np.ndarray, ...]:
    """Returns embeddings of queries and items, and query and item of each row."""
    rng = np.random.default_rng(0)
    queries, items = (
        rng.normal(size=(count, size.dim)).astype(np.float32)
        for count in (size.queries, size.items)
    )
    query = np.sort(rng.permutation(np.arange(size.rows) % size.queries))
    # True items score above others, as a trained model makes them.
    item = np.array(
        [rng.choice(np.argsort(-(items[:2000] @ queries[q]))[:400]) for q in query]
        if size.rows <= 10_000
        else rng.integers(size.items, size=size.rows)
    )
    return queries, items, query, item


def ours(*arrays: np.ndarray) -> list[float]:
    """Returns the recalls of all rows."""
    ranks = rank(*arrays)
    return [float(ranks.recall(k).mean()) for k in KS]


def all_of_a_report(queries, items, query, item, **options) -> Standings:
    """Returns ranks among warm and cold items, and lists."""
    return stand(Scores.of_embeddings(queries, items), query, item, length=10, **options)


def theirs(candidates, queries: np.ndarray, items: np.ndarray, query: np.ndarray, item: np.ndarray):
    """Returns a function that returns the recalls of `FactorizedTopK`."""
    metric = tfrs.metrics.FactorizedTopK(candidates=candidates, ks=KS)
    batches = tf.data.Dataset.from_tensor_slices((queries[query], items[item])).batch(4096).cache()

    @tf.function
    def update(asking, true):
        metric.update_state(asking, true)

    def run() -> list[float]:
        metric.reset_states()
        for asking, true in batches:
            update(asking, true)
        return [float(value) for value in metric.result()]

    return run


def by_id(index, queries: np.ndarray, items: np.ndarray, query: np.ndarray, item: np.ndarray):
    """Returns the recalls of `FactorizedTopK` where it looks for the true item's id among the best 100."""
    metric = tfrs.metrics.FactorizedTopK(candidates=index, ks=KS)
    for rows in np.array_split(np.arange(len(query)), -(-len(query) // 2048)):
        metric.update_state(
            queries[query[rows]], items[item[rows]], true_candidate_ids=item[rows].astype(np.int32)
        )
    return [float(value) for value in metric.result()]


def main() -> None:
    arguments = _common.parse(__doc__)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    figures, table, differences = {}, [], []
    for name, size in SIZES.items():
        if arguments.quick:
            size = dataclasses.replace(
                size, queries=size.queries // 5, rows=size.rows // 5, items=size.items // 2
            )
        queries, items, query, item = problem(size)
        indexed = tfrs.layers.factorized_top_k.BruteForce(k=max(KS)).index(items)
        streamed = tf.data.Dataset.from_tensor_slices(items).batch(size.items).cache()
        rng = np.random.default_rng(1)
        pairs = np.unique(
            rng.integers([size.queries, size.items], size=(20 * size.queries, 2)), axis=0
        )
        seen = Seen.from_pairs(pairs[:, 0], pairs[:, 1], size.queries)
        warm = rng.random(size.items) < 0.85
        parts = [np.flatnonzero(warm), np.flatnonzero(~warm)]
        peers = {
            "ours": functools.partial(ours, queries, items, query, item),
            "ours, all of a report": functools.partial(
                all_of_a_report, queries, items, query, item, seen=seen, parts=parts
            ),
            "FactorizedTopK, Streaming": theirs(streamed, queries, items, query, item),
            "FactorizedTopK, BruteForce": theirs(indexed, queries, items, query, item),
        }
        found = {"ours": peers["ours"](), "theirs": by_id(indexed, queries, items, query, item)}
        differences += [
            abs(a - b)
            for values in found.values()
            for a, b in zip(values, found["ours"], strict=True)
        ]
        timings = _common.alternate(peers, runs=3 if arguments.quick else 7)
        over = {peer: _common.ratio(timings, peer, "ours") for peer in peers}
        best = min(value for peer, value in over.items() if peer.startswith("Factorized"))
        tag = "" if size.items < 10_000 else f"_{size.items}_items"
        figures[f"factorized_topk_over_ours{tag}"] = best
        figures[f"factorized_topk_over_a_report{tag}"] = best / over["ours, all of a report"]
        for peer, cpu, wall in _common.rows_of(timings, size.rows, "us"):
            table.append([name, peer, cpu, wall, f"{over[peer]:.2f}"])
    figures["largest_difference"] = max(differences)
    _common.finish(
        "metrics",
        figures,
        header=["size", "what", "CPU us a row", "wall us a row", "over ours"],
        table=table,
        notes=(
            "Recall@1, 5, 10, 50 and 100 of rows among the full catalogue, embeddings of 32 numbers. "
            "`FactorizedTopK` leaves no seen items out and counts ties as hits; these data have none. "
            "Medians of 7 alternate runs, with ranges."
        ),
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
