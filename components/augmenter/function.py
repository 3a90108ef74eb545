"""The Augmenter as a function component, on PTransforms: a model for components of one's own.

It does what `Augmenter` does with a policy that needs no fitted statistics, in one Beam pipeline whose
elements are records; `Augmenter` reads and writes files by the block, which is faster, and also fits,
balances and synthesizes.
"""

# No postponed annotations: TFX reads the annotations of the function as objects.
import json

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.experimental.simple_artifacts import Statistics
from tfx.types.standard_artifacts import Examples

from tfrs_augment.beam import AugmentExamples, ReadExamples, WriteExamples, files, infer_schema
from tfrs_augment.components import examples as artifacts
from tfrs_augment.components.augmenter import parameters
from tfrs_augment.components.augmenter.executor import FINGERPRINT_PROPERTY, POLICY_PROPERTY


@component(use_beam=True)
def augment_examples(
    examples: InputArtifact[Examples],
    augmented_examples: OutputArtifact[Examples],
    augmentation_report: OutputArtifact[Statistics],
    policy: Parameter[str],
    splits: Parameter[str] = '["train"]',
    copies: Parameter[int] = 1,
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Writes augmented copies of the rows of some splits, and the other splits as they are.

    Args:
      examples: of FORMAT_TF_EXAMPLE or FORMAT_TF_SEQUENCE_EXAMPLE.
      augmented_examples: as of `Augmenter`.
      augmentation_report: gets a line for each record that could not be used, with the reason, in
        `Split-NAME/rejected-*.jsonl`.
      policy: JSON text of a policy, or the path of its file.
      splits: JSON list of the splits to augment.
      copies: augmented rows a source row.
      beam_pipeline: given by TFX.

    Raises:
      InvalidArgumentError: an argument breaks its rule, or the policy needs fitted statistics.
      DataError: the records are of another payload.
    """
    loaded = parameters.load_policy(policy)
    chosen = json.loads(splits)
    payload = artifacts.payload_of(examples)
    known = artifacts.check_splits(examples, chosen)
    artifacts.describe_like(examples, augmented_examples)
    with beam_pipeline as pipeline:
        for split in chosen:
            paths = artifacts.split_files(examples, split)
            schema = infer_schema(paths, compression="gzip", payload=payload)
            augment = AugmentExamples(loaded, copies, schema=schema, payload=payload)
            read, damaged = pipeline | f"Read {split}" >> ReadExamples(paths, compression="gzip")
            augmented, unusable = read | f"Augment {split}" >> augment
            folder = artifacts.split_folder(augmented_examples, split)
            _ = augmented | f"Write {split}" >> WriteExamples(folder, compression="gzip")
            report = files.join(augmentation_report.uri, f"Split-{split}", "rejected")
            _ = (
                (damaged, unusable)
                | f"Both {split}" >> beam.Flatten()
                | f"Reasons {split}" >> beam.Map(lambda found: json.dumps({"reason": found.reason}))
                | f"Report {split}" >> beam.io.WriteToText(report, ".jsonl", skip_if_empty=True)
            )
    for split in known:
        if split not in chosen:
            artifacts.copy_split(examples, augmented_examples, split)
    augmented_examples.set_string_custom_property(POLICY_PROPERTY, loaded.to_json())
    augmented_examples.set_string_custom_property(FINGERPRINT_PROPERTY, loaded.fingerprint)
