"""Training on real and synthetic rows together, at the number of steps of the real ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tf_keras

from tfrs_augment.datasets.interactions import Interactions, Table
from tfrs_augment.errors import DataError
from tfrs_augment.evaluation.comparing.training import Protocol, Training, train
from tfrs_augment.evaluation.splitting.splits import Split


def with_synthetic(real: Interactions, columns: Table) -> Interactions:
    """Returns the real rows and, after them, the synthetic ones.

    Args:
      real: the training rows.
      columns: synthetic rows: the ids and what else the real rows have of their own. Features of users and
        items are joined from the tables of `real`; a missing timestamp is that of the last real row.

    Raises:
      DataError: a column is missing, or an id is not in the tables.
    """
    count = len(next(iter(columns.values()), ()))
    events = {}
    for name, column in real.rows.items():
        own = name in (real.user_id, real.item_id)
        if not own and (name in real.items or name in real.users):
            continue
        if name in columns:
            synthetic = columns[name]
        elif name == real.timestamp and len(real):
            synthetic = np.full(count, column.max())
        else:
            raise DataError(
                f"Synthetic rows must have the columns that real ones have of their own. Received: no "
                f"{name!r}, only {list(columns)}."
            )
        dtype = "S" if column.dtype.kind == "S" else column.dtype
        events[name] = np.concatenate([column, np.asarray(synthetic).astype(dtype)])
    names = {name: getattr(real, name) for name in ("user_id", "item_id", "timestamp", "name")}
    return Interactions.from_tables(events, real.items, real.users, **names)


def train_on(
    build_model: Callable[[Interactions], tf_keras.Model],
    split: Split,
    rows: Interactions,
    protocol: Protocol,
    *,
    seed: int,
) -> tuple[tf_keras.Model, Training]:
    """Trains a model on other rows than those of the split, as `compare` trains an arm.

    Args:
      build_model: called with `rows`.
      split: tells the number of steps, what users have seen, and the validation rows of early stopping.
      rows: what batches are cut from, with the catalogue and the users of the split.
      protocol: how the model is trained.
      seed: of initial weights and batches.

    Returns:
      The model with the weights of its best epoch, and the history.
    """
    tf_keras.utils.set_random_seed(seed)
    model = build_model(rows)
    return model, train(model, split, protocol, rows=rows, seed=seed)
