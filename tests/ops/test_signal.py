"""Masks of time series: the contract, widths and places, layouts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.ops.contract import Case, OpContract, batch, rows_of
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import FrequencyMask, TimeMask

STEPS = np.array([n for n in (len(row) // 3 for row in rows_of(batch()["sounds"])) if n])
"""Of the ragged recording, 3 channels each, empty rows left out."""


def augmented(op, column, draw: int = 0) -> np.ndarray:
    policy = aug.AugmentationPolicy([op], seed=9, key_features=("row",))
    return policy.augment({"row": tf.range(column.shape[0]), "x": column}, draw=draw)["x"]


class TestTimeMask(OpContract):
    # A width of 0 among those from 0 to 2 (or to all steps) changes nothing.
    cases = (
        Case(
            TimeMask("sounds", max_width=2, channels=3, rate=0.8),
            0.8 * float(np.mean(1 - 1 / (np.minimum(STEPS, 2) + 1))),
            per_row=True,
            layouts_agree=False,  # Padding makes a row longer here, and masks are drawn over its length.
        ),
    )

    def test_a_run_of_steps_is_hidden_in_all_channels(self):
        found = augmented(TimeMask("x", max_width=3), tf.ones([4000, 8, 2])).numpy()
        assert np.array_equal(found[:, :, 0], found[:, :, 1])
        hidden = found[:, :, 0] == 0
        widths = hidden.sum(1)
        runs = (np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1) == 1).sum(1)
        assert np.array_equal(runs, widths > 0)
        counts = np.bincount(widths)
        assert len(counts) == 4 and np.all(np.abs(counts - 1000) < 4.9 * np.sqrt(750))
        starts = np.bincount(hidden.argmax(1)[widths == 3])
        assert len(starts) == 6 and np.all(np.abs(starts - widths.tolist().count(3) / 6) < 60)

    def test_max_share_and_count(self):
        found = augmented(
            TimeMask("x", max_width=100, max_share=0.25), tf.ones([500, 8, 1])
        ).numpy()
        assert set((found == 0).sum((1, 2))) == {0, 1, 2}
        found = augmented(TimeMask("x", max_width=2, count=3), tf.ones([500, 20, 1])).numpy()
        assert set((found == 0).sum((1, 2))) == set(range(7))

    def test_the_mean_fills(self):
        column = tf.reshape(tf.range(24, dtype=tf.float32), [1, 6, 4])
        found = augmented(TimeMask("x", max_width=6, count=4, fill="mean"), column).numpy()
        changed = found[found != column.numpy()]
        assert changed.size and set(changed.tolist()) == {11.5}

    def test_layouts_agree(self):
        column = tf.random.stateless_uniform([200, 6, 4], [1, 2]) + 1.0
        for cls in (TimeMask, FrequencyMask):
            for fill in ("zero", "mean"):
                op = cls("x", max_width=3, count=2, fill=fill, channels=4)
                dense = augmented(op, column).numpy()
                flat = augmented(op, tf.reshape(column, [200, 24])).numpy()
                ragged = augmented(op, tf.RaggedTensor.from_tensor(tf.reshape(column, [200, 24])))
                assert np.array_equal(dense.reshape(200, 24), flat)
                assert np.array_equal(flat, ragged.to_tensor().numpy())

    def test_a_ragged_row_of_other_channels_stays(self):
        column = tf.ragged.constant([[1.0] * 7, [1.0] * 8])
        found = [
            rows_of(augmented(FrequencyMask("x", max_width=4, channels=4), column, draw))
            for draw in range(20)
        ]
        assert all(first == [1.0] * 7 for first, _ in found)
        assert any(second != [1.0] * 8 for _, second in found)

    def test_errors(self):
        with pytest.raises(DataError, match="with `channels` given"):
            augmented(TimeMask("x", max_width=2), tf.ones([2, 8]))
        with pytest.raises(DataError, match=r"takes \[batch, time, channel\] with a known number"):
            augmented(TimeMask("x", max_width=2), tf.ones([2, 2, 2, 2]))
        with pytest.raises(InvalidArgumentError, match="`channels` must divide the 8 values"):
            augmented(TimeMask("x", max_width=2, channels=3), tf.ones([2, 8]))
        with pytest.raises(InvalidArgumentError, match="`channels` must be the 2 of the feature"):
            augmented(TimeMask("x", max_width=2, channels=3), tf.ones([2, 8, 2]))
        for arguments, message in (
            ({"max_width": 0}, "`max_width` must be an integer of at least 1"),
            ({"max_width": 1, "count": 1.5}, "`count` must be an integer of at least 1"),
            ({"max_width": 1, "fill": "noise"}, '`fill` must be "zero" or "mean"'),
            ({"max_width": 1, "max_share": 0}, r"`max_share` must be in \(0, 1\]"),
        ):
            with pytest.raises(InvalidArgumentError, match=message):
                TimeMask("x", **arguments)


class TestFrequencyMask(OpContract):
    cases = (
        Case(
            FrequencyMask("sound", max_width=2, count=2, fill="mean", rate=0.7, channels=4),
            0.7 * (1 - 1 / 9),
            per_row=True,
        ),
    )

    def test_a_run_of_channels_is_hidden_at_all_times(self):
        found = augmented(FrequencyMask("x", max_width=3), tf.ones([2000, 5, 8])).numpy()
        assert np.all(found == found[:, :1])
        widths = (found[:, 0] == 0).sum(1)
        counts = np.bincount(widths)
        assert len(counts) == 4 and np.all(np.abs(counts - 500) < 4.9 * np.sqrt(375))
