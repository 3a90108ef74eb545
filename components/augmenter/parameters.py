"""Parameters of the Augmenter: as a user gives them, and as text in ML Metadata."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfrs_augment.beam import Balance, DriftGuard
from tfrs_augment.beam.guard import split_path
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.policy import AugmentationPolicy


def load_policy(policy: AugmentationPolicy | str | os.PathLike[str]) -> AugmentationPolicy:
    """A policy from an object, JSON text, or the path of a JSON file.

    Raises:
      InvalidArgumentError: it is nothing of the kind.
    """
    if isinstance(policy, AugmentationPolicy):
        return policy
    if isinstance(policy, str) and policy.lstrip().startswith("{"):
        return AugmentationPolicy.from_json(policy)
    if isinstance(policy, str | os.PathLike):
        return AugmentationPolicy.load(os.fspath(policy))
    raise InvalidArgumentError(
        "`policy` must be an AugmentationPolicy, JSON text, or the path of a JSON file. "
        f"Received: policy={policy!r}. {getattr(policy, 'training_only', '')}".rstrip()
    )


def policy_text(policy: AugmentationPolicy | str | os.PathLike[str]) -> str:
    """The policy as JSON text, so that a change of a policy file is a change of the parameter.

    Raises:
      InvalidArgumentError: it is no policy, or one with fitted statistics, which text does not hold.
    """
    loaded = load_policy(policy)
    if loaded.fitted is not None:
        raise InvalidArgumentError(
            "`policy` holds fitted statistics, which are no part of its JSON. Received: "
            f"{len(loaded.fitted.arrays)} of them. Pass their file by the channel `fitted`, or "
            "policy.with_fitted(None) to have them fitted on the first of `splits`."
        )
    return loaded.to_json()


def load_balance(balance: Balance | Mapping[str, Any] | str | None) -> Balance | None:
    """A balance from an object, its fields, a feature's name, or the JSON text of its fields.

    Raises:
      InvalidArgumentError: it is nothing of the kind.
    """
    if balance is None or balance == "" or isinstance(balance, Balance):
        return balance or None
    fields = balance
    if isinstance(balance, str):
        fields = json.loads(balance) if balance.lstrip().startswith("{") else {"feature": balance}
    try:
        return Balance(**fields)
    except TypeError as error:
        raise InvalidArgumentError(
            "`balance` must be an aug.beam.Balance, a dict of its arguments, or the name of a feature. "
            f"Received: balance={balance!r}: {error}."
        ) from error


def balance_text(balance: Balance | Mapping[str, Any] | str | None) -> str:
    """The fields of a balance as JSON text; "" for none."""
    loaded = load_balance(balance)
    return "" if loaded is None else json.dumps(dataclasses.asdict(loaded))


def check_drift(
    reference: Any, threshold: float | None, columns: Sequence[str] | None, adapt: str | None
) -> None:
    """Checks what the Augmenter is told of drift.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or is given without a threshold.
    """
    if threshold is None:
        if (reference, columns, adapt) != (None, None, None):
            raise InvalidArgumentError(
                "`reference`, `drift_columns` and `adapt` go with a `drift_threshold`. Received: "
                f"reference={reference!r}, drift_columns={columns!r}, adapt={adapt!r}."
            )
        return
    DriftGuard(threshold=threshold, columns=columns)
    # Its module may be there only where the executor runs.
    if adapt is not None:
        split_path(adapt)
