"""The augmentations: one a class, each a frozen dataclass that is its own configuration."""

from tfrs_augment.ops.base import Op, op_from_config
from tfrs_augment.ops.combine import OneOf, Sequential, SomeOf
from tfrs_augment.ops.cutout import Cutout
from tfrs_augment.ops.embedding import EmbeddingDropout, EmbeddingNoise
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.ops.image import (
    AugMix,
    AutoContrast,
    ColorJitter,
    EncodedImages,
    Equalize,
    GaussianBlur,
    Grayscale,
    Posterize,
    RandAugment,
    RandomAffine,
    RandomErasing,
    RandomResizedCrop,
    Solarize,
    TrivialAugment,
)
from tfrs_augment.ops.masking import ComplementaryFeatureMask, CorrelatedFeatureMask
from tfrs_augment.ops.numeric import GaussianNoise, NumericCrop, Rotate, ScaleJitter
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.ops.sequence import (
    HistoryIdDropout,
    SequenceCrop,
    SequenceMask,
    SequenceReorder,
    TimeJitter,
)
from tfrs_augment.ops.sequence_items import SequenceInsert, SequenceSubstitute
from tfrs_augment.ops.signal import FrequencyMask, TimeMask
from tfrs_augment.ops.tabular import (
    CategorySwap,
    DomainSwap,
    FeatureCrop,
    FeatureMask,
    IdDropout,
    InBatchSwap,
)
from tfrs_augment.ops.text import SynonymReplace, TokenDropout, TokenSwap
from tfrs_augment.ops.typos import CharTypos

__all__ = [
    "AugMix",
    "AutoContrast",
    "CategorySwap",
    "CharTypos",
    "ColorJitter",
    "ComplementaryFeatureMask",
    "CorrelatedFeatureMask",
    "Cutout",
    "DomainSwap",
    "EmbeddingDropout",
    "EmbeddingNoise",
    "EncodedImages",
    "Equalize",
    "FeatureCrop",
    "FeatureMask",
    "FittedState",
    "FrequencyMask",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HistoryIdDropout",
    "IdDropout",
    "InBatchSwap",
    "NumericCrop",
    "OneOf",
    "Op",
    "PopularityRate",
    "Posterize",
    "RandAugment",
    "RandomAffine",
    "RandomErasing",
    "RandomResizedCrop",
    "Requirement",
    "Rotate",
    "ScaleJitter",
    "SequenceCrop",
    "SequenceInsert",
    "SequenceMask",
    "SequenceReorder",
    "SequenceSubstitute",
    "Sequential",
    "Solarize",
    "SomeOf",
    "SynonymReplace",
    "TimeJitter",
    "TimeMask",
    "TokenDropout",
    "TokenSwap",
    "TrivialAugment",
    "op_from_config",
]
