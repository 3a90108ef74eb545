"""Cleaning in the job: the passes over the data in which rules learn.

A worker summarizes a unit of files block by block. What must be compared over the whole data goes to the
partition of its hash, an array a unit and partition and never an element a record, and each unit gets back,
as a staged array, for which of its own rows or values a rule holds. So memory is bounded by a partition's
share and by a unit's finds.
"""

from __future__ import annotations

import collections
import copy
import io
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.cleaning import Cleaning
from tfrs_augment.beam.cleaning.units import LearnedCleaning
from tfrs_augment.beam.pipelines import check_complete
from tfrs_augment.beam.units import Unit, frames_of

BYTES_A_PARTITION = 64 << 20
"""Of input: some 300,000 records of usual size, whose messages take 15 MB."""
_MAX_PARTITIONS = 4096
_FLUSH = 1 << 19
"""A unit sends messages when it has so many."""
_COUNTED = ("surveyed", "merged", "sent", "judged", "found", "staged")
"""Results that count what was passed on: units, their summaries, arrays of messages and of tokens."""
_LEDGER = -1
"""In the place of a partition or shard: what comes under it are such counts. They take the way of the
messages, since FnApiRunner stalls where more outputs of a stage lead to the next one's side input."""
_SUMMARIES = "summaries"


def learn(
    cleaning: Cleaning,
    kinds: Mapping[str, str],
    units: Sequence[Unit],
    staging: str,
    run_pipeline: Callable[[Callable[[beam.Pipeline], Any]], None],
) -> LearnedCleaning:
    """Lets the rules learn, in one pipeline with as many passes over the data as they need.

    Args:
      cleaning: the rules.
      kinds: feature name to kind.
      units: the units of the job.
      staging: the folder to stage in.
      run_pipeline: runs what a function builds on a pipeline.

    Raises:
      DataError: there is no value to take a statistic of, or there are too many.
      OutputError: the runner has lost work.
    """
    known = LearnedCleaning(
        cleaning, {name: records.KINDS[kinds[name]] for name in cleaning.features}
    )
    if not cleaning.next_pass(()):
        return known
    path = files.join(staging, "learned")
    run_pipeline(lambda pipeline: _build(pipeline, known, units, path))
    if not FileSystems.exists(path):
        check_complete(0, len(units))
    with files.open_input(files.InputFile(path, 0, "none")) as stream:
        results = json.loads(stream.read())
    _check_counts(cleaning, results, len(units))
    return known.with_results(results)


def _check_counts(cleaning: Cleaning, results: Iterable[list], units: int) -> None:
    """Checks that what was sent has arrived: a message lost would be a duplicate kept."""
    counts = collections.Counter()
    for kind, rule, *more in results:
        if kind in _COUNTED:
            counts[kind, rule] += more[0]
    for i, rule in enumerate(cleaning.rules):
        if rule.learns:
            step = "merged" if rule.learns == "summary" else "surveyed"
            check_complete(counts[step, i], units)
        check_complete(counts["judged", i], counts["sent", i])
        check_complete(counts["staged", i], counts["found", i])


def _build(pipeline: beam.Pipeline, known: LearnedCleaning, units: Sequence[Unit], path: str):
    """The passes, one after the other: each gets the results of those before as a side input."""
    cleaning = known.cleaning
    total = sum(file.size * (4 if file.compression == "gzip" else 1) / unit.parts
                for unit in units for file in unit.files)  # fmt: skip
    partitions = min(max(1, round(total / BYTES_A_PARTITION)), _MAX_PARTITIONS)
    spread = (
        pipeline
        | "Units" >> beam.Create([(unit.shard, unit) for unit in units])
        | "Spread" >> beam.GroupByKey()
    )
    results = pipeline | "Nothing known" >> beam.Create([[]])
    done: set[int] = set()
    while numbers := cleaning.next_pass(done):
        name = f"pass {len(done)}"
        survey = SurveyUnit(known, numbers, partitions)
        surveyed = spread | f"Survey, {name}" >> beam.ParDo(
            survey, beam.pvalue.AsSingleton(results)
        ).with_outputs(_SUMMARIES, main="messages")
        learned = (
            surveyed[_SUMMARIES]
            | f"Merge, {name}" >> beam.CombinePerKey(_merge)
            | f"Learn, {name}" >> beam.FlatMapTuple(_Learn(cleaning))
        )
        judged = (
            surveyed.messages
            | f"Meet, {name}" >> beam.GroupByKey()
            | f"Judge, {name}" >> beam.ParDo(Judge(cleaning))
        )
        staged = (
            judged
            | f"Back, {name}" >> beam.GroupByKey()
            | f"Stage, {name}" >> beam.FlatMapTuple(_Stage(path))
        )
        before = results | f"Before, {name}" >> beam.FlatMap(_keyed)
        results = (
            (before, learned, staged)
            | f"All, {name}" >> beam.Flatten()
            | f"Collect, {name}" >> beam.GroupByKey()
            | f"List, {name}" >> beam.MapTuple(_listed)
        )
        done.update(numbers)
    return results | "Save" >> beam.Map(_Save(path))


def _keyed(results: list[list]) -> list[tuple[int, list | None]]:
    # None, so that there is a result even where no rule has one.
    return [(0, None), *((0, result) for result in results)]


def _listed(_: int, results: Iterable[list | None]) -> list[list]:
    return [result for result in results if result is not None]


