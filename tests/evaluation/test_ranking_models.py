"""Comparisons of ranking models: what they predict, and what stops their training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.evaluation.tiny_models import Layered, Rater
from tfrs_augment.adaptive import AdaptivePolicy, Exp3
from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation.comparing.arms import Arm
from tfrs_augment.evaluation.comparing.comparison import compare
from tfrs_augment.evaluation.comparing.references import popularity
from tfrs_augment.evaluation.comparing.training import Protocol, train
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.ops import IdDropout
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.towers import Ranking


def _sgd():
    return tf_keras.optimizers.SGD(0.01)


RATINGS = Protocol(epochs=3, batch_size=512, patience=3, label="rating", optimizer=_sgd)


def _with_labels(shop, labels):
    rows = {**shop.rows, "rating": np.asarray(labels, np.float32)}
    return dataclasses.replace(shop, rows=rows)


@pytest.fixture(scope="module")
def rated(shop) -> Interactions:
    """The shop with ratings: what the user and the item are given, and a little noise."""
    rng = np.random.default_rng(5)
    user, item = shop.user_index(), shop.item_index()
    ratings = rng.normal(3, 1, 60)[user] + rng.normal(0, 1, 40)[item] + rng.normal(0, 0.1, 3000)
    return _with_labels(shop, ratings)


def _split(data):
    return lambda seed: splits.split(data, cold_share=0.1, seed=seed)


def _half(model, train):
    model.users.assign(model.users / 2)
    model.items.assign(model.items / 2)


def test_ranking_models_are_compared_by_what_they_predict(rated, tmp_path):
    made = []

    def build(train):
        made.append(Rater(train))
        return made[-1]

    arms = {
        "plain": None,
        "halved": Arm(after_fit=_half, share="plain"),
        "other": Arm(initialization=1),
        "mean": Arm(ensemble=("halved", "other")),
    }
    options = {"split": _split(rated), "seeds": (0,), "cache_dir": tmp_path, "progress": False}
    report = compare(build, arms, protocol=RATINGS, **options)
    one = _split(rated)(0)
    runs = {arm: report.runs[arm, 0] for arm in arms}
    expected = made[0]({name: one.test.rows[name] for name in ("user_id", "item_id")}).numpy()
    np.testing.assert_allclose(runs["plain"].predictions, expected, rtol=1e-6)
    assert runs["plain"].predictions.dtype == np.float64 and runs["plain"].ranks == {}
    np.testing.assert_allclose(runs["halved"].predictions, expected / 2, rtol=1e-6)
    both = (runs["halved"].predictions + runs["other"].predictions) / 2
    np.testing.assert_allclose(runs["mean"].predictions, both)
    # RMSE falls: what is better is lower.
    errors = runs["plain"].validation
    assert len(errors) == 3 and errors[0] > errors[1] > errors[2]
    assert runs["plain"].best_epoch == 2
    rows = {name: one.validation.rows[name] for name in ("user_id", "item_id")}
    rmse = np.sqrt(np.mean((made[0](rows).numpy() - one.validation.rows["rating"]) ** 2))
    assert errors[2] == pytest.approx(rmse, rel=1e-5)
    assert report.settings["protocol"]["label"] == "rating"
    again = compare(build, arms, protocol=RATINGS, **options)
    assert len(made) == 2, "all came from the cache"
    assert again.to_dict() == report.to_dict()


def test_chances_stop_by_their_log_loss(rated):
    clicks = _with_labels(rated, rated.rows["rating"] > 3)
    one = _split(clicks)(0)
    model = Rater(one.train, binary=True)
    seen = {}

    class Watch(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.update(logs)

    history = train(model, one, RATINGS, callbacks=[Watch()])
    chance = model(dict(one.validation.rows)).numpy().astype(np.float64)
    labels = one.validation.rows["rating"]
    loss = -np.mean(labels * np.log(chance) + (1 - labels) * np.log(1 - chance))
    assert history.validation[history.best_epoch] == pytest.approx(loss, rel=1e-5)
    assert seen["val_log_loss"] == history.validation[-1]
    with pytest.raises(InvalidArgumentError, match="must return chances in .* Apply tf.sigmoid"):
        train(Rater(one.train), one, dataclasses.replace(RATINGS, predict=lambda m, f: m(f) - 9))


def test_the_model_is_not_shown_the_label(rated):
    def peeking(model, features):
        assert "rating" not in features and "timestamp" in features
        return model(features)[:, None]

    one = _split(rated)(0)
    train(Rater(one.train), one, dataclasses.replace(RATINGS, epochs=1, predict=peeking))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label": "ratings"}, UnknownFeatureError, "`label` must be a column.*'rating'"),
        ({"label": "tags"}, DataError, "`label` must be a column of one number a row.*'tags'"),
        (
            {"predict": lambda model, features: tf.zeros([3])},
            InvalidArgumentError,
            "must return one number a row.*shape .3,.",
        ),
        (
            {"predict": lambda model, features: model(features) * np.nan},
            DataError,
            "Predictions must be finite.*has diverged",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(rated, options, error, message):
    one = _split(rated)(0)
    with pytest.raises(error, match=message):
        train(Rater(one.train), one, dataclasses.replace(RATINGS, epochs=1, **options))


def test_labels_that_are_missing_are_refused(rated):
    one = _split(_with_labels(rated, np.where(np.arange(3000) % 9, 3.0, np.nan)))(0)
    with pytest.raises(DataError, match="`label` must be finite in every row. .* [0-9]+ of"):
        train(Rater(one.train), one, RATINGS)


def test_arms_and_models_must_fit_a_label(rated):
    with pytest.raises(InvalidArgumentError, match="`label` must be the name of a column"):
        Protocol(label="")
    arms = {"a": None, "popular": Arm(scorer=popularity)}
    with pytest.raises(InvalidArgumentError, match="An arm with `scorer` ranks items.*'popular'"):
        compare(Rater, arms, split=_split(rated), protocol=RATINGS, progress=False)
    one = _split(rated)(0)
    with pytest.raises(InvalidArgumentError, match="a model with `call`.*Layered without it"):
        train(Layered(one.train), one, dataclasses.replace(RATINGS, epochs=1))


@pytest.mark.slow
def test_towers_ranking_is_compared_and_adapts(rated):
    policy = AugmentationPolicy(
        [IdDropout("item_id", rate=0.3)], key_features=("user_id", "item_id")
    )
    arms = {
        "baseline": None,
        "policy": policy,
        "adaptive": AdaptivePolicy({"none": None, "policy": policy}, strategy=Exp3()),
    }
    report = compare(
        lambda train, **options: Ranking(train, label="rating", **options),
        arms,
        split=_split(rated),
        seeds=(0,),
        protocol=Protocol(epochs=2, label="rating"),
        progress=False,
    )
    spread = rated.rows["rating"].std()
    for arm in arms:
        assert report.runs[arm, 0].validation[-1] < spread
    # Without its metric in the logs the strategy would have raised.
    losses = [report.runs[arm, 0].loss for arm in arms]
    assert losses[1] != losses[0] and len(losses[2]) == 2
