"""A teacher: a boosted tree that learns a label from source rows, and predicts rows that it has not seen."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Ragged, take_column
from tfrs_augment.errors import AugmentError, DataError, InvalidArgumentError
from tfrs_augment.evaluation.augmented.augmented_tables import Pair, rows_of
from tfrs_augment.evaluation.synthetic.coded_tables import CodedTables, code_tables, take
from tfrs_augment.evaluation.synthetic.transfer import encoder

_FOLDS = 3
_MOST_CLASSES = 20
_MOST_VALUES = 24
"""Values of a column of lists that the teacher sees, the most frequent ones."""
_TREES = {
    "max_iter": 40,
    "learning_rate": 0.15,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 20,
    "early_stopping": False,
}


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Predictions of source rows and of augmented rows.

    Attributes:
      source: `[n]`, or `[n, classes]`.
      augmented: likewise, `[m]`.
      kind: what they are: "binary", "classes", "number" or "labels".
      cut: above which a row counts as positive, where they are binary.
    """

    source: np.ndarray
    augmented: np.ndarray
    kind: str
    cut: float = 0.5

    def labels(self, values: np.ndarray) -> np.ndarray:
        """Returns the labels that predictions stand for."""
        if self.kind == "binary":
            return values > self.cut
        return values.argmax(axis=1) if self.kind == "classes" else values


@dataclasses.dataclass(frozen=True)
class Truth:
    """The labels of both tables.

    Attributes:
      name: the column.
      kind: "binary", "classes" or "number".
      source: `[n]`, codes from 0, or numbers with NaN where they are missing.
      augmented: likewise, `[m]`.
      values: what the codes stand for; None of numbers, and of a positive class.
    """

    name: str
    kind: str
    source: np.ndarray
    augmented: np.ndarray
    values: np.ndarray | None

    @classmethod
    def of(cls, pair: Pair, name: str, positive: Sequence[Any] | None) -> Truth:
        """Returns the labels of a column; see `measure_labels`."""
        tables = code_tables({"source": {name: pair.source[name]},
                              "augmented": {name: pair.augmented[name]}})  # fmt: skip
        first, second = (tables.tables[key][name] for key in ("source", "augmented"))
        values = tables.categories.get(name)
        if positive is not None:
            wanted = [v.encode() if isinstance(v, str) else v for v in positive]
            known = values if values is not None else np.unique(first[~np.isnan(first)])
            hits = np.isin(known, np.array(wanted))
            if not hits.any():
                raise InvalidArgumentError(
                    f"`positive` must name values of {name!r}. Received: {list(positive)}."
                )
            codes = np.flatnonzero(hits) if values is not None else known[hits]
            first, second = (np.isin(part, codes).astype(np.int64) for part in (first, second))
            return cls(name, "binary", first, second, None)._checked()
        if values is None:
            return cls(name, "number", first, second, None)._checked()
        if len(values) > _MOST_CLASSES:
            raise DataError(
                f"`label` must have at most {_MOST_CLASSES} classes, or be a number. Received: {name!r} with "
                f"{len(values)}. `positive` makes it two."
            )
        kind = "binary" if len(np.unique(first)) == 2 and len(values) == 2 else "classes"
        return cls(name, kind, first, second, values)._checked()

    def as_numbers(self) -> Truth:
        """Returns the labels as numbers, for a model that predicts these.

        Raises:
          InvalidArgumentError: they are text, or a positive class.
        """
        if self.kind == "number":
            return self
        if self.values is None or self.values.dtype.kind == "S":
            raise InvalidArgumentError(
                f"`predict` must return labels or shares where the label {self.name!r} is no number. "
                "Received: numbers."
            )
        values = self.values.astype(np.float64)
        return Truth(self.name, "number", values[self.source], values[self.augmented], None)

    def _checked(self) -> Truth:
        known = self.source[~np.isnan(self.source)] if self.kind == "number" else self.source
        if len(np.unique(known)) < 2:
            raise DataError(
                f"`label` must have two values or more in `source`. Received: {self.name!r} with one."
            )
        return self


