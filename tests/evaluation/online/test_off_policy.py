"""Off-policy estimates: against closed forms, simulated bandits whose truth is known, and real logs."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation.online.off_policy_evaluation import off_policy
from tfrs_augment.evaluation.online.off_policy_rewards import fit_rewards

ACTIONS = ("a", "b", "c", "d")


@dataclasses.dataclass(frozen=True)
class Bandit:
    """Three kinds of users, four actions, and what each pair earns."""

    behaviour: np.ndarray
    target: np.ndarray
    mean: np.ndarray

    @property
    def value(self) -> float:
        return float((self.target * self.mean).sum(axis=1).mean())

    def log(self, rows: int, seed: int):
        """A log; with the chances of all actions, and the kind of each row's user."""
        rng = np.random.default_rng(seed)
        kind = rng.integers(3, size=rows)
        chances = self.behaviour[kind]
        shown = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        log = {
            "item": np.array(ACTIONS)[shown],
            "propensity": chances[np.arange(rows), shown],
            "reward": (rng.random(rows) < self.mean[kind, shown]).astype(float),
        }
        return log, kind


@pytest.fixture(scope="module")
def bandit():
    rng = np.random.default_rng(5)
    behaviour, target = rng.dirichlet(np.full(4, 3.0), 3), rng.dirichlet(np.full(4, 3.0), 3)
    return Bandit(0.8 * behaviour + 0.05, target, rng.uniform(0.1, 0.7, (3, 4)))


def estimate(bandit, rows=2000, seed=0, **options):
    log, kind = bandit.log(rows, seed)
    fixed = {"target": bandit.target[kind], "action": "item", "actions": ACTIONS}
    return off_policy(log, **(fixed | options))


# Closed forms.


def test_estimators_are_their_formulas():
    log = {"item": ["a", "b", "a"], "propensity": [0.5, 0.25, 0.8], "reward": [1.0, 2.0, 0.0]}
    target = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    q = np.array([[0.5, 1.0], [1.5, 1.0], [0.25, 2.0]])
    found = off_policy(
        log, target=target, action="item", actions=["a", "b"], predictions=q, clip=2.0
    )
    w, r = np.array([1.8, 3.2, 0.5]), np.array([1.0, 2.0, 0.0])
    dm, missed = np.array([0.55, 1.1, 1.3]), r - np.array([0.5, 1.0, 0.25])
    expected = {
        "ips": (w * r).mean(),
        "snips": (w * r).sum() / w.sum(),
        "clipped_ips": (np.array([1.8, 2.0, 0.5]) * r).mean(),
        "dm": dm.mean(),
        "dr": (dm + w * missed).mean(),
        "sndr": dm.mean() + (w * missed).sum() / w.sum(),
        "switch_dr": (dm + np.array([1.8, 0.0, 0.5]) * missed).mean(),
    }
    assert {name: one.value for name, one in found.estimates.items()} == pytest.approx(expected)
    assert found.logged.value == 1.0
    check = found.weight_check
    assert check.mean == pytest.approx(5.5 / 3) and check.largest == 3.2
    assert check.effective_rows == pytest.approx(5.5**2 / (w @ w))
    assert check.cut == pytest.approx(1.2 / 3)


def test_the_logs_own_policy_earns_what_was_logged(bandit):
    log, _ = bandit.log(500, 0)
    found = off_policy(log, target=log["propensity"])
    for name in ("ips", "snips"):
        one = found.estimate(name)
        assert one.value == pytest.approx(log["reward"].mean())
        assert one.difference_bootstrap == pytest.approx((0.0, 0.0), abs=1e-12)
    assert found.weight_check.effective_rows == pytest.approx(500)
    assert found.weight_check.p_value == 1.0 and found.verdict.startswith("can't tell")


def test_intervals_of_the_logged_mean_are_textbook_ones():
    rewards = np.random.default_rng(0).random(1500)
    found = off_policy({"propensity": np.ones(1500), "reward": rewards}, target=np.ones(1500))
    width = 1.959964 * rewards.std(ddof=1) / math.sqrt(1500)
    assert found.logged.normal == pytest.approx(
        (rewards.mean() - width, rewards.mean() + width), rel=1e-6
    )
    assert found.logged.bootstrap == pytest.approx(found.logged.normal, abs=0.15 * width)
    log_term = math.log(4 / 0.05)
    spread = np.ptp(rewards)
    wide = math.sqrt(2 * rewards.var(ddof=1) * log_term / 1500) + 7 * spread * log_term / (3 * 1499)
    assert found.logged.bernstein[1] == pytest.approx(rewards.mean() + wide)


