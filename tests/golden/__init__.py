"""Frozen outputs. A change here changes what users' seeds mean: bump a format version instead."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np

_FOLDER = pathlib.Path(__file__).parent


def check(file: str, name: str, value, *, rtol: float = 0.0) -> None:
    """Compares a value with the frozen one, exactly or within a relative tolerance.

    With TFRS_AUGMENT_UPDATE_GOLDEN=1 it freezes a value that is not there yet; it never replaces one.
    """
    path = _FOLDER / file
    frozen = json.loads(path.read_text()) if path.exists() else {}
    if name not in frozen and os.environ.get("TFRS_AUGMENT_UPDATE_GOLDEN") == "1":
        frozen[name] = value
        path.write_text(json.dumps(frozen, indent=1, sort_keys=True) + "\n")
    assert name in frozen, f"{name} is not in {path}; freeze it with TFRS_AUGMENT_UPDATE_GOLDEN=1"
    if rtol:
        np.testing.assert_allclose(value, frozen[name], rtol=rtol, atol=rtol)
    else:
        assert value == frozen[name], f"{name} differs from what {path} holds"
