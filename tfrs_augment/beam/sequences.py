"""tf.train.SequenceExample through a policy: protobuf in and out of the columns, one record at a time.

This is the slow path: some fifteen times the time that tf.train.Example takes.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrs_augment.beam.blocks import PROVENANCE, BlockAugmenter
from tfrs_augment.records import KIND_NAMES, Block, Column, Frames, Rejection, frame

EXAMPLE, SEQUENCE_EXAMPLE = "example", "sequence_example"
PAYLOADS = (EXAMPLE, SEQUENCE_EXAMPLE)


def to_example(payload: bytes, kinds: Mapping[str, int] | None = None) -> bytes:
    """The features of a SequenceExample that a policy can work on, as a tf.train.Example.

    A context feature is the row's feature. A feature list whose every step has one value is a feature with a
    value a step; feature lists of other shapes are left out.

    Args:
      payload: the serialized tf.train.SequenceExample.
      kinds: the features that are wanted, with their kinds; None takes all.

    Raises:
      ValueError: the record is no SequenceExample, or has a wanted name in both places.
    """
    sequence = _parse(payload)
    example = tf.train.Example()
    features = example.features.feature
    for name, feature in sequence.context.feature.items():
        if kinds is None or name in kinds:
            features[name].CopyFrom(feature)
    for name, feature_list in sequence.feature_lists.feature_list.items():
        if kinds is not None and name not in kinds:
            continue
        if name in sequence.context.feature:
            raise ValueError(f"feature {name!r} is in the context and in the feature lists")
        steps = feature_list.feature
        if steps and (field := _field_of(steps)) is not None:
            values = [getattr(step, field).value[0] for step in steps]
            getattr(features[name], field).value.extend(values)
        elif not steps and kinds is not None:
            getattr(features[name], f"{KIND_NAMES[kinds[name]]}_list").SetInParent()
    return example.SerializeToString(deterministic=True)


def with_features(payload: bytes, example: bytes, names: Collection[str]) -> bytes:
    """A SequenceExample with features of an Example in place of its own; all else as it was.

    Args:
      payload: the serialized SequenceExample.
      example: what `to_example` gave for it, changed since.
      names: the features to take over. One that the SequenceExample has not goes to its context.
    """
    sequence = _parse(payload)
    changed = tf.train.Example.FromString(example).features.feature
    lists = sequence.feature_lists.feature_list
    for name in names:
        if name not in changed:
            continue
        if name not in lists:
            sequence.context.feature[name].CopyFrom(changed[name])
            continue
        steps = lists[name].feature
        if steps and _field_of(steps) is None:
            continue
        field = changed[name].WhichOneof("kind")
        del steps[:]
        for value in getattr(changed[name], field).value:
            getattr(steps.add(), field).value.append(value)
    return sequence.SerializeToString(deterministic=True)


def _parse(payload: bytes) -> tf.train.SequenceExample:
    try:
        return tf.train.SequenceExample.FromString(payload)
    except DecodeError as error:
        raise ValueError("the record is no tf.train.SequenceExample") from error


def _field_of(steps) -> str | None:
    """The field that holds the one value of every step; None where the steps are of another shape."""
    field = steps[0].WhichOneof("kind")
    if field is None:
        return None
    for step in steps:
        if step.WhichOneof("kind") != field or len(getattr(step, field).value) != 1:
            return None
    return field


def payloads_of(framed: np.ndarray) -> Iterator[bytes]:
    """The payloads of framed records that lie one after the other."""
    data, position = framed.tobytes(), 0
    while position < len(data):
        (size,) = struct.unpack_from("<Q", data, position)
        yield data[position + 12 : position + 12 + size]
        position += size + 16


@dataclasses.dataclass(eq=False)
class SequenceBlock:
    """SequenceExamples with their features located; to the job what a `records.Block` is.

    Attributes:
      source: the records as they were read, those alone that can be augmented.
      examples: the same records as Examples of the wanted features.
      rejected: the records left out.
    """

    source: Frames
    examples: Block
    rejected: list[Rejection]
    slow_count: int = 0

    @property
    def n(self) -> int:
        return len(self.source)

    @property
    def frames(self) -> np.ndarray:
        return self.source.data

    @property
    def offsets(self) -> np.ndarray:
        return self.source.offsets

    @property
    def file_offsets(self) -> np.ndarray:
        return self.source.file_offsets

    def column(self, name: str) -> Column:
        """The values of one wanted feature."""
        return self.examples.column(name)

    def take(self, mask: np.ndarray) -> SequenceBlock:
        """The records where the bool `mask` is true, with the same rejections."""
        return SequenceBlock(_take(self.source, mask), self.examples.take(mask), self.rejected)


def _take(frames: Frames, mask: np.ndarray) -> Frames:
    payloads = frames.payloads()
    kept = Frames.from_payloads([payloads[i] for i in np.flatnonzero(mask)])
    return dataclasses.replace(kept, file_offsets=frames.file_offsets[mask])


class SequenceAugmenter(BlockAugmenter):
    """Augments blocks of SequenceExamples by one policy, row for row as `BlockAugmenter` does Examples."""

    def decode(self, frames: Frames) -> SequenceBlock:
        """The records of a block that can be augmented; the others are in its `rejected`."""
        reasons: dict[int, str] = {}
        rows, examples = [], []
        for row, payload in enumerate(frames.payloads()):
            try:
                examples.append(to_example(payload, self.kinds))
                rows.append(row)
            except ValueError as error:
                reasons[row] = str(error)
        # A row's number in place of its offset: it comes back with the rejections.
        numbered = dataclasses.replace(
            Frames.from_payloads(examples), file_offsets=np.array(rows, np.int64)
        )
        block = super().decode(numbered)
        reasons.update({rejection.offset: rejection.reason for rejection in block.rejected})
        if not reasons:
            return SequenceBlock(frames, block, frames.rejected)
        keep = np.ones(len(frames), bool)
        keep[list(reasons)] = False
        sizes = np.diff(frames.offsets)
        rejected = [
            Rejection(int(frames.file_offsets[row]), int(sizes[row]), reason)
            for row, reason in reasons.items()
        ]
        return SequenceBlock(_take(frames, keep), block, sorted(frames.rejected + rejected))

    def originals(self, block: SequenceBlock, weights: np.ndarray | None = None) -> np.ndarray:
        """The records as they were read, framed; with their weight multiplied by `weights` if given."""
        if weights is None:
            return block.frames[block.offsets[0] : block.offsets[-1]]
        return self._merged(block, super().originals(block.examples, weights))

    def augment(
        self, block: SequenceBlock, draw: int, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, Mapping[str, Column]]:
        """One augmented copy of each record of a block; see `BlockAugmenter.augment`."""
        framed, changed = super().augment(block.examples, draw, weights)
        return self._merged(block, framed), changed

    def _merged(self, block: SequenceBlock, framed: np.ndarray) -> np.ndarray:
        names = tuple(dict.fromkeys((*self._policy.features, *PROVENANCE)))
        pairs = zip(block.source.payloads(), payloads_of(framed), strict=True)
        merged = frame([with_features(payload, example, names) for payload, example in pairs])
        return np.frombuffer(merged, np.uint8)
