"""The parts that the networks for tables share."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis import networks


def test_straight_choices_are_one_hot_as_likely_as_their_logits_say_and_have_slopes():
    logits = tf.tile(tf.math.log([[0.2, 0.8, 0.5, 0.25, 0.25]]), [4000, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        drawn = networks.straight_choices(logits, [2, 3], 0.5, tf.constant([1, 2]))
        liked = tf.reduce_sum(drawn[:, 1])
    np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-6)
    np.testing.assert_allclose(tf.reduce_mean(drawn, 0), [0.2, 0.8, 0.5, 0.25, 0.25], atol=0.03)
    slope = tape.gradient(liked, logits).numpy()
    assert (slope[:, 1] > 0).mean() > 0.9 and (slope[:, 2:] == 0).all()


def test_hard_choices_are_as_likely_as_their_logits_say():
    logits = tf.tile(tf.math.log([[0.2, 0.8, 0.5, 0.25, 0.25]]), [4000, 1])
    codes = networks.hard_choices(logits, [2, 3], tf.constant([3, 4])).numpy()
    assert np.mean(codes[:, 0]) == pytest.approx(0.8, abs=0.03)
    np.testing.assert_allclose(np.bincount(codes[:, 1]) / 4000, [0.5, 0.25, 0.25], atol=0.03)


def test_a_condition_is_one_hot_at_its_place_and_none_is_zeros():
    given = networks.condition(tf.constant([1, -1, 0]), tf.constant([2, 0, 1]), [2, 3])
    np.testing.assert_array_equal(given, [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]])


def test_seeds_differ_by_step_part_and_place_and_repeat():
    found = {
        tuple(networks.seeds_of(0, tf.constant(step), part)(place).numpy())
        for step in range(3)
        for part in range(3)
        for place in range(8)
    }
    assert len(found) == 3 * 3 * 8
    again = networks.seeds_of(0, tf.constant(1), 2)(3)
    np.testing.assert_array_equal(again, networks.seeds_of(0, tf.constant(1), 2)(3))


def test_networks_of_one_seed_start_equal():
    first, same, other = (networks.multilayer((4,), 2, 3, seed=seed) for seed in (0, 0, 1))
    for weight, equal in zip(first.get_weights(), same.get_weights()):
        np.testing.assert_array_equal(weight, equal)
    assert (first.get_weights()[0] != other.get_weights()[0]).any()


@pytest.mark.parametrize(("count", "held"), [(1000, 100), (100, 10), (99, 99)])
def test_held_out_rows_are_apart_unless_there_are_few(count, held):
    train, validation = networks.held_out(count, 0.1, seed=0)
    assert len(validation) == held
    assert sorted({*train.tolist(), *validation.tolist()}) == list(range(count))
    assert (len(train) + len(validation) == count) == (count >= 100)


def test_widths_of_layers_are_checked():
    assert networks.check_units("TabularVAE", "units", [4, 5]) == (4, 5)
    with pytest.raises(
        InvalidArgumentError, match=r"`units\[1\]` must be an integer of at least 1"
    ):
        networks.check_units("TabularVAE", "units", [4, 0])
    with pytest.raises(InvalidArgumentError, match="`units` must be widths of layers"):
        networks.check_units("TabularVAE", "units", ())
