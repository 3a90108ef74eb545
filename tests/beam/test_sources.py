"""Inputs other than TFRecords: CSV, Parquet, and data sets of TensorFlow Datasets by name."""

from __future__ import annotations

import gzip
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment import cli
from tfrs_augment.beam import sources
from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    OutputError,
    UnknownFeatureError,
)

ROWS = 400

POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("movie_id", rate=0.3),
        aug.ops.FeatureMask(("gender",), rate=0.3),
        aug.ops.GaussianNoise("age", stddev=0.5, unit="stddev"),
    ],
    seed=3,
    key_features=("user_id", "movie_id", "timestamp"),
)
COLUMNS = ("user_id", "movie_id", "timestamp", "gender", "age")


def run(source, output: pathlib.Path, policy=POLICY, **arguments):
    return aug.beam.run(policy, input=str(source), output=str(output), progress=False, **arguments)


def row(i: int) -> dict[str, list]:
    """A row of the tables; every fifth has no gender, every seventh an age that is a whole number."""
    content = {name: rows.row(i)[name] for name in COLUMNS}
    content["age"] = [i % 50 + (0.0 if i % 7 == 0 else 0.25)]
    if i % 5 == 0:
        del content["gender"]
    return content


def cell(value: list | None) -> str:
    if not value:
        return ""
    return value[0].decode() if isinstance(value[0], bytes) else f"{value[0]:g}"


