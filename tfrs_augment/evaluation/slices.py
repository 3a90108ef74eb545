"""Slices of the test rows, by how well training knows the item.

| slice | rows | ranked among |
|---|---|---|
| `all` | every test row, of cold items the last ones | the full catalogue |
| `warm` | the item has a training row | the full catalogue |
| `head` | the item is among the 20 % most popular training items | the full catalogue |
| `tail` | a training item that is not head | the full catalogue |
| `cold` | the item has no training row | the full catalogue |
| `warm_corpus`, `head_corpus`, `tail_corpus` | as `warm`, `head`, `tail` | the warm items alone |
| `cold_corpus` | as `cold` | the cold items alone |

What a user has seen is left out of every ranking. `warm` and `warm_corpus` hold the same rows: the
second says how good the model is where only items it knows compete; what `warm` loses beyond it is
the price of showing cold items at all. `cold_corpus` asks how well new items are told from one
another, as a shelf of novelties would show them.

A split that trains on a sample of its rows says by `Split.popularity` which items are warm and head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfrs_augment.evaluation.metrics import Ranks, Seen, rank, rank_scores
from tfrs_augment.evaluation.splits import Split

Scorer = Callable[[np.ndarray], np.ndarray]
"""From the numbers of test rows, int `[n]`, to scores, float `[n, items]`."""

MAIN_SLICES = ("all", "warm", "head", "tail", "cold", "warm_corpus")
SLICES = (*MAIN_SLICES, "head_corpus", "tail_corpus", "cold_corpus")
"""The main ones are those of tables and plots unless others are asked for."""
CORPORA = {
    "full": ("all", "warm", "head", "tail", "cold"),
    "warm_corpus": ("warm_corpus", "head_corpus", "tail_corpus"),
    "cold_corpus": ("cold_corpus",),
}
"""The candidates that compete, and the slices that are ranked among them."""

_HEAD_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Slices:
    """Which test rows belong to which slice.

    Attributes:
      masks: bool `[rows]` by slice name; `warm_corpus` has the mask of `warm`, and so on.
      users: int64 `[rows]`, the user of each row, the unit that intervals resample.
    """

    masks: dict[str, np.ndarray]
    users: np.ndarray

    @classmethod
    def of(cls, split: Split) -> Slices:
        """Returns the slices of the test rows of a split."""
        head = head_items(split.popularity)
        item = split.test.item_index()
        warm = split.warm_items[item]
        masks = {
            "all": ~split.earlier,
            "warm": warm,
            "head": head[item],
            "tail": warm & ~head[item],
            "cold": ~warm,
        }
        masks |= {f"{name}_corpus": masks[name] for name in ("warm", "head", "tail", "cold")}
        return cls(masks, split.test.user_index())


def head_items(counts: np.ndarray) -> np.ndarray:
    """Returns bool `[items]`: the most popular 20 % of the items with a count.

    Args:
      counts: int `[items]`, the popularity of each item. Of equally popular items the earlier in
        the catalogue comes first.
    """
    order = np.argsort(-counts, kind="stable")
    head = np.zeros(len(counts), bool)
    head[order[: int(round(_HEAD_SHARE * (counts > 0).sum()))]] = True
    return head


def rank_test_rows(split: Split, queries: np.ndarray, candidates: np.ndarray) -> dict[str, Ranks]:
    """Ranks the test rows among the full catalogue, among its warm and among its cold items.

    Args:
      split: whose test rows are ranked.
      queries: float `[queries, dim]`, in the order of `split.queries(split.test)`.
      candidates: float `[items, dim]`, in the order of `split.train.items`.

    Returns:
      Ranks of the test rows by the names in `CORPORA`. Among warm items those of warm rows, and
      among cold ones those of cold rows; the others count as ranked last.
    """
    query = split.query_index(split.test)

    def ranked(rows, item, seen, corpus):
        return rank(queries, candidates, query[rows], item, seen=seen, corpus=corpus)

    return _rank_by_corpus(split, split.seen_before(split.test), ranked)


def rank_test_scores(split: Split, score: Scorer, *, block: int = 500) -> dict[str, Ranks]:
    """Ranks the test rows as `rank_test_rows` does, by scores of any making.

    Args:
      split: whose test rows are ranked.
      score: from the numbers of test rows, int `[n]`, to float `[n, items]`, without NaN.
      block: test rows that are scored at once.
    """
    seen = split.seen_before(split.test).take(split.query_index(split.test))

    def ranked(rows, item, seen, corpus):
        parts = [
            rank_scores(
                score(rows[start : start + block]),
                np.arange(len(rows[start : start + block])),
                item[start : start + block],
                seen=seen.take(rows[start : start + block]),
                corpus=corpus,
            )
            for start in range(0, len(rows), block)
        ]
        return Ranks(
            np.concatenate([np.zeros(0, np.int32), *(part.greater for part in parts)]),
            np.concatenate([np.zeros(0, np.int32), *(part.ties for part in parts)]),
        )

    return _rank_by_corpus(split, seen, ranked)


def _rank_by_corpus(split: Split, seen: Seen, ranked) -> dict[str, Ranks]:
    """Calls `ranked(rows, items of these rows, seen, corpus)` for each corpus."""
    item, warm = split.test.item_index(), split.warm_items
    ranks = {"full": ranked(np.arange(len(item)), item, seen, None)}
    for name, corpus in (("warm_corpus", warm), ("cold_corpus", ~warm)):
        rows = np.flatnonzero(corpus[item])
        found = ranked(rows, item[rows], seen, corpus)
        greater, ties = np.full(len(item), corpus.sum(), np.int32), np.zeros(len(item), np.int32)
        greater[rows], ties[rows] = found.greater, found.ties
        ranks[name] = Ranks(greater, ties)
    return ranks


class ValidationRanker:
    """Ranks the validation rows, what was seen before them left out.

    Among the warm items where all rows are of those; else, with pseudo-cold items, among all items.
    """

    def __init__(self, split: Split):
        self._query = split.query_index(split.validation)
        self._item = split.validation.item_index()
        self._seen = split.seen_before(split.validation)
        warm = split.warm_items
        self._corpus = warm if warm[self._item].all() else None

    def __call__(self, queries: np.ndarray, candidates: np.ndarray) -> Ranks:
        """Returns the ranks of the validation rows.

        Args:
          queries: float `[queries, dim]`, in the order of `split.queries(split.validation)`.
          candidates: float `[items, dim]`, in the order of `split.train.items`.
        """
        return rank(
            queries, candidates, self._query, self._item, seen=self._seen, corpus=self._corpus
        )
