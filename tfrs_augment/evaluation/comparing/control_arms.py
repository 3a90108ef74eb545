"""The controls that an augmentation must beat before it may be called useful."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import Arm

OVERSAMPLING, DROPOUT, REINITIALIZATION = "oversampling", "dropout only", "re-initialisation"


def controls(
    *, copies: int = 1, dropout: Mapping[str, Any] | None = None, baseline: Arm | None = None
) -> dict[str, Arm]:
    """Returns arms that tell what an augmentation does from what other things would have done.

    Each answers a question of its own; the first control is the baseline itself, no augmentation.

    - "oversampling": is it the copies? The training rows as often as with the augmented copies, but as
      they are. Where it does as well, the new values of augmented rows do nothing.
    - "dropout only": is it regularization? A model with stronger dropout, at no cost of data. Where it does
      as well, tune the dropout and leave the augmentation out.
    - "re-initialisation": is it chance? The baseline with other initial weights and batches. Its difference
      to the baseline is what chance alone makes, so one as large says nothing.

    Args:
      copies: augmented copies of each row beside the row itself, as in `aug.beam.run`, at least 1; an arm of
        your own that trains on them has `Arm(copies=1 + copies)`. Default: 1.
      dropout: keyword arguments for `build_model` that make its dropout stronger, such as
        `{"dropout": 0.4}`; tune it as you tune the policy. Default: no such control.
      baseline: the baseline, where it is an `Arm` with options such as `after_fit`; the controls keep them.
        Default: an arm without any.

    Returns:
      Arms by name, to be put beside the others.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> arms = {"baseline": None, **controls(dropout={"dropout": 0.4})}
      >>> list(arms)
      ['baseline', 'oversampling', 'dropout only', 're-initialisation']
    """
    if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
        raise InvalidArgumentError(
            f"`copies` must be an integer of at least 1. Received: copies={copies!r}."
        )
    if dropout is not None and (not isinstance(dropout, Mapping) or not dropout):
        raise InvalidArgumentError(
            "`dropout` must be keyword arguments for `build_model`, such as {'dropout': 0.4}. Received: "
            f"dropout={dropout!r}."
        )
    if baseline is not None and (not isinstance(baseline, Arm) or not baseline.trains):
        raise InvalidArgumentError(
            f"`baseline` must be an Arm that trains a model. Received: {baseline!r}."
        )
    base = Arm() if baseline is None else baseline
    found = {OVERSAMPLING: dataclasses.replace(base, copies=base.copies * (1 + copies))}
    if dropout is not None:
        options = {**base.model_options, **dropout}
        found[DROPOUT] = dataclasses.replace(base, model_options=options)
    found[REINITIALIZATION] = dataclasses.replace(base, initialization=base.initialization + 1)
    return found
