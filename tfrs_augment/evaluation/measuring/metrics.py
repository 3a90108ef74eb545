"""Ranking metrics over the full catalogue, aware of ties and of what the user has already seen.

`tfrs.metrics.FactorizedTopK` counts a candidate that ties with the true one as ranked below it, so a
model that embeds every item alike scores 100 %. Here a tie is half a loss: the metrics are their
expectation over a random order of the tied candidates, and a constant model scores like chance.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.measuring.standings import Scores, stand


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Where the true item of each test row stands among the candidates.

    Attributes:
      greater: int32 `[rows]`, candidates with a higher score than the true item; `standings.NEVER`, more
        than any list has places, where that is minus infinity: such an item is not shown.
      ties: int32 `[rows]`, other candidates with the same score.
    """

    greater: np.ndarray
    ties: np.ndarray

    def __len__(self) -> int:
        return len(self.greater)

    def take(self, index: np.ndarray) -> Ranks:
        """Returns the ranks of the rows that a mask or an index picks."""
        return Ranks(self.greater[index], self.ties[index])

    @property
    def expected(self) -> np.ndarray:
        """float64 `[rows]`: `1 + greater + ties / 2`, the mean rank over random orders of ties."""
        return 1.0 + self.greater + 0.5 * self.ties

    def recall(self, k: int) -> np.ndarray:
        """Recall@k of each row, which with one relevant item a row is also the hit rate.

        Args:
          k: length of the list shown, at least 1.

        Returns:
          float64 `[rows]` in [0, 1]: 0 or 1 where the true item ties with none; else the chance
          that it is among the first `k`.
        """
        check_k(k)
        return np.clip((k - self.greater) / (self.ties + 1.0), 0.0, 1.0)

    def ndcg(self, k: int) -> np.ndarray:
        """NDCG@k of each row, with one relevant item a row: `1 / log2(rank + 1)` up to rank `k`.

        Args:
          k: length of the list shown, at least 1.

        Returns:
          float64 `[rows]` in [0, 1], the mean over random orders of ties.
        """
        check_k(k)
        gains = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(1, k + 1) + 1.0))])
        first = np.minimum(self.greater, k)
        last = np.minimum(self.greater + self.ties + 1, k)
        return (gains[last] - gains[first]) / (self.ties + 1.0)

    def mrr(self, k: int) -> np.ndarray:
        """Reciprocal rank of each row's true item: `1 / rank` up to rank `k`, else 0.

        Args:
          k: length of the list shown, at least 1.

        Returns:
          float64 `[rows]` in [0, 1], the mean over random orders of ties.
        """
        check_k(k)
        gains = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])
        first = np.minimum(self.greater, k)
        last = np.minimum(self.greater + self.ties + 1, k)
        return (gains[last] - gains[first]) / (self.ties + 1.0)

    def auc(self, others: np.ndarray) -> np.ndarray:
        """The chance that a random other candidate scores below each row's true item, ties half.

        Args:
          others: int `[rows]`, how many candidates compete with the true item of each row.

        Returns:
          float64 `[rows]` in [0, 1], 0 where the true item is never shown; NaN where nothing competes.
        """
        others = np.asarray(others, np.float64)
        lost = np.minimum(self.greater + 0.5 * self.ties, others)
        share = np.divide(lost, others, out=np.full(len(lost), np.nan), where=others > 0)
        return 1.0 - share


@dataclasses.dataclass(frozen=True)
class Seen:
    """The items that each query has already seen and that its ranking leaves out.

    Attributes:
      offsets: int64 `[queries + 1]`: the items of query `i` lie from `offsets[i]` to
        `offsets[i + 1]`.
      items: int64 `[pairs]`, indices of candidates.
    """

    offsets: np.ndarray
    items: np.ndarray

    @classmethod
    def from_pairs(cls, query_index: np.ndarray, item_index: np.ndarray, queries: int) -> Seen:
        """Builds the table from pairs of a query's index and a candidate's index, in any order."""
        order = np.argsort(query_index, kind="stable")
        counts = np.bincount(query_index, minlength=queries)
        return cls(np.concatenate([[0], np.cumsum(counts)]), np.asarray(item_index)[order])

    def take(self, queries: np.ndarray) -> Seen:
        """Returns the table of the queries at `queries`, int `[n]`, in that order."""
        lengths = np.diff(self.offsets)[queries]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Seen(offsets, self.items[np.repeat(self.offsets[queries], lengths) + place])


def rank(
    queries: np.ndarray,
    candidates: np.ndarray,
    query_index: np.ndarray,
    item_index: np.ndarray,
    *,
    seen: Seen | None = None,
    corpus: np.ndarray | None = None,
    tie_tolerance: float = 1e-6,
) -> Ranks:
    """Ranks the true item of each row by inner product among all candidates.

    The scores of a query are computed once for all of its rows, in blocks of bounded memory. The
    true item of a row always competes, even where the query has seen it or the corpus lacks it.
    Other test items of the same query are candidates like any other.

    Args:
      queries: float `[queries, dim]` embeddings, all finite.
      candidates: float `[items, dim]` embeddings, all finite.
      query_index: int `[rows]`, the row of `queries` that asks.
      item_index: int `[rows]`, the row of `candidates` that is the true answer.
      seen: candidates to leave out, by query. Default: none.
      corpus: bool `[items]`, the candidates that compete. Default: all.
      tie_tolerance: scores closer than this share of the largest possible score (the product of
        the norms) tie: float32 sums of equal numbers differ by about that much.

    Returns:
      The ranks, in the order of the rows.

    Raises:
      DataError: an embedding is NaN or infinite, or so large that inner products overflow float32 (a
        diverged model would otherwise rank first).

    Example:
      >>> import numpy as np
      >>> found = rank(np.eye(2), np.eye(2), np.array([0, 1]), np.array([0, 0]))
      >>> found.expected.tolist()
      [1.0, 2.0]
    """
    scores = Scores.of_embeddings(queries, candidates, tie_tolerance=tie_tolerance)
    return _rank(scores, query_index, item_index, seen, corpus)


def rank_scores(
    scores: np.ndarray,
    query_index: np.ndarray,
    item_index: np.ndarray,
    *,
    seen: Seen | None = None,
    corpus: np.ndarray | None = None,
) -> Ranks:
    """Ranks the true item of each row by a given matrix of scores; see `rank`.

    Args:
      scores: float `[queries, items]`, without NaN. Equal scores tie, but for minus infinity: an item that
        has it can't be shown, and is never found.
      query_index: int `[rows]`, the row of `scores`.
      item_index: int `[rows]`, the column of the true answer.
      seen: candidates to leave out, by query. Default: none.
      corpus: bool `[items]`, the candidates that compete. Default: all.

    Returns:
      The ranks, in the order of the rows.

    Raises:
      DataError: a score is NaN.
    """
    return _rank(Scores.of_matrix(scores), query_index, item_index, seen, corpus)


def _rank(scores: Scores, query_index, item_index, seen, corpus) -> Ranks:
    corpus = np.ones(scores.shape[1], bool) if corpus is None else np.asarray(corpus, bool)
    parts = [np.flatnonzero(corpus), np.flatnonzero(~corpus)]
    parts = parts[:1] if corpus.all() else parts
    found = stand(scores, query_index, item_index, seen=seen, parts=parts)
    return Ranks(found.greater[0], found.ties[0])


def check_k(k: int) -> None:
    """Raises an InvalidArgumentError unless `k` is at least 1."""
    if k < 1:
        raise InvalidArgumentError(f"`k` must be at least 1. Received: k={k}.")
