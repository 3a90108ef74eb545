"""`verify`: a finished output, recounted by TensorFlow's own reader and parser, against its manifest.

Nothing here reads with the codec that wrote the records, so a fault of the codec would show.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrs_augment.beam import files
from tfrs_augment.beam.blocks import DRAW, PARENT_KEY, POLICY
from tfrs_augment.beam.files import FITTED
from tfrs_augment.beam.sequences import EXAMPLE
from tfrs_augment.beam.synthetic import SYNTHESIZER
from tfrs_augment.errors import AugmentError, OutputError
from tfrs_augment.ops import FittedState
from tfrs_augment.policy import AugmentationPolicy

ITEM_COUNTS = "item_counts.json"

_BATCH = 4096
_WRITTEN = ("kept", "made", "synthesized")
"""The counts of what is written; manifests of before there were synthesized rows lack the last."""
_DTYPES = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}


@dataclasses.dataclass(frozen=True)
class Verification:
    """What a recount found.

    Attributes:
      output: the folder.
      records: how many records its shards hold.
      shards: how many shards it has.
      differences: a sentence each; none where the output is what its manifest says.
    """

    output: str
    records: int
    shards: int
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the output is what its manifest says."""
        return not self.differences

    def __str__(self) -> str:
        shards = f"{self.shards} shard{'s' if self.shards != 1 else ''}"
        found = f"{self.records:,} records in {shards} of {self.output}"
        if self.ok:
            return f"{found}: as its manifest says"
        return "\n".join([f"{found}: {len(self.differences)} differences", *self.differences])


def verify(output: str) -> Verification:
    """Recounts a finished output and compares it with its manifest.

    Files and their sizes, records by shard, the checksum of every record, the fingerprint of the policy, the
    provenance of augmented records (policy, draw number, and that their parents' keys are those of the
    originals, where these were written) and of synthesized ones (synthesizer, and that each has a place of
    its own), item counts and the number of rejected records.

    Args:
      output: the folder that `run` wrote to.

    Returns:
      The differences, if there are any.

    Raises:
      OutputError: the folder holds no result, or its manifest cannot be read.

    Example:
      assert aug.beam.verify("out").ok
    """
    manifest = files.read_manifest(output)
    if manifest is None:
        raise OutputError(f"'{output}' holds no result: there is no {files.MANIFEST} in it.")
    try:
        return _Recount(output, manifest).run()
    except (KeyError, TypeError, AttributeError) as error:
        raise OutputError(
            f"The {files.MANIFEST} of '{output}' is not one of ours: {type(error).__name__} {error}."
        ) from error


