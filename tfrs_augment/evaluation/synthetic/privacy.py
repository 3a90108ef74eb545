"""What synthetic rows give away of the rows that the synthesizer was fitted on.

Every measure stands beside real rows that the synthesizer has not seen: that a synthetic row is near a
training row says nothing where rows of the hold-out are as near.

| measure | what it is | ideal |
|---|---|---|
| `closer_to_train` | share of synthetic rows nearer to a training row than to any held-out one | 0.5 |
| `copies` | share of synthetic rows that equal a training row, less that of held-out rows | 0 |
| `neighbour_ratio` | distance to the nearest over the second nearest, less that of held-out rows | 0 |
| `membership_auc` | how well nearness to synthetic rows tells training rows from held-out ones | 0.5 |

A ratio below 0 means rows that lie on single training rows; above 0, rows that lie where no real ones do.
These are attacks that were tried, not a proof: figures near their ideal say that these attacks fail. A bound
on all attacks is what differential privacy gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.evaluation.synthetic.coded_tables import code_tables, draw, row_codes, rows_of
from tfrs_augment.evaluation.synthetic.distances import RowDistances
from tfrs_augment.rank_statistics import auc

IDEALS = {"closer_to_train": 0.5, "copies": 0.0, "neighbour_ratio": 0.0, "membership_auc": 0.5}

_RESAMPLES = 500
# Distances closer than this tie: scaled numbers are float32.
_TIE = 1e-5


@dataclasses.dataclass(frozen=True)
class Privacy:
    """What `measure_privacy` found; see the module.

    Attributes:
      values: by the measure's name.
      intervals: 95 % intervals of them.
      shares: what `copies` and `neighbour_ratio` are made of: of the synthetic rows, and of the hold-out.
      to_train: float32 `[rows]`, distances of synthetic rows to their nearest training row.
      to_holdout: float32 `[rows]`, to their nearest held-out row, among equally many.
    """

    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    shares: Mapping[str, tuple[float, float]]
    to_train: np.ndarray
    to_holdout: np.ndarray

    def table(self) -> str:
        """Returns the measures as a Markdown table."""
        lines = [
            "| measure | value | 95 % interval | ideal | synthetic, hold-out |",
            "|" + " --- |" * 5,
        ]
        for name, value in self.values.items():
            low, high = self.intervals[name]
            pair = ", ".join(f"{share:.4f}" for share in self.shares.get(name, ()))
            cells = [name, f"{value:.4f}", f"[{low:.4f}, {high:.4f}]", f"{IDEALS[name]:g}", pair]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values, without the distances but for their medians."""
        return {
            "values": dict(self.values),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "shares": {name: list(pair) for name, pair in self.shares.items()},
            "median_distance": {
                "to_train": float(np.median(self.to_train)),
                "to_holdout": float(np.median(self.to_holdout)),
            },
        }


