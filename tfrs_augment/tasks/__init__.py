"""Losses over TensorFlow Recommenders: views of a tower, extra negatives, mixed rows; see docs/losses.md."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow Recommenders.
_MODULES = {
    "AuxiliaryTask": "contrastive",  # Its own home is in layers, for `wrap`.
    "Consistency": "consistency",
    "Contrastive": "contrastive",
    "HardNegatives": "hard_negatives",
    "MixUpRanking": "mixup_ranking",
    "MixedNegatives": "negatives",
    "SamplingProbabilities": "sampling",
    "TieAwareTopK": "top_k",
    "info_nce": "contrastive",
    "rescaled_probabilities": "sampling",
    "sampling_probabilities": "sampling",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
