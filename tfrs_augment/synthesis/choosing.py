"""The default synthesizer: the cheapest whose rows pass as other real rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis import inputs
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.columns import Table, TableSpec
from tfrs_augment.synthesis.distances import column_distances, pair_distances
from tfrs_augment.synthesis.independent import IndependentSampler

_MIN_ROWS = 20
_SPLITS = 20
_DEVIATIONS = 3.0
_COLUMN_SLACK = 0.02
"""How much farther than real rows the columns may be: a share of the rows."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """What became of one candidate.

    Attributes:
      synthesizer: the candidate, fitted on two thirds of the rows.
      columns: the mean distance of its columns to held-out rows.
      pairs: the mean distance of its pairs of columns to held-out rows.
      passed: whether both are near enough to those of other real rows.
    """

    synthesizer: Synthesizer
    columns: float
    pairs: float
    passed: bool


@dataclasses.dataclass(frozen=True)
class Choice:
    """A synthesizer, and why it was chosen.

    Attributes:
      synthesizer: the chosen one, fitted on all rows.
      trials: of the candidates up to the first that passed.
      real: mean distances (columns, pairs) between real rows and the held-out ones.
      floor: those of columns that are sampled independently.
      passed: whether the chosen one passed; if none did, it is the one with the nearest pairs.
    """

    synthesizer: Synthesizer
    trials: tuple[Trial, ...]
    real: tuple[float, float]
    floor: tuple[float, float]
    passed: bool

    def __str__(self) -> str:
        lines = [
            f"{'':24}columns   pairs",
            f"{'other real rows':24}{self.real[0]:7.4f} {self.real[1]:7.4f}",
            f"{'independent columns':24}{self.floor[0]:7.4f} {self.floor[1]:7.4f}",
        ]
        for trial in self.trials:
            name, word = type(trial.synthesizer).__name__, "passed" if trial.passed else "failed"
            lines.append(f"{name:24}{trial.columns:7.4f} {trial.pairs:7.4f}  {word}")
        if not self.passed:
            lines.append("None passed: the rows lack some of the relations of the real ones.")
        return "\n".join(lines)


def choose(
    data: Any,
    candidates: Sequence[Synthesizer] | None = None,
    *,
    schema: Schema | None = None,
    tolerance: float = 0.2,
    seed: int = 0,
    progress: bool = False,
) -> Choice:
    """Fits candidates in turn until one passes validation.

    A third of the rows is held out. A candidate is fitted on the others and samples as many rows as
    are held out. It passes if it is about as near to them as other real rows are: its columns within
    0.02, and its pairs of columns within `tolerance` of the way from there to independent columns (the
    floor); three standard deviations of chance are allowed for. The chosen one is fitted again on all
    rows.

    Args:
      data: as of `read_table`; at least 20 rows.
      candidates: synthesizers in the order of their cost; None tries `IndependentSampler`,
        `GaussianCopula`, and `RegressionSynthesizer` of degree 1 and 2.
      schema: as of `Synthesizer.fit`.
      tolerance: the part of the way to the floor that a candidate may be off, in [0, 1].
      seed: which rows are held out, and what is sampled.
      progress: as of `Synthesizer.fit`.

    Returns:
      The choice; printed, it is a table of the trials.

    Raises:
      InvalidArgumentError: `candidates` is empty, or `tolerance` is outside [0, 1].
      DataError: the data hold fewer than 20 rows, or as of `Synthesizer.fit`.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> coins = {"first": rng.integers(0, 2, 900), "second": rng.integers(0, 2, 900)}
      >>> choice = choose(coins)
      >>> type(choice.synthesizer).__name__, choice.passed
      ('IndependentSampler', True)
    """
    if candidates is None:
        candidates = _default_candidates()
    if not candidates or not 0 <= tolerance <= 1:
        raise InvalidArgumentError(
            "`candidates` must hold a synthesizer, and `tolerance` be in [0, 1]. Received: "
            f"candidates={candidates!r}, tolerance={tolerance!r}."
        )
    table = inputs.read_table(data, columns=candidates[0].columns, schema=schema)
    spec = TableSpec.of(table, schema)
    if spec.rows < _MIN_ROWS:
        raise DataError(
            f"`choose` needs at least {_MIN_ROWS} rows, to hold some out. Received: {spec.rows}. Fit "
            "a synthesizer of your choice."
        )
    rng = np.random.default_rng(seed)
    size = spec.rows // 3
    # Real rows against as many others, a few times over: what passes, and how much chance there is.
    splits = []
    for _ in range(_SPLITS):
        order = rng.permutation(spec.rows)
        splits.append(_distances(_take(table, order[:size]), _take(table, order[-size:]), spec))
    real, noise = np.mean(splits, axis=0), _DEVIATIONS * np.std(splits, axis=0)
    order = rng.permutation(spec.rows)
    held_out, fitted_on = _take(table, order[:size]), _take(table, order[size:])
    independent = IndependentSampler().fit(fitted_on, schema=schema)
    floor = _distances(held_out, independent.sample(size, seed=seed), spec)
    allowed = real + noise
    allowed += _COLUMN_SLACK, tolerance * max(floor[1] - real[1], 0.0)
    trials: list[Trial] = []
    for candidate in candidates:
        candidate.fit(fitted_on, schema=schema, progress=progress)
        found = _distances(held_out, candidate.sample(size, seed=seed), spec)
        trials.append(Trial(candidate, *found, bool((found <= allowed).all())))
        if trials[-1].passed:
            break
    best = trials[-1] if trials[-1].passed else min(trials, key=lambda trial: trial.pairs)
    chosen = type(best.synthesizer)(**best.synthesizer.get_config())
    chosen.fit(table, schema=schema, progress=progress)
    return Choice(chosen, tuple(trials), tuple(real.tolist()), tuple(floor), best.passed)


def _default_candidates() -> list[Synthesizer]:
    # scikit-learn is needed by the last two alone.
    from tfrs_augment.synthesis.copula import GaussianCopula
    from tfrs_augment.synthesis.regression import RegressionSynthesizer

    regressions = [RegressionSynthesizer(degree=degree) for degree in (1, 2)]
    return [IndependentSampler(), GaussianCopula(), *regressions]


def _take(table: Table, index: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[index] for name, values in table.items()}


def _distances(real: Table, other: Table, spec: TableSpec) -> np.ndarray:
    """float64 `[2]`: the mean distance of columns, and of pairs of columns, if there are any."""
    columns = column_distances(real, other, spec).values()
    pairs = pair_distances(real, other, spec).values()
    return np.array([np.mean([*columns]), np.mean([*pairs]) if pairs else 0.0])
