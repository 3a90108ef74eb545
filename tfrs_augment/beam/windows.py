"""`SlidingWindow`: one history into many training rows, for a PCollection of tf.train.Examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf

from tfrs_augment import records
from tfrs_augment.beam.blocks import (
    PARENT_KEY,
    canonicalize,
    to_features,
    unequal,
    without,
    without_key,
)
from tfrs_augment.beam.sequences import payloads_of
from tfrs_augment.beam.transforms import REJECTED, Buffered, check_buffered, count
from tfrs_augment.datasets.windows import POSITION, WindowSpec
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.features import row_keys
from tfrs_augment.records import BYTES, INT64, Block, Column, Edit
from tfrs_augment.schema import KINDS, Schema

_WINDOWS = 4096
"""How many windows are made at a time: what bounds the memory."""


class SlidingWindow(beam.PTransform):
    """Makes a row of each item of a record's history that has enough items before it.

    A record with a history of n items becomes up to n - 1 records: the history before item t, and item t as
    the target. All other features stay. `aug.datasets.sliding_windows` does the same in tf.data.

    Args:
      history: the feature of the history, or several with equally many values, the oldest item first.
      target: the name of the feature that gets the item itself; or, for several of the history's features,
        their names to such names. A feature of that name is replaced.
      schema: the features' kinds, for at least those named here; see `infer_schema`.
      key_features: the features that tell one record from another. Their hash is the windows'
        `aug/parent_key`; a policy that augments the windows needs them and `position` as its key features.
      window: the longest history, in items; the newest are kept.
      min_history: the shortest history, in items. A record with fewer items before its last gives no row.
      stride: every how many items one is a target; the newest is always one.
      position: the name of the feature that gets the target's place in the whole history, from 0.
      buffer_rows: the most records that are held at a time, default 1024.

    Returns:
      Two PCollections: `bytes`, and `Rejected`, records without a key or whose histories differ in length.

    Attributes:
      schema: the kinds of what comes out, for `AugmentExamples`.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a feature is not in the schema.
      DataError: the data have a feature that is written here already, of another kind.

    Example:
      window = aug.beam.SlidingWindow("history", "movie_id", schema=schema, key_features=["user_id"])
      rows, rejected = examples | window
      augmented, _ = rows | aug.beam.AugmentExamples(policy, schema=window.schema)
    """

    def __init__(
        self,
        history: str | Sequence[str],
        target: str | Mapping[str, str],
        *,
        schema: Schema,
        key_features: str | Sequence[str],
        window: int = 50,
        min_history: int = 1,
        stride: int = 1,
        position: str = POSITION,
        buffer_rows: int = 1024,
    ):
        super().__init__()
        spec = WindowSpec(
            history,
            target,
            window=window,
            min_history=min_history,
            stride=stride,
            position=position,
        )
        check_buffered(schema, buffer_rows)
        keys = (key_features,) if isinstance(key_features, str) else tuple(key_features)
        if not keys or {*keys} & {*spec.history}:
            raise InvalidArgumentError(
                "`key_features` must name features with one value a record, not the history. "
                f"Received: key_features={keys!r}."
            )
        kinds = {n: schema.require(n, KINDS, "SlidingWindow") for n in (*spec.history, *keys)}
        added = {written: kinds[name] for name, written in spec.target.items()}
        added.update({spec.position: "int64", PARENT_KEY: "int64"})
        if {*keys} & {*added}:
            raise InvalidArgumentError(
                "`key_features` must not be features that are written here. "
                f"Received: key_features={keys!r}, written: {sorted(added)}."
            )
        for name, kind in added.items():
            if schema.kinds.get(name, kind) != kind:
                raise DataError(
                    f"SlidingWindow writes '{name}' of kind {kind}. The data have it already, of kind "
                    f"{schema.kinds[name]}: give it another name."
                )
        self.schema = dataclasses.replace(schema, kinds={**schema.kinds, **added})
        self._fn = _Window(buffer_rows, spec=spec, keys=keys, kinds={**kinds, **added})

    def expand(self, examples):
        return examples | "Window" >> beam.ParDo(self._fn).with_outputs(REJECTED, main="windows")


class _Window(Buffered):
    def setup(self):
        super().setup()
        a = self._arguments
        self._spec, self._keys = a["spec"], a["keys"]
        self._kinds = {name: records.KINDS[kind] for name, kind in a["kinds"].items()}
        self._written = [n for n in self._kinds if n not in (*self._keys, *self._spec.history)]

    def work(self, frames):
        block = records.decode(frames, self._kinds, canonicalize)
        reasons = unequal(block, self._spec.history) | without_key(block, self._keys)
        if reasons:
            block = without(block, reasons)
        return block.rejected, self._windows(block) if block.n else ()

    def _windows(self, block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        spec = self._spec
        keys = to_features({name: block.column(name) for name in self._keys})
        keys = row_keys({name: keys[name].flat_values for name in self._keys}, self._keys)
        keys = keys.numpy().view(np.int64)
        splits = block.column(spec.history[0]).row_splits
        places = spec.places(tf.constant(np.diff(splits)))
        row, begin, end = (place.numpy() for place in places)
        # What all windows of a record share.
        shared = list(payloads_of(block.encode({}, drop=(*spec.history, *self._written))))
        count("windows", len(row))
        for i in range(0, len(row), _WINDOWS):
            part = slice(i, i + _WINDOWS)
            rows, start = row[part], splits[row[part]]
            frames = records.Frames.from_payloads([shared[k] for k in rows.tolist()])
            edits = {
                spec.position: Column(INT64, np.arange(len(rows) + 1), values=end[part]),
                PARENT_KEY: Column(INT64, np.arange(len(rows) + 1), values=keys[rows]),
            }
            for name in spec.history:
                column = block.column(name)
                edits[name] = _slices(column, start + begin[part], start + end[part])
                if name in spec.target:
                    item = start + end[part]
                    edits[spec.target[name]] = _slices(column, item, item + 1)
            made = records.decode(frames, self._kinds)
            yield (
                block.file_offsets[rows],
                made.encode({name: Edit(column) for name, column in edits.items()}),
            )


def _slices(column: Column, begin: np.ndarray, end: np.ndarray) -> Column:
    """A column whose rows are the values `begin[i]` to `end[i]` of another one."""
    index, splits = _ranges(begin, end)
    if column.kind != BYTES:
        return Column(column.kind, splits, values=column.values[index])
    places, offsets = _ranges(column.value_offsets[index], column.value_offsets[index + 1])
    return Column(BYTES, splits, value_offsets=offsets, data=column.data[places])


def _ranges(begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers `begin[i]` to `end[i]`, one range after the other, and where each starts."""
    lengths = end - begin
    splits = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=splits[1:])
    return np.repeat(begin - splits[:-1], lengths) + np.arange(splits[-1]), splits
