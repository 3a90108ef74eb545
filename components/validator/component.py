"""The AugmentationValidator component: what it takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from tfrs_augment.components.parameters import names_text
from tfrs_augment.components.validator import executor
from tfrs_augment.components.validator.findings import Thresholds
from tfrs_augment.errors import InvalidArgumentError


class AugmentationValidatorSpec(component_spec.ComponentSpec):
    """Channels and parameters of the AugmentationValidator."""

    PARAMETERS = {
        "thresholds": component_spec.ExecutionParameter(type=str),
        "splits": component_spec.ExecutionParameter(type=str),
        "holdout_split": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "item_feature": component_spec.ExecutionParameter(type=str),
        "user_feature": component_spec.ExecutionParameter(type=str),
        "top_k": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "augmented_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "baseline_model": component_spec.ChannelParameter(
            type=standard_artifacts.Model, optional=True
        ),
        "model_blessing": component_spec.ChannelParameter(
            type=standard_artifacts.ModelBlessing, optional=True
        ),
    }
    OUTPUTS = {
        "validation": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class AugmentationValidator(base_beam_component.BaseBeamComponent):
    """Judges augmented examples, and the model that has learnt them, and blesses them or not.

    What is judged: that the rows obey the schema; that no feature has drifted beyond its bound; that
    augmented rows have the label of their source row; that synthesized rows give no source row away; and that
    the model is not worse than one that has learnt the source rows. What was not judged, for an input is not
    given, is said in `validation`.

    Outputs:
      validation: Metrics, a folder with `validation.json` and `validation.html`: each number beside its
        bound. Custom property `refusals`, how many there are, and `first_refusal`.
      blessing: ModelBlessing for Pusher's `model_blessing`: custom property `blessed`, and an empty file
        BLESSED or NOT_BLESSED.

    Args:
      examples: channel of the Examples before augmentation.
      augmented_examples: channel of the Augmenter's Examples.
      schema: channel of the Schema of `examples`. Default: inferred from them.
      model: channel of the Model that has learnt the augmented rows; goes with `baseline_model`. It must have
        the signatures `query_embedding` and `candidate_embedding`, or `serving_default`, which each take
        serialized Examples.
      baseline_model: channel of the Model that has learnt the rows of `examples`.
      model_blessing: channel of another ModelBlessing, such as Evaluator's: what it refuses is refused here,
        so that Pusher takes this one alone.
      thresholds: a `Thresholds`, or a dict of its arguments.
      splits: which splits are judged. Default: ["train"].
      holdout_split: of rows that were not learnt, for privacy and quality. Default: "eval".
      label: a feature that augmentation must not change; a number is also what `serving_default` predicts.
      item_feature: the id of the item, to measure retrieval by.
      user_feature: the id of the user: items that a user has in `splits` are not recommended again.
      top_k: length of the list for retrieval. Default: 10.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      validator = AugmentationValidator(
          gen.outputs["examples"], augmenter.outputs["augmented_examples"], label="rating"
      )
    """

    SPEC_CLASS = AugmentationValidatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        augmented_examples: types.BaseChannel,
        *,
        schema: types.BaseChannel | None = None,
        model: types.BaseChannel | None = None,
        baseline_model: types.BaseChannel | None = None,
        model_blessing: types.BaseChannel | None = None,
        thresholds: Thresholds | Mapping[str, Any] | None = None,
        splits: Sequence[str] = ("train",),
        holdout_split: str = "eval",
        label: str | None = None,
        item_feature: str | None = None,
        user_feature: str | None = None,
        top_k: int = 10,
    ):
        if (model is None) != (baseline_model is None):
            raise InvalidArgumentError(
                "`model` and `baseline_model` go together: one without the other can't be compared. "
                f"Received: model={model!r}, baseline_model={baseline_model!r}."
            )
        if model is not None and label is None and item_feature is None:
            raise InvalidArgumentError(
                "`model` needs an `item_feature` (retrieval), a `label` (ranking), or both, to be measured "
                "by. Received: neither."
            )
        if holdout_split in splits:
            raise InvalidArgumentError(
                "`holdout_split` must be none of `splits`. "
                f"Received: holdout_split={holdout_split!r}, splits={list(splits)}."
            )
        if not isinstance(top_k, int) or top_k < 1:
            raise InvalidArgumentError(
                f"`top_k` must be an integer of at least 1. Received: {top_k!r}."
            )
        super().__init__(
            spec=AugmentationValidatorSpec(
                examples=examples,
                augmented_examples=augmented_examples,
                schema=schema,
                model=model,
                baseline_model=baseline_model,
                model_blessing=model_blessing,
                thresholds=Thresholds.of(thresholds).to_json(),
                splits=names_text("splits", splits),
                holdout_split=holdout_split,
                label=label or "",
                item_feature=item_feature or "",
                user_feature=user_feature or "",
                top_k=top_k,
                validation=types.Channel(type=simple_artifacts.Metrics),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
