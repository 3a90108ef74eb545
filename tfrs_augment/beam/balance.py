"""More copies of what is rare: how many augmented rows a source row gets, by the count of one feature."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfrs_augment import records
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import FittedState, Requirement
from tfrs_augment.ops.fitted import bytes_table
from tfrs_augment.records import INT64, Block, Column


@dataclasses.dataclass(frozen=True)
class Balance:
    """Gives rows of rare values more copies than rows of frequent ones.

    A row whose value occurs c times gets s * c ** -exponent copies on average, at most `max_copies`; s is
    such that the job's `copies` is the mean over all rows, so that the size of the output stays what it would
    be. A fraction of a copy is drawn by the row's key, so the number does not depend on the files or the
    workers.

    Args:
      feature: an id or a class, strings or integers, one value a row: "movie_id", "label". A row without a
        value, or with several, gets the job's `copies`.
      exponent: 0 copies all alike; 1 gives every value as many copies in total; default 0.5.
      max_copies: the most copies of a row; default 20.
      keep_expectation: whether all rows made from one, the original too, share a weight of 1 in
        `sample_weight` (times the weight that the source has), so that a weighted mean is that of the source.

    Reference:
      The power law of resampling as in Mikolov et al., NeurIPS 2013, section 2.3, and Mahajan et al., ECCV
      2018, section 2.2 (square-root resampling).
    """

    feature: str
    _: dataclasses.KW_ONLY
    exponent: float = 0.5
    max_copies: int = 20
    keep_expectation: bool = False

    def __post_init__(self):
        if not isinstance(self.feature, str) or not self.feature:
            raise InvalidArgumentError(
                f"`feature` must be a name. Received: feature={self.feature!r} (Balance)."
            )
        if not isinstance(self.exponent, int | float) or not 0 <= self.exponent <= 4:
            raise InvalidArgumentError(
                f"`exponent` must be in [0, 4]. Received: exponent={self.exponent!r} (Balance)."
            )
        if not isinstance(self.max_copies, int) or self.max_copies < 1:
            raise InvalidArgumentError(
                f"`max_copies` must be an integer of at least 1. Received: {self.max_copies!r} (Balance)."
            )

    @property
    def requirement(self) -> Requirement:
        """The statistic that tells how often each value occurs."""
        return Requirement("marginal", self.feature)

    def expected_copies(self, fitted: FittedState, copies: int) -> dict[bytes | int, float]:
        """The mean number of copies of a row, by its value.

        Args:
          fitted: holds `requirement`.
          copies: the mean over all rows, at most `max_copies`.
        """
        arrays = fitted[self.requirement]
        counts = arrays["counts"].astype(np.float64)
        shape = counts**-self.exponent
        low, high = 0.0, self.max_copies / shape.min()
        for _ in range(
            100
        ):  # The mean rises with the scale: halve until float64 has no more digits.
            scale = (low + high) / 2
            mean = np.sum(counts * np.minimum(self.max_copies, scale * shape)) / counts.sum()
            low, high = (scale, high) if mean < copies else (low, scale)
        values = arrays["values"].tolist() if "values" in arrays else bytes_table(arrays)
        expected = np.minimum(self.max_copies, high * shape)
        return dict(zip(values, expected.tolist(), strict=True))


def copies_of(
    block: Block, feature: str, expected: Mapping, copies: int, uniform: np.ndarray
) -> np.ndarray:
    """How many copies each row of a block gets.

    Args:
      block: decoded, with `feature` among its kinds.
      feature: the balanced feature.
      expected: `Balance.expected_copies`.
      copies: for rows whose value is not in `expected`.
      uniform: float `[n]` in [0, 1), drawn by the rows' keys.

    Returns:
      int64 `[n]`.
    """
    column = block.column(feature)
    mean = np.full(block.n, float(copies))
    single = np.flatnonzero(np.diff(column.row_splits) == 1)
    position = column.row_splits[single]
    if column.kind == INT64:
        values, codes = np.unique(column.values, return_inverse=True)
        distinct = values.tolist()
    else:
        codes, first = records.unique(column.value_offsets, column.data)
        distinct = _bytes_at(column, first)
    by_code = np.array([expected.get(value, float(copies)) for value in distinct])
    if len(single):
        mean[single] = by_code[codes[position]]
    whole = np.floor(mean)
    return (whole + (uniform < mean - whole)).astype(np.int64)


def _bytes_at(column: Column, index: np.ndarray) -> list[bytes]:
    data, offsets = column.data.tobytes(), column.value_offsets
    return [data[offsets[i] : offsets[i + 1]] for i in index.tolist()]
