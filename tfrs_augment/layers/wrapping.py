"""Augmentation around a whole TensorFlow Recommenders model, without a change to its code."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tfrs_augment.adaptive.policy import AdaptivePolicy, InForce
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.layers import candidates
from tfrs_augment.layers.auxiliary import AuxiliaryTask, CandidateExtender
from tfrs_augment.layers.columns import (
    augment_columns,
    check_policy,
    columns_by_name,
    copied,
    is_draw,
    is_training,
)
from tfrs_augment.policy import AugmentationPolicy

_OPTIMIZERS = (tf_keras.optimizers.Optimizer, tf_keras.optimizers.legacy.Optimizer)

OriginalIds = str | Callable[[Mapping[str, Any]], tf.Tensor]


def wrap(
    model: tfrs.Model,
    policy: AugmentationPolicy | AdaptivePolicy | None,
    *,
    tasks: Sequence[AuxiliaryTask | CandidateExtender] = (),
    original_ids: OriginalIds | None = None,
    key: str | None = None,
    draw: int | tf.Variable | None = None,
) -> tfrs.Model:
    """Makes a model augment its features while it trains; evaluation and serving stay as they are.

    The instance is changed in place: its `compute_loss` passes an augmented copy of the features on
    to the class's. Nothing else changes: attributes, variables and their paths, checkpoints and
    saved files are those of the model without `wrap`, and load into either. The towers contain no
    augmentation. Wrapping again replaces the policy; `unwrap` takes it out.

    The draw number is `model.optimizer.iterations`, which every checkpoint of a compiled model
    already holds: training that resumes goes on with the right number, and no variable is added to
    the model. It is read whenever the model trains, so `compile` may come before or after. A model
    without an optimizer of its own (a custom loop) counts its training calls in a variable that no
    checkpoint knows, from 0 in each process; pass `draw=optimizer.iterations` there. Calls of
    `compute_loss` within one step share a draw number. What `fit` has traced is traced anew; a
    `tf.function` of your own that was traced before must be made again.

    Every `tfrs.tasks.Retrieval` in the model gets the ids from before the augmentation as
    `candidate_ids`: ids that were dropped to one token are all equal, and `remove_accidental_hits`
    would take every negative out of the loss. Without `original_ids`, a `candidate_ids` that is one
    of the batch's columns is recognized. `candidate_sampling_probability` is passed on as
    `compute_loss` gives it: look it up by the original ids, from a column that the policy does not
    change.

    Args:
      model: any `tfrs.Model`; `compute_loss` must take a dict of features, or a tuple of it with
        labels and weights. Nested dicts are opened: a column goes by its innermost name.
      policy: a policy, fitted if its ops ask for it; or None where there are tasks. Of an
        `AdaptivePolicy` the first arm is in force until its callback, given to `fit`, chooses; the
        variable that says which is no part of the model, as all else here is not.
      tasks: losses of `aug.tasks` to add to the model's own in training. Each is given the model,
        the original features and the draw number. They are no attributes of the model, which is
        saved without them.
      original_ids: the column that holds the candidates' ids; or a function from the dict of
        original features to the ids, in the form that `compute_loss` passes them on, for ids that
        it computes (such as by a lookup). It serves every Retrieval task; leave it out where tasks
        have other ids.
      key: None to draw by the policy's key features, or "position" to draw by a row's place in the
        batch (and its replica). Rows with equal keys get equal draws.
      draw: the draw number, an integer or an integer variable. Default: see above.

    Returns:
      The same instance.

    Raises:
      InvalidArgumentError: the model is no `tfrs.Model`, or an argument breaks its rule; and in
        training, if a task removes accidental hits by ids that cannot be traced to a column.
      UnknownFeatureError: in training, if a key feature, an op's feature or `original_ids` is
        missing.

    Example:
      >>> import tensorflow as tf
      >>> import tfrs_augment as aug
      >>> from tfrs_augment.layers import wrap
      >>> import tensorflow_recommenders as tfrs
      >>> class Model(tfrs.Model):
      ...     def compute_loss(self, features, training=False):
      ...         return tf.reduce_sum(features["age"])
      >>> policy = aug.AugmentationPolicy([aug.ops.FeatureMask("age", rate=1.0)], key_features=["user_id"])
      >>> model = wrap(Model(), policy)
      >>> rows = {"user_id": tf.constant(["1"]), "age": tf.constant([24.0])}
      >>> float(model.compute_loss(rows, training=True)), float(model.compute_loss(rows))
      (0.0, 24.0)
    """
    if not isinstance(model, tfrs.Model):
        raise InvalidArgumentError(
            f"`model` must be a tfrs.Model. Received: a {type(model).__module__}.{type(model).__name__}. "
            "In other models put the layer aug.layers.Augment(policy) in front."
        )
    tasks = _checked_tasks(tasks)
    if policy is not None or not tasks:
        _check_policies(policy, key, tasks)
    if not (
        original_ids is None
        or callable(original_ids)
        or (isinstance(original_ids, str) and original_ids)
    ):
        raise InvalidArgumentError(
            "`original_ids` must be None, the name of a column, or a function of the original features. "
            f"Received: original_ids={original_ids!r}."
        )
    if not (
        draw is None or is_draw(draw) or (isinstance(draw, tf.Variable) and draw.dtype.is_integer)
    ):
        raise InvalidArgumentError(
            "`draw` of wrap must be None, an integer in [0, 2**63), or an integer variable. "
            f"Received: draw={draw!r}."
        )
    unwrap(model)
    model.compute_loss = _AugmentedLoss(
        model, policy, tasks=tasks, original_ids=original_ids, key=key, draw=draw
    )
    _forget_traces(model)
    return model


def unwrap(model: tfrs.Model) -> tfrs.Model:
    """Undoes `wrap`; a model that is not wrapped is left as it is. Returns the same instance."""
    wrapped = vars(model).get("compute_loss")
    if isinstance(wrapped, _AugmentedLoss):
        del model.compute_loss
        if wrapped.was_on_instance:
            model.compute_loss = wrapped.compute_loss
        candidates.release(model)
        _forget_traces(model)
    return model


def _check_policies(policy: Any, key: str | None, tasks: Sequence[Any]) -> None:
    """Checks a policy, or all arms of an adaptive one."""
    if not isinstance(policy, AdaptivePolicy):
        check_policy(policy, key, "wrap")
        return
    for arm in policy.policies:
        check_policy(arm, key, "wrap")
    if missing := policy.missing_requirements():
        raise InvalidArgumentError(
            f"wrap needs a fitted policy. Not fitted: {', '.join(map(str, missing))}. Fit it first: "
            "policy = aug.fitting.fit(policy, data)."
        )
    extenders = [type(task).__name__ for task in tasks if isinstance(task, CandidateExtender)]
    if extenders:
        raise InvalidArgumentError(
            "`tasks` of wrap must hold no task that adds candidates where the policy is an "
            f"AdaptivePolicy, whose arms it cannot draw them by. Received: {extenders}."
        )


def _checked_tasks(tasks: Any) -> tuple[AuxiliaryTask | CandidateExtender, ...]:
    tasks = (tasks,) if isinstance(tasks, tf_keras.layers.Layer) else tuple(tasks)
    for task in tasks:
        if not isinstance(task, AuxiliaryTask | CandidateExtender):
            raise InvalidArgumentError(
                "`tasks` of wrap must hold tasks of aug.tasks, such as aug.tasks.Contrastive(...). "
                f"Received: {task!r}. The model's own tasks stay in its compute_loss."
            )
    return tasks


def _forget_traces(model: tfrs.Model) -> None:
    """Makes `fit` trace its step anew: it keeps the trace of the loss that the model had before."""
    for name in ("train_function", "train_tf_function"):
        if name in vars(model):
            setattr(model, name, None)


class _AugmentedLoss:
    """Stands for a model's `compute_loss`.

    An attribute of the instance, for a changed class would also change the names under which Keras
    saves the model. Keras tracks no attribute that the class has too, so nothing held here is
    saved.
    """

    def __init__(self, model, policy, *, tasks, original_ids, key, draw):
        self.was_on_instance = "compute_loss" in vars(model)
        self.compute_loss = model.compute_loss
        # A tf.function of its own would hide from the tasks inside which tensor came from where:
        # its Python body joins the augmentation in one tf.function.
        traced = isinstance(self.compute_loss, tf.types.experimental.PolymorphicFunction)
        self._loss = self.compute_loss.python_function if traced else self.compute_loss
        self._run = tf.function(self._augmented_loss) if traced else self._augmented_loss
        self.control: InForce | None = None
        """The arm in force of an adaptive policy, for its callback."""
        if isinstance(policy, AdaptivePolicy):
            with tf.init_scope(), model.distribute_strategy.scope():
                policy = self.control = InForce(policy)
        self._model, self._policy = model, policy
        self._original_ids, self._key = original_ids, key
        self._added = [task for task in tasks if isinstance(task, AuxiliaryTask)]
        self._extenders = [task for task in tasks if isinstance(task, CandidateExtender)]
        self._draw, self._calls = draw, None
        if draw is None:
            with tf.init_scope(), model.distribute_strategy.scope():
                self._calls = tf.Variable(
                    0,
                    trainable=False,
                    dtype=tf.int64,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                )
        parameters = inspect.signature(self._loss).parameters
        names = list(parameters)
        self._inputs_name = names[0] if names else "inputs"
        self._training_position = names.index("training") if "training" in names else 1
        default = parameters["training"].default if "training" in names else False
        self._training_default = False if default is inspect.Parameter.empty else default
        functools.update_wrapper(self, self._loss)

    def __call__(self, *args, **kwargs):
        return self._run(*args, **kwargs)

    def _augmented_loss(self, *args, **kwargs):
        training = kwargs.get("training", self._training_default)
        if len(args) > self._training_position:
            training = args[self._training_position]
        if not args and self._inputs_name not in kwargs:
            return self._loss(*args, **kwargs)  # It says what is missing.
        inputs = args[0] if args else kwargs[self._inputs_name]
        originals, before = contextlib.nullcontext(), None
        if is_training(training, "compute_loss"):
            # A copy: `compute_loss` may take columns out of the dict.
            before, draw = copied(_features_of(inputs)), self._draw_number()
            features, originals = self._augment(before, draw)
            inputs = _with_features(inputs, features)
            candidates.guard(self._model)
        elif isinstance(_first(inputs), Mapping):
            inputs = _with_features(inputs, copied(_first(inputs)))
        if args:
            args = (inputs, *args[1:])
        else:
            kwargs = {**kwargs, self._inputs_name: inputs}
        with originals:
            loss = self._loss(*args, **kwargs)
        if before is None or not self._added:
            return loss
        return self._with_tasks(loss, before, draw)

    def _with_tasks(self, loss: Any, features: Mapping[str, Any], draw: int | tf.Tensor):
        """The model's loss and those of the tasks."""
        loss = tf.convert_to_tensor(loss)
        if loss.shape.rank != 0:
            raise InvalidArgumentError(
                "`compute_loss` must return a scalar for `tasks` to be added to it. Received: shape "
                f"{loss.shape}. Give its losses a reduction, such as "
                "tf_keras.losses.Reduction.SUM."
            )
        for task in self._added:
            loss += tf.cast(task(self._model, copied(features), draw=draw), loss.dtype)
        return loss

    def _augment(self, features: Mapping[str, Any], draw: int | tf.Tensor):
        """The augmented features, and what the model's tasks get beside them."""
        used, changed = {self._original_ids}, {}
        if self._policy is not None:
            used.update(self._policy.features, self._policy.key_features)
        columns = columns_by_name(features, used)
        if self._policy is not None:
            changed = augment_columns(self._policy, columns, draw=draw, key=self._key)
        named = None
        if callable(self._original_ids):
            named = tf.convert_to_tensor(self._original_ids(copied(features)))
        elif self._original_ids is not None:
            if self._original_ids not in columns:
                raise UnknownFeatureError(
                    f"`original_ids` names feature '{self._original_ids}', which is missing from the batch. "
                    f"{close_matches(self._original_ids, columns)}"
                )
            named = columns[self._original_ids]
        extensions = [
            (
                self._retrieval_of(task),
                task.extension(
                    self._model, copied(features), tf.cast(draw, tf.int64), self._policy
                ),
            )
            for task in self._extenders
        ]
        originals = candidates.Originals(columns, changed, named, extensions)
        return copied(features, changed), originals

    def _retrieval_of(self, task: CandidateExtender) -> tfrs.tasks.Retrieval:
        """The retrieval task whose candidates another extends."""
        known = candidates.retrieval_tasks(self._model)
        found = known if task.retrieval is None else [task.retrieval(self._model)]
        if len(found) == 1 and any(one is found[0] for one in known):
            return found[0]
        raise InvalidArgumentError(
            f"{type(task).__name__} needs to know the tfrs.tasks.Retrieval whose candidates it "
            "extends. Name it: retrieval=lambda model: model.retrieval_task. Received: "
            f"{[one.name for one in known]} in the model."
        )

    def _draw_number(self) -> int | tf.Tensor:
        if self._draw is not None:
            return self._draw if isinstance(self._draw, int) else tf.convert_to_tensor(self._draw)
        optimizer = getattr(self._model, "optimizer", None)
        if isinstance(optimizer, _OPTIMIZERS):
            return tf.convert_to_tensor(_iterations(optimizer))
        draw = self._calls.read_value()
        self._calls.assign_add(1)
        return draw


def _iterations(optimizer: Any) -> tf.Variable:
    """The step counter of an optimizer.

    Optimizers of Keras's older kind create it on first use, under their own name: so must this,
    where it is the first use.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(tf.init_scope())
        if isinstance(optimizer, _OPTIMIZERS[1]):
            stack.enter_context(tf.name_scope(optimizer._name))
        return optimizer.iterations


def _first(inputs: Any) -> Any:
    """What `compute_loss` takes, without labels and weights."""
    return inputs[0] if isinstance(inputs, tuple | list) and inputs else inputs


def _features_of(inputs: Any) -> Mapping[str, Any]:
    """The dict of features in what `compute_loss` takes."""
    features = _first(inputs)
    if not isinstance(features, Mapping):
        raise DataError(
            "A wrapped model must be given a dict of features, or a tuple of it with labels and weights. "
            f"Received: a {type(features).__name__}."
        )
    return features


def _with_features(inputs: Any, features: dict[str, Any]) -> Any:
    """`inputs` with other features."""
    if not isinstance(inputs, tuple | list):
        return features
    items = [features, *inputs[1:]]
    return inputs._make(items) if hasattr(inputs, "_make") else type(inputs)(items)
