"""Rows of files as interactions: which columns are the user's, which the item's, and which the row's own."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfrs_augment.cli import options

if TYPE_CHECKING:
    import numpy as np

    from tfrs_augment.datasets.interactions import Column, Interactions

_FLOATS_END = 2**24
"""float32, as which floats are read, holds all whole numbers below it alone."""


def add_interactions(parser: argparse.ArgumentParser) -> None:
    """Adds --input, and what says how its rows are understood."""
    options.add_rows(parser)
    options.add_schema(parser)
    for name, of in (("user_id", "ids of users"), ("item_id", "ids of items")):
        parser.add_argument(
            f"--{name}", default=name, metavar="NAME", help=f"column with the {of} (default {name})"
        )
    parser.add_argument(
        "--timestamp",
        default="timestamp",
        metavar="NAME",
        help="column with the times, whole numbers (default timestamp)",
    )
    options.add_owner_features(parser)


def read_interactions(
    arguments: argparse.Namespace, test: Sequence[str] | None = None
) -> tuple[Interactions, Interactions | None]:
    """The rows of --input, and those of other files, with one catalogue and one table of users.

    Args:
      arguments: as `add_interactions` adds them.
      test: globs of the other files.

    Raises:
      UnknownFeatureError: a named column is not there; the message lists close matches.
      DataError: the files cannot be read, a column is of the wrong kind, or all rows of the other files are
        in --input too.
    """
    from tfrs_augment.datasets.interactions import take_column

    table = _read(arguments, "input", arguments.input)
    rows = _length(table)
    if test is not None:
        table = _joined(table, _read(arguments, "test", test))
    table = _checked(table, arguments)
    known = _known(table, arguments)
    if not known.all():
        options.say(f"rows without a user or an item, left out: {int((~known).sum()):,}")
        table = {name: take_column(column, known) for name, column in table.items()}
    data = _interactions(table, arguments)
    rows = int(known[:rows].sum())
    if test is None:
        return data, None
    _check_test(data, rows)
    return data.take(slice(0, rows)), data.take(slice(rows, None))


def _read(arguments: argparse.Namespace, option: str, globs: Sequence[str]) -> dict[str, Column]:
    from tfrs_augment.beam.reading import read_rows

    with options.naming(option):
        rows = read_rows(
            globs,
            schema=options.load_schema(arguments),
            input_format=arguments.input_format,
            input_compression=arguments.input_compression,
            lists=True,
        )
    if rows.rejected:
        options.say(f"{rows.rejected:,} records cannot be used: {'; '.join(rows.reasons)}")
    return rows.table


def _joined(first: Mapping[str, Column], second: Mapping[str, Column]) -> dict[str, Column]:
    """Two tables, one below the other; columns that one of them lacks are left out, and said."""
    import numpy as np

    from tfrs_augment.datasets.interactions import Ragged
    from tfrs_augment.errors import DataError

    if lacking := sorted({*first} ^ {*second}):
        options.say(f"left out, for --input or --test does not have them: {', '.join(lacking)}")
    joined: dict[str, Column] = {}
    for name in (name for name in first if name in second):
        parts = first[name], second[name]
        if len({part.dtype.kind for part in parts}) > 1:
            raise DataError(
                f"The feature '{name}' must be of one type in --input and --test. Received: "
                f"{parts[0].dtype} and {parts[1].dtype}."
            )
        if any(isinstance(part, Ragged) for part in parts):
            lists = [part if isinstance(part, Ragged) else _as_lists(part) for part in parts]
            lengths = np.concatenate([part.row_lengths() for part in lists])
            splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            joined[name] = Ragged(np.concatenate([part.values for part in lists]), splits)
        else:
            joined[name] = np.concatenate(parts)
    return joined


def _as_lists(column: np.ndarray) -> Column:
    import numpy as np

    from tfrs_augment.datasets.interactions import Ragged

    return Ragged(column, np.arange(len(column) + 1, dtype=np.int64))


def _checked(table: Mapping[str, Column], arguments: argparse.Namespace) -> dict[str, Column]:
    """The table with ids as bytes and times as whole numbers, without columns that have gaps."""
    import numpy as np

    from tfrs_augment.datasets.interactions import Ragged
    from tfrs_augment.errors import DataError, UnknownFeatureError, close_matches

    table = dict(table)
    ids = (arguments.user_id, arguments.item_id)
    for option, name in zip(("user_id", "item_id", "timestamp"), (*ids, arguments.timestamp)):
        if name not in table:
            raise UnknownFeatureError(
                f"`--{option}` must name a column of the rows. Received: '{name}'. "
                f"{close_matches(name, table)}"
            )
        column = table[name]
        kinds = "if" if option == "timestamp" else "Si"
        if isinstance(column, Ragged) or column.dtype.kind not in kinds:
            wanted = "numbers" if option == "timestamp" else "strings or whole numbers"
            raise DataError(
                f"`--{option}` must be a column of {wanted}, one a row. Received: '{name}', "
                f"{'lists' if isinstance(column, Ragged) else 'values'} of {column.dtype}."
            )
    for name in ids:
        if table[name].dtype.kind == "i":
            table[name] = table[name].astype("S")
    times = table[arguments.timestamp]
    if times.dtype.kind == "f":
        if np.isnan(times).any():
            raise DataError(
                f"`--timestamp` must be in every row. Received: '{arguments.timestamp}', which "
                f"{int(np.isnan(times).sum()):,} rows lack."
            )
        wrong = times[(np.abs(times) >= _FLOATS_END) | (times != np.trunc(times))]
        if len(wrong):
            raise DataError(
                "`--timestamp` must be whole numbers, and floats are read as float32, which holds these "
                f"below {_FLOATS_END:,} alone. Received: '{arguments.timestamp}' of floats, such as "
                f"{float(wrong[0]):.17g}. Write it as whole numbers (int64)."
            )
        table[arguments.timestamp] = times.astype(np.int64)
    gaps = [
        name
        for name, column in table.items()
        if column.dtype.kind == "f" and np.isnan(getattr(column, "values", column)).any()
    ]
    if gaps:
        options.say(f"left out, for some rows have no number: {', '.join(gaps)}")
    return {name: column for name, column in table.items() if name not in gaps}


def _known(table: Mapping[str, Column], arguments: argparse.Namespace) -> np.ndarray:
    from tfrs_augment.errors import DataError

    known = (table[arguments.user_id] != b"") & (table[arguments.item_id] != b"")
    if not known.any():
        raise DataError(
            f"`--input` must have rows with a user and an item. Received: {len(known):,} rows, all without."
        )
    return known


def _interactions(table: Mapping[str, Column], arguments: argparse.Namespace) -> Interactions:
    import numpy as np

    from tfrs_augment.datasets.interactions import Interactions, Ragged, take_column
    from tfrs_augment.synthesis.layout import Layout

    user_id, item_id = arguments.user_id, arguments.item_id
    # A list counts as one value: equal lists as equal values.
    flat = {n: _codes(c) if isinstance(c, Ragged) else c for n, c in table.items()}
    layout = Layout.infer(
        flat,
        user_id,
        item_id,
        arguments.timestamp,
        arguments.user_features,
        arguments.item_features,
    )
    tables = {}
    for name, features in ((user_id, layout.user_features), (item_id, layout.item_features)):
        _, first = np.unique(table[name], return_index=True)
        tables[name] = {n: take_column(table[n], first) for n in (name, *features)}
    return Interactions(
        table,
        items=tables[item_id],
        users=tables[user_id],
        user_id=user_id,
        item_id=item_id,
        timestamp=arguments.timestamp,
        # Short, and the same wherever the command is started: cached trainings go by it too.
        name=", ".join("/".join(pathlib.PurePath(glob).parts[-2:]) for glob in arguments.input),
    )


def _check_test(data: Interactions, rows: int) -> None:
    """Counts test rows, those from `rows` on, that are training rows too, and refuses them if all are."""
    import numpy as np

    from tfrs_augment.errors import DataError

    pairs = data.user_index() * len(data.items[data.item_id]) + data.item_index()
    _, times = np.unique(data.rows[data.timestamp], return_inverse=True)
    _, pairs = np.unique(pairs, return_inverse=True)
    keys = pairs * (times.max(initial=0) + 1) + times
    held, known = len(keys) - rows, int(np.isin(keys[rows:], keys[:rows]).sum())
    if known and known == held:
        raise DataError(
            "`--test` must have rows that --input lacks. Received: rows whose user, item and time are in "
            f"--input too, all {held:,} rows of --test."
        )
    if known:
        options.say(f"test rows that are rows of --input too: {known:,} of {held:,}")


def _codes(column) -> np.ndarray:
    """int64 `[n]`: equal numbers for equal lists."""
    import numpy as np

    known: dict[tuple, int] = {}
    return np.array([known.setdefault(tuple(row), len(known)) for row in column.to_lists()])


def _length(table: Mapping[str, Column]) -> int:
    return len(next(iter(table.values())))
