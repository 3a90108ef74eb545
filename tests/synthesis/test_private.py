"""Private fits: the accountant, the bound of the clipping, the noise, and that a file holds nothing else."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import secrets
import zipfile

import dp_accounting
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import tensorflow as tf
import tf_keras
from dp_accounting import pld, rdp

from tests.synthesis import network_fits
from tests.synthesis.tables import equal
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.schema import Domain, Schema
from tfrs_augment.synthesis import files, networks
from tfrs_augment.synthesis.adversarial import LEAK
from tfrs_augment.synthesis.base import Synthesizer
from tfrs_augment.synthesis.clipping import clipped_sum, critic_factors
from tfrs_augment.synthesis.declared import bins, declared_spec
from tfrs_augment.synthesis.encoding import TableEncoding
from tfrs_augment.synthesis.private import (
    DifferentialPrivacy,
    PrivacyBudget,
    epsilon_of,
)
from tfrs_augment.synthesis.private_noise import Secret, noisy_shares
from tfrs_augment.synthesis.private_training import PrivateTrainer, poisson_sample, with_noise
from tfrs_augment.synthesis.tabular_gan import TabularGAN
from tfrs_augment.synthesis.training_by_sampling import ConditionSampler

QUICK = {"validate_every": 5, "generator_units": (16,), "critic_units": (16, 8), "batch_size": 40}
PRIVACY = DifferentialPrivacy(noise_multiplier=1.0, delta=1e-4)
SCHEMA = Schema(
    {"kind": "bytes", "size": "bytes", "price": "float"},
    {
        "kind": Domain(values=frozenset([b"hat", b"bag", b"shirt", b"shoe", b"scarf"])),
        "size": Domain(values=frozenset([b"s", b"m", b"l"])),
        "price": Domain(0.0, 200.0),
    },
)
SPENT = PrivacyBudget(
    epsilon=0.0,
    delta=1e-5,
    unit="row",
    noise_multiplier=1.1,
    clip_norm=1.0,
    count_noise_multiplier=10.0,
    sampling_probability=0.01,
    steps=1000,
)


@functools.cache
def fitted() -> TabularGAN:
    gan = TabularGAN(**QUICK, steps=10, privacy=PRIVACY)
    return gan.fit(network_fits.related(), schema=SCHEMA)


# The accountant.


@pytest.fixture(autouse=True)
def repeated_secrets(monkeypatch):
    """Secrets that differ from each other, and are the same in every run of a test."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(secrets, "token_bytes", rng.bytes)


def test_epsilon_is_that_of_the_events():
    accountant = rdp.RdpAccountant()
    accountant.compose(
        dp_accounting.ComposedDpEvent(
            [
                dp_accounting.SelfComposedDpEvent(
                    dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.1)),
                    1000,
                ),
                dp_accounting.GaussianDpEvent(10.0),
            ]
        )
    )
    # The library looks at broken orders too, which can tell more, by little.
    assert 1.0 <= epsilon_of(SPENT) / accountant.get_epsilon(1e-5) < 1.01


def test_epsilon_bounds_the_tighter_one_of_loss_distributions_closely():
    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(
        dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.1)), 1000
    )
    accountant.compose(dp_accounting.GaussianDpEvent(10.0))
    assert 1.0 <= epsilon_of(SPENT) / accountant.get_epsilon(1e-5) < 1.25


def test_epsilon_of_steps_of_all_rows_is_near_the_one_in_closed_form():
    # Without sampling all is one Gaussian mechanism, whose delta Balle and Wang (2018), theorem 8, give.
    spent = dataclasses.replace(
        SPENT, sampling_probability=1.0, noise_multiplier=40.0, steps=100, delta=1e-6
    )
    distance = math.sqrt(100 / 40.0**2 + 1 / 10.0**2)

    def delta(epsilon):
        cdf = scipy.stats.norm.cdf
        first = cdf(distance / 2 - epsilon / distance)
        return first - math.exp(epsilon) * cdf(-distance / 2 - epsilon / distance)

    exact = scipy.optimize.brentq(lambda epsilon: delta(epsilon) - 1e-6, 0.01, 10.0)
    assert exact <= epsilon_of(spent) < 1.15 * exact


