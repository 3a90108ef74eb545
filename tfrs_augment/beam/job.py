"""`run`: one policy over TFRecord files, as a Beam pipeline."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam

from tfrs_augment.beam import files, sources, synthetic, tables
from tfrs_augment.beam.adaptation import Start
from tfrs_augment.beam.balance import Balance
from tfrs_augment.beam.blocks import WEIGHT
from tfrs_augment.beam.cleaning import Cleaning
from tfrs_augment.beam.cleaning.passes import learn
from tfrs_augment.beam.fit import fit_units
from tfrs_augment.beam.guard import DriftGuard
from tfrs_augment.beam.pipelines import check_complete, pipeline_options, run_pipeline
from tfrs_augment.beam.progress import Progress
from tfrs_augment.beam.publishing import JobReport, Publish
from tfrs_augment.beam.sequences import EXAMPLE, PAYLOADS
from tfrs_augment.beam.units import AugmentUnit, Job, peek, plan
from tfrs_augment.errors import AugmentError, InvalidArgumentError
from tfrs_augment.ops import IdDropout, Requirement
from tfrs_augment.ops.embedding import instead
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis.base import Synthesizer


def run(
    policy: AugmentationPolicy | None = None,
    *,
    input: str | Sequence[str],
    output: str,
    input_format: str = "tfrecord",
    payload: str = EXAMPLE,
    copies: int = 1,
    include_originals: bool = True,
    compression: str = "auto",
    input_compression: str = "auto",
    num_shards: int | None = None,
    seed: int | None = None,
    item_features: Sequence[str] | None = None,
    cleaning: Cleaning | None = None,
    balance: Balance | None = None,
    drift: DriftGuard | None = None,
    synthesizer: Synthesizer | str | os.PathLike[str] | None = None,
    num_synthetic: int | None = None,
    synthetic_weight: float = 1.0,
    conditions: Mapping[str, Any] | None = None,
    provenance: bool = True,
    schema: Schema | None = None,
    tfds_data_dir: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    beam_args: Sequence[str] = (),
) -> JobReport:
    """Writes augmented copies of rows, and synthesized rows, as TFRecords of tf.train.Example.

    The augmentation of a row depends on its key features and the copy's number alone, so the same rows come
    out whatever the files, their order, the runner and the number of workers. Synthesized rows are those of
    `synthesizer.sample(num_synthetic, conditions=conditions, seed=seed)`, whoever makes them.

    Output files: `augmented-*.tfrecord[.gz]`, the shards; `manifest.json`, written last (a folder without it
    is no result); `item_counts.json`, how often each item occurs in what was written, for
    `candidate_sampling_probability`; `rejected-*.jsonl`, a line a record that could not be used with its
    file, offset (in a table: row) and reason; `fitted.json`, the fitted statistics of the policy, if any.

    Args:
      policy: the policy. Statistics that its ops ask for and that are not fitted are fitted on the input, in
        a pass of their own. None makes no copies, and takes a `synthesizer`.
      input: a path or a glob, or several; on any file system that Beam knows. For "tfds" the name of a data
        set, NAME[/CONFIG][:VERSION][/SPLIT], of the split "train" where none is named.
      input_format: "tfrecord"; "csv" (.tsv with tabs) or "parquet", which a pipeline of its own first
        writes as TFRecords into the output's staging folder; or "tfds".
      payload: what TFRecords hold, "example" or "sequence_example", which takes a slower path; see
        `AugmentExamples`.
      output: the folder to write to; made where it is not there.
      copies: augmented rows a source row; their draw numbers are 0 to copies - 1.
      include_originals: whether the source rows are written too, byte for byte.
      compression: of the output: "none", "gzip" (level 1), or "auto" (gzip if any input is).
      input_compression: "none", "gzip", or "auto" (by the name: .gz is gzip).
      num_shards: the number of output files; by default one an input file.
      seed: takes the place of the policy's, which is also that of the synthesized rows; 0 without either.
      item_features: the features whose values are counted in item_counts.json; by default those of the
        policy's IdDropout ops, and the item ids of a synthesizer of interactions.
      balance: gives rows of rare items or classes more copies than others; `copies` is then the mean.
        Default: all alike.
      drift: compares the rows with those of an earlier job, and adapts the policy where they have drifted.
        That is a pass more, in which missing statistics are fitted too. It writes `drift.json` (the distance
        of each column, and what was decided), `statistics.json` (for the next job's `reference`) and, where
        the policy is no longer the one given, `adapted_policy.json`. Default: nothing is compared.
      cleaning: rules that are applied to the rows before; see `aug.beam.cleaning`. A row that one drops is
        written to rejected-*.jsonl, neither as an original nor augmented; one that is changed is written as
        an original with its new values. The manifest counts what each rule has found.
      synthesizer: a fitted synthesizer or its file, whose rows are written behind the records of the
        shards. Its columns must be features of the records; other features are left out of its rows. The
        policy is not applied to them.
      num_synthetic: how many rows, at least 1.
      synthetic_weight: their `sample_weight`, 0 or more. A column `sample_weight` is multiplied by it.
      conditions: that they meet, as of `Synthesizer.sample`.
      provenance: whether augmented rows get `aug/parent_key`, `aug/draw`, `aug/policy` and `sample_weight`
        (1.0 where the source has none), and synthesized ones `aug/synthesizer` (the fingerprint of the
        synthesizer), `aug/draw` (the row's place among them, from 0) and `sample_weight`.
      schema: the features' kinds; by default read off the first records. For tables it may name some
        columns alone, such as ids that look like numbers and are to stay text.
      tfds_data_dir: where TensorFlow Datasets keeps prepared data; None is its default.
      overwrite: whether a result in `output` may be replaced.
      progress: whether progress is shown on stderr.
      beam_args: Beam's own options, such as ["--runner=FlinkRunner", "--flink_master=host:8081"]. Without a
        runner the job runs in this process.

    Returns:
      The report, once the job is done.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: the policy names a feature that the input does not have.
      DataError: the input is missing, cannot be read, or holds no usable record.
      OutputError: the output holds a result, or cannot be written.

    Example:
      report = aug.beam.run(policy, input="in/*.tfrecord.gz", output="out", copies=2)
    """
    if policy is None:
        _check_without_policy(synthesizer, copies, balance, drift)
        policy, copies = AugmentationPolicy([]), 0
    if seed is not None:
        policy = dataclasses.replace(policy, seed=seed)
    start = Start.of(drift, policy) if drift is not None else None
    policy = start.policy if start is not None else policy
    keep = include_originals or synthesizer is not None
    check_arguments(policy, copies, keep, num_shards)
    if payload not in PAYLOADS or (payload != EXAMPLE and input_format != "tfrecord"):
        raise InvalidArgumentError(
            f"`payload` must be one of {PAYLOADS}, and the first with other inputs than TFRecords. "
            f"Received: payload={payload!r}, input_format={input_format!r}."
        )
    _check_cleaning(cleaning, payload)
    synthesis, blocks = None, ()
    if synthesizer is not None:
        if payload != EXAMPLE:
            raise InvalidArgumentError(
                f"`synthesizer` takes payload {EXAMPLE!r}. Received: payload={payload!r}."
            )
        synthesizer = synthetic.load(synthesizer)
        synthesis = synthetic.Synthesis.of(
            synthesizer,
            num_synthetic,
            seed=policy.seed,
            conditions=conditions,
            weight=synthetic_weight,
            provenance=provenance,
        )
        blocks = synthesizer.blocks(num_synthetic, conditions=conditions)
    elif num_synthetic is not None or conditions is not None or synthetic_weight != 1:
        raise InvalidArgumentError(
            "`num_synthetic`, `synthetic_weight` and `conditions` go with a `synthesizer`. Received: "
            f"num_synthetic={num_synthetic}, conditions={conditions}, synthesizer=None."
        )
    for name, value in (("compression", compression), ("input_compression", input_compression)):
        if value not in ("auto", "none", "gzip"):
            raise InvalidArgumentError(
                f'`{name}` must be "auto", "none" or "gzip". Received: {name}={value!r}.'
            )
    inputs = sources.find_inputs(input, input_format, input_compression, tfds_data_dir)
    if compression == "auto":
        compression = "gzip" if any(file.compression == "gzip" for file in inputs) else "none"
    notes: Mapping[str, str] = {}
    if input_format in tables.FORMATS:
        schema, notes = sources.table_schema(inputs, input_format, schema)
    elif schema is None:
        wanted = {*policy.features, *policy.key_features, *(cleaning.features if cleaning else ())}
        wanted |= set(synthesis.kinds if synthesis else ())
        wanted |= set(drift.columns or () if drift is not None else ())
        schema = peek(inputs, wanted, payload)
    sources.check(policy, schema, notes)
    if cleaning is not None:
        cleaning.check(schema)
    if synthesis is not None:
        synthesis = synthesis.checked(schema)
    if start is not None:
        start.sketches(schema)
    if balance is not None:
        _check_balance(balance, schema, copies, provenance)
    counted = functools.partial(_item_features, item_features, synthesis, balance, schema)
    counted(policy)
    staging = files.prepare_output(output, inputs, overwrite)
    options = pipeline_options(beam_args)
    started = time.time()
    try:
        if input_format in tables.FORMATS:
            inputs = sources.convert(inputs, input_format, schema.kinds, staging, options)
        units = plan(inputs, num_shards)
        with Progress(staging, len(units), enabled=progress):
            learned = None
            if cleaning is not None:
                learned = learn(
                    cleaning, schema.kinds, units, staging, functools.partial(run_pipeline, options)
                )

            def fit(policy, requirements):
                path = files.join(staging, f"fitted-{uuid.uuid4().hex[:12]}")
                return fit_units(
                    policy, requirements, schema, units, path, options, payload, learned
                )

            adaptation = None
            if start is not None:
                policy, adaptation = start.adapted(schema, fit, [file.path for file in inputs])
                _check_adapted(policy, schema, copies, keep)
            if requirements := _requirements(policy, balance):
                policy = policy.with_fitted(fit(policy, requirements))
            if synthesis is not None:
                synthesis = synthesis.staged(synthesizer, staging)
                shares = synthetic.spread(blocks, len(units))
                units = [
                    dataclasses.replace(unit, blocks=share)
                    for unit, share in zip(units, shares, strict=True)
                ]
            job = Job(
                policy=policy,
                kinds=dict(schema.kinds),
                output=output,
                staging=staging,
                copies=copies,
                include_originals=include_originals,
                compression=compression,
                item_features=counted(policy),
                provenance=provenance,
                balance=balance,
                units=len(units),
                started=started,
                payload=payload,
                cleaning=learned,
                synthesis=synthesis,
                adaptation=adaptation,
            )
            run_pipeline(
                options,
                lambda p: (
                    p
                    | "Units" >> beam.Create([(unit.shard, unit) for unit in units])
                    | "Spread" >> beam.GroupByKey()
                    | "Augment" >> beam.ParDo(AugmentUnit(job))
                    | "Collect" >> beam.GroupByKey()
                    | "Publish" >> beam.ParDo(Publish(job))
                ),
            )
    except BaseException:
        files.discard(staging)
        raise
    manifest = files.read_manifest(output)
    if manifest is None:
        check_complete(0, len(units))
    return JobReport(output, manifest)


def _check_without_policy(
    synthesizer, copies: int, balance: Balance | None, drift: DriftGuard | None
) -> None:
    if synthesizer is None or copies not in (0, 1) or balance is not None or drift is not None:
        raise InvalidArgumentError(
            "Without a `policy` a job makes no copies, watches no drift, and must have a `synthesizer`. "
            f"Received: synthesizer={synthesizer!r}, copies={copies}, balance={balance!r}, drift={drift!r}."
        )


def _check_adapted(
    policy: AugmentationPolicy, schema: Schema, copies: int, include_originals: bool
) -> None:
    try:
        check_arguments(policy, copies, include_originals)
        policy.check(schema)
    except AugmentError as error:
        raise InvalidArgumentError(
            f"`adapt` of `drift` returned a policy that the job does not take: {error}"
        ) from error


def _item_features(
    given: Sequence[str] | None,
    synthesis: synthetic.Synthesis | None,
    balance: Balance | None,
    schema: Schema,
    policy: AugmentationPolicy,
) -> tuple[str, ...]:
    """The features whose values are counted, checked; see `run`."""
    names = list(given or ())
    if given is None:
        parts = [part for op in policy.ops for part in op.parts()]
        names += [op.feature for op in parts if isinstance(op, IdDropout)]
        if synthesis is not None and synthesis.item_feature is not None:
            names.append(synthesis.item_feature)
    for name in names:
        schema.require(name, ("bytes", "int64"), "`item_features`")
    return tuple(dict.fromkeys((*names, *([balance.feature] if balance else []))))


def _requirements(policy: AugmentationPolicy, balance: Balance | None) -> list[Requirement]:
    """The statistics that the job asks for and that are not fitted."""
    missing = list(policy.missing_requirements())
    held = policy.fitted.arrays if policy.fitted is not None else {}
    if balance is not None and balance.requirement not in held:
        missing.append(balance.requirement)
    return missing


def _check_cleaning(cleaning: Cleaning | None, payload: str) -> None:
    if cleaning is not None and (not isinstance(cleaning, Cleaning) or payload != EXAMPLE):
        raise InvalidArgumentError(
            '`cleaning` must be an aug.beam.cleaning.Cleaning, and payload "example". '
            f"Received: cleaning={cleaning!r}, payload={payload!r}."
        )


def _check_balance(balance: Balance, schema: Schema, copies: int, provenance: bool) -> None:
    schema.require(balance.feature, ("bytes", "int64"), "`balance`")
    if copies > balance.max_copies:
        raise InvalidArgumentError(
            "`max_copies` of `balance` must be at least `copies`. "
            f"Received: max_copies={balance.max_copies}, copies={copies}."
        )
    weight_kind = schema.kinds.get(WEIGHT, "float")
    if balance.keep_expectation and not (provenance and weight_kind == "float"):
        raise InvalidArgumentError(
            f"`balance` with keep_expectation writes `{WEIGHT}`, which needs provenance on and no feature of "
            f"that name of another kind. Received: provenance={provenance}, {WEIGHT} of kind {weight_kind}."
        )


def check_arguments(policy, copies, include_originals, num_shards=None) -> None:
    """Checks what the job and `AugmentExamples` both ask of a policy and the number of copies."""
    if not isinstance(policy, AugmentationPolicy):
        hint = getattr(
            policy, "training_only", "Read a file with aug.AugmentationPolicy.load(path)."
        )
        raise InvalidArgumentError(
            f"`policy` must be an AugmentationPolicy. Received: {policy!r}. {hint}"
        )
    if not policy.key_features and (policy.ops or copies):
        raise InvalidArgumentError(
            "`policy` must have key_features, since a record has no place in a batch to draw by. "
            "Name some, such as ('user_id', 'item_id', 'timestamp')."
        )
    for op in policy.ops:
        if op.stage != "feature":
            raise InvalidArgumentError(
                f"`policy`: a job takes ops of stage 'feature'. Received: {op} of stage "
                f"'{op.stage}'. {instead(op)}"
            )
    if not isinstance(copies, int) or copies < 0 or (copies == 0 and not include_originals):
        raise InvalidArgumentError(
            "`copies` must be an integer of at least 1, or 0 to only pass the originals on. "
            f"Received: copies={copies!r}, include_originals={include_originals!r}."
        )
    if num_shards is not None and (not isinstance(num_shards, int) or num_shards < 1):
        raise InvalidArgumentError(
            f"`num_shards` must be an integer of at least 1. Received: num_shards={num_shards!r}."
        )
