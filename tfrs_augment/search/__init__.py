"""Which augmentation, and how much of it: policies found by successive halving, on development rows alone.

Optuna draws the candidates and keeps the study. KerasTuner would not do. It imports Keras 3 wherever that is
installed, as it is beside TensorFlow 2.16 and later, and then refuses the models of Keras 2 that TensorFlow
Recommenders needs ("Expected the model-building function ... to return a valid Keras Model instance",
KerasTuner 1.4.8; keras-team/keras-tuner, issue 1039). And it trains by itself, where here each training must
be one of `evaluation.compare`. Optuna knows nothing of Keras, and can be asked for candidates and told of
results.
"""

from __future__ import annotations

from tfrs_augment._lazy import attach

# Loaded on first use: the import of this package stays free of TensorFlow, Optuna and matplotlib.
_MODULES = {
    "Choice": "parameters",
    "Float": "parameters",
    "Integer": "parameters",
    "Objective": "objective",
    "Schedule": "schedule",
    "SearchResult": "result",
    "Space": "space",
    "Switch": "parameters",
    "search": "halving",
}

__all__ = sorted(_MODULES)
__getattr__, __dir__ = attach(__name__, _MODULES)
