"""CSV and Parquet files as typed columns, through PyArrow, which Apache Beam brings with it.

Beam's own ReadFromCsv needs pandas below version 3 and guesses the types anew for every piece of a file; here
the types are settled once, and a value that breaks them is an error that names its place.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfrs_augment.beam.files import InputFile
from tfrs_augment.errors import DataError, close_matches
from tfrs_augment.records import ABSENT, BYTES, FLOAT, KINDS, LISTED, Column

FORMATS = ("csv", "parquet")
BATCH_ROWS = 8192
# The first block of a CSV file settles its types; no row may be longer than a block.
CSV_BLOCK_BYTES = 1 << 22

_CSV_TYPES = {"bytes": pa.binary(), "int64": pa.int64(), "float": pa.float32()}
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_CONVERSION = re.compile(
    r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to (\w+): invalid value '(.*)'",
    re.DOTALL,
)


def read_kinds(
    file: InputFile, file_format: str, given: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The kinds of the columns of a file.

    Args:
      file: the file.
      file_format: "csv" or "parquet".
      given: kinds that are settled already, by column.

    Returns:
      Column name to "bytes", "float" or "int64"; and column name to a sentence about why a CSV column is
      text though most of its first values are numbers.

    Raises:
      DataError: the file cannot be read, has two columns of one name, lacks a column that is given, or has
        one that no feature can hold.
    """
    notes = {}
    with _open(file, file_format) as stream:
        if file_format == "parquet":
            schema = pyarrow.parquet.ParquetFile(stream).schema_arrow
        else:
            with _csv_reader(file, stream, {n: _CSV_TYPES[k] for n, k in given.items()}) as reader:
                schema = reader.schema
                first = next(iter(reader), None)
                if first is not None:
                    notes = _notes(file, first)
        _check_names(file, schema.names, given)
        kinds = {field.name: _kind(file, field, file_format) for field in schema}
    return {**kinds, **given}, notes


def read_columns(
    file: InputFile, file_format: str, kinds: Mapping[str, str]
) -> Iterator[dict[str, Column]]:
    """The rows of a file as columns, some thousand rows at a time; an empty cell is a missing feature.

    Args:
      file: the file.
      file_format: "csv" or "parquet".
      kinds: the kind of every column.

    Raises:
      DataError: the file cannot be read, has other columns, or holds a value of another kind.
    """
    with _open(file, file_format) as stream:
        if file_format == "parquet":
            table = pyarrow.parquet.ParquetFile(stream)
            _check_same_names(file, table.schema_arrow.names, kinds)
            batches = table.iter_batches(BATCH_ROWS)
        else:
            reader = _csv_reader(file, stream, {n: _CSV_TYPES[k] for n, k in kinds.items()})
            _check_same_names(file, reader.schema.names, kinds)
            batches = iter(reader)
        for batch in batches:
            yield {
                name: _column(file, name, batch.column(name), KINDS[kind])
                for name, kind in kinds.items()
            }


@contextlib.contextmanager
def _open(file: InputFile, file_format: str):
    """Opens a file, inflated; what goes wrong while it is read is told with its name."""
    try:
        with FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            if file_format == "csv" and file.compression == "gzip":
                # PyArrow takes Beam's own inflating stream for closed.
                yield pa.CompressedInputStream(stream, "gzip")
            else:
                yield stream
    except pa.ArrowException as error:
        message = _conversion_message(file, str(error))
        if message is None:
            what = "CSV" if file_format == "csv" else "Parquet"
            message = f"{what} file '{file.path}' cannot be read: {error}"
        raise DataError(message) from error
    except (BeamIOError, OSError) as error:
        raise DataError(f"input file '{file.path}' cannot be read: {error}") from error


