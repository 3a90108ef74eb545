"""Mutual information: what it is worth, and the same to the bit for any cut and order of the data."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.fitting import Fitter
from tfrs_augment.fitting.information import MAX_CELLS, InformationSummary
from tfrs_augment.ops import FittedState, Requirement

NAMES = ("city", "country", "device", "id", "price", "tags", "zone")
ALL = Requirement("mutual_information", NAMES[0], NAMES[1:])
LN2 = np.log(2.0)


def data(rows: int = 20_000) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Cities lie in countries and prices follow them; a zone is a fair coin that decides the device."""
    rng = np.random.default_rng(3)
    city, zone = rng.integers(0, 12, rows), rng.integers(0, 2, rows)
    country, lengths = city // 4, rng.integers(0, 4, rows)
    tags = np.repeat(country * 10, lengths) + rng.integers(0, 3, lengths.sum())
    price = np.exp(rng.normal(0, 0.1, rows)) * 10.0**country
    price[::50] = np.nan
    return {
        "city": tf.constant([f"city {i}" for i in city]),
        "country": tf.constant(country, tf.int64),
        "device": tf.constant(np.array(["phone", "web"], object)[zone].tolist()),
        "id": tf.constant(rng.integers(0, 3000, rows), tf.int64),
        "price": tf.constant(price, tf.float32),
        "tags": tf.RaggedTensor.from_row_lengths(tf.constant(tags, tf.int64), lengths),
        "zone": tf.constant(zone, tf.int32),
    }


def state(columns, requirement: Requirement = ALL) -> FittedState:
    fitter = Fitter([requirement])
    fitter.add(columns)
    return fitter.state()


def information(columns, requirement: Requirement = ALL) -> dict[tuple[str, str], float]:
    matrix = state(columns, requirement)[requirement]["information"]
    return {
        (a, b): matrix[i, j]
        for i, a in enumerate(requirement.features)
        for j, b in enumerate(requirement.features)
    }


def test_the_values_are_those_of_the_distribution():
    found = information(data())
    assert found["zone", "device"] == pytest.approx(LN2, abs=1e-3)
    assert found["zone", "zone"] == pytest.approx(LN2, abs=1e-3)
    assert found["city", "country"] == pytest.approx(np.log(3.0), abs=2e-3)
    # Two of the 16 bins of prices lie across two countries.
    assert found["country", "price"] == pytest.approx(np.log(3.0), abs=0.12)
    # A quarter of the lists is empty, and says nothing; the others tell the country.
    assert found["country", "tags"] == pytest.approx(0.75 * np.log(3.0), abs=0.02)
    for independent in ("city", "device", "price", "tags", "country"):
        assert found["id", independent] < 0.01
    assert all(found[a, b] == found[b, a] >= 0 for a, b in found)


def test_order_and_cuts_do_not_matter_to_the_bit():
    columns, whole = data(), state(data()).digest()
    order = np.random.default_rng(1).permutation(20_000)
    for parts, merge_first in ((13, False), (3, True)):
        total = Fitter([ALL])
        for part in np.array_split(order, parts):
            fitter = Fitter([ALL])
            for batch in np.array_split(part, 1 if merge_first else 4):
                fitter.add({name: tf.gather(column, batch) for name, column in columns.items()})
            total.merge(fitter)
        total.merge(Fitter([ALL]))
        assert total.state().digest() == whole


def test_memory_is_bounded_and_a_cell_is_kept_as_fine_as_it_can_be():
    summary = InformationSummary()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        ids = tf.constant(rng.integers(0, 1 << 40, 4000), tf.int64)
        summary.add([ids, tf.constant(rng.normal(size=4000) * 10.0**seed), ids % 100], None)
    assert [len(table.ravel()) <= (MAX_CELLS + 1) ** 2 for table in summary.tables.values()]
    for cells in summary.cells[:2]:
        assert MAX_CELLS / 2 < len(cells.codes) <= MAX_CELLS
    assert len(summary.cells[2].codes) == 100 and summary.cells[2].dropped == 0


def test_layouts_agree_and_the_order_in_a_list_does_not_matter():
    columns = data(500)
    dense = {n: c for n, c in columns.items() if not isinstance(c, tf.RaggedTensor)}
    requirement = Requirement("mutual_information", "city", ("country", "device", "price"))
    as_lists = {
        n: tf.RaggedTensor.from_row_lengths(c, np.ones(500, np.int64)) for n, c in dense.items()
    }
    assert state(dense, requirement).digest() == state(as_lists, requirement).digest()
    tags = Requirement("mutual_information", "country", ("tags",))
    turned = {**columns, "tags": tf.reverse(columns["tags"], [1])}
    assert state(columns, tags).digest() == state(turned, tags).digest()


def test_missing_together_counts():
    gone = np.arange(1000) % 2 == 0
    columns = {
        "a": tf.constant(np.where(gone, np.nan, 1.0)),
        "b": tf.RaggedTensor.from_row_lengths(tf.fill([500], "x"), np.where(gone, 0, 1)),
    }
    found = information(columns, Requirement("mutual_information", "a", ("b",)))
    assert found["a", "b"] == pytest.approx(LN2, abs=1e-6)


def test_what_cannot_be_fitted():
    with pytest.raises(DataError, match="cannot be fitted: the data hold no row"):
        Fitter([ALL]).state()
    with pytest.raises(UnknownFeatureError, match="the data have no such feature as 'zone'"):
        state({name: column for name, column in data(10).items() if name != "zone"})
    with pytest.raises(InvalidArgumentError, match="'marginal' is one of a single feature"):
        Fitter([Requirement("marginal", "a", ("b",))])


def test_the_state_is_saved_with_the_names_of_all_features(tmp_path):
    fitted = state(data(100))
    fitted.save(tmp_path / "fitted.json")
    loaded = aug.ops.FittedState.load(tmp_path / "fitted.json")
    assert loaded.digest() == fitted.digest() and list(loaded.arrays) == [ALL]
    assert str(ALL).startswith("mutual_information of 'city', 'country', ")
