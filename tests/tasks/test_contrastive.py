"""The contrastive loss: its number, its views, its rows, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

import tfrs_augment as aug
from tests.tasks import reference
from tfrs_augment.datasets.interactions import Ragged
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.tasks.views import identity_of

ITEMS = {
    "movie_id": np.array([b"m%d" % i for i in range(12)]),
    "genre": np.array([b"g%d" % (i % 3) for i in range(12)]),
    "year": np.linspace(-1, 1, 12).astype(np.float32),
}


def columns(count: int = 12) -> dict[str, tf.Tensor]:
    return {name: tf.constant(values[:count]) for name, values in ITEMS.items()}


def tower(model, features) -> tf.Tensor:
    """A fixed embedding of every column, so that a hidden one shows."""
    parts = [
        tf.cast(tf.strings.to_hash_bucket_fast(features[name], 97), tf.float32) * scale
        for name in ("movie_id", "genre")
        for scale in (0.01, 0.03)
    ]
    return tf.stack([*map(tf.sin, parts), features["year"]], axis=1)


def views(**arguments) -> aug.AugmentationPolicy:
    return aug.AugmentationPolicy(
        [aug.ops.FeatureMask(("movie_id", "genre", "year"), rate=0.4)], seed=3, **arguments
    )


class Recording:
    """A tower that keeps what it is given."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, features):
        self.seen.append({name: values.numpy().tolist() for name, values in features.items()})
        return tower(model, features)


def test_info_nce_is_the_papers_formula():
    numbers = np.random.default_rng(1)
    first, second = numbers.normal(size=(2, 7, 4))
    for temperature in (0.1, 1.0):
        found = aug.tasks.info_nce(first, second, temperature=temperature)
        assert float(found) == pytest.approx(
            reference.info_nce(first, second, temperature), rel=1e-5
        )
    assert float(aug.tasks.info_nce(tf.zeros([0, 4]), tf.zeros([0, 4]))) == 0.0


def test_equal_rows_are_not_negatives_of_one_another():
    numbers = np.random.default_rng(1)
    first, second = numbers.normal(size=(2, 6, 4))
    identity = np.array([5, 6, 5, 7, 7, 5])
    found = aug.tasks.info_nce(first, second, identity=tf.constant(identity))
    expected = reference.info_nce(first, second, 0.1, identity)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert expected < reference.info_nce(first, second, 0.1) - 0.01


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_views_of_the_batch_are_two_draws_of_the_policy(reduction):
    policy = views(key_features=("movie_id",))
    task = aug.tasks.Contrastive(
        tower, views=policy, batch_size=8, weight=0.5, reduction=reduction, identity="movie_id"
    )
    rows = columns()
    head = {name: column[:8] for name, column in rows.items()}
    for draw in (0, 3):
        embedded = [
            tower(None, policy.augment(head, draw=number)).numpy()
            for number in (2 * draw, 2 * draw + 1)
        ]
        assert not np.allclose(*embedded)
        mean = reference.info_nce(*embedded, 0.1)
        expected = 0.5 * mean * (12 if reduction == "sum" else 1)
        assert float(task(None, rows, draw=draw)) == pytest.approx(expected, rel=1e-5)
    assert float(task(None, rows, training=False)) == 0.0


def test_the_draw_number_counts_the_calls_where_none_is_given():
    task = aug.tasks.Contrastive(tower, views=views())
    counted = [float(task(None, columns())) for _ in range(3)]
    assert counted == [float(task(None, columns(), draw=draw)) for draw in range(3)]
    assert len(set(counted)) == 3
    assert [one.name for one in task.variables] == ["draw:0"] and not task.trainable_variables


