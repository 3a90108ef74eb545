"""The job under a drift guard: what it compares, when it adapts, and what it leaves as it was."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment import cli
from tfrs_augment.beam import DriftGuard
from tfrs_augment.beam.adaptation import Start
from tfrs_augment.errors import DataError, InvalidArgumentError, OutputError, UnknownFeatureError

ROWS = 600
POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("movie_id", rate=0.3),
        aug.ops.CategorySwap("gender", rate=0.5),
        aug.ops.GaussianNoise("age", stddev=0.5, unit="stddev"),
    ],
    seed=3,
    key_features=("user_id", "movie_id", "timestamp"),
)
GUARDED = ["drift.json", "statistics.json"]


def records(*, drifted: bool = False, start: int = 0) -> list[bytes]:
    """Rows; the drifted ones are 30 years older, and half of their movies are new."""
    made = []
    for i in range(start, start + ROWS):
        row = rows.row(i)
        if drifted:
            row["age"] = [row["age"][0] + 30.0]
            row["movie_id"] = [b"new%d" % (i % 60)] if i % 2 else row["movie_id"]
        made.append(rows.example(**row))
    return made


def run(source, output, policy=POLICY, **arguments):
    return aug.beam.run(policy, input=str(source), output=str(output), progress=False, **arguments)


def read(folder: pathlib.Path, name: str = "drift.json") -> dict:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> pathlib.Path:
    """A folder with three days' files, and in `first` the result of a first guarded job on day 1."""
    folder = tmp_path_factory.mktemp("days")
    rows.write(folder / "1.tfrecord", records())
    rows.write(folder / "2.tfrecord", records(start=ROWS))
    rows.write(folder / "3.tfrecord", records(drifted=True))
    run(folder / "1.tfrecord", folder / "first", drift=DriftGuard())
    return folder


@pytest.fixture(scope="module")
def adapted(day) -> pathlib.Path:
    """The result of a job on day 3, which has drifted, with the first for a reference."""
    run(day / "3.tfrecord", day / "third", drift=DriftGuard(str(day / "first")))
    return day / "third"


def test_first_job_writes_statistics_and_the_rows_of_one_without_a_guard(day, tmp_path):
    run(day / "1.tfrecord", tmp_path / "plain")
    assert rows.counted(day / "first") == rows.counted(tmp_path / "plain")
    manifest, plain = (
        read(day / "first", "manifest.json"),
        read(tmp_path / "plain", "manifest.json"),
    )
    assert sorted({*manifest["files"]} - {*plain["files"]}) == GUARDED
    assert manifest["drift"] == read(day / "first") and plain["drift"] is None
    assert manifest["drift"]["columns"] == [] and not manifest["drift"]["adapted"]
    assert manifest["fingerprint"] == plain["fingerprint"]
    state = aug.ops.FittedState.load(day / "first" / "statistics.json")
    assert {(r.statistic, r.feature) for r in state.arrays} == {
        ("category_sketch", "movie_id"),
        ("category_sketch", "gender"),
        ("number_sketch", "age"),
    }
    assert aug.beam.verify(str(day / "first")).ok


