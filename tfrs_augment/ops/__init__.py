"""The augmentations: one a class, each a frozen dataclass that is its own configuration."""

from tfrs_augment.ops.base import Op, op_from_config
from tfrs_augment.ops.combine import OneOf, Sequential, SomeOf
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.ops.image import RandomAffine
from tfrs_augment.ops.numeric import GaussianNoise, NumericCrop, Rotate, ScaleJitter
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.ops.tabular import (
    CategorySwap,
    DomainSwap,
    FeatureCrop,
    FeatureMask,
    IdDropout,
    InBatchSwap,
)

__all__ = [
    "CategorySwap",
    "DomainSwap",
    "FeatureCrop",
    "FeatureMask",
    "FittedState",
    "GaussianNoise",
    "IdDropout",
    "InBatchSwap",
    "NumericCrop",
    "OneOf",
    "Op",
    "PopularityRate",
    "RandomAffine",
    "Requirement",
    "Rotate",
    "ScaleJitter",
    "Sequential",
    "SomeOf",
    "op_from_config",
]
