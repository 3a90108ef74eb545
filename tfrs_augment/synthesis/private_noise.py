"""Where the noise of a private fit comes from, and counts with it."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

_SECRET = "noise_secret"


class Secret:
    """What the noise and the batches of a private fit are drawn from; it is in no saved file.

    Noise that follows from a seed could be drawn again and taken off. So these draws follow from 256 random
    bits of the operating system, which only `checkpoint_dir` keeps, for a fit to go on as it began.

    Args:
      folder: `checkpoint_dir`, or None.
      identity: of the fit; another fit has other draws.
    """

    def __init__(self, folder: str | None, identity: str):
        self._key = hashlib.sha256(_bits(folder) + identity.encode()).digest()

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose."""
        return np.random.default_rng(int.from_bytes(self._digest(purpose, 0, 32), "little"))

    def seeds(self, purpose: str, number: int, shape: Sequence[int]) -> np.ndarray:
        """int64 `[*shape, 2]`: seeds for TensorFlow's stateless operations, others for each number."""
        digest = self._digest(purpose, number, 16 * math.prod(shape))
        return np.frombuffer(digest, np.int64).reshape([*shape, 2])

    def _digest(self, purpose: str, number: int, size: int) -> bytes:
        return hashlib.shake_256(self._key + f"{purpose}/{number}".encode()).digest(size)


def _bits(folder: str | None) -> bytes:
    if folder is None:
        return secrets.token_bytes(32)
    path = os.path.join(folder, _SECRET)
    if not tf.io.gfile.exists(path):
        tf.io.gfile.makedirs(folder)
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(secrets.token_bytes(32))
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def noisy_shares(
    codes: Sequence[np.ndarray], sizes: Sequence[int], multiplier: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Measures how often each choice is made, by the Gaussian mechanism.

    A row adds 1 to one count of each column at most, so it moves all counts together by the root of the
    number of columns.

    Args:
      codes: of each column int `[n]`, negative where a row does not count.
      sizes: of each column how many choices there are.
      multiplier: standard deviation of the noise in units of that root.
      rng: a secret one.

    Returns:
      Of each column float64 `[size]`, the nearest shares to the noisy counts that are none below 0.
    """
    deviation = multiplier * math.sqrt(len(sizes))
    shares = []
    for column, size in zip(codes, sizes):
        counts = np.bincount(column[column >= 0], minlength=size)
        noisy = counts + rng.normal(0.0, deviation, size)
        shares.append(_on_simplex(noisy / max(noisy.sum(), 1.0)))
    return shares


def _on_simplex(values: np.ndarray) -> np.ndarray:
    """The nearest numbers of 0 or more whose sum is 1.

    Reference:
      Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High Dimensions", ICML 2008,
      figure 1.
    """
    falling = np.sort(values)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, len(values) + 1)
    return np.maximum(values - excess[np.flatnonzero(falling > excess)[-1]], 0.0)
