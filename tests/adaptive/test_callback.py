"""An adaptive policy in training: what is in force, what is traced, what is kept, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

import tfrs_augment as aug
from tests.layers import tutorials
from tests.layers.tutorials import batch, dataset, policy
from tfrs_augment.adaptive import (
    AdaptivePolicy,
    ByPopularity,
    Exp3,
    Fixed,
    GeneralizationGap,
    Ramp,
    ThompsonSampling,
    UniformRandom,
    freeze,
    strengths,
)
from tfrs_augment.errors import InvalidArgumentError

STEPS = 4
"""Of an epoch."""


class Recorder(tfrs.Model):
    """Keeps the titles that it trains on, and counts how often its loss is traced."""

    def __init__(self):
        super().__init__()
        self.table = tf_keras.layers.Embedding(3, 1)
        self._traces, self._titles = [], []

    @property
    def traces(self) -> int:
        return len(self._traces)

    def compute_loss(self, features, training=False):
        self._traces.append(training)
        tf.py_function(
            lambda t: self._titles.append(t.numpy().tolist()), [features["movie_title"]], []
        )
        return tf.reduce_sum(self.table(tf.constant([1])))


def adaptive(strategy, levels=(0, 0.5, 1)) -> AdaptivePolicy:
    return AdaptivePolicy(strengths(policy(1.0), levels), strategy=strategy)


def fit(model, callback, epochs: int = 1, **options):
    model.compile("adagrad")
    return model.fit(dataset(), epochs=epochs, verbose=0, callbacks=[callback], **options)


def drive(one: AdaptivePolicy, epochs: int = 5, values=None, callback=None, first=0, **options):
    """Calls a callback as `fit` does, without a step. `values` has the metric of some epochs."""
    callback = callback or one.callback(**options)
    values = {epoch: 0.1 * epoch for epoch in range(99)} if values is None else values
    callback.set_model(aug.wrap(Recorder(), one))
    callback.on_train_begin()
    for epoch in range(first, epochs):
        callback.on_epoch_begin(epoch)
        metric = {"val_ndcg@50": values[epoch]} if epoch in values else {}
        callback.on_epoch_end(epoch, {"loss": 1.0, **metric})
    callback.on_train_end()
    return callback


def test_each_epoch_trains_on_the_arm_in_force_and_nothing_is_traced_again():
    one = adaptive(Ramp(epochs=2))
    model = aug.wrap(Recorder(), one)
    callback = one.callback()
    fit(model, callback)
    traced = model.traces
    model.fit(dataset(), epochs=3, verbose=0, callbacks=[callback])
    assert [entry["arm"] for entry in callback.history] == ["0", "0.5", "1", "1"]
    assert model.traces == traced
    arms, seen = list(one.arms.values()), model._titles
    assert len(seen) == 4 * STEPS
    for step, titles in enumerate(seen):
        arm = arms[min(step // STEPS, 2)]
        rows = batch(step % STEPS)
        expected = rows if arm is None else arm.augment(rows, draw=step)
        assert titles == expected["movie_title"].numpy().tolist(), step


@pytest.mark.parametrize("level", ["0", "1"])
def test_an_arm_all_along_trains_the_model_that_its_policy_trains(level):
    losses = []
    for plain in (False, True):
        tf_keras.utils.set_random_seed(1)
        one = adaptive(Fixed(level))
        model = tutorials.Ranking()
        arm = one.arms[level]
        if not plain:
            aug.wrap(model, one)
        elif arm is not None:
            aug.wrap(model, arm)
        model.compile("adagrad")
        callbacks = [] if plain else [one.callback()]
        losses.append(
            model.fit(dataset(), epochs=2, verbose=0, callbacks=callbacks).history["loss"]
        )
    assert losses[0] == losses[1]


def test_the_variable_is_no_part_of_the_model(tmp_path):
    models = []
    for one in (policy(), adaptive(Exp3())):
        model = aug.wrap(tutorials.Ranking(), one)
        model.compile("adagrad")
        callbacks = [one.callback(monitor="loss")] if isinstance(one, AdaptivePolicy) else []
        model.fit(dataset().take(1), verbose=0, callbacks=callbacks)
        path = str(tmp_path / str(len(models)))
        tf.train.Checkpoint(model=model).write(path)
        models.append((tf.train.list_variables(path), [v.name for v in model.variables]))
    shapes = [[(name, shape) for name, shape in found] for found, _ in models]
    assert shapes[0] == shapes[1]
    assert len(models[0][1]) == len(models[1][1])


def test_evaluation_and_serving_are_not_augmented():
    one = adaptive(Fixed("1"))
    model = aug.wrap(Recorder(), one)
    fit(model, one.callback())
    del model._titles[:]
    model.evaluate(dataset().take(1), verbose=0)
    assert model._titles == [batch()["movie_title"].numpy().tolist()]


def test_keras_own_validation_loss_is_a_monitor():
    one = adaptive(Exp3())
    callback = one.callback(monitor="val_loss")
    assert callback.mode == "min"
    model = aug.wrap(tutorials.Ranking(), one)
    done = fit(model, callback, epochs=3, validation_data=dataset())
    assert [entry["monitor"] for entry in callback.history] == pytest.approx(
        done.history["val_loss"]
    )
    assert callback.history[0]["reward"] is None and callback.history[2]["reward"] is not None


def test_a_metric_of_an_earlier_callback_is_a_monitor():
    class Own(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_ndcg@50"] = 0.1 * epoch

    one = adaptive(Exp3())
    callback = one.callback()
    model = aug.wrap(Recorder(), one)
    model.compile("adagrad")
    model.fit(dataset(), epochs=2, verbose=0, callbacks=[Own(), callback])
    assert [entry["monitor"] for entry in callback.history] == [0.0, 0.1]


def test_lower_is_better_turns_the_reward():
    values = {0: 1.0, 1: 0.9, 2: 0.85, 3: 0.9, 4: 0.95}
    rewards = {}
    for mode in ("max", "min"):
        callback = drive(adaptive(Exp3()), values=values, mode=mode)
        rewards[mode] = [entry["reward"] for entry in callback.history]
    assert rewards["min"][3] < 0.5 < rewards["max"][3]


@pytest.mark.parametrize("strategy", [Exp3(), ThompsonSampling(), GeneralizationGap(step=1.0)])
def test_the_arm_stays_until_the_metric_comes(strategy):
    values = {2: 0.1, 5: 0.2, 8: 0.05, 11: 0.3}
    callback = drive(adaptive(strategy), epochs=12, values=values)
    arms = [entry["arm"] for entry in callback.history]
    assert all(len(set(arms[start : start + 3])) == 1 for start in range(0, 12, 3))
    assert [entry["monitor"] for entry in callback.history][:3] == [None, None, 0.1]


def test_the_gap_reads_the_training_loss():
    callback = drive(
        adaptive(GeneralizationGap(step=0.5)), values={0: 1.0, 1: 0.5, 2: 0.4, 3: 2.0, 4: 3.0}
    )
    assert [entry["place"] for entry in callback.history] == [0, 0, 1, 2, 1]
    with pytest.raises(InvalidArgumentError, match="`training` of GeneralizationGap.*'losses'"):
        drive(adaptive(GeneralizationGap(training="losses")))


def test_a_monitor_that_never_comes_is_an_error_with_the_metrics_that_did():
    with pytest.raises(InvalidArgumentError, match="val_ndcg@10.*Known: .*'loss'.*'val_ndcg@50'"):
        drive(adaptive(Exp3()), epochs=1, monitor="val_ndcg@10")
    # Who learns nothing needs none.
    assert len(drive(adaptive(UniformRandom()), epochs=2, values={}).history) == 2


def test_equal_seeds_choose_alike():
    values = {epoch: float(v) for epoch, v in enumerate(np.random.default_rng(0).random(9))}
    places = [
        [
            entry["place"]
            for entry in drive(adaptive(ThompsonSampling()), 9, values, seed=seed).history
        ]
        for seed in (0, 0, 1)
    ]
    assert places[0] == places[1] != places[2]


@pytest.mark.parametrize(
    "strategy", [Exp3(), ThompsonSampling(), GeneralizationGap(), UniformRandom()]
)
def test_an_interrupted_training_goes_on(strategy, tmp_path, capsys):
    values = {epoch: float(v) for epoch, v in enumerate(np.random.default_rng(0).random(8))}
    one, path = adaptive(strategy), tmp_path / "sub" / "choices.json"
    whole = drive(one, 8, values).history
    drive(one, 3, values, path=path)
    assert capsys.readouterr().err == ""
    assert [p.name for p in path.parent.iterdir()] == ["choices.json"]
    resumed = drive(one, 8, values, first=3, path=path).history
    assert "went on after 3 epochs" in capsys.readouterr().err
    assert resumed == whole


def test_a_further_fit_goes_on():
    one = adaptive(Ramp(epochs=4))
    callback = one.callback()
    for _ in range(3):
        drive(one, epochs=1, callback=callback)
    assert [entry["place"] for entry in callback.history] == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "`format_version` of a callback's state"),
        ({"seed": 1}, "own `seed`"),
        ({"monitor": "loss"}, "own `monitor`"),
        ({"policy": {}}, "own `policy`"),
        ({"history": None}, "Missing: .'history'"),
    ],
)
def test_a_state_of_something_else_is_refused(change, message, tmp_path):
    callback = drive(adaptive(Exp3()), epochs=1)
    state = {
        k: v for k, v in {**callback.state(), **change}.items() if v is not None or k == "place"
    }
    before = callback.state()
    with pytest.raises(InvalidArgumentError, match=message):
        callback.restore(state)
    assert callback.state() == before
    path = tmp_path / "state.json"
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(InvalidArgumentError, match="state.json"):
            callback.restore(path)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        callback.restore(tmp_path / "none.json")


def test_a_state_is_json():
    callback = drive(adaptive(ThompsonSampling()), epochs=3)
    state = json.loads(json.dumps(callback.state()))
    other = callback.policy.callback()
    other.restore(state)
    assert other.state() == callback.state()


def test_freeze_gives_the_arm_that_it_settled_on():
    one = adaptive(Fixed("0.5"))
    assert freeze(drive(one, epochs=1)) == one.arms["0.5"]
    nothing = freeze(drive(adaptive(Fixed("0")), epochs=1))
    assert nothing.ops == () and nothing.key_features == tutorials.KEYS
    ramp = adaptive(Ramp(epochs=10))
    assert freeze(drive(ramp, epochs=7)) == ramp.arms["0.5"]  # place 1.2
    bandit = adaptive(ThompsonSampling())
    callback = drive(bandit, epochs=6)
    assert freeze(callback) == (bandit.arms[callback.settled()] or nothing)
    rows = batch()
    augmented = freeze(drive(one, epochs=1)).augment(rows)
    assert augmented["movie_title"].shape == rows["movie_title"].shape


def test_freeze_refuses_what_settled_on_nothing():
    with pytest.raises(InvalidArgumentError, match="without an epoch"):
        freeze(adaptive(Exp3()).callback())
    with pytest.raises(InvalidArgumentError, match="settles on an arm.*UniformRandom"):
        freeze(drive(adaptive(UniformRandom()), epochs=1))
    with pytest.raises(InvalidArgumentError, match="`trained` of freeze"):
        freeze(adaptive(Exp3()))


def test_the_model_must_wrap_the_same_policy():
    one, other = adaptive(Exp3()), adaptive(Exp3(), levels=(0, 1))
    for model, message in (
        (tutorials.Ranking(), "wraps none"),
        (aug.wrap(tutorials.Ranking(), policy()), "wraps none"),
        (aug.wrap(tutorials.Ranking(), other), "wraps another"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            fit(model, one.callback())


def test_by_popularity_needs_no_callback():
    one = adaptive(ByPopularity("movie_title", scale=2.0), levels=(0, 1))
    with pytest.raises(InvalidArgumentError, match="wrap needs a fitted policy.*movie_title"):
        aug.wrap(tutorials.Ranking(), one)
    one = aug.fitting.fit(one, dataset())
    model = aug.wrap(Recorder(), one)
    model.compile("adagrad")
    model.fit(dataset(), epochs=1, verbose=0)
    expected = [one.augment(batch(i), draw=i)["movie_title"].numpy().tolist() for i in range(STEPS)]
    assert model._titles == expected
    callback = drive(one, epochs=1)
    assert callback.history[0]["arm"] is None and callback.history[0]["place"] is None


def test_wrap_checks_every_arm():
    unfit = aug.AugmentationPolicy(
        [aug.ops.CategorySwap("movie_title", rate=0.5)], key_features=tutorials.KEYS
    )
    one = AdaptivePolicy({"none": None, "swap": unfit}, strategy=Exp3())
    with pytest.raises(InvalidArgumentError, match="needs a fitted policy"):
        aug.wrap(tutorials.Ranking(), one)
    noise = aug.AugmentationPolicy(
        [aug.ops.EmbeddingNoise("movie_title", scale=0.1)], key_features=tutorials.KEYS
    )
    with pytest.raises(InvalidArgumentError, match="stage 'feature'"):
        aug.wrap(tutorials.Ranking(), AdaptivePolicy({"a": None, "b": noise}, strategy=Exp3()))


@pytest.mark.parametrize("strategy", [Exp3(), GeneralizationGap(), Ramp(), Fixed("1")])
def test_plot(strategy, tmp_path):
    callback = drive(adaptive(strategy), epochs=3)
    figure = callback.plot(tmp_path / "choices.png")
    assert (tmp_path / "choices.png").stat().st_size > 5000
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "0.5", "1"]
    with pytest.raises(InvalidArgumentError, match="at least one epoch"):
        adaptive(strategy).callback().plot()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": ""}, "`monitor` must be a metric's name"),
        ({"mode": "up"}, "`mode` must be one of"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"seed": 0.5}, "`seed` must be an integer"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        adaptive(Exp3()).callback(**options)
    with pytest.raises(InvalidArgumentError, match="`policy` of AdaptiveCallback"):
        aug.adaptive.AdaptiveCallback(policy())


@pytest.mark.parametrize("place", [-0.1, 2.5, float("nan")])
def test_a_strategy_of_ones_own_must_return_a_place(place, monkeypatch):
    monkeypatch.setattr(Fixed, "place", lambda *arguments: place)
    with pytest.raises(InvalidArgumentError, match=r"`place` of Fixed.*\[0, 2\]"):
        drive(adaptive(Fixed("1")))


def test_tasks_that_add_candidates_are_refused():
    model = tutorials.Retrieval(top_k=False)
    task = aug.tasks.MixedNegatives(
        lambda m, features: m.movie_model(features["movie_title"]),
        items={"movie_title": np.array(tutorials.MOVIES)},
        ids="movie_title",
        count=4,
    )
    with pytest.raises(InvalidArgumentError, match="AdaptivePolicy.*MixedNegatives"):
        aug.wrap(model, adaptive(Exp3()), tasks=[task])


def test_position_keys_and_retrieval_tasks():
    one = AdaptivePolicy(
        strengths(aug.AugmentationPolicy([aug.ops.IdDropout("movie_title", rate=1.0)]), (0, 1)),
        strategy=Ramp(epochs=1),
    )
    model = aug.wrap(tutorials.Retrieval(top_k=False), one, key="position")
    callback = one.callback()
    fit(model, callback, epochs=2)
    assert [entry["arm"] for entry in callback.history] == ["0", "1"]