def test_rows_without_drift_are_those_of_the_earlier_statistics(day, tmp_path):
    report = run(day / "2.tfrecord", tmp_path / "guarded", drift=DriftGuard(str(day / "first")))
    fitted = aug.ops.FittedState.load(day / "first" / "fitted.json")
    run(day / "2.tfrecord", tmp_path / "plain", POLICY.with_fitted(fitted))
    name = "augmented-00000-of-00001.tfrecord"
    assert (tmp_path / "guarded" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    drift = report.manifest["drift"]
    assert drift["drifted"] == [] and len(drift["columns"]) == 3
    assert all(column["distance"] < 0.1 for column in drift["columns"])
    assert "policy as before" in str(report)
    # A slow drift adds up: the reference stays that of the statistics in use.
    for name in ("statistics.json", "fitted.json"):
        assert (tmp_path / "guarded" / name).read_bytes() == (day / "first" / name).read_bytes()
    assert not (tmp_path / "guarded" / "adapted_policy.json").exists()


def test_same_rows_have_no_drift_by_a_file_too(day, tmp_path):
    guard = DriftGuard(str(day / "first" / "statistics.json"), threshold=1e-9)
    run(day / "1.tfrecord", tmp_path / "out", drift=guard)
    assert rows.counted(tmp_path / "out") == rows.counted(day / "first")
    assert [column["distance"] for column in read(tmp_path / "out")["columns"]] == [0, 0, 0]


def test_drifted_rows_are_fitted_anew(day, adapted, tmp_path):
    drift = read(adapted)
    assert drift["adapted"] and drift["drifted"] == ["age", "movie_id"]
    distances = {column["name"]: column["distance"] for column in drift["columns"]}
    # Ages of 10 to 59, and 30 years later.
    assert distances["age"] == pytest.approx(0.6, abs=0.01)
    assert distances["movie_id"] == pytest.approx(0.32, abs=0.01) and distances["gender"] < 0.01
    run(day / "3.tfrecord", tmp_path / "plain")
    assert rows.counted(adapted) == rows.counted(tmp_path / "plain")
    manifest = read(adapted, "manifest.json")
    assert manifest["fingerprint"] != read(day / "first", "manifest.json")["fingerprint"]
    marks = {v["aug/policy"][0] for v in map(rows.values, rows.read(adapted)) if "aug/policy" in v}
    assert marks == {manifest["fingerprint"].encode()}
    assert aug.beam.verify(str(adapted)).ok
    # These rows are the measure from now on.
    run(day / "3.tfrecord", tmp_path / "next", drift=DriftGuard(str(adapted)))
    assert not read(tmp_path / "next")["adapted"]


def test_given_statistics_give_way_to_those_of_drifted_rows(day, adapted, tmp_path):
    fitted = aug.ops.FittedState.load(day / "first" / "fitted.json")
    guard = DriftGuard(str(day / "first" / "statistics.json"))
    run(day / "3.tfrecord", tmp_path / "out", POLICY.with_fitted(fitted), drift=guard)
    assert rows.counted(tmp_path / "out") == rows.counted(adapted)


def test_given_statistics_stay_replaced_by_those_of_drifted_rows(day, adapted, tmp_path):
    monday = aug.ops.FittedState.load(day / "first" / "fitted.json")
    tuesday = aug.ops.FittedState.load(adapted / "fitted.json")
    given, before = POLICY.with_fitted(monday), day / "first"
    for name, source in (("2", "3"), ("3", "3"), ("4", "3")):
        run(day / f"{source}.tfrecord", tmp_path / name, given, drift=DriftGuard(str(before)))
        before = tmp_path / name
        assert read(before)["adapted"] == (name == "2")
        found = aug.ops.FittedState.load(before / "fitted.json")
        assert found.digest() == tuesday.digest() != monday.digest()
    assert rows.counted(tmp_path / "4") == rows.counted(adapted)
    guard = DriftGuard(str(tmp_path / "4"))
    counted = {
        r: {name: array + 1 if name == "counts" else array for name, array in arrays.items()}
        for r, arrays in monday.arrays.items()
    }
    others = aug.ops.FittedState(counted)
    # A seed is another beginning no more than no statistics are; other statistics are, or other ops.
    for policy, expected in (
        (dataclasses.replace(given, seed=99), tuesday),
        (POLICY, tuesday),
        (POLICY.with_fitted(others), others),
        (dataclasses.replace(given, ops=POLICY.ops[1:]), monday),
    ):
        start = Start.of(guard, policy)
        assert start.policy.seed == policy.seed
        assert start.policy.fingerprint == policy.with_fitted(expected).fingerprint


def test_given_statistics_stay_replaced_where_the_policy_was_changed_too(day, tmp_path):
    given = POLICY.with_fitted(aug.ops.FittedState.load(day / "first" / "fitted.json"))
    guard = DriftGuard(str(day / "first"), adapt=stronger)
    run(day / "3.tfrecord", tmp_path / "2", given, drift=guard)
    run(day / "3.tfrecord", tmp_path / "3", given, drift=DriftGuard(str(tmp_path / "2")))
    assert read(tmp_path / "3", "fitted.json") == read(tmp_path / "2", "fitted.json")
    two, three = (read(tmp_path / name, "manifest.json") for name in "23")
    assert three["fingerprint"] == two["fingerprint"] and not three["drift"]["adapted"]


def test_threshold_is_kept(day, tmp_path):
    guard = DriftGuard(str(day / "first"), threshold=0.7)
    run(day / "3.tfrecord", tmp_path / "out", drift=guard)
    assert not read(tmp_path / "out")["adapted"]


def test_small_input_does_not_alarm(day, tmp_path):
    rows.write(tmp_path / "few.tfrecord", records(drifted=True)[:4])
    run(tmp_path / "few.tfrecord", tmp_path / "out", drift=DriftGuard(str(day / "first")))
    assert not read(tmp_path / "out")["adapted"]


def test_input_without_a_usable_record_is_refused(day, tmp_path):
    rows.write(tmp_path / "bad.tfrecord", [rows.example(movie_id=[b"m"], age=[1.0], gender=[b"F"])])
    policy = dataclasses.replace(POLICY, ops=POLICY.ops[:1])
    # Keys are missing in all of it.
    schema = aug.beam.infer_schema(str(day / "1.tfrecord"))
    with pytest.raises(DataError, match="`input` holds no usable record"):
        run(
            tmp_path / "bad.tfrecord",
            tmp_path / "out",
            policy,
            schema=schema,
            drift=DriftGuard(str(day / "first")),
        )
    assert list((tmp_path / "out").iterdir()) == []


def stronger(policy, drifts, files):
    """Twice the dropout of ids where they have drifted most but for the age."""
    assert [drift.name for drift in drifts] == ["age", "movie_id", "gender"]
    assert len(aug.beam.inspect(list(files)).features) >= 5
    # It comes fitted on the incoming rows.
    assert not policy.missing_requirements()
    ops = [aug.ops.IdDropout("movie_id", rate=0.6), aug.ops.CategorySwap("gender", rate=0.1)]
    return dataclasses.replace(policy, ops=[*ops, aug.ops.IdDropout("user_id", rate=0.5)], seed=99)


def test_adapt_gives_the_policy(day, tmp_path):
    guard = DriftGuard(str(day / "first"), adapt=stronger)
    run(day / "3.tfrecord", tmp_path / "out", drift=guard)
    manifest = read(tmp_path / "out", "manifest.json")
    assert [op["rate"] for op in manifest["policy"]["ops"]] == [0.6, 0.1, 0.5]
    assert manifest["seed"] == POLICY.seed
    policy = aug.AugmentationPolicy.load(tmp_path / "out" / "adapted_policy.json")
    assert policy.get_config() == manifest["policy"]
    assert policy.with_fitted(None).fingerprint != POLICY.fingerprint
    # What is counted follows the policy.
    assert sorted(read(tmp_path / "out", "item_counts.json")) == ["movie_id", "user_id"]
    assert aug.beam.verify(str(tmp_path / "out")).ok
    # The next job goes on with it, though it is given the first policy, and does not adapt again.
    guard = DriftGuard(str(tmp_path / "out"), adapt="tests.beam.test_adaptation:refuse")
    run(day / "3.tfrecord", tmp_path / "next", drift=guard, seed=5)
    following = read(tmp_path / "next", "manifest.json")
    assert [op["rate"] for op in following["policy"]["ops"]] == [0.6, 0.1, 0.5]
    assert (following["seed"], following["drift"]["adapted"]) == (5, False)
    assert (tmp_path / "next" / "adapted_policy.json").exists()
    # Another policy given is another beginning.
    other = dataclasses.replace(POLICY, ops=[aug.ops.IdDropout("movie_id", rate=0.9)])
    run(day / "3.tfrecord", tmp_path / "other", other, drift=DriftGuard(str(tmp_path / "next")))
    assert len(read(tmp_path / "other", "manifest.json")["policy"]["ops"]) == 1


def refuse(policy, drifts, files):
    raise KeyError("no such trial")


@pytest.mark.parametrize(
    ("adapt", "message"),
    [
        (refuse, "`adapt` of `drift` raised KeyError: 'no such trial'"),
        (lambda *_: None, "`adapt` of `drift` must return an AugmentationPolicy. Received: None"),
        (lambda: None, "`adapt` of `drift` raised TypeError"),
        (
            lambda policy, *_: dataclasses.replace(policy, key_features=()),
            "returned a policy that the job does not take: `policy` must have key_features",
        ),
        (
            lambda policy, *_: dataclasses.replace(policy, ops=[aug.ops.IdDropout("film", rate=1)]),
            "returned a policy that the job does not take: .*names feature 'film'",
        ),
    ],
    ids=["raises", "none", "other arguments", "no keys", "unknown feature"],
)
def test_adapt_that_fails_leaves_nothing(day, tmp_path, adapt, message):
    with pytest.raises(InvalidArgumentError, match=message):
        run(
            day / "3.tfrecord",
            tmp_path / "out",
            drift=DriftGuard(str(day / "first"), adapt=adapt),
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_adapt_that_fails_keeps_the_result_before(day, adapted):
    before = {path.name: path.read_bytes() for path in adapted.iterdir()}
    with pytest.raises(InvalidArgumentError, match="KeyError"):
        run(
            day / "3.tfrecord",
            adapted,
            overwrite=True,
            drift=DriftGuard(str(day / "first"), adapt=refuse),
        )
    assert {path.name: path.read_bytes() for path in adapted.iterdir()} == before


@pytest.mark.parametrize("shards", [1, 5])
def test_other_files_in_another_order_are_judged_alike(day, adapted, tmp_path, shards):
    serialized = records(drifted=True)
    order = np.random.default_rng(1).permutation(ROWS)
    for number, part in enumerate(np.split(order, [17, 17, 400])):
        rows.write(tmp_path / "in" / f"{9 - number}.tfrecord", [serialized[i] for i in part])
    run(
        tmp_path / "in" / "*",
        tmp_path / "out",
        num_shards=shards,
        drift=DriftGuard(str(day / "first")),
    )
    assert rows.counted(tmp_path / "out") == rows.counted(adapted)
    for name in GUARDED:
        assert read(tmp_path / "out", name) == read(adapted, name)


@pytest.mark.slow
def test_two_worker_processes_judge_alike(day, adapted, tmp_path):
    run(
        day / "3.tfrecord",
        tmp_path / "out",
        num_shards=4,
        drift=DriftGuard(str(day / "first")),
        beam_args=["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
    )
    assert rows.counted(tmp_path / "out") == rows.counted(adapted)
    for name in GUARDED:
        assert read(tmp_path / "out", name) == read(adapted, name)


def test_columns_may_be_others_than_the_policys(day, tmp_path):
    guard = DriftGuard(columns=["timestamp", "untouched"])
    run(day / "1.tfrecord", tmp_path / "a", drift=guard)
    run(day / "2.tfrecord", tmp_path / "b", drift=DriftGuard(str(tmp_path / "a")))
    drift = read(tmp_path / "b")
    # Day 2 is later than day 1; half of the values of `untouched` are numbers of the rows.
    assert drift["columns"][0] == {
        "name": "timestamp",
        "kind": "number",
        "distance": 1.0,
        "excess": 1.0,
        "p_value": pytest.approx(0.0, abs=1e-100),
    }
    assert drift["drifted"] == ["timestamp", "untouched"]


def test_integer_ids_are_categories(tmp_path):
    serialized = [rows.example(item=[i % 50], user=[i]) for i in range(500)]
    moved = [rows.example(item=[(i % 50) ^ 64], user=[i]) for i in range(500)]
    rows.write(tmp_path / "a.tfrecord", serialized)
    rows.write(tmp_path / "b.tfrecord", moved)
    policy = aug.AugmentationPolicy([aug.ops.IdDropout("item", rate=0.1)], key_features=["user"])
    run(tmp_path / "a.tfrecord", tmp_path / "a", policy, drift=DriftGuard())
    run(tmp_path / "b.tfrecord", tmp_path / "b", policy, drift=DriftGuard(str(tmp_path / "a")))
    (column,) = read(tmp_path / "b")["columns"]
    assert (column["kind"], column["distance"]) == ("category", 1.0)
    # There is nothing to fit, so nothing is written of it.
    assert not (tmp_path / "b" / "fitted.json").exists()


def test_balance_follows_the_drifted_rows(day, tmp_path):
    arguments = {"balance": aug.beam.Balance("movie_id"), "copies": 2}
    run(day / "3.tfrecord", tmp_path / "plain", **arguments)
    fitted = aug.ops.FittedState.load(tmp_path / "plain" / "fitted.json")
    guard = DriftGuard(str(day / "first"))
    run(day / "3.tfrecord", tmp_path / "out", drift=guard, **arguments)
    assert rows.counted(tmp_path / "out") == rows.counted(tmp_path / "plain")
    assert aug.ops.FittedState.load(tmp_path / "out" / "fitted.json").digest() == fitted.digest()


def test_wrong_references_are_refused_before_anything_is_written(day, tmp_path):
    (tmp_path / "damaged.json").write_text('{"format_version": 1, "statis')
    (tmp_path / "empty").mkdir()
    document = read(day / "first", "statistics.json")
    for entry in document["statistics"]:
        del entry["arrays"]["missing"]
    (tmp_path / "part.json").write_text(json.dumps(document))
    for reference, message in (
        (tmp_path / "nowhere.json", "nowhere.json' cannot be read"),
        (
            tmp_path / "empty",
            r"'.*empty' has no statistics.json .* no reference writes it",
        ),
        (tmp_path / "damaged.json", "damaged.json' cannot be read"),
        (day / "first" / "fitted.json", "holds no statistics to compare with"),
        (day / "first" / "manifest.json", "holds no fitted state"),
        (tmp_path / "part.json", "is damaged: the category_sketch of 'gender' is not whole"),
    ):
        with pytest.raises(DataError, match=message):
            run(day / "1.tfrecord", tmp_path / "out", drift=DriftGuard(str(reference)))
    assert not (tmp_path / "out").exists()


def test_wrong_columns_are_refused_before_anything_is_written(day, tmp_path):
    for guard, error, message in (
        (DriftGuard(columns=["film"]), UnknownFeatureError, "`columns` of `drift` names feature"),
        (
            DriftGuard(str(day / "first"), columns=["genres"]),
            DataError,
            "has no statistics of 'genres'. It has those of age, gender, movie_id",
        ),
    ):
        with pytest.raises(error, match=message):
            run(day / "1.tfrecord", tmp_path / "out", drift=guard)
    without_age = [rows.example(**{**rows.row(i), "age": [b"old"]}) for i in range(50)]
    rows.write(tmp_path / "other.tfrecord", without_age)
    policy = dataclasses.replace(POLICY, ops=POLICY.ops[:2])
    with pytest.raises(DataError, match="'age' must be of one kind .* Received: bytes, and a num"):
        run(
            tmp_path / "other.tfrecord",
            tmp_path / "out",
            policy,
            drift=DriftGuard(str(day / "first")),
        )
    only_keys = aug.AugmentationPolicy([], key_features=POLICY.key_features)
    with pytest.raises(InvalidArgumentError, match="`columns` of `drift` must be named"):
        run(day / "1.tfrecord", tmp_path / "out", only_keys, drift=DriftGuard())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": 3}, "`reference` must be a path"),
        ({"threshold": 0}, r"`threshold` must be in \(0, 1\]"),
        ({"threshold": "0.1"}, r"`threshold` must be in \(0, 1\]"),
        ({"columns": "age"}, "`columns` must be a list of distinct feature names"),
        ({"columns": []}, "`columns` must be a list of distinct feature names"),
        ({"adapt": 3}, "`adapt` must be a function or its import path"),
        ({"adapt": "os"}, 'its import path "module:function". Received: adapt=.os.'),
        ({"adapt": "os:nothing"}, "`adapt` 'os:nothing' cannot be imported"),
        ({"adapt": "no_such_module:f"}, "No module named 'no_such_module'"),
        ({"adapt": "os:sep"}, "`adapt` must be a function"),
    ],
)
def test_wrong_guards_are_refused(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        DriftGuard(**arguments)


def test_a_module_of_adapt_with_an_error_in_it_is_told(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "crooked_adapt.py").write_text("def weaker(policy:\n")
    with pytest.raises(InvalidArgumentError, match=r"imported: .*\(crooked_adapt.py, line 1\)"):
        DriftGuard(adapt="crooked_adapt:weaker")


def test_wrong_arguments_of_the_job_are_refused(day, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"`drift` must be an aug.beam.DriftGuard"):
        run(day / "1.tfrecord", tmp_path / "out", drift="statistics.json")
    with pytest.raises(InvalidArgumentError, match="watches no drift"):
        run(day / "1.tfrecord", tmp_path / "out", None, drift=DriftGuard())


def test_result_without_a_guard_is_no_reference(day, tmp_path):
    run(day / "1.tfrecord", tmp_path / "plain")
    with pytest.raises(DataError, match="The reference '.*plain' has no statistics.json to comp"):
        run(day / "1.tfrecord", tmp_path / "out", drift=DriftGuard(str(tmp_path / "plain")))
    with pytest.raises(OutputError, match="holds a result"):
        run(day / "1.tfrecord", tmp_path / "plain", drift=DriftGuard())


def test_command(day, adapted, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    POLICY.save("policy.json")
    pathlib.Path("own_adapt.py").write_text(
        "import dataclasses\n"
        "def weaker(policy, drifts, files):\n"
        "    return dataclasses.replace(policy, ops=policy.ops[:1])\n"
    )
    given = ["run", "--policy", "policy.json", "--quiet", "--drift_threshold", "0.15"]
    assert cli.main([*given, "--input", str(day / "1.tfrecord"), "--output", "a"]) == 0
    assert "no reference for drift: statistics written" in capsys.readouterr().out
    third = ["--input", str(day / "3.tfrecord"), "--drift_reference", "a"]
    assert cli.main([*given, *third, "--output", "b"]) == 0
    assert "policy adapted to age, movie_id" in capsys.readouterr().out
    assert rows.counted(tmp_path / "b") == rows.counted(adapted)
    assert cli.main([*given, *third, "--output", "c", "--adapt", "own_adapt:weaker"]) == 0
    assert len(read(tmp_path / "c", "manifest.json")["policy"]["ops"]) == 1
    capsys.readouterr()
    for wrong, message in (
        (["--drift_reference", "a", "--drift_threshold", "2"], "`threshold` must be in (0, 1]"),
        (["--drift_reference", "none.json"], "none.json"),
        (["--drift_reference", "a", "--adapt", "own_adapt:nothing"], "own_adapt:nothing"),
        (["--adapt", "own_adapt:weaker"], "`--adapt` goes with"),
    ):
        command = ["run", "--policy", "policy.json", "--input", str(day / "1.tfrecord")]
        assert cli.main([*command, "--output", "d", *wrong]) in (1, 2)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not pathlib.Path("d").exists()
