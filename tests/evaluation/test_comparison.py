"""A comparison end to end, with models small enough to train in a second."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tests.evaluation.tiny_models import Constant
from tfrs_augment import evaluation
from tfrs_augment.adaptive import AdaptivePolicy, Exp3
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation import folds
from tfrs_augment.evaluation.comparing.comparison import Arm, compare
from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.measuring.slices import MAIN_SLICES, SLICES
from tfrs_augment.evaluation.reporting.report import METRICS
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.layers.auxiliary import AuxiliaryTask
from tfrs_augment.ops import GaussianNoise, IdDropout
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.towers import TwoTower, mean_oov

FAST = Protocol(epochs=3, batch_size=256, patience=2)


class Tiny(tfrs.Model):
    """Two embedding tables: what the mechanics of a comparison need, and fast to trace."""

    def __init__(self, train, dim=8):
        super().__init__()
        self.task = tfrs.tasks.Retrieval(temperature=0.2)
        self.user_table = tf.Variable(tf.random.normal([100, dim]))
        self.item_table = tf.Variable(tf.random.normal([100, dim]))

    def query_model(self, features):
        return self._look_up(self.user_table, features["user_id"])

    def candidate_model(self, features):
        return self._look_up(self.item_table, features["item_id"])

    def compute_loss(self, features, training=False):
        return self.task(
            self.query_model(features), self.candidate_model(features), compute_metrics=False
        )

    def _look_up(self, table, ids):
        index = tf.strings.to_number(tf.strings.substr(ids, 1, 2), tf.int32)
        return tf.math.l2_normalize(tf.gather(table, index), axis=1)


class Counted:
    """A `build_model` that counts its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, train, **options):
        self.calls.append(options)
        return Tiny(train, **options)


class Penalty(AuxiliaryTask):
    """Pulls every item to the origin."""

    def loss(self, model, features, draw):
        return 100.0 * tf.reduce_sum(model.item_table**2)


def _split(shop):
    return lambda seed: splits.split(shop, cold_share=0.2, seed=seed)


def _no_items(model, train):
    model.item_table.assign(tf.zeros_like(model.item_table))


@pytest.fixture(scope="module")
def report(shop):
    arms = {
        "plain": None,
        "erased": Arm(after_fit=_no_items, share="plain"),
        "twice": Arm(copies=2),
        "wide": Arm(model_options={"dim": 16}),
    }
    build = Counted()
    report = compare(build, arms, split=_split(shop), seeds=(0, 1), protocol=FAST, progress=False)
    return report, build


def test_every_arm_is_trained_once_a_seed_but_those_that_share(report):
    _, build = report
    assert len(build.calls) == 6
    assert build.calls[:3] == [{}, {}, {"dim": 16}]


def test_figures_are_means_of_the_rows(report, shop):
    found, _ = report
    assert found.arms == ("plain", "erased", "twice", "wide")
    for metric in METRICS:
        for name in SLICES:
            expected = np.mean(
                [
                    found.runs["twice", seed]
                    .values(name, metric)[found.slices[seed].masks[name]]
                    .mean()
                    for seed in (0, 1)
                ]
            )
            figure = found.figure("twice", name, metric)
            assert figure.mean == pytest.approx(expected)
            assert figure.low <= figure.mean <= figure.high
            base = found.figure("plain", name, metric).mean
            assert figure.difference == pytest.approx(expected - base)
    assert found.figure("plain", "all").difference == 0.0


def test_an_arm_that_shares_a_training_changes_it_for_itself_alone(report):
    found, _ = report
    for seed in (0, 1):
        plain, erased = found.runs["plain", seed], found.runs["erased", seed]
        assert erased.validation == plain.validation
        assert (plain.ranks["full"].ties == 0).all()
        assert (erased.ranks["full"].ties > 9).all()


def test_an_arm_adds_tasks_made_of_its_training_rows(shop, tmp_path):
    given = []

    def factory(train):
        given.append(train)
        return [Penalty(weight=1.0, reduction="mean")]

    arms = {"plain": None, "penalized": Arm(tasks=factory)}
    report = compare(
        Tiny,
        arms,
        split=_split(shop),
        seeds=(0,),
        protocol=FAST,
        cache_dir=tmp_path,
        progress=False,
    )
    assert len(given) == 1 and len(given[0]) == len(_split(shop)(0).train)
    runs = report.runs
    assert runs["plain", 0].validation != runs["penalized", 0].validation
    assert Arm(tasks=factory).describe()["tasks"].endswith("<locals>.factory")
    assert "tasks" not in Arm().describe()
    assert Arm(tasks=functools.partial(factory, a=1)).describe() != Arm(tasks=factory).describe()
    with pytest.raises(InvalidArgumentError, match="or `tasks`"):
        Arm(tasks=factory, share="plain")


