"""Blocks of records through a policy: the border between the codec's arrays and TensorFlow's tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrs_augment import records
from tfrs_augment.ops.image.encoded import undecodable
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.records import ABSENT, BYTES, FLOAT, INT64, LISTED, Block, Column, Edit

PARENT_KEY, DRAW, POLICY, WEIGHT = "aug/parent_key", "aug/draw", "aug/policy", "sample_weight"
PROVENANCE: Mapping[str, int] = {PARENT_KEY: INT64, DRAW: INT64, POLICY: BYTES, WEIGHT: FLOAT}
"""The features that tell where an augmented row comes from."""


def canonicalize(payload: bytes) -> bytes:
    """A record in any valid encoding, in the canonical one: the slow path, one record at a time.

    Fields that tf.train.Example does not have are dropped.

    Raises:
      ValueError: the record is no tf.train.Example.
    """
    try:
        example = tf.train.Example.FromString(payload)
    except DecodeError as error:
        raise ValueError("the record is no tf.train.Example") from error
    # Built anew from what is known: DiscardUnknownFields leaves those inside a map's values in protobuf 3.20,
    # which also writes a map that nobody has looked into as it came, duplicate keys included.
    canonical = tf.train.Example()
    canonical.features.SetInParent()
    for name, feature in example.features.feature.items():
        made = canonical.features.feature[name]
        kind = feature.WhichOneof("kind")
        if kind is not None:
            values = getattr(made, kind)
            values.SetInParent()
            values.value.extend(getattr(feature, kind).value)
    return canonical.SerializeToString(deterministic=True)


class BlockAugmenter:
    """Augments blocks of records by one policy.

    Args:
      policy: the policy, fitted where its ops ask for it.
      kinds: feature name to kind, for at least the features that the policy changes or reads keys from.
      provenance: whether augmented rows get the features of `PROVENANCE`.
      item_features: features whose values are counted.
    """

    def __init__(
        self,
        policy: AugmentationPolicy,
        kinds: Mapping[str, str],
        *,
        provenance: bool = True,
        item_features: Sequence[str] = (),
    ):
        self._policy = policy
        self._keys = policy.key_features
        self._item_features = tuple(item_features)
        self._inputs = tuple(dict.fromkeys((*policy.features, *policy.key_features)))
        self.kinds = {
            name: records.KINDS[kinds[name]] for name in (*self._inputs, *self._item_features)
        }
        self._added: dict[str, int] = {}
        if provenance:
            # A data set may hold weights of another kind; those stay as they are.
            wanted = {
                n: k for n, k in PROVENANCE.items() if records.KINDS.get(kinds.get(n), k) == k
            }
            self._added = {n: k for n, k in wanted.items() if n not in self.kinds}
            self.kinds.update(self._added)
        # Features that were seen with other than one value a row stay ragged from then on, so that a
        # worker traces at most once a feature. How a column is laid out does not change what is drawn.
        # Lists are ragged from the start: a block may happen to hold lists of one value only.
        self._aligned = tuple(
            part.aligned for op in policy.ops for part in op.parts() if part.aligned
        )
        self._encoded = tuple(
            dict.fromkeys(n for op in policy.ops for part in op.parts() for n in part.encoded)
        )
        self._ragged = {name for names in self._aligned for name in names}
        self._functions: dict[frozenset[str], tf.types.experimental.GenericFunction] = {}

    def decode(self, frames: records.Frames) -> Block:
        """The records of a block that can be augmented; the others are in its `rejected`."""
        block = records.decode(frames, self.kinds, canonicalize)
        reasons = self._reasons(block)
        return without(block, reasons) if reasons else block

    def _reasons(self, block: Block) -> dict[int, str]:
        """Why rows cannot be augmented, by row.

        No key, a number that is none, lists that do not match, an image that cannot be decoded.
        """
        reasons = without_key(block, self._keys)
        for name in self._inputs:
            column = block.column(name)
            if column.kind == FLOAT:
                lengths = np.diff(column.row_splits)
                rows = np.repeat(np.arange(block.n), lengths)[~np.isfinite(column.values)]
                for i in np.unique(rows).tolist():
                    reasons.setdefault(
                        i, f"feature {name!r} must be finite. Received: NaN or infinity"
                    )
        for features in self._aligned:
            reasons = unequal(block, features) | reasons
        for name in self._encoded:
            images = to_features({name: block.column(name)})[name]
            rows = images.value_rowids().numpy()
            for i, reason in undecodable(images.flat_values, name).items():
                reasons.setdefault(int(rows[i]), reason)
        return reasons

    def keys(self, block: Block) -> tf.Tensor:
        """The rows' keys, uint64 `[n]`."""
        features = to_features({name: block.column(name) for name in self._keys})
        return self._policy.row_keys({name: c.flat_values for name, c in features.items()})

    def originals(self, block: Block, weights: np.ndarray | None = None) -> np.ndarray:
        """The records as they were read, framed; with their weight multiplied by `weights` if given."""
        if weights is None:
            return block.frames[block.offsets[0] : block.offsets[-1]]
        return block.encode({WEIGHT: _weighted(block, weights)})

    def augment(
        self, block: Block, draw: int, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, Mapping[str, Column]]:
        """One augmented copy of each record of a block.

        Args:
          block: what `decode` returned.
          draw: the draw number.
          weights: float `[n]`, what the rows' weight is multiplied by.

        Returns:
          The framed records as uint8, and the columns that the policy changed.
        """
        inputs = {name: block.column(name) for name in self._inputs}
        for name, column in inputs.items():
            if np.any(np.diff(column.row_splits) != 1):
                self._ragged.add(name)
        tensors = {name: _to_tensors(column) for name, column in inputs.items()}
        keys, results = self._function()(tensors, tf.constant(draw, tf.int64))
        changed = {name: _from_tensors(inputs[name], result) for name, result in results.items()}
        edits = {
            name: Edit(column, rows=column.state == LISTED) for name, column in changed.items()
        }
        edits.update(self._provenance(block, keys.numpy().view(np.int64), draw))
        if weights is not None:
            edits[WEIGHT] = _weighted(block, weights)
        return block.encode(edits), changed

    def _provenance(self, block: Block, keys: np.ndarray, draw: int) -> dict[str, Edit]:
        edits = {
            PARENT_KEY: Edit(Column(INT64, np.arange(block.n + 1), values=keys)),
            DRAW: Edit.constant(INT64, [draw]),
            POLICY: Edit.constant(BYTES, [self._policy.fingerprint.encode()]),
        }
        if WEIGHT in self._added:
            edits[WEIGHT] = Edit.constant(FLOAT, [1.0], rows=block.column(WEIGHT).state == ABSENT)
        return {name: edit for name, edit in edits.items() if name in self._added}

    def items(self, block: Block, changed: Mapping[str, Column]) -> dict[str, dict]:
        """How often each value of the item features occurs: bytes or integers to counts, by feature."""
        columns = {name: changed.get(name) for name in self._item_features}
        return {n: value_counts(block.column(n) if c is None else c) for n, c in columns.items()}

    def _function(self):
        """The policy as a graph over raw arrays, for the layout of the features seen so far."""
        layout = frozenset(self._ragged)
        if layout not in self._functions:
            traced = functools.partial(self._augment_tensors, layout)
            self._functions[layout] = tf.function(traced, autograph=False, reduce_retracing=True)
        return self._functions[layout]

    def _augment_tensors(self, layout: frozenset[str], tensors, draw: tf.Tensor):
        features = {}
        for name, (values, row_splits) in tensors.items():
            if values.dtype == tf.string:
                values = tf.ensure_shape(tf.io.parse_tensor(values, tf.string), [None])
            ragged = name in layout
            features[name] = (
                tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
                if ragged
                else values
            )
        scalars = {
            n: (c.flat_values if n in layout else c) for n, c in features.items() if n in self._keys
        }
        keys = self._policy.row_keys(scalars)
        augmented = self._policy.augment(features, draw=draw, keys=keys)
        results = {}
        for name in self._policy.features:
            column = augmented[name]
            values = column.flat_values if isinstance(column, tf.RaggedTensor) else column
            row_splits = column.row_splits if isinstance(column, tf.RaggedTensor) else None
            if values.dtype == tf.string:
                values = (tf.strings.length(values), tf.strings.reduce_join(values))
            results[name] = (values, row_splits)
        return tf.bitcast(keys, tf.int64), results


