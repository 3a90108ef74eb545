"""Synthesized rows: models that are fitted on a table, and sampled under exact conditions."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow and scikit-learn.
# A saved synthesizer is found again by its class's name here.
_MODULES = {
    "Block": "base",
    "ColumnSpec": "columns",
    "DifferentialPrivacy": "private",
    "Embeddings": "embeddings",
    "FactorizationSampler": "samplers",
    "GaussianCopula": "copula",
    "ImageGAN": "image_gan",
    "ImageGrid": "image_gan",
    "IndependentSampler": "independent",
    "InteractionGAN": "interaction_gan",
    "InteractionSynthesizer": "interactions",
    "PopularitySampler": "samplers",
    "PrivacyBudget": "private",
    "RegressionSynthesizer": "regression",
    "Synthesizer": "base",
    "TableSpec": "columns",
    "TabularGAN": "tabular_gan",
    "TabularVAE": "tabular_vae",
    "choose": "choosing",
    "frechet_distance": "frechet",
    "hard_negatives": "negatives",
    "imputation_scores": "imputation",
    "join": "joining",
    "read_table": "inputs",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
