"""Synthesized rows in the job: blocks of a fitted synthesizer, written behind the records of the shards.

A block's rows hang on the synthesizer's file, the seed, the conditions and the block alone. So workers,
retries and the number of shards do not change them, and all blocks together are what
`synthesizer.sample(n, seed=seed)` gives.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.utils.shared import Shared

from tfrs_augment import records
from tfrs_augment.beam.blocks import DRAW, PARENT_KEY, POLICY, WEIGHT
from tfrs_augment.beam.conditions import conditions_to_json
from tfrs_augment.beam.files import join
from tfrs_augment.errors import (
    DataError,
    InvalidArgumentError,
    OutputError,
    UnknownFeatureError,
    close_matches,
)
from tfrs_augment.records import ABSENT, BYTES, FLOAT, INT64, LISTED, Column
from tfrs_augment.schema import Schema
from tfrs_augment.synthesis import files as synthesizer_files
from tfrs_augment.synthesis.base import Block, Synthesizer
from tfrs_augment.synthesis.interactions import InteractionSynthesizer

SYNTHESIZER = "aug/synthesizer"
"""The feature with the fingerprint of the synthesizer, which synthesized rows alone have."""

_STAGED = "synthesizer.npz"
JOB_FEATURES = (PARENT_KEY, DRAW, POLICY, SYNTHESIZER)
"""What the job adds to records beside `sample_weight`: nothing to be modelled."""
_KINDS = {"bytes": "bytes", "float32": "float", "int64": "int64"}


@dataclasses.dataclass(frozen=True)
class Synthesis:
    """The rows that a job synthesizes: what its workers need to know. Made by `Synthesis.of`.

    Attributes:
      kind: the synthesizer's class.
      kinds: its columns, and the kinds of feature that hold them.
      rows: how many rows all workers make together.
      seed: as of `Synthesizer.sample`.
      conditions: likewise.
      weight: their `sample_weight`, or what a column of that name is multiplied by.
      provenance: whether they get `aug/synthesizer`, `aug/draw` and `sample_weight`.
      item_feature: the column of item ids of a synthesizer of interactions.
      lacking: the features of the records that they do not have; see `checked`.
      path: of the file that workers load; "" until it is staged.
      fingerprint: of the fitted synthesizer; "" until then.
    """

    kind: type[Synthesizer]
    kinds: Mapping[str, str]
    rows: int
    seed: int
    conditions: Mapping[str, Any] | None = None
    weight: float = 1.0
    provenance: bool = True
    item_feature: str | None = None
    lacking: tuple[str, ...] = ()
    path: str = ""
    fingerprint: str = ""

    @classmethod
    def of(
        cls,
        synthesizer: Synthesizer,
        rows: int,
        *,
        seed: int,
        conditions: Mapping[str, Any] | None = None,
        weight: float = 1.0,
        provenance: bool = True,
    ) -> Synthesis:
        """What is asked of a synthesizer.

        Raises:
          InvalidArgumentError: an argument breaks its rule, or the synthesizer is not fitted.
        """
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise InvalidArgumentError(
                "`num_synthetic` must be an integer of at least 1 where there is a `synthesizer`. "
                f"Received: num_synthetic={rows!r}."
            )
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not (math.isfinite(weight) and weight >= 0):
            raise InvalidArgumentError(
                "`synthetic_weight` must be a finite number of 0 or more. "
                f"Received: synthetic_weight={weight!r}."
            )
        if weight != 1 and not provenance:
            raise InvalidArgumentError(
                f"`synthetic_weight` is written as `{WEIGHT}`, which needs provenance on. "
                f"Received: synthetic_weight={weight}, provenance=False."
            )
        synthesizer.blocks(
            0, conditions=conditions
        )  # Checks that it is fitted, and the conditions.
        item = None
        if isinstance(synthesizer, InteractionSynthesizer):
            item = synthesizer.id_columns()[1]
        return cls(
            type(synthesizer),
            {column.name: _KINDS[column.dtype] for column in synthesizer.spec},
            rows,
            seed,
            conditions,
            float(weight),
            provenance,
            item,
        )

    def checked(self, schema: Schema) -> Synthesis:
        """Checks that the columns are features of the records, and notes which others there are.

        Raises:
          UnknownFeatureError: the records lack one; the message names all that do not fit.
          DataError: one is of another kind there, or has a name that the job writes itself.
        """
        ours = [name for name in self.kinds if name in JOB_FEATURES]
        if ours:
            raise DataError(
                f"The columns of the synthesizer must not be what the job adds itself. Received: {ours}. "
                "Fit it without them: name the others in `columns`."
            )
        lacking = [name for name in self.kinds if name not in schema.kinds]
        wrong = [
            f"'{name}' is {kind} and in the records {schema.kinds[name]}"
            for name, kind in self.kinds.items()
            if schema.kinds.get(name, kind) != kind
        ]
        found = [f"'{n}' is in no record. {close_matches(n, schema.kinds)}" for n in lacking]
        if found or wrong:
            kind = UnknownFeatureError if found else DataError
            raise kind(
                f"The columns of the {self.kind.__name__} must be features of the records. Received: "
                f"{'; '.join([*found, *wrong])} Fit it on such records, with their names and kinds."
            )
        weight_kind = schema.kinds.get(WEIGHT, "float")
        if self.weight != 1 and weight_kind != "float":
            raise DataError(
                f"`synthetic_weight` is written as `{WEIGHT}`, which must be a float feature. "
                f"Received: records with {WEIGHT} of kind {weight_kind}."
            )
        others = sorted({*schema.kinds} - {*self.kinds, *JOB_FEATURES, WEIGHT})
        return dataclasses.replace(self, lacking=tuple(others))

    def staged(self, synthesizer: Synthesizer, staging: str) -> Synthesis:
        """Writes the file that workers load beside what they write, so that all of them see the same one.

        Raises:
          OutputError: it cannot be written.
        """
        path = join(staging, _STAGED)
        save(synthesizer, path)
        return dataclasses.replace(self, path=path, fingerprint=fingerprint(path))

    def get_config(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {
            "class": self.kind.__name__,
            "fingerprint": self.fingerprint,
            "columns": list(self.kinds),
            "lacking": list(self.lacking),
            "rows": self.rows,
            "seed": self.seed,
            "conditions": conditions_to_json(self.conditions),
            "weight": self.weight,
        }

    def load(self, shared: Shared) -> Synthesizer:
        """The synthesizer, once a process: `shared` is a handle of Beam for what its threads share."""
        return shared.acquire(functools.partial(self.kind.load, self.path), tag=self.path)

    def columns(self, synthesizer: Synthesizer, block: Block) -> dict[str, Column]:
        """The rows of a block, as features of records; a missing cell is a feature that is left out."""
        table = synthesizer.sample_block(block, seed=self.seed, conditions=self.conditions)
        columns = {name: to_column(values) for name, values in table.items()}
        if not self.provenance:
            return columns
        places = np.arange(block.start, block.start + block.rows)
        columns[DRAW] = to_column(places)
        columns[SYNTHESIZER] = to_column(np.full(block.rows, self.fingerprint.encode()))
        if self.kinds.get(WEIGHT, "float") == "float":
            weights = table.get(WEIGHT, np.ones(block.rows, np.float32))
            weights = np.where(np.isnan(weights), 1.0, weights)
            columns[WEIGHT] = to_column((weights * self.weight).astype(np.float32))
        return columns


def load(synthesizer: Synthesizer | str | os.PathLike[str]) -> Synthesizer:
    """A synthesizer, or the one of a file.

    Raises:
      InvalidArgumentError: it is neither; or as of `Synthesizer.load`.
    """
    if isinstance(synthesizer, str | os.PathLike):
        return Synthesizer.load(synthesizer)
    if not isinstance(synthesizer, Synthesizer):
        raise InvalidArgumentError(
            "`synthesizer` must be a fitted Synthesizer, or the path of its file. "
            f"Received: {synthesizer!r}."
        )
    return synthesizer


def save(synthesizer: Synthesizer, path: str) -> None:
    """Writes the file of a fitted synthesizer.

    Raises:
      OutputError: it cannot be written.
    """
    try:
        synthesizer.save(path)
    except (OSError, tf.errors.OpError, InvalidArgumentError) as error:
        raise OutputError(f"output '{path}' cannot be written: {error}") from error


def fingerprint(path: str) -> str:
    """What tells one fitted synthesizer from another: 16 hexadecimal digits, a hash of a file's content."""
    document, arrays = synthesizer_files.read(path)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def spread(blocks: Sequence[Block], count: int) -> list[tuple[Block, ...]]:
    """Divides blocks among `count` shards: neighbours, and about as many rows each."""
    total = sum(block.rows for block in blocks)
    shards: list[list[Block]] = [[] for _ in range(count)]
    for block in blocks:
        shards[block.start * count // total].append(block)
    return [tuple(shard) for shard in shards]


def to_column(values: np.ndarray) -> Column:
    """A column of a table as a feature of one value a row; NaN and b"" are left out.

    Args:
      values: `[n]` of bytes ("S"), float32 or int64.
    """
    present = np.ones(len(values), bool)
    if values.dtype.kind == "S":
        present = values != b""
    elif values.dtype.kind == "f":
        present = ~np.isnan(values)
    kept = values[present]
    splits = _offsets(present)
    state = np.where(present, LISTED, ABSENT)
    if values.dtype.kind != "S":
        kind = FLOAT if values.dtype.kind == "f" else INT64
        return Column(kind, splits, values=kept, state=state)
    lengths = np.char.str_len(kept)
    cells = np.ascontiguousarray(kept).view(np.uint8).reshape(len(kept), values.dtype.itemsize)
    data = cells[np.arange(cells.shape[1]) < lengths[:, np.newaxis]]
    return Column(BYTES, splits, value_offsets=_offsets(lengths), data=data, state=state)


def encode(table: Mapping[str, np.ndarray]) -> np.ndarray:
    """The rows of a table as framed records, uint8; see `to_column`."""
    return records.encode_rows({name: to_column(values) for name, values in table.items()})


def _offsets(lengths: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
