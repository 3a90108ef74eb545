"""The Augmenter component: what it takes and gives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from tfrs_augment.beam import Balance
from tfrs_augment.beam.job import check_arguments
from tfrs_augment.components.augmenter import executor, parameters
from tfrs_augment.components.parameters import names_text
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.policy import AugmentationPolicy


class AugmenterSpec(component_spec.ComponentSpec):
    """Channels and parameters of the Augmenter."""

    PARAMETERS = {
        "policy": component_spec.ExecutionParameter(type=str),
        "splits": component_spec.ExecutionParameter(type=str),
        "copies": component_spec.ExecutionParameter(type=int),
        "balance": component_spec.ExecutionParameter(type=str),
        "num_synthetic": component_spec.ExecutionParameter(type=int),
        "include_originals": component_spec.ExecutionParameter(type=int),
        "provenance": component_spec.ExecutionParameter(type=int),
        "drift_threshold": component_spec.ExecutionParameter(type=float, optional=True),
        "drift_columns": component_spec.ExecutionParameter(type=str, optional=True),
        "adapt": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics, optional=True
        ),
        "synthesizer": component_spec.ChannelParameter(
            type=standard_artifacts.Model, optional=True
        ),
        "fitted": component_spec.ChannelParameter(type=simple_artifacts.Statistics, optional=True),
        "reference": component_spec.ChannelParameter(
            type=simple_artifacts.Statistics, optional=True
        ),
    }
    OUTPUTS = {
        "augmented_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "augmentation_report": component_spec.ChannelParameter(type=simple_artifacts.Statistics),
    }


class Augmenter(base_beam_component.BaseBeamComponent):
    """Writes augmented copies of the rows of some splits, and the other splits as they are.

    It runs the Beam job `aug.beam.run` on each of `splits`, with the pipeline's Beam options: the same policy
    gives the same rows. Span, version, formats and the names of the splits are those of `examples`.

    Outputs:
      augmented_examples: Examples. The rows of `splits` and their augmented copies, which carry
        `aug/parent_key`, `aug/draw`, `aug/policy` and `sample_weight`; the other splits byte for byte. Custom
        properties `augmentation_policy` (JSON) and `augmentation_fingerprint`; with `drift_threshold` also
        `adapted` (0 or 1) and, with a `reference`, `drift` (the largest one, corrected for chance).
      augmentation_report: Statistics, a folder. `report.json` with counts; `fitted.json`, the fitted
        statistics of the policy, if any; for each of `splits` a folder `Split-NAME` with `manifest.json`,
        `item_counts.json`, and `rejected-*.jsonl`, the records that could not be used. With
        `drift_threshold` that of the first of `splits` holds `drift.json`, `statistics.json` and, where the
        policy is no longer the one given, `adapted_policy.json`. Its custom properties are the counts, and
        those of drift.

    Args:
      examples: channel of Examples of FORMAT_TF_EXAMPLE or FORMAT_TF_SEQUENCE_EXAMPLE.
      policy: an AugmentationPolicy with key features, its JSON text, or the path of its file, which is read
        when the pipeline is made.
      schema: channel of a Schema, for the kinds of features. Default: read off the first records.
      statistics: channel of ExampleStatistics, for the kinds where there is no `schema`.
      synthesizer: channel of a Model of a SynthesizerTrainer, for `num_synthetic`.
      fitted: channel of Statistics with a `fitted.json`, as `augmentation_report` is one and `tfrs-augment
        fit` writes it. Default: what the ops need is fitted on the first of `splits`.
      reference: channel of Statistics, an Augmenter's earlier `augmentation_report`, which a Resolver with
        `LatestGuardedReport` finds. Default: the rows are compared with nothing.
      splits: which splits are augmented. Default: ["train"].
      copies: augmented rows a source row. Default: 1.
      balance: an `aug.beam.Balance`, a dict of its arguments, or the name of its feature.
      num_synthetic: how many synthesized rows are added to the first of `splits`. Default: 0.
      include_originals: whether the source rows are written too. Default: True.
      provenance: whether augmented rows tell where they come from. Default: True.
      drift_threshold: above which drift of the first of `splits` the policy is adapted, see
        `aug.beam.DriftGuard`. Without a `reference` statistics are written alone. Default: no drift is
        measured.
      drift_columns: the features that are compared. Default: those of the reference, else of the policy.
      adapt: the import path "module:function" of what gives the policy to go on with at a drift, called as
        `adapt(policy, drifts, files)`. It must be importable where the executor runs. Default: the policy
        stays, fitted anew.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      augmenter = Augmenter(examples=gen.outputs["examples"], policy="policy.json", copies=2)
    """

    SPEC_CLASS = AugmenterSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        policy: AugmentationPolicy | str | os.PathLike[str],
        *,
        schema: types.BaseChannel | None = None,
        statistics: types.BaseChannel | None = None,
        synthesizer: types.BaseChannel | None = None,
        fitted: types.BaseChannel | None = None,
        reference: types.BaseChannel | None = None,
        splits: Sequence[str] = ("train",),
        copies: int = 1,
        balance: Balance | Mapping[str, Any] | str | None = None,
        num_synthetic: int = 0,
        include_originals: bool = True,
        provenance: bool = True,
        drift_threshold: float | None = None,
        drift_columns: Sequence[str] | None = None,
        adapt: str | None = None,
    ):
        text = parameters.policy_text(policy)
        check_arguments(AugmentationPolicy.from_json(text), copies, include_originals)
        if not isinstance(num_synthetic, int) or num_synthetic < 0:
            raise InvalidArgumentError(
                "`num_synthetic` must be an integer of at least 0. "
                f"Received: num_synthetic={num_synthetic!r}."
            )
        if bool(num_synthetic) != (synthesizer is not None):
            raise InvalidArgumentError(
                "`num_synthetic` above 0 and the channel `synthesizer` go together. Received: "
                f"num_synthetic={num_synthetic}, synthesizer={synthesizer!r}."
            )
        parameters.check_drift(reference, drift_threshold, drift_columns, adapt)
        super().__init__(
            spec=AugmenterSpec(
                examples=examples,
                schema=schema,
                statistics=statistics,
                synthesizer=synthesizer,
                fitted=fitted,
                reference=reference,
                policy=text,
                splits=names_text("splits", splits),
                copies=copies,
                balance=parameters.balance_text(balance),
                num_synthetic=num_synthetic,
                include_originals=int(include_originals),
                provenance=int(provenance),
                drift_threshold=None if drift_threshold is None else float(drift_threshold),
                drift_columns=drift_columns and names_text("drift_columns", drift_columns),
                adapt=adapt,
                augmented_examples=types.Channel(type=standard_artifacts.Examples),
                augmentation_report=types.Channel(type=simple_artifacts.Statistics),
            )
        )
