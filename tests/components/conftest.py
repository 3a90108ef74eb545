"""TFX's absence, said once: all tests of this folder that need it skip with the reason."""

from __future__ import annotations

import importlib

import pytest

try:
    # Whatever fails here would fail in every test; the reason says what is missing.
    for name in ("tfx.types", "tensorflow_data_validation"):
        importlib.import_module(name)
    MISSING = ""
except ImportError as error:
    MISSING = f"{error}; `make test-tfx` runs it in an environment with TFX"


def pytest_collection_modifyitems(items):
    """Skips what needs TFX where there is none."""
    if MISSING:
        for item in items:
            if "tests/components/" in item.nodeid and item.get_closest_marker("tfx"):
                item.add_marker(pytest.mark.skip(reason=MISSING))
