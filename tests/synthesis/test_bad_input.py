"""What no synthesizer can use is named, and what is merely odd is learnt: the same list for all."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from tests.synthesis import cases
from tests.synthesis.tables import equal
from tfrs_augment import synthesis
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis import Synthesizer

ROWS = 60
FAST = {
    "TabularGAN": {"steps": 1, "validate_every": 1},
    "TabularVAE": {"steps": 1},
    "InteractionGAN": {"embedding_steps": 1, "steps": 1, "validate_every": 1},
}


@pytest.fixture(scope="module", params=cases.EVERY, ids=str)
def case(request):
    return request.param


def new(case, **options) -> Synthesizer:
    return case.new(**FAST.get(case.kind, {}), **options)


def sound(case) -> dict[str, np.ndarray]:
    """A few rows of whatever the case is fitted on."""
    names = ("user_id", "item_id", "age", "rating") if case.interactions else ("age", "rating")
    return {name: case.table[name][:ROWS] for name in names}


def odd(case):
    """A DataFrame with all that is odd and allowed, beside the sound rows."""
    pandas = pytest.importorskip("pandas", reason="the extra dev is not installed")
    places = np.arange(ROWS)
    columns = {
        "text": np.full(ROWS, "é日本🎉"),
        "number": np.full(ROWS, 0.1),
        "nothing": [None] * ROWS,
        "nan": np.full(ROWS, np.nan),
        "empty": np.full(ROWS, b""),
        "one": np.where(places == 0, 1.5, np.nan),
        "flag": places % 2 == 0,
        "unicode": np.array(["æ", "", "日本"] * (ROWS // 3)),
        "huge": 2**62 + places % 2,
        "half": places.astype(np.float16) / 3,
        "objects": np.array([1.5, None] * (ROWS // 2), object),
        "category": pandas.Categorical(["a", None] * (ROWS // 2), categories=["z", "a"]),
        "nullable": pandas.array([1, None] * (ROWS // 2), dtype="Int64"),
        "a/b": places,
    }
    return pandas.DataFrame({**sound(case), **columns}, index=places[::-1])


@pytest.fixture(scope="module")
def fitted(case):
    return new(case).fit(odd(case))


def test_odd_columns_are_learnt(case, fitted, tmp_path):
    rows = fitted.sample(50, seed=1)
    for column in fitted.spec:
        column.check(rows[column.name])
    assert set(rows["text"].tolist()) == {"é日本🎉".encode()}
    assert set(rows["number"].tolist()) == {np.float32(0.1)} and set(rows["empty"]) == {b""}
    assert np.isnan(rows["nothing"]).all() and np.isnan(rows["nan"]).all()
    assert set(rows["one"][~np.isnan(rows["one"])].tolist()) <= {1.5}
    assert set(rows["flag"].tolist()) <= {0, 1} and set(rows["huge"].tolist()) <= {2**62, 2**62 + 1}
    assert set(rows["unicode"].tolist()) <= {"æ".encode(), b"", "日本".encode()}
    assert set(rows["category"].tolist()) <= {b"a", b""}
    fitted.save(tmp_path / "odd")
    assert equal(Synthesizer.load(tmp_path / "odd").sample(50, seed=1), rows)
    filled = fitted.impute({**{n: v[:5] for n, v in rows.items()}, "half": np.full(5, np.nan)})
    assert not np.isnan(filled["half"]).any()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, float("inf")], "must hold finite float32 numbers.* 1 infinite"),
        ([[1], [2]], "one value a row"),
        (["a", 1], "one value a row. Received: objects of int, str"),
        (np.array(["2020-01-01", "2021-01-01"], "datetime64[D]"), "times become seconds"),
        ([2**63, 1], "must fit int64"),
        ([2**60 + 1, None], "would be rounded"),
        ([1, 2, 3], "must have one length"),
    ],
    ids=["infinite", "lists", "mixed", "times", "enormous", "integer and missing", "lengths"],
)
def test_a_column_that_cannot_be_held_is_named(case, column, message):
    table = {name: values[:2] for name, values in sound(case).items()}
    with pytest.raises(DataError, match=f"'x'.*{message}|{message}.*'x'"):
        new(case).fit({**table, "x": column})


def test_tables_of_too_little_are_refused(case):
    for rows in (0, 1):
        with pytest.raises(DataError, match=f"at least one column and 2 rows. .* {rows} rows"):
            new(case).fit({name: values[:rows] for name, values in sound(case).items()})
    with pytest.raises((DataError, UnknownFeatureError), match="at least one column|`user_id`"):
        new(case).fit({})
    with pytest.raises(UnknownFeatureError, match="`columns` names 'aeg'.* Did you mean 'age'"):
        new(case, columns=[*sound(case), "aeg"]).fit(sound(case))
    with pytest.raises(InvalidArgumentError, match="`data` must be .* Received: NoneType"):
        new(case).fit(None)
    assert new(case).spec is None


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Schema({"age": "bytes"}), "'age' must hold bytes. Received: an array of float32"),
        (Schema({"rating": "int64"}), "integers of 'rating' must not be missing, have decimals"),
        (
            Schema({"age": "float"}, {"age": Domain(0, 1)}),
            "'age' must be in the schema's domain. Received: .* that are not, among them",
        ),
        (
            Schema({"x": "bytes"}, {"x": Domain(values=frozenset([b"a"]))}),
            "'x' must be in the schema's domain. .* among them b'b'",
        ),
    ],
    ids=["kind", "integers", "bounds", "vocabulary"],
)
def test_a_schema_that_contradicts_the_data(case, schema, message):
    table = {**sound(case), "x": np.array([b"a", b"b"] * (ROWS // 2))}
    table["rating"] = table["rating"] + 0.5
    with pytest.raises(DataError, match=message):
        new(case).fit(table, schema=schema)


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({"rating": 99}, InvalidArgumentError, "'rating' must be in the vocabulary.* 99"),
        ({"age": (1e6, 2e6)}, InvalidArgumentError, "'age' must hold"),
        ({"half": float("inf")}, InvalidArgumentError, "'half' must be finite. Received: inf"),
        ({"half": float("nan")}, InvalidArgumentError, "'half' must not be NaN"),
        ({"a/b": 2**70}, InvalidArgumentError, "'a/b' must fit int64"),
        ({"a/b": 0.5}, InvalidArgumentError, "'a/b' must have at most 0 decimals"),
        ({"a/b": "1"}, InvalidArgumentError, "'a/b' must be a number. Received: '1'"),
        ({"unicode": ""}, InvalidArgumentError, "'unicode' must not be b\"\""),
        ({"unicode": "a"}, InvalidArgumentError, "'unicode' must be in the vocabulary.*'日本'"),
        ({"unicode": 1}, InvalidArgumentError, "'unicode' must be text or bytes"),
        ({"unicode": ("a", "b")}, InvalidArgumentError, "bytes have no ranges"),
        ({"unicode": "\udc80"}, InvalidArgumentError, "must be valid Unicode"),
        ({"unicode": "æ\0"}, InvalidArgumentError, "NUL"),
        ({"rating": []}, InvalidArgumentError, "must allow a value"),
        ({"aeg": 1}, UnknownFeatureError, "'aeg'. Did you mean 'age'"),
        ({3: 1}, UnknownFeatureError, "`conditions` name 3"),
        ([("age", 1)], InvalidArgumentError, "`conditions` must be a mapping"),
    ],
)
def test_conditions_that_break_a_rule(fitted, conditions, error, message):
    with pytest.raises(error, match=message):
        fitted.sample(1, conditions=conditions)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (None, InvalidArgumentError, "`rows` must be a mapping"),
        ({}, DataError, "`rows` must have columns"),
        ({"aeg": [1.0]}, UnknownFeatureError, "'aeg'. Did you mean 'age'"),
        ({"half": [1.0], "a/b": [1, 2]}, DataError, "of one length"),
        ({"half": [np.inf]}, DataError, "'half' must hold finite"),
        ({"half": [[1.0]]}, DataError, "'half' must hold .*one value a row"),
        ({"a/b": [0.5, np.nan]}, DataError, "integers of 'a/b' must not .*have decimals"),
        ({"a/b": ["x"]}, DataError, "'a/b' must hold int64"),
        ({"unicode": [1]}, DataError, "'unicode' must hold bytes"),
        ({"unicode": ["a"]}, DataError, "'unicode' must be among the 3 .* b'a'"),
        ({"rating": [99.0]}, DataError, "'rating' must be among"),
        ({"nan": [1.0]}, DataError, "'nan' must be among"),
    ],
)
def test_rows_that_cannot_be_imputed(fitted, rows, error, message):
    with pytest.raises(error, match=message):
        fitted.impute(rows)


def test_odd_rows_are_imputed(case, fitted):
    nothing = fitted.impute({"half": [], "unicode": []})
    assert {len(values) for values in nothing.values()} == {0}
    rows = {
        "unicode": [None, "æ"],
        "huge": [2**62 + 1, None],
        "flag": [True, None],
        "half": [7, 99],
    }
    filled = fitted.impute(rows)
    assert filled["unicode"][1] == "æ".encode() and filled["unicode"][0] != b""
    assert filled["huge"][0] == 2**62 + 1 and filled["half"].tolist() == [7, 99]
    for options, message in (({"draws": 0}, "`draws`"), ({"seed": -1}, "`seed`")):
        with pytest.raises(InvalidArgumentError, match=message):
            fitted.impute(rows, **options)


def test_rows_that_are_all_alike(case):
    table = {name: np.repeat(values[:1], ROWS) for name, values in sound(case).items()}
    if case.interactions:
        with pytest.raises(DataError, match="at least 2 items. Received: 1"):
            new(case).fit(table)
        return
    assert equal(new(case).fit(table).sample(ROWS), table)


def rewritten(path, change) -> bytes:
    """The file at `path`, its document and arrays changed."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    document = json.loads(bytes(arrays.pop("document.json")))
    change(document, arrays)
    arrays["document.json"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, a: d.update(format_version=2), "must be from 1 to 1. Received: 2. .*upgrade"),
        (lambda d, a: d["config"].update(newer=1), "not whole: .*newer"),
        (lambda d, a: d["config"].update(max_tries=0), "not whole: .*`max_tries`"),
        (lambda d, a: d.pop("state"), "not whole: KeyError.*state"),
        (lambda d, a: a.pop(min(n for n in a if n.startswith("state/"))), "not whole"),
        (lambda d, a: a.update(other=np.zeros(1)), "not whole: KeyError.*other"),
        (lambda d, a: d.update({"class": "ImageGAN"}), "Received: a ImageGAN. ImageGAN.load"),
        (lambda d, a: d.update({"class": "Gan"}), "'Gan', which is not known"),
    ],
    ids=["version", "argument", "value", "state", "array", "other", "images", "class"],
)
def test_a_file_that_something_is_wrong_with(fitted, tmp_path, change, message):
    path = tmp_path / "file"
    fitted.save(path)
    path.write_bytes(rewritten(path, change))
    with pytest.raises(InvalidArgumentError, match=message) as error:
        Synthesizer.load(path)
    assert str(path) in str(error.value)


