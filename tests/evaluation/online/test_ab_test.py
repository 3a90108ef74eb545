"""A/B tests: against scipy, closed forms and simulations whose truth is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError
from tfrs_augment.evaluation.online import sequential
from tfrs_augment.evaluation.online.ab_testing import ab_test
from tfrs_augment.evaluation.online.ab_units import Ratio
from tfrs_augment.evaluation.online.arm_sizes import sample_ratio
from tfrs_augment.evaluation.statistics import distributions, power

COLUMNS = {"unit": "user", "arm": "arm", "control": "a"}


def experiment(units=600, *, effect=0.0, arms=("a", "b"), seed=0):
    """A row a unit: `spend`, and `before`, that explains half of its variance."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(len(arms), size=units)
    before = rng.normal(5.0, 1.0, units)
    spend = before + rng.normal(effect * arm, 1.0)
    return {"user": np.arange(units), "arm": np.array(arms)[arm], "before": before, "spend": spend}


def sessions(users=500, *, effect=0.0, seed=0):
    """A row a session, whose clicks and views go with its user's taste."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(2, size=users)
    taste = rng.beta(4, 16, users)
    user = np.repeat(np.arange(users), 1 + rng.poisson(4, users))
    views = 1 + rng.poisson(6 * (1 + taste[user]))
    clicks = rng.binomial(views, np.clip(taste[user] + effect * arm[user], 0, 1))
    return {"user": user, "arm": np.array(["a", "b"])[arm[user]], "clicks": clicks, "views": views}


# What scipy has too.


@pytest.mark.parametrize("degrees", [1, 2.5, 4, 30, 1e3, 1e6])
def test_students_t_is_scipys(degrees):
    for t in (-8.0, -1.0, 0.0, 1e-3, 0.5, 1.96, 4.0, 10.0, math.inf):
        expected = pytest.approx(stats.t.sf(t, degrees), rel=1e-8, abs=1e-300)
        assert distributions.student_tail(t, degrees) == expected
    for share in (0.01, 0.6, 0.975, 0.9999):
        assert distributions.student_quantile(share, degrees) == pytest.approx(
            stats.t.ppf(share, degrees), rel=1e-8
        )


def test_tails_of_the_normal_and_chi_square_are_scipys():
    z = np.array([-3.0, 0.0, 1.0, 6.0, 20.0])
    np.testing.assert_allclose(distributions.normal_tail(z), stats.norm.sf(z), rtol=1e-12)
    for degrees in (1, 2, 3, 8, 11):
        for value in (0.0, 0.1, 4.0, 50.0, 400.0):
            assert distributions.chi_square_tail(value, degrees) == pytest.approx(
                stats.chi2.sf(value, degrees), rel=1e-11
            )


@pytest.mark.parametrize(
    ("count", "trials", "share"),
    [(9, 10, 0.5), (0, 10, 0.1), (3, 30, 0.4), (10, 10, 0.9), (5, 1000, 0.01)],
)
def test_the_binomial_test_is_scipys(count, trials, share):
    found = distributions.binomial_test(count, trials, share)
    assert found == pytest.approx(stats.binomtest(count, trials, share).pvalue, rel=1e-9)


@pytest.mark.parametrize("units", [12, 600])
def test_a_mean_is_tested_as_by_welch(units):
    table = experiment(units, effect=0.3)
    found = ab_test(table, **COLUMNS, metrics=["spend"]).comparison("spend")
    b, a = (table["spend"][table["arm"] == name] for name in "ba")
    reference = stats.ttest_ind(b, a, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert found.p_value == pytest.approx(reference.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.difference == pytest.approx(b.mean() - a.mean())


def test_the_check_of_sizes_is_chi_squares_or_exact():
    counts, shares = {"a": 480, "b": 530, "c": 240}, {"a": 2, "b": 2, "c": 1}
    reference = stats.chisquare([480, 530, 240], [500, 500, 250])
    assert sample_ratio(counts, shares).p_value == pytest.approx(reference.pvalue, rel=1e-9)
    few = sample_ratio({"a": 8, "b": 0})
    assert few.p_value == pytest.approx(stats.binomtest(8, 8, 0.5).pvalue)


def test_arms_may_be_named_by_numbers():
    found = sample_ratio({1: 480, 2: 530}, {1: 0.5, 2: 0.5})
    assert found.p_value == sample_ratio({"1": 480, "2": 530}, {1: 0.5, 2: 0.5}).p_value
    assert "1 480 (47.52% of 50.00% planned)" in str(found)
    with pytest.raises(InvalidArgumentError, match=r"arms of the table, \['1', '2'\]"):
        sample_ratio({1: 480, 2: 530}, {1: 0.5, 3: 0.5})


def test_corrected_p_values_are_those_of_a_step_down():
    p_values = np.array([0.04, 0.01, 0.03, 0.5])
    assert distributions.holm(p_values).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.5])


# Ratios: users are independent, their sessions are not.


def test_the_variance_of_a_ratio_is_that_of_a_bootstrap_of_users():
    table = sessions()
    found = ab_test(table, **COLUMNS, metrics={"ctr": Ratio("clicks", "views")}).comparison("ctr")
    rng = np.random.default_rng(1)
    ratios = []
    for name in "ba":
        rows = table["arm"] == name
        users = np.unique(table["user"][rows], return_inverse=True)[1]
        clicks, views = (np.bincount(users, table[c][rows]) for c in ("clicks", "views"))
        drawn = rng.multinomial(len(clicks), np.full(len(clicks), 1 / len(clicks)), size=4000)
        ratios.append((drawn @ clicks) / (drawn @ views))
    assert found.standard_error == pytest.approx((ratios[0] - ratios[1]).std(), rel=0.04)
    rows = table["arm"] == "b"
    assert found.mean == pytest.approx(table["clicks"][rows].sum() / table["views"][rows].sum())


def test_a_ratio_tested_by_users_keeps_its_level_where_rows_would_not():
    wrong = by_rows = 0
    for seed in range(300):
        table = sessions(120, seed=seed)
        found = ab_test(table, **COLUMNS, metrics={"ctr": Ratio("clicks", "views")})
        wrong += found.comparison("ctr").p_value < 0.05
        table["user"] = np.arange(len(table["user"]))
        found = ab_test(table, **COLUMNS, metrics={"ctr": Ratio("clicks", "views")})
        by_rows += found.comparison("ctr").p_value < 0.05
    assert wrong <= stats.binom.ppf(0.999, 300, 0.05)
    assert by_rows > stats.binom.ppf(0.999, 300, 0.05)


def test_a_ratio_without_denominator_is_the_mean_of_a_row():
    table = sessions()
    found = ab_test(table, **COLUMNS, metrics={"c": Ratio("clicks")}).comparison("c")
    assert found.control_mean == pytest.approx(table["clicks"][table["arm"] == "a"].mean())


def test_a_column_is_summed_by_unit():
    table = sessions()
    found = ab_test(table, **COLUMNS, metrics=["clicks"]).comparison("clicks")
    of_b = table["arm"] == "b"
    assert found.mean == pytest.approx(
        table["clicks"][of_b].sum() / len(np.unique(table["user"][of_b]))
    )


# CUPED.


def test_cuped_takes_away_the_square_of_the_correlation():
    table = experiment(5000, effect=1.0)
    options = {**COLUMNS, "metrics": ["spend"]}
    plain = ab_test(table, **options).comparison("spend")
    found = ab_test(table, **options, covariates={"spend": "before"}).comparison("spend")
    inside = [
        np.concatenate(
            [table[c][table["arm"] == n] - table[c][table["arm"] == n].mean() for n in "ab"]
        )
        for c in ("spend", "before")
    ]
    assert found.reduction == pytest.approx(np.corrcoef(*inside)[0, 1] ** 2, rel=1e-9)
    assert found.reduction == pytest.approx(0.5, abs=0.03)
    assert (found.standard_error / plain.standard_error) ** 2 == pytest.approx(
        1 - found.reduction, rel=1e-3
    )


def test_cuped_is_unbiased_and_keeps_its_level():
    effects, inside = [], 0
    for seed in range(400):
        table = experiment(200, effect=0.4, seed=seed)
        found = ab_test(table, **COLUMNS, metrics=["spend"], covariates={"spend": "before"})
        one = found.comparison("spend")
        effects.append(one.difference)
        inside += one.low <= 0.4 <= one.high
    assert np.mean(effects) == pytest.approx(0.4, abs=4 * np.std(effects) / 20)
    assert stats.binom.ppf(0.001, 400, 0.95) <= inside <= stats.binom.ppf(0.999, 400, 0.95)


def test_cuped_takes_ratios_and_leaves_units_without_a_past_alone():
    table = sessions(800)
    per_user = np.random.default_rng(3).poisson(9, 800).astype(float)
    per_user[::3] = np.nan
    table["old_clicks"], table["old_views"] = per_user[table["user"]], per_user[table["user"]] * 2
    metrics, past = {"ctr": Ratio("clicks", "views")}, {"ctr": Ratio("old_clicks", "old_views")}
    found = ab_test(table, **COLUMNS, metrics=metrics, covariates=past).comparison("ctr")
    assert 0 <= found.reduction < 0.02  # This past explains nothing.
    table["old_clicks"] = np.full(len(table["user"]), 3.0)
    constant = ab_test(table, **COLUMNS, metrics=metrics, covariates={"ctr": "old_clicks"})
    assert constant.comparison("ctr").reduction == 0.0


def finer_sessions(users=600, seed=0):
    """A treatment that does nothing but to cut sessions finer, the more so the higher the old rate."""
    rng = np.random.default_rng(seed)
    treated = rng.random(users) < 0.5
    rate, old_views = rng.beta(2, 8, users), rng.integers(5, 50, users)
    rows = 1 + rng.poisson(np.where(treated, 20 * rate, 4.0))
    user = np.repeat(np.arange(users), rows)
    of_user = {
        "arm": np.where(treated, "b", "a"),
        "watch": (50 * rate + rng.normal(0, 3, users)) / rows,
        "old_clicks": rng.binomial(old_views, rate),
        "old_views": old_views,
    }
    return {"user": user, **{name: values[user] for name, values in of_user.items()}}


def test_a_past_does_not_depend_on_how_many_rows_the_experiment_made():
    wrong = 0
    for seed in range(100):
        table = finer_sessions(seed=seed)
        past = {"watch": Ratio("old_clicks", "old_views")}
        found = ab_test(table, **COLUMNS, metrics=["watch"], covariates=past).comparison("watch")
        wrong += found.p_value < 0.05
    assert wrong <= stats.binom.ppf(0.999, 100, 0.05)
    first = np.unique(table["user"], return_index=True)[1]
    whole = {name: values[first] for name, values in table.items()}
    whole["watch"] = np.bincount(table["user"], table["watch"])
    one = ab_test(whole, **COLUMNS, metrics=["watch"], covariates=past).comparison("watch")
    assert (found.difference, found.reduction) == pytest.approx((one.difference, one.reduction))
    # Without a denominator the past of a unit is the number itself, as of a column.
    pair = [
        ab_test(table, **COLUMNS, metrics=["watch"], covariates={"watch": past}).comparison("watch")
        for past in ("old_clicks", Ratio("old_clicks"))
    ]
    assert pair[0].p_value == pytest.approx(pair[1].p_value)


@pytest.mark.parametrize("unknown", [["old_clicks"], ["old_views"], ["old_clicks", "old_views"]])
def test_a_past_that_is_known_in_part_is_unknown(unknown):
    table = finer_sessions()
    for name in ("old_clicks", "old_views"):
        table[name] = np.where(table["user"] % 3, table[name], np.nan)
    metrics, past = ["watch"], {"watch": Ratio("old_clicks", "old_views")}
    expected = ab_test(table, **COLUMNS, metrics=metrics, covariates=past)
    for name in {"old_clicks", "old_views"} - {*unknown}:
        table[name] = np.where(table["user"] % 3, table[name], 9.0)
    found = ab_test(table, **COLUMNS, metrics=metrics, covariates=past)
    assert found.to_dict() == expected.to_dict()


# Sequential tests.


def test_the_sequential_test_keeps_its_level_under_peeking_where_the_fixed_one_does_not():
    rng = np.random.default_rng(0)
    treated = rng.random((1000, 2000)) < 0.5
    looks = sequential.look_at_each(
        rng.exponential(1.0, treated.shape), treated, planned_units=2000
    )
    wrong = (np.abs(looks.difference) > looks.half_width).any(axis=1)
    assert wrong.mean() <= 0.05
    assert (wrong == (looks.p_value[:, -1] < 0.05)).all()
    with np.errstate(invalid="ignore"):
        z = np.abs(looks.difference / looks.standard_error)
    peeked = (z[:, 200:] > 1.96).any(axis=1)
    assert peeked.mean() > 0.2
    assert (z[:, -1] > 1.96).mean() == pytest.approx(0.05, abs=0.025)


def test_the_sequential_test_finds_effects_before_the_planned_end():
    rng = np.random.default_rng(1)
    treated = rng.random((300, 2000)) < 0.5
    looks = sequential.look_at_each(rng.normal(0.2 * treated, 1.0), treated, planned_units=2000)
    found = looks.p_value[:, -1] < 0.05
    assert found.mean() > 0.9
    assert np.median(np.argmax(looks.p_value < 0.05, axis=1)[found]) < 1600


def test_its_p_value_and_interval_agree_and_no_width_is_much_better_at_the_planned_size():
    for units in (300, 1000, 5000):
        width = sequential.half_width(2.0, units, 1000)
        assert sequential.always_valid_p(width, 2.0, units, 1000) == pytest.approx(0.05)
    at_plan = sequential.half_width(1.0, 1000, 1000)
    others = [sequential.half_width(1.0, 1000, planned) for planned in range(300, 3000, 10)]
    assert at_plan <= min(others) * 1.001
    assert sequential.half_width(1.0, 1000, 2000) < 1.02 * at_plan


@pytest.mark.parametrize("alpha", [0.001, 0.3, 0.6, 0.87, 0.9, 0.999])
def test_the_width_is_near_the_least_at_the_planned_size_for_each_alpha(alpha):
    at_plan = sequential.half_width(1.0, 1000, 1000, alpha=alpha)
    plans = np.geomspace(200, 20_000, 400)
    others = [sequential.half_width(1.0, 1000, planned, alpha=alpha) for planned in plans]
    assert at_plan <= min(others) * 1.01
    assert sequential.always_valid_p(at_plan, 1.0, 1000, 1000, alpha=alpha) == pytest.approx(alpha)


def test_a_planned_test_of_a_high_level_has_an_interval():
    options = {"metrics": ["spend"], "planned_units": 1000, "alpha": 0.95, "power": 0.99}
    found = ab_test(experiment(1000), **COLUMNS, **options).comparison("spend")
    assert found.low < found.difference < found.high < math.inf and 0 <= found.p_value <= 1


def test_a_table_is_tested_sequentially_as_its_units_are():
    table = experiment(1000, effect=0.2)
    found = ab_test(table, **COLUMNS, metrics=["spend"], planned_units=1500).comparison("spend")
    looks = sequential.look_at_each(table["spend"], table["arm"] == "b", planned_units=1500)
    assert found.difference == pytest.approx(looks.difference[-1])
    assert found.high - found.difference == pytest.approx(looks.half_width[-1])
    early = ab_test(experiment(150, effect=9.0), **COLUMNS, metrics=["spend"], planned_units=1500)
    assert early.comparison("spend").verdict == "can't tell"
    assert early.comparison("spend").high == math.inf
    json.dumps(early.to_dict(), allow_nan=False)


# Power.


def test_the_check_of_sizes_finds_lost_units_and_seldom_errs():
    rng = np.random.default_rng(0)

    def found(share):
        counts = rng.binomial(20_000, share, 300)
        return np.mean([sample_ratio({"a": int(n), "b": 20_000 - int(n)}).broken for n in counts])

    assert found(0.5) <= 0.01
    lost = 0.5 - 0.02
    expected = stats.norm.sf(stats.norm.isf(0.0005) - 0.02 / np.sqrt(0.25 / 20_000))
    assert found(lost) == pytest.approx(expected, abs=0.08) and expected > 0.95


def test_the_units_that_are_needed_find_the_effect_as_often_as_asked():
    units = power.units_needed(0.3, stddev=2.0**0.5, share=0.5)
    hits = sum(
        ab_test(experiment(units, effect=0.3, seed=s), **COLUMNS, metrics=["spend"])
        .comparison("spend")
        .p_value
        < 0.05
        for s in range(300)
    )
    assert hits / 300 == pytest.approx(0.8, abs=0.08)


def test_a_comparison_says_how_many_units_an_effect_needs():
    found = ab_test(experiment(4000), **COLUMNS, metrics=["spend"]).comparison("spend")
    needed = found.units_needed(found.detectable)
    assert needed == pytest.approx(4000, rel=0.001)
    assert found.units_needed(found.detectable / 2) == pytest.approx(4 * needed, rel=0.001)


@pytest.mark.parametrize("seeds", [3, 5, 10, 50])
def test_the_power_of_seeds_is_that_of_noncentral_t(seeds):
    bound, shift = stats.t.ppf(0.975, seeds - 1), 0.8 * math.sqrt(seeds)
    reference = stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)
    assert power.paired_power(seeds, 0.8, stddev=1.0) == pytest.approx(reference, abs=1e-5)


def test_seeds_needed_are_the_fewest_with_the_power():
    seeds = power.seeds_needed(0.7, stddev=1.0)
    assert power.paired_power(seeds, 0.7, stddev=1.0) >= 0.8
    assert power.paired_power(seeds - 1, 0.7, stddev=1.0) < 0.8
    with pytest.raises(InvalidArgumentError, match="large enough"):
        power.seeds_needed(1e-6, stddev=1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: power.detectable_effect(-1.0),
        lambda: power.units_needed(0.0, stddev=1.0),
        lambda: power.units_needed(1.0, stddev=0.0),
        lambda: power.units_needed(1.0, stddev=1.0, share=1.0),
        lambda: power.units_needed(1.0, stddev=1.0, power=0.01),
        lambda: power.seeds_needed(math.nan, stddev=1.0),
        lambda: sequential.check_plan(10, 0.05),
        lambda: sequential.look_at_each(np.ones(3), np.ones(2, bool), planned_units=500),
        lambda: sample_ratio({"a": 5, "b": 5}, {"a": 1}),
        lambda: sample_ratio({"a": 5, "b": 5}, {"a": 1, "b": 0}),
        lambda: sample_ratio({"a": 0, "b": 0}),
    ],
)
def test_arguments_out_of_range_are_refused(call):
    with pytest.raises(InvalidArgumentError, match="Received"):
        call()


# Verdicts.


def test_verdicts_are_of_corrected_p_values_and_know_what_is_better():
    table = experiment(2000, effect=0.5)
    table["noise"] = np.random.default_rng(9).normal(size=2000)
    found = ab_test(table, **COLUMNS, metrics=["spend", "noise"])
    assert found.comparison("spend").verdict == "helps"
    assert found.comparison("noise").verdict == "can't tell"
    assert found.comparison("spend").corrected == pytest.approx(
        2 * found.comparison("spend").p_value
    )
    cost = ab_test(table, **COLUMNS, metrics=["spend"], lower_is_better=["spend"])
    assert cost.verdict.startswith("b: hurts spend (+10.")
    assert "| helps" in str(found) and "sample ratio: fits" in str(found)


def test_without_an_effect_few_of_many_comparisons_are_called():
    called = 0
    for seed in range(200):
        table = experiment(400, arms=("a", "b", "c"), seed=seed)
        table["noise"] = np.random.default_rng([1, seed]).normal(size=400)
        found = ab_test(table, **COLUMNS, metrics=["spend", "noise"])
        called += any(c.verdict != "can't tell" for c in found.comparisons)
    assert called <= stats.binom.ppf(0.999, 200, 0.05)


def test_a_broken_ratio_overrules_all():
    table = experiment(4000, effect=1.0)
    keep = (table["arm"] == "a") | (np.arange(4000) % 5 > 0)
    table = {name: values[keep] for name, values in table.items()}
    found = ab_test(table, **COLUMNS, metrics=["spend"])
    assert found.sample_ratio.broken and found.comparison("spend").verdict == "can't tell"
    assert found.verdict.startswith("can't tell: the arms' sizes") and "BROKEN" in str(found)
    planned = ab_test(table, **COLUMNS, metrics=["spend"], shares={"a": 1.0, "b": 0.8})
    assert planned.comparison("spend").verdict == "helps"


def test_several_arms_are_each_compared_with_the_control(tmp_path):
    table = experiment(3000, effect=0.3, arms=("b", "a", "c"))
    found = ab_test(table, **COLUMNS, metrics=["spend"])
    assert [c.arm for c in found.comparisons] == ["b", "c"]
    assert found.comparison("spend", "b").verdict == "hurts"
    assert found.comparison("spend", "c").verdict == "helps"
    with pytest.raises(InvalidArgumentError, match="must name one comparison"):
        found.comparison("spend")
    path = tmp_path / "found.png"
    found.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["control"] == "a"


def test_a_data_frame_and_bytes_and_words_are_read_alike():
    pandas = pytest.importorskip("pandas")
    table = experiment(300)
    first = ab_test(table, **COLUMNS, metrics=["spend"])
    frame = pandas.DataFrame(table | {"user": [f"u{i}" for i in table["user"]]})
    assert ab_test(frame, **COLUMNS, metrics=["spend"]).to_dict() == first.to_dict()
    coded = table | {"arm": table["arm"].astype("S")}
    assert ab_test(coded, **COLUMNS, metrics=["spend"]).to_dict() == first.to_dict()


def test_the_order_of_rows_does_not_matter():
    table = sessions()
    order = np.random.default_rng(0).permutation(len(table["user"]))
    mixed = {name: values[order] for name, values in table.items()}
    metrics = {"ctr": Ratio("clicks", "views")}
    one, two = (ab_test(t, **COLUMNS, metrics=metrics).comparison("ctr") for t in (table, mixed))
    assert one.p_value == pytest.approx(two.p_value, rel=1e-9)


# What is wrong with a table.


def test_a_constant_metric_is_not_tested_nor_corrected_for(tmp_path):
    table = experiment(400, effect=1.0)
    table["one"] = np.full(400, 0.1)
    table["arm_itself"] = (table["arm"] == "b").astype(float)
    found = ab_test(table, **COLUMNS, metrics=["one", "arm_itself", "spend"])
    for name in ("one", "arm_itself"):
        assert found.comparison(name).verdict == "can't tell"
        assert math.isnan(found.comparison(name).low)
    spend = found.comparison("spend")
    assert spend.corrected == spend.p_value
    assert "nothing can be tested: one, arm_itself" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    found.plot(tmp_path / "constant.png")


def test_missing_numbers_are_refused_with_column_and_count():
    table = experiment(100)
    table["spend"][[3, 7]] = np.nan
    with pytest.raises(DataError, match="'spend' .* 2 of 100 rows .* rows 3, 7.* all arms alike"):
        ab_test(table, **COLUMNS, metrics=["spend"])


@pytest.mark.parametrize("table", [None, 3, [{"user": 1}]])
def test_what_is_no_table_is_refused(table):
    with pytest.raises(InvalidArgumentError, match="must be a mapping .* or a DataFrame. Received"):
        ab_test(table, **COLUMNS, metrics=["spend"])


def test_units_in_two_arms_are_refused_with_count_and_examples():
    table = experiment(100)
    table["user"][5] = table["user"][np.flatnonzero(table["arm"] != table["arm"][5])[0]]
    moved = table["user"][5]
    with pytest.raises(DataError, match=rf"1 of 99 units of 'user' in several, such as {moved}"):
        ab_test(table, **COLUMNS, metrics=["spend"])


def test_one_unit_is_too_few():
    table = {"user": [0, 0, 1, 2], "arm": ["b", "b", "a", "a"], "x": [1.0, 2.0, 3.0, 4.0]}
    with pytest.raises(DataError, match="at least two units. Received: 1 in 'b'"):
        ab_test(table, **COLUMNS, metrics=["x"])


def test_repeated_rows_are_refused_where_rows_have_ids():
    table = experiment(100)
    table["row"] = np.minimum(np.arange(100), 97)
    with pytest.raises(DataError, match="2 repeated rows, such as of 97"):
        ab_test(table, **COLUMNS, metrics=["spend"], row_id="row")


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"metrics": ["spent"]}, UnknownFeatureError, "Did you mean 'spend'"),
        ({}, {"control": "z"}, InvalidArgumentError, "must be an arm"),
        ({}, {"metrics": "spend"}, InvalidArgumentError, "names of columns"),
        ({}, {"metrics": []}, InvalidArgumentError, "names of columns"),
        ({}, {"covariates": {"other": "before"}}, InvalidArgumentError, "`covariates`"),
        ({}, {"lower_is_better": "spend"}, InvalidArgumentError, "`lower_is_better`"),
        ({}, {"alpha": 0.0}, InvalidArgumentError, "`alpha`"),
        ({}, {"planned_units": 1}, InvalidArgumentError, "`planned_units`"),
        ({"arm": ["a"] * 100}, {}, DataError, "two arms or more"),
        ({"arm": [None] * 3 + ["a"] * 97}, {}, DataError, "3 of 100 rows without"),
        ({"spend": ["x"] * 100}, {}, DataError, "must hold numbers"),
        ({"spend": np.ones(99)}, {}, DataError, "one number a row"),
        ({"user": np.arange(99)}, {}, DataError, "one length"),
        ({"user": [], "arm": []}, {}, DataError, "must have rows"),
        (
            {"user": np.arange(100) // 2, "arm": np.repeat(["a", "b"], 50)},
            {"covariates": {"spend": "before"}},
            DataError,
            "several values of 'before' in 50 units",
        ),
        (
            {"zero": np.zeros(100)},
            {"metrics": {"r": Ratio("spend", "zero")}},
            DataError,
            "must not sum to 0",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(change, options, error, message):
    with pytest.raises(error, match=message):
        ab_test(experiment(100) | change, **({**COLUMNS, "metrics": ["spend"]} | options))