def taught(
    pair: Pair,
    truth: Truth,
    rows: np.ndarray,
    most: int,
    rng: np.random.Generator,
    seed: int,
) -> tuple[Predicted, np.ndarray, np.ndarray | None]:
    """Predicts by cross-fitting.

    Args:
      pair: the tables.
      truth: their labels.
      rows: int `[asked]`, the augmented rows to ask about.
      most: how many source rows learn and are asked.
      rng: of the draw and of the folds.
      seed: of the trees.

    Returns:
      The predictions, the source rows that were asked, and each augmented row's place among these; None where
      source rows are not known.

    Raises:
      DataError: there are too few rows, or no column beside the label.
      AugmentError: scikit-learn is not installed.
    """
    total = rows_of(pair.source)
    sources = np.arange(total)
    if pair.parents is not None:
        # Parents must be asked; the others only teach.
        parents = np.unique(pair.parents[rows])
        others = np.setdiff1d(sources, parents)
        sources = np.sort(
            np.concatenate([parents, others[some_rows(len(others), most - len(parents), rng)]])
        )
    else:
        sources = sources[some_rows(total, most, rng)]
    if len(sources) < 2 * _FOLDS:
        raise DataError(
            f"A teacher needs at least {2 * _FOLDS} source rows. Received: {len(sources)}."
        )
    tables, names = _inputs(pair, truth.name, sources, rows)
    fold = rng.permutation(len(sources)) % _FOLDS
    places = None if pair.parents is None else np.searchsorted(sources, pair.parents[rows])
    labels = truth.source[sources]
    classes = 0 if truth.values is None else len(truth.values)
    shape = (classes,) if truth.kind == "classes" else ()
    before, after = np.zeros((len(sources), *shape)), np.zeros((len(rows), *shape))
    for number in range(_FOLDS):
        learn, ask = fold != number, fold == number
        train = take(tables.tables["source"], np.flatnonzero(learn))
        encode = encoder(tables, names, train)
        model = _fit(encode(train), labels[learn], truth, tables, names, seed)
        before[ask] = model(encode(take(tables.tables["source"], np.flatnonzero(ask))))
        mine = np.ones(len(rows), bool) if places is None else fold[places] == number
        if mine.any():
            found = model(encode(take(tables.tables["augmented"], np.flatnonzero(mine))))
            # Without parents every teacher is asked, and the mean counts.
            after[mine] += found / (_FOLDS if places is None else 1)
    cut = 0.5
    if truth.kind == "binary":
        # As many are called positive as are: at 0.5 a rare class would never be.
        cut = float(np.quantile(before, 1.0 - labels.mean()))
    return Predicted(before, after, truth.kind, cut), sources, places


def _fit(inputs: np.ndarray, labels: np.ndarray, truth: Truth, tables, names, seed: int):
    """Returns a function from inputs to predictions."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    except ImportError as error:
        raise AugmentError(
            f"To train a teacher scikit-learn is needed, and it cannot be imported: {error}. Install it "
            "with: pip install 'tfrs-augment[synthesis]', or pass `predict`."
        ) from error
    options = {
        "categorical_features": [name in tables.categories for name in names],
        "random_state": seed,
        **_TREES,
    }
    if truth.kind == "number":
        known = ~np.isnan(labels)
        model = _alone(HistGradientBoostingRegressor(**options).fit, inputs[known], labels[known])
        return functools.partial(_alone, model.predict)
    if len(np.unique(labels)) < 2:
        only = int(labels[0])
        if truth.kind == "binary":
            return lambda asked: np.full(len(asked), float(only))
        return lambda asked: np.tile(np.eye(len(truth.values))[only], (len(asked), 1))
    model = _alone(HistGradientBoostingClassifier(**options).fit, inputs, labels)
    if truth.kind == "binary":
        return lambda asked: _alone(model.predict_proba, asked)[:, 1]

    def predict(asked: np.ndarray) -> np.ndarray:
        shares = np.zeros((len(asked), len(truth.values)))
        shares[:, model.classes_.astype(np.int64)] = _alone(model.predict_proba, asked)
        return shares

    return predict


def _alone(function: Callable, *arguments: Any) -> Any:
    """Calls a function of scikit-learn in one thread: its many short parallel loops wait for a busy core."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="openmp"):
        return function(*arguments)


def _inputs(pair: Pair, label: str, sources: np.ndarray, rows: np.ndarray):
    """The columns that a teacher sees: all but the label, of lists whether a frequent value is in them."""
    index = {"source": sources, "augmented": rows}
    parts = {key: getattr(pair, key) for key in index}
    scalars = [name for name in pair.scalars if name != label]
    if scalars:
        cut = {k: {n: t[n][index[k]] for n in scalars} for k, t in parts.items()}
        tables = code_tables(cut)
        categories, numbers = dict(tables.categories), list(tables.numbers)
        coded = {key: dict(table) for key, table in tables.tables.items()}
    else:
        categories, numbers, coded = {}, [], {"source": {}, "augmented": {}}
    for name in pair.lists:
        values, counts = np.unique(pair.source[name].values, return_counts=True)
        for value in values[np.argsort(-counts, kind="stable")[:_MOST_VALUES]]:
            column = f"{name} has {value!r}"
            numbers.append(column)
            for key, table in parts.items():
                coded[key][column] = _holds(take_column(table[name], index[key]), value)
    if not numbers and not categories:
        raise DataError(f"A teacher needs a column beside the label. Received: {label!r} alone.")
    return CodedTables(categories, tuple(numbers), coded), list(coded["source"])


def _holds(column: Ragged, value: Any) -> np.ndarray:
    """float64 `[n]`: 1 where a row's list has a value."""
    row = np.repeat(np.arange(len(column)), column.row_lengths())
    return (np.bincount(row[column.values == value], minlength=len(column)) > 0).astype(np.float64)


def some_rows(rows: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Returns at most `most` places of `rows`, drawn and rising."""
    return (
        np.arange(rows) if rows <= most else np.sort(rng.choice(rows, max(most, 0), replace=False))
    )
