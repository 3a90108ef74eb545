"""`validate`: a policy against a schema, data and vocabularies, before a job or a training run finds out."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.blocks import BlockAugmenter, value_counts
from tfrs_augment.beam.units import frames_of, peek
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

MAX_KEYS = 2_000_000
"""Rows whose keys are compared with each other: 16 megabytes."""
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is wrong ("error": a job or a layer would fail) or looks wrong ("warning")."""

    level: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


def validate(
    policy: AugmentationPolicy,
    *,
    schema: Schema | None = None,
    input: str | Sequence[str] | None = None,
    input_compression: str = "auto",
    vocabularies: Mapping[str, Iterable[bytes | str]] | None = None,
) -> list[Finding]:
    """Checks a policy against a schema, data and vocabularies.

    Args:
      policy: the policy.
      schema: what the data should have; by default read off the first records of the input.
      input: TFRecords of tf.train.Example: a path or a glob, or several. All of it is read, in this process.
      input_compression: "none", "gzip", or "auto" (by the name: .gz is gzip).
      vocabularies: feature to the ids of its lookup layer, compared with what the input holds.

    Returns:
      Errors first, then warnings; an empty list where nothing is to be said.

    Raises:
      InvalidArgumentError: there are vocabularies and no input.
      UnknownFeatureError: the data lack the feature of a vocabulary.
      DataError: the input is missing, cannot be read, or holds no record.

    Example:
      findings = aug.beam.validate(policy, input="in/*", vocabularies={"movie_id": movie_ids})
    """
    vocabularies = dict(vocabularies or {})
    if vocabularies and input is None:
        raise InvalidArgumentError(
            "`vocabularies` are compared with data: pass `input` (--input) too. "
            f"Received: vocabularies of {', '.join(map(repr, vocabularies))}."
        )
    findings = _check_policy(policy)
    inputs: list[files.InputFile] = []
    if input is not None:
        inputs = files.find_inputs(
            [input] if isinstance(input, str) else list(input), input_compression
        )
        held = peek(inputs, {*policy.features, *policy.key_features, *vocabularies})
        if schema is not None:
            findings += _compare_kinds(schema, held, (*policy.features, *policy.key_features))
        schema = schema or held
    if schema is not None:
        findings += _check_schema(policy, schema)
    for name in vocabularies:
        schema.require(name, ("bytes", "int64"), "a vocabulary")
    if inputs and not any(finding.level == "error" for finding in findings):
        findings += _Pass(policy, schema, vocabularies).run(inputs)
    return sorted(findings, key=lambda finding: finding.level)


def _check_policy(policy: AugmentationPolicy) -> list[Finding]:
    findings = []
    if not policy.ops:
        findings.append(Finding("warning", "the policy has no ops: it changes nothing"))
    if not policy.key_features:
        findings.append(
            Finding("warning", "the policy has no key_features: a job cannot tell rows apart")
        )
    for op in policy.ops:
        if op.stage != "feature":
            findings.append(Finding("warning", f"{op} acts on {op.stage}s: a job refuses it"))
        if op.rate == 0:
            findings.append(Finding("warning", f"{op} has rate 0: it changes nothing"))
    return findings


def _check_schema(policy: AugmentationPolicy, schema: Schema) -> list[Finding]:
    """What `policy.check` raises, all of it at once."""
    findings = []
    for op in policy.ops:
        try:
            op.check(schema)
        except (UnknownFeatureError, DataError) as error:
            findings.append(Finding("error", str(error)))
    for name in policy.key_features:
        try:
            schema.require(name, ("bytes", "int64", "float"), "key_features")
        except (UnknownFeatureError, DataError) as error:
            findings.append(Finding("error", str(error)))
    return findings


def _compare_kinds(schema: Schema, held: Schema, names: Sequence[str]) -> list[Finding]:
    findings = []
    for name in dict.fromkeys(names):
        said, found = schema.kinds.get(name), held.kinds.get(name)
        if said is not None and found is None:
            findings.append(Finding("warning", f"'{name}' is in the schema and not in the data"))
        elif said is not None and said != found:
            findings.append(
                Finding("error", f"'{name}' is {said} in the schema and {found} in the data")
            )
    return findings


