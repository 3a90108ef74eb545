"""The SynthesizerTrainer component: what it takes and gives."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.experimental import simple_artifacts

from tfrs_augment.components.parameters import names_text
from tfrs_augment.components.synthesizer import executor, parameters
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.synthesis import Synthesizer
from tfrs_augment.synthesis.base import as_integer


class SynthesizerTrainerSpec(component_spec.ComponentSpec):
    """Channels and parameters of the SynthesizerTrainer."""

    PARAMETERS = {
        "synthesizer_config": component_spec.ExecutionParameter(type=str),
        "columns": component_spec.ExecutionParameter(type=str),
        "split": component_spec.ExecutionParameter(type=str),
        "holdout_split": component_spec.ExecutionParameter(type=str),
        "sample_rows": component_spec.ExecutionParameter(type=int),
        "seed": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS = {
        "synthesizer": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "quality": component_spec.ChannelParameter(type=simple_artifacts.Metrics),
    }


class SynthesizerTrainer(base_component.BaseComponent):
    """Fits a synthesizer on the rows of a split, and measures its rows against another split.

    The rows of both splits are held in memory, one value a row: features with several are left out.

    Outputs:
      synthesizer: Model, a folder with `synthesizer.npz`, for the Augmenter and
        `aug.synthesis.Synthesizer.load`.
      quality: Metrics, a folder with `quality.json` and `quality.md`: fidelity beside its floor and ceiling,
        and attacks on privacy. Custom properties `quality`, `quality_skill`, `closer_to_train` and
        `membership_auc`.

    Args:
      examples: channel of Examples of FORMAT_TF_EXAMPLE.
      schema: channel of a Schema, for kinds, bounds and vocabularies. Default: read off the records.
      synthesizer: an unfitted synthesizer of `aug.synthesis`, the name of its class, or "auto":
        FactorizationSampler where the rows have `user_id` and `item_id`, otherwise the cheapest model of
        tables whose rows pass as real ones.
      columns: the features to model. Default: all with at most one value a row.
      split: whose rows are learnt. Default: "train".
      holdout_split: real rows that the synthesizer does not see, to measure by. Default: "eval".
      sample_rows: how many rows are sampled to be measured. Default: 10,000.
      seed: of the sample. Default: 0.

    Raises:
      InvalidArgumentError: an argument breaks its rule.

    Example:
      trainer = SynthesizerTrainer(
          gen.outputs["examples"], synthesizer=aug.synthesis.FactorizationSampler(item_id="movie_id")
      )
    """

    SPEC_CLASS = SynthesizerTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        *,
        schema: types.BaseChannel | None = None,
        synthesizer: Synthesizer | str = parameters.AUTO,
        columns: Sequence[str] | None = None,
        split: str = "train",
        holdout_split: str = "eval",
        sample_rows: int = 10_000,
        seed: int = 0,
    ):
        if split == holdout_split:
            raise InvalidArgumentError(
                "`holdout_split` must be another than `split`: rows that were learnt can't judge. "
                f"Received: {split!r} for both."
            )
        if not isinstance(sample_rows, int) or sample_rows < 2:
            raise InvalidArgumentError(
                f"`sample_rows` must be an integer of at least 2. Received: {sample_rows!r}."
            )
        super().__init__(
            spec=SynthesizerTrainerSpec(
                examples=examples,
                schema=schema,
                synthesizer_config=parameters.synthesizer_text(synthesizer),
                columns="" if columns is None else names_text("columns", columns),
                split=split,
                holdout_split=holdout_split,
                sample_rows=sample_rows,
                seed=as_integer("seed", seed),
                synthesizer=types.Channel(type=standard_artifacts.Model),
                quality=types.Channel(type=simple_artifacts.Metrics),
            )
        )