def test_validations_see_the_model_as_it_will_serve(shop):
    def pseudo_cold(seed):
        return splits.split(shop, cold_share=0.2, pseudo_cold_share=0.2, seed=seed)

    arms = {"plain": None, "erased": Arm(after_fit=_no_items)}
    found = compare(Tiny, arms, split=pseudo_cold, seeds=(0,), protocol=FAST, progress=False)
    plain, erased = found.runs["plain", 0], found.runs["erased", 0]
    assert len(set(plain.validation)) > 1
    assert len(set(erased.validation)) == 1, "each validation was of the erased items"
    assert erased.loss == plain.loss[: len(erased.loss)], "and training went on from the others"


def test_the_loss_of_each_epoch_is_kept(report):
    found, _ = report
    losses = found.runs["plain", 0].loss
    assert len(losses) == 3 and losses[0] > losses[1] > losses[2]
    assert found.to_dict()["runs"][0]["loss"] == losses


@pytest.mark.slow
def test_an_arm_trains_on_rows_of_its_own(shop, tmp_path):
    given = []

    def build(train):
        given.append(len(train))
        return Tiny(train)

    def half(split, seed):
        return split.train.take(np.arange(len(split.train)) % 2 == seed)

    arms = {
        "plain": None,
        "half": Arm(rows=half),
        "same": Arm(rows=lambda split, seed: split.train),
    }
    options = {"split": _split(shop), "protocol": FAST, "progress": False}
    found = compare(build, arms, seeds=(0, 1), cache_dir=tmp_path, **options)
    whole = len(_split(shop)(0).train)
    assert given[:3] == [whole, -(-whole // 2), whole]
    for seed in (0, 1):
        runs = [found.runs[arm, seed] for arm in arms]
        assert runs[0].loss == runs[2].loss != runs[1].loss
        # Steps of an epoch are those of the whole.
        assert runs[1].loss[0] == pytest.approx(runs[0].loss[0], rel=0.1)
    assert (
        compare(build, arms, seeds=(0, 1), cache_dir=tmp_path, **options).figures == found.figures
    )
    assert len(given) == 6, "the second time all came from the cache"
    with pytest.raises(InvalidArgumentError, match="`rows`"):
        Arm(rows=half, share="plain")


def test_training_curves_are_drawn(report, tmp_path):
    found, _ = report
    found.plot_training(tmp_path / "training.png", seed=1)
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidArgumentError, match="`seed` must be one of \\(0, 1\\)"):
        found.plot_training(tmp_path / "training.png", seed=7)


def test_mean_oov_moves_only_what_training_does_not_know(shop):
    arms = {
        "plain": None,
        "mean-OOV": Arm(after_fit=mean_oov, share="plain"),
    }
    found = compare(TwoTower, arms, split=_split(shop), seeds=(0,), protocol=FAST, progress=False)
    warm = found.slices[0].masks["warm"]
    plain, mean = found.runs["plain", 0], found.runs["mean-OOV", 0]
    by_arm = [run.values("warm_corpus", "ndcg@10")[warm] for run in (plain, mean)]
    np.testing.assert_array_equal(*by_arm)
    assert (plain.values("cold", "ndcg@10") != mean.values("cold", "ndcg@10")).any()
    assert found.figure("plain", "warm").mean > 1.3 * 10 / 40


def test_a_policy_acts_in_training_and_is_fitted_on_the_training_rows(shop):
    policy = AugmentationPolicy(
        [IdDropout("item_id", rate=0.5), GaussianNoise("age", stddev=0.5, unit="stddev")],
        key_features=("user_id", "item_id", "timestamp"),
    )
    # The noise is in units of a fitted deviation: unfitted, the policy would be refused.
    found = compare(
        TwoTower,
        {"plain": None, "policy": policy},
        split=_split(shop),
        seeds=(0,),
        protocol=FAST,
        progress=False,
    )
    plain, augmented = found.runs["plain", 0], found.runs["policy", 0]
    assert augmented.validation != plain.validation
    # Unknown ids are met in training now: cold items stand elsewhere.
    assert found.figure("policy", "cold", "ndcg@10").difference != 0.0
    settings = found.to_dict()["settings"]
    assert settings["arms"]["policy"]["policy"] == policy.fingerprint
    assert settings["policies"] == {"policy": policy.get_config()}
    assert settings["versions"]["tensorflow"] == tf.__version__


def test_the_report_can_be_written_and_read(report, tmp_path):
    found, _ = report
    found.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert read["figures"]["twice"]["cold"]["recall@10"]["mean"] == pytest.approx(
        found.figure("twice", "cold").mean
    )
    assert read["seeds"] == [0, 1]
    assert len(read["runs"]) == 8
    lines = found.table().splitlines()
    assert len(lines) == 2 + len(MAIN_SLICES) * (1 + 4)
    assert len(found.table(slices=SLICES).splitlines()) == 2 + len(SLICES) * (1 + 4)
    assert len({len(line) for line in lines}) == 1
    assert "against plain" in lines[0]
    found.plot(tmp_path / "report.png")
    found.plot_frontier(tmp_path / "frontier.png", x="all")
    for name in ("report.png", "frontier.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_equal_seeds_give_equal_results_and_steps_are_those_of_one_copy(shop):
    steps = []

    class Watched(Tiny):
        def fit(self, *args, **kwargs):
            steps.append(kwargs["steps_per_epoch"])
            return super().fit(*args, **kwargs)

    arms = {"a": None, "b": None, "copies": Arm(copies=3)}
    found = compare(Watched, arms, split=_split(shop), seeds=(3,), protocol=FAST, progress=False)
    assert len(set(steps)) == 1
    figure = found.figure("b", "all", "ndcg@10")
    assert figure.difference == pytest.approx(0.0, abs=0.01)
    assert found.figure("copies", "all", "ndcg@10").difference != 0.0


def test_strangers_of_a_fold_segments_and_a_policy_that_adapts(shop):
    policy = AugmentationPolicy(
        [IdDropout("user_id", rate=0.5)], key_features=("user_id", "item_id", "timestamp")
    )
    adaptive = AdaptivePolicy({"none": None, "policy": policy}, strategy=Exp3())
    found = compare(
        TwoTower,
        {"baseline": Arm(after_fit=mean_oov), "adaptive": Arm(adaptive, after_fit=mean_oov)},
        split=folds(shop, 2, by="user"),
        seeds=(1,),
        protocol=FAST,
        progress=False,
        segments=["kind"],
    )
    baseline, adapted = (found.runs[arm, 1] for arm in found.arms)
    assert adapted.validation != baseline.validation
    one = folds(shop, 2, by="user")(1)
    masks = found.slices[1].masks
    assert masks["cold_users"].all() and len(masks["all"]) == len(one.test)
    np.testing.assert_array_equal(masks["kind=k1"], one.test.rows["kind"] == b"k1")
    assert found.settings["split"] == "a small shop, 2 folds by user, drawn by 0"
    # A user's features, and how popular items are, tell something; chance is some 10 of 40.
    assert found.figure("baseline", "cold_users", "recall@10").mean > 1.1 * 10 / 40
    assert found.settings["policies"]["adaptive"] == adaptive.get_config()


def test_a_constant_model_scores_like_chance(shop):
    found = compare(
        Constant, {"constant": None}, split=_split(shop), seeds=(0,), protocol=FAST, progress=False
    )
    one = _split(shop)(0)
    user, item = one.test.user_index(), one.test.item_index()
    chance = []
    for u, i in zip(user, item):
        seen = set(one.seen.item_index()[one.seen.user_index() == u].tolist()) - {i}
        chance.append(min(1.0, 10 / (40 - len(seen))))
    assert found.figure("constant", "all").mean == pytest.approx(np.mean(chance))


def test_an_interrupted_comparison_resumes(shop, tmp_path):
    class Interrupted(Counted):
        def __call__(self, train, **options):
            if len(self.calls) == 1:
                raise KeyboardInterrupt
            return super().__call__(train, **options)

    Interrupted.__qualname__ = Counted.__qualname__
    arms = {"plain": None, "wide": Arm(model_options={"dim": 16})}
    options = {"seeds": (0,), "protocol": FAST, "progress": False, "cache_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        compare(Interrupted(), arms, split=_split(shop), **options)
    assert len(list(tmp_path.iterdir())) == 1
    second = Counted()
    first = compare(second, arms, split=_split(shop), **options)
    assert second.calls == [{"dim": 16}]
    third = Counted()
    again = compare(third, arms, split=_split(shop), **options)
    assert not third.calls
    assert again.to_dict() == first.to_dict()
    other = Counted()
    changed = {**options, "protocol": Protocol(epochs=2, batch_size=256)}
    compare(other, arms, split=_split(shop), **changed)
    assert len(other.calls) == 2


def test_given_rows_and_functions_in_place_of_attributes(shop):
    protocol = Protocol(
        epochs=1,
        query=lambda model, features: -model.query_model(features),
        candidate=lambda model, features: -model.candidate_model(features),
    )
    found = compare(
        Tiny,
        {"plain": None},
        shop.take(np.arange(2500)),
        shop.take(np.arange(2500, 3000)),
        seeds=(0,),
        protocol=protocol,
        progress=False,
    )
    assert found.rows("all") == 500
    assert found.rows("cold") == 0
    assert "no rows" in found.table()
    assert found.to_dict()["figures"]["plain"]["cold"]["recall@10"]["mean"] is None


def test_the_public_name_is_the_function():
    # A module of the same name would take its place once something imports it.
    assert evaluation.compare is compare
