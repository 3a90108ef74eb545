"""InteractionGAN and privacy: its critic is trained by DP-SGD, and no budget is stated for the whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.synthesis.tables import equal
from tfrs_augment import datasets, synthesis
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis import gan_model
from tfrs_augment.synthesis.pairs import Pairs
from tfrs_augment.synthesis.private import epsilon_of

OPTIONS = {
    "columns": ("user_id", "item_id", "item_category"),
    "batch_size": 32,
    "hidden": 16,
    "noise_samples": 2,
    "steps": 4,
    "validate_every": 2,
}
PRIVACY = synthesis.DifferentialPrivacy(noise_multiplier=2.0, delta=1e-6, clip_norm=0.5)


@pytest.fixture(scope="module")
def shop():
    return datasets.simulated_shop("tiny")


@pytest.fixture(scope="module")
def embeddings(shop):
    truth = shop.truth
    return synthesis.Embeddings(
        truth.user_ids, truth.user_vectors, truth.item_ids, truth.item_vectors
    )


def fit(shop, embeddings, **more):
    gan = synthesis.InteractionGAN(**{**OPTIONS, "privacy": PRIVACY, **more})
    return gan.use_embeddings(embeddings).fit(shop)


@pytest.fixture(scope="module")
def gan(shop, embeddings):
    return fit(shop, embeddings)


def test_a_budget_is_refused_with_what_saw_the_data(gan):
    with pytest.raises(InvalidArgumentError) as refused:
        gan.privacy_budget()
    for part in ("features of users", "how often users", "never come out", "the embeddings"):
        assert part in str(refused.value)
    assert "the critic" not in str(refused.value)
    assert "validation" not in str(refused.value)


def test_embeddings_count_as_protected_only_with_a_budget_of_their_own(shop, embeddings, gan):
    assert gan.privacy_parts()["the embeddings"] is None
    own = synthesis.DifferentialPrivacy(epsilon=1.0, delta=1e-6).budget(
        rows=1000, batch_size=10, steps=10, unit="interaction", counts=False
    )
    private = fit(shop, dataclasses.replace(embeddings, budget=own), exclude_seen=False)
    assert private.privacy_parts()["the embeddings"] == own
    with pytest.raises(InvalidArgumentError, match="how often users") as refused:
        private.privacy_budget()
    assert "embeddings" not in str(refused.value) and "never" not in str(refused.value)


def test_without_privacy_the_critic_and_the_validation_are_listed(shop, embeddings):
    gan = fit(shop, embeddings, privacy=None, condition="item_category", columns=None)
    with pytest.raises(InvalidArgumentError) as refused:
        gan.privacy_budget()
    for part in ("the critic", "validation", "who wants which 'item_category'", "models of '"):
        assert part in str(refused.value)


def test_the_critic_s_budget_is_that_of_its_steps_and_is_saved(gan, tmp_path):
    budget = gan.privacy_parts()["the critic"]
    assert (budget.unit, budget.steps, budget.noise_multiplier) == ("interaction", 12, 2.0)
    assert budget.count_noise_multiplier is None
    assert budget.epsilon == pytest.approx(epsilon_of(budget))
    assert set(gan.loss_history) == {"step", "generator_loss"}
    gan.save(tmp_path / "gan")
    again = synthesis.InteractionGAN.load(tmp_path / "gan")
    assert again.privacy_parts() == gan.privacy_parts() and again.privacy == PRIVACY
    assert equal(again.sample(100, seed=1), gan.sample(100, seed=1))


def test_one_interaction_moves_the_sum_of_a_step_by_the_clip_norm_at_most(gan):
    identity = "test"
    trainer = gan._trainer(_pairs(gan), identity)
    rng = np.random.default_rng(0)
    trainer.critic.set_weights([rng.normal(size=w.shape) for w in trainer.critic.get_weights()])
    moved = []
    everything = _sum(trainer, 12)
    for count in range(11, 0, -1):
        fewer = _sum(trainer, count)
        squares = [float(tf.reduce_sum((a - b) ** 2)) for a, b in zip(everything, fewer)]
        moved.append(math.sqrt(sum(squares)))
        everything = fewer
    assert max(moved) <= 0.5 * (1 + 1e-4) and np.median(moved) == pytest.approx(0.5, rel=1e-3)


def _sum(trainer, count: int) -> list[tf.Tensor]:
    return trainer._clipped_sum(tf.range(count), gan_model.Draws(0, tf.constant(0, tf.int64), 0))


def _pairs(gan):
    rng = np.random.default_rng(0)
    users, items = len(gan.user_ids()), len(gan.item_ids())
    drawn = rng.integers(0, users, 40), rng.integers(0, items, 40)
    return Pairs(*drawn, users, items, {}, {}, {})
