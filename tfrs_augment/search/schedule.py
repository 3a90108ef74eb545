"""How many candidates are trained how long: the rungs of successive halving, and what they cost."""

from __future__ import annotations

import dataclasses

from tfrs_augment.errors import InvalidArgumentError


@dataclasses.dataclass(frozen=True)
class Rung:
    """One round of a search.

    Attributes:
      epochs: of each training, the same for all candidates.
      candidates: how many are trained, beside the baseline.
    """

    epochs: int
    candidates: int


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How many candidates are trained, and how long.

    All are trained for a few epochs, the best `1 / eta` of them for `eta` times as many, and so on; the last
    rung has all the epochs of the protocol. The baseline is trained at every rung.

    Args:
      candidates: of the first rung, at least 2. Default: 9.
      eta: what divides the number of candidates from rung to rung, and multiplies the epochs, above 1.
        Default: 3.
      rungs: how many, at least 1. More are cheaper, and their first rungs so short that they favour what
        learns fast. Default: 2.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      >>> Schedule(candidates=9, eta=3, rungs=3).plan(epochs=18)
      (Rung(epochs=2, candidates=9), Rung(epochs=6, candidates=3), Rung(epochs=18, candidates=1))
      >>> Schedule(candidates=9, eta=3, rungs=3).budget(epochs=18, seeds=2, confirm_seeds=2)
      232

    Reference:
      Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS
      2016, section 3; Li et al., Hyperband, JMLR 18, 2018, section 3, of which this is one bracket.
    """

    _: dataclasses.KW_ONLY
    candidates: int = 9
    eta: float = 3
    rungs: int = 2

    def __post_init__(self) -> None:
        for name, least in (("candidates", 2), ("rungs", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidArgumentError(
                    f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}."
                )
        if not isinstance(self.eta, int | float) or not 1 < self.eta < float("inf"):
            raise InvalidArgumentError(f"`eta` must be above 1. Received: eta={self.eta!r}.")

    def plan(self, epochs: int) -> tuple[Rung, ...]:
        """Returns the rungs.

        Args:
          epochs: of the last rung, the protocol's.

        Raises:
          InvalidArgumentError: two rungs would have the same epochs.
        """
        last = self.rungs - 1
        lengths = [max(1, round(epochs / self.eta ** (last - rung))) for rung in range(self.rungs)]
        if len(set(lengths)) < len(lengths):
            raise InvalidArgumentError(
                f"`rungs` must give each rung more epochs than the one before. Received: rungs={self.rungs}, "
                f"eta={self.eta:g}, and a protocol of {epochs} epochs: {lengths}."
            )
        counts = [max(1, int(self.candidates / self.eta**rung)) for rung in range(self.rungs)]
        return tuple(Rung(*pair) for pair in zip(lengths, counts, strict=True))

    def budget(self, *, epochs: int, seeds: int, confirm_seeds: int) -> int:
        """Returns the epochs of all trainings together.

        Each rung trains from the start, so what a candidate was trained before is counted again. Early
        stopping may leave some of it.

        Args:
          epochs: of the last rung.
          seeds: how many, of the rungs.
          confirm_seeds: how many, of the confirmation: the winner and the baseline, at all epochs.
        """
        halving = sum((rung.candidates + 1) * rung.epochs for rung in self.plan(epochs))
        return seeds * halving + 2 * confirm_seeds * epochs
