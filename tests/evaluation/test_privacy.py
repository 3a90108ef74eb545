"""Privacy: every measure is at its ideal for other real rows, and finds rows that were copied."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.evaluation.test_fidelity import movielens, part  # noqa: F401
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation import measure_privacy
from tfrs_augment.evaluation.synthetic import distances
from tfrs_augment.evaluation.synthetic.coded_tables import code_tables
from tfrs_augment.evaluation.synthetic.privacy import IDEALS

# In the order of IDEALS: closer_to_train, copies, neighbour_ratio, membership_auc.
SMALL = {"max_rows": 1000}


@pytest.fixture(scope="module")
def real(movielens):  # noqa: F811
    return part(movielens, 0, 4000)


@pytest.fixture(scope="module")
def holdout(movielens):  # noqa: F811
    return part(movielens, 4000, 8000)


def test_other_real_rows_are_at_the_ideal(movielens, real, holdout):  # noqa: F811
    found = measure_privacy(real, part(movielens, 8000, 12_000), holdout=holdout, **SMALL)
    for name, ideal in IDEALS.items():
        low, high = found.intervals[name]
        assert low - 0.02 < ideal < high + 0.02, name
        assert low < found.values[name] < high, name
        assert high - low < 0.1, name


def test_copies_are_found_by_every_measure(real, holdout):
    found = measure_privacy(real, real, holdout=holdout, **SMALL)
    assert found.values["closer_to_train"] > 0.9
    assert found.shares["copies"][0] == 1 and found.values["copies"] > 0.8
    assert found.values["neighbour_ratio"] < -0.3
    assert found.values["membership_auc"] > 0.9
    assert found.to_train.max() == 0


def test_near_copies_are_found_though_none_is_exact():
    rng = np.random.default_rng(0)

    def rows():
        return {"x": rng.normal(size=800).astype(np.float32), "y": rng.normal(size=800)}

    train, holdout = rows(), rows()
    near = {name: column + 0.001 * rng.normal(size=800) for name, column in train.items()}
    found = measure_privacy(train, near, holdout=holdout)
    assert found.values["copies"] == 0
    assert found.values["closer_to_train"] > 0.9
    assert found.values["neighbour_ratio"] < -0.3
    assert found.values["membership_auc"] > 0.9


def test_a_share_of_copies_moves_the_measures_by_that_share(movielens, real, holdout):  # noqa: F811
    other = part(movielens, 8000, 12_000)
    mixed = {n: np.where(np.arange(4000) % 2 == 0, other[n], real[n]) for n in real}
    found = measure_privacy(real, mixed, holdout=holdout, **SMALL)
    assert found.values["closer_to_train"] == pytest.approx(0.75, abs=0.04)
    # Some real rows equal one another without having been copied.
    chance = found.shares["copies"][1]
    assert found.values["copies"] == pytest.approx(0.5 * (1 - chance), abs=0.03)


def test_rows_of_the_holdout_are_as_far_on_the_other_side(real, holdout):
    found = measure_privacy(real, holdout, holdout=holdout, **SMALL)
    assert found.values["closer_to_train"] < 0.1
    assert found.values["membership_auc"] < 0.1


def test_distances_are_those_of_single_rows():
    table = {
        "number": np.float32([0, 5, 10, np.nan, 2, 7]),
        "kind": np.array([b"a", b"b", b"a", b"b", b"c", b"a"]),
    }
    table["number"] = np.tile(table["number"], 20) + np.repeat(np.arange(20), 6).astype("f")
    table["kind"] = np.tile(table["kind"], 20)
    tables = code_tables({"table": table})
    coded = tables.tables["table"]
    assert tables.numbers == ("number",)
    found = distances.RowDistances(coded, tables.numbers).nearest(coded, coded, 3)
    span = np.nanmax(table["number"]) - np.nanmin(table["number"])
    for row in range(len(found)):
        gap = (table["number"] - table["number"][row]) / span
        missing = np.isnan(table["number"])
        gap[missing != missing[row]] = 1
        gap[missing & missing[row]] = 0
        squared = gap**2 + (table["kind"] != table["kind"][row])
        np.testing.assert_allclose(found[row], np.sqrt(np.sort(squared)[:3]), atol=1e-6)


def test_blocks_do_not_change_distances(real, monkeypatch):
    tables = code_tables({"real": real}).tables["real"]
    measure = distances.RowDistances(tables, ("user_age", "movie_year"))
    some = {name: column[:100] for name, column in tables.items()}
    whole = measure.nearest(some, tables, 2)
    monkeypatch.setattr(distances, "_BLOCK_NUMBERS", 3 * len(real["user_age"]))
    np.testing.assert_array_equal(measure.nearest(some, tables, 2), whole)


def test_the_result_is_the_same_for_the_same_seed_and_is_json(real, holdout):
    found = [measure_privacy(real, holdout, holdout=holdout, max_rows=50, seed=4) for _ in range(2)]
    assert json.loads(json.dumps(found[0].to_dict())) == found[1].to_dict()
    assert found[0].table().count("\n") == 1 + len(IDEALS)


def test_bad_numbers_are_refused(real):
    with pytest.raises(InvalidArgumentError, match="`max_rows` must be at least 2.*max_rows=1"):
        measure_privacy(real, real, holdout=real, max_rows=1)
