"""Measures augmented rows against their source, before any model is trained on them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_augment.datasets.interactions import Table, columns_to_tensors, take_column
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.evaluation.augmented import tfdv_statistics
from tfrs_augment.evaluation.augmented.augmentation_limits import AugmentationLimits
from tfrs_augment.evaluation.augmented.augmentation_warnings import warnings_of
from tfrs_augment.evaluation.augmented.augmented_data import (
    AugmentedData,
    Changes,
    Diversity,
    OpChanges,
)
from tfrs_augment.evaluation.augmented.augmented_tables import (
    Pair,
    pair_tables,
    read_columns,
    rows_of,
)
from tfrs_augment.evaluation.augmented.column_shifts import (
    Cells,
    coded_scalars,
    distributions,
    measure_columns,
)
from tfrs_augment.evaluation.augmented.embedding_spread import Embed, measure_spread
from tfrs_augment.evaluation.augmented.label_consistency import Predict, measure_labels
from tfrs_augment.evaluation.augmented.op_changes import Replay, replay
from tfrs_augment.evaluation.synthetic.coded_tables import CodedTables, draw, row_codes, take
from tfrs_augment.evaluation.synthetic.distances import RowDistances
from tfrs_augment.evaluation.synthetic.fidelity import Fidelity, compare_with_source
from tfrs_augment.fitting import fit
from tfrs_augment.policy import AugmentationPolicy

_MOST_PAIRS = 10_000
"""Rows of each table on which pairs of columns are compared, labels asked and embeddings made."""
_ASKED, _SEARCHED = 500, 5000
"""Rows whose nearest others are searched, and rows that are searched."""
_MOST_PAIRED = 40
"""Columns whose pairs are compared; the number of pairs grows with the square."""
_FEW = 10
"""Changed rows of which it is too early to say that they repeat."""
_SAME = 0.999
"""The least share of cells that a replay must give as they are."""


def measure_augmented(
    source: Any,
    augmented: Any,
    *,
    policy: AugmentationPolicy | None = None,
    copies: int = 1,
    parents: Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    positive: Sequence[Any] | None = None,
    predict: Predict | None = None,
    embed: Embed | None = None,
    limits: AugmentationLimits | None = None,
    statistics: bool = True,
    max_rows: int = 100_000,
    seed: int = 0,
) -> AugmentedData:
    """Measures augmented rows against their source: fidelity, diversity, drift, labels, and what is too much.

    It needs no model. What it can't say is whether a model gains: `compare` says that.

    Args:
      source: the rows before: `Interactions`, a mapping of columns, or a DataFrame. A column holds bytes,
        text, numbers, or lists of these (`Ragged`, or lists); images and embeddings are left out.
      augmented: the rows after, likewise; originals among the rows of a Beam job are left out. Or the policy
        itself, which then makes them of `source` here.
      policy: what made the augmented rows. With `aug/parent_key` and `aug/draw` in these it finds their
        source rows and says what each op changed.
      copies: augmented rows a source row, where `augmented` is a policy.
      parents: the source row of each augmented row, -1 where it is not known.
      columns: the columns to measure. Default: all of `source`.
      label: a column that a teacher predicts from the others, trained on source rows that it is not asked
        about. Default: labels are not measured. Needs scikit-learn, unless `predict` is given.
      positive: the values of `label` that are the positive class, such as ratings of 4 and 5.
      predict: a trained model in the teacher's place: columns `[n]` to `[n]` labels or numbers, or to
        `[n, classes]` shares, in rising order of the labels.
      embed: a model's embeddings: columns `[n]` to `[n, dim]`. Default: their spread is not measured.
      limits: beyond which is warned. Default: `AugmentationLimits()`.
      statistics: whether TensorFlow Data Validation looks at the rows too, where it is installed.
      max_rows: of each table; larger ones are measured on a sample of source rows and of what was made of
        these. Pairs of columns, labels and embeddings are measured on at most 10,000 rows, distances on 500
        against 5,000.
      seed: of what is drawn.

    Returns:
      The figures and the warnings.

    Raises:
      InvalidArgumentError: an argument breaks its rule.
      UnknownFeatureError: a table lacks a column.
      DataError: a table has fewer than two rows, or a column is of another kind than in the other.
      AugmentError: `label` is given without `predict`, and scikit-learn is not installed.

    Example:
      >>> import numpy as np
      >>> import tfrs_augment as aug
      >>> rows = {"id": np.arange(500), "genre": np.array(["War", "Drama"])[np.arange(500) % 2]}
      >>> mask = aug.ops.FeatureMask("genre", rate=0.9)
      >>> policy = aug.AugmentationPolicy([mask], key_features=["id"])
      >>> found = aug.evaluation.measure_augmented(rows, policy)
      >>> [warning.name for warning in found.warnings]
      ['changed_cells', 'one_op', 'drift']
    """
    _check(copies, limits, max_rows, seed)
    limits = limits or AugmentationLimits()
    rng = np.random.default_rng([seed, 0xDA7A])
    if isinstance(augmented, AugmentationPolicy):
        if policy is not None or parents is not None:
            raise InvalidArgumentError(
                "`policy` and `parents` go with augmented rows. Received: a policy as `augmented`."
            )
        policy = augmented
        pair, rows, made = _make(source, policy, columns, copies, max_rows, rng)
    else:
        pair = pair_tables(source, augmented, columns=columns, parents=parents, policy=policy)
        rows = {"source": rows_of(pair.source), "augmented": rows_of(pair.augmented)}
        pair = pair.sample(max_rows, rng)
        pair, made = _replayed(pair, policy)
    cells = Cells.of(pair)
    found: dict[str, Any] = {"columns": measure_columns(pair, cells)}
    found["diversity"] = _diversity(cells, pair, rng)
    found["changes"] = _changes(cells, made)
    found["labels"] = found["spread"] = found["statistics"] = None
    if label is not None or predict is not None:
        found["labels"] = measure_labels(
            pair,
            label=label,
            positive=positive,
            predict=predict,
            changed=None if made is None else _spread_out(made, cells.known),
            most=_MOST_PAIRS,
            seed=seed,
        )
    if embed is not None:
        found["spread"] = measure_spread(pair, embed, most=_MOST_PAIRS, rng=rng)
    if statistics and tfdv_statistics.is_installed():
        found["statistics"] = tfdv_statistics.measure_statistics(pair)
    fidelity, notes = _fidelity(pair, rng, seed)
    return AugmentedData(
        rows=rows,
        **found,
        fidelity=fidelity,
        distributions=distributions(pair, found["columns"]),
        limits=limits,
        warnings=warnings_of(limits, rows, found, paired=cells.changed is not None),
        left_out=pair.left_out,
        notes=(*pair.notes, *notes),
        settings={
            "seed": seed,
            "max_rows": max_rows,
            "label": label,
            "positive": None if positive is None else [_plain(value) for value in positive],
            "policy": None if policy is None else policy.get_config(),
            "fingerprint": None if policy is None else policy.fingerprint,
        },
    )


def _check(copies: int, limits: AugmentationLimits | None, max_rows: int, seed: int) -> None:
    for name, value, least in (
        ("copies", copies, 1),
        ("max_rows", max_rows, 100),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidArgumentError(
                f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}."
            )
    if limits is not None and not isinstance(limits, AugmentationLimits):
        raise InvalidArgumentError(
            f"`limits` must be AugmentationLimits or None. Received: {type(limits).__name__}."
        )


def _make(
    source: Any,
    policy: AugmentationPolicy,
    columns: Sequence[str] | None,
    copies: int,
    max_rows: int,
    rng: np.random.Generator,
) -> tuple[Pair, dict[str, int], Replay]:
    """Augmented rows of a policy, of as many source rows as may be measured."""
    raw = read_columns(source, "source")
    raw = {name: column for name, column in raw.items() if not name.startswith("aug/")}
    total = rows_of(raw)
    policy = _fitted(policy, raw)
    chosen = np.arange(total)
    if total * copies > max_rows:
        chosen = np.sort(rng.choice(total, max(2, max_rows // copies), replace=False))
    raw = {name: take_column(column, chosen) for name, column in raw.items()}
    parents = np.tile(np.arange(len(chosen)), copies)
    repeated = {name: take_column(column, parents) for name, column in raw.items()}
    made = replay(policy, repeated, np.repeat(np.arange(copies), len(chosen)))
    pair = pair_tables(raw, made.table, columns=columns, parents=parents)
    if len(chosen) < total:
        note = f"Measured on a sample: {len(chosen):,} of {total:,} source rows and their copies."
        pair = dataclasses.replace(pair, notes=(*pair.notes, note))
    return pair, {"source": total, "augmented": total * copies}, made


def _fitted(policy: AugmentationPolicy, raw: Table) -> AugmentationPolicy:
    if not policy.missing_requirements():
        return policy
    return fit(policy, columns_to_tensors(raw))


def _replayed(pair: Pair, policy: AugmentationPolicy | None) -> tuple[Pair, Replay | None]:
    """What each op changed, where the policy gives the augmented rows of their source rows and draws."""
    if policy is None or pair.parents is None or pair.draws is None:
        return pair, None
    known = np.flatnonzero(pair.parents >= 0)
    rows = {name: take_column(c, pair.parents[known]) for name, c in pair.raw.items()}
    made = replay(_fitted(policy, pair.raw), rows, pair.draws[known])
    measured = [name for name in policy.features if name in pair.augmented]
    given = {name: take_column(pair.augmented[name], known) for name in measured}
    same = 1.0
    if measured:
        made_pair = pair_tables({n: made.table[n] for n in measured}, given)
        alike = dataclasses.replace(made_pair, parents=np.arange(len(known)))
        same = 1.0 - float(Cells.of(alike).changed.mean())
    if same < _SAME:
        note = (
            f"`policy` does not give these rows: {same:.1%} of the cells are alike. What each op changed is "
            "not told."
        )
        return dataclasses.replace(pair, notes=(*pair.notes, note)), None
    return pair, made


def _spread_out(made: Replay, known: np.ndarray) -> dict[str, np.ndarray]:
    """By op, bool of all augmented rows, from those whose source row is known."""
    found = {}
    for name, rows in made.rows.items():
        found[name] = np.zeros(len(known), bool)
        found[name][known] = rows
    return found


def _changes(cells: Cells, made: Replay | None) -> Changes | None:
    if cells.changed is None or not len(cells.changed):
        return None
    by_op = {}
    if made is not None:
        total = sum(made.cells.values())
        by_op = {
            name: OpChanges(float(rows.mean()), made.cells[name] / total if total else 0.0)
            for name, rows in made.rows.items()
        }
    return Changes(
        float(cells.known.mean()),
        float(cells.changed.any(axis=1).mean()),
        float(cells.changed.mean()),
        by_op,
    )


def _diversity(cells: Cells, pair: Pair, rng: np.random.Generator) -> Diversity:
    codes = row_codes(CodedTables({}, (), cells.tables))
    before, after = codes["source"], codes["augmented"]
    copied = np.isin(after, before)
    changed = after[~copied]
    changed_distinct = math.nan
    if len(changed) >= _FEW:
        # The share of different rows falls with their number: as many of each are compared.
        count = min(len(changed), len(before))
        mine, theirs = (
            len(np.unique(rng.choice(part, count, replace=False))) for part in (changed, before)
        )
        changed_distinct = mine / theirs
    return Diversity(
        len(np.unique(after)) / len(after),
        len(np.unique(before)) / len(before),
        changed_distinct,
        float(copied.mean()),
        *_distances(cells, pair, rng),
    )


def _distances(cells: Cells, pair: Pair, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean distances: of augmented rows to the source, within the source, within the augmented rows."""
    source, augmented = cells.tables["source"], dict(cells.tables["augmented"])
    for name in cells.numbers:
        # What stands for a masked number may be far from all others, and would outweigh all columns.
        known = source[name][~np.isnan(source[name])]
        if len(known):
            augmented[name] = np.clip(augmented[name], known.min(), known.max())
    measure = RowDistances(source, cells.numbers)
    asked = rng.permutation(rows_of(augmented))[:_ASKED]
    searched = rng.permutation(rows_of(source))[:_SEARCHED]
    if pair.parents is not None:
        # Among few of many rows a source row would seem farther than it is.
        own = pair.parents[asked]
        searched = np.unique(np.concatenate([own[own >= 0], searched]))[: _SEARCHED + _ASKED]
    to_source = measure.nearest(take(augmented, asked), take(source, searched))[:, 0]
    within = []
    for table in (source, augmented):
        others = draw(table, _SEARCHED, rng)
        # A row is its own nearest.
        rows = take(others, np.arange(min(_ASKED, rows_of(others))))
        within.append(measure.nearest(rows, others, 2)[:, 1])
    return tuple(float(part.mean()) for part in (to_source, *within))


def _fidelity(
    pair: Pair, rng: np.random.Generator, seed: int
) -> tuple[Fidelity | None, tuple[str, ...]]:
    """Similarity by column and by pair of columns; what is left out of it is said."""
    names, notes = pair.scalars, ()
    if not names:
        return None, ("No column has one value a row, so pairs of columns are not compared.",)
    if len(names) > _MOST_PAIRED:
        notes = (f"Pairs are compared of the first {_MOST_PAIRED} of {len(names)} columns.",)
    chosen = dataclasses.replace(
        pair, source={name: pair.source[name] for name in names[:_MOST_PAIRED]}
    )
    return compare_with_source(coded_scalars(chosen.sample(_MOST_PAIRS, rng)), seed=seed), notes


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
