"""Ensembles: the scores of several arms, averaged, each on its own scale.

Scores of two models do not compare: one may be a cosine over 0.1, the other a count. What ranks the items of
a query is how far their scores lie apart, so each arm's scores are divided by their deviation among the items
of one query before they are averaged:

    score(query, item) = mean over arms of score_arm(query, item) / deviation_arm

The deviation is the root of the mean, over at most 256 queries of the validation rows, of the variance over
all items. It looks at no answer. An arm of a scorer, which scores test rows alone, has its deviation on at
most 256 of these, which again uses no answer.

Of models with embeddings the average is a model with embeddings: the arms' candidates side by side, and their
queries, each divided by its deviation. An ensemble of retrieval models can be served by one index so.

Predictions of ranking models are on the scale of the label already: their ensemble is their mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tf_keras

from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.comparing.validation import Embedder
from tfrs_augment.evaluation.measuring.slices import Scorer, scores_of
from tfrs_augment.evaluation.splitting.splits import Split, catalogue_size

_SAMPLE = 256


@dataclasses.dataclass(frozen=True)
class Embedded:
    """A model, as an ensemble sees it.

    Attributes:
      queries: float32 `[queries, dim]`, in the order of `split.queries(split.test)`.
      candidates: float32 `[items, dim]`, in the order of `split.train.items`.
      deviation: of the scores of one query's items.
    """

    queries: np.ndarray
    candidates: np.ndarray
    deviation: float

    @classmethod
    def of(
        cls,
        model: tf_keras.Model,
        split: Split,
        protocol: Protocol,
        queries: np.ndarray,
        candidates: np.ndarray,
    ) -> Embedded:
        """Returns the member of a model, given its embeddings for the test rows."""
        asking = queries
        if split.query_from == "rows":
            asking, _ = Embedder(split, split.validation, protocol)(model)
        sample = _sample(np.unique(split.query_index(split.validation)))
        return cls(queries, candidates, deviation_of(asking[sample] @ candidates.T))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns the member as arrays."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Embedded:
        """Returns the member of what `to_arrays` returned."""
        return cls(arrays["queries"], arrays["candidates"], float(arrays["deviation"]))

    def scorer(self, split: Split) -> Scorer:
        """Returns the function from numbers of test rows to scores."""
        query = split.query_index(split.test)

        def score(rows: np.ndarray) -> np.ndarray:
            return self.queries[query[rows]] @ self.candidates.T

        return score


def join(members: Sequence[Embedded]) -> tuple[np.ndarray, np.ndarray]:
    """Returns queries and candidates whose inner product is the mean of the members' scaled scores."""
    weights = [1.0 / (member.deviation * len(members)) for member in members]
    queries = [np.float32(weight) * member.queries for weight, member in zip(weights, members)]
    return (
        np.concatenate(queries, axis=1),
        np.concatenate([member.candidates for member in members], axis=1),
    )


def mean_scorer(members: Sequence[Embedded | Scorer], split: Split) -> Scorer:
    """Returns the scorer of the mean of the members' scaled scores, where some have no embeddings."""
    parts: list[tuple[Scorer, float]] = []
    items = catalogue_size(split.train)
    for member in members:
        if isinstance(member, Embedded):
            parts.append((member.scorer(split), member.deviation))
        else:
            sample = _sample(np.arange(len(split.test)))
            parts.append((member, deviation_of(scores_of(member, sample, items))))

    def score(rows: np.ndarray) -> np.ndarray:
        scaled = [scores_of(scorer, rows, items) / deviation for scorer, deviation in parts]
        return np.mean(scaled, axis=0, dtype=np.float32)

    return score


def deviation_of(scores: np.ndarray) -> float:
    """Returns the deviation of scores float `[queries, items]` within queries; 1 where they are constant.

    Scores that are not finite (items that can't be shown) do not count.
    """
    scores = np.where(np.isfinite(scores), scores, np.nan).astype(np.float64)
    scores = scores[np.isfinite(scores).any(axis=1)]
    deviation = float(np.sqrt(np.nanvar(scores, axis=1).mean())) if len(scores) else 0.0
    return deviation if deviation > 0 else 1.0


def _sample(places: np.ndarray) -> np.ndarray:
    """Returns at most 256 of the places, always the same."""
    if len(places) <= _SAMPLE:
        return places
    return np.sort(np.random.default_rng(0).choice(places, _SAMPLE, replace=False))
