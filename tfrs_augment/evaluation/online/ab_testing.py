"""Does it help real users? The table of an online experiment, tested."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.online import sequential
from tfrs_augment.evaluation.online.ab_result import ABTest, Comparison
from tfrs_augment.evaluation.online.ab_units import Metric, Ratio, Units, read_units
from tfrs_augment.evaluation.online.arm_sizes import SampleRatio, sample_ratio
from tfrs_augment.evaluation.statistics.distributions import holm, student_quantile, student_tail

# A relative difference to a mean that may be next to nothing says nothing.
_CLEAR = 3.0
# A standard deviation below this share of the values' size is rounding.
_ROUNDING = 1e-12


def ab_test(
    table: Any,
    *,
    unit: str,
    arm: str,
    control: str,
    metrics: Mapping[str, Metric] | Sequence[str],
    covariates: Mapping[str, Metric] | None = None,
    lower_is_better: Collection[str] = (),
    planned_units: int | None = None,
    shares: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    row_id: str | None = None,
) -> ABTest:
    """Tests the arms of an online experiment against its control.

    Rows may be sessions, impressions or anything else: the unit that was assigned to an arm, such as
    a user, is what counts as independent, and its rows are summed. A metric that names a column is
    the mean over units of that sum; `Ratio` is a sum over a sum, with the delta method's variance.

    A verdict is "helps" or "hurts" where the p-value, corrected for all metrics and arms by Holm's
    rule, is at most `alpha`; else "can't tell". Where the arms' sizes do not fit their shares, the
    experiment is broken and all verdicts are "can't tell".

    Args:
      table: a mapping from names to columns of equal length, or a DataFrame.
      unit: the column of ids of what was assigned.
      arm: the column of the arm that the row's unit is in.
      control: the arm that the others are compared with.
      metrics: by name, a column or a `Ratio`; or the names of columns. Values must be finite.
      covariates: by a metric's name, a column or a `Ratio` of the time before the experiment, one
        value a unit, such as the same metric then. CUPED takes out of the metric what it explains.
        NaN where unknown, such as for a new user; of a ratio in either part.
      lower_is_better: metrics that help when they fall, such as latency.
      planned_units: the units of all arms that the experiment was planned for. Where given, intervals
        and p-values hold however often the experiment is looked at: see `evaluation.sequential`. It
        must be the same at all looks. Default: a test that is looked at once, at an end set before.
      shares: by arm, the share of units that it was to get; scaled to sum to 1. Default: equal.
      alpha: of the two-sided tests, in (0, 1).
      power: the chance for which detectable effects are given, in (alpha, 1).
      row_id: a column whose values must be distinct, to catch rows that were joined twice.

    Returns:
      The comparisons of each metric and arm, the check of the arms' sizes, a verdict in words, and a
      table, JSON values and a plot of these.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a column is absent.
      DataError: a column holds other things than it must, a unit is in several arms, an arm has fewer
        than two units, or a row id occurs twice.

    Example:
      >>> import numpy as np
      >>> rng = np.random.default_rng(0)
      >>> treated = rng.random(4000) < 0.5
      >>> before = rng.gamma(2.0, 2.0, 4000)
      >>> table = {
      ...     "user": np.arange(4000),
      ...     "arm": np.where(treated, "augmented", "baseline"),
      ...     "before": before,
      ...     "watched": before + rng.normal(0.2 * treated, 1.0),
      ... }
      >>> found = ab_test(table, unit="user", arm="arm", control="baseline", metrics=["watched"],
      ...                 covariates={"watched": "before"})
      >>> print(found.verdict)
      augmented: helps watched (+4.8%)

    Reference:
      Deng, Xu, Kohavi and Walker, Improving the Sensitivity of Online Controlled Experiments by
      Utilizing Pre-Experiment Data, WSDM 2013, section 3 (CUPED; the slope here is pooled within arms,
      so that an effect does not enter it). Deng, Knoblich and Lu, KDD 2018 (ratios). Fabijan et al.,
      Diagnosing Sample Ratio Mismatch, KDD 2019, for the check of sizes.
    """
    metrics, covariates = _check(metrics, covariates or {}, lower_is_better, alpha, power)
    if planned_units is not None:
        sequential.check_plan(planned_units, alpha)
    units = read_units(
        table,
        unit=unit,
        arm=arm,
        control=control,
        metrics=_columns(metrics),
        covariates=_columns(covariates),
        row_id=row_id,
    )
    ratio = sample_ratio(dict(zip(units.arms, units.counts.tolist())), shares)
    tested = [
        _compare(units, name, metric, covariates.get(name), treatment, planned_units, alpha)
        for name, metric in metrics.items()
        for treatment in range(1, len(units.arms))
    ]
    # What can't be tested is no hypothesis to correct for.
    corrected = np.ones(len(tested))
    able = np.array([one["standard_error"] > 0 for one in tested])
    corrected[able] = holm(np.array([one["p_value"] for one in tested])[able])
    comparisons = tuple(
        Comparison(
            **one,
            corrected=float(value),
            verdict=_verdict(one, value, ratio, alpha, one["metric"] in lower_is_better),
            alpha=alpha,
            power=power,
        )
        for one, value in zip(tested, corrected)
    )
    return ABTest(
        control=units.arms[0],
        comparisons=comparisons,
        sample_ratio=ratio,
        alpha=alpha,
        planned_units=planned_units,
    )


def _compare(
    units: Units,
    name: str,
    metric: Metric,
    covariate: Metric | None,
    treatment: int,
    planned_units: int | None,
    alpha: float,
) -> dict[str, Any]:
    """The fields of one comparison, without what depends on the others."""
    values = units.values(metric)
    reduction = 0.0
    if covariate is not None:
        values, reduction = _cuped(units, values, units.covariate(covariate))
    arms = [values[units.arm == index] for index in (treatment, 0)]
    counts = [len(part) for part in arms]
    means = [float(part.mean()) for part in arms]
    # The variance of a constant is not 0 but for rounding; it would be a test of that.
    errors = [
        float(part.var(ddof=1) / len(part)) if part.std() > _ROUNDING * np.abs(part).max() else 0.0
        for part in arms
    ]
    difference, error = means[0] - means[1], math.sqrt(sum(errors))
    found = {
        "metric": name,
        "arm": units.arms[treatment],
        "mean": means[0],
        "control_mean": means[1],
        "difference": difference,
        "standard_error": error,
        "reduction": reduction,
        "units": counts[0],
        "control_units": counts[1],
    }
    if not error:
        # A metric that is constant in both arms shows nothing of its own chance.
        unknown = dict.fromkeys(
            ("low", "high", "relative", "relative_low", "relative_high"), math.nan
        )
        return found | unknown | {"p_value": 1.0}
    if planned_units is None:
        squares = [e * e / (n - 1) for e, n in zip(errors, counts)]
        degrees = sum(errors) ** 2 / sum(squares)
        p_value = min(1.0, 2.0 * student_tail(abs(difference) / error, degrees))
        width = student_quantile(1 - alpha / 2, degrees) * error
    elif min(counts) < sequential.FIRST_LOOK:
        p_value, width = 1.0, math.inf
    else:
        total = len(units.arm)
        width = float(sequential.half_width(error, total, planned_units, alpha=alpha))
        p_value = float(
            sequential.always_valid_p(difference, error, total, planned_units, alpha=alpha)
        )
    found |= {"p_value": p_value, "low": difference - width, "high": difference + width}
    return found | _relative(means, errors, difference, width / error)


def _relative(
    means: Sequence[float], errors: Sequence[float], difference: float, factor: float
) -> dict[str, float]:
    """The difference as a share of the control's mean, with the delta method's interval."""
    if abs(means[1]) <= _CLEAR * math.sqrt(errors[1]):
        return dict.fromkeys(("relative", "relative_low", "relative_high"), math.nan)
    error = math.sqrt(errors[0] + errors[1] * (means[0] / means[1]) ** 2) / abs(means[1])
    relative, width = difference / abs(means[1]), factor * error
    return {
        "relative": relative,
        "relative_low": relative - width,
        "relative_high": relative + width,
    }


def _cuped(units: Units, values: np.ndarray, covariate: np.ndarray) -> tuple[np.ndarray, float]:
    """Takes out of the values what the covariate explains within arms.

    Returns:
      The values, and the share of their variance that is gone.
    """
    size = units.counts

    def within(part: np.ndarray) -> np.ndarray:
        return part - (np.bincount(units.arm, part, len(size)) / size)[units.arm]

    y, x = within(values), within(covariate)
    spread = float(x @ x)
    if spread <= (_ROUNDING * np.abs(covariate).max(initial=0.0)) ** 2 * len(x) or not y.any():
        return values, 0.0
    slope = float(x @ y) / spread
    left = y - slope * x
    return values - slope * covariate, 1.0 - float(left @ left) / float(y @ y)


def _verdict(
    one: Mapping[str, Any], corrected: float, ratio: SampleRatio, alpha: float, lower: bool
) -> str:
    if ratio.broken or not corrected <= alpha:
        return "can't tell"
    return "helps" if (one["difference"] > 0) != lower else "hurts"


def _columns(metrics: Mapping[str, Metric]) -> dict[str, None]:
    """The columns that metrics read, each once."""
    pairs = (m.columns if isinstance(m, Ratio) else (m,) for m in metrics.values())
    return dict.fromkeys(name for columns in pairs for name in columns)


def _check(
    metrics: Mapping[str, Metric] | Sequence[str],
    covariates: Mapping[str, Metric],
    lower_is_better: Collection[str],
    alpha: float,
    power: float,
) -> tuple[dict[str, Metric], dict[str, Metric]]:
    """Returns the metrics and covariates by name."""
    if isinstance(metrics, str) or not metrics:
        raise InvalidArgumentError(
            f"`metrics` must be names of columns, or a mapping. Received: metrics={metrics!r}."
        )
    metrics = dict(metrics) if isinstance(metrics, Mapping) else {name: name for name in metrics}
    for argument, names in (("covariates", covariates), ("lower_is_better", lower_is_better)):
        unknown = [name for name in names if name not in metrics]
        if unknown or isinstance(names, str):
            raise InvalidArgumentError(
                f"`{argument}` must be by names of metrics, {list(metrics)}. Received: {names!r}."
            )
    if not 0 < alpha < power < 1:
        raise InvalidArgumentError(
            "`alpha` and `power` must be in (0, 1), and power above alpha. "
            f"Received: alpha={alpha!r}, power={power!r}."
        )
    return metrics, dict(covariates)
