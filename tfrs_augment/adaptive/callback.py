"""The Keras callback that asks a strategy, epoch by epoch, and what came of it."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import tf_keras

from tfrs_augment.adaptive.policy import AdaptivePolicy, InForce, indices
from tfrs_augment.adaptive.strategies import Outcome
from tfrs_augment.errors import InvalidArgumentError, close_matches
from tfrs_augment.policy import AugmentationPolicy

FORMAT_VERSION = 1
_MODES = ("auto", "max", "min")
_LOWER_IS_BETTER = ("loss", "error", "rmse", "mse", "mae")


class AdaptiveCallback(tf_keras.callbacks.Callback):
    """Sets the arm in force before each epoch, and lets the strategy learn after it.

    It is made by `AdaptivePolicy.callback`. Metrics that another callback adds to Keras' logs count if that
    one comes before in the list. A further `fit` with the same callback goes on where the last one ended.
    What it draws hangs on its seed and the number of epochs before.

    Attributes:
      history: a dict an epoch: `arm` (its name; None where rows get different ones), `place` (along the
        arms, 0.0 is the first; None where each row has its own), `probabilities` (of the arms, where one is
        drawn; else None), `monitor` (the metric; None where it was missing), `reward` (what the strategy made
        of it, in [0, 1]; None without one).
    """

    def __init__(
        self,
        policy: AdaptivePolicy,
        *,
        monitor: str = "val_ndcg@50",
        mode: str = "auto",
        seed: int = 0,
        path: str | os.PathLike | None = None,
    ):
        super().__init__()
        if not isinstance(policy, AdaptivePolicy):
            raise InvalidArgumentError(
                f"`policy` of AdaptiveCallback must be an AdaptivePolicy. Received: {policy!r}."
            )
        if not isinstance(monitor, str) or not monitor:
            raise InvalidArgumentError(
                f"`monitor` must be a metric's name. Received: monitor={monitor!r}."
            )
        if mode not in _MODES:
            raise InvalidArgumentError(f"`mode` must be one of {_MODES}. Received: mode={mode!r}.")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidArgumentError(
                f"`seed` must be an integer of at least 0. Received: seed={seed!r}."
            )
        self.policy, self.monitor, self.seed = policy, monitor, seed
        self.mode = _direction(monitor) if mode == "auto" else mode
        self.history: list[dict[str, Any]] = []
        self._path = None if path is None else pathlib.Path(path)
        self._arms = tuple(policy.arms)
        self._knows = policy.strategy.begin(self._arms)
        self._place: float | None = None
        self._chances: list[float] | None = None
        self._seen: set[str] = set()
        self._control: InForce | None = None

    def on_train_begin(self, logs=None):
        control = getattr(vars(self.model).get("compute_loss"), "control", None)
        if not isinstance(control, InForce) or (
            control.policy.get_config() != self.policy.get_config()
        ):
            raise InvalidArgumentError(
                "The callback of an AdaptivePolicy goes with a model that wraps the same policy: "
                "model = aug.wrap(model, adaptive). Received: a model that "
                + ("wraps another." if isinstance(control, InForce) else "wraps none.")
            )
        self._control = control
        if self._path is not None and not self.history and self._path.exists():
            self.restore(self._path)
            print(
                f"AdaptivePolicy: went on after {len(self.history)} epochs, from {self._path}.",
                file=sys.stderr,
            )

    def on_epoch_begin(self, epoch, logs=None):
        strategy, number = self.policy.strategy, len(self.history)
        if self._place is None:
            self._chances = strategy.probabilities(self._knows, self._arms, number)
            rng = np.random.default_rng([self.seed, number])
            place = float(strategy.place(self._knows, self._arms, number, rng))
            if not 0 <= place <= len(self._arms) - 1:  # NaN too.
                raise InvalidArgumentError(
                    f"`place` of {type(strategy).__name__} must return a place along the arms, in "
                    f"[0, {len(self._arms) - 1}]. Received: {place!r}."
                )
            self._place = place
        self._control.place.assign(self._place)

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        self._seen.update(logs)
        strategy, reward = self.policy.strategy, None
        metric = float(logs[self.monitor]) if self.monitor in logs else None
        entry = {
            "arm": self._arm(),
            "place": None if strategy.by_row else self._place,
            "probabilities": self._chances,
            "monitor": metric,
        }
        if strategy.watches and metric is not None:
            outcome = Outcome(self._score(metric, self.mode), self._training(logs))
            self._knows, reward = strategy.learn(self._knows, self._arms, self._place, outcome)
        self.history.append({**entry, "reward": reward})
        if not strategy.watches or metric is not None:
            self._place = None  # Chosen anew at the next epoch.
        if self._path is not None:
            self.save(self._path)

    def on_train_end(self, logs=None):
        watched = any(entry["monitor"] is not None for entry in self.history)
        if self.policy.strategy.watches and self.history and not watched:
            raise InvalidArgumentError(
                f"`monitor` must be a metric of the training. Received: monitor={self.monitor!r}, which was "
                f"in no epoch's logs, so the arm stayed {self.history[-1]['arm']!r}. "
                f"{close_matches(self.monitor, self._seen)} Give `fit` validation data, or the callback "
                "another monitor."
            )

    def settled(self) -> str | None:
        """The name of the arm that the strategy settled on so far; None where it never settles."""
        place = self.history[-1]["place"] if self.history else 0.0
        place = self._place if self._place is not None else place
        index = self.policy.strategy.settled(self._knows, self._arms, place or 0.0)
        return None if index is None else self._arms[index]

    def state(self) -> dict[str, Any]:
        """What it needs to go on in another process, as JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "policy": self.policy.get_config(),
            "monitor": self.monitor,
            "mode": self.mode,
            "seed": self.seed,
            "knows": dict(self._knows),
            "place": self._place,
            "probabilities": self._chances,
            "history": [dict(entry) for entry in self.history],
        }

    def save(self, path: str | os.PathLike) -> None:
        """Writes `state()` to a JSON file, whole or not at all."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(self.state(), indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)

    def restore(self, saved: str | os.PathLike | Mapping[str, Any]) -> None:
        """Takes over what `save` wrote, or `state` returned.

        Raises:
          InvalidArgumentError: it cannot be read, or is of another policy, monitor, mode or seed; the
            callback stays as it was.
        """
        state = saved if isinstance(saved, Mapping) else _read(saved)
        if state.get("format_version") != FORMAT_VERSION:
            raise InvalidArgumentError(
                f"`format_version` of a callback's state must be {FORMAT_VERSION}. "
                f"Received: {state.get('format_version')!r}."
            )
        expected = self.state()
        if missing := [name for name in expected if name not in state]:
            raise InvalidArgumentError(
                f"A callback's state must hold {list(expected)}. Missing: {missing}."
            )
        for name in ("policy", "monitor", "mode", "seed"):
            if state[name] != expected[name]:
                raise InvalidArgumentError(
                    f"A callback's state must have the callback's own `{name}`. Received: "
                    f"{state[name]!r}, for a callback of {expected[name]!r}. Delete it to start anew."
                )
        self._knows, self._place = dict(state["knows"]), state["place"]
        self._chances = state["probabilities"]
        self.history = [dict(entry) for entry in state["history"]]

    def plot(self, path: str | os.PathLike | None = None):
        """Draws what was chosen, epoch by epoch; see `adaptive.plots.plot_choices`.

        Args:
          path: of a PNG to write. Default: none is written.

        Returns:
          The figure of matplotlib; a notebook shows it.

        Raises:
          InvalidArgumentError: there was no epoch yet.
        """
        from tfrs_augment.adaptive.plots import plot_choices

        return plot_choices(self.history, self._arms, self.monitor, path)

    def _arm(self) -> str | None:
        """The arm in force, where it is one."""
        if self.policy.strategy.by_row:
            return None
        lower, _, chance = indices(self._place, len(self._arms))
        return None if chance else self._arms[lower]

    def _training(self, logs: Mapping[str, Any]) -> float | None:
        name = self.policy.strategy.training_metric
        if name is None:
            return None
        if name not in logs:
            raise InvalidArgumentError(
                f"`training` of {type(self.policy.strategy).__name__} must be a metric of the training. "
                f"Received: training={name!r}. {close_matches(name, logs)}"
            )
        return self._score(float(logs[name]), _direction(name))

    @staticmethod
    def _score(metric: float, mode: str) -> float:
        return -metric if mode == "min" else metric


def freeze(trained: AdaptiveCallback) -> AugmentationPolicy:
    """The policy that an adaptive one settled on, for the Beam job, `tf.data` and TFX, where nothing trains.

    Args:
      trained: the callback after `fit`, or one that has `restore`d its state.

    Returns:
      The arm that a bandit believes to be best; else the one in force at last, or the nearest to it. Where
      that is no augmentation, a policy without ops.

    Raises:
      InvalidArgumentError: the strategy never settles on an arm, or there was no epoch yet.

    Example:
      >>> import tfrs_augment as aug
      >>> policy = aug.AugmentationPolicy([aug.ops.IdDropout("id", rate=0.2)], key_features=["id"])
      >>> adaptive = aug.AdaptivePolicy(
      ...     {"none": None, "policy": policy}, strategy=aug.adaptive.Fixed("policy")
      ... )
      >>> callback = adaptive.callback()
      >>> callback.restore({**callback.state(), "history": [
      ...     {"arm": "policy", "place": 1.0, "probabilities": None, "monitor": None, "reward": None}]})
      >>> aug.adaptive.freeze(callback) == policy
      True
    """
    if not isinstance(trained, AdaptiveCallback):
        raise InvalidArgumentError(
            f"`trained` of freeze must be the callback of an AdaptivePolicy. Received: {trained!r}."
        )
    if not trained.history:
        raise InvalidArgumentError(
            "`trained` of freeze must have trained: give it to model.fit(callbacks=[callback]), or restore a "
            "state that was saved. Received: a callback without an epoch."
        )
    name = trained.settled()
    if name is None:
        raise InvalidArgumentError(
            f"`trained` of freeze must have a strategy that settles on an arm. Received: "
            f"{type(trained.policy.strategy).__name__}. Choose an arm: adaptive.arms[name]."
        )
    chosen = trained.policy.arms[name]
    if chosen is None:
        return AugmentationPolicy([], key_features=trained.policy.key_features)
    return chosen


def _direction(metric: str) -> str:
    words = metric.lower()
    return "min" if any(word in words for word in _LOWER_IS_BETTER) else "max"


def _read(path: str | os.PathLike) -> Mapping[str, Any]:
    try:
        state = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"The state '{path}' of a callback cannot be read: {error}"
        ) from error
    if not isinstance(state, Mapping):
        raise InvalidArgumentError(f"{path}: a callback's state must be a JSON object.")
    return state
