"""Did it help? Comparisons of arms over seeds, on all, warm, head, tail and cold items."""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow and matplotlib.
_MODULES = {
    "ABTest": "online.ab_result",
    "Arm": "comparing.comparison",
    "Attribution": "explaining.attribution_result",
    "AugmentationLimits": "augmented.augmentation_limits",
    "AugmentedData": "augmented.augmented_data",
    "Fidelity": "synthetic.fidelity",
    "Gate": "synthetic.gate",
    "InteractionFidelity": "synthetic.interaction_fidelity",
    "OffPolicy": "online.off_policy_result",
    "Permutation": "statistics.permutation",
    "Privacy": "synthetic.privacy",
    "ProcessError": "comparing.parallel",
    "Protocol": "comparing.training",
    "Ranks": "measuring.metrics",
    "Ratio": "online.ab_units",
    "RecommendationExplanation": "explaining.explanation_result",
    "Report": "reporting.report",
    "SampleRatio": "online.arm_sizes",
    "Split": "splitting.splits",
    "ab_test": "online.ab_testing",
    "attribute": "explaining.attribution",
    "compare": "comparing.comparison",
    "controls": "comparing.control_arms",
    "detectable_effect": "statistics.power",
    "development_histories": "splitting.histories",
    "development_split": "splitting.splits",
    "explain": "explaining.explanation",
    "fit_rewards": "online.off_policy_rewards",
    "fit_weight": "synthetic.gate",
    "folds": "splitting.cross_validation",
    "look_at_each": "online.sequential",
    "measure_augmented": "augmented.measuring_augmented",
    "measure_fidelity": "synthetic.fidelity",
    "measure_interactions": "synthetic.interaction_fidelity",
    "measure_privacy": "synthetic.privacy",
    "off_policy": "online.off_policy_evaluation",
    "plot_distances": "synthetic.synthesis_plots",
    "plot_marginals": "synthetic.synthesis_plots",
    "plot_pairs": "synthetic.synthesis_plots",
    "plot_popularity": "synthetic.synthesis_plots",
    "plot_training": "reporting.curves",
    "rank": "measuring.metrics",
    "sample_ratio": "online.arm_sizes",
    "seeds_needed": "statistics.power",
    "split": "splitting.splits",
    "split_histories": "splitting.histories",
    "telling_columns": "synthetic.interaction_fidelity",
    "units_needed": "statistics.power",
    "with_synthetic": "comparing.mixed_rows",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
