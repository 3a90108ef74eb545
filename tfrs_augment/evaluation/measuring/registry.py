"""The metrics of a report, each an entry of one table."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from tfrs_augment.evaluation.measuring import list_metrics, rating_metrics
from tfrs_augment.evaluation.measuring.metrics import Ranks
from tfrs_augment.evaluation.measuring.query_metrics import QueryRanks
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import SLICES, Slices, corpus_of

UNITS = ("row", "query", "corpus")

Terms = tuple[np.ndarray, np.ndarray]
"""The user of each row or query, int `[n]`, and its value, float `[n]`."""


class Measured:
    """One slice of one run, from which metrics take what they need; None is what the run lacks.

    Args:
      run: a training.
      slices: of its seed.
      name: the slice.
    """

    def __init__(self, run: Run, slices: Slices, name: str):
        self._run, self._slices = run, slices
        self._corpus = corpus_of(name)
        self._by_item = name in SLICES and name != "all"
        self._of_queries = name in slices.of_queries
        self.mask = slices.masks.get(name, np.zeros(len(slices.users), bool))

    @functools.cached_property
    def users(self) -> np.ndarray:
        """int `[rows]`, the users of the slice's rows."""
        return self._slices.users[self.mask]

    @functools.cached_property
    def ranks(self) -> Ranks | None:
        """The ranks of the slice's rows."""
        ranks = self._run.ranks.get(self._corpus)
        return None if ranks is None else ranks.take(self.mask)

    @property
    def others(self) -> np.ndarray | None:
        """int `[rows]`, how many candidates compete with each true item."""
        others = self._slices.others
        return None if others is None else others[self._corpus][self.mask]

    @functools.cached_property
    def query_ranks(self) -> tuple[QueryRanks, np.ndarray] | None:
        """The ranks of the slice's queries, and their users."""
        slices = self._slices
        if self.ranks is None or slices.queries is None or slices.items is None:
            return None
        query = slices.queries[self.mask]
        again = None if slices.again is None else slices.again[self.mask]
        found = QueryRanks.of(self.ranks, query, slices.items[self.mask], again=again)
        return found, self._users_of(query)

    @functools.cached_property
    def lists(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The lists shown to the slice's queries, and their users."""
        slices = self._slices
        if self._run.lists is None or slices.queries is None or not self._of_queries:
            return None
        query = slices.queries[self.mask]
        return self._run.lists[np.unique(query)], self._users_of(query)

    @property
    def counts(self) -> np.ndarray | None:
        """int `[items]`, the popularity of each item in training."""
        return self._slices.counts

    @property
    def features(self):
        """The categories of the items."""
        return self._slices.features

    @property
    def rated(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Predictions and labels of the slice's rows."""
        if self._run.predictions is None or self._slices.labels is None or self._corpus != "full":
            return None
        return self._run.predictions[self.mask], self._slices.labels[self.mask]

    @property
    def judged(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Predictions of the slice's rows, and whether they are positive, where labels are 0 or 1."""
        if self.rated is None or self._slices.positive is None:
            return None
        return self.rated[0], self._slices.positive[self.mask]

    @property
    def chances(self) -> tuple[np.ndarray, np.ndarray] | None:
        """As `judged`, where all predictions of the run are in [0, 1]."""
        if self.judged is None:
            return None
        every = self._run.predictions
        return self.judged if every.min(initial=0) >= 0 and every.max(initial=0) <= 1 else None

    def _users_of(self, query: np.ndarray) -> np.ndarray:
        return self.users[np.unique(query, return_index=True)[1]]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of a report.

    Attributes:
      name: in figures and JSON, such as "recall@10".
      title: on tables and plots.
      higher_is_better: the direction that verdicts count as help.
      unit: "row" or "query", a mean over these; or "corpus", one number of all lists or predictions, whose
        interval is Student's t over seeds.
      compute: from a slice of a run to the terms of the mean; for "corpus" to the number. None where
        the run or the slice lacks what it needs.
      root: whether a seed's metric is the root of the mean.
    """

    name: str
    title: str
    higher_is_better: bool
    unit: str
    compute: Callable[[Measured], Terms | float | None]
    root: bool = False

    @property
    def direction(self) -> str:
        """ "higher is better" or "lower is better"."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"


def _row(kind: str, k: int):
    def compute(measured: Measured) -> Terms | None:
        if measured.ranks is None:
            return None
        return measured.users, getattr(measured.ranks, kind)(k)

    return compute


def _row_auc(measured: Measured) -> Terms | None:
    if measured.ranks is None or measured.others is None:
        return None
    return _known(measured.users, measured.ranks.auc(measured.others))


def _query(kind: str, k: int):
    def compute(measured: Measured) -> Terms | None:
        if measured.query_ranks is None:
            return None
        ranks, users = measured.query_ranks
        return users, getattr(ranks, kind)(k)

    return compute


def _of_lists(function):
    def compute(measured: Measured):
        if measured.lists is None or measured.counts is None:
            return None
        return function(measured, *measured.lists)

    return compute


def _novelty(measured: Measured, lists: np.ndarray, users: np.ndarray) -> Terms:
    return _known(users, list_metrics.novelty(lists, measured.counts))


def _diversity(measured: Measured, lists: np.ndarray, users: np.ndarray) -> Terms | None:
    if measured.features is None:
        return None
    return _known(users, measured.features.distance(lists))


def _coverage(measured: Measured, lists: np.ndarray, users: np.ndarray) -> float:
    return list_metrics.coverage(lists, len(measured.counts)) if len(lists) else np.nan


def _gini(measured: Measured, lists: np.ndarray, users: np.ndarray) -> float:
    return list_metrics.gini(lists, len(measured.counts))


def _rmse(measured: Measured) -> Terms | None:
    if measured.rated is None:
        return None
    return measured.users, rating_metrics.squared_errors(*measured.rated)


def _log_loss(measured: Measured) -> Terms | None:
    if measured.chances is None:
        return None
    return measured.users, rating_metrics.log_losses(*measured.chances)


def _label_auc(measured: Measured) -> Terms | None:
    if measured.judged is None:
        return None
    terms = rating_metrics.auc_terms(*measured.judged)
    return measured.users[: len(terms)], terms


def _calibration(measured: Measured) -> float | None:
    return None if measured.chances is None else rating_metrics.calibration_error(*measured.chances)


def _known(users: np.ndarray, values: np.ndarray) -> Terms:
    known = ~np.isnan(values)
    return users[known], values[known]


REGISTRY: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("recall@10", "Recall@10", True, "row", _row("recall", 10)),
        Metric("recall@50", "Recall@50", True, "row", _row("recall", 50)),
        Metric("ndcg@10", "NDCG@10", True, "row", _row("ndcg", 10)),
        Metric("mrr@10", "MRR@10", True, "row", _row("mrr", 10)),
        Metric("item_auc", "AUC of the true item", True, "row", _row_auc),
        Metric("hit_rate@10", "Hit rate@10, by query", True, "query", _query("hit_rate", 10)),
        Metric("map@10", "MAP@10, by query", True, "query", _query("average_precision", 10)),
        Metric("query_recall@10", "Recall@10, by query", True, "query", _query("recall", 10)),
        Metric("query_ndcg@10", "NDCG@10, by query", True, "query", _query("ndcg", 10)),
        Metric("query_mrr@10", "MRR@10, by query", True, "query", _query("mrr", 10)),
        Metric("novelty@10", "Novelty@10, bits", True, "query", _of_lists(_novelty)),
        Metric("diversity@10", "Diversity@10", True, "query", _of_lists(_diversity)),
        Metric("coverage@10", "Coverage@10", True, "corpus", _of_lists(_coverage)),
        Metric("gini@10", "Gini of exposure@10", False, "corpus", _of_lists(_gini)),
        Metric("rmse", "RMSE", False, "row", _rmse, root=True),
        Metric("log_loss", "Log loss", False, "row", _log_loss),
        Metric("auc", "AUC", True, "row", _label_auc),
        Metric("calibration", "Calibration error", False, "corpus", _calibration),
    )
}
"""By name, in the order of tables."""
