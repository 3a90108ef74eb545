"""Augmented rows against their source: figures by closed forms, and warnings that come when they should."""

from __future__ import annotations

import dataclasses
import json
import math
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.beam.reading import read_rows
from tfrs_augment.datasets import Ragged
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation import AugmentationLimits, measure_augmented
from tfrs_augment.evaluation.augmented import tfdv_statistics
from tfrs_augment.evaluation.augmented.augmented_tables import pair_tables
from tfrs_augment.evaluation.augmented.column_shifts import Cells
from tfrs_augment.evaluation.augmented.embedding_spread import effective_rank
from tfrs_augment.schema import Schema

ROWS = 1200
KEYS = ("user", "item", "time")
ops = aug.ops


def make_rows(rows: int = ROWS, seed: int = 0) -> dict:
    """Rows of a shop: an item's label hangs on its brand, and a little on the age."""
    rng = np.random.default_rng(seed)
    item = rng.choice(60, rows, p=np.arange(60, 0, -1) / np.arange(60, 0, -1).sum())
    brand = item % 6
    tags = [[b"t%d" % (i % 7), b"t%d" % (i % 5 + 7)][: 1 + i % 2] for i in item]
    age = rng.integers(18, 70, rows).astype(np.float32)
    liked = (brand < 3) ^ (rng.random(rows) < 0.05)
    return {
        "user": np.array([b"u%03d" % u for u in rng.integers(0, 150, rows)]),
        "item": np.array([b"i%02d" % i for i in item]),
        "brand": np.array([b"b%d" % b for b in brand]),
        "age": age,
        "tags": Ragged.from_lists(tags, dtype="S"),
        "time": np.arange(rows),
        "liked": liked.astype(np.int64),
    }


def names(found) -> set[str]:
    return {warning.name for warning in found.warnings}


@pytest.fixture(scope="module")
def rows() -> dict:
    return make_rows()


@pytest.fixture(scope="module")
def mild() -> aug.AugmentationPolicy:
    return aug.AugmentationPolicy(
        [
            ops.IdDropout("item", rate=0.1),
            ops.GaussianNoise("age", stddev=1.0, rate=0.3),
            ops.OneOf(
                [ops.FeatureMask("tags", rate=1.0), ops.IdDropout("user", rate=1.0)], rate=0.2
            ),
        ],
        key_features=KEYS,
    )


@pytest.fixture(scope="module")
def found(rows, mild):
    return measure_augmented(rows, mild, copies=2, label="liked")


def test_moderate_strength_is_not_warned_of(found):
    assert found.warnings == ()
    assert "no warning" in found.table()
    assert found.augmented_share == pytest.approx(2 / 3)
    assert found.rows == {"source": ROWS, "augmented": 2 * ROWS}


def test_changes_are_those_of_the_rates(found):
    n = 2 * ROWS
    by_op = found.changes.by_op
    assert set(by_op) == {
        "id_dropout:item",
        "gaussian_noise:age",
        "one_of:tags,user / feature_mask:tags",
        "one_of:tags,user / id_dropout:user",
    }
    expected = dict(zip(by_op, (0.1, 0.3, 0.1, 0.1)))
    for name, rate in expected.items():
        assert abs(by_op[name].rows - rate) < 4 * math.sqrt(rate * (1 - rate) / n)
    assert sum(op.cells for op in by_op.values()) == pytest.approx(1.0)
    by_column = {shift.name: shift for shift in found.columns}
    assert by_column["item"].changed == pytest.approx(by_op["id_dropout:item"].rows)
    # What a token takes is new to the source.
    assert by_column["item"].new == pytest.approx(by_column["item"].changed)
    assert by_column["brand"].changed == 0.0
    assert by_column["brand"].drift.distance == 0.0
    cells = sum(shift.changed for shift in found.columns) / len(found.columns)
    assert found.changes.cells == pytest.approx(cells)


