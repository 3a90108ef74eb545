"""A conditional generative adversarial network for tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis import networks
from tfrs_augment.synthesis.adversarial import AdversarialTrainer
from tfrs_augment.synthesis.calibration import NumberCalibration
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.declared import declared_spec
from tfrs_augment.synthesis.encoding import Encoded, TableEncoding
from tfrs_augment.synthesis.identity import identity_of
from tfrs_augment.synthesis.neural import NeuralSynthesizer, Trainer
from tfrs_augment.synthesis.private import (
    DifferentialPrivacy,
    PrivacyBudget,
    as_json,
    refusal,
)
from tfrs_augment.synthesis.private_noise import Secret, noisy_shares
from tfrs_augment.synthesis.private_training import PrivateTrainer
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler

if TYPE_CHECKING:
    from typing_extensions import Self

_LOSSES = ("wgan-gp", "minimax")
_UNPROTECTED = (
    "vocabularies, bounds and missing shares that were read off the rows",
    "the mixtures of numeric columns",
    "the critic",
    "the validation that chose the weights",
    "the calibration of shares and quantiles",
)


@dataclasses.dataclass(kw_only=True, eq=False)
class TabularGAN(NeuralSynthesizer):
    """Generates rows with a network that was trained against a critic: a conditional WGAN-GP.

    The generator is told one category that its row must have; the critic, of some real or some generated
    rows at once, tells which they are. Rare categories are trained on as often as their log-count says, and
    sampled as often as they are.

    A condition on a column of categories is met by construction: the row is generated for it. Of several,
    the least likely one is, and the others are met by rejection, as are ranges of numbers.

    Args:
      steps: the most steps of the generator, rounded up to whole validations.
      validate_every: steps from one look at held-out rows to the next.
      patience: looks without a better one after which training stops.
      batch_size: rows of a step, a multiple of `pac`. Default: 250.
      noise_dim: width of the generator's noise.
      learning_rate: of Adam, for both networks.
      averaging: the weights that are sampled with are an exponential moving average over the steps; this is
        what remains of it after each. 0 takes the last weights.
      validation_share: of rows held out to look at, in [0, 0.5]; fewer than 100 rows serve as both.
      generator_units: widths of the generator's hidden layers.
      critic_units: widths of the critic's.
      critic_steps: steps of the critic before each of the generator.
      pac: rows that the critic sees at once (PacGAN). 10, as in the paper, holds the generator's rows apart
        where they come out too much alike, and leaves the critic a tenth of the examples.
      loss: "wgan-gp", the Wasserstein distance with a penalty on the critic's slope; or "minimax", the
        original game of a generator and a discriminator, in the form that does not saturate.
      gradient_penalty: weight of the penalty of "wgan-gp".
      temperature: of the softmax whose slopes generated categories are trained with.
      privacy: a `DifferentialPrivacy`, with which the whole of the fitted synthesizer has a budget,
        `privacy_budget()`; None has none. It needs `dp-accounting`, pac=1, and a schema that declares the
        vocabulary or the bounds of every column; all steps are taken, and the last weights kept.
      seed: an integer of 0 or more, of weights, batches and noise; not of what a private fit hides by.
      checkpoint_dir: a folder from which a fit that was cut off goes on, with the same arguments on the same
        rows; None keeps none.
      columns: as of `Synthesizer`.
      max_tries: as of `Synthesizer`.

    Raises:
      InvalidArgumentError: an argument is outside its range.

    Example:
      >>> category = np.array([b"hat", b"shoe"]).repeat(100)
      >>> table = {"category": category, "price": np.arange(200) + 0.5}
      >>> gan = TabularGAN(steps=40, validate_every=20, generator_units=(32,)).fit(table)
      >>> rows = gan.sample(50, conditions={"category": "hat"})
      >>> set(rows["category"].tolist()), bool(rows["price"].max() <= 199.5)
      ({b'hat'}, True)

    References:
      Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, section 4. Where a row has a
      condition, its category is put into the generated row, so that no term of the loss has to ask for it;
      the critic is told which column has one. Generated categories are one-hot for the critic too
      (straight-through), and their logits start at the shares of the data.
      Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, section 4.
      Lin et al., "PacGAN: The power of two samples in generative adversarial networks", NeurIPS 2018.
      Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3, for "minimax".
      Bie et al., "Private GANs, Revisited", TMLR 2023, section 3: DP-SGD in the critic alone.
    """

    conditional = True

    steps: int = 2_000
    patience: int = 20
    batch_size: int = 250
    generator_units: Sequence[int] = (128, 128)
    critic_units: Sequence[int] = (128, 128)
    critic_steps: int = 1
    pac: int = 1
    loss: str = "wgan-gp"
    gradient_penalty: float = 10.0
    temperature: float = 0.5
    privacy: DifferentialPrivacy | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("generator_units", "critic_units"):
            setattr(self, name, networks.check_units("TabularGAN", name, getattr(self, name)))
        whole = {name: getattr(self, name) for name in ("critic_steps", "pac")}
        networks.check_integers("TabularGAN", whole)
        networks.check_numbers(
            "TabularGAN",
            {
                "gradient_penalty": (self.gradient_penalty, 0.0, math.inf),
                "temperature": (self.temperature, 0.01, 100.0),
            },
        )
        if self.loss not in _LOSSES:
            raise InvalidArgumentError(
                f"`loss` must be one of {', '.join(map(repr, _LOSSES))}. Received: "
                f"loss={self.loss!r} (TabularGAN)."
            )
        if self.batch_size % self.pac:
            raise InvalidArgumentError(
                f"`batch_size` must be a multiple of `pac`. Received: batch_size={self.batch_size}, "
                f"pac={self.pac} (TabularGAN)."
            )
        self.privacy = DifferentialPrivacy.of(self.privacy)
        self._budget: PrivacyBudget | None = None
        if self.privacy is not None and self.pac != 1:
            raise InvalidArgumentError(
                "`pac` must be 1 with `privacy`, which bounds what one row does. Received: "
                f"pac={self.pac} (TabularGAN)."
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments as JSON values; `type(self)(**config)` is an unfitted copy."""
        return {**super().get_config(), "privacy": as_json(self.privacy)}

    def fit(
        self,
        data: Any,
        *,
        schema: Schema | None = None,
        progress: bool = False,
        callbacks: Sequence[Any] = (),
    ) -> Self:
        """Learns from rows; see `Synthesizer.fit`.

        Raises:
          InvalidArgumentError: with `privacy`, the schema lacks the vocabulary or bounds of a column.
          DataError: the rows can't be read or modelled, or break the schema.
        """
        self._budget = None
        if self.privacy is None:
            return super().fit(data, schema=schema, progress=progress, callbacks=callbacks)
        table = self._read(data, schema)
        spec = declared_spec(table, schema)
        self.spec, self.loss_history = None, {}
        self._fit_privately(table, spec, progress=progress, callbacks=callbacks)
        self.spec = spec
        return self

    def privacy_budget(self) -> PrivacyBudget:
        """Returns what the fit has spent; it covers the file, all rows sampled from it, and `loss_history`.

        Raises:
          InvalidArgumentError: it is not fitted, or without `privacy`; the message lists what saw the data.
        """
        self._fitted()
        if self._budget is None:
            raise refusal("TabularGAN", _UNPROTECTED)
        return self._budget

    def _fit_privately(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        self._encoding = TableEncoding.of_bounds(spec)
        encoded = self._encoding.encode(table, np.random.default_rng([self.seed, 0]))
        identity = identity_of(self, encoded)
        steps = self._runs * self.validate_every * self.critic_steps
        # Callbacks may stop it earlier, by what the budget covers: what is planned counts as spent.
        budget = self.privacy.budget(rows=spec.rows, batch_size=self.batch_size, steps=steps)
        secret = Secret(self.checkpoint_dir, identity)
        codes, shares = self._measured(encoded, budget, secret)
        self._sampler = ConditionSampler(
            self._encoding.heads, [share * spec.rows for share in shares]
        )
        data = Encoded(codes, encoded.numbers)
        trainer = PrivateTrainer(self, data, self._sampler, budget, secret)
        self._use(trainer.model)
        self._train(
            trainer.run,
            dict,
            trainer,
            measure=None,
            identity=identity,
            progress=progress,
            callbacks=callbacks,
        )
        self._calibrate_shares(np.random.default_rng([self.seed, 2]))
        self._calibration = NumberCalibration.none()
        self._budget = budget

    def _measured(
        self, encoded: Encoded, budget: PrivacyBudget, secret: Secret
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Codes without a gap, and noisy shares of each head's choices."""
        heads, rng = self._encoding.heads, secret.rng("counts")
        codes = encoded.codes.copy()
        for place, head in enumerate(heads):
            if head.kind == "mode":
                codes[self._encoding.missing(encoded, head.column), place] = -1
        sizes = [head.size for head in heads]
        shares = noisy_shares(codes.T, sizes, budget.count_noise_multiplier, rng)
        for place, share in enumerate(shares):
            absent = codes[:, place] < 0
            codes[absent, place] = rng.choice(len(share), int(absent.sum()), p=share)
        return codes, shares

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        state, arrays = super()._state()
        return {**state, "privacy": as_json(self._budget)}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super()._restore(state, arrays)
        spent = state.get("privacy")
        self._budget = None if spent is None else PrivacyBudget(**spent)

    def _trainer(self, data: Encoded, conditions: ConditionSampler) -> Trainer:
        return AdversarialTrainer(self, data, conditions)

    def _new_model(self) -> tf_keras.Model:
        width = sum(head.size for head in self._encoding.heads)
        numbers = len(self._encoding.numeric)
        inputs = self.noise_dim + width
        return self._network(self.generator_units, inputs, numbers, at_shares=True)

    def _numbers_of(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.tanh(outputs)
