"""What one training of a comparison leaves behind: where the true items stand, and how it went."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfrs_augment.errors import DataError
from tfrs_augment.evaluation.measuring.metrics import Ranks
from tfrs_augment.evaluation.measuring.slices import corpus_of

_SCALARS = ("best_epoch", "seconds")


@dataclasses.dataclass(frozen=True)
class Run:
    """One arm trained with one seed.

    Attributes:
      ranks: of all test rows of the seed's split, by the names in `slices.CORPORA`; empty for a ranking
        model.
      loss: the mean loss of each epoch's training steps.
      validation: the validation metric of each validation, by default one an epoch.
      best_epoch: index of the epoch whose weights were kept.
      seconds: wall time of training and evaluation.
      lists: int32 `[queries, slices.LIST_LENGTH]`, the best items of the full catalogue for each query with
        test rows, without what it has seen; -1 where there are no more, and for other queries.
      predictions: float64 `[test rows]` of a ranking model.

    Raises:
      DataError: a prediction is NaN or infinite.
    """

    ranks: Mapping[str, Ranks]
    loss: Sequence[float]
    validation: Sequence[float]
    best_epoch: int
    seconds: float
    lists: np.ndarray | None = None
    predictions: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.predictions is not None and not np.isfinite(self.predictions).all():
            bad = int((~np.isfinite(self.predictions)).sum())
            raise DataError(
                f"`predictions` must be finite. Received: {bad} of {len(self.predictions)} that are NaN or "
                "infinite; the model has diverged, lower its learning rate."
            )

    def values(self, slice_name: str, metric: str) -> np.ndarray:
        """Returns float64 `[rows]`: a metric of every test row, ranked as the slice says.

        Args:
          slice_name: any slice; its candidates compete.
          metric: "recall@k", "ndcg@k" or "mrr@k".
        """
        kind, k = metric.split("@")
        return getattr(self.ranks[corpus_of(slice_name)], kind)(int(k))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the run as arrays, such as `numpy.savez` takes."""
        arrays = {
            "loss": np.asarray(self.loss, np.float64),
            "validation": np.asarray(self.validation, np.float64),
            **{name: np.asarray(getattr(self, name)) for name in _SCALARS},
        }
        for name, ranks in self.ranks.items():
            arrays[f"{name}/greater"], arrays[f"{name}/ties"] = ranks.greater, ranks.ties
        for name in ("lists", "predictions"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Run:
        """Returns the run of what `to_arrays` returned.

        Raises:
          DataError: an array is missing.
        """
        try:
            names = [name.removesuffix("/greater") for name in arrays if name.endswith("/greater")]
            return cls(
                {name: Ranks(arrays[f"{name}/greater"], arrays[f"{name}/ties"]) for name in names},
                loss=arrays["loss"].tolist(),
                validation=arrays["validation"].tolist(),
                best_epoch=int(arrays["best_epoch"]),
                seconds=float(arrays["seconds"]),
                lists=arrays.get("lists"),
                predictions=arrays.get("predictions"),
            )
        except KeyError as error:
            raise DataError(
                f"The arrays of a run must hold {error}. Received: {sorted(arrays)}."
            ) from error
