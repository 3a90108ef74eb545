"""The trainings of one seed: every arm trained or scored, measured, and kept."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.adaptive.policy import AdaptivePolicy
from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import AugmentError, InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import Arm, BuildModel, name_of, needed
from tfrs_augment.evaluation.comparing.ensembles import Embedded, join, mean_scorer
from tfrs_augment.evaluation.comparing.run_cache import EMBEDDED, WEIGHTS, RunCache
from tfrs_augment.evaluation.comparing.training import Protocol, Training
from tfrs_augment.evaluation.comparing.training import train as train_model
from tfrs_augment.evaluation.comparing.validation import Embedder, Predictor
from tfrs_augment.evaluation.comparing.warm_starts import assign, freeze, make_variables
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import measure_embeddings, measure_scores
from tfrs_augment.evaluation.splitting.splits import Split
from tfrs_augment.fitting import fit
from tfrs_augment.layers import wrap

# Raised with every change that lets the same arm train or score otherwise.
_CACHE_VERSION = 4


class Listener:
    """Is told how the work goes; this one does nothing with it."""

    def found(self, arms: int) -> None:
        """So many arms of a seed came from the cache."""

    def started(self, seed: int, arm: str) -> None:
        """An arm is trained, or scored."""

    def validated(self, epoch: int, metric: float) -> None:
        """The arm's model was validated."""

    def finished(self, seed: int, arm: str) -> None:
        """An arm was measured, and its run kept."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What a comparison does with every seed."""

    build_model: BuildModel
    arms: Mapping[str, Arm]
    protocol: Protocol

    def keys(self, seed: int, split: Split) -> dict[str, str]:
        """Returns what each arm's run is kept under: equal for equal work."""
        context = {
            "version": _CACHE_VERSION,
            "split": split.fingerprint(),
            "seed": seed,
            "build_model": name_of(self.build_model),
            "protocol": self.protocol.describe(),
        }
        keys = {}
        for arm in self.arms:
            described = [self.arms[name].describe() for name in (arm, *needed(arm, self.arms))]
            # The name too: file names leave out what they can't hold, and functions without a name are alike.
            text = json.dumps([context, arm, described], sort_keys=True)
            keys[arm] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return keys


