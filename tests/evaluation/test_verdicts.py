"""Verdicts in words: what an interval, and Holm's correction over several, must say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tfrs_augment.evaluation.statistics.verdicts import HELPS, HURTS, UNCLEAR, phrases, verdicts


def word(*interval) -> str:
    return verdicts([interval])[0].word


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.02, 0.001, 0.04), HELPS),
        ((0.02, -0.001, 0.04), UNCLEAR),
        ((-0.02, -0.04, -0.001), HURTS),
        ((-0.02, -0.04, 0.001), UNCLEAR),
        ((0.02, 0.0, 0.04), UNCLEAR),
        # Nothing was changed, or there is no spread to judge by.
        ((0.0, 0.0, 0.0), UNCLEAR),
        ((0.02, 0.02, 0.02), UNCLEAR),
        ((math.nan, math.nan, math.nan), UNCLEAR),
    ],
)
def test_one_comparison_is_judged_by_its_interval(interval, expected):
    assert word(*interval) == expected


def test_an_interval_that_ends_at_0_has_a_p_value_of_alpha():
    (found,) = verdicts([(0.02, 0.0, 0.05)])
    assert found.p_value == pytest.approx(0.05)


def test_many_comparisons_are_corrected_and_those_without_rows_do_not_count():
    close, clear, none = (0.02, 0.001, 0.04), (0.02, 0.012, 0.03), (math.nan,) * 3
    alone = verdicts([close, none, none])
    assert [v.word for v in alone] == [HELPS, UNCLEAR, UNCLEAR]
    assert math.isnan(alone[1].corrected)
    assert [v.word for v in verdicts([close, clear, close])] == [UNCLEAR, HELPS, UNCLEAR]


def test_no_effect_is_seldom_called_one():
    rng = np.random.default_rng(5)
    families, wrong = 400, 0
    for _ in range(families):
        values = rng.normal(size=12)
        wrong += any(v.word != UNCLEAR for v in verdicts([(x, x - 1.96, x + 1.96) for x in values]))
    # 5 % of 400 is 20; beyond 32 has a chance of 0.3 % under a true 5 %.
    assert wrong <= 32


def test_phrases_name_slices_by_verdict():
    assert list(phrases({"a": UNCLEAR, "b": HURTS, "c": HELPS}).values()) == [
        "helps c",
        "hurts b",
        "can't tell for a",
    ]
    assert list(phrases({"a": UNCLEAR, "b": UNCLEAR}).values()) == ["can't tell on any slice"]
