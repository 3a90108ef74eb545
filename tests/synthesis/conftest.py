"""Secrets of private fits, the same in every run."""

from __future__ import annotations

import secrets

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def repeated_secrets(monkeypatch):
    """Secrets that differ from each other, and are the same in every run of a test."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(secrets, "token_bytes", rng.bytes)
