"""All rules together: the same rows whatever the files, the workers and the order."""

from __future__ import annotations

import numpy as np
import pytest

import tfrs_augment as aug
from tests.beam import rows
from tests.beam.cleaning_job import EVERY_RULE, POLICY, assert_adds_up, found, rejected, row, run
from tfrs_augment.beam import cleaning as c
from tfrs_augment.beam.cleaning import passes as cleaning_passes
from tfrs_augment.errors import DataError, OutputError


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
