"""What a split draws and where it cuts, as masks over rows, items and users."""

from __future__ import annotations

import numpy as np

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import DataError, InvalidArgumentError

# Streams of their own, so that a split without these draws stays what it was.
_COLD_USERS, _HELD_OUT_USERS = 0xC01D, 0xC0DE
# 1 - 0.2 - 0.1 is a little more than 0.7: a row there must not miss the cut.
_ROUNDING = 1e-9


def check_cold_shares(cold_share: float, pseudo_cold_share: float) -> None:
    """Raises an InvalidArgumentError unless both shares and their sum are in [0, 1)."""
    for name, share in (("cold_share", cold_share), ("pseudo_cold_share", pseudo_cold_share)):
        if not 0 <= share < 1:
            raise InvalidArgumentError(f"`{name}` must be in [0, 1). Received: {name}={share}.")
    if cold_share + pseudo_cold_share >= 1:
        raise InvalidArgumentError(
            "`cold_share` and `pseudo_cold_share` must leave items to train on. Received: "
            f"{cold_share} and {pseudo_cold_share}."
        )


def check_interactions(**data: object) -> None:
    """Raises an InvalidArgumentError that names the first argument that is no `Interactions`."""
    for name, value in data.items():
        if not isinstance(value, Interactions):
            raise InvalidArgumentError(
                f"`{name}` must be Interactions. Received: {type(value).__name__}. Make them of tables of "
                "events, items and users by tfrs_augment.datasets.Interactions.from_tables."
            )


def check_parts(
    name: str, *, remedy: str = "Use larger shares or more interactions.", **rows: int
) -> None:
    """Raises a DataError that names the first part without rows, and the remedy."""
    for part, count in rows.items():
        if count == 0:
            raise DataError(
                f"A split must leave rows in every part. Received: no {part} rows of {name}. {remedy}"
            )


def draw_cold(
    items: int, cold_share: float, pseudo_cold_share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns bool `[items]` twice: the cold items, and, of the others, the pseudo-cold ones."""
    cold, pseudo = np.zeros((2, items), bool)
    cold[rng.choice(items, int(round(cold_share * items)), replace=False)] = True
    if pseudo_cold_share:
        # Another stream, so that the other draws are those of a split without pseudo-cold items.
        others = np.flatnonzero(~cold)
        number = min(int(round(pseudo_cold_share * items)), len(others))
        pseudo[rng.spawn(1)[0].choice(others, number, replace=False)] = True
    return cold, pseudo


def draw_cold_users(data: Interactions, share: float, seed: int) -> np.ndarray:
    """Returns bool `[users]`, a share of the users that have rows, drawn by the seed alone."""
    present = np.unique(data.user_index())
    cold = np.zeros(len(data.users[data.user_id]), bool)
    rng = np.random.default_rng([seed, _COLD_USERS])
    cold[rng.choice(present, int(round(share * len(present))), replace=False)] = True
    return cold


def cut_by_time(
    data: Interactions, by: str, test_share: float, validation_share: float, rng
) -> tuple[np.ndarray, np.ndarray]:
    """Returns bool `[n]` twice: the last rows, and these and the ones just before them.

    Of `n` rows `n * share` are last, rounded down: of few rows that is none.

    Args:
      data: the interactions.
      by: "user_time", of each user's rows, or "time", of all.
      test_share: share of the rows that are last.
      validation_share: share of the rows just before.
      rng: puts rows of equal time in order.
    """
    position = positions(data, by, rng)
    return is_last(position, test_share), is_last(position, test_share + validation_share)


def is_last(position: np.ndarray, share: float) -> np.ndarray:
    """Returns bool `[n]`: which of the positions of rows, see `positions`, are in the last share."""
    return position >= 1 - share - _ROUNDING


def cut_by_user(
    data: Interactions, test_share: float, validation_share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns bool `[n]` twice: the rows of the drawn test users, and of these and the validation users."""
    user = data.user_index()
    present = np.unique(user)
    order = np.random.default_rng([seed, _HELD_OUT_USERS]).permutation(present)
    # One user of each kind at least: a share of few users would otherwise round to none.
    tested = max(1, int(round(test_share * len(present))))
    watched = max(1, int(round(validation_share * len(present))))
    return np.isin(user, order[:tested]), np.isin(user, order[: tested + watched])


def positions(data: Interactions, by: str, rng: np.random.Generator) -> np.ndarray:
    """Returns float64 `[n]` in [0, 1): each row's place in its user's, or the whole, history."""
    groups = data.user_index() if by == "user_time" else np.zeros(len(data), np.int64)
    order = np.lexsort((rng.random(len(data)), data.rows[data.timestamp], groups))
    counts = np.bincount(groups, minlength=1)
    starts = np.cumsum(counts) - counts
    position = np.empty(len(data))
    sorted_groups = groups[order]
    position[order] = (np.arange(len(data)) - starts[sorted_groups]) / counts[sorted_groups]
    return position
