"""Private steps: the bound of the clipping, the noise, and which rows are in a step."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf

from tests.synthesis import network_fits
from tests.synthesis.private_cases import PRIVACY, QUICK, SCHEMA, SPENT
from tests.synthesis.tables import equal
from tfrs_augment.synthesis import networks
from tfrs_augment.synthesis.adversarial import LEAK
from tfrs_augment.synthesis.clipping import clipped_sum, critic_factors
from tfrs_augment.synthesis.declared import declared_spec
from tfrs_augment.synthesis.encoding import TableEncoding
from tfrs_augment.synthesis.private_noise import Secret, noisy_shares
from tfrs_augment.synthesis.private_training import PrivateTrainer, poisson_sample, with_noise
from tfrs_augment.synthesis.tabular_gan import TabularGAN
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler


@functools.cache
def fitted() -> TabularGAN:
    gan = TabularGAN(**QUICK, steps=10, privacy=PRIVACY)
    return gan.fit(network_fits.related(), schema=SCHEMA)


# Clipping.


def tape_gradient(critic, real, fake, between, loss, weight) -> list[np.ndarray]:
    """The gradient of one pair, by automatic differentiation."""
    with tf.GradientTape() as tape:
        if loss == "minimax":
            value = tf.nn.softplus(critic(fake)) + tf.nn.softplus(-critic(real))
        else:
            mixed = between * real + (1.0 - between) * fake
            with tf.GradientTape() as inner:
                inner.watch(mixed)
                score = critic(mixed)
            norm = tf.sqrt(tf.reduce_sum(inner.gradient(score, mixed) ** 2) + 1e-12)
            value = critic(fake) - critic(real) + weight * (norm - 1.0) ** 2
        value = tf.reduce_sum(value)
    weights = critic.trainable_variables
    zeros = tf.UnconnectedGradients.ZERO
    return [part.numpy() for part in tape.gradient(value, weights, unconnected_gradients=zeros)]


@pytest.mark.parametrize("loss", ["wgan-gp", "minimax"])
@pytest.mark.parametrize("clip_norm", [0.3, 1e6])
def test_a_clipped_sum_is_that_of_gradients_taken_one_by_one(loss, clip_norm):
    rng = np.random.default_rng(0)
    critic = networks.multilayer((7, 5), 1, 6, leak=LEAK, seed=1)
    critic.set_weights([rng.normal(size=w.shape) for w in critic.get_weights()])
    real, fake = (tf.constant(rng.normal(size=[9, 6]), tf.float32) for _ in range(2))
    between = tf.constant(rng.random([9, 1]), tf.float32)
    factors = critic_factors(
        critic, real, fake, between, leak=LEAK, loss=loss, gradient_penalty=10.0
    )
    expected = [np.zeros(w.shape) for w in critic.get_weights()]
    for i in range(9):
        one = slice(i, i + 1)
        parts = tape_gradient(critic, real[one], fake[one], between[one], loss, 10.0)
        norm = math.sqrt(sum((part.astype(np.float64) ** 2).sum() for part in parts))
        assert norm > 0.3
        for total, part in zip(expected, parts):
            total += part * min(1.0, clip_norm / norm)
    for total, part in zip(expected, clipped_sum(factors, clip_norm)):
        np.testing.assert_allclose(part, total, rtol=2e-4, atol=2e-4)


@functools.cache
def trainer() -> PrivateTrainer:
    """Of 30 rows, with weights that are far from the start's."""
    spec = declared_spec(network_fits.related(), SCHEMA)
    gan = TabularGAN(**QUICK, privacy=PRIVACY)
    gan._encoding = TableEncoding.of_bounds(spec)
    table = {name: column[:30] for name, column in network_fits.related().items()}
    encoded = gan._encoding.encode(table, np.random.default_rng(0))
    heads = gan._encoding.heads
    gan._sampler = ConditionSampler(heads, [np.ones(head.size) for head in heads])
    budget = dataclasses.replace(SPENT, clip_norm=0.5, sampling_probability=0.5)
    made = PrivateTrainer(gan, encoded, gan._sampler, budget, Secret(None, ""))
    rng = np.random.default_rng(1)
    made._critic.set_weights([rng.normal(size=w.shape) for w in made._critic.get_weights()])
    return made


def distance(first, second) -> float:
    """Between two lists of tensors, over all of them."""
    return math.sqrt(
        sum(float(tf.reduce_sum(tf.cast(a - b, tf.float64) ** 2)) for a, b in zip(first, second))
    )


def test_one_row_moves_the_sum_of_a_step_by_the_clip_norm_at_most():
    seeds = tf.constant([[1, 2], [3, 4]], tf.int64)
    everything = trainer()._clipped_sum(tf.range(30), seeds)
    moved = []
    for count in range(29, 0, -1):
        # What is drawn for a row hangs on its place in the step, so that the last one is taken away.
        fewer = trainer()._clipped_sum(tf.range(count), seeds)
        moved.append(distance(everything, fewer))
        everything = fewer
    assert max(moved) <= 0.5 * (1 + 1e-4)
    # The bound is met: these gradients are longer than it.
    assert np.median(moved) == pytest.approx(0.5, rel=1e-3)


