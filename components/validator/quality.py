"""The quality of a model beside that of the baseline, on rows that neither has learnt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfrs_augment.components.validator.findings import Finding, Thresholds
from tfrs_augment.components.validator.rows import serialized
from tfrs_augment.errors import DataError
from tfrs_augment.evaluation import rank
from tfrs_augment.evaluation.measuring.metrics import Seen
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.schema import Schema

QUERY, CANDIDATE, SCORE = "query_embedding", "candidate_embedding", "serving_default"
"""Signatures of a model. Each takes serialized Examples `[n]`; two give `[n, dim]`, the last `[n]`."""

_BATCH = 1024
_DTYPES = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model is asked.

    Attributes:
      schema: kinds of the features.
      train: files of the rows that were learnt, before augmentation.
      holdout: files of rows that were not.
      item_feature: the id of the item, for retrieval; "" without.
      user_feature: the id of the user: what a user has in `train` is not recommended, and rows of one user
        are resampled together; "" takes each row by itself.
      label: the number to predict, for ranking; "" without.
      top_k: length of the list for retrieval.
    """

    schema: Schema
    train: Sequence[str]
    holdout: Sequence[str]
    item_feature: str = ""
    user_feature: str = ""
    label: str = ""
    top_k: int = 10


def check(model: str, baseline: str, task: Task, thresholds: Thresholds) -> Iterator[Finding]:
    """Judges a model: it may be worse than the baseline by a share of the baseline's metric.

    Recall is measured where both have the signatures of the embeddings and there is an `item_feature`; the
    root of the mean squared error where both have `serving_default` and there is a `label` of numbers.

    Args:
      model: folder of the SavedModel that has learnt the augmented rows.
      baseline: of the one that has not.
      task: what they are asked.
      thresholds: the bounds.

    Raises:
      DataError: the models have no signature in common that the task can judge by.
    """
    signatures = [tf.saved_model.load(folder).signatures for folder in (model, baseline)]
    found = False
    if task.item_feature and all({QUERY, CANDIDATE} <= set(given) for given in signatures):
        found = True
        yield _retrieval(signatures, task, thresholds)
    numeric = task.label and task.schema.kinds.get(task.label) in ("float", "int64")
    if numeric and all(SCORE in given for given in signatures):
        found = True
        yield _ranking(signatures, task, thresholds)
    if not found:
        raise DataError(
            f"`model` and `baseline_model` must both have the signatures '{QUERY}' and '{CANDIDATE}', with "
            f"an `item_feature`, or '{SCORE}', with a `label` of numbers. Received: "
            f"{[sorted(given) for given in signatures]}, item_feature='{task.item_feature}', "
            f"label='{task.label}'."
        )


def _retrieval(signatures, task: Task, thresholds: Thresholds) -> Finding:
    train, holdout = (_ids(task, files) for files in (task.train, task.holdout))
    items = np.unique(np.concatenate([train["item"], holdout["item"]]))
    item_index = np.searchsorted(items, holdout["item"])
    rows = len(item_index)
    users, query_index = np.arange(rows), np.arange(rows)
    seen = None
    if task.user_feature:
        users, query_index = np.unique(holdout["user"], return_inverse=True)
        known = np.isin(train["user"], users)
        seen = Seen.from_pairs(
            np.searchsorted(users, train["user"][known]),
            np.searchsorted(items, train["item"][known]),
            len(users),
        )
    # One record of each user and each item: towers read no more than their features.
    asking = np.unique(query_index, return_index=True)[1]
    records = tf.data.Dataset.from_tensor_slices(_first_records(task, items))
    recalls = []
    for given in signatures:
        queries = _outputs(given[QUERY], serialized(task.holdout))[asking]
        candidates = _outputs(given[CANDIDATE], records)
        ranks = rank(queries, candidates, query_index, item_index, seen=seen)
        recalls.append(ranks.recall(task.top_k))
    groups = query_index if task.user_feature else np.arange(rows)
    return _compared(f"recall@{task.top_k}", *recalls, groups, thresholds, higher_is_better=True)


