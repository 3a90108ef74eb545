"""Examples artifacts: their splits, formats and properties, as ExampleGen leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apache_beam.io.filesystems import FileSystems
from tfx.components.example_gen import utils as example_gen_utils
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact, artifact_utils
from tfx.utils import io_utils

from tfrs_augment.beam.sequences import EXAMPLE, SEQUENCE_EXAMPLE
from tfrs_augment.errors import DataError, InvalidArgumentError, close_matches

_PAYLOADS = {
    example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE: EXAMPLE,
    example_gen_pb2.PayloadFormat.FORMAT_TF_SEQUENCE_EXAMPLE: SEQUENCE_EXAMPLE,
}
# Both names stand for the same format in TFX.
_FILE_FORMATS = ("tfrecords_gzip", "FORMAT_TFRECORDS_GZIP")
_NUMBERS = (example_gen_utils.SPAN_PROPERTY_NAME, example_gen_utils.VERSION_PROPERTY_NAME)


def single(
    artifacts: Mapping[str, Sequence[artifact.Artifact]], key: str
) -> artifact.Artifact | None:
    """The artifact of a channel, or None where the channel is optional and not given.

    Raises:
      InvalidArgumentError: the channel holds several artifacts.
    """
    found = list(artifacts.get(key) or ())
    if len(found) > 1:
        raise InvalidArgumentError(
            f"`{key}` must hold one artifact. Received: {len(found)}, {[a.uri for a in found]}. "
            "Join the spans in ExampleGen, or use one component for each."
        )
    return found[0] if found else None


def payload_of(examples: artifact.Artifact) -> str:
    """What the records of an Examples artifact are: "example" or "sequence_example".

    Raises:
      DataError: they are of another payload or file format.
    """
    payload = examples_utils.get_payload_format(examples)
    file_format = examples_utils.get_file_format(examples)
    if payload not in _PAYLOADS or file_format not in _FILE_FORMATS:
        raise DataError(
            "`examples` must be FORMAT_TF_EXAMPLE or FORMAT_TF_SEQUENCE_EXAMPLE in files of "
            f"'tfrecords_gzip'. Received: {example_gen_pb2.PayloadFormat.Name(payload)} in '{file_format}' "
            f"({examples.uri}). Let ExampleGen write tf.train.Example, its default."
        )
    return _PAYLOADS[payload]


def check_splits(examples: artifact.Artifact, splits: Sequence[str]) -> list[str]:
    """The names of all splits of an artifact, among which `splits` must be.

    Raises:
      InvalidArgumentError: one of them is not.
    """
    known = artifact_utils.decode_split_names(examples.split_names)
    for split in splits:
        if split not in known:
            raise InvalidArgumentError(
                f"`splits` must name splits of `examples`. Received: '{split}'. "
                f"{close_matches(split, known)}"
            )
    return known


def split_files(examples: artifact.Artifact, split: str) -> list[str]:
    """The data files of a split, sorted.

    Raises:
      DataError: there are none.
    """
    (pattern,) = examples_utils.get_split_file_patterns([examples], split)
    paths = sorted(file.path for file in FileSystems.match([pattern])[0].metadata_list)
    if not paths:
        raise DataError(f"`examples`: split '{split}' has no file. Received: {pattern}.")
    return paths


def split_folder(examples: artifact.Artifact, split: str) -> str:
    """The folder of a split of an artifact whose `split_names` are set."""
    return artifact_utils.get_split_uri([examples], split)


def describe_like(source: artifact.Artifact, target: artifact.Artifact) -> None:
    """Gives a new Examples artifact the splits, formats, span and version of another.

    ExampleGen keeps span and version as custom properties and leaves the declared ones of those names unset;
    other sources set the declared ones. Each is carried where it is.
    """
    target.split_names = source.split_names
    examples_utils.set_payload_format(target, examples_utils.get_payload_format(source))
    examples_utils.set_file_format(target, examples_utils.get_file_format(source))
    for name in _NUMBERS:
        if name in source.mlmd_artifact.properties:
            setattr(target, name, getattr(source, name))
        if source.has_custom_property(name):
            target.set_int_custom_property(name, int(source.get_custom_property(name)))


def copy_split(source: artifact.Artifact, target: artifact.Artifact, split: str) -> None:
    """Copies the files of a split byte for byte."""
    folder = split_folder(target, split)
    fileio.makedirs(folder)
    for path in split_files(source, split):
        io_utils.copy_file(path, FileSystems.join(folder, FileSystems.split(path)[1]))
