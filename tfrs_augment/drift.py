"""How far one column, or one table, has moved from another: drift.

A distance says how far; a p-value says whether two samples of one and the same distribution would be as far
apart by chance. Both are needed: in a small sample a large distance is chance, in a large one a distance that
does not matter is significant. Everything here is NumPy alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    UnknownFeatureError,
    close_matches,
)

NUMBER, CATEGORY = "number", "category"
ALPHA = 0.001
"""The usual level of `Drift.significant`: low, since tables have many columns."""
_KOLMOGOROV_MEAN = math.sqrt(math.pi / 2.0) * math.log(2.0)
_ROUNDING = 1e-9
_FEW = 100
"""Up to so many occurrences of a value the mean of its part of a divergence is summed, above it expanded."""


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far one column has moved.

    Attributes:
      name: the column's name.
      kind: "number" or "category".
      distance: in [0, 1], 0 for equal distributions: Kolmogorov-Smirnov's of numbers, the largest difference
        of the share of values below any number; of categories the Jensen-Shannon divergence to base 2.
      p_value: the chance of so great a distance between two samples of one distribution; None where it is
        not known.
      chance: the mean distance of two samples of one distribution, of these sizes: what is no drift. It is
        near 0 but for small samples, and for categories of which most are rare, such as ids.
    """

    name: str
    kind: str
    distance: float
    p_value: float | None = None
    chance: float = 0.0

    @property
    def excess(self) -> float:
        """The distance corrected for chance: 0 up to `chance`, 1 at 1. It is what a threshold is for."""
        if self.distance <= self.chance + _ROUNDING:
            return 0.0
        return (self.distance - self.chance) / (1.0 - self.chance)

    def significant(self, alpha: float = ALPHA) -> bool:
        """Whether chance alone would give such a distance with less than `alpha`; False without a p-value.

        Raises:
          InvalidArgumentError: `alpha` is not in (0, 1).
        """
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
            raise InvalidArgumentError(f"`alpha` must be in (0, 1). Received: alpha={alpha!r}.")
        return self.p_value is not None and self.p_value < alpha


def table_drift(
    source: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    *,
    columns: Sequence[str] | None = None,
) -> list[Drift]:
    """Measures how far each column of a table has moved.

    Args:
      source: name to column, as `column_drift` takes them.
      other: the table to compare with it; it may have more columns.
      columns: the columns to measure. Default: all of `source`.

    Returns:
      The drift of each column, the largest distance first.

    Raises:
      UnknownFeatureError: a table lacks a column.
      InvalidArgumentError: there is no column to measure.
      DataError: as of `column_drift`.

    Example:
      >>> import numpy as np
      >>> before = {"year": np.array([1, 2, 3, 4]), "genre": np.array(["War", "War", "Drama", "Drama"])}
      >>> after = {"year": np.array([1, 2, 3, 4]), "genre": np.array(["War", "War", "War", "War"])}
      >>> [(drift.name, round(drift.distance, 3)) for drift in table_drift(before, after)]
      [('genre', 0.311), ('year', 0.0)]
    """
    names = tuple(source) if columns is None else tuple(columns)
    if not names or isinstance(columns, str):
        raise InvalidArgumentError(
            f"`columns` must name at least one column. Received: columns={columns!r}."
        )
    for table in (source, other):
        for name in names:
            if name not in table:
                raise UnknownFeatureError(
                    f"There is no column '{name}' to measure the drift of. {close_matches(name, table)}"
                )
    return largest_first(column_drift(source[name], other[name], name=name) for name in names)


def largest_first(drifts) -> list[Drift]:
    """Drifts by falling distance, then by name."""
    return sorted(drifts, key=lambda drift: (-drift.distance, drift.name))


def column_drift(source: np.ndarray, other: np.ndarray, *, name: str) -> Drift:
    """Measures how far a column has moved.

    A missing value counts: as a category of its own, or as below every number.

    Args:
      source: `[n]`, n at least 1: numbers, of which NaN is missing; or categories: bytes, text, booleans. An
        array of objects may hold None for missing.
      other: `[m]`, likewise; text and bytes of equal UTF-8 are equal.
      name: the column's name.

    Returns:
      The drift. The p-values are those of the two-sample test of Kolmogorov and Smirnov by its limiting
      distribution, and of Pearson's chi-square test, both right with ties and with rare categories (see
      `chi_square_p_value`).

    Raises:
      DataError: a column is empty, no vector, of another kind than the other, or holds something else.

    Example:
      >>> import numpy as np
      >>> column_drift(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0]), name="year").distance
      0.5
    """
    first_kind, first, first_missing = _values(source, name, "source")
    second_kind, second, second_missing = _values(other, name, "other")
    if first_kind != second_kind and len(first) and len(second):
        raise DataError(
            f"Column '{name}' must be of one kind in both tables. "
            f"Received: {first_kind} in `source`, {second_kind} in `other`."
        )
    counts = aligned_counts(first, second) if len(first) and len(second) else None
    if counts is None:
        # Of one column every value is missing: of the other it only counts how many are not.
        counts = np.array([len(first)]), np.array([len(second)])
    before, after = np.append(first_missing, counts[0]), np.append(second_missing, counts[1])
    return drift_of_counts(name, first_kind if len(first) else second_kind, before, after)


