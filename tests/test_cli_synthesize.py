"""`tfrs-augment synthesize`, and synthesized rows of `run`: what they write and print, and exit codes."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tests.shell import shell
from tfrs_augment import cli
from tfrs_augment.beam.reading import read_rows
from tfrs_augment.beam.synthetic import encode
from tfrs_augment.errors import DataError, UnknownFeatureError
from tfrs_augment.synthesis import Synthesizer

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAT = ["item_category", "item_price", "rating", "user_age", "user_gender"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Rows to fit on and held-out ones, and two fitted synthesizers."""
    folder = tmp_path_factory.mktemp("synthesize")
    shop = aug.datasets.simulated_shop("tiny", seed=0)
    order = np.random.default_rng(0).permutation(len(shop))
    shop.take(order[:2000]).write_tfrecords(folder / "in", shards=2)
    shop.take(order[2000:]).write_tfrecords(folder / "held")
    for name, model, columns in (
        ("shop", aug.synthesis.PopularitySampler(), None),
        ("flat", aug.synthesis.GaussianCopula(), FLAT),
    ):
        table = read_rows(str(folder / "in" / "*"), columns=columns).table
        model.fit(table).save(folder / f"{name}.npz")
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_fit_says_what_the_columns_were_taken_for(capsys, tmp_path):
    code, out, err = shell(
        f"synthesize fit --input 'in/*' --model FactorizationSampler --option steps=5 --seed 3 --quiet "
        f"--output {tmp_path}/shop.npz",
        capsys,
    )
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert code == 0 and "categories of the item" in lines["item_category"]
    assert "numbers of the user" in lines["user_age"] and " id " in lines["user_id"]
    assert " time " in lines["timestamp"] and out.endswith(f"written: {tmp_path}/shop.npz\n")
    assert err.startswith("tfrs-augment: left out, for they have several values a row: item_title_")
    fitted = Synthesizer.load(tmp_path / "shop.npz")
    assert (type(fitted).__name__, fitted.steps, fitted.seed) == ("FactorizationSampler", 5, 3)
    assert fitted.spec.rows == 2000


def test_fit_auto_takes_interactions_by_their_ids_and_chooses_else(capsys, tmp_path):
    fit = f"synthesize fit --input 'in/*' --quiet --output {tmp_path}/a.npz"
    code, out, _ = shell(f"{fit} --columns rating user_gender", capsys)
    assert code == 0 and "independent columns" in out and "passed" in out
    assert Synthesizer.load(tmp_path / "a.npz").spec.names == ("rating", "user_gender")
    code, _, err = shell(f"{fit} --overwrite --columns rating --item_id item", capsys)
    assert code == 2 and "`--item_id` needs a --model, or rows with the columns" in err
    ids = "--columns user_id item_category rating --item_id item_category --timestamp none"
    code, out, _ = shell(f"{fit} --overwrite {ids}", capsys)
    assert code == 0 and "FactorizationSampler of 2,000 rows" in out
    assert Synthesizer.load(tmp_path / "a.npz").id_columns() == ("user_id", "item_category")


def test_fit_of_a_network_goes_on_from_its_checkpoint(capsys, tmp_path):
    fit = (
        "synthesize fit --input 'in/*' --model TabularGAN --columns rating user_age user_gender "
        "--option steps=4 --option validate_every=2 --option generator_units=[8,8] --quiet "
        f"--option batch_size=50 --checkpoint_dir {tmp_path}/steps --output {tmp_path}/gan.npz"
    )
    assert shell(fit, capsys)[0] == 0 and list((tmp_path / "steps").iterdir())
    assert Synthesizer.load(tmp_path / "gan.npz").generator_units == (8, 8)
    code, _, err = shell(fit, capsys)
    assert code == 1 and "is there already" in err


