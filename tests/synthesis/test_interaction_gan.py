"""The GAN of interactions: it learns, repeats, resumes, keeps conditions, and takes embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from tfrs_augment import datasets, synthesis
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError

OPTIONS = {
    "columns": ("user_id", "item_id", "item_category"),
    "batch_size": 64,
    "hidden": 32,
    "noise_samples": 4,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def shop():
    return datasets.simulated_shop("tiny")


@pytest.fixture(scope="module")
def embeddings(shop):
    truth = shop.truth
    return synthesis.Embeddings(
        truth.user_ids, truth.user_vectors, truth.item_ids, truth.item_vectors
    )


@pytest.fixture(scope="module")
def gan(shop, embeddings):
    gan = synthesis.InteractionGAN(
        **OPTIONS, condition="item_category", steps=150, validate_every=50
    )
    return gan.use_embeddings(embeddings).fit(shop)


def test_it_learns_what_users_choose_and_keeps_popularity(shop, gan):
    popular = synthesis.PopularitySampler(columns=OPTIONS["columns"]).fit(shop)
    liked = [
        float(shop.truth.affinity(rows["user_id"], rows["item_id"]).mean())
        for rows in (sampler.sample(1_500, seed=1) for sampler in (popular, gan))
    ]
    assert liked[1] > liked[0] + 0.2
    best = int(np.argmax(gan.loss_history["measure"]))
    assert gan.loss_history["popularity_correlation"][best] > 0.8
    assert gan.loss_history["lift"][best] > gan.loss_history["lift"][0] - 0.2
    assert set(gan.loss_history) == {
        *("step", "wasserstein_distance", "generator_loss"),
        *("lift", "popularity_correlation", "measure"),
    }


def test_conditions_hold_and_the_shares_of_categories_follow_the_users(shop, gan):
    rows = gan.sample(200, conditions={"item_category": "boots"}, seed=1)
    assert set(rows["item_category"].tolist()) == {b"boots"}
    drawn = gan.sample(2_000, seed=1)["item_category"]
    for category in np.unique(drawn):
        share = np.mean(shop.rows["item_category"] == category)
        assert np.mean(drawn == category) == pytest.approx(share, abs=0.05)


def test_saved_and_loaded_it_gives_the_same_rows(gan, tmp_path):
    gan.save(tmp_path / "gan.npz")
    loaded = synthesis.Synthesizer.load(tmp_path / "gan.npz")
    rows, again = gan.sample(300, seed=4), loaded.sample(300, seed=4)
    for name, column in rows.items():
        np.testing.assert_array_equal(again[name], column)


def test_a_fit_repeats_and_one_that_was_interrupted_resumes(shop, embeddings, tmp_path):
    options = {**OPTIONS, "steps": 6, "validate_every": 2, "patience": 9, "max_softmax_items": 20}
    options |= {"sampled_items": 32}

    class Interrupt(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def build(**more):
        return synthesis.InteractionGAN(**options, **more).use_embeddings(embeddings)

    folder = {"checkpoint_dir": str(tmp_path)}
    with pytest.raises(KeyboardInterrupt):
        build(**folder).fit(shop, callbacks=[Interrupt()])
    resumed, whole = build(**folder).fit(shop), build().fit(shop)
    assert resumed.loss_history == whole.loss_history
    np.testing.assert_array_equal(resumed.log_weights([3]), whole.log_weights([3]))


def test_it_trains_a_two_tower_where_it_is_given_none(shop):
    gan = synthesis.InteractionGAN(
        **{**OPTIONS, "columns": None}, embedding_steps=60, steps=1, validate_every=1
    ).fit(shop)
    likelihood = gan.loss_history["two_tower_val_log_likelihood"]
    assert len(likelihood) == 2 and likelihood[1] > likelihood[0] - 0.5
    assert gan._users.shape == (200, 32) and np.isfinite(gan.log_weights([0])).all()


def test_the_embeddings_of_a_model_are_taken_by_id(shop):
    from tfrs_augment.towers import TwoTower

    embeddings = synthesis.Embeddings.of_model(TwoTower(shop, embedding_dim=8), shop)
    users, items = embeddings.of(np.array([b"u003", b"u001"]), shop.items["item_id"][:2])
    np.testing.assert_array_equal(users, embeddings.users[[2, 0]])
    assert items.shape == (2, 8)
    with pytest.raises(DataError, match="users must have an embedding.*b'nobody'"):
        embeddings.of(np.array([b"nobody"]), shop.items["item_id"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"condition": "category"}, UnknownFeatureError),
        ({"temperature": 0.0}, InvalidArgumentError),
        ({"training_power": 2.0}, InvalidArgumentError),
        ({"noise_samples": 0}, InvalidArgumentError),
        ({"embedding_steps": 0}, InvalidArgumentError),
    ],
)
def test_wrong_arguments_are_named(shop, embeddings, options, error):
    with pytest.raises(error, match=next(iter(options))):
        synthesis.InteractionGAN(**{**OPTIONS, **options}).use_embeddings(embeddings).fit(shop)


def test_embeddings_of_wrong_shapes_are_refused():
    ids = np.array([b"a", b"b"])
    with pytest.raises(InvalidArgumentError, match="one width"):
        synthesis.Embeddings(ids, np.zeros((2, 3)), ids, np.zeros((2, 4)))
    with pytest.raises(InvalidArgumentError, match="one row an id"):
        synthesis.Embeddings(ids, np.zeros((3, 3)), ids, np.zeros((2, 3)))
