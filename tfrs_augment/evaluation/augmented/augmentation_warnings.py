"""From figures of augmented rows to warnings in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.evaluation.augmented.augmentation_limits import (
    AugmentationLimits,
    AugmentationWarning,
    Watch,
)
from tfrs_augment.evaluation.augmented.column_shifts import ColumnShift

if TYPE_CHECKING:
    from tfrs_augment.evaluation.augmented.augmented_data import Changes, Diversity
    from tfrs_augment.evaluation.augmented.embedding_spread import EmbeddingSpread
    from tfrs_augment.evaluation.augmented.label_consistency import LabelConsistency

_SURE = 0.01
"""The p-value below which a drift is more than chance, where source rows are not known."""


def warnings_of(
    limits: AugmentationLimits,
    rows: Mapping[str, int],
    found: Mapping[str, Any],
    *,
    paired: bool,
) -> tuple[AugmentationWarning, ...]:
    """Returns the numbers that are beyond their limits.

    Args:
      limits: what each is held against.
      rows: how many rows "source" and "augmented" have.
      found: fields of `AugmentedData` by name: what was measured.
      paired: whether the source row of augmented rows is known.
    """
    watch = Watch(limits)
    share = rows["augmented"] / (rows["augmented"] + rows["source"])
    watch.most(
        "augmented_share",
        share,
        f"{share:.0%} of all rows are augmented: most of what a model learns is what the policy makes. Make "
        "fewer copies, or weigh them less.",
    )
    _warn_of_changes(watch, found["changes"])
    _warn_of_columns(watch, limits, found["columns"], paired=paired)
    _warn_of_rows(watch, found["diversity"])
    _warn_of_labels(watch, found["labels"])
    _warn_of_spread(watch, found["spread"])
    return tuple(watch.warnings)


def _warn_of_changes(watch: Watch, changes: Changes | None) -> None:
    if changes is None:
        return
    watch.most(
        "changed_cells",
        changes.cells,
        f"{changes.cells:.0%} of a row's cells are changed: what is left says little of its label. Lower the "
        "rates.",
    )
    if changes.by_op:
        name = max(changes.by_op, key=lambda op: changes.by_op[op].cells)
        watch.most(
            "one_op",
            changes.by_op[name].cells,
            f"'{name}' makes {changes.by_op[name].cells:.0%} of all changes: several methods at moderate "
            "strength teach more than one.",
        )


def _warn_of_columns(
    watch: Watch, limits: AugmentationLimits, shifts: Sequence[ColumnShift], *, paired: bool
) -> None:
    # Rows of other rows differ by chance; of the same rows every difference was made.
    sure = [s for s in shifts if paired or (s.drift.p_value or 0.0) < _SURE]
    for name, of_numbers in (("drift", False), ("number_drift", True)):
        kind = [s for s in sure if (s.drift.kind == "number") == of_numbers]
        moved = _beyond(kind, lambda s: s.drift.distance, getattr(limits, name), most=True)
        if not moved:
            continue
        watch.most(
            name,
            moved[0].drift.distance,
            f"the distribution of {_names(moved)} has moved: a model learns values as no request has them. "
            "Lower the rates of what changes it.",
        )
    order = _beyond(shifts, lambda s: s.popularity, limits.popularity, most=False)
    if order:
        watch.least(
            "popularity",
            order[0].popularity,
            f"the order of the values of {_names(order)} by frequency is another: a recommender learns "
            "popularity first. Check what drops, swaps or balances them.",
        )
    gone = _beyond(shifts, lambda s: s.coverage, limits.coverage, most=False)
    if gone:
        watch.least(
            "coverage",
            gone[0].coverage,
            f"values of {_names(gone)} no longer occur among the augmented rows: mostly the tail, which "
            "augmentation is for. Keep the originals beside them, or lower the rates.",
        )


def _beyond(
    shifts: Sequence[ColumnShift],
    number: Callable[[ColumnShift], float],
    limit: float | None,
    *,
    most: bool,
) -> list[ColumnShift]:
    """The columns beyond a limit, the farthest first."""
    if limit is None:
        return []
    sign = -1.0 if most else 1.0
    found = [s for s in shifts if not math.isnan(number(s)) and sign * number(s) < sign * limit]
    return sorted(found, key=lambda s: sign * number(s))


def _names(shifts: Sequence[ColumnShift]) -> str:
    shown = ", ".join(f"'{s.name}'" for s in shifts[:3])
    return shown + (f" and {len(shifts) - 3} more" if len(shifts) > 3 else "")


def _warn_of_rows(watch: Watch, diversity: Diversity) -> None:
    watch.least(
        "distinct",
        diversity.changed_distinct,
        "augmented rows repeat each other: what was changed comes out the same. Lower the rates, make fewer "
        "copies, or add another method.",
    )
    watch.most(
        "copies",
        diversity.copies,
        f"{diversity.copies:.0%} of the augmented rows equal a source row: this is oversampling, and the "
        "policy hardly acts. Raise the rates, or make no copies.",
    )


def _warn_of_labels(watch: Watch, labels: LabelConsistency | None) -> None:
    if labels is None:
        return
    watch.most(
        "labels_changed",
        labels.carried,
        "augmented rows carry another label than their source row. Keep the label out of the policy's "
        "features.",
    )
    if labels.skilled:
        worst = min(labels.by_op.items(), key=lambda item: item[1].stays, default=None)
        blamed = ""
        if worst is not None:
            blamed = f" '{worst[0]}' changes most predictions, {1 - worst[1].stays:.0%} of them."
        watch.least(
            "label_consistency",
            labels.consistency,
            f"augmented rows look like their label {labels.consistency:.0%} as often as source rows do."
            f"{blamed} Lower the rates of what the label depends on.",
        )


def _warn_of_spread(watch: Watch, spread: EmbeddingSpread | None) -> None:
    if spread is not None:
        shares = [s for s in (spread.variance_share, spread.rank_share) if not math.isnan(s)]
        watch.least(
            "spread",
            min(shares, default=math.nan),
            "augmented rows fall together where the model sees them: it can't tell them apart.",
        )
