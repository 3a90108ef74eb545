"""The augmentations: one a class, each a frozen dataclass that is its own configuration."""

from tfrs_augment.ops.base import Op, op_from_config
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.ops.tabular import CategorySwap, FeatureMask, GaussianNoise, IdDropout

__all__ = [
    "CategorySwap",
    "FeatureMask",
    "FittedState",
    "GaussianNoise",
    "IdDropout",
    "Op",
    "Requirement",
    "op_from_config",
]