def test_an_identity_is_called_oversampling_and_moves_nothing(rows):
    identity = aug.AugmentationPolicy([ops.IdDropout("item", rate=0.0)], key_features=KEYS)
    found = measure_augmented(rows, identity, copies=2, label="liked")
    assert names(found) == {"copies"}
    assert found.diversity.copies == 1.0
    assert found.diversity.to_source == 0.0
    assert math.isnan(found.diversity.changed_distinct)
    assert found.labels.stays == found.labels.consistency == 1.0
    assert found.labels.shift == found.labels.moved == 0.0
    assert all(shift.drift.distance == 0.0 and shift.coverage == 1.0 for shift in found.columns)
    assert found.changes.cells == 0.0
    assert found.fidelity.scores["shapes"].value == found.fidelity.scores["all_pairs"].value == 1.0


def test_absurd_strength_is_warned_of_with_its_numbers(rows):
    absurd = aug.AugmentationPolicy(
        [
            ops.FeatureMask(("item", "brand", "tags"), rate=0.95),
            ops.GaussianNoise("age", stddev=60.0),
        ],
        key_features=KEYS,
    )
    found = measure_augmented(rows, absurd, copies=5, label="liked")
    assert names(found) >= {
        "augmented_share",
        "changed_cells",
        "drift",
        "number_drift",
        "coverage",
        "label_consistency",
    }
    limits = AugmentationLimits()
    for warning in found.warnings:
        assert warning.threshold == getattr(limits, warning.name)
        assert str(warning).startswith(f"{warning.name}, {warning.number:.3g}")
    (share,) = [w for w in found.warnings if w.name == "augmented_share"]
    assert share.number == pytest.approx(5 / 6)
    assert found.labels.consistency < 0.75


def test_rows_that_collapse_are_not_distinct():
    rng = np.random.default_rng(0)
    source = {name: rng.normal(size=500) for name in "ab"}
    collapsed = {name: np.zeros(500) for name in "ab"}
    found = measure_augmented(source, collapsed)
    assert "distinct" in names(found)
    assert found.diversity.distinct == pytest.approx(1 / 500)
    assert found.diversity.within_augmented == 0.0
    assert found.changes is None


def test_one_op_that_does_all_is_warned_of(rows):
    policy = aug.AugmentationPolicy(
        [ops.IdDropout("item", rate=0.3), ops.IdDropout("user", rate=0.01)], key_features=KEYS
    )
    (warning,) = [w for w in measure_augmented(rows, policy).warnings if w.name == "one_op"]
    assert "'id_dropout:item'" in warning.message
    assert 0.9 < warning.number < 1.0


def test_labels_that_are_shuffled_are_warned_of(rows):
    shuffled = dict(rows, liked=np.random.default_rng(1).permutation(rows["liked"]))
    found = measure_augmented(rows, shuffled, parents=np.arange(ROWS), label="liked")
    assert names(found) >= {"labels_changed", "label_consistency"}
    # The teacher's mind is not changed, since it does not see the label; the label is.
    assert found.labels.stays == 1.0
    assert found.labels.carried == pytest.approx(np.mean(shuffled["liked"] != rows["liked"]))
    assert found.labels.skill > 0.9
    without = measure_augmented(rows, shuffled, label="liked")
    assert math.isnan(without.labels.stays)
    assert "label_consistency" in names(without)


def test_a_teacher_that_knows_nothing_warns_of_nothing(rows):
    noise = dict(rows, liked=np.random.default_rng(2).integers(0, 2, ROWS))
    mask = aug.AugmentationPolicy([ops.FeatureMask("brand", rate=0.9)], key_features=KEYS)
    found = measure_augmented(noise, mask, label="liked")
    assert not found.labels.skilled
    assert "label_consistency" not in names(found)


