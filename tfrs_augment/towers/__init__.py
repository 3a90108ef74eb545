"""Small reference models to show and to measure with."""

from __future__ import annotations

import importlib
from typing import Any

# Loaded on first use: the import of this package stays free of TensorFlow Recommenders.
_MODULES = {
    "CorrectedRetrieval": "two_tower",
    "FeatureTower": "features",
    "TwoTower": "two_tower",
    "mean_oov": "two_tower",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
