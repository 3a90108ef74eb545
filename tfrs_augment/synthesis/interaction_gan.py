"""Interactions from a generator of items and a critic of pairs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfrs_augment.errors import UnknownFeatureError, close_matches
from tfrs_augment.synthesis import networks, training
from tfrs_augment.synthesis.embeddings import Embeddings, train_two_tower
from tfrs_augment.synthesis.events import under
from tfrs_augment.synthesis.expectation import Watch, popularity_shift
from tfrs_augment.synthesis.experts import Conditional, fit_conditional
from tfrs_augment.synthesis.gan_model import Generator, Settings, Trainer
from tfrs_augment.synthesis.identity import identity_of
from tfrs_augment.synthesis.interactions import (
    InteractionSynthesizer,
    context_name,
    context_sizes,
)
from tfrs_augment.synthesis.pairs import Pairs, log_popularity
from tfrs_augment.synthesis.private import DifferentialPrivacy, PrivacyBudget, as_json, refusal
from tfrs_augment.synthesis.private_noise import Secret
from tfrs_augment.synthesis.private_training import PrivatePairTrainer
from tfrs_augment.synthesis.samplers import check_training
from tfrs_augment.synthesis.training import Schedule

if TYPE_CHECKING:
    from typing_extensions import Self

_TOWER_EVERY, _TOWER_PATIENCE = 50, 5


@dataclasses.dataclass(kw_only=True, eq=False)
class InteractionGAN(InteractionSynthesizer):
    """A generator draws an item for a user, and a critic tells drawn pairs from real ones.

    The generator maps noise, the user's embedding and, with `condition`, a feature that the item shall
    have to logits over the catalogue, which start at log-popularity. The critic reads the embeddings of
    user and item and the condition. A draw of an item stays an item: its gradient passes through the
    softmax (straight-through Gumbel softmax). Nearest neighbours in the space of embeddings, the other
    way from a vector to an item, lose the popularity of items.

    Embeddings come from a two-tower retrieval model that `fit` trains, or from `use_embeddings`.
    Training stops by a measure on held-out pairs: how much likelier than random unseen pairs the generator
    finds them, times the rank correlation of the popularity that it gives with the real one. The best
    weights are kept, and each item's weight is then shifted towards its popularity. Sampling averages
    the softmax over `noise_samples` noises, so that draws without replacement are those of a user and not
    of a noise.

    See `InteractionSynthesizer` for the arguments that all share.

    Args:
      sharpness: factor on what a user's logits have beyond the items' biases, above 0. At 1, rows are
        most like the data; higher, more of the unseen pairs are such that users would choose. Default: 1.5.
      embedding_dim: width of the embeddings that `fit` trains. Default: 32.
      embedding_steps: most steps of that training, of 1,024 pairs; it stops early by the likelihood of
        held-out pairs. Default: 4,000.
      condition: a feature of items to condition on, or None. The generator then draws within the items
        that have it, and which one a user wants is drawn from smoothed counts. Default: None.
      noise_dim: width of the noise. Default: 16.
      hidden: units of the generator's layers; the critic's first has twice as many. Default: 128.
      steps: most steps; a step is `critic_steps` of the critic and one of the generator. Default: 1,000.
      critic_steps: see there. Default: 3.
      batch_size: pairs a step. Default: 384.
      learning_rate: of both networks' Adam. Default: 3e-4.
      temperature: of the Gumbel softmax. Default: 0.7.
      training_power: users are drawn in training in proportion to `activity ** training_power`, in
        [0, 1]. Default: 0.5.
      noise_samples: see above. Default: 32.
      validate_every: steps from one validation to the next. Default: 50.
      patience: validations without a better measure after which training stops. Default: 10.
      validation_share: share of the pairs that are held out, in (0, 0.5]. Default: 0.1.
      max_softmax_items: training draws from all items up to so many; from more, out of `sampled_items`
        that are drawn by popularity each step, corrected for their probability. Default: 20,000.
      sampled_items: see there. Default: 4,096.
      checkpoint_dir: folder from which a fit that was interrupted goes on; None keeps nothing.
      privacy: a `DifferentialPrivacy`, with which the critic is trained by DP-SGD, one interaction being
        what is protected; all steps are taken, and the last weights kept. It bounds what the critic passes
        on, and gives the synthesizer no budget: `privacy_parts` tells why. Default: None.

    Example:
      >>> import tfrs_augment as aug
      >>> shop = aug.datasets.simulated_shop("tiny")
      >>> gan = aug.synthesis.InteractionGAN(embedding_steps=2, steps=4, validate_every=2)
      >>> rows = gan.fit(shop).sample(100, seed=7)
      >>> len(gan.loss_history["lift"])
      2

    References:
      Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, algorithm 1.
      Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017, section 2.2.
    """

    sharpness: float = 1.5
    embedding_dim: int = 32
    embedding_steps: int = 4_000
    condition: str | None = None
    noise_dim: int = 16
    hidden: int = 128
    steps: int = 1_000
    critic_steps: int = 3
    batch_size: int = 384
    learning_rate: float = 3e-4
    temperature: float = 0.7
    training_power: float = 0.5
    noise_samples: int = 32
    validate_every: int = 50
    patience: int = 10
    validation_share: float = 0.1
    max_softmax_items: int = 20_000
    sampled_items: int = 4_096
    checkpoint_dir: str | None = None
    privacy: DifferentialPrivacy | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._given: Embeddings | None = None
        self.privacy = DifferentialPrivacy.of(self.privacy)
        self._schedule()
        check_training(self)
        whole = ("noise_dim", "hidden", "critic_steps", "batch_size", "noise_samples")
        networks.check_integers(
            "InteractionGAN", {name: getattr(self, name) for name in (*whole, "embedding_steps")}
        )
        networks.check_numbers(
            "InteractionGAN",
            {
                "temperature": (self.temperature, 1e-9, math.inf),
                "sharpness": (self.sharpness, 1e-9, math.inf),
                "training_power": (self.training_power, 0.0, 1.0),
            },
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments as JSON values; `type(self)(**config)` is an unfitted copy."""
        return {**super().get_config(), "privacy": as_json(self.privacy)}

    def privacy_parts(self) -> dict[str, PrivacyBudget | None]:
        """Returns what each part that saw the data has spent; None: it saw them without protection.

        The critic's budget is what its steps add to what all the other parts tell of an interaction.

        Raises:
          InvalidArgumentError: it is not fitted.
        """
        self._fitted()
        unprotected = {
            "the ids and features of users and items": True,
            "how often users and items were chosen": True,
            "the pairs that never come out": self.exclude_seen,
            f"the models of {', '.join(map(repr, self._layout.events))}": bool(self._layout.events),
            f"who wants which {self.condition!r}": self.condition is not None,
            "the validation that chose the weights": self.privacy is None,
        }
        parts = {f"the {name}": spent for name, spent in self._budgets.items()}
        return {**{name: None for name, there in unprotected.items() if there}, **parts}

    def privacy_budget(self) -> PrivacyBudget:
        """Refuses to state a budget: some parts see the data without protection, whatever the arguments.

        Raises:
          InvalidArgumentError: always; the message lists these parts.
        """
        parts = self.privacy_parts()
        raise refusal("InteractionGAN", [name for name, spent in parts.items() if spent is None])

    def use_embeddings(self, embeddings: Embeddings | None) -> Self:
        """Takes embeddings in place of those that `fit` would train; None trains them again.

        Args:
          embeddings: of every user and item of the data, as `Embeddings.of_model(model, data)` makes them.

        Returns:
          The synthesizer itself.
        """
        self._given = embeddings
        return self

    def _schedule(self) -> Schedule:
        return Schedule(
            self.steps, self.validate_every, self.patience, _folder(self.checkpoint_dir, "gan")
        )

    def _fit_pairs(self, pairs: Pairs, *, progress: bool, callbacks: Sequence[Any]) -> None:
        learned, held = pairs.hold_out(self.validation_share, self.seed)
        given = () if self._given is None else (self._given.users, self._given.items)
        identity = identity_of(self, (*pairs.arrays(), *given))
        users, items, history = self._embeddings(pairs, identity, progress)
        self._users, self._items = _standardized(users), _standardized(items)
        self._groups, self._tastes = self._condition(pairs)
        draws = np.random.default_rng([self.seed, 0x2015E])
        self._shift = np.zeros(pairs.items, np.float32)
        self._noise = draws.normal(size=(self.noise_samples, self.noise_dim)).astype(np.float32)
        self._generator = self._build(log_popularity(learned, 0.1))
        trainer, watch = self._trainer(learned, identity), dict
        if self.privacy is None:
            watch = Watch(learned, held if len(held) else learned, self._log_weights, self.seed)
        gan_history = training.run(
            trainer.step,
            watch,
            self._schedule(),
            model=self._generator,
            state=trainer.state,
            measure="measure" if self.privacy is None else None,
            identity=identity,
            progress=progress,
            callbacks=callbacks,
            description="GAN",
        )
        self._shift = popularity_shift(
            pairs,
            self._log_weights,
            user_power=self.user_power,
            exclude_seen=self.exclude_seen,
            seed=self.seed,
        )
        self.loss_history = {**history, **gan_history}

    def _trainer(self, learned: Pairs, identity: str) -> Trainer:
        settings = Settings(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Settings)})
        arguments = (learned, self._users, self._generator, settings)
        of_embeddings = None if self._given is None else self._given.budget
        self._budgets = {"embeddings": of_embeddings, "critic": None}
        if self.privacy is None:
            return Trainer(*arguments)
        budget = self.privacy.budget(
            rows=len(learned),
            batch_size=self.batch_size,
            steps=self.steps * self.critic_steps,
            unit="interaction",
            counts=False,
        )
        self._budgets["critic"] = budget
        secret = Secret(_folder(self.checkpoint_dir, "gan"), identity)
        return PrivatePairTrainer(*arguments, budget, secret)

    def _embeddings(self, pairs: Pairs, identity: str, progress: bool):
        if self._given is not None:
            users, items = self._given.of(
                self._tables["users"][self._layout.user_id],
                self._tables["items"][self._layout.item_id],
            )
            return users.astype(np.float32), items.astype(np.float32), {}
        layout = self._layout
        users, items, history = train_two_tower(
            pairs,
            {name: self._tables["users"][name] for name in layout.user_features},
            {name: self._tables["items"][name] for name in layout.item_features},
            dim=self.embedding_dim,
            validation_share=self.validation_share,
            schedule=Schedule(
                self.embedding_steps,
                _TOWER_EVERY,
                _TOWER_PATIENCE,
                _folder(self.checkpoint_dir, "two_tower"),
            ),
            seed=self.seed,
            identity=identity,
            progress=progress,
        )
        return users, items, history

    def _condition(self, pairs: Pairs) -> tuple[np.ndarray, Conditional | None]:
        """The value of the condition that each item has, and who wants which."""
        if self.condition is None:
            return np.zeros(pairs.items, np.int64), None
        if self.condition not in pairs.item_codes:
            raise UnknownFeatureError(
                "`condition` must be a feature of items. Received: "
                f"condition={self.condition!r}. {close_matches(self.condition, pairs.item_codes)}"
            )
        groups, codes = np.unique(pairs.item_codes[self.condition], return_inverse=True)
        tastes = fit_conditional(
            codes[pairs.item],
            len(groups),
            self._contexts(pairs.user, pairs.item),
            context_sizes(pairs),
            [("user",), *((context_name(name),) for name in self._layout.user_features)],
        )
        return codes, tastes

    def _build(self, bias: np.ndarray) -> Generator:
        return Generator(
            self._items,
            bias,
            self._groups,
            noise_dim=self.noise_dim,
            hidden=self.hidden,
            seed=self.seed,
        )

    def _log_weights(self, users: np.ndarray) -> np.ndarray:
        embedded = tf.constant(self._users[users])
        total = tf.zeros([len(users), len(self._items)])
        for group in range(self._generator.conditions):
            condition = tf.fill([len(users)], tf.constant(group, tf.int64))
            for noise in self._noise:
                repeated = tf.tile(tf.constant(noise[np.newaxis]), [len(users), 1])
                own = self._generator((repeated, embedded, condition)) - self._generator.bias
                total += tf.nn.softmax(self.sharpness * own + self._generator.bias)
        weights = np.log(np.maximum(total.numpy() / len(self._noise), 1e-30)) + self._shift
        if self._tastes is not None:
            contexts = self._contexts(users, np.zeros(len(users), np.int64))
            weights += self._tastes.log_probabilities(contexts, len(users))[:, self._groups]
        return weights

    def _pair_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {f"weights/{i}": w for i, w in enumerate(self._generator.get_weights())}
        arrays |= {"users": self._users, "items": self._items, "groups": self._groups}
        arrays |= {"noise": self._noise, "shift": self._shift}
        state = {"tastes": None}
        state["privacy"] = {name: as_json(spent) for name, spent in self._budgets.items()}
        if self._tastes is not None:
            arrays |= {f"tastes/{name}": array for name, array in self._tastes.arrays().items()}
            state["tastes"] = self._tastes.get_config()
        return state, arrays

    def _restore_pairs(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._users, self._items, self._groups = (
            arrays[name] for name in ("users", "items", "groups")
        )
        self._noise, self._shift = arrays["noise"], arrays["shift"]
        spent = {"embeddings": None, "critic": None, **state.get("privacy", {})}
        self._budgets = {name: budget and PrivacyBudget(**budget) for name, budget in spent.items()}
        self._generator = self._build(np.zeros(len(self._items), np.float32))
        weights = under(arrays, "weights")
        self._generator.set_weights([weights[str(i)] for i in range(len(weights))])
        tastes = state["tastes"]
        self._tastes = (
            None if tastes is None else Conditional.restore(tastes, under(arrays, "tastes"))
        )


def _standardized(table: np.ndarray) -> np.ndarray:
    """Embeddings of mean 0 and of a mean deviation of 1."""
    centred = table - table.mean(axis=0)
    return (centred / max(float(centred.std(axis=0).mean()), 1e-6)).astype(np.float32)


def _folder(folder: str | None, part: str) -> str | None:
    return None if folder is None else f"{folder}/{part}"
