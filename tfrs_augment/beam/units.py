"""What a worker does: a unit of files in, a staged shard and a report of it out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import posixpath
import uuid
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.adaptation import Adaptation
from tfrs_augment.beam.balance import Balance, copies_of
from tfrs_augment.beam.blocks import BlockAugmenter, to_features, value_counts
from tfrs_augment.beam.cleaning.units import LearnedCleaning, UnitCleaner
from tfrs_augment.beam.sequences import EXAMPLE, SEQUENCE_EXAMPLE, SequenceAugmenter, to_example
from tfrs_augment.beam.sources import place_of
from tfrs_augment.beam.synthetic import Synthesis
from tfrs_augment.errors import DataError
from tfrs_augment.fitting import Fitter
from tfrs_augment.ops import Requirement
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.rng import KeyedRng
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis.base import Block as SyntheticBlock

COUNTS = ("read", "rejected", "kept", "made", "synthesized", "slow_path")
"""What is counted: "read" is "rejected" and the intact records; see `JobReport.counts`."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """What one worker turns into one shard: every `parts`-th block of each file, from block `part` on.

    Behind these come the rows of `blocks`, which are synthesized.
    """

    shard: int
    files: tuple[files.InputFile, ...]
    part: int = 0
    parts: int = 1
    blocks: tuple[SyntheticBlock, ...] = ()


def plan(inputs: Sequence[files.InputFile], num_shards: int | None) -> list[Unit]:
    """Divides files among shards: whole files while there are enough of them, blocks of one otherwise."""
    count = len(inputs) if num_shards is None else num_shards
    if count <= len(inputs):
        # Consecutive files; a shard ends where the running size passes its share of the total, or where
        # there are just enough files left for the shards to come.
        total = sum(file.size for file in inputs) or 1
        groups: list[list[files.InputFile]] = [[]]
        before = 0
        for number, file in enumerate(inputs):
            passed = before * count // total >= len(groups)
            needed = len(inputs) - number <= count - len(groups)
            if groups[-1] and len(groups) < count and (passed or needed):
                groups.append([])
            groups[-1].append(file)
            before += file.size
        return [Unit(shard, tuple(group)) for shard, group in enumerate(groups)]
    base, more = divmod(count, len(inputs))
    units = []
    for number, file in enumerate(inputs):
        parts = base + (number < more)
        units += [Unit(len(units) + part, (file,), part, parts) for part in range(parts)]
    return units


@dataclasses.dataclass(frozen=True)
class Job:
    """What the workers need to know; see `run`."""

    policy: AugmentationPolicy
    kinds: Mapping[str, str]
    output: str
    staging: str
    copies: int
    include_originals: bool
    compression: str
    item_features: tuple[str, ...]
    provenance: bool
    balance: Balance | None
    units: int
    started: float
    payload: str = EXAMPLE
    cleaning: LearnedCleaning | None = None
    synthesis: Synthesis | None = None
    adaptation: Adaptation | None = None


def frames_of(
    file: files.InputFile, stream, stride: tuple[int, int] = (0, 1)
) -> Iterable[records.Frames]:
    try:
        yield from records.read_frames(stream, compression=file.compression, stride=stride)
    except records.CompressionError as error:
        raise DataError(f"input file '{file.path}': {error}") from error


def named(inputs: Sequence[files.InputFile]) -> str:
    """The files of an input for a message: the first, and how many more there are."""
    more = len(inputs) - 1
    return inputs[0].path + (f" and {more} more file{'s' if more > 1 else ''}" if more else "")


def format_hint(inputs: Sequence[files.InputFile]) -> str:
    """A sentence about files without a record that are tables by the first one's name, or nothing."""
    suffix = posixpath.splitext(inputs[0].path.removesuffix(".gz"))[1]
    kind = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}.get(suffix)
    if kind is None:
        return ""
    return (
        f" By its name it is a table: pass input_format='{kind}' (--input_format {kind}) where there is "
        "that option; the rest reads TFRecords alone."
    )


