"""Augmentation whose strength adapts while a model trains.

An `AdaptivePolicy` holds policies, its arms, from weak to strong; a strategy says which is in force in
an epoch, and a Keras callback asks it. The training step is traced once. See docs/adaptive.md, which also
says where it did not help.
"""

from tfrs_augment.adaptive.bandits import Exp3, ThompsonSampling
from tfrs_augment.adaptive.callback import AdaptiveCallback, freeze
from tfrs_augment.adaptive.policy import AdaptivePolicy, strengths
from tfrs_augment.adaptive.strategies import (
    ByPopularity,
    Fixed,
    GeneralizationGap,
    Outcome,
    Ramp,
    Strategy,
    UniformRandom,
)

__all__ = [
    "AdaptiveCallback",
    "AdaptivePolicy",
    "ByPopularity",
    "Exp3",
    "Fixed",
    "GeneralizationGap",
    "Outcome",
    "Ramp",
    "Strategy",
    "ThompsonSampling",
    "UniformRandom",
    "freeze",
    "strengths",
]
