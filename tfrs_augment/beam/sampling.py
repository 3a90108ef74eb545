"""Files of synthesized rows without a pipeline: TFRecords, CSV or Parquet, written block by block."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from apache_beam.io.filesystems import FileSystems
from tqdm import tqdm

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.synthetic import spread, to_column
from tfrs_augment.errors import DataError, InvalidArgumentError, OutputError
from tfrs_augment.synthesis.base import Block, Synthesizer
from tfrs_augment.synthesis.columns import ColumnSpec

SUFFIXES = (".tfrecord", ".tfrecord.gz", ".csv", ".parquet")

Table = Mapping[str, np.ndarray]


def write_sample(
    synthesizer: Synthesizer,
    output: str,
    n: int,
    *,
    seed: int = 0,
    conditions: Mapping[str, Any] | None = None,
    num_shards: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Writes the rows of `synthesizer.sample(n, conditions=conditions, seed=seed)`, in their order.

    Memory holds one block. A file appears when it is whole. A missing cell is a feature that a record lacks,
    an empty cell, or a null.

    Args:
      synthesizer: a fitted one.
      output: a file that ends in one of `SUFFIXES`; or a folder, for TFRecords
        `synthesized-*-of-*.tfrecord`.
      n: how many rows, at least 1.
      seed: as of `Synthesizer.sample`.
      conditions: likewise.
      num_shards: the number of files in a folder; None is one.
      overwrite: whether files of the name may be replaced; in a folder, all `synthesized-*` are.
      progress: whether a bar shows the blocks, on stderr.

    Returns:
      The paths of the files.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      DataError: the rows cannot be sampled, or text is not UTF-8 and a CSV cannot hold it.
      OutputError: a file is there already, or cannot be written.
    """
    if n < 1:
        raise InvalidArgumentError(f"`num_rows` must be at least 1. Received: num_rows={n}.")
    suffix = next((s for s in SUFFIXES if output.endswith(s)), "")
    if not suffix and "." in output.rsplit("/", 1)[-1]:
        raise InvalidArgumentError(
            f"`output` must end in one of {', '.join(SUFFIXES)}, or name a folder; one with a dot in its "
            f"name ends in /. Received: output={output!r}."
        )
    if num_shards is not None and (suffix or num_shards < 1):
        raise InvalidArgumentError(
            "`num_shards` must be at least 1, and goes with a folder. Received: "
            f"num_shards={num_shards}, output={output!r}."
        )
    blocks = synthesizer.blocks(n, conditions=conditions)
    bar = tqdm(total=n, desc="sample", unit="row", unit_scale=True, disable=not progress)

    def sampled(part: Sequence[Block]) -> Iterator[dict[str, np.ndarray]]:
        for block in part:
            yield synthesizer.sample_block(block, seed=seed, conditions=conditions)
            bar.update(block.rows)

    write = {".csv": _write_csv, ".parquet": _write_parquet}.get(suffix, _write_records)
    with bar:
        if suffix:
            _whole(write, output, list(synthesizer.spec), sampled(blocks), overwrite)
            return [output]
        shards = num_shards or 1
        _clear(output, overwrite)
        paths = []
        for number, part in enumerate(spread(blocks, shards)):
            path = files.join(output, f"synthesized-{number:05d}-of-{shards:05d}.tfrecord")
            _whole(write, path, list(synthesizer.spec), sampled(part), overwrite)
            paths.append(path)
        return paths


def _clear(folder: str, overwrite: bool) -> None:
    """Makes a folder, and removes what an earlier sample has left there, which may be more shards."""
    pattern = files.join(folder, "synthesized-*")
    with files.as_output_error(folder):
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        earlier = [file.path for file in FileSystems.match([pattern])[0].metadata_list]
        if earlier and overwrite:
            FileSystems.delete(earlier)
    if earlier and not overwrite:
        raise OutputError(
            f"`output` '{folder}' holds {len(earlier)} synthesized-* files. Pass overwrite (--overwrite) to "
            "replace them, or choose another folder."
        )


def _whole(
    write: Callable, path: str, spec: list[ColumnSpec], blocks: Iterator[Table], overwrite: bool
) -> None:
    staged = f"{path}{files.STAGING}{uuid.uuid4().hex[:12]}"
    with files.prepare_file(path, staged, overwrite):
        write(path, staged, spec, blocks)


def _write_records(path: str, staged: str, spec: list[ColumnSpec], blocks: Iterator[Table]) -> None:
    with files.Writer(staged, "gzip" if path.endswith(".gz") else "none") as file:
        for table in blocks:
            columns = {name: to_column(values) for name, values in table.items()}
            file.write(records.encode_rows(columns))


def _write_csv(path: str, staged: str, spec: list[ColumnSpec], blocks: Iterator[Table]) -> None:
    schema = _arrow_schema(spec)
    binary = [field.name for field in schema if field.type == pa.binary()]
    if binary:
        raise DataError(
            f"A CSV holds text, and the values of {', '.join(binary)} are not UTF-8. Write TFRecords or "
            "Parquet."
        )
    with _arrow_file(staged) as file, pyarrow.csv.CSVWriter(file, schema) as writer:
        for table in blocks:
            writer.write_table(_arrow_table(table, schema))


def _write_parquet(path: str, staged: str, spec: list[ColumnSpec], blocks: Iterator[Table]) -> None:
    schema = _arrow_schema(spec)
    with _arrow_file(staged) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for table in blocks:
            writer.write_table(_arrow_table(table, schema))


@contextlib.contextmanager
def _arrow_file(path: str) -> Iterator[Any]:
    with files.as_output_error(path), FileSystems.create(path, "application/octet-stream") as file:
        yield file


def _arrow_schema(spec: list[ColumnSpec]) -> pa.Schema:
    """Text where all categories are UTF-8, else bytes."""
    numbers = {"float32": pa.float32(), "int64": pa.int64()}
    return pa.schema(
        [
            (c.name, numbers.get(c.dtype) or (pa.string() if _is_text(c) else pa.binary()))
            for c in spec
        ]
    )


def _is_text(column: ColumnSpec) -> bool:
    try:
        np.char.decode(column.categories, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _arrow_table(table: Table, schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        values = table[field.name]
        if values.dtype.kind == "S":
            array = pa.array(values.tolist(), pa.binary(), mask=values == b"").cast(field.type)
        else:
            array = pa.array(values, field.type, from_pandas=True)  # NaN is null.
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema)
