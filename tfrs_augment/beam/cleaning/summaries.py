"""Mergeable summaries of values: the result depends neither on the cut of the data nor on the order.

Counts and sums are integers. `Quantiles` counts distinct values exactly while they are few, and from then on
rounds them to a fixed grid; whether it does is decided by the number of distinct values of the whole data.
"""

from __future__ import annotations

import collections
import fractions
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfrs_augment.errors import DataError

EXACT_VALUES = 65_536
"""Up to so many distinct values quantiles are exact."""
GRID_BITS = 14
"""Beyond, values are rounded to so many bits of mantissa: a relative error of at most 2**-15."""
MODE_VALUES = 1_000_000
GROUPS = 10_000
_BUFFERED = 1 << 18


class Quantiles:
    """Counts of distinct finite numbers, for quantiles."""

    def __init__(self):
        self._values, self._counts = np.empty(0, np.float64), np.empty(0, np.int64)
        self._rounded = False
        self._buffer: list[np.ndarray] = []
        self._buffered = 0

    def add(self, values: np.ndarray) -> None:
        """Adds numbers; those that are not finite are left out."""
        values = np.asarray(values, np.float64)
        self._buffer.append(values[np.isfinite(values)] + 0.0)
        self._buffered += len(values)
        if self._buffered >= _BUFFERED:
            self._compact()

    def merge(self, other: Quantiles) -> None:
        """Adds what another summary counted."""
        self._compact()
        other._compact()
        if other._rounded:
            self._rounded = True
        self._count(other._values, other._counts)

    def _compact(self) -> None:
        if self._buffer:
            values, self._buffer, self._buffered = np.concatenate(self._buffer), [], 0
            self._count(*np.unique(values, return_counts=True))

    def _count(self, values: np.ndarray, counts: np.ndarray) -> None:
        values = np.concatenate([self._values, values])
        counts = np.concatenate([self._counts, counts])
        if self._rounded:
            values = _on_grid(values)
        self._values, self._counts = _sum_by_value(values, counts)
        if not self._rounded and len(self._values) > EXACT_VALUES:
            self._rounded = True
            self._values, self._counts = _sum_by_value(_on_grid(self._values), self._counts)

    def __getstate__(self) -> dict[str, Any]:
        self._compact()
        return self.__dict__

    @property
    def empty(self) -> bool:
        """Whether no number was added."""
        self._compact()
        return not len(self._values)

    def quantile(self, fraction: float) -> float:
        """The quantile by linear interpolation between the values in order, as `np.quantile` has it."""
        self._compact()
        ends = np.cumsum(self._counts)
        position = (int(ends[-1]) - 1) * fraction
        below = int(position)
        low, high = (
            float(self._values[np.searchsorted(ends, min(rank, int(ends[-1]) - 1), "right")])
            for rank in (below, below + 1)
        )
        return low + (high - low) * (position - below)

    def result(self) -> float:
        """The median."""
        return self.quantile(0.5)


def _on_grid(values: np.ndarray) -> np.ndarray:
    """Each number as the middle of its cell of a grid with `GRID_BITS` bits of mantissa; 0 stays 0."""
    cut = 52 - GRID_BITS
    bits = values.view(np.uint64)
    middle = (bits >> np.uint64(cut) << np.uint64(cut)) | np.uint64(1 << (cut - 1))
    return np.where(values == 0, 0.0, middle.view(np.float64))


