"""The policy: which ops, in which order, drawn from which keys. Declared once, used everywhere."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment import arrays
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.explain import Explanation, explain_row
from tfrs_augment.features import FeatureBatch, as_column, row_keys
from tfrs_augment.json_file import JsonFile, check_document
from tfrs_augment.ops.base import Op, op_from_config, with_unique_ids
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.rng import Column, KeyedRng
from tfrs_augment.schema import Schema

FORMAT_VERSION = 1

TRAINING_ONLY = (
    "An AdaptivePolicy chooses its arm while a model trains (aug.wrap, model.fit). Elsewhere use the arm "
    "that it settled on: aug.adaptive.freeze(callback), a policy like any other."
)
"""Why an adaptive policy is refused where nothing trains, and what to do."""


@dataclasses.dataclass(frozen=True)
class AugmentationPolicy(JsonFile):
    """Augmentations to apply to rows, and what their random numbers hang on.

    A row's augmentation is a pure function of (seed, the row's key features, draw number, op id): the same
    inside a model, in tf.data and in a Beam job, in any batch and on any number of workers.

    Args:
      ops: the ops, applied in this order.
      seed: an integer in [0, 2**63); 0 is a seed like any other.
      key_features: names of the features whose values together tell one row from another, such as
        ("user_id", "movie_id", "timestamp"). Rows with equal keys get equal draws. Keys are read before the
        first op, so a key feature may itself be augmented.
      fitted: the statistics that some ops ask for; see `requirements` and `aug.fitting.fit`.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or two ops have the same explicit id.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy(
      ...     [aug.ops.IdDropout("movie_id", rate=0.5), aug.ops.GaussianNoise("age", stddev=2.0)],
      ...     seed=7,
      ...     key_features=("user_id", "movie_id"),
      ... )
      >>> rows = {"user_id": tf.constant(["1"]), "movie_id": tf.constant(["50"]), "age": tf.constant([24.0])}
      >>> first, again = policy.augment(rows, draw=3), policy.augment(rows, draw=3)
      >>> bool(first["age"] == again["age"])
      True
    """

    ops: tuple[Op, ...]
    json_name: ClassVar[str] = "policy"
    _: dataclasses.KW_ONLY
    seed: int = 0
    key_features: tuple[str, ...] = ()
    fitted: FittedState | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        if isinstance(self.ops, Op):
            raise InvalidArgumentError(f"`ops` must be a list of ops. Received: ops={self.ops!r}.")
        ops = tuple(self.ops)
        for op in ops:
            if not isinstance(op, Op):
                raise InvalidArgumentError(f"`ops` must hold ops of aug.ops. Received: {op!r}.")
        if (
            isinstance(self.seed, bool)
            or not isinstance(self.seed, int)
            or not 0 <= self.seed < 1 << 63
        ):
            raise InvalidArgumentError(
                f"`seed` must be an integer in [0, 2**63). Received: seed={self.seed!r}."
            )
        keys = (
            (self.key_features,) if isinstance(self.key_features, str) else tuple(self.key_features)
        )
        if not all(isinstance(name, str) and name for name in keys) or len(set(keys)) < len(keys):
            raise InvalidArgumentError(
                f"`key_features` must be distinct feature names. Received: key_features={keys!r}."
            )
        object.__setattr__(self, "key_features", keys)
        object.__setattr__(self, "ops", with_unique_ids(ops, self.fitted))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the ops change, in the order of their first use."""
        return arrays.features_of(self.ops)

    def requirements(self) -> tuple[Requirement, ...]:
        """The statistics that the ops ask for."""
        return tuple(dict.fromkeys(r for op in self.ops for r in op.requirements()))

    def missing_requirements(self) -> tuple[Requirement, ...]:
        """The statistics that the ops ask for and that `fitted` lacks."""
        held = self.fitted.arrays if self.fitted is not None else {}
        return tuple(r for r in self.requirements() if r not in held)

    def with_fitted(self, fitted: FittedState | None) -> AugmentationPolicy:
        """The policy with fitted statistics, for example those of `FittedState.load(path)`."""
        return dataclasses.replace(self, fitted=fitted)

    def check(self, schema: Schema) -> None:
        """Checks that the data have what the ops and the keys need.

        Raises:
          UnknownFeatureError: a feature is missing; the message lists close matches.
          DataError: a feature is of a kind that its op does not take.
        """
        for op in self.ops:
            op.check(schema)
        for name in self.key_features:
            schema.require(name, ("bytes", "int64", "float"), "key_features")

    def row_keys(self, features: Mapping[str, Column]) -> tf.Tensor:
        """The keys of rows: uint64 `[batch]`, a hash of the key features.

        Raises:
          InvalidArgumentError: the policy has no key features.
          UnknownFeatureError: a key feature is missing from `features`.
        """
        if not self.key_features:
            raise InvalidArgumentError(
                "The policy has no key_features, so rows cannot be told apart. "
                "Name some, such as key_features=('user_id', 'item_id', 'timestamp')."
            )
        return row_keys(features, self.key_features)

    # Ops are TensorFlow functions as they stand; to convert them costs seconds at the first trace.
    @tf.autograph.experimental.do_not_convert
    def augment(
        self,
        features: Mapping[str, Column],
        *,
        draw: int | tf.Tensor = 0,
        keys: tf.Tensor | None = None,
    ) -> dict[str, Column]:
        """Augments a batch; a pure TensorFlow function, for eager code, a graph or `tf.data`'s `map`.

        Args:
          features: name to a dense column `[batch]` or `[batch, ...]`, or a ragged one `[batch, None]`.
          draw: the draw number, an integer or an integer tensor, scalar or `[batch]`. Other draw numbers
            give other augmentations of the same rows.
          keys: uint64 `[batch]`, row keys to use in place of the key features'.

        Returns:
          A new dict; the features that no op changes are the same objects as in `features`.

        Raises:
          UnknownFeatureError: an op's feature or a key feature is missing.
          DataError: a feature is of a type or shape that its op does not take.
          InvalidArgumentError: an op is not fitted, or the policy has no key features.
        """
        columns = dict(features)
        for name in self.features:
            if name in columns:
                columns[name] = as_column(name, columns[name])
        batch = FeatureBatch(columns, self.row_keys(features) if keys is None else keys)
        rng = KeyedRng(self.seed, batch.keys, draw)
        for op in self.ops:
            batch = op(batch, rng.fork(op.id))
        return dict(batch.columns)

    def apply(self, data: Any, *, draw: int = 0) -> Any:
        """Augments a table of arrays, for models outside TensorFlow.

        Args:
          data: a dict of NumPy arrays of one length, or a pandas DataFrame. A column of objects may hold
            lists, which are ragged, and missing values (None, NaN), which stay missing.
          draw: the draw number; the same rows come out as from `augment` and the Beam job at this number.

        Returns:
          The same type, as a new object; columns keep their dtype, and those that no op changes are passed
          on as they are.

        Raises:
          UnknownFeatureError, DataError, InvalidArgumentError: as `augment` does.

        Example:
          >>> import numpy as np
          >>> import tfrs_augment as aug
          >>> dropout = aug.ops.IdDropout("movie_id", rate=1.0)
          >>> policy = aug.AugmentationPolicy([dropout], key_features=["movie_id"])
          >>> policy.apply({"movie_id": np.array(["12", "7"])})["movie_id"].tolist()
          ['[UNK]', '[UNK]']
        """
        augment = functools.partial(self.augment, draw=draw)
        if arrays.is_data_frame(data):
            return arrays.apply_to_frame(data, self.ops, self.key_features, augment)
        if not isinstance(data, Mapping):
            raise InvalidArgumentError(
                "`data` must be a dict of NumPy arrays or a pandas DataFrame. "
                f"Received: {type(data).__name__}."
            )
        return arrays.apply_to_arrays(data, self.ops, self.key_features, augment)

    def explain(self, row: Mapping[str, Any], draw: int = 0) -> Explanation:
        """Says what the policy does to one row at a draw number.

        Args:
          row: name to a value, a list of values (a ragged feature), None (missing), or an array. Python's
            numbers count as int64 and float32, as in a tf.train.Example.
          draw: the draw number; the row comes out as from `augment` and the Beam job at this number.

        Returns:
          What each op drew and changed. An op of scope "batch" is explained for a batch of this row alone.

        Raises:
          UnknownFeatureError, DataError, InvalidArgumentError: as `augment` does.

        Example:
          >>> import tfrs_augment as aug
          >>> dropout = aug.ops.IdDropout("movie_id", rate=1.0)
          >>> policy = aug.AugmentationPolicy([dropout], key_features=["movie_id"])
          >>> print(policy.explain({"movie_id": "12"}))
          row with key 514996f3e33b2039, draw 0
            id_dropout:movie_id: acted
              movie_id: '12' -> '[UNK]'
        """
        return explain_row(row, self.ops, self.seed, self.key_features, self.row_keys, draw)

    def get_config(self) -> dict[str, Any]:
        """The policy as JSON values, without the fitted statistics."""
        return {
            "format_version": FORMAT_VERSION,
            "seed": self.seed,
            "key_features": list(self.key_features),
            "ops": [op.get_config() for op in self.ops],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AugmentationPolicy:
        """The inverse of `get_config`.

        Raises:
          InvalidArgumentError: a newer format, an unknown field, op or argument, or a value that breaks its
            rule; the message says where.
        """
        known = ("format_version", "seed", "key_features", "ops")
        if isinstance(config, Mapping) and "arms" in config:
            raise InvalidArgumentError(
                f"A {cls.json_name} must have no `arms`: this is an adaptive policy. {TRAINING_ONLY}"
            )
        entries = check_document(config, cls.json_name, known, "ops", FORMAT_VERSION)
        ops = [op_from_config(entry, f"ops[{i}]") for i, entry in enumerate(entries)]
        return cls(ops, seed=config.get("seed", 0), key_features=config.get("key_features", ()))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with anything that changes the augmented rows."""
        content = json.dumps(self.get_config(), sort_keys=True)
        if self.requirements() and self.fitted is not None:
            used = FittedState(
                {r: self.fitted[r] for r in self.requirements() if r in self.fitted.arrays}
            )
            content += used.digest()
        return hashlib.sha256(content.encode()).hexdigest()[:16]