class _Recount:
    """One pass over the files of an output."""

    def __init__(self, output: str, manifest: Mapping[str, Any]):
        self._output, self._manifest = output, manifest
        self._differences: list[str] = []
        self._records = 0
        self._complete = True  # Whether all records could be read; sums over a part say nothing.
        self._seen = collections.Counter()  # of _WRITTEN
        self._items: dict[str, collections.Counter] = {}
        self._keys_of_originals = _KeySum()
        self._keys_of_draw: dict[int, _KeySum] = collections.defaultdict(_KeySum)
        self._places = _KeySum()
        self._policy = self._read_policy()

    def run(self) -> Verification:
        manifest = self._manifest
        self._check_files()
        item_counts = {}
        # The parser of Examples sees the context of a SequenceExample alone; items may be in its lists.
        if ITEM_COUNTS in manifest["files"] and manifest.get("payload", EXAMPLE) == EXAMPLE:
            item_counts = self._read_json(ITEM_COUNTS)
        self._items = {name: collections.Counter() for name in item_counts or {}}
        for shard in manifest["shards"]:
            self._read_shard(shard)
        self._check_counts()
        if self._complete:
            self._compare("records", self._records, _written(manifest["counts"]))
            if manifest["provenance"]:
                self._check_provenance()
            for name, expected in (item_counts or {}).items():
                if self._items[name] != expected:
                    self._differ(
                        f"{ITEM_COUNTS}: the counts of '{name}' are not those of the records "
                        f"({_first_difference(self._items[name], expected)})"
                    )
        return Verification(
            self._output, self._records, len(manifest["shards"]), tuple(self._differences)
        )

    def _differ(self, text: str) -> None:
        self._differences.append(text)

    def _path(self, name: str) -> str:
        return files.join(self._output, name)

    def _read_json(self, name: str) -> Any:
        try:
            with tf.io.gfile.GFile(self._path(name), "r") as file:
                return json.loads(file.read())
        except (tf.errors.OpError, ValueError) as error:
            self._differ(f"{name} cannot be read: {error}")
            return None

    def _read_policy(self) -> AugmentationPolicy | None:
        """The policy of the manifest, whose fingerprint must be the manifest's."""
        manifest = self._manifest
        try:
            policy = AugmentationPolicy.from_config(manifest["policy"])
            if FITTED in manifest["files"]:
                policy = policy.with_fitted(FittedState.load(self._path(FITTED)))
        except AugmentError as error:
            self._differ(f"the policy of the manifest cannot be used: {error}")
            return None
        if policy.fingerprint != manifest["fingerprint"]:
            self._differ(
                f"fingerprint: the manifest says {manifest['fingerprint']}, its policy and fitted "
                f"statistics give {policy.fingerprint}"
            )
        return policy

    def _check_files(self) -> None:
        manifest = self._manifest
        listed = {*manifest["files"], files.MANIFEST}
        for name in sorted(listed):
            if not tf.io.gfile.exists(self._path(name)):
                self._differ(f"{name} is missing")
        for name in sorted(tf.io.gfile.listdir(self._output)):
            name = name.rstrip("/")
            if name.startswith(("augmented-", "rejected-", files.STAGING)) and name not in listed:
                self._differ(f"{name} is not in the manifest")
        found = 0
        for name in manifest["rejected_files"]:
            if tf.io.gfile.exists(self._path(name)):
                with tf.io.gfile.GFile(self._path(name), "r") as file:
                    found += sum(1 for line in file if line.strip())
        self._compare("rejected records", found, manifest["counts"]["rejected"])

    def _compare(self, what: str, found: int, said: int) -> None:
        if found != said:
            self._differ(f"{what}: {found:,} found, the manifest says {said:,}")

    def _read_shard(self, shard: Mapping[str, Any]) -> None:
        name = shard["name"]
        path = self._path(name)
        if not tf.io.gfile.exists(path):
            self._complete = False
            return
        self._compare(f"{name}, bytes", tf.io.gfile.stat(path).length, shard["bytes"])
        count = 0
        try:
            for batch in self._batches(path):
                count += len(batch)
                self._read_batch(batch)
        except tf.errors.OpError as error:
            text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error.message)).strip().split("\n")[0]
            self._differ(f"{name} cannot be read on from record {count:,}: {text[:200]}")
            self._complete = False
        else:
            self._compare(f"{name}, records", count, _written(shard))
        self._records += count

    def _batches(self, path: str) -> Iterator[np.ndarray]:
        compression = {"gzip": "GZIP", "none": ""}[self._manifest["compression"]]
        dataset = tf.data.TFRecordDataset(path, compression_type=compression)
        return dataset.batch(_BATCH).as_numpy_iterator()

    def _read_batch(self, batch: np.ndarray) -> None:
        """Counts a batch of records; raises a tf.errors.OpError where one is no tf.train.Example."""
        keys = self._policy.key_features if self._policy is not None else ()
        wanted = {
            *keys,
            *self._items,
            *(self._manifest["provenance"] and (POLICY, DRAW, PARENT_KEY)),
            *((SYNTHESIZER,) if self._manifest.get("synthesis") else ()),
        }
        dtypes = _dtypes(batch, wanted)
        spec = {name: tf.io.RaggedFeature(dtype) for name, dtype in dtypes.items()}
        # Without a feature to look for the parser does not look at all.
        spec = spec or {"": tf.io.RaggedFeature(tf.int64)}
        columns = tf.io.parse_example(batch, spec)
        for name, counter in self._items.items():
            if name in columns:
                counter.update(_text(v) for v in columns[name].flat_values.numpy().tolist())
        manifest = self._manifest
        augmented = _marked(columns.get(POLICY), manifest["fingerprint"], len(batch))
        made_by = (manifest.get("synthesis") or {}).get("fingerprint")
        synthesized = _marked(columns.get(SYNTHESIZER), made_by, len(batch))
        original = ~(augmented | synthesized)
        for name, mask in zip(_WRITTEN, (original, augmented, synthesized), strict=True):
            self._seen[name] += int(mask.sum())
        if synthesized.any() and DRAW in columns:
            places = tf.ragged.boolean_mask(columns[DRAW], tf.constant(synthesized))
            self._places.add(places.flat_values.numpy())
        if augmented.any() and {DRAW, PARENT_KEY} <= set(columns):
            mask = tf.constant(augmented)
            draws = tf.ragged.boolean_mask(columns[DRAW], mask).flat_values.numpy()
            parents = tf.ragged.boolean_mask(columns[PARENT_KEY], mask).flat_values.numpy()
            if len(draws) == len(parents) == augmented.sum():
                for draw in np.unique(draws).tolist():
                    self._keys_of_draw[draw].add(parents[draws == draw].view(np.uint64))
        if original.any() and keys and set(keys) <= set(columns):
            kept = {n: tf.ragged.boolean_mask(columns[n], tf.constant(original)) for n in keys}
            if all(np.all(column.row_lengths() == 1) for column in kept.values()):
                scalars = {name: column.flat_values for name, column in kept.items()}
                self._keys_of_originals.add(self._policy.row_keys(scalars).numpy())

    def _check_counts(self) -> None:
        counts, shards = self._manifest["counts"], self._manifest["shards"]
        for name in counts:
            total = sum(shard[name] for shard in shards)
            if total != counts[name]:
                self._differ(
                    f"{name}: its shards say {total:,}, the manifest says {counts[name]:,}"
                )

    def _check_provenance(self) -> None:
        manifest, counts = self._manifest, self._manifest["counts"]
        self._compare("augmented records by aug/policy", self._seen["made"], counts["made"])
        self._compare("original records by aug/policy", self._seen["kept"], counts["kept"])
        synthesized = counts.get("synthesized", 0)
        self._compare(
            f"synthesized records by {SYNTHESIZER}", self._seen["synthesized"], synthesized
        )
        if self._places != _KeySum.of_range(synthesized):
            self._differ(
                f"{DRAW}: the places of synthesized records are not 0 to {synthesized - 1}, each once"
            )
        placed = sum(keys.count for keys in self._keys_of_draw.values())
        self._compare("records with one aug/draw and one aug/parent_key", placed, counts["made"])
        limit = manifest["copies"]
        if manifest.get("balance"):
            limit = manifest["balance"]["max_copies"]
        wrong = sorted(draw for draw in self._keys_of_draw if not 0 <= draw < limit)
        if wrong:
            self._differ(f"aug/draw: {wrong[:5]} found, the manifest says 0 to {limit - 1}")
        # With balance a row has as many draws as it has copies, so no draw has the keys of all rows.
        if manifest["include_originals"] and not manifest.get("balance"):
            for draw, keys in sorted(self._keys_of_draw.items()):
                if keys != self._keys_of_originals:
                    self._differ(
                        f"aug/parent_key: the parents of draw {draw} are not the originals "
                        f"({keys.count:,} and {self._keys_of_originals.count:,} keys)"
                    )


