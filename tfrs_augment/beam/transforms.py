"""PTransforms for pipelines of your own: read, clean, augment and write serialized tf.train.Examples.

They give the rows of `aug.beam.run`, in some ten times its time: Beam handles every record alone here, where
the job's unit of work is a file. Transforms that refuse records have two outputs,
the good ones and `Rejected` ones, so that nothing is lost in silence.

Example:
  with beam.Pipeline() as p:
      examples, damaged = p | aug.beam.ReadExamples("in/*.tfrecord.gz")
      augmented, rejected = examples | aug.beam.AugmentExamples(policy, copies=2, schema=schema)
      augmented | aug.beam.WriteExamples("out")
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.coders import BytesCoder
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue

from tfrs_augment import records
from tfrs_augment.beam import files, sources, tables
from tfrs_augment.beam.cleaning import Cleaning
from tfrs_augment.beam.cleaning.units import LearnedCleaning
from tfrs_augment.beam.job import check_arguments
from tfrs_augment.beam.sequences import EXAMPLE, PAYLOADS, payloads_of
from tfrs_augment.beam.units import frames_of, peek, plan, shared_augmenter
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

REJECTED = "rejected"
# A record's frame and columns take a few times its size while its buffer is augmented.
MAX_BUFFER_BYTES = 64 << 20


class Rejected(NamedTuple):
    """A record that could not be used.

    Attributes:
      record: its bytes; empty where it could not be read.
      reason: what is wrong with it, and for a record of a file its place.
    """

    record: bytes
    reason: str


def infer_schema(
    pattern: str | Sequence[str],
    *,
    compression: str = "auto",
    input_format: str = "tfrecord",
    payload: str = EXAMPLE,
) -> Schema:
    """The kinds of the features of files, read off their first records, for `AugmentExamples`.

    Args:
      pattern, compression, input_format: as of `ReadExamples`.
      payload: "example", or "sequence_example".

    Raises:
      DataError: no file matches, or none holds a record that can be read.
    """
    inputs = sources.find_inputs(pattern, input_format, compression)
    if input_format in tables.FORMATS:
        return sources.table_schema(inputs, input_format, None)[0]
    return peek(inputs, None, payload)


class ReadExamples(beam.PTransform):
    """Reads files as serialized tf.train.Examples (or SequenceExamples), CRCs checked.

    Args:
      pattern: a path or a glob, or several; for "tfds" a data set, such as "movielens/100k-ratings/train".
      compression: "none", "gzip", or "auto" (by the name: .gz is gzip).
      input_format: "tfrecord", "csv", "parquet" or "tfds".
      schema: kinds of columns of CSV and Parquet files; by default read off the first file.

    Returns:
      Two PCollections: `bytes`, and `Rejected`, what is damaged in the files.

    Raises:
      DataError: no file matches; in the running pipeline, a file cannot be read.
    """

    def __init__(
        self,
        pattern: str | Sequence[str],
        *,
        compression: str = "auto",
        input_format: str = "tfrecord",
        schema: Schema | None = None,
    ):
        super().__init__()
        self._inputs = sources.find_inputs(pattern, input_format, compression)
        self._format = input_format
        self._kinds = {}
        if input_format in tables.FORMATS:
            self._kinds = dict(sources.table_schema(self._inputs, input_format, schema)[0].kinds)

    def expand(self, pbegin):
        keyed = [(unit.shard, unit.files[0]) for unit in plan(self._inputs, None)]
        if self._format in tables.FORMATS:
            read = beam.ParDo(_ReadTable(self._format, self._kinds))
        else:
            read = beam.ParDo(_ReadRecords())
        return (
            pbegin
            | "Files" >> beam.Create(keyed)
            | "Spread" >> beam.GroupByKey()
            | "Read" >> read.with_outputs(REJECTED, main="examples")
        )


class _ReadRecords(beam.DoFn):
    """(number, [file]) -> its records."""

    def setup(self):
        records.warm_up()

    def process(self, keyed):
        (file,) = keyed[1]
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream):
                for rejection in frames.rejected:
                    place = json.dumps(sources.place_of(file, rejection.offset))
                    reason = f"{rejection.reason} {place}"
                    yield TaggedOutput(REJECTED, Rejected(b"", reason))
                yield from frames.payloads()


class _ReadTable(beam.DoFn):
    """(number, [table file]) -> its rows as serialized tf.train.Examples."""

    def __init__(self, input_format, kinds):
        self._format, self._kinds = input_format, kinds

    def setup(self):
        records.warm_up()

    def process(self, keyed):
        (file,) = keyed[1]
        for columns in tables.read_columns(file, self._format, self._kinds):
            yield from payloads_of(records.encode_rows(columns))


class AugmentExamples(beam.PTransform):
    """Augments a PCollection of serialized tf.train.Examples by a policy.

    Records are buffered within a bundle and go through the policy as a block. What comes of a row depends on
    its key features and the copy's number alone, never on the bundle or its neighbours. Rows keep their
    timestamps and windows, so bounded and unbounded PCollections work alike.

    Args:
      policy: the policy, with key features; fitted where its ops ask for it (`aug.beam.fit`, or
        `aug.ops.FittedState.load` on the fitted.json of a job).
      copies: augmented rows a source row; their draw numbers are 0 to copies - 1.
      schema: the features' kinds, for at least those that the policy names; see `infer_schema`.
      include_originals: whether the source rows are passed on too.
      provenance: whether augmented rows get `aug/parent_key`, `aug/draw`, `aug/policy` and `sample_weight`.
      payload: "example", or "sequence_example" for tf.train.SequenceExample: its context features are the
        row's features, and feature lists with one value a step its ragged ones; others stay as they are.
      buffer_rows: the most records that are held at a time, default 4096; fewer where they are large.

    Returns:
      Two PCollections: `bytes`, and `Rejected`, the records that cannot be augmented.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or the policy is not fitted.
      UnknownFeatureError: the policy names a feature that the schema does not have.
      DataError: a feature is of a kind that its op does not take.

    Example:
      augmented, rejected = examples | aug.beam.AugmentExamples(policy, copies=2, schema=schema)
    """

    def __init__(
        self,
        policy: AugmentationPolicy,
        copies: int = 1,
        *,
        schema: Schema,
        include_originals: bool = True,
        provenance: bool = True,
        payload: str = EXAMPLE,
        buffer_rows: int = 4096,
    ):
        super().__init__()
        check_arguments(policy, copies, include_originals)
        if payload not in PAYLOADS:
            raise InvalidArgumentError(
                f"`payload` must be one of {PAYLOADS}. Received: payload={payload!r}."
            )
        check_buffered(schema, buffer_rows)
        if missing := policy.missing_requirements():
            raise InvalidArgumentError(
                f"`policy` must be fitted, for a stream has no end to fit on. Missing: {missing[0]}. "
                "Pass policy.with_fitted(state), with the state of aug.beam.fit."
            )
        policy.check(schema)
        self._fn = _Augment(
            buffer_rows,
            policy=policy,
            kinds=dict(schema.kinds),
            copies=copies,
            include_originals=include_originals,
            provenance=provenance,
            payload=payload,
        )

    def expand(self, examples):
        return examples | "Augment" >> beam.ParDo(self._fn).with_outputs(REJECTED, main="augmented")


class CleanExamples(beam.PTransform):
    """Applies cleaning rules to a PCollection of serialized tf.train.Examples, before `AugmentExamples`.

    Rules that learn from the whole data (duplicates, quartiles, bots, means) are for the job alone, since a
    bundle does not know the others.

    Args:
      cleaning: the rules.
      schema: the features' kinds, for at least those that the rules name; see `infer_schema`.
      buffer_rows: as of `AugmentExamples`.

    Returns:
      Two PCollections: `bytes`, the rows that are left, and `Rejected`, those that a rule dropped.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or a rule learns from the whole data.
      UnknownFeatureError: a rule names a feature that the schema does not have.
      DataError: a feature is of a kind that its rule does not take.
    """

    def __init__(self, cleaning: Cleaning, *, schema: Schema, buffer_rows: int = 4096):
        super().__init__()
        if not isinstance(cleaning, Cleaning):
            raise InvalidArgumentError(
                f"`cleaning` must be an aug.beam.cleaning.Cleaning. Received: cleaning={cleaning!r}."
            )
        check_buffered(schema, buffer_rows)
        if learning := cleaning.next_pass(()):
            raise InvalidArgumentError(
                "`cleaning` must hold rules that judge a row by itself, for a bundle does not know the "
                f"whole data. Received: {cleaning.rules[learning[0]]}. Pass it to aug.beam.run instead."
            )
        cleaning.check(schema)
        kinds = {name: records.KINDS[schema.kinds[name]] for name in cleaning.features}
        self._fn = _Clean(buffer_rows, cleaning=LearnedCleaning(cleaning, kinds))

    def expand(self, examples):
        return examples | "Clean" >> beam.ParDo(self._fn).with_outputs(REJECTED, main="cleaned")


def check_buffered(schema: Schema, buffer_rows: int) -> None:
    """Checks the arguments that transforms on buffers of records have in common.

    Raises:
      InvalidArgumentError: one breaks its rule.
    """
    if not isinstance(buffer_rows, int) or buffer_rows < 1:
        raise InvalidArgumentError(
            f"`buffer_rows` must be an integer of at least 1. Received: buffer_rows={buffer_rows!r}."
        )
    if not isinstance(schema, Schema):
        raise InvalidArgumentError(
            "`schema` must be a Schema, such as aug.beam.infer_schema(pattern). "
            f"Received: schema={schema!r}."
        )


class Buffered(beam.DoFn):
    """Serialized records -> what `work` makes of a buffer of them, in the windows that they came in."""

    def __init__(self, buffer_rows: int, **arguments):
        self._buffer_rows, self._arguments = buffer_rows, arguments

    def setup(self):
        records.warm_up()

    def work(
        self, frames: records.Frames
    ) -> tuple[list[records.Rejection], Iterable[tuple[np.ndarray, np.ndarray]]]:
        """What a buffer gives.

        Args:
          frames: the records; their `file_offsets` are their numbers.

        Returns:
          The rejections, by number; and pairs of numbers and framed records made of those.
        """
        raise TypeError(f"{type(self).__name__} must define work(frames).")

    def start_bundle(self):
        self._buffer: list[WindowedValue] = []
        self._bytes = 0

    def process(self, record, timestamp=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
        if not isinstance(record, bytes):
            raise DataError(
                "the elements must be the bytes of serialized records. "
                f"Received: {type(record).__name__}."
            )
        self._buffer.append(WindowedValue(record, timestamp, [window]))
        self._bytes += len(record)
        if len(self._buffer) >= self._buffer_rows or self._bytes >= MAX_BUFFER_BYTES:
            yield from self._flush()

    def finish_bundle(self):
        yield from self._flush()

    def _flush(self) -> Iterator:
        buffer, self._buffer, self._bytes = self._buffer, [], 0
        if not buffer:
            return
        frames = records.Frames.from_payloads([element.value for element in buffer])
        frames = dataclasses.replace(frames, file_offsets=np.arange(len(buffer)))
        rejected, made = self.work(frames)
        count("read", len(buffer))
        count(REJECTED, len(rejected))
        for rejection in rejected:
            element = buffer[rejection.offset]
            refused = Rejected(element.value, rejection.reason)
            yield TaggedOutput(REJECTED, element.with_value(refused))
        for numbers, framed in made:
            for number, payload in zip(numbers.tolist(), payloads_of(framed), strict=True):
                yield buffer[number].with_value(payload)


def count(name: str, number: int) -> None:
    """Adds to a counter of the pipeline."""
    beam.metrics.Metrics.counter("tfrs_augment", name).inc(number)


class _Augment(Buffered):
    def setup(self):
        super().setup()
        a = self._arguments
        self._augmenter = shared_augmenter(
            a["policy"], a["kinds"], a["provenance"], payload=a["payload"]
        )

    def work(self, frames):
        block = self._augmenter.decode(frames)
        return block.rejected, self._made(block) if block.n else ()

    def _made(self, block):
        if self._arguments["include_originals"]:
            yield block.file_offsets, self._augmenter.originals(block)
        for draw in range(self._arguments["copies"]):
            framed, _ = self._augmenter.augment(block, draw)
            count("made", block.n)
            yield block.file_offsets, framed


class _Clean(Buffered):
    def work(self, frames):
        cleaner = self._arguments["cleaning"].for_unit(0)
        cleaned = cleaner.clean(frames, 0).frames()
        begin, end = cleaned.offsets[0], cleaned.offsets[-1]
        return cleaned.rejected, [(cleaned.file_offsets, cleaned.data[begin:end])]


class WriteExamples(beam.PTransform):
    """Writes serialized records as TFRecord shards into a folder, through Beam's own sink.

    The shards appear under their names when all are whole. There is no manifest and no item count: those are
    the job's.

    Args:
      output: the folder; the files are `augmented-00000-of-00004.tfrecord[.gz]`.
      num_shards: the number of files; 0, the default, leaves it to the runner.
      compression: "none" or "gzip".
    """

    def __init__(self, output: str, *, num_shards: int = 0, compression: str = "none"):
        super().__init__()
        if compression not in ("none", "gzip"):
            raise InvalidArgumentError(
                f'`compression` must be "none" or "gzip". Received: compression={compression!r}.'
            )
        if not isinstance(num_shards, int) or num_shards < 0:
            raise InvalidArgumentError(
                f"`num_shards` must be an integer of at least 0. Received: num_shards={num_shards!r}."
            )
        self._output, self._num_shards, self._gzip = output, num_shards, compression == "gzip"

    def expand(self, examples):
        return examples | "Write" >> beam.io.WriteToTFRecord(
            files.join(self._output, "augmented"),
            coder=BytesCoder(),
            file_name_suffix=".tfrecord.gz" if self._gzip else ".tfrecord",
            num_shards=self._num_shards,
            compression_type=CompressionTypes.GZIP if self._gzip else CompressionTypes.UNCOMPRESSED,
        )
