"""Parameters of several components, as text in ML Metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tfrs_augment.errors import InvalidArgumentError


def names_text(argument: str, names: Sequence[str]) -> str:
    """Distinct names as JSON text.

    Raises:
      InvalidArgumentError: they are not.
    """
    if (
        isinstance(names, str)
        or not names
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) < len(names)
    ):
        raise InvalidArgumentError(
            f"`{argument}` must be a list of distinct names. Received: {argument}={names!r}."
        )
    return json.dumps(list(names))
