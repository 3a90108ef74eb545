"""`fit`: the statistics that a policy's ops ask for, learnt from TFRecord files in a Beam pass."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable, Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from tfrs_augment.beam import files
from tfrs_augment.beam.cleaning.units import LearnedCleaning
from tfrs_augment.beam.pipelines import check_complete, pipeline_options, run_pipeline
from tfrs_augment.beam.sequences import EXAMPLE
from tfrs_augment.beam.units import SummarizeUnit, Unit, peek, plan
from tfrs_augment.fitting import Fitter
from tfrs_augment.ops import FittedState, Requirement
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema


def fit(
    policy: AugmentationPolicy,
    *,
    input: str | Sequence[str],
    output: str,
    input_compression: str = "auto",
    schema: Schema | None = None,
    payload: str = EXAMPLE,
    overwrite: bool = False,
    beam_args: Sequence[str] = (),
) -> FittedState:
    """Fits the statistics that a policy's ops ask for on TFRecords, and writes them to a file.

    `run` does the same in a pass of its own where they are not given; a file of them lets many runs, and the
    model, use the statistics of the same data.

    Args:
      policy: the policy. Statistics that it has already are fitted anew.
      input: a path or a glob, or several; on any file system that Beam knows.
      output: the file to write, JSON.
      input_compression: "none", "gzip", or "auto" (by the name: .gz is gzip).
      schema: the features' kinds; by default read off the first records.
      payload: what the records are, "example" or "sequence_example".
      overwrite: whether a file that is there may be replaced.
      beam_args: Beam's own options.

    Returns:
      The statistics, for `policy.with_fitted`.

    Raises:
      UnknownFeatureError: the policy names a feature that the input does not have.
      DataError: the input is missing, cannot be read, or holds no value of a feature.
      OutputError: the output is there already, or cannot be written.
    """
    inputs = files.find_inputs(
        [input] if isinstance(input, str) else list(input), input_compression
    )
    if schema is None:
        schema = peek(inputs, {*policy.features, *policy.key_features}, payload)
    policy.check(schema)
    # Written beside the final place and renamed: half a file must not read as statistics.
    staged = f"{output}{files.STAGING}{uuid.uuid4().hex[:12]}"
    with files.prepare_file(output, staged, overwrite):
        state = FittedState({})
        if requirements := policy.requirements():
            state = fit_units(
                policy.with_fitted(None),
                requirements,
                schema,
                plan(inputs, None),
                staged,
                pipeline_options(beam_args),
                payload,
            )
        state.save(staged)
    return state


def fit_units(
    policy: AugmentationPolicy,
    missing: Sequence[Requirement],
    schema: Schema,
    units: Sequence[Unit],
    path: str,
    options: PipelineOptions,
    payload: str = EXAMPLE,
    cleaning: LearnedCleaning | None = None,
) -> FittedState:
    """Fits the statistics that are missing, in a pipeline of its own that leaves them in a file.

    Returns:
      The statistics that the policy has, and those that were missing.
    """
    run_pipeline(
        options,
        lambda p: (
            p
            | "Units" >> beam.Create([(unit.shard, unit) for unit in units])
            | "Spread" >> beam.GroupByKey()
            | "Summarize"
            >> beam.ParDo(SummarizeUnit(policy, missing, dict(schema.kinds), payload, cleaning))
            | "Merge" >> beam.CombinePerKey(functools.partial(_merge, missing))
            | "Save" >> beam.MapTuple(functools.partial(_save, path, len(units)))
        ),
    )
    if not FileSystems.exists(path):
        check_complete(0, len(units))
    held = policy.fitted.arrays if policy.fitted is not None else {}
    return FittedState({**held, **FittedState.load(path).arrays})


def _save(path: str, units: int, _: int, fitter: Fitter) -> None:
    check_complete(fitter.parts, units)
    fitter.state().save(path)


def _merge(requirements: Sequence[Requirement], fitters: Iterable[Fitter]) -> Fitter:
    total = Fitter(requirements)
    for fitter in fitters:
        total.merge(fitter)
    return total
