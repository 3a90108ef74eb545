"""Which releases of TFX a system can hold, and what to say where there is none."""

from __future__ import annotations

import platform
import sys

_PACKAGES = ("tfx", "tfx_bsl", "ml_metadata", "tensorflow_data_validation")


def is_tfx(error: ImportError) -> bool:
    """Whether an import failed for the lack of TFX or of a package of it."""
    return (error.name or "").split(".")[0] in _PACKAGES


def advice(error: ImportError) -> str:
    """What to install, for an import that failed."""
    library, version = platform.libc_ver()
    python = ".".join(map(str, sys.version_info[:2]))
    system = f"Python {python} with {library or 'a C library of another kind'} {version}".strip()
    return (
        f"tfrs_augment.components needs TFX, which cannot be imported: {error}. "
        "Run: pip install 'tfrs-augment[tfx]'. TFX 1.21 goes with Python 3.10 to 3.13 and needs glibc 2.39 "
        "or newer (Debian 13, Ubuntu 24.04); on older systems TFX 1.16 goes with Python 3.10. "
        f"This is {system}."
    )
