"""Does an augmented row keep its label? What a model that knows the source says of both rows.

An augmentation promises that its row still deserves the label that it carries. Nobody can check that row by
row; a teacher, trained on source rows, can say how often its own mind is changed. Each fold's teacher
predicts the rows that it has not seen, and the augmented rows of these: so both predictions come from one
model, and a source row's own label is in neither.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Table, take_column
from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    UnknownFeatureError,
    close_matches,
)
from tfrs_augment.evaluation.augmented.augmented_tables import Pair, rows_of
from tfrs_augment.evaluation.augmented.label_teacher import Predicted, Truth, some_rows, taught
from tfrs_augment.rank_statistics import auc

Predict = Callable[[Table], Any]
"""From columns `[n]` to `[n]` labels, `[n]` numbers, or `[n, classes]` shares of the classes, these in
rising order of the labels."""

_ALONE = 30
"""Rows that an op must have changed alone, to be judged by these."""
_LEAST_AUC, _LEAST_GAIN = 0.55, 0.01


@dataclasses.dataclass(frozen=True)
class LabelConsistency:
    """Whether augmented rows keep their labels.

    Attributes:
      label: the column of the label, "" where a given function predicts and none was named.
      rows: how many augmented rows were judged.
      stays: the share of them for which the teacher predicts what it predicts for their source row; of a
        number, a change of at most `tolerance`. NaN where no source row is known.
      shift: the mean change of the prediction; NaN for several classes, which have no order.
      moved: the mean size of that change; of several classes the total variation distance.
      carried: the share of augmented rows whose own label is not that of their source row; NaN without.
      agreement: the share of source rows, and of augmented ones, whose label the teacher predicts; of
        a number the root mean squared errors.
      consistency: how often the teacher predicts the label that augmented rows carry, as a share of how often
        it does for source rows, at most 1; of a number the source's error by that of the augmented rows. It
        counts a change of mind only as far as it is one away from the label. Without a label, `stays`.
      skill: how well the teacher predicts source rows that it has not seen; see `measure`.
      measure: "AUC", "accuracy gained" over the most frequent class, or "variance explained".
      skilled: whether that is enough for the rest to say anything. A given function is taken at its word.
      tolerance: of a number, NaN else.
      by_op: by op, the rows that were judged and the share of them that stays.
    """

    label: str
    rows: int
    stays: float
    shift: float
    moved: float
    carried: float
    agreement: tuple[float, float]
    consistency: float
    skill: float
    measure: str
    skilled: bool
    tolerance: float
    by_op: Mapping[str, OpConsistency]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; NaN becomes None."""
        values = dataclasses.asdict(self)
        values["agreement"] = list(self.agreement)
        return _without_nan(values)


@dataclasses.dataclass(frozen=True)
class OpConsistency:
    """What one op does to labels.

    Attributes:
      rows: the augmented rows that it changed; alone, where these are enough.
      stays: the share of these whose predicted label stays.
      alone: whether no other op changed these rows.
    """

    rows: int
    stays: float
    alone: bool


def measure_labels(
    pair: Pair,
    *,
    label: str | None = None,
    positive: Sequence[Any] | None = None,
    predict: Predict | None = None,
    changed: Mapping[str, np.ndarray] | None = None,
    most: int = 10_000,
    seed: int = 0,
) -> LabelConsistency:
    """Asks a teacher whether augmented rows keep their labels.

    Args:
      pair: the tables, with the source row of each augmented row where it is known.
      label: the column of the label. A number of few different values is a class; else it is predicted
        itself.
      positive: the values of `label` that are the positive class; then there are two. Default: of two values
        the second.
      predict: a trained model as a function of columns, in place of a teacher that is trained here.
      changed: by op, bool `[m]`: which augmented rows it changed. Default: not known.
      most: rows of each table that are asked, drawn with the seed.
      seed: of the folds, the trees and the draw.

    Raises:
      UnknownFeatureError: there is no such label.
      InvalidArgumentError: an argument breaks its rule.
      DataError: the label has one value, or more than 20 that are no numbers; or `predict` returns
        something else than it should.
      AugmentError: a teacher is needed and scikit-learn is not installed.
    """
    rng = np.random.default_rng([seed, 0x1ABE1])
    if label is not None and label not in pair.scalars:
        raise UnknownFeatureError(
            f"`label` must be a measured column with one value a row. Received: {label!r}. "
            f"{close_matches(label, pair.scalars)}"
        )
    if label is None and predict is None:
        raise InvalidArgumentError("`label` or `predict` must be given. Received: neither.")
    rows = np.arange(rows_of(pair.augmented))
    parents = pair.parents
    if parents is not None:
        rows = rows[parents >= 0]
    rows = np.sort(rng.choice(rows, min(most, len(rows)), replace=False))
    truth = None if label is None else Truth.of(pair, label, positive)
    if predict is None:
        predicted, sources, places = taught(pair, truth, rows, most, rng, seed)
    else:
        predicted, sources, places = _given(pair, predict, truth, rows, most, rng)
        if truth is not None and predicted.kind == "number":
            truth = truth.as_numbers()
    return _judge(pair, predicted, truth, rows, sources, places, changed, given=predict is not None)


