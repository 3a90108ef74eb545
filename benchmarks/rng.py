"""What a keyed random number costs, against TensorFlow's stateless ones.

    python benchmarks/rng.py [--quick]

Figures: `uniform_over_stateless` (bar 2.5) and `normal_over_stateless` (bar 5): CPU time a number, at a batch
of 4,096 rows with 16 numbers a row, one thread each.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _common
import tensorflow as tf

from tfrs_augment.rng import KeyedRng

ROWS, NUMBERS, REPEATS = 4096, 16, 50


def main() -> None:
    arguments = _common.parse(__doc__)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keys = tf.bitcast(tf.range(ROWS, dtype=tf.int64), tf.uint64)
    like = tf.zeros([ROWS, NUMBERS])

    @tf.function
    def keyed(kind: str, draw: tf.Tensor) -> tf.Tensor:
        return getattr(KeyedRng(7, keys, draw).fork("op"), kind)(like)

    @tf.function
    def stateless(kind: str, draw: tf.Tensor) -> tf.Tensor:
        return getattr(tf.random, f"stateless_{kind}")([ROWS, NUMBERS], tf.stack([draw, draw]))

    def repeated(function, kind: str):
        # Feeding the draw as a tensor keeps both from being folded to constants.
        draws = [tf.constant(d) for d in range(REPEATS)]
        return lambda: [function(kind, draw) for draw in draws]

    peers = {
        f"{name} {kind}": repeated(function, kind)
        for kind in ("uniform", "normal")
        for name, function in (("keyed", keyed), ("stateless", stateless))
    }
    timings = _common.alternate(peers, runs=7 if arguments.quick else 25, warm_up=2)
    figures = {
        f"{kind}_over_stateless": _common.ratio(timings, f"keyed {kind}", f"stateless {kind}")
        for kind in ("uniform", "normal")
    }
    _common.finish(
        "rng",
        figures,
        header=["numbers", "CPU ns a number: median (range)", "wall ns a number: median (range)"],
        table=_common.rows_of(timings, ROWS * NUMBERS * REPEATS, "ns"),
        notes=f"{ROWS:,} rows of {NUMBERS} float32 numbers in a tf.function, one thread, alternate runs.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
