"""Which op did what: the trainings it takes, the shares of known games, and their intervals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from tfrs_augment import evaluation, ops
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.comparing.arms import Arm
from tfrs_augment.evaluation.comparing.training import Protocol
from tfrs_augment.evaluation.explaining.attribution import attribute, sub_policy
from tfrs_augment.evaluation.explaining.attribution_result import Attribution, arm_name
from tfrs_augment.evaluation.explaining.game_values import share_out
from tfrs_augment.evaluation.explaining.games import ExactShapley, LeaveOneOut, SampledShapley
from tfrs_augment.evaluation.measuring.run import Run
from tfrs_augment.evaluation.measuring.slices import Slices
from tfrs_augment.evaluation.reporting.report import Report
from tfrs_augment.evaluation.splitting import splits
from tfrs_augment.evaluation.statistics import bootstrap
from tfrs_augment.policy import AugmentationPolicy

from .test_comparison import Counted, Tiny

FAST = Protocol(epochs=2, batch_size=512)


def _policy(*members) -> AugmentationPolicy:
    return AugmentationPolicy(members, seed=3, key_features=("user_id", "item_id", "timestamp"))


THREE = _policy(
    ops.IdDropout("item_id", rate=0.3, oov_token="i99"),
    ops.IdDropout("user_id", rate=0.3, oov_token="u99"),
    ops.FeatureMask(("age", "price"), rate=0.5),
)


def _split(shop):
    return lambda seed: splits.split(shop, cold_share=0.2, seed=seed)


@pytest.fixture(scope="module")
def found(shop, tmp_path_factory):
    build, folder = Counted(), tmp_path_factory.mktemp("runs")
    options = {"split": _split(shop), "seeds": (0,), "protocol": FAST, "progress": False}
    options |= {"cache_dir": folder}
    one = attribute(build, THREE, method="shapley", metric="recall@10", **options)
    return one, build, options


def _measured(plan, seeds: int, users: int, values):
    """A game of a value a user: `values(rng, users)` gives float `[users, subsets]` of a seed."""
    made = []
    for seed in range(seeds):
        columns = values(np.random.default_rng(seed), users)
        place = np.zeros(columns.shape[1], np.int64)
        made.append(bootstrap.Sums(columns, np.ones((users, 1)), place))
    return share_out(plan, made)


def test_each_subset_is_trained_once_a_seed(found):
    one, build, _ = found
    assert len(build.calls) == 8
    assert len(one.report.arms) == 8 and one.report.baseline == "no op"


def test_the_other_method_finds_its_trainings_in_the_cache(found):
    _, build, options = found
    before = len(build.calls)
    other = attribute(build, THREE, method="leave_one_out", **options)
    assert len(build.calls) == before
    assert other.report.arms == ("no op", "ops 1, 2", "ops 1, 3", "ops 2, 3", "whole policy")


def test_shares_sum_to_the_gain_of_the_whole_policy(found):
    one, _, _ = found
    whole = one.report.figure("whole policy", "all").difference
    assert one.gain.value == pytest.approx(whole, abs=1e-15)
    assert one.gain.value != 0.0
    assert sum(op.share.value for op in one.ops) == pytest.approx(whole, abs=1e-15)
    assert one.rest == pytest.approx(0.0, abs=1e-15)


def test_a_mask_of_features_that_the_model_does_not_read_changes_nothing(found):
    one, _, _ = found
    # The third op draws, and the others draw as they do without it.
    (third,) = (op for op in one.ops if op.op.startswith("FeatureMask"))
    assert (third.share.value, third.share.low, third.share.high) == (0.0, 0.0, 0.0)
    assert third.alone.value == third.last.value == 0.0
    assert third.verdict.word == "can't tell"


def test_alone_and_last_are_differences_of_arms(found):
    one, _, _ = found
    mean = lambda arm: one.report.figure(arm, "all").mean  # noqa: E731
    for number, op in enumerate(one.ops, 1):
        assert op.alone.value == pytest.approx(mean(f"op {number}") - mean("no op"))
        others = ", ".join(str(n) for n in (1, 2, 3) if n != number)
        assert op.last.value == pytest.approx(mean("whole policy") - mean(f"ops {others}"))


def test_another_slice_or_metric_takes_no_training(found):
    one, build, _ = found
    before = len(build.calls)
    cold = one.on("cold", "ndcg@10")
    assert (cold.slice_name, cold.metric, len(build.calls)) == ("cold", "ndcg@10", before)
    expected = one.report.figure("whole policy", "cold", "ndcg@10").difference
    assert sum(op.share.value for op in cold.ops) == pytest.approx(expected, abs=1e-15)
    with pytest.raises(InvalidArgumentError, match="Did you mean 'cold'"):
        one.on("colder")
    with pytest.raises(InvalidArgumentError, match="`metric` must be a mean over rows"):
        one.on("cold", "recall")


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_ops_draw_alike_with_and_without_the_others(left_out):
    # The same op twice: the second's id is numbered, and stays so without the first.
    twice = ops.IdDropout("item_id", rate=0.5)
    policy = _policy(twice, twice, ops.GaussianNoise("age", stddev=1.0))
    rows = {
        "user_id": tf.constant([f"u{i}" for i in range(40)]),
        "item_id": tf.constant([f"i{i}" for i in range(40)]),
        "timestamp": tf.range(40, dtype=tf.int64),
        "age": tf.ones([40]),
    }
    there = np.arange(3) != left_out
    part = sub_policy(policy, there)
    assert [op.id for op in part.ops] == [op.id for op, kept in zip(policy.ops, there) if kept]
    alone = {op.id: _policy(op).augment(rows, draw=5) for op in policy.ops}
    augmented = part.augment(rows, draw=5)
    dropped = np.zeros(40, bool)
    for op in part.ops:
        if op.features == ("item_id",):
            dropped |= alone[op.id]["item_id"].numpy() == b"[UNK]"
    np.testing.assert_array_equal(augmented["item_id"].numpy() == b"[UNK]", dropped)
    if there[2]:
        np.testing.assert_array_equal(augmented["age"], alone[policy.ops[2].id]["age"])


def test_fitted_statistics_go_with_the_parts():
    policy = _policy(ops.CategorySwap("item_id", rate=0.5), ops.IdDropout("user_id", rate=0.1))
    rows = {"item_id": np.array(["a", "b"]), "user_id": np.array(["u", "v"])}
    from tfrs_augment.fitting import fit

    part = sub_policy(fit(policy, rows), np.array([True, False]))
    assert not part.missing_requirements()
    assert sub_policy(policy, np.zeros(2, bool)) is None


def test_a_known_game_is_shared_out_with_intervals_that_hold_the_truth():
    plan, truth = ExactShapley.of(3), np.array([0.03, 0.0, -0.02])

    def values(rng, users):
        level = rng.normal(0.5, 0.2, (users, 1))  # What a user is like, in every subset alike.
        return level + plan.subsets @ truth + rng.normal(0, 0.05, (users, 8))

    measured = _measured(plan, 5, 400, values)
    assert measured.gain.value == pytest.approx(sum(c.value for c in measured.shares), abs=1e-12)
    for change, expected in zip(measured.shares, truth):
        assert change.low <= expected <= change.high
        # Paired: the users' level, four times as wide as the noise, is not in the interval.
        assert change.high - change.low < 0.012


def test_two_ops_that_do_the_same():
    def either(plan):
        def values(rng, users):
            noise = rng.normal(0.0, 0.01, (users, 1))
            return noise + (plan.subsets[:, 0] | plan.subsets[:, 1]) * 0.1 + 0.2

        return _measured(plan, 3, 50, values)

    exact, left = either(ExactShapley.of(2)), either(LeaveOneOut.of(2))
    assert [c.value for c in exact.shares] == pytest.approx([0.05, 0.05])
    assert [c.value for c in exact.alone] == pytest.approx([0.1, 0.1])
    assert [c.value for c in left.shares] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert left.gain.value == pytest.approx(0.1)


def test_sampled_orders_widen_the_interval():
    plan = SampledShapley.of(5, 4, seed=1)

    def values(rng, users):
        return np.tile(plan.subsets.sum(axis=1) ** 3 / 10.0, (users, 1))

    measured = _measured(plan, 2, 20, values)
    assert measured.gain.high - measured.gain.low == pytest.approx(0.0, abs=1e-9)
    widths = [c.high - c.low for c in measured.shares]
    assert max(widths) > 0.1  # The users all agree: what is left is the chance of the orders.
    assert sum(c.value for c in measured.shares) == pytest.approx(measured.gain.value)


def test_the_root_of_a_mean_where_lower_is_better():
    plan, rng = ExactShapley.of(2), np.random.default_rng(0)
    users = np.repeat(np.arange(300), 4)
    labels = rng.normal(size=1200)
    slices = Slices({"all": np.ones(1200, bool)}, users, labels=labels)
    runs, errors = {}, {"no op": 1.0, "op 1": 0.9, "op 2": 1.0, "whole policy": 0.9}
    for seed in range(4):
        noise = rng.normal(size=1200)
        for arm, scale in errors.items():
            predictions = labels + scale * noise * (1 + 0.01 * rng.normal(size=1200))
            runs[arm, seed] = Run({}, (), (), 0, 0.0, predictions=predictions)
    report = Report("ratings", "no op", tuple(range(4)), runs, dict.fromkeys(range(4), slices), {})
    two = _policy(*THREE.ops[:2])
    one = Attribution(two, "shapley", "all", "rmse", report, plan)
    assert one.baseline.value == pytest.approx(report.figure("no op", "all", "rmse").mean)
    assert one.gain.value == pytest.approx(report.figure("whole policy", "all", "rmse").difference)
    assert one.ops[0].share.value == pytest.approx(-0.1, abs=0.01)
    assert [op.verdict.word for op in one.ops] == ["helps", "can't tell"]
    with pytest.raises(DataError, match="must be one that the trainings have"):
        one.on("all", "recall@10")


@pytest.mark.slow
def test_sampled_orders_train_each_subset_once(shop):
    build = Counted()
    many = _policy(*(ops.IdDropout("item_id", rate=0.1, oov_token="i99") for _ in range(4)))
    one = attribute(
        build,
        many,
        split=_split(shop),
        seeds=[0],
        method="shapley",
        permutations=4,
        protocol=Protocol(epochs=1, batch_size=2048),
        progress=False,
    )
    assert len(build.calls) == len(one.report.arms) == len(one.plan.subsets) < 2**4
    assert sum(op.share.value for op in one.ops) == pytest.approx(one.gain.value, abs=1e-15)
    assert one.to_dict()["permutations"] == 4
    assert any(op.alone is None or op.last is None for op in one.ops)
    assert "None" not in one.table()


@pytest.mark.slow
def test_what_all_trainings_share(shop):
    seen, build = [], Counted()

    def after(model, train):
        seen.append(len(train))

    two = _policy(*THREE.ops[:2])
    one = attribute(
        build,
        two,
        split=_split(shop),
        seeds=[0, 1],
        arm=Arm(after_fit=after, model_options={"dim": 4}),
        protocol=Protocol(epochs=1, batch_size=2048),
        progress=False,
    )
    assert len(seen) == 2 * 2 * 4  # After the only validation, and after the training.
    assert len(build.calls) == 2 * 4  # Each subset once a seed.
    described = one.report.settings["arms"]
    assert {arm["model_options"]["dim"] for arm in described.values()} == {"4"}
    assert len({arm["policy"] for arm in described.values()}) == 4


def test_the_table_and_the_json(found, tmp_path):
    one, _, _ = found
    table = one.table().splitlines()
    assert len({len(line) for line in table}) == 1
    assert "Shapley value" in table[0] and "Recall@10, all" in table[0]
    assert [line.split("|")[1].strip() for line in table[2:]] == [
        "1. id_dropout:item_id",
        "2. id_dropout:user_id",
        "3. feature_mask:age,price",
        "whole policy",
    ]
    one.to_json(tmp_path / "a.json")
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["subsets"]["whole policy"] - read["subsets"]["no op"] == pytest.approx(
        read["gain"]["value"]
    )
    assert read["ops"][0]["share"]["value"] == one.ops[0].share.value
    assert read["trainings"] == 8
    assert "NaN" not in json.dumps(read, allow_nan=False)


def test_what_is_left_is_told_of_leave_one_out(found):
    _, build, options = found
    other = attribute(build, THREE, method="leave_one_out", **options)
    assert other.rest == pytest.approx(other.gain.value - sum(op.share.value for op in other.ops))
    assert "no op by itself" in other.table() and "left out" in other.table()


def test_it_is_shown_in_a_line_an_op(found):
    one, _, _ = found
    lines = repr(one).splitlines()
    assert lines[0].startswith(
        f"Attribution of {one.report.name!r} (Shapley value): Recall@10 on all"
    )
    assert lines[0].endswith(", 1 seed")
    gain = one.gain
    assert lines[1] == (
        f"  whole policy: {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}], {one.verdict.word}"
    )
    assert len(lines) == 2 + len(THREE.ops)
    for number, (line, op) in enumerate(zip(lines[2:], one.ops), 1):
        assert line.startswith(f"  {number}. {op.id}: {op.share.value:+.4f} [")
        assert line.endswith(op.verdict.word)


def test_the_plot_is_written(found, tmp_path):
    one, _, _ = found
    one.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": None}, "`policy` must be an AugmentationPolicy"),
        ({"policy": _policy(THREE.ops[0])}, "`policy` must have at least two ops"),
        ({"method": "shaply"}, "Did you mean 'shapley'"),
        ({"permutations": 4}, "`permutations` goes with method='shapley'"),
        ({"permutations": 3, "method": "shapley"}, "must be an even integer"),
        ({"metric": "recal@10"}, "Did you mean 'recall@10'"),
        ({"slice_name": "warmest"}, "Did you mean 'warm'"),
        ({"split": None}, "`split` must be a function"),
        ({"seeds": []}, "`seeds` must be distinct and at least one"),
        ({"metric": "coverage@10"}, "`metric` must be a mean over rows or queries"),
        ({"metric": "rmse"}, "with label=None in the protocol"),
        ({"metric": "novelty@10", "slice_name": "cold"}, "must be one that the trainings have on"),
        ({"segments": ["kind"], "slice_name": "kind=k9"}, "Did you mean 'kind="),
        ({"arm": Arm(share="other")}, "`arm` must be an Arm that trains by itself"),
        ({"arm": Arm(THREE)}, "`arm` must be an Arm that trains by itself"),
    ],
)
def test_arguments_are_checked_before_any_training(shop, change, message):
    build = Counted()
    options = {"policy": THREE, "split": _split(shop), "seeds": [0], "progress": False} | change
    policy = options.pop("policy")
    with pytest.raises(InvalidArgumentError, match=message):
        attribute(build, policy, **options)
    assert build.calls == []


def test_a_slice_without_rows(shop):
    two = _policy(*THREE.ops[:2])
    one = attribute(
        Tiny,
        two,
        split=lambda seed: splits.split(shop, cold_share=0.0, seed=seed),
        seeds=[0],
        protocol=Protocol(epochs=1, batch_size=2048),
        progress=False,
    )
    with pytest.raises(DataError, match="must have test rows. Received: 'cold'"):
        one.on("cold")


def test_arms_are_named_by_the_places_of_their_ops():
    assert arm_name(np.array([False, True, False])) == "op 2"


def test_it_is_public():
    assert evaluation.attribute is attribute
