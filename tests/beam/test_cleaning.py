"""Cleaning in the job: what each rule finds and does, and that neither files nor order nor workers matter."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tfrs_augment import cli
from tfrs_augment.beam import cleaning as c
from tfrs_augment.beam.cleaning import passes as cleaning_passes
from tfrs_augment.errors import DataError, InvalidArgumentError, OutputError, UnknownFeatureError

POLICY = aug.AugmentationPolicy([aug.ops.IdDropout("item", rate=0.5)], key_features=("user", "t"))
PLAIN = {"user": [b"u"], "item": [b"i"], "t": [0], "age": [20.0], "kind": [b"a"]}


def row(**features) -> dict:
    """A row with some features of its own; None leaves one out."""
    return {name: v for name, v in {**PLAIN, **features}.items() if v is not None}


def run(folder: pathlib.Path, source: list[dict], rules, **arguments):
    """Cleans rows, and returns the report and the rows that were kept, in order."""
    rows.write(folder / "in.tfrecord", [rows.example(**features) for features in source])
    report = aug.beam.run(
        POLICY,
        input=str(folder / "in.tfrecord"),
        output=str(folder / "out"),
        cleaning=c.Cleaning(rules),
        progress=False,
        **{"copies": 0, **arguments},
    )
    return report, [rows.values(record) for record in rows.read(folder / "out")]


def rejected(report) -> list[dict]:
    lines = []
    for name in report.manifest["rejected_files"]:
        lines += (pathlib.Path(report.output) / name).read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_adds_up(report) -> None:
    counts, cleaning = report.counts, report.manifest["cleaning"]
    reasons = [entry["reason"] for entry in rejected(report)]
    assert counts["read"] == counts["kept"] + counts["rejected"]
    assert counts["rejected"] == len(reasons)
    for name, entry in cleaning.items():
        named = sum(reason.startswith(f"cleaning rule '{name}': ") for reason in reasons)
        assert named == (entry["found"] if entry["action"] == "drop" else 0)


def found(report) -> list[int]:
    return [entry["found"] for entry in report.manifest["cleaning"].values()]


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


EVERY_RULE = [
    c.RangeOutliers("age", low=-50, high=200),
    c.ExactDuplicates(),
    c.OutsideDomain("kind", min_count=5),
    c.NearDuplicates(("user", "item"), number="t", tolerance=150),
    c.BotUsers("user", timestamp="t", max_events=8, window=500),
    c.MissingFill("age", by="mean", group="kind"),
    c.MissingFill("kind", by="mode"),
    c.IqrOutliers("age", factor=1.0, action="clip"),
    c.Required(("item",)),
]


@pytest.fixture(scope="module")
def dirty() -> list[bytes]:
    """Rows that every rule finds some of."""
    rng = np.random.default_rng(8)
    n = 4000
    users, items = rng.integers(0, 300, n) ** 2 // 300, rng.integers(0, 20, n)
    ages = rng.normal(40, 20, n).round(3)
    source = []
    for i in range(n):
        kind = b"typo%d" % i if i % 50 == 0 else b"k%d" % (i % 3)
        source.append(
            row(
                user=[b"u%d" % users[i]],
                item=[b"i%d" % items[i]] if i % 97 else None,
                t=[int(rng.integers(0, 20000))],
                age=None if i % 31 == 0 else [float(ages[i]) if i % 83 else 1e9],
                kind=None if i % 41 == 0 else [kind],
            )
        )
    source += source[:100]
    return [rows.example(**features) for features in source]


@pytest.fixture(scope="module")
def cleaned(dirty, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cleaned")
    rows.write(folder / "in.tfrecord", dirty)
    return clean(folder / "in.tfrecord", folder / "out")


def clean(source, output, **arguments):
    """The report, the rows and the reasons of a run with every rule."""
    report = aug.beam.run(
        POLICY,
        input=str(source),
        output=str(output),
        cleaning=c.Cleaning(EVERY_RULE),
        progress=False,
        **arguments,
    )
    reasons = sorted(entry["reason"] for entry in rejected(report))
    return report, rows.counted(output), reasons


def test_every_rule_finds_something_and_counts_add_up(cleaned):
    report, _, _ = cleaned
    assert all(count > 10 for count in found(report)), found(report)
    assert_adds_up(report)
    assert c.Cleaning.from_config(report.manifest["cleaning_rules"]).rules == tuple(EVERY_RULE)


@pytest.mark.parametrize("shards", [1, 7])
def test_files_and_their_order_do_not_matter(dirty, cleaned, tmp_path, shards, monkeypatch):
    # Small partitions and many messages, as of large data.
    monkeypatch.setattr("tfrs_augment.beam.cleaning.passes.BYTES_A_PARTITION", 50_000)
    monkeypatch.setattr("tfrs_augment.beam.cleaning.passes._FLUSH", 500)
    order = np.random.default_rng(shards).permutation(len(dirty))
    for number, part in enumerate(np.split(order, [17, 17, 2000])):
        kind = "GZIP" if number % 2 else ""
        suffix = ".gz" if number % 2 else ""
        name = f"{9 - number}.tfrecord{suffix}"
        rows.write(tmp_path / "in" / name, [dirty[i] for i in part], kind)
    again, kept, reasons = clean(
        tmp_path / "in" / "*", tmp_path / "out", num_shards=shards, compression="none"
    )
    report, expected, expected_reasons = cleaned
    assert kept == expected
    assert reasons == expected_reasons
    assert again.manifest["cleaning"] == report.manifest["cleaning"]


@pytest.mark.slow
def test_two_worker_processes_clean_alike(dirty, cleaned, tmp_path):
    rows.write(tmp_path / "in.tfrecord", dirty)
    beam_args = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    _, kept, reasons = clean(
        tmp_path / "in.tfrecord", tmp_path / "out", num_shards=3, beam_args=beam_args
    )
    assert (kept, reasons) == cleaned[1:]


def test_a_runner_that_loses_work_is_found_out(dirty, tmp_path, monkeypatch):
    rows.write(tmp_path / "in.tfrecord", dirty)
    sent = cleaning_passes.SurveyUnit._sent

    def lose_an_array(self, rule, shard, arrays, ledger):
        outputs = list(sent(self, rule, shard, arrays, ledger))
        yield from outputs[1:] if (rule, shard) == (3, 0) else outputs

    monkeypatch.setattr(cleaning_passes.SurveyUnit, "_sent", lose_an_array)
    with pytest.raises(OutputError, match="the runner did 0 of 1 units of work"):
        clean(tmp_path / "in.tfrecord", tmp_path / "out", num_shards=2)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_records_in_another_encoding_and_of_another_kind(tmp_path):
    plain = rows.example(**row(t=[1]))
    split = rows.example(age=[20.0]) + rows.example(**row(t=[2], age=None))
    wrong = rows.example(**row(t=[3], age=[b"old"]))
    rows.write(tmp_path / "in.tfrecord", [plain] * 5 + [split, wrong])
    report = aug.beam.run(
        POLICY,
        input=str(tmp_path / "in.tfrecord"),
        output=str(tmp_path / "out"),
        cleaning=c.Cleaning([c.RangeOutliers("age", low=0)]),
        progress=False,
    )
    assert report.counts["slow_path"] == 1 and report.counts["kept"] == 6
    assert "'age' must be of kind float. Received: bytes" in rejected(report)[0]["reason"]


def test_no_row_left_is_an_error_that_gives_a_reason(tmp_path):
    with pytest.raises(DataError, match="no usable record.*'range_outliers:age'.*outside"):
        run(tmp_path, [row(), row(t=[1])], [c.RangeOutliers("age", high=3)])


def test_a_statistic_of_nothing_is_an_error(tmp_path):
    source = [row(t=[i], age=[-1.0]) for i in range(5)]
    with pytest.raises(DataError, match="MissingFill 'age': the mean cannot be told"):
        run(tmp_path, source, [c.MissingFill("age", by="mean", missing_values=(-1,))])


def test_passes_are_shared_where_rules_see_the_same_rows():
    fill, clip = c.MissingFill("a", by="mean"), c.IqrOutliers("b", action="clip")
    drop, given = c.IqrOutliers("c"), c.RangeOutliers("b", low=0, action="clip")

    def passes(*rules):
        cleaning, known, found = c.Cleaning(rules), set(), []
        while numbers := cleaning.next_pass(known):
            known.update(numbers)
            found.append(numbers)
        return found

    assert passes(fill, clip, drop, fill) == [[0, 1, 2], [3]]
    assert passes(fill, given, clip) == [[0], [2]]
    assert passes(fill, clip, c.ExactDuplicates()) == [[0, 1], [2]]
    assert passes(c.MissingFill("b", by="median", group="a"), fill) == [[0, 1]]
    assert passes(fill, c.MissingFill("b", by="median", group="a")) == [[0], [1]]
    assert passes(given, c.Required("a")) == []


def test_json(tmp_path):
    cleaning = c.Cleaning([*EVERY_RULE, c.OutsideDomain("n", values=(1, 2)), EVERY_RULE[1]])
    cleaning.save(tmp_path / "cleaning.json")
    assert c.Cleaning.load(tmp_path / "cleaning.json") == cleaning
    assert cleaning.rules[-1].id == "exact_duplicates#2"
    assert c.Cleaning.from_config(
        {"format_version": 1, "rules": [{"rule": "ExactDuplicates"}]}
    ) == (c.Cleaning(c.ExactDuplicates()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"format_version": 2}', "`format_version` must be from 1 to 1. Received: 2"),
        ('{"format_version": 1, "rule": []}', "Unknown field 'rule'.*Did you mean 'rules'"),
        ('{"format_version": 1, "rules": []}', "at least one rule"),
        ('{"format_version": 1, "rules": ["x"]}', r"rules\[0\] must be an object"),
        (
            '{"format_version": 1, "rules": [{"rule": "RangeOutlier"}]}',
            r"rules\[0\]: there is no rule 'RangeOutlier'. Did you mean 'RangeOutliers'",
        ),
        (
            '{"format_version": 1, "rules": [{"rule": "Required", "require": "x"}]}',
            "unknown argument 'require'. Did you mean 'required'",
        ),
        (
            '{"format_version": 1, "rules": [{"rule": "BotUsers", "user": "u", "timestamp": "t"}]}',
            "the argument 'max_events' is missing",
        ),
        (
            '{"format_version": 1, "rules": [{"rule": "IqrOutliers", "feature": "x", "factor": -1}]}',
            r"rules\[0\]: `factor` must be a number above 0. Received: factor=-1 \(IqrOutliers 'x'",
        ),
    ],
)
def test_bad_json(text, message):
    with pytest.raises(InvalidArgumentError, match=message):
        c.Cleaning.from_json(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: c.Cleaning(["x"]), "`rules` must hold rules"),
        (lambda: c.RangeOutliers("a"), "`low` or `high` must be given"),
        (lambda: c.RangeOutliers("a", low=2, high=1), "`low` must be at most `high`, 1"),
        (lambda: c.RangeOutliers("a", low=float("nan")), "`low` must be a finite number"),
        (lambda: c.RangeOutliers("a", low=0, action="fill"), '`action` must be "drop" or "clip"'),
        (lambda: c.RangeOutliers(("a", "b"), low=0), "`feature` must name a feature"),
        (lambda: c.IqrOutliers("a", scale="ln"), '`scale` must be "linear" or "log"'),
        (lambda: c.IqrOutliers("a", factor=True), "`factor` must be a number above 0"),
        (lambda: c.OutsideDomain("a"), "`values` or `min_count` must be given, and not both"),
        (lambda: c.OutsideDomain("a", values=("x", 1)), "`values` must be strings, or integers"),
        (lambda: c.OutsideDomain("a", values=()), "`values` must be strings, or integers"),
        (lambda: c.OutsideDomain("a", min_count=0), "`min_count` must be an integer of at least 1"),
        (lambda: c.OutsideDomain("a", min_count=2, action="fill"), "`fill_value` must be given"),
        (lambda: c.NearDuplicates(()), "`key_features` must name at least one"),
        (
            lambda: c.NearDuplicates("a", number="t", tolerance=-1),
            "`tolerance` must be a number of",
        ),
        (lambda: c.NearDuplicates("a", tolerance=1), "`tolerance` needs `number`"),
        (
            lambda: c.BotUsers("u", timestamp="t", max_events=1.5, window=1),
            "`max_events` must be an",
        ),
        (
            lambda: c.BotUsers("u", timestamp="t", max_events=1, window=0),
            "`window` must be a number",
        ),
        (lambda: c.BotUsers("u", timestamp="", max_events=1, window=1), "`timestamp` must name"),
        (lambda: c.MissingFill("a", by="means"), "`by` must be a way to fill; Did you mean 'mean'"),
        (lambda: c.MissingFill("a", by="constant"), "`value` must be given where by is"),
        (lambda: c.MissingFill("a", by="constant", value=1, group="b"), "`group` must be left out"),
        (lambda: c.MissingFill("a", by="mean", group="a"), "`group` must be another feature"),
        (lambda: c.Required(()), "`required` must name at least one"),
        (lambda: c.ExactDuplicates(id=3), "`id` must be a string"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (c.RangeOutliers("agee", low=0), UnknownFeatureError, "'agee'. Did you mean 'age'"),
        (c.RangeOutliers("kind", low=0), DataError, "takes float or int64 features"),
        (c.RangeOutliers("t", low=0.2, high=0.8), InvalidArgumentError, "must hold an integer"),
        (c.OutsideDomain("kind", values=(1,)), InvalidArgumentError, "of kind bytes"),
        (c.OutsideDomain("age", values=(1,)), DataError, "takes bytes or int64 features"),
        (c.MissingFill("kind", by="mean"), DataError, "Use by='mode'"),
        (c.MissingFill("kind", by="constant", value="\udcff"), InvalidArgumentError, "in UTF-8"),
        (c.MissingFill("t", by="constant", value=0.5), InvalidArgumentError, "of kind int64"),
        (c.MissingFill("t", by="mean", group="age"), DataError, "takes bytes or int64"),
    ],
)
def test_rules_that_do_not_fit_the_data_are_refused_before_anything_is_written(
    tmp_path, rule, error, message
):
    with pytest.raises(error, match=message):
        run(tmp_path, [row()], [rule])
    assert not (tmp_path / "out").exists()


def test_run_takes_a_cleaning_only(tmp_path):
    rows.write(tmp_path / "in.tfrecord", rows.records(3))
    for arguments in ({"cleaning": [c.ExactDuplicates()]}, {"payload": "sequence_example"}):
        with pytest.raises(InvalidArgumentError, match="`cleaning` must be"):
            aug.beam.run(
                rows.POLICY,
                input=str(tmp_path / "in.tfrecord"),
                output=str(tmp_path / "out"),
                **{"cleaning": c.Cleaning(c.ExactDuplicates()), **arguments},
            )


def test_command_line(tmp_path, capsys):
    POLICY.save(tmp_path / "policy.json")
    source = rows.write(tmp_path / "in.tfrecord", [rows.example(**row())] * 3)
    options = [
        "--policy",
        tmp_path / "policy.json",
        "--input",
        source,
        "--output",
        tmp_path / "out",
    ]
    command = ["run", *map(str, options), "--quiet", "--cleaning", str(tmp_path / "cleaning.json")]
    assert cli.main(command) == 2
    assert "The cleaning file" in capsys.readouterr().err
    c.Cleaning(c.ExactDuplicates()).save(tmp_path / "cleaning.json")
    assert cli.main(command) == 0
    assert "3 records read, 1 kept, 1 made, 2 rejected" in capsys.readouterr().out
