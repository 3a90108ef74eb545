"""Extra negatives: which, with which probabilities, and the loss of the retrieval task with them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tests.tasks import reference
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError

IDS = np.array([b"m%d" % i for i in range(6)])
COUNTS = np.array([5, 3, 2, 0, 0, 10])
ITEMS = {"movie_id": IDS, "kind": np.array([b"a", b"b"] * 3)}
TABLE = np.random.default_rng(4).normal(size=(7, 3)).astype(np.float32)
BATCH = np.array([b"m0", b"m5", b"m5", b"m2"])


def place(ids) -> np.ndarray:
    """The row of the table: the last one stands for unknown ids."""
    return np.array([int(one[1:]) if one.startswith(b"m") else 6 for one in np.asarray(ids)])


def embedded(ids) -> np.ndarray:
    return TABLE[place(ids)]


class Model(tfrs.Model):
    """Looks ids up in fixed tables; keeps what its item tower is given."""

    def __init__(self, probabilities=None, **task):
        super().__init__()
        self.task = tfrs.tasks.Retrieval(**task)
        self._probabilities, self._seen = probabilities, []

    def item_model(self, features):
        self._seen.append(features["movie_id"].numpy())
        return tf.constant(embedded(features["movie_id"].numpy()))

    def compute_loss(self, features, training=False):
        given = {}
        if self._probabilities is not None:
            given["candidate_sampling_probability"] = tf.constant(self._probabilities, tf.float32)
        return self.task(
            features["query"],
            self.item_model(features),
            candidate_ids=features["movie_id"],
            compute_metrics=False,
            **given,
        )


def tower(model, features):
    return model.item_model(features)


def batch() -> dict[str, tf.Tensor]:
    queries = np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)
    return {"movie_id": tf.constant(BATCH), "query": tf.constant(queries)}


def mixture(ids, count: int) -> np.ndarray:
    """What the docs say, for a batch of 4."""
    shares = (COUNTS / COUNTS.sum())[place(ids)]
    return (4 * shares + count / 6) / (4 + count)


def test_by_hand_they_come_with_ids_and_the_probabilities_of_the_mixture():
    model = Model()
    negatives = aug.tasks.MixedNegatives(tower, ITEMS, 9, ids="movie_id", counts=COUNTS)
    candidates, ids, probabilities = negatives(model, batch(), embedded(BATCH), draw=3)
    assert ids.numpy()[:4].tolist() == BATCH.tolist() and ids.shape == [13]
    np.testing.assert_array_equal(candidates, embedded(ids.numpy()))
    expected = mixture(ids.numpy(), 9)
    np.testing.assert_allclose(probabilities, expected / expected.max(), rtol=1e-6)
    again = negatives(model, batch(), embedded(BATCH), draw=3)
    other = negatives(model, batch(), embedded(BATCH), draw=4)
    assert (again[1] == ids).numpy().all() and not (other[1] == ids).numpy().all()
    kept = negatives(model, batch(), embedded(BATCH), training=False)
    assert (kept[0] == embedded(BATCH)).all() and kept[2] is None
    uncorrected = aug.tasks.MixedNegatives(tower, ITEMS, 9, ids="movie_id")
    assert uncorrected(model, batch(), embedded(BATCH))[2] is None


def test_items_are_drawn_evenly():
    negatives = aug.tasks.MixedNegatives(tower, ITEMS, 6000, ids="movie_id")
    _, ids, _ = negatives(Model(), batch(), embedded(BATCH))
    counts = np.bincount(place(ids.numpy()[4:]), minlength=6)
    assert (abs(counts - 1000) < 6 * np.sqrt(1000 * 5 / 6)).all()


@pytest.mark.parametrize("removes", [False, True])
@pytest.mark.parametrize("corrected", [False, True])
def test_in_wrap_the_loss_is_that_of_the_longer_softmax(removes, corrected):
    model = Model(remove_accidental_hits=removes, temperature=0.7)
    negatives = aug.tasks.MixedNegatives(
        tower, ITEMS, 5, ids="movie_id", counts=COUNTS if corrected else None
    )
    aug.wrap(model, None, tasks=[negatives], draw=2)
    loss = float(model.compute_loss(batch(), training=True))
    drawn = next(one for one in model._seen if len(one) == 5)
    ids = np.concatenate([BATCH, drawn])
    # Without removal TFRS takes an item of the batch as its own negative; a drawn one never is.
    expected = reference.sampled_softmax(
        batch()["query"].numpy(),
        embedded(ids),
        BATCH,
        ids if removes else np.concatenate([[b"0", b"1", b"2", b"3"], drawn]),
        mixture(ids, 5) if corrected else None,
        temperature=0.7,
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    plain = Model(remove_accidental_hits=removes, temperature=0.7)
    assert float(model.compute_loss(batch())) == float(plain.compute_loss(batch()))


def test_probabilities_of_the_model_join_those_of_the_drawn_items():
    shares = np.array([0.4, 0.3, 0.3, 0.2], np.float32)
    model = Model(shares, remove_accidental_hits=True)
    negatives = aug.tasks.MixedNegatives(tower, ITEMS, 5, ids="movie_id", counts=COUNTS)
    aug.wrap(model, None, tasks=[negatives], draw=0)
    loss = float(model.compute_loss(batch(), training=True))
    drawn = next(one for one in model._seen if len(one) == 5)
    ids = np.concatenate([BATCH, drawn])
    probabilities = mixture(ids, 5)
    probabilities[:4] = (4 * shares + 5 / 6) / 9
    expected = reference.sampled_softmax(
        batch()["query"].numpy(), embedded(ids), BATCH, ids, probabilities
    )
    assert loss == pytest.approx(expected, rel=1e-5)
    aug.wrap(model, None, tasks=[aug.tasks.MixedNegatives(tower, ITEMS, 5, ids="movie_id")])
    with pytest.raises(InvalidArgumentError, match="MixedNegatives needs `counts`"):
        model.compute_loss(batch(), training=True)


def test_the_policy_augments_drawn_items_too():
    policy = aug.AugmentationPolicy(
        [
            aug.ops.IdDropout("movie_id", rate=0.5),
            aug.ops.GaussianNoise("query", stddev=1.0),
            aug.ops.FeatureMask(("kind", "query"), rate=0.5),
        ],
        key_features=("movie_id",),
    )
    model = Model(remove_accidental_hits=True)
    negatives = aug.tasks.MixedNegatives(tower, ITEMS, 400, ids="movie_id")
    rows = {**batch(), "kind": tf.constant(["a", "b", "a", "b"])}
    aug.wrap(model, policy, tasks=[negatives], draw=1)
    model.compute_loss(rows, training=True)
    drawn = next(one for one in model._seen if len(one) == 400)
    dropped = (drawn == b"[UNK]").sum()
    assert abs(dropped - 200) < 6 * 10
    # The ids that the task compares are those of before.
    aug.layers.unwrap(model)
    by_hand = aug.tasks.MixedNegatives(tower, ITEMS, 400, ids="movie_id", policy=policy)
    _, ids, _ = by_hand(model, rows, embedded(BATCH), draw=1)
    assert not (ids == "[UNK]").numpy().any()
    assert (model._seen[-1] == b"[UNK]").sum() == dropped


def test_the_metrics_of_the_corpus_are_those_of_the_batch():
    class WithMetrics(tutorials.Retrieval):
        def __init__(self):
            super().__init__(top_k=False)
            movies = tf.data.Dataset.from_tensor_slices(tutorials.MOVIES).batch(8)
            movies = movies.map(lambda titles: (titles, self.movie_model(titles)))
            self.task.factorized_metrics = [tfrs.metrics.FactorizedTopK(movies, ks=(5,))]

        def compute_loss(self, features, training=False):
            movies = self.movie_model(features["movie_title"])
            users = self.user_model(features["user_id"])
            return self.task(users, movies, candidate_ids=features["movie_title"])

    negatives = aug.tasks.MixedNegatives(
        lambda model, features: model.movie_model(features["movie_title"]),
        {"movie_title": np.array(tutorials.MOVIES)},
        30,
        ids="movie_title",
    )
    losses, recalls = [], []
    for tasks in ([], [negatives]):
        tf_keras.utils.set_random_seed(1)
        model = WithMetrics()
        if tasks:
            aug.wrap(model, None, tasks=tasks)
        model.compile("sgd")
        history = model.fit(tutorials.dataset(), steps_per_epoch=1, verbose=0).history
        losses.append(history["loss"][0])
        recalls.append(history["factorized_top_k/top_5_categorical_accuracy"][0])
    assert losses[1] > losses[0] + 1 and recalls[0] == recalls[1] > 0


def test_a_model_with_several_retrieval_tasks_must_say_which():
    class Two(tutorials.Retrieval):
        def __init__(self):
            super().__init__(top_k=False)
            self.second = tfrs.tasks.Retrieval()

    def item(model, features):
        return model.movie_model(features["movie_title"])

    items = {"movie_title": np.array(tutorials.MOVIES)}
    model = aug.wrap(
        Two(), None, tasks=[aug.tasks.MixedNegatives(item, items, 4, ids="movie_title")]
    )
    with pytest.raises(InvalidArgumentError, match="Name it: retrieval=lambda model"):
        model.compute_loss(tutorials.batch(), training=True)
    named = aug.tasks.MixedNegatives(
        item, items, 4, ids="movie_title", retrieval=lambda model: model.task
    )
    plain, extended = Two(), Two()
    plain.compute_loss(tutorials.batch()), extended.compute_loss(tutorials.batch())
    extended.set_weights(plain.get_weights())
    aug.wrap(extended, None, tasks=[named])
    more = extended.compute_loss(tutorials.batch(), training=True)
    assert float(more) > float(plain.compute_loss(tutorials.batch(), training=True))


def test_arguments_are_checked():
    for arguments, message in (
        ({"count": 0}, "`count` of MixedNegatives must be an integer of at least 1"),
        ({"tower": 1}, "`tower` of MixedNegatives must be a function"),
        ({"counts": [1, 2]}, "one number an item. Received: shape"),
        ({"counts": [0] * 6}, "not all 0"),
        ({"counts": [-1, 1, 1, 1, 1, 1]}, "none below 0"),
        ({"items": {"movie_id": IDS[[0, 0, 1, 2, 3, 4]]}, "counts": COUNTS}, "each id once"),
    ):
        given = {"tower": tower, "items": ITEMS, "count": 3, "ids": "movie_id", **arguments}
        with pytest.raises((InvalidArgumentError, DataError), match=message):
            aug.tasks.MixedNegatives(
                given.pop("tower"), given.pop("items"), given.pop("count"), **given
            )
    with pytest.raises(UnknownFeatureError, match="`ids` names 'movie', which `items` lacks. Did"):
        aug.tasks.MixedNegatives(tower, ITEMS, 3, ids="movie")
    negatives = aug.tasks.MixedNegatives(tower, ITEMS, 3, ids="movie_id")
    with pytest.raises(InvalidArgumentError, match="in the form of the task's candidate_ids"):
        negatives(Model(), batch(), embedded(BATCH), ids=tf.constant([0, 1, 2, 3]))
    with pytest.raises(UnknownFeatureError, match="needs the ids of the positives"):
        negatives(Model(), {"query": batch()["query"]}, embedded(BATCH))


def test_integer_ids_of_either_width():
    items = {"item": np.arange(5, dtype=np.int64)}
    negatives = aug.tasks.MixedNegatives(
        lambda model, features: tf.one_hot(features["item"], 5),
        items,
        3,
        ids="item",
        counts=[1] * 5,
    )
    features = {"item": tf.constant([[1], [4]], tf.int32)}
    _, ids, probabilities = negatives(None, features, tf.one_hot([1, 4], 5))
    assert ids.dtype == tf.int64 and ids.shape == [5]
    np.testing.assert_allclose(probabilities, np.ones(5))


def hardest(queries, drawn, count: int, margin: float = 0.0) -> np.ndarray:
    """Which drawn ids are hard negatives of which query, by sorting."""
    chosen = np.zeros((len(queries), len(drawn)), bool)
    for row, query in enumerate(queries):
        scores, own = embedded(drawn) @ query, embedded(BATCH[row : row + 1])[0] @ query
        order = np.argsort(-scores)
        allowed = [j for j in order if scores[j] <= own + margin and drawn[j] != BATCH[row]]
        if allowed:
            last = scores[allowed[:count][-1]]
            chosen[row] = [j in allowed and scores[j] >= last for j in range(len(drawn))]
    return chosen


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_hard_negatives_are_the_best_below_the_positive(margin):
    model = Model()
    negatives = aug.tasks.HardNegatives(
        tower, ITEMS, 20, 2, ids="movie_id", margin=margin, counts=COUNTS
    )
    queries = batch()["query"].numpy()
    candidates, ids, probabilities, mask = negatives(model, batch(), queries, embedded(BATCH))
    drawn = ids.numpy()[4:]
    expected = hardest(queries, drawn, 2, margin)
    assert mask.numpy()[:, :4].all() and expected.any() and not expected.all()
    np.testing.assert_array_equal(mask.numpy()[:, 4:], expected)
    np.testing.assert_array_equal(candidates, embedded(ids.numpy()))
    shares = mixture(ids.numpy(), 20)
    np.testing.assert_allclose(probabilities, shares / shares.max(), rtol=1e-6)
    idle = negatives(model, batch(), queries, embedded(BATCH), training=False)
    assert len(idle) == 4 and idle[3] is None


@pytest.mark.parametrize("removes", [False, True])
def test_in_wrap_a_query_has_its_hard_negatives_alone(removes):
    model = Model(remove_accidental_hits=removes)
    negatives = aug.tasks.HardNegatives(tower, ITEMS, 20, 2, ids="movie_id")
    aug.wrap(model, None, tasks=[negatives], draw=0)
    loss = float(model.compute_loss(batch(), training=True))
    queries = batch()["query"].numpy()
    drawn = next(one for one in model._seen if len(one) == 20)
    chosen, expected = hardest(queries, drawn, 2), 0.0
    for row in range(4):
        ids = np.concatenate([BATCH, drawn[chosen[row]]])
        own = ids if removes else np.array([b"%d" % i for i in range(len(ids))])
        order = [row, *(i for i in range(len(ids)) if i != row)]
        expected += reference.sampled_softmax(
            queries[row : row + 1], embedded(ids)[order], own[order][:1], own[order]
        )
    assert loss == pytest.approx(expected, rel=1e-5)


def test_hard_negatives_check_their_arguments():
    for arguments, message in (
        ((0, 1), "`pool` of HardNegatives must be an integer of at least 1"),
        ((5, 0), "`count` of HardNegatives must be an integer of at least 1"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            aug.tasks.HardNegatives(tower, ITEMS, *arguments, ids="movie_id")
    with pytest.raises(InvalidArgumentError, match="`margin` of HardNegatives must be a finite"):
        aug.tasks.HardNegatives(tower, ITEMS, 5, 1, ids="movie_id", margin=float("nan"))
    heads = aug.tasks.HardNegatives(tower, ITEMS, 5, 1, ids="movie_id")
    with pytest.raises(DataError, match="one embedding a query"):
        heads(Model(), batch(), tf.zeros([4, 2, 3]), embedded(BATCH))