def test_a_small_catalogue_is_taken_whole_whatever_the_batch():
    record = Recording()
    task = aug.tasks.Contrastive(record, views=views(), items=ITEMS)
    batch = {"unrelated": tf.zeros([40])}
    loss = task(None, batch, draw=1)
    assert [len(seen["year"]) for seen in record.seen] == [12, 12]
    first, second = record.seen
    assert first != second
    shown = {one for view in record.seen for one in view["movie_id"]}
    assert shown == {*ITEMS["movie_id"].tolist(), b"[UNK]"}
    embedded = [
        tower(None, {name: tf.constant(values) for name, values in view.items()}).numpy()
        for view in record.seen
    ]
    expected = 0.3 * 40 * reference.info_nce(*embedded, 0.1)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_items_are_drawn_evenly_and_by_the_step():
    catalogue = {"item": np.arange(400), "other": np.zeros(400, np.int64), "kept": np.arange(400)}
    seen = []

    def keep(model, features):
        seen.append(features["kept"].numpy())
        return tf.ones([320, 1])

    task = aug.tasks.Contrastive(keep, mask=("item", "other"), items=catalogue, batch_size=320)
    for draw in (*range(10), 0):
        task(None, columns(), draw=draw)
    assert all((one == other).all() for one, other in zip(seen[::2], seen[1::2]))
    assert (seen[0] == seen[-1]).all() and (seen[0] != seen[2]).any()
    counts = np.bincount(np.concatenate(seen[:20:2]), minlength=400)
    # 8 a cell: a chi-squared of 399 degrees of freedom, within six of its deviations.
    assert abs(((counts - 8) ** 2 / 8).sum() - 399) < 6 * np.sqrt(2 * 399)


def test_an_item_that_is_drawn_twice_is_not_its_own_negative():
    def constant(model, features):
        return tf.one_hot(features["kept"], 3)

    # 3 items, 2 drawn a step: with the mask far from what the tower reads, equal items embed alike.
    task = aug.tasks.Contrastive(
        constant,
        mask=("a", "b"),
        items={"kept": np.arange(3), "a": np.arange(3), "b": np.arange(3)},
        batch_size=2,
        reduction="mean",
        weight=1.0,
        temperature=1.0,
    )
    found = {round(float(task(None, columns(), draw=draw)), 4) for draw in range(12)}
    apart = round(float(-np.log(np.e / (np.e + 1))), 4)
    assert found == {0.0, apart}


def test_rows_of_the_batch_are_told_apart_by_all_that_the_views_change():
    def row(index):
        return {
            "ids": tf.ragged.constant([["a", "b"], ["b", "a"], ["a", "b"], []])[index : index + 1],
            "pair": tf.constant([[1, 2], [1, 2], [1, 2], [2, 1]])[index : index + 1],
        }

    rows = [row(i) for i in (0, 1, 2, 3)]
    batch = {name: tf.concat([one[name] for one in rows], 0) for name in ("ids", "pair")}
    found = identity_of(batch, ("ids", "pair")).numpy()
    assert found[0] == found[2] and len(set(found.tolist())) == 3


