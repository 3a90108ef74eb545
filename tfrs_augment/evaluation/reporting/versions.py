"""The versions that a result was made with."""

from __future__ import annotations

import importlib.metadata
import platform

from tfrs_augment import __version__

_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy")


def versions() -> dict[str, str]:
    """Returns name to version, of this library, Python and what numbers depend on.

    Example:
      >>> list(versions())[:2]
      ['tfrs-augment', 'python']
    """
    found = {"tfrs-augment": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # TensorFlow has builds of other names, such as tensorflow-cpu.
            found[name] = "not installed under this name"
    return found