def test_epsilon_is_that_of_the_literature():
    # Abadi et al. (2016), section 4: q = 0.01, sigma = 4, T = 10,000, delta = 1e-5 give 1.26.
    spent = dataclasses.replace(
        SPENT, noise_multiplier=4.0, steps=10_000, count_noise_multiplier=1e6
    )
    assert epsilon_of(spent) == pytest.approx(1.26, abs=0.3)
    assert epsilon_of(spent) <= 1.26


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 20.0])
def test_noise_is_the_least_for_the_budget(epsilon):
    privacy = DifferentialPrivacy(epsilon=epsilon, delta=1e-5)
    budget = privacy.budget(rows=10_000, batch_size=100, steps=1000)
    assert budget.epsilon == pytest.approx(epsilon_of(budget)) and budget.epsilon <= epsilon
    less = dataclasses.replace(budget, noise_multiplier=budget.noise_multiplier * 0.99)
    assert epsilon_of(less) > epsilon


def test_a_budget_that_no_noise_meets_is_refused():
    for asked in ({"epsilon": 0.001}, {"epsilon": 0.5, "count_share": 0.999}):
        privacy = DifferentialPrivacy(**asked, delta=1e-5)
        with pytest.raises(InvalidArgumentError, match="`epsilon` must be above.*counts alone"):
            privacy.budget(rows=10_000, batch_size=100, steps=10)


