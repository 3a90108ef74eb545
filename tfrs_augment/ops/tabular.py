"""Ops on ids, categories and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, select
from tfrs_augment.ops.fitted import Requirement, bytes_table
from tfrs_augment.rng import Column, KeyedRng, cumulative_bounds

Token = str | int | float

UNKNOWN: Mapping[str, Token] = {"bytes": "[UNK]", "int64": -1, "float": 0.0}
"""The token that stands for "not known", by kind: what Keras's lookup layers map to out-of-vocabulary."""


def _token(value: Token | None, column: Column) -> tf.Tensor:
    """A token as a scalar of the column's dtype."""
    if value is None:
        value = UNKNOWN[
            "bytes"
            if column.dtype == tf.string
            else "float"
            if column.dtype.is_floating
            else "int64"
        ]
    return tf.constant(value, column.dtype)


def _matches(value: Token, dtype: tf.DType) -> bool:
    if dtype == tf.string:
        return isinstance(value, str)
    return isinstance(value, int | float) if dtype.is_floating else isinstance(value, int)


@dataclasses.dataclass(frozen=True)
class IdDropout(Op):
    """Replaces ids by the out-of-vocabulary token.

    A tower that sometimes sees an item without its id learns to score it by its other features, and trains
    the row of the embedding table that new items will use. Each id of a ragged or `[batch, n]` column is
    dropped by itself.

    Args:
      feature: the id column: strings or integers, `[batch]`, `[batch, n]` or ragged.
      rate: the chance that an id is dropped, in [0, 1].
      oov_token: what it is replaced by; by default "[UNK]" for strings and -1 for integers, which
        `StringLookup` and `IntegerLookup` map to the out-of-vocabulary row. A table indexed by plain
        integers (`Embedding` without a lookup) needs a row to be named here, such as 0.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> dropout = aug.ops.IdDropout("movie_id", rate=1.0)
      >>> policy = aug.AugmentationPolicy([dropout], key_features=["movie_id"])
      >>> policy.augment({"movie_id": tf.constant(["12", "7"])}, draw=0)["movie_id"].numpy().tolist()
      [b'[UNK]', b'[UNK]']

    Reference:
      Volkovs, Yu and Poutanen, "DropoutNet: Addressing Cold Start in Recommender Systems", NeurIPS 2017,
      section 4.1. There the preference input of a user or an item is zeroed; here its id goes to the
      out-of-vocabulary row, so that the row that serves new items is trained.
    """

    feature: str
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()
    oov_token: str | int | None = None

    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")

    def __post_init__(self):
        super().__post_init__()
        if not (self.oov_token is None or isinstance(self.oov_token, str | int)):
            raise self.invalid("oov_token", "must be a string or an integer", self.oov_token)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        return {"drop": rng.uniform(self.column(batch, self.feature)) < self.rate}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        if self.oov_token is not None and not _matches(self.oov_token, column.dtype):
            raise self.invalid(
                "oov_token", f"must fit a {column.dtype.name} feature", self.oov_token
            )
        values = tf.where(params["drop"], _token(self.oov_token, column), values_of(column))
        return batch.replace({self.feature: with_values(column, values)})


@dataclasses.dataclass(frozen=True)
class FeatureMask(Op):
    """Hides whole features of a row, each by itself with the same chance.

    Args:
      masked: the features to mask, of any kind and shape. All values of a masked feature become its mask
        value; a ragged one keeps its length.
      rate: the chance that a feature of a row is masked, in [0, 1].
      mask_values: feature to value, where the default ("[UNK]" for strings, -1 for integers, 0.0 for floats)
        is not the one that stands for "missing" in the model.

    Reference:
      Yao et al., "Self-supervised Learning for Large-scale Item Recommendations", CIKM 2021, section 3.2
      (random feature masking); there two masked views feed a contrastive loss, here the mask stands alone.
    """

    masked: tuple[str, ...]
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()
    mask_values: Mapping[str, Token] | None = None

    def __post_init__(self):
        object.__setattr__(
            self, "masked", (self.masked,) if isinstance(self.masked, str) else tuple(self.masked)
        )
        super().__post_init__()
        if len(set(self.masked)) < len(self.masked):
            raise self.invalid("masked", "must name each feature once", self.masked)
        for name, value in (self.mask_values or {}).items():
            if name not in self.masked:
                raise self.invalid("mask_values", f"may only name features of {self.masked}", name)
            if not isinstance(value, Token):
                raise self.invalid(
                    "mask_values", "must map a feature to a string or a number", value
                )

    @property
    def features(self) -> tuple[str, ...]:
        return self.masked

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        # A stream per name: the draws of a feature do not depend on which others are masked.
        return {name: rng.uniform(stream=name) < self.rate for name in self.masked}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        changed = {}
        for name in self.masked:
            column, mask = self.column(batch, name), params[name]
            value = (self.mask_values or {}).get(name)
            if value is not None and not _matches(value, column.dtype):
                raise self.invalid(
                    "mask_values", f"must fit '{name}' of type {column.dtype.name}", value
                )
            if isinstance(column, tf.RaggedTensor):
                mask = tf.gather(mask, column.value_rowids())
            else:
                shape = tf.concat([tf.shape(mask), tf.ones([column.shape.rank - 1], tf.int32)], 0)
                mask = tf.reshape(mask, shape)
            values = tf.where(mask, _token(value, column), values_of(column))
            changed[name] = with_values(column, values)
        return batch.replace(changed)