def drift_of_counts(name: str, kind: str, first: np.ndarray, second: np.ndarray) -> Drift:
    """The drift of a column of which it is known how often each value occurs.

    Args:
      name: the column's name.
      kind: "number" or "category".
      first: int64 `[values]`, the counts before; of numbers in the order of the values.
      second: int64 `[values]`, the counts of the same values after.
    """
    if kind == NUMBER:
        distance = kolmogorov_smirnov(first, second)
        sizes = int(first.sum()), int(second.sum())
        p_value = kolmogorov_smirnov_p_value(distance, *sizes)
        chance = min(1.0, _KOLMOGOROV_MEAN * math.sqrt(sum(sizes) / (sizes[0] * sizes[1])))
    else:
        distance = jensen_shannon(first, second)
        p_value = chi_square_p_value(first, second)
        chance = jensen_shannon_by_chance(first, second)
    return Drift(name, kind, distance, p_value, chance)


def aligned_counts(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each value of two columns `[n]` and `[m]` occurs in each: two int64 `[values]`, in order."""
    values, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    codes = codes.ravel()
    return (
        np.bincount(codes[: len(first)], minlength=len(values)),
        np.bincount(codes[len(first) :], minlength=len(values)),
    )


def largest_gap(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference of two cumulative distributions `[points]`, looked at in the same points."""
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    """The Kolmogorov-Smirnov distance of two samples, by the counts `[values]` of their values in order."""
    return largest_gap(np.cumsum(first) / first.sum(), np.cumsum(second) / second.sum())


def kolmogorov_smirnov_p_value(distance: float, first: int, second: int) -> float:
    """The chance that two samples of one distribution are at least so far apart.

    Args:
      distance: of Kolmogorov and Smirnov.
      first: the size of one sample, 1 or more.
      second: of the other.

    Returns:
      In [0, 1], by the limiting distribution with a correction for small samples; below ten values a sample
      it may be half of the exact chance. With ties the exact one is smaller.

    Example:
      >>> round(kolmogorov_smirnov_p_value(0.1, 500, 500), 3)
      0.012

    Reference:
      Stephens, Use of the Kolmogorov-Smirnov, Cramér-von Mises and related statistics without extensive
      tables, J. Royal Statistical Society B, 1970.
    """
    root = math.sqrt(first * second / (first + second))
    scaled = (root + 0.12 + 0.11 / root) * distance
    # Below it the chance is 1 to 15 digits, and the series converges too slowly.
    if scaled < 0.2:
        return 1.0
    terms = np.arange(1, 101)
    series = 2.0 * np.sum((-1.0) ** (terms - 1) * np.exp(-2.0 * (terms * scaled) ** 2))
    return float(min(max(series, 0.0), 1.0))


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """The Jensen-Shannon divergence, to base 2, of two distributions given as counts or shares `[values]`.

    Returns:
      In [0, 1]: 0 for equal distributions, 1 where no value is in both. Two samples of one distribution have
      one above 0, the more so the more rare values there are.

    Example:
      >>> jensen_shannon(np.array([1, 1, 0]), np.array([0, 0, 5]))
      1.0

    Reference:
      Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory, 1991.
    """
    parts = _jensen_shannon_parts(first / first.sum(), second / second.sum())
    return min(max(float(parts.sum()), 0.0), 1.0)


def _jensen_shannon_parts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What each value adds to the divergence, by its two shares."""
    middle = (first + second) / 2.0
    parts = np.zeros(np.shape(middle))
    for share in (first, second):
        known = share > 0
        parts[known] += 0.5 * share[known] * np.log2(share[known] / middle[known])
    return parts


def jensen_shannon_by_chance(first: np.ndarray, second: np.ndarray) -> float:
    """The mean divergence of two samples of one distribution, of the sizes and the values of two others.

    Each occurrence of a value falls into one of the two samples by their sizes. Up to a hundred occurrences
    all ways are summed, above it the mean is that of the divergence's expansion to the second order.

    Args:
      first: int64 `[values]`, counts.
      second: int64 `[values]`.

    Returns:
      In [0, 1].

    Example:
      >>> round(jensen_shannon_by_chance(np.array([1, 1, 1, 0]), np.array([0, 1, 0, 2])), 2)
      0.63
    """
    sizes = int(first.sum()), int(second.sum())
    share = sizes[0] / sum(sizes)
    totals, repeats = np.unique(first + second, return_counts=True)
    free = 1.0 / (8.0 * math.log(2.0) * share * sizes[1])
    mean = float(repeats[totals > _FEW].sum()) * free
    for total, count in zip(totals.tolist(), repeats.tolist(), strict=True):
        if 0 < total <= _FEW:
            taken = np.arange(total + 1)
            ways = [math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in taken]
            parts = _jensen_shannon_parts(taken / sizes[0], (total - taken) / sizes[1])
            mean += count * float(np.dot(ways, parts))
    # The sizes are given, so one value fewer than there are is free. Where each occurs once all ways give 1.
    return min(max(mean - free * (1.0 - mean), 0.0), 1.0)


def chi_square_p_value(first: np.ndarray, second: np.ndarray) -> float:
    """The chance that two samples of one distribution of categories differ at least so much.

    It is Pearson's chi-square test of two rows of counts. Its statistic is compared not with the limiting
    distribution, which fails where most categories are rare as ids are, but with a chi-square of the
    statistic's exact mean and variance under all tables of the same sums. With many counts a category they
    are the same. Where each value occurs once there is nothing to learn from, and the chance is 1.

    Args:
      first: int64 `[values]`, counts.
      second: int64 `[values]`.

    Returns:
      In [0, 1].

    Example:
      >>> round(chi_square_p_value(np.array([30, 20]), np.array([20, 30])), 2)
      0.04

    Reference:
      Haldane, The mean and variance of chi-squared when used as a test of homogeneity, when expectations are
      small, Biometrika, 1940; Wilson and Hilferty, The distribution of chi-square, PNAS, 1931.
    """
    seen = (first + second) > 0
    first, second = first[seen].astype(np.float64), second[seen].astype(np.float64)
    totals, sizes = first + second, (first.sum(), second.sum())
    rows, categories = totals.sum(), len(totals)
    if categories < 2 or rows < 4 or not all(sizes):
        return 1.0
    statistic = np.sum((first * sizes[1] - second * sizes[0]) ** 2 / totals) / (sizes[0] * sizes[1])
    mean = rows * (categories - 1) / (rows - 1)
    variance = _variance(rows, (1.0 / np.array(sizes)).sum(), 2, (1.0 / totals).sum(), categories)
    if variance <= 1e-9 * mean:
        return 1.0
    degrees = 2.0 * mean * mean / variance
    spread = 2.0 / (9.0 * degrees)
    z = ((statistic / mean) ** (1.0 / 3.0) - (1.0 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _variance(total: float, inverse: float, count: int, others: float, other_count: int) -> float:
    """Of Pearson's statistic over all tables of given sums.

    Args:
      total: the sum of the table.
      inverse: the sum of 1 / the sum of a row.
      count: of rows.
      others: the sum of 1 / the sum of a column.
      other_count: of columns.
    """

    def side(inverse: float, count: int) -> tuple[float, float]:
        expected = (count - 1) * (total - count) / (total - 1)
        return expected, (total * inverse - count * count) / (total - 2)

    (v, w), (other_v, other_w) = side(inverse, count), side(others, other_count)
    return (
        2 * total / (total - 3) * (v - w) * (other_v - other_w)
        + total * total / (total - 1) * w * other_w
    )


def _values(column: np.ndarray, name: str, table: str) -> tuple[str, np.ndarray, int]:
    """The kind of a column, its values as numbers or as bytes, and how many are missing."""
    column = np.asarray(column)
    if column.ndim != 1 or not len(column):
        raise DataError(
            f"Column '{name}' of `{table}` must be a vector [n] of at least one value. "
            f"Received: shape {column.shape}."
        )
    rows = len(column)
    if column.dtype.kind == "O":
        # Only NaN differs from itself.
        column = _typed(
            [value for value in column.tolist() if value is not None and value == value]
        )
    elif column.dtype.kind == "f":
        column = column[~np.isnan(column)]
    if column.dtype.kind == "U":
        column = np.char.encode(column, "utf-8")
    if column.dtype.kind == "b":
        column = column.astype("S")
    if column.dtype.kind not in "iufS":
        raise DataError(
            f"Column '{name}' of `{table}` must hold numbers, bytes or text. "
            f"Received: dtype {column.dtype}."
        )
    kind = CATEGORY if column.dtype.kind == "S" else NUMBER
    return kind, column, rows - len(column)


def _typed(values: list) -> np.ndarray:
    """Python's values as an array of numbers or bytes where they are of one such kind; else of objects."""
    if all(isinstance(value, bytes | str) for value in values):
        encoded = [value.encode() if isinstance(value, str) else value for value in values]
        return np.array(encoded, "S")
    numbers = all(isinstance(value, int | float | np.number) for value in values)
    return np.array(values) if numbers else np.array(values, object)
