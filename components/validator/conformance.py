"""Schema conformance and drift, by TensorFlow Data Validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, path_pb2, schema_pb2, statistics_pb2

from tfrs_augment import drift
from tfrs_augment.beam.blocks import WEIGHT
from tfrs_augment.beam.synthetic import JOB_FEATURES
from tfrs_augment.components.validator.findings import Finding, Thresholds

_DRIFT = (anomalies_pb2.AnomalyInfo.COMPARATOR_L_INFTY_HIGH,)
_QUANTILES = statistics_pb2.Histogram.QUANTILES


def check(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    sources: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    schema: schema_pb2.Schema | None,
    thresholds: Thresholds,
) -> Iterator[Finding]:
    """Judges augmented splits by a schema, and by the statistics of the same splits before.

    Args:
      statistics: of each augmented split, by its name.
      sources: of the same splits before augmentation.
      schema: of the rows before augmentation; None infers it from them.
      thresholds: the bounds.

    Yields:
      A finding for each feature.
    """
    for split, augmented in statistics.items():
        rules = schema_pb2.Schema()
        rules.CopyFrom(tfdv.infer_schema(sources[split]) if schema is None else schema)
        _prepare(rules, thresholds, sources[split])
        found = tfdv.validate_statistics(augmented, rules, previous_statistics=sources[split])
        yield from _conformance(found, rules, split)
        yield from _text_drift(found, thresholds, split)
        yield from _number_drift(augmented, sources[split], thresholds, split)


def _prepare(
    rules: schema_pb2.Schema,
    thresholds: Thresholds,
    source: statistics_pb2.DatasetFeatureStatisticsList,
) -> None:
    """Adds to a schema what is to be measured, and what ops may write in place of a value."""
    for domain in rules.string_domain:
        _allow(domain, thresholds.unknown_values)
    empty = {_name(f.path) for f in source.datasets[0].features if not _common(f).tot_num_values}
    for feature in rules.feature:
        if feature.HasField("string_domain"):
            _allow(feature.string_domain, thresholds.unknown_values)
        feature.ClearField("drift_comparator")
        bound = thresholds.drift_of(feature.name)
        # Without a single value before there is nothing to compare with.
        if bound is None or feature.name in empty:
            continue
        if feature.type == schema_pb2.BYTES:
            feature.drift_comparator.infinity_norm.threshold = bound


def _allow(domain: schema_pb2.StringDomain, values: Sequence[str]) -> None:
    domain.value.extend(value for value in values if value not in domain.value)


def _conformance(
    found: anomalies_pb2.Anomalies, rules: schema_pb2.Schema, split: str
) -> Iterator[Finding]:
    """A refusal for each anomaly that is an error, and one line for the features without any."""
    ours = {*JOB_FEATURES, WEIGHT} - {feature.name for feature in rules.feature}
    refused = 0
    for anomaly in found.anomaly_info.values():
        reasons = [reason for reason in anomaly.reason if reason.type not in _DRIFT]
        name = _name(anomaly.path)
        if not reasons or name in ours or anomaly.severity != anomalies_pb2.AnomalyInfo.ERROR:
            continue
        refused += 1
        note = " ".join(f"{r.short_description}: {r.description}" for r in reasons)
        yield Finding("schema", f"'{name}' ({split})", len(reasons), 0, False, note)
    if not refused:
        count = len(rules.feature)
        yield Finding.judged("schema", f"{count} features ({split})", 0, 0, "rules that are broken")


def _text_drift(
    found: anomalies_pb2.Anomalies, thresholds: Thresholds, split: str
) -> Iterator[Finding]:
    note = "largest difference of the share of a value"
    for info in found.drift_skew_info:
        name = _name(info.path)
        for measurement in info.drift_measurements:
            bound = thresholds.drift_of(name)
            yield Finding.judged("drift", f"'{name}' ({split})", measurement.value, bound, note)


def _number_drift(
    augmented: statistics_pb2.DatasetFeatureStatisticsList,
    source: statistics_pb2.DatasetFeatureStatisticsList,
    thresholds: Thresholds,
    split: str,
) -> Iterator[Finding]:
    """Kolmogorov-Smirnov, by quantiles.

    TensorFlow Data Validation's own measure of numbers compares histograms of equal widths, in which one
    far value, such as a masked one of 0 among years, moves all others into another bucket.
    """
    before, after = (
        {_name(f.path): f for f in given.datasets[0].features} for given in (source, augmented)
    )
    note = "largest difference of the share of values below any number (Kolmogorov-Smirnov)"
    for name, feature in before.items():
        bound = thresholds.drift_of(name)
        parts = [_quantiles(found) for found in (feature, after.get(name)) if found is not None]
        if bound is not None and len(parts) == 2 and all(len(ends) for ends, _ in parts):
            value = _largest_gap(*parts)
            yield Finding.judged("drift", f"'{name}' ({split})", value, bound, note)


def _quantiles(feature: statistics_pb2.FeatureNameStatistics) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a feature's buckets `[n + 1]`, and the share below each; empty but for numbers."""
    for histogram in feature.num_stats.histograms:
        if histogram.type == _QUANTILES and histogram.buckets:
            buckets = histogram.buckets
            ends = np.array([buckets[0].low_value, *(b.high_value for b in buckets)])
            counts = np.cumsum([0.0, *(b.sample_count for b in buckets)])
            return ends, counts / counts[-1]
    return np.empty(0), np.empty(0)


def _largest_gap(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """The largest difference of two distributions of which quantiles are known.

    Buckets without width are values that many rows have: there a distribution is looked at from below and
    from above.
    """
    points = np.union1d(first[0], second[0])
    below, above = (
        [_share(points, *part, side) for part in (first, second)] for side in ("left", "right")
    )
    return max(drift.largest_gap(*below), drift.largest_gap(*above))


def _share(points: np.ndarray, ends: np.ndarray, shares: np.ndarray, side: str) -> np.ndarray:
    """The share of values below each point, or up to it for the side "right"."""
    between = np.interp(points, ends, shares)
    place = np.searchsorted(ends, points, side)
    known = np.isin(points, ends)
    at = place if side == "left" else place - 1
    return np.where(known, shares[np.clip(at, 0, len(shares) - 1)], between)


def _name(path: path_pb2.Path) -> str:
    return ".".join(path.step)


def _common(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    return getattr(feature, feature.WhichOneof("stats")).common_stats
