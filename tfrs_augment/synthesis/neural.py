"""What the two networks for tables have in common: fitting, sampling, calibration and files."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.synthesis import networks, training
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.calibration import NumberCalibration, fit_biases
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.encoding import Encoded, TableEncoding
from tfrs_augment.synthesis.identity import identity_of
from tfrs_augment.synthesis.pair_likelihood import PairLikelihood
from tfrs_augment.synthesis.training_by_sampling import Chosen, ConditionSampler

_MEASURE = "pair_likelihood"
_LOOKED_AT = 16_384
"""Rows sampled for the measure: with fewer, chance would weigh on pairs of many categories."""


class Trainer(abc.ABC):
    """The networks of a fit, and their compiled steps.

    Attributes:
      model: what is sampled from: maps noise, and conditions, to logits of all heads and then numbers.
      state: all variables that training changes, apart from the model's.
    """

    model: tf_keras.Model
    state: list[tf.Variable]

    @abc.abstractmethod
    def run(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Trains for `validate_every` steps, the `number`th time (int64 scalar), and returns losses."""


@dataclasses.dataclass(kw_only=True, eq=False)
class NeuralSynthesizer(Synthesizer):
    """A synthesizer whose rows a network makes of noise.

    A subclass defines `_trainer`, `_model` and `_numbers_of`, and says whether the network takes conditions.

    Training stops when `patience` validations gave no better `PairLikelihood` of held-out rows, and the
    weights of the best one are kept. If the network takes conditions, the column that it gets them on where
    the user has none is the one that gives the best measure. Then the shares of categories and the quantiles
    of numbers are set to those of the data; see `calibration`.
    """

    conditional = False
    """Whether the network is told a category that its row must have."""

    steps: int = 3_000
    validate_every: int = 100
    patience: int = 10
    batch_size: int = 500
    noise_dim: int = 64
    learning_rate: float = 1e-3
    averaging: float = 0.99
    validation_share: float = 0.1
    seed: int = 0
    checkpoint_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = ("steps", "validate_every", "patience", "batch_size", "noise_dim")
        networks.check_integers(type(self).__name__, {name: getattr(self, name) for name in whole})
        networks.check_integers(type(self).__name__, {"seed": self.seed}, low=0)
        networks.check_numbers(
            type(self).__name__,
            {
                "learning_rate": (self.learning_rate, 1e-9, math.inf),
                "averaging": (self.averaging, 0.0, 0.99999),
                "validation_share": (self.validation_share, 0.0, 0.5),
            },
        )

    @abc.abstractmethod
    def _trainer(self, data: Encoded, conditions: ConditionSampler) -> Trainer:
        """Returns the trainer on encoded rows; `self._encoding` is set."""

    @abc.abstractmethod
    def _new_model(self) -> tf_keras.Model:
        """Returns the untrained model that is sampled from; `self._encoding` is set."""

    @abc.abstractmethod
    def _numbers_of(self, outputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """float32 `[n, numeric columns]`: numbers of the model's outputs beyond the logits."""

    def _network(
        self, units: Sequence[int], inputs: int, numbers: int, *, at_shares: bool
    ) -> tf_keras.Model:
        """Returns a model with the logits of all heads, and numbers.

        Args:
          units: widths of its hidden layers.
          inputs: width of what it reads.
          numbers: how many outputs come after the logits.
          at_shares: whether the logits start at the shares of the data.
        """
        counts = np.concatenate(self._sampler.counts)
        model = networks.multilayer(units, len(counts) + numbers, inputs, seed=self.seed)
        if at_shares:
            start = np.log(counts + 0.5) - np.log(self._sampler.counts[0].sum())
            model.layers[-1].bias.assign(np.concatenate([start, np.zeros(numbers)]))
        return model

    def _fit(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        self._encoding = TableEncoding.fit(table, spec)
        encoded = self._encoding.encode(table, np.random.default_rng([self.seed, 0]))
        rows, held_out = networks.held_out(spec.rows, self.validation_share, self.seed)
        train, validation = (
            {name: values[places] for name, values in table.items()} for places in (rows, held_out)
        )
        data = Encoded(encoded.codes[rows], encoded.numbers[rows])
        self._sampler = ConditionSampler.fit(self._encoding.heads, data.codes)
        trainer = self._trainer(data, self._sampler)
        self._use(trainer.model)
        measure = PairLikelihood(train, validation, spec)
        trained = False

        def train_on(number: tf.Tensor) -> dict[str, tf.Tensor]:
            nonlocal trained
            trained = True
            return trainer.run(number)

        def look() -> float:
            generated = self._generate(np.random.default_rng([self.seed, 1]), _LOOKED_AT)
            return measure(self._encoding.decode(generated))

        def validate() -> dict[str, float]:
            # An untrained network is no candidate, not even one that starts at the shares.
            return {_MEASURE: look() if trained else -math.inf}

        def look_on(place: int | None) -> float:
            self._place = place
            return look()

        self._train(
            train_on,
            validate,
            trainer,
            measure=_MEASURE,
            identity=identity_of(self, encoded),
            progress=progress,
            callbacks=callbacks,
        )
        if self.conditional:
            self._place = max([None, *self._sampler.places], key=look_on)
        # Held-out rows have served; the shares are of all rows.
        self._sampler = ConditionSampler.fit(self._encoding.heads, encoded.codes)
        self._calibrate(table)

    @property
    def _runs(self) -> int:
        """How many compiled runs of `validate_every` steps there are at most."""
        return math.ceil(self.steps / self.validate_every)

    def _train(
        self,
        run: Callable[[tf.Tensor], dict[str, tf.Tensor]],
        validate: Callable[[], dict[str, float]],
        trainer: Trainer,
        *,
        measure: str | None,
        identity: str,
        progress: bool,
        callbacks: Sequence[Any],
    ) -> None:
        """Trains as `training.run` does, and notes the history."""
        history = training.run(
            run,
            validate,
            # A step of the loop is a compiled run of steps of the optimizer.
            training.Schedule(self._runs, 1, self.patience, self.checkpoint_dir),
            model=trainer.model,
            state=trainer.state,
            measure=measure,
            identity=identity,
            progress=progress,
            callbacks=callbacks,
            description=type(self).__name__,
        )
        history["step"] = [runs * self.validate_every for runs in history["step"]]
        self.loss_history = history

    def _draw(
        self, rng: np.random.Generator, n: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        generated = self._generate(rng, n, conditions)
        return self._calibration.decode(self._encoding, generated)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        weights = {f"weight/{i}": w for i, w in enumerate(self._model.get_weights())}
        counts = {f"count/{i}": count for i, count in enumerate(self._sampler.counts)}
        return {"place": self._place}, {
            "biases": self._biases,
            **weights,
            **counts,
            **self._encoding.arrays(),
            **self._calibration.arrays(),
        }

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._encoding = TableEncoding.restore(self.spec, arrays)
        heads = self._encoding.heads
        self._sampler = ConditionSampler(heads, [arrays[f"count/{i}"] for i in range(len(heads))])
        self._calibration = NumberCalibration.restore(self.spec, arrays)
        model = self._new_model()
        model.set_weights([arrays[f"weight/{i}"] for i in range(len(model.weights))])
        self._use(model)
        self._biases, self._place = arrays["biases"], state["place"]

    def _calibrate(self, table: Table) -> None:
        rng = np.random.default_rng([self.seed, 2])
        self._calibrate_shares(rng)
        generated = self._generate(rng, self.block_rows)
        self._calibration = NumberCalibration.fit(table, self._encoding, generated)

    def _calibrate_shares(self, rng: np.random.Generator) -> None:
        """Sets the shares of categories to those of the sampler's counts."""
        chosen = self._conditions_of(rng, self.block_rows)
        logits = self._run(rng, chosen)[0].numpy()
        shares = [count / count.sum() for count in self._sampler.counts]
        self._biases = fit_biases(logits, shares, chosen)

    def _use(self, model: tf_keras.Model) -> None:
        """Makes a model the one that is sampled from."""
        self._model, self._place = model, None
        sizes = [head.size for head in self._encoding.heads]
        width = sum(sizes)
        self._biases = np.zeros(width, np.float32)

        @tf.function(reduce_retracing=True)
        def generate(head, code, seed, biases):
            noise = tf.random.stateless_normal([tf.shape(head)[0], self.noise_dim], seed)
            given = [networks.condition(head, code, sizes)] if self.conditional else []
            outputs = model(tf.concat([noise, *given], 1))
            logits = outputs[:, :width] + biases
            codes = networks.hard_choices(logits, sizes, seed + 1)
            met = tf.range(len(sizes)) == head[:, None]
            codes = tf.where(met, code[:, None], codes)
            return logits, codes, self._numbers_of(outputs[:, width:], seed + 2)

        self._compiled = generate

    def _run(self, rng: np.random.Generator, chosen: Chosen) -> tuple[tf.Tensor, ...]:
        """Logits, codes and numbers of rows with the given conditions."""
        seed = rng.integers(0, 2**30, 2).astype(np.int32)
        return self._compiled(*map(tf.constant, (*chosen, seed, self._biases)))

    def _generate(
        self, rng: np.random.Generator, n: int, conditions: Conditions | None = None
    ) -> Encoded:
        _, codes, numbers = self._run(rng, self._conditions_of(rng, n, conditions))
        return Encoded(codes.numpy(), numbers.numpy())

    def _conditions_of(
        self, rng: np.random.Generator, n: int, conditions: Conditions | None = None
    ) -> Chosen:
        if self.conditional:
            return self._sampler.sample(rng, n, conditions, self._place)
        return Chosen(np.full(n, -1, np.int32), np.zeros(n, np.int32))
