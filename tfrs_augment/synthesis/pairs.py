"""Who chose what, as the models of pairs are fitted on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of users and items, by their places in the tables of users and items.

    Args:
      user: int64 `[n]`.
      item: int64 `[n]`.
      users: number of users in the table.
      items: number of items in the table.
      user_codes: features of users cut into cells: int64 `[users]`, -1 where unknown.
      item_codes: features of items cut into cells: int64 `[items]`, likewise.
      sizes: number of cells of each feature.
    """

    user: np.ndarray
    item: np.ndarray
    users: int
    items: int
    user_codes: Mapping[str, np.ndarray]
    item_codes: Mapping[str, np.ndarray]
    sizes: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.user)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Returns all that they are made of."""
        codes = (*self.user_codes.values(), *self.item_codes.values())
        return self.user, self.item, *codes

    def activity(self) -> np.ndarray:
        """Returns int64 `[users]`, rows a user."""
        return np.bincount(self.user, minlength=self.users)

    def popularity(self) -> np.ndarray:
        """Returns int64 `[items]`, rows an item."""
        return np.bincount(self.item, minlength=self.items)

    def take(self, index: np.ndarray) -> Pairs:
        """Returns the pairs at `index`, with the same tables."""
        return dataclasses.replace(self, user=self.user[index], item=self.item[index])

    def hold_out(self, share: float, seed: int) -> tuple[Pairs, Pairs]:
        """Splits off random pairs to validate on.

        A user or an item keeps a pair to learn from, so that the measure is of what was learned.

        Args:
          share: of the pairs, in (0, 1).
          seed: of the draw.

        Returns:
          The pairs to learn from, and the held-out ones; the latter may be few where data are sparse.
        """
        order = np.random.default_rng([seed, 0x401D]).permutation(len(self))
        first = np.zeros(len(self), bool)
        for column in (self.user, self.item):
            first[order[np.unique(column[order], return_index=True)[1]]] = True
        free = order[~first[order]]
        held = np.zeros(len(self), bool)
        held[free[: int(share * len(self))]] = True
        return self.take(~held), self.take(held)


def log_popularity(pairs: Pairs, smoothing: float) -> np.ndarray:
    """Returns float32 `[items]`, the logarithm of each item's smoothed share of the pairs."""
    counts = pairs.popularity() + smoothing
    with np.errstate(divide="ignore"):
        return np.log(counts / counts.sum()).astype(np.float32)
