"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import pathlib

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest


def pytest_collection_finish():
    """What is imported stays: trainings collect garbage, and need not walk all of TensorFlow each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real data beside the project; tests that need it skip where it is absent."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is absent: there is no folder {folder}")
    return folder
