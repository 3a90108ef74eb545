"""`AdaptivePolicy`: what a row gets at a place along the arms, its file, and what it refuses."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tfrs_augment.adaptive import (
    AdaptivePolicy,
    ByPopularity,
    Exp3,
    Fixed,
    GeneralizationGap,
    Ramp,
    Strategy,
    ThompsonSampling,
    UniformRandom,
    strengths,
)
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError

ROWS = 400
KEYS = ("movie_id", "row")
STRATEGIES = (
    Fixed("strong"),
    UniformRandom(),
    Ramp(0.1, 0.9, epochs=3),
    ByPopularity("movie_id", scale=4.0),
    GeneralizationGap(step=0.5),
    Exp3(learning_rate=0.5),
    ThompsonSampling(discount=0.8),
)


def columns(count: int = ROWS) -> dict[str, tf.Tensor]:
    numbers = np.random.default_rng(0)
    lengths = numbers.integers(0, 5, count)
    values = [f"h{i}" for i in numbers.integers(9, size=lengths.sum())]
    return {
        "movie_id": tf.constant([f"m{i}" for i in numbers.integers(20, size=count)], tf.string),
        "age": tf.constant(numbers.uniform(1, 70, count).astype(np.float32)),
        "history": tf.RaggedTensor.from_row_lengths(tf.constant(values, tf.string), lengths),
        "row": tf.range(count, dtype=tf.int64),
    }


def policy(rate: float = 0.5, seed: int = 3) -> aug.AugmentationPolicy:
    ops = [
        aug.ops.IdDropout("movie_id", rate=rate),
        aug.ops.GaussianNoise("age", stddev=2.0, rate=rate),
        aug.ops.SequenceCrop("history", keep_range=(0.3, 0.8), rate=rate),
    ]
    return aug.AugmentationPolicy(ops, seed=seed, key_features=KEYS)


def adaptive(strategy: Strategy | None = None, **arms) -> AdaptivePolicy:
    arms = arms or strengths(policy(), {"none": 0, "weak": 0.4, "strong": 1})
    return AdaptivePolicy(arms, strategy=strategy or Fixed(next(iter(arms))))


def values(found) -> dict[str, list]:
    return {
        name: column.to_list() if isinstance(column, tf.RaggedTensor) else column.numpy().tolist()
        for name, column in found.items()
    }


@pytest.mark.parametrize("draw", [0, 5])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_gets_what_the_arm_gives_it_by_itself(place, draw):
    one = adaptive()
    arm = list(one.arms.values())[place]
    expected = columns() if arm is None else arm.augment(columns(), draw=draw)
    assert values(one.augment(columns(), place=place, draw=draw)) == values(expected)


def test_it_augments_alike_in_a_graph_and_row_by_row():
    one = adaptive()
    place = tf.Variable(1.0)
    graph = tf.function(lambda rows, draw: one.augment(rows, place=place, draw=draw))
    for at in (0.0, 0.5, 1.0, 1.7, 2.0):
        place.assign(at)
        found = values(graph(columns(), tf.constant(3, tf.int64)))
        assert found == values(one.augment(columns(), place=at, draw=3))
        single = one.augment({n: c[7:8] for n, c in columns().items()}, place=at, draw=3)
        assert values(single) == {name: column[7:8] for name, column in found.items()}
    assert graph.experimental_get_tracing_count() == 1


def test_between_two_arms_each_row_gets_one_of_them():
    one = adaptive()
    weak, strong = (one.augment(columns(), place=place, draw=1) for place in (1, 2))
    between = one.augment(columns(), place=1.3, draw=1)
    ages = [rows["age"].numpy() for rows in (weak, strong, between)]
    told = ages[0] != ages[1]
    is_strong = ages[2] == ages[1]
    assert np.all(is_strong | (ages[2] == ages[0]))
    # Whatever the feature: a row has one arm.
    same = between["movie_id"].numpy() == strong["movie_id"].numpy()
    assert np.all(same[told & is_strong])
    share = is_strong[told].mean()
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / told.sum())


def test_rows_keep_their_arm_as_the_place_rises():
    one = adaptive(none=None, strong=policy(1.0))
    changed = [
        one.augment(columns(), place=p)["movie_id"].numpy() == b"[UNK]" for p in (0.2, 0.6, 1)
    ]
    assert 0 < changed[0].sum() < changed[1].sum() < changed[2].sum() == ROWS
    assert np.all(changed[1] >= changed[0])


def test_places_beyond_the_arms_are_those_at_the_ends():
    one = adaptive()
    assert values(one.augment(columns(), place=9.0)) == values(one.augment(columns(), place=2))
    assert values(one.augment(columns(), place=-1.0)) == values(columns())


def test_untouched_columns_stay_the_same_objects_and_the_input_as_it_was():
    rows = columns()
    before = dict(rows)
    found = adaptive().augment(rows, place=2)
    assert found["row"] is rows["row"]
    assert all(rows[name] is before[name] for name in before)


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(count):
    found = adaptive().augment(columns(count), place=1.5)
    assert found["movie_id"].shape == [count]


def test_arms_may_change_different_features():
    first = aug.AugmentationPolicy([aug.ops.IdDropout("movie_id", rate=1.0)], key_features=KEYS)
    other = aug.AugmentationPolicy([aug.ops.FeatureMask("age", rate=1.0)], key_features=KEYS)
    one = adaptive(ids=first, ages=other)
    assert one.features == ("movie_id", "age")
    found = one.augment(columns(), place=1)
    assert found["movie_id"].numpy().tolist() == columns()["movie_id"].numpy().tolist()
    assert not found["age"].numpy().any()


def test_by_popularity_rare_items_get_the_last_arm_and_popular_ones_seldom():
    ids = ["rare"] * 2 + ["popular"] * 800
    rows = {"movie_id": tf.constant(ids), "row": tf.range(802, dtype=tf.int64)}
    full = aug.AugmentationPolicy([aug.ops.IdDropout("movie_id", rate=1.0)], key_features=KEYS)
    one = adaptive(ByPopularity("movie_id", scale=80.0), none=None, full=full)
    assert [str(r) for r in one.missing_requirements()] == ["marginal of 'movie_id'"]
    one = aug.fitting.fit(one, rows)
    assert one.missing_requirements() == ()
    changed = one.augment(rows)["movie_id"].numpy() == b"[UNK]"
    assert changed[:2].all()
    assert abs(changed[2:].mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 800)
    unseen = {**rows, "movie_id": tf.constant(["new"] * 802)}
    assert (one.augment(unseen)["movie_id"].numpy() == b"[UNK]").all()
    turned = AdaptivePolicy(one.arms, strategy=ByPopularity("movie_id", rare=0.0, popular=1.0))
    changed = aug.fitting.fit(turned, rows).augment(rows)["movie_id"].numpy() == b"[UNK]"
    assert not changed[:2].any() and changed[2:].mean() > 0.9


def test_by_popularity_takes_one_value_a_row():
    one = aug.fitting.fit(adaptive(ByPopularity("history")), columns())
    with pytest.raises(DataError, match="must have one value a row"):
        one.augment(columns())
    one = aug.fitting.fit(adaptive(ByPopularity("movie_id")), columns())
    with pytest.raises(UnknownFeatureError, match="'movie_id'"):
        one.augment({name: c for name, c in columns().items() if name != "movie_id"})


def test_fitted_statistics_reach_the_arms():
    swap = aug.AugmentationPolicy([aug.ops.CategorySwap("movie_id", rate=1.0)], key_features=KEYS)
    one = adaptive(none=None, swap=swap)
    assert len(one.missing_requirements()) == 1
    fitted = aug.fitting.fit(one, columns())
    assert fitted.missing_requirements() == ()
    assert fitted.fingerprint != one.fingerprint
    alone = aug.fitting.fit(swap, columns())
    assert values(fitted.augment(columns(), place=1)) == values(alone.augment(columns()))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: type(one).__name__)
def test_json_round_trip(strategy, tmp_path):
    one = adaptive(strategy)
    one.save(tmp_path / "adaptive.json")
    again = AdaptivePolicy.load(tmp_path / "adaptive.json")
    assert again == one and list(again.arms) == list(one.arms)
    assert again.fingerprint == one.fingerprint == copy.deepcopy(one).fingerprint


def test_fingerprints_tell_strategies_and_arms_apart():
    arms = adaptive().arms
    ones = [AdaptivePolicy(arms, strategy=strategy) for strategy in STRATEGIES]
    ones.append(AdaptivePolicy(dict(reversed(arms.items())), strategy=STRATEGIES[0]))
    ones.append(AdaptivePolicy({**arms, "strong": policy(seed=9)}, strategy=STRATEGIES[0]))
    assert len({one.fingerprint for one in ones}) == len(ones)


def test_strengths_scale_the_rates():
    rare = aug.ops.PopularityRate(scale=2.0, maximum=0.5)
    one = aug.AugmentationPolicy(
        [aug.ops.IdDropout("movie_id", rate=rare), aug.ops.FeatureMask("age", rate=0.8)],
        seed=5,
        key_features=KEYS,
    )
    arms = strengths(one, (0, 0.25, 1))
    assert list(arms) == ["0", "0.25", "1"] and arms["0"] is None and arms["1"] is one
    assert arms["0.25"].ops[0].rate == aug.ops.PopularityRate(scale=0.5, maximum=0.125)
    assert arms["0.25"].ops[1].rate == pytest.approx(0.2)
    assert (arms["0.25"].seed, arms["0.25"].key_features) == (5, KEYS)


def test_what_a_weak_arm_changes_a_strong_one_does_too():
    arms = strengths(policy(), (0.2, 0.6, 1))
    found = [arm.augment(columns())["movie_id"].numpy() == b"[UNK]" for arm in arms.values()]
    assert 0 < found[0].sum() < found[1].sum() < found[2].sum()
    assert np.all(found[1] >= found[0]) and np.all(found[2] >= found[1])


def test_without_a_place_there_is_no_arm():
    with pytest.raises(InvalidArgumentError, match="no arm in force.*freeze"):
        tf.data.Dataset.from_tensors(columns()).map(adaptive().augment)


def test_its_file_is_no_policy_file(tmp_path):
    adaptive().save(tmp_path / "adaptive.json")
    with pytest.raises(InvalidArgumentError, match="this is an adaptive policy.*freeze"):
        aug.AugmentationPolicy.load(tmp_path / "adaptive.json")


def test_the_beam_job_and_the_layer_refuse_it(tmp_path):
    with pytest.raises(InvalidArgumentError, match="freeze"):
        aug.beam.run(adaptive(), input=str(tmp_path / "*"), output=str(tmp_path / "out"))
    with pytest.raises(InvalidArgumentError, match="aug.wrap.*freeze"):
        aug.layers.Augment(adaptive())


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (None, "`arms` must be a dict of at least two"),
        ({"one": policy()}, "`arms` must be a dict of at least two"),
        ({"": policy(), "b": None}, "must have names"),
        ({"a": policy(), "b": 3}, r"must hold AugmentationPolicy or None. Received: 3 \(arm 'b'\)"),
        ({"a": None, "b": None}, "at least one policy"),
        (
            {"a": policy(), "b": aug.AugmentationPolicy([], key_features=["row"])},
            "of the same key_features",
        ),
    ],
)
def test_bad_arms(arms, message):
    with pytest.raises(InvalidArgumentError, match=message):
        AdaptivePolicy(arms, strategy=Exp3())


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("exp3", "`strategy` must be a strategy of aug.adaptive"),
        (Fixed("weka"), "Did you mean 'weak'"),
    ],
)
def test_bad_strategy(strategy, message):
    with pytest.raises(InvalidArgumentError, match=message):
        adaptive(strategy)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((0, 1.5), r"numbers in \[0, 1\]"),
        ((1, 0), "rising"),
        ((0.501, 0.502), "differ in two digits"),
        ((0.5,), "at least two"),
        ({"a": 0.5, "b": None}, "numbers"),
        ((float("nan"), 1), "numbers"),
    ],
)
def test_bad_levels(levels, message):
    with pytest.raises(InvalidArgumentError, match=message):
        strengths(policy(), levels)
    with pytest.raises(InvalidArgumentError, match="`policy` of strengths"):
        strengths(None, (0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "from 1 to 1"),
        ({"strenght": 1}, "Unknown field 'strenght'"),
        ({"strategy": {"strategy": "Exp4"}}, "there is no strategy 'Exp4'. Did you mean 'Exp3'"),
        ({"strategy": None}, "strategy must be an object"),
        ({"strategy": {"strategy": "Exp3", "gamma": 1}}, "unknown argument 'gamma'"),
        ({"strategy": {"strategy": "Exp3", "exploration": 2}}, "strategy: `exploration`"),
        ({"arms": [{"name": "a"}]}, r"arms\[0\] must be an object"),
        ({"arms": [{"name": "a", "policy": None}] * 2}, r"arms\[1\]: the name"),
        ({"arms": [{"name": "a", "policy": {"ops": []}}]}, r"arms\[0\]: `format_version`"),
        ({"arms": "all"}, "`arms` must be a list"),
    ],
)
def test_bad_files(change, message):
    text = json.dumps({**adaptive(Exp3()).get_config(), **change})
    with pytest.raises(InvalidArgumentError, match=message):
        AdaptivePolicy.from_json(text)


def test_a_missing_feature_is_named():
    rows = {name: column for name, column in columns().items() if name != "age"}
    for place in (0, 2):
        with pytest.raises(UnknownFeatureError, match="'age'"):
            adaptive().augment(rows, place=place)


def test_arms_must_keep_shapes():
    crop = aug.AugmentationPolicy(
        [aug.ops.RandomResizedCrop("image", size=(4, 4))], key_features=["row"]
    )
    rows = {"image": tf.zeros([2, 8, 8, 3]), "row": tf.range(2)}
    with pytest.raises(InvalidArgumentError, match="must keep the shape"):
        adaptive(none=None, crop=crop).augment(rows, place=1)
