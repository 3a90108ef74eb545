"""Conditions on synthesized rows as JSON: on the command line, and in the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError


def conditions_from_json(text: str) -> dict[str, Any]:
    """Reads conditions as the command line takes them.

    Args:
      text: a JSON object: column to a value, a list of values, or `{"low": ..., "high": ...}`, a range.

    Returns:
      Conditions as of `Synthesizer.sample`.

    Raises:
      InvalidArgumentError: it is nothing of the kind.

    Example:
      >>> conditions_from_json('{"genre": ["War", "Drama"], "year": {"low": 1990, "high": 1999}}')
      {'genre': ['War', 'Drama'], 'year': (1990, 1999)}
    """
    rule = (
        "`conditions` must be a JSON object: column to a value, a list of values, or a range "
        '{"low": ..., "high": ...}. '
    )
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidArgumentError(f"{rule}Received: {text!r}: {error}.") from error
    if not isinstance(document, dict):
        raise InvalidArgumentError(f"{rule}Received: {text!r}.")
    conditions = {}
    for name, value in document.items():
        if isinstance(value, dict):
            if set(value) != {"low", "high"}:
                raise InvalidArgumentError(f"{rule}Received: {value!r} of {name!r}.")
            value = (value["low"], value["high"])
        conditions[name] = value
    return conditions


def conditions_to_json(conditions: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The inverse of `conditions_from_json`, as JSON values."""
    if conditions is None:
        return None
    return {
        name: dict(zip(("low", "high"), map(_plain, value)))
        if isinstance(value, tuple)
        else [_plain(v) for v in sorted(value)]
        if isinstance(value, set | frozenset)
        else [_plain(v) for v in value]
        if isinstance(value, list | np.ndarray)
        else _plain(value)
        for name, value in conditions.items()
    }


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
