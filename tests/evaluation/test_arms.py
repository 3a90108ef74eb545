"""Arms beyond a policy: warm starts, frozen parts, ensembles, other initial weights, and controls."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tests.evaluation.tiny_models import FAST, Layered
from tfrs_augment import evaluation
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import Arm, as_arms, groups
from tfrs_augment.evaluation.comparing.comparison import compare
from tfrs_augment.evaluation.comparing.control_arms import controls
from tfrs_augment.evaluation.comparing.ensembles import deviation_of
from tfrs_augment.evaluation.comparing.references import popularity
from tfrs_augment.evaluation.measuring.slices import measure_embeddings
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.towers import TwoTower


def _split(shop):
    return lambda seed: splits.split(shop, cold_share=0.2, seed=seed)


class Recorded:
    """A `build_model` that keeps its models and the weights that training began with."""

    def __init__(self, model=Layered):
        self.model, self.made = model, []

    def __call__(self, train, **options):
        model = self.model(train, **options)
        self.made.append(model)
        fit = model.fit

        def recorded(*args, **kwargs):
            model.began = [weight.numpy() for weight in model.weights]
            return fit(*args, **kwargs)

        model.fit = recorded
        return model


def _tables(model):
    return {name: getattr(model, name).table.numpy() for name in ("users", "items")}


@pytest.fixture(scope="module")
def warm(shop, tmp_path_factory):
    """Arms that take weights and scores of one another; the sources come last, as they may."""
    build, folder = Recorded(), tmp_path_factory.mktemp("cache")
    ended = {}

    def remember(model, train):
        ended.setdefault(id(model), _tables(model))

    arms = {
        "plain": Arm(after_fit=remember),
        "frozen": Arm(
            start="wide", frozen=("items",), model_options={"dim": 16}, after_fit=remember
        ),
        "started": Arm(start="wide", model_options={"dim": 16}),
        "mean": Arm(ensemble=("plain", "wide")),
        "with popularity": Arm(ensemble=("plain", "popularity")),
        "popularity": Arm(scorer=popularity),
        "wide": Arm(model_options={"dim": 16}, after_fit=remember),
    }
    options = {
        "split": _split(shop),
        "seeds": (3,),
        "protocol": FAST,
        "cache_dir": folder,
        "progress": False,
    }
    return compare(build, arms, **options), build, arms, options, ended


def test_an_arm_starts_from_the_weights_of_another_and_keeps_what_is_frozen(warm):
    report, build, *_ = warm
    plain, wide, frozen, started = build.made
    assert _tables(plain)["items"].shape == (100, 8)
    source = _tables(wide)
    for model in (frozen, started):
        for weight in model.began:
            assert any(np.array_equal(weight, table) for table in source.values())
    np.testing.assert_array_equal(_tables(frozen)["items"], source["items"])
    assert (_tables(frozen)["users"] != source["users"]).any()
    assert (_tables(started)["items"] != source["items"]).any()
    assert report.arms == tuple(warm[2])
    assert report.runs["frozen", 3].loss[0] < report.runs["wide", 3].loss[0]
    assert report.settings["arms"]["frozen"]["start"] == "wide"
    assert report.settings["arms"]["frozen"]["frozen"] == ["items"]


def test_an_ensemble_averages_scores_each_on_its_own_scale(warm, shop):
    report, build, *_ = warm
    one = _split(shop)(3)
    plain, wide, *_ = build.made

    def embedded(model):
        queries = model.query_model({"user_id": one.train.users["user_id"]}).numpy()
        return queries, model.candidate_model({"item_id": one.train.items["item_id"]}).numpy()

    scores = []
    for queries, items in map(embedded, (plain, wide)):
        found = queries @ items.T
        asking = np.unique(one.validation.user_index())
        assert len(asking) < 256, "all of them are the sample"
        deviation = np.sqrt(np.mean([row.var() for row in found[asking]]))
        scores.append(found / deviation)
    mean = np.mean(scores, axis=0)
    expected = measure_embeddings(one, mean, np.eye(40))["ranks"]["full"]
    # The ranks of a sum of float32 may differ where two items nearly tie.
    found = report.runs["mean", 3].ranks["full"]
    assert (found.greater == expected.greater).mean() > 0.99
    assert report.runs["mean", 3].loss == report.runs["mean", 3].validation == []


def test_an_ensemble_takes_scorers_too(warm, shop):
    report, build, *_ = warm
    one = _split(shop)(3)
    counts = np.bincount(one.train.item_index(), minlength=40).astype(np.float64)
    plain = build.made[0]
    queries = plain.query_model({"user_id": one.train.users["user_id"]}).numpy()
    items = plain.candidate_model({"item_id": one.train.items["item_id"]}).numpy()
    found = queries @ items.T
    asking = np.unique(one.validation.user_index())
    scaled = found / np.sqrt(np.mean([row.var() for row in found[asking]])) + counts / counts.std()
    expected = measure_embeddings(one, scaled, np.eye(40))["ranks"]["full"]
    ranks = report.runs["with popularity", 3].ranks["full"]
    assert (ranks.greater == expected.greater).mean() > 0.99


@pytest.mark.slow
def test_what_others_need_is_kept_and_made_again_where_it_is_not(warm):
    report, build, arms, options, _ = warm
    trained = len(build.made)
    assert compare(build, arms, **options).to_dict() == report.to_dict()
    assert len(build.made) == trained, "all came from the cache"
    folder = options["cache_dir"]
    for name in ("started", "mean"):
        next(folder.glob(f"{name}-3-*.npz")).unlink()
    again = compare(build, arms, **options)
    assert len(build.made) == trained + 1, "the weights and embeddings of the others were there"
    assert again.runs["started", 3].validation == report.runs["started", 3].validation
    # A file of a comparison in which nobody needed more than the run.
    lean = {name: arms[name] for name in ("plain", "wide")}
    for name in ("plain", "wide", "mean", "started"):
        next(folder.glob(f"{name}-3-*.npz")).unlink()
    compare(build, lean, **options)
    trained = len(build.made)
    third = compare(build, arms, **options)
    assert len(build.made) == trained + 3, "plain and wide once more, and what starts from wide"
    assert third.to_dict()["figures"] == report.to_dict()["figures"]


def test_a_file_that_cannot_be_read_is_named(warm):
    _, build, arms, options, _ = warm
    path = next(options["cache_dir"].glob("popularity-3-*.npz"))
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=f"cannot be read: .*{path.name}"):
            compare(build, arms, **options)
    path.write_bytes(whole)


def test_another_initialization_is_another_start_and_other_batches(shop):
    build = Recorded()
    arms = {"plain": None, "again": None, "other": Arm(initialization=1)}
    found = compare(build, arms, split=_split(shop), seeds=(0,), protocol=FAST, progress=False)
    losses = [found.runs[arm, 0].loss for arm in arms]
    assert losses[0] == losses[1] != losses[2]
    assert losses[2] == pytest.approx(losses[0], rel=0.2)
    assert found.settings["arms"]["other"]["initialization"] == 1


def test_a_tower_can_be_frozen_by_a_dotted_name(shop):
    build = Recorded(TwoTower)
    arms = {
        "plain": None,
        "frozen": Arm(start="plain", frozen=("candidate_model.id_embedding", "query_model")),
    }
    compare(build, arms, split=_split(shop), seeds=(0,), protocol=FAST, progress=False)
    plain, frozen = build.made
    assert len(plain.weights) == len(frozen.weights)
    for path in ("candidate_model.id_embedding", "query_model._hidden", "candidate_model._hidden"):
        weights = []
        for model in (plain, frozen):
            for part in path.split("."):
                model = getattr(model, part)
            weights.append(model.get_weights()[0])
        assert np.array_equal(*weights) == (path != "candidate_model._hidden")


class Listed(Layered):
    """Its layers are in a list and a dict too."""

    def __init__(self, train):
        super().__init__(train)
        self.both, self.named = [self.users, self.items], {"users": self.users}


@pytest.mark.parametrize(
    ("arm", "model", "message"),
    [
        (
            Arm(frozen=("itmes",)),
            Layered,
            "Layered has no 'itmes'. Did you mean 'items'.*arm 'b', seed 0",
        ),
        (Arm(frozen=("items.rows",)), Layered, "Table has no 'rows'"),
        (Arm(frozen=("query_model",)), Layered, "must name layers.*'query_model', which is method"),
        (Arm(frozen=("both",)), Listed, "must leave something to train"),
        (Arm(frozen=("named", "items")), Listed, "must leave something to train"),
        (
            Arm(start="a", model_options={"dim": 4}),
            Layered,
            "same shape.*100, 4.*100, 8.*start='a'.*arm 'b', seed 0",
        ),
    ],
)
def test_what_cannot_start_or_freeze_is_refused(shop, arm, model, message):
    arms = {"a": None, "b": arm} if arm.start else {"b": arm}
    with pytest.raises(InvalidArgumentError, match=message):
        compare(
            model,
            arms,
            split=_split(shop),
            seeds=(0,),
            protocol=evaluation.Protocol(epochs=1, batch_size=2048),
            progress=False,
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "policy.json"}, "`policy` must be an AugmentationPolicy, an AdaptivePolicy"),
        ({"scorer": 3}, "`scorer` must be a function or None. Received: scorer=3"),
        ({"after_fit": "mean_oov"}, "`after_fit` must be a function or None"),
        ({"initialization": -1}, "`initialization` must be an integer of 0 or more"),
        ({"initialization": True}, "`initialization` must be an integer"),
        ({"ensemble": ("a",)}, "`ensemble` must name two or more arms"),
        ({"ensemble": ("a", "a")}, "`ensemble` must hold distinct names"),
        ({"frozen": ("",)}, "`frozen` must hold distinct names"),
        ({"ensemble": ("a", "b"), "copies": 2}, "`ensemble` beside another option"),
        ({"ensemble": ("a", "b"), "scorer": popularity}, "beside another option"),
        ({"scorer": popularity, "start": "a"}, "An arm with `scorer` trains no model"),
        ({"share": "a", "start": "b"}, "takes another arm's training as it is"),
        ({"share": "a", "initialization": 1}, "takes another arm's training as it is"),
    ],
)
def test_arms_are_checked(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Arm(**arguments)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"a": Arm(start="b")}, "`start` must name an arm that trains itself"),
        (
            {"a": Arm(start="b"), "b": Arm(scorer=popularity)},
            "`start` must name an arm that trains",
        ),
        (
            {"a": Arm(share="b"), "b": Arm(scorer=popularity)},
            "`share` must name an arm that trains",
        ),
        ({"a": Arm(start="a")}, "must not lead back to the arm itself. Received: 'a'"),
        ({"a": Arm(start="b"), "b": Arm(start="a")}, "must not lead back"),
        ({"a": None, "r": Arm(ensemble=("a", "r"))}, "not name the arm itself.*'r'.*.arm 'r'"),
        ({"a": None, "b": Arm(ensemble=("a", "c"))}, "`ensemble` must name arms.*'c'"),
        (
            {"a": None, "b": None, "c": Arm(ensemble=("a", "b")), "d": Arm(ensemble=("a", "c"))},
            "`ensemble` must name arms that are no ensembles. Received: 'c'",
        ),
    ],
)
def test_references_among_arms_are_checked(arms, message):
    with pytest.raises(InvalidArgumentError, match=message):
        as_arms(arms, None)


def test_arms_that_need_nothing_of_one_another_are_apart():
    arms = {
        "a": Arm(),
        "b": Arm(share="d"),
        "c": Arm(ensemble=("a", "e")),
        "d": Arm(),
        "e": Arm(start="f"),
        "f": Arm(),
        "g": Arm(scorer=popularity),
    }
    assert list(groups(arms)) == [["a", "c", "e", "f"], ["b", "d"], ["g"]]


def test_an_arm_without_the_new_options_is_described_as_before():
    # The keys of cached results hang on it.
    assert Arm(copies=2, model_options={"dim": 16}).describe() == {
        "policy": None,
        "copies": 2,
        "model_options": {"dim": "16"},
        "after_fit": None,
        "share": None,
    }


def test_what_a_repr_leaves_out_tells_arms_apart():
    numbers = np.arange(5000.0)
    other = numbers.copy()
    other[2500] = -1.0
    options = [{"table": [numbers]}, {"table": [other]}, {"table": [tf.constant(numbers)]}]
    first, second, third = (Arm(model_options=one).describe() for one in options)
    assert first != second and first == third
    named = [Arm(model_options={"make": partial(popularity, one)}) for one in (numbers, other)]
    assert named[0].describe() != named[1].describe()
    assert "0x" not in str(named[0].describe())


def test_arms_whose_files_would_have_one_name_do_not_share_a_run(shop, tmp_path):
    arms = {
        "pop +1": Arm(scorer=lambda split: popularity(split)),
        "pop -1": Arm(scorer=lambda split: lambda rows: -popularity(split)(rows)),
    }
    options = {"split": _split(shop), "seeds": (0,), "progress": False}
    plain = compare(TwoTower, arms, **options)
    options["cache_dir"] = tmp_path
    for _ in range(2):
        found = compare(TwoTower, arms, **options)
        assert found.to_dict()["figures"] == plain.to_dict()["figures"]
    figures = [plain.figure(arm, "all").mean for arm in arms]
    assert figures[0] != figures[1]


def test_controls_are_arms():
    found = controls(copies=2, dropout={"dropout": 0.4})
    assert found == {
        "oversampling": Arm(copies=3),
        "dropout only": Arm(model_options={"dropout": 0.4}),
        "re-initialisation": Arm(initialization=1),
    }
    assert list(controls()) == ["oversampling", "re-initialisation"]
    base = Arm(after_fit=_remember, copies=2, model_options={"dim": 16, "dropout": 0.1})
    kept = controls(dropout={"dropout": 0.4}, baseline=base)
    assert all(arm.after_fit is _remember for arm in kept.values())
    assert kept["oversampling"].copies == 4
    assert kept["dropout only"].model_options == {"dim": 16, "dropout": 0.4}


def _remember(model, train):
    pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"copies": 0}, "`copies` must be an integer of at least 1"),
        ({"copies": 1.5}, "`copies` must be an integer of at least 1"),
        ({"dropout": 0.4}, "`dropout` must be keyword arguments"),
        ({"dropout": {}}, "`dropout` must be keyword arguments"),
        ({"baseline": Arm(share="a")}, "`baseline` must be an Arm that trains a model"),
    ],
)
def test_controls_are_checked(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        controls(**arguments)


def test_the_deviation_of_scores_is_within_queries():
    scores = np.array([[0.0, 2.0], [100.0, 104.0]])
    assert deviation_of(scores) == pytest.approx(np.sqrt((1.0 + 4.0) / 2))
    assert deviation_of(np.ones((3, 4))) == 1.0
    assert deviation_of(np.full((2, 3), -np.inf)) == 1.0
    assert deviation_of(np.array([[0.0, 2.0, -np.inf]])) == pytest.approx(1.0)
    assert deviation_of(np.zeros((0, 4))) == 1.0


def test_frozen_weights_take_part_in_early_stopping(shop):
    # Freezing moves weights to the end of `model.weights`; best weights must go back where they were.
    arms = {"b": Arm(frozen=("users",))}
    build = Recorded()
    protocol = evaluation.Protocol(epochs=3, batch_size=512, patience=1)
    compare(build, arms, split=_split(shop), seeds=(0,), protocol=protocol, progress=False)
    (frozen,) = build.made
    assert isinstance(frozen, tf_keras.Model) and not frozen.users.trainable
    assert any(np.array_equal(_tables(frozen)["users"], weight) for weight in frozen.began)