@pytest.mark.parametrize("kind", ["shares", "labels", "number"])
def test_a_model_of_ones_own_can_judge(rows, kind):
    def predict(columns):
        likes = np.isin(columns["brand"], [b"b0", b"b1", b"b2"])
        if kind == "shares":
            return np.stack([1.0 - likes, likes], axis=1).astype(np.float32)
        return likes.astype(np.int64) if kind == "labels" else columns["age"] / 10

    swap = aug.AugmentationPolicy([ops.FeatureMask("brand", rate=0.5)], key_features=KEYS)
    label = "age" if kind == "number" else "liked"
    found = measure_augmented(rows, swap, predict=predict, label=label).labels
    if kind == "number":
        assert found.stays == 1.0
        assert found.tolerance > 0
        return
    # A masked brand is none of those that are liked.
    liked = np.isin(rows["brand"], [b"b0", b"b1", b"b2"]).mean()
    assert found.stays == pytest.approx(1 - 0.5 * liked, abs=0.06)
    assert found.by_op["feature_mask:brand"].alone


def test_numbers_and_several_classes_are_labels_too(rows):
    more = dict(rows, price=(rows["age"] * 2 + rows["time"] % 3).astype(np.float32))
    mask = aug.AugmentationPolicy([ops.FeatureMask("age", rate=0.8)], key_features=KEYS)
    number = measure_augmented(more, mask, label="price").labels
    assert number.measure == "variance explained"
    assert number.skill > 0.9
    assert number.consistency < 0.5
    classes = measure_augmented(rows, mask, label="brand").labels
    assert classes.measure == "accuracy gained"
    assert math.isnan(classes.shift)
    assert classes.stays > 0.95
    positive = measure_augmented(rows, mask, label="brand", positive=["b0", "b1"]).labels
    assert positive.measure == "AUC"


def test_a_job_says_which_rows_are_whose(rows, mild, tmp_path):
    records = aug.datasets.Interactions.from_tables(
        {**{n: rows[n] for n in ("user", "item", "time")}, "liked": rows["liked"]},
        {"item": np.unique(rows["item"])},
        {"user": np.unique(rows["user"])},
        user_id="user",
        item_id="item",
        timestamp="time",
    )
    policy = aug.AugmentationPolicy(
        [ops.IdDropout("item", rate=0.2), ops.IdDropout("user", rate=0.2)], key_features=KEYS
    )
    records.write_tfrecords(tmp_path / "in")
    aug.beam.run(
        policy, input=str(tmp_path / "in/*"), output=str(tmp_path / "out"), copies=2, progress=False
    )
    read = read_rows(
        str(tmp_path / "out/augmented-*"),
        columns=["user", "item", "time", "liked", "aug/parent_key", "aug/draw"],
        schema=Schema(
            {"user": "bytes", "item": "bytes", "time": "int64", "liked": "int64",
             "aug/parent_key": "int64", "aug/draw": "int64"}
        ),
        lists=True,
    ).table  # fmt: skip
    of_job = measure_augmented(records, read, policy=policy)
    made = measure_augmented(records, policy, copies=2)
    assert of_job.notes == (f"{ROWS:,} originals among the augmented rows are left out.",)
    assert of_job.changes == made.changes
    assert of_job.changes.known == 1.0
    # The output alone is enough: its originals are the source.
    alone = measure_augmented(read, read, policy=policy)
    assert alone.changes == made.changes
    # Another policy than the one that made the rows is found out.
    other = dataclasses.replace(policy, seed=5)
    with_other = measure_augmented(records, read, policy=other)
    assert with_other.changes.by_op == {}
    assert "does not give these rows" in with_other.notes[-1]


def test_embeddings_that_fall_together_are_warned_of(rows, mild):
    def embed(columns):
        point = np.unique(columns["brand"], return_inverse=True)[1].astype(np.float64)
        return np.stack([point, np.sqrt(point + columns["age"])], axis=1)

    spread = measure_augmented(rows, rows, embed=embed, parents=np.arange(ROWS)).spread
    assert spread.variance_share == spread.rank_share == pytest.approx(1.0)
    assert spread.moved == 0.0
    constant = dict(rows, brand=np.full(ROWS, b"b1"))
    found = measure_augmented(rows, constant, embed=embed)
    assert "spread" in names(found)
    assert found.spread.variance_share < 0.5


def test_effective_rank_is_the_exponential_of_the_entropy():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 5)) * [4, 2, 1, 0.5, 0.0]
    values = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    shares = values[values > 0] / values.sum()
    assert effective_rank(points) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), 1e-6)
    assert math.isnan(effective_rank(np.full((3, 2), 0.1)))


