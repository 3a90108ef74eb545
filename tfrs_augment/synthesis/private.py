"""Differential privacy of a fit: what is asked for, and what it spent.

A part of a fit that reads the data is either a sum to which each row adds a vector of bounded length, with
Gaussian noise on it, or it is not part of a budget. What is computed from such sums alone costs nothing more.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfrs_augment.errors import AugmentError, InvalidArgumentError
from tfrs_augment.synthesis import networks

# A noise of less bounds nothing worth a name; more than the most leaves nothing to learn from.
_LEAST_NOISE, _MOST_NOISE = 0.2, 1e6
# At whole ones the sampled Gaussian mechanism has a finite sum; at others it need not converge.
_ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DifferentialPrivacy:
    """Asks for a differentially private fit: DP-SGD in the critic, and noise on the counts.

    Give `epsilon`, from which the noise follows, or `noise_multiplier`, from which epsilon follows.

    Args:
      delta: the chance that the bound by epsilon does not hold, below 1 over the number of rows.
      epsilon: the budget that the fit may spend, above 0; or None.
      noise_multiplier: standard deviation of the noise on the sum of clipped gradients, in units of
        `clip_norm`; or None.
      clip_norm: the most that the gradient of one row may be long, above 0. Default: 1.
      count_share: what share of the budget the counts of categories get, in (0, 1); the steps get the rest.
        It is a share of epsilon squared, roughly. Default: 0.5.

    Raises:
      InvalidArgumentError: an argument is outside its range, or not one of `epsilon` and
        `noise_multiplier` is given.

    Example:
      >>> privacy = DifferentialPrivacy(epsilon=3.0, delta=1e-5)
      >>> budget = privacy.budget(rows=20_000, batch_size=500, steps=1_000)
      >>> bool(budget.epsilon <= 3.0), round(budget.noise_multiplier, 1)
      (True, 2.0)

    Reference:
      Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, algorithm 1. Mironov et al., "Rényi
      Differential Privacy of the Sampled Gaussian Mechanism", 2019, for the accountant.
    """

    delta: float
    epsilon: float | None = None
    noise_multiplier: float | None = None
    clip_norm: float = 1.0
    count_share: float = 0.5

    def __post_init__(self) -> None:
        tiny = 1e-12
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise InvalidArgumentError(
                "One of `epsilon` and `noise_multiplier` must be given, and the other follows. Received: "
                f"epsilon={self.epsilon!r}, noise_multiplier={self.noise_multiplier!r} "
                "(DifferentialPrivacy)."
            )
        ranges = {
            "delta": (self.delta, tiny, 0.5),
            "clip_norm": (self.clip_norm, tiny, 1e6),
            "count_share": (self.count_share, 1e-3, 1.0 - 1e-3),
        }
        if self.epsilon is not None:
            ranges["epsilon"] = (self.epsilon, tiny, 1e3)
        else:
            ranges["noise_multiplier"] = (self.noise_multiplier, _LEAST_NOISE, _MOST_NOISE)
        networks.check_numbers("DifferentialPrivacy", ranges)

    @classmethod
    def of(
        cls, value: DifferentialPrivacy | Mapping[str, Any] | None
    ) -> DifferentialPrivacy | None:
        """Returns settings of an argument: as they are, of a mapping as a file has it, or None."""
        if value is None or isinstance(value, cls):
            return value
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, Mapping) or not {"delta"} <= set(value) <= known:
            raise InvalidArgumentError(
                "`privacy` must be a DifferentialPrivacy, a mapping of its arguments, or None. Received: "
                f"privacy={value!r}."
            )
        return cls(**value)

    def budget(
        self, *, rows: int, batch_size: int, steps: int, unit: str = "row", counts: bool = True
    ) -> PrivacyBudget:
        """Returns what a fit spends, with the noise that goes with it.

        Args:
          rows: how many there are to learn from.
          batch_size: rows of a step in the mean: each is in it with a probability of its own.
          steps: how often the data are read.
          unit: what a row is.
          counts: whether counts are measured too.

        Raises:
          InvalidArgumentError: `delta` is no less than 1 / rows, or no noise of the steps is enough.
          AugmentError: `dp-accounting` is not installed.
        """
        if self.delta >= 1.0 / rows:
            raise InvalidArgumentError(
                "`delta` must be below 1 / rows, or a fit that publishes a row would pass. Received: "
                f"delta={self.delta:g} for {rows} rows (DifferentialPrivacy)."
            )
        spent = PrivacyBudget(
            epsilon=0.0,
            delta=self.delta,
            unit=unit,
            noise_multiplier=self.noise_multiplier or _MOST_NOISE,
            clip_norm=self.clip_norm,
            count_noise_multiplier=None,
            sampling_probability=min(1.0, batch_size / rows),
            steps=steps,
        )
        if counts:
            noise = self._count_noise(spent)
            spent = dataclasses.replace(spent, count_noise_multiplier=noise)
        if self.epsilon is not None:
            spent = dataclasses.replace(spent, noise_multiplier=self._noise(spent))
        return dataclasses.replace(spent, epsilon=epsilon_of(spent))

    def _count_noise(self, spent: PrivacyBudget) -> float:
        """The noise of counts with which they spend their share."""
        # The budget of Gaussian noise goes by 1 / multiplier ** 2, and these shares of it add up.
        if self.epsilon is not None:
            return _gaussian_noise(self.epsilon, self.delta) * self.count_share**-0.5
        of_steps = _gaussian_noise(epsilon_of(spent), self.delta)
        return of_steps * (1.0 / self.count_share - 1.0) ** 0.5

    def _noise(self, spent: PrivacyBudget) -> float:
        """The least noise of the steps, to three digits, with which all of it is within `epsilon`."""
        least = epsilon_of(dataclasses.replace(spent, noise_multiplier=_MOST_NOISE))
        if least > self.epsilon:
            raise InvalidArgumentError(
                f"`epsilon` must be above {least:.3g}, which the counts alone spend, as far as the "
                f"accountant can tell. Received: epsilon={self.epsilon:g}, count_share="
                f"{self.count_share:g} (DifferentialPrivacy). Raise the one or lower the other."
            )
        low, high = math.log(_LEAST_NOISE), math.log(_MOST_NOISE)
        while high - low > 1e-3:
            middle = (low + high) / 2.0
            tried = dataclasses.replace(spent, noise_multiplier=math.exp(middle))
            low, high = (low, middle) if epsilon_of(tried) <= self.epsilon else (middle, high)
        return math.exp(high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyBudget:
    """What a fit has spent: for all tables that differ in one row, what comes out is nearly as likely.

    Two tables differ in a row where one has something else, or nothing, in its place that adds nothing to any
    sum ("zero-out" neighbours). So the number of rows is taken for public. Replacing a row by another
    one costs up to twice epsilon.

    Attributes:
      epsilon: how far apart the logarithms of the likelihoods are at most.
      delta: but for this chance.
      unit: what is protected: "row", or "interaction".
      noise_multiplier: of the steps.
      clip_norm: of the steps.
      count_noise_multiplier: of the counts; None if there are none.
      sampling_probability: with which a row is in a step.
      steps: of the critic.

    Reference:
      Ponomareva et al., "How to DP-fy ML", JAIR 2023, section 2.1, for neighbours. Dwork and Roth, "The
      Algorithmic Foundations of Differential Privacy", 2014, section 2.3.
    """

    epsilon: float
    delta: float
    unit: str
    noise_multiplier: float
    clip_norm: float
    count_noise_multiplier: float | None
    sampling_probability: float
    steps: int


def epsilon_of(spent: PrivacyBudget) -> float:
    """Computes epsilon from the noise, the sampling and the steps of a budget, by Rényi accounting."""
    dp_accounting = _dp_accounting()
    accountant = dp_accounting.rdp.RdpAccountant(
        _ORDERS, dp_accounting.NeighboringRelation.REPLACE_SPECIAL
    )
    step = dp_accounting.PoissonSampledDpEvent(
        spent.sampling_probability, dp_accounting.GaussianDpEvent(spent.noise_multiplier)
    )
    accountant.compose(step, spent.steps)
    if spent.count_noise_multiplier is not None:
        accountant.compose(dp_accounting.GaussianDpEvent(spent.count_noise_multiplier))
    return float(accountant.get_epsilon(spent.delta))


def _gaussian_noise(epsilon: float, delta: float) -> float:
    """The multiplier with which one Gaussian mechanism spends this."""
    return float(_dp_accounting().get_sigma_gaussian(epsilon, delta))


def _dp_accounting() -> Any:
    """The module, which takes seconds to import and which fits alone need."""
    try:
        import dp_accounting
        import dp_accounting.rdp
    except ImportError as error:
        raise AugmentError(
            "A private fit needs dp-accounting, which cannot be imported: pip install "
            f"'tfrs-augment[synthesis]'. ({error})"
        ) from error
    return dp_accounting


def as_json(value: DifferentialPrivacy | PrivacyBudget | None) -> dict[str, Any] | None:
    """Returns settings or a budget as JSON values."""
    return None if value is None else dataclasses.asdict(value)


def refusal(name: str, parts: Sequence[str]) -> InvalidArgumentError:
    """Returns an error that lists what saw the data without protection."""
    return InvalidArgumentError(
        f"No privacy budget can be stated for this {name}: without protection the data went into "
        f"{'; '.join(parts)}."
    )
