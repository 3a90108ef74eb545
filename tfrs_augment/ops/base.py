"""What every op is: a frozen dataclass that is its own configuration."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import FeatureBatch, values_of
from tfrs_augment.json_file import part_from_config, register
from tfrs_augment.ops.fitted import FittedState, Requirement
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.rng import Column, KeyedRng
from tfrs_augment.schema import KINDS, Schema, kind_of_dtype

Params = Mapping[str, Any]

_REGISTRY: dict[str, type[Op]] = {}


@dataclasses.dataclass(frozen=True)
class Op:
    """One augmentation.

    `draw` chooses what to do to each row, `apply` does it: two views can share a draw, a plot can show it,
    and a test can repeat it. Both are pure TensorFlow functions of columns.

    Attributes:
      rate: the chance that a value (or a row, as the op says) is changed, in [0, 1]. Ops on ids take a
        `PopularityRate`, too, by which each value has a chance of its own.
      id: what the op's random numbers hang on, so that another op in the policy does not reshuffle them.
        By default the class and its features; a policy makes it unique.
      fitted: the statistics that the op asked for by `requirements`, given by the policy.
    """

    rate: float | PopularityRate = dataclasses.field(default=1.0, kw_only=True)
    id: str = dataclasses.field(default="", kw_only=True)
    fitted: FittedState | None = dataclasses.field(
        default=None, kw_only=True, compare=False, repr=False
    )

    scope: ClassVar[str] = "row"
    """What a row's result depends on: "row" (itself), "batch", or "dataset" (fitted statistics)."""
    stage: ClassVar[str] = "feature"
    """Where it acts: "feature", "embedding" or "loss"."""
    kinds: ClassVar[tuple[str, ...]] = KINDS
    """The kinds of feature that it takes."""
    adaptive: ClassVar[bool] = False
    """Whether its rate may be a `PopularityRate`; then its `draw` asks `rate_of`."""

    def __init_subclass__(cls, abstract: bool = False, **kwargs):
        super().__init_subclass__(**kwargs)
        if not abstract and not cls.__name__.startswith("_"):
            register(_REGISTRY, cls, "an op")

    def __post_init__(self):
        for name in self.features:
            if not isinstance(name, str) or not name:
                raise self.invalid("features", "must be non-empty strings", name)
        if not self.features:
            raise self.invalid("features", "must name at least one feature", self.features)
        if self.adaptive and isinstance(self.rate, Mapping):
            object.__setattr__(self, "rate", PopularityRate.from_config(self.rate))
        if isinstance(self.rate, PopularityRate) and not self.adaptive:
            raise self.invalid("rate", "must be a number here, not by popularity", self.rate)
        if not isinstance(self.rate, PopularityRate) and not (
            isinstance(self.rate, int | float) and 0 <= self.rate <= 1
        ):
            raise self.invalid("rate", "must be in [0, 1]", self.rate)
        if not isinstance(self.id, str):
            raise self.invalid("id", "must be a string", self.id)
        if not self.id:
            snake = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
            object.__setattr__(self, "id", f"{snake}:{','.join(self.features)}")

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features that the op changes."""
        return (self.feature,)

    @property
    def aligned(self) -> tuple[str, ...]:
        """Those of its features that are lists of equal length in each row; a job refuses other rows."""
        return ()

    @property
    def encoded(self) -> tuple[str, ...]:
        """Those of its features that are encoded images; a job refuses rows whose images are broken."""
        return ()

    def parts(self) -> Iterator[Op]:
        """The ops that this one consists of: itself, or those that it combines."""
        yield self

    def requirements(self) -> tuple[Requirement, ...]:
        """The statistics that must be fitted before the op can draw."""
        return self.rate_requirements()

    def rate_requirements(self) -> tuple[Requirement, ...]:
        """The statistics that the rate needs: by popularity the marginals of the op's features."""
        if not isinstance(self.rate, PopularityRate):
            return ()
        return tuple(Requirement("marginal", name) for name in self.features)

    def rate_of(self, column: Column, feature: str) -> float | tf.Tensor:
        """The chance of each value of a column.

        Args:
          column: strings or integers, of any layout.
          feature: the column's name, one of the op's features.

        Returns:
          The rate where it is a number; by popularity float32, shaped as the column's values are (for a
          ragged column the flat `[values]`). It compares with `rng.uniform(column)` either way.
        """
        if not isinstance(self.rate, PopularityRate):
            return self.rate
        return self.rate.of(values_of(column), self.statistic(Requirement("marginal", feature)))

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        """Chooses what to do to each row.

        Args:
          batch: the batch as it is before this op.
          rng: the op's random numbers.

        Returns:
          Named tensors, nested as the op likes, that `apply` takes.
        """
        raise TypeError(f"{type(self).__name__} must define draw(batch, rng).")

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        """Does what was drawn: returns a batch with this op's features changed, the rest the same objects."""
        raise TypeError(f"{type(self).__name__} must define apply(batch, params).")

    def __call__(self, batch: FeatureBatch, rng: KeyedRng) -> FeatureBatch:
        return self.apply(batch, self.draw(batch, rng))

    def __str__(self) -> str:
        shown = ", ".join(repr(name) for name in self.features[:3])
        return f"{type(self).__name__} {shown}{', ...' if len(self.features) > 3 else ''}"

    def invalid(self, argument: str, rule: str, value: Any) -> InvalidArgumentError:
        """The error for an argument that breaks its rule."""
        return InvalidArgumentError(
            f"`{argument}` {rule}. Received: {argument}={value!r} ({self})."
        )

    def column(self, batch: FeatureBatch, name: str) -> Column:
        """A column of the batch, its kind checked."""
        column = batch[name]
        kind = kind_of_dtype(column.dtype)
        if kind not in self.kinds:
            raise DataError(
                f"{self} takes {' or '.join(self.kinds)} features. Received: '{name}' of type "
                f"{column.dtype.name}."
            )
        return column

    def statistic(self, requirement: Requirement) -> Mapping[str, Any]:
        """Arrays that were fitted for the op.

        Raises:
          InvalidArgumentError: the op is not fitted.
        """
        if self.fitted is None:
            raise InvalidArgumentError(
                f"{self} needs the {requirement}, which is not fitted. "
                "Fit the policy first: policy = aug.fitting.fit(policy, data)."
            )
        return self.fitted[requirement]

    def check(self, schema: Schema) -> None:
        """Checks that the data have the op's features, of a kind that it takes; see `Schema.require`."""
        for name in self.features:
            schema.require(name, self.kinds, str(self))

    def get_config(self) -> dict[str, Any]:
        """The op as JSON values: its class under "op" and every argument."""
        config: dict[str, Any] = {"op": type(self).__name__}
        for field in dataclasses.fields(self):
            if field.name != "fitted":
                config[field.name] = _to_json(getattr(self, field.name))
        return config