@dataclasses.dataclass(frozen=True)
class CategorySwap(Op):
    """Replaces categories by others, drawn as often as the data hold them (the fitted marginal).

    The drawn value may be the one that was there, so a share of `rate` times the marginal's concentration
    stays as it was.

    Args:
      feature: strings or integers, `[batch]`, `[batch, n]` or ragged; each value is swapped by itself.
      rate: the chance that a value is swapped, in [0, 1].

    Reference:
      The "swap noise" of tabular denoising; Yoon et al., "VIME: Extending the Success of Self- and
      Semi-supervised Learning to Tabular Domain", NeurIPS 2020, section 4.1 (pretext corruption by the
      empirical marginal).
    """

    feature: str
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()

    scope: ClassVar[str] = "dataset"
    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")

    def requirements(self) -> tuple[Requirement, ...]:
        return (Requirement("marginal", self.feature),)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        bounds = np.array(
            cumulative_bounds(self.statistic(self.requirements()[0])["counts"]), np.int64
        )
        return {
            "swap": rng.uniform(column) < self.rate,
            "index": rng.categorical(tf.constant(bounds), column, stream=1),
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        arrays = self.statistic(self.requirements()[0])
        if ("values" in arrays) == (column.dtype == tf.string):
            fitted = "integers" if "values" in arrays else "strings"
            raise self.invalid(
                "feature",
                f"was fitted on {fitted}; the batch holds {column.dtype.name}",
                self.feature,
            )
        table = tf.constant(arrays["values"] if "values" in arrays else bytes_table(arrays))
        values = select(params["swap"], tf.gather(table, params["index"]), values_of(column))
        return batch.replace({self.feature: with_values(column, values)})


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Op):
    """Adds Gaussian noise to numbers.

    Args:
      feature: floats or integers, `[batch]`, `[batch, n]` or ragged; each value gets noise of its own.
        Integers stay integers: the noise is rounded.
      stddev: the noise's standard deviation, at least 0.
      unit: "absolute" (the feature's own unit) or "stddev" (of the feature's fitted standard deviation).
      rate: the chance that a value gets noise, in [0, 1]; default 1.
      clip_range: (low, high), bounds for the changed values, in the feature's unit. Default: none.

    NaN and infinity stay what they are.

    Reference:
      Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural Computation 1995.
    """

    feature: str
    _: dataclasses.KW_ONLY
    stddev: float
    unit: str = "absolute"
    clip_range: tuple[float, float] | None = None

    kinds: ClassVar[tuple[str, ...]] = ("float", "int64")

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.stddev, int | float) or not 0 <= self.stddev < float("inf"):
            raise self.invalid("stddev", "must be a finite number of at least 0", self.stddev)
        if self.unit not in ("absolute", "stddev"):
            raise self.invalid("unit", 'must be "absolute" or "stddev"', self.unit)
        if self.clip_range is not None and not (
            len(self.clip_range) == 2 and self.clip_range[0] <= self.clip_range[1]
        ):
            raise self.invalid(
                "clip_range", "must be (low, high) with low <= high", self.clip_range
            )

    def requirements(self) -> tuple[Requirement, ...]:
        return (Requirement("moments", self.feature),) if self.unit == "stddev" else ()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        scale = self.stddev
        if self.unit == "stddev":
            scale *= float(self.statistic(self.requirements()[0])["stddev"])
        noise = rng.normal(column, stream=1) * tf.constant(scale, tf.float32)
        if self.rate < 1:
            noise = tf.where(rng.uniform(column) < self.rate, noise, 0.0)
        return {"noise": noise}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        values, noise = values_of(column), params["noise"]
        noise = tf.cast(noise if column.dtype.is_floating else tf.round(noise), column.dtype)
        noisy = values + noise
        if self.clip_range is not None:
            noisy = tf.clip_by_value(
                noisy, *(tf.cast(bound, column.dtype) for bound in self.clip_range)
            )
        # What got no noise stays as it was to the bit: not clipped, and -0.0 not turned into 0.0.
        values = tf.where(tf.equal(noise, 0), values, noisy)
        return batch.replace({self.feature: with_values(column, values)})
