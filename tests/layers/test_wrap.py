"""What `wrap` does to training, and what it leaves as it was."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tests.layers.tutorials import BATCH, TUTORIALS, batch, dataset, policy
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.layers import unwrap, wrap


class Recorder(tfrs.Model):
    """Keeps what its `compute_loss` is given; compile with `run_eagerly`."""

    def __init__(self):
        super().__init__()
        self.table = tf_keras.layers.Embedding(3, 1)
        self._seen = []

    @property
    def seen(self) -> list:
        return list(self._seen)

    def compute_loss(self, features, training=False):
        given = features[0] if isinstance(features, tuple) else features
        self._seen.append((dict(given), training))
        given.pop("user_rating")
        return tf.reduce_sum(self.table(tf.constant([1])))


def expected_titles(draw: int, number: int = 0, one=None) -> list[bytes]:
    one = one or policy()
    return one.augment(batch(number), draw=draw)["movie_title"].numpy().tolist()


def titles(seen: list) -> list[list[bytes]]:
    return [features["movie_title"].numpy().tolist() for features, _ in seen]


def test_returns_the_instance():
    model = tutorials.Ranking()
    assert wrap(model, policy()) is model
    assert aug.wrap is wrap


def test_fit_trains_on_augmented_rows_and_evaluates_on_the_rows_themselves():
    model = wrap(Recorder(), policy())
    model.compile("sgd", run_eagerly=True)
    model.fit(dataset(), epochs=2, verbose=0)
    assert titles(model.seen) == [expected_titles(step, step % 4) for step in range(8)]
    assert expected_titles(0) != expected_titles(4)
    model.evaluate(dataset(), verbose=0)
    assert titles(model.seen[8:]) == [batch(i)["movie_title"].numpy().tolist() for i in range(4)]
    assert [training for _, training in model.seen] == [True] * 8 + [False] * 4


def test_a_graph_trains_on_the_rows_that_eager_code_trains_on():
    losses = []
    for eager in (False, True):
        tf_keras.utils.set_random_seed(1)
        model = wrap(tutorials.Retrieval(), policy())
        model.compile(tf_keras.optimizers.Adagrad(0.5), run_eagerly=eager)
        losses.append(model.fit(dataset(), epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    tf_keras.utils.set_random_seed(1)
    model = tutorials.Retrieval()
    model.compile(tf_keras.optimizers.Adagrad(0.5))
    unwrapped = model.fit(dataset(), epochs=3, verbose=0).history["loss"]
    assert not np.allclose(losses[0], unwrapped, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_callers_dict_stays_as_it_was(training):
    model, features = wrap(Recorder(), policy()), batch()
    before = dict(features)
    model.compute_loss(features, training=training)
    assert list(features) == list(before)
    assert all(features[name] is before[name] for name in before)
    assert ("user_rating" in model.seen[0][0]) and len(model.seen) == 1


def test_untouched_columns_are_the_same_objects():
    model, features = wrap(Recorder(), policy()), batch()
    model.compute_loss(features, training=True)
    model.compute_loss(features)
    (trained, _), (evaluated, _) = model.seen
    assert [name for name in features if trained[name] is not features[name]] == ["movie_title"]
    assert all(evaluated[name] is features[name] for name in features)


def test_compute_loss_takes_its_arguments_as_before():
    model = wrap(Recorder(), policy())
    model.compute_loss(batch(), True)
    model.compute_loss(features=batch(), training=True)
    model.compute_loss(batch())
    assert titles(model.seen) == [
        expected_titles(0),
        expected_titles(1),
        list(batch()["movie_title"].numpy()),
    ]
    assert list(inspect.signature(model.compute_loss).parameters) == ["features", "training"]
    with pytest.raises(TypeError):
        model.compute_loss()


def test_labels_and_weights_are_passed_on():
    labels, weights = tf.zeros([BATCH]), tf.ones([BATCH])

    class Tuples(Recorder):
        def compute_loss(self, inputs, training=False):
            self.rest = inputs[1:]
            return super().compute_loss(inputs, training)

    model = wrap(Tuples(), policy())
    for rest in ((), (labels,), (labels, weights)):
        model.compute_loss((batch(), *rest), training=True)
        assert type(model.rest) is tuple and len(model.rest) == len(rest)
        assert all(given is passed for given, passed in zip(model.rest, rest))
    assert titles(model.seen) == [expected_titles(draw) for draw in range(3)]


def test_the_ranking_model_of_tfrs_trains_on_nested_features():
    """`tfrs.experimental.models.Ranking` takes ({dense, {sparse}}, labels[, weights])."""

    class Embeddings(tf_keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.towers = {
                "user_id": tutorials.tower(tutorials.USERS),
                "movie_title": tutorials.tower(tutorials.MOVIES),
            }
            self.seen = []

        def call(self, inputs):
            self.seen.append(inputs["movie_title"])
            return {name: tower(inputs[name]) for name, tower in self.towers.items()}

    def nested(features):
        return {
            "dense_features": features["age"][:, tf.newaxis],
            "sparse_features": {n: features[n] for n in ("user_id", "movie_title")},
            "row": features["row"],
        }

    one = aug.AugmentationPolicy(
        [*policy().ops, aug.ops.GaussianNoise("dense_features", stddev=1.0)],
        key_features=tutorials.KEYS,
    )
    embeddings = Embeddings()
    mlp = tfrs.layers.blocks.MLP(units=[16, 8], final_activation="relu")
    model = wrap(
        tfrs.experimental.models.Ranking(embedding_layer=embeddings, bottom_stack=mlp), one
    )
    labels = tf.cast(batch()["user_rating"] > 3, tf.float32)
    model.compute_loss((nested(batch()), labels), training=True)
    expected = one.augment({**batch(), **nested(batch())}, draw=0)["movie_title"]
    assert embeddings.seen[-1].numpy().tolist() == expected.numpy().tolist()

    # TFRS refuses a weight a row here; one for the batch it takes.
    data = dataset().map(lambda row: (nested(row), row["user_rating"] / 5, 0.5))
    model.compile(tf_keras.optimizers.Adam(0.01))
    assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
    assert np.isfinite(model.evaluate(data, verbose=0, return_dict=True)["loss"])


def test_wrapping_after_fit_and_again_and_unwrapping_take_effect():
    """`fit` keeps its trace, so a change of the loss must make it trace anew."""
    something, nothing = policy(0.5), policy(0.0)
    model = tutorials.Retrieval(top_k=False)
    model.movie_model(batch()["movie_title"])
    model.compile(tf_keras.optimizers.SGD(0.5))
    row = model.movie_model.layers[1]

    def trains_the_unknown_row() -> bool:
        start = row.embeddings[0].numpy()
        model.fit(dataset(), verbose=0)
        return not np.array_equal(start, row.embeddings[0].numpy())

    assert not trains_the_unknown_row()
    assert wrap(model, something) is model
    assert trains_the_unknown_row()
    wrap(model, nothing)
    assert not trains_the_unknown_row()
    wrap(model, something)
    assert trains_the_unknown_row()
    assert unwrap(model) is model
    assert not trains_the_unknown_row()
    assert "compute_loss" not in vars(model)
    assert unwrap(model) is model


def test_a_compute_loss_on_the_instance_is_kept():
    model = Recorder()
    own = lambda features, training=False: tf.constant(float(len(features)))  # noqa: E731
    model.compute_loss = own
    wrap(model, policy())
    assert float(model.compute_loss(batch(), training=True)) == len(batch())
    assert wrap(model, policy()).compute_loss is not own
    assert unwrap(model).compute_loss is own


class TestDrawNumber:
    """Which draw number a training step has."""

    def test_is_the_optimizers_step_count_whether_compiled_before_or_after(self):
        for compile_first in (True, False):
            model = Recorder()
            if compile_first:
                model.compile("sgd", run_eagerly=True)
            wrap(model, policy())
            if not compile_first:
                model.compile("sgd", run_eagerly=True)
            model.optimizer.iterations.assign(5)
            model.fit(dataset().take(2), verbose=0)
            assert titles(model.seen) == [expected_titles(5, 0), expected_titles(6, 1)]

    def test_goes_on_when_training_resumes(self, tmp_path):
        model = wrap(Recorder(), policy())
        model.compile("sgd", run_eagerly=True)
        model.fit(dataset(), verbose=0)
        path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "c"))
        resumed = wrap(Recorder(), policy())
        resumed.compile("sgd", run_eagerly=True)
        tf.train.Checkpoint(model=resumed, optimizer=resumed.optimizer).restore(path)
        resumed.fit(dataset(), verbose=0)
        assert titles(resumed.seen) == [expected_titles(4 + i, i) for i in range(4)]

    def test_resumed_training_ends_where_unbroken_training_ends(self, tmp_path):
        def fresh():
            tf_keras.utils.set_random_seed(3)
            model = wrap(tutorials.Retrieval(top_k=False), policy())
            model.compile(tf_keras.optimizers.Adam(0.1))
            return model

        unbroken = fresh()
        unbroken.fit(dataset(), epochs=2, verbose=0)
        first = fresh()
        first.fit(dataset(), verbose=0)
        first.save_weights(str(tmp_path / "weights"))
        second = fresh()
        second.load_weights(str(tmp_path / "weights"))
        second.fit(dataset(), verbose=0)
        for left, right in zip(unbroken.get_weights(), second.get_weights()):
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)

    def test_counts_calls_in_a_custom_loop(self):
        model = wrap(Recorder(), policy())
        for _ in range(3):
            model.compute_loss(batch(), training=True)
            model.compute_loss(batch(), training=False)
        assert titles(model.seen[::2]) == [expected_titles(draw) for draw in range(3)]

    def test_counts_calls_in_a_traced_loop(self):
        model = tutorials.Ranking()
        seen = []
        original = model.call

        def call(features):
            tf.py_function(
                lambda title: seen.append(title.numpy().tolist()), [features["movie_title"]], []
            )
            return original(features)

        model.call = call
        wrap(model, policy())
        step = tf.function(lambda features: model.compute_loss(features, training=True))
        for _ in range(3):
            step(batch())
        assert seen == [expected_titles(draw) for draw in range(3)]

    def test_can_be_given(self):
        fixed = wrap(Recorder(), policy(), draw=4)
        counter = tf.Variable(7, dtype=tf.int64)
        counted = wrap(Recorder(), policy(), draw=counter)
        for model in (fixed, counted):
            model.compute_loss(batch(), training=True)
            counter.assign_add(1)
            model.compute_loss(batch(), training=True)
        assert titles(fixed.seen) == [expected_titles(4)] * 2
        assert titles(counted.seen) == [expected_titles(8), expected_titles(9)]

    def test_is_that_of_the_older_optimizers_too(self):
        names = []
        for wrapped in (False, True):
            model = tutorials.Ranking()
            model.compile(tf_keras.optimizers.legacy.Adagrad(0.1))
            if wrapped:
                wrap(model, policy())
            model.fit(dataset(), verbose=0)
            assert int(model.optimizer.iterations) == 4
            names.append([v.name.split("/")[0] for v in model.optimizer.variables()][:2])
        assert names[0] == names[1]

    def test_is_that_of_a_composite_optimizer(self):
        model = wrap(Recorder(), policy())
        optimizer = tfrs.experimental.optimizers.CompositeOptimizer(
            [(tf_keras.optimizers.legacy.SGD(0.1), lambda: model.trainable_variables)]
        )
        model.compile(optimizer, run_eagerly=True)
        model.fit(dataset(), verbose=0)
        assert titles(model.seen) == [expected_titles(i, i) for i in range(4)]


def test_position_keys():
    model = wrap(Recorder(), policy(key_features=()), key="position")
    model.compute_loss(batch(), training=True)
    keys = np.arange(BATCH, dtype=np.uint64)
    expected = policy().augment(batch(), draw=0, keys=keys)["movie_title"]
    assert titles(model.seen) == [expected.numpy().tolist()]


def test_a_missing_key_feature_is_named_at_the_first_step():
    model = wrap(tutorials.Ranking(), policy(key_features=("user_id", "movie_titel")))
    model.compile("sgd")
    with pytest.raises(UnknownFeatureError, match="Key feature 'movie_titel' is missing"):
        model.fit(dataset(), verbose=0)
    model.evaluate(dataset(), verbose=0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: tf_keras.Sequential([tf_keras.layers.Dense(1)]),
            r"aug\.layers\.Augment\(policy\)",
        ),
        (lambda: tutorials.Ranking, "must be a tfrs.Model"),
        (lambda: None, "must be a tfrs.Model.*NoneType"),
    ],
)
def test_refuses_other_models(model, message):
    with pytest.raises(InvalidArgumentError, match=message):
        wrap(model(), policy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": None}, "`policy` of wrap must be an AugmentationPolicy"),
        ({"policy": policy(key_features=())}, "key_features.*key='position'"),
        ({"key": "place"}, "`key` of wrap.*key='place'"),
        ({"original_ids": 3}, "`original_ids` must be.*original_ids=3"),
        ({"original_ids": ""}, "`original_ids` must be"),
        ({"draw": -2}, "`draw` of wrap must be.*draw=-2"),
        ({"draw": tf.Variable(1.0)}, "`draw` of wrap must be.*integer variable"),
        (
            {
                "policy": aug.AugmentationPolicy(
                    [aug.ops.CategorySwap("age", rate=1)], key_features="row"
                )
            },
            "Not fitted: marginal of 'age'",
        ),
    ],
)
def test_refuses_wrong_arguments_and_leaves_the_model_alone(arguments, message):
    model = Recorder()
    with pytest.raises(InvalidArgumentError, match=message):
        wrap(model, **{"policy": policy(), **arguments})
    assert "compute_loss" not in vars(model)


def test_evaluation_takes_what_it_took():
    class Pairs(tfrs.Model):
        def compute_loss(self, inputs, training=False):
            left, right = inputs
            return left + right

    model = wrap(Pairs(), policy())
    assert float(model.compute_loss((tf.constant(1.0), tf.constant(2.0)))) == 3.0


def test_refuses_inputs_without_a_dict():
    model = wrap(Recorder(), policy())
    with pytest.raises(DataError, match="dict of features.*EagerTensor"):
        model.compute_loss(tf.ones([3]), training=True)


def test_refuses_a_training_flag_that_only_the_graph_knows():
    model = wrap(Recorder(), policy())
    step = tf.function(lambda flag: model.compute_loss(batch(), training=flag))
    with pytest.raises(InvalidArgumentError, match="`training` of compute_loss must be"):
        step(tf.constant(True))


class InFloat32(tutorials.Retrieval):
    """Towers in mixed precision; scores and loss in float32, as TFRS's training step needs them."""

    def __init__(self):
        super().__init__(top_k=False)
        mixed = tf_keras.mixed_precision.global_policy()
        tf_keras.mixed_precision.set_global_policy("float32")
        self.task = tfrs.tasks.Retrieval()  # What removes accidental hits is float16 always.
        tf_keras.mixed_precision.set_global_policy(mixed)

    def compute_loss(self, features, training=False):
        return self.task(
            tf.cast(self.user_model(features["user_id"]), tf.float32),
            tf.cast(self.movie_model(features["movie_title"]), tf.float32),
            candidate_ids=features["movie_title"],
            compute_metrics=False,
        )


