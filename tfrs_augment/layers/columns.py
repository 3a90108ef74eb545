"""What the layer and `wrap` share: checks of a policy, and policies on the dicts that models take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import as_column
from tfrs_augment.ops.embedding import instead
from tfrs_augment.policy import AugmentationPolicy

POSITION = "position"
"""The value of `key` that draws by the place of a row in the batch, not by its key features."""


def check_policy(policy: AugmentationPolicy, key: str | None, user: str) -> None:
    """Checks that a policy can augment the features of a model.

    Args:
      policy: the policy.
      key: None (the policy's key features) or "position".
      user: who asks, for messages.

    Raises:
      InvalidArgumentError: it is no policy, it is not fitted, it has no key, or an op acts
        elsewhere than on features.
    """
    if not isinstance(policy, AugmentationPolicy):
        hint = getattr(
            policy, "training_only", "Read a file with aug.AugmentationPolicy.load(path)."
        )
        raise InvalidArgumentError(
            f"`policy` of {user} must be an AugmentationPolicy. Received: policy={policy!r}. {hint}"
        )
    if key not in (None, POSITION):
        raise InvalidArgumentError(
            f"`key` of {user} must be None (the policy's key_features) or 'position'. "
            f"Received: key={key!r}."
        )
    if key is None and not policy.key_features:
        raise InvalidArgumentError(
            f"{user} needs to tell rows apart, and the policy has no key_features. Name some, such as "
            "AugmentationPolicy(..., key_features=('user_id', 'movie_id')), or pass key='position' "
            "to draw by the place in the batch."
        )
    for op in policy.ops:
        if op.stage != "feature":
            raise InvalidArgumentError(
                f"{user} applies ops of stage 'feature'. Received: {op} (id '{op.id}') of stage "
                f"'{op.stage}'. {instead(op)}"
            )
    missing = policy.missing_requirements()
    if missing:
        raise InvalidArgumentError(
            f"{user} needs a fitted policy. Not fitted: {', '.join(map(str, missing))}. Fit it first: "
            "policy = aug.fitting.fit(policy, data); or load what was fitted: "
            "policy = policy.with_fitted(aug.ops.FittedState.load(folder))."
        )


def leaves(features: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The names and values of a dict of columns, nested dicts opened."""
    for name, value in features.items():
        if isinstance(value, Mapping):
            yield from leaves(value)
        else:
            yield name, value


def copied(features: Mapping[str, Any], changed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A copy of a dict, nested dicts too, with some columns replaced; the others are the same objects."""
    changed = changed or {}
    return {
        name: copied(value, changed) if isinstance(value, Mapping) else changed.get(name, value)
        for name, value in features.items()
    }


def columns_by_name(features: Mapping[str, Any], used: Iterable[str]) -> dict[str, Any]:
    """The columns of a dict, nested dicts opened: what a policy takes.

    Raises:
      DataError: two nested dicts have a column of the same name, and it is one of `used`.
    """
    columns, used = {}, set(used)
    for name, value in leaves(features):
        if name in columns and name in used:
            raise DataError(
                f"Feature '{name}' must be one column. Received: several of that name in nested "
                "dicts. Give them different names."
            )
        columns[name] = value
    return columns


@tf.autograph.experimental.do_not_convert
def augment_columns(
    policy: AugmentationPolicy,
    columns: Mapping[str, Any],
    *,
    draw: int | tf.Tensor,
    key: str | None,
) -> dict[str, Any]:
    """Augments columns; returns those of the policy's features alone."""
    keys = _position_keys(policy, columns) if key == POSITION else None
    augmented = policy.augment(columns, draw=draw, keys=keys)
    return {name: augmented[name] for name in policy.features}


def _position_keys(policy: AugmentationPolicy, columns: Mapping[str, Any]) -> tf.Tensor:
    """The keys of the rows of a batch by their places."""
    for name in policy.features:
        if name in columns:
            column = as_column(name, columns[name])
            size = column.nrows() if isinstance(column, tf.RaggedTensor) else tf.shape(column)[0]
            break
    else:
        size = 0  # The op that misses its feature says so.
    return position_keys(size)


def position_keys(size: int | tf.Tensor) -> tf.Tensor:
    """uint64 `[size]`: 0, 1, ... with the replica's number in the upper half."""
    context = tf.distribute.get_replica_context()
    # Without it the rows at one place of all replicas would draw alike.
    replica = tf.cast(0 if context is None else context.replica_id_in_sync_group, tf.int64)
    return tf.bitcast(tf.range(tf.cast(size, tf.int64)) + replica * (1 << 32), tf.uint64)


def batch_size(features: Mapping[str, Any]) -> tf.Tensor:
    """The number of rows of a dict of columns, nested dicts opened: int32 scalar.

    Raises:
      DataError: there is no column.
    """
    for name, value in leaves(features):
        column = as_column(name, value)
        rows = column.nrows() if isinstance(column, tf.RaggedTensor) else tf.shape(column)[0]
        return tf.cast(rows, tf.int32)
    raise DataError("The dict of features must hold at least one column. Received: none.")


def is_draw(value: Any) -> bool:
    """Whether a value is a draw number: an integer in [0, 2**63)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def is_training(training: Any, user: str) -> bool:
    """A `training` argument as a bool.

    Raises:
      InvalidArgumentError: a tensor whose value is not known while the function is traced.
    """
    if tf.is_tensor(training):
        static = tf.get_static_value(training)
        if static is None:
            raise InvalidArgumentError(
                f"`training` of {user} must be a Python bool, or a constant. Received: {training}. "
                "Trace one function for training and another for evaluation."
            )
        training = static
    return bool(training)
