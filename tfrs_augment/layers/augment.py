"""A Keras layer that augments features while a model trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.layers.columns import (
    augment_columns,
    check_policy,
    columns_by_name,
    copied,
    is_draw,
    is_training,
)
from tfrs_augment.layers.counting import CountingLayer
from tfrs_augment.ops.fitted import FittedState
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import Column


@tf_keras.utils.register_keras_serializable(package="tfrs_augment")
class Augment(CountingLayer):
    """Applies a policy to a dict of features, in training only.

    At an equal draw number a row becomes what `policy.augment(rows, draw=...)` and the Beam job
    make of it. The draw number is the count of the training calls before this one, kept in a
    non-trainable weight: it is saved with the model and in checkpoints, so training that resumes
    goes on with the right number.

    A row's draws hang on its key features, which must be in the dict. Rows with equal keys get
    equal draws within one call: name enough key features to tell interactions apart, or ask for
    `key="position"`.

    Args:
      policy: a policy, fitted if its ops ask for it.
      draw: an integer, to use this draw number in every training call. Default: count the calls.
      key: None to draw by the policy's key features, or "position" to draw by a row's place in the
        batch (and its replica): any batch will do, but a row's augmentation then depends on the
        batching.
      **kwargs: arguments of a Keras layer, such as `name`.

    Call arguments:
      inputs: name to a dense column `[batch]` or `[batch, ...]` or a ragged one `[batch, None]`. In
        nested dicts a column goes by its innermost name.
      training: a Python bool. Default: as Keras has it in the calling model, False elsewhere.

    Returns:
      A new dict. Columns that no op changes, and when not training all columns, are the same
      objects.

    Raises:
      InvalidArgumentError: an argument breaks its rule, an op is not fitted or not of stage
        "feature", or there is no key.
      UnknownFeatureError: at the first training call, if a key feature or an op's feature is
        missing.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy(
      ...     [aug.ops.IdDropout("movie_id", rate=1.0)], key_features=["movie_id"]
      ... )
      >>> layer = aug.layers.Augment(policy)
      >>> rows = {"movie_id": tf.constant(["12"])}
      >>> layer(rows, training=True)["movie_id"].numpy().tolist()
      [b'[UNK]']
      >>> layer(rows)["movie_id"] is rows["movie_id"]
      True
    """

    def __init__(
        self,
        policy: AugmentationPolicy,
        *,
        draw: int | None = None,
        key: str | None = None,
        **kwargs,
    ):
        super().__init__(counts=draw is None, **kwargs)
        check_policy(policy, key, "Augment")
        if draw is not None and not is_draw(draw):
            raise InvalidArgumentError(
                f"`draw` of Augment must be None or an integer in [0, 2**63). Received: draw={draw!r}."
            )
        self._policy, self._draw, self._key = policy, draw, key
        self._supports_ragged_inputs = True

    @property
    def policy(self) -> AugmentationPolicy:
        """The policy that the layer applies."""
        return self._policy

    def call(self, inputs: Mapping[str, Column], training: bool | None = None) -> dict[str, Column]:
        """See the class."""
        if not isinstance(inputs, Mapping):
            raise InvalidArgumentError(
                f"Augment takes a dict of features. Received: a {type(inputs).__name__}."
            )
        if not is_training(training, "Augment"):
            return copied(inputs)
        draw = self._draw_number(self._draw)
        columns = columns_by_name(inputs, self._policy.features + self._policy.key_features)
        return copied(inputs, augment_columns(self._policy, columns, draw=draw, key=self._key))

    def get_config(self) -> dict[str, Any]:
        """The policy, the statistics that it needs, and the other arguments, as JSON values."""
        needed = self._policy.requirements()
        fitted = (
            FittedState({r: self._policy.fitted[r] for r in needed}).get_config()
            if needed
            else None
        )
        return {
            **super().get_config(),
            "policy": self._policy.get_config(),
            "fitted": fitted,
            "draw": self._draw,
            "key": self._key,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Augment:
        """The inverse of `get_config`."""
        config = dict(config)
        policy, fitted = AugmentationPolicy.from_config(config.pop("policy")), config.pop("fitted")
        if fitted is not None:
            policy = policy.with_fitted(FittedState.from_config(fitted))
        return cls(policy, **config)
