"""Columns drawn one after the other, each by a regression on those before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.fitting import Fitter
from tfrs_augment.ops.fitted import Requirement
from tfrs_augment.synthesis import gaussian
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.distances import Bins
from tfrs_augment.synthesis.marginals import (
    Marginal,
    marginals_from_arrays,
    marginals_to_arrays,
    stretch,
)
from tfrs_augment.synthesis.regressors import (
    Basis,
    Categories,
    CategoryModel,
    Design,
    NumberModel,
    normal_scores,
    one_thread,
)

_CANDIDATES = 32
_PART = 4096


@dataclasses.dataclass(kw_only=True, eq=False)
class RegressionSynthesizer(Synthesizer):
    """Draws the columns one after the other, each given all before it.

    A category is drawn by multinomial logistic regression. A number is turned into a normal one by its
    rank, predicted by ridge regression, and given the residual of a row with a like prediction. The
    chain begins with the column of numbers that tells most of the others, and each time goes on with
    the column that has most mutual information with those before it: numbers first, then categories,
    for a logistic model on numbers keeps how they spread, and a linear one on categories only where
    they lie.

    Conditions are met by rejection: a row is given up as soon as a column misses its condition. Missing
    cells are imputed by drawing 32 candidates a row along the chain, and keeping one by how well it
    explains the cells that are there (sampling importance resampling).

    Args:
      degree: 1 for a linear model of the columns; 2 adds squares, and products of each two columns,
        at the cost of many more inputs.
      knots: a number enters by piecewise linear functions with so many knots too; 0 leaves them out.
      l2: the weight of the ridge penalty, and of that of the logistic regression.
      columns: as of `Synthesizer`.
      max_tries: as of `Synthesizer`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> price = np.linspace(1, 100, 400).round(2)
      >>> brand = np.where(price > 50, "dear", "cheap")
      >>> synthesizer = RegressionSynthesizer().fit({"price": price, "brand": brand})
      >>> rows = synthesizer.sample(50, conditions={"brand": "cheap"}, seed=1)
      >>> bool(rows["price"].mean() < 35)
      True

    Reference:
      Drechsler and Reiter, "An empirical evaluation of easily implemented, nonparametric methods for
      generating synthetic datasets", 2011, for sequential regressions; Rubin, "Using the SIR algorithm
      to simulate posterior distributions", 1988, for the imputation.
    """

    degree: int = 1
    knots: int = 8
    l2: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, rule, fits in (
            ("degree", "1 or 2", self.degree in (1, 2)),
            ("knots", "an integer of 0 or more", isinstance(self.knots, int) and self.knots >= 0),
            ("l2", "above 0", self.l2 > 0),
        ):
            if not fits:
                raise InvalidArgumentError(
                    f"`{name}` must be {rule}. Received: {name}={getattr(self, name)!r}."
                )

    def _fit(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        with one_thread():
            self._fit_models(table, spec)

    def _fit_models(self, table: Table, spec: TableSpec) -> None:
        self._prepare([Marginal.fit(column, table[column.name]) for column in spec])
        self._order = _order(table, spec)
        # Equal values are spread at random, and alike in each fit.
        rng = np.random.default_rng(0)
        self._missing, self._models = {}, {}
        for place, name in enumerate(self._order[1:], 1):
            inputs = self._design(place).matrix(table)
            column, values = spec[name], table[name]
            if column.categorical:
                bins = self._categories[name].bins
                self._models[name] = CategoryModel.fit(
                    inputs, bins.codes(values), bins.count, self.l2
                )
                continue
            absent = column.missing_mask(values)
            if column.missing:
                classes = absent.astype(np.int64)
                self._missing[name] = CategoryModel.fit(inputs, classes, 2, self.l2)
            scores = normal_scores(self._marginals[name], values[~absent], rng)
            self._models[name] = NumberModel.fit(inputs[~absent], scores, self.l2)

    def _draw(
        self, rng: np.random.Generator, n: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        for condition in conditions:
            self._marginals[condition.column.name].allowed(condition)  # raises where it can't hold
        rows: dict[str, np.ndarray] = {}
        for place, name in enumerate(self._order):
            condition = conditions.get(name)
            if place == 0:
                rows[name] = self._marginals[name].draw(rng, n, condition)
                continue
            rows[name] = self._draw_column(rng, name, self._design(place).matrix(rows))
            if condition is not None:
                fits = condition.mask(rows[name])
                rows = {key: values[fits] for key, values in rows.items()}
        return rows

    def _draw_column(
        self, rng: np.random.Generator, name: str, inputs: np.ndarray, there: bool = False
    ) -> np.ndarray:
        """Draws a column given the inputs of those before it; `there` leaves nothing missing."""
        marginal, model = self._marginals[name], self._models[name]
        if isinstance(model, CategoryModel):
            codes = self._categories[name].draw(rng, model.log_probabilities(inputs), there)
            return marginal.column.decode(codes)
        values = marginal.values(gaussian.cdf(model.draw(rng, inputs)))
        if name in self._missing and not there:
            share = np.exp(self._missing[name].log_probabilities(inputs)[:, 1])
            values[rng.random(len(values)) < share] = np.nan
        return values

    def _impute(
        self, rng: np.random.Generator, table: Table, missing: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        count = len(next(iter(table.values())))
        step = _PART // _CANDIDATES
        parts = []
        for start in range(0, count, step):
            place = np.arange(start, min(start + step, count))
            parts.append(self._impute_part(rng, place, table, missing))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._order}

    def _impute_part(
        self,
        rng: np.random.Generator,
        place: np.ndarray,
        table: Table,
        missing: Mapping[str, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """Fills the rows at `place`, int64 `[m]`."""
        index = np.repeat(place, _CANDIDATES)
        rows: dict[str, np.ndarray] = {}
        weight = np.zeros(len(index))
        for position, name in enumerate(self._order):
            marginal, absent = self._marginals[name], missing[name][index]
            inputs = self._design(position).matrix(rows) if position else None
            # What is there stays; b"" need not be a category, so it never meets one.
            values = self.spec[name].placeholders(len(index))
            values[~absent] = table[name][index][~absent]
            if position == 0:
                drawn = marginal.values(stretch(rng.random(len(index)), *marginal.present()))
            else:
                drawn = self._draw_column(rng, name, inputs, there=True)
                known = np.flatnonzero(~absent)
                weight[known] += self._log_likelihood(name, inputs[known], values[known])
            values[absent] = drawn[absent]
            rows[name] = values
        # One candidate a row, each as likely as its weight: the largest with Gumbel noise.
        noisy = (weight + rng.gumbel(size=len(weight))).reshape(len(place), _CANDIDATES)
        chosen = np.arange(len(place)) * _CANDIDATES + noisy.argmax(1)
        return {name: values[chosen] for name, values in rows.items()}

    def _log_likelihood(self, name: str, inputs: np.ndarray, values: np.ndarray) -> np.ndarray:
        """float64 `[n]`: how likely values that are there are, given the inputs."""
        model = self._models[name]
        if isinstance(model, NumberModel):
            return model.log_density(inputs, normal_scores(self._marginals[name], values))
        classes = self._categories[name].bins.codes(values)
        return model.log_probabilities(inputs)[np.arange(len(values)), classes]

    def _design(self, place: int) -> Design:
        """The inputs of the column at a place of the chain."""
        return Design([self._bases[name] for name in self._order[:place]], self.degree)

    def _prepare(self, marginals: Sequence[Marginal]) -> None:
        """Sets what follows from the marginals alone."""
        self._marginals = {marginal.column.name: marginal for marginal in marginals}
        self._bases = {
            name: Basis(marginal, self.degree, self.knots)
            for name, marginal in self._marginals.items()
        }
        self._categories = {
            name: Categories(marginal)
            for name, marginal in self._marginals.items()
            if marginal.column.categorical
        }

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = marginals_to_arrays(list(self._marginals.values()))
        for part, models in (("model", self._models), ("missing", self._missing)):
            for name, model in models.items():
                place = self._order.index(name)
                for field in dataclasses.fields(model):
                    arrays[f"{part}/{place}/{field.name}"] = getattr(model, field.name)
        return {"order": self._order}, arrays

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._prepare(marginals_from_arrays(self.spec, arrays))
        self._order = list(state["order"])
        self._models, self._missing = {}, {}
        for place, name in enumerate(self._order[1:], 1):
            kind = CategoryModel if self.spec[name].categorical else NumberModel
            self._models[name] = _model(kind, arrays, f"model/{place}")
            if self.spec[name].missing:
                self._missing[name] = _model(CategoryModel, arrays, f"missing/{place}")


def _model(kind: type, arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
    return kind(**{f.name: arrays[f"{prefix}/{f.name}"] for f in dataclasses.fields(kind)})


def _order(table: Table, spec: TableSpec) -> list[str]:
    """The names in the order of the chain."""
    names = list(spec.names)
    if len(names) == 1:
        return names
    codes = {c.name: Bins.of(c, table[c.name]).codes(table[c.name]) for c in spec}
    requirement = Requirement("mutual_information", names[0], tuple(names[1:]))
    fitter = Fitter([requirement])
    fitter.add(codes)
    shared = fitter.state()[requirement]["information"].copy()
    np.fill_diagonal(shared, 0.0)
    order: list[int] = []
    for categorical in (False, True):
        rest = [i for i, column in enumerate(spec) if column.categorical == categorical]
        while rest:
            # The first one tells most of all others; ties go to the first column.
            told = shared[:, order] if order else shared
            order.append(max(rest, key=lambda i: told[i].sum()))
            rest.remove(order[-1])
    return [names[i] for i in order]
