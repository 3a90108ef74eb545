"""Cleaning in the job: rules with what they have learnt, applied to the blocks of a unit."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment import records
from tfrs_augment.beam import files
from tfrs_augment.beam.blocks import BlockAugmenter
from tfrs_augment.beam.cleaning import Cleaning
from tfrs_augment.beam.cleaning.base import Learned
from tfrs_augment.beam.cleaning.rows import Rows


@dataclasses.dataclass(frozen=True)
class LearnedCleaning:
    """Rules, and what they have learnt so far; made for workers.

    Attributes:
      cleaning: the rules.
      kinds: the codec's kinds of the features that they read.
      learned: rule number to what `Rule.learn` returned.
      tokens: rule number to staged tokens: shard to path.
    """

    cleaning: Cleaning
    kinds: Mapping[str, int]
    learned: Mapping[int, Learned] = dataclasses.field(default_factory=dict)
    tokens: Mapping[int, Mapping[int, str]] = dataclasses.field(default_factory=dict)

    def with_results(self, results: Iterable[Sequence[Any]]) -> LearnedCleaning:
        """With the results of passes: ("learned", rule, what), ("tokens", rule, shard, path), and others."""
        learned: dict[int, Learned] = {}
        tokens: dict[int, dict[int, str]] = {}
        for kind, number, *found in results:
            if kind == "learned":
                learned[number] = found[0]
            elif kind == "tokens":
                tokens.setdefault(number, {})[found[0]] = found[1]
        return dataclasses.replace(self, learned=learned, tokens=tokens)

    def for_unit(self, shard: int) -> UnitCleaner:
        """What cleans the blocks of a unit."""
        return UnitCleaner(self, shard)

    def report(self, found: Iterable[Mapping[str, int]]) -> dict[str, dict[str, Any]]:
        """What the manifest says of each rule, from the counts of all units."""
        total = dict.fromkeys((rule.id for rule in self.cleaning.rules), 0)
        for counts in found:
            for name, count in counts.items():
                total[name] += count
        return {
            rule.id: {
                "found": total[rule.id],
                "action": rule.does,
                **rule.shown(self.learned.get(i)),
            }
            for i, rule in enumerate(self.cleaning.rules)
        }


class UnitCleaner:
    """Applies rules to the blocks of one unit.

    Attributes:
      found: by the id of a rule, how many rows it has found.
    """

    def __init__(self, cleaning: LearnedCleaning, shard: int):
        self._cleaning = cleaning
        self._rules = cleaning.cleaning.rules
        self._tokens = [
            _load(cleaning.tokens.get(i, {}).get(shard)) for i in range(len(self._rules))
        ]
        self.found = dict.fromkeys((rule.id for rule in self._rules), 0)

    def clean(self, frames: records.Frames, file_number: int, rules: int | None = None) -> Rows:
        """Applies the first so many rules, by default all, to a block."""
        rows = Rows(frames, self._cleaning.kinds, file_number)
        for i, rule in enumerate(self._rules[:rules]):
            self.found[rule.id] += rule.apply(rows, self._cleaning.learned.get(i), self._tokens[i])
        return rows

    def decode(
        self, frames: records.Frames, file_number: int, augmenter: BlockAugmenter
    ) -> records.Block:
        """As `BlockAugmenter.decode`, of the cleaned records; what was dropped is in `rejected`."""
        rows = self.clean(frames, file_number)
        block = augmenter.decode(rows.frames())
        block.slow_count += rows.slow_count
        return block


def _load(path: str | None) -> np.ndarray:
    if path is None:
        return np.empty(0, np.uint64)
    with files.open_input(files.InputFile(path, 0, "none")) as stream:
        return np.load(io.BytesIO(stream.read()), allow_pickle=False)
