"""Verdicts of arms that are trained: what does nothing can't be told, what does harm is called harmful."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.tiny_models import Layered
from tfrs_augment.evaluation.comparing.comparison import Arm, compare
from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.evaluation.statistics.verdicts import HURTS, UNCLEAR
from tfrs_augment.ops import GaussianNoise, IdDropout, InBatchSwap
from tfrs_augment.policy import AugmentationPolicy

pytestmark = pytest.mark.slow

KEYS = ("user_id", "item_id", "timestamp")


@pytest.fixture(scope="module")
def report(shop):
    arms = {
        "baseline": None,
        "rate 0": AugmentationPolicy([IdDropout("item_id", rate=0.0)], key_features=KEYS),
        "strength 0": AugmentationPolicy([GaussianNoise("age", stddev=0.0)], key_features=KEYS),
        "re-initialisation": Arm(initialization=1),
        # Each user learns the items of somebody else.
        "shuffled": AugmentationPolicy([InBatchSwap("item_id", rate=1.0)], key_features=KEYS),
    }
    return compare(
        Layered,
        arms,
        split=lambda seed: splits.split(shop, cold_share=0.0, seed=seed),
        seeds=range(4),
        protocol=Protocol(epochs=6, batch_size=256),
        progress=False,
    )


@pytest.mark.parametrize("arm", ["rate 0", "strength 0", "re-initialisation"])
def test_an_arm_that_does_nothing_cant_be_told_from_the_baseline(report, arm):
    words = [verdict.word for by in report.verdicts[arm].values() for verdict in by.values()]
    assert set(words) == {UNCLEAR}
    if arm != "re-initialisation":
        for seed in report.seeds:
            same = [report.runs[name, seed].ranks["full"].greater for name in ("baseline", arm)]
            np.testing.assert_array_equal(*same)


def test_shuffled_labels_are_harmful(report):
    assert report.verdicts["shuffled"]["all"]["ndcg@10"].word == HURTS
