"""Tests of the search queries of the simulated shop."""

from __future__ import annotations

import numpy as np
import pytest

from tfrs_augment.datasets import queries, shop


@pytest.fixture(scope="module")
def items():
    return shop.simulated_shop("tiny", seed=0).items


def make(items, count=20_000, typo_rate=0.2, seed=0):
    rng = np.random.default_rng(seed)
    item = rng.integers(0, len(items["item_id"]), count)
    typed, intended = queries.QueryMaker(items).make(rng, item, np.full(count, typo_rate))
    return item, typed, intended


def edit_distance(left: bytes, right: bytes) -> int:
    """Returns the edits between two words, two neighbours swapped being one."""
    table = {(i, -1): i + 1 for i in range(-1, len(left))}
    table |= {(-1, j): j + 1 for j in range(-1, len(right))}
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            options = [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)]
            if i and j and a == right[j - 1] and left[i - 1] == b:
                options.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(options)
    return table[len(left) - 1, len(right) - 1]


def test_words_are_of_the_item_and_named_at_their_rates(items):
    item, _, intended = make(items)
    words = [text.split() for text in intended.tolist()]
    named = np.array([items["item_category"][i] in w for i, w in zip(item, words)])
    coloured = np.array([items["item_colour"][i] in w for i, w in zip(item, words)])
    titles = items["item_title_words"].to_lists()
    for i, query in zip(item[:500], words[:500]):
        of_item = {items[f"item_{name}"][i] for name in ("category", "colour", "brand")}
        assert set(query) <= of_item | set(titles[i]) and query
        assert len(set(query)) == len(query)
    # Only a query that would name nothing else names the category beyond its rate.
    assert queries.NOUN_RATE < named.mean() < queries.NOUN_RATE + 0.1
    assert coloured.mean() == pytest.approx(queries.COLOUR_RATE, abs=0.015)
    assert len({tuple(sorted(w)) for w in words}) < len({tuple(w) for w in words})  # any order


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_typos_have_their_rate_and_are_one_edit(items, rate):
    _, typed, intended = make(items, count=5_000, typo_rate=rate)
    pairs = [
        pair
        for left, right in zip(typed.tolist(), intended.tolist())
        for pair in zip(left.split(), right.split(), strict=True)
    ]
    wrong = [(left, right) for left, right in pairs if left != right]
    bound = 4 * np.sqrt(rate * (1 - rate) / len(pairs))
    assert len(wrong) / len(pairs) == pytest.approx(rate, abs=bound)
    assert {edit_distance(*pair) for pair in wrong[:2_000]} <= {1}


def test_every_kind_of_typo_occurs():
    words = np.repeat(np.array([b"black"], "S8").view(np.uint8).reshape(1, 8), 400, axis=0)
    typed = queries.mistype(np.random.default_rng(0), words).view("S8")[:, 0]
    assert {b"lack", b"bblack", b"lback", b"blavk"} <= set(typed.tolist())
    counts = np.bincount(np.char.str_len(typed), minlength=7)
    assert counts[[4, 6]] == pytest.approx(100, abs=40)
    assert (typed != b"black").all()


def test_short_and_doubled_letters_can_be_mistyped():
    words = np.array([b"a", b"aa", b"zz"], "S4").repeat(50)
    letters = words.view(np.uint8).reshape(-1, 4)
    typed = queries.mistype(np.random.default_rng(1), letters).view("S4")[:, 0]
    assert (typed != words).all()


def test_no_queries(items):
    typed, intended = queries.QueryMaker(items).make(
        np.random.default_rng(0), np.zeros(0, np.int64), np.zeros(0)
    )
    assert len(typed) == len(intended) == 0
