"""Did it help? Comparisons of arms over seeds, on all, warm, head, tail and cold items."""

from __future__ import annotations

import importlib
from typing import Any

# Loaded on first use: the import of this package stays free of TensorFlow and matplotlib.
_MODULES = {
    "Arm": "comparison",
    "Protocol": "training",
    "Ranks": "metrics",
    "Report": "report",
    "Split": "splits",
    "compare": "comparison",
    "development_split": "splits",
    "rank": "metrics",
    "split": "splits",
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
