"""Statistics of several features, fitted by the job: those of the data in memory for any cut of the files."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment import beam, cli

FEATURES = ("movie_id", "gender", "genres", "age", "untouched")
POLICY = aug.AugmentationPolicy(
    [
        aug.ops.CorrelatedFeatureMask(FEATURES, rate=0.5),
        aug.ops.IdDropout("user_id", rate=aug.ops.PopularityRate(scale=3.0)),
    ],
    key_features=("user_id", "timestamp"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    records = rows.records(1500)
    rows.write(folder / "one.tfrecord", records)
    order = np.random.default_rng(0).permutation(1500)
    for i, part in enumerate(np.array_split(order, 4)):
        rows.write(folder / f"part-{i}.tfrecord", [records[j] for j in part])
    POLICY.save(folder / "policy.json")
    return folder


def columns() -> dict:
    made = [rows.row(i) for i in range(1500)]
    features = {
        name: tf.RaggedTensor.from_row_lengths(
            tf.constant(np.concatenate([row.get(name, []) for row in made]).tolist()),
            [len(row.get(name, [])) for row in made],
        )
        for name in ("user_id", *FEATURES)
    }
    # A file holds float32.
    return {n: tf.cast(c, tf.float32) if c.dtype.is_floating else c for n, c in features.items()}


def test_the_job_fits_what_memory_does_for_any_cut(files, tmp_path):
    expected = aug.fitting.fit(POLICY, columns()).fitted
    for name in ("one", "part-*"):
        fitted = beam.fit(POLICY, input=f"{files}/{name}.tfrecord", output=f"{tmp_path}/{name[:3]}")
        assert fitted.digest() == expected.digest()


def test_the_command_fits_and_run_uses_it(files, tmp_path, capsys):
    policy, path = files / "policy.json", tmp_path / "fitted.json"
    given = ["--policy", str(policy), "--input", str(files / "one.tfrecord")]
    assert cli.main(["fit", *given, "--output", str(path)]) == 0
    assert "fitted: mutual_information of 'age', 'gender', 'genres', " in capsys.readouterr().out
    for name, fitted in (("given", ["--fitted", str(path)]), ("own", [])):
        assert cli.main(["run", *given, *fitted, "--output", str(tmp_path / name)]) == 0
    found = [rows.counted(tmp_path / name) for name in ("given", "own")]
    assert found[0] == found[1] and found[0].total() == 3000