def test_another_row_in_the_place_of_one_moves_it_by_twice_that_at_most():
    seeds = tf.constant([[1, 2], [3, 4]], tf.int64)
    rows = tf.range(10)
    first = trainer()._clipped_sum(rows, seeds)
    for other in range(10, 30):
        second = trainer()._clipped_sum(tf.tensor_scatter_nd_update(rows, [[4]], [other]), seeds)
        assert distance(first, second) <= 1.0 + 1e-4


def test_a_step_without_a_row_is_noise_alone():
    sums = trainer()._clipped_sum(tf.zeros([0], tf.int32), tf.constant([[1, 2], [3, 4]], tf.int64))
    assert [part.shape for part in sums] == [w.shape for w in trainer()._critic.weights]
    assert all((part.numpy() == 0).all() for part in sums)


# Noise and sampling.


def test_the_noise_of_a_step_has_the_deviation_that_is_stated():
    zeros = [tf.zeros([300, 200]), tf.zeros([200])]
    seeds = Secret(None, "").seeds("test", 0, [2])
    drawn, again = ([n.numpy() for n in with_noise(zeros, 2.5, seed)] for seed in seeds)
    noise = np.concatenate([part.ravel() for part in drawn])
    assert noise.std() == pytest.approx(2.5, rel=5 / math.sqrt(2 * len(noise)))
    assert scipy.stats.kstest(noise, "norm", args=(0.0, 2.5)).pvalue > 1e-4
    other = np.concatenate([part.ravel() for part in again])
    assert abs(np.corrcoef(noise, other)[0, 1]) < 5 / math.sqrt(len(noise))


def test_a_step_adds_the_noise_that_is_accounted_for(monkeypatch):
    asked = []

    def spy(sums, deviation, seed):
        asked.append(deviation)
        return sums

    monkeypatch.setattr("tfrs_augment.synthesis.private_training.with_noise", spy)
    trainer()._private_step(tf.constant(np.arange(8).reshape([4, 2]), tf.int64))
    assert asked == [SPENT.noise_multiplier * 0.5]


def test_rows_are_in_a_step_at_the_rate_that_is_stated_and_independently():
    seeds = Secret(None, "").seeds("test", 0, [2000])
    table = np.zeros([2000, 50])
    for step, seed in enumerate(seeds):
        table[step, poisson_sample(50, 0.1, seed).numpy()] = 1.0
    deviation = math.sqrt(0.1 * 0.9 / table.size)
    assert table.mean() == pytest.approx(0.1, abs=5 * deviation)
    # The size of a step is binomial, and no row goes with another one.
    assert table.sum(1).var() == pytest.approx(50 * 0.1 * 0.9, rel=0.2)
    correlation = np.corrcoef(table.T) - np.eye(50)
    assert np.abs(correlation).max() < 6 / math.sqrt(2000)


def test_counts_have_the_noise_that_is_stated_and_shares_add_up():
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 400, 200_000) for _ in range(4)]
    shares = noisy_shares(codes, [400] * 4, 10.0, rng)
    counts = np.stack([np.bincount(column, minlength=400) for column in codes])
    noise = np.stack(shares) * 200_000 - counts
    # Of four columns: 10 times the root of 4. That the sum is known takes a little of it.
    assert noise.std() == pytest.approx(20.0, rel=0.1)
    assert np.sum(shares, 1) == pytest.approx(1.0)
    few = noisy_shares([np.zeros(50, int)], [40], 10.0, rng)[0]
    assert few.min() >= 0 and few.sum() == pytest.approx(1.0)


def test_one_row_moves_the_counts_by_the_root_of_the_columns_at_most():
    class Silent:
        def normal(self, mean, deviation, size):
            return np.zeros(size)

    codes = np.random.default_rng(0).integers(0, 3, [3, 40])
    without = codes.copy()
    without[:, 7] = -1
    with_row, fewer = (
        [np.bincount(column[column >= 0], minlength=3) for column in table]
        for table in (codes, without)
    )
    assert np.linalg.norm(np.subtract(with_row, fewer)) == pytest.approx(math.sqrt(3))
    shares = noisy_shares(codes, [3] * 3, 1.0, Silent())
    assert np.allclose(shares, np.array(with_row) / 40)


def test_noise_does_not_follow_from_the_seed():
    first, second = (Secret(None, "same") for _ in range(2))
    assert (first.seeds("critic", 0, [3]) != second.seeds("critic", 0, [3])).all()
    again = TabularGAN(**QUICK, steps=10, privacy=PRIVACY).fit(
        network_fits.related(), schema=SCHEMA
    )
    assert again.get_config() == fitted().get_config()
    assert not equal(again.sample(100), fitted().sample(100))
