"""Metrics of queries with several relevant items, aware of ties.

A ranking with ties stands for all orders of the tied candidates; a metric is its mean over these,
in closed form. The relevant items of a query that tie with one another form a group: `start` candidates
stand above it, `size` candidates tie, `relevant` of them are relevant, and `above` relevant items stand
above. Place `p` in the group then holds a relevant item with the chance `relevant / size`.

Reference:
  McSherry and Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of
  Tied Scores, ECIR 2008, section 3. Here with a cut at `k`, average precision divided by the most
  that `k` places can hold, and the hit rate beside.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrs_augment.evaluation.measuring.metrics import Ranks, check_k


@dataclasses.dataclass(frozen=True)
class QueryRanks:
    """Where the relevant items of each query stand among the candidates, by groups of equal score.

    Attributes:
      queries: int64 `[queries]`, in rising order.
      total: int64 `[queries]`, relevant items of each, at least 1.
      query: int64 `[groups]`, place in `queries`; groups of one query follow one another, best first.
      start: int64 `[groups]`, candidates above the group.
      size: int64 `[groups]`, candidates in it.
      relevant: int64 `[groups]`, relevant ones among them, at least 1.
      above: int64 `[groups]`, relevant items of the query above the group.
    """

    queries: np.ndarray
    total: np.ndarray
    query: np.ndarray
    start: np.ndarray
    size: np.ndarray
    relevant: np.ndarray
    above: np.ndarray

    @classmethod
    def of(
        cls,
        ranks: Ranks,
        query_index: np.ndarray,
        item_index: np.ndarray,
        *,
        again: np.ndarray | None = None,
    ) -> QueryRanks:
        """Groups the rows of each query.

        Args:
          ranks: of the rows, each among all candidates that its query has not seen.
          query_index: int `[rows]`.
          item_index: int `[rows]`, the relevant item. Rows of one query and item count once.
          again: bool `[rows]`, whether the query has seen this item, so that it is counted by the rank of no
            other row. Default: nowhere.
        """
        rows = _distinct(query_index, item_index)
        query_index, greater = np.asarray(query_index)[rows], ranks.greater[rows].astype(np.int64)
        again = np.zeros(len(rows), bool) if again is None else np.asarray(again)[rows]
        # Unseen candidates of this score, the row's own item with them.
        unseen = ranks.ties[rows].astype(np.int64) + ~again
        order = np.lexsort((unseen, greater, query_index))
        query_index, greater, unseen = query_index[order], greater[order], unseen[order]
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(query_index) != 0) | (np.diff(greater) != 0) | (np.diff(unseen) != 0)
        group = np.cumsum(new) - 1
        relevant = np.bincount(group, minlength=new.sum())
        seen = np.bincount(group, again[order], minlength=new.sum()).astype(np.int64)
        queries, first, query = np.unique(query_index[new], return_index=True, return_inverse=True)
        return cls(
            queries=queries,
            total=np.bincount(query, relevant, len(queries)).astype(np.int64),
            query=query,
            start=greater[new] + _before(seen, first, query),
            size=unseen[new] + seen,
            relevant=relevant,
            above=_before(relevant, first, query),
        )

    def recall(self, k: int) -> np.ndarray:
        """Returns float64 `[queries]`: the share of the relevant items that is among the first `k`."""
        return self._found(k) / self.total

    def precision(self, k: int) -> np.ndarray:
        """Returns float64 `[queries]`: the share of the first `k` that is relevant."""
        return self._found(k) / k

    def hit_rate(self, k: int) -> np.ndarray:
        """Returns float64 `[queries]`: the chance that a relevant item is among the first `k`."""
        return self._first(k, np.ones(k))

    def mrr(self, k: int) -> np.ndarray:
        """Returns float64 `[queries]`: `1 / place` of the first relevant item, 0 beyond `k`."""
        check_k(k)
        return self._first(k, 1.0 / np.arange(1, k + 1))

    def average_precision(self, k: int) -> np.ndarray:
        """Returns float64 `[queries]`: the precision at each relevant item among the first `k`, summed.

        The sum is divided by the most terms that it can have, `min(k, relevant items)`.
        """
        first, last = self._ends(k)
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])
        # Given one relevant item in the group, others stand above it in proportion to their places.
        slope = (self.relevant - 1) / np.maximum(self.size - 1, 1)
        constant = self.above + 1 - slope * (self.start + 1)
        terms = slope * (last - first) + constant * (harmonic[last] - harmonic[first])
        return self._sum(terms * self.relevant / self.size) / np.minimum(self.total, k)

    def ndcg(self, k: int) -> np.ndarray:
        """Returns float64 `[queries]`: the gain of the relevant items among the first `k`.

        That of a place is `1 / log2(place + 1)`; the sum is divided by that of the best order.
        """
        first, last = self._ends(k)
        gains = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(1, k + 1) + 1.0))])
        found = self._sum((gains[last] - gains[first]) * self.relevant / self.size)
        return found / gains[np.minimum(self.total, k)]

    def _found(self, k: int) -> np.ndarray:
        first, last = self._ends(k)
        return self._sum((last - first) * self.relevant / self.size)

    def _first(self, k: int, gains: np.ndarray) -> np.ndarray:
        """The mean gain of the first relevant item's place, 0 beyond `k`."""
        check_k(k)
        head = np.flatnonzero(self.above == 0)
        start, size, relevant = self.start[head], self.size[head], self.relevant[head]
        padded = np.concatenate([gains, [0.0]])
        total = np.zeros(len(head))
        # The chance that the first relevant one is the group's first, its second, and so on.
        chance = relevant / size
        for place in range(int(min(k, (size - relevant + 1).max(initial=0)))):
            total += chance * padded[np.minimum(start + place, k)]
            left = size - place - 1
            chance = chance * np.maximum(left - relevant + 1, 0) / np.maximum(left, 1)
        return total

    def _ends(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        check_k(k)
        return np.minimum(self.start, k), np.minimum(self.start + self.size, k)

    def _sum(self, terms: np.ndarray) -> np.ndarray:
        return np.bincount(self.query, terms, len(self.queries))


def _distinct(query_index: np.ndarray, item_index: np.ndarray) -> np.ndarray:
    """Returns the first row of each pair of a query and an item."""
    query_index, item_index = np.asarray(query_index, np.int64), np.asarray(item_index, np.int64)
    keys = query_index * (item_index.max(initial=0) + 1) + item_index
    return np.unique(keys, return_index=True)[1]


def _before(counts: np.ndarray, first: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Returns the sum of the counts of a query's groups before each group."""
    before = np.cumsum(counts) - counts
    return before - before[first][query]
