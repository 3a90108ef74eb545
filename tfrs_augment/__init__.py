"""Data augmentation for TensorFlow Recommenders.

An augmentation is declared once, as a policy, and used inside a model (`layers`) and in an Apache
Beam job (`beam`) with the same result; `evaluation` measures whether it helped.

Names load when they are first used, so that `import tfrs_augment` is cheap and imports no
TensorFlow. TensorFlow Recommenders needs Keras 2: importing this package before Keras 3 is in use
sets `TF_USE_LEGACY_KERAS=1`; after that it raises an `ImportError` that names the variable.
"""

from __future__ import annotations

from tfrs_augment import _keras
from tfrs_augment._lazy import attach

__version__ = "0.1.0"

_keras.require_keras_2()

# Public name -> the module it is in, relative to the package, or "" for a module of that name.
_PUBLIC = {
    "adaptive": "",
    "beam": "",
    "datasets": "",
    "drift": "",
    "errors": "",
    "evaluation": "",
    "features": "",
    "fitting": "",
    "layers": "",
    "ops": "",
    "plots": "",
    "policy": "",
    "presets": "",
    "rng": "",
    "schema": "",
    "search": "",
    "synthesis": "",
    "tasks": "",
    "text": "",
    "towers": "",
    "AdaptivePolicy": "adaptive",
    "AugmentError": "errors",
    "AugmentationPolicy": "policy",
    "plot_augmentations": "plots",
    "wrap": "layers",
}

__all__ = [*sorted(_PUBLIC), "__version__"]
__getattr__, __dir__ = attach(__name__, _PUBLIC)
