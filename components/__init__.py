"""TFX components: augmentation, its synthesizer and its gate, between ExampleGen and Trainer.

Installed as `tfrs_augment.components`. They need TFX, which is no dependency of the library: the extra
`tfx` installs it.
"""

from __future__ import annotations

from typing import Any

from tfrs_augment._lazy import attach
from tfrs_augment.components import lanes

# Loaded on first use: TFX is imported by these modules alone.
_MODULES = {
    "AugmentationValidator": "validator.component",
    "Augmenter": "augmenter.component",
    "LatestGuardedReport": "augmenter.resolver",
    "SynthesizerTrainer": "synthesizer.component",
    "augment_examples": "augmenter.function",
}

__all__ = sorted(_MODULES)
_get, __dir__ = attach(__name__, _MODULES)


def __getattr__(name: str) -> Any:
    try:
        return _get(name)
    except ImportError as error:
        if lanes.is_tfx(error):
            raise ImportError(lanes.advice(error), name=error.name) from error
        raise
