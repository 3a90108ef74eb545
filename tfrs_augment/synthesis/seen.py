"""The pairs of a fit as hashes: they can be tested for, and not be read."""

from __future__ import annotations

import numpy as np

from tfrs_augment.synthesis import keyed
from tfrs_augment.synthesis.pairs import Pairs

_SALT = 0x5EE2


class SeenPairs:
    """Salted 64-bit hashes of pairs.

    Args:
      salt: of the hashes.
      hashes: uint64 `[pairs]`, sorted; none if nothing is to be excluded.
      counts: int64 `[users]`, how many different pairs each user has.
    """

    def __init__(self, salt: int, hashes: np.ndarray, counts: np.ndarray):
        self._salt, self.hashes, self.counts = salt, hashes, counts

    @classmethod
    def of(cls, pairs: Pairs, salt: int) -> SeenPairs:
        """Returns the hashes of pairs."""
        keys = np.unique(pairs.user * pairs.items + pairs.item)
        user, item = np.divmod(keys, pairs.items)
        hashes = np.sort(keyed.keys_of(salt, _SALT, user, item))
        return cls(salt, hashes, np.bincount(user, minlength=pairs.users))

    @classmethod
    def none(cls, users: int) -> SeenPairs:
        """Returns no pair at all."""
        return cls(0, np.zeros(0, np.uint64), np.zeros(users, np.int64))

    def contain(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns bool `[n]`, which pairs are among them.

        Args:
          users: int64 `[n]`.
          items: int64 `[n]`.
        """
        if not len(self.hashes) or not len(users):
            return np.zeros(len(users), bool)
        hashes = keyed.keys_of(self._salt, _SALT, users, items)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return self.hashes[place] == hashes

    def table(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Returns bool `[users, items]`, which pairs of some users and some items are among them."""
        found = self.contain(np.repeat(users, len(items)), np.tile(items, len(users)))
        return found.reshape(len(users), len(items))
