"""The Apache Beam job: TFRecords in, augmented TFRecords and a manifest out.

The unit of work is a file, or every k-th block of one, never a record: a worker reads blocks, augments their
columns by one TensorFlow function and writes its shard beside its final place.
"""

from tfrs_augment.beam.balance import Balance
from tfrs_augment.beam.fit import fit
from tfrs_augment.beam.job import JobReport, run
from tfrs_augment.beam.transforms import (
    AugmentExamples,
    ReadExamples,
    Rejected,
    WriteExamples,
    infer_schema,
)

__all__ = [
    "AugmentExamples",
    "Balance",
    "JobReport",
    "ReadExamples",
    "Rejected",
    "WriteExamples",
    "fit",
    "infer_schema",
    "run",
]
