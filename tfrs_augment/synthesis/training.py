"""The loop that trained pair models share: validation, best weights, checkpoints, progress."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tf_keras
import tqdm

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis import networks

History = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train, and how often to look.

    Args:
      steps: most steps.
      validate_every: steps from one validation to the next.
      patience: validations without a better measure after which training stops.
      checkpoint_dir: folder with the state as of the last validation, from which `run` goes on; None
        keeps none.
    """

    steps: int
    validate_every: int
    patience: int
    checkpoint_dir: str | None = None

    def __post_init__(self) -> None:
        whole = ("steps", "validate_every", "patience")
        networks.check_integers("Schedule", {name: getattr(self, name) for name in whole})


def run(
    step: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    validate: Callable[[], dict[str, float]],
    schedule: Schedule,
    *,
    model: tf_keras.Model,
    state: Sequence[tf.Variable],
    measure: str | None,
    identity: str = "",
    progress: bool = False,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    description: str = "",
) -> History:
    """Trains, and leaves the weights of the best validation, or the last ones, in the model.

    Between validations nothing is read back from the device. All randomness of a step must come from its
    number, so that a run that was cut off and resumed ends as one that was not.

    Args:
      step: called with the number of the step, an int64 scalar; returns scalars for the history.
      validate: called before the first step and at every validation; larger is better.
      schedule: see `Schedule`.
      model: its weights are kept at the best validation. Callbacks get it.
      state: all other variables to checkpoint, those of optimizers among them.
      measure: the key of `validate`'s result that decides; None trains all steps and keeps the last weights.
      identity: what the run hangs on, settings and data; a checkpoint of another identity is refused.
      progress: whether to show a bar.
      callbacks: `on_epoch_end(validation number, logs)` and the like are called, so that
        `tf_keras.callbacks.TensorBoard` works. One that sets `model.stop_training` ends the run.
      description: of the bar.

    Returns:
      A list a scalar, one number a validation; "step" among them.

    Raises:
      InvalidArgumentError: the checkpoint folder is another run's.
    """
    keeper = _Keeper(model, state, schedule.checkpoint_dir, identity)
    watchers = tf_keras.callbacks.CallbackList(list(callbacks), model=model)
    model.stop_training = False
    watchers.on_train_begin()
    if keeper.start is None:
        keeper.begin(validate()[measure] if measure is not None else 0.0)
    done = int(keeper.history["step"][-1]) if keeper.history else 0
    with tqdm.tqdm(
        total=schedule.steps, initial=done, desc=description, unit="step", disable=not progress
    ) as bar:
        while done < schedule.steps and keeper.waited(measure) < schedule.patience:
            number = len(keeper.history.get("step", []))
            watchers.on_epoch_begin(number)
            count = min(schedule.validate_every, schedule.steps - done)
            sums: dict[str, tf.Tensor] = {}
            for place in range(done, done + count):
                for name, value in step(tf.constant(place, tf.int64)).items():
                    sums[name] = sums.get(name, 0.0) + value
            done += count
            logs = {name: float(value) / count for name, value in sums.items()}
            logs = {"step": float(done), **logs, **validate()}
            keeper.note(logs, measure)
            bar.update(count)
            bar.set_postfix({k: f"{v:.3g}" for k, v in logs.items() if k != "step"})
            watchers.on_epoch_end(number, logs)
            if model.stop_training:
                break
    model.set_weights(keeper.best)
    watchers.on_train_end()
    return keeper.history


class _Keeper:
    """The history, the best weights, and their copy in the checkpoint folder."""

    def __init__(self, model, state, folder: str | None, identity: str):
        self.history: History = {}
        self.start: float | None = None  # the measure before the first step
        self.best = model.get_weights()
        self._model, self._folder = model, folder
        if folder is not None:
            self._open(state, identity)

    def begin(self, value: float) -> None:
        """Notes the measure of the untrained model."""
        self.start = value

    def note(self, logs: dict[str, float], measure: str | None) -> None:
        """Adds a validation, and keeps the weights if it is the best, or the last one counts."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        values = [self.start, *self.history[measure]] if measure is not None else [0.0]
        if values[-1] >= max(values):
            self.best = self._model.get_weights()
        if self._folder is not None:
            self._save()

    def waited(self, measure: str | None) -> int:
        """How many validations ago the best one was."""
        if measure is None:
            return 0
        values = [self.start, *self.history.get(measure, [])]
        return len(values) - 1 - int(np.argmax(values))

    def _open(self, state, identity: str) -> None:
        """Goes on from the latest checkpoint, if there is one."""
        self._best = [tf.Variable(weight) for weight in self.best]
        self._text = tf.Variable("", dtype=tf.string)
        tracked = {f"weight_{i}": v for i, v in enumerate(self._model.weights)}
        tracked |= {f"state_{i}": v for i, v in enumerate(state)}
        tracked |= {f"best_{i}": v for i, v in enumerate(self._best)}
        checkpoint = tf.train.Checkpoint(
            **tracked, progress=self._text, identity=tf.Variable(identity, dtype=tf.string)
        )
        self._manager = tf.train.CheckpointManager(checkpoint, self._folder, max_to_keep=2)
        latest = self._manager.latest_checkpoint
        if latest is None:
            return
        found = tf.train.load_checkpoint(latest).get_tensor("identity/.ATTRIBUTES/VARIABLE_VALUE")
        if found.decode() != identity:
            raise InvalidArgumentError(
                "`checkpoint_dir` must be empty, or of a fit with the same arguments on the same data. "
                f"Received: {self._folder} of another fit. Name another folder, or empty it."
            )
        checkpoint.restore(latest).assert_existing_objects_matched()
        # JSON writes a float so that it reads back as the same number.
        self.start, self.history = json.loads(self._text.numpy())
        self.best = [variable.numpy() for variable in self._best]

    def _save(self) -> None:
        for variable, weight in zip(self._best, self.best):
            variable.assign(weight)
        self._text.assign(json.dumps([self.start, self.history]))
        self._manager.save()
