"""Popularity and factorization: what users choose, early stopping, sampled softmax, resuming."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from tfrs_augment import datasets, synthesis
from tfrs_augment.errors import InvalidArgumentError

COLUMNS = ("user_id", "item_id", "user_gender", "user_age", "item_category", "item_brand")


@pytest.fixture(scope="module")
def shop():
    return datasets.simulated_shop("tiny")


@pytest.fixture(scope="module")
def factorization(shop):
    return synthesis.FactorizationSampler(columns=COLUMNS).fit(shop)


def affinity(shop, sampler) -> float:
    rows = sampler.sample(1_500, seed=1)
    return float(shop.truth.affinity(rows["user_id"], rows["item_id"]).mean())


def test_popularity_is_that_of_the_data(shop):
    rows = (
        synthesis.PopularitySampler(columns=COLUMNS[:2], exclude_seen=False).fit(shop).sample(3_000)
    )
    counts = [
        np.bincount(np.searchsorted(shop.items["item_id"], r["item_id"]), minlength=160)
        for r in (rows, shop.rows)
    ]
    assert np.corrcoef(*counts)[0, 1] > 0.95
    even = synthesis.PopularitySampler(columns=COLUMNS[:2], popularity_power=0.0).fit(shop)
    assert np.ptp(even.log_weights(np.arange(3))) == 0.0


def test_factorization_finds_what_users_like_and_sharpness_more_of_it(shop, factorization):
    popular = synthesis.PopularitySampler(columns=COLUMNS).fit(shop)
    sharp = synthesis.FactorizationSampler(columns=COLUMNS, sharpness=3.0)
    sharp.spec = factorization.spec
    sharp._restore(*factorization._state())
    liked = [affinity(shop, sampler) for sampler in (popular, factorization, sharp)]
    assert liked[0] + 0.1 < liked[1] < liked[2] - 0.1


def test_the_best_validation_is_kept(factorization):
    history = factorization.loss_history
    likelihood = history["val_log_likelihood"]
    assert {len(values) for values in history.values()} == {len(likelihood)}
    assert history["loss"][-1] < history["loss"][0]
    assert int(np.argmax(likelihood)) < len(likelihood) - 1  # it went on, and found nothing better


def test_a_fit_repeats(shop, factorization):
    again = synthesis.FactorizationSampler(columns=COLUMNS).fit(shop)
    np.testing.assert_array_equal(again.log_weights([5]), factorization.log_weights([5]))


def test_sampled_softmax_comes_near_the_exact_one(shop, factorization):
    sampled = synthesis.FactorizationSampler(
        columns=COLUMNS, max_softmax_items=10, sampled_items=400
    ).fit(shop)
    users = np.arange(200)
    exact, near = factorization.log_weights(users), sampled.log_weights(users)
    assert np.corrcoef(exact.ravel(), near.ravel())[0, 1] > 0.95


def test_an_interrupted_fit_resumes_and_ends_as_one_that_was_not(shop, tmp_path):
    options = {"columns": COLUMNS[:2], "steps": 30, "patience": 99}

    class Interrupt(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    part = synthesis.FactorizationSampler(**options, checkpoint_dir=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        part.fit(shop, callbacks=[Interrupt()])
    seen = []
    resumed = synthesis.FactorizationSampler(**options, checkpoint_dir=str(tmp_path)).fit(
        shop,
        callbacks=[tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(e))],
    )
    whole = synthesis.FactorizationSampler(**options).fit(shop)
    assert seen == [3, 4, 5]
    assert resumed.loss_history == whole.loss_history
    np.testing.assert_array_equal(resumed.log_weights([5]), whole.log_weights([5]))
    with pytest.raises(InvalidArgumentError, match="`checkpoint_dir` must be empty"):
        synthesis.FactorizationSampler(**{**options, "seed": 1}, checkpoint_dir=str(tmp_path)).fit(
            shop
        )


def test_a_callback_ends_the_training(shop):
    class Stop(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert {"step", "loss", "val_log_likelihood"} <= set(logs)
            self.model.stop_training = True

    fitted = synthesis.FactorizationSampler(columns=COLUMNS[:2]).fit(shop, callbacks=[Stop()])
    assert fitted.loss_history["step"] == [5.0]


def test_the_default_of_every_trained_part_is_in_the_file(factorization, tmp_path):
    factorization.save(tmp_path / "f.npz")
    loaded = synthesis.Synthesizer.load(tmp_path / "f.npz")
    assert loaded.get_config() == factorization.get_config()
    assert loaded.loss_history == factorization.loss_history
    np.testing.assert_array_equal(loaded.log_weights([5]), factorization.log_weights([5]))


@pytest.mark.parametrize(
    "options",
    [
        {"embedding_dim": 0},
        {"prior": -1.0},
        {"sharpness": float("nan")},
        {"learning_rate": 0.0},
        {"validation_share": 0.6},
        {"steps": 0},
        {"patience": 0},
        {"validate_every": 0},
        {"sampled_items": 0},
    ],
)
def test_wrong_arguments_are_named(options):
    with pytest.raises(InvalidArgumentError, match=f"`{next(iter(options))}`"):
        synthesis.FactorizationSampler(**options)