def _sum_by_value(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distinct, inverse = np.unique(values, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, inverse, counts)
    return distinct, total


class ExactMean:
    """The exact sum and the count of float32 or int64 numbers."""

    def __init__(self):
        self._count = 0
        self._sums: collections.Counter[int] = collections.Counter()  # Exponent of 2 -> integer.

    def add(self, values: np.ndarray) -> None:
        """Adds numbers; those that are not finite are left out."""
        if values.dtype == np.int64:
            # In halves, so that no sum of a block overflows.
            self._sums[0] += int((values & 0xFFFFFFFF).sum())
            self._sums[32] += int((values >> 32).sum())
        else:
            values = values[np.isfinite(values)]
            mantissas, exponents = np.frexp(values.astype(np.float64))
            distinct, places = np.unique(exponents, return_inverse=True)
            # Mantissas of 24 bits: the sums of a block are whole numbers that float64 holds exactly.
            sums = np.bincount(places, weights=mantissas * 2.0**24, minlength=len(distinct))
            for exponent, total in zip(distinct.tolist(), sums.tolist(), strict=True):
                self._sums[exponent - 24] += int(total)
        self._count += len(values)

    def merge(self, other: ExactMean) -> None:
        """Adds what another summary summed."""
        self._count += other._count
        for exponent, total in other._sums.items():
            self._sums[exponent] += total

    @property
    def empty(self) -> bool:
        """Whether no number was added."""
        return not self._count

    def result(self) -> float:
        """The mean, rounded once."""
        two = fractions.Fraction(2)
        total = sum((number * two**exponent for exponent, number in self._sums.items()), start=0)
        return float(fractions.Fraction(total) / self._count)


class Mode:
    """Counts of values, for the most frequent one; of equally frequent ones the smallest."""

    def __init__(self):
        self._counts: collections.Counter = collections.Counter()

    def add(self, values: np.ndarray) -> None:
        """Adds values: numbers, or bytes as an array of objects."""
        self._counts.update(values.tolist())
        self._check()

    def merge(self, other: Mode) -> None:
        """Adds what another summary counted."""
        self._counts.update(other._counts)
        self._check()

    def _check(self) -> None:
        if len(self._counts) > MODE_VALUES:
            raise DataError(
                f"a mode takes at most {MODE_VALUES:,} distinct values, and the feature has more. "
                "Fill it by a constant."
            )

    @property
    def empty(self) -> bool:
        """Whether no value was added."""
        return not self._counts

    def result(self) -> Any:
        """The mode: a number or bytes."""
        most = max(self._counts.values())
        return min(value for value, count in self._counts.items() if count == most)


STATISTICS = {"mean": ExactMean, "median": Quantiles, "mode": Mode}


class Grouped:
    """A summary of all rows, and one of each group.

    Args:
      make: makes a summary.
    """

    def __init__(self, make: Callable[[], Any]):
        self._make = make
        self._overall = make()
        self._groups: dict[bytes | int, Any] = {}

    def add(self, values: np.ndarray, groups: np.ndarray | None, names: list) -> None:
        """Adds values.

        Args:
          values: `[m]`.
          groups: int64 `[m]`, the position of each value's group in `names`, -1 for none; or None.
          names: the groups of this block.
        """
        self._overall.add(values)
        if groups is None:
            return
        order = np.argsort(groups, kind="stable")
        ends = np.searchsorted(groups[order], np.arange(-1, len(names)), "right")
        for name, begin, end in zip(names, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            if end > begin:
                self._groups.setdefault(name, self._make()).add(values[order[begin:end]])
        self._check()

    def merge(self, other: Grouped) -> None:
        """Adds what another summary holds."""
        self._overall.merge(other._overall)
        for name, summary in other._groups.items():
            self._groups.setdefault(name, self._make()).merge(summary)
        self._check()

    def _check(self) -> None:
        if len(self._groups) > GROUPS:
            raise DataError(
                f"`group` must be a feature of at most {GROUPS:,} distinct values, and it has more. "
                "Choose a coarser one."
            )

    @property
    def empty(self) -> bool:
        """Whether no value was added."""
        return self._overall.empty

    def result(self) -> Any:
        """The statistic of all rows."""
        return self._overall.result()

    def groups(self) -> Iterator[tuple[bytes | int, Any]]:
        """The groups and their statistics, in order."""
        for name in sorted(self._groups):
            if not self._groups[name].empty:
                yield name, self._groups[name].result()
