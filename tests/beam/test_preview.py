"""`preview` shows the rows that the job writes; `fit` writes the statistics that the job learns."""

from __future__ import annotations

import pytest

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.beam import files
from tfrs_augment.beam.preview import preview
from tfrs_augment.errors import DataError, OutputError
from tfrs_augment.ops import FittedState


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preview")
    rows.write(folder / "in.tfrecord", [rows.example(user_id=[b"no movie"]), *rows.records(50)])
    aug.beam.run(
        rows.POLICY,
        input=str(folder / "in.tfrecord"),
        output=str(folder / "out"),
        copies=2,
        include_originals=False,
        progress=False,
    )
    return folder


def test_rows_are_those_of_the_job(finished):
    written = [rows.values(record) for record in rows.read(finished / "out")]
    copies = {(row["timestamp"][0], row["aug/draw"][0]): row for row in written}
    inputs = files.find_inputs([str(finished / "in.tfrecord")], "auto")
    shown = preview(rows.POLICY, inputs=inputs, rows=40, copies=2)
    assert len(shown) == 40 and shown[0].values["timestamp"] == 0
    changed = 0
    for row in shown:
        for copy in row.copies:
            job = copies[int(row.values["timestamp"]), copy.draw]
            for name, value in copy.after.items():
                listed = [] if value is None else value if isinstance(value, list) else [value]
                assert listed == (pytest.approx(job["age"]) if name == "age" else job.get(name, []))
            changed += len(copy.changes)
    assert changed > 40


def test_no_usable_row(tmp_path):
    path = rows.write(tmp_path / "in.tfrecord", [rows.example(**{**rows.row(1), "movie_id": []})])
    inputs = files.find_inputs([str(path)], "auto")
    policy = aug.AugmentationPolicy([aug.ops.FeatureMask("age", rate=1.0)], key_features=["age"])
    assert preview(policy, inputs=inputs, rows=5)[0].values == {"age": 11.0}
    nothing = rows.write(tmp_path / "nan.tfrecord", [rows.example(age=[float("nan")])])
    with pytest.raises(DataError, match="no usable record"):
        preview(policy, inputs=files.find_inputs([str(nothing)], "auto"), rows=5)


def test_fit_writes_what_the_job_fits(finished, tmp_path):
    path = tmp_path / "fitted.json"
    arguments = {"input": str(finished / "in.tfrecord"), "output": str(path)}
    state = aug.beam.fit(rows.POLICY, **arguments)
    job = FittedState.load(finished / "out" / "fitted.json")
    assert state.digest() == FittedState.load(path).digest() == job.digest()
    assert [p.name for p in tmp_path.iterdir()] == ["fitted.json"]
    with pytest.raises(OutputError, match="^`output` .* is there already. Pass overwrite"):
        aug.beam.fit(rows.POLICY, **arguments)
    aug.beam.fit(rows.POLICY, **arguments, overwrite=True)


def test_fit_leaves_nothing_behind_where_it_fails(tmp_path):
    row = rows.row(1)
    path = rows.write(tmp_path / "in.tfrecord", [rows.example(**{**row, "age": [float("nan")]})])
    policy = aug.AugmentationPolicy(
        [aug.ops.GaussianNoise("age", stddev=1.0, unit="stddev")], key_features=["user_id"]
    )
    with pytest.raises(DataError, match="moments of 'age' cannot be fitted"):
        aug.beam.fit(policy, input=str(path), output=str(tmp_path / "fitted.json"))
    assert [p.name for p in tmp_path.iterdir()] == ["in.tfrecord"]