def test_nested_features_and_ragged_catalogues():
    catalogue = {
        "movie_id": ITEMS["movie_id"],
        "tags": Ragged.from_lists([[b"a"] * (i % 3) for i in range(12)], dtype="S"),
    }

    def lengths(model, features):
        inner = features.get("item", features)
        tags = tf.strings.to_hash_bucket_fast(inner["tags"].flat_values, 11)
        total = tf.math.unsorted_segment_sum(
            tags, inner["tags"].value_rowids(), inner["tags"].nrows()
        )
        known = tf.cast(inner["movie_id"] != "[UNK]", tf.float32)
        return tf.stack([tf.cast(total, tf.float32), known, tf.ones_like(known)], axis=1)

    batch = {
        "item": {
            "movie_id": tf.constant(catalogue["movie_id"]),
            "tags": catalogue["tags"].to_tf(),
        }
    }
    for items in (None, catalogue):
        task = aug.tasks.Contrastive(lengths, mask=("movie_id", "tags"), items=items)
        graph = tf.function(lambda rows, task=task: task(None, rows, draw=2))
        assert float(task(None, batch, draw=2)) > 0
        assert float(graph(batch)) == pytest.approx(float(task(None, batch, draw=2)), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": ("movie_id",)}, "`mask` of Contrastive must name at least two features"),
        ({"mask": "movie_id"}, "`mask` of Contrastive must name at least two features"),
        ({}, "either `views`, a policy, or `mask`"),
        ({"mask": ("a", "b"), "views": views()}, "either `views`, a policy, or `mask`"),
        ({"mask": ("a", "b"), "weight": 0}, "`weight` of Contrastive must be a finite number"),
        ({"mask": ("a", "b"), "temperature": -1}, "`temperature` of Contrastive must be"),
        ({"mask": ("a", "b"), "dropout": 1.0}, "`dropout` must be in"),
        ({"mask": ("a", "b"), "batch_size": 1}, "`batch_size` of Contrastive must be at least 2"),
        ({"mask": ("a", "b"), "batch_size": 0.5}, "`batch_size` of Contrastive must be an integer"),
        ({"mask": ("a", "b"), "reduction": "none"}, "must be one of sum, mean. Received"),
        ({"mask": ("a", "b"), "seed": -1}, "`seed` of Contrastive must be an integer in"),
        ({"views": [1]}, "`policy` of Contrastive must be an AugmentationPolicy"),
        ({"mask": ("movie_id", "year"), "items": []}, "must be a dict of the catalogue's columns"),
        (
            {"mask": ("movie_id", "year"), "items": ITEMS, "identity": "movie_id"},
            "`identity` of Contrastive is for batches",
        ),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        aug.tasks.Contrastive(tower, **arguments)


def test_the_tower_must_be_a_function():
    with pytest.raises(InvalidArgumentError, match=r"must be a function of \(model, features\)"):
        aug.tasks.Contrastive("movie_model", mask=("a", "b"))


def test_missing_features_are_named():
    with pytest.raises(
        UnknownFeatureError, match="`mask` names 'genres', which `items` lacks. Did"
    ):
        aug.tasks.Contrastive(tower, mask=("movie_id", "genres"), items=ITEMS)
    with pytest.raises(DataError, match="columns of one length"):
        aug.tasks.Contrastive(tower, mask=("a", "b"), items={"a": [1, 2], "b": [1]})
    task = aug.tasks.Contrastive(tower, mask=("movie_id", "genres"))
    with pytest.raises(UnknownFeatureError, match="'genres', which is missing from the batch"):
        task(None, columns())
    task = aug.tasks.Contrastive(
        lambda model, features: features["gender"], mask=("movie_id", "genre")
    )
    with pytest.raises(UnknownFeatureError, match="`tower` asks for feature 'gender'"):
        task(None, columns())


def test_it_is_a_task_and_works_by_hand_in_a_model():
    class Model(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.table = tf.Variable(tf.random.stateless_normal([8, 4], [1, 2]))
            self.contrastive = aug.tasks.Contrastive(
                lambda model, features: model.tower(features),
                mask=("movie_id", "genre"),
                items=ITEMS,
            )

        def tower(self, features):
            places = [
                tf.strings.to_hash_bucket_fast(features[name], 8) for name in ("movie_id", "genre")
            ]
            return tf.add_n([tf.gather(self.table, place) for place in places])

        def compute_loss(self, features, training=False):
            loss = tf.reduce_sum(self.table**2)
            return loss + self.contrastive(self, features, training=training)

    model = Model()
    assert isinstance(model.contrastive, tfrs.tasks.Task)
    model.compile("sgd")
    data = tf.data.Dataset.from_tensor_slices(columns()).batch(4)
    model.fit(data, epochs=2, verbose=0)
    assert int(model.contrastive.variables[0]) == 6
    evaluated = model.evaluate(data, return_dict=True, verbose=0)["loss"]
    assert evaluated == pytest.approx(float(tf.reduce_sum(model.table**2)), rel=1e-5)
