"""The Augmenter at work: the Beam job on each split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.types import artifact
from tfx.utils import io_utils

from tfrs_augment import beam
from tfrs_augment.beam import DriftGuard, files
from tfrs_augment.beam.publishing import FITTED
from tfrs_augment.components import examples as artifacts
from tfrs_augment.components import schemas
from tfrs_augment.components.augmenter import parameters
from tfrs_augment.components.augmenter.resolver import ADAPTED_PROPERTY
from tfrs_augment.components.synthesizer.files import SYNTHESIZER
from tfrs_augment.ops import FittedState
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

REPORT = "report.json"
POLICY_PROPERTY = "augmentation_policy"
FINGERPRINT_PROPERTY = "augmentation_fingerprint"
DRIFT_PROPERTY = "drift"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs `aug.beam.run` with the pipeline's Beam options."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the augmented examples and the report; see `Augmenter`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        source = artifacts.single(input_dict, "examples")
        target = artifacts.single(output_dict, "augmented_examples")
        report = artifacts.single(output_dict, "augmentation_report")
        payload = artifacts.payload_of(source)
        splits = json.loads(exec_properties["splits"])
        known = artifacts.check_splits(source, splits)
        policy = parameters.load_policy(exec_properties["policy"])
        if (fitted := artifacts.single(input_dict, "fitted")) is not None:
            policy = policy.with_fitted(FittedState.load(files.join(fitted.uri, FITTED)))
        schema = _schema(input_dict, policy, splits[0], payload)
        # What the first split has beside the others.
        added: dict[str, Any] = {"drift": _guard(input_dict, splits[0], exec_properties)}
        if (synthesizer := artifacts.single(input_dict, "synthesizer")) is not None:
            added["synthesizer"] = files.join(synthesizer.uri, SYNTHESIZER)
            added["num_synthetic"] = exec_properties["num_synthetic"]
        artifacts.describe_like(source, target)
        manifests = {}
        for split in splits:
            folder = files.join(report.uri, f"Split-{split}")
            manifests[split] = augment_split(
                policy,
                artifacts.split_files(source, split),
                output=artifacts.split_folder(target, split),
                report=folder,
                payload=payload,
                schema=schema,
                copies=exec_properties["copies"],
                include_originals=bool(exec_properties["include_originals"]),
                provenance=bool(exec_properties["provenance"]),
                balance=parameters.load_balance(exec_properties["balance"]),
                beam_args=self._beam_pipeline_args,
                **added,
            )
            if added["drift"] is not None or policy.missing_requirements():
                # Of the first split alone: what is learnt from one must not leak from another.
                policy = _used(manifests[split], folder)
            added = {"drift": None}
        copied = [split for split in known if split not in splits]
        for split in copied:
            artifacts.copy_split(source, target, split)
        if policy.fitted is not None:
            policy.fitted.save(files.join(report.uri, FITTED))
        counts = total(manifest["counts"] for manifest in manifests.values())
        files.write_json(
            files.join(report.uri, REPORT),
            {
                "policy": policy.get_config(),
                "fingerprint": policy.fingerprint,
                "counts": counts,
                "splits": {split: manifest["counts"] for split, manifest in manifests.items()},
                "copied_splits": copied,
                "drift": manifests[splits[0]]["drift"],
            },
        )
        for name, count in counts.items():
            report.set_int_custom_property(name, count)
        for described in (target, report):
            _describe_drift(described, manifests[splits[0]]["drift"])
            described.set_string_custom_property(FINGERPRINT_PROPERTY, policy.fingerprint)
        target.set_string_custom_property(POLICY_PROPERTY, policy.to_json())


def augment_split(
    policy: AugmentationPolicy,
    inputs: Sequence[str],
    *,
    output: str,
    report: str,
    **arguments: Any,
) -> Mapping[str, Any]:
    """Runs the job on the files of a split.

    Args:
      policy: the policy.
      inputs: gzipped TFRecord files.
      output: the split's folder, which gets data files alone.
      report: the folder for what else the job writes.
      **arguments: further ones of `aug.beam.run`.

    Returns:
      The job's manifest.
    """
    done = beam.run(
        policy,
        input=inputs,
        output=output,
        input_compression="gzip",
        compression="gzip",
        progress=False,
        **arguments,
    )
    shards = {shard["name"] for shard in done.manifest["shards"]}
    fileio.makedirs(report)
    for name in fileio.listdir(output):
        if name not in shards:
            io_utils.copy_file(files.join(output, name), files.join(report, name))
            fileio.remove(files.join(output, name))
    return done.manifest


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums counts by name."""
    sums: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def _guard(
    input_dict: Mapping[str, Sequence[artifact.Artifact]],
    split: str,
    exec_properties: Mapping[str, Any],
) -> DriftGuard | None:
    """The guard of the first split, if drift is to be measured."""
    if (threshold := exec_properties.get("drift_threshold")) is None:
        return None
    reference = artifacts.single(input_dict, "reference")
    columns = exec_properties.get("drift_columns")
    return DriftGuard(
        None if reference is None else files.join(reference.uri, f"Split-{split}"),
        threshold=threshold,
        columns=json.loads(columns) if columns else None,
        adapt=exec_properties.get("adapt") or None,
    )


def _used(manifest: Mapping[str, Any], folder: str) -> AugmentationPolicy:
    """The policy that a split was augmented with, and its fitted statistics."""
    policy = AugmentationPolicy.from_config(manifest["policy"])
    if FITTED not in manifest["files"]:
        return policy
    return policy.with_fitted(FittedState.load(files.join(folder, FITTED)))


def _describe_drift(described: artifact.Artifact, drift: Mapping[str, Any] | None) -> None:
    """Sets the properties by which ML Metadata can be asked for drift."""
    if drift is None:
        return
    described.set_int_custom_property(ADAPTED_PROPERTY, int(drift["adapted"]))
    if drift["columns"]:
        described.set_float_custom_property(DRIFT_PROPERTY, drift["columns"][0]["excess"])


def _schema(
    input_dict: Mapping[str, Sequence[artifact.Artifact]],
    policy: AugmentationPolicy,
    split: str,
    payload: str,
) -> Schema | None:
    """The kinds of features from the schema or the statistics; None leaves them to the job."""
    schema = artifacts.single(input_dict, "schema")
    statistics = artifacts.single(input_dict, "statistics")
    return schemas.declared(
        schema, statistics, split, {*policy.features, *policy.key_features}, payload
    )
