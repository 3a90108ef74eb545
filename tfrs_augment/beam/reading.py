"""Whole files in memory as a table: what a synthesizer is fitted on, and models are compared on.

It reads what the job reads, with the job's codec: a record that cannot be used is counted and left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment import records
from tfrs_augment.beam import files, sources, tables
from tfrs_augment.beam.blocks import canonicalize
from tfrs_augment.beam.synthetic import JOB_FEATURES
from tfrs_augment.beam.units import frames_of, named, peek
from tfrs_augment.datasets.interactions import Ragged
from tfrs_augment.errors import DataError, UnknownFeatureError, close_matches
from tfrs_augment.records import BYTES, KINDS, Column
from tfrs_augment.schema import Schema

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Rows:
    """What files hold.

    Attributes:
      table: columns `[n]` of bytes ("S"), float32 or int64; NaN or b"" where a row has no value. With `lists`
        a feature with several values in some row, and one of int64 that some row lacks, is a `Ragged`, whose
        rows may be empty.
      left_out: features that were not asked for by name and have several values a row.
      rejected: how many records cannot be used.
      reasons: why, for the first of them.
    """

    table: dict[str, np.ndarray | Ragged]
    left_out: tuple[str, ...] = ()
    rejected: int = 0
    reasons: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.table.values())))


def read_rows(
    input: str | Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    schema: Schema | None = None,
    input_format: str = "tfrecord",
    input_compression: str = "auto",
    lists: bool = False,
) -> Rows:
    """Reads files into memory.

    Args:
      input: a path or a glob, or several.
      columns: the features to read, in this order; by default all that have at most one value a row, by
        name, without those that a job adds.
      schema: the features' kinds; by default read off the first records. Of tables it may name some alone.
      input_format: "tfrecord", "csv" or "parquet".
      input_compression: as of `run`.
      lists: whether features with several values a row are read too, rather than left out.

    Raises:
      UnknownFeatureError: a feature of `columns` is not there.
      DataError: the input cannot be read or holds no usable record, or without `lists` a feature of
        `columns` has several values a row, or one of int64 is missing in some.
    """
    inputs = sources.find_inputs(input, input_format, input_compression)
    if input_format == "tfrecord":
        schema = schema or peek(inputs, None if columns is None else set(columns))
    else:
        schema, _ = sources.table_schema(inputs, input_format, schema)
    if columns is None:
        names = sorted(name for name in schema.kinds if name not in JOB_FEATURES)
    else:
        names = list(columns)
        for name in names:
            if name not in schema.kinds:
                raise UnknownFeatureError(
                    f"`columns` name feature '{name}'. {close_matches(name, schema.kinds)}"
                )
    kinds = {name: schema.kinds[name] for name in names}
    parts: dict[str, list[Any]] = {name: [] for name in names}
    ragged: set[str] = set()
    left_out, rejections, rejected = {}, [], 0
    for file, block, refused in _blocks(inputs, input_format, schema.kinds, kinds):
        rejected += len(refused)
        rejections += [f"{file.path}, offset {r.offset}: {r.reason}" for r in refused[:_SHOWN]]
        for name in [name for name in parts if (np.diff(block[name].row_splits) > 1).any()]:
            if lists:
                ragged.add(name)
                continue
            if columns is not None:
                raise DataError(
                    f"The feature '{name}' must have one value a row. Received: rows with several, in "
                    f"'{file.path}'. Leave it out of `columns`."
                )
            del parts[name]
            left_out[name] = True
        for name, read in parts.items():
            # What is a list is known at the end alone; so is an integer that rows lack.
            if lists and kinds[name] == "int64" and (np.diff(block[name].row_splits) == 0).any():
                ragged.add(name)
            read.append((block[name], file) if lists else _to_array(name, block[name], file))
    table = {
        name: _joined(name, read, name in ragged) if lists else np.concatenate(read)
        for name, read in parts.items()
        if read
    }
    if not table or not len(next(iter(table.values()))):
        raise DataError(
            f"`input` holds no usable record with one value a feature. Received: {named(inputs)}"
            f"{''.join(f'; {text}' for text in rejections[:1])}."
        )
    return Rows(table, tuple(left_out), rejected, tuple(rejections[:_SHOWN]))


def _blocks(
    inputs: Sequence[files.InputFile],
    input_format: str,
    all_kinds: Mapping[str, str],
    kinds: Mapping[str, str],
) -> Iterator[tuple[files.InputFile, Mapping[str, Column], Sequence[records.Rejection]]]:
    """The features of some thousand rows at a time, and the records that cannot be used."""
    codes = {name: KINDS[kind] for name, kind in kinds.items()}
    for file in inputs:
        if input_format != "tfrecord":
            for columns in tables.read_columns(file, input_format, all_kinds):
                yield file, columns, ()
            continue
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream):
                block = records.decode(frames, codes, canonicalize)
                yield file, {name: block.column(name) for name in codes}, block.rejected


def _joined(
    name: str, read: Sequence[tuple[Column, files.InputFile]], ragged: bool
) -> np.ndarray | Ragged:
    """The blocks of a feature as one column."""
    if not ragged:
        return np.concatenate([_to_array(name, column, file) for column, file in read])
    values = [
        _strings(column) if column.kind == BYTES else np.asarray(column.values)
        for column, _ in read
    ]
    lengths = np.concatenate([np.diff(column.row_splits) for column, _ in read])
    return Ragged(
        np.concatenate(values), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    )


def _strings(column: Column) -> np.ndarray:
    """The values of a column of bytes, "S" `[values]`."""
    lengths = np.diff(column.value_offsets)
    cells = np.zeros((len(lengths), max(1, lengths.max(initial=0))), np.uint8)
    filled = np.arange(cells.shape[1]) < lengths[:, np.newaxis]
    cells[filled] = column.data[column.value_offsets[0] : column.value_offsets[-1]]
    return cells.view(f"S{cells.shape[1]}")[:, 0]


def _to_array(name: str, column: Column, file: files.InputFile) -> np.ndarray:
    """`[n]`: the inverse of `synthetic.to_column`."""
    present = np.diff(column.row_splits) == 1
    if column.kind == BYTES:
        some = _strings(column)
        values = np.zeros(len(present), some.dtype)
        values[present] = some
        return values
    if column.kind == records.FLOAT:
        values = np.full(len(present), np.nan, np.float32)
        values[present] = column.values
        if np.isinf(values).any():
            raise DataError(
                f"The feature '{name}' must be finite. Received: infinity in '{file.path}'."
            )
        return values
    if not present.all():
        raise DataError(
            f"The feature '{name}' of int64 must be in every row, for integers have no missing value. "
            f"Received: {int((~present).sum())} rows without it in '{file.path}'. Name the other features "
            "in `columns` (--columns)."
        )
    return column.values