def peek(
    inputs: Sequence[files.InputFile], wanted: set[str] | None, payload: str = EXAMPLE
) -> Schema:
    """The kinds of the features, read off first blocks until all that are wanted were seen.

    Args:
      inputs: the files.
      wanted: the features to look for; None stops at the first file with a record.
      payload: "example" or "sequence_example".

    Raises:
      DataError: no record can be read.
    """
    kinds: dict[str, str] = {}
    for file in inputs:
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream):
                payloads = frames.payloads()[:1000]
                if payload == SEQUENCE_EXAMPLE:
                    payloads = _as_examples(payloads)
                kinds = {**Schema.of_examples(payloads).kinds, **kinds}
                break
        if kinds and (wanted is None or wanted <= set(kinds)):
            break
    if not kinds:
        name = "SequenceExample" if payload == SEQUENCE_EXAMPLE else "Example"
        raise DataError(
            f"`input` holds no tf.train.{name} that can be read. Received: {named(inputs)}."
            f"{format_hint(inputs)}"
        )
    return Schema(kinds)


def _as_examples(payloads: Iterable[bytes]) -> Iterable[bytes]:
    for payload in payloads:
        # It is the job that counts records that are none.
        with contextlib.suppress(ValueError):
            yield to_example(payload)


def _blocks(
    unit: Unit, augmenter: BlockAugmenter, cleaner: UnitCleaner | None = None
) -> Iterable[tuple[files.InputFile, records.Block]]:
    """The decoded and, with a cleaner, cleaned blocks of a unit, and the file of each."""
    for number, file in enumerate(unit.files):
        with files.open_input(file) as stream:
            for frames in frames_of(file, stream, (unit.part, unit.parts)):
                if cleaner is None:
                    yield file, augmenter.decode(frames)
                else:
                    yield file, cleaner.decode(frames, number, augmenter)


_augmenters: dict[str, BlockAugmenter] = {}


def shared_augmenter(
    policy: AugmentationPolicy,
    kinds: Mapping[str, str],
    provenance: bool,
    item_features: Sequence[str] = (),
    payload: str = EXAMPLE,
) -> BlockAugmenter:
    """One augmenter a process for equal arguments: its graph is traced once, not by every thread."""
    described = [sorted(kinds.items()), provenance, item_features, payload]
    key = json.dumps([policy.get_config(), policy.fingerprint, *described])
    if key not in _augmenters:
        make = SequenceAugmenter if payload == SEQUENCE_EXAMPLE else BlockAugmenter
        made = make(policy, kinds, provenance=provenance, item_features=item_features)
        # Of two threads that come first at once, one's is kept.
        return _augmenters.setdefault(key, made)
    return _augmenters[key]