def _ranking(signatures, task: Task, thresholds: Thresholds) -> Finding:
    labels = _column(task, task.label, task.holdout).astype(np.float64)
    if np.isnan(labels).any():
        raise DataError(
            f"`label` '{task.label}' must be in every row to judge by. Received: "
            f"{int(np.isnan(labels).sum())} rows without it."
        )
    groups = np.arange(len(labels))
    if task.user_feature:
        groups = np.unique(_ids(task, task.holdout)["user"], return_inverse=True)[1]
    errors = []
    for given in signatures:
        predicted = _outputs(given[SCORE], serialized(task.holdout)).reshape(len(labels), -1)
        if predicted.shape[1] != 1:
            raise DataError(
                f"'{SCORE}' must give one number a row. Received: {predicted.shape[1]} numbers."
            )
        errors.append((predicted[:, 0].astype(np.float64) - labels) ** 2)
    return _compared("rmse", *errors, groups, thresholds, higher_is_better=False)


def _compared(
    name: str,
    model: np.ndarray,
    baseline: np.ndarray,
    groups: np.ndarray,
    thresholds: Thresholds,
    *,
    higher_is_better: bool,
) -> Finding:
    """The loss of a metric as a share of the baseline's, with a paired bootstrap over the groups."""
    every = np.ones(len(groups), bool)
    sums = [bootstrap.Sums.of(groups, [model, baseline], [every, every])]
    means, samples = bootstrap.means(sums), bootstrap.resample(sums)
    if not higher_is_better:
        means, samples = np.sqrt(means), np.sqrt(samples)
    sign = 1.0 if higher_is_better else -1.0
    base = max(float(means[1]), 1e-12)
    loss = sign * (means[1] - means[0]) / base
    low, high = bootstrap.interval(sign * (samples[:, 1] - samples[:, 0]) / base)
    note = (
        f"loss as a share of the baseline's {means[1]:.4f}; the model has {means[0]:.4f}; 95 % interval of "
        f"the loss [{low:.4f}, {high:.4f}]"
    )
    found = Finding.judged("quality", name, loss, thresholds.max_quality_loss, note)
    if not found.passed and low <= 0:
        return dataclasses.replace(found, passed=True, note=f"{note}: it may be chance")
    return found


def _ids(task: Task, files: Sequence[str]) -> dict[str, np.ndarray]:
    names = {"item": task.item_feature, "user": task.user_feature}
    return {key: _column(task, name, files) for key, name in names.items() if name}


def _column(task: Task, name: str, files: Sequence[str]) -> np.ndarray:
    """`[n]`: a feature of one value a row; NaN or b"" where a record lacks it."""
    kind = task.schema.require(name, ("bytes", "int64", "float"), "quality")
    missing = {"bytes": "", "float": float("nan"), "int64": None}[kind]
    spec = {name: tf.io.FixedLenFeature([], _DTYPES[kind], missing)}
    dataset = (
        serialized(files).batch(_BATCH).map(lambda records: tf.io.parse_example(records, spec))
    )
    values = np.concatenate([batch[name].numpy() for batch in dataset])
    return values.astype(bytes) if kind == "bytes" else values


def _first_records(task: Task, items: np.ndarray) -> list[bytes]:
    """A record of each item, the first one."""
    records: dict[bytes | int, bytes] = {}
    for files in (task.train, task.holdout):
        names = _column(task, task.item_feature, files)
        for start, batch in zip(range(0, len(names), _BATCH), serialized(files).batch(_BATCH)):
            values, first = np.unique(names[start : start + _BATCH], return_index=True)
            found = batch.numpy()
            for value, place in zip(values.tolist(), first.tolist()):
                records.setdefault(value, found[place])
    return [records[item] for item in items.tolist()]


def _outputs(signature, records: tf.data.Dataset) -> np.ndarray:
    """What a signature gives for records, `[n, ...]`."""
    (argument,) = signature.structured_input_signature[1]
    parts = []
    for batch in records.batch(_BATCH):
        outputs = signature(**{argument: batch})
        parts.append(next(iter(outputs.values())).numpy())
    return np.concatenate(parts)
