"""The SynthesizerTrainer at work: fit, save, sample, measure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tfx.dsl.components.base import base_executor
from tfx.types import artifact
from tfx.utils import io_utils

from tfrs_augment.beam import files, synthetic
from tfrs_augment.beam.reading import read_rows
from tfrs_augment.beam.sequences import EXAMPLE
from tfrs_augment.components import examples as artifacts
from tfrs_augment.components import schemas
from tfrs_augment.components.synthesizer import parameters
from tfrs_augment.components.synthesizer.files import QUALITY, SYNTHESIZER
from tfrs_augment.errors import DataError
from tfrs_augment.evaluation import (
    Fidelity,
    Privacy,
    measure_fidelity,
    measure_privacy,
    telling_columns,
)
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis import FactorizationSampler, Synthesizer, choose

Table = Mapping[str, np.ndarray]


class Executor(base_executor.BaseExecutor):
    """Fits the synthesizer in this process."""

    def Do(
        self,
        input_dict: dict[str, list[artifact.Artifact]],
        output_dict: dict[str, list[artifact.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the synthesizer and its quality; see `SynthesizerTrainer`."""
        self._log_startup(input_dict, output_dict, exec_properties)
        source = artifacts.single(input_dict, "examples")
        if (payload := artifacts.payload_of(source)) != EXAMPLE:
            raise DataError(
                f"`examples` must be FORMAT_TF_EXAMPLE for a synthesizer. Received: {payload}."
            )
        splits = [exec_properties["split"], exec_properties["holdout_split"]]
        artifacts.check_splits(source, splits)
        schema = schemas.declared(artifacts.single(input_dict, "schema"), None, splits[0], ())
        columns = json.loads(exec_properties["columns"] or "null")
        train = _read(source, splits[0], columns, schema)
        synthesizer, why = fitted(
            parameters.load_synthesizer(exec_properties["synthesizer_config"]), train, schema
        )
        model = artifacts.single(output_dict, "synthesizer")
        path = files.join(model.uri, SYNTHESIZER)
        synthetic.save(synthesizer, path)
        model.set_string_custom_property("class", type(synthesizer).__name__)
        model.set_string_custom_property("fingerprint", synthetic.fingerprint(path))
        holdout = _read(source, splits[1], list(synthesizer.spec.names), schema)
        rows = synthesizer.sample(exec_properties["sample_rows"], seed=exec_properties["seed"])
        fidelity, privacy = measured(synthesizer, train, rows, holdout, exec_properties["seed"])
        quality = artifacts.single(output_dict, "quality")
        document = {
            "class": type(synthesizer).__name__,
            "config": synthesizer.get_config(),
            "choice": why,
            "rows": {"train": _rows(train), "synthetic": _rows(rows), "holdout": _rows(holdout)},
            "loss_history": synthesizer.loss_history,
            "fidelity": fidelity.to_dict(),
            "privacy": privacy.to_dict(),
        }
        files.write_json(files.join(quality.uri, QUALITY), document)
        text = f"# {type(synthesizer).__name__}\n\n{fidelity.table()}\n\n{privacy.table()}\n"
        io_utils.write_string_file(files.join(quality.uri, "quality.md"), text)
        score = fidelity.scores["quality"]
        values = {"quality": score.value, "quality_skill": score.skill, **privacy.values}
        for name, value in values.items():
            # NaN, of a skill that is not defined, is no JSON, which some orchestrators keep properties in.
            if np.isfinite(value):
                quality.set_float_custom_property(name, value)


def fitted(
    synthesizer: Synthesizer | None, table: Table, schema: Schema | None
) -> tuple[Synthesizer, str]:
    """Fits a synthesizer, or the one that suits the table; and says why that one.

    Args:
      synthesizer: unfitted; None chooses.
      table: columns `[n]`.
      schema: as of `Synthesizer.fit`.
    """
    if synthesizer is not None:
        return synthesizer.fit(table, schema=schema), "given"
    if {"user_id", "item_id"} <= set(table):
        return FactorizationSampler().fit(table, schema=schema), "user_id and item_id are columns"
    choice = choose(table, schema=schema)
    return choice.synthesizer, str(choice)


def measured(
    synthesizer: Synthesizer, train: Table, rows: Table, holdout: Table, seed: int
) -> tuple[Fidelity, Privacy]:
    """Measures sampled rows by the columns that tell something of them."""
    columns, _ = telling_columns(synthesizer)
    return (
        measure_fidelity(train, rows, holdout=holdout, columns=columns, seed=seed),
        measure_privacy(train, rows, holdout=holdout, columns=columns, seed=seed),
    )


def _read(
    source: artifact.Artifact, split: str, columns: list[str] | None, schema: Schema | None
) -> Table:
    paths = artifacts.split_files(source, split)
    return read_rows(paths, columns=columns, schema=schema, input_compression="gzip").table


def _rows(table: Table) -> int:
    return len(next(iter(table.values())))