def test_fit_keeps_good_records_and_counts_bad_ones(capsys, tmp_path):
    serialized = [rows.example(a=[float(i % 7)], b=[b"x", b"y"][i % 2 :][:1]) for i in range(60)]
    path = rows.write(tmp_path / "in.tfrecord", [*serialized, b"\xff no example"])
    fit = f"synthesize fit --input {path} --model IndependentSampler --output {tmp_path}/s.npz"
    code, out, err = shell(f"{fit} --quiet", capsys)
    assert code == 0 and "IndependentSampler of 60 rows" in out
    assert err.startswith(f"tfrs-augment: 1 records cannot be used: {path}, offset ")


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ("--model GaussianCopula --seed 3", 2, "`--seed` is no argument of GaussianCopula"),
        ("--model TabularGAN --option stepps=3", 2, "names 'stepps'.*Did you mean 'steps'"),
        ("--model TabularGAN --option steps", 2, "`--option` must be NAME=VALUE"),
        ("--model TabularGAN --option seed=1", 2, "Use --seed"),
        ("--model FactorizationSampler --option prior=much", 2, "of the types of its|`prior` must"),
        ("--model TabularGAN --option steps=-1", 2, "`steps`"),
        ("--option steps=3", 2, "`--option` needs a --model"),
        ("--columns rating agee", 2, "names? feature 'agee'|name feature 'agee'"),
        ("--columns item_title_words", 1, "must have one value a row"),
        ("--input absent-*", 1, "matches no file"),
        ("--output /proc/none/synth.npz --model GaussianCopula", 1, "cannot be written"),
        ("--schema absent.pbtxt", 1, "absent.pbtxt"),
    ],
)
def test_fit_errors(capsys, tmp_path, more, code, message):
    fit = f"synthesize fit --input 'in/*' --quiet --output {tmp_path}/synth.npz"
    found, out, err = shell(f"{fit} {more}", capsys)
    errors = [line for line in err.splitlines() if "left out" not in line]
    assert found == code and out == "" and len(errors) == 1 and re.search(message, errors[0]), err
    assert list(tmp_path.iterdir()) == []


def read_back(path: pathlib.Path) -> dict[str, np.ndarray]:
    """A file of a sample as columns, by other readers than the job's."""
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
    elif path.suffix == ".csv":
        table = pyarrow.csv.read_csv(path)
    else:
        kind = "GZIP" if path.suffix == ".gz" else None
        found = [
            rows.values(r) for r in tf.data.TFRecordDataset(str(path), kind).as_numpy_iterator()
        ]
        return {name: np.array([row[name][0] for row in found]) for name in found[0]}
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return {n: c.astype("S") if c.dtype == object else c for n, c in columns.items()}


@pytest.mark.parametrize("suffix", [".tfrecord", ".tfrecord.gz", ".csv", ".parquet"])
def test_sample_writes_the_rows_of_python(capsys, tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    sample = f"synthesize sample --synthesizer shop.npz --num_rows 900 --seed 7 --output {path}"
    conditions = """ --conditions '{"user_gender": ["F", "X"], "rating": {"low": 3, "high": 4}}'"""
    code, out, err = shell(sample + conditions, capsys)
    assert code == 0 and out == f"900 rows of the PopularitySampler written: {path}\n"
    assert "900/900" in err
    wanted = {"user_gender": ["F", "X"], "rating": (3, 4)}
    expected = Synthesizer.load("shop.npz").sample(900, seed=7, conditions=wanted)
    found = read_back(path)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].astype(values.dtype), values, name)
    code, _, err = shell(f"{sample} --quiet", capsys)
    assert code == 1 and err.count("\n") == 1 and "is there already" in err