# Simulated logs.


@pytest.mark.slow
def test_estimators_are_unbiased_and_their_intervals_cover(bandit):
    """Also where predictions are poor: a constant that is too high."""
    logs = 500
    names = ("ips", "snips", "dr", "sndr")
    values = {name: [] for name in (*names, "dm", "clipped_ips")}
    inside = {(name, kind): 0 for name in names for kind in ("normal", "bootstrap", "bernstein")}
    for seed in range(logs):
        found = estimate(
            bandit, 150, seed, predictions=np.full((150, 4), 0.6), clip=1.0, reward_range=(0, 1)
        )
        for name, own in values.items():
            own.append(found.estimate(name).value)
        for name, kind in inside:
            low, high = getattr(found.estimate(name), kind)
            inside[name, kind] += bool(low <= bandit.value <= high)
    for name in names:
        error = np.std(values[name]) / math.sqrt(logs)
        assert np.mean(values[name]) == pytest.approx(bandit.value, abs=4 * error)
        for kind in ("normal", "bootstrap"):
            # Their chance is of 95 % but for what 150 rows leave of it.
            assert inside[name, kind] >= stats.binom.ppf(0.001, logs, 0.93), (name, kind)
            assert inside[name, kind] <= stats.binom.ppf(0.999, logs, 0.965), (name, kind)
    for name in ("ips", "dr"):
        assert inside[name, "bernstein"] >= stats.binom.ppf(0.01, logs, 0.95)
    assert np.mean(values["dm"]) == pytest.approx(0.6)
    assert np.mean(values["clipped_ips"]) < bandit.value - 0.02


def test_good_predictions_make_dr_narrow_and_fitted_ones_help(bandit):
    log, kind = bandit.log(2000, 1)
    fixed = {"target": bandit.target[kind], "action": "item", "actions": ACTIONS}
    true = off_policy(log, **fixed, predictions=bandit.mean[kind])
    q = fit_rewards(log | {"kind": kind}, action="item", actions=ACTIONS, position="kind")
    fitted = off_policy(log, **fixed, predictions=q)
    np.testing.assert_allclose(q, bandit.mean[kind], atol=0.15)
    width = {
        name: np.ptp(found.estimate(estimator).normal)
        for name, found, estimator in (
            ("ips", true, "ips"),
            ("true", true, "dr"),
            ("fitted", fitted, "dr"),
        )
    }
    assert width["true"] < width["ips"] and width["fitted"] < width["ips"]
    low, high = fitted.estimate("dr").normal
    assert low < bandit.value < high


