"""Where items stand among all candidates, and the best of them, block by block and never sorted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfrs_augment.errors import DataError, InvalidArgumentError

if TYPE_CHECKING:
    from tfrs_augment.evaluation.measuring.metrics import Seen

# Numbers in one block of scores, 16 MiB of float32: a product large enough to be worth its threads.
_BLOCK_NUMBERS = 1 << 22
# A part of it is compared at once, so that the passes over it stay in cache.
_PARTS = 16
# A byte of a word counts up to 255 marks before it overflows.
_WORDS = 255
# In a large catalogue every fourth item bounds the lists.
_SOME, _MANY = 4, 1000
_LOWEST = np.finfo(np.float32).min
NEVER = 1 << 28
"""Candidates above a true item of minus infinity: more than any list has places, and parts may be summed."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of all candidates by blocks of queries, so that they are never all in memory.

    Attributes:
      block: from the first and the last query of a block, exclusive, to float `[block, items]`, which
        may be overwritten.
      shape: queries and items.
      tolerance: float32 `[queries]`, the distance within which scores tie.
      rows: queries of a block. Default: as many as stay in cache.
    """

    block: Callable[[int, int], np.ndarray]
    shape: tuple[int, int]
    tolerance: np.ndarray
    rows: int | None = None

    @classmethod
    def of_embeddings(
        cls, queries: np.ndarray, candidates: np.ndarray, *, tie_tolerance: float = 1e-6
    ) -> Scores:
        """Returns the inner products of embeddings; see `rank`."""
        queries = np.ascontiguousarray(queries, np.float32)
        candidates = np.ascontiguousarray(candidates, np.float32)
        for name, array in (("queries", queries), ("candidates", candidates)):
            if not np.isfinite(array).all():
                bad = int((~np.isfinite(array)).any(axis=1).sum())
                raise DataError(
                    f"`{name}` must be finite. Received: {bad} of {len(array)} embeddings with NaN or "
                    "infinity; the model has diverged, lower its learning rate."
                )
        lengths, largest = _norms(queries), _norms(candidates).max(initial=0.0)
        longest = lengths.max(initial=0.0)
        if float(longest) * float(largest) > float(np.finfo(np.float32).max):
            raise DataError(
                "`queries` and `candidates` must have inner products within the range of float32. Received: "
                f"embeddings of norms to {longest:g} and {largest:g}; the model has diverged, lower its "
                "learning rate."
            )
        tolerance = tie_tolerance * lengths * largest
        return cls(
            lambda start, stop: queries[start:stop] @ candidates.T,
            (len(queries), len(candidates)),
            tolerance.astype(np.float32),
        )

    @classmethod
    def of_matrix(cls, scores: np.ndarray) -> Scores:
        """Returns the scores of a matrix, float `[queries, items]`, whose equal numbers tie."""
        if np.isnan(scores).any():
            raise DataError("`scores` must not hold NaN: the model has diverged.")
        tolerance = np.zeros(len(scores), np.float32)
        return cls(lambda start, stop: scores[start:stop].copy(), scores.shape, tolerance)


@dataclasses.dataclass(frozen=True)
class Standings:
    """Where the true items of rows stand among parts of the catalogue, and what queries are shown.

    Attributes:
      greater: int32 `[parts, rows]`, candidates of each part with a higher score than the true item;
        `NEVER` where that is minus infinity.
      ties: int32 `[parts, rows]`, other candidates of each part with the same score.
      lists: int32 `[queries, length]`, the best items of all parts together, best first; -1 where
        there are no more, and for queries without a row. Items that tie for the last places are
        drawn by a hash of query and item.
    """

    greater: np.ndarray
    ties: np.ndarray
    lists: np.ndarray


def stand(
    scores: Scores,
    query_index: np.ndarray,
    item_index: np.ndarray,
    *,
    seen: Seen | None = None,
    parts: Sequence[np.ndarray] | None = None,
    length: int = 0,
) -> Standings:
    """Ranks the true item of each row among parts of the catalogue in one pass over the scores.

    Args:
      scores: of all queries and items.
      query_index: int `[rows]`, the query that asks.
      item_index: int `[rows]`, the true answer.
      seen: candidates to leave out, by query. Default: none.
      parts: indices of the items of each part, disjoint. Default: one of all items.
      length: of the lists; 0 makes none.

    Returns:
      The standings, in the order of the rows.
    """
    query_index = np.asarray(query_index, np.int64)
    item_index = np.asarray(item_index, np.int64)
    _check_index("query_index", query_index, scores.shape[0])
    _check_index("item_index", item_index, scores.shape[1])
    parts = [np.arange(scores.shape[1])] if parts is None else parts
    order = np.argsort(query_index, kind="stable")
    sorted_query = query_index[order]
    greater, ties = np.zeros((2, len(parts), len(order)), np.int32)
    lists = np.full((scores.shape[0], length), -1, np.int32)
    block = max(1, _BLOCK_NUMBERS // max(scores.shape[1], 1))
    few = max(1, block // _PARTS)
    count = _Counter(few, parts, scores.shape[1])
    for start, stop in _spans(scores.shape[0], scores.rows or block):
        first, last = np.searchsorted(sorted_query, [start, stop])
        if first == last:
            continue
        found = scores.block(start, stop)
        rows = order[first:last]
        local = query_index[rows] - start
        own = found[local, item_index[rows]]
        _leave_out(found, start, stop, seen)
        kept = found[local, item_index[rows]]
        slack = scores.tolerance[query_index[rows]]
        # What was left out is minus infinity and never counts.
        low, high = np.maximum(own - slack, _LOWEST), own + slack
        if length:
            asking = np.unique(local)
            lists[start + asking] = _best(
                _take(found, asking), scores.tolerance[start + asking], start + asking, length
            )
        for begin, end in _spans(len(rows), few):
            span = slice(begin, end)
            others = _take(found, local[span])
            above = count(np.greater, others, high[span])
            near = count(np.greater_equal, others, low[span])
            greater[:, rows[span]] = above
            ties[:, rows[span]] = near - above
        # The true item ties with itself where it was not left out.
        ties[count.part_of[item_index[rows]], rows] -= kept >= low
        # Minus infinity is never shown, however few others there are.
        greater[:, rows[np.isneginf(own)]] = NEVER
    return Standings(greater, ties, lists)


class _Counter:
    """Counts, row by row and part by part, how many scores pass a comparison."""

    def __init__(self, rows: int, parts: Sequence[np.ndarray], items: int):
        # Marks are summed eight at a time, as bytes of a word: many times faster than one by one.
        words = -(-items // 8)
        self._chunks = max(1, -(-words // _WORDS))
        self._words = -(-words // self._chunks)
        self._marks = np.zeros((rows, self._chunks * self._words * 8), bool)
        inside = np.zeros((len(parts), self._marks.shape[1]), bool)
        self.part_of = np.zeros(items, np.int64)
        for number, part in enumerate(parts):
            self.part_of[part] = number
            inside[number, part] = True
        self._masks = inside.view(np.uint64)
        self._whole = inside[:, :items].any(axis=0).all()

    def __call__(self, compare: np.ufunc, scores: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """Returns int64 `[parts, rows]`."""
        marks = self._marks[: len(scores)]
        compare(scores, bounds[:, None], out=marks[:, : scores.shape[1]])
        words = marks.view(np.uint64)
        counts = np.empty((len(self._masks), len(scores)), np.int64)
        for number, mask in enumerate(self._masks[:-1]):
            counts[number] = self._sum(words & mask)
        # Where the parts make the whole the last is the rest.
        last = words if self._whole else words & self._masks[-1]
        counts[-1] = self._sum(last)
        if self._whole:
            counts[-1] -= counts[:-1].sum(axis=0)
        return counts

    def _sum(self, words: np.ndarray) -> np.ndarray:
        lanes = np.add.reduce(words.reshape(len(words), self._chunks, self._words), axis=2)
        return lanes.view(np.uint8).reshape(len(words), -1).sum(axis=1, dtype=np.int64)


def _best(scores, tolerance, queries, length) -> np.ndarray:
    """Returns int32 `[n, length]`, the best columns of each row of scores, -1 where none is left."""
    items = scores.shape[1]
    found = np.full((len(scores), length), -1, np.int32)
    # The last place among some of the columns bounds that among all from below.
    some = scores[:, :: _SOME if items > _MANY else 1]
    if some.shape[1] < length:
        bound = np.full(len(scores), _LOWEST, scores.dtype)
    else:
        bound = np.partition(some, some.shape[1] - length, axis=1)[:, some.shape[1] - length]
    near = scores >= np.maximum(bound - tolerance, _LOWEST)[:, None]
    row, item = np.divmod(np.flatnonzero(near), items) if items else np.zeros((2, 0), np.int64)
    score = scores[row, item]
    order = np.lexsort((-score, row))
    row, item, score = row[order], item[order], score[order]
    first = np.searchsorted(row, np.arange(len(scores)))
    counts = np.bincount(row, minlength=len(scores))
    last = np.full(len(scores), _LOWEST, np.float64)
    enough = counts >= length
    last[enough] = score[first[enough] + length - 1]
    # Those that tie for the last places come in a random order behind those above them.
    drawn = _hash(queries[row].astype(np.uint64) * np.uint64(items) + item.astype(np.uint64))
    low, high = (last - tolerance)[row], (last + tolerance)[row]
    key = np.where(score > high, 0.0, np.where(score >= low, 1.0 + drawn, 3.0))
    order = np.lexsort((-score, key, row))
    nth = np.arange(len(row)) - first[row]
    kept = nth < length
    found[row[kept], nth[kept]] = item[order][kept]
    return found


def _hash(keys: np.ndarray) -> np.ndarray:
    """Returns float64 in [0, 1) from uint64 keys, by the finalizer of splitmix64."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((keys ^ (keys >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _norms(embeddings: np.ndarray) -> np.ndarray:
    """Returns float `[n]`, in float64 where a sum of squares is beyond float32."""
    with np.errstate(over="ignore"):
        found = np.linalg.norm(embeddings, axis=1)
    if not np.isfinite(found).all():
        found = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    return found


def _leave_out(scores, start, stop, seen) -> None:
    if seen is not None:
        begin, end = seen.offsets[start], seen.offsets[stop]
        counts = np.diff(seen.offsets[start : stop + 1])
        scores[np.repeat(np.arange(stop - start), counts), seen.items[begin:end]] = -np.inf


def _take(scores: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of scores, as a view where they follow one another."""
    if len(index) == 1 or (np.diff(index) == 1).all():
        return scores[index[0] : index[-1] + 1]
    return scores[index]


def _spans(length: int, block: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, block):
        yield start, min(start + block, length)


def _check_index(name: str, index: np.ndarray, length: int) -> None:
    if len(index) and (index.min() < 0 or index.max() >= length):
        raise InvalidArgumentError(
            f"`{name}` must lie in [0, {length}). Received: {index.min()} to {index.max()}."
        )
