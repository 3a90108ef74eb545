"""Balance: copies by popularity, the mean kept, and weights that keep the expectation."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment.beam import Balance
from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError

POLICY = aug.AugmentationPolicy(
    [aug.ops.GaussianNoise("age", stddev=1.0)], seed=1, key_features=("user_id", "timestamp")
)


def skewed(count: int = 4000) -> list[bytes]:
    """Rows whose movie's number of occurrences follows a power law."""
    movies = np.random.default_rng(2).zipf(1.5, count).clip(max=300)
    return [rows.example(**{**rows.row(i), "movie_id": [b"m%d" % m]}) for i, m in enumerate(movies)]


def run(source, output, **arguments):
    return aug.beam.run(POLICY, input=str(source), output=str(output), progress=False, **arguments)


def made_by_movie(output) -> collections.Counter:
    made = [v for v in map(rows.values, rows.read(output)) if "aug/draw" in v]
    return collections.Counter(row["movie_id"][0] for row in made)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return rows.write(tmp_path_factory.mktemp("balance") / "in.tfrecord", skewed())


def test_copies_follow_the_power_law_and_their_mean_is_kept(source, tmp_path):
    report = run(source, tmp_path / "out", copies=2, balance=Balance("movie_id", exponent=0.5))
    assert abs(report.counts["made"] / 8000 - 1) < 0.02
    made, there = made_by_movie(tmp_path / "out"), collections.Counter()
    for record in skewed():
        there[rows.values(record)["movie_id"][0]] += 1
    frequent = [movie for movie, count in there.most_common(6)]
    per_row = np.array([made[m] / there[m] for m in frequent])
    expected = np.array([there[m] for m in frequent]) ** -0.5
    np.testing.assert_allclose(per_row / per_row[0], expected / expected[0], rtol=0.2)
    assert max(made[m] / there[m] for m in there) <= 20


def test_exponent_0_gives_all_alike_and_1_gives_values_alike(source, tmp_path):
    flat = run(source, tmp_path / "flat", copies=2, balance=Balance("movie_id", exponent=0))
    assert flat.counts["made"] == 8000
    run(
        source,
        tmp_path / "even",
        copies=1,
        balance=Balance("movie_id", exponent=1, max_copies=1000),
    )
    totals = np.array(list(made_by_movie(tmp_path / "even").values()))
    assert totals.std() / totals.mean() < 0.5


def test_the_same_rows_from_other_files(source, tmp_path):
    serialized = skewed()
    for number, part in enumerate(np.array_split(np.random.default_rng(1).permutation(4000), 3)):
        rows.write(tmp_path / "in" / f"{number}.tfrecord", [serialized[i] for i in part])
    balance = Balance("movie_id", keep_expectation=True)
    run(source, tmp_path / "a", balance=balance)
    run(tmp_path / "in" / "*", tmp_path / "b", balance=balance, num_shards=2)
    assert rows.counted(tmp_path / "a") == rows.counted(tmp_path / "b")


@pytest.mark.parametrize("include_originals", [True, False])
def test_weights_keep_the_expectation(tmp_path, include_originals):
    weighted = [rows.example(**rows.row(i), sample_weight=[0.5]) for i in range(300)]
    source = rows.write(tmp_path / "in.tfrecord", weighted + rows.records(600)[300:])
    balance = Balance("gender", exponent=1, keep_expectation=True)
    run(source, tmp_path / "out", copies=3, balance=balance, include_originals=include_originals)
    total = collections.defaultdict(float)
    for row in map(rows.values, rows.read(tmp_path / "out")):
        total[row["timestamp"][0]] += row["sample_weight"][0]
    for timestamp, weight in total.items():
        assert abs(weight - (0.5 if timestamp < 300 else 1.0)) < 1e-6
    assert len(total) == 600


def test_bad_arguments(source, tmp_path):
    for arguments, message in (
        ({"exponent": -1}, r"`exponent` must be in \[0, 4\]"),
        ({"max_copies": 0}, "`max_copies` must be an integer of at least 1"),
        ({"feature": ""}, "`feature` must be a name"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            Balance(**{"feature": "movie_id", **arguments})
    with pytest.raises(InvalidArgumentError, match="must be at least `copies`"):
        run(source, tmp_path / "out", copies=3, balance=Balance("movie_id", max_copies=2))
    with pytest.raises(UnknownFeatureError, match="`balance` names feature 'movie'"):
        run(source, tmp_path / "out", balance=Balance("movie"))
    with pytest.raises(InvalidArgumentError, match="needs provenance on"):
        run(
            source,
            tmp_path / "out",
            balance=Balance("movie_id", keep_expectation=True),
            provenance=False,
        )