def test_sample_into_a_folder(capsys, tmp_path):
    sample = "synthesize sample --synthesizer flat.npz --num_rows 9000 --quiet --output"
    code, out, _ = shell(f"{sample} {tmp_path}/some --num_shards 3", capsys)
    assert code == 0 and out.endswith(f"written: 3 files in {tmp_path}/some\n")
    parts = [read_back(path) for path in sorted((tmp_path / "some").iterdir())]
    expected = Synthesizer.load("flat.npz").sample(9000)
    for name, values in expected.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)
    code, _, err = shell(f"{sample} {tmp_path}/some", capsys)
    assert code == 1 and "holds 3 synthesized-* files" in err
    assert shell(f"{sample} {tmp_path}/some --overwrite", capsys)[0] == 0
    assert [p.name for p in (tmp_path / "some").iterdir()] == [
        "synthesized-00000-of-00001.tfrecord"
    ]
    assert shell(f"{sample} {tmp_path}/of.v2/", capsys)[0] == 0


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ("--num_rows 0", 2, "`num_rows` must be at least 1"),
        ("--num_rows -3", 2, "`num_rows` must be at least 1"),
        ("--seed -1", 2, "`seed` must be an integer of 0 or more"),
        ("--output rows.txt", 2, "`output` must end in one of .tfrecord"),
        ("--output rows.csv --num_shards 2", 2, "goes with a folder"),
        ("--conditions {", 2, "`conditions` must be a JSON object"),
        ("--conditions '{\"colour\": 1}'", 2, "`conditions` name 'colour'"),
        ("--conditions '{\"rating\": 17}'", 2, "The condition on 'rating'"),
        ("--synthesizer absent.npz", 2, "'absent.npz' can't be read"),
        ("--synthesizer in/interactions-00000-of-00002.tfrecord", 2, "is no file of a synthesizer"),
        ("--output /proc/none/rows.csv", 1, "cannot be written"),
        ("--output /proc/none/", 1, "cannot be written"),
    ],
)
def test_sample_errors(capsys, more, code, message):
    before = sorted(pathlib.Path().iterdir())
    sample = "synthesize sample --synthesizer flat.npz --num_rows 10 --quiet --output rows.csv"
    found, out, err = shell(f"{sample} {more}", capsys)
    assert (found, out) == (code, "") and err.count("\n") == 1 and message in err, err
    assert sorted(pathlib.Path().iterdir()) == before


def test_a_csv_cannot_hold_bytes_that_are_no_text(capsys, tmp_path):
    fitted = aug.synthesis.IndependentSampler().fit({"a": [b"\xff\xfe", b"b"] * 20})
    fitted.save(tmp_path / "s.npz")
    sample = f"synthesize sample --synthesizer {tmp_path}/s.npz --num_rows 50 --quiet --output"
    code, _, err = shell(f"{sample} {tmp_path}/rows.csv", capsys)
    assert code == 1 and "the values of a are not UTF-8" in err
    assert shell(f"{sample} {tmp_path}/rows.parquet", capsys)[0] == 0
    assert set(read_back(tmp_path / "rows.parquet")["a"].tolist()) == {b"\xff\xfe", b"b"}
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["rows.parquet", "s.npz"]


def test_report_of_interactions(capsys, tmp_path):
    report = (
        "synthesize report --synthesizer shop.npz --input 'in/*' --holdout 'held/*' --quiet "
        f"--output {tmp_path}/report"
    )
    code, out, err = shell(report, capsys)
    assert code == 0 and "item_title" in err
    assert "| measure | synthetic | floor | ceiling | skill |" in out
    assert "| lift_over_popularity |" in out and "| closer_to_train |" in out
    folder = tmp_path / "report"
    names = ["distances.png", "marginals.png", "pairs.png", "popularity.png"]
    assert sorted(p.name for p in folder.iterdir()) == [*names, "report.json", "report.md"]
    document = json.loads((folder / "report.json").read_text())
    assert document["synthesizer"] == "PopularitySampler"
    assert not {"user_id", "item_id", "item_title"} & set(document["columns"])
    assert set(document["fidelity"]["scores"]["quality"]) == {"value", "floor", "ceiling", "skill"}
    assert document["pairs"]["values"]["seen"] == 0.0
    assert 0.3 < document["privacy"]["values"]["closer_to_train"] < 0.7
    text = (folder / "report.md").read_text()
    assert text.startswith(out.split("written:")[0].strip()) and "![Columns](marginals.png)" in text
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, _, err = shell(report, capsys)
    assert code == 1 and "holds a report" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_report_of_a_table(capsys, tmp_path):
    pytest.importorskip("sklearn")
    code, out, err = shell(
        "synthesize report --synthesizer flat.npz --input 'in/*' --holdout 'held/*' --quiet "
        f"--num_rows 1500 --target rating --positive 4 5 --output {tmp_path}/report",
        capsys,
    )
    assert code == 0 and err == "" and "transfer (AUC of rating)" in out
    assert "1,500 rows (seed 0) against 2,000 that it was fitted on" in out
    assert "popularity" not in out and not (tmp_path / "report/popularity.png").exists()