class _KeySum:
    """The count of keys and two sums of them, in which any order gives the same and a changed key shows."""

    def __init__(self):
        self.count, self._sum, self._mixed = 0, 0, 0

    @classmethod
    def of_range(cls, count: int) -> _KeySum:
        """That of 0 to count - 1."""
        keys = cls()
        for start in range(0, count, 1 << 20):
            keys.add(np.arange(start, min(start + (1 << 20), count)))
        return keys

    def add(self, keys: np.ndarray) -> None:
        self.count += len(keys)
        keys = keys.astype(np.uint64)
        self._sum = (self._sum + int(keys.sum(dtype=np.uint64))) % (1 << 64)
        mixed = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        self._mixed = (self._mixed + int(mixed.sum(dtype=np.uint64))) % (1 << 64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _KeySum) and vars(self) == vars(other)

    __hash__ = None


def _written(counts: Mapping[str, int]) -> int:
    return sum(counts.get(name, 0) for name in _WRITTEN)


def _marked(column: tf.RaggedTensor | None, mark: str | None, n: int) -> np.ndarray:
    """bool `[n]`: the records whose feature is a mark."""
    if column is None or mark is None:
        return np.zeros(n, bool)
    return np.array([row[:1] == [mark.encode()] for row in column.to_list()], bool)


def _dtypes(batch: np.ndarray, wanted: set[str]) -> dict[str, tf.DType]:
    """The types of features, by the first record of a batch that has each."""
    dtypes: dict[str, tf.DType] = {}
    for record in batch:
        try:
            features = tf.train.Example.FromString(record).features.feature
        except DecodeError:
            continue  # The parser reports it.
        for name in (wanted & set(features)) - set(dtypes):
            kind = features[name].WhichOneof("kind")
            if kind is not None:
                dtypes[name] = _DTYPES[kind]
        if len(dtypes) == len(wanted):
            break
    return dtypes


def _text(value: bytes | int) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _first_difference(found: Mapping[str, int], said: Mapping[str, int]) -> str:
    for value in sorted({*found, *said}):
        if found.get(value, 0) != said.get(value, 0):
            return f"'{value}': {found.get(value, 0):,} found, {said.get(value, 0):,} written down"
    return "in their order"
