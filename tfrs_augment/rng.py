"""Keyed random numbers: every draw is a pure function of what it belongs to.

A random number here has no generator whose state moves on. It is a hash of (seed, row key, draw number,
op id, stream, counter), computed with the splitmix64 counter generator over uint64 in TensorFlow ops. So a
row gets the same numbers in eager mode, a graph, XLA, tf.data and a Beam worker, in any batch and in any
order, and a retry repeats them.

Integers, uniforms and choices are bit-identical everywhere. Normals are computed in float64 and cast at the
end, and are bit-identical too, except under XLA, where they agree within 4 units in the last place.

Reference:
  Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, section 5
  (the finalizer is the variant 13 of Stafford's mixers). Box and Muller, "A note on the generation of
  random normal deviates", 1958.
"""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError

Column: TypeAlias = tf.Tensor | tf.RaggedTensor

_MASK64 = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def _u64(value: int) -> tf.Tensor:
    return tf.constant(value & _MASK64, tf.uint64)


def mix(z: tf.Tensor) -> tf.Tensor:
    """The finalizer of splitmix64: a bijection of uint64 whose output bits each depend on all input bits."""
    shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
    z = xor(z, shift(z, _u64(30))) * _u64(_MIX_1)
    z = xor(z, shift(z, _u64(27))) * _u64(_MIX_2)
    return xor(z, shift(z, _u64(31)))


def absorb(state: tf.Tensor, word: tf.Tensor) -> tf.Tensor:
    """Folds a 64-bit word into a 64-bit state; the order of the words matters."""
    return mix(tf.bitwise.bitwise_xor(state, word) + _u64(_GAMMA))


def as_word(value: int | tf.Tensor) -> tf.Tensor:
    """An integer, negative ones included, as the uint64 that has its 64 bits."""
    if isinstance(value, int):
        return _u64(value)
    value = tf.convert_to_tensor(value)
    return value if value.dtype == tf.uint64 else tf.bitcast(tf.cast(value, tf.int64), tf.uint64)


