"""The ops on numbers: the contract, and what is particular to each."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import Case, OpContract, batch, rows_of
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import GaussianNoise, NumericCrop, Rotate, ScaleJitter


def values_of(name: str) -> np.ndarray:
    return np.concatenate([np.ravel(row) for row in rows_of(batch()[name])])


def crop_effect(rate: float, name: str, keep_range, bounds=None) -> float:
    """The chance that a value changes when clipped to a part of its range, by enumeration."""
    values = values_of(name)
    low, high = bounds or (values.min(), values.max())
    grid = (np.arange(100) + 0.5) / 100
    share = keep_range[0] + grid[:, None, None] * (keep_range[1] - keep_range[0])
    start = grid[None, :, None] * (1 - share)
    clipped = np.clip(values, low + start * (high - low), low + (start + share) * (high - low))
    if np.issubdtype(values.dtype, np.integer):
        clipped = np.round(clipped)
    return rate * float(np.mean(clipped != values))


def scale_effect(rate: float, name: str, low: float, high: float) -> float:
    """The chance that an integer changes when multiplied and rounded, by enumeration."""
    values = values_of(name)[:, None]
    return rate * float(np.mean(np.round(values * np.linspace(low, high, 10_001)) != values))


class TestGaussianNoise(OpContract):
    cases = (
        Case(GaussianNoise("number", stddev=0.5, rate=0.7), 0.7),
        Case(GaussianNoise("double", stddev=0.5, unit="stddev", rate=0.4), 0.4),
        Case(GaussianNoise("vector", stddev=0.1, unit="stddev", rate=0.5), 0.5),
        Case(GaussianNoise("times", stddev=2.0, rate=0.3), 0.3),
        # Noise of an integer is rounded: P(|N(0, 2)| > 1/2) = 0.802587 of the values change.
        Case(GaussianNoise("count", stddev=2.0, rate=0.5), 0.5 * 0.802587),
    )

    def test_the_noise_has_its_standard_deviation(self):
        rows = {"row": tf.range(50_000), "x": tf.zeros([50_000])}
        for op, expected in (
            (GaussianNoise("x", stddev=3.0), 3.0),
            (GaussianNoise("x", stddev=0.5, unit="stddev"), 2.0),
        ):
            policy = aug.AugmentationPolicy([op], key_features=("row",))
            policy = aug.fitting.fit(policy, {"x": np.array([-4.0, 4.0, -4.0, 4.0])})
            noise = policy.augment(rows)["x"].numpy()
            assert abs(noise.std() / expected - 1) < 4.9 / np.sqrt(2 * 50_000)
            assert abs(noise.mean()) < 4.9 * expected / np.sqrt(50_000)

    def test_strength_zero_is_the_identity_to_the_bit(self):
        values = tf.constant([0.0, -0.0, np.nan, np.inf, 1e-40], tf.float32)
        rows = {"row": tf.range(5), "x": values}
        policy = aug.AugmentationPolicy(
            [GaussianNoise("x", stddev=0.0, clip_range=(5, 6))], key_features=("row",)
        )
        assert policy.augment(rows)["x"].numpy().tobytes() == values.numpy().tobytes()

    def test_nan_and_infinity_stay(self):
        policy = aug.AugmentationPolicy([GaussianNoise("x", stddev=1.0)], key_features=("row",))
        result = policy.augment({"row": tf.range(3), "x": tf.constant([np.nan, np.inf, -np.inf])})[
            "x"
        ].numpy()
        assert np.isnan(result[0]) and result[1] == np.inf and result[2] == -np.inf

    def test_clip_range(self):
        policy = self.policy(GaussianNoise("number", stddev=50.0, clip_range=(0.0, 10.0)))
        noisy = policy.augment(batch())["number"].numpy()
        assert noisy.min() == 0.0 and noisy.max() == 10.0

    def test_bad_arguments(self):
        for arguments, message in (
            (
                {"stddev": -1.0},
                "`stddev` must be a finite number of at least 0. Received: stddev=-1.0",
            ),
            ({"stddev": float("nan")}, "`stddev` must be a finite"),
            ({"stddev": 1.0, "unit": "percent"}, '`unit` must be "absolute" or "stddev"'),
            ({"stddev": 1.0, "clip_range": (2, 1)}, "low <= high"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                GaussianNoise("x", **arguments)


class TestScaleJitter(OpContract):
    cases = (
        Case(ScaleJitter("number", rate=0.4), 0.4),
        Case(ScaleJitter("times", scale_range=(1.5, 2.0), rate=0.5), 0.5),
        Case(
            ScaleJitter("count", scale_range=(0.5, 1.5), rate=0.8),
            scale_effect(0.8, "count", 0.5, 1.5),
        ),
    )

    def test_factors_fill_their_range(self):
        rows = {"row": tf.range(20_000), "x": tf.ones([20_000])}
        op = ScaleJitter("x", scale_range=(2.0, 4.0))
        factors = aug.AugmentationPolicy([op], key_features=("row",)).augment(rows)["x"].numpy()
        assert factors.min() >= 2.0
        assert factors.max() < 4.0
        assert abs(factors.mean() - 3.0) < 4.9 * (2 / np.sqrt(12)) / np.sqrt(20_000)

    def test_large_integers_stay_exact_where_they_are_not_scaled(self):
        large = tf.constant([2**53 + 1, -(2**60) - 1], tf.int64)
        policy = self.policy(ScaleJitter("count", rate=0.0))
        assert np.array_equal(policy.augment({"row": tf.range(2), "count": large})["count"], large)


class TestRotate(OpContract):
    cases = (
        Case(Rotate(("number", "double"), rate=0.4), 0.4, per_row=True),
        Case(Rotate(("times", "places"), angle_range=(30.0, 60.0), rate=0.5), 0.5, per_row=True),
    )

    def test_the_turn_is_the_textbooks(self):
        rows = {"row": tf.range(1), "x": tf.constant([3.0]), "y": tf.constant([1.0])}
        op = Rotate(("x", "y"), angle_range=(90.0, 90.0))
        policy = aug.AugmentationPolicy([op], key_features=("row",))
        policy = aug.fitting.fit(policy, {"x": np.array([1.0, 3.0]), "y": np.array([0.0, 0.0])})
        # Relative to the mean (2, 0) the point is (1, 1); a quarter turn makes it (-1, 1).
        result = policy.augment(rows)
        np.testing.assert_allclose([result["x"][0], result["y"][0]], [1.0, 1.0], atol=1e-6)

    def test_the_distance_to_the_centre_is_kept(self):
        policy = self.policy(Rotate(("number", "double"), angle_range=(-180.0, 180.0)))
        result = policy.augment(batch())
        centre = [np.mean(values_of(name)) for name in ("number", "double")]

        def distance(rows):
            pair = [rows[name].numpy().astype(np.float64) for name in ("number", "double")]
            return np.hypot(pair[0] - centre[0], pair[1] - centre[1])

        np.testing.assert_allclose(distance(result), distance(batch()), rtol=1e-4)

    def test_rows_that_lack_one_of_the_pair_stay(self):
        rows = {
            "row": tf.range(3),
            "times": tf.ragged.constant([[1.0], [2.0, 3.0], [4.0]]),
            "places": tf.ragged.constant([[], [5.0, 6.0], [7.0]]),
        }
        op = Rotate(("times", "places"), angle_range=(45.0, 45.0))
        result = self.policy(op).augment(rows)
        assert rows_of(result["times"])[0] == [1.0]
        assert rows_of(result["places"])[0] == []
        assert all(rows_of(result["times"])[i] != rows_of(rows["times"])[i] for i in (1, 2))

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match="must be two different features"):
            Rotate(("x", "x"))
        with pytest.raises(InvalidArgumentError, match="low <= high"):
            Rotate(("x", "y"), angle_range=(10.0, -10.0))
        policy = self.policy(Rotate(("times", "number")))
        with pytest.raises(InvalidArgumentError, match="both dense or both ragged"):
            policy.augment(batch())


class TestNumericCrop(OpContract):
    cases = (
        Case(
            NumericCrop("number", keep_range=(0.2, 0.6), rate=0.8),
            crop_effect(0.8, "number", (0.2, 0.6)),
        ),
        Case(NumericCrop("count", keep_range=(0.5, 0.5)), crop_effect(1.0, "count", (0.5, 0.5))),
        Case(
            NumericCrop("times", keep_range=(0.1, 0.3), value_range=(0.0, 500.0), rate=0.5),
            crop_effect(0.5, "times", (0.1, 0.3), (0.0, 500.0)),
        ),
    )

    def test_values_stay_inside_the_fitted_range_and_the_whole_range_changes_nothing(self):
        number = values_of("number").astype(np.float32)
        cropped = self.policy(NumericCrop("number", keep_range=(0.0, 0.5))).augment(batch())
        assert cropped["number"].numpy().min() >= number.min()
        assert cropped["number"].numpy().max() <= number.max()
        whole = self.policy(NumericCrop("number", keep_range=(1.0, 1.0))).augment(batch())
        assert np.array_equal(whole["number"], batch()["number"])

    def test_the_values_of_a_row_share_the_part(self):
        rows = {"row": tf.range(500), "x": tf.tile([tf.linspace(0.0, 1.0, 101)], [500, 1])}
        op = NumericCrop("x", keep_range=(0.5, 0.5), value_range=(0.0, 1.0))
        result = aug.AugmentationPolicy([op], key_features=("row",)).augment(rows)["x"].numpy()
        np.testing.assert_allclose(result.max(axis=1) - result.min(axis=1), 0.5, atol=1e-6)
