"""Scores of masked copies of a query and an item, and the item's rank in the catalogue then."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets.interactions import Interactions, Table, columns_to_tensors
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError, close_matches
from tfrs_augment.evaluation.comparing.training import Embed, default_candidate, default_query
from tfrs_augment.evaluation.explaining.masked_rows import Columns, MaskedRow
from tfrs_augment.evaluation.measuring.metrics import rank, rank_scores
from tfrs_augment.rng import Column

Predict = Callable[[tf_keras.Model, Mapping[str, tf.Tensor]], tf.Tensor]

_BATCH = 512
"""Rows that a model is given at once."""


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The items that compete.

    Attributes:
      columns: one row an item.
      item_id: name of the id column.
      ids: the ids, `[items]`.
    """

    columns: Columns
    item_id: str
    ids: np.ndarray

    @classmethod
    def of(cls, items: Interactions | Table, item_id: str | None) -> Catalogue:
        """Returns the catalogue of interactions, or of a table of items."""
        if isinstance(items, Interactions):
            items, item_id = items.items, items.item_id if item_id is None else item_id
        if not isinstance(items, Mapping) or not items:
            raise InvalidArgumentError(
                "`items` must be Interactions or a table of items, name to column. Received: "
                f"{type(items).__name__}."
            )
        if item_id not in items:
            raise InvalidArgumentError(
                f"`item_id` must name the id column of `items`. Received: item_id={item_id!r}. "
                f"{close_matches(str(item_id), items)}"
            )
        return cls(columns_to_tensors(items), item_id, np.asarray(items[item_id]))

    def __len__(self) -> int:
        return len(self.ids)

    def place(self, item: Any) -> int:
        """Returns the place of an item by its id.

        Raises:
          DataError: it is not in the catalogue.
        """
        wanted = item.encode() if isinstance(item, str) and self.ids.dtype.kind == "S" else item
        (found,) = np.nonzero(self.ids == wanted)
        if not len(found):
            known = [_shown(one) for one in self.ids.tolist()]
            raise DataError(
                f"`item` must be in the catalogue. Received: {self.item_id}={_shown(item)!r}. "
                f"{close_matches(str(_shown(item)), map(str, known))}"
            )
        return int(found[0])

    def row(self, place: int) -> dict[str, Column]:
        """Returns an item as a batch of one."""
        return {name: tf.gather(column, [place]) for name, column in self.columns.items()}


class TowerScores:
    """Scores of a two-tower model: inner products of masked queries and masked items.

    Args:
      model: with two towers.
      query: the query and what is masked in it.
      item: the item and what is masked in it.
      query_fn: as of `explain`.
      candidate_fn: as of `explain`.
      catalogue: for ranks; or None.
      place: the item's place in the catalogue; None without one.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        query: MaskedRow,
        item: MaskedRow,
        query_fn: Embed,
        candidate_fn: Embed,
        catalogue: Catalogue | None,
        place: int | None,
    ):
        self._model, self._catalogue, self._place = model, catalogue, place
        self._query, self._item = (query, query_fn, "query"), (item, candidate_fn, "item")

    def of(self, subsets: np.ndarray) -> np.ndarray:
        """Returns float64 `[n]`: the score where the players of a subset, bool `[n, players]`, are kept."""
        queries, items = self._embed(*self._query, subsets), self._embed(*self._item, subsets)
        if queries.shape[1] != items.shape[1]:
            raise DataError(
                "`query_fn` and `candidate_fn` must give embeddings of equal width. Received: "
                f"{queries.shape[1]} and {items.shape[1]}."
            )
        return _finite(np.einsum("nd,nd->n", queries.astype(np.float64), items.astype(np.float64)))

    def ranks(self, subsets: np.ndarray) -> np.ndarray | None:
        """Returns float64 `[n]`: the item's rank in the catalogue, the other items as they are."""
        if self._catalogue is None:
            return None
        _, embed, side = self._item
        everyone = _in_batches(embed, self._model, self._catalogue.columns, side)
        found = []
        for query, item in zip(
            self._embed(*self._query, subsets), self._embed(*self._item, subsets)
        ):
            everyone[self._place] = item
            (place,) = rank(
                query[None], everyone, np.zeros(1, int), np.array([self._place])
            ).expected
            found.append(place)
        return np.array(found)

    def _embed(self, row: MaskedRow, embed: Embed, side: str, subsets: np.ndarray) -> np.ndarray:
        """float32 `[n, dim]`; what differs in the other tower alone is embedded once."""
        relevant, place = np.unique(subsets & row.acting, axis=0, return_inverse=True)
        embedded = _in_batches(
            lambda model, kept: embed(model, row.masked(kept["kept"].numpy())),
            self._model,
            {"kept": tf.constant(relevant)},
            side,
            given=row.columns,
        )
        if embedded.ndim != 2:
            raise DataError(
                f"The {side}'s embeddings must be [batch, dim]. Received: shape {embedded.shape}."
            )
        return embedded[place.reshape(-1)]


