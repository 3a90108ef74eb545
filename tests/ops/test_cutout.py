"""Cutout: the contract, and what is particular to it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.contract import ROWS, Case, OpContract, batch, rows_of
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.ops import Cutout


class TestCutout(OpContract):
    cases = (
        Case(Cutout("vector", size_range=(0.5, 0.5), rate=0.4), 0.2),
        Case(
            Cutout(("number", "count", "times"), size_range=(0.3, 0.3), fill_value=-2, rate=0.6),
            0.2,
            per_row=True,
        ),
        Case(Cutout("sounds", size_range=(1 / 3, 1 / 3), rate=0.5), 1 / 6, layouts_agree=False),
    )

    def test_a_run_of_a_drawn_size_is_cut_and_every_run_occurs(self):
        features = {**batch(), "wide": tf.ones([ROWS, 10])}
        op = Cutout("wide", size_range=(0.2, 0.35))
        cut = np.array(rows_of(self.policy(op).augment(features)["wide"])) == 0
        sizes, starts = cut.sum(1), cut.argmax(1)
        assert set(sizes) == {2, 3, 4}
        runs = {(size, start) for size, start in zip(sizes.tolist(), starts.tolist(), strict=True)}
        assert runs == {(size, start) for size in (2, 3, 4) for start in range(11 - size)}
        assert all(
            row[start : start + size].all()
            for row, start, size in zip(cut, starts, sizes, strict=True)
        )

    def test_all_none_and_empty(self):
        for share, expected in ((0.0, batch()["sounds"].to_list()), (1.0, None)):
            op = Cutout("sounds", size_range=(share, share))
            found = rows_of(self.policy(op).augment(batch())["sounds"])
            assert found == (expected or [[0.0] * len(r) for r in batch()["sounds"].to_list()])

    def test_bad_arguments(self):
        with pytest.raises(InvalidArgumentError, match=r"`size_range` must be \(low, high\)"):
            Cutout("vector", size_range=(0.5, 1.5))
        with pytest.raises(
            InvalidArgumentError, match="`fill_value` must be an integer for 'count'"
        ):
            self.policy(Cutout(("count", "small"), fill_value=0.5)).augment(batch())
        with pytest.raises(InvalidArgumentError, match="`fill_value` must be a number"):
            Cutout("vector", fill_value="x")
        with pytest.raises(InvalidArgumentError, match="must name each feature once"):
            Cutout(("vector", "vector"))
        with pytest.raises(DataError, match=r"takes one feature \[batch, n\] or ragged"):
            self.policy(Cutout("number")).augment(batch())
