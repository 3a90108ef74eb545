"""Augmented rows by TensorFlow Data Validation: what its schema of the source finds, and skew.

Data Validation comes with TFX and with nothing else; this is the only module outside `components` that knows
it, and it imports it on use.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Mapping
from typing import Any

from tfrs_augment.datasets.interactions import Ragged
from tfrs_augment.evaluation.augmented.augmented_tables import Pair

_ANY = 0.0
"""The threshold of every comparator: all skews are wanted, not those beyond one alone."""


@dataclasses.dataclass(frozen=True)
class TfdvStatistics:
    """What TensorFlow Data Validation finds in augmented rows by the schema that it infers from the source.

    Attributes:
      version: of Data Validation.
      anomalies: by feature, what breaks the schema.
      skew: by feature: of text the largest difference of the share of a value (L-infinity), of numbers
        the Jensen-Shannon divergence of its histograms.
    """

    version: str
    anomalies: Mapping[str, str]
    skew: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)


def is_installed() -> bool:
    """Whether TensorFlow Data Validation can be imported."""
    return importlib.util.find_spec("tensorflow_data_validation") is not None


def measure_statistics(pair: Pair) -> TfdvStatistics:
    """Returns the anomalies and the skew of the augmented rows.

    Args:
      pair: the tables.

    Raises:
      ImportError: Data Validation is not installed; see `is_installed`.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

    before, after = (
        tfdv.generate_statistics_from_dataframe(_frame(table))
        for table in (pair.source, pair.augmented)
    )
    schema = tfdv.infer_schema(before)
    for feature in schema.feature:
        if feature.type == schema_pb2.BYTES:
            feature.skew_comparator.infinity_norm.threshold = _ANY
        else:
            feature.skew_comparator.jensen_shannon_divergence.threshold = _ANY
    found = tfdv.validate_statistics(after, schema, serving_statistics=before)
    skews = (
        anomalies_pb2.AnomalyInfo.COMPARATOR_L_INFTY_HIGH,
        anomalies_pb2.AnomalyInfo.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    )
    anomalies = {}
    for info in found.anomaly_info.values():
        reasons = [reason for reason in info.reason if reason.type not in skews]
        if reasons:
            said = (f"{r.short_description}: {r.description}".strip() for r in reasons)
            anomalies[".".join(info.path.step)] = " ".join(said)
    skew = {}
    for info in found.drift_skew_info:
        for measured in info.skew_measurements:
            if math.isfinite(measured.value):
                skew[".".join(info.path.step)] = float(measured.value)
    return TfdvStatistics(tfdv.__version__, anomalies, skew)


def _frame(table: Mapping[str, Any]):
    import pandas

    return pandas.DataFrame(
        {
            name: column.to_lists() if isinstance(column, Ragged) else column.tolist()
            for name, column in table.items()
        }
    )
