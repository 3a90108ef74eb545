"""Kinds of features from artifacts of SchemaGen and StatisticsGen."""

from __future__ import annotations

from collections.abc import Iterable

from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils
from tfx.utils import io_utils

from tfrs_augment.beam import files
from tfrs_augment.beam.sequences import EXAMPLE
from tfrs_augment.errors import DataError
from tfrs_augment.schema import Schema

_SCHEMA = "schema.pbtxt"
_STATISTICS = "FeatureStats.pb"
_KINDS = {
    statistics_pb2.FeatureNameStatistics.INT: "int64",
    statistics_pb2.FeatureNameStatistics.FLOAT: "float",
    statistics_pb2.FeatureNameStatistics.STRING: "bytes",
    statistics_pb2.FeatureNameStatistics.BYTES: "bytes",
}


def schema_path(schema: artifact.Artifact) -> str:
    """The file of a Schema artifact."""
    return files.join(schema.uri, _SCHEMA)


def read_statistics(
    statistics: artifact.Artifact, split: str
) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics of a split, of an ExampleStatistics artifact.

    Raises:
      DataError: there are none of the split.
    """
    if split not in artifact_utils.decode_split_names(statistics.split_names):
        raise DataError(
            f"`statistics` must hold those of split '{split}'. Received: {statistics.split_names}."
        )
    path = files.join(artifact_utils.get_split_uri([statistics], split), _STATISTICS)
    if not fileio.exists(path):
        raise DataError(f"`statistics` has no file '{path}'.")
    found = statistics_pb2.DatasetFeatureStatisticsList()
    found.ParseFromString(io_utils.read_bytes_file(path))
    return found.datasets[0]


def declared(
    schema: artifact.Artifact | None,
    statistics: artifact.Artifact | None,
    split: str,
    needed: Iterable[str],
    payload: str = EXAMPLE,
) -> Schema | None:
    """The features' kinds, from a schema or else from statistics.

    Args:
      schema: artifact of SchemaGen.
      statistics: artifact of StatisticsGen.
      split: whose statistics count.
      needed: features that are asked for.
      payload: what the records are. In a schema of SequenceExamples the lists are nested where `Schema`
        does not look; their kinds are read off the records.

    Returns:
      None where neither tells all that is needed.
    """
    if schema is not None:
        found = Schema.load(schema_path(schema))
    elif statistics is not None:
        found = Schema(
            {
                feature.path.step[0] if feature.HasField("path") else feature.name: _KINDS[
                    feature.type
                ]
                for feature in read_statistics(statistics, split).features
                if feature.type in _KINDS
            }
        )
    else:
        return None
    if payload != EXAMPLE and not set(needed) <= set(found.kinds):
        return None
    return found
