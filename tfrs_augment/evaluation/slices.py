"""Slices of the test rows, by how well training knows the item.

| slice | rows | ranked among |
|---|---|---|
| `all` | every test row | the full catalogue |
| `warm` | the item has a training row | the full catalogue |
| `head` | the item is among the 20 % most popular training items | the full catalogue |
| `tail` | a training item that is not head | the full catalogue |
| `cold` | the item has no training row | the full catalogue |
| `warm_corpus` | as `warm` | the warm items alone |

What a user has seen is left out of every ranking. `warm` and `warm_corpus` hold the same rows: the
second says how good the model is where only items it knows compete; what `warm` loses beyond it is
the price of showing cold items at all.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrs_augment.evaluation.metrics import Ranks, Seen, rank
from tfrs_augment.evaluation.splits import Split, catalogue_size

SLICES = ("all", "warm", "head", "tail", "cold", "warm_corpus")

_HEAD_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Slices:
    """Which test rows belong to which slice.

    Attributes:
      masks: bool `[rows]` by slice name; `warm_corpus` has the mask of `warm`.
      users: int64 `[rows]`, the user of each row, the unit that intervals resample.
    """

    masks: dict[str, np.ndarray]
    users: np.ndarray

    @classmethod
    def of(cls, split: Split) -> Slices:
        """Returns the slices of the test rows of a split."""
        counts = np.bincount(split.train.item_index(), minlength=catalogue_size(split.train))
        head = head_items(counts)
        item = split.test.item_index()
        warm = counts[item] > 0
        masks = {
            "all": np.ones(len(item), bool),
            "warm": warm,
            "head": head[item],
            "tail": warm & ~head[item],
            "cold": ~warm,
            "warm_corpus": warm,
        }
        return cls(masks, split.test.user_index())


def head_items(counts: np.ndarray) -> np.ndarray:
    """Returns bool `[items]`: the most popular 20 % of the items with a training row.

    Args:
      counts: int `[items]`, training rows of each item. Of equally popular items the earlier in
        the catalogue comes first.
    """
    order = np.argsort(-counts, kind="stable")
    head = np.zeros(len(counts), bool)
    head[order[: int(round(_HEAD_SHARE * (counts > 0).sum()))]] = True
    return head


def rank_test_rows(split: Split, queries: np.ndarray, candidates: np.ndarray) -> dict[str, Ranks]:
    """Ranks the test rows among the full catalogue and among the warm items.

    Args:
      split: whose test rows are ranked.
      queries: float `[users, dim]`, in the order of `split.train.users`.
      candidates: float `[items, dim]`, in the order of `split.train.items`.

    Returns:
      `{"full": ranks of all test rows, "warm_corpus": ranks of all test rows}`; the second means
      something for warm rows only.
    """
    user, item = split.test.user_index(), split.test.item_index()
    seen = Seen.from_pairs(split.seen.user_index(), split.seen.item_index(), len(queries))
    return {
        "full": rank(queries, candidates, user, item, seen=seen),
        "warm_corpus": rank(queries, candidates, user, item, seen=seen, corpus=split.warm_items),
    }


class ValidationRanker:
    """Ranks the validation rows among the warm items, what training has shown left out."""

    def __init__(self, split: Split):
        self._user = split.validation.user_index()
        self._item = split.validation.item_index()
        users = len(split.train.users[split.train.user_id])
        self._seen = Seen.from_pairs(split.train.user_index(), split.train.item_index(), users)
        self._corpus = split.warm_items

    def __call__(self, queries: np.ndarray, candidates: np.ndarray) -> Ranks:
        """Returns the ranks of the validation rows by embeddings `[users, dim]`, `[items, dim]`."""
        return rank(
            queries, candidates, self._user, self._item, seen=self._seen, corpus=self._corpus
        )
