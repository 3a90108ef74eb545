"""Fidelity: SDMetrics' scores, the two ends of every skill, and pairs of users and items."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

from tests.evaluation import sdmetrics_reference
from tfrs_augment.datasets import Ragged, movielens_100k, simulated_shop
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation import measure_fidelity, measure_interactions
from tfrs_augment.evaluation.synthetic import similarity
from tfrs_augment.evaluation.synthetic.coded_tables import code_tables, row_codes
from tfrs_augment.evaluation.synthetic.fidelity import Score

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "sdmetrics.json"


@pytest.fixture(scope="module")
def movielens(shared_data):
    return movielens_100k(shared_data / "ml-100k")


def part(data, start, stop, seed=0):
    """Rows of a random order of the whole, as a table without ids."""
    order = np.random.default_rng(seed).permutation(len(data))[start:stop]
    names = ("user_age", "user_gender", "user_occupation", "movie_year", "user_rating")
    table = {name: data.rows[name][order] for name in names}
    return table | {"hour": data.rows["timestamp"][order] // 3600 % 24}


def shuffled(table, seed=0):
    """The columns, each in an order of its own."""
    rng = np.random.default_rng(seed)
    return {name: rng.permutation(column) for name, column in table.items()}


def check_scores(expected):
    real, other = sdmetrics_reference.tables()
    found = measure_fidelity(real, other, holdout=other)
    # The rows of the hold-out are those of `other`, and as many are measured as it has.
    for name, score in expected.items():
        if name.startswith("V of "):
            coded = code_tables({"real": real}).tables["real"]
            codes = [
                similarity.binned(coded[n], similarity.bin_edges(coded[n]))
                if n in sdmetrics_reference.NUMBERS
                else coded[n]
                for n in name.removeprefix("V of ").split(", ")
            ]
            assert similarity.cramers_v(*codes) == pytest.approx(score, abs=1e-9), name
        else:
            pair = tuple(name.split(", "))
            mine = found.pairs[pair] if len(pair) == 2 else found.columns[name]
            # SDMetrics adds 1e-6 for a category that the real column lacks.
            assert mine.value == mine.ceiling == pytest.approx(score, abs=2e-6), name


def test_scores_are_those_that_sdmetrics_gave():
    check_scores(json.loads(GOLDEN.read_text()))


def test_scores_are_those_of_the_installed_sdmetrics():
    pytest.importorskip("sdmetrics", reason="it needs the Business Source licensed copulas")
    check_scores(sdmetrics_reference.scores())


def test_independent_columns_have_skill_0_and_other_real_rows_1(movielens):
    real, holdout = part(movielens, 0, 6000), part(movielens, 6000, 12_000)
    floor = measure_fidelity(real, shuffled(real), holdout=holdout)
    ceiling = measure_fidelity(real, part(movielens, 12_000, 18_000), holdout=holdout)
    for name in ("quality", "pairs", "all_pairs"):
        assert abs(floor.scores[name].skill) < 0.1, name
        assert abs(ceiling.scores[name].skill - 1) < 0.1, name
    # Shapes of independent columns are as good as real ones: no skill can be told.
    assert math.isnan(floor.scores["shapes"].skill)
    assert ("user_gender", "user_occupation") in floor.associated
    assert floor.scores["distinct"].value > floor.scores["distinct"].ceiling


def test_a_lost_category_and_a_repeated_row_show(movielens):
    real, holdout = part(movielens, 0, 3000), part(movielens, 6000, 9000)
    women = real["user_gender"] == b"F"
    one = {name: np.repeat(column[women][:1], 3000) for name, column in real.items()}
    found = measure_fidelity(real, one, holdout=holdout)
    assert found.scores["coverage"].value < 0.3 < 0.9 < found.scores["coverage"].floor
    assert found.scores["distinct"].value == 1 / 3000
    assert found.columns["user_gender"].value == pytest.approx(women.mean())


def test_a_constant_synthetic_column_is_not_spared():
    x = np.arange(2000)
    real = {"x": x.astype(np.float32), "y": (2 * x).astype(np.float32)}
    constant = {"x": real["x"], "y": np.full(2000, 7, np.float32)}
    found = measure_fidelity(real, constant, holdout=real)
    assert found.pairs["x", "y"].value == pytest.approx(0.5)
    assert abs(found.scores["pairs"].skill) < 0.05


@pytest.mark.parametrize("numeric", [False, True], ids=["auc", "rmse"])
def test_training_on_rows_tells_whether_the_target_follows_from_them(numeric):
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)

    def rows(n):
        x = rng.normal(size=n).astype(np.float32)
        y = x + rng.normal(size=n).astype(np.float32) / 2
        kind = np.array([b"low", b"mid", b"high"])[np.digitize(y, [-0.5, 0.5])]
        return {"x": x, "noise": rng.normal(size=n).astype(np.float32), "y": y} | {"kind": kind}

    columns = ["x", "noise", "y" if numeric else "kind"]
    options = {"target": "y"} if numeric else {"target": "kind", "positive": ["high", b"mid"]}
    real, good, holdout = rows(1500), rows(1500), rows(1500)
    best = measure_fidelity(real, good, holdout=holdout, columns=columns, **options)
    worst = measure_fidelity(real, shuffled(real), holdout=holdout, columns=columns, **options)
    assert best.target == ("RMSE of y" if numeric else "AUC of kind")
    assert best.scores["transfer"].skill == pytest.approx(1, abs=0.1)
    assert abs(worst.scores["transfer"].skill) < 0.4
    assert f"transfer ({best.target})" in best.table()


def test_the_result_is_the_same_for_the_same_seed_and_is_json(movielens):
    real, holdout = part(movielens, 0, 400), part(movielens, 400, 700)
    found = [measure_fidelity(real, holdout, holdout=holdout, seed=3).to_dict() for _ in range(2)]
    assert json.loads(json.dumps(found[0], allow_nan=False)) == found[1]
    assert found[0]["rows"] == 300


def test_a_data_frame_reads_as_its_columns():
    pandas = pytest.importorskip("pandas")
    real, other = sdmetrics_reference.tables()
    frame = pandas.DataFrame(
        {k: v.astype(str) if v.dtype.kind == "S" else v for k, v in other.items()}
    )
    assert measure_fidelity(real, frame, holdout=frame) == measure_fidelity(
        real, other, holdout=other
    )


def test_equal_rows_have_equal_codes_in_all_tables():
    tables = {"a": {"x": np.float32([1, 2, 1]), "y": np.array([b"u", b"u", b"u"])}}
    tables["b"] = {"x": np.float32([2, 3]), "y": np.array([b"u", b"u"])}
    codes = row_codes(code_tables(tables))
    assert codes["a"][0] == codes["a"][2] != codes["a"][1] == codes["b"][0] != codes["b"][1]


def test_a_skill_over_nothing_is_not_told():
    assert math.isnan(Score(0.9, floor=0.95, ceiling=0.951).skill)
    assert math.isnan(Score(0.9, floor=0.95, ceiling=0.8).skill)
    assert Score(3.0, floor=4.0, ceiling=2.0, lower_is_better=True).skill == pytest.approx(0.5)
    assert Score(0.9, floor=0.8, ceiling=1.0).skill == pytest.approx(0.5)


def test_bad_tables_are_refused(movielens):
    real = part(movielens, 0, 50)
    with pytest.raises(UnknownFeatureError, match="user_age"):
        measure_fidelity(real, {"user_agee": real["user_age"]}, holdout=real)
    with pytest.raises(DataError, match="of one kind in all tables. Received: 'user_age'"):
        measure_fidelity(real, real | {"user_age": real["user_gender"]}, holdout=real)
    with pytest.raises(DataError, match="at least 2 rows. Received: 1"):
        measure_fidelity(real, {name: column[:1] for name, column in real.items()}, holdout=real)
    with pytest.raises(UnknownFeatureError, match="`target`.*'rating'.*user_rating"):
        measure_fidelity(real, real, holdout=real, target="rating")
    with pytest.raises(InvalidArgumentError, match="`positive` must name the values"):
        measure_fidelity(real, real, holdout=real, target="user_occupation")
    with pytest.raises(InvalidArgumentError, match="`positive` must name values.*'Writer'"):
        measure_fidelity(real, real, holdout=real, target="user_occupation", positive=["Writer"])
    tags = Ragged.from_lists([[b"a"]] * 50, dtype="S")
    found = measure_fidelity(real | {"tags": tags}, real, holdout=real)
    assert list(found.columns) == list(real)


class TestInteractions:
    """Pairs of users and items of the small shop."""

    def test_random_pairs_have_lift_1_and_held_out_ones_much_more(self, shop):
        half = np.arange(len(shop)) % 2 == 0
        train, heldout = shop.take(half), shop.take(~half)
        rng = np.random.default_rng(0)
        draw = lambda table, name: table[name][rng.integers(len(table[name]), size=1000)]  # noqa: E731
        random = {n: draw(t, n) for n, t in (("user_id", shop.users), ("item_id", shop.items))}
        found = measure_interactions(train, random, heldout)
        low, high = found.intervals["lift"]
        assert low < 1 < high and high - low < 0.8
        assert found.values["item_coverage"] == 1
        pairs = set(zip(train.rows["user_id"].tolist(), train.rows["item_id"].tolist()))
        seen = [p in pairs for p in zip(random["user_id"].tolist(), random["item_id"].tolist())]
        assert found.values["seen"] == pytest.approx(np.mean(seen))
        made = set(zip(random["user_id"].tolist(), random["item_id"].tolist()))
        assert found.unseen == len(made - pairs)

        exact = measure_interactions(train, heldout, heldout)
        assert exact.hits == exact.unseen > 0
        assert exact.values["lift"] > 2 * exact.values["popularity_lift"] > 2
        assert exact.values["popularity_spearman"] > 0.9

    def test_popularity_has_the_lift_that_is_told_of_it(self):
        shop = simulated_shop("tiny")
        half = np.arange(len(shop)) % 2 == 0
        train, heldout = shop.take(half), shop.take(~half)
        rng = np.random.default_rng(1)
        rows = rng.integers(len(train), size=(2, 2000))
        drawn = {
            "user_id": train.rows["user_id"][rows[0]],
            "item_id": train.rows["item_id"][rows[1]],
        }
        found = measure_interactions(train, drawn, heldout)
        low, high = found.intervals["lift_over_popularity"]
        assert low < 1 < high and high - low < 0.6
        assert found.values["popularity_lift"] > 1.2
        pairs = set(zip(drawn["user_id"].tolist(), drawn["item_id"].tolist()))
        assert found.values["distinct"] == len(pairs) / 2000

    def test_pairs_of_training_have_no_lift(self, shop):
        found = measure_interactions(shop, shop, shop)
        assert found.values["seen"] == 1 and found.unseen == 0
        assert math.isnan(found.values["lift"])
        assert "lift" in found.table()
        json.dumps(found.to_dict(), allow_nan=False)

    def test_bad_rows_are_refused(self, shop):
        with pytest.raises(UnknownFeatureError, match="item_id"):
            measure_interactions(shop, {"user_id": shop.rows["user_id"]}, shop)
        ids = {"user_id": np.array([b"u00"]), "item_id": np.array([b"nothing"])}
        with pytest.raises(DataError, match="items of `real`.*b'nothing'"):
            measure_interactions(shop, ids, shop)
        with pytest.raises(DataError, match="must have rows"):
            measure_interactions(shop, shop.take(np.array([], int)), shop)
