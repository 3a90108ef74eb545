"""One quick synthesizer of each class, and a table that each can be fitted on."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from tests.synthesis.tables import interaction_table, shop_table
from tfrs_augment import synthesis
from tfrs_augment.synthesis import Synthesizer


@dataclasses.dataclass(frozen=True)
class Case:
    """A class of synthesizers with arguments.

    Attributes:
      kind: the class's name.
      options: arguments that make a fit quick.
      interactions: whether its rows are of users and items.
      note: what tells it from another of its class.
    """

    kind: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    interactions: bool = False
    note: str = ""

    def __str__(self) -> str:
        return self.kind + self.note

    def new(self, **options: Any) -> Synthesizer:
        """An unfitted one."""
        return getattr(synthesis, self.kind)(**{**self.options, **options})

    @functools.cached_property
    def table(self) -> dict[str, np.ndarray]:
        """Rows to fit on, with columns that are named alike in all cases."""
        return interaction_table() if self.interactions else shop_table()

    @functools.cached_property
    def fitted(self) -> Synthesizer:
        """One that is fitted on `table`."""
        return self.new().fit(self.table)


_NETWORK = {"validate_every": 10, "batch_size": 100, "averaging": 0.5, "max_tries": 20}
TABLES = (
    Case("IndependentSampler"),
    Case("GaussianCopula"),
    Case("RegressionSynthesizer", {"knots": 4}),
    Case("TabularGAN", {**_NETWORK, "steps": 20, "generator_units": (16,), "critic_units": (16,)}),
    Case("TabularVAE", {**_NETWORK, "steps": 20, "units": (16,)}),
)
INTERACTIONS = (
    Case("PopularitySampler", interactions=True),
    Case("FactorizationSampler", {"steps": 4, "embedding_dim": 4}, interactions=True),
    Case(
        "InteractionGAN",
        {
            "embedding_dim": 4,
            "embedding_steps": 2,
            "hidden": 8,
            "noise_dim": 4,
            "steps": 4,
            "validate_every": 2,
            "batch_size": 32,
            "noise_samples": 2,
        },
        interactions=True,
    ),
)
EVERY = TABLES + INTERACTIONS
SQUARES = Case(
    "RegressionSynthesizer",
    {"degree": 2, "columns": ("age", "gender", "price", "rating")},
    note=" of degree 2",
)
