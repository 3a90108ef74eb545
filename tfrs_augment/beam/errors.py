"""Errors that crossed a runner: back to what was raised."""

from __future__ import annotations

import re

from tfrs_augment import errors

_RAISED = re.compile(r"tfrs_augment\.errors\.(\w+): (.*?)(?: \[while running|\Z)", re.DOTALL)


def original_error(error: BaseException) -> errors.AugmentError | None:
    """The library's error that a worker raised, found in what the runner made of it.

    Runners hand on an exception as its text with a traceback, or wrapped in another one.

    Returns:
      An error of the class and the message that were raised; None where the failure is none of ours.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, errors.AugmentError):
            message = str(seen).split(" [while running")[0]
            return type(seen)(message)
        found = _RAISED.findall(str(seen))
        if found:
            name, message = found[-1]
            cls = getattr(errors, name, None)
            if isinstance(cls, type) and issubclass(cls, errors.AugmentError):
                return cls(message.strip())
        seen = seen.__cause__ or seen.__context__
    return None
