"""Checks on rows: labels against those of the source rows, and what synthesized rows give away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_augment.beam.blocks import PARENT_KEY
from tfrs_augment.beam.reading import read_rows
from tfrs_augment.beam.synthetic import JOB_FEATURES, SYNTHESIZER
from tfrs_augment.components.validator.findings import Finding, Thresholds
from tfrs_augment.evaluation import measure_privacy
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

_BATCH = 4096
_DTYPES = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}


def check_labels(
    policy: AugmentationPolicy,
    label: str,
    schema: Schema,
    sources: Sequence[str],
    augmented: Sequence[str],
    split: str,
    thresholds: Thresholds,
) -> Finding:
    """Judges the share of augmented rows that have another label than their source row.

    A row and its sources are joined by `aug/parent_key`; two numbers of 8 bytes a row are held in memory.

    Args:
      policy: whose key features make the keys.
      label: the feature.
      schema: kinds of the source rows' features.
      sources: the files of the split before.
      augmented: its files after.
      split: its name.
      thresholds: the bounds.
    """
    schema.require(label, ("bytes", "int64", "float"), "`label`")
    subject = f"'{label}' ({split})"
    spec = {n: _feature(schema, n) for n in dict.fromkeys((label, *policy.key_features))}
    keys, labels = [], []
    for batch in _batches(sources, spec):
        single = _single(batch, policy.key_features)
        columns = {
            n: tf.ragged.boolean_mask(batch[n], single).flat_values for n in policy.key_features
        }
        keys.append(policy.row_keys(columns).numpy())
        labels.append(_codes(tf.ragged.boolean_mask(batch[label], single)))
    known = _pairs(np.concatenate(keys), np.concatenate(labels))
    spec = {label: _feature(schema, label), PARENT_KEY: tf.io.RaggedFeature(tf.int64)}
    made, changed = 0, 0
    for batch in _batches(augmented, spec):
        parents = batch[PARENT_KEY]
        some = parents.row_lengths() == 1
        rows = _pairs(
            tf.ragged.boolean_mask(parents, some).flat_values.numpy().view(np.uint64),
            _codes(tf.ragged.boolean_mask(batch[label], some)),
        )
        made += len(rows)
        changed += int((~np.isin(rows, known)).sum())
    if not made:
        return Finding.left_out("labels", f"no row of '{split}' has `{PARENT_KEY}`")
    note = f"share of {made:,} augmented rows with another label than their source row"
    return Finding.judged("labels", subject, changed / made, thresholds.max_label_changes, note)


def check_privacy(
    sources: Sequence[str],
    augmented: Sequence[str],
    holdout: Sequence[str],
    schema: Schema,
    leave_out: Sequence[str],
    split: str,
    thresholds: Thresholds,
) -> Iterator[Finding]:
    """Judges what synthesized rows give away of the source rows; rows that are none are no subject.

    Args:
      sources: the files of the split before.
      augmented: its files after.
      holdout: files of real rows that were not learnt.
      schema: kinds of the source rows' features.
      leave_out: features that are not compared, such as ids.
      split: its name.
      thresholds: the bounds.
    """
    names = _synthesized_features(augmented)
    if names is None:
        yield Finding.left_out("privacy", f"no row of '{split}' is synthesized")
        return
    columns = [n for n in sorted(schema.kinds) if n in names and n not in leave_out]
    columns = [n for n in columns if n not in JOB_FEATURES]
    kinds = {**schema.kinds, SYNTHESIZER: "bytes"}
    rows = read_rows(
        augmented, columns=[*columns, SYNTHESIZER], schema=Schema(kinds), input_compression="gzip"
    ).table
    made = rows.pop(SYNTHESIZER) != b""
    real = [
        read_rows(files, columns=columns, schema=schema, input_compression="gzip").table
        for files in (sources, holdout)
    ]
    synthetic = {name: values[made] for name, values in rows.items()}
    found = measure_privacy(real[0], synthetic, holdout=real[1], columns=columns)
    notes = {
        "closer_to_train": "share of synthesized rows nearer to training than to held-out rows",
        "copies": "share of synthesized rows that equal a training row, less that of held-out rows",
        "membership_auc": "how well nearness to synthesized rows tells training rows",
    }
    for name, note in notes.items():
        bound = getattr(thresholds, f"max_{name}")
        if bound is not None:
            low, high = found.intervals[name]
            note = f"{note}; 95 % interval [{low:.3f}, {high:.3f}]"
            yield Finding.judged("privacy", f"{name} ({split})", found.values[name], bound, note)


def serialized(paths: Sequence[str]) -> tf.data.Dataset:
    """The records of gzipped TFRecord files."""
    return tf.data.TFRecordDataset(list(paths), "GZIP")


def _batches(paths: Sequence[str], spec: Mapping[str, tf.io.RaggedFeature]):
    return serialized(paths).batch(_BATCH).map(lambda records: tf.io.parse_example(records, spec))


def _feature(schema: Schema, name: str) -> tf.io.RaggedFeature:
    return tf.io.RaggedFeature(_DTYPES[schema.kinds[name]])


def _single(batch: Mapping[str, tf.RaggedTensor], names: Sequence[str]) -> tf.Tensor:
    """Which rows have one value of each feature: only those can be augmented."""
    return tf.reduce_all(tf.stack([batch[name].row_lengths() == 1 for name in names]), axis=0)


def _codes(column: tf.RaggedTensor) -> np.ndarray:
    """uint64 `[n]`, a hash of each row's values."""
    flat = column.flat_values
    text = flat if flat.dtype == tf.string else tf.strings.as_string(flat)
    joined = tf.strings.reduce_join(column.with_flat_values(text), axis=1, separator="\x1f")
    hashed = tf.strings.to_hash_bucket_strong(joined, 2**62, key=[1, 2])
    return hashed.numpy().astype(np.uint64)


def _pairs(keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`[n]` of pairs that compare as one value."""
    return np.stack([keys, labels], axis=1).view([("key", np.uint64), ("label", np.uint64)])[:, 0]


def _synthesized_features(paths: Sequence[str]) -> set[str] | None:
    """The features of the first synthesized rows; None where there is no such row."""
    spec = {SYNTHESIZER: tf.io.RaggedFeature(tf.string)}
    for records in serialized(paths).batch(_BATCH):
        some = tf.io.parse_example(records, spec)[SYNTHESIZER].row_lengths() > 0
        if bool(tf.reduce_any(some)):
            made = tf.boolean_mask(records, some).numpy()
            return {n for r in made for n in tf.train.Example.FromString(r).features.feature}
    return None
