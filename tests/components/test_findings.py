"""Thresholds, findings and the page: what the AugmentationValidator says, without a pipeline."""

from __future__ import annotations

import json
import math

import pytest

from tfrs_augment.components.validator.findings import Finding, Thresholds, page
from tfrs_augment.errors import InvalidArgumentError


def test_thresholds_go_through_text():
    thresholds = Thresholds.of({"max_drift": 0.1, "max_drift_of": {"age": 0.5}})
    assert Thresholds.of(thresholds.to_json()) == Thresholds.of(json.loads(thresholds.to_json()))
    assert thresholds.drift_of("age") == 0.5 and thresholds.drift_of("year") == 0.1
    assert Thresholds.of(None) == Thresholds()


@pytest.mark.parametrize("value", [-0.1, 1.5, "much", True, math.nan])
def test_thresholds_are_shares(value):
    with pytest.raises(InvalidArgumentError, match="`max_copies` must be in \\[0, 1\\], or None"):
        Thresholds(max_copies=value)


def test_threshold_of_none_leaves_a_check_out():
    assert Thresholds(max_drift=None, max_drift_of={"age": 0.2}).drift_of("year") is None


def test_number_up_to_its_bound_passes_and_nan_does_not():
    assert Finding.judged("drift", "'age'", 0.3, 0.3, "").passed is True
    assert Finding.judged("drift", "'age'", 0.31, 0.3, "").passed is False
    assert Finding.judged("drift", "'age'", math.nan, 0.3, "").passed is False


def test_refusal_names_the_feature_and_the_number():
    finding = Finding.judged("drift", "'age' (train)", 0.4123, 0.3, "largest difference")
    assert str(finding) == "drift, 'age' (train): 0.4123, at most 0.3: largest difference"
    assert str(Finding.left_out("labels", "no `label`")) == "labels: not checked, no `label`"
    json.dumps(Finding.left_out("labels", "").to_dict(), allow_nan=False)


def test_page_is_whole_escaped_and_begins_with_the_refusals():
    findings = [
        Finding.judged("drift", "'a'", 0.1, 0.3, "fine"),
        Finding.judged("drift", "'<b>'", 0.5, 0.3, "far"),
        Finding.left_out("labels", "no `label`"),
    ]
    text = page(findings, "Title <i>")
    assert "<b>" not in text and "&lt;b&gt;" in text and "<i>" not in text
    # Nothing is loaded: no address, no source, and a policy that forbids it.
    assert "http:" not in text and "https:" not in text and "src=" not in text
    assert "default-src &#x27;none&#x27;" in text
    assert text.index("REFUSED") < text.index("passed</td>") < text.index("not checked</td>")


@pytest.mark.tfx
def test_drift_of_numbers_is_that_of_kolmogorov_and_smirnov():
    import numpy as np
    from scipy import stats

    from tfrs_augment.components.validator.conformance import _largest_gap

    def quantiles(values):
        ends = np.quantile(values, np.linspace(0, 1, 101))
        return ends, np.linspace(0, 1, 101)

    rng = np.random.default_rng(0)
    years = rng.normal(1990, 8, 20_000).round()
    masked = np.where(rng.random(20_000) < 0.2, 0.0, years)
    for first, second in (
        (rng.normal(0, 1, 20_000), rng.normal(0.5, 1, 20_000)),
        (rng.normal(0, 1, 20_000), rng.normal(0, 3, 20_000)),
        (years, masked),
        (years, years),
        (years, np.zeros(20_000)),
    ):
        expected = stats.ks_2samp(first, second).statistic
        found = _largest_gap(quantiles(first), quantiles(second))
        assert found == pytest.approx(expected, abs=0.025)
