"""What `wrap` does to the calls of a model's retrieval tasks.

Tasks that compare candidates by id get the ids from before the augmentation, and the losses that
extend the candidates (`CandidateExtender`) add theirs.

A task's `call` is replaced once, by one that does nothing but while a wrapped model computes a
training loss in the same thread: what to put in is held by a context variable for that time alone,
so replicas that trace in threads of their own, evaluation, and other models that share the task
never see it.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_augment.errors import InvalidArgumentError

Extension = Callable[[dict[str, Any], bool], dict[str, Any]]
"""See `CandidateExtender.extension`."""

_ACTIVE: contextvars.ContextVar[Originals | None] = contextvars.ContextVar(
    "tfrs_augment_originals", default=None
)
_NAMES = tuple(inspect.signature(tfrs.tasks.Retrieval.call).parameters)[1:]
"""The arguments of a task, for subclasses that take `*args`."""
_MARK = "_tfrs_augment_guards"


class Originals:
    """The columns of a batch before and after; a context manager for the time of a training loss.

    Args:
      columns: the columns before, by name.
      changed: the columns after, those that the policy touches.
      named: the ids to use in every task, or None to find them by identity.
      extensions: the task and what to do to its calls, in this order.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        changed: Mapping[str, Any],
        named: Any | None,
        extensions: Sequence[tuple[tfrs.tasks.Retrieval, Extension]] = (),
    ):
        self._columns, self._changed, self._named = columns, changed, named
        self._extensions = tuple(extensions)
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

    def extended(
        self, arguments: dict[str, Any], task: tfrs.tasks.Retrieval
    ) -> dict[str, Any] | None:
        """What a task gets as arguments where its candidates are extended; None where they are not.

        Raises:
          InvalidArgumentError: the task is called where what was drawn cannot be brought.
        """
        extensions = [extension for one, extension in self._extensions if one is task]
        if not extensions:
            return None
        if not self._is_in_reach():
            raise InvalidArgumentError(
                f"The task '{task.name}' is called in a tf.function that compute_loss calls, where "
                "extra candidates cannot be brought. Call it without that tf.function; `fit` makes "
                "one of the whole step, and so can a loop of your own."
            )
        for extension in extensions:
            arguments = extension(arguments, task._remove_accidental_hits)
        return arguments

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
    for task in retrieval_tasks(model):
        if not hasattr(vars(task).get("call"), _MARK):
            task.call = _asking(task)


def release(model: tf.Module) -> None:
    """Undoes `guard`."""
    for task in retrieval_tasks(model):
        original = getattr(vars(task).get("call"), _MARK, None)
        if original is not None:
            del task.call
            if original != task.call:
                task.call = original


def retrieval_tasks(model: tf.Module) -> list[tfrs.tasks.Retrieval]:
    """The retrieval tasks anywhere in a model."""
    return [module for module in model.submodules if isinstance(module, tfrs.tasks.Retrieval)]


def _asking(task: tfrs.tasks.Retrieval):
    """The task's `call`, with the original ids put in while a wrapped model asks for it."""
    original = task.call
    parameters = inspect.signature(original).parameters
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    names = _NAMES if takes_any else tuple(parameters)

    def call(*args, **kwargs):
        active, extended = _ACTIVE.get(), False
        if active is None or len(args) > len(names):
            return original(*args, **kwargs)
        given = dict(zip(names, args))
        if given.keys() & kwargs.keys():
            return original(*args, **kwargs)  # It says what is given twice.
        arguments = given | kwargs
        while active is not None:
            if arguments.get("candidate_ids") is not None:
                arguments["candidate_ids"] = active.of(arguments["candidate_ids"], task)
            more = active.extended(arguments, task)
            if more is not None:
                given, arguments, extended = (given if extended else arguments), more, True
            active = active.outer
        if not extended:
            # By position, as they came: a subclass may take some by position only.
            args = [arguments.pop(name) for name in names[: len(args)]]
            return original(*args, **arguments)
        return _loss_of_extended(task, original, given, arguments)

    functools.update_wrapper(call, original)
    setattr(call, _MARK, original)
    return call


def _loss_of_extended(task, original, given: Mapping[str, Any], extended: dict[str, Any]):
    """The task's loss among more candidates; its metrics of the corpus are of the batch's own.

    TFRS would hand all ids on to these metrics, beside the embeddings of the batch alone.
    """
    loss = original(**{**extended, "compute_metrics": False})
    if given.get("compute_metrics", True):
        for metric in task.factorized_metrics:
            metric.update_state(
                given["query_embeddings"],
                given["candidate_embeddings"],
                true_candidate_ids=given.get("candidate_ids"),
                sample_weight=given.get("sample_weight"),
            )
    return loss
