"""Ops on ids, categories and groups of features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, check_range, select, select_rows, spread
from tfrs_augment.ops.fitted import Requirement, bytes_table
from tfrs_augment.ops.popularity import PopularityRate
from tfrs_augment.rng import Column, KeyedRng, cumulative_bounds
from tfrs_augment.schema import kind_of_dtype

Token = str | int | float

UNKNOWN: Mapping[str, Token] = {"bytes": "[UNK]", "int64": -1, "float": 0.0}
"""The token that stands for "not known", by kind: what Keras's lookup layers map to out-of-vocabulary."""


def token_of(op: Op, argument: str, value: Token | None, name: str, column: Column) -> tf.Tensor:
    """A token that an op has as an argument, as a scalar of a column's dtype; None is the unknown one.

    Raises:
      InvalidArgumentError: it is of another kind than the column `name`.
    """
    dtype = column.dtype
    if value is None:
        return tf.constant(UNKNOWN[kind_of_dtype(dtype)], dtype)
    takes = str if dtype == tf.string else int | float if dtype.is_floating else int
    if not isinstance(value, takes):
        raise op.invalid(argument, f"must fit '{name}' of type {dtype.name}", value)
    return tf.constant(value, dtype)


@dataclasses.dataclass(frozen=True)
class IdDropout(Op):
    """Replaces ids by the out-of-vocabulary token.

    A tower that sometimes sees an item without its id learns to score it by its other features, and trains
    the row of the embedding table that new items will use. Each id of a ragged or `[batch, n]` column is
    dropped by itself.

    Args:
      feature: the id column: strings or integers, `[batch]`, `[batch, n]` or ragged.
      rate: the chance that an id is dropped, in [0, 1], or a `PopularityRate`.
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
    rate: float | PopularityRate = dataclasses.field()
    oov_token: str | int | None = None

    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")
    adaptive: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if not (self.oov_token is None or isinstance(self.oov_token, str | int)):
            raise self.invalid("oov_token", "must be a string or an integer", self.oov_token)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        return {"drop": rng.uniform(column) < self.rate_of(column, self.feature)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        token = token_of(self, "oov_token", self.oov_token, self.feature, column)
        values = tf.where(params["drop"], token, values_of(column))
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
        check_mask_values(self)

    @property
    def features(self) -> tuple[str, ...]:
        return self.masked

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        # A stream per name: the draws of a feature do not depend on which others are masked.
        return {name: rng.uniform(stream=name) < self.rate for name in self.masked}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        return mask_features(self, batch, params, self.mask_values)


@dataclasses.dataclass(frozen=True)
class FeatureCrop(Op):
    """Keeps a drawn run of neighbours out of a group of features, and hides the others.

    It stands for the user who looks at a part of a page only, or the row of which one screenful arrived.

    Args:
      group: at least two features, in the order in which they are neighbours; of any kind and shape.
      keep_range: (low, high), the share of the group that is kept, each in (0, 1]; the number kept is drawn
        evenly among those from ceil(low * n) to ceil(high * n), and so is where the run starts.
      rate: the chance that a row is cropped, in [0, 1]; default 1.
      mask_values: as in `FeatureMask`.

    Reference:
      Random crop of images, applied to a row of features; for the sequence of a user's items see CL4SRec
      (Xie et al., ICDE 2022, section 4.1, item cropping).
    """

    group: tuple[str, ...]
    _: dataclasses.KW_ONLY
    keep_range: tuple[float, float] = (0.5, 0.9)
    mask_values: Mapping[str, Token] | None = None

    def __post_init__(self):
        object.__setattr__(self, "group", tuple(self.group))
        super().__post_init__()
        if len(set(self.group)) < 2 or len(set(self.group)) < len(self.group):
            raise self.invalid("group", "must name at least two features, each once", self.group)
        check_range(self, "keep_range", self.keep_range, 0.0, 1.0)
        if self.keep_range[0] == 0:
            raise self.invalid("keep_range", "must start above 0", self.keep_range)
        check_mask_values(self)

    @property
    def features(self) -> tuple[str, ...]:
        return self.group

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        n = len(self.group)
        low, high = (math.ceil(share * n) for share in self.keep_range)
        kept = low + rng.integers(high - low + 1)
        start = rng.integers(n - kept + 1, stream=1)
        cropped = rng.uniform(stream=2) < self.rate
        return {
            name: cropped & ((i < start) | (i >= start + kept)) for i, name in enumerate(self.group)
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        return mask_features(self, batch, params, self.mask_values)


def marginal_table(op: Op, column: Column) -> tf.Tensor:
    """The values of the fitted marginal of an op's feature, `[values]`, in the column's type."""
    arrays = op.statistic(Requirement("marginal", op.feature))
    if ("values" in arrays) == (column.dtype == tf.string):
        fitted = "integers" if "values" in arrays else "strings"
        raise op.invalid(
            "feature", f"was fitted on {fitted}; the batch holds {column.dtype.name}", op.feature
        )
    return (
        tf.constant(arrays["values"], column.dtype)
        if "values" in arrays
        else tf.constant(bytes_table(arrays))
    )


def check_mask_values(op: Op) -> None:
    """Checks an op's `mask_values`: tokens of features that it has.

    Raises:
      InvalidArgumentError: they are not.
    """
    for name, value in (op.mask_values or {}).items():
        if name not in op.features:
            raise op.invalid("mask_values", f"may only name features of {op.features}", name)
        if not isinstance(value, Token):
            raise op.invalid("mask_values", "must map a feature to a string or a number", value)


def mask_features(
    op: Op, batch: FeatureBatch, masks: Params, mask_values: Mapping[str, Token] | None
) -> FeatureBatch:
    """Puts mask values in place of all values of a feature where its mask `[batch]` is set."""
    changed = {}
    for name, mask in masks.items():
        column = op.column(batch, name)
        token = token_of(op, "mask_values", (mask_values or {}).get(name), name, column)
        values = tf.where(spread(mask, column), token, values_of(column))
        changed[name] = with_values(column, values)
    return batch.replace(changed)


@dataclasses.dataclass(frozen=True)
class CategorySwap(Op):
    """Replaces categories by others, drawn as often as the data hold them (the fitted marginal).

    The drawn value may be the one that was there, so a share of `rate` times the marginal's concentration
    stays as it was.

    Args:
      feature: strings or integers, `[batch]`, `[batch, n]` or ragged; each value is swapped by itself.
      rate: the chance that a value is swapped, in [0, 1], or a `PopularityRate`.

    Reference:
      The "swap noise" of tabular denoising; Yoon et al., "VIME: Extending the Success of Self- and
      Semi-supervised Learning to Tabular Domain", NeurIPS 2020, section 4.1 (pretext corruption by the
      empirical marginal).
    """

    feature: str
    _: dataclasses.KW_ONLY
    rate: float | PopularityRate = dataclasses.field()

    scope: ClassVar[str] = "dataset"
    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")
    adaptive: ClassVar[bool] = True

    def requirements(self) -> tuple[Requirement, ...]:
        return (Requirement("marginal", self.feature),)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        bounds = np.array(
            cumulative_bounds(self.statistic(self.requirements()[0])["counts"]), np.int64
        )
        return {
            "swap": rng.uniform(column) < self.rate_of(column, self.feature),
            "index": rng.categorical(tf.constant(bounds), column, stream=1),
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        table = marginal_table(self, column)
        values = select(params["swap"], tf.gather(table, params["index"]), values_of(column))
        return batch.replace({self.feature: with_values(column, values)})


@dataclasses.dataclass(frozen=True)
class DomainSwap(Op):
    """Replaces a domain (device, platform, market) by another one, every other one as likely.

    For models that must serve on one device what they learnt on others: a tower that cannot rely on the
    domain learns what holds in all of them. The value that was there is never drawn.

    Args:
      feature: strings or integers, `[batch]`, `[batch, n]` or ragged; each value is swapped by itself.
      rate: the chance that a value is swapped, in [0, 1].
      domains: the values to draw from; by default those of the fitted marginal, at most 1,000.

    Reference:
      Domain randomization: Tobin et al., IROS 2017, section III, with the domain's label as what varies.
    """

    feature: str
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()
    domains: tuple[str | int, ...] | None = None

    scope: ClassVar[str] = "dataset"
    kinds: ClassVar[tuple[str, ...]] = ("bytes", "int64")

    def __post_init__(self):
        super().__post_init__()
        if self.domains is not None:
            object.__setattr__(self, "domains", tuple(self.domains))
            if len(set(self.domains)) < max(2, len(self.domains)) or len(self.domains) > 1000:
                raise self.invalid("domains", "must be 2 to 1,000 different values", self.domains)
            if len({type(value) for value in self.domains} & {str, int}) != 1:
                raise self.invalid("domains", "must all be strings or all integers", self.domains)

    def requirements(self) -> tuple[Requirement, ...]:
        return (Requirement("marginal", self.feature),) if self.domains is None else ()

    def _table(self, column: Column) -> tf.Tensor:
        if self.domains is None:
            table = marginal_table(self, column)
            if not 2 <= table.shape[0] <= 1000:
                raise self.invalid(
                    "feature", f"must have 2 to 1,000 domains, not {table.shape[0]}", self.feature
                )
            return table
        if isinstance(self.domains[0], str) != (column.dtype == tf.string):
            raise self.invalid("domains", f"must fit a {column.dtype.name} feature", self.domains)
        return tf.constant(self.domains, column.dtype)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        column = self.column(batch, self.feature)
        table = self._table(column)
        here = tf.equal(values_of(column)[..., tf.newaxis], table)
        # A value that is no domain counts as a place behind the last: then every domain is another one.
        place = tf.where(
            tf.reduce_any(here, -1), tf.argmax(tf.cast(here, tf.int32), -1), table.shape[0]
        )
        others = tf.where(place < table.shape[0], table.shape[0] - 1, table.shape[0])
        drawn = rng.integers(tf.cast(others, tf.int64), column, stream=1)
        return {
            "swap": rng.uniform(column) < self.rate,
            "index": drawn + tf.cast(drawn >= tf.cast(place, tf.int64), tf.int64),
        }

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        column = self.column(batch, self.feature)
        drawn = tf.gather(self._table(column), params["index"])
        return batch.replace(
            {self.feature: with_values(column, select(params["swap"], drawn, values_of(column)))}
        )


@dataclasses.dataclass(frozen=True)
class InBatchSwap(Op):
    """Replaces features of a row by those of another row, together.

    The partner is a row of the fitted pool, or, where no pool is fitted, of the batch. A pool is what makes
    the result independent of the batch, and a Beam job asks for one.

    Args:
      swapped: the features to take from the partner, of any kind and shape.
      rate: the chance that a row takes its partner's features, in [0, 1].

    Reference:
      Yoon et al., "VIME", NeurIPS 2020, section 4.1, and Bahri et al., "SCARF", ICLR 2022, section 3 (there
      each feature comes from a row of its own; `CategorySwap` does that).
    """

    swapped: tuple[str, ...]
    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()

    scope: ClassVar[str] = "batch"

    def __post_init__(self):
        names = (self.swapped,) if isinstance(self.swapped, str) else tuple(self.swapped)
        object.__setattr__(self, "swapped", names)
        super().__post_init__()
        if len(set(self.swapped)) < len(self.swapped):
            raise self.invalid("swapped", "must name each feature once", self.swapped)

    @property
    def features(self) -> tuple[str, ...]:
        return self.swapped

    def requirements(self) -> tuple[Requirement, ...]:
        return tuple(Requirement("pool", name) for name in self.swapped)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        size = tf.maximum(tf.size(batch.keys, tf.int64), 1)
        if self.fitted is not None:
            size = len(self.statistic(self.requirements()[0])["row_splits"]) - 1
        return {"swap": rng.uniform() < self.rate, "partner": rng.integers(size, stream=1)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        changed = {}
        for name, requirement in zip(self.swapped, self.requirements(), strict=True):
            column = self.column(batch, name)
            pool = column if self.fitted is None else self._pool(column, name, requirement)
            changed[name] = select_rows(params["swap"], tf.gather(pool, params["partner"]), column)
        return batch.replace(changed)

    def _pool(self, column: Column, name: str, requirement: Requirement) -> Column:
        arrays = self.statistic(requirement)
        if ("values" in arrays) == (column.dtype == tf.string):
            raise self.invalid(
                "swapped", f"'{name}' was fitted on another type than {column.dtype.name}", name
            )
        values = tf.constant(arrays["values"] if "values" in arrays else bytes_table(arrays))
        pool = tf.RaggedTensor.from_row_splits(tf.cast(values, column.dtype), arrays["row_splits"])
        if isinstance(column, tf.RaggedTensor):
            return pool.with_row_splits_dtype(column.row_splits.dtype)
        if not np.all(np.diff(arrays["row_splits"]) == np.prod(column.shape[1:], dtype=int)):
            raise self.invalid(
                "swapped",
                f"'{name}' has rows of other lengths in the pool; pass it as a ragged column",
                name,
            )
        return tf.reshape(pool.flat_values, [-1, *column.shape[1:]])
