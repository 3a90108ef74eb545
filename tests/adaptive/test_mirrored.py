"""An adaptive policy on two replicas: both read the same arm."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_two_replicas_have_one_arm():
    done = subprocess.run(
        [sys.executable, "-m", "tests.adaptive.mirrored"],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["2 [0.0, 0.5, 1.0]", "[1.0, 1.0]"]
