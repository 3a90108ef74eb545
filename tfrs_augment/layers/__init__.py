"""Augmentation inside models: Keras 2 layers, and `wrap` for whole TensorFlow Recommenders models."""

from tfrs_augment.layers.augment import Augment
from tfrs_augment.layers.brute_force import BruteForce
from tfrs_augment.layers.embedding import EmbeddingDropout, EmbeddingNoise
from tfrs_augment.layers.image_mixing import ImageCutMix
from tfrs_augment.layers.mixing import CutMix, MixUp
from tfrs_augment.layers.unknown import mean_oov
from tfrs_augment.layers.wrapping import unwrap, wrap

__all__ = [
    "Augment",
    "BruteForce",
    "CutMix",
    "EmbeddingDropout",
    "EmbeddingNoise",
    "ImageCutMix",
    "MixUp",
    "mean_oov",
    "unwrap",
    "wrap",
]
