"""Cleaning in the job: what each rule finds and does, and that neither files nor order nor workers matter."""

from __future__ import annotations

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.cleaning_job import assert_adds_up, found, rejected, row, run
from tfrs_augment.beam import cleaning as c


def test_dropped_rows_are_neither_written_nor_augmented_and_changed_ones_have_new_values(tmp_path):
    source = [row(t=[i], age=[float(i)]) for i in range(10)]
    rules = [c.RangeOutliers("age", high=7), c.RangeOutliers("age", low=3, action="clip")]
    report, kept = run(tmp_path, source, rules, copies=2)
    assert report.counts["kept"] == 8 and report.counts["made"] == 16
    assert sorted({(v["t"][0], v["age"][0]) for v in kept}) == [
        (i, float(max(i, 3))) for i in range(8)
    ]
    assert report.manifest["cleaning"] == {
        "range_outliers:age": {"found": 2, "action": "drop"},
        "range_outliers:age#2": {"found": 3, "action": "clip"},
    }
    entries = rejected(report)
    starts = rows.frame_starts([rows.example(**features) for features in source])
    assert [entry["offset"] for entry in entries] == [starts[8], starts[9]]
    assert [entry["length"] for entry in entries] == [starts[9] - starts[8], starts[10] - starts[9]]
    assert entries[1]["reason"] == (
        "cleaning rule 'range_outliers:age': 'age' is outside [None, 7]: [9.0]"
    )
    assert_adds_up(report)


def test_rows_that_no_rule_finds_pass_byte_for_byte(tmp_path):
    source = [row(t=[i]) for i in range(20)]
    rules = [
        c.ExactDuplicates(),
        c.IqrOutliers("t"),
        c.MissingFill("age", by="mean"),
        c.Required("t"),
    ]
    run(tmp_path, source, rules)
    assert rows.read(tmp_path / "out") == [rows.example(**features) for features in source]


def test_exact_duplicates_leave_one(tmp_path):
    source = [row(t=[i % 7], age=[float(i % 3)]) for i in range(42)]
    report, kept = run(tmp_path, source, [c.ExactDuplicates()], num_shards=2)
    assert found(report) == [21]
    assert sorted((v["t"][0], v["age"][0]) for v in kept) == [
        (t, a) for t in range(7) for a in (0.0, 1.0, 2.0)
    ]
    assert_adds_up(report)


def test_near_duplicates_against_the_definition(tmp_path):
    rng = np.random.default_rng(2)
    source = [
        row(user=[b"u%d" % u], item=[b"i%d" % i], t=[int(t)], age=[float(a)])
        for u, i, t, a in zip(*rng.integers(0, [[5], [3], [400], [9]], (4, 500)))
    ]
    report, kept = run(
        tmp_path, source, [c.NearDuplicates(("user", "item"), number="t", tolerance=10)]
    )
    by_key: dict = {}
    for features in source:
        by_key.setdefault((features["user"][0], features["item"][0]), []).append(features["t"][0])
    expected = []
    for key, times in by_key.items():
        last = -1000
        for t in sorted(times):
            if t - last > 10:
                expected.append((*key, t))
                last = t
    assert sorted((v["user"][0], v["item"][0], v["t"][0]) for v in kept) == sorted(expected)
    assert found(report) == [500 - len(expected)] and len(expected) < 400
    assert_adds_up(report)


def test_near_duplicates_of_floats_of_keys_alone_and_of_rows_without_the_number(tmp_path):
    source = [row(t=[i], age=[a]) for i, a in enumerate((1.0, 1.5, 2.25, float("nan")))]
    source += [row(t=[9], age=None), row(t=[10], age=[1.0, 1.0])]
    report, _ = run(tmp_path, source, [c.NearDuplicates("user", number="age", tolerance=0.5)])
    assert found(report) == [1]
    report, kept = run(tmp_path, source, [c.NearDuplicates(("user", "age"))], overwrite=True)
    assert found(report) == [0]
    report, kept = run(tmp_path, source, [c.NearDuplicates(("kind",))], overwrite=True)
    assert found(report) == [5] and len(kept) == 1


def test_range_of_integers_and_of_rows_with_several_values(tmp_path):
    source = [row(t=[i], n=n) for i, n in enumerate(([-5, 2], [], [1], [7, 8], [2**62]))]
    report, kept = run(tmp_path, source, [c.RangeOutliers("n", low=-0.5, high=7.5, action="clip")])
    assert [v["n"] for v in kept] == [[0, 2], [], [1], [7, 7], [7]] and found(report) == [3]


def test_clipped_floats_lie_within_the_range(tmp_path):
    # 0.1 as float32 is above 0.1.
    rules = [c.RangeOutliers("age", high=0.1, action="clip"), c.RangeOutliers("age", high=0.1)]
    report, kept = run(tmp_path, [row(age=[float("inf")]), row(age=[-1.0])], rules)
    assert found(report) == [1, 0] and 0.0999999 < kept[0]["age"][0] <= 0.1