def attempt(path) -> tuple[str, Synthesizer | None]:
    """The message that a file is refused with, or what is in it."""
    try:
        return "", Synthesizer.load(path)
    except InvalidArgumentError as error:
        return str(error), None


def test_a_file_of_which_bits_or_the_end_are_lost(case, fitted, tmp_path):
    path, rng = tmp_path / "file", np.random.default_rng(0)
    fitted.save(path)
    whole, rows = path.read_bytes(), fitted.sample(5)
    tries = 60 if case.kind == "IndependentSampler" else 6
    for place in rng.integers(0, len(whole), tries):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        for content in (whole[:place], bytes(flipped)):
            path.write_bytes(content)
            error, loaded = attempt(path)
            if loaded is None:
                assert str(path) in error
            else:  # a bit that nothing hangs on, such as one of the time of an entry
                assert len(content) == len(whole) and equal(loaded.sample(5), rows)
    with pytest.raises(InvalidArgumentError, match="can't be written: .*absent"):
        fitted.save(tmp_path / "absent" / "file")


@pytest.fixture(scope="module", params=cases.INTERACTIONS, ids=str)
def of_interactions(request):
    return new(request.param).fit(sound(request.param))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"user_id": ["nobody"]}, "'user_id' must be among .* b'nobody'"),
        ({"item_id": ["nothing"]}, "'item_id' must be among .* b'nothing'"),
        ({"user_id": [7]}, "'user_id' must hold bytes. Received: an array of int64"),
        ({"user_id": [None]}, "'user_id' must be among .* b''"),
        ({"user_id": [], "item_id": []}, "at least one interaction"),
    ],
    ids=["user", "item", "kind", "missing", "none"],
)
def test_ids_that_the_fit_did_not_meet(of_interactions, rows, message):
    users, items = of_interactions.user_ids()[:1], of_interactions.item_ids()[:1]
    with pytest.raises(DataError, match=message):
        synthesis.hard_negatives(of_interactions, {"user_id": users, "item_id": items, **rows})
    for name, ids in rows.items():
        if ids and ids != [None]:
            with pytest.raises(DataError, match=f"'{name}' must"):
                of_interactions.impute({name: ids})
            with pytest.raises(InvalidArgumentError, match=f"'{name}' must"):
                of_interactions.sample(1, conditions={name: ids})


