"""Co-occurrence: counted right, equal whatever the order and the cuts, bounded."""

from __future__ import annotations

import collections
import itertools
import pickle

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.errors import DataError
from tfrs_augment.fitting import Fitter
from tfrs_augment.fitting.sequences import CooccurrenceSummary
from tfrs_augment.ops import FittedState, Requirement
from tfrs_augment.ops.fitted import bytes_table

DISCOUNTED, COUNTED = Requirement("cooccurrence", "s"), Requirement("cooccurrence_counts", "s")


def sequences(rows: int = 400, items: int = 40) -> list[list[int]]:
    rng = np.random.default_rng(8)
    weights = 1 / np.arange(1, items + 1)
    return [
        rng.choice(items, rng.integers(0, 9), p=weights / weights.sum()).tolist()
        for _ in range(rows)
    ]


def column(lists: list, dtype=tf.int64) -> tf.RaggedTensor:
    values = [value for row in lists for value in row]
    if dtype == tf.string:
        values = [f"item {value}" for value in values]
    return tf.RaggedTensor.from_row_lengths(
        tf.constant(values, dtype), tf.constant([len(row) for row in lists], tf.int64)
    )


def fit(*columns) -> FittedState:
    fitters = []
    for part in columns:
        fitters.append(Fitter([DISCOUNTED, COUNTED]))
        fitters[-1].add({"s": part})
    for other in fitters[1:]:
        fitters[0].merge(pickle.loads(pickle.dumps(other)))
    return fitters[0].state()


def neighbors(arrays) -> dict:
    items = arrays["values"].tolist() if "values" in arrays else bytes_table(arrays)
    bounds = itertools.pairwise(arrays["row_splits"].tolist())
    return {
        item: [items[k] for k in arrays["neighbors"][a:b]]
        for item, (a, b) in zip(items, bounds, strict=True)
    }


def expected(lists: list, discount: bool) -> dict:
    """The same, counted the slow way."""
    totals = collections.Counter(item for row in lists for item in row)
    pairs = collections.Counter()
    for row in lists:
        for i, j in itertools.permutations(range(len(row)), 2):
            if abs(i - j) <= 3 and row[i] != row[j]:
                pairs[row[i], row[j]] += 1
    result = {item: [] for item in sorted(totals)}
    for (item, other), count in pairs.items():
        result[item].append((-(count**2) / totals[other] if discount else -count, other))
    return {item: [other for _, other in sorted(found)[:16]] for item, found in result.items()}


def test_the_most_correlated_items_come_first():
    state = fit(column(sequences()))
    assert neighbors(state[DISCOUNTED]) == expected(sequences(), True)
    assert neighbors(state[COUNTED]) == expected(sequences(), False)
    assert any(len(found) == 16 for found in neighbors(state[COUNTED]).values())


def test_strings_give_what_integers_do():
    few = sequences(60, 9)
    found = neighbors(fit(column(few, tf.string))[COUNTED])
    wanted = neighbors(fit(column(few))[COUNTED])
    assert {k: sorted(v) for k, v in found.items()} == {
        b"item %d" % k: sorted(b"item %d" % other for other in v) for k, v in wanted.items()
    }
    hashes = fit(column(few, tf.string))[COUNTED]["hashes"]
    assert np.all(np.diff(hashes) > 0)


@pytest.mark.parametrize("dtype", [tf.int64, tf.string])
def test_order_and_cuts_do_not_matter(dtype):
    lists = sequences()
    whole = fit(column(lists, dtype)).digest()
    order = np.random.default_rng(1).permutation(len(lists))
    parts = [[lists[i] for i in part] for part in np.array_split(order, 6)]
    assert fit(*(column(part, dtype) for part in parts)).digest() == whole


def test_beyond_the_bound_it_is_a_sample_that_order_and_cuts_do_not_change(monkeypatch):
    lists = sequences() * 2
    exact = fit(column(lists))
    monkeypatch.setattr(CooccurrenceSummary, "MAX_ITEMS", 300)
    whole = fit(column(lists))
    order = np.random.default_rng(1).permutation(len(lists))
    parts = [[lists[i] for i in part] for part in np.array_split(order, 6)]
    assert fit(*(column(part) for part in parts)).digest() == whole.digest()
    assert whole.digest() != exact.digest()

    summary = CooccurrenceSummary()
    for row in lists:
        summary.add(column([row]), None)
        assert sum(len(part.values) for part in summary._parts) <= 2 * 300
    summary.arrays(COUNTED)
    assert 250 < len(summary._parts[0].values) <= 300


def test_padded_columns_give_the_same_but_for_the_padding():
    lists = [[item + 1 for item in row] for row in sequences(60, 9)]
    ragged = neighbors(fit(column(lists))[DISCOUNTED])
    padded = neighbors(fit(column(lists).to_tensor())[DISCOUNTED])
    assert {k: [i for i in v if i] for k, v in padded.items() if k} == ragged


def test_a_round_trip_through_a_file(tmp_path):
    state = fit(column(sequences(60, 9), tf.string))
    state.save(tmp_path / "fitted.json")
    assert FittedState.load(tmp_path / "fitted.json").digest() == state.digest()


def test_data_without_items_and_floats_are_errors():
    with pytest.raises(DataError, match="cooccurrence of 's' cannot be fitted: .* no value"):
        fit(column([[], []]))
    with pytest.raises(DataError, match="Co-occurrence is one of items"):
        fit(tf.ragged.constant([[0.5]]))
    # Items without neighbors are no error: there is nothing to put in their places.
    policy = aug.AugmentationPolicy([aug.ops.SequenceInsert("s")], key_features=("s",))
    policy = aug.fitting.fit(policy, {"s": column([[1], [2]])})
    row = {"s": column([[1]])}
    assert policy.augment(row, keys=tf.constant([1], tf.uint64))["s"].to_list() == [[1]]
