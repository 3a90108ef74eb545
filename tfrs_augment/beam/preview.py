"""The first rows of an input and what a job would make of them, and its first synthesized rows.

Nothing is written.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment import records
from tfrs_augment.beam import files, synthetic
from tfrs_augment.beam.blocks import BlockAugmenter
from tfrs_augment.beam.fit import fit_units
from tfrs_augment.beam.pipelines import pipeline_options
from tfrs_augment.beam.units import frames_of, peek, plan
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.explain import Explanation
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema


@dataclasses.dataclass(frozen=True)
class PreviewRow:
    """A source row and its copies.

    Attributes:
      file: the file that it is in.
      offset: where it starts there, in bytes, decompressed.
      values: the features that the policy reads or changes: a value, a list of them, or None.
      copies: what the policy does to it, an entry a copy.
    """

    file: str
    offset: int
    values: Mapping[str, Any]
    copies: tuple[Explanation, ...]


def preview(
    policy: AugmentationPolicy,
    *,
    inputs: Sequence[files.InputFile],
    rows: int,
    copies: int = 1,
    schema: Schema | None = None,
    beam_args: Sequence[str] = (),
) -> list[PreviewRow]:
    """Explains what `run` would make of the first usable rows of its input.

    Args:
      policy: the policy. Statistics that are missing are fitted on the whole input, as `run` would.
      inputs: the files, TFRecords of tf.train.Example.
      rows: how many rows.
      copies: augmented rows a source row.
      schema: the features' kinds; by default read off the first records.
      beam_args: Beam's own options, for fitting.

    Returns:
      At most `rows` rows, in the order of the files.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: the policy names a feature that the input does not have.
      DataError: the input cannot be read, or holds no usable record.
    """
    for name, value in (("rows", rows), ("copies", copies)):
        if value < 1:
            raise InvalidArgumentError(f"`{name}` must be at least 1. Received: {name}={value}.")
    if schema is None:
        schema = peek(inputs, {*policy.features, *policy.key_features})
    policy.check(schema)
    if missing := policy.missing_requirements():
        with tempfile.TemporaryDirectory() as folder:
            path = files.join(folder, "fitted.json")
            options = pipeline_options(beam_args)
            state = fit_units(policy, missing, schema, plan(inputs, None), path, options)
        policy = policy.with_fitted(state)
    result = []
    for file, offset, values in _rows(policy, schema, inputs):
        explained = tuple(policy.explain(values, draw) for draw in range(copies))
        result.append(PreviewRow(file.path, offset, values, explained))
        if len(result) == rows:
            break
    if not result:
        raise DataError(f"`input` holds no usable record in {len(inputs)} files.")
    return result


def preview_synthesis(
    synthesizer: str | os.PathLike[str],
    num_synthetic: int | None,
    *,
    inputs: Sequence[files.InputFile],
    rows: int,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    schema: Schema | None = None,
) -> list[dict[str, Any]]:
    """The first rows that `run` would synthesize.

    Args:
      synthesizer: as of `run`, and so are the other arguments but these.
      num_synthetic: see there.
      inputs: the files, TFRecords of tf.train.Example.
      rows: how many rows.
      seed: of the rows.
      conditions: see `run`.
      schema: see there.

    Returns:
      At most `rows` rows, name to value; None where a row has none.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a column is no feature of the records.
      DataError: a column is of another kind there, or the rows cannot be sampled.
    """
    loaded = synthetic.load(synthesizer)
    synthesis = synthetic.Synthesis.of(loaded, num_synthetic, seed=seed, conditions=conditions)
    synthesis.checked(schema if schema is not None else peek(inputs, set(synthesis.kinds)))
    found: list[dict[str, Any]] = []
    for block in loaded.blocks(num_synthetic, conditions=conditions):
        table = loaded.sample_block(block, seed=seed, conditions=conditions)
        lists = {name: synthetic.to_column(v).to_rows() for name, v in table.items()}
        found += [
            {name: (column[i] or [None])[0] for name, column in lists.items()}
            for i in range(min(block.rows, rows - len(found)))
        ]
        if len(found) == rows:
            break
    return found


def _rows(
    policy: AugmentationPolicy, schema: Schema, inputs: Sequence[files.InputFile]
) -> Iterator[tuple[files.InputFile, int, dict[str, Any]]]:
    """The rows that a job would augment, as plain values."""
    augmenter = BlockAugmenter(policy, schema.kinds, provenance=False)
    names = tuple(dict.fromkeys((*policy.key_features, *policy.features)))
    for file in inputs:
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream):
                block = augmenter.decode(frames)
                columns = {name: block.column(name) for name in names}
                lists = {name: column.to_rows() for name, column in columns.items()}
                for i in range(block.n):
                    values = {n: _value(lists[n][i], columns[n].kind) for n in names}
                    yield file, int(block.file_offsets[i]), values


def _value(values: list | None, kind: int) -> Any:
    """A row's values of one feature, of the type that the file has."""
    if values is None:
        return None
    dtype = {records.FLOAT: np.float32, records.INT64: np.int64}.get(kind)
    if dtype is None:
        return values[0] if len(values) == 1 else values or np.array([], "S1")
    return dtype(values[0]) if len(values) == 1 else np.array(values, dtype)
