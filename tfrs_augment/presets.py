"""Policies and losses that go together, with the defaults that measured best.

Each function names what it needs of a model and its data, and returns a `Preset`. Where they were measured,
by how much they helped, and when not to use them is in docs/presets.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment import ops, tasks
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.fitting import fit
from tfrs_augment.layers import wrap
from tfrs_augment.layers.auxiliary import AuxiliaryTask, CandidateExtender
from tfrs_augment.policy import AugmentationPolicy

Function = Callable[[Any, Mapping[str, Any]], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Preset:
    """A policy and the losses that go with it.

    Attributes:
      policy: for `wrap`, `layers.Augment`, the Beam job; change it with `dataclasses.replace`.
      tasks: for `wrap(..., tasks=...)`.
    """

    policy: AugmentationPolicy
    tasks: tuple[AuxiliaryTask | CandidateExtender, ...] = ()

    def fit(self, data: Any) -> Preset:
        """Returns the preset with what its policy must know of the training rows; see `fitting.fit`."""
        return dataclasses.replace(self, policy=fit(self.policy, data))

    def wrap(self, model: tfrs.Model, **options: Any) -> tfrs.Model:
        """Returns `aug.wrap(model, preset.policy, tasks=preset.tasks, **options)`: the same instance."""
        return wrap(model, self.policy, tasks=self.tasks, **options)


def cold_start(
    item_id: str,
    *,
    key_features: Sequence[str],
    item_features: Sequence[str] = (),
    user_id: str | None = None,
    rate: float = 0.1,
    seed: int = 0,
) -> Preset:
    """For new items (and users) in a model of ids and features: ids and features are dropped at random.

    Args:
      item_id: the item's id, replaced by the out-of-vocabulary token.
      key_features: of the policy.
      item_features: other features of the item, each hidden by itself.
      user_id: the user's id, where new users come too.
      rate: the chance of each, in [0, 1]. More shows new items more, and costs warm items.
      seed: of the policy.

    Example:
      >>> import tfrs_augment as aug
      >>> preset = aug.presets.cold_start("movie_id", key_features=["user_id", "movie_id"], user_id="user_id")
      >>> [op.id for op in preset.policy.ops]
      ['id_dropout:movie_id', 'id_dropout:user_id']
    """
    found: list[ops.Op] = [ops.IdDropout(item_id, rate=rate)]
    if user_id is not None:
        found.append(ops.IdDropout(user_id, rate=rate))
    if item_features:
        found.append(ops.FeatureMask(tuple(item_features), rate=rate))
    return Preset(AugmentationPolicy(found, seed=seed, key_features=tuple(key_features)))


def sequential(
    item_id: str,
    history: str,
    *,
    key_features: Sequence[str],
    rate: float = 0.3,
    seed: int = 0,
) -> Preset:
    """For models whose query is a history of items: ids of items and of histories are dropped.

    Args:
      item_id: the id of the item to predict.
      history: the ids of the items before it.
      key_features: of the policy.
      rate: the chance that an id is dropped, in [0, 1].
      seed: of the policy.
    """
    found = [ops.IdDropout(item_id, rate=rate), ops.HistoryIdDropout(history, rate=rate)]
    return Preset(AugmentationPolicy(found, seed=seed, key_features=tuple(key_features)))


def sparse(
    item_id: str,
    item_features: Sequence[str],
    *,
    tower: Function,
    items: Mapping[str, Any],
    key_features: Sequence[str],
    history: str | None = None,
    rate: float = 0.3,
    weight: float = 0.2,
    seed: int = 0,
) -> Preset:
    """For catalogues of which most items have few rows: dropped ids, and two views of an item.

    The ids of rare items are dropped more often than those of popular ones (`ops.PopularityRate`), which
    keep what is known of them: `fit` the preset on the training rows. A view shows a drawn half of the
    item's features, its id among them, the other view the rest; they are told from those of other items,
    drawn evenly from the catalogue.

    Args:
      item_id: the id of the item to predict.
      item_features: at least one other feature of the item.
      tower: a function of (model, features) that returns the items' embeddings `[batch, dim]`.
      items: the columns of the items that have training rows: the id and the features.
      key_features: of the policy.
      history: the ids of the items before, where the query has them.
      rate: the chance that an id is dropped, in [0, 1]: of items with `n` training rows min(rate, 1 / n),
        of each id of a history the rate itself.
      weight: of the contrastive loss.
      seed: of the policy.

    Raises:
      InvalidArgumentError: there are no item features.

    Reference:
      Yao et al., "Self-supervised Learning for Large-scale Item Recommendations", CIKM 2021.
    """
    if not item_features:
        raise InvalidArgumentError(
            "`item_features` of sparse must name at least one feature beside the id. "
            f"Received: item_features={item_features!r}. Without any use aug.presets.sequential."
        )
    rare = ops.PopularityRate(scale=1.0, maximum=rate)
    found: list[ops.Op] = [ops.IdDropout(item_id, rate=rare)]
    if history is not None:
        found.append(ops.HistoryIdDropout(history, rate=rate))
    contrastive = tasks.Contrastive(
        tower, mask=(item_id, *item_features), items=items, weight=weight, seed=seed
    )
    policy = AugmentationPolicy(found, seed=seed, key_features=tuple(key_features))
    return Preset(policy, (contrastive,))


def ranking(
    *,
    predict: Function,
    embed: Function,
    label: str,
    key_features: Sequence[str],
    ids: Sequence[str] = (),
    rate: float = 0.1,
    alpha: float = 1.0,
    weight: float = 0.3,
    seed: int = 0,
) -> Preset:
    """For ranking models with a label in the features: mixed rows, as a light second loss.

    Args:
      predict: a function of (model, embedded) that returns predictions `[batch, 1]`.
      embed: a function of (model, features) that returns `[batch, dim]`.
      label: the name of the label's column.
      key_features: of the policy.
      ids: the ids to drop. Default: none are, as it made ratings worse.
      rate: the chance that an id is dropped, in [0, 1].
      alpha: of the Beta distribution of MixUp.
      weight: of the loss on mixed rows beside the model's own; 1 made ratings worse.
      seed: of the policy.
    """
    found = [ops.IdDropout(name, rate=rate) for name in ids]
    mixup = tasks.MixUpRanking(
        predict, embed=embed, label=label, alpha=alpha, weight=weight, seed=seed
    )
    policy = AugmentationPolicy(found, seed=seed, key_features=tuple(key_features))
    return Preset(policy, (mixup,))


def search_ads(
    query: str,
    *,
    key_features: Sequence[str],
    typos: float = 0.1,
    dropout: float = 0.0,
    seed: int = 0,
) -> Preset:
    """For models that match search queries: mistyped characters.

    Args:
      query: the feature with the text.
      key_features: of the policy.
      typos: the chance that a character is mistyped, in [0, 1].
      dropout: the chance that a word is left out, in [0, 1]; at least one word stays. Default: 0, as it
        cost rare items more than it gave.
      seed: of the policy.
    """
    found: list[ops.Op] = [ops.CharTypos(query, rate=typos)]
    if dropout:
        found.append(ops.TokenDropout(query, rate=dropout))
    return Preset(AugmentationPolicy(found, seed=seed, key_features=tuple(key_features)))
