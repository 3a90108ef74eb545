"""TabularVAE: learns relations, meets conditions, repeats, resumes, and is saved."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthesis import network_fits
from tests.synthesis.tables import equal
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.tabular_vae import TabularVAE

QUICK = {"validate_every": 5, "units": (16,), "batch_size": 40}


@pytest.fixture(scope="module")
def fitted() -> TabularVAE:
    vae = TabularVAE(steps=400, validate_every=50, batch_size=100, averaging=0.9)
    return vae.fit(network_fits.related())


def test_it_learns_relations_and_shares(fitted):
    real, rows = network_fits.related(), fitted.sample(4096, seed=1)
    assert max(fitted.loss_history["pair_likelihood"]) > 0.1
    assert network_fits.agreement(rows) > network_fits.agreement(network_fits.shuffled(real)) + 0.15
    share = np.mean(real["kind"] == b"shoe")
    assert np.mean(rows["kind"] == b"shoe") == pytest.approx(share, abs=0.05)
    assert np.nanmedian(rows["price"]) == pytest.approx(np.nanmedian(real["price"]), rel=0.2)


def test_conditions_are_exact(fitted):
    rows = fitted.sample(100, conditions={"kind": "hat", "price": (10, 60)})
    assert set(rows["kind"]) == {b"hat"}
    assert ((rows["price"] >= 10) & (rows["price"] <= 60)).all()


def test_a_file_gives_the_same_rows(fitted, tmp_path):
    fitted.save(tmp_path / "vae")
    again = Synthesizer.load(tmp_path / "vae")
    assert isinstance(again, TabularVAE) and again.get_config() == fitted.get_config()
    assert equal(again.sample(300, seed=3), fitted.sample(300, seed=3))


def test_a_fit_that_was_cut_off_ends_as_one_that_was_not(tmp_path):
    network_fits.check_resuming(
        lambda **more: TabularVAE(**QUICK, steps=15, averaging=0.5, seed=2, **more), tmp_path
    )


def test_odd_tables_are_fitted():
    for table in network_fits.odd():
        rows = TabularVAE(**QUICK, steps=5).fit(table).sample(5)
        assert list(rows) == list(table) and all(len(values) == 5 for values in rows.values())


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("units", (8, -1), r"`units\[1\]` must be an integer of at least 1"),
        ("reconstruction", 0, "`reconstruction` must be in"),
        ("validation_share", 0.6, "`validation_share` must be in"),
        ("learning_rate", 0.0, "`learning_rate` must be at least"),
    ],
)
def test_arguments_are_checked(argument, value, message):
    with pytest.raises(InvalidArgumentError, match=message):
        TabularVAE(**{argument: value})
