"""Summaries: right, and the same however the values are cut and merged."""

from __future__ import annotations

import fractions
import pickle
import statistics

import numpy as np
import pytest

from tfrs_augment import records
from tfrs_augment.beam.cleaning import summaries as s
from tfrs_augment.beam.cleaning.kernels import hash_payloads, hash_rows, hash_values
from tfrs_augment.errors import DataError


def merged(make, values, cuts, order):
    """One summary of all values, merged from parts in an order."""
    parts = []
    for part in np.split(values, cuts):
        summary = make()
        for block in np.array_split(part, 3):
            summary.add(block)
        parts.append(pickle.loads(pickle.dumps(summary)))
    total = make()
    for number in order:
        total.merge(parts[number])
    return total


@pytest.mark.parametrize("distinct", [30, 200_000])
def test_quantiles(distinct):
    rng = np.random.default_rng(1)
    values = rng.choice(rng.lognormal(2, 3, distinct) * rng.choice([-1, 1], distinct), 300_000)
    values[:7] = [0, -0.0, np.nan, np.inf, -np.inf, 1e300, 5e-324]
    one = merged(s.Quantiles, values, [], [0])
    other = merged(s.Quantiles, values, [5, 1000, 250_000], [3, 1, 0, 2])
    finite = values[np.isfinite(values)]
    for fraction in (0, 0.1, 0.25, 0.5, 0.75, 1):
        assert one.quantile(fraction) == other.quantile(fraction)
        expected = np.quantile(finite, fraction)
        tolerance = 0 if distinct == 30 else 2**-15
        assert abs(one.quantile(fraction) - expected) <= abs(expected) * (tolerance + 1e-15)
    assert one._rounded == (distinct > s.EXACT_VALUES)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_mean_is_exact(dtype):
    rng = np.random.default_rng(2)
    values = (rng.standard_normal(5000) * 10.0 ** rng.integers(-20, 18, 5000)).astype(dtype)
    if dtype == np.int64:
        values[:3] = [2**63 - 1, 2**63 - 1, -(2**63)]
    else:
        values[:4] = [np.float32(1e-45), np.finfo(np.float32).max, np.nan, np.inf]
    total = merged(s.ExactMean, values, [1, 7, 4000], [2, 0, 3, 1])
    finite = values[np.isfinite(values)].tolist()
    assert total.result() == float(statistics.mean(map(fractions.Fraction, finite)))


def test_mode_and_its_limits(monkeypatch):
    values = np.array([b"b", b"a", b"c", b"b", b"a"], object)
    assert merged(s.Mode, values, [2], [1, 0]).result() == b"a"
    monkeypatch.setattr(s, "MODE_VALUES", 2)
    with pytest.raises(DataError, match="at most 2 distinct values"):
        merged(s.Mode, values, [2], [1, 0])


def test_groups(monkeypatch):
    whole, parts = s.Grouped(s.ExactMean), s.Grouped(s.ExactMean)
    values, groups = np.arange(6, dtype=np.int64), np.array([0, 1, -1, 0, 1, 1])
    whole.add(values, groups, [b"x", b"y"])
    for cut in (slice(4, 6), slice(0, 4)):
        part = s.Grouped(s.ExactMean)
        part.add(
            values[cut], 1 - groups[cut] * (groups[cut] >= 0) - 2 * (groups[cut] < 0), [b"y", b"x"]
        )
        parts.merge(part)
    for summary in (whole, parts):
        assert summary.result() == 2.5
        assert dict(summary.groups()) == {b"x": 1.5, b"y": 10 / 3}
    monkeypatch.setattr(s, "GROUPS", 1)
    with pytest.raises(DataError, match="at most 1 distinct values"):
        parts.merge(whole)


def test_hashes_tell_values_lists_and_records_apart():
    lists = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [], [b""], [b"", b""], [b"x" * 8], [b"x" * 9]]
    column = records.Column.from_rows(records.BYTES, [*lists, *lists])
    hashes = hash_rows([column])
    assert len(np.unique(hashes, axis=0)) == len(lists) == len(np.unique(hashes[:, 0]))
    np.testing.assert_array_equal(hashes[: len(lists)], hashes[len(lists) :])
    other = records.Column.from_rows(records.INT64, [[k] for k in range(16)])
    both = hash_rows([column, other])
    assert len(np.unique(both[:, 0])) == len(np.unique(both[:, 1])) == 16
    floats = hash_values(records.Column.from_rows(records.FLOAT, [[0.0, -0.0, 1.0]]))
    assert (floats[0] == floats[1]).all() and (floats[0] != floats[2]).all()
    frames = records.Frames.from_payloads([b"", b"a", b"a", b"\0", b"a\0"])
    found = hash_payloads(frames.data, frames.offsets)
    assert len(np.unique(found, axis=0)) == 4 and (found[1] == found[2]).all()


def test_hashes_spread_evenly():
    column = records.Column.from_rows(records.INT64, [[k] for k in range(1 << 14)])
    hashes = hash_rows([column])
    for lane in (0, 1):
        assert len(np.unique(hashes[:, lane])) == 1 << 14
        parts = (hashes[:, lane] >> np.uint64(32)) % np.uint64(16)
        counts = np.bincount(parts.astype(np.int64), minlength=16)
        assert np.ptp(counts) < 6 * np.sqrt(1 << 10)
