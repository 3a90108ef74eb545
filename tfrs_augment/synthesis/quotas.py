"""How many rows each user gets."""

from __future__ import annotations

import numpy as np


def quotas(weights: np.ndarray, caps: np.ndarray, offsets: np.ndarray, n: int) -> np.ndarray:
    """Divides n rows among users in proportion to weights.

    User `u` gets `min(cap_u, floor(weight_u * x + offset_u))` rows, with the `x` at which they sum up to
    n. As n grows, `x` does and no user's number falls, as it can where largest remainders are handed
    out. With offsets drawn evenly from [0, 1), a user gets a row with a chance in proportion to the weight.

    Args:
      weights: float64 `[users]`, of 0 or more.
      caps: int64 `[users]`, the most rows of each.
      offsets: float64 `[users]`, in [0, 1).
      n: rows, at most the sum of the caps of users with a weight.

    Returns:
      int64 `[users]`, of sum n.

    Reference:
      Balinski and Young, "Fair Representation", 1982 (divisor methods; here of rounding points that
      are drawn).
    """
    caps = np.where(weights > 0, caps, 0)
    if n >= caps.sum():
        return caps.copy()

    def at(x: float) -> np.ndarray:
        # The bound keeps a huge x from leaving the integers.
        return np.minimum(caps, np.floor(np.minimum(weights * x + offsets, caps)).astype(np.int64))

    low, high = 0.0, 1.0
    while at(high).sum() < n:
        high *= 2.0
    for _ in range(100):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if at(middle).sum() <= n else (low, middle)
    counts = at(low)
    # Users whose next row comes at one and the same x, as those of no offset: in their order.
    short = n - int(counts.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        following = np.where(counts < caps, (counts + 1 - offsets) / weights, np.inf)
    counts[np.argsort(following, kind="stable")[:short]] += 1
    return counts
