"""Conditional models of one column given others: ridge for numbers, logistic for categories.

They are fitted with scikit-learn; what is kept are arrays, and NumPy draws from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfrs_augment.errors import AugmentError
from tfrs_augment.synthesis import gaussian
from tfrs_augment.synthesis.columns import Table
from tfrs_augment.synthesis.distances import Bins
from tfrs_augment.synthesis.marginals import Marginal

_MAX_INPUTS = 60
"""The rarer categories of a column share an input."""
_MAX_CLASSES = 100
"""The rarer categories of a column are told apart by their shares alone."""
_GROUPS = 10
_QUANTILES = np.linspace(0.0, 1.0, 101)
_MAX_Z = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Basis:
    """A column as inputs of a model.

    A category is 1 in its own input and 0 in the others. A number is turned into a normal one, z, by its
    rank, and enters as z, its powers, and piecewise linear functions of it that are 1 at one knot and
    0 at the others; if it is missing, as 1 in an input of its own.

    Args:
      marginal: of the column.
      degree: the highest power.
      knots: how many knots, at quantiles.
    """

    marginal: Marginal
    degree: int
    knots: int

    def __post_init__(self) -> None:
        column = self.marginal.column
        if column.categorical:
            bins = Bins.of_weights(column, self.marginal.shares(), _MAX_INPUTS)
            object.__setattr__(self, "_bins", bins)

    def inputs(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 `[n, k]`, and the few of them that products are made of."""
        column = self.marginal.column
        if column.categorical:
            inputs = np.eye(self._bins.count, dtype=np.float32)[self._bins.codes(values)]
            return inputs, inputs
        missing = column.missing_mask(values)
        z = normal_scores(self.marginal, np.where(missing, column.minimum, values))
        powers = np.stack([z**power for power in range(1, self.degree + 1)], 1)
        at = gaussian.quantile((np.arange(self.knots) + 0.5) / max(self.knots, 1))
        hats = [np.interp(z, at, np.eye(self.knots)[i]) for i in range(self.knots)]
        inputs = np.concatenate([powers, *(hat[:, None] for hat in hats)], axis=1)
        inputs[missing] = 0.0
        if column.missing:
            inputs = np.concatenate([inputs, missing[:, None]], axis=1)
        return inputs.astype(np.float32), inputs[:, :1].astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Columns as the inputs of a model, with the products of each two columns if the degree is 2."""

    bases: Sequence[Basis]
    degree: int

    def matrix(self, rows: Table) -> np.ndarray:
        """float32 `[n, inputs]`."""
        parts = [basis.inputs(rows[basis.marginal.column.name]) for basis in self.bases]
        blocks = [inputs for inputs, _ in parts]
        if self.degree == 2:
            for i, (_, first) in enumerate(parts):
                for _, second in parts[:i]:
                    products = first[:, :, None] * second[:, None, :]
                    blocks.append(products.reshape(len(first), -1))
        return np.concatenate(blocks, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class CategoryModel:
    """Multinomial logistic regression of a categorical column, or of which numbers are missing.

    Attributes:
      weights: float32 `[inputs, classes]`.
      intercept: float32 `[classes]`.
    """

    weights: np.ndarray
    intercept: np.ndarray

    @classmethod
    def fit(cls, inputs: np.ndarray, classes: np.ndarray, count: int, l2: float) -> CategoryModel:
        """Fits to inputs float32 `[n, k]` and classes int64 `[n]` below `count`."""
        linear_model = import_linear_model()
        present = np.unique(classes)
        weights = np.zeros([inputs.shape[1], count], np.float32)
        # A class that is never met is never drawn: its probability underflows to 0.
        intercept = np.full(count, -1e4, np.float32)
        intercept[present] = 0.0
        if len(present) > 1:
            model = linear_model.LogisticRegression(C=1.0 / l2, max_iter=200, tol=1e-3)
            model.fit(inputs, classes)
            # Of two classes there are only the differences of the second.
            used = present[1:] if len(present) == 2 else present
            weights[:, used] = model.coef_.T
            intercept[used] = model.intercept_
        return cls(weights, intercept)

    def log_probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """float64 `[n, classes]`."""
        scores = (inputs @ self.weights + self.intercept).astype(np.float64)
        scores -= scores.max(1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(1, keepdims=True))


@dataclasses.dataclass(frozen=True, eq=False)
class NumberModel:
    """Ridge regression of a number's normal score, with the residuals of alike predictions.

    Attributes:
      weights: float32 `[inputs]`.
      intercept: float32 `[1]`.
      edges: float64 `[groups - 1]`: predictions fall in about ten groups of equal mass.
      residuals: float64 `[groups, 101]`, quantiles of what the predictions of each group miss.
      stddev: float64 `[groups]`, their spread.
    """

    weights: np.ndarray
    intercept: np.ndarray
    edges: np.ndarray
    residuals: np.ndarray
    stddev: np.ndarray

    @classmethod
    def fit(cls, inputs: np.ndarray, scores: np.ndarray, l2: float) -> NumberModel:
        """Fits to inputs float32 `[n, k]` and normal scores float64 `[n]`."""
        model = import_linear_model().Ridge(alpha=l2).fit(inputs, scores)
        weights, intercept = model.coef_.astype(np.float32), np.float32([model.intercept_])
        predicted = inputs @ weights + intercept
        edges = np.unique(np.quantile(predicted, np.arange(1, _GROUPS) / _GROUPS))
        group = np.searchsorted(edges, predicted, "right")
        missed = scores - predicted
        # A group may be empty where many predictions are equal.
        parts = [
            missed[group == g] if (group == g).any() else missed for g in range(len(edges) + 1)
        ]
        residuals = np.stack([np.quantile(part, _QUANTILES) for part in parts])
        stddev = np.array([max(part.std(), 1e-3) for part in parts])
        return cls(weights, intercept, edges, residuals, stddev)

    def draw(self, rng: np.random.Generator, inputs: np.ndarray) -> np.ndarray:
        """Draws normal scores, float64 `[n]`."""
        predicted, group = self._predict(inputs)
        place = rng.random(len(inputs)) * (len(_QUANTILES) - 1)
        below = place.astype(np.int64)
        low, high = self.residuals[group, below], self.residuals[group, below + 1]
        return predicted + low + (place - below) * (high - low)

    def log_density(self, inputs: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """float64 `[n]`, of normal scores, as if the residuals of a group were normal."""
        predicted, group = self._predict(inputs)
        center, stddev = self.residuals[group, len(_QUANTILES) // 2], self.stddev[group]
        return -0.5 * ((scores - predicted - center) / stddev) ** 2 - np.log(stddev)

    def _predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predicted = (inputs @ self.weights + self.intercept).astype(np.float64)
        return predicted, np.searchsorted(self.edges, predicted, "right")


@dataclasses.dataclass(frozen=True, eq=False)
class Categories:
    """Categories in classes: each has one, the rarest share the last.

    Args:
      marginal: of the categorical column.
    """

    marginal: Marginal

    def __post_init__(self) -> None:
        shares = self.marginal.shares()
        bins = Bins.of_weights(self.marginal.column, shares, _MAX_CLASSES)
        object.__setattr__(self, "bins", bins)
        there = ~self.marginal.column.missing_mask(self.marginal.column.categories)
        object.__setattr__(self, "_shares", {False: shares, True: shares * there})

    def draw(
        self, rng: np.random.Generator, log_probabilities: np.ndarray, there: bool = False
    ) -> np.ndarray:
        """Draws categories.

        Args:
          rng: where the random numbers come from.
          log_probabilities: float64 `[n, classes]`.
          there: whether b"" and NaN are left out.

        Returns:
          int64 `[n]`, codes.
        """
        shares = self._shares[there and self._shares[True].any()]
        order = np.argsort(self.bins.merged, kind="stable")
        ends = np.cumsum(shares[order])
        last = np.searchsorted(self.bins.merged[order], np.arange(self.bins.count), "right") - 1
        mass = np.diff(np.concatenate([[0.0], ends[last]]))
        whole = np.bincount(self.bins.merged, self._shares[False], minlength=self.bins.count)
        left = mass / np.where(whole > 0, whole, 1.0)
        uniform = rng.random([2, len(log_probabilities)])
        weights = np.cumsum(np.exp(log_probabilities) * left, axis=1)
        total = weights[:, -1]
        # Rows that the model gives no category that is left take one by its share.
        weights = np.where(total[:, None] > 0, weights, np.cumsum(mass))
        chosen = (weights <= (uniform[0] * weights[:, -1])[:, None]).sum(1)
        chosen = np.minimum(chosen, self.bins.count - 1)
        place = ends[last[chosen]] - uniform[1] * mass[chosen]
        # In (start, end] of the class, so that the category found has a share.
        return order[np.minimum(np.searchsorted(ends, place, "left"), len(order) - 1)]


def normal_scores(
    marginal: Marginal, values: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Numbers as normal ones of the same rank, float64 `[n]`.

    Args:
      marginal: of a numeric column.
      values: `[n]`, none missing.
      rng: spreads equal values over their share; None takes its middle.
    """
    low, high = marginal.intervals(values.astype(marginal.column.dtype))
    place = 0.5 if rng is None else rng.random(len(values))
    return np.clip(gaussian.quantile(low + (high - low) * place), -_MAX_Z, _MAX_Z)


def import_linear_model():
    """scikit-learn's linear models, which only fitting needs.

    Raises:
      AugmentError: scikit-learn is not installed; the message names the extra.
    """
    try:
        from sklearn import linear_model
    except ImportError as error:
        raise AugmentError(
            "Fitting a RegressionSynthesizer needs scikit-learn: pip install "
            "'tfrs-augment[synthesis]'."
        ) from error
    return linear_model


def one_thread():
    """A context in which linear algebra runs in one thread.

    The matrices are small: on a busy machine threads that wait for each other took fifty times the CPU
    time. And sums don't depend on how many threads there are.

    Raises:
      AugmentError: as `import_linear_model`.
    """
    import_linear_model()
    import threadpoolctl  # comes with scikit-learn

    return threadpoolctl.threadpool_limits(1)
