"""References that need no model: what a comparison of models must stand beside.

Use them as arms: `compare(..., {"popularity": Arm(scorer=popularity), "EASE": Arm(scorer=ease)})`.
"""

from __future__ import annotations

import numpy as np

from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.measuring.slices import Scorer
from tfrs_augment.evaluation.splitting.histories import HISTORY_INDEX
from tfrs_augment.evaluation.splitting.splits import Split, catalogue_size


def popularity(split: Split) -> Scorer:
    """Returns a scorer by the number of training rows of each item, the same for every query."""
    counts = np.bincount(split.train.item_index(), minlength=catalogue_size(split.train))
    counts = counts.astype(np.float32)

    def score(rows: np.ndarray) -> np.ndarray:
        return np.tile(counts, (len(rows), 1))

    return score


def ease(split: Split, *, regularization: float = 100.0) -> Scorer:
    """Returns the scorer of EASE, a linear item-item model in closed form.

    With `X` the users' training items as a 0-1 matrix: `P = inverse(X'X + regularization I)`, and
    the weight of item `i` for item `j` is `-P_ij / P_jj`, 0 on the diagonal. A query's score is the
    sum of the weights of what it has seen. Items without training rows score 0.

    It takes memory and time of the training items squared and cubed: with 11,000 of them, some
    1.5 GB and a minute.

    Args:
      split: training rows count, and with them the histories that they hold.
      regularization: weight of the squared norm, above 0. Default: 100.

    Raises:
      InvalidArgumentError: `regularization` is not positive.

    Reference:
      Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 8.
    """
    if not regularization > 0:
        raise InvalidArgumentError(
            f"`regularization` must be above 0. Received: regularization={regularization}."
        )
    user, item = split.train.user_index(), split.train.item_index()
    if HISTORY_INDEX in split.train.rows:
        history = split.train.rows[HISTORY_INDEX]
        user = np.concatenate([user, np.repeat(user, history.row_lengths())])
        item = np.concatenate([item, history.values])
    user, item = np.unique(np.stack([user, item]), axis=1)
    known, column = np.unique(item, return_inverse=True)
    weights = _weights(user, column, len(known), regularization)

    seen = split.seen_before(split.test).take(split.query_index(split.test))
    column_of = np.full(catalogue_size(split.train), -1)
    column_of[known] = np.arange(len(known))

    def score(rows: np.ndarray) -> np.ndarray:
        table = seen.take(rows)
        row, columns = (
            np.repeat(np.arange(len(rows)), np.diff(table.offsets)),
            column_of[table.items],
        )
        # An item that was seen twice counts once.
        row, columns = np.unique(np.stack([row, columns])[:, columns >= 0], axis=1)
        scores = np.zeros((len(rows), len(column_of)), np.float32)
        # Rows are sorted: the sums of runs are many times faster than adding at places.
        asking, starts = np.unique(row, return_index=True)
        if len(asking):
            scores[np.ix_(asking, known)] = np.add.reduceat(weights[columns], starts, axis=0)
        return scores

    return score


def _weights(user: np.ndarray, column: np.ndarray, items: int, regularization: float) -> np.ndarray:
    """Returns float32 `[items, items]` from pairs of a user and an item, sorted by user."""
    gram = np.zeros((items, items), np.float32)
    # Each pair of items of a user once, by users of equal numbers of items together.
    counts = np.unique(user, return_counts=True)[1]
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts):
        block = column[starts[counts == count][:, None] + np.arange(count)]
        np.add.at(gram, (block[:, :, None], block[:, None, :]), 1.0)
    gram[np.diag_indices(items)] += regularization
    inverse = np.linalg.inv(gram)
    inverse /= -np.diag(inverse).copy()
    inverse[np.diag_indices(items)] = 0.0
    return inverse
