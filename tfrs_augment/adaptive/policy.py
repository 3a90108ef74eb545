"""`AdaptivePolicy`: several policies, of which one is in force while a model trains."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow as tf

from tfrs_augment.adaptive.strategies import Strategy, strategy_from_config
from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.features import as_column
from tfrs_augment.json_file import JsonFile, check_document
from tfrs_augment.ops import Op
from tfrs_augment.ops.base import select_rows
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.policy import TRAINING_ONLY, AugmentationPolicy
from tfrs_augment.rng import Column, KeyedRng

if TYPE_CHECKING:
    from tfrs_augment.adaptive.callback import AdaptiveCallback

FORMAT_VERSION = 1
_CHOICE = "adaptive/arm"
"""What the choice between two arms hangs on, as an op's draws hang on its id."""


@dataclasses.dataclass(frozen=True)
class AdaptivePolicy(JsonFile):
    """Augmentation whose strength changes while a model trains, by a strategy.

    Give it to `aug.wrap` in place of a policy, and its `callback` to `model.fit`. Which arm is in force is a
    variable that the training step reads: the step is traced once, whatever is chosen. A row gets what the
    arm in force gives it by itself at the same draw number.

    Args:
      arms: name to policy, from weak to strong; None is no augmentation. At least two. All policies have the
        same key features.
      strategy: what chooses, such as `aug.adaptive.GeneralizationGap()`.
      fitted: the statistics that the policies and the strategy ask for; see `aug.fitting.fit`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.IdDropout("id", rate=0.2)], key_features=["id"])
      >>> adaptive = aug.AdaptivePolicy(
      ...     aug.adaptive.strengths(policy, (0, 0.5, 1)), strategy=aug.adaptive.Exp3()
      ... )
      >>> list(adaptive.arms)
      ['0', '0.5', '1']
      >>> # model = aug.wrap(model, adaptive)
      >>> # callback = adaptive.callback(monitor="val_loss")
      >>> # model.fit(rows, validation_data=held_out, epochs=20, callbacks=[callback])
      >>> # aug.adaptive.freeze(callback).save("policy.json")
    """

    arms: Mapping[str, AugmentationPolicy | None]
    json_name: ClassVar[str] = "adaptive policy"
    training_only: ClassVar[str] = TRAINING_ONLY
    _: dataclasses.KW_ONLY
    strategy: Strategy
    fitted: FittedState | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.arms, Mapping) or len(self.arms) < 2:
            raise InvalidArgumentError(
                "`arms` must be a dict of at least two: name to an AugmentationPolicy or None. "
                f"Received: arms={self.arms!r}."
            )
        for name, arm in self.arms.items():
            if not isinstance(name, str) or not name:
                raise InvalidArgumentError(f"`arms` must have names. Received: {name!r}.")
            if arm is not None and not isinstance(arm, AugmentationPolicy):
                raise InvalidArgumentError(
                    "`arms` must hold AugmentationPolicy or None. "
                    f"Received: {arm!r} (arm {name!r})."
                )
        keys = {arm.key_features for arm in self.policies}
        if len(keys) != 1:
            raise InvalidArgumentError(
                "`arms` must hold at least one policy, and policies of the same key_features. "
                f"Received: key_features {sorted(keys) or 'of no policy'}."
            )
        if not isinstance(self.strategy, Strategy):
            raise InvalidArgumentError(
                "`strategy` must be a strategy of aug.adaptive, such as aug.adaptive.Exp3(). "
                f"Received: strategy={self.strategy!r}."
            )
        self.strategy.check(tuple(self.arms))
        arms = dict(self.arms)
        if self.fitted is not None:
            arms = {n: arm and arm.with_fitted(self.fitted) for n, arm in arms.items()}
        object.__setattr__(self, "arms", arms)

    @property
    def policies(self) -> tuple[AugmentationPolicy, ...]:
        """The arms that augment."""
        return tuple(arm for arm in self.arms.values() if arm is not None)

    @property
    def ops(self) -> tuple[Op, ...]:
        """The ops of all arms."""
        return tuple(op for arm in self.policies for op in arm.ops)

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the arms change, in the order of their first use."""
        return tuple(dict.fromkeys(name for arm in self.policies for name in arm.features))

    @property
    def key_features(self) -> tuple[str, ...]:
        """The key features of the policies."""
        return self.policies[0].key_features

    def requirements(self) -> tuple[Requirement, ...]:
        """The statistics that the arms and the strategy ask for."""
        found = [r for arm in self.policies for r in arm.requirements()]
        return tuple(dict.fromkeys([*found, *self.strategy.requirements()]))

    def missing_requirements(self) -> tuple[Requirement, ...]:
        """The statistics that are asked for and lacking."""
        held = self.fitted.arrays if self.fitted is not None else {}
        found = [r for arm in self.policies for r in arm.missing_requirements()]
        found += [r for r in self.strategy.requirements() if r not in held]
        return tuple(dict.fromkeys(found))

    def with_fitted(self, fitted: FittedState | None) -> AdaptivePolicy:
        """The policy with fitted statistics, which its arms take over."""
        return dataclasses.replace(self, fitted=fitted)

    def row_keys(self, features: Mapping[str, Column]) -> tf.Tensor:
        """The keys of rows, as `AugmentationPolicy.row_keys` gives them."""
        return self.policies[0].row_keys(features)

    @tf.autograph.experimental.do_not_convert
    def augment(
        self,
        features: Mapping[str, Column],
        *,
        place: float | tf.Tensor | None = None,
        draw: int | tf.Tensor = 0,
        keys: tf.Tensor | None = None,
    ) -> dict[str, Column]:
        """Augments a batch with the arm at a place; a pure TensorFlow function.

        Args:
          features: name to column.
          place: a number in [0, arms - 1], or a tensor of it, scalar or `[batch]`: at 1.0 rows get the second
            arm, at 1.25 each gets the third with the chance 0.25, else the second. Default: what the
            strategy says of each row, where it goes by rows.
          draw: the draw number, see `AugmentationPolicy.augment`.
          keys: uint64 `[batch]`, row keys to use in place of the key features'.

        Returns:
          A new dict; the features that no arm changes are the same objects as in `features`.

        Raises:
          InvalidArgumentError: there is no place, as in `tf.data`, where nothing trains.
          UnknownFeatureError: an arm's feature or a key feature is missing.
        """
        if place is None and not self.strategy.by_row:
            raise InvalidArgumentError(f"`augment` has no arm in force. {TRAINING_ONLY}")
        columns = dict(features)
        for name in self.features:
            if name not in columns:
                raise UnknownFeatureError(
                    f"An arm needs feature '{name}', which is missing from the batch. "
                    f"{close_matches(name, columns)}"
                )
            columns[name] = as_column(name, columns[name])
        keys = self.row_keys(features) if keys is None else keys
        if place is None:
            place = self.strategy.row_places(columns, self.fitted, len(self.arms))
        chosen = self._chosen(tf.cast(place, tf.float32), keys, draw)
        result = dict(columns)
        for index, arm in enumerate(self.arms.values()):
            if arm is not None and arm.ops:
                rows = tf.equal(chosen, index)
                result.update(_on_rows(arm, rows, columns, result, draw, keys))
        return result

    def _chosen(self, place: tf.Tensor, keys: tf.Tensor, draw: int | tf.Tensor) -> tf.Tensor:
        """The index of each row's arm, int32 `[batch]`."""
        place = tf.clip_by_value(place, 0.0, float(len(self.arms) - 1))
        lower = tf.floor(place)
        chance = KeyedRng(self.policies[0].seed, keys, draw).fork(_CHOICE).uniform()
        above = tf.where(chance < place - lower, tf.ones_like(chance), tf.zeros_like(chance))
        return tf.cast(lower + above, tf.int32)

    def callback(
        self,
        *,
        monitor: str = "val_ndcg@50",
        mode: str = "auto",
        seed: int = 0,
        path: str | os.PathLike | None = None,
    ) -> AdaptiveCallback:
        """What changes the arm in force while a model that wraps this policy trains.

        Args:
          monitor: the metric that the strategy learns from, a name in Keras' logs, such as "val_loss".
            In an epoch without it the arm stays.
          mode: "max" where higher is better, "min", or "auto": "min" for names with "loss", "error", "rmse",
            "mse" or "mae" in them, else "max".
          seed: of the strategy's draws.
          path: a JSON file that holds the state of the callback after each epoch. Where it is there, training
            goes on from it, and says so. Default: none.

        Raises:
          InvalidArgumentError: an argument breaks its rule; in `fit`, if the model does not wrap this
            policy, or the monitored metric never came.
        """
        from tfrs_augment.adaptive.callback import AdaptiveCallback

        return AdaptiveCallback(self, monitor=monitor, mode=mode, seed=seed, path=path)

    def get_config(self) -> dict[str, Any]:
        """The policy as JSON values, without the fitted statistics."""
        return {
            "format_version": FORMAT_VERSION,
            "strategy": self.strategy.get_config(),
            "arms": [
                {"name": name, "policy": arm and arm.get_config()}
                for name, arm in self.arms.items()
            ],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AdaptivePolicy:
        """The inverse of `get_config`.

        Raises:
          InvalidArgumentError: a newer format, an unknown field or strategy, or a value that breaks its rule.
        """
        known = ("format_version", "strategy", "arms")
        entries = check_document(config, cls.json_name, known, "arms", FORMAT_VERSION)
        arms: dict[str, AugmentationPolicy | None] = {}
        for index, entry in enumerate(entries):
            where = f"arms[{index}]"
            if not isinstance(entry, Mapping) or set(entry) != {"name", "policy"}:
                raise InvalidArgumentError(
                    f'{where} must be an object of "name" and "policy". Received: {entry!r}.'
                )
            if not isinstance(entry["name"], str) or entry["name"] in arms:
                raise InvalidArgumentError(
                    f"{where}: the name must be a string that no arm before has. "
                    f"Received: {entry['name']!r}."
                )
            try:
                arm = entry["policy"] and AugmentationPolicy.from_config(entry["policy"])
            except InvalidArgumentError as error:
                raise InvalidArgumentError(f"{where}: {error}") from error
            arms[entry["name"]] = arm
        return cls(arms, strategy=strategy_from_config(config.get("strategy")))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with anything that changes the augmented rows."""
        content = json.dumps(self.get_config(), sort_keys=True)
        content += "".join(arm.fingerprint for arm in self.policies)
        used = self.strategy.requirements()
        if used and self.fitted is not None:
            held = {r: self.fitted[r] for r in used if r in self.fitted.arrays}
            content += FittedState(held).digest()
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class InForce:
    """An adaptive policy inside a model: the policy that is in force at the place that a variable holds.

    It has what `wrap` asks of a policy. The variable is no part of the model.
    """

    def __init__(self, policy: AdaptivePolicy):
        self.policy = policy
        self.place = tf.Variable(
            0.0,
            trainable=False,
            dtype=tf.float32,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self.features, self.key_features = policy.features, policy.key_features

    def augment(self, features, *, draw=0, keys=None) -> dict[str, Column]:
        """As `AdaptivePolicy.augment` does, at the place in force."""
        place = None if self.policy.strategy.by_row else self.place.read_value()
        return self.policy.augment(features, place=place, draw=draw, keys=keys)


def strengths(
    policy: AugmentationPolicy, levels: Sequence[float] | Mapping[str, float]
) -> dict[str, AugmentationPolicy | None]:
    """Arms that are one policy at several strengths: the rate of each op, times the strength.

    Args:
      policy: the policy at strength 1.
      levels: the strengths, in [0, 1] and rising; or name to strength. 0 is no augmentation at all, 1 the
        policy itself.

    Returns:
      Name to policy, for `AdaptivePolicy`. As the ops keep their ids, a row that a weak arm changes is
      changed by a stronger one, too, at an equal draw number.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.IdDropout("id", rate=0.2)], key_features=["id"])
      >>> arms = aug.adaptive.strengths(policy, {"none": 0, "weak": 0.5, "strong": 1})
      >>> arms["none"], arms["weak"].ops[0].rate, arms["strong"] == policy
      (None, 0.1, True)
    """
    if not isinstance(policy, AugmentationPolicy):
        raise InvalidArgumentError(
            f"`policy` of strengths must be an AugmentationPolicy. Received: policy={policy!r}."
        )
    named = dict(levels) if isinstance(levels, Mapping) else {f"{s:.2g}": s for s in levels}
    found = list(named.values())
    numbers = all(
        isinstance(s, int | float) and not isinstance(s, bool) and 0 <= s <= 1 for s in found
    )
    rising = numbers and all(low < high for low, high in itertools.pairwise(found))
    if len(named) < len(levels) or len(named) < 2 or not rising:
        raise InvalidArgumentError(
            "`levels` must be at least two numbers in [0, 1], rising, that differ in two digits or have "
            f"names. Received: levels={levels!r}."
        )
    return {name: _at_strength(policy, level) for name, level in named.items()}


def _at_strength(policy: AugmentationPolicy, strength: float) -> AugmentationPolicy | None:
    if strength == 0:
        return None
    if strength == 1:
        return policy
    ops = [dataclasses.replace(op, rate=_scaled(op.rate, strength)) for op in policy.ops]
    return dataclasses.replace(policy, ops=ops)


def _scaled(rate: float | PopularityRate, strength: float) -> float | PopularityRate:
    if isinstance(rate, PopularityRate):
        return PopularityRate(scale=rate.scale * strength, maximum=rate.maximum * strength)
    return rate * strength


def _on_rows(
    arm: AugmentationPolicy,
    rows: tf.Tensor,
    columns: Mapping[str, Column],
    result: Mapping[str, Column],
    draw: int | tf.Tensor,
    keys: tf.Tensor,
) -> dict[str, Column]:
    """The features of an arm, of `result` but for some rows, which are what the arm makes of `columns`."""
    names = arm.features

    def changed() -> list[Column]:
        augmented = arm.augment(columns, draw=draw, keys=keys)
        return [_selected(name, rows, augmented[name], result[name]) for name in names]

    # Only an arm that some row gets is worth its time.
    found = tf.cond(tf.reduce_any(rows), changed, lambda: [result[name] for name in names])
    return dict(zip(names, found, strict=True))


def _selected(name: str, rows: tf.Tensor, new: Column, old: Column) -> Column:
    if new.dtype != old.dtype or not new.shape.is_compatible_with(old.shape):
        raise InvalidArgumentError(
            "`arms` of an AdaptivePolicy must keep the shape and the type of a feature, as rows of other "
            f"arms do. Received: an arm that makes {new.dtype.name} {new.shape} of '{name}', "
            f"{old.dtype.name} {old.shape}."
        )
    return select_rows(rows, new, old)


def indices(place: float, arms: int) -> tuple[int, int, float]:
    """The arms next to a place, and the chance of the second of them."""
    lower = min(int(math.floor(place)), arms - 1)
    return lower, min(lower + 1, arms - 1), place - lower
