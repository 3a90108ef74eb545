"""Synthesized rows in the job: those of `sample`, whoever makes them; marked, counted and verified."""

from __future__ import annotations

import collections
import json
import pathlib
import shutil

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.test_bad_input import FITTED
from tests.beam.test_verification import differences, rewrite, with_feature
from tfrs_augment.beam import conditions, synthetic, units
from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    OutputError,
    UnknownFeatureError,
)
from tfrs_augment.synthesis import GaussianCopula, PopularitySampler, Synthesizer

N = 700
COLUMNS = ("user_id", "movie_id", "timestamp", "gender", "age")


def table(count: int = rows.ROWS) -> dict[str, np.ndarray]:
    source = [rows.row(i) for i in range(count)]
    return {name: np.array([row[name][0] for row in source]) for name in COLUMNS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A source file, and a synthesizer of interactions with more users than a block has."""
    folder = tmp_path_factory.mktemp("synthetic")
    source = table()
    rows.write(folder / "in.tfrecord", rows.records())
    source["user_id"] = np.array([b"v%d" % (i % 650) for i in range(rows.ROWS)])
    fitted = PopularitySampler(item_id="movie_id", exclude_seen=False, seed=5).fit(source)
    fitted.save(folder / "synthesizer.npz")
    return folder


def run(folder, output: pathlib.Path, policy=FITTED, **arguments):
    arguments = {"num_synthetic": N, "synthesizer": folder / "synthesizer.npz", **arguments}
    return aug.beam.run(
        policy,
        input=str(folder / "in.tfrecord"),
        output=str(output),
        progress=False,
        **arguments,
    )


def synthesized(output: pathlib.Path) -> list[dict]:
    """The synthesized rows of a result, as they lie in its shards."""
    return [row for row in map(rows.values, rows.read(output)) if "aug/synthesizer" in row]


def assert_is_sample(found: list[dict], expected: dict[str, np.ndarray]) -> None:
    """The rows are those of a sample, in its order, and so are their places."""
    assert [row["aug/draw"] for row in found] == [[i] for i in range(len(found))]
    assert len(found) == len(next(iter(expected.values())))
    for name, values in expected.items():
        kept = [[] if value == b"" or value != value else [value] for value in values.tolist()]
        assert [row.get(name, []) for row in found] == kept, name


@pytest.fixture(scope="module")
def done(folder) -> pathlib.Path:
    run(folder, folder / "out")
    return folder / "out"


def test_the_rows_are_those_of_sample_in_its_order(folder, done):
    synthesizer = Synthesizer.load(folder / "synthesizer.npz")
    assert len(synthesizer.blocks(N)) == 3
    found = synthesized(done)
    assert_is_sample(found, synthesizer.sample(N, seed=FITTED.seed))
    print = synthetic.fingerprint(str(folder / "synthesizer.npz")).encode()
    for row in found:
        assert row["aug/synthesizer"] == [print] and row["sample_weight"] == [1.0]
        assert not {"aug/policy", "aug/parent_key", "genres", "untouched"} & set(row)


def test_the_other_rows_are_those_without_a_synthesizer(folder, done, tmp_path):
    run(folder, tmp_path / "out", synthesizer=None, num_synthetic=None)
    others = collections.Counter(r for r in rows.read(done) if b"aug/synthesizer" not in r)
    assert others == rows.counted(tmp_path / "out")


@pytest.mark.parametrize("shards", [2, 5])
def test_the_same_rows_in_other_numbers_of_shards(folder, done, tmp_path, shards):
    report = run(folder, tmp_path / "out", num_shards=shards)
    assert synthesized(tmp_path / "out") == synthesized(done)
    assert rows.counted(tmp_path / "out") == rows.counted(done)
    made = [shard["synthesized"] for shard in report.manifest["shards"]]
    assert sum(made) == N and sum(count > 0 for count in made) > 1


@pytest.mark.slow
def test_the_same_rows_with_two_worker_processes(folder, done, tmp_path):
    beam_args = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    run(folder, tmp_path / "out", num_shards=4, beam_args=beam_args)
    assert rows.counted(tmp_path / "out") == rows.counted(done)


def test_a_unit_that_is_done_again_writes_the_same(folder, tmp_path):
    synthesizer = Synthesizer.load(folder / "synthesizer.npz")
    synthesis = synthetic.Synthesis.of(synthesizer, N, seed=3).staged(synthesizer, str(tmp_path))
    job = units.Job(
        policy=aug.AugmentationPolicy([]),
        kinds={"movie_id": "bytes"},
        output=str(tmp_path),
        staging=str(tmp_path),
        copies=0,
        include_originals=True,
        compression="gzip",
        item_features=("movie_id",),
        provenance=True,
        balance=None,
        units=1,
        started=0.0,
        synthesis=synthesis,
    )
    unit = units.Unit(0, (), blocks=tuple(synthesizer.blocks(N)))
    reports = []
    for _ in range(2):
        worker = units.AugmentUnit(job)
        worker.setup()
        ((_, report),) = worker.process((0, [unit]))
        reports.append(report)
    first, second = (pathlib.Path(report["path"]).read_bytes() for report in reports)
    assert first == second and reports[0]["path"] != reports[1]["path"]
    assert reports[0]["counts"]["synthesized"] == N
    assert sum(reports[0]["items"]["movie_id"].values()) == N


def test_counts_manifest_and_report(folder, done):
    manifest = json.loads((done / "manifest.json").read_text())
    assert manifest["counts"] == {
        "read": rows.ROWS,
        "rejected": 0,
        "kept": rows.ROWS,
        "made": rows.ROWS,
        "synthesized": N,
        "slow_path": 0,
    }
    assert manifest["synthesis"] == {
        "class": "PopularitySampler",
        "fingerprint": synthetic.fingerprint(str(folder / "synthesizer.npz")),
        "columns": list(COLUMNS),
        "lacking": ["genres", "untouched"],
        "rows": N,
        "seed": FITTED.seed,
        "conditions": None,
        "weight": 1.0,
    }
    assert "synthesizer.npz" not in [path.name for path in done.iterdir()]
    text = str(aug.beam.JobReport(str(done), manifest))
    assert "3,000 made, 700 synthesized, 0 rejected" in text
    assert text.endswith("synthesized rows do not have: genres, untouched")


def test_item_counts_hold_synthesized_rows(done):
    counts = json.loads((done / "item_counts.json").read_text())["movie_id"]
    ids = [rows.values(record)["movie_id"][0].decode() for record in rows.read(done)]
    assert counts == dict(collections.Counter(ids))


def test_without_a_policy(folder, done, tmp_path):
    report = run(folder, tmp_path / "out", policy=None, seed=FITTED.seed)
    assert (report.counts["kept"], report.counts["made"]) == (rows.ROWS, 0)
    assert synthesized(tmp_path / "out") == synthesized(done)
    assert list(json.loads((tmp_path / "out/item_counts.json").read_text())) == ["movie_id"]
    assert aug.beam.verify(str(tmp_path / "out")).differences == ()
    report = run(
        folder, tmp_path / "alone", policy=None, include_originals=False, num_synthetic=5, seed=0
    )
    assert sum(rows.counted(tmp_path / "alone").values()) == 5 == report.counts["synthesized"]
    assert aug.beam.verify(str(tmp_path / "alone")).differences == ()
    bare = {"provenance": False, "item_features": (), "num_synthetic": 5}
    run(folder, tmp_path / "bare", policy=None, include_originals=False, **bare)
    assert all(set(row) == set(COLUMNS) for row in map(rows.values, rows.read(tmp_path / "bare")))
    assert aug.beam.verify(str(tmp_path / "bare")).differences == ()


def test_conditions_weight_and_seed(folder, tmp_path):
    wanted = {"gender": "F", "age": (20, 30)}
    arguments = {"conditions": wanted, "synthetic_weight": 0.25, "seed": 0}
    report = run(folder, tmp_path / "out", policy=None, **arguments)
    found = synthesized(tmp_path / "out")
    synthesizer = Synthesizer.load(folder / "synthesizer.npz")
    assert_is_sample(found, synthesizer.sample(N, conditions=wanted, seed=0))
    assert all(row["sample_weight"] == [0.25] for row in found)
    config = report.manifest["synthesis"]
    assert config["conditions"] == {"gender": "F", "age": {"low": 20, "high": 30}}
    assert conditions.conditions_from_json(json.dumps(config["conditions"])) == wanted


def test_a_flat_table_with_missing_cells_and_weights(tmp_path):
    """A fitted object as well as a file; NaN and b"" are left out; weights are multiplied."""
    rng = np.random.default_rng(0)
    source = {
        "age": np.where(rng.random(500) < 0.3, np.nan, rng.normal(40, 9, 500)).astype(np.float32),
        "gender": rng.choice([b"F", b"M", b""], 500),
        "sample_weight": rng.choice([0.5, 2.0], 500).astype(np.float32),
    }
    synthesizer = GaussianCopula().fit(source)
    weighted = [rows.example(**rows.row(i), sample_weight=[2.0]) for i in range(50)]
    rows.write(tmp_path / "in.tfrecord", weighted)
    arguments = {"synthesizer": synthesizer, "num_synthetic": 5000, "synthetic_weight": 0.5}
    run(tmp_path, tmp_path / "out", policy=None, num_shards=2, **arguments)
    expected = synthesizer.sample(5000, seed=0)
    assert np.isnan(expected["age"]).mean() > 0.2 and (expected["gender"] == b"").mean() > 0.2
    expected["sample_weight"] = expected["sample_weight"] * np.float32(0.5)
    assert_is_sample(synthesized(tmp_path / "out"), expected)
    assert aug.beam.verify(str(tmp_path / "out")).differences == ()


def test_the_file_may_go_while_the_job_runs(folder, tmp_path, monkeypatch, done):
    """Workers load a copy beside what they write."""
    shutil.copy(folder / "synthesizer.npz", tmp_path)
    shutil.copy(folder / "in.tfrecord", tmp_path)
    original = units.AugmentUnit.setup

    def setup(self):
        (tmp_path / "synthesizer.npz").unlink(missing_ok=True)
        original(self)

    monkeypatch.setattr(units.AugmentUnit, "setup", setup)
    run(tmp_path, tmp_path / "out")
    assert rows.counted(tmp_path / "out") == rows.counted(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_synthetic": 0}, "`num_synthetic` must be an integer of at least 1"),
        ({"num_synthetic": -5}, "`num_synthetic` must be"),
        ({"num_synthetic": 2.5}, "`num_synthetic` must be"),
        ({"num_synthetic": None}, "`num_synthetic` must be"),
        ({"synthesizer": None}, "go with a `synthesizer`"),
        ({"synthesizer": 3}, "`synthesizer` must be a fitted Synthesizer"),
        ({"synthesizer": GaussianCopula()}, "must be fitted first"),
        ({"synthetic_weight": -1.0}, "`synthetic_weight` must be"),
        ({"synthetic_weight": float("nan")}, "`synthetic_weight` must be"),
        ({"synthetic_weight": 0.5, "provenance": False}, "needs provenance on"),
        ({"conditions": {"gender": "X"}}, "must be in the vocabulary"),
        ({"payload": "sequence_example"}, "`synthesizer` takes payload 'example'"),
        ({"policy": None, "copies": 2}, "Without a `policy` a job makes no copies"),
        ({"policy": None, "synthesizer": None}, "Without a `policy`"),
        ({"policy": None, "balance": aug.beam.Balance("gender")}, "Without a `policy`"),
        ({"synthesizer": "absent.npz"}, "'absent.npz' can't be read"),
    ],
)
def test_bad_arguments(folder, tmp_path, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        run(folder, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_more_rows_than_there_can_be(folder, tmp_path):
    with pytest.raises(DataError, match="At most .* rows are possible"):
        run(folder, tmp_path / "out", num_synthetic=10_000_000)
    assert not (tmp_path / "out").exists()


def test_files_that_are_damaged_or_of_another_version(folder, tmp_path):
    content = (folder / "synthesizer.npz").read_bytes()
    damaged = tmp_path / "damaged.npz"
    for broken in (content[: len(content) // 2], b"no archive", b""):
        damaged.write_bytes(broken)
        with pytest.raises(InvalidArgumentError, match="is no file of a synthesizer, or not whole"):
            run(folder, tmp_path / "out", synthesizer=damaged)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    damaged.write_bytes(bytes(flipped))
    with pytest.raises(InvalidArgumentError, match="is no file of a synthesizer, or not whole"):
        run(folder, tmp_path / "out", synthesizer=damaged)
    with np.load(folder / "synthesizer.npz") as archive:
        arrays = dict(archive)
    document = json.loads(bytes(arrays["document.json"]))
    document["format_version"] = 99
    arrays["document.json"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    np.savez(damaged, **arrays)
    with pytest.raises(InvalidArgumentError, match="`format_version` must be from 1 to"):
        run(folder, tmp_path / "out", synthesizer=str(damaged))
    assert not (tmp_path / "out").exists()


def test_columns_that_are_not_those_of_the_records(folder, tmp_path):
    rng = np.random.default_rng(0)
    other = {"agee": rng.random(90, np.float32), "gender": rng.integers(0, 2, 90)}
    message = (
        "'agee' is in no record. Did you mean 'age'.*'gender' is int64 and in the records bytes"
    )
    with pytest.raises(UnknownFeatureError, match=message):
        run(folder, tmp_path / "out", synthesizer=GaussianCopula().fit(other))
    other = {"age": rng.integers(0, 99, 90), "gender": rng.choice([b"F", b"M"], 90)}
    with pytest.raises(DataError, match="'age' is int64 and in the records float"):
        run(folder, tmp_path / "out", synthesizer=GaussianCopula().fit(other))
    other = {"aug/draw": rng.integers(0, 2, 90), "gender": rng.choice([b"F", b"M"], 90)}
    with pytest.raises(DataError, match="must not be what the job adds itself"):
        run(folder, tmp_path / "out", synthesizer=GaussianCopula().fit(other))
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_there(folder, done):
    before = {path.name: path.read_bytes() for path in done.iterdir()}
    with pytest.raises(OutputError, match="holds a result.*--overwrite"):
        run(folder, done)
    assert {path.name: path.read_bytes() for path in done.iterdir()} == before


def test_an_error_in_a_worker_is_told_as_it_was_raised(folder, tmp_path):
    """A rare pair of values: the conditions are fine, and too few rows meet them."""
    rng = np.random.default_rng(0)
    age = rng.choice(50, 400).astype(np.float32)
    gender = np.where(age > 0, b"F", b"M")
    fitted = aug.synthesis.RegressionSynthesizer(max_tries=1).fit({"age": age, "gender": gender})
    wanted = {"age": (40, 41), "gender": "M"}
    with pytest.raises(DataError, match="The conditions can't be met"):
        run(folder, tmp_path / "out", policy=None, synthesizer=fitted, conditions=wanted)
    assert list((tmp_path / "out").iterdir()) == []


def test_verify_recounts_synthesized_rows(done, tmp_path):
    assert aug.beam.verify(str(done)).differences == ()
    output = shutil.copytree(done, tmp_path / "lost")
    rewrite(output, lambda kept: kept[:-1])
    found = differences(output)
    assert "records: 6,699 found, the manifest says 6,700" in found
    assert "synthesized records by aug/synthesizer: 699 found, the manifest says 700" in found
    output = shutil.copytree(done, tmp_path / "twice")
    rewrite(output, lambda kept: [*kept[:-1], kept[-2]])
    assert "aug/draw: the places of synthesized records are not 0 to 699" in differences(output)
    output = shutil.copytree(done, tmp_path / "other")
    mark = rows.feature([b"another"])
    rewrite(output, lambda kept: [*kept[:-1], with_feature(kept[-1], "aug/synthesizer", mark)])
    assert "original records by aug/policy: 3,001 found" in differences(output)


def test_spread_keeps_order_and_evens_out():
    blocks = GaussianCopula().fit({"a": np.arange(99.0), "b": np.arange(99.0)}).blocks(100_000)
    for count in (1, 3, 7, 40):
        shares = synthetic.spread(blocks, count)
        assert len(shares) == count and [b for share in shares for b in share] == blocks
        if count < len(blocks):
            sizes = [sum(block.rows for block in share) for share in shares]
            assert max(sizes) - min(sizes) <= 2 * 4096
    assert synthetic.spread([], 2) == [(), ()]


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"a": {"low": 1}}', '{"a": {"low": 1, "top": 2}}', "{a: 1}"]
)
def test_conditions_that_are_none(text):
    with pytest.raises(InvalidArgumentError, match="`conditions` must be a JSON object"):
        conditions.conditions_from_json(text)
