"""What is too much: the limits of an augmentation, each with its reason, and the warnings beyond them.

The advice of the field is short: moderate strength, keep the real distribution, several methods rather than
one. Each limit makes a number of it. None is a law of nature; a comparison of models has the last word.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from tfrs_augment.errors import InvalidArgumentError


@dataclasses.dataclass(frozen=True)
class AugmentationLimits:
    """How far each number may go before it is warned of; None leaves a warning out.

    Attributes:
      augmented_share: augmented rows among all. Default 2/3, two for each source row: beyond it most of what
        is learned is what the policy makes, and each source row is seen in few versions less often.
      changed_cells: the mean share of a row's cells that were changed. Default 0.3: a row that has lost more
        says little of what its label belongs to.
      drift: of a column of categories or lists, the Jensen-Shannon divergence. Default 0.1: about where a
        fifth of the values are replaced by one token; a model then learns a distribution that no request has.
      number_drift: of a column of numbers, Kolmogorov-Smirnov's distance. Default 0.2: the same fifth.
      popularity: the least rank correlation of how often values occur, before and after. Default 0.9: below
        it other items are popular than are, which is what a recommender learns first.
      distinct: the least share of different rows among those that were changed, as a share of the source's.
        Default 0.9: below it an op maps many rows to the same one.
      copies: the share of augmented rows that equal a source row. Default 0.9: beyond it this is
        oversampling; the policy hardly acts.
      coverage: the least share of a column's values that still occur. Default 0.9: what is gone is not
        learned from the augmented rows; mostly it is the tail.
      label_consistency: how often augmented rows look like the label they carry, as a share of how often
        source rows do. Default 0.95: the rest are labels that are wrong by what the source says.
      labels_changed: the share of rows whose own label is no longer that of their source row. Default 0: a
        label is no feature to be changed.
      one_op: the share of changed cells that a single op made. Default 0.9: several methods teach more
        than one at several times its strength.
      spread: the least share of the source's spread of embeddings, by variance and by effective rank.
        Default 0.8: below it rows fall together where the model sees them.

    Raises:
      InvalidArgumentError: a limit is no number in [0, 1], or None.

    Example:
      >>> AugmentationLimits(drift=0.3).drift
      0.3
    """

    augmented_share: float | None = 2 / 3
    changed_cells: float | None = 0.3
    drift: float | None = 0.1
    number_drift: float | None = 0.2
    popularity: float | None = 0.9
    distinct: float | None = 0.9
    copies: float | None = 0.9
    coverage: float | None = 0.9
    label_consistency: float | None = 0.95
    labels_changed: float | None = 0.0
    one_op: float | None = 0.9
    spread: float | None = 0.8

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value <= 1):
                raise InvalidArgumentError(
                    f"`{name}` must be in [0, 1], or None. Received: {name}={value!r} (limits)."
                )


@dataclasses.dataclass(frozen=True)
class AugmentationWarning:
    """A number beyond its limit.

    Attributes:
      name: the limit's name in `AugmentationLimits`.
      message: what it means and what to do.
      number: what was measured.
      threshold: the limit that it is beyond.
    """

    name: str
    message: str
    number: float
    threshold: float

    def __str__(self) -> str:
        """Such as "changed_cells, 0.41 (limit 0.3): ..."."""
        return f"{self.name}, {self.number:.3g} (limit {self.threshold:.3g}): {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)


class Watch:
    """Collects the warnings of numbers that are beyond their limits."""

    def __init__(self, limits: AugmentationLimits):
        self._limits = limits
        self.warnings: list[AugmentationWarning] = []

    def most(self, name: str, number: float, message: str) -> None:
        """Warns where a number is above its limit; NaN is none."""
        self._judge(name, number, message, lambda limit: number > limit + 1e-12)

    def least(self, name: str, number: float, message: str) -> None:
        """Warns where a number is below its limit; NaN is none."""
        self._judge(name, number, message, lambda limit: number < limit - 1e-12)

    def _judge(self, name, number, message, beyond) -> None:
        limit = getattr(self._limits, name)
        if limit is not None and not math.isnan(number) and beyond(limit):
            self.warnings.append(AugmentationWarning(name, message, float(number), float(limit)))
