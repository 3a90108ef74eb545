"""Policies inside models: a Keras 2 layer, and `wrap` for whole TensorFlow Recommenders models."""

from tfrs_augment.layers.augment import Augment
from tfrs_augment.layers.wrapping import unwrap, wrap

__all__ = ["Augment", "unwrap", "wrap"]
