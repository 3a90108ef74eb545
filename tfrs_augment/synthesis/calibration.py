"""What sets the columns of generated rows right, one by one, after a network has been trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.encoding import Encoded, TableEncoding
from tfrs_augment.synthesis.marginals import (
    Marginal,
    marginals_from_arrays,
    marginals_to_arrays,
)
from tfrs_augment.synthesis.training_by_sampling import Chosen

_KNOTS = 501
_NEVER = -1e9
"""A logit that no draw overcomes: of what the data do not hold."""
_STEP, _MOST = 1.0, 15.0


def fit_biases(
    logits: np.ndarray, targets: Sequence[np.ndarray], chosen: Chosen, *, rounds: int = 30
) -> np.ndarray:
    """Finds what to add to a network's logits so that each head's choices have the shares of the data.

    Each round adds the logarithm of the wanted over the present share. The relations between columns stay
    those of the network. A choice without a share is never made.

    Args:
      logits: float32 `[n, width]`, all heads side by side.
      targets: of each head the wanted shares, float64 `[size]`.
      chosen: of each row the head whose choice is given.
      rounds: how often.

    Returns:
      float32 `[width]`.
    """
    found, start = [], 0
    for place, target in enumerate(targets):
        mine = logits[:, start : start + len(target)].astype(np.float64)
        start += len(target)
        given = chosen.head == place
        fixed = np.bincount(chosen.code[given], minlength=len(target)) / len(given)
        free = mine[~given]
        bias = np.where(target > 0, 0.0, _NEVER)
        for _ in range(rounds if len(free) else 0):
            present = fixed + _softmax(free + bias).sum(0) / len(given)
            step = np.log(np.maximum(target, 1e-12)) - np.log(np.maximum(present, 1e-6))
            moved = np.clip(bias + np.clip(step, -_STEP, _STEP), -_MOST, _MOST)
            bias = np.where(target > 0, moved, _NEVER)
        found.append(bias)
    return np.concatenate(found).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class NumberCalibration:
    """Gives generated numbers the distribution of the data: the same quantile of it.

    What is below another number stays below it or equal, so the relations between columns stay.

    Attributes:
      marginals: of the numeric columns of the data.
      quantiles: float64 `[numeric columns, 501]`, of the generated numbers.
    """

    marginals: Sequence[Marginal]
    quantiles: np.ndarray

    @classmethod
    def fit(cls, table: Table, encoding: TableEncoding, generated: Encoded) -> NumberCalibration:
        """Returns the calibration.

        Args:
          table: columns `[n]` of the data.
          encoding: of the table.
          generated: rows `[m]` of the network.
        """
        marginals, quantiles = [], [np.zeros([0, _KNOTS])]
        for column in encoding.numeric:
            marginals.append(Marginal.fit(column, table[column.name]))
            numbers = encoding.numbers(generated, column)
            there = ~encoding.missing(generated, column)
            numbers = numbers[there] if there.any() else numbers
            quantiles.append(np.quantile(numbers, np.linspace(0.0, 1.0, _KNOTS))[None])
        return cls(marginals, np.concatenate(quantiles))

    @classmethod
    def none(cls) -> NumberCalibration:
        """Returns a calibration that leaves all numbers as they are."""
        return cls((), np.zeros([0, _KNOTS]))

    def decode(self, encoding: TableEncoding, generated: Encoded) -> dict[str, np.ndarray]:
        """As `encoding.decode`, with calibrated numbers."""
        table = encoding.decode(generated)
        for marginal, quantiles in zip(self.marginals, self.quantiles):
            column = marginal.column
            numbers = encoding.numbers(generated, column)
            shares = np.interp(numbers, quantiles, np.linspace(0.0, 1.0, _KNOTS))
            values = marginal.values(np.minimum(shares, np.nextafter(1.0, 0.0)))
            if column.missing:
                values[encoding.missing(generated, column)] = np.nan
            table[column.name] = values
        return table

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of it, for a file."""
        return {"quantiles": self.quantiles, **marginals_to_arrays(list(self.marginals))}

    @classmethod
    def restore(cls, spec: TableSpec, arrays: Mapping[str, np.ndarray]) -> NumberCalibration:
        """The inverse of `arrays`."""
        numeric = [column for column in spec if not column.categorical]
        numeric = numeric[: len(arrays["quantiles"])]  # none, if it is `none()`
        return cls(marginals_from_arrays(numeric, arrays), arrays["quantiles"])


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
