"""Interactions of three users with four items, small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.datasets.interactions import Interactions, Ragged


@pytest.fixture
def rows() -> Interactions:
    """Item d and user w have no row; the title names the item; b's price is unknown."""
    events = {
        "user_id": np.array([b"u", b"u", b"v", b"v", b"t", b"t"]),
        "item_id": np.array([b"a", b"b", b"a", b"c", b"a", b"b"]),
        "timestamp": np.arange(6),
    }
    return Interactions.from_tables(
        events,
        items={
            "item_id": np.array([b"a", b"b", b"c", b"d"]),
            "kind": np.array([b"x", b"x", b"x", b"only d"]),
            "title": np.array([b"A", b"B", b"C", b"D"]),
            "price": np.array([1.0, np.nan, 3.0, 1e6], np.float32),
            "tags": Ragged.from_lists([[b"p", b"q"], [b"p"], [], [b"r", b"r"]], dtype="S"),
        },
        users={"user_id": np.array([b"t", b"u", b"v", b"w"]), "age": np.float32([20, 30, 40, 99])},
    )
