"""The exceptions of the library.

Every message names the argument, the rule, the value received and the fix. All classes derive from
`AugmentError`, so one `except` catches what the library refuses; each also derives from the
built-in exception that fits, so code that knows nothing of the library still reads right.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AugmentError(Exception):
    """Base of all errors that the library raises on purpose."""

    # AutoGraph raises an error of traced code again with a longer message, in its own type but
    # where the constructor is known: this keeps `except InvalidArgumentError` right around
    # `model.fit`.
    __init__ = Exception.__init__


class InvalidArgumentError(AugmentError, ValueError):
    """An argument, or a field of a policy file, breaks its rule."""


class UnknownFeatureError(AugmentError, LookupError):
    """A policy names a feature that the data do not have."""


class DataError(AugmentError, ValueError):
    """Input data are corrupt, of another type than declared, or incomplete."""


class OutputError(AugmentError, OSError):
    """An output cannot be written, or would overwrite a result."""


def close_matches(name: str, names: Iterable[str]) -> str:
    """Returns a sentence that lists the names closest to `name`, for the end of an error message.

    Args:
      name: the name that was not found.
      names: the names that exist.

    Returns:
      For example "Did you mean 'movie_id'? Known: 'movie_id', 'user_id'."
    """
    known = sorted(names)
    found = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    shown = ", ".join(repr(n) for n in known[:20]) + (", ..." if len(known) > 20 else "")
    guess = f"Did you mean {' or '.join(repr(n) for n in found)}? " if found else ""
    return f"{guess}Known: {shown or 'none'}."
