"""How widely rows spread where a model sees them: in its embeddings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Table, take_column
from tfrs_augment.errors import DataError
from tfrs_augment.evaluation.augmented.augmented_tables import Pair, rows_of

Embed = Callable[[Table], Any]
"""From columns `[n]` to embeddings `[n, dim]`."""


@dataclasses.dataclass(frozen=True)
class EmbeddingSpread:
    """The spread of embeddings of source rows, and of augmented ones.

    Attributes:
      rows: how many of each were embedded.
      variance: the mean variance over dimensions, of the source and of the augmented rows.
      rank: the effective rank, of the source and of the augmented rows: 1 where all lie on a line, the
        number of dimensions where all directions are alike.
      variance_share: the variance of the augmented rows as a share of the source's.
      rank_share: their effective rank, likewise.
      moved: the mean distance of an augmented row's embedding to that of its source row, as a share of
        the mean distance of two source rows; NaN where source rows are not known.
    """

    rows: tuple[int, int]
    variance: tuple[float, float]
    rank: tuple[float, float]
    variance_share: float
    rank_share: float
    moved: float

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; NaN becomes None."""
        values = dataclasses.asdict(self)
        return {
            name: list(value)
            if isinstance(value, tuple)
            else (value if math.isfinite(value) else None)
            for name, value in values.items()
        }


def effective_rank(embeddings: np.ndarray) -> float:
    """Returns the exponential of the entropy of the singular values, centred and normalized to sum 1.

    Args:
      embeddings: float `[n, dim]`.

    Returns:
      In [1, dim]; NaN where all rows are equal.

    Example:
      >>> round(effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
      2.0

    Reference:
      Roy and Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007.
    """
    centred = np.asarray(embeddings, np.float64)
    centred = centred - centred.mean(axis=0)
    # Those of the Gram matrix are the squares: dim by dim, whatever the number of rows.
    squares = np.linalg.eigvalsh(centred.T @ centred)
    values = np.sqrt(np.maximum(squares, 0.0))
    # What is left of equal rows is rounding.
    if values.sum() <= 1e-9 * max(1.0, float(np.abs(embeddings).max(initial=0.0))):
        return math.nan
    shares = values[values > 1e-12 * values.max()] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def measure_spread(pair: Pair, embed: Embed, *, most: int, rng: np.random.Generator):
    """Returns the `EmbeddingSpread` of at most `most` rows of each table.

    Raises:
      DataError: `embed` does not return finite numbers `[n, dim]`.
    """
    rows = _chosen(rows_of(pair.augmented), most, rng)
    sources = _chosen(rows_of(pair.source), most, rng)
    before = _embeddings(pair.source, sources, embed)
    after = _embeddings(pair.augmented, rows, embed)
    if before.shape[1] != after.shape[1]:
        raise DataError(
            f"`embed` must return embeddings of one length. Received: {before.shape[1]} and {after.shape[1]}."
        )
    moved = math.nan
    if pair.parents is not None:
        known = pair.parents[rows] >= 0
        parents = _embeddings(pair.source, pair.parents[rows][known], embed)
        shuffled = before[rng.permutation(len(before))]
        scale = float(np.linalg.norm(before - shuffled, axis=1).mean())
        distance = float(np.linalg.norm(after[known] - parents, axis=1).mean())
        moved = distance / scale if scale > 0 else math.nan
    variance = tuple(float(part.var(axis=0).mean()) for part in (before, after))
    rank = effective_rank(before), effective_rank(after)
    return EmbeddingSpread(
        (len(before), len(after)),
        variance,
        rank,
        variance[1] / variance[0] if variance[0] > 0 else math.nan,
        rank[1] / rank[0],
        moved,
    )


def _chosen(rows: int, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(rows) if rows <= most else np.sort(rng.choice(rows, most, replace=False))


def _embeddings(table: Table, index: np.ndarray, embed: Embed) -> np.ndarray:
    found = np.asarray(embed({name: take_column(column, index) for name, column in table.items()}))
    numbers = found.dtype.kind in "fiu"
    if not numbers or found.ndim != 2 or len(found) != len(index) or not np.isfinite(found).all():
        raise DataError(
            f"`embed` must return finite numbers [{len(index)}, dim]. Received: an array of {found.dtype} of "
            f"shape {found.shape}."
        )
    return found.astype(np.float64)