def _weighted(block: Block, weights: np.ndarray) -> Edit:
    """The rows' `sample_weight` times a factor; rows without one have 1."""
    column = block.column(WEIGHT)
    single = np.flatnonzero(np.diff(column.row_splits) == 1)
    values = weights.astype(np.float32)
    values[single] *= column.values[column.row_splits[single]]
    return Edit(Column(FLOAT, np.arange(block.n + 1), values=values))


def _to_tensors(column: Column):
    """A column's values and row splits; bytes as a serialized tensor, which costs a fifth of objects."""
    if column.kind == BYTES:
        values = tf.constant(records.pack_strings(column.value_offsets, column.data))
    else:
        values = tf.constant(column.values)
    return values, tf.constant(column.row_splits)


def _from_tensors(source: Column, result) -> Column:
    """The column that came out of TensorFlow; rows without the feature in the source have none still."""
    values, row_splits = result
    row_splits = source.row_splits if row_splits is None else row_splits.numpy()
    if source.kind != BYTES:
        return Column(source.kind, row_splits, values=values.numpy(), state=source.state)
    lengths, joined = values
    value_offsets, data = records.unpack_strings(lengths.numpy(), joined.numpy())
    return Column(BYTES, row_splits, value_offsets=value_offsets, data=data, state=source.state)


