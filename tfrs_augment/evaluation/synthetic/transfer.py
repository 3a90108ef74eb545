"""Train on synthetic rows, test on real ones: is what a model needs in the rows?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import (
    AugmentError,
    InvalidArgumentError,
    UnknownFeatureError,
    close_matches,
)
from tfrs_augment.evaluation.synthetic.coded_tables import Coded, CodedTables
from tfrs_augment.rank_statistics import auc

# Trees of scikit-learn take at most 255 categories; rarer ones share the last.
_MAX_CATEGORIES = 255
_TREES = {"max_iter": 150, "learning_rate": 0.08, "max_leaf_nodes": 31, "min_samples_leaf": 50}


@dataclasses.dataclass(frozen=True)
class Target:
    """What is predicted from the other columns.

    Attributes:
      name: the column.
      positive: codes, or numbers, that make the positive class; None predicts the number itself.
    """

    name: str
    positive: np.ndarray | None

    @property
    def metric(self) -> str:
        """ "AUC", or "RMSE" of a number."""
        return "RMSE" if self.positive is None else "AUC"

    def labels(self, table: Coded) -> np.ndarray:
        """Returns `[n]`: bool, or float64 with NaN where the number is missing."""
        values = table[self.name]
        return values if self.positive is None else np.isin(values, self.positive)


def target_of(tables: CodedTables, name: str, positive: Sequence[Any] | None) -> Target:
    """Returns the target by its column's name.

    Args:
      tables: the tables.
      name: the column.
      positive: the values of the positive class. Default: of a categorical column with two values the second
        in rising order; of a numeric column none, and the number itself is predicted.

    Raises:
      UnknownFeatureError: there is no such column.
      InvalidArgumentError: `positive` is missing where a column has more than two values, or names a
        value that no row has.
    """
    if name not in tables.names:
        raise UnknownFeatureError(
            f"`target` must be one of the measured columns. Received: {name!r}. "
            f"{close_matches(name, tables.names)}"
        )
    categories = tables.categories.get(name)
    if positive is None:
        if categories is None:
            return Target(name, None)
        if len(categories) != 2:
            raise InvalidArgumentError(
                f"`positive` must name the values of the positive class where the target has not two values. "
                f"Received: positive=None with {len(categories)} values of {name!r}."
            )
        return Target(name, np.array([1]))
    if categories is None:
        return Target(name, np.array(positive, np.float64))
    wanted = np.array([v.encode() if isinstance(v, str) else v for v in positive])
    codes = np.flatnonzero(np.isin(categories, wanted))
    if not len(codes) or len(codes) < len(np.unique(wanted)):
        raise InvalidArgumentError(
            f"`positive` must name values of {name!r}. Received: {list(positive)}. Known: "
            f"{', '.join(map(repr, categories[:20].tolist()))}."
        )
    return Target(name, codes)


def train_and_test(
    tables: CodedTables, train: Coded, test: Coded, target: Target, *, seed: int
) -> float:
    """Trains a gradient boosted tree on one table and tests it on another.

    Args:
      tables: says which columns are categorical.
      train: the rows to learn from.
      test: the rows to predict.
      target: what to predict.
      seed: of the trees.

    Returns:
      AUC, 0.5 where the training rows are all of one class; or the root of the mean squared error.

    Raises:
      AugmentError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    except ImportError as error:
        raise AugmentError(
            "To train on synthetic rows scikit-learn is needed, and it cannot be imported: "
            f"{error}. Install it with: pip install 'tfrs-augment[synthesis]'."
        ) from error
    names = [name for name in tables.names if name != target.name]
    options = {
        "categorical_features": [name in tables.categories for name in names],
        "random_state": seed,
        **_TREES,
    }
    features = encoder(tables, names, train)
    inputs, labels = features(train), target.labels(train)
    tested, truth = features(test), target.labels(test)
    if target.positive is not None:
        if labels.all() or not labels.any():
            return 0.5
        model = HistGradientBoostingClassifier(**options).fit(inputs, labels)
        return auc(model.predict_proba(tested)[:, 1], truth)
    known, asked = ~np.isnan(labels), ~np.isnan(truth)
    model = HistGradientBoostingRegressor(**options).fit(inputs[known], labels[known])
    error = model.predict(tested[asked]) - truth[asked]
    return float(np.sqrt(np.mean(error**2)))


def encoder(tables: CodedTables, names: Sequence[str], train: Coded):
    """Returns a function from a table to float64 `[n, names]`."""
    places = {}
    for name in names:
        if name in tables.categories:
            counts = np.bincount(train[name], minlength=len(tables.categories[name]))
            place = np.empty(len(counts), np.int64)
            place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            places[name] = np.minimum(place, _MAX_CATEGORIES - 1)

    def of(table: Coded) -> np.ndarray:
        columns = [places[name][table[name]] if name in places else table[name] for name in names]
        return np.stack(columns, axis=1).astype(np.float64)

    return of
