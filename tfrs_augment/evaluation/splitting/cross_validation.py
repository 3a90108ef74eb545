"""Cross-validation: every user, row or item is tested in exactly one fold.

Where data are few, one split's test rows are few as well, and which they are decides the figures. Folds
test everything once: `compare(build_model, arms, split=folds(data, 5), seeds=range(5))` trains each arm five
times, each time on other rows, and its figures are means over all folds.

The training sets of two folds share most of their rows, so the folds' figures are not independent, and no
estimate of their variance is free of bias (Bengio and Grandvalet, "No Unbiased Estimator of the Variance of
K-Fold Cross-Validation", JMLR 5, 2004). The intervals of a report over folds are approximate, and rather too
narrow where an effect depends on the rows that a model was trained on.

Folds know nothing of time: a model learns from what comes after its test rows. Where times are known, judge
by `evaluation.split`, which cuts by them.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable

import numpy as np

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.splitting.cuts import check_interactions, check_parts
from tfrs_augment.evaluation.splitting.splits import Split, catalogue_size

_UNITS = ("user", "row", "item")
_FOLDS = 0xF01D


def folds(
    data: Interactions,
    count: int,
    *,
    by: str = "user",
    validation_share: float = 0.1,
    seed: int = 0,
) -> Callable[[int], Split]:
    """Cuts the data into folds, each of which tests what the others do not.

    Args:
      data: the interactions.
      count: number of folds, at least 2 and at most the number of units.
      by: what is held out whole: "user" (no tested user has a training row), "item" (every tested item is
        cold), or "row" (rows are drawn; users and items are known but for those with rows in one fold
        alone). Users and items without a row are in no fold.
      validation_share: share of the units outside the fold, of the same kind, whose rows validate, in
        (0, 1); early stopping then watches what is tested: strangers, cold items, or rows.
        Default: 0.1.
      seed: of the folds and of the validation units.

    Returns:
      From the number of a fold, 0 to `count - 1`, to its split; `seen` is all rows of the other folds, and
      validation rows of items without a training row are left out but for `by="item"`. Each fold is the same
      whenever it is asked for.

    Raises:
      InvalidArgumentError: an argument breaks its rule; or, of the function returned, there is no such fold.
      DataError: of the function returned: a part has no rows.

    Example:
      >>> ids = np.array([b"a", b"b", b"c", b"d"])
      >>> data = Interactions.from_tables(
      ...     {"user_id": np.repeat(ids, 4), "item_id": np.tile(ids, 4), "timestamp": np.arange(16)},
      ...     items={"item_id": ids}, users={"user_id": ids})
      >>> fold = folds(data, 2)
      >>> tested = [fold(number).test.rows["user_id"] for number in range(2)]
      >>> sorted(np.unique(np.concatenate(tested)).tolist()), len(tested[0])
      ([b'a', b'b', b'c', b'd'], 8)

    Reference:
      Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", Journal of the Royal
      Statistical Society B 36, 1974.
    """
    check_interactions(data=data)
    if by not in _UNITS:
        raise InvalidArgumentError(f"`by` must be one of {_UNITS}. Received: by={by!r}.")
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 2:
        raise InvalidArgumentError(
            f"`count` must be an integer of at least 2. Received: count={count!r}."
        )
    if not 0 < validation_share < 1:
        raise InvalidArgumentError(
            f"`validation_share` must be in (0, 1). Received: validation_share={validation_share}."
        )
    units = {"user": data.user_index, "item": data.item_index}
    unit = units[by]() if by in units else np.arange(len(data))
    present = np.unique(unit)
    if len(present) < count:
        raise InvalidArgumentError(
            f"`count` must be at most the number of {by}s{'' if by == 'row' else ' with rows'}, "
            f"{len(present)} in {data.name}. "
            f"Received: count={count}."
        )
    order = np.random.default_rng([seed, _FOLDS]).permutation(present)
    fold_of = np.empty(present[-1] + 1, np.int64)
    fold_of[order] = np.arange(len(order)) % count

    def fold(number: int) -> Split:
        if isinstance(number, bool) or number not in range(count):
            raise InvalidArgumentError(
                f"A fold must be in [0, {count}): seeds=range({count}). Received: {number!r}."
            )
        others = present[fold_of[present] != number]
        rng = np.random.default_rng([seed, _FOLDS, number])
        # One at least: a share of few units would otherwise round to none.
        watched = max(1, int(round(validation_share * len(others))))
        watched = rng.choice(others, watched, replace=False)
        test = fold_of[unit] == number
        validation = np.isin(unit, watched)
        train = ~test & ~validation
        if by != "item":
            item = data.item_index()
            known = np.bincount(item[train], minlength=catalogue_size(data)) > 0
            validation &= known[item]
        check_parts(data.name, train=train.sum(), validation=validation.sum(), test=test.sum())
        return Split(
            train=data.take(train),
            validation=data.take(validation),
            test=data.take(test),
            seen=data.take(~test),
            name=f"{data.name}, {count} folds by {by}, drawn by {seed}, fold {number}",
        )

    return fold