def value_counts(column: Column) -> dict:
    """How often each value of a bytes or integer column occurs."""
    if column.kind == INT64:
        values, counts = np.unique(column.values, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))
    codes, first = records.unique(column.value_offsets, column.data)
    counts = np.bincount(codes, minlength=len(first))
    data, offsets = column.data.tobytes(), column.value_offsets
    return {
        data[offsets[i] : offsets[i + 1]]: count
        for i, count in zip(first.tolist(), counts.tolist(), strict=True)
    }


def to_features(columns: Mapping[str, Column]) -> dict[str, tf.RaggedTensor]:
    """Columns as ragged tensors, for fitting."""
    features = {}
    for name, column in columns.items():
        values, row_splits = _to_tensors(column)
        if column.kind == BYTES:
            values = tf.io.parse_tensor(values, tf.string)
        features[name] = tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
    return features


def without_key(block: Block, names: Iterable[str]) -> dict[int, str]:
    """Which rows have not one value of each key feature, and why."""
    reasons: dict[int, str] = {}
    for name in names:
        lengths = np.diff(block.column(name).row_splits)
        for i in np.flatnonzero(lengths != 1).tolist():
            found = "none" if lengths[i] == 0 else f"{lengths[i]} values"
            reasons.setdefault(i, f"key feature {name!r} must have one value. Received: {found}")
    return reasons


def unequal(block: Block, features: Sequence[str]) -> dict[int, str]:
    """Which rows have not equally many values of some features, and why."""
    reasons: dict[int, str] = {}
    first, *others = features
    lengths = np.diff(block.column(first).row_splits)
    for name in others:
        other = np.diff(block.column(name).row_splits)
        for i in np.flatnonzero(lengths != other).tolist():
            reasons.setdefault(
                i,
                f"features {first!r} and {name!r} must have equally many values. "
                f"Received: {lengths[i]} and {other[i]}",
            )
    return reasons


def without(block: Block, reasons: Mapping[int, str]) -> Block:
    """A block without some rows, which join its rejected ones."""
    sizes = np.diff(block.offsets)
    keep = np.ones(block.n, bool)
    keep[list(reasons)] = False
    kept = block.take(keep)
    kept.rejected = sorted(
        block.rejected
        + [
            records.Rejection(int(block.file_offsets[i]), int(sizes[i]), reason)
            for i, reason in reasons.items()
        ]
    )
    return kept
