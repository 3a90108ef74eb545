"""Which features carry a recommendation, by masking them with the library's own ops.

Not what a policy did to a row: that is `policy.explain(row)`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tf_keras

from tfrs_augment import ops as aug_ops
from tfrs_augment.datasets.interactions import Interactions, Table
from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.evaluation.comparing.training import Embed, default_candidate, default_query
from tfrs_augment.evaluation.explaining import games
from tfrs_augment.evaluation.explaining.explanation_result import (
    FeatureShare,
    RecommendationExplanation,
)
from tfrs_augment.evaluation.explaining.masked_rows import (
    MaskedRow,
    cast_like,
    check_shared,
    mask_ops,
    plain,
    players_of,
    row_of,
)
from tfrs_augment.evaluation.explaining.row_scores import (
    Catalogue,
    PairScores,
    Predict,
    TowerScores,
    check_towers,
    read_features,
)
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import Column

_TRAINING_MASKS = (
    aug_ops.IdDropout,
    aug_ops.HistoryIdDropout,
    aug_ops.FeatureMask,
    aug_ops.FeatureCrop,
    aug_ops.CorrelatedFeatureMask,
    aug_ops.ComplementaryFeatureMask,
    aug_ops.SequenceMask,
    aug_ops.TokenDropout,
)

_EXACT_TO = 10
_PERMUTATIONS = 200


def explain(
    model: tf_keras.Model,
    query: Mapping[str, Any],
    item: Mapping[str, Any] | str | bytes,
    *,
    features: Sequence[str | aug_ops.Op] | None = None,
    items: Interactions | Table | None = None,
    item_id: str | None = None,
    permutations: int | None = None,
    seed: int = 0,
    policy: AugmentationPolicy | None = None,
    query_fn: Embed = default_query,
    candidate_fn: Embed = default_candidate,
    predict: Predict | None = None,
) -> RecommendationExplanation:
    """Says which features carry the score of an item for a query, by masking them.

    Two numbers a feature: what the score loses where it alone is masked, and its Shapley value, what it adds
    to the score averaged over all orders in which features may be unmasked. Shapley values sum to the score
    less the score with everything masked. They are exact to 10 features, items and words, and beyond from
    sampled orders, with a standard error.

    A masked score is as good as the model's idea of a masked feature. A model that never saw a feature masked
    in training still gives a number, from weights that nothing trained: see `policy`, and `docs/explain.md`.

    Args:
      model: a two-tower, or with `predict` a ranking model; scored as it serves, without dropout.
      query: feature to value, as `policy.explain` takes a row: numbers, strings, lists (ragged); a tensor
        with a batch dimension of 1 is taken as it is.
      item: the same of the item; or its id, with `items`.
      features: what is masked. A name masks the feature as a whole by the default mask ("[UNK]", -1 or
        0.0). An op says more, its rates do not count: `FeatureMask` masks its features together, with its
        `mask_values`; `SequenceMask` masks each item of a history by itself; `TokenDropout` leaves out each
        word of a text by itself. Default: each feature that the towers read, as far as they say so
        (`feature_names`), else each that is given.
      items: the catalogue, as `Interactions` or the table of items, for ranks. What a user has seen is not
        left out. Default: none, and no ranks.
      item_id: the id column of `items`. Default: that of the `Interactions`.
      permutations: how many orders are sampled, reverses counted; an even number. Default: none to 10, 200
        beyond.
      seed: of the sampled orders.
      policy: that the model was trained with: where it masked none of a feature, the explanation says so.
        Default: that is not known.
      query_fn: `(model, features) -> [batch, dim]`, as `Protocol.query`.
      candidate_fn: `(model, features) -> [batch, dim]`, as `Protocol.candidate`.
      predict: `(model, features) -> [batch]` of a ranking model, as `Protocol.predict`, in place of both.

    Returns:
      The explanation.

    Raises:
      InvalidArgumentError: an argument breaks its rule; or query and item have other values of a feature that
        is masked in both, or that a ranking model is given once.
      UnknownFeatureError: a feature is in neither row, or the model reads one that is missing.
      DataError: the item is not in the catalogue, a value does not fit, or a score is not finite.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> def predict(model, features):  # a "model" whose score is age + 2 * price
      ...     return tf.cast(features["age"], tf.float32) + 2 * features["price"]
      >>> found = aug.evaluation.explain(None, {"age": 30.0}, {"price": 4.0}, predict=predict)
      >>> [(share.name, share.contribution) for share in found.shares]
      [('age', 30.0), ('price', 8.0)]

    Reference:
      Strumbelj and Kononenko, "An Efficient Explanation of Individual Classifications using Game Theory",
      JMLR 11, 2010, with masks in place of values drawn from the data; and see `evaluation.explaining.games`.
    """
    if predict is None:
        check_towers(model, query_fn, candidate_fn)
    catalogue = None if items is None else Catalogue.of(items, item_id)
    item_row, place = _item_of(item, catalogue)
    rows = {"query": row_of("query", query), "item": item_row}
    together = {**rows["query"], **rows["item"]}
    if features is None:
        towers = predict is None and (query_fn, candidate_fn) == (default_query, default_candidate)
        features = read_features(model, rows) if towers else list(together)
    ops = mask_ops(features, list(together))
    check_shared(rows, [name for op in ops for name in op.features] if predict is None else None)
    players = players_of(ops, together)
    if not players:
        raise InvalidArgumentError(
            f"`features` must hold something to mask. Received: {features!r}, of empty lists or texts."
        )
    plan = games.shapley_plan(
        len(players), permutations, exact_to=_EXACT_TO, default=_PERMUTATIONS, seed=seed
    )
    make = functools.partial(MaskedRow, ops=ops, players=players)
    sides = {name: make(columns) for name, columns in rows.items()}
    if predict is not None:
        scores = PairScores(model, make(together), predict, catalogue, place)
    else:
        scores = TowerScores(
            model, sides["query"], sides["item"], query_fn, candidate_fn, catalogue, place
        )
    left = games.LeaveOneOut.of(len(players))
    values, ranks = scores.of(plan.subsets), scores.ranks(left.subsets)
    samples = plan.contributions(values)
    (lost,) = left.contributions(scores.of(left.subsets))
    shares = tuple(
        FeatureShare(
            name=player.name,
            value=player.value,
            side=_side(sides, number),
            contribution=float(samples[:, number].mean()),
            error=_standard_error(samples[:, number]),
            lost=float(lost[number]),
            rank_without=None if ranks is None else float(ranks[left.without(number)]),
        )
        for number, player in enumerate(players)
    )
    return RecommendationExplanation(
        score=float(values[-1]),
        masked_score=float(values[0]),
        rank=None if ranks is None else float(ranks[-1]),
        masked_rank=None if ranks is None else float(ranks[0]),
        candidates=None if catalogue is None else len(catalogue),
        shares=shares,
        method="exact" if isinstance(plan, games.ExactShapley) else "sampled",
        warnings=_warnings(policy, ops),
    )


def _standard_error(samples: np.ndarray) -> float:
    """Of the mean of samples; 0 where one sample is all there is, and exact."""
    return float(samples.std(ddof=1) / math.sqrt(len(samples))) if len(samples) > 1 else 0.0


def _item_of(item: Any, catalogue: Catalogue | None) -> tuple[dict[str, Column], int | None]:
    """The item's columns and its place in the catalogue."""
    if not isinstance(item, Mapping):
        if catalogue is None:
            raise InvalidArgumentError(
                "`item` must map features to values; an id does with `items`, where its features are "
                f"looked up. Received: item={item!r}."
            )
        place = catalogue.place(item)
        return catalogue.row(place), place
    row = row_of("item", item)
    if catalogue is None:
        return row, None
    if catalogue.item_id not in row:
        raise UnknownFeatureError(
            f"`item` must have its id, {catalogue.item_id!r}, to be ranked among `items`. "
            f"{close_matches(catalogue.item_id, row)}"
        )
    return cast_like("item", row, catalogue.columns), catalogue.place(plain(row[catalogue.item_id]))


def _side(sides: Mapping[str, MaskedRow], place: int) -> str:
    acting = [name for name, row in sides.items() if row.acting[place]]
    return acting[0] if len(acting) == 1 else "both"


def _warnings(policy: AugmentationPolicy | None, ops: Sequence[aug_ops.Op]) -> tuple[str, ...]:
    """What is known of the masks in training."""
    if policy is None:
        return ()
    if not isinstance(policy, AugmentationPolicy):
        raise InvalidArgumentError(
            f"`policy` must be an AugmentationPolicy or None. Received: {type(policy).__name__}."
        )
    parts = [part for op in policy.ops for part in op.parts() if part.rate != 0]
    met = {name for part in parts if isinstance(part, _TRAINING_MASKS) for name in part.features}
    never = [name for op in ops for name in op.features if name not in met]
    if not never:
        return ()
    return (
        f"the policy masked none of {', '.join(never)} in training: scores with these masked come from "
        "weights that no masked row has trained",
    )
