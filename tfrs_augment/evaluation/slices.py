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

import numpy as np

from tfrs_augment.evaluation.metrics import Ranks, rank
from tfrs_augment.evaluation.splits import Split

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
    query, item = split.query_index(split.test), split.test.item_index()
    seen, warm = split.seen_before(split.test), split.warm_items
    ranks = {"full": rank(queries, candidates, query, item, seen=seen)}
    for name, corpus in (("warm_corpus", warm), ("cold_corpus", ~warm)):
        rows = np.flatnonzero(corpus[item])
        found = rank(queries, candidates, query[rows], item[rows], seen=seen, corpus=corpus)
        greater, ties = np.full(len(item), corpus.sum(), np.int32), np.zeros(len(item), np.int32)
        greater[rows], ties[rows] = found.greater, found.ties
        ranks[name] = Ranks(greater, ties)
    return ranks


class ValidationRanker:
    """Ranks the validation rows among the warm items, what was seen before them left out."""

    def __init__(self, split: Split):
        self._query = split.query_index(split.validation)
        self._item = split.validation.item_index()
        self._seen = split.seen_before(split.validation)
        self._corpus = split.warm_items

    def __call__(self, queries: np.ndarray, candidates: np.ndarray) -> Ranks:
        """Returns the ranks of the validation rows.

        Args:
          queries: float `[queries, dim]`, in the order of `split.queries(split.validation)`.
          candidates: float `[items, dim]`, in the order of `split.train.items`.
        """
        return rank(
            queries, candidates, self._query, self._item, seen=self._seen, corpus=self._corpus
        )