class AugmentUnit(beam.DoFn):
    """(shard, [unit]) -> (0, its report): counts, staged paths, item counts. The whole work of the job."""

    def __init__(self, job: Job):
        self._job = job
        self._shared = Shared()

    def setup(self):
        job = self._job
        records.warm_up()
        if job.synthesis is not None:
            self._synthesizer = job.synthesis.load(self._shared)
        self._augmenter = shared_augmenter(
            job.policy, job.kinds, job.provenance, job.item_features, job.payload
        )
        if job.balance is not None:
            self._expected = job.balance.expected_copies(job.policy.fitted, job.copies)
        self._counters = {
            name: beam.metrics.Metrics.counter("tfrs_augment", name) for name in COUNTS
        }

    def process(self, keyed: tuple[int, Iterable[Unit]]):
        job, augmenter = self._job, self._augmenter
        (unit,) = keyed[1]
        counts = dict.fromkeys(COUNTS, 0)
        items: dict[str, dict] = {name: {} for name in job.item_features}
        # A retry, or a twin started beside a slow worker, writes a file of its own.
        stem = f"{unit.shard:05d}-{uuid.uuid4().hex[:12]}"
        shard = files.Writer(files.join(job.staging, f"shard-{stem}"), job.compression)
        rejected = None
        cleaner = job.cleaning.for_unit(unit.shard) if job.cleaning else None
        with shard:
            for file, block in _blocks(unit, augmenter, cleaner):
                if block.rejected:
                    if rejected is None:
                        rejected = files.Writer(files.join(job.staging, f"rejected-{stem}"))
                    rejected.write(_rejected_lines(file, block.rejected))
                self._add(counts, self._write_block(shard, block, items))
            for block in unit.blocks:
                self._add(counts, self._write_synthetic(shard, block, items))
        if rejected is not None:
            rejected.close()
        report = {
            "shard": unit.shard,
            "path": shard.path,
            "bytes": shard.size,
            "counts": counts,
            "items": items,
            "rejected": rejected.path if rejected else None,
            "cleaning": cleaner.found if cleaner else {},
        }
        # One key for all reports: the next step sees them together.
        yield 0, report

    def _add(self, counts: dict[str, int], more: Mapping[str, int]) -> None:
        for name, count in more.items():
            counts[name] += count
            self._counters[name].inc(count)

    def _copies(self, block: records.Block) -> np.ndarray:
        """How many copies each row gets: int64 `[n]`."""
        job = self._job
        if job.balance is None:
            return np.full(block.n, job.copies)
        rng = KeyedRng(job.policy.seed, self._augmenter.keys(block)).fork("balance")
        return copies_of(
            block, job.balance.feature, self._expected, job.copies, rng.uniform().numpy()
        )

    def _write_block(
        self, shard: files.Writer, block: records.Block, items: dict
    ) -> dict[str, int]:
        job, augmenter = self._job, self._augmenter
        made = 0
        if block.n:
            copies = self._copies(block)
            weights = None
            if job.balance is not None and job.balance.keep_expectation:
                weights = 1.0 / np.maximum(copies + job.include_originals, 1)
            if job.include_originals:
                shard.write(augmenter.originals(block, weights))
                add_counts(items, augmenter.items(block, {}))
            for draw in range(int(copies.max())):
                part, part_weights = block, weights
                if np.any(copies <= draw):
                    part = block.take(copies > draw)
                    part_weights = None if weights is None else weights[copies > draw]
                framed, changed = augmenter.augment(part, draw, part_weights)
                shard.write(framed)
                add_counts(items, augmenter.items(part, changed))
                made += part.n
        return {
            "read": block.n + len(block.rejected),
            "rejected": len(block.rejected),
            "kept": block.n if job.include_originals else 0,
            "made": made,
            "slow_path": block.slow_count,
        }

    def _write_synthetic(
        self, shard: files.Writer, block: SyntheticBlock, items: dict
    ) -> dict[str, int]:
        columns = self._job.synthesis.columns(self._synthesizer, block)
        shard.write(records.encode_rows(columns))
        add_counts(items, {name: value_counts(columns[name]) for name in items if name in columns})
        return {"synthesized": block.rows}


def add_counts(total: dict[str, dict], more: Mapping[str, Mapping]) -> None:
    """Adds counts of values, by feature."""
    for feature, counts in more.items():
        for value, count in counts.items():
            total[feature][value] = total[feature].get(value, 0) + count


def _rejected_lines(file: files.InputFile, rejected: Iterable[records.Rejection]) -> bytes:
    lines = (
        json.dumps({**place_of(file, r.offset), "length": r.length, "reason": r.reason})
        for r in rejected
    )
    return "".join(line + "\n" for line in lines).encode()


class SummarizeUnit(beam.DoFn):
    """(shard, [unit]) -> (0, a Fitter that has seen its records)."""

    def __init__(
        self,
        policy: AugmentationPolicy,
        missing: Sequence[Requirement],
        kinds: Mapping[str, str],
        payload: str = EXAMPLE,
        cleaning: LearnedCleaning | None = None,
    ):
        self._policy, self._missing, self._kinds = policy, missing, kinds
        self._payload, self._cleaning = payload, cleaning

    def setup(self):
        records.warm_up()
        others = tuple(name for requirement in self._missing for name in requirement.features)
        self._augmenter = shared_augmenter(self._policy, self._kinds, False, others, self._payload)

    def process(self, keyed: tuple[int, Iterable[Unit]]):
        (unit,) = keyed[1]
        fitter = Fitter(self._missing)
        fitter.parts = 1
        names = {name for requirement in self._missing for name in requirement.features}
        names.update(self._policy.key_features)
        cleaner = self._cleaning.for_unit(unit.shard) if self._cleaning else None
        for _, block in _blocks(unit, self._augmenter, cleaner):
            features = to_features({name: block.column(name) for name in names})
            # A key feature has one value a row: the decoder has rejected the others.
            scalars = {name: features[name].flat_values for name in self._policy.key_features}
            fitter.add(features, self._policy.row_keys(scalars).numpy())
        yield 0, fitter
