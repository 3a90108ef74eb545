"""Small reference models to show and to measure with."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow Recommenders.
_MODULES = {
    "Attention": "encoders",
    "CNN": "images",
    "CorrectedRetrieval": "two_tower",
    "FeatureTower": "features",
    "GRU": "encoders",
    "MLP": "encoders",
    "Ranking": "ranking",
    "SequentialTwoTower": "sequence",
    "Transformer": "encoders",
    "Trigrams": "text",
    "TwoTower": "two_tower",
    "mean_oov": "two_tower",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