def write_csv(path: pathlib.Path, numbers, lines=()) -> pathlib.Path:
    delimiter = "\t" if ".tsv" in path.name else ","
    text = [delimiter.join(COLUMNS)]
    text += [delimiter.join(cell(row(i).get(name)) for name in COLUMNS) for i in numbers]
    data = "\n".join([*text, *lines, ""]).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def leftovers(folder: pathlib.Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> pathlib.Path:
    """The result of the job on the same rows as TFRecords."""
    folder = tmp_path_factory.mktemp("expected")
    rows.write(folder / "in.tfrecord", [rows.example(**row(i)) for i in range(ROWS)])
    run(folder / "in.tfrecord", folder / "out")
    return folder / "out"


def test_csv_gives_the_rows_of_the_same_tfrecords(expected, tmp_path):
    write_csv(tmp_path / "in" / "a.csv", range(150))
    write_csv(tmp_path / "in" / "b.csv.gz", range(150, 300))
    write_csv(tmp_path / "in" / "c.tsv", range(300, ROWS))
    report = run(tmp_path / "in" / "*", tmp_path / "out", input_format="csv", compression="none")
    assert rows.counted(tmp_path / "out") == rows.counted(expected)
    assert len(report.manifest["shards"]) == 3
    assert report.counts == {
        "read": ROWS, "rejected": 0, "kept": ROWS, "made": ROWS, "synthesized": 0, "slow_path": 0,
    }  # fmt: skip
    assert not list((tmp_path / "out").glob(".staging-*"))


def test_parquet_gives_the_rows_of_the_same_tfrecords(expected, tmp_path):
    content = [row(i) for i in range(ROWS)]
    flat = {name: [r[name][0] if name in r else None for r in content] for name in COLUMNS}
    types = {
        "user_id": pa.string(),
        "movie_id": pa.dictionary(pa.int32(), pa.string()),
        "timestamp": pa.int64(),
        "gender": pa.large_string(),
        "age": pa.float64(),
    }
    flat = {n: [v.decode() if isinstance(v, bytes) else v for v in c] for n, c in flat.items()}
    table = pa.table({name: pa.array(flat[name], kind) for name, kind in types.items()})
    pq.write_table(table.slice(0, 250), tmp_path / "a.parquet", row_group_size=100)
    pq.write_table(table.slice(250), tmp_path / "b.parquet")
    run(tmp_path / "*.parquet", tmp_path / "out", input_format="parquet", num_shards=1)
    assert rows.counted(tmp_path / "out") == rows.counted(expected)


def test_parquet_lists_are_ragged_features_and_other_types_have_their_kinds(tmp_path):
    table = pa.table(
        {
            "id": pa.array([7, 8, 9], pa.uint16()),
            "words": pa.array([["a", "bc"], None, []], pa.list_(pa.string())),
            "pair": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
            "flag": pa.array([True, None, False]),
            "day": pa.array([1, 2, None], pa.date32()),
            "at": pa.array([1000, 2, None], pa.timestamp("us")),
            "blob": pa.array([b"\xff", b"", None], pa.binary()),
            "half": pa.array([0.5, None, 2.0], pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    policy = aug.AugmentationPolicy(
        [aug.ops.FeatureMask(("words",), rate=0.0)], key_features=("id",)
    )
    run(tmp_path / "in.parquet", tmp_path / "out", policy, input_format="parquet", copies=0)
    assert [rows.values(record) for record in rows.read(tmp_path / "out")] == [
        {"id": [7], "words": [b"a", b"bc"], "pair": [1, 2], "flag": [1], "day": [1], "at": [1000],
         "blob": [b"\xff"], "half": [0.5]},
        {"id": [8], "pair": [3, 4], "day": [2], "at": [2], "blob": [b""]},
        {"id": [9], "words": [], "pair": [5, 6], "flag": [0], "half": [2.0]},
    ]  # fmt: skip


def test_quotes_line_breaks_and_empty_cells_of_a_csv(tmp_path):
    text = '\ufeffid,text,x\n1,"a ""b"", c\nd",\n2,"",1.5\n3,,2\n'
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    policy = aug.AugmentationPolicy([aug.ops.IdDropout("text", rate=0.0)], key_features=("id",))
    run(tmp_path / "in.csv", tmp_path / "out", policy, input_format="csv", copies=0)
    assert [rows.values(record) for record in rows.read(tmp_path / "out")] == [
        {"id": [1], "text": [b'a "b", c\nd']},
        {"id": [2], "text": [b""], "x": [1.5]},
        {"id": [3], "x": [2.0]},
    ]


def test_a_schema_keeps_numbers_as_text(tmp_path):
    (tmp_path / "in.csv").write_text("id,zip\n1,007\n2,08\n")
    policy = aug.AugmentationPolicy([aug.ops.IdDropout("zip", rate=0.0)], key_features=("id",))
    schema = aug.schema.Schema({"zip": "bytes"})
    run(tmp_path / "in.csv", tmp_path / "out", policy, input_format="csv", schema=schema, copies=0)
    assert [rows.values(r)["zip"] for r in rows.read(tmp_path / "out")] == [[b"007"], [b"08"]]


def test_rejected_rows_of_a_table_are_named_by_their_number(tmp_path):
    path = write_csv(tmp_path / "in.csv", range(20), [",m1,20,F,3.5"])
    report = run(path, tmp_path / "out", input_format="csv")
    (name,) = report.manifest["rejected_files"]
    (line,) = (tmp_path / "out" / name).read_text().splitlines()
    found = json.loads(line)
    assert (found["file"], found["row"]) == (str(path), 21)
    assert "key feature 'user_id' must have one value" in found["reason"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", DataError, "CSV file '.*in.csv' cannot be read: Empty CSV file"),
        (
            "user_id,movieid,timestamp,gender,age\nu,m,1,F,2.5\n",
            UnknownFeatureError,
            "names feature 'movie_id'. Did you mean 'movieid'",
        ),
        (
            "user_id,movie_id,timestamp,gender,age\nu,m,1,F,2.5\nu,m,2,F,3\nu,m,3,F,old\n",
            DataError,
            "Received: 'age' of kind bytes. CSV column 'age' of '.*' mixes numbers and text, such "
            "as 'old'",
        ),
        (
            "user_id,movie_id,timestamp,gender,age\nu,m,1,F,2.5\nu,m,2\n",
            DataError,
            "Row #3: Expected 5 columns, got 3",
        ),
        ("age,age\n1,2\n", DataError, "must have distinct names. Received twice: .'age'."),
    ],
)  # fmt: skip
def test_errors_of_a_csv(tmp_path, text, error, message):
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(error, match=message):
        run(tmp_path / "in.csv", tmp_path / "out", input_format="csv")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("user_id,movie_id,timestamp,gender\nu,m,1,F\n", "b.csv' lacks column 'age'"),
        (
            "user_id,movie_id,timestamp,gender,age,sex\nu,m,1,F,2.5,F\n",
            "b.csv' has column 'sex', which other files lack",
        ),
        (
            "user_id,movie_id,timestamp,gender,age\nu,m,1,F,2.5\nu,m,late,F,2.5\n",
            "CSV column 'timestamp' must hold int64 values alone, as in its first rows. "
            "Received: 'late' in line 3 of '.*b.csv'",
        ),
    ],
)
def test_files_must_agree_and_their_errors_come_out_of_the_workers(tmp_path, second, message):
    write_csv(tmp_path / "a.csv", range(10))
    (tmp_path / "b.csv").write_text(second)
    with pytest.raises(DataError, match=message):
        run(tmp_path / "*.csv", tmp_path / "out", input_format="csv")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("lost", [{1}, {0, 1}])
def test_a_table_that_the_runner_loses_is_an_error(tmp_path, monkeypatch, lost):
    for name in "ab":
        write_csv(tmp_path / f"{name}.csv", range(10))
    process = sources.ConvertFile.process

    def lose(self, keyed):
        return iter(()) if keyed[0] in lost else process(self, keyed)

    monkeypatch.setattr(sources.ConvertFile, "process", lose)
    with pytest.raises(OutputError, match=f"did {2 - len(lost)} of 2 units"):
        run(tmp_path / "*.csv", tmp_path / "out", input_format="csv")
    assert leftovers(tmp_path / "out") == []


def test_errors_of_parquet(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no parquet file PAR1")
    with pytest.raises(DataError, match="Parquet file '.*bad.parquet' cannot be read"):
        run(tmp_path / "bad.parquet", tmp_path / "out", input_format="parquet")
    pq.write_table(pa.table({"a": [{"b": 1}]}), tmp_path / "nested.parquet")
    with pytest.raises(DataError, match="column 'a' of '.*' holds struct<b: int64>"):
        run(tmp_path / "nested.parquet", tmp_path / "out", input_format="parquet")
    pq.write_table(pa.table({"user_id": [["a", None]]}), tmp_path / "null.parquet")
    policy = aug.AugmentationPolicy([], key_features=("user_id",))
    with pytest.raises(DataError, match="a list must hold no null. Received: column 'user_id'"):
        run(tmp_path / "null.parquet", tmp_path / "out", policy, input_format="parquet")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_format": "avro"}, "`input_format` must be one of .*'parquet', 'tfds'"),
        ({"tfds_data_dir": "x"}, '`tfds_data_dir` goes with input_format="tfds"'),
        ({"input_format": "csv", "payload": "sequence_example"}, "`payload` must be one of"),
        ({"payload": "json"}, "`payload` must be one of"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        run(tmp_path / "in", tmp_path / "out", **arguments)


def test_the_command_line(expected, data_dir, tmp_path, capsys):
    POLICY.save(tmp_path / "policy.json")
    write_csv(tmp_path / "in.csv", range(ROWS))
    common = ["run", "--policy", str(tmp_path / "policy.json"), "--quiet"]
    table = ["--input", str(tmp_path / "in.csv"), "--input_format", "csv"]
    assert cli.main([*common, *table, "--output", str(tmp_path / "out")]) == 0
    assert rows.counted(tmp_path / "out") == rows.counted(expected)
    shop = ["--tfds", f"{SHOP}/train", "--tfds_data_dir", data_dir]
    assert cli.main([*common, *shop, "--output", str(tmp_path / "shop")]) == 2
    assert "names feature 'movie_id'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*common, *shop, *table, "--output", str(tmp_path / "both")])
    assert "not allowed with argument" in capsys.readouterr().err


SHOP = "simulated_shop/tiny-interactions"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.mark.parametrize("name", [SHOP, f"{SHOP}:1.0.0/train"])
def test_the_shop_by_its_tfds_name(data_dir, tmp_path, name):
    import tensorflow_datasets as tfds

    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("item_id", rate=0.5)], key_features=("user_id", "item_id", "timestamp")
    )
    report = run(
        name, tmp_path / "out", policy, input_format="tfds", tfds_data_dir=data_dir, copies=1
    )
    builder = tfds.builder(SHOP, data_dir=data_dir)
    assert report.counts["kept"] == builder.info.splits["train"].num_examples > 1000
    assert report.counts["slow_path"] == report.counts["rejected"] == 0
    source = [
        record
        for path in builder.info.splits["train"].filepaths
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    found = rows.read(tmp_path / "out")
    copies = [record for record in found if b"aug/draw" in record]
    assert sorted(record for record in found if b"aug/draw" not in record) == sorted(source)
    # The data set's own decoder reads what the job has made.
    decode = builder.info.features.deserialize_example
    ids = [decode(record)["item_id"].numpy() for record in copies]
    dropped = sum(item == b"[UNK]" for item in ids)
    assert 0.45 < dropped / len(ids) < 0.55


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "simulated_shp/tiny-interactions",
            "no TFDS data set 'simulated_shp'. Did you mean 'simul",
        ),
        ("simulated_shop/tiny-interaction", "Did you mean 'tiny-interactions'"),
        ("simulated_shop", "needs a configuration, as 'simulated_shop/CONFIG'"),
        (f"{SHOP}:9.9.9", "cannot be loaded at version 9.9.9"),
        (f"{SHOP}/test", "has no split 'test'. Known: 'train'"),
        (f"{SHOP}/train[:10%]", "only whole splits of a TFDS data set are read"),
        (f"{SHOP}/train/more", "which has more parts"),
        ("a b", "must be named as NAME"),
    ],
)
def test_unknown_tfds_names(data_dir, name, message):
    with pytest.raises(InvalidArgumentError, match=message):
        sources.tfds_files(name, data_dir)


def test_a_data_set_that_beam_makes_is_prepared(tmp_path):
    (path,) = sources.tfds_files("simulated_shop_log/1k-users", str(tmp_path))
    assert pathlib.Path(path).stat().st_size > 1000


def test_a_data_set_that_cannot_be_prepared_is_an_error(tmp_path, monkeypatch):
    from tfrs_augment.datasets.shop_builder import SimulatedShop

    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(SimulatedShop, "_split_generators", unreachable)
    with pytest.raises(DataError, match="'simulated_shop/tiny-items' cannot be prepared: no netw"):
        sources.tfds_files("simulated_shop/tiny-items", str(tmp_path))
