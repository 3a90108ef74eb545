"""Whether the arms of an experiment got the units that they were to get."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.statistics.distributions import binomial_test, chi_square_tail

# Below this p-value of the arms' sizes the experiment is held to be broken. The check is made in each
# experiment, so a level of 5 % would stop one sound experiment in twenty.
_BROKEN = 0.001
# Below this many expected units in an arm chi-square's tail is not near the exact one.
_EXPECTED = 5.0


@dataclasses.dataclass(frozen=True)
class SampleRatio:
    """The check of the arms' sizes.

    Attributes:
      counts: units by arm.
      shares: by arm, the share that it was to get; they sum to 1.
      p_value: of the shares being true.
    """

    counts: Mapping[str, int]
    shares: Mapping[str, float]
    p_value: float

    @property
    def broken(self) -> bool:
        """Whether the p-value is below 0.001: assignment or logging lost units of some arm."""
        return self.p_value < _BROKEN

    def __str__(self) -> str:
        total = sum(self.counts.values())
        parts = ", ".join(
            f"{name} {count:,} ({count / total:.2%} of {self.shares[name]:.2%} planned)"
            for name, count in self.counts.items()
        )
        head = "BROKEN, trust nothing below" if self.broken else "fits"
        return f"sample ratio: {head}, p = {self.p_value:.2g}; {parts}"


def sample_ratio(
    counts: Mapping[str, int], shares: Mapping[str, float] | None = None
) -> SampleRatio:
    """Tests whether the arms got the shares of units that they were to get.

    The p-value is chi-square's. Where an arm is to have fewer than 5 units it is exact: of the
    binomial distribution of each arm, corrected for their number where there are more than two.

    Args:
      counts: units by arm. An arm is told by its name as text: 1 and "1" are one.
      shares: by arm, above 0; scaled to sum to 1. Default: equal.

    Raises:
      InvalidArgumentError: the arms of `shares` are not those of `counts`, or a share is not above 0.

    Example:
      >>> sample_ratio({"a": 5000, "b": 5300}).broken
      False
      >>> sample_ratio({"a": 5000, "b": 5400}).broken
      True
    """
    given = dict.fromkeys(counts, 1.0) if shares is None else shares
    shares, arms = {str(name): share for name, share in given.items()}, sorted(map(str, counts))
    if set(shares) != set(arms):
        raise InvalidArgumentError(
            f"`shares` must have the arms of the table, {arms}. Received: {sorted(shares)}."
        )
    if not all(math.isfinite(share) and share > 0 for share in shares.values()):
        raise InvalidArgumentError(f"`shares` must be above 0. Received: shares={shares}.")
    seen = np.array(list(counts.values()), np.int64)
    expected = np.array([shares[str(name)] for name in counts], np.float64)
    expected /= expected.sum()
    total = int(seen.sum())
    if total == 0:
        raise InvalidArgumentError(f"`counts` must have units. Received: counts={dict(counts)}.")
    if (total * expected).min() >= _EXPECTED:
        statistic = float(np.sum((seen - total * expected) ** 2 / (total * expected)))
        p_value = chi_square_tail(statistic, len(seen) - 1)
    else:
        each = [binomial_test(int(c), total, float(s)) for c, s in zip(seen, expected)]
        p_value = min(each) if len(each) == 2 else min(1.0, len(each) * min(each))
    named = dict(zip(counts, expected.tolist()))
    return SampleRatio(dict(counts), named, p_value)
