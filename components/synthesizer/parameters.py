"""Parameters of the SynthesizerTrainer: as a user gives them, and as text in ML Metadata."""

from __future__ import annotations

import json

from tfrs_augment import synthesis
from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.synthesis import Synthesizer

AUTO = "auto"


def synthesizer_text(synthesizer: Synthesizer | str) -> str:
    """An unfitted synthesizer as JSON text: its class and its arguments.

    Args:
      synthesizer: an object; the name of a class of `aug.synthesis`, with its defaults; or "auto".

    Raises:
      InvalidArgumentError: it is nothing of the kind, or fitted.
    """
    if isinstance(synthesizer, Synthesizer):
        name = type(synthesizer).__name__
        if synthesizer.spec is not None:
            raise InvalidArgumentError(
                f"`synthesizer` must not be fitted: the component fits it. Received: a fitted {name}."
            )
        if getattr(synthesis, name, None) is not type(synthesizer):
            raise InvalidArgumentError(
                f"`synthesizer` must be of a class of aug.synthesis. Received: {type(synthesizer)}."
            )
        return json.dumps({"class": name, "config": synthesizer.get_config()})
    if synthesizer == AUTO:
        return ""
    known = [
        name
        for name in synthesis.__all__
        if isinstance(getattr(synthesis, name), type)
        and issubclass(getattr(synthesis, name), Synthesizer)
        and not getattr(synthesis, name).__abstractmethods__
    ]
    if synthesizer not in known:
        raise InvalidArgumentError(
            '`synthesizer` must be a Synthesizer, the name of its class, or "auto". Received: '
            f"synthesizer={synthesizer!r}. {close_matches(str(synthesizer), known)}"
        )
    return json.dumps({"class": synthesizer, "config": {}})


def load_synthesizer(text: str) -> Synthesizer | None:
    """The inverse of `synthesizer_text`; None for "auto"."""
    if not text:
        return None
    document = json.loads(text)
    config = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in document["config"].items()
    }
    return getattr(synthesis, document["class"])(**config)
