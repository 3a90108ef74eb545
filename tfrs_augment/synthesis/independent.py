"""Each column sampled on its own: right column by column, and nothing between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.marginals import (
    Marginal,
    marginals_from_arrays,
    marginals_to_arrays,
    stretch,
)


@dataclasses.dataclass(kw_only=True, eq=False)
class IndependentSampler(Synthesizer):
    """Samples each column from its own distribution, independently of the others.

    The floor that every quality measure has: whatever is worse lost more than the relations between
    columns. Conditions are met by construction, and change no other column.

    Args:
      columns: as of `Synthesizer`.
      max_tries: as of `Synthesizer`.

    Example:
      >>> table = {"genre": ["War", "Drama"] * 50, "year": list(range(1900, 2000))}
      >>> sampler = IndependentSampler().fit(table)
      >>> rows = sampler.sample(3, conditions={"genre": "War", "year": (1990, 1995)}, seed=7)
      >>> rows["genre"].tolist(), bool((rows["year"] >= 1990).all())
      ([b'War', b'War', b'War'], True)
    """

    def _fit(
        self, table: Table, spec: TableSpec, *, progress: bool, callbacks: Sequence[Any]
    ) -> None:
        self._marginals = [Marginal.fit(column, table[column.name]) for column in spec]

    def _draw(
        self, rng: np.random.Generator, n: int, conditions: Conditions
    ) -> dict[str, np.ndarray]:
        names = self.spec.names
        return {
            name: marginal.draw(rng, n, conditions.get(name))
            for name, marginal in zip(names, self._marginals)
        }

    def _impute(
        self, rng: np.random.Generator, table: Table, missing: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        return {
            name: marginal.values(stretch(rng.random(len(missing[name])), *marginal.present()))
            for name, marginal in zip(self.spec.names, self._marginals)
        }

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, marginals_to_arrays(self._marginals)

    def _restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self._marginals = marginals_from_arrays(self.spec, arrays)
