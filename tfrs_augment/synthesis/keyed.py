"""Random numbers that belong to a user's draw, and not to the call that asks for them.

Draw number `k` of a user has the same numbers in every block, on every worker, at every count of
rows: they hang on the seed, the user, `k`, and what they are for.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrs_augment.rng import KeyedRng, absorb, as_word, mix


def keys_of(*words: np.ndarray | int) -> np.ndarray:
    """Hashes integers to keys.

    Args:
      *words: int64 `[n]` or integers, at least one of them an array; their order counts.

    Returns:
      uint64 `[n]`.
    """
    state = mix(tf.constant(0, tf.uint64))
    for word in words:
        word = int(word) if np.ndim(word) == 0 else np.asarray(word, np.int64)
        state = absorb(state, as_word(word))
    return state.numpy()


def uniform(seed: int, keys: np.ndarray, width: int, stream: str) -> np.ndarray:
    """Uniform numbers in (0, 1).

    Args:
      seed: the seed of the rows.
      keys: uint64 `[n]`.
      width: numbers a key.
      stream: what they are for; streams are independent.

    Returns:
      float64 `[n, width]`, odd multiples of 2**-33.
    """
    rng = KeyedRng(seed, tf.constant(keys, tf.uint64)).fork(stream)
    bits = rng.bits(tf.zeros([len(keys), width], tf.bool))
    return (bits.numpy().astype(np.float64) + 0.5) * 2.0**-32


def gumbel(seed: int, keys: np.ndarray, width: int, stream: str) -> np.ndarray:
    """Standard Gumbel numbers, float64 `[n, width]`; arguments as of `uniform`.

    The largest of `logits + gumbel` is a draw from the softmax of the logits, and the largest `k` are `k`
    draws without replacement.

    Reference:
      Yellott, "The relationship between Luce's Choice Axiom, Thurstone's Theory of Comparative
      Judgment, and the double exponential distribution", 1977.
    """
    return -np.log(-np.log(uniform(seed, keys, width, stream)))
