"""Metrics of a ranking model's predictions: of ratings, or of the chance of a click."""

from __future__ import annotations

import numpy as np

from tfrs_augment.rank_statistics import average_ranks

_EPSILON = float(np.finfo(np.float64).eps)


def squared_errors(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns float64 `[rows]`; the root of their mean is the RMSE."""
    return (np.asarray(predictions, np.float64) - labels) ** 2


def log_losses(predictions: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Returns float64 `[rows]`: minus the natural logarithm of the chance given to what happened.

    Args:
      predictions: float `[rows]`, the chance that a row is positive; clipped by the smallest step of float64
        on either end.
      positive: bool `[rows]`.
    """
    chance = np.clip(np.asarray(predictions, np.float64), _EPSILON, 1.0 - _EPSILON)
    return -np.where(positive, np.log(chance), np.log1p(-chance))


def auc_terms(predictions: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Returns float64 `[rows]` whose mean is the AUC, and whose spread is that of the AUC.

    The AUC is the mean over positive rows of the share of negative ones that they are predicted above,
    ties half (their placement), and as well the mean over negative rows of the share of positive ones
    predicted above them. A row's term is the AUC, and as much beside as its placement is off it, by how
    rare its kind is. So a resampling of rows, or of users, sees the AUC as a mean.

    Args:
      predictions: float `[rows]`.
      positive: bool `[rows]`.

    Returns:
      Empty where all rows are of one kind.

    Reference:
      DeLong, DeLong and Clarke-Pearson, Comparing the Areas under Two or More Correlated Receiver
      Operating Characteristic Curves, Biometrics 44, 1988, equations 3 and 4.
    """
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return np.zeros(0)
    # A rank among all, less that among one's own kind, counts those of the other kind below.
    whole = average_ranks(predictions)
    placement = np.empty(len(positive))
    placement[positive] = (whole[positive] - average_ranks(predictions[positive])) / others
    below = (whole[~positive] - average_ranks(predictions[~positive])) / count
    placement[~positive] = 1.0 - below
    area = placement[positive].mean()
    share = np.where(positive, count, others) / len(positive)
    return area + (placement - area) / share


def calibration_error(predictions: np.ndarray, positive: np.ndarray, *, bins: int = 10) -> float:
    """Returns the expected calibration error: how far chances given are from shares that came true.

    Rows are put in bins of equal width by their predicted chance; the absolute difference of a bin's mean
    prediction and its share of positive rows is averaged over rows.

    Args:
      predictions: float `[rows]` in [0, 1].
      positive: bool `[rows]`.
      bins: how many.

    Returns:
      In [0, 1]; NaN without rows.

    Reference:
      Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning,
      AAAI 2015.
    """
    if not len(predictions):
        return float("nan")
    place = np.minimum((np.asarray(predictions, np.float64) * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, predictions - positive.astype(np.float64), bins)
    return float(np.abs(gaps).sum() / len(predictions))
