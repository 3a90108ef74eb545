"""`inspect`: which features TFRecord files hold and what is in them, counted in one pass in this process."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.blocks import canonicalize, value_counts
from tfrs_augment.beam.units import format_hint, frames_of, named
from tfrs_augment.errors import DataError
from tfrs_augment.schema import Schema

MAX_DISTINCT = 100_000
"""Distinct values of a feature are counted one by one up to here; above it only that they are more."""
_ALL, _SAMPLED = 20_000, 200
"""Features are looked for in so many first records, and in so many of each block after them."""


@dataclasses.dataclass
class FeatureStatistics:
    """What is known of one feature.

    Attributes:
      kind: "bytes", "float" or "int64".
      rows: records with at least one value of it.
      values: values in all.
      shortest, longest: values a row, over all records.
      finite: the values that are finite numbers; 0 for bytes.
      minimum, maximum: of the finite values; NaN where there is none.
      counts: value to how often it occurs; None where there are more than `MAX_DISTINCT`.
    """

    kind: str
    rows: int = 0
    values: int = 0
    shortest: int | None = None
    longest: int = 0
    finite: int = 0
    minimum: float = math.nan
    maximum: float = math.nan
    counts: collections.Counter | None = dataclasses.field(default_factory=collections.Counter)
    _sum: float = 0.0

    @property
    def mean(self) -> float:
        """The mean of the finite values; NaN where there is none."""
        return self._sum / self.finite if self.finite else math.nan

    def add(self, column: records.Column) -> None:
        """Adds the records of a block."""
        if not len(column):
            return
        lengths = np.diff(column.row_splits)
        self.rows += int(np.count_nonzero(lengths))
        self.values += int(lengths.sum())
        shortest = int(lengths.min())
        self.shortest = shortest if self.shortest is None else min(self.shortest, shortest)
        self.longest = max(self.longest, int(lengths.max()))
        if column.values is not None:
            finite = column.values[np.isfinite(column.values)]
            self.finite += len(finite)
            self._sum += float(finite.sum(dtype=np.float64))
            if len(finite):
                self.minimum = np.fmin(self.minimum, float(finite.min())).item()
                self.maximum = np.fmax(self.maximum, float(finite.max())).item()
        if self.counts is not None:
            self.counts.update(_counts(column))
            if len(self.counts) > MAX_DISTINCT:
                self.counts = None


def _counts(column: records.Column) -> Mapping[bytes | int | float, int]:
    if column.kind != records.FLOAT:
        return value_counts(column)
    values, counts = np.unique(column.values[np.isfinite(column.values)], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class DataStatistics:
    """What TFRecord files hold.

    Attributes:
      files: how many files there are.
      bytes: their size as stored.
      records: records that could be read.
      rejected: how many could not.
      reasons: why, for the first of them.
      features: name to its statistics, by name.
    """

    files: int
    bytes: int
    records: int
    rejected: int
    reasons: tuple[str, ...]
    features: Mapping[str, FeatureStatistics]


def inspect(
    input: str | Sequence[str], *, input_compression: str = "auto", schema: Schema | None = None
) -> DataStatistics:
    """Counts what TFRecords of tf.train.Example hold.

    Args:
      input: a path or a glob, or several; on any file system that Beam knows.
      input_compression: "none", "gzip", or "auto" (by the name: .gz is gzip).
      schema: the features to count; by default all that the first 20,000 records have, or a sample of the
        records of every block after them.

    Returns:
      The statistics. A record that has a feature of another kind than most counts as rejected, as in a job.

    Raises:
      DataError: the input is missing, cannot be read, or holds no usable record.

    Example:
      statistics = aug.beam.inspect("in/*.tfrecord.gz")
    """
    inputs = files.find_inputs(
        [input] if isinstance(input, str) else list(input), input_compression
    )
    kinds = sampled_kinds(inputs) if schema is None else dict(schema.kinds)
    features = {name: FeatureStatistics(kinds[name]) for name in sorted(kinds)}
    wanted = {name: records.KINDS[kind] for name, kind in kinds.items()}
    count, rejected, reasons = 0, 0, []
    for file, frames in _frames(inputs):
        block = records.decode(frames, wanted, canonicalize)
        count += block.n
        rejected += len(block.rejected)
        reasons += [f"{file.path}, offset {r.offset}: {r.reason}" for r in block.rejected[:3]]
        for name, statistics in features.items():
            statistics.add(block.column(name))
    if not count:
        why = f": {reasons[0]}" if reasons else f" in {len(inputs)} files."
        raise DataError(f"`input` holds no usable record{why}")
    size = sum(file.size for file in inputs)
    return DataStatistics(len(inputs), size, count, rejected, tuple(reasons[:3]), features)


def sampled_kinds(inputs: Sequence[files.InputFile]) -> dict[str, str]:
    """The kinds of the features of many records; of several kinds the most frequent. See `inspect`.

    Raises:
      DataError: no record can be read.
    """
    found: dict[str, collections.Counter] = {}
    seen = 0
    for _, frames in _frames(inputs):
        sample = frames.payloads()
        if seen >= _ALL:
            sample = sample[:: max(1, len(sample) // _SAMPLED)]
        seen += len(sample)
        for name, kind in Schema.of_examples(sample).kinds.items():
            found.setdefault(name, collections.Counter())[kind] += len(sample)
    if not found:
        raise DataError(
            f"`input` holds no tf.train.Example with a feature. Received: {named(inputs)}."
            f"{format_hint(inputs)}"
        )
    return {name: counts.most_common(1)[0][0] for name, counts in found.items()}


def _frames(
    inputs: Sequence[files.InputFile],
) -> Iterator[tuple[files.InputFile, records.Frames]]:
    for file in inputs:
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream):
                yield file, frames
