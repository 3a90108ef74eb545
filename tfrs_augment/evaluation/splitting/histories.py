"""Splits for models whose query is a history of items: each user's last item tests.

The protocol of the literature on sequential recommendation (leave one out), with two additions: a
share of the items is held out of training, to measure cold items; and training may keep a share of
the users alone, to measure what is left where data are sparse. Validation and test rows are always
those of all users, since a history needs no user whom training has met.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrs_augment.datasets.interactions import Interactions, Ragged, take_column
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.splitting.cuts import (
    check_cold_shares,
    check_interactions,
    draw_cold,
)
from tfrs_augment.evaluation.splitting.splits import Split, catalogue_size

HISTORY, HISTORY_INDEX = "history", "history_index"


def split_histories(
    data: Interactions,
    *,
    fraction: float = 1.0,
    cold_share: float = 0.1,
    pseudo_cold_share: float = 0.0,
    max_history: int = 20,
    max_validation: int | None = 4000,
    seed: int = 0,
) -> Split:
    """Splits each user's sequence: the last item tests, the one before validates, the others train.

    Every row gets two columns: `history`, the ids of the user's items before it in order of time,
    and `history_index`, their places in the catalogue. A policy may change the ids; the places stay,
    for what a model looks up by them. A training row is made of every item but a user's first one
    (sliding windows). Histories hold no cold items, as no log held them when they were new.

    Args:
      data: the interactions.
      fraction: share of the users, drawn, whose rows train, in (0, 1]. Default: 1.
      cold_share: share of the catalogue that is drawn to be cold, in [0, 1). Default: 0.1.
      pseudo_cold_share: share of the catalogue that is drawn beside the cold items, held out of training
        and histories as they are, and validates but does not test. Default: 0.
      max_history: most items of a history, the last ones.
      max_validation: most validation rows, drawn; None takes all. Early stopping needs no more.
      seed: of all that is drawn.

    Returns:
      A split with `query_from="rows"`, and with `popularity` counted over all users' training items
      before `fraction` is taken, so that head, tail and cold mean the same items at any fraction;
      validation and test rows are the same, too. Validation rows are of warm and of pseudo-cold items.

    Raises:
      InvalidArgumentError: a share or a number breaks its rule.
      DataError: no training, validation or test rows are left; or the data have a column `history`
        or `history_index`.

    Example:
      >>> ids = np.array([b"a", b"b", b"c", b"d"])
      >>> data = Interactions.from_tables(
      ...     {"user_id": np.repeat([b"u", b"v"], 4), "item_id": ids[[0, 1, 2, 3, 1, 2, 0, 3]],
      ...      "timestamp": np.tile(np.arange(4), 2)},
      ...     items={"item_id": ids}, users={"user_id": np.array([b"u", b"v"])})
      >>> one = split_histories(data, cold_share=0.0)
      >>> one.test.rows["history"].to_lists()[0], one.test.rows["item_id"].tolist()[0]
      ([b'a', b'b', b'c'], b'd')
    """
    _check(data, fraction, max_history, max_validation)
    check_cold_shares(cold_share, pseudo_cold_share)
    rng = np.random.default_rng([seed, 0x5EED])
    items = catalogue_size(data)
    cold, pseudo = draw_cold(items, cold_share, pseudo_cold_share, rng)
    users = len(data.users[data.user_id])
    # Drawn at any fraction, so that what is drawn after it is the same.
    kept = rng.random(users) < fraction

    user = data.user_index()
    # Rows of equal time are put in a random order, as in the other splits.
    order = np.lexsort((rng.random(len(data)), data.rows[data.timestamp], user))
    data, user = data.take(order), user[order]
    item = data.item_index()
    warm = ~(cold | pseudo)[item]
    counts = np.bincount(user, minlength=users)
    left = np.cumsum(counts)[user] - np.arange(len(data))  # 1 in a user's last row
    # Rows of warm items that come before a row; of these the history is the last of the user's own.
    before = np.cumsum(warm) - warm
    first = before[(np.cumsum(counts) - counts)[user]]
    start = np.maximum(first, before - max_history)
    asks = before > start

    learned = warm & (left > 2)
    popularity = np.bincount(item[learned], minlength=items)
    validation = np.flatnonzero((left == 2) & asks & ((popularity > 0) | pseudo)[item])
    if max_validation is not None and len(validation) > max_validation:
        validation = np.sort(rng.choice(validation, max_validation, replace=False))
    warm_rows = np.flatnonzero(warm)

    def part(rows: np.ndarray) -> Interactions:
        lengths = (before - start)[rows]
        splits = np.concatenate([[0], np.cumsum(lengths)])
        place = np.repeat(start[rows], lengths) + np.arange(splits[-1])
        index = item[warm_rows[place - np.repeat(splits[:-1], lengths)]]
        taken = data.take(rows)
        history = {
            HISTORY: Ragged(data.items[data.item_id][index], splits),
            HISTORY_INDEX: Ragged(index, splits),
        }
        return dataclasses.replace(taken, rows={**taken.rows, **history})

    parts = {
        "training": np.flatnonzero(learned & asks & kept[user]),
        "validation": validation,
        "test": np.flatnonzero((left == 1) & asks & ~pseudo[item]),
    }
    for name, rows in parts.items():
        if not len(rows):
            raise DataError(
                f"A split must leave rows in every part. Received: no {name} rows of {data.name}. "
                "Users need four items and more, and `fraction` some users."
            )
    return Split(
        train=part(parts["training"]),
        validation=part(parts["validation"]),
        test=part(parts["test"]),
        seen=data.take(left > 1),
        name=(
            f"{data.name}, last item of each user, {fraction:g} of the users train, "
            f"{cold_share:g} cold, {f'{pseudo_cold_share:g} pseudo-cold, ' if pseudo_cold_share else ''}"
            f"seed {seed}"
        ),
        query_from="rows",
        popularity=popularity,
    )


def development_histories(whole: Split, *, seed: int = 0, **options) -> Split:
    """Splits what is not test data again, so that choices can be made without the test rows.

    See `evaluation.development_split`, which does so for users. Each user's last row and the items
    that `whole` holds out are left out; then the row before the last tests, and other items are drawn
    to be cold.

    Args:
      whole: what `split_histories` gave.
      seed: of the pseudo-cold items and of the users that train.
      **options: as of `split_histories`.

    Returns:
      A split of the rows of `whole.seen` whose items are warm.
    """
    warm, seen = whole.warm_items, whole.seen
    known = seen.take(warm[seen.item_index()])
    items = {name: take_column(column, warm) for name, column in known.items.items()}
    known = dataclasses.replace(known, items=items, name=f"{known.name} (development)")
    return dataclasses.replace(split_histories(known, seed=seed, **options), development=True)


def _check(data, fraction, max_history, max_validation) -> None:
    check_interactions(data=data)
    if not 0 < fraction <= 1:
        raise InvalidArgumentError(f"`fraction` must be in (0, 1]. Received: fraction={fraction}.")
    for name, value in (("max_history", max_history), ("max_validation", max_validation)):
        if value is not None and value < 1:
            raise InvalidArgumentError(f"`{name}` must be at least 1. Received: {name}={value}.")
    taken = [name for name in (HISTORY, HISTORY_INDEX) if name in data.rows]
    if taken:
        raise DataError(
            f"`data` must have no column {HISTORY!r} or {HISTORY_INDEX!r}, which the split adds. "
            f"Received: {taken}. Rename it."
        )