def _csv_reader(file: InputFile, stream, types: Mapping[str, pa.DataType]):
    return pyarrow.csv.open_csv(
        stream,
        # One thread, so that errors tell the row.
        read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=_delimiter(file), newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _delimiter(file: InputFile) -> str:
    return "\t" if file.path.removesuffix(".gz").endswith(".tsv") else ","


def _conversion_message(file: InputFile, error: str) -> str | None:
    """What to say of a CSV value that does not fit its column; None for other errors."""
    found = _CONVERSION.search(error)
    if found is None:
        return None
    column, row, kind, value = found.groups()
    compression = (
        CompressionTypes.GZIP if file.compression == "gzip" else CompressionTypes.UNCOMPRESSED
    )
    with FileSystems.open(file.path, compression_type=compression) as stream:
        header = stream.readline().decode("utf-8-sig", "replace")
    names = next(csv.reader([header], delimiter=_delimiter(file)))
    return (
        f"CSV column '{names[int(column)]}' must hold {kind} values alone, as in its first rows. "
        f"Received: '{value}' in line {row} of '{file.path}'. "
        "Correct the file, or give the column another kind in `schema`."
    )


def _check_names(file: InputFile, names: Sequence[str], needed: Collection[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the columns of '{file.path}' must have distinct names. Received twice: {twice}."
        )
    for name in needed:
        if name not in names:
            raise DataError(f"'{file.path}' lacks column '{name}'. {close_matches(name, names)}")


def _check_same_names(file: InputFile, names: Sequence[str], kinds: Collection[str]) -> None:
    """Checks that a file has the columns of the others."""
    _check_names(file, names, kinds)
    for name in names:
        if name not in kinds:
            raise DataError(
                f"the input files must have the same columns. Received: '{file.path}' has column "
                f"'{name}', which other files lack. {close_matches(name, kinds)}"
            )


def _kind(file: InputFile, field: pa.Field, file_format: str) -> str:
    """The kind of feature that holds a column."""
    if file_format == "csv":
        if pa.types.is_int64(field.type):
            return "int64"
        # Dates and words like "true" stay the text that they are.
        return "float" if pa.types.is_floating(field.type) else "bytes"
    kind = field.type.value_type if _is_list(field.type) else field.type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_boolean(kind):
        return "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float"
    if str(kind).removeprefix("large_").startswith(("string", "binary", "fixed_size_binary")):
        return "bytes"
    raise DataError(
        f"a column must hold numbers, text, bytes, times, or lists of them. Received: column "
        f"'{field.name}' of '{file.path}' holds {field.type}. Leave it out, or flatten it."
    )


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _notes(file: InputFile, batch: pa.RecordBatch) -> dict[str, str]:
    """For each text column whose values are numbers for the most part: one that is none."""
    notes = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_string(column.type):
            continue
        texts = column.drop_null()
        is_number = np.asarray(pc.match_substring_regex(texts, _NUMBER))
        if is_number.mean() > 0.5 and not is_number.all():
            odd = texts[int(np.flatnonzero(~is_number)[0])].as_py()
            notes[name] = (
                f"CSV column '{name}' of '{file.path}' mixes numbers and text, such as {odd!r}, "
                "and so is read as bytes."
            )
    return notes


def _column(file: InputFile, name: str, array: pa.Array, kind: int) -> Column:
    """A column of a batch in the codec's form."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    present = np.asarray(array.is_valid())
    if _is_list(array.type):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0))
        values = array.flatten()
        if values.null_count:
            raise DataError(
                f"a list must hold no null. Received: column '{name}' of '{file.path}' has one."
            )
    else:
        lengths, values = present, array.drop_null()
    row_splits = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths, out=row_splits[1:])
    state = np.where(present, LISTED, ABSENT)
    try:
        if kind == BYTES:
            value_offsets, data = _bytes_of(values)
            return Column(BYTES, row_splits, value_offsets=value_offsets, data=data, state=state)
        return Column(kind, row_splits, values=_numbers_of(values, kind), state=state)
    except pa.ArrowException as error:
        raise DataError(f"column '{name}' of '{file.path}' cannot be read: {error}") from error


def _numbers_of(values: pa.Array, kind: int) -> np.ndarray:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if kind == FLOAT:
        return np.asarray(values.cast(pa.float32(), safe=False))
    if pa.types.is_date32(values.type) or pa.types.is_time32(values.type):
        values = values.cast(pa.int32())
    return np.asarray(values.cast(pa.int64()))


def _bytes_of(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The offsets and the bytes of a column of text or bytes; numbers as their digits."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        values = values.cast(pa.string())
    values = values.cast(pa.large_binary())
    if not len(values):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = values.buffers()
    offsets = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return offsets - offsets[0], data[offsets[0] : offsets[-1]]
