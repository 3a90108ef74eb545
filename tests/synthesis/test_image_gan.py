"""ImageGAN: trains, samples, draws grids, is saved; and the distance that it looks at."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrs_augment.datasets import photos, shop
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.synthesis.frechet import frechet_distance
from tfrs_augment.synthesis.image_gan import ImageGAN, ImageGrid
from tfrs_augment.synthesis.independent import IndependentSampler

QUICK = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 8, "filters": 2, "noise_dim": 4}


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return photos.draw_photos(shop.simulated_shop("tiny").items, size=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("grids")


@pytest.fixture(scope="module")
def fitted(pictures, folder) -> ImageGAN:
    return ImageGAN(**QUICK).fit(pictures, callbacks=[ImageGrid(folder, rows=2, columns=3)])


def test_sampled_photos_repeat_and_are_a_prefix_of_more(fitted):
    sampled = fitted.sample(10, seed=3)
    assert sampled.dtype == np.uint8 and sampled.shape == (10, 64, 64, 3)
    np.testing.assert_array_equal(fitted.sample(20, seed=3)[:10], sampled)
    assert (fitted.sample(10, seed=4) != sampled).any()
    assert fitted.sample(0).shape == (0, 64, 64, 3)


def test_a_grid_is_drawn_each_epoch(fitted, folder):
    assert [path.name for path in sorted(folder.iterdir())] == ["epoch_001.png", "epoch_002.png"]
    grid = tf.io.decode_png((folder / "epoch_002.png").read_bytes())
    assert grid.shape == (2 * 64, 3 * 64, 3)


def test_a_file_gives_the_same_photos(fitted, tmp_path):
    fitted.save(tmp_path / "gan")
    again = ImageGAN.load(tmp_path / "gan")
    assert again.get_config() == fitted.get_config() and again.loss_history == fitted.loss_history
    np.testing.assert_array_equal(again.sample(3), fitted.sample(3))


def test_a_file_that_something_is_wrong_with_is_named(fitted, tmp_path):
    path = tmp_path / "gan"
    fitted.save(path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:200] + b"x" + whole[201:]):
        path.write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=f"'{path}' is no file of a synthesizer"):
            ImageGAN.load(path)
    IndependentSampler().fit({"a": [1, 2]}).save(path)
    with pytest.raises(InvalidArgumentError, match="must hold an ImageGAN. Received: a Indep"):
        ImageGAN.load(path)


def test_training_lowers_the_distance(pictures):
    gan = ImageGAN(**{**QUICK, "filters": 4, "epochs": 6, "steps_per_epoch": 8}, averaging=0.5)
    distance = gan.fit(pictures).loss_history["minus_distance"]
    assert max(distance) > distance[0]


def test_a_fit_that_was_cut_off_ends_as_one_that_was_not(pictures, tmp_path):
    class CutOff(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    def new(**more):
        return ImageGAN(**QUICK, averaging=0.5, **more)

    folder = {"checkpoint_dir": str(tmp_path)}
    with pytest.raises(KeyboardInterrupt):
        new(**folder).fit(pictures, callbacks=[CutOff()])
    seen = []
    watcher = tf_keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(epoch)
    )
    # How long it may take is no matter of the fit.
    resumed = new(**folder, minutes=99.0).fit(pictures, callbacks=[watcher])
    whole = new().fit(pictures)
    assert seen == [1] and resumed.loss_history == whole.loss_history
    np.testing.assert_array_equal(resumed.sample(5), whole.sample(5))
    with pytest.raises(InvalidArgumentError, match="`checkpoint_dir` must be empty"):
        new(**folder).fit(pictures[::-1])


def test_training_stops_when_the_minutes_are_over(pictures):
    gan = ImageGAN(**{**QUICK, "epochs": 50}, minutes=0.0).fit(pictures)
    assert len(gan.loss_history["minus_distance"]) == 1


def test_bad_input_is_named(pictures, tmp_path):
    with pytest.raises(DataError, match=r"uint8 of shape \[n, 64, 64, 1 or 3\]. Received: float32"):
        ImageGAN().fit(pictures.astype(np.float32))
    with pytest.raises(DataError, match=r"Received: float64 of shape \[2\]"):
        ImageGAN().fit([0.5, 1.5])
    with pytest.raises(InvalidArgumentError, match="absent' can't be read"):
        ImageGAN.load(tmp_path / "absent")
    with pytest.raises(DataError, match="at least 2"):
        ImageGAN().fit(pictures[:1])
    with pytest.raises(InvalidArgumentError, match="fitted first"):
        ImageGAN().sample(1)
    with pytest.raises(InvalidArgumentError, match="`filters` must be an integer"):
        ImageGAN(filters=0)
    with pytest.raises(InvalidArgumentError, match="`minutes` must be at least 0"):
        ImageGAN(minutes=-1.0)


def test_the_distance_is_that_of_normal_distributions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=[50_000, 2])
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    # Independent axes: the squared difference of means, and of standard deviations.
    assert frechet_distance(x, 3.0 * x + [1.0, 0.0]) == pytest.approx(1.0 + 2 * 2.0**2, rel=0.03)