def _to_json(value: Any) -> Any:
    if isinstance(value, Op | PopularityRate):
        return value.get_config()
    if isinstance(value, Mapping):
        return {name: _to_json(item) for name, item in value.items()}
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def op_from_config(config: Mapping[str, Any], where: str) -> Op:
    """Builds an op from JSON values.

    Args:
      config: what `Op.get_config` returns; arguments that have a default may be left out.
      where: the place in the file, for messages, such as "ops[2]".

    Raises:
      InvalidArgumentError: an unknown op, an unknown or missing argument, or a value that breaks its rule.
    """
    return part_from_config(
        config, where, tag="op", registry=_REGISTRY, convert=_from_json, hidden=("fitted",)
    )


def _from_json(value: Any, where: str) -> Any:
    """A list as a tuple, and the configurations of ops in it as ops."""
    if not isinstance(value, list):
        return value
    return tuple(
        op_from_config(item, f"{where}[{i}]") if isinstance(item, Mapping) else item
        for i, item in enumerate(value)
    )


def select(mask: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """`new` where the mask is set, `old` elsewhere, in the dtype of `old`."""
    return tf.where(mask, tf.cast(new, old.dtype), old)


def check_range(
    op: Op, name: str, value: Any, low: float = float("-inf"), high: float = float("inf")
) -> None:
    """Checks an argument that is a range.

    Raises:
      InvalidArgumentError: it is not two finite numbers (low, high) with low <= high, within the bounds.
    """
    numbers = isinstance(value, tuple | list) and len(value) == 2
    finite = numbers and all(
        isinstance(bound, int | float) and math.isfinite(bound) for bound in value
    )
    if finite and low <= value[0] <= value[1] <= high:
        return
    within = "" if low == float("-inf") else f" in [{low:g}, {high:g}]"
    raise op.invalid(name, f"must be (low, high) with low <= high{within}", value)


def spread(rows: tf.Tensor, column: Column) -> tf.Tensor:
    """One value a row, `[batch]`, laid out so that it broadcasts with the values of a column."""
    if isinstance(column, tf.RaggedTensor):
        return tf.gather(rows, column.value_rowids())
    return tf.reshape(
        rows, tf.concat([tf.shape(rows), tf.ones([column.shape.rank - 1], tf.int32)], 0)
    )


def select_rows(mask: tf.Tensor, new: Column, old: Column) -> Column:
    """Rows of `new` where the mask `[batch]` is set, of `old` elsewhere; ragged rows may differ in length."""
    if isinstance(old, tf.RaggedTensor):
        count = tf.size(mask, tf.int64)
        index = tf.range(count) + tf.where(mask, count, tf.zeros([], tf.int64))
        return tf.gather(tf.concat([old, new], 0), index)
    return tf.where(spread(mask, old), new, old)


def with_unique_ids(ops: Sequence[Op], fitted: FittedState | None) -> tuple[Op, ...]:
    """Gives the statistics to ops, and numbers the ids of repeated ones (`id`, `id#2`, ...)."""
    result, used = [], set()
    for op in ops:
        unique, number = op.id, 1
        while unique in used:
            number += 1
            unique = f"{op.id}#{number}"
        used.add(unique)
        result.append(dataclasses.replace(op, id=unique, fitted=fitted))
    return tuple(result)