def name_word(name: str) -> int:
    """A name as a 64-bit word (BLAKE2b), for ids of ops and names of features."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


class KeyedRng:
    """Random numbers for the rows of a batch, addressed by key and not by position.

    Args:
      seed: an integer; 0 is a seed like any other.
      keys: uint64 `[batch]`, the row keys. Equal keys get equal numbers.
      draw: the draw number, an integer or an integer tensor, scalar or `[batch]`. In training it is the
        step, in a Beam job the index of the copy. Feed it as a tensor in a graph: a Python integer is
        traced as a constant.

    Every method takes `stream`: numbers of different streams are independent. Streams are integers in
    [0, 2**31) or names.

    The draw numbers 2 * i and 2 * i + 1 are the two views of pair i of a row: `pair` gives numbers that both
    share, `view` says which one this is. An op that must treat the views differently, such as one that masks
    complementary features, draws what to do from the pair and takes its side by the view.

    Example:
      >>> import tensorflow as tf
      >>> from tfrs_augment.rng import KeyedRng
      >>> keys = tf.constant([3, 5, 3], tf.uint64)
      >>> u = KeyedRng(seed=7, keys=keys, draw=0).fork("my_op").uniform()
      >>> bool(u[0] == u[2]), bool(u[0] == u[1])
      (True, False)
    """

    def __init__(self, seed: int, keys: tf.Tensor, draw: int | tf.Tensor = 0):
        self._rows = absorb(mix(_u64(seed + _GAMMA)), tf.convert_to_tensor(keys))
        self._draw = as_word(draw)
        self._state = absorb(self._rows, self._draw)
        self._names: tuple[str, ...] = ()

    def fork(self, name: str) -> KeyedRng:
        """A generator for one op: independent of those of all other names."""
        child = object.__new__(KeyedRng)
        child._rows, child._draw, child._names = self._rows, self._draw, (*self._names, name)
        child._state = absorb(self._state, _u64(name_word(name)))
        return child

    def pair(self) -> KeyedRng:
        """The generator that both views of a pair share: the same at draw numbers 2 * i and 2 * i + 1.

        Its numbers are independent of this generator's own.
        """
        pair = tf.bitwise.right_shift(self._draw, _u64(1))
        both = object.__new__(KeyedRng)
        both._rows, both._draw, both._names = self._rows, pair, ()
        # The word tells the numbers of pair i from those of draw i.
        both._state = absorb(absorb(self._rows, pair), _u64(name_word("pair")))
        for name in self._names:
            both = both.fork(name)
        return both

    def view(self) -> tf.Tensor:
        """Which view of its pair each row is: the draw number modulo 2, int64 `[batch]`."""
        side = tf.bitcast(tf.bitwise.bitwise_and(self._draw, _u64(1)), tf.int64)
        return tf.broadcast_to(side, tf.shape(self._state))

    def _hash(self, state: tf.Tensor, counter: tf.Tensor, stream: int | str) -> tf.Tensor:
        """splitmix64 at the given counters (int64, below 2**32) of a stream."""
        stream = name_word(stream) >> 33 if isinstance(stream, str) else stream
        return mix(state + as_word(counter + (1 + (stream << 32))) * _u64(_GAMMA))

    def _pairs(self, column: Column | None, stream: int | str) -> tuple[tf.Tensor, tf.Tensor]:
        """Hashes for the values of a column, and which half of its hash each value takes.

        Number j of a row is half j % 2 of hash j // 2, so dense, padded and ragged columns draw alike.

        Returns:
          For `[batch]` (or None): hashes `[batch, 1]` and None, each value takes the first half.
          For a dense `[batch, ...]` of n values a row: hashes `[batch, ceil(n / 2)]` and None.
          For a ragged column: hashes `[values]` and the positions in the row, int64 `[values]`.
        """
        if column is None or (not isinstance(column, tf.RaggedTensor) and column.shape.rank == 1):
            return self._hash(self._state[:, tf.newaxis], tf.zeros([1, 1], tf.int64), stream), None
        if isinstance(column, tf.RaggedTensor):
            rows = column.value_rowids()
            starts = tf.gather(column.row_starts(), rows)
            position = tf.range(tf.size(rows, tf.int64)) - tf.cast(starts, tf.int64)
            state = tf.gather(self._state, rows)
            return self._hash(
                state, tf.bitwise.right_shift(position, tf.ones_like(position)), stream
            ), position
        per_row = tf.reduce_prod(tf.shape(column, tf.int64)[1:])
        counter = tf.range((per_row + 1) // 2)
        return self._hash(self._state[:, tf.newaxis], counter[tf.newaxis], stream), None

    def _numbers(self, column: Column | None, stream: int | str, first, second) -> tf.Tensor:
        """Applies `first` and `second` to the hashes' halves and lays the results out like the column."""
        hashes, position = self._pairs(column, stream)
        halves = tf.bitcast(hashes, tf.uint32)
        low, high = halves[..., 0], halves[..., 1]
        if position is not None:
            odd = tf.bitwise.bitwise_and(position, tf.ones_like(position)) == 1
            return tf.where(odd, second(low, high), first(low, high))
        if column is None or column.shape.rank == 1:
            return first(low, high)[:, 0]
        shape = tf.shape(column)
        both = tf.stack([first(low, high), second(low, high)], axis=-1)
        flat = tf.reshape(both, [shape[0], 2 * tf.shape(low)[1]])
        return tf.reshape(flat[:, : tf.reduce_prod(shape[1:])], shape)

    def bits(self, like: Column | None = None, *, stream: int | str = 0) -> tf.Tensor:
        """32 random bits a value.

        Args:
          like: a column; dense `[batch]` or `[batch, ...]`, or ragged `[batch, None]`. None stands for
            one value a row.
          stream: see the class.

        Returns:
          uint32, of the column's shape; for a ragged column the flat `[values]`.
        """
        return self._numbers(like, stream, lambda low, _: low, lambda _, high: high)

    def uniform(self, like: Column | None = None, *, stream: int | str = 0) -> tf.Tensor:
        """Uniform numbers in [0, 1): float32 multiples of 2**-23; shapes as in `bits`."""
        # The bits become the mantissa of a float in [1, 2): exact everywhere, and cheaper than a cast.
        mantissa = tf.bitwise.right_shift(self.bits(like, stream=stream), tf.constant(9, tf.uint32))
        return (
            tf.bitcast(
                tf.bitwise.bitwise_or(mantissa, tf.constant(0x3F800000, tf.uint32)), tf.float32
            )
            - 1.0
        )

    def integers(
        self, high: int | tf.Tensor, like: Column | None = None, *, stream: int | str = 0
    ) -> tf.Tensor:
        """Integers in [0, high).

        Args:
          high: the bound, from 1 to 2**31; an integer, or an integer tensor that broadcasts with the result.
          like: see `bits`.
          stream: see the class.

        Returns:
          int64, shapes as in `bits`. The chance of a value is off by at most 2**-32.
        """
        if isinstance(high, int) and not 1 <= high <= 1 << 31:
            raise InvalidArgumentError(f"`high` must be in [1, 2**31]. Received: high={high}.")
        wide = tf.cast(self.bits(like, stream=stream), tf.uint64) * as_word(high)
        return tf.bitcast(tf.bitwise.right_shift(wide, _u64(32)), tf.int64)

    def categorical(
        self, bounds: tf.Tensor, like: Column | None = None, *, stream: int | str = 0
    ) -> tf.Tensor:
        """Indices drawn from a distribution.

        Args:
          bounds: int64 `[categories]`, the cumulative distribution in units of 2**-32, as
            `cumulative_bounds` makes it. Integers, so that a draw is the same on every device.
          like: see `bits`.
          stream: see the class.

        Returns:
          int64 in [0, categories), shapes as in `bits`.
        """
        bits = tf.cast(self.bits(like, stream=stream), tf.int64)
        index = tf.searchsorted(bounds, tf.reshape(bits, [-1]), side="right", out_type=tf.int64)
        return tf.reshape(index, tf.shape(bits))

    def normal(self, like: Column | None = None, *, stream: int | str = 0) -> tf.Tensor:
        """Standard normal numbers, float32, by the transform of Box and Muller; shapes as in `bits`."""

        def radius_and_angle(low, high):
            # The half unit keeps the logarithm's argument inside (0, 1).
            radius = tf.sqrt(-2.0 * tf.math.log((tf.cast(low, tf.float64) + 0.5) * 2.0**-32))
            return radius, tf.cast(high, tf.float64) * (2.0 * math.pi * 2.0**-32)

        def cosine(low, high):
            radius, angle = radius_and_angle(low, high)
            return radius * tf.cos(angle)

        def sine(low, high):
            radius, angle = radius_and_angle(low, high)
            return radius * tf.sin(angle)

        return tf.cast(self._numbers(like, stream, cosine, sine), tf.float32)


def cumulative_bounds(weights) -> list[int]:
    """The cumulative distribution of `weights` in units of 2**-32, for `KeyedRng.categorical`.

    Args:
      weights: `[categories]` of non-negative integers (counts), not all zero.

    Returns:
      `[categories]` integers; the last is 2**32. A category's share is off by at most 2**-32.
    """
    total, running, bounds = int(sum(int(w) for w in weights)), 0, []
    if total <= 0 or any(w < 0 for w in weights):
        raise InvalidArgumentError(
            f"`weights` must be non-negative and not all zero. Received: {list(weights)[:8]}."
        )
    for weight in weights:
        running += int(weight)
        bounds.append((running << 32) // total)
    return bounds
