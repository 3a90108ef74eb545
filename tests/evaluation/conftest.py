"""A small catalogue with taste in it, for the tests of splits, slices and comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.datasets.interactions import Interactions, Ragged

USERS, ITEMS, ROWS = 60, 40, 3000


@pytest.fixture(scope="session")
def shop() -> Interactions:
    return make_shop()


def make_shop() -> Interactions:
    """60 users who like one of four kinds, 40 items of these kinds with falling popularity."""
    rng = np.random.default_rng(3)
    kinds = np.arange(ITEMS) % 4
    taste = rng.integers(4, size=USERS)
    popularity = 1.0 / (1.0 + np.arange(ITEMS) // 4)
    user = rng.integers(USERS, size=ROWS)
    item = np.empty(ROWS, np.int64)
    for row, u in enumerate(user):
        weight = popularity * np.where(kinds == taste[u], 12.0, 1.0)
        item[row] = rng.choice(ITEMS, p=weight / weight.sum())
    item_ids = np.array([b"i%02d" % i for i in range(ITEMS)])
    user_ids = np.array([b"u%02d" % u for u in range(USERS)])
    return Interactions.from_tables(
        {
            "user_id": user_ids[user],
            "item_id": item_ids[item],
            "timestamp": rng.integers(10_000, size=ROWS),
        },
        items={
            "item_id": item_ids,
            "kind": np.array([b"k%d" % k for k in kinds]),
            "title": np.array([b"title %d" % i for i in range(ITEMS)]),
            "price": rng.normal(10, 3, ITEMS).astype(np.float32),
            "tags": Ragged.from_lists(
                [[b"t%d" % k, b"all"] if k else [] for k in kinds], dtype="S"
            ),
        },
        users={"user_id": user_ids, "age": rng.integers(18, 60, USERS).astype(np.float32)},
        name="a small shop",
    )