class _Pass:
    """One pass over the data, through the policy."""

    def __init__(
        self,
        policy: AugmentationPolicy,
        schema: Schema,
        vocabularies: Mapping[str, Iterable[bytes | str]],
    ):
        self._policy, self._schema = policy, schema
        self._vocabularies = {
            name: _ids(name, schema.kinds[name], ids) for name, ids in vocabularies.items()
        }
        self._counts = {name: collections.Counter() for name in vocabularies}
        self._keys: list[np.ndarray] = []
        self._read, self._rejected = 0, collections.Counter()
        self._findings: list[Finding] = []

    def run(self, inputs: Sequence[files.InputFile]) -> list[Finding]:
        if not self._policy.key_features:
            return []
        augmenter = BlockAugmenter(
            self._policy,
            self._schema.kinds,
            provenance=False,
            item_features=tuple(self._vocabularies),
        )
        first = True
        for block in _blocks(inputs, augmenter):
            self._read += block.n + len(block.rejected)
            self._rejected.update(_reason(rejection) for rejection in block.rejected)
            for name, counter in self._counts.items():
                counter.update(value_counts(block.column(name)))
            if block.n and sum(map(len, self._keys)) < MAX_KEYS:
                self._keys.append(augmenter.keys(block).numpy())
            if block.n and first and not self._policy.missing_requirements():
                first = False
                self._check_domains(block, augmenter)
        self._report_rejected()
        self._report_keys()
        for name, ids in self._vocabularies.items():
            self._report_vocabulary(name, ids, self._counts[name])
        return self._findings

    def _say(self, level: str, text: str) -> None:
        self._findings.append(Finding(level, text))

    def _check_domains(self, block: records.Block, augmenter: BlockAugmenter) -> None:
        """Whether the policy takes values out of the domain that the schema declares."""
        _, changed = augmenter.augment(block, 0)
        for name in self._policy.features:
            domain = self._schema.domains.get(name)
            if domain is None:
                continue
            before, after = (_values(c) for c in (block.column(name), changed[name]))
            new = sorted(set(domain.outside(after)) - set(domain.outside(before)))
            if new:
                self._say(
                    "warning",
                    f"the policy gives '{name}' values outside the schema's domain: {_shown(new)}",
                )

    def _report_rejected(self) -> None:
        total = sum(self._rejected.values())
        if not total:
            return
        (reason, count), *_ = self._rejected.most_common(1)
        self._say(
            "error" if total == self._read else "warning",
            f"{total:,} of {self._read:,} records would be rejected; {count:,} because {reason}",
        )

    def _report_keys(self) -> None:
        keys = np.concatenate(self._keys) if self._keys else np.zeros(0, np.uint64)
        same = len(keys) - len(np.unique(keys))
        if same:
            self._say(
                "warning",
                f"{same:,} of {len(keys):,} rows have the key of another row, and get its draws: "
                f"{', '.join(self._policy.key_features)} do not tell rows apart",
            )

    def _report_vocabulary(self, name: str, ids: set, counts: collections.Counter) -> None:
        unseen = sorted(ids - set(counts))
        if unseen:
            self._say(
                "warning",
                f"{len(unseen):,} of {len(ids):,} ids in the vocabulary of '{name}' are in no row, so "
                f"their embeddings are never trained: {_shown(unseen)}",
            )
        outside = sorted(set(counts) - ids, key=lambda value: (-counts[value], value))
        if outside:
            share = sum(counts[value] for value in outside) / sum(counts.values())
            self._say(
                "warning",
                f"{len(outside):,} of {len(counts):,} ids of '{name}' ({share:.1%} of its values) are not in "
                f"the vocabulary, so they share the out-of-vocabulary row: {_shown(outside)}",
            )


def _blocks(
    inputs: Sequence[files.InputFile], augmenter: BlockAugmenter
) -> Iterator[records.Block]:
    for file in inputs:
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream):
                yield augmenter.decode(frames)


def _reason(rejection: records.Rejection) -> str:
    return rejection.reason.split(". Received")[0]


def _ids(name: str, kind: str, ids: Iterable[bytes | str]) -> set:
    """The ids of a vocabulary as the data have them."""
    encoded = [i.encode() if isinstance(i, str) else i for i in ids]
    if kind == "bytes":
        return set(encoded)
    try:
        return {int(value) for value in encoded}
    except ValueError as error:
        raise DataError(
            f"The vocabulary of '{name}' must hold integers, as the feature does: {error}."
        ) from error


def _values(column: records.Column) -> list:
    if column.kind != records.BYTES:
        return column.values.tolist()
    data, places = column.data.tobytes(), column.value_offsets.tolist()
    return [data[a:b] for a, b in itertools.pairwise(places)]


def _shown(values: Sequence) -> str:
    texts = [
        v.decode("utf-8", "backslashreplace")
        if isinstance(v, bytes)
        else f"{v:g}"
        if isinstance(v, float)
        else str(v)
        for v in values[:_SHOWN]
    ]
    return ", ".join(texts) + (", ..." if len(values) > _SHOWN else "")
