"""Ops made of ops: all in order, one of several, some of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.features import FeatureBatch
from tfrs_augment.ops.base import Op, Params, select_rows, with_unique_ids
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.rng import KeyedRng, cumulative_bounds
from tfrs_augment.schema import Schema

_WEIGHT_UNIT = 10**6
"""Weights are rounded to this share of the smallest unit that `cumulative_bounds` counts in."""


@dataclasses.dataclass(frozen=True)
class _Combination(Op):
    """Ops that act together on a row; which of them do is drawn row by row.

    A part's random numbers hang on its own id within the combination, so that adding a part does not
    reshuffle those of the others.
    """

    ops: tuple[Op, ...]

    def __post_init__(self):
        if isinstance(self.ops, Op) or not isinstance(self.ops, Sequence) or not self.ops:
            raise InvalidArgumentError(
                f"`ops` of {type(self).__name__} must be a list of at least one op. Received: {self.ops!r}."
            )
        for op in self.ops:
            if not isinstance(op, Op):
                raise InvalidArgumentError(
                    f"`ops` of {type(self).__name__} must hold ops of aug.ops. Received: {op!r}."
                )
        object.__setattr__(self, "ops", with_unique_ids(self.ops, self.fitted))
        super().__post_init__()

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for op in self.ops for name in op.features))

    @property
    def stage(self) -> str:
        stages = {op.stage for op in self.ops}
        return stages.pop() if len(stages) == 1 else "mixed"

    @property
    def scope(self) -> str:
        scopes = {op.scope for op in self.ops}
        return next(scope for scope in ("batch", "dataset", "row") if scope in scopes)

    def parts(self) -> Iterator[Op]:
        for op in self.ops:
            yield from op.parts()

    def requirements(self) -> tuple[Requirement, ...]:
        return tuple(dict.fromkeys(r for op in self.ops for r in op.requirements()))

    def check(self, schema: Schema) -> None:
        for op in self.ops:
            op.check(schema)

    def __str__(self) -> str:
        return f"{type(self).__name__} of {', '.join(type(op).__name__ for op in self.ops)}"

    def chosen(self, batch: FeatureBatch, rng: KeyedRng) -> list[tf.Tensor]:
        """Which rows each part acts on: bool `[batch]`, one a part."""
        raise TypeError(f"{type(self).__name__} must define chosen(batch, rng).")

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        # A later part draws for the rows as the earlier ones leave them.
        params = {}
        for op, rows in zip(self.ops, self.chosen(batch, rng), strict=True):
            params[op.id] = {"rows": rows, "drawn": op.draw(batch, rng.fork(op.id))}
            batch = _apply_to_rows(op, batch, params[op.id])
        return params

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        for op in self.ops:
            batch = _apply_to_rows(op, batch, params[op.id])
        return batch

    def __call__(self, batch: FeatureBatch, rng: KeyedRng) -> FeatureBatch:
        # What apply(draw()) gives, without applying each part twice.
        for op, rows in zip(self.ops, self.chosen(batch, rng), strict=True):
            drawn = op.draw(batch, rng.fork(op.id))
            batch = _apply_to_rows(op, batch, {"rows": rows, "drawn": drawn})
        return batch


def _apply_to_rows(op: Op, batch: FeatureBatch, params: Params) -> FeatureBatch:
    """What an op makes of some rows; the others stay.

    Raises:
      InvalidArgumentError: the op changes the shape or the type of all rows of a feature.
    """
    result = op.apply(batch, params["drawn"])
    for name in op.features:
        new, old = result[name], batch[name]
        if new.dtype != old.dtype or not new.shape.is_compatible_with(old.shape):
            raise InvalidArgumentError(
                "`ops` of OneOf, SomeOf and Sequential must keep the shape and the type of a feature, as "
                f"rows on which they do not act do. Received: {op}, which makes {new.dtype.name} "
                f"{new.shape} of '{name}', {old.dtype.name} {old.shape}. Put it into the policy by itself."
            )
    return batch.replace(
        {name: select_rows(params["rows"], result[name], batch[name]) for name in op.features}
    )


def _check_weights(op: _Combination, weights: Sequence[float] | None) -> None:
    if weights is None:
        return
    fit = len(weights) == len(op.ops) and all(
        isinstance(w, int | float) and 0 <= w < float("inf") for w in weights
    )
    if not fit or not sum(weights) > 0:
        raise op.invalid(
            "weights", f"must be {len(op.ops)} numbers of at least 0, not all 0", weights
        )


@dataclasses.dataclass(frozen=True)
class Sequential(_Combination):
    """All of several ops, in order, on the rows that it acts on.

    Args:
      ops: the parts.
      rate: the chance that a row gets them all, in [0, 1]; default 1.
    """

    def chosen(self, batch: FeatureBatch, rng: KeyedRng) -> list[tf.Tensor]:
        return [rng.uniform() < self.rate] * len(self.ops)


@dataclasses.dataclass(frozen=True)
class OneOf(_Combination):
    """One of several ops, drawn for each row.

    Args:
      ops: the parts.
      weights: how likely each is, relative to the others; by default all alike.
      rate: the chance that a row gets one at all, in [0, 1]; default 1.

    Reference:
      The choice of one operation as in TrivialAugment, Müller and Hutter, ICCV 2021, section 3.
    """

    _: dataclasses.KW_ONLY
    weights: tuple[float, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        _check_weights(self, self.weights)

    def chosen(self, batch: FeatureBatch, rng: KeyedRng) -> list[tf.Tensor]:
        weights = self.weights or [1] * len(self.ops)
        shares = [round(weight / sum(weights) * _WEIGHT_UNIT) for weight in weights]
        part = rng.categorical(tf.constant(cumulative_bounds(shares), tf.int64), stream=1)
        acts = rng.uniform() < self.rate
        return [acts & (part == i) for i in range(len(self.ops))]


@dataclasses.dataclass(frozen=True)
class SomeOf(_Combination):
    """A drawn number of several ops, without repetition, drawn for each row and applied in their order.

    Args:
      ops: the parts.
      count_range: (low, high), how many act on a row; drawn evenly, both ends included.
      weights: how likely each is to be taken, relative to the others; by default all alike.
      rate: the chance that a row gets any at all, in [0, 1]; default 1.

    Reference:
      The choice of several operations as in RandAugment, Cubuk et al., NeurIPS 2020, section 3; weighted
      choice without repetition by Efraimidis and Spirakis, Information Processing Letters 97 (2006).
    """

    _: dataclasses.KW_ONLY
    count_range: tuple[int, int] = (1, 1)
    weights: tuple[float, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        _check_weights(self, self.weights)
        count = self.count_range
        whole = len(count) == 2 and all(isinstance(bound, int) for bound in count)
        if not whole or not 0 <= count[0] <= count[1] <= len(self.ops):
            raise self.invalid(
                "count_range", f"must be (low, high) integers in [0, {len(self.ops)}]", count
            )

    def chosen(self, batch: FeatureBatch, rng: KeyedRng) -> list[tf.Tensor]:
        low, high = self.count_range
        count = low + rng.integers(high - low + 1, stream=1)
        acts = rng.uniform() < self.rate
        uniforms = [tf.cast(rng.bits(stream=f"part {op.id}"), tf.float64) for op in self.ops]
        # The parts with the largest u ** (1 / weight); the logarithm keeps that order.
        keys = []
        for uniform, weight in zip(uniforms, self.weights or [1.0] * len(self.ops), strict=True):
            key = tf.math.log((uniform + 0.5) * 2.0**-32)
            keys.append(
                key / weight
                if weight
                else tf.fill(tf.shape(key), tf.constant(float("-inf"), tf.float64))
            )
        ahead = [
            tf.add_n(
                [tf.cast(other > key, tf.int64) for other in keys if other is not key]
                or [tf.zeros_like(count)]
            )
            for key in keys
        ]
        possible = [weight > 0 for weight in self.weights or [1.0] * len(self.ops)]
        return [acts & (rank < count) & can for rank, can in zip(ahead, possible, strict=True)]
