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
| `cold_users` | the user has no training row; only where there are such | the full catalogue |
| `device=phone` | a segment: the value of a feature of the row or of its user | the full catalogue |

What a user has seen is left out of every ranking. `warm` and `warm_corpus` hold the same rows: the
second says how good the model is where only items it knows compete; what `warm` loses beyond it is
the price of showing cold items at all. `cold_corpus` asks how well new items are told from one
another, as a shelf of novelties would show them.

A split that trains on a sample of its rows says by `Split.popularity` which items are warm and head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.evaluation.measuring.metrics import Ranks, Seen, rank
from tfrs_augment.evaluation.measuring.segments import segment_masks
from tfrs_augment.evaluation.measuring.similar_items import ItemFeatures
from tfrs_augment.evaluation.measuring.standings import Scores, stand
from tfrs_augment.evaluation.splitting.splits import Split, catalogue_size

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


LIST_LENGTH = 10
"""How many of the best items are kept of each query, for the metrics of the lists shown."""


@dataclasses.dataclass(frozen=True)
class Slices:
    """Which test rows belong to which slice, and what metrics ask beside where the true items stand.

    Only the first two are needed; a metric that asks for one of the others is absent without it.

    Attributes:
      masks: bool `[rows]` by slice name; `warm_corpus` has the mask of `warm`, and so on.
      users: int64 `[rows]`, the user of each row, the unit that intervals resample.
      queries: int64 `[rows]`, the query of each row.
      items: int64 `[rows]`, the true item of each row.
      again: bool `[rows]`, whether the query has seen its true item before.
      others: by the names in `CORPORA`, int64 `[rows]`, how many candidates compete with the true item.
      counts: int64 `[items]`, the popularity of each item in training.
      features: categories of the items.
      labels: float64 `[rows]`, what a ranking model predicts.
      of_queries: names of the slices that hold all rows of a query, or none: those of users.
      left_out: sentences about values of segments that have no slice.
    """

    masks: dict[str, np.ndarray]
    users: np.ndarray
    queries: np.ndarray | None = None
    items: np.ndarray | None = None
    again: np.ndarray | None = None
    others: dict[str, np.ndarray] | None = None
    counts: np.ndarray | None = None
    features: ItemFeatures | None = None
    labels: np.ndarray | None = None
    of_queries: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, split: Split, *, segments: Sequence[str] = (), label: str | None = None) -> Slices:
        """Returns the slices of the test rows of a split.

        Args:
          split: whose test rows are sliced.
          segments: names of features of users or of rows; each of their most frequent values, at most 12, is
            a slice `name=value`.
          label: the numeric column of the test rows that a ranking model predicts. Default: none.

        Raises:
          InvalidArgumentError: `split` is none.
          UnknownFeatureError: a segment or the label is no column.
          DataError: the label is not a number, or is missing or infinite in a row.
        """
        if not isinstance(split, Split):
            raise InvalidArgumentError(
                f"`split` must be, or return for each seed, a Split. Received: {type(split).__name__}."
            )
        head = head_items(split.popularity)
        item, user = split.test.item_index(), split.test.user_index()
        warm = split.warm_items[item]
        last = ~split.earlier
        masks = {
            "all": last,
            "warm": warm,
            "head": head[item],
            "tail": warm & ~head[item],
            "cold": ~warm,
        }
        masks |= {f"{name}_corpus": masks[name] for name in ("warm", "head", "tail", "cold")}
        known = np.zeros(len(split.train.users[split.train.user_id]), bool)
        # A row that asks by its history knows its user by that, trained on or not.
        met = split.train if split.query_from == "users" else split.seen
        known[met.user_index()] = True
        cold_users = ~known[user] & last
        if cold_users.any():
            masks["cold_users"] = cold_users
        found, left_out = segment_masks(split, segments)
        masks |= {name: mask & last for name, mask in found.items()}
        query = split.query_index(split.test)
        extra = [name for name in masks if name not in SLICES]
        others, again = _competitors(split, query, item)
        return cls(
            masks,
            user,
            queries=query,
            items=item,
            again=again,
            others=others,
            counts=np.asarray(split.popularity),
            features=ItemFeatures.of(split.train.items, split.train.item_id),
            labels=None if label is None else labels_of(split.test, label),
            of_queries=("all", *(name for name in extra if _whole(masks[name], query, last))),
            left_out=left_out,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the slices, those of items first."""
        return tuple(self.masks)

    @property
    def positive(self) -> np.ndarray | None:
        """bool `[rows]`, the rows with label 1, where all labels are 0 or 1; else None."""
        if self.labels is None or not np.isin(self.labels, (0.0, 1.0)).all():
            return None
        return self.labels == 1.0


def corpus_of(slice_name: str) -> str:
    """Returns the name in `CORPORA` of the candidates that a slice is ranked among."""
    for name, slices in CORPORA.items():
        if slice_name in slices:
            return name
    return "full"


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


def measure_embeddings(split: Split, queries: np.ndarray, candidates: np.ndarray) -> dict[str, Any]:
    """Ranks the test rows among the full catalogue, its warm and its cold items, and lists the best.

    Args:
      split: whose test rows are ranked.
      queries: float `[queries, dim]`, in the order of `split.queries(split.test)`.
      candidates: float `[items, dim]`, in the order of `split.train.items`.

    Returns:
      Arguments of `Run`: `ranks` of the test rows by the names in `CORPORA`, where among warm items the
      rows of cold ones count as ranked last, and among cold items those of warm ones; and `lists`.

    Raises:
      DataError: an embedding is NaN or infinite, or inner products overflow float32.
    """
    scores = Scores.of_embeddings(queries, candidates)
    return _measure(split, scores, split.query_index(split.test), split.seen_before(split.test))


def measure_scores(split: Split, score: Scorer, *, block: int = 500) -> dict[str, Any]:
    """Ranks the test rows as `measure_embeddings` does, by scores of any making.

    Args:
      split: whose test rows are ranked.
      score: from the numbers of test rows, int `[n]`, to float `[n, items]`, without NaN; minus infinity
        for items that can't be shown. Rows of one query score alike: it is asked for the first of them.

    Returns:
      Arguments of `Run`.

    Raises:
      InvalidArgumentError: `score` is no function, or returns other things than scores.
      DataError: a score is NaN.
    """
    asking, first, query = np.unique(
        split.query_index(split.test), return_index=True, return_inverse=True
    )
    seen = split.seen_before(split.test).take(asking)

    shape = (len(asking), catalogue_size(split.train))

    def scored(start: int, stop: int) -> np.ndarray:
        return scores_of(score, first[start:stop], shape[1])

    scores = Scores(scored, shape, np.zeros(len(asking), np.float32), rows=block)
    found = _measure(split, scores, query, seen)
    lists = np.full((_query_count(split), LIST_LENGTH), -1, np.int32)
    lists[asking] = found["lists"]
    return {**found, "lists": lists}


def scores_of(score: Scorer, rows: np.ndarray, items: int) -> np.ndarray:
    """Returns what a scorer says of test rows, float32 `[n, items]`, an array of its own.

    Raises:
      InvalidArgumentError: `score` is no function, or returns other things than scores.
      DataError: a score is NaN.
    """
    rule = "`scorer` must return a function from numbers of test rows, [n], to scores, [n, items]."
    if not callable(score):
        raise InvalidArgumentError(f"{rule} Received: {score!r} in place of the function.")
    scores = np.asarray(score(rows))
    if scores.shape != (len(rows), items) or scores.dtype.kind not in "biuf":
        raise InvalidArgumentError(
            f"{rule} Received: {scores.dtype} of shape {list(scores.shape)}, not {[len(rows), items]}."
        )
    scores = np.array(scores, np.float32)
    if np.isnan(scores).any():
        raise DataError("`scores` must not hold NaN: the model has diverged.")
    return scores


def _measure(split: Split, scores: Scores, query: np.ndarray, seen: Seen) -> dict[str, Any]:
    item, warm = split.test.item_index(), split.warm_items
    parts = [np.flatnonzero(warm), np.flatnonzero(~warm)]
    found = stand(scores, query, item, seen=seen, parts=parts, length=LIST_LENGTH)
    ranks = {"full": Ranks(found.greater.sum(axis=0), found.ties.sum(axis=0))}
    for number, (name, corpus) in enumerate((("warm_corpus", warm), ("cold_corpus", ~warm))):
        inside = corpus[item]
        ranks[name] = Ranks(
            np.where(inside, found.greater[number], corpus.sum()).astype(np.int32),
            np.where(inside, found.ties[number], 0).astype(np.int32),
        )
    ranks["full"] = Ranks(*(part.astype(np.int32) for part in dataclasses.astuple(ranks["full"])))
    return {"ranks": ranks, "lists": found.lists}


def _query_count(split: Split) -> int:
    return len(next(iter(split.queries(split.test).values())))


def _competitors(
    split: Split, query: np.ndarray, item: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """How many candidates of each corpus compete with each row's item, and which items were seen."""
    seen, items = split.seen_before(split.test), catalogue_size(split.train)
    asked = np.repeat(np.arange(len(seen.offsets) - 1), np.diff(seen.offsets))
    pairs = np.unique(asked * items + seen.items)
    own = query * items + item
    place = np.minimum(np.searchsorted(pairs, own), max(len(pairs) - 1, 0))
    again = pairs[place] == own if len(pairs) else np.zeros(len(own), bool)
    others = {}
    for name, corpus in (
        ("full", np.ones(items, bool)),
        ("warm_corpus", split.warm_items),
        ("cold_corpus", ~split.warm_items),
    ):
        known = corpus[pairs % items]
        hidden = np.bincount(pairs[known] // items, minlength=len(seen.offsets) - 1)
        # The true item is no competitor of itself, seen or not.
        others[name] = corpus.sum() - hidden[query] - (corpus[item] & ~again)
    return others, again


def labels_of(part: Interactions, label: str) -> np.ndarray:
    """Returns float64 `[rows]`, the labels of a part.

    Args:
      part: the rows.
      label: name of their column.

    Raises:
      UnknownFeatureError: there is no such column.
      DataError: it is none of numbers, or a label is NaN or infinite.
    """
    if label not in part.rows:
        raise UnknownFeatureError(
            f"`label` must be a column of the rows. Received: label={label!r}. "
            f"{close_matches(label, part.rows)}"
        )
    column = part.rows[label]
    if getattr(column, "ndim", 0) != 1 or column.dtype.kind not in "biuf":
        raise DataError(
            f"`label` must be a column of one number a row. Received: {label!r} of dtype {column.dtype}."
        )
    labels = column.astype(np.float64)
    if not np.isfinite(labels).all():
        raise DataError(
            f"`label` must be finite in every row. Received: {label!r} with "
            f"{int((~np.isfinite(labels)).sum())} of {len(labels)} missing or infinite. Drop these rows."
        )
    return labels


def _whole(mask: np.ndarray, query: np.ndarray, among: np.ndarray) -> bool:
    """Whether no query has rows both in a mask and out of it, among the rows that count."""
    return not np.intersect1d(query[mask], query[among & ~mask]).size


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
