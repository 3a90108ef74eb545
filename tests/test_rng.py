"""Keyed randomness: exact in every mode, addressed by key, uniform and independent."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from tests import golden
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.rng import KeyedRng, cumulative_bounds

KEYS = tf.bitcast(tf.range(257, dtype=tf.int64), tf.uint64)
BOUNDS = tf.constant(cumulative_bounds([5, 1, 0, 4]), tf.int64)


def splitmix64(state: int) -> int:
    """One output of splitmix64 in Python integers: the reference for the TensorFlow one."""
    mask = (1 << 64) - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def numbers(keys, draw, seed=5):
    """Every kind of number, one and five a row."""
    rng = KeyedRng(seed, keys, draw).fork("op")
    like = tf.zeros([tf.shape(keys)[0], 5])
    return {
        "bits": rng.bits(like),
        "uniform": rng.uniform(like),
        "uniform_row": rng.uniform(),
        "integers": rng.integers(10, like, stream=2),
        "categorical": rng.categorical(BOUNDS, like, stream=3),
        "normal": rng.normal(like, stream=4),
        "normal_row": rng.normal(stream=4),
    }


def test_splitmix64_is_the_published_generator():
    # The first outputs of splitmix64 for state 1234567, as its reference implementation gives them.
    state, outputs = 1234567, []
    for _ in range(3):
        outputs.append(splitmix64(state))
        state = (state + 0x9E3779B97F4A7C15) & ((1 << 64) - 1)
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_bits_follow_the_documented_formula():
    rng = KeyedRng(0, tf.constant([42], tf.uint64), 3)
    mask, gamma = (1 << 64) - 1, 0x9E3779B97F4A7C15
    start = splitmix64(0)
    state = splitmix64(splitmix64(start ^ 42) ^ 3)
    expected = splitmix64((state + (7 << 32) * gamma) & mask) & 0xFFFFFFFF
    assert int(rng.bits(stream=7)[0]) == expected


@pytest.mark.parametrize("mode", ["graph", "xla", "tf.data", "graph of other batches"])
def test_equal_in_every_mode(mode):
    eager = numbers(KEYS, tf.constant(3))
    if mode == "graph":
        other = tf.function(numbers)(KEYS, tf.constant(3))
    elif mode == "xla":
        other = tf.function(numbers, jit_compile=True)(KEYS, tf.constant(3))
    elif mode == "tf.data":
        batches = (
            tf.data.Dataset.from_tensor_slices(KEYS)
            .batch(100)
            .map(lambda k: numbers(k, tf.constant(3)))
        )
        other = tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *list(batches))
    else:
        order = np.random.default_rng(0).permutation(257)
        traced = tf.function(numbers, reduce_retracing=True)
        parts = [traced(tf.gather(KEYS, part), tf.constant(3)) for part in np.array_split(order, 9)]
        joined = tf.nest.map_structure(lambda *p: tf.concat(p, 0), *parts)
        other = tf.nest.map_structure(lambda x: tf.gather(x, np.argsort(order)), joined)
    for name, expected in eager.items():
        got = other[name].numpy()
        if mode == "xla" and name.startswith("normal"):
            np.testing.assert_array_max_ulp(got, expected.numpy(), maxulp=4)
        else:
            np.testing.assert_array_equal(got, expected.numpy(), err_msg=name)


def test_dense_padded_and_ragged_columns_draw_alike():
    rng = KeyedRng(1, KEYS, 0)
    lengths = np.arange(257) % 6
    ragged = tf.RaggedTensor.from_row_lengths(tf.zeros([lengths.sum()]), lengths)
    for draw in (rng.bits, rng.uniform, rng.normal):
        dense = draw(tf.zeros([257, 7])).numpy()
        expected = np.concatenate([dense[i, :n] for i, n in enumerate(lengths)])
        np.testing.assert_array_equal(draw(ragged).numpy(), expected)
        np.testing.assert_array_equal(draw(tf.zeros([257])).numpy(), dense[:, 0])
        cube = draw(tf.zeros([257, 2, 3])).numpy()
        np.testing.assert_array_equal(cube.reshape(257, 6), dense[:, :6])


def test_empty_batches_and_rows():
    rng = KeyedRng(1, tf.zeros([0], tf.uint64), 0)
    assert rng.uniform().shape == (0,)
    assert rng.normal(tf.zeros([0, 3])).shape == (0, 3)
    assert KeyedRng(1, KEYS, 0).uniform(tf.zeros([257, 0])).shape == (257, 0)
    empty = tf.RaggedTensor.from_row_lengths(tf.zeros([0]), [0] * 257)
    assert KeyedRng(1, KEYS, 0).normal(empty).shape == (0,)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"draw": 4},
        {"op": "op2"},
        {"stream": 1},
        {"stream": "name"},
        {"keys": KEYS + 1},
    ],
    ids=lambda c: next(iter(c)),
)
def test_every_part_of_the_address_counts(change):
    def draw(seed=5, draw=3, op="op", stream=0, keys=KEYS):
        return KeyedRng(seed, keys, draw).fork(op).bits(stream=stream).numpy()

    assert not np.any(draw() == draw(**change)) or np.mean(draw() == draw(**change)) < 0.02


def test_seed_zero_and_negative_draws_are_numbers_like_others():
    u = {seed: KeyedRng(seed, KEYS, 0).uniform().numpy() for seed in (0, 1)}
    assert 0.4 < u[0].mean() < 0.6 and not np.array_equal(u[0], u[1])
    assert not np.array_equal(KeyedRng(0, KEYS, -1).uniform(), KeyedRng(0, KEYS, 1).uniform())


def test_draw_numbers_may_differ_by_row():
    draws = tf.range(257, dtype=tf.int64) % 3
    mixed = KeyedRng(9, KEYS, draws).bits().numpy()
    for d in range(3):
        np.testing.assert_array_equal(mixed[d::3], KeyedRng(9, KEYS, d).bits().numpy()[d::3])


def test_bad_bounds_are_refused():
    with pytest.raises(InvalidArgumentError, match="`high` must be in"):
        KeyedRng(0, KEYS).integers(0)
    with pytest.raises(InvalidArgumentError, match="not all zero"):
        cumulative_bounds([0, 0])


# Statistics. The thresholds are 1e-6 tails: a correct generator fails none, the planted faults below fail.

N = 1 << 18


def chi_square_ok(counts: np.ndarray, expected: np.ndarray) -> bool:
    """Whether counts fit expectations: chi-square by the Wilson-Hilferty normal, two-sided 1e-6."""
    freedom = counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    z = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / np.sqrt(2 / (9 * freedom))
    return bool(abs(z) < 4.9)


def uniform_ok(u: np.ndarray) -> bool:
    return chi_square_ok(
        np.bincount((u * 256).astype(int), minlength=256), np.full(256, u.size / 256)
    )


def independent_ok(u: np.ndarray, v: np.ndarray) -> bool:
    """Whether two sets of uniforms fill the unit square evenly, 16 x 16 cells."""
    cells = (u * 16).astype(int) * 16 + (v * 16).astype(int)
    return chi_square_ok(np.bincount(cells, minlength=256), np.full(256, u.size / 256))


def many(keys=None, draw=0, op="op", stream=0, like=None, seed=0):
    keys = np.arange(N) if keys is None else keys
    keys = tf.bitcast(tf.constant(keys, tf.int64), tf.uint64)
    return KeyedRng(seed, keys, draw).fork(op).uniform(like, stream=stream).numpy()


def test_uniformity_across_keys_draws_ops_and_counters():
    assert uniform_ok(many())
    assert uniform_ok(many(draw=np.arange(N), keys=np.zeros(N, int)))
    assert uniform_ok(many(keys=[7], like=tf.zeros([1, N])).ravel())
    ops = [many(keys=np.arange(512), op=f"op{i}") for i in range(512)]
    assert uniform_ok(np.concatenate(ops))


@pytest.mark.parametrize(
    "other",
    [{"keys": np.arange(1, N + 1)}, {"draw": 1}, {"op": "op2"}, {"stream": 1}, {"seed": 1}],
    ids=lambda c: next(iter(c)),
)
def test_independence_across_keys_draws_ops_streams_and_seeds(other):
    assert independent_ok(many(), many(**other))


def test_independence_of_neighbouring_counters():
    u = many(keys=np.arange(N // 8), like=tf.zeros([N // 8, 8]))
    for j in range(7):
        assert independent_ok(u[:, j], u[:, j + 1])


def test_every_output_bit_is_fair_and_uncorrelated_with_the_key_bits():
    keys = tf.bitcast(tf.range(N, dtype=tf.int64), tf.uint64)
    bits = KeyedRng(0, keys, 0).bits().numpy()
    for i in range(32):
        bit = (bits >> i) & 1
        assert abs(bit.mean() - 0.5) < 4.9 * 0.5 / np.sqrt(N)
        for k in range(18):
            key_bit = (np.arange(N) >> k) & 1
            assert abs((bit == key_bit).mean() - 0.5) < 4.9 * 0.5 / np.sqrt(N)


def test_normals_have_the_moments_and_the_tails_of_the_normal():
    keys = tf.bitcast(tf.range(N // 2, dtype=tf.int64), tf.uint64)
    z = KeyedRng(0, keys, 0).normal(tf.zeros([N // 2, 2])).numpy().astype(np.float64)
    flat = z.ravel()
    assert abs(flat.mean()) < 4.9 / np.sqrt(N)
    assert abs(flat.var() - 1) < 4.9 * np.sqrt(2 / N)
    assert abs((flat**4).mean() - 3) < 4.9 * np.sqrt(96 / N)
    assert abs((z[:, 0] * z[:, 1]).mean()) < 4.9 / np.sqrt(N / 2)
    for bound, chance in ((1.0, 0.317310508), (2.0, 0.045500264), (3.0, 0.002699796)):
        assert abs((np.abs(flat) > bound).mean() - chance) < 4.9 * np.sqrt(chance / N)


def test_integers_and_categories_have_their_shares():
    keys = tf.bitcast(tf.range(N, dtype=tf.int64), tf.uint64)
    rng = KeyedRng(0, keys, 0)
    counts = np.bincount(rng.integers(7).numpy(), minlength=7)
    assert chi_square_ok(counts, np.full(7, N / 7))
    counts = np.bincount(rng.categorical(BOUNDS).numpy(), minlength=4)
    assert counts[2] == 0
    assert chi_square_ok(counts[[0, 1, 3]], N * np.array([0.5, 0.1, 0.4]))
    assert rng.integers(1).numpy().max() == 0
    assert rng.integers(1 << 31).numpy().min() >= 0


def test_the_statistical_tests_can_fail():
    u = many()
    assert not uniform_ok(u * 0.99)
    assert not independent_ok(u, np.where(np.arange(N) % 20 == 0, u, many(draw=1)))
    lcg = (np.arange(N) * 1103515245 + 12345) % (1 << 31) / (1 << 31)
    assert not independent_ok(lcg, np.roll(lcg, -1))


def test_golden():
    found = numbers(KEYS, 3)
    for name in ("bits", "uniform", "uniform_row", "integers", "categorical"):
        golden.check("rng.json", name, hashlib.sha256(found[name].numpy().tobytes()).hexdigest())
    for name in ("normal", "normal_row"):
        golden.check("rng.json", name, found[name].numpy().ravel()[:20].tolist(), rtol=1e-6)


def test_both_views_of_a_pair_share_its_numbers_and_no_others_do():
    def pair(draw, seed=3, op="op"):
        return KeyedRng(seed, KEYS, draw).fork(op).pair().bits(stream=2).numpy()

    np.testing.assert_array_equal(pair(8), pair(9))
    own = [KeyedRng(3, KEYS, draw).fork("op").bits(stream=2).numpy() for draw in (4, 8, 9)]
    others = [pair(6), pair(10), pair(8, seed=4), pair(8, op="other"), *own]
    assert all((pair(8) != other).mean() > 0.99 for other in others)
    np.testing.assert_array_equal(pair(tf.constant(9)), pair(8))


def test_the_view_is_the_parity_of_the_draw_number():
    assert KeyedRng(3, KEYS, 8).view().numpy().tolist() == [0] * 257
    draws = np.arange(257) % 7
    rng = KeyedRng(3, KEYS, tf.constant(draws))
    np.testing.assert_array_equal(rng.fork("op").view(), draws % 2)
    for d in range(7):
        same = KeyedRng(3, KEYS, d).pair().bits().numpy()[draws == d]
        np.testing.assert_array_equal(rng.pair().bits().numpy()[draws == d], same)