def test_report_says_where_rows_are_not_those_of_the_fit(capsys, tmp_path):
    report = f"synthesize report --synthesizer flat.npz --quiet --output {tmp_path}/report"
    code, out, _ = shell(f"{report} --input 'held/*' --holdout 'in/*'", capsys)
    assert code == 0 and "It was fitted on 2,000 rows and --input has" in out
    code, _, err = shell(f"{report} --input in.tfrecord --holdout 'in/*' --overwrite", capsys)
    assert code == 1 and "matches no file" in err
    path = rows.write(tmp_path / "other.tfrecord", rows.records(30))
    code, _, err = shell(f"{report} --input {path} --holdout {path} --overwrite", capsys)
    assert code == 2 and "name feature 'item_category'" in err
    with pytest.raises(SystemExit) as stopped:
        cli.main(shlex.split(f"{report} --input 'in/*'"))
    assert stopped.value.code == 2 and "--holdout" in capsys.readouterr().err
    code, _, err = shell(f"{report} --input 'in/*' --holdout 'no/*' --overwrite", capsys)
    assert code == 1 and "`--holdout` matches no file. Received: --holdout 'no/*'." in err


RUN = "run --input in/* --synthesizer shop.npz --num_synthetic 1500 --quiet"


def test_run_and_verify(capsys, tmp_path):
    code, out, _ = shell(
        f"{RUN} --num_shards 3 --synthetic_weight 0.5 --output {tmp_path}/out", capsys
    )
    assert code == 0
    assert out.startswith("2,000 records read, 2,000 kept, 0 made, 1,500 synthesized, 0 rejected;")
    assert "synthesized rows do not have: item_title_words" in out
    code, out, _ = shell(f"verify {tmp_path}/out", capsys)
    assert code == 0 and out.startswith("3,500 records in 3 shards")
    found = [rows.values(record) for record in rows.read(tmp_path / "out")]
    made = [row for row in found if "aug/synthesizer" in row]
    assert len(made) == 1500 and {row["sample_weight"][0] for row in made} == {0.5}


def test_run_with_a_policy_and_a_dry_run(capsys, folder, tmp_path):
    aug.AugmentationPolicy(
        [aug.ops.IdDropout("item_id", rate=0.5)], seed=4, key_features=("user_id", "timestamp")
    ).save(tmp_path / "policy.json")
    run = RUN.replace("--quiet", f"--policy {tmp_path}/policy.json")
    before = sorted(folder.iterdir())
    code, out, err = shell(f"{run} --dry_run 7", capsys)
    assert code == 0 and err == "" and sorted(folder.iterdir()) == before
    assert out.endswith("7 rows and 7 synthesized rows shown, nothing written; = is unchanged\n")
    expected = Synthesizer.load("shop.npz").sample(1500, seed=4)
    first = out.split("synthesized\n")[1].splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in first if line}
    assert cells["item_id"] == [value.decode() for value in expected["item_id"][:5]]
    code, out, _ = shell(f"{RUN} --dry_run 1", capsys)
    assert code == 0 and out.endswith("dry run: 1 synthesized rows shown, nothing written\n")
    code, out, _ = shell(f"{run} --quiet --output {tmp_path}/out", capsys)
    assert code == 0 and "2,000 made, 1,500 synthesized" in out


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ("--num_synthetic 0", 2, "`num_synthetic` must be an integer of at least 1"),
        ("--num_synthetic -1", 2, "`num_synthetic` must be an integer of at least 1"),
        ("--num_synthetic 100000000", 1, "rows are possible"),
        ("--synthesizer absent.npz", 2, "'absent.npz' can't be read"),
        ("--copies 3", 2, "Without a `policy` a job makes no copies"),
        ("--fitted fitted.json", 2, "`--fitted` goes with a --policy"),
        ("--conditions [1]", 2, "`conditions` must be a JSON object"),
        ("--synthetic_weight nan", 2, "`synthetic_weight` must be"),
        ("--payload sequence_example", 2, "takes payload 'example'"),
        ("--seed -1", 2, "`seed` must be"),
        ("--output /proc/none", 1, "cannot be written"),
    ],
)
def test_run_errors(capsys, tmp_path, more, code, message):
    found, out, err = shell(f"{RUN} --output {tmp_path}/out {more}", capsys)
    assert (found, out) == (code, "") and err.count("\n") == 1 and message in err, err
    assert not (tmp_path / "out").exists()