class SurveyUnit(beam.DoFn):
    """(shard, [unit]) -> ((rule, partition), (shard, messages)); apart (rule, (1, summary))."""

    def __init__(self, known: LearnedCleaning, numbers: Sequence[int], partitions: int):
        self._known, self._numbers, self._partitions = known, numbers, partitions

    def setup(self):
        records.warm_up()

    def process(self, keyed: tuple[int, Iterable[Unit]], results: list[list]):
        (unit,) = keyed[1]
        rules = self._known.cleaning.rules
        cleaner = self._known.with_results(results).for_unit(unit.shard)
        summaries = {i: rules[i].summary() for i in self._numbers if rules[i].learns == "summary"}
        waiting: dict[int, list] = {i: [] for i in self._numbers if i not in summaries}
        sent: collections.Counter[int] = collections.Counter()
        for number, file in enumerate(unit.files):
            with files.open_input(file) as stream:
                for frames in frames_of(file, stream, (unit.part, unit.parts)):
                    rows = cleaner.clean(frames, number, self._numbers[0])
                    if not len(rows):
                        continue
                    for i, summary in summaries.items():
                        rules[i].summarize(summary, rows)
                    for i, arrays in waiting.items():
                        arrays.append(rules[i].messages(rows))
                        if sum(map(len, arrays)) >= _FLUSH:
                            yield from self._sent(i, unit.shard, arrays, sent)
                            arrays.clear()
        for i, arrays in waiting.items():
            yield from self._sent(i, unit.shard, arrays, sent)
            yield (i, _LEDGER), (unit.shard, sent[i])
        for i, summary in summaries.items():
            yield beam.pvalue.TaggedOutput(_SUMMARIES, (i, (1, summary)))

    def _sent(self, rule: int, shard: int, arrays: list, sent: collections.Counter):
        if not arrays:
            return
        messages = np.concatenate(arrays)
        # High bits: the low ones are the first to be equal in a table of hashes elsewhere.
        partition = (messages["hash_0"] >> np.uint64(32)) % np.uint64(self._partitions)
        order = np.argsort(partition, kind="stable")
        ends = np.searchsorted(partition[order], np.arange(self._partitions), "right")
        for number, part in enumerate(np.split(order, ends[:-1])):
            if len(part):
                sent[rule] += 1
                yield (rule, number), (shard, messages[part])


def _merge(counted: Iterable[tuple[int, Any]]) -> tuple[int, Any]:
    """Summaries as one, each with the number of units that it is of."""
    number, total = 0, None
    for units, summary in counted:
        number += units
        if total is None:
            total = copy.deepcopy(summary)
        elif summary is not None:
            total.merge(summary)
    return number, total


class _Learn:
    """(rule, its summary) -> (0, ["learned", rule, what it learnt]), and how many units it is of."""

    def __init__(self, cleaning: Cleaning):
        self._rules = cleaning.rules

    def __call__(self, rule: int, counted: tuple[int, Any]) -> list[tuple[int, list]]:
        units, summary = counted
        learned = self._rules[rule].learn(summary)
        return [(0, ["learned", rule, learned]), (0, ["merged", rule, units])]


class Judge(beam.DoFn):
    """((rule, partition), all its messages) -> ((rule, shard), tokens of those it holds for), and counts."""

    def __init__(self, cleaning: Cleaning):
        self._rules = cleaning.rules

    def process(self, keyed: tuple[tuple[int, int], Iterable[tuple[int, np.ndarray]]]):
        (number, partition), parts = keyed
        parts = list(parts)
        if partition == _LEDGER:
            yield (number, _LEDGER), ("surveyed", len(parts))
            yield (number, _LEDGER), ("sent", sum(sent for _, sent in parts))
            return
        messages = np.concatenate([array for _, array in parts])
        units = np.repeat([shard for shard, _ in parts], [len(array) for _, array in parts])
        found = self._rules[number].judge(messages, units)
        tokens, units = messages["token"][found], units[found]
        for shard in np.unique(units).tolist():
            yield (number, shard), tokens[units == shard]
        yield (number, _LEDGER), ("found", len(np.unique(units)))
        yield (number, _LEDGER), ("judged", len(parts))


class _Stage:
    """((rule, shard), its tokens) -> (0, ["tokens", rule, shard, path]), and how many arrays they came in."""

    def __init__(self, path: str):
        self._path = path

    def __call__(
        self, key: tuple[int, int], parts: Iterable[np.ndarray | tuple[str, int]]
    ) -> list[tuple[int, list]]:
        number, shard = key
        arrays = list(parts)
        if shard == _LEDGER:
            return [(0, [kind, number, count]) for kind, count in arrays]
        content = io.BytesIO()
        np.save(content, np.unique(np.concatenate(arrays)), allow_pickle=False)
        # A retry writes a file of its own.
        path = f"{self._path}-{number}-{shard:05d}-{uuid.uuid4().hex[:12]}.npy"
        with files.Writer(path) as file:
            file.write(content.getvalue())
        return [
            (0, ["tokens", number, shard, path]),
            (0, ["staged", number, len(arrays)]),
        ]


class _Save:
    """All results -> a JSON file of them."""

    def __init__(self, path: str):
        self._path = path

    def __call__(self, results: list[list]) -> None:
        with files.Writer(self._path) as file:
            file.write(json.dumps(results).encode())
