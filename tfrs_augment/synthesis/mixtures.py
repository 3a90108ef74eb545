"""Mixtures of normal distributions of one number: the modes of a column."""

from __future__ import annotations

import dataclasses

import numpy as np

_MAX_MODES = 10
_ITERATIONS = 100
_FIT_ROWS = 10_000
# Of the column's range; keeps a value that many rows share from having no width.
_MIN_DEVIATION = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of normal distributions.

    Attributes:
      weights: float64 `[modes]`, positive, of sum 1.
      means: float64 `[modes]`.
      deviations: float64 `[modes]`, positive.
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    @classmethod
    def fit(cls, numbers: np.ndarray, max_modes: int = _MAX_MODES) -> Mixture:
        """Fits a mixture, and finds how many modes it needs.

        Expectation maximization from modes at the quantiles. A mode that is responsible for less than one
        row beyond what its two parameters cost is dropped on the way.

        Args:
          numbers: float64 `[n]`, n at least 1; of more than 10,000 an even choice is used.
          max_modes: how many to begin with.

        Example:
          >>> rng = np.random.default_rng(0)
          >>> mixture = Mixture.fit(np.concatenate([rng.normal(0, 1, 500), rng.normal(50, 2, 500)]))
          >>> round(float(mixture.weights[mixture.means < 25].sum()), 2)
          0.5

        Reference:
          Figueiredo and Jain, "Unsupervised learning of finite mixture models", 2002, for how modes are
          dropped. Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, section 4.2,
          fits a variational mixture there, to the same end.
        """
        numbers = np.sort(numbers.astype(np.float64))
        if len(numbers) > _FIT_ROWS:
            numbers = numbers[np.linspace(0, len(numbers) - 1, _FIT_ROWS).astype(np.int64)]
        span = numbers[-1] - numbers[0]
        if span == 0.0:
            return cls(np.ones(1), numbers[:1], np.ones(1))
        x = (numbers - numbers[0]) / span
        means = np.quantile(x, (np.arange(max_modes) + 0.5) / max_modes)
        deviations = np.full(max_modes, max(x.std() / max_modes, _MIN_DEVIATION))
        weights = np.full(max_modes, 1.0 / max_modes)
        for _ in range(_ITERATIONS):
            shares = np.exp(_log_shares(x, weights, means, deviations))
            mass = shares.sum(0)
            kept = np.maximum(mass - 1.0, 0.0)
            if not kept.any():
                break
            there = kept > 0.0
            shares, mass, kept = shares[:, there], mass[there], kept[there]
            before, weights = weights, kept / kept.sum()
            means = shares.T @ x / mass
            spread = (shares * (x[:, None] - means) ** 2).sum(0) / mass
            deviations = np.maximum(np.sqrt(spread), _MIN_DEVIATION)
            if len(before) == len(weights) and np.abs(before - weights).max() < 1e-4:
                break
        return cls(weights, numbers[0] + span * means, span * deviations)

    def log_shares(self, numbers: np.ndarray) -> np.ndarray:
        """float64 `[n, modes]`: the log-probability of each mode given each number."""
        return _log_shares(numbers, self.weights, self.means, self.deviations)


def _log_shares(
    x: np.ndarray, weights: np.ndarray, means: np.ndarray, deviations: np.ndarray
) -> np.ndarray:
    scaled = (x[:, None] - means) / deviations
    logs = np.log(weights) - np.log(deviations) - 0.5 * scaled**2
    logs -= logs.max(1, keepdims=True)
    return logs - np.log(np.exp(logs).sum(1, keepdims=True))