def test_users_and_items_that_exclude_each_other(of_interactions):
    rows = of_interactions.sample(20)
    other = rows["age"][rows["age"] != rows["age"][0]][0]
    conditions = {"user_id": rows["user_id"][0], "age": other}
    with pytest.raises(DataError, match="'user_id', 'age' can't hold together: none of .* users"):
        of_interactions.sample(1, conditions=conditions)
    with pytest.raises(DataError, match="At most .* rows are possible.* Ask for fewer"):
        of_interactions.sample(10**12)
    for seed in (-1, 0.5):
        with pytest.raises(InvalidArgumentError, match="`seed` must be an integer"):
            of_interactions.sample(1, seed=seed)


def test_one_user_or_one_item():
    table = {"user_id": [b"a"] * 3, "item_id": [b"x", b"y", b"z"]}
    sampler = synthesis.PopularitySampler().fit(table)
    with pytest.raises(DataError, match="At most 0 rows are possible: 1 users and 3 items"):
        sampler.sample(1)
    again = synthesis.PopularitySampler(exclude_seen=False).fit(table)
    assert sorted(again.sample(3)["item_id"].tolist()) == [b"x", b"y", b"z"]
    for case in cases.INTERACTIONS:
        with pytest.raises(DataError, match="at least 2 items. Received: 1"):
            new(case).fit({"user_id": [b"a", b"b"], "item_id": [b"x", b"x"]})
        with pytest.raises(DataError, match="must have an id in 'item_id'"):
            new(case).fit({"user_id": [b"a", b"b"], "item_id": [b"x", None]})
        with pytest.raises(DataError, match="integers of 'user_id' .* pass them as text"):
            new(case).fit({"user_id": 2**62 + np.arange(90), "item_id": np.arange(90) % 9})


@pytest.mark.parametrize("case", [cases.TABLES[-1], cases.INTERACTIONS[1]], ids=str)
def test_a_training_that_diverges(case):
    synthesizer = new(case, learning_rate=1e30)
    with pytest.raises(InvalidArgumentError, match="must not diverge.* nan .*`learning_rate`"):
        synthesizer.fit({name: values[:300] for name, values in case.table.items()})
    assert synthesizer.spec is None


def test_hard_negatives_of_a_table_are_refused():
    sampler = synthesis.IndependentSampler().fit({"a": [1, 2]})
    with pytest.raises(InvalidArgumentError, match="`synthesizer` must be one of interactions"):
        synthesis.hard_negatives(sampler, {"a": [1]})