@pytest.mark.parametrize("action", ["drop", "clip"])
def test_iqr(tmp_path, action):
    numbers = np.array([*range(100), 1000, -1000], float)
    source = [row(t=[i], age=[a]) for i, a in enumerate([*numbers, float("nan")])]
    rules = [c.IqrOutliers("age", action=action), c.Required("age")]
    report, kept = run(tmp_path, source, rules)
    low, high = np.quantile(numbers, [0.25, 0.75])
    low, high = low - 1.5 * (high - low), high + 1.5 * (high - low)
    entry = report.manifest["cleaning"]["iqr_outliers:age"]
    assert entry == {"found": 2, "action": action, "low": low, "high": high}
    ages = [v["age"][0] for v in kept]
    ends = [] if action == "drop" else [high, low]
    assert ages == pytest.approx([*range(100), *ends])
    assert_adds_up(report)


def test_iqr_of_logarithms(tmp_path):
    prices = [*(2.0 ** np.arange(-4, 5)), 2.0**20, 2.0**-20, 0.0]
    source = [row(t=[i], age=[price]) for i, price in enumerate(prices)]
    report, kept = run(tmp_path, source, [c.IqrOutliers("age", factor=1.0, scale="log")])
    low, high = np.quantile(prices[:-1], [0.25, 0.75])
    entry = report.manifest["cleaning"]["iqr_outliers:age"]
    assert entry["low"] == pytest.approx(low * low / high)
    assert entry["high"] == pytest.approx(high * high / low)
    assert [v["age"][0] for v in kept] == prices[:9] and found(report) == [3]


def test_iqr_finds_nothing_where_the_quartiles_are_equal(tmp_path):
    source = [row(t=[i], age=[float(i == 0)]) for i in range(50)]
    report, kept = run(tmp_path, source, [c.IqrOutliers("age")])
    assert len(kept) == 50
    assert report.manifest["cleaning"]["iqr_outliers:age"]["low"] is None


