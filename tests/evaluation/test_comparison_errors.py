"""What a comparison refuses, and what its errors say."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from tests.evaluation.tiny_models import FAST, Constant
from tfrs_augment.errors import DataError, InvalidArgumentError, OutputError
from tfrs_augment.evaluation.comparing.comparison import Arm, compare
from tfrs_augment.evaluation.comparing.references import popularity
from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.towers import TwoTower


def _split(shop):
    return lambda seed: splits.split(shop, cold_share=0.2, seed=seed)


def test_a_model_without_towers_is_refused_by_name(shop):
    class Bare(tfrs.Model):
        def __init__(self, train):
            super().__init__()
            self.weight = tf.Variable(1.0)

        def compute_loss(self, features, training=False):
            return self.weight**2

    with pytest.raises(InvalidArgumentError, match="Bare without `query_model`"):
        compare(Bare, {"bare": None}, split=_split(shop), seeds=(0,), progress=False)


@pytest.mark.parametrize(
    ("arms", "options", "message"),
    [
        ({}, {}, "`baseline` must be one of `arms`"),
        ({"a": None}, {"baseline": "b"}, "`baseline` must be one of `arms`. Received: 'b'"),
        ({"a": None}, {"seeds": ()}, "`seeds` must be distinct and at least one"),
        ({"a": None}, {"seeds": (1, 1)}, "`seeds` must be distinct"),
        ({"a": None}, {"seeds": (0.5,)}, "`seeds` must be integers of 0 or more"),
        ({"a": None}, {"seeds": (-1,)}, "`seeds` must be integers of 0 or more"),
        ({"a": None}, {"segments": "age"}, "`segments` must be a list of names.*Write ..age"),
        ({"a": None}, {"seeds": 3}, "`seeds` must be a list of integers.* Received: seeds=3"),
        ([None], {}, "`arms` must map names to arms.* Received: list"),
        ({"a": None}, {"split": 3}, "`split` must be a function from a seed to a Split"),
        ({"a": None}, {"split": lambda seed: None}, "`split` must .*a Split. Received: NoneType"),
        ({"a": None}, {"build_model": None}, "`build_model` must be a function.* Received: None"),
        ({"a": None}, {"split": None}, "either both `train` and `test`, or `split`"),
        ({"a": "policy.json"}, {}, "must hold Arm, AugmentationPolicy, AdaptivePolicy or None"),
        ({"a": None, "b": Arm(share="c")}, {}, "`share` must name an arm that trains itself"),
    ],
)
def test_arguments_are_checked(shop, arms, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        compare(
            **{"build_model": TwoTower, "arms": arms, "split": _split(shop), "progress": False}
            | options
        )


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda train: None, "NoneType"),
        (lambda train: tf_keras.Sequential([tf_keras.layers.Dense(1)]), "Sequential"),
    ],
)
def test_what_build_model_returns_is_checked(shop, make, received):
    def build(train, bad=False):
        return make(train) if bad else Constant(train)

    arms = {"good": None, "bad": Arm(model_options={"bad": True})}
    options = {"split": _split(shop), "seeds": (4,), "protocol": FAST, "progress": False}
    with pytest.raises(InvalidArgumentError) as caught:
        compare(build, arms, **options)
    assert str(caught.value) == (
        f"`build_model` must return a tfrs.Model. Received: {received} (arm 'bad', seed 4)."
    )


def _diverge(model, rows):
    model.weight.assign(np.nan)


@pytest.mark.parametrize(
    "arms",
    [
        {"good": None, "bad": Arm(after_fit=_diverge)},
        {"good": None, "bad": Arm(share="good", after_fit=_diverge)},
        {"both": Arm(ensemble=("good", "bad")), "good": None, "bad": Arm(after_fit=_diverge)},
        {
            "good": None,
            "bad": Arm(scorer=lambda split: lambda rows: np.full((len(rows), 40), np.nan)),
        },
    ],
    ids=["trained", "shared", "member", "scorer"],
)
def test_an_error_names_its_arm_and_seed_once(shop, arms):
    options = {"split": _split(shop), "seeds": (4,), "protocol": FAST, "progress": False}
    with pytest.raises(DataError, match=r"diverged.* \(arm 'bad', seed 4\)") as caught:
        compare(Constant, arms, **options)
    assert str(caught.value).count("seed 4") == 1


def test_an_error_of_the_caller_stays_as_it_is(shop):
    def fail(model, rows):
        raise KeyError("mine")

    options = {"split": _split(shop), "seeds": (4,), "protocol": FAST, "progress": False}
    with pytest.raises(KeyError) as caught:
        compare(Constant, {"bad": Arm(after_fit=fail)}, **options)
    assert caught.value.args == ("mine",)
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["Raised at arm 'bad', seed 4 of the comparison."]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_cache_that_is_no_folder_is_refused(shop, tmp_path, processes):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(OutputError, match="`cache_dir` must be a folder.*/file"):
            compare(
                Constant,
                {"a": None},
                split=_split(shop),
                cache_dir=path,
                processes=processes,
                progress=False,
            )
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize(
    ("scorer", "received"),
    [
        (lambda split: 3, "Received: 3 in place of the function"),
        (lambda split: lambda rows: 3, "Received: int64 of shape .., not .*, 40"),
        (lambda split: lambda rows: None, "Received: object of shape .."),
        (lambda split: lambda rows: np.ones((len(rows), 39)), r"of shape \[\d+, 39\], not"),
    ],
)
def test_what_a_scorer_returns_is_checked(shop, scorer, received):
    arms = {"popular": Arm(scorer=popularity), "bad": Arm(scorer=scorer)}
    options = {"split": _split(shop), "seeds": (4,), "progress": False}
    for one in (arms, {"both": Arm(ensemble=("popular", "bad")), **arms}):
        with pytest.raises(InvalidArgumentError, match=rf"`scorer` must return.*{received}"):
            compare(Constant, one, **options)


def test_the_protocol_is_checked():
    with pytest.raises(
        InvalidArgumentError, match="`patience` must be at least 1. Received: patience=0"
    ):
        Protocol(patience=0)


def test_arms_are_checked():
    with pytest.raises(InvalidArgumentError, match="`copies` must be at least 1"):
        Arm(copies=0)
    with pytest.raises(InvalidArgumentError, match="takes another arm's training as it is"):
        Arm(share="plain", copies=2)
