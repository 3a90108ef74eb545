"""A small table for the tests of the networks, and what is asked of both."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tf_keras

from tests.synthesis.tables import equal
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.schema import Domain, Schema


@functools.cache
def related() -> dict[str, np.ndarray]:
    """600 rows: the kind tells the size but for a tenth, and the price; a tenth of these is missing."""
    rng = np.random.default_rng(0)
    kind = rng.choice(4, 600, p=[0.1, 0.2, 0.3, 0.4])
    size = np.where(rng.random(600) < 0.9, kind % 3, rng.integers(0, 3, 600))
    price = (20.0 * kind + rng.gamma(4.0, 4.0, 600)).round(2).astype(np.float32)
    price[rng.random(600) < 0.1] = np.nan
    return {
        "kind": np.array([b"hat", b"bag", b"shirt", b"shoe"])[kind],
        "size": np.array([b"s", b"m", b"l"])[size],
        "price": price,
    }


def schema() -> Schema:
    """The schema of `related`, whose kinds are one more than the rows have."""
    kinds = frozenset([b"hat", b"bag", b"shirt", b"shoe", b"scarf"])
    return Schema(
        {"kind": "bytes", "size": "bytes", "price": "float"}, {"kind": Domain(values=kinds)}
    )


def agreement(rows: dict[str, np.ndarray]) -> float:
    """The share of rows whose size is that of their kind."""
    kinds = {b"hat": b"s", b"bag": b"m", b"shirt": b"l", b"shoe": b"s"}
    return float(np.mean([kinds.get(k) == s for k, s in zip(rows["kind"], rows["size"])]))


def shuffled(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns without their relations."""
    rng = np.random.default_rng(1)
    return {name: rng.permutation(values) for name, values in rows.items()}


def odd() -> list[dict[str, np.ndarray]]:
    """Tables that have something missing."""
    return [
        {
            "constant": np.full(30, b"x"),
            "empty": np.full(30, np.nan, np.float32),
            "number": np.linspace(0, 1, 30).astype(np.float32),
        },
        {"two": np.array([1, 2])},
    ]


def check_resuming(make, folder) -> None:
    """Raises unless a fit that was cut off after a validation goes on and ends as another does.

    Args:
      make: called with more arguments, returns a synthesizer of at least 2 validations.
      folder: an empty one.
    """

    class CutOff(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            raise KeyboardInterrupt

    whole = make().fit(related())
    checkpoints = str(folder / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        make(checkpoint_dir=checkpoints).fit(related(), callbacks=[CutOff()])
    seen = []
    watcher = tf_keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(epoch)
    )
    resumed = make(checkpoint_dir=checkpoints).fit(related(), callbacks=[watcher])
    assert seen[0] == 1
    assert resumed.loss_history == whole.loss_history
    assert equal(resumed.sample(50), whole.sample(50))
    finished = make(checkpoint_dir=checkpoints).fit(related())
    assert equal(finished.sample(50), whole.sample(50))
    with pytest.raises(InvalidArgumentError, match="checkpoint_dir"):
        make(checkpoint_dir=checkpoints).fit(shuffled(related()))
