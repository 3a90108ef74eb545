"""Did it help? Comparisons of arms over seeds, on all, warm, head, tail and cold items."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow and matplotlib.
_MODULES = {
    "Arm": "comparison",
    "Protocol": "training",
    "Ranks": "metrics",
    "Report": "report",
    "Split": "splits",
    "compare": "comparison",
    "development_histories": "histories",
    "development_split": "splits",
    "rank": "metrics",
    "split": "splits",
    "split_histories": "histories",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
