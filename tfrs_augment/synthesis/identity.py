"""What a checkpoint hangs on: a fit goes on only from one of the same arguments and the same data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def identity_of(synthesizer: Any, data: Iterable[np.ndarray], free: Sequence[str] = ()) -> str:
    """Returns the class, the arguments, and a hash of the data.

    Args:
      synthesizer: what is fitted; has `get_config`.
      data: all that it is fitted on.
      free: arguments that may differ between the parts of a fit; `checkpoint_dir` always may.
    """
    digest = hashlib.sha256()
    for array in data:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    free = ("checkpoint_dir", *free)
    config = {name: value for name, value in synthesizer.get_config().items() if name not in free}
    return json.dumps([type(synthesizer).__name__, config, digest.hexdigest()])
