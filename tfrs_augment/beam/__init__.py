"""The Apache Beam job: TFRecords in, augmented TFRecords and a manifest out.

The unit of work is a file, or every k-th block of one, never a record: a worker reads blocks, augments their
columns by one TensorFlow function and writes its shard beside its final place.
"""

from tfrs_augment.beam.balance import Balance
from tfrs_augment.beam.fit import fit
from tfrs_augment.beam.guard import DriftGuard
from tfrs_augment.beam.job import JobReport, run
from tfrs_augment.beam.statistics import DataStatistics, FeatureStatistics, inspect
from tfrs_augment.beam.transforms import (
    AugmentExamples,
    CleanExamples,
    ReadExamples,
    Rejected,
    WriteExamples,
    infer_schema,
)
from tfrs_augment.beam.validation import Finding, validate
from tfrs_augment.beam.verification import Verification, verify
from tfrs_augment.beam.windows import SlidingWindow

__all__ = [
    "AugmentExamples",
    "Balance",
    "CleanExamples",
    "DataStatistics",
    "DriftGuard",
    "FeatureStatistics",
    "Finding",
    "JobReport",
    "ReadExamples",
    "Rejected",
    "SlidingWindow",
    "Verification",
    "WriteExamples",
    "fit",
    "infer_schema",
    "inspect",
    "run",
    "validate",
    "verify",
]