class TestMixedPrecision:
    """What trains in mixed precision trains wrapped; what TFRS refuses is refused alike."""

    @pytest.fixture(autouse=True)
    def mixed_float16(self):
        before = tf_keras.mixed_precision.global_policy()
        tf_keras.mixed_precision.set_global_policy("mixed_float16")
        yield
        tf_keras.mixed_precision.set_global_policy(before)

    def losses(self, model) -> list[float]:
        model.compile(tf_keras.optimizers.Adam(0.2))
        found = model.fit(dataset(), verbose=0).history["loss"]
        assert int(model.optimizer.iterations) == 4
        return [*found, model.evaluate(dataset(), verbose=0, return_dict=True)["loss"]]

    def test_trains_where_the_loss_is_float32(self):
        found = {}
        for rate in (None, 0.0, 0.5):
            tf_keras.utils.set_random_seed(0)
            model = InFloat32()
            if rate is not None:
                wrap(model, policy(rate))
            assert model.movie_model.layers[1].compute_dtype == "float16"
            found[rate] = self.losses(model)
        assert np.isfinite(found[None]).all()
        np.testing.assert_allclose(found[0.0], found[None], rtol=1e-3)
        assert not np.allclose(found[0.5], found[None], rtol=1e-3)

    @pytest.mark.filterwarnings("ignore:overflow encountered in cast")
    @pytest.mark.parametrize("build", TUTORIALS)
    def test_the_tutorials_are_refused_alike(self, build):
        for model in (build(), wrap(build(), policy())):
            with pytest.raises(TypeError, match="float32 that does not match type float16"):
                self.losses(model)
