"""How alike the items of lists are, by their categories."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrs_augment.datasets.interactions import Ragged, Table


@dataclasses.dataclass(frozen=True)
class ItemFeatures:
    """The categories of each item as a sparse vector.

    Each feature, a column of bytes or of lists of bytes, is a block of ones at the values that an item has,
    of length 1 as a whole; blocks count alike. So two items are as similar as the mean over
    features of the cosine of their values: the share of features that agree, where each has one.

    Attributes:
      splits: int64 `[items + 1]`; the entries of item `i` lie from `splits[i]` to `splits[i + 1]`.
      codes: int64 `[entries]`, the value, of its own feature.
      weights: float64 `[entries]`.
      names: the features.
    """

    splits: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, items: Table, item_id: str) -> ItemFeatures | None:
        """Returns the categories of a catalogue, None where it has none.

        Left out are the id; numbers; and columns where most items have a value of their own, such as
        titles, which say nothing of likeness.
        """
        entries = []
        count = len(items[item_id])
        for name, column in items.items():
            if name == item_id or column.dtype.kind != "S":
                continue
            if not isinstance(column, Ragged):
                column = Ragged(column, np.arange(count + 1))
            item = np.repeat(np.arange(count), column.row_lengths())
            filled = column.values != b""
            values, codes = np.unique(column.values[filled], return_inverse=True)
            if 2 <= len(values) <= count / 2:
                pairs = np.unique(np.stack([item[filled], codes]), axis=1)
                entries.append((name, len(values), *pairs))
        if not entries:
            return None
        start = np.cumsum([0, *(size for _, size, _, _ in entries)])
        item = np.concatenate([item for _, _, item, _ in entries])
        codes = np.concatenate([codes + s for s, (_, _, _, codes) in zip(start, entries)])
        weights = [1.0 / np.sqrt(np.bincount(item)[item]) for _, _, item, _ in entries]
        order = np.argsort(item, kind="stable")
        splits = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=count))])
        weights = np.concatenate(weights)[order] / np.sqrt(len(entries))
        return cls(splits, codes[order], weights, tuple(name for name, *_ in entries))

    def distance(self, lists: np.ndarray) -> np.ndarray:
        """Returns the mean distance, 1 less the similarity, over the pairs of items of each list.

        Args:
          lists: int `[lists, length]` of distinct items, -1 where there is none.

        Returns:
          float64 `[lists]` in [0, 1]; NaN for lists of fewer than two items.
        """
        row, place = np.nonzero(lists >= 0)
        item = lists[row, place]
        lengths = np.diff(self.splits)[item]
        first = np.cumsum(lengths) - lengths
        entry = np.arange(lengths.sum()) + np.repeat(self.splits[item] - first, lengths)
        row, codes, weights = np.repeat(row, lengths), self.codes[entry], self.weights[entry]
        # The squared length of the sum of a list's vectors holds the similarity of all its pairs.
        size = int(self.codes.max(initial=0)) + 1
        keys, group = np.unique(row * size + codes, return_inverse=True)
        sums = np.bincount(group, weights, len(keys))
        whole = np.bincount(keys // size, sums**2, len(lists))
        own = np.bincount(row, weights**2, len(lists))
        items = (lists >= 0).sum(axis=1)
        pairs = (items * (items - 1)).astype(np.float64)
        similar = np.divide(whole - own, pairs, out=np.full(len(lists), np.nan), where=pairs > 0)
        return np.clip(1.0 - similar, 0.0, 1.0)
