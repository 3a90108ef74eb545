"""Verdicts in words: what an arm helps, hurts, and what can't be told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.statistics.distributions import holm, normal_quantile, normal_tail

HELPS, HURTS, UNCLEAR = "helps", "hurts", "can't tell"
ALPHA = 0.05


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a paired comparison says.

    Attributes:
      word: "helps", "hurts" or "can't tell".
      p_value: two-sided, for this comparison by itself, in [0, 1]; NaN without rows.
      corrected: the p-value after Holm's correction for all comparisons judged together.
      reason: why it can't be told where that is not for chance: no rows, one seed, or no spread to
        judge by; else empty.
    """

    word: str
    p_value: float
    corrected: float
    reason: str = ""


NO_ROWS = "no rows"
ONE_SEED = "one seed: by how much trainings differ by chance is not known"
NO_SPREAD = "nothing differs from seed to seed or from user to user"


def judge(
    gains: Sequence[float], p_values: Sequence[float], *, alpha: float = ALPHA
) -> list[Verdict]:
    """Judges paired differences together, each by its p-value.

    Args:
      gains: the differences, turned so that more is better. NaN: the comparison has no rows.
      p_values: two-sided, of each by itself; NaN where there is none, which then does not count.
      alpha: chance of any false "helps" or "hurts", in (0, 1). Default: 0.05.

    Returns:
      A verdict for each comparison, in order, corrected for their number by Holm's rule.

    Raises:
      InvalidArgumentError: `alpha` is not in (0, 1), or the two differ in length.

    Example:
      >>> [v.word for v in judge([0.02, -0.02], [0.001, 0.2])]
      ['helps', "can't tell"]

    Reference:
      Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics, 1979.
    """
    if not 0 < alpha < 1:
        raise InvalidArgumentError(f"`alpha` must be in (0, 1). Received: alpha={alpha!r}.")
    if len(gains) != len(p_values):
        raise InvalidArgumentError(
            "`gains` and `p_values` must be of one length. Received: "
            f"{len(gains)} and {len(p_values)}."
        )
    p_values = np.asarray(p_values, np.float64)
    known = ~np.isnan(p_values)
    corrected = np.full(len(p_values), np.nan)
    corrected[known] = holm(p_values[known])
    found = []
    for gain, p_value, after in zip(gains, p_values, corrected):
        # A p-value of an interval that ends at 0 is alpha, but for rounding.
        clear = after <= alpha * (1 - 1e-9)
        word = UNCLEAR if not clear else HELPS if gain > 0 else HURTS
        found.append(Verdict(word, float(p_value), float(after)))
    return found


def verdicts(
    intervals: Sequence[tuple[float, float, float]], *, alpha: float = ALPHA
) -> list[Verdict]:
    """Judges paired differences together, each by its interval.

    The p-value of a difference is that of a normal distribution, with the spread that the interval
    shows between the difference and its end on the side of 0. So one comparison alone "helps" or
    "hurts" where its interval excludes 0; of several, where its p-value is at most `alpha` after
    Holm's correction. An interval without width says nothing of chance, so nothing can be told.
    A report judges by `significance` in its place, which knows how few the seeds are.

    Args:
      intervals: difference, low end and high end of each comparison. The interval is of level
        `1 - alpha`; more is better. NaN: the comparison has no rows, and does not count.
      alpha: chance of any false "helps" or "hurts", in (0, 1). Default: 0.05.

    Returns:
      A verdict for each comparison, in order.

    Example:
      >>> [v.word for v in verdicts([(0.02, 0.01, 0.03), (-0.02, -0.05, 0.01)])]
      ['helps', "can't tell"]
    """
    p_values = [_p_value(*interval, alpha=alpha) for interval in intervals]
    return judge([difference for difference, _, _ in intervals], p_values, alpha=alpha)


def phrases(words: Mapping[str, str]) -> dict[str, str]:
    """Returns verdicts of an arm in words, by verdict, those that can be told first.

    Args:
      words: name of a slice to its verdict's word.

    Example:
      >>> phrases({"warm": "can't tell", "cold": "helps", "tail": "helps"})
      {'helps': 'helps cold, tail', "can't tell": "can't tell for warm"}
    """
    found = {}
    for word, link in ((HELPS, " "), (HURTS, " "), (UNCLEAR, " for ")):
        names = [name for name, said in words.items() if said == word]
        if word == UNCLEAR and len(names) == len(words):
            found[word] = f"{word} on any slice"
        elif names:
            found[word] = f"{word}{link}{', '.join(names)}"
    return found


def _p_value(difference: float, low: float, high: float, *, alpha: float) -> float:
    if math.isnan(difference) or math.isnan(low) or math.isnan(high):
        return math.nan
    if high <= low:
        return 1.0
    # A resampled interval may lie beside its difference; then half its width must do.
    side = difference - low if difference > 0 else high - difference
    if side <= 0:
        side = (high - low) / 2
    spread = side / normal_quantile(1 - alpha / 2)
    return float(2 * normal_tail(abs(difference) / spread))
