"""What every synthesizer keeps, of tables or of interactions, whatever it has learnt."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests import golden
from tests.synthesis import cases
from tests.synthesis.tables import digest, equal, shop_table
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis import Synthesizer
from tfrs_augment.synthesis.copula import GaussianCopula
from tfrs_augment.synthesis.distances import column_distances
from tfrs_augment.synthesis.independent import IndependentSampler
from tfrs_augment.synthesis.regression import RegressionSynthesizer

TABLE = shop_table()
CASES = [IndependentSampler(), GaussianCopula(), RegressionSynthesizer(knots=4)]


@pytest.fixture(scope="module", params=(*cases.EVERY, cases.SQUARES), ids=str)
def case(request):
    return request.param


@pytest.fixture(scope="module", params=(*cases.TABLES, cases.SQUARES), ids=str)
def of_table(request):
    return request.param.fitted


class TestContract:
    """What all keep, of tables and of interactions."""

    def test_rows_have_the_columns_dtypes_and_values_of_the_spec(self, case):
        fitted = case.fitted
        rows = fitted.sample(5_000, seed=1)
        assert tuple(rows) == fitted.spec.names
        for column in fitted.spec:
            values = rows[column.name]
            assert len(values) == 5_000 and values.dtype.kind == case.table[column.name].dtype.kind
            column.check(values)
            if column.decimals is not None and column.dtype == "float32":
                rounded = np.round(values.astype(np.float64), column.decimals)
                np.testing.assert_array_equal(values, rounded.astype(np.float32))
        if "country" in rows:
            assert (rows["country"] == b"DK").all() and np.isnan(rows["empty"]).all()

    def test_rows_depend_on_the_seed_and_the_block_alone(self, case):
        fitted = case.fitted
        rows = fitted.sample(5_000, seed=0)
        assert equal(rows, fitted.sample(5_000, seed=0))
        assert not equal(rows, fitted.sample(5_000, seed=1))
        blocks = fitted.blocks(5_000)
        assert [b.number for b in blocks] == list(range(len(blocks)))
        assert sum(b.rows for b in blocks) == 5_000
        copies = [type(b)(**json.loads(json.dumps(dataclasses.asdict(b)))) for b in blocks]
        for block in reversed(copies):
            part = slice(block.start, block.start + block.rows)
            expected = {name: values[part] for name, values in rows.items()}
            assert equal(fitted.sample_block(block, seed=0), expected)

    def test_rows_of_a_smaller_sample_are_among_those_of_a_larger_one(self, case):
        few, many = (
            collections.Counter(zip(*(map(repr, v.tolist()) for v in rows.values())))
            for rows in (case.fitted.sample(n, seed=0) for n in (700, 1_000))
        )
        assert few <= many

    def test_no_rows(self, case):
        rows = case.fitted.sample(0)
        assert {name: (len(v), v.dtype) for name, v in rows.items()} == {
            column.name: (0, column.numpy_dtype) for column in case.fitted.spec
        }

    def test_conditions_hold_in_every_row(self, case):
        conditions = {"age": (20, 35), "gender": ["F", b"X"], "rating": 4}
        rows = case.fitted.sample(300, conditions=conditions)
        assert len(rows["age"]) == 300
        assert ((rows["age"] >= 20) & (rows["age"] <= 35)).all()
        assert (rows["gender"] != b"M").all() and (rows["rating"] == 4).all()
        priced = case.fitted.sample(200, conditions={"price": (30, 40)})["price"]
        assert ((priced >= 30) & (priced <= 40)).all()

    def test_imputed_rows_keep_what_was_there(self, case):
        fitted = case.fitted
        rows = {name: case.table[name][:400].copy() for name in fitted.spec.names}
        rows["rating"][::2] = np.nan
        rows["gender"][1::2] = b""
        rows["age"] = rows["age"].astype(np.float64)
        if "timestamp" in rows:  # of which a float32 would lose the seconds
            rows["timestamp"] = np.where(np.arange(400) % 3, rows["timestamp"], np.nan)
        before = {name: values.copy() for name, values in rows.items()}
        filled = fitted.impute(rows, seed=3)
        assert all(digest({n: rows[n]}) == digest({n: before[n]}) for n in rows)
        for column in fitted.spec:
            was = ~column.missing_mask(before[column.name])
            got = filled[column.name]
            assert (got[was] == before[column.name][was]).all()
            assert column.name == "empty" or not column.missing_mask(got).any()
            column.check(got)
        assert equal(filled, fitted.impute(rows, seed=3))
        assert not equal(filled, fitted.impute(rows, seed=4))

    def test_a_loaded_synthesizer_gives_the_same_rows(self, case, tmp_path):
        fitted, path = case.fitted, tmp_path / "synthesizer.npz"
        fitted.save(path)
        loaded = Synthesizer.load(path)
        assert type(loaded) is type(fitted) and loaded.get_config() == fitted.get_config()
        assert loaded.loss_history == fitted.loss_history
        assert equal(loaded.sample(3_000, seed=5), fitted.sample(3_000, seed=5))
        rows = {"age": case.table["age"][:20]}
        assert equal(loaded.impute(rows), fitted.impute(rows))
        again = tmp_path / "again.npz"
        loaded.save(again)
        assert path.read_bytes() == again.read_bytes()
        with pytest.raises(
            InvalidArgumentError, match=f"must hold a Other. .* {type(fitted).__name__}"
        ):
            type("Other", (type(fitted),), {}).load(path)

    def test_a_fit_repeats_and_forgets_the_one_before(self, case):
        twin = type(case.fitted)(**json.loads(json.dumps(case.fitted.get_config())))
        small = {name: values[:300] for name, values in case.table.items()}
        rows = twin.fit(small).fit(case.table).sample(500)
        assert equal(rows, case.fitted.sample(500))


class TestTables:
    """What synthesizers of tables keep besides."""

    def test_each_column_has_the_distribution_of_the_data(self, of_table):
        distances = column_distances(TABLE, of_table.sample(8_000), of_table.spec)
        assert max(distances.values()) < 0.06, distances
        absent = np.isnan(of_table.sample(8_000)["price"]).mean()
        assert absent == pytest.approx(np.isnan(TABLE["price"]).mean(), abs=0.02)

    def test_a_larger_sample_begins_with_a_smaller_one(self, of_table):
        for conditions in (None, {"age": (20, 35), "gender": "F"}):
            many, few = (of_table.sample(n, conditions=conditions) for n in (5_000, 4_500))
            assert equal({k: v[:4_500] for k, v in many.items()}, few)
        blocks = of_table.blocks(5_000)
        assert [(b.number, b.start, b.rows) for b in blocks] == [(0, 0, 4096), (1, 4096, 904)]

    def test_bounds_and_vocabulary_of_the_schema(self, of_table):
        schema = Schema(
            {"gender": "bytes", "age": "float", "price": "float", "rating": "float"},
            {"gender": Domain(values=frozenset([b"F", b"M", b"X", b"Y"])), "age": Domain(0, 120)},
        )
        twin = type(of_table)(**{**of_table.get_config(), "columns": list(schema.kinds)})
        twin.fit({name: values[:500] for name, values in TABLE.items()}, schema=schema)
        assert twin.spec["age"].maximum == 120 and b"Y" not in twin.sample(3_000)["gender"]
        for conditions in ({"gender": "Y"}, {"age": (100, 120)}):
            # What is not met by construction is found out by trying.
            with pytest.raises(DataError, match="probability is zero|can't be met: 0 of"):
                twin.sample(1, conditions=conditions)
        with pytest.raises(InvalidArgumentError, match="must be in the vocabulary"):
            twin.sample(1, conditions={"gender": "Z"})
        filled = twin.impute({"age": np.float32([110, 20]), "gender": np.array([b"Y", b""])})
        assert filled["gender"][0] == b"Y" and filled["gender"][1] in (b"F", b"M", b"X")


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case).__name__)
def test_golden(case):
    """A file of the first version gives the rows that it gave then."""
    # Files, for a fit may differ in the last bits from one scikit-learn or BLAS to the next.
    path = pathlib.Path(golden.__file__).parent / f"{type(case).__name__}_v1.npz"
    rows = Synthesizer.load(path).sample(60, seed=11)
    golden.check("synthesis.json", f"{type(case).__name__} rows", digest(rows))
    wanted = {"genre": "War", "year": (1960, 1980)}
    rows = Synthesizer.load(path).sample(9, seed=11, conditions=wanted)
    golden.check("synthesis.json", f"{type(case).__name__} conditions", digest(rows))


class Stubborn(IndependentSampler):
    """Passes over conditions, so that they are met by rejection alone."""

    def _draw(self, rng, n, conditions):
        return super()._draw(rng, n, type(conditions)({}))


def test_rejection_has_a_bound_and_says_how_many_rows_fitted():
    sampler = Stubborn(max_tries=2).fit(TABLE)
    assert (sampler.sample(50, conditions={"gender": "F"})["gender"] == b"F").all()
    rare = {"age": (20, 20), "gender": "X", "rating": 1}
    with pytest.raises(DataError, match=r"can't be met: \d+ of 8192 sampled rows fit, and 60 are"):
        sampler.sample(60, conditions=rare)


def test_what_is_not_fitted_says_so(tmp_path):
    for use in (
        lambda s: s.sample(1),
        lambda s: s.blocks(1),
        lambda s: s.impute({}),
        lambda s: s.save(tmp_path / "x"),
    ):
        with pytest.raises(InvalidArgumentError, match="GaussianCopula must be fitted first"):
            use(GaussianCopula())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianCopula(columns="age"), "`columns` must be names"),
        (lambda: GaussianCopula(columns=["a", "a"]), "none twice"),
        (lambda: GaussianCopula(max_tries=0), "`max_tries` must be at least 1"),
        (lambda: RegressionSynthesizer(degree=3), "`degree` must be 1 or 2"),
        (lambda: RegressionSynthesizer(knots=-1), "`knots` must be an integer of 0 or more"),
        (lambda: RegressionSynthesizer(l2=0), "`l2` must be above 0"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()


def test_calls_that_break_a_rule():
    sampler = IndependentSampler().fit(TABLE)
    for call, message in (
        (lambda: sampler.sample(-1), "`n` must be an integer of 0 or more. .* n=-1"),
        (lambda: sampler.sample(1, seed=-1), "`seed` must be"),
        (lambda: sampler.sample(1, seed=0.5), "`seed` must be"),
        (lambda: sampler.impute({"age": [1.0]}, draws=0), "`draws` must be at least 1"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            call()
    with pytest.raises(UnknownFeatureError, match="Did you mean 'gender'"):
        sampler.sample(1, conditions={"gendr": "F"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case).__name__)
@pytest.mark.parametrize(
    "table",
    [
        {"a": np.array([b"x", b"y"])},
        {"a": np.int64([7, 7, 7]), "b": np.full(3, b"x")},
        {"a": np.full(4, np.nan, np.float32), "b": np.float32([1, 2, 3, np.nan])},
        {"a": np.float32([1, 2]), "b": np.array([b"", b"x"])},
        {"a": np.arange(50), "b": np.arange(50), "c": -np.arange(50)},
        {"a": np.float32([0.0] * 40 + [1.5, 2.5]), "b": np.array([b"x", b"y"] * 21)},
    ],
    ids=[
        "two rows",
        "constants",
        "nearly all missing",
        "two numbers",
        "one line",
        "nearly constant",
    ],
)
def test_odd_tables_are_learnt(case, table):
    fitted = type(case)().fit(table)
    rows = fitted.sample(200)
    for column in fitted.spec:
        column.check(rows[column.name])
        seen = ~column.missing_mask(table[column.name])
        if len(np.unique(table[column.name][seen])) == 1 and seen.all():
            assert (rows[column.name] == table[column.name][0]).all()
    fitted.impute({name: values[:2] for name, values in table.items()})


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path):
        IndependentSampler(columns=["age"]).fit(TABLE).save(tmp_path / "a")
        return tmp_path / "a"

    def test_a_file_holds_arrays_and_json(self, path):
        with np.load(path, allow_pickle=False) as archive:
            document = json.loads(bytes(archive["document.json"]))
            # Far fewer numbers than there are rows: no row can be read off.
            assert (
                sum(archive[name].size for name in archive.files if name != "document.json") < 400
            )
        assert document["class"] == "IndependentSampler" and document["format_version"] == 1

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"format_version": 2},
                "`format_version` must be from 1 to 1. Received: 2. .* upgrade",
            ),
            ({"format_version": None}, "`format_version`"),
            (
                {"class": "IndependentSamplr"},
                "'IndependentSamplr', which is not known. Did you mean",
            ),
        ],
    )
    def test_a_file_of_another_version_or_class(self, path, change, message):
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = {**json.loads(bytes(arrays["document.json"])), **change}
        arrays["document.json"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
        with open(path, "wb") as file:
            np.savez(file, **arrays)
        with pytest.raises(InvalidArgumentError, match=message) as error:
            Synthesizer.load(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize("content", [b"", b"no zip", None], ids=["empty", "text", "cut off"])
    def test_a_file_of_something_else(self, path, content):
        path.write_bytes(path.read_bytes()[:200] if content is None else content)
        with pytest.raises(InvalidArgumentError, match=f"'{path}' is no file of a synthesizer"):
            Synthesizer.load(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(InvalidArgumentError, match="absent' can't be read"):
            Synthesizer.load(tmp_path / "absent")

    def test_sampling_a_file_needs_no_scikit_learn(self, tmp_path):
        fitted = RegressionSynthesizer(columns=["age", "gender"]).fit(TABLE)
        fitted.save(tmp_path / "b")
        program = (
            "import sys\n"
            "from tests.synthesis.tables import digest\n"
            "from tfrs_augment.synthesis import Synthesizer\n"
            f"rows = Synthesizer.load({str(tmp_path / 'b')!r}).sample(5_000, seed=2)\n"
            "assert 'sklearn' not in sys.modules\n"
            "print(digest(rows))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[-1] == digest(fitted.sample(5_000, seed=2))
