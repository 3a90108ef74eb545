"""The AugmentationValidator at work: its checks in turn, the page, the blessing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_data_validation.api import stats_api
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.evaluator import constants
from tfx.components.util import model_utils, tfxio_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact
from tfx.utils import io_utils, path_utils

from tfrs_augment.beam import files, infer_schema
from tfrs_augment.beam.sequences import EXAMPLE
from tfrs_augment.components import examples as artifacts
from tfrs_augment.components import schemas
from tfrs_augment.components.augmenter.executor import POLICY_PROPERTY
from tfrs_augment.components.validator import conformance, quality, rows
from tfrs_augment.components.validator.findings import Finding, Thresholds, page
from tfrs_augment.policy import AugmentationPolicy
from tfrs_augment.schema import Schema

VALIDATION = "validation.json"
PAGE = "validation.html"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Computes the statistics with the pipeline's Beam options, and the other checks in this process."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the validation and the blessing; see `AugmentationValidator`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        given = {key: artifacts.single(input_dict, key) for key in input_dict}
        validation = artifacts.single(output_dict, "validation")
        blessing = artifacts.single(output_dict, "blessing")
        thresholds = Thresholds.of(exec_properties["thresholds"])
        splits = json.loads(exec_properties["splits"])
        for key in ("examples", "augmented_examples"):
            artifacts.check_splits(given[key], splits)
        findings = list(self._conformance(given, splits, thresholds, validation.uri))
        findings += _on_rows(given, splits, thresholds, exec_properties)
        findings += _on_models(given, splits, thresholds, exec_properties)
        refused = [finding for finding in findings if finding.passed is False]
        document = {
            "blessed": not refused,
            "refusals": [str(finding) for finding in refused],
            "thresholds": json.loads(thresholds.to_json()),
            "findings": [finding.to_dict() for finding in findings],
        }
        files.write_json(files.join(validation.uri, VALIDATION), document)
        verdict = (
            "blessed" if not refused else f"refused for {len(refused)} of {len(findings)} findings"
        )
        title = f"Augmented examples: {verdict}"
        io_utils.write_string_file(files.join(validation.uri, PAGE), page(findings, title))
        validation.set_int_custom_property("refusals", len(refused))
        if refused:
            validation.set_string_custom_property("first_refusal", str(refused[0]))
        _bless(blessing, not refused, given.get("model"), given.get("baseline_model"))

    def _conformance(
        self,
        given: Mapping[str, artifact.Artifact | None],
        splits: Sequence[str],
        thresholds: Thresholds,
        folder: str,
    ) -> Iterator[Finding]:
        paths = {
            (key, split): files.join(folder, "statistics", key, f"{split}.pb")
            for key in ("examples", "augmented_examples")
            for split in splits
        }
        # Of ids all, and of numbers percentiles, to see how their distributions differ.
        options = tfdv.StatsOptions(
            num_rank_histogram_buckets=100_000, num_quantiles_histogram_buckets=100
        )
        with self._make_beam_pipeline() as pipeline:
            for (key, split), path in paths.items():
                source = tfxio_utils.get_split_tfxio(
                    [given[key]], split, telemetry_descriptors=["AugmentationValidator"]
                )
                _ = (
                    pipeline
                    | f"Read {key} {split}" >> source.BeamSource()
                    | f"Statistics {key} {split}" >> tfdv.GenerateStatistics(options)
                    | f"Write {key} {split}" >> stats_api.WriteStatisticsToBinaryFile(path)
                )
        schema = given.get("schema")
        yield from conformance.check(
            {split: _statistics(paths["augmented_examples", split]) for split in splits},
            {split: _statistics(paths["examples", split]) for split in splits},
            None if schema is None else tfdv.load_schema_text(schemas.schema_path(schema)),
            thresholds,
        )


def _statistics(path: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    return tfdv.load_stats_binary(path)


def _on_rows(
    given: Mapping[str, artifact.Artifact | None],
    splits: Sequence[str],
    thresholds: Thresholds,
    properties: Mapping[str, Any],
) -> Iterator[Finding]:
    """Labels and privacy."""
    source, augmented = given["examples"], given["augmented_examples"]
    payload = artifacts.payload_of(source)
    if payload != EXAMPLE:
        for check in ("labels", "privacy"):
            yield Finding.left_out(check, "the records are SequenceExamples")
        return
    policy = None
    if augmented.has_custom_property(POLICY_PROPERTY):
        text = augmented.get_string_custom_property(POLICY_PROPERTY)
        policy = AugmentationPolicy.from_json(text)
    label = properties["label"]
    for split in splits:
        before, after = (artifacts.split_files(a, split) for a in (source, augmented))
        schema = _schema(given, before)
        if not label or thresholds.max_label_changes is None:
            yield Finding.left_out("labels", "no `label`, or no threshold")
        elif policy is None or not policy.key_features:
            yield Finding.left_out(
                "labels", f"`augmented_examples` have no policy ('{POLICY_PROPERTY}')"
            )
        else:
            yield rows.check_labels(policy, label, schema, before, after, split, thresholds)
        artifacts.check_splits(source, [properties["holdout_split"]])
        holdout = artifacts.split_files(source, properties["holdout_split"])
        ids = [properties["item_feature"], properties["user_feature"]]
        ids += policy.key_features if policy is not None else ()
        yield from rows.check_privacy(before, after, holdout, schema, ids, split, thresholds)


def _on_models(
    given: Mapping[str, artifact.Artifact | None],
    splits: Sequence[str],
    thresholds: Thresholds,
    properties: Mapping[str, Any],
) -> Iterator[Finding]:
    """Quality, and the blessing of another component."""
    source, model, baseline = (given.get(k) for k in ("examples", "model", "baseline_model"))
    if model is None or thresholds.max_quality_loss is None:
        yield Finding.left_out("quality", "no models, or no threshold")
    else:
        train = [path for split in splits for path in artifacts.split_files(source, split)]
        artifacts.check_splits(source, [properties["holdout_split"]])
        task = quality.Task(
            _schema(given, train),
            train,
            artifacts.split_files(source, properties["holdout_split"]),
            properties["item_feature"],
            properties["user_feature"],
            properties["label"],
            properties["top_k"],
        )
        folders = [path_utils.serving_model_path(a.uri) for a in (model, baseline)]
        yield from quality.check(*folders, task, thresholds)
    other = given.get("model_blessing")
    if other is not None:
        blessed = model_utils.is_model_blessed(other)
        note = "0 where the other component has blessed the model, 1 where it has not"
        yield Finding.judged("model blessing", other.uri, int(not blessed), 0, note)


def _schema(given: Mapping[str, artifact.Artifact | None], paths: Sequence[str]) -> Schema:
    declared = schemas.declared(given.get("schema"), None, "", ())
    return infer_schema(paths, compression="gzip") if declared is None else declared


def _bless(
    blessing: artifact.Artifact,
    blessed: bool,
    model: artifact.Artifact | None,
    baseline: artifact.Artifact | None,
) -> None:
    """What Pusher reads, as Evaluator writes it."""
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(files.join(blessing.uri, name), "")
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE,
    )
    for found, uri, number in (
        (
            model,
            constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY,
            constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
        ),
        (
            baseline,
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY,
            constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY,
        ),
    ):
        if found is not None:
            blessing.set_string_custom_property(uri, found.uri)
            blessing.set_int_custom_property(number, found.id)
