"""Rules as JSON, on the command line, and with arguments that do not fit."""

from __future__ import annotations

import pytest

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.cleaning_job import EVERY_RULE, POLICY, row, run
from tfrs_augment import cli
from tfrs_augment.beam import cleaning as c
from tfrs_augment.errors import DataError, InvalidArgumentError, UnknownFeatureError


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
