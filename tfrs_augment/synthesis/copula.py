"""Correlated normal numbers behind the columns: a Gaussian copula."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.synthesis import gaussian
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.latent import Latent, fit_correlation, latents_of
from tfrs_augment.synthesis.marginals import (
    Marginal,
    marginals_from_arrays,
    marginals_to_arrays,
)
from tfrs_augment.synthesis.scaling import order_categories


@dataclasses.dataclass(kw_only=True, eq=False)
class GaussianCopula(Synthesizer):
    """Models each column by its own distribution, and all together by correlated normal numbers.

    A number is a quantile of its column. A category is an interval of the normal number, as long as
    it is frequent; categories that go with the same values of other columns are neighbours. Each two
    columns share one number, their correlation: what rises and falls again between two columns, or
    holds among three alone, is lost.

    Conditions are met by construction, and the other columns follow: their distribution is the
    model's own given the conditions.

    Args:
      columns: as of `Synthesizer`.
      max_tries: as of `Synthesizer`.

    Example:
      >>> age = np.arange(20, 70).repeat(4)
      >>> copula = GaussianCopula().fit({"age": age, "income": 1000.0 * age})
      >>> rows = copula.sample(100, conditions={"age": (30, 35)})
      >>> bool(abs(rows["income"].mean() - 32_500) < 1_000)
      True

    Reference:
      Nelsen, "An Introduction to Copulas", 2006, section 2.3, for the model; see `fit_correlation`
      for how it is fitted.
    """

    def _fit(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        self._marginals = [Marginal.fit(column, table[column.name]) for column in spec]
        self._orders = order_categories(table, spec)
        self._latents = self._latents_of(spec)
        self._correlation = fit_correlation(self._latents, table)

    def _draw(
        self, rng: np.random.Generator, n: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        for name, marginal in zip(self.spec.names, self._marginals):
            if name in conditions:
                marginal.allowed(conditions.get(name))  # raises where it can't hold
        given, intervals = [], []
        for place, latent in enumerate(self._latents):
            if latent.column.name in conditions:
                low, high = latent.allowed(conditions.get(latent.column.name))
                given.append(place)
                intervals.append((gaussian.quantile(low)[None], gaussian.quantile(high)[None]))
        within = self._correlation[np.ix_(given, given)]
        values = gaussian.correlated(rng, within, intervals, n)
        rows = self._decode(gaussian.conditional(rng, self._correlation, given, values))
        for condition in conditions:
            name = condition.column.name
            if not condition.column.categorical:
                rows[name] = condition.clip(rows[name])
        return rows

    def _impute(
        self, rng: np.random.Generator, table: Table, missing: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        intervals = [
            _imputed(latent, table[latent.column.name], missing[latent.column.name])
            for latent in self._latents
        ]
        count = len(next(iter(table.values())))
        z = gaussian.correlated(rng, self._correlation, intervals, count)
        return self._decode(z, there=True)

    def _decode(self, z: np.ndarray, there: bool = False) -> dict[str, np.ndarray]:
        """The rows of normal numbers `[n, latents]`; `there` leaves no number missing."""
        # Columns that are constant have no latent.
        rows = {m.column.name: m.values(np.zeros(len(z))) for m in self._marginals}
        for latent, share in zip(self._latents, gaussian.cdf(z).T):
            values = latent.values(share)
            if latent.marginal is not None:
                rows[latent.column.name] = values
            elif not there:
                rows[latent.column.name][values] = np.nan
        return rows

    def _latents_of(self, spec: TableSpec) -> list[Latent]:
        pairs = zip(self._marginals, self._orders)
        return [latent for m, order in pairs for latent in latents_of(m, order, spec.rows)]

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        orders = {f"order/{i}": o for i, o in enumerate(self._orders) if o is not None}
        arrays = marginals_to_arrays(self._marginals)
        return {}, {**arrays, **orders, "correlation": self._correlation}

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._marginals = marginals_from_arrays(self.spec, arrays)
        self._orders = [arrays.get(f"order/{i}") for i in range(len(self.spec))]
        self._latents = self._latents_of(self.spec)
        self._correlation = arrays["correlation"]


def _imputed(latent: Latent, values: np.ndarray, missing: np.ndarray) -> gaussian.Interval:
    """Where the normal number of each cell lies: anywhere for missing ones, but not on "missing".

    Args:
      latent: the latent.
      values: `[n]` in the column's dtype, anything where missing.
      missing: bool `[n]`.
    """
    column = latent.column
    low, high = np.full([len(values), 2], np.inf), np.full([len(values), 2], np.inf)
    if latent.order is None or latent.marginal is None:
        ends = latent.intervals(values)
        low[:, 0], high[:, 0] = (gaussian.quantile(end) for end in ends)
        low[missing, 0], high[missing, 0] = -np.inf, np.inf
        return low, high
    there = ~column.missing_mask(column.categories)
    # Any category stands for a missing one here: b"" need not be one.
    known = column.placeholders(len(values))
    known[~missing] = values[~missing]
    low[:, 0], high[:, 0] = (gaussian.quantile(end) for end in latent.intervals(known))
    low[missing, 0], high[missing, 0] = -np.inf, np.inf
    if not there.all():
        start, end = latent.intervals(column.categories[~there])
        high[missing, 0] = gaussian.quantile(start)[0]
        low[missing, 1] = gaussian.quantile(end)[0]
    return low, high