def test_lists_are_compared_as_a_whole():
    before = Ragged.from_lists([[b"a", b"b"], [b"b"], [], [b"a"]], dtype="S")
    after = Ragged.from_lists([[b"b", b"a"], [b"b"], [], [b"a", b"a"]], dtype="S")
    pair = pair_tables({"x": before}, {"x": after}, parents=[0, 1, 2, 3])
    assert Cells.of(pair).changed[:, 0].tolist() == [True, False, False, True]


def test_a_table_may_hold_lists_frames_tensors_and_gaps():
    import pandas

    plain = {"x": [[1, 2], [], [3]], "name": ["a", None, "c"], "n": [1.0, float("nan"), 3.0]}
    frame = pandas.DataFrame(plain)
    tensors = {
        "x": tf.ragged.constant([[1, 2], [], [3]], dtype=tf.int64),
        "name": tf.constant(["a", "", "c"]),
        "n": tf.constant([1.0, float("nan"), 3.0]),
    }
    for given in (plain, frame, tensors):
        found = measure_augmented(given, plain, parents=[0, 1, 2])
        assert found.changes.cells == 0.0
        assert {shift.name: shift.kind for shift in found.columns}["x"] == "list"


def test_integers_that_are_ids_count_as_text():
    ids = np.arange(30) % 7 + 2**60
    gaps = Ragged(np.arange(29) % 7 + 2**30, np.minimum(np.arange(31), 29))
    found = measure_augmented({"id": ids, "gap": gaps}, {"id": ids, "gap": gaps})
    assert {shift.name: shift.kind for shift in found.columns} == {
        "id": "category",
        "gap": "category",
    }


def test_a_regression_of_ratings_is_judged_by_its_error(rows):
    rated = dict(rows, rating=(1 + rows["time"] % 5).astype(np.float32))

    def predict(columns):
        return columns["age"] / 20

    mask = aug.AugmentationPolicy([ops.FeatureMask("age", rate=0.5)], key_features=KEYS)
    labels = measure_augmented(rated, mask, label="rating", predict=predict).labels
    error = np.sqrt(np.mean((rated["age"] / 20 - rated["rating"]) ** 2))
    assert labels.tolerance == pytest.approx(float(error), rel=1e-5)
    with pytest.raises(InvalidArgumentError, match="labels or shares where the label 'brand'"):
        measure_augmented(rows, mask, label="brand", predict=predict)


def test_parents_that_are_all_unknown_are_none(rows):
    found = measure_augmented(rows, rows, parents=np.full(ROWS, -1), label="liked")
    assert found.changes is None
    assert math.isnan(found.labels.stays)


def test_columns_that_cannot_be_measured_are_named(rows):
    more = dict(rows, photo=np.zeros((ROWS, 2, 2, 3), np.uint8), only=rows["age"])
    found = measure_augmented(more, {k: v for k, v in more.items() if k != "only"})
    assert set(found.left_out) == {"photo", "only"}


def test_large_tables_are_measured_on_a_sample_that_is_said(rows, mild):
    sampled = measure_augmented(rows, mild, copies=2, max_rows=400, seed=3)
    again = measure_augmented(rows, mild, copies=2, max_rows=400, seed=3)
    assert sampled.to_dict() == again.to_dict()
    assert "sample: 200 of 1,200" in sampled.notes[0]
    assert sampled.rows["augmented"] == 2 * ROWS
    apart = measure_augmented(rows, rows, max_rows=300)
    assert "300 of 1,200 source rows and 300 of 1,200" in apart.notes[0]
    paired = measure_augmented(rows, rows, parents=np.arange(ROWS), max_rows=300)
    assert paired.changes.cells == 0.0


def test_limits_can_be_moved_and_taken_away(rows):
    policy = aug.AugmentationPolicy([ops.IdDropout("item", rate=0.5)], key_features=KEYS)
    strict = measure_augmented(rows, policy)
    assert names(strict) == {"drift", "one_op"}
    loose = AugmentationLimits(drift=0.5, one_op=None)
    assert names(measure_augmented(rows, policy, limits=loose)) == set()