def test_a_row_is_predicted_without_its_own_unit():
    reward = np.zeros(40)
    reward[:2] = 100.0  # the unit 0
    log = {"item": ["a"] * 40, "reward": reward, "user": np.arange(40) // 2}
    q = fit_rewards(log, action="item", actions=["a", "b"], unit="user", strength=1e-9)
    assert q[0, 0] == q[1, 0] == 0.0
    assert q[:, 0].max() > 0.0


def test_units_widen_intervals_where_rows_repeat(bandit):
    log, kind = bandit.log(300, 2)
    repeated = {name: np.repeat(values, 9) for name, values in log.items()}
    repeated["user"] = np.repeat(np.arange(300), 9)
    target = np.repeat(bandit.target[kind], 9, axis=0)
    fixed = {"target": target, "action": "item", "actions": ACTIONS}
    once = off_policy(log, **(fixed | {"target": bandit.target[kind]})).estimate("ips")
    rows, units = (off_policy(repeated, **fixed, unit=u).estimate("ips") for u in (None, "user"))
    assert units.normal == pytest.approx(once.normal)
    assert np.ptp(units.normal) == pytest.approx(3 * np.ptp(rows.normal), rel=0.01)
    assert units.bootstrap == pytest.approx(once.bootstrap)
    assert math.isnan(units.bernstein[0])


def test_wrong_propensities_show_in_the_mean_weight(bandit):
    right = estimate(bandit, 900)
    assert right.weight_check.p_value > 0.01 and not right.weight_check.reasons
    log, kind = bandit.log(900, 0)
    log["propensity"] = log["propensity"] / 1.2
    found = off_policy(log, target=bandit.target[kind], action="item", actions=ACTIONS)
    assert found.weight_check.p_value < 1e-6
    assert found.verdict.startswith("can't tell: the mean weight is")


def test_verdicts_tell_better_from_worse(bandit):
    best = np.eye(4)[bandit.mean.argmax(axis=1)]
    worst = np.eye(4)[bandit.mean.argmin(axis=1)]
    for target, word in ((best, "helps"), (worst, "hurts")):
        log, kind = bandit.log(1500, 3)
        found = off_policy(log, target=target[kind], action="item", actions=ACTIONS)
        assert found.verdict.startswith(f"{word}: snips")
        assert word in str(found)


def test_heavy_weights_are_not_trusted():
    rows = 5000
    chance = np.full(rows, 0.5)
    chance[:30] = 1e-4
    target = np.full(rows, 0.3)
    log = {"propensity": chance, "reward": np.random.default_rng(0).random(rows)}
    found = off_policy(log, target=target, clip=10.0)
    check = found.weight_check
    assert check.largest == pytest.approx(3000) and check.effective_rows < 100
    assert check.top_share > 0.9
    assert found.verdict.startswith("can't tell: ") and "effective rows" in found.verdict
    low, high = found.estimate("clipped_ips").bernstein
    assert 0.0 <= low <= high <= 10.0


# Positions and slates.


def slates(rows=1000, places=3, seed=0):
    """Slates of three, whose reward at a place depends on the places before it."""
    rng = np.random.default_rng(seed)
    chances = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
    target = np.array([[0.2, 0.2, 0.6], [0.3, 0.5, 0.2], [0.3, 0.3, 0.4]])
    shown = np.stack([rng.choice(3, rows, p=chances[k]) for k in range(places)], axis=1)
    mean = 0.1 + 0.2 * np.cumsum(shown, axis=1) / (1 + np.arange(places))
    place = np.tile(np.arange(places), rows)
    log = {
        "slate": np.repeat(np.arange(rows), places),
        "place": place + 1,
        "item": shown.ravel(),
        "propensity": chances[place, shown.ravel()],
        "reward": (rng.random(shown.shape) < mean).astype(float).ravel(),
    }
    truth = 0.0
    for items in itertools.product(range(3), repeat=places):
        chance = np.prod([target[k, item] for k, item in enumerate(items)])
        truth += chance * np.sum(0.1 + 0.2 * np.cumsum(items) / (1 + np.arange(places)))
    return log, target[place], truth


@pytest.mark.parametrize("interaction", ["none", "cascade", "all"])
def test_slates_are_weighed_by_what_their_rewards_depend_on(interaction):
    values, fixed = [], {"position": "place", "slate": "slate", "interaction": interaction}
    for seed in range(8):
        log, target, truth = slates(seed=seed)
        found = off_policy(log, target=target, action="item", actions=range(3), **fixed)
        values.append(found.estimate("ips").value)
    error = np.std(values) / math.sqrt(8)
    assert found.per == "slate" and found.units == 1000
    if interaction == "none":  # Biased: the reward at a place depends on those before it.
        assert abs(np.mean(values) - truth) > 4 * error
    else:
        assert np.mean(values) == pytest.approx(truth, abs=4 * error)


def test_weights_of_slates_are_products():
    log = {
        "slate": [1, 0, 0, 1],
        "place": [2, 1, 2, 1],
        "propensity": [0.5, 0.5, 0.25, 1.0],
        "reward": [1.0, 1.0, 1.0, 1.0],
    }
    fixed = {"target": [0.25, 1.0, 0.5, 0.5], "position": "place", "slate": "slate"}
    for interaction, weights in (
        ("none", [0.5, 2.0, 2.0, 0.5]),
        ("cascade", [0.25, 2.0, 4.0, 0.5]),
        ("all", [0.25, 4.0, 4.0, 0.25]),
    ):
        found = off_policy(log, **fixed, interaction=interaction)
        assert found.weights.tolist() == weights
        assert found.estimate("ips").value == pytest.approx(sum(weights) / 2)


def test_each_position_has_estimates_of_its_rows():
    log, target, _ = slates()
    options = {"action": "item", "actions": range(3)}
    found = off_policy(log, target=target, position="place", **options)
    assert list(found.positions) == [1, 2, 3]
    rows = log["place"] == 2
    alone = off_policy(
        {name: values[rows] for name, values in log.items()}, target=target[rows], **options
    )
    assert found.positions[2].estimate("snips") == alone.estimate("snips")
    assert "position 2: snips" in str(found)
    assert set(found.to_dict()["positions"]) == {"1", "2", "3"}


# Real logs.


@pytest.fixture(scope="module")
def open_bandit(shared_data):
    """The men's files by policy: item, position, click and propensity."""
    found = {}
    for policy in ("random", "bts"):
        path = shared_data / "open-bandit" / policy / "men" / "men.csv"
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        kinds = {"item_id": int, "position": int, "click": int, "propensity_score": float}
        found[policy] = {
            name: np.array([kind(row[name]) for row in rows]) for name, kind in kinds.items()
        }
    return found


COLUMNS = {"reward": "click", "propensity": "propensity_score", "position": "position"}


def test_random_logs_tell_what_the_other_policy_earned(open_bandit):
    """Its chances by position, context aside, are the shares of its own log."""
    random, bts = open_bandit["random"], open_bandit["bts"]
    assert random["click"].sum() == 46 and len(random["click"]) == 10_000
    shares = np.zeros((4, 34))
    np.add.at(shares, (bts["position"], bts["item_id"]), 1.0)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    fixed = {"action": "item_id", "actions": range(34), **COLUMNS}
    predictions = fit_rewards(
        random, action="item_id", actions=range(34), reward="click", position="position"
    )
    found = off_policy(
        random, target=shares[random["position"]], predictions=predictions, clip=5.0, **fixed
    )
    assert not found.weight_check.reasons
    assert list(found.positions) == [1, 2, 3]
    for name in ("ips", "snips", "dr", "sndr"):
        low, high = found.estimate(name).bootstrap
        assert low < bts["click"].mean() < high
    # 46 clicks tell little: the interval is wider than half its value.
    assert np.ptp(found.estimate("dr").bootstrap) > found.estimate("dr").value / 2
    uniform = off_policy(
        random,
        target=np.full((10_000, 34), 1 / 34),
        behaviour=np.full((10_000, 34), 1 / 34),
        **fixed,
    )
    assert uniform.estimate("ips").value == pytest.approx(0.0046)


def test_the_other_log_tells_what_random_earned(open_bandit):
    bts = open_bandit["bts"]
    found = off_policy(
        bts,
        target=np.full((10_000, 34), 1 / 34),
        action="item_id",
        actions=range(34),
        **COLUMNS,
    )
    assert found.weight_check.effective_rows < 5000
    low, high = found.estimate("snips").bootstrap
    assert low < open_bandit["random"]["click"].mean() < high


# What comes out.


def test_results_are_written_as_text_json_and_a_picture(bandit, tmp_path):
    found = estimate(bandit, 300, predictions=np.full((300, 4), 0.3), clip=2.0)
    path = tmp_path / "found.png"
    found.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert written["estimates"]["dr"]["value"] == found.estimate("dr").value
    assert "| switch_dr" in str(found) and "effective rows" in str(found)
    assert found.main == "dr"
    with pytest.raises(InvalidArgumentError, match="Did you mean 'snips'"):
        found.estimate("snip")


def test_the_seed_is_that_of_the_resamples(bandit):
    first, second = (estimate(bandit, 300) for _ in range(2))
    assert first.estimate("ips") == second.estimate("ips")
    log, kind = bandit.log(300, 0)
    other = off_policy(log, target=bandit.target[kind], action="item", actions=ACTIONS, seed=1)
    assert other.estimate("ips").bootstrap != first.estimate("ips").bootstrap


# What is wrong with a log.


@pytest.mark.parametrize(
    ("row", "value", "message"),
    [
        (7, 0.0, r"above 0 and at most 1 .* 1 of 50 rows outside, such as row 7: 0"),
        (3, 1.5, "such as row 3: 1.5"),
        (4, -0.1, "such as row 4: -0.1"),
        (5, math.nan, "1 of 50 rows without, such as row 5"),
    ],
)
def test_propensities_that_are_none_are_refused_with_their_rows(bandit, row, value, message):
    log, kind = bandit.log(50, 0)
    log["propensity"][row] = value
    with pytest.raises(DataError, match=message):
        off_policy(log, target=bandit.target[kind], action="item", actions=ACTIONS)


def test_a_target_without_support_is_refused_with_rows(bandit):
    log, kind = bandit.log(50, 0)
    behaviour = bandit.behaviour[kind]
    fixed = {"target": bandit.target[kind], "action": "item", "actions": ACTIONS}
    off_policy(log, **fixed, behaviour=behaviour)
    row = 11
    other = next(k for k in range(4) if ACTIONS[k] != log["item"][row])
    behaviour = behaviour.copy()
    behaviour[row, other] = 0.0
    with pytest.raises(DataError, match=r"never does.* 1 of 50 rows .* such as row 11"):
        off_policy(log, **fixed, behaviour=behaviour)
    with pytest.raises(DataError, match="`behaviour` must hold the propensity"):
        off_policy(log, **fixed, behaviour=np.full((50, 4), 0.25))


def test_actions_that_the_log_never_shows_are_told():
    rows = 2000
    log = {"item": ["a", "b"] * 1000, "propensity": np.full(rows, 1 / 3), "reward": np.ones(rows)}
    found = off_policy(
        log, target=np.full((rows, 3), 1 / 3), action="item", actions=["a", "b", "c"]
    )
    assert found.weight_check.unseen == pytest.approx(1 / 3)
    assert "33.3% of the target's actions were never logged" in found.verdict


def test_unknown_actions_are_refused_with_rows(bandit):
    log, kind = bandit.log(50, 0)
    log["item"][[2, 9]] = "z"
    with pytest.raises(DataError, match="2 rows with others, z, such as rows 2, 9"):
        off_policy(log, target=bandit.target[kind], action="item", actions=ACTIONS)


def test_repeated_rows_are_refused_where_rows_have_ids(bandit):
    log, kind = bandit.log(50, 0)
    log["row"] = np.minimum(np.arange(50), 46)
    with pytest.raises(DataError, match="3 repeated rows"):
        off_policy(log, target=bandit.target[kind], action="item", actions=ACTIONS, row_id="row")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reward": "rewards"}, UnknownFeatureError, "Did you mean 'reward'"),
        ({"target": np.full((50, 4), 0.3)}, DataError, "sum to 1 in each row"),
        ({"target": np.full(50, 1.2)}, DataError, "`target` must be in"),
        ({"target": np.zeros(50)}, DataError, "some of what was logged"),
        ({"target": np.ones(49)}, InvalidArgumentError, r"Received: \[49\]"),
        ({"action": None}, InvalidArgumentError, "needs `action`"),
        ({"actions": [*"abcc"]}, InvalidArgumentError, "must be distinct"),
        ({"actions": range(4)}, InvalidArgumentError, "of the type of column"),
        ({"predictions": np.ones((50, 3))}, InvalidArgumentError, "each row and action"),
        ({"predictions": np.full((50, 4), np.nan)}, DataError, "finite numbers"),
        (
            {"target": np.ones(50), "predictions": np.ones((50, 4))},
            InvalidArgumentError,
            "`target`",
        ),
        ({"target": np.ones(50), "behaviour": np.ones((50, 4))}, DataError, "`behaviour`"),
        ({"interaction": "some"}, InvalidArgumentError, "`interaction`"),
        ({"interaction": "all"}, InvalidArgumentError, "needs `slate` and `position`"),
        (
            {"interaction": "all", "slate": "zero", "position": "zero"},
            DataError,
            "one row a position",
        ),
        ({"slate": "zero", "unit": "number"}, DataError, "must be of one unit"),
        ({"clip": 0.0}, InvalidArgumentError, "`clip`"),
        ({"confidence": 1.0}, InvalidArgumentError, "`confidence`"),
        ({"reward_range": (0.0, 0.5)}, InvalidArgumentError, "`reward_range`"),
    ],
)
def test_what_breaks_a_rule_is_refused(bandit, options, error, message):
    log, kind = bandit.log(50, 0)
    log |= {"zero": np.zeros(50), "number": np.arange(50)}
    fixed = {"target": bandit.target[kind], "action": "item", "actions": ACTIONS}
    with pytest.raises(error, match=message):
        off_policy(log, **(fixed | options))


def test_rows_without_a_reward_are_refused_with_what_to_do(bandit):
    log, kind = bandit.log(50, 0)
    log["reward"] = np.where(np.arange(50) == 3, np.nan, log["reward"])
    with pytest.raises(DataError, match="row 3. Fill them in or leave these rows out[.]$"):
        off_policy(log, target=bandit.target[kind], action="item", actions=ACTIONS)
    with pytest.raises(InvalidArgumentError, match="must be a mapping .* Received: NoneType"):
        off_policy(None, target=bandit.target[kind])


def test_fitted_rewards_refuse_what_they_cannot_use():
    log = {"item": ["a"], "reward": [1.0]}
    with pytest.raises(InvalidArgumentError, match="`strength`"):
        fit_rewards(log, action="item", actions=["a"], strength=0.0)
    with pytest.raises(InvalidArgumentError, match="`folds`"):
        fit_rewards(log, action="item", actions=["a"], folds=1)


def test_one_row_has_an_estimate_and_no_interval():
    found = off_policy({"propensity": [0.5], "reward": [1.0]}, target=[0.5])
    assert found.estimate("ips").value == 1.0
    assert math.isnan(found.estimate("ips").normal[0])
    assert found.verdict.startswith("can't tell")
