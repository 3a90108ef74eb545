"""Interaction data: the form all loaders return, MovieLens, Amazon Beauty, and simulated
shops.

To load the shop by its name through TensorFlow Datasets, register its builder first:

  import tensorflow_datasets as tfds
  import tfrs_augment.datasets.shop_builder

  tfds.load("simulated_shop/small-interactions")
"""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow Datasets.
_MODULES = {
    "amazon_beauty": "amazon",
    "PlantedFaults": "faults",
    "Score": "faults",
    "plant_faults": "faults",
    "Interactions": "interactions",
    "Ragged": "interactions",
    "movielens_100k": "movielens",
    "movielens_from_tfds": "movielens",
    "draw_photos": "photos",
    "encode_photos": "photos",
    "ShopSize": "shop",
    "ShopTruth": "shop",
    "SimulatedShopInteractions": "shop",
    "simulated_shop": "shop",
    "LogTruth": "shop_log",
    "ShopLog": "shop_log",
    "simulated_shop_log": "shop_log",
    "SimulatedShopLog": "shop_log_builder",
    "SimulatedShop": "shop_builder",
    "simulated_shop_from_tfds": "shop_builder",
    "sliding_windows": "windows",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