class SeedRuns:
    """Trains, scores and measures arms with one seed.

    Args:
      study: the arms and the protocol.
      seed: of initial weights and batches.
      split: what the arms learn and are judged by.
      keys: of the runs in the cache, by arm.
      cache: what is there is not done again.
      listener: is told how it goes.
    """

    def __init__(
        self,
        study: Study,
        seed: int,
        split: Split,
        keys: Mapping[str, str],
        cache: RunCache,
        listener: Listener,
    ):
        self._study, self._arms, self._protocol = study, study.arms, study.protocol
        self._seed, self._split = seed, split
        self._keys, self._cache, self._listener = keys, cache, listener
        self._runs: dict[str, Run] = {}
        self._weights: dict[str, list[np.ndarray]] = {}
        self._embedded: dict[str, Embedded] = {}
        self._at = ""  # The arm that is worked on.

    def run(self, names: Iterable[str]) -> dict[str, Run]:
        """Returns the runs of these arms; what they need of others is made where it is not kept.

        Raises:
          AugmentError: what went wrong, as it was raised, with the arm and the seed in its message. Other
            errors, of a caller's functions, have them in a note from Python 3.11 on.
        """
        names = list(names)
        for name in names:
            found = self._cache.load(name, self._seed, self._keys[name])
            if found is not None:
                self._runs[name] = found
        self._listener.found(len(self._runs))
        for name in names:
            if name not in self._runs:
                self._at = name
                try:
                    self._make(name)
                except AugmentError as error:
                    # In place: class, traceback and cause stay those of the error.
                    text = str(error)
                    stop = "." if text.endswith(".") else ""
                    error.args = (f"{text.removesuffix('.')} ({self._place()}){stop}",)
                    raise
                except Exception as error:
                    if hasattr(error, "add_note"):
                        error.add_note(f"Raised at {self._place()} of the comparison.")
                    raise
        return {name: self._runs[name] for name in names}

    def _make(self, name: str) -> None:
        if self._arms[name].ensemble:
            self._combine(name)
        elif self._arms[name].scorer is not None:
            self._score(name)
        else:
            self._train(self._arms[name].share or name)

    def _place(self) -> str:
        return f"arm {self._at!r}, seed {self._seed}"

    def _start(self, name: str) -> None:
        self._at = name
        self._listener.started(self._seed, name)

    def _score(self, name: str) -> None:
        """Measures an arm that has no model."""
        self._start(name)
        start = time.perf_counter()
        measured = measure_scores(self._split, self._arms[name].scorer(self._split))
        self._keep(name, _untrained(measured, start))

    def _combine(self, name: str) -> None:
        """Measures the mean of other arms."""
        arms = self._arms[name].ensemble
        if self._protocol.label is not None:
            for arm in arms:
                if arm not in self._runs:
                    self._train(self._arms[arm].share or arm)
            self._start(name)
            start = time.perf_counter()
            predictions = np.mean([self._runs[arm].predictions for arm in arms], axis=0)
            self._keep(name, _untrained({"ranks": {}, "predictions": predictions}, start))
            return
        models = {arm: self._embedded_of(arm) for arm in arms if not self._arms[arm].scorer}
        self._start(name)
        start = time.perf_counter()
        if len(models) == len(arms):
            measured = measure_embeddings(self._split, *join(list(models.values())))
        else:
            members = [models.get(arm) or self._arms[arm].scorer(self._split) for arm in arms]
            measured = measure_scores(self._split, mean_scorer(members, self._split))
        self._keep(name, _untrained(measured, start))

    def _embedded_of(self, name: str) -> Embedded:
        """Returns the embeddings of an arm, kept or made."""
        if name not in self._embedded:
            kept = self._cache.load_group(name, self._seed, self._keys[name], EMBEDDED)
            if kept is None:
                self._train(self._arms[name].share or name, again=name)
            else:
                self._embedded[name] = Embedded.from_arrays(kept)
        return self._embedded[name]

    def _weights_of(self, name: str) -> list[np.ndarray]:
        """Returns the trained weights of an arm, kept or made."""
        if name not in self._weights:
            kept = self._cache.load_group(name, self._seed, self._keys[name], WEIGHTS)
            if kept is None:
                self._train(name, again=name)
            else:
                self._weights[name] = [kept[str(place)] for place in range(len(kept))]
        return self._weights[name]

    def _train(self, name: str, again: str | None = None) -> None:
        """Trains an arm and measures it and the arms that share its weights.

        What has a run already is not measured once more, but for `again`, of which something is missing.
        """
        arm = self._arms[name]
        initial = None if arm.start is None else self._weights_of(arm.start)
        self._start(name)
        start = time.perf_counter()
        rows = self._split.train if arm.rows is None else arm.rows(self._split, self._seed)
        model, variables = self._build(name, rows, initial)
        history = self._fit(model, arm, rows)
        variables = list(model.weights) if variables is None else variables
        if any(other.start == name for other in self._arms.values()):
            self._weights[name] = [variable.numpy() for variable in variables]
        weights = model.get_weights()
        followers = [other for other, value in self._arms.items() if value.share == name]
        measure = _Measure(self._split, self._protocol)
        for member in (name, *followers):
            if member in self._runs and member != again:
                continue
            self._at = member
            if self._arms[member].after_fit is not None:
                self._arms[member].after_fit(model, rows)
            measured, embedded = measure(model, embedded=self._is_member(member))
            if embedded is not None:
                self._embedded[member] = embedded
            run = Run(
                **measured,
                loss=history.loss,
                validation=history.validation,
                best_epoch=history.best_epoch,
                seconds=time.perf_counter() - start,
            )
            model.set_weights(weights)
            self._keep(member, run)
        # Each training traces graphs of its own; without this they pile up over a comparison.
        del model, variables, measure
        tf_keras.backend.clear_session()
        gc.collect()

    def _build(self, name: str, rows: Interactions, initial: Sequence[np.ndarray] | None):
        """Returns the model of an arm, and its variables where these were made before training."""
        arm, variables = self._arms[name], None
        tf_keras.utils.set_random_seed(self._random_seed(arm))
        model = self._study.build_model(rows, **arm.model_options)
        if not isinstance(model, tfrs.Model):
            raise InvalidArgumentError(
                f"`build_model` must return a tfrs.Model. Received: {type(model).__name__}."
            )
        if initial is not None or arm.frozen:
            variables = make_variables(model, rows)
        if initial is not None:
            assign(variables, initial, arm.start)
        if arm.frozen:
            freeze(model, arm.frozen)
        if arm.policy is not None or arm.tasks is not None:
            model = _wrap(model, arm, rows)
        return model, variables

    def _fit(self, model: tf_keras.Model, arm: Arm, rows: Interactions) -> Training:
        callbacks = []
        if isinstance(arm.policy, AdaptivePolicy):
            monitor = self._protocol.measure(self._split).name
            callbacks.append(arm.policy.callback(monitor=monitor, seed=self._random_seed(arm)))
        return train_model(
            model,
            self._split,
            self._protocol,
            rows=rows,
            copies=arm.copies,
            seed=self._random_seed(arm),
            after_fit=arm.after_fit and (lambda trained: arm.after_fit(trained, rows)),
            on_epoch=self._listener.validated,
            callbacks=callbacks,
        )

    def _random_seed(self, arm: Arm) -> int:
        if not arm.initialization:
            return int(self._seed)
        mixed = np.random.SeedSequence([self._seed, arm.initialization]).generate_state(1)[0]
        return int(mixed) >> 1

    def _is_member(self, name: str) -> bool:
        return any(name in other.ensemble for other in self._arms.values())

    def _keep(self, name: str, run: Run) -> None:
        groups: dict[str, dict[str, np.ndarray]] = {}
        if name in self._weights:
            groups[WEIGHTS] = {str(i): array for i, array in enumerate(self._weights[name])}
        if name in self._embedded:
            groups[EMBEDDED] = self._embedded[name].to_arrays()
        self._cache.save(name, self._seed, self._keys[name], run, groups)
        new = name not in self._runs
        self._runs[name] = run
        if new:
            self._listener.finished(self._seed, name)


