"""TabularGAN: learns relations, meets conditions, repeats, resumes, and is saved."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from tests.synthesis import network_fits
from tests.synthesis.tables import equal
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.tabular_gan import TabularGAN

QUICK = {"validate_every": 5, "generator_units": (16,), "critic_units": (16,), "batch_size": 40}


@pytest.fixture(scope="module")
def fitted() -> TabularGAN:
    gan = TabularGAN(steps=400, validate_every=50, batch_size=100, pac=1, averaging=0.9)
    return gan.fit(network_fits.related())


def test_it_learns_relations_and_shares(fitted):
    real, rows = network_fits.related(), fitted.sample(4096, seed=1)
    assert max(fitted.loss_history["pair_likelihood"]) > 0.1
    assert network_fits.agreement(rows) > network_fits.agreement(network_fits.shuffled(real)) + 0.2
    share = np.mean(real["kind"] == b"shoe")
    assert np.mean(rows["kind"] == b"shoe") == pytest.approx(share, abs=0.05)
    assert np.isnan(rows["price"]).mean() == pytest.approx(np.isnan(real["price"]).mean(), abs=0.05)
    assert np.nanmedian(rows["price"]) == pytest.approx(np.nanmedian(real["price"]), rel=0.2)


def test_conditions_are_exact_and_one_on_categories_costs_no_try(fitted):
    given = {"kind": ["hat", "bag"], "size": b"m", "price": (10, 60)}
    rows = fitted.sample(100, conditions=given)
    assert set(rows["kind"]) <= {b"hat", b"bag"} and set(rows["size"]) == {b"m"}
    assert ((rows["price"] >= 10) & (rows["price"] <= 60)).all()
    rng = np.random.default_rng(0)
    drawn = fitted._draw(rng, 4096, fitted._conditions({"kind": "bag"}))
    assert set(drawn["kind"]) == {b"bag"}


def test_a_file_gives_the_same_rows(fitted, tmp_path):
    fitted.save(tmp_path / "gan")
    again = Synthesizer.load(tmp_path / "gan")
    assert isinstance(again, TabularGAN) and again.get_config() == fitted.get_config()
    assert again.loss_history == fitted.loss_history
    assert equal(again.sample(300, seed=3), fitted.sample(300, seed=3))
    assert (again.sample(300, seed=4)["price"] != fitted.sample(300, seed=3)["price"]).any()


def test_missing_cells_are_filled_in(fitted):
    filled = fitted.impute({"kind": [b"hat", b""], "price": [np.nan, 20.0]})
    assert filled["kind"][0] == b"hat" and filled["kind"][1] != b"" and filled["price"][1] == 20.0
    assert not np.isnan(filled["price"]).any()


def test_a_fit_that_was_cut_off_ends_as_one_that_was_not(tmp_path):
    network_fits.check_resuming(
        lambda **more: TabularGAN(**QUICK, steps=15, averaging=0.5, seed=2, **more), tmp_path
    )


def test_odd_tables_are_fitted():
    for table in network_fits.odd():
        rows = TabularGAN(**QUICK, steps=5, pac=2).fit(table).sample(5)
        assert list(rows) == list(table) and all(len(values) == 5 for values in rows.values())
    with pytest.raises(DataError, match="2 rows"):
        TabularGAN().fit({"a": [1]})


@pytest.fixture(scope="module")
def original() -> TabularGAN:
    """The original game, on a table with a schema, stopped by a callback."""

    class Stop(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = epoch == 1

    gan = TabularGAN(**QUICK, steps=45, loss="minimax", critic_steps=2)
    return gan.fit(network_fits.related(), schema=network_fits.schema(), callbacks=[Stop()])


def test_a_value_that_no_row_has_can_not_be_asked_for(original):
    with pytest.raises(DataError, match="'kind' can't hold"):
        original.sample(1, conditions={"kind": "scarf"})
    assert b"scarf" not in original.sample(4096)["kind"]


def test_training_can_be_watched_and_stopped(original):
    assert {name: len(values) for name, values in original.loss_history.items()} == dict.fromkeys(
        ("step", "critic_loss", "generator_loss", "pair_likelihood"), 2
    )
    assert original.loss_history["step"] == [5, 10]
    # Twice log 2, before the discriminator has learned anything.
    assert original.loss_history["critic_loss"][0] == pytest.approx(2 * np.log(2), rel=0.4)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("loss", "hinge", "`loss` must be one of 'wgan-gp', 'minimax'. Received: loss='hinge'"),
        ("pac", 7, "`batch_size` must be a multiple of `pac`"),
        ("steps", 0, "`steps` must be an integer of at least 1. Received: steps=0"),
        ("seed", -1, "`seed` must be an integer of at least 0"),
        ("averaging", 1.0, "`averaging` must be in"),
        ("gradient_penalty", -1.0, "`gradient_penalty` must be at least 0"),
        ("critic_units", (), "`critic_units` must be widths"),
        ("temperature", 0, "`temperature` must be in"),
    ],
)
def test_arguments_are_checked(argument, value, message):
    with pytest.raises(InvalidArgumentError, match=message):
        TabularGAN(**{argument: value})
