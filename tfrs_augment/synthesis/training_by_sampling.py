"""The conditions that a conditional generator is trained and sampled with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfrs_augment.errors import DataError
from tfrs_augment.synthesis.conditions import Conditions
from tfrs_augment.synthesis.encoding import Head


class Chosen(NamedTuple):
    """Conditions of rows: in each, the choice that one head must make.

    Attributes:
      head: int32 `[n]`, the head's place; -1 for none.
      code: int32 `[n]`, its choice.
    """

    head: np.ndarray
    code: np.ndarray


class ConditionSampler:
    """Draws the conditions of rows, one category each.

    In training, all columns of categories are as likely, and a category by the logarithm of its count, so
    that the generator learns rare ones; with it comes a real row that has it. In sampling, a category is as
    likely as it is in the data.

    Args:
      counts: of each head how often each choice is there, int64 `[size]`.
      heads: the heads.

    Reference:
      Xu et al., "Modeling Tabular Data using Conditional GAN", NeurIPS 2019, section 4.3.
    """

    def __init__(self, heads: Sequence[Head], counts: Sequence[np.ndarray]):
        self._heads = list(heads)
        self.counts = [np.asarray(count) for count in counts]
        self.places = [
            place
            for place, (head, count) in enumerate(zip(heads, self.counts))
            if head.kind == "category" and (count > 0).sum() > 1
        ]
        self._rows: list[np.ndarray] = []

    @classmethod
    def fit(cls, heads: Sequence[Head], codes: np.ndarray) -> ConditionSampler:
        """Returns a sampler of codes `[n, heads]`, with which rows can be drawn."""
        counts = [np.bincount(codes[:, i], minlength=head.size) for i, head in enumerate(heads)]
        sampler = cls(heads, counts)
        sampler._rows = [np.argsort(codes[:, place], kind="stable") for place in sampler.places]
        sampler._count = len(codes)
        return sampler

    def train(self, rng: np.random.Generator, n: int) -> tuple[Chosen, np.ndarray]:
        """Draws conditions, and for each a row that meets it: int32 `[n]`."""
        chosen = Chosen(np.full(n, -1, np.int32), np.zeros(n, np.int32))
        uniform, which = rng.random([2, n])
        rows = (which * self._count).astype(np.int32)
        if not self.places:
            return chosen, rows
        column = rng.integers(0, len(self.places), n)
        for number, place in enumerate(self.places):
            mine = column == number
            count = self.counts[place]
            code = _draw(np.log1p(count), uniform[mine])
            start = np.concatenate([[0], np.cumsum(count)[:-1]])
            rank = (which[mine] * count[code]).astype(np.int64)
            chosen.head[mine], chosen.code[mine] = place, code
            rows[mine] = self._rows[number][start[code] + rank]
        return chosen, rows

    def sample(
        self,
        rng: np.random.Generator,
        n: int,
        conditions: Conditions | None = None,
        place: int | None = None,
    ) -> Chosen:
        """Draws conditions as they are in the data, or those that a user has set.

        Args:
          rng: where the random numbers come from.
          n: how many.
          conditions: of those on columns of categories, the one that is least likely is met.
          place: without such a condition, the head that all rows have one on; None draws it.

        Raises:
          DataError: a condition on a column of categories has no probability.
        """
        chosen = Chosen(np.full(n, -1, np.int32), np.zeros(n, np.int32))
        uniform = rng.random(n)
        wanted = self._wanted(conditions or Conditions({}))
        if wanted is None and place is not None:
            wanted = place, self.counts[place]
        if wanted is not None:
            code = _draw(wanted[1], uniform).astype(np.int32)
            return Chosen(np.full(n, wanted[0], np.int32), code)
        if not self.places:
            return chosen
        column = rng.integers(0, len(self.places), n)
        for number, place in enumerate(self.places):
            mine = column == number
            chosen.head[mine], chosen.code[mine] = place, _draw(self.counts[place], uniform[mine])
        return chosen

    def _wanted(self, conditions: Conditions) -> tuple[int, np.ndarray] | None:
        """The head of the least likely condition, and the counts of what it allows."""
        found = []
        for place, head in enumerate(self._heads):
            condition = conditions.get(head.column.name)
            if condition is None or condition.codes is None or head.kind != "category":
                continue
            count = np.zeros(head.size)
            count[condition.codes] = self.counts[place][condition.codes]
            if not count.any():
                raise DataError(
                    f"The condition on {head.column.name!r} can't hold: no row that the synthesizer was "
                    "fitted on has such a value, so its probability is zero. Ask for values that the "
                    "data have."
                )
            found.append((count.sum(), place, count))
        if not found:
            return None
        _, place, count = min(found, key=lambda one: one[:2])
        return place, count


def _draw(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Places drawn by weights, none without one."""
    ends = np.cumsum(weights, dtype=np.float64)
    last = np.flatnonzero(weights)[-1]
    return np.minimum(np.searchsorted(ends / ends[-1], uniform, "right"), last)
