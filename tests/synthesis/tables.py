"""Small tables that several tests are fitted on."""

from __future__ import annotations

import hashlib

import numpy as np

from tfrs_augment.datasets import simulated_shop


def shop_table() -> dict[str, np.ndarray]:
    """1,950 rows of the simulated shop, with missing cells, a constant, and a column without values."""
    shop = simulated_shop("tiny").take(np.arange(0, 3_900, 2))
    count = len(shop)
    rng = np.random.default_rng(0)
    price = shop.rows["item_price"].copy()
    # Missing more often where the rating is low.
    price[rng.random(count) < np.where(shop.rows["rating"] < 3, 0.4, 0.05)] = np.nan
    return {
        "age": shop.rows["user_age"],
        "gender": shop.rows["user_gender"],
        "category": shop.rows["item_category"],
        "brand": np.where(rng.random(count) < 0.1, b"", shop.rows["item_brand"]),
        "price": price,
        "rating": shop.rows["rating"],
        "timestamp": shop.rows["timestamp"],
        "country": np.full(count, b"DK"),
        "empty": np.full(count, np.nan, np.float32),
    }


def interaction_table() -> dict[str, np.ndarray]:
    """The interactions of the simulated shop, with the names of `shop_table` and two ids."""
    rows = simulated_shop("tiny").rows
    count = len(rows["rating"])
    return {
        "user_id": rows["user_id"],
        "item_id": rows["item_id"],
        "age": rows["user_age"],
        "gender": rows["user_gender"],
        "category": rows["item_category"],
        "price": rows["item_price"],
        "rating": rows["rating"],
        "timestamp": rows["timestamp"],
        "country": np.full(count, b"DK"),
        "empty": np.full(count, np.nan, np.float32),
    }


def digest(rows: dict[str, np.ndarray]) -> str:
    """A hash of names, dtypes and values."""
    found = hashlib.sha256()
    for name, values in rows.items():
        found.update(f"{name} {values.dtype.kind} {values.tolist()!r}".encode())
    return found.hexdigest()


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Whether two tables are the same, NaN included."""
    return digest(first) == digest(second)