def measure_privacy(
    train: Any,
    synthetic: Any,
    *,
    holdout: Any,
    columns: Sequence[str] | None = None,
    max_rows: int = 3000,
    max_references: int = 20_000,
    seed: int = 0,
) -> Privacy:
    """Attacks synthetic rows by their distances to real ones.

    The distance of two rows is Euclidean: a number counts by its difference as a share of the training range,
    another category counts 1.

    Args:
      train: the rows that the synthesizer was fitted on: whatever `synthesis.read_table` reads.
      synthetic: its rows.
      holdout: other real rows of the same source, not seen by it.
      columns: what is compared. Default: all columns of `train` with one value a row.
      max_rows: how many rows at most look for their neighbours, drawn; of the synthetic rows, and for the
        membership attack of the training and of the held-out rows.
      max_references: how many rows at most are searched; drawn, and equally many of `train` and `holdout`.
      seed: of what is drawn and of the resampling.

    Returns:
      The measures with intervals, of 500 resamples of the rows. Rows count as independent, so where many
      rows are of one person the intervals are rather too narrow.

    Raises:
      UnknownFeatureError: a table lacks a column.
      InvalidArgumentError: a number is below 2.
      DataError: the tables do not fit each other or have fewer than two rows.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> def rows():
      ...     return {"age": rng.normal(40, 9, 900), "height": rng.normal(170, 9, 900)}
      >>> train = rows()
      >>> copied = measure_privacy(train, train, holdout=rows())
      >>> copied.values["closer_to_train"], copied.values["copies"], copied.values["membership_auc"]
      (1.0, 1.0, 1.0)

    Reference:
      Park et al., Data Synthesis based on Generative Adversarial Networks, VLDB 2018, for the distance to
      the closest record; Chen et al., GAN-Leaks, CCS 2020, for the membership attack by distance.
    """
    for name, value in (("max_rows", max_rows), ("max_references", max_references)):
        if value < 2:
            raise InvalidArgumentError(f"`{name}` must be at least 2. Received: {name}={value}.")
    tables = code_tables({"train": train, "synthetic": synthetic, "holdout": holdout}, columns)
    rng = np.random.default_rng([seed, 0x9817])
    given = tables.tables
    equal = min(rows_of(given["train"]), rows_of(given["holdout"]), max_references)
    members, others = (draw(given[name], equal, rng) for name in ("train", "holdout"))
    asking = draw(given["synthetic"], max_rows, rng)
    distances = RowDistances(given["train"], tables.numbers)

    near_train = distances.nearest(asking, members, 2)
    near_holdout = distances.nearest(asking, others)[:, 0]
    gap = near_holdout - near_train[:, 0]
    closer = np.where(np.abs(gap) <= _TIE, 0.5, gap > 0)
    # Rows of the hold-out ask as the synthetic ones do: real rows that training has not seen.
    control = distances.nearest(draw(others, max_rows, rng), members, 2)
    codes = row_codes(tables)
    copied = {name: np.isin(codes[name], codes["train"]) for name in ("synthetic", "holdout")}
    released = draw(given["synthetic"], max_references, rng)
    attacked = [
        distances.nearest(draw(part, max_rows, rng), released)[:, 0] for part in (members, others)
    ]

    ratios = _ratio(near_train), _ratio(control)
    samples = {
        "closer_to_train": _resampled_means(closer, rng),
        "copies": _resampled_means(copied["synthetic"], rng)
        - _resampled_means(copied["holdout"], rng),
        "neighbour_ratio": _resampled_means(ratios[0], rng) - _resampled_means(ratios[1], rng),
        "membership_auc": _resampled_auc(*attacked, rng),
    }
    shares = {
        "copies": tuple(float(copied[name].mean()) for name in ("synthetic", "holdout")),
        "neighbour_ratio": tuple(float(ratio.mean()) for ratio in ratios),
    }
    values = {
        "closer_to_train": float(closer.mean()),
        "copies": shares["copies"][0] - shares["copies"][1],
        "neighbour_ratio": shares["neighbour_ratio"][0] - shares["neighbour_ratio"][1],
        "membership_auc": _membership(*attacked),
    }
    intervals = {name: bootstrap.interval(sample) for name, sample in samples.items()}
    return Privacy(values, intervals, shares, near_train[:, 0], near_holdout)


def _ratio(nearest: np.ndarray) -> np.ndarray:
    """The distance to the nearest over that to the second nearest; 1 where both are 0."""
    first, second = nearest.T
    return np.divide(first, second, out=np.ones(len(first)), where=second > 0)


def _membership(members: np.ndarray, others: np.ndarray) -> float:
    """The AUC of nearness as a sign of membership."""
    distances = np.concatenate([members, others])
    # Rounded, so that distances that differ by float32's error alone tie.
    return auc(-np.round(distances / _TIE), np.arange(len(distances)) < len(members))


def _resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns float64 `[resamples]`, the means of resamples of the rows."""
    levels, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    # Rows of equal values are drawn together: the same distribution, and few levels are many rows.
    drawn = rng.multinomial(len(values), counts / len(values), size=_RESAMPLES)
    return drawn @ levels / len(values)


def _resampled_auc(members: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns float64 `[resamples]`, the AUC of resamples of the rows of either kind."""
    return np.array(
        [
            _membership(rng.choice(members, len(members)), rng.choice(others, len(others)))
            for _ in range(_RESAMPLES)
        ]
    )
