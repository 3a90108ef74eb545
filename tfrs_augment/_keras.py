"""Makes `tf.keras` Keras 2, or says at once and in plain words why it cannot be.

TensorFlow 2.16 and later take Keras 3 unless `TF_USE_LEGACY_KERAS` asks for tf-keras, and they
read the variable twice: on `import tensorflow`, for the path behind `from tensorflow.keras import
...`, and when an attribute of `tf.keras` is first used, for everything else.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
import types

VARIABLE = "TF_USE_LEGACY_KERAS"
# What TensorFlow reads as yes; any other value means Keras 3 to it.
_YES = ("1", "true", "True")
# The attributes of TensorFlow that become Keras 2 or Keras 3 when first used.
_LAZY = ("keras", "losses", "metrics", "optimizers", "initializers")


def require_keras_2() -> None:
    """Sets `TF_USE_LEGACY_KERAS=1` where that still has an effect; imports no TensorFlow itself.

    Raises:
      ImportError: tf-keras is not installed, the variable asks for Keras 3, or TensorFlow is
        imported and already uses Keras 3.
    """
    spec = importlib.util.find_spec("tf_keras")
    if spec is None:
        raise ImportError(
            "tfrs_augment needs Keras 2, which the package tf-keras holds, and it is not "
            "installed. Run: pip install tf-keras (of TensorFlow's minor version)."
        )
    value = os.environ.get(VARIABLE, "")
    if value not in ("", *_YES):
        raise ImportError(
            f"tfrs_augment needs Keras 2: {VARIABLE} must be 1, or unset. "
            f"Received: {VARIABLE}={value!r}. Set {VARIABLE}=1 before TensorFlow is imported."
        )
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and _uses_keras_3(tensorflow):
        raise ImportError(
            "tfrs_augment needs Keras 2, but tf.keras is Keras 3 in this process already. "
            f"Set {VARIABLE}=1 before TensorFlow is imported (in the environment, or by "
            f"os.environ[{VARIABLE!r}] = '1' on the program's first line), or import tfrs_augment "
            "before TensorFlow."
        )
    os.environ[VARIABLE] = value or "1"
    if tensorflow is not None:
        _put_keras_2_on_path(tensorflow, spec.submodule_search_locations[0])


def _uses_keras_3(tensorflow: types.ModuleType) -> bool:
    return any(_is_keras_3(vars(tensorflow).get(name)) for name in _LAZY)


def _is_keras_3(module: types.ModuleType | None) -> bool:
    """Tells what a lazy attribute has become, without making it become anything."""
    if module is None:
        return False
    loader = vars(module)
    if "_tfll_initialized" in loader:
        return loader.get("_tfll_keras_version") == "keras_3"
    # Use replaces the lazy attribute by the module. `import tensorflow.keras` gives that another
    # name; there Keras 3 is known by version(), which Keras 2 does not have.
    return module.__name__.startswith("keras.") or hasattr(module, "version")


def _put_keras_2_on_path(tensorflow: types.ModuleType, tf_keras_folder: str) -> None:
    """Does for `from tensorflow.keras import ...` what TensorFlow does if the variable is set."""
    folder = str(pathlib.Path(tf_keras_folder) / "api" / "_v2")
    if folder not in tensorflow.__path__:
        tensorflow.__path__ = [folder, *tensorflow.__path__]