def test_run_refuses_columns_that_the_records_do_not_have(capsys, tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", rows.records(30))
    code, out, err = shell(f"{RUN} --input {path} --output {tmp_path}/out", capsys)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "'item_brand' is in no record" in err and "'user_age' is in no record" in err
    code, _, err = shell(f"{RUN} --input {path} --dry_run 1", capsys)
    assert code == 2 and "'item_brand' is in no record" in err


@pytest.mark.slow
def test_a_run_that_is_killed_is_no_result_and_the_next_one_gives_the_same_rows(capsys, tmp_path):
    shell(f"{RUN} --output {tmp_path}/expected --num_synthetic 6000", capsys)
    out = tmp_path / "out"
    slow = (
        "import sys, time; from tfrs_augment import cli; from tfrs_augment.beam import synthetic; "
        "f = synthetic.Synthesis.columns; "
        "synthetic.Synthesis.columns = lambda *a: (print('block', flush=True), time.sleep(60), f(*a))[2]; "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    paths = os.pathsep.join(path or str(ROOT) for path in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", slow, *f"{RUN} --num_synthetic 6000 --output {out}".split()],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout.readline() == b"block\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(out.glob(".staging-*")) and not (out / "manifest.json").exists()
    time.sleep(0.1)
    assert shell(f"{RUN} --output {out} --num_synthetic 6000", capsys)[0] == 0
    assert rows.counted(out) == rows.counted(tmp_path / "expected")
    assert not list(out.glob(".staging-*"))


@pytest.mark.parametrize("step", ["fit", "sample", "report"])
def test_help_has_examples(step, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["synthesize", step, "--help"])
    assert stopped.value.code == 0
    assert f"examples:\n  tfrs-augment synthesize {step} " in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        cli.main(["synthesize", step, "--runner=FlinkRunner"])
    assert stopped.value.code == 2


def test_rows_of_files_are_those_that_were_written(tmp_path):
    table = {
        "a": np.array([b"x", b"", b"a longer one", b"y"]),
        "b": np.array([1.5, np.nan, np.nan, -2], np.float32),
        "c": np.array([1, 2, 3, -(2**60)]),
    }
    (tmp_path / "1.tfrecord").write_bytes(encode(table).tobytes())
    (tmp_path / "2.tfrecord").write_bytes(encode({k: v[:1] for k, v in table.items()}).tobytes())
    found = read_rows(str(tmp_path / "*.tfrecord"))
    assert len(found) == 5 and found.left_out == () and found.rejected == 0
    for name, values in table.items():
        np.testing.assert_array_equal(found.table[name], np.concatenate([values, values[:1]]))
    assert list(read_rows(str(tmp_path / "*"), columns=["c", "a"]).table) == ["c", "a"]
    with pytest.raises(UnknownFeatureError, match="`columns` name feature 'd'"):
        read_rows(str(tmp_path / "*"), columns=["d"])
    (tmp_path / "table.csv").write_text('a,b,c\nx,1.5,1\n,,2\n"",2.5,3\n')
    found = read_rows(str(tmp_path / "table.csv"), input_format="csv").table
    assert found["a"].tolist() == [b"x", b"", b""] and found["c"].tolist() == [1, 2, 3]
    assert np.isnan(found["b"]).tolist() == [False, True, False]
    rows.write(tmp_path / "gap.tfrecord", [rows.example(n=[1]), rows.example(m=[2.0])])
    with pytest.raises(DataError, match="'n' of int64 must be in every row"):
        read_rows(str(tmp_path / "gap.tfrecord"))
    rows.write(tmp_path / "inf.tfrecord", [rows.example(n=[float("inf")])])
    with pytest.raises(DataError, match="'n' must be finite"):
        read_rows(str(tmp_path / "inf.tfrecord"))
    rows.write(tmp_path / "none.tfrecord", [rows.example(n=[1, 2])])
    with pytest.raises(DataError, match="holds no usable record"):
        read_rows(str(tmp_path / "none.tfrecord"))
