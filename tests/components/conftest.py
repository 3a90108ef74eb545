"""TFX's absence, said once: all tests of this folder that need it skip with the reason."""

from __future__ import annotations

import importlib.util

import pytest

# Absent, and not merely broken: where TFX is installed and can't be imported, its tests fail.
MISSING = ""
if importlib.util.find_spec("tfx") is None:
    MISSING = "No module named 'tfx'; `make test-tfx` runs it in an environment with TFX"


def pytest_collection_modifyitems(items):
    """Skips what needs TFX where there is none."""
    if MISSING:
        for item in items:
            if "tests/components/" in item.nodeid and item.get_closest_marker("tfx"):
                item.add_marker(pytest.mark.skip(reason=MISSING))
