"""Private fits: that a file holds a budget and nothing else of the rows, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import json
import zipfile

import numpy as np
import pytest
import tf_keras

from tests.synthesis import network_fits
from tests.synthesis.private_cases import PRIVACY, QUICK, SCHEMA
from tests.synthesis.tables import equal
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis import files
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.declared import bins, declared_spec
from tfrs_augment.synthesis.encoding import TableEncoding
from tfrs_augment.synthesis.private import (
    DifferentialPrivacy,
    epsilon_of,
)
from tfrs_augment.synthesis.private_noise import Secret
from tfrs_augment.synthesis.tabular_gan import TabularGAN


@functools.cache
def fitted() -> TabularGAN:
    gan = TabularGAN(**QUICK, steps=10, privacy=PRIVACY)
    return gan.fit(network_fits.related(), schema=SCHEMA)


# What the rows may not tell.


def test_a_schema_must_declare_every_column():
    schema = Schema({"kind": "bytes", "price": "float"}, {"price": Domain(minimum=0.0)})
    with pytest.raises(InvalidArgumentError, match="without the values of 'kind', the kind of 'si"):
        TabularGAN(**QUICK, privacy=PRIVACY).fit(network_fits.related(), schema=schema)
    with pytest.raises(InvalidArgumentError, match="the minimum and maximum of 'price'"):
        TabularGAN(**QUICK, privacy=PRIVACY).fit(network_fits.related(), schema=schema)
    with pytest.raises(InvalidArgumentError, match="the kind of 'kind', the kind of 'size'"):
        TabularGAN(**QUICK, privacy=PRIVACY).fit(network_fits.related())


def test_values_must_be_as_declared():
    table = network_fits.related()
    narrow = dataclasses.replace(SCHEMA, domains={**SCHEMA.domains, "price": Domain(0.0, 50.0)})
    with pytest.raises(DataError, match="'price' must be in"):
        declared_spec(table, narrow)
    with pytest.raises(DataError, match="'price' is never missing"):
        declared_spec(table, dataclasses.replace(SCHEMA, presence={"price": 1.0}))
    few = {**SCHEMA.domains, "size": Domain(values=frozenset([b"s", b"m"]))}
    with pytest.raises(DataError, match="'size' must be among"):
        declared_spec(table, dataclasses.replace(SCHEMA, domains=few))
    with pytest.raises(DataError, match="2 rows"):
        declared_spec({"price": np.float32([1.0])}, SCHEMA)


def test_the_columns_are_those_of_the_schema_whatever_the_rows_are():
    one = {"kind": [b"hat"] * 4, "size": [b"s"] * 4, "price": np.float32([3.25] * 4)}
    one = {name: np.array(column) for name, column in one.items()}
    four = {name: column[:4] for name, column in network_fits.related().items()}
    parts = [declared_spec(table, SCHEMA).to_parts() for table in (one, four)]
    assert parts[0][0] == parts[1][0] and equal(parts[0][1], parts[1][1])
    assert parts[0][1]["categories/0"].tolist() == [b"bag", b"hat", b"scarf", b"shirt", b"shoe"]


def test_integers_of_few_possible_values_are_categories():
    schema = Schema(
        {"stars": "int64", "age": "int64", "one": "float"},
        {"stars": Domain(1, 5), "age": Domain(0, 120), "one": Domain(2.0, 2.0)},
    )
    table = {"stars": np.array([2, 2]), "age": np.array([3, 4]), "one": np.float32([2, np.nan])}
    spec = declared_spec(table, schema)
    assert spec["stars"].categories.tolist() == [1, 2, 3, 4, 5]
    assert (spec["age"].minimum, spec["age"].maximum, spec["age"].decimals) == (0, 120, 0)
    assert len(spec["one"].categories) == 2


def test_parts_of_the_bounds_cover_them_and_numbers_come_back():
    schema = Schema(
        {"age": "int64", "price": "float"}, {n: Domain(0, 99) for n in ("age", "price")}
    )
    table = {"age": np.arange(100), "price": np.linspace(0, 99, 100, dtype=np.float32)}
    spec = declared_spec(table, schema)
    assert bins(spec["age"]).means[0] == pytest.approx(2.0)
    encoding = TableEncoding.of_bounds(spec)
    encoded = encoding.encode(table, np.random.default_rng(0))
    back = encoding.decode(encoded)
    assert np.abs(back["age"] - table["age"]).max() <= 1
    there = ~np.isnan(back["price"])
    assert there.all() and np.allclose(back["price"], table["price"], atol=1.0)
    assert np.abs(back["price"] - table["price"]).mean() < 0.1


def test_how_a_row_is_encoded_hangs_on_no_other_row():
    table = network_fits.related()
    spec = declared_spec(table, SCHEMA)
    encoding = TableEncoding.of_bounds(spec)
    other = {name: column.copy() for name, column in table.items()}
    other["price"][5], other["kind"][5] = np.nan, b"scarf"
    other["price"][6] = 199.0
    first, second = (encoding.encode(t, np.random.default_rng(0)) for t in (table, other))
    rest = np.delete(np.arange(600), [5, 6])
    assert (first.codes[rest] == second.codes[rest]).all()
    assert (first.numbers[rest] == second.numbers[rest]).all()


def test_the_file_holds_the_budget_and_nothing_of_the_rows(tmp_path):
    """Two fits with the same noise on tables without a common value differ in noisy arrays alone."""
    path = tmp_path / "gan"
    fitted().save(path)
    document, arrays = files.read(path)
    assert document["state"]["privacy"] == dataclasses.asdict(fitted().privacy_budget())
    assert set(document["loss_history"]) == {"step", "generator_loss"}
    assert set(document["state"]) == {"place", "privacy"} and document["state"]["place"] is None
    column = document["spec"]["columns"][2]
    assert (column["minimum"], column["maximum"], column["missing"]) == (0.0, 200.0, 1.0)
    # Arrays are the declared categories and bins, private counts, and what is computed from private parts.
    learned = ("state/count/", "state/weight/", "state/biases")
    rest = {name for name in arrays if not name.startswith(learned)}
    assert rest == {
        *("spec/categories/0", "spec/categories/1", "state/quantiles"),
        *(f"state/mixture/0/{field}" for field in ("weights", "means", "deviations")),
    }
    assert len(arrays["state/quantiles"]) == 0
    counts = [arrays[name] for name in arrays if name.startswith("state/count/")]
    real = np.unique(network_fits.related()["kind"], return_counts=True)[1]
    assert not set(counts[0].round(3)) & set(real.astype(float))
    with zipfile.ZipFile(path) as archive:
        text = b"".join(archive.read(name) for name in archive.namelist())
    prices = network_fits.related()["price"]
    for number in (np.nanmin(prices), np.nanmax(prices), np.nanmedian(prices)):
        for dtype in (np.float32, np.float64):
            assert np.array(number, dtype).tobytes() not in text
        assert json.dumps(float(number)) not in text.decode("latin-1")


def test_a_file_keeps_epsilon_and_delta_and_gives_the_same_rows(tmp_path):
    fitted().save(tmp_path / "gan")
    again = Synthesizer.load(tmp_path / "gan")
    assert again.privacy == PRIVACY and again.get_config() == fitted().get_config()
    budget = again.privacy_budget()
    assert budget == fitted().privacy_budget() and budget.delta == 1e-4
    assert budget.epsilon == pytest.approx(epsilon_of(budget))
    assert (budget.sampling_probability, budget.steps) == (40 / 600, 10)
    rows = again.sample(300, seed=3, conditions={"kind": "shoe"})
    assert equal(rows, fitted().sample(300, seed=3, conditions={"kind": "shoe"}))
    assert set(rows["kind"]) == {b"shoe"}


def test_all_steps_of_the_critic_are_counted():
    gan = TabularGAN(**QUICK, steps=6, critic_steps=3, privacy=PRIVACY)

    class Stop(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = True

    gan.fit(network_fits.related(), schema=SCHEMA, callbacks=[Stop()])
    # Two runs of five steps were planned; that one was enough does not make it cheaper.
    assert gan.loss_history["step"] == [5] and gan.privacy_budget().steps == 30


def test_a_private_fit_that_was_cut_off_ends_as_one_that_was_not(tmp_path):
    class CutOff(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            raise KeyboardInterrupt

    def make(folder):
        return TabularGAN(
            **QUICK, steps=15, loss="minimax", privacy=PRIVACY, checkpoint_dir=str(folder)
        )

    table = network_fits.related()
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
        # Two fits with the same noise, which only whoever has the folder can have.
        (folder / "noise_secret").write_bytes(b"x" * 32)
    expected = make(whole).fit(table, schema=SCHEMA)
    with pytest.raises(KeyboardInterrupt):
        make(parted).fit(table, schema=SCHEMA, callbacks=[CutOff()])
    resumed = make(parted).fit(table, schema=SCHEMA)
    assert resumed.loss_history == expected.loss_history
    assert equal(resumed.sample(50), expected.sample(50))
    assert resumed.privacy_budget() == expected.privacy_budget()
    with pytest.raises(InvalidArgumentError, match="checkpoint_dir"):
        make(parted).fit(network_fits.shuffled(table), schema=SCHEMA)


def test_the_secret_stays_in_its_folder(tmp_path):
    first, second = (Secret(str(tmp_path / "folder"), "fit") for _ in range(2))
    assert (first.seeds("critic", 3, [2]) == second.seeds("critic", 3, [2])).all()
    other = Secret(str(tmp_path / "folder"), "another fit")
    assert (first.seeds("critic", 3, [2]) != other.seeds("critic", 3, [2])).all()
    assert (first.seeds("critic", 3, [2]) != first.seeds("critic", 4, [2])).all()
    assert first.rng("counts").random() == second.rng("counts").random()


def test_it_learns_with_a_loose_budget():
    gan = TabularGAN(
        steps=300,
        batch_size=100,
        averaging=0.9,
        privacy=DifferentialPrivacy(
            noise_multiplier=0.5, delta=1e-4, clip_norm=1.0, count_share=0.5
        ),
    )
    real = network_fits.related()
    rows = gan.fit(real, schema=SCHEMA).sample(4096)
    assert network_fits.agreement(rows) > network_fits.agreement(network_fits.shuffled(real)) + 0.1
    share = np.mean(real["kind"] == b"shoe")
    assert np.mean(rows["kind"] == b"shoe") == pytest.approx(share, abs=0.06)
    assert np.isnan(rows["price"]).mean() == pytest.approx(np.isnan(real["price"]).mean(), abs=0.06)
    assert np.nanmedian(rows["price"]) == pytest.approx(np.nanmedian(real["price"]), rel=0.3)


# Refusals.


def test_a_fit_without_privacy_states_no_budget():
    gan = TabularGAN(**QUICK, steps=5).fit(network_fits.related())
    with pytest.raises(InvalidArgumentError, match="No privacy budget.*mixtures.*the critic"):
        gan.privacy_budget()
    with pytest.raises(InvalidArgumentError, match="fitted first"):
        TabularGAN(**QUICK, privacy=PRIVACY).privacy_budget()


def test_arguments_that_do_not_go_with_privacy_are_refused():
    with pytest.raises(InvalidArgumentError, match="`pac` must be 1 with `privacy`"):
        TabularGAN(pac=10, privacy=PRIVACY)
    for value in (3.0, {"epsilon": 1.0}, {"delta": 1e-5, "epsilon": 1.0, "eps": 2}):
        with pytest.raises(InvalidArgumentError, match="`privacy` must be a DifferentialPrivacy"):
            TabularGAN(privacy=value)