def test_chance_between_different_rows_is_no_drift():
    few = make_rows(60, seed=1), make_rows(60, seed=2)
    found = measure_augmented(*few, columns=["age", "brand"])
    assert max(shift.drift.distance for shift in found.columns) > 0.1
    assert not names(found) & {"drift", "number_drift"}


def test_json_plot_and_table(found, tmp_path):
    found.to_json(tmp_path / "data.json")
    read = json.loads((tmp_path / "data.json").read_text(), parse_constant=pytest.fail)
    assert read["format_version"] == 1
    assert read["columns"]["item"]["kind"] == "category"
    assert read["labels"]["label"] == "liked"
    for one in read["distributions"]:
        assert sum(one["source"]) == pytest.approx(1.0)
        assert sum(one["augmented"]) == pytest.approx(1.0)
    found.plot(tmp_path / "data.png")
    assert (tmp_path / "data.png").read_bytes().startswith(b"\x89PNG")
    assert "| item | category |" in found.table()


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"source": 3}, InvalidArgumentError, "`source` must be"),
        ({"source": {}}, DataError, "`source` must have columns"),
        ({"source": {"x": [1, 2], "y": [1]}}, DataError, "columns of one length"),
        ({"source": {"x": [1]}}, DataError, "`source` must have at least 2 rows"),
        ({"augmented": {"x": [1]}}, DataError, "`augmented` must have at least 2 rows"),
        ({"augmented": {"x": ["a", "b", "c"]}}, DataError, "of one kind in both"),
        ({"augmented": {"y": [1, 2, 3]}}, DataError, "must share a column"),
        ({"columns": ["z"]}, UnknownFeatureError, "`columns` names 'z'"),
        ({"parents": [0, 1]}, InvalidArgumentError, "`parents` must be 3 integers"),
        ({"parents": [0, 1, 7]}, InvalidArgumentError, "from 0 to 7"),
        ({"copies": 0}, InvalidArgumentError, "`copies` must be"),
        ({"max_rows": 10}, InvalidArgumentError, "`max_rows` must be"),
        ({"seed": -1}, InvalidArgumentError, "`seed` must be"),
        ({"limits": {"drift": 1}}, InvalidArgumentError, "`limits` must be"),
        ({"label": "z"}, UnknownFeatureError, "`label` must be"),
        ({"label": "x"}, DataError, "A teacher needs"),
        ({"predict": lambda columns: np.zeros(1)}, DataError, "`predict` must return"),
        ({"embed": lambda columns: np.zeros(3)}, DataError, "`embed` must return"),
    ],
)
def test_what_is_wrong_is_named(wrong, error, match):
    given = {"source": {"x": [1, 2, 3]}, "augmented": {"x": [1, 2, 4]}, **wrong}
    with pytest.raises(error, match=match):
        measure_augmented(given.pop("source"), given.pop("augmented"), **given)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, "much", True])
def test_a_limit_must_be_a_share(wrong):
    with pytest.raises(InvalidArgumentError, match="`drift` must be in"):
        AugmentationLimits(drift=wrong)


def test_what_goes_together_is_said(rows, mild):
    with pytest.raises(InvalidArgumentError, match="`policy` and `parents` go with"):
        measure_augmented(rows, mild, policy=mild)
    with pytest.raises(UnknownFeatureError, match="`policy` uses the feature 'item'"):
        measure_augmented({k: v for k, v in rows.items() if k != "item"}, mild)
    with pytest.raises(InvalidArgumentError, match="`label` must be given"):
        measure_augmented(rows, mild, predict=lambda columns: columns["age"])


def test_without_scikit_learn_the_message_says_what_to_install(rows, mild, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(aug.errors.AugmentError, match="scikit-learn is needed"):
        measure_augmented(rows, mild, label="liked")


@pytest.mark.skipif(tfdv_statistics.is_installed(), reason="Data Validation is installed")
def test_without_data_validation_its_part_is_left_out(rows):
    assert measure_augmented(rows, rows).statistics is None