@pytest.mark.parametrize("asked", [{"epsilon": 2.0}, {"noise_multiplier": 1.0}])
def test_counts_get_their_share_of_the_budget(asked):
    for share in (0.1, 0.5):
        privacy = DifferentialPrivacy(**asked, delta=1e-5, count_share=share)
        budget = privacy.budget(rows=10_000, batch_size=100, steps=1000)
        alone = dataclasses.replace(budget, noise_multiplier=1e6)
        assert epsilon_of(alone) == pytest.approx(budget.epsilon * math.sqrt(share), rel=0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 1e-5}, "One of `epsilon` and `noise_multiplier`"),
        ({"delta": 1e-5, "epsilon": 1.0, "noise_multiplier": 1.0}, "One of `epsilon`"),
        ({"delta": 0.0, "epsilon": 1.0}, "`delta` must be in"),
        ({"delta": 1e-5, "epsilon": -1.0}, "`epsilon` must be in"),
        ({"delta": 1e-5, "epsilon": math.inf}, "`epsilon` must be in"),
        ({"delta": 1e-5, "noise_multiplier": 0.0}, "`noise_multiplier` must be in"),
        ({"delta": 1e-5, "epsilon": 1.0, "clip_norm": 0.0}, "`clip_norm` must be"),
        ({"delta": 1e-5, "epsilon": 1.0, "count_share": 1.0}, "`count_share` must be in"),
    ],
)
def test_settings_are_checked(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        DifferentialPrivacy(**arguments)


def test_delta_must_be_below_one_over_the_rows():
    with pytest.raises(InvalidArgumentError, match="`delta` must be below 1 / rows"):
        DifferentialPrivacy(epsilon=1.0, delta=0.01).budget(rows=100, batch_size=10, steps=1)


# Clipping.


def tape_gradient(critic, real, fake, between, loss, weight) -> list[np.ndarray]:
    """The gradient of one pair, by automatic differentiation."""
    with tf.GradientTape() as tape:
        if loss == "minimax":
            value = tf.nn.softplus(critic(fake)) + tf.nn.softplus(-critic(real))
        else:
            mixed = between * real + (1.0 - between) * fake
            with tf.GradientTape() as inner:
                inner.watch(mixed)
                score = critic(mixed)
            norm = tf.sqrt(tf.reduce_sum(inner.gradient(score, mixed) ** 2) + 1e-12)
            value = critic(fake) - critic(real) + weight * (norm - 1.0) ** 2
        value = tf.reduce_sum(value)
    weights = critic.trainable_variables
    zeros = tf.UnconnectedGradients.ZERO
    return [part.numpy() for part in tape.gradient(value, weights, unconnected_gradients=zeros)]


@pytest.mark.parametrize("loss", ["wgan-gp", "minimax"])
@pytest.mark.parametrize("clip_norm", [0.3, 1e6])
def test_a_clipped_sum_is_that_of_gradients_taken_one_by_one(loss, clip_norm):
    rng = np.random.default_rng(0)
    critic = networks.multilayer((7, 5), 1, 6, leak=LEAK, seed=1)
    critic.set_weights([rng.normal(size=w.shape) for w in critic.get_weights()])
    real, fake = (tf.constant(rng.normal(size=[9, 6]), tf.float32) for _ in range(2))
    between = tf.constant(rng.random([9, 1]), tf.float32)
    factors = critic_factors(
        critic, real, fake, between, leak=LEAK, loss=loss, gradient_penalty=10.0
    )
    expected = [np.zeros(w.shape) for w in critic.get_weights()]
    for i in range(9):
        one = slice(i, i + 1)
        parts = tape_gradient(critic, real[one], fake[one], between[one], loss, 10.0)
        norm = math.sqrt(sum((part.astype(np.float64) ** 2).sum() for part in parts))
        assert norm > 0.3
        for total, part in zip(expected, parts):
            total += part * min(1.0, clip_norm / norm)
    for total, part in zip(expected, clipped_sum(factors, clip_norm)):
        np.testing.assert_allclose(part, total, rtol=2e-4, atol=2e-4)


@functools.cache
def trainer() -> PrivateTrainer:
    """Of 30 rows, with weights that are far from the start's."""
    spec = declared_spec(network_fits.related(), SCHEMA)
    gan = TabularGAN(**QUICK, privacy=PRIVACY)
    gan._encoding = TableEncoding.of_bounds(spec)
    table = {name: column[:30] for name, column in network_fits.related().items()}
    encoded = gan._encoding.encode(table, np.random.default_rng(0))
    heads = gan._encoding.heads
    gan._sampler = ConditionSampler(heads, [np.ones(head.size) for head in heads])
    budget = dataclasses.replace(SPENT, clip_norm=0.5, sampling_probability=0.5)
    made = PrivateTrainer(gan, encoded, gan._sampler, budget, Secret(None, ""))
    rng = np.random.default_rng(1)
    made._critic.set_weights([rng.normal(size=w.shape) for w in made._critic.get_weights()])
    return made


def distance(first, second) -> float:
    """Between two lists of tensors, over all of them."""
    return math.sqrt(
        sum(float(tf.reduce_sum(tf.cast(a - b, tf.float64) ** 2)) for a, b in zip(first, second))
    )


def test_one_row_moves_the_sum_of_a_step_by_the_clip_norm_at_most():
    seeds = tf.constant([[1, 2], [3, 4]], tf.int64)
    everything = trainer()._clipped_sum(tf.range(30), seeds)
    moved = []
    for count in range(29, 0, -1):
        # What is drawn for a row hangs on its place in the step, so that the last one is taken away.
        fewer = trainer()._clipped_sum(tf.range(count), seeds)
        moved.append(distance(everything, fewer))
        everything = fewer
    assert max(moved) <= 0.5 * (1 + 1e-4)
    # The bound is met: these gradients are longer than it.
    assert np.median(moved) == pytest.approx(0.5, rel=1e-3)


def test_another_row_in_the_place_of_one_moves_it_by_twice_that_at_most():
    seeds = tf.constant([[1, 2], [3, 4]], tf.int64)
    rows = tf.range(10)
    first = trainer()._clipped_sum(rows, seeds)
    for other in range(10, 30):
        second = trainer()._clipped_sum(tf.tensor_scatter_nd_update(rows, [[4]], [other]), seeds)
        assert distance(first, second) <= 1.0 + 1e-4


def test_a_step_without_a_row_is_noise_alone():
    sums = trainer()._clipped_sum(tf.zeros([0], tf.int32), tf.constant([[1, 2], [3, 4]], tf.int64))
    assert [part.shape for part in sums] == [w.shape for w in trainer()._critic.weights]
    assert all((part.numpy() == 0).all() for part in sums)


# Noise and sampling.


def test_the_noise_of_a_step_has_the_deviation_that_is_stated():
    zeros = [tf.zeros([300, 200]), tf.zeros([200])]
    seeds = Secret(None, "").seeds("test", 0, [2])
    drawn, again = ([n.numpy() for n in with_noise(zeros, 2.5, seed)] for seed in seeds)
    noise = np.concatenate([part.ravel() for part in drawn])
    assert noise.std() == pytest.approx(2.5, rel=5 / math.sqrt(2 * len(noise)))
    assert scipy.stats.kstest(noise, "norm", args=(0.0, 2.5)).pvalue > 1e-4
    other = np.concatenate([part.ravel() for part in again])
    assert abs(np.corrcoef(noise, other)[0, 1]) < 5 / math.sqrt(len(noise))


def test_a_step_adds_the_noise_that_is_accounted_for(monkeypatch):
    asked = []

    def spy(sums, deviation, seed):
        asked.append(deviation)
        return sums

    monkeypatch.setattr("tfrs_augment.synthesis.private_training.with_noise", spy)
    trainer()._private_step(tf.constant(np.arange(8).reshape([4, 2]), tf.int64))
    assert asked == [SPENT.noise_multiplier * 0.5]


def test_rows_are_in_a_step_at_the_rate_that_is_stated_and_independently():
    seeds = Secret(None, "").seeds("test", 0, [2000])
    table = np.zeros([2000, 50])
    for step, seed in enumerate(seeds):
        table[step, poisson_sample(50, 0.1, seed).numpy()] = 1.0
    deviation = math.sqrt(0.1 * 0.9 / table.size)
    assert table.mean() == pytest.approx(0.1, abs=5 * deviation)
    # The size of a step is binomial, and no row goes with another one.
    assert table.sum(1).var() == pytest.approx(50 * 0.1 * 0.9, rel=0.2)
    correlation = np.corrcoef(table.T) - np.eye(50)
    assert np.abs(correlation).max() < 6 / math.sqrt(2000)


def test_counts_have_the_noise_that_is_stated_and_shares_add_up():
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 400, 200_000) for _ in range(4)]
    shares = noisy_shares(codes, [400] * 4, 10.0, rng)
    counts = np.stack([np.bincount(column, minlength=400) for column in codes])
    noise = np.stack(shares) * 200_000 - counts
    # Of four columns: 10 times the root of 4. That the sum is known takes a little of it.
    assert noise.std() == pytest.approx(20.0, rel=0.1)
    assert np.sum(shares, 1) == pytest.approx(1.0)
    few = noisy_shares([np.zeros(50, int)], [40], 10.0, rng)[0]
    assert few.min() >= 0 and few.sum() == pytest.approx(1.0)


def test_one_row_moves_the_counts_by_the_root_of_the_columns_at_most():
    class Silent:
        def normal(self, mean, deviation, size):
            return np.zeros(size)

    codes = np.random.default_rng(0).integers(0, 3, [3, 40])
    without = codes.copy()
    without[:, 7] = -1
    with_row, fewer = (
        [np.bincount(column[column >= 0], minlength=3) for column in table]
        for table in (codes, without)
    )
    assert np.linalg.norm(np.subtract(with_row, fewer)) == pytest.approx(math.sqrt(3))
    shares = noisy_shares(codes, [3] * 3, 1.0, Silent())
    assert np.allclose(shares, np.array(with_row) / 40)


def test_noise_does_not_follow_from_the_seed():
    first, second = (Secret(None, "same") for _ in range(2))
    assert (first.seeds("critic", 0, [3]) != second.seeds("critic", 0, [3])).all()
    again = TabularGAN(**QUICK, steps=10, privacy=PRIVACY).fit(
        network_fits.related(), schema=SCHEMA
    )
    assert again.get_config() == fitted().get_config()
    assert not equal(again.sample(100), fitted().sample(100))


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
