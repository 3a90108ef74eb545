"""Inputs of other kinds than TFRecord globs: TensorFlow Datasets by name, CSV and Parquet files.

A prepared data set of TensorFlow Datasets is TFRecords of tf.train.Example already, so its shards are read
as they are. CSV and Parquet files are first written as TFRecords into the staging folder, by a pipeline of
its own: one more pass over the data, and as much room as they take as uncompressed TFRecords.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from tfrs_augment import records
from tfrs_augment.beam import files, tables
from tfrs_augment.beam.pipelines import check_complete, pipeline_options, run_pipeline
from tfrs_augment.errors import DataError, InvalidArgumentError, close_matches
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

INPUT_FORMATS = ("tfrecord", *tables.FORMATS, "tfds")
_TFDS_NAME_RULE = "a TFDS data set must be named as NAME[/CONFIG][:VERSION][/SPLIT]."


def find_inputs(
    input: str | Sequence[str],
    input_format: str = "tfrecord",
    compression: str = "auto",
    tfds_data_dir: str | None = None,
) -> list[files.InputFile]:
    """The files that an input names.

    Args:
      input: one or several globs; for "tfds" names of data sets, see `tfds_files`.
      input_format: one of `INPUT_FORMATS`.
      compression: of the files: "none", "gzip", or "auto" (by the name).
      tfds_data_dir: where TensorFlow Datasets keeps prepared data; None is its default.

    Raises:
      InvalidArgumentError: the format or a data set is not known.
      DataError: there are no such files, or a data set cannot be prepared.
    """
    if input_format not in INPUT_FORMATS:
        raise InvalidArgumentError(
            f"`input_format` must be one of {INPUT_FORMATS}. Received: input_format={input_format!r}."
        )
    if tfds_data_dir is not None and input_format != "tfds":
        raise InvalidArgumentError(
            '`tfds_data_dir` goes with input_format="tfds". '
            f"Received: tfds_data_dir={tfds_data_dir!r}, input_format={input_format!r}."
        )
    patterns = [input] if isinstance(input, str) else list(input)
    if input_format == "tfds":
        paths = [path for name in patterns for path in tfds_files(name, tfds_data_dir)]
        return files.find_inputs(paths, "none")
    return files.find_inputs(patterns, "none" if input_format == "parquet" else compression)


def tfds_files(name: str, data_dir: str | None = None) -> list[str]:
    """The TFRecord files of a split of a data set, which is prepared (downloaded) where it is not yet.

    Their records are what TensorFlow Datasets writes: text as bytes, class labels as their numbers, booleans
    as 0 and 1, pictures encoded, nested features under "outer/inner". The data set's own
    `builder.info.features.deserialize_example` reads what the job makes of them.

    Args:
      name: NAME[/CONFIG][:VERSION][/SPLIT], such as "movielens/100k-ratings" or "mnist/test"; the split is
        "train" by default. "simulated_shop" and "simulated_shop_log" are known too.
      data_dir: where prepared data are kept; None is TFDS's default.

    Raises:
      InvalidArgumentError: there is no such data set, configuration, version or split.
      DataError: the data set cannot be prepared, or is kept in another format than TFRecord.
    """
    # Imported here: the import takes seconds, and few jobs need it.
    import tensorflow_datasets as tfds

    # These register the data sets of this package.
    from tfrs_augment.datasets import shop_builder, shop_log_builder  # noqa: F401

    builder_name, split = _parse_tfds_name(name, tfds)
    try:
        builder = tfds.builder(builder_name, data_dir=data_dir)
    except (AssertionError, ValueError) as error:
        raise InvalidArgumentError(f"TFDS data set '{builder_name}': {error}") from error
    try:
        # The options are for data sets that Beam makes.
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(beam_options=pipeline_options([]))
        )
    except Exception as error:
        # Whatever its code raises: no network, no room, files to fetch by hand.
        raise DataError(f"TFDS data set '{builder_name}' cannot be prepared: {error}") from error
    splits = builder.info.splits
    if split not in splits:
        raise InvalidArgumentError(
            f"TFDS data set '{builder_name}' has no split '{split}'. {close_matches(split, splits)} "
            f"Name one as '{builder_name}/SPLIT'."
        )
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise DataError(
            f"TFDS data set '{builder_name}' must be kept as TFRecords. Received: "
            f"{builder.info.file_format.value}. Prepare it with file_format='tfrecord'."
        )
    return [os.fspath(path) for path in splits[split].filepaths]


def _parse_tfds_name(name: str, tfds) -> tuple[str, str]:
    """The name of the builder and that of the split, told apart by the configurations that there are."""
    if "[" in name:
        raise InvalidArgumentError(
            f"only whole splits of a TFDS data set are read. Received: {name!r}."
        )
    matched = re.fullmatch(r"(\w+)((?:/[^/:]+)*)(:[\w.*]+)?(?:/([^/:]+))?", name)
    if matched is None:
        raise InvalidArgumentError(_TFDS_NAME_RULE + f" Received: {name!r}.")
    dataset, middle, version, split = matched.groups()
    try:
        configs = list(tfds.builder_cls(dataset).builder_configs)
    except tfds.core.DatasetNotFoundError as error:
        raise InvalidArgumentError(
            f"there is no TFDS data set '{dataset}'. {close_matches(dataset, tfds.list_builders())}"
        ) from error
    parts = [part for part in (*middle.split("/"), split) if part]
    config = parts.pop(0) if configs and parts else ""
    if configs and config not in configs:
        # Not the default configuration: that may be a download of gigabytes that nobody asked for.
        raise InvalidArgumentError(
            f"TFDS data set '{dataset}' needs a configuration, as '{dataset}/CONFIG'. "
            f"Received: {name!r}. {close_matches(config, configs)}"
        )
    if len(parts) > 1:
        raise InvalidArgumentError(_TFDS_NAME_RULE + f" Received: {name!r}, which has more parts.")
    builder = "/".join(part for part in (dataset, config) if part) + (version or "")
    return builder, parts[0] if parts else "train"


def table_schema(
    inputs: Sequence[files.InputFile], input_format: str, given: Schema | None
) -> tuple[Schema, dict[str, str]]:
    """The kinds of the columns of tables, read off the first file; see `tables.read_kinds`.

    Args:
      inputs: the files.
      input_format: "csv" or "parquet".
      given: kinds that are settled already; the columns that it does not name are inferred.

    Returns:
      The schema, and notes for `check`.
    """
    given = Schema({}) if given is None else given
    kinds, notes = tables.read_kinds(inputs[0], input_format, given.kinds)
    return dataclasses.replace(given, kinds=kinds), notes


def check(policy: AugmentationPolicy, schema: Schema, notes: Mapping[str, str]) -> None:
    """`policy.check`, whose error tells why a column is of a kind that nobody expects."""
    try:
        policy.check(schema)
    except DataError as error:
        why = [note for name, note in notes.items() if f"'{name}'" in str(error)]
        raise DataError(" ".join([str(error), *why])) from error


def convert(
    inputs: Sequence[files.InputFile],
    input_format: str,
    kinds: Mapping[str, str],
    staging: str,
    options: PipelineOptions,
) -> list[files.InputFile]:
    """Writes tables as TFRecords of tf.train.Example into a folder, by a pipeline.

    Args:
      inputs: CSV or Parquet files.
      input_format: "csv" or "parquet".
      kinds: the kind of every column.
      staging: the folder.
      options: Beam's options.

    Returns:
      One TFRecord file for each input, in their order.

    Raises:
      DataError: a file cannot be read, has other columns than the first, or a value of another kind.
      OutputError: the folder cannot be written, or the runner has lost a file.
    """
    report = files.join(staging, "converted.json")
    run_pipeline(
        options,
        lambda p: (
            p
            | "Tables" >> beam.Create(list(enumerate(inputs)))
            | "SpreadTables" >> beam.GroupByKey()
            | "Convert" >> beam.ParDo(ConvertFile(input_format, kinds, staging))
            | "CollectTables" >> beam.GroupByKey()
            | "SaveTables"
            >> beam.MapTuple(lambda _, converted: files.write_json(report, sorted(converted)))
        ),
    )
    converted = []
    if FileSystems.exists(report):
        with FileSystems.open(report) as stream:
            converted = json.loads(stream.read())
    check_complete(len({number for number, _, _ in converted}), len(inputs))
    return [
        files.InputFile(path, size, "none", origin=inputs[number].path)
        for number, path, size in converted
    ]


class ConvertFile(beam.DoFn):
    """(number, [table file]) -> (0, (number, path, bytes)) of the TFRecord file that it has written."""

    def __init__(self, input_format: str, kinds: Mapping[str, str], staging: str):
        self._input_format, self._kinds, self._staging = input_format, dict(kinds), staging

    def setup(self):
        records.warm_up()

    def process(self, keyed: tuple[int, Iterable[files.InputFile]]):
        number, (file,) = keyed
        # A retry, or a twin started beside a slow worker, writes a file of its own.
        path = files.join(self._staging, f"converted-{number:05d}-{uuid.uuid4().hex[:12]}")
        with files.Writer(path) as writer:
            for columns in tables.read_columns(file, self._input_format, self._kinds):
                writer.write(records.encode_rows(columns))
        yield 0, (number, path, writer.size)


def place_of(file: files.InputFile, offset: int) -> dict[str, str | int]:
    """Where a record comes from: its file and offset, or its table and the number of the row, from 1."""
    if file.origin is None:
        return {"file": file.path, "offset": offset}
    return {"file": file.origin, "row": int(np.searchsorted(_starts(file), offset)) + 1}


# A file's rejected records come one after the other, and the files one after the other.
@functools.lru_cache(maxsize=1)
def _starts(file: files.InputFile) -> np.ndarray:
    """Where the records of a converted table start; read anew, since few tables have rejected rows."""
    with files.open_input(file) as stream:
        found = [frames.file_offsets for frames in records.read_frames(stream, compression="none")]
    return np.concatenate(found)