def test_domain(tmp_path):
    kinds = [[b"a"], [b"b", b"x"], [b"x"], None, [b"a", b"b"], [b"b"], [b"a"]]
    source = [row(t=[i], kind=kind) for i, kind in enumerate(kinds)]
    report, kept = run(tmp_path, source, [c.OutsideDomain("kind", values=("a", "b"))])
    assert [v["t"][0] for v in kept] == [0, 3, 4, 5, 6] and found(report) == [2]
    fill = {"action": "fill", "fill_value": "[UNK]"}
    for rule in (
        c.OutsideDomain("kind", values=("a", "b", "[UNK]"), **fill),
        c.OutsideDomain("kind", min_count=3, **fill),
    ):
        report, kept = run(tmp_path, source, [rule], overwrite=True, num_shards=3)
        assert found(report) == [2]
        assert [v.get("kind") for v in kept][1:3] == [[b"b", b"[UNK]"], [b"[UNK]"]]
    source = [row(t=[i], n=[i // 2]) for i in range(5)]
    report, kept = run(tmp_path, source, [c.OutsideDomain("n", min_count=2)], overwrite=True)
    assert [v["n"][0] for v in kept] == [0, 0, 1, 1]
    assert_adds_up(report)


def test_bots_against_the_definition(tmp_path):
    rng = np.random.default_rng(4)
    source = [
        row(user=[b"u%d" % (u * u // 40)], t=[int(t)])
        for u, t in rng.integers(0, [40, 3000], (800, 2))
    ]
    report, kept = run(
        tmp_path,
        source,
        [c.BotUsers("user", timestamp="t", max_events=5, window=100)],
        num_shards=2,
    )
    times: dict = {}
    for features in source:
        times.setdefault(features["user"][0], []).append(features["t"][0])
    bots = {
        user
        for user, seen in times.items()
        if any(sum(start <= t < start + 100 for t in seen) > 5 for start in seen)
    }
    assert 0 < len(bots) < len(times)
    assert {v["user"][0] for v in kept} == set(times) - bots
    assert found(report) == [sum(len(times[user]) for user in bots)]
    assert_adds_up(report)


def test_rows_of_a_bot_without_a_time_go_with_it_and_are_no_events(tmp_path):
    source = [row(user=[b"bot"], s=[i / 8]) for i in range(3)] + [row(user=[b"bot"], s=None)] * 2
    source += [row(user=[b"slow"], s=[i / 2]) for i in range(3)] + [row(user=[b"slow"], s=None)] * 5
    rule = c.BotUsers("user", timestamp="s", max_events=2, window=0.5)
    report, kept = run(tmp_path, source, [rule])
    assert found(report) == [5] and {v["user"][0] for v in kept} == {b"slow"}


@pytest.mark.parametrize(
    ("rule", "fills"),
    [
        (c.MissingFill("age", by="mean"), [2.5, 2.5, 2.5]),
        (c.MissingFill("age", by="median"), [1.0, 1.0, 1.0]),
        (c.MissingFill("age", by="mode"), [1.0, 1.0, 1.0]),
        (c.MissingFill("age", by="constant", value=7), [7.0, 7.0, 7.0]),
        (c.MissingFill("age", by="mean", group="kind"), [4.0, 1.0, 2.5]),
        (c.MissingFill("age", by="median", group="kind"), [4.0, 1.0, 1.0]),
        (c.MissingFill("age", by="mean", group="n"), [2.5, 2.5, 2.5]),
        (c.MissingFill("n", by="mean"), [5, 5, 5]),
        (c.MissingFill("n", by="median", group="kind"), [4, 6, 6]),
        (c.MissingFill("n", by="mode"), [6, 6, 6]),
        (c.MissingFill("n", by="constant", value=-1), [-1, -1, -1]),
        (c.MissingFill("s", by="mode"), [b"x", b"x", b"x"]),
        (c.MissingFill("s", by="mode", group="kind"), [b"x", b"y", b"x"]),
        (c.MissingFill("s", by="constant", value="\u00e9"), [b"\xc3\xa9"] * 3),
    ],
)
def test_missing_values_are_filled(tmp_path, rule, fills):
    known = [(b"a", 1.0, 1, b"x"), (b"a", 7.0, 7, b"x"), (b"b", 1.0, 6, b"y"), (b"b", 1.0, 6, b"y")]
    source = [row(t=[i], kind=[k], age=[a], n=[n], s=[s]) for i, (k, a, n, s) in enumerate(known)]
    source += [
        row(t=[4], kind=[b"a"], age=None),
        row(t=[5], kind=[b"b"], age=[float("nan")], n=[], s=None),
        row(t=[6], kind=None, age=None),
    ]
    report, kept = run(tmp_path, source, [rule])
    assert [v[rule.feature] for v in kept[-3:]] == [[fill] for fill in fills]
    assert found(report) == [3]
    assert report.manifest["cleaning"][rule.id]["action"] == "fill"


def test_values_that_stand_for_a_missing_one_and_nan_among_others(tmp_path):
    source = [row(t=[i], age=[a]) for i, a in enumerate((-1.0, 4.0, 6.0))]
    source += [row(t=[3], age=[8.0, float("nan"), -1.0]), row(t=[4], kind=[b""])]
    rules = [
        c.MissingFill("age", by="mean", missing_values=(-1,)),
        c.MissingFill("kind", by="mode", missing_values=("",)),
    ]
    report, kept = run(tmp_path, source, rules)
    mean = np.float32((4 + 6 + 8 + 20) / 4)
    assert [v["age"] for v in kept] == [[mean], [4.0], [6.0], [8.0, mean, mean], [20.0]]
    assert [v["kind"] for v in kept] == [[b"a"]] * 5 and found(report) == [2, 1]


def test_rules_see_what_the_ones_before_have_left(tmp_path):
    # The outlier is gone before the mean is taken; the filled row is a duplicate then.
    source = [row(age=[a]) for a in (1.0, 3.0, 2.0, 1e9, float("nan"))]
    rules = [
        c.RangeOutliers("age", high=120),
        c.MissingFill("age", by="mean"),
        c.ExactDuplicates(),
    ]
    report, kept = run(tmp_path, source, rules)
    assert [v["age"] for v in kept] == [[1.0], [3.0], [2.0]] and found(report) == [1, 1, 1]
    assert_adds_up(report)


def test_what_cannot_be_repaired_is_rejected(tmp_path):
    source = [row(), row(user=None), row(age=[float("inf")]), row(item=None), row(t=None)]
    report, kept = run(tmp_path, source, [c.Required(("user", "item", "age"))])
    assert len(kept) == 1
    reasons = [entry["reason"] for entry in rejected(report)]
    assert reasons[:3] == [
        f"cleaning rule 'required:user,item,age': '{name}' is missing or no number"
        for name in ("user", "age", "item")
    ]
    assert "key feature 't' must have one value" in reasons[3]


def test_statistics_of_the_policy_are_those_of_the_cleaned_rows(tmp_path):
    policy = aug.AugmentationPolicy(
        [aug.ops.GaussianNoise("age", stddev=0.1, unit="stddev")], key_features=("t",)
    )
    source = [rows.example(**row(t=[i], age=[float(i % 4)])) for i in range(40)]
    dirty = [rows.example(**row(t=[-1], age=[1e6])), *source]
    rules = c.Cleaning([c.RangeOutliers("age", high=100)])
    for name, records, cleaning in (("clean", source, None), ("dirty", dirty, rules)):
        rows.write(tmp_path / f"{name}.tfrecord", records)
        aug.beam.run(
            policy,
            input=str(tmp_path / f"{name}.tfrecord"),
            output=str(tmp_path / name),
            cleaning=cleaning,
            progress=False,
        )
    assert rows.counted(tmp_path / "dirty") == rows.counted(tmp_path / "clean")
