"""Statistical models of who chooses what."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.synthesis import networks
from tfrs_augment.synthesis.factorization_model import fit_factors
from tfrs_augment.synthesis.identity import identity_of
from tfrs_augment.synthesis.interactions import InteractionSynthesizer
from tfrs_augment.synthesis.pairs import Pairs, log_popularity
from tfrs_augment.synthesis.training import Schedule


@dataclasses.dataclass(kw_only=True, eq=False)
class PopularitySampler(InteractionSynthesizer):
    """Every user chooses items by their popularity: the control that others must beat.

    See `InteractionSynthesizer` for the arguments that all share.

    Args:
      popularity_power: exponent of an item's number of rows, in [0, 2]. Default: 1.

    Example:
      >>> import tfrs_augment as aug
      >>> shop = aug.datasets.simulated_shop("tiny")
      >>> rows = aug.synthesis.PopularitySampler().fit(shop).sample(100, seed=7)
      >>> rows["item_title"].shape
      (100,)
    """

    popularity_power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        networks.check_numbers(
            "PopularitySampler", {"popularity_power": (self.popularity_power, 0.0, 2.0)}
        )

    def _fit_pairs(self, pairs: Pairs, *, progress: bool, callbacks: Sequence[Any]) -> None:
        self._log_popularity = log_popularity(pairs, smoothing=0.0)

    def _log_weights(self, users: np.ndarray) -> np.ndarray:
        return np.tile(np.float32(self.popularity_power) * self._log_popularity, (len(users), 1))

    def _pair_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {"log_popularity": self._log_popularity}

    def _restore_pairs(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._log_popularity = arrays["log_popularity"]


@dataclasses.dataclass(kw_only=True, eq=False)
class FactorizationSampler(InteractionSynthesizer):
    """Users choose items by the softmax of a matrix factorization with features.

    The score of an item is a bias, which starts at its log-popularity, plus the inner product of the
    embeddings of user and item, each the sum of that of the id and those of the features. It is fitted
    by maximum likelihood under a normal prior, and stopped by the likelihood of held-out pairs. See
    `InteractionSynthesizer` for the arguments that all share.

    Args:
      sharpness: factor on how far a user's embedding is from the mean user's, of 0 or more. At 1, rows
        are most like the data. Higher, more of the unseen pairs are such that users would choose, and
        item popularity is kept less well. Default: 1.
      embedding_dim: width of the embeddings. Default: 16.
      prior: precision of the normal prior on every coordinate, of 0 or more. Default: 16.
      learning_rate: of Adam. Default: 0.01.
      steps: most steps; a step takes up to 1,024 users with all of their pairs. Default: 500.
      validate_every: steps from one validation to the next. Default: 5.
      patience: validations without a better likelihood after which it stops. Default: 8.
      validation_share: share of the pairs that are held out, in (0, 0.5]. Default: 0.1.
      max_softmax_items: the softmax is over all items up to so many; over more it is over
        `sampled_items` drawn by popularity, corrected for their probability. Default: 20,000.
      sampled_items: see there. Default: 4,096.
      checkpoint_dir: folder from which a fit that was interrupted goes on; None keeps nothing.

    Example:
      >>> import tfrs_augment as aug
      >>> shop = aug.datasets.simulated_shop("tiny")
      >>> synthesizer = aug.synthesis.FactorizationSampler(steps=20).fit(shop)
      >>> rows = synthesizer.sample(50, conditions={"user_gender": "F", "rating": [4, 5]}, seed=7)
      >>> set(rows["user_gender"].tolist()), bool((rows["rating"] >= 4).all())
      ({b'F'}, True)
    """

    sharpness: float = 1.0
    embedding_dim: int = 16
    prior: float = 16.0
    learning_rate: float = 0.01
    steps: int = 500
    validate_every: int = 5
    patience: int = 8
    validation_share: float = 0.1
    max_softmax_items: int = 20_000
    sampled_items: int = 4_096
    checkpoint_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._schedule()
        networks.check_numbers(
            "FactorizationSampler",
            {name: (getattr(self, name), 0.0, math.inf) for name in ("prior", "sharpness")},
        )
        check_training(self)

    def _schedule(self) -> Schedule:
        return Schedule(self.steps, self.validate_every, self.patience, self.checkpoint_dir)

    def _fit_pairs(self, pairs: Pairs, *, progress: bool, callbacks: Sequence[Any]) -> None:
        model, history = fit_factors(
            pairs,
            dim=self.embedding_dim,
            prior=self.prior,
            learning_rate=self.learning_rate,
            smoothing=0.5,
            validation_share=self.validation_share,
            max_items=self.max_softmax_items,
            sampled=self.sampled_items,
            schedule=self._schedule(),
            seed=self.seed,
            identity=identity_of(self, pairs.arrays()),
            progress=progress,
            callbacks=callbacks,
        )
        self.loss_history = history
        self._user = model.users(np.arange(pairs.users)).numpy()
        self._item = model.items(np.arange(pairs.items)).numpy()
        self._bias = model.bias.numpy()

    def _log_weights(self, users: np.ndarray) -> np.ndarray:
        mean = self._user.mean(axis=0)
        user = mean + np.float32(self.sharpness) * (self._user[users] - mean)
        return user @ self._item.T + self._bias

    def _pair_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {"user": self._user, "item": self._item, "bias": self._bias}

    def _restore_pairs(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._user, self._item, self._bias = arrays["user"], arrays["item"], arrays["bias"]


def check_training(synthesizer: Any) -> None:
    """Checks the arguments that trained models share.

    Raises:
      InvalidArgumentError: one breaks its rule.
    """
    name = type(synthesizer).__name__
    whole = ("embedding_dim", "max_softmax_items", "sampled_items")
    networks.check_integers(name, {n: getattr(synthesizer, n) for n in whole})
    networks.check_numbers(
        name,
        {
            "learning_rate": (synthesizer.learning_rate, 1e-9, math.inf),
            "validation_share": (synthesizer.validation_share, 1e-9, 0.5),
        },
    )
