"""Did it help? Comparisons of arms over seeds, on all, warm, head, tail and cold items."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow and matplotlib.
_MODULES = {
    "ABTest": "ab_result",
    "Arm": "comparison",
    "Fidelity": "fidelity",
    "Gate": "gate",
    "InteractionFidelity": "interaction_fidelity",
    "OffPolicy": "off_policy_result",
    "Privacy": "privacy",
    "Protocol": "training",
    "Ranks": "metrics",
    "Ratio": "ab_units",
    "Report": "report",
    "SampleRatio": "arm_sizes",
    "Split": "splits",
    "ab_test": "ab_testing",
    "compare": "comparison",
    "detectable_effect": "power",
    "development_histories": "histories",
    "development_split": "splits",
    "fit_rewards": "off_policy_rewards",
    "fit_weight": "gate",
    "look_at_each": "sequential",
    "measure_fidelity": "fidelity",
    "measure_interactions": "interaction_fidelity",
    "measure_privacy": "privacy",
    "off_policy": "off_policy_evaluation",
    "plot_distances": "synthesis_plots",
    "plot_marginals": "synthesis_plots",
    "plot_pairs": "synthesis_plots",
    "plot_popularity": "synthesis_plots",
    "plot_training": "curves",
    "rank": "metrics",
    "sample_ratio": "arm_sizes",
    "seeds_needed": "power",
    "split": "splits",
    "split_histories": "histories",
    "telling_columns": "interaction_fidelity",
    "units_needed": "power",
    "with_synthetic": "mixed_rows",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