class PairScores:
    """Scores of a ranking model, which is given query and item at once.

    Args:
      model: that `predict` takes.
      row: query and item, and what is masked in them.
      predict: as of `explain`.
      catalogue: for ranks; or None.
      place: the item's place in the catalogue; None without one.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        row: MaskedRow,
        predict: Predict,
        catalogue: Catalogue | None,
        place: int | None,
    ):
        self._model, self._row, self._predict = model, row, predict
        self._catalogue, self._place = catalogue, place

    def of(self, subsets: np.ndarray) -> np.ndarray:
        """Returns float64 `[n]`: the score where the players of a subset, bool `[n, players]`, are kept."""
        return self._scores(
            lambda model, kept: self._predict(model, self._row.masked(kept["kept"].numpy())),
            {"kept": tf.constant(subsets)},
        )

    def ranks(self, subsets: np.ndarray) -> np.ndarray | None:
        """Returns float64 `[n]`: the item's rank in the catalogue, the other items as they are."""
        if self._catalogue is None:
            return None
        others = np.flatnonzero(np.arange(len(self._catalogue)) != self._place)
        found = []
        for subset in subsets:
            columns = {}
            for name, column in self._row.masked(subset[None]).items():
                if name in self._catalogue.columns:
                    rest = tf.gather(self._catalogue.columns[name], others)
                    columns[name] = tf.concat([column, rest], axis=0)
                else:
                    columns[name] = tf.gather(column, np.zeros(1 + len(others), np.int32))
            scores = self._scores(self._predict, columns)[None]
            (place,) = rank_scores(scores, np.zeros(1, int), np.zeros(1, int)).expected
            found.append(place)
        return np.array(found)

    def _scores(self, function: Callable, columns: Columns) -> np.ndarray:
        given = self._row.columns
        scores = _in_batches(function, self._model, columns, "query and item", given=given)
        if scores.size != len(scores):
            raise DataError(
                f"`predict` must return one score a row, [batch]. Received: shape {scores.shape}."
            )
        return _finite(scores.reshape(-1).astype(np.float64))


def check_towers(model: tf_keras.Model, query_fn: Embed, candidate_fn: Embed) -> None:
    """Raises an InvalidArgumentError unless the model has the towers that the default functions ask."""
    for tower, function, default in (
        ("query_model", query_fn, default_query),
        ("candidate_model", candidate_fn, default_candidate),
    ):
        if function is default and not hasattr(model, tower):
            raise InvalidArgumentError(
                f"`model` must have `query_model` and `candidate_model`. Received: {type(model).__name__} "
                f"without `{tower}`. Pass `query_fn` and `candidate_fn`, functions of (model, features) that "
                "return embeddings [batch, dim]; or `predict` of a ranking model."
            )


def read_features(model: tf_keras.Model, rows: Mapping[str, Columns]) -> list[str]:
    """Returns the features that the towers of a model read, as far as they say so, else all that are given.

    Args:
      model: with `query_model` and `candidate_model`, whose `feature_names` are asked.
      rows: "query" and "item".

    Raises:
      UnknownFeatureError: a row lacks one.
    """
    found = []
    for side, tower in (("query", "query_model"), ("item", "candidate_model")):
        names = getattr(getattr(model, tower, None), "feature_names", None)
        for name in rows[side] if names is None else names:
            if name not in rows[side]:
                raise _lacking(name, side, rows[side])
            found.append(name)
    return list(dict.fromkeys(found))


def _in_batches(
    function: Callable,
    model: tf_keras.Model,
    columns: Columns,
    side: str,
    *,
    given: Columns | None = None,
) -> np.ndarray:
    """Calls a function of a model and columns on a few rows at a time; returns the results side by side."""
    rows = next(iter(columns.values())).shape[0]
    found = []
    for start in range(0, rows, _BATCH):
        batch = {name: column[start : start + _BATCH] for name, column in columns.items()}
        try:
            result = np.asarray(function(model, batch))
        except KeyError as error:
            # Keras makes a message of the key; the key itself is its first word.
            key = str(error.args[0]).split("\n")[0].strip("'\" ") if error.args else ""
            raise _lacking(key, side, columns if given is None else given) from error
        if result.shape[:1] != (min(_BATCH, rows - start),):
            raise DataError(
                f"The model must give a row for each of the {side}. Received: shape {result.shape} for "
                f"{min(_BATCH, rows - start)} rows."
            )
        found.append(result)
    return np.concatenate(found)


def _lacking(name: str, side: str, columns: Columns) -> UnknownFeatureError:
    return UnknownFeatureError(
        f"The model reads feature {name!r}, which the {side} lacks. {close_matches(name, columns)}"
    )


def _finite(scores: np.ndarray) -> np.ndarray:
    if not np.isfinite(scores).all():
        raise DataError(
            f"Scores must be finite. Received: {int((~np.isfinite(scores)).sum())} of {len(scores)} with NaN "
            "or infinity, over masked copies of the row; the model has diverged, or can't take a mask."
        )
    return scores


def _shown(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
