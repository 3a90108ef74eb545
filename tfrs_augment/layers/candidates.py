"""The ids from before an augmentation, for the retrieval tasks that compare candidates by id.

A task's `call` is replaced once, by one that does nothing but while a wrapped model computes a
training loss in the same thread: what to put in is held by a context variable for that time alone,
so replicas that trace in threads of their own, evaluation, and other models that share the task
never see it.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import sys
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment.errors import InvalidArgumentError

_ACTIVE: contextvars.ContextVar[Originals | None] = contextvars.ContextVar(
    "tfrs_augment_originals", default=None
)
_POSITION = 4
"""The place of `candidate_ids` in `tfrs.tasks.Retrieval.call`, for subclasses that take `*args`."""
_MARK = "_tfrs_augment_guards"


class Originals:
    """The columns of a batch before and after; a context manager for the time of a training loss.

    Args:
      columns: the columns before, by name.
      changed: the columns after, those that the policy touches.
      named: the ids to use in every task, or None to find them by identity.
    """

    def __init__(self, columns: Mapping[str, Any], changed: Mapping[str, Any], named: Any | None):
        self._columns, self._changed, self._named = columns, changed, named
        self._graph = tf.compat.v1.get_default_graph()
        self._token = None
        self.outer: Originals | None = None
        """That of a wrapped model whose `compute_loss` calls this one's."""

    def __enter__(self) -> Originals:
        self.outer = _ACTIVE.get()
        self._token = _ACTIVE.set(self)
        return self

    def __exit__(self, *exception) -> None:
        _ACTIVE.reset(self._token)

    def of(self, candidate_ids: Any, task: tfrs.tasks.Retrieval) -> Any:
        """What a task gets as `candidate_ids` for those that the model passes.

        Raises:
          InvalidArgumentError: the task removes accidental hits, the ids are no column of the
            batch, and a column that may hold ids was augmented: comparing augmented ids would mask
            every negative.
        """
        suspects = [name for name, column in self._changed.items() if not column.dtype.is_floating]
        if self._named is None:
            for name, column in self._changed.items():
                if candidate_ids is column:
                    return self._columns[name]
            unchanged = any(candidate_ids is column for column in self._columns.values())
            if unchanged or not suspects or not task._remove_accidental_hits:
                return candidate_ids
        if not self._is_in_reach():
            raise InvalidArgumentError(
                f"The task '{task.name}' is called in a tf.function that compute_loss calls, where "
                "the ids from before the augmentation cannot be brought. Call it without that "
                "tf.function; `fit` makes one of the whole step, and so can a loop of your own."
            )
        if self._named is not None:
            return self._like(candidate_ids)
        raise InvalidArgumentError(
            f"The task '{task.name}' removes accidental hits, and its candidate_ids are no column "
            "of the batch: they may come from one that the policy changes "
            f"({', '.join(map(repr, suspects))}). Name the column that holds the ids, "
            "wrap(model, policy, original_ids='movie_id'), or pass a function of the original "
            "features that gives what compute_loss passes, original_ids=lambda features: "
            f"lookup(features['movie_id']). Received: candidate_ids={candidate_ids}."
        )

    def _is_in_reach(self) -> bool:
        """Whether the graph of this moment is that of the batch, or a branch or a loop in it."""
        graph = tf.compat.v1.get_default_graph()
        while graph is not self._graph and type(graph).__name__ != "FuncGraph":
            graph = getattr(graph, "outer_graph", self._graph)
        return graph is self._graph

    def _like(self, candidate_ids: Any) -> tf.Tensor:
        """The named ids in the type and rank of what the model passes."""
        passed, named = tf.convert_to_tensor(candidate_ids), tf.convert_to_tensor(self._named)
        if passed.dtype != named.dtype:
            if tf.string in (passed.dtype, named.dtype):
                raise InvalidArgumentError(
                    "`original_ids` must give ids of the type of candidate_ids. Received: "
                    f"{named.dtype.name} for {passed.dtype.name}. Pass a function of the original "
                    "features that gives what compute_loss passes, "
                    "original_ids=lambda features: lookup(features['movie_id'])."
                )
            named = tf.cast(named, passed.dtype)
        if passed.shape.rank == named.shape.rank:
            return named
        return tf.reshape(named, tf.shape(passed))


def guard(model: tf.Module) -> None:
    """Makes the retrieval tasks anywhere in a model ask for the original ids."""
    for task in _tasks(model):
        if not hasattr(vars(task).get("call"), _MARK):
            task.call = _asking(task)


def release(model: tf.Module) -> None:
    """Undoes `guard`."""
    for task in _tasks(model):
        original = getattr(vars(task).get("call"), _MARK, None)
        if original is not None:
            del task.call
            if original != task.call:
                task.call = original


def _tasks(model: tf.Module) -> list[tfrs.tasks.Retrieval]:
    return [module for module in model.submodules if isinstance(module, tfrs.tasks.Retrieval)]


def _asking(task: tfrs.tasks.Retrieval):
    """The task's `call`, with the original ids put in while a wrapped model asks for it."""
    original = task.call
    parameters = inspect.signature(original).parameters
    if "candidate_ids" in parameters:
        position = list(parameters).index("candidate_ids")
    elif any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        position = _POSITION
    else:
        position = sys.maxsize

    def call(*args, **kwargs):
        active = _ACTIVE.get()
        while active is not None:
            if kwargs.get("candidate_ids") is not None:
                kwargs["candidate_ids"] = active.of(kwargs["candidate_ids"], task)
            elif len(args) > position and args[position] is not None:
                args = (*args[:position], active.of(args[position], task), *args[position + 1 :])
            active = active.outer
        return original(*args, **kwargs)

    functools.update_wrapper(call, original)
    setattr(call, _MARK, original)
    return call
