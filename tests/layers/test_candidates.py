"""The ids that retrieval tasks get: those from before the augmentation."""

from __future__ import annotations

import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tests.layers.tutorials import BATCH, KEYS, batch, dataset, policy
from tfrs_augment.errors import InvalidArgumentError, UnknownFeatureError
from tfrs_augment.layers import unwrap, wrap


class Spy(tfrs.tasks.Retrieval):
    """Keeps the ids that it is called with; its loss is the usual one."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self._seen = []

    @property
    def seen(self) -> list:
        """The ids of each call: a list, or None where none were given."""
        return list(self._seen)

    def call(
        self,
        query_embeddings,
        candidate_embeddings,
        sample_weight=None,
        candidate_sampling_probability=None,
        candidate_ids=None,
    ):
        self._keep(candidate_ids)
        return super().call(
            query_embeddings,
            candidate_embeddings,
            sample_weight=sample_weight,
            candidate_sampling_probability=candidate_sampling_probability,
            candidate_ids=candidate_ids,
        )

    def _keep(self, ids):
        if ids is None or tf.executing_eagerly():
            self._seen.append(None if ids is None else ids.numpy().tolist())
        else:
            tf.py_function(lambda values: self._seen.append(values.numpy().tolist()), [ids], [])


class Model(tfrs.Model):
    """Passes `ids(features)` to its task."""

    def __init__(self, task, ids=lambda features: features["movie_title"]):
        super().__init__()
        self.movie_model = tutorials.tower(tutorials.MOVIES)
        self.user_model = tutorials.tower(tutorials.USERS)
        self.task, self._ids = task, ids

    def compute_loss(self, features, training=False):
        return self.task(
            self.user_model(features["user_id"]),
            self.movie_model(features["movie_title"]),
            candidate_ids=self._ids(features),
        )


ORIGINAL = batch()["movie_title"].numpy().tolist()


def lookup(features):
    return tf.strings.to_hash_bucket_fast(features["movie_title"], 1000)


def test_ids_dropped_to_one_token_would_mask_every_negative():
    """What this is for: the loss of a batch whose ids are all dropped."""
    equal = tf.zeros([4], tf.int64)
    task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
    assert float(task(tf.eye(4), tf.eye(4), candidate_ids=equal)) == 0.0

    model, features = Model(tfrs.tasks.Retrieval(remove_accidental_hits=True)), batch()
    wrap(model, policy(1.0))
    found = float(model.compute_loss(features, training=True))
    dropped = {**features, "movie_title": tf.fill([BATCH], "[UNK]")}
    expected = model.task(
        model.user_model(dropped["user_id"]),
        model.movie_model(dropped["movie_title"]),
        candidate_ids=features["movie_title"],
    )
    assert found == pytest.approx(float(expected)) and found > 1.0


@pytest.mark.parametrize("removes", [True, False])
def test_a_column_is_recognized(removes):
    model = wrap(Model(Spy(remove_accidental_hits=removes)), policy())
    model.compute_loss(batch(), training=True)
    model.compute_loss(batch(), training=False)
    assert model.task.seen == [ORIGINAL, ORIGINAL]


def test_an_unchanged_column_is_passed_on():
    model = wrap(Model(Spy(remove_accidental_hits=True), lambda f: f["row"]), policy())
    model.compute_loss(batch(), training=True)
    assert model.task.seen == [list(range(BATCH))]


class AnyArguments(Spy):
    def call(self, *arguments):
        return super().call(*arguments)


@pytest.mark.parametrize("task", [Spy, AnyArguments])
def test_ids_given_by_position(task):
    class Positional(Model):
        def compute_loss(self, features, training=False):
            user = self.user_model(features["user_id"])
            movie = self.movie_model(features["movie_title"])
            return self.task(user, movie, None, None, features["movie_title"])

    model = wrap(Positional(task(remove_accidental_hits=True)), policy())
    model.compute_loss(batch(), training=True)
    assert model.task.seen == [ORIGINAL]


def test_no_ids_stay_no_ids():
    model = wrap(Model(Spy(), lambda features: None), policy(), original_ids="movie_title")
    model.compute_loss(batch(), training=True)
    assert model.task.seen == [None]


def test_the_sampling_probability_is_the_callers():
    given = tf.linspace(0.1, 0.9, BATCH)
    seen = []

    class Corrected(tfrs.tasks.Retrieval):
        def call(self, queries, candidates, candidate_sampling_probability, candidate_ids):
            seen.append(candidate_sampling_probability)
            return super().call(
                queries,
                candidates,
                candidate_sampling_probability=candidate_sampling_probability,
                candidate_ids=candidate_ids,
            )

    class WithProbability(Model):
        def compute_loss(self, features, training=False):
            return self.task(
                self.user_model(features["user_id"]),
                self.movie_model(features["movie_title"]),
                candidate_sampling_probability=given,
                candidate_ids=features["movie_title"],
            )

    wrap(WithProbability(Corrected()), policy()).compute_loss(batch(), training=True)
    assert len(seen) == 1 and seen[0] is given


class Holder(tf_keras.layers.Layer):
    def __init__(self, task):
        super().__init__()
        self.inner = {"task": task}


@pytest.mark.parametrize(
    ("put", "get"),
    [
        (lambda task: [task], lambda held: held[0]),
        (lambda task: {"movies": (task,)}, lambda held: held["movies"][0]),
        (lambda task: Holder(task), lambda held: held.inner["task"]),
        (lambda task: Model(task), lambda held: held.task),
    ],
    ids=["list", "dict", "layer", "model"],
)
def test_tasks_are_found_wherever_they_are(put, get):
    class Elsewhere(Model):
        def __init__(self, held):
            super().__init__(None)
            self.held = held

        def compute_loss(self, features, training=False):
            self.task = None
            return get(self.held)(
                self.user_model(features["user_id"]),
                self.movie_model(features["movie_title"]),
                candidate_ids=features["movie_title"],
            )

    task = Spy(remove_accidental_hits=True)
    wrap(Elsewhere(put(task)), policy()).compute_loss(batch(), training=True)
    assert task.seen == [ORIGINAL]


def test_several_tasks_get_the_ids_of_their_own_columns():
    one = aug.AugmentationPolicy(
        [aug.ops.IdDropout(name, rate=0.5) for name in ("movie_title", "user_id")],
        key_features=KEYS,
    )

    class Two(Model):
        def __init__(self):
            super().__init__(None)
            self.tasks = [Spy(remove_accidental_hits=True) for _ in range(2)]

        def compute_loss(self, features, training=False):
            user = self.user_model(features["user_id"])
            movie = self.movie_model(features["movie_title"])
            forth = self.tasks[0](user, movie, candidate_ids=features["movie_title"])
            return forth + self.tasks[1](movie, user, candidate_ids=features["user_id"])

    model = wrap(Two(), one)
    model.compute_loss(batch(), training=True)
    assert [task.seen for task in model.tasks] == [
        [ORIGINAL],
        [batch()["user_id"].numpy().tolist()],
    ]


def test_a_wrapped_model_in_a_wrapped_model():
    """Two policies one after the other: the ids are those from before both."""

    class Outer(Model):
        def __init__(self, inner):
            super().__init__(None)
            self.inner = inner

        def compute_loss(self, features, training=False):
            return self.inner.compute_loss(features, training=training)

    inner = wrap(Model(Spy(remove_accidental_hits=True)), policy(seed=1))
    wrap(Outer(inner), policy(seed=2)).compute_loss(batch(), training=True)
    assert inner.task.seen == [ORIGINAL]


@pytest.mark.parametrize("eager", [True, False])
def test_fit_hands_on_the_ids_of_each_batch(eager):
    model = wrap(Model(Spy(remove_accidental_hits=True)), policy())
    model.compile("sgd", run_eagerly=eager)
    model.fit(dataset(), verbose=0)
    model.evaluate(dataset(), verbose=0)
    expected = [batch(i)["movie_title"].numpy().tolist() for i in range(4)]
    assert model.task.seen == expected * 2


def test_ids_that_are_no_column_are_refused():
    model = wrap(Model(Spy(remove_accidental_hits=True), lookup), policy())
    with pytest.raises(InvalidArgumentError, match="'spy.*original_ids=") as error:
        model.compute_loss(batch(), training=True)
    assert "'movie_title'" in str(error.value)
    model.compute_loss(batch(), training=False)


def test_ids_that_are_no_column_pass_where_they_cannot_hurt():
    numbers = aug.AugmentationPolicy([aug.ops.GaussianNoise("age", stddev=1)], key_features=KEYS)
    for task, one in (
        (Spy(remove_accidental_hits=True), numbers),
        (Spy(remove_accidental_hits=False), policy()),
    ):
        wrap(Model(task, lookup), one).compute_loss(batch(), training=True)
        assert len(task.seen) == 1


class TestOriginalIds:
    """What `original_ids` does."""

    def test_names_a_column(self):
        reshaped = Model(
            Spy(remove_accidental_hits=True), lambda f: tf.reshape(f["movie_title"], [-1])
        )
        model = wrap(reshaped, policy(), original_ids="movie_title")
        model.compute_loss(batch(), training=True)
        assert model.task.seen == [ORIGINAL]

    def test_names_a_column_of_another_rank_or_integer_type(self):
        one = aug.AugmentationPolicy([aug.ops.IdDropout("item", rate=0.5)], key_features="row")
        features = {**batch(), "item": tf.range(BATCH, dtype=tf.int64)[:, tf.newaxis]}
        ids = lambda f: tf.cast(f["item"][:, 0], tf.int32)  # noqa: E731
        model = wrap(Model(Spy(remove_accidental_hits=True), ids), one, original_ids="item")
        model.compute_loss(features, training=True)
        assert model.task.seen == [list(range(BATCH))]

    def test_goes_before_recognizing(self):
        model = wrap(Model(Spy(), lambda f: f["user_id"]), policy(), original_ids="movie_title")
        model.compute_loss(batch(), training=True)
        assert model.task.seen == [ORIGINAL]

    def test_may_be_a_function(self):
        given = []

        def ids(features):
            given.append(features)
            return lookup(features)

        model = wrap(Model(Spy(remove_accidental_hits=True), lookup), policy(), original_ids=ids)
        features = batch()
        model.compute_loss(features, training=True)
        assert model.task.seen == [lookup(batch()).numpy().tolist()]
        assert all(given[0][name] is features[name] for name in features)

    def test_must_be_of_the_type_that_the_model_passes(self):
        model = wrap(Model(Spy(), lookup), policy(), original_ids="movie_title")
        with pytest.raises(InvalidArgumentError, match="string for int64.*lambda features"):
            model.compute_loss(batch(), training=True)

    def test_must_be_in_the_batch(self):
        model = wrap(Model(Spy()), policy(), original_ids="movie_titel")
        with pytest.raises(UnknownFeatureError, match="'movie_titel'.*Did you mean 'movie_title'"):
            model.compute_loss(batch(), training=True)


class TestFunctions:
    """Tasks inside a tf.function, and what traces leave behind."""

    def test_a_compute_loss_that_is_one(self):
        class Traced(Model):
            @tf.function
            def compute_loss(self, features, training=False):
                return super().compute_loss(features, training)

        model = wrap(Traced(Spy(remove_accidental_hits=True)), policy())
        for number in range(4):
            model.compute_loss(batch(number), training=True)
        expected = [batch(i)["movie_title"].numpy().tolist() for i in range(4)]
        assert model.task.seen == expected
        model.compile("sgd")
        model.fit(dataset(), verbose=0)
        assert model.task.seen == expected * 2

    @pytest.mark.parametrize("original_ids", [None, "movie_title"])
    @pytest.mark.parametrize("outer", [False, True])
    def test_one_that_compute_loss_calls_is_refused(self, outer, original_ids):
        class Inner(Model):
            @tf.function
            def step(self, features):
                return super().compute_loss(features, True)

            def compute_loss(self, features, training=False):
                return self.step(features)

        model = Inner(Spy(remove_accidental_hits=True))
        wrap(model, policy(), original_ids=original_ids)
        call = lambda features: model.compute_loss(features, training=True)  # noqa: E731
        with pytest.raises(InvalidArgumentError, match="in a tf.function that compute_loss calls"):
            (tf.function(call) if outer else call)(batch())

    def test_branches_in_a_traced_step(self):
        class Branches(Model):
            def compute_loss(self, features, training=False):
                loss = 0.0
                if tf.reduce_sum(features["age"]) > 0:
                    loss = super().compute_loss(features, training)
                return loss

        for arguments in ({}, {"original_ids": "movie_title"}):
            model = wrap(Branches(Spy(remove_accidental_hits=True)), policy(), **arguments)
            model.user_model(batch()["user_id"]), model.movie_model(batch()["movie_title"])
            step = tf.function(lambda f, m=model: m.compute_loss(f, training=True))
            for number in range(4):
                step(batch(number))
            assert model.task.seen == [batch(i)["movie_title"].numpy().tolist() for i in range(4)]

    def test_a_failed_step_leaves_nothing_behind(self):
        task = Spy(remove_accidental_hits=True)
        failing = wrap(Model(task, lambda features: features["missing"]), policy())
        with pytest.raises(KeyError):
            failing.compute_loss(batch(), training=True)
        other = Model(task)
        augmented = policy().augment(batch())
        other.compute_loss(augmented, training=True)
        assert task.seen == [augmented["movie_title"].numpy().tolist()]


def test_unwrap_takes_the_tasks_back():
    task = Spy(remove_accidental_hits=True)
    model = wrap(Model(task), policy())
    model.compute_loss(batch(), training=True)
    assert "call" in vars(task)
    unwrap(model)
    assert "call" not in vars(task)
    augmented = policy().augment(batch())
    model.compute_loss(augmented, training=True)
    assert task.seen[1] == augmented["movie_title"].numpy().tolist()