class _Measure:
    """What a report needs of a trained model, and what an ensemble does."""

    def __init__(self, split: Split, protocol: Protocol):
        self._split, self._protocol = split, protocol
        if protocol.label is None:
            self._embed = Embedder(split, split.test, protocol)
        else:
            self._predict = Predictor(split.test, protocol)

    def __call__(self, model, *, embedded: bool) -> tuple[dict[str, Any], Embedded | None]:
        if self._protocol.label is not None:
            return {"ranks": {}, "predictions": self._predict(model)}, None
        queries, candidates = self._embed(model)
        measured = measure_embeddings(self._split, queries, candidates)
        if not embedded:
            return measured, None
        return measured, Embedded.of(model, self._split, self._protocol, queries, candidates)


def _untrained(measured: Mapping[str, Any], start: float) -> Run:
    seconds = time.perf_counter() - start
    return Run(**measured, loss=[], validation=[], best_epoch=0, seconds=seconds)


def _wrap(model: tf_keras.Model, arm: Arm, rows: Interactions) -> tf_keras.Model:
    policy = arm.policy
    if policy is not None and policy.missing_requirements():
        policy = fit(policy, rows.dataset(8192))
    tasks = () if arm.tasks is None else arm.tasks(rows)
    return wrap(model, policy, tasks=tasks, original_ids=rows.item_id)
