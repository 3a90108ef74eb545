"""Cleaning in the job: the passes over the data in which rules learn.

A worker summarizes a unit of files block by block. What must be compared over the whole data goes to the
partition of its hash, an array a unit and partition and never an element a record, and each unit gets back,
as a staged array, for which of its own rows or values a rule holds. So memory is bounded by a partition's
share and by a unit's finds.
"""

from __future__ import annotations

import copy
import io
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.cleaning import Cleaning
from tfrs_augment.beam.cleaning_units import LearnedCleaning
from tfrs_augment.beam.units import Unit, frames_of

BYTES_A_PARTITION = 64 << 20
"""Of input: some 300,000 records of usual size, whose messages take 15 MB."""
_MAX_PARTITIONS = 4096
_FLUSH = 1 << 19
"""A unit sends messages when it has so many."""


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
    """
    known = LearnedCleaning(
        cleaning, {name: records.KINDS[kinds[name]] for name in cleaning.features}
    )
    if not cleaning.next_pass(()):
        return known
    path = files.join(staging, "learned")
    run_pipeline(lambda pipeline: _build(pipeline, known, units, path))
    with files.open_input(files.InputFile(path, 0, "none")) as stream:
        return known.with_results(json.loads(stream.read()))


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
        ).with_outputs(SurveyUnit.SUMMARIES, main="messages")
        learned = (
            surveyed[SurveyUnit.SUMMARIES]
            | f"Merge, {name}" >> beam.CombinePerKey(_merge)
            | f"Learn, {name}" >> beam.MapTuple(_Learn(cleaning))
        )
        tokens = (
            surveyed.messages
            | f"Meet, {name}" >> beam.GroupByKey()
            | f"Judge, {name}" >> beam.ParDo(Judge(cleaning))
            | f"Back, {name}" >> beam.GroupByKey()
            | f"Stage, {name}" >> beam.MapTuple(_Stage(path))
        )
        before = results | f"Before, {name}" >> beam.FlatMap(_keyed)
        results = (
            (before, learned, tokens)
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
    """(shard, [unit]) -> ((rule, partition), (shard, messages)), and apart (rule, summary)."""

    SUMMARIES = "summaries"

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
                            yield from self._sent(i, unit.shard, arrays)
                            arrays.clear()
        for i, arrays in waiting.items():
            yield from self._sent(i, unit.shard, arrays)
        for i, summary in summaries.items():
            yield beam.pvalue.TaggedOutput(self.SUMMARIES, (i, summary))

    def _sent(self, rule: int, shard: int, arrays: list):
        if not arrays:
            return
        messages = np.concatenate(arrays)
        # High bits: the low ones are the first to be equal in a table of hashes elsewhere.
        partition = (messages["hash_0"] >> np.uint64(32)) % np.uint64(self._partitions)
        order = np.argsort(partition, kind="stable")
        ends = np.searchsorted(partition[order], np.arange(self._partitions), "right")
        for number, part in enumerate(np.split(order, ends[:-1])):
            if len(part):
                yield (rule, number), (shard, messages[part])


def _merge(summaries: Iterable[Any]) -> Any:
    """Summaries as one; None stands for none."""
    total = None
    for summary in summaries:
        if total is None:
            total = copy.deepcopy(summary)
        elif summary is not None:
            total.merge(summary)
    return total


class _Learn:
    """(rule, its summary) -> (0, ["learned", rule, what it learnt])."""

    def __init__(self, cleaning: Cleaning):
        self._rules = cleaning.rules

    def __call__(self, number: int, summary: Any) -> tuple[int, list]:
        return 0, ["learned", number, self._rules[number].learn(summary)]


class Judge(beam.DoFn):
    """((rule, partition), all its messages) -> ((rule, shard), tokens of the messages it holds for)."""

    def __init__(self, cleaning: Cleaning):
        self._rules = cleaning.rules

    def process(self, keyed: tuple[tuple[int, int], Iterable[tuple[int, np.ndarray]]]):
        (number, _), parts = keyed
        parts = list(parts)
        messages = np.concatenate([array for _, array in parts])
        units = np.repeat([shard for shard, _ in parts], [len(array) for _, array in parts])
        found = self._rules[number].judge(messages, units)
        tokens, units = messages["token"][found], units[found]
        for shard in np.unique(units).tolist():
            yield (number, shard), tokens[units == shard]


class _Stage:
    """((rule, shard), its tokens) -> (0, ["tokens", rule, shard, path])."""

    def __init__(self, path: str):
        self._path = path

    def __call__(self, key: tuple[int, int], arrays: Iterable[np.ndarray]) -> tuple[int, list]:
        number, shard = key
        content = io.BytesIO()
        np.save(content, np.unique(np.concatenate(list(arrays))), allow_pickle=False)
        # A retry writes a file of its own.
        path = f"{self._path}-{number}-{shard:05d}-{uuid.uuid4().hex[:12]}.npy"
        with files.Writer(path) as file:
            file.write(content.getvalue())
        return 0, ["tokens", number, shard, path]


class _Save:
    """All results -> a JSON file of them."""

    def __init__(self, path: str):
        self._path = path

    def __call__(self, results: list[list]) -> None:
        with files.Writer(self._path) as file:
            file.write(json.dumps(results).encode())
