"""Masks over groups of features: what is correlated goes together, and two views complement each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tfrs_augment.features import FeatureBatch, values_of, with_values
from tfrs_augment.ops.base import Op, Params, spread
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.ops.tabular import Token, check_mask_values, mask_features, token_of
from tfrs_augment.rng import Column, KeyedRng
from tfrs_augment.schema import kind_of_dtype


@dataclasses.dataclass(frozen=True)
class _GroupMask(Op):
    """What masks over a group of features share."""

    masked: tuple[str, ...]
    _: dataclasses.KW_ONLY
    mask_values: Mapping[str, Token] | None = None

    def __post_init__(self):
        names = (self.masked,) if isinstance(self.masked, str) else tuple(self.masked)
        object.__setattr__(self, "masked", names)
        super().__post_init__()
        if len(names) < 2 or len(set(names)) < len(names):
            raise self.invalid("masked", "must name at least two features, each once", names)
        check_mask_values(self)

    @property
    def features(self) -> tuple[str, ...]:
        return self.masked

    def _information(self) -> Requirement:
        """Sorted, so that ops that name the same features in another order share the statistic."""
        first, *others = sorted(self.masked)
        return Requirement("mutual_information", first, tuple(others))

    def _groups(self, count: int | None) -> tf.Tensor:
        """For each feature as the seed, who goes with it: bool `[features, features]`."""
        requirement, n = self._information(), len(self.masked)
        information = self.statistic(requirement)["information"]
        place = [requirement.features.index(name) for name in self.masked]
        near = np.array(information)
        # A seed comes first in its own group, whatever its entropy.
        np.fill_diagonal(near, np.inf)
        size = 1 + (min(n // 2, n - 2) if count is None else count)
        closest = np.argsort(-near, axis=1, kind="stable")[:, :size]
        groups = np.zeros([n, n], bool)
        np.put_along_axis(groups, closest, True, axis=1)
        return tf.constant(groups[np.ix_(place, place)])

    def _check_count(self, count: int | None) -> None:
        highest = len(self.masked) - 2
        if count is not None and not (isinstance(count, int) and 0 <= count <= highest):
            rule = f"must be None or an integer in [0, {highest}]: one feature has to stay"
            raise self.invalid("count", rule, count)


@dataclasses.dataclass(frozen=True)
class CorrelatedFeatureMask(_GroupMask):
    """Hides a drawn feature of a row, and those that tell the most of it.

    Where features repeat each other (a city its country, a genre its words), hiding one alone hides nothing:
    the model reads it from the rest. Here a seed feature is drawn evenly, and it and the `count` features
    with the highest mutual information with it are hidden. At least one feature stays.

    Args:
      masked: at least two features, of any kind and shape. All values of a hidden feature become its mask
        value; a ragged one keeps its length.
      rate: the chance that a row is masked, in [0, 1].
      count: how many features go with the seed; by default half of the features, or as many as leave one.
      mask_values: as in `FeatureMask`.

    Example:
      >>> import numpy as np
      >>> import tfrs_augment as aug
      >>> rows = {"city": np.array(["Rome", "Nice", "Rome", "Lyon"] * 9), "price": np.arange(36.0)}
      >>> rows["country"] = np.where(rows["city"] == "Rome", "it", "fr")
      >>> mask = aug.ops.CorrelatedFeatureMask(("city", "country", "price"), rate=1.0)
      >>> policy = aug.fitting.fit(aug.AugmentationPolicy([mask], key_features=["price"]), rows)
      >>> masked = policy.augment(rows)
      >>> hidden = [masked[name].numpy() == b"[UNK]" for name in ("city", "country")]
      >>> bool((hidden[0] | hidden[1]).all())
      True

    Reference:
      Yao et al., "Self-supervised Learning for Large-scale Item Recommendations", CIKM 2021, section 3.2.2
      (correlated feature masking). There a seed is drawn for a batch and the complement is the other view;
      here it is drawn for a row. `ComplementaryFeatureMask(correlated=True)` gives both views.
    """

    _: dataclasses.KW_ONLY
    rate: float = dataclasses.field()
    count: int | None = None

    scope: ClassVar[str] = "dataset"

    def __post_init__(self):
        super().__post_init__()
        self._check_count(self.count)

    def requirements(self) -> tuple[Requirement, ...]:
        return (self._information(),)

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        hidden = tf.gather(self._groups(self.count), rng.integers(len(self.masked)))
        hidden &= (rng.uniform(stream=1) < self.rate)[:, tf.newaxis]
        return {name: hidden[:, i] for i, name in enumerate(self.masked)}

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        return mask_features(self, batch, params, self.mask_values)


@dataclasses.dataclass(frozen=True)
class ComplementaryFeatureMask(_GroupMask):
    """Two views of a row that share no feature: one hides a drawn part of the features, the other the rest.

    For a contrastive loss, which asks a policy for two views of each row. The draw numbers 2 * i and
    2 * i + 1 are the views of pair i: the parts are a pure function of the seed, the row's key and i, and
    which view hides which part is drawn, so that both views hide a feature equally often.

    Args:
      masked: at least two features, of any kind and shape. All values of a hidden feature become its mask
        value; a ragged one keeps its length.
      rate: the chance that a pair is masked, in [0, 1]; default 1. Both views of a row are, or neither is.
      correlated: whether a part is a seed feature and those that tell the most of it, as in
        `CorrelatedFeatureMask`, which must be fitted; by default each half of the features is as likely.
      dropout: the chance that a value of a categorical list (strings or integers, ragged or `[batch, n]` with
        n > 1) that the view keeps becomes the mask value too, in [0, 1); drawn for each view by itself.
      mask_values: as in `FeatureMask`.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> mask = aug.ops.ComplementaryFeatureMask(("genre", "year"))
      >>> policy = aug.AugmentationPolicy([mask], key_features=["genre"])
      >>> rows = {"genre": tf.constant(["Drama"]), "year": tf.constant([1994])}
      >>> views = [policy.augment(rows, draw=draw) for draw in (6, 7)]
      >>> sorted((v["genre"].numpy()[0], int(v["year"][0])) for v in views)
      [(b'Drama', -1), (b'[UNK]', 1994)]

    Reference:
      Yao et al., CIKM 2021, sections 3.2.1 and 3.2.2: random and correlated feature masking, both with the
      complement as the second view, then dropout of categorical values. There the split is that of a batch,
      here of a row.
    """

    _: dataclasses.KW_ONLY
    correlated: bool = False
    dropout: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.correlated, bool):
            raise self.invalid("correlated", "must be True or False", self.correlated)
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise self.invalid("dropout", "must be in [0, 1)", self.dropout)

    @property
    def scope(self) -> str:
        return "dataset" if self.correlated else "row"

    def requirements(self) -> tuple[Requirement, ...]:
        return (self._information(),) if self.correlated else ()

    def draw(self, batch: FeatureBatch, rng: KeyedRng) -> Params:
        pair = rng.pair()
        acts = pair.uniform(stream="acts") < self.rate
        side = tf.equal(pair.integers(2, stream="side"), rng.view())
        hidden = tf.equal(self._part(pair), side[:, tf.newaxis]) & acts[:, tf.newaxis]
        params = {"hidden": {name: hidden[:, i] for i, name in enumerate(self.masked)}, "drop": {}}
        if self.dropout:
            for name in self.masked:
                column = self.column(batch, name)
                if _is_categorical_list(column):
                    dropped = rng.uniform(column, stream=f"drop {name}") < self.dropout
                    params["drop"][name] = dropped & spread(acts, column)
        return params

    def _part(self, pair: KeyedRng) -> tf.Tensor:
        """The features of the first part: bool `[batch, features]`."""
        n = len(self.masked)
        if self.correlated:
            return tf.gather(self._groups(None), pair.integers(n, stream="seed"))
        bits = [tf.cast(pair.bits(stream=f"half {name}"), tf.int64) for name in self.masked]
        # The place among the low bits settles ties.
        order = tf.stack([word * n + i for i, word in enumerate(bits)], axis=1)
        rank = tf.reduce_sum(
            tf.cast(order[:, tf.newaxis, :] < order[:, :, tf.newaxis], tf.int32), axis=2
        )
        return rank < n // 2

    def apply(self, batch: FeatureBatch, params: Params) -> FeatureBatch:
        changed = {}
        for name, dropped in params["drop"].items():
            column = self.column(batch, name)
            token = token_of(self, "mask_values", (self.mask_values or {}).get(name), name, column)
            changed[name] = with_values(column, tf.where(dropped, token, values_of(column)))
        return mask_features(self, batch.replace(changed), params["hidden"], self.mask_values)


def _is_categorical_list(column: Column) -> bool:
    if kind_of_dtype(column.dtype) == "float":
        return False
    return isinstance(column, tf.RaggedTensor) or (column.shape.rank > 1 and column.shape[1] != 1)
