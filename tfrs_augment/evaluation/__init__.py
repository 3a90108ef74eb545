"""Did it help? Comparisons of arms over seeds, on all, warm, head, tail and cold items."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow and matplotlib.
_MODULES = {
    "Arm": "comparison",
    "Fidelity": "fidelity",
    "Gate": "gate",
    "InteractionFidelity": "interaction_fidelity",
    "Privacy": "privacy",
    "Protocol": "training",
    "Ranks": "metrics",
    "Report": "report",
    "Split": "splits",
    "compare": "comparison",
    "development_histories": "histories",
    "development_split": "splits",
    "fit_weight": "gate",
    "measure_fidelity": "fidelity",
    "measure_interactions": "interaction_fidelity",
    "measure_privacy": "privacy",
    "plot_distances": "synthesis_plots",
    "plot_marginals": "synthesis_plots",
    "plot_pairs": "synthesis_plots",
    "plot_popularity": "synthesis_plots",
    "plot_training": "curves",
    "rank": "metrics",
    "split": "splits",
    "split_histories": "histories",
    "with_synthetic": "mixed_rows",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