def _given(pair: Pair, predict: Predict, truth: Truth | None, rows: np.ndarray, most: int, rng):
    """Predictions of a function that was given; see `taught`."""
    if pair.parents is None:
        sources, places = some_rows(rows_of(pair.source), most, rng), None
    else:
        sources, places = np.unique(pair.parents[rows], return_inverse=True)
    found = []
    for table, index in ((pair.source, sources), (pair.augmented, rows)):
        values = np.asarray(predict({n: take_column(c, index) for n, c in table.items()}))
        if values.dtype == object or values.dtype.kind == "U":
            values = values.astype("S")
        if values.ndim not in (1, 2) or len(values) != len(index):
            raise DataError(
                f"`predict` must return [{len(index)}] labels or numbers, or [{len(index)}, classes] shares. "
                f"Received: an array of shape {values.shape}."
            )
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise DataError("`predict` must return numbers. Received: NaN.")
        found.append(values)
    if found[0].ndim == 2 and found[0].shape[1] == 1:
        found = [values[:, 0] for values in found]
    if found[0].ndim == 2:
        return Predicted(*found, "classes"), sources, places
    if found[0].dtype.kind != "f":
        return Predicted(*found, "labels"), sources, places
    if truth is not None and truth.kind == "binary":
        cut = float(np.quantile(found[0], 1.0 - truth.source[sources].mean()))
        return Predicted(*found, "binary", cut), sources, places
    return Predicted(*found, "number"), sources, places


def _judge(pair, predicted: Predicted, truth, rows, sources, places, changed, *, given: bool):
    skill, measure, skilled, tolerance = _skill(predicted, truth, sources, given=given)
    before, after = predicted.source, predicted.augmented
    stays, shift, moved = math.nan, math.nan, math.nan
    kept = None
    ordered = predicted.kind in ("binary", "number")
    if places is not None:
        before = before[places]
        if predicted.kind == "number":
            kept = np.abs(after - before) <= tolerance
        else:
            kept = predicted.labels(after) == predicted.labels(before)
        stays = float(kept.mean())
        if ordered:
            moved = float(np.abs(after - before).mean())
        elif predicted.kind == "classes":
            moved = float(0.5 * np.abs(after - before).sum(axis=1).mean())
    if ordered:
        shift = float(after.mean() - before.mean())
    carried = math.nan
    if truth is not None and places is not None:
        own, theirs = truth.augmented[rows], truth.source[sources][places]
        carried = float(((own != theirs) & ~(np.isnan(own) & np.isnan(theirs))).mean())
    agreement = _agreement(predicted, truth, sources, rows)
    by_op = {}
    if kept is not None:
        by_op = _by_op({name: mask[rows] for name, mask in (changed or {}).items()}, kept)
    return LabelConsistency(
        label="" if truth is None else truth.name,
        rows=len(rows),
        stays=stays,
        shift=shift,
        moved=moved,
        carried=carried,
        agreement=agreement,
        consistency=_consistency(predicted, agreement, stays),
        skill=skill,
        measure=measure,
        skilled=skilled,
        tolerance=tolerance,
        by_op=by_op,
    )


def _consistency(predicted: Predicted, agreement: tuple[float, float], stays: float) -> float:
    before, after = agreement
    if math.isnan(before) or math.isnan(after):
        return stays
    better, worse = (before, after) if predicted.kind == "number" else (after, before)
    return min(1.0, better / worse) if worse > 0 else 1.0


def _by_op(changed: Mapping[str, np.ndarray], kept: np.ndarray) -> dict[str, OpConsistency]:
    found = {}
    if changed:
        acted = np.sum(list(changed.values()), axis=0)
    for name, mask in changed.items():
        alone = mask & (acted == 1)
        judged = alone if alone.sum() >= _ALONE else mask
        if judged.any():
            is_alone = bool((acted[judged] == 1).all())
            found[name] = OpConsistency(int(judged.sum()), float(kept[judged].mean()), is_alone)
    return found


def _skill(predicted: Predicted, truth, sources, *, given: bool) -> tuple[float, str, bool, float]:
    """How well source rows are predicted, what that measures, whether it suffices, and the tolerance."""
    before, tolerance = predicted.source, math.nan
    if truth is None:
        if predicted.kind == "number":
            raise InvalidArgumentError(
                "`label` must be given where `predict` returns numbers: its error says which change counts. "
                "Received: label=None."
            )
        return math.nan, "", True, tolerance
    labels = truth.source[sources]
    if predicted.kind == "number":
        known = ~np.isnan(labels.astype(np.float64))
        error = before[known] - labels[known]
        tolerance = float(np.sqrt(np.mean(error**2)))
        variance = float(np.var(labels[known]))
        skill = 1.0 - tolerance**2 / variance if variance else math.nan
        return skill, "variance explained", given or skill > _LEAST_GAIN, tolerance
    if predicted.kind == "binary":
        skill = auc(before, labels.astype(bool))
        return skill, "AUC", given or skill > _LEAST_AUC, tolerance
    share = _agreement(predicted, truth, sources, None)[0]
    most = np.unique(labels, return_counts=True)[1].max() / len(labels)
    skill = float(share - most)
    return skill, "accuracy gained", given or skill > _LEAST_GAIN, tolerance


def _agreement(predicted: Predicted, truth, sources, rows) -> tuple[float, float]:
    if truth is None:
        return math.nan, math.nan
    found = []
    for values, labels, index in (
        (predicted.source, truth.source, sources),
        (predicted.augmented, truth.augmented, rows),
    ):
        if index is None:
            found.append(math.nan)
            continue
        own = labels[index]
        if predicted.kind == "number":
            found.append(float(np.sqrt(np.nanmean((values - own) ** 2))))
        elif predicted.kind == "labels" and truth.values is not None:
            theirs = truth.values[own]
            same_kind = (theirs.dtype.kind == "S") == (values.dtype.kind == "S")
            found.append(float((values == theirs).mean()) if same_kind else math.nan)
        else:
            found.append(float((predicted.labels(values) == own).mean()))
    return found[0], found[1]


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
