"""Amazon Beauty (5-core) as `Interactions`, from the files that S3-Rec published.

No file of this data set is part of this library. References: McAuley et al., "Image-based
Recommendations on Styles and Substitutes", SIGIR 2015 (the reviews); Zhou et al., "S3-Rec:
Self-Supervised Learning for Sequential Recommendation with Mutual Information Maximization", CIKM
2020 (these files).

Columns of `rows`: `user_id` and `item_id` bytes; `attributes` `Ragged` of bytes, the numbers of an
item's categories and brand; `timestamp` int64, the place of an action in its user's history from 0:
the files give an order, and no time.
"""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np

from tfrs_augment import errors
from tfrs_augment.datasets import interactions

_SEQUENCES = "Beauty.txt"
_ATTRIBUTES = "Beauty_item2attributes.json"
_URL = "https://github.com/RUCAIBox/CIKM2020-S3Rec/tree/master/data"


def amazon_beauty(data_dir: str | os.PathLike[str]) -> interactions.Interactions:
    """Loads Amazon Beauty: 198,502 actions of 22,363 users on 12,101 items.

    Args:
      data_dir: the folder with `Beauty.txt` and `Beauty_item2attributes.json`.

    Returns:
      All actions, sorted by user and time. `evaluation.split_histories` makes of them rows with a
      history, for all users or for a share of them.

    Raises:
      DataError: a file is absent or does not have the form that was published.
    """
    folder = pathlib.Path(data_dir)
    absent = [name for name in (_SEQUENCES, _ATTRIBUTES) if not (folder / name).is_file()]
    if absent:
        raise errors.DataError(
            f"`data_dir` must hold {_SEQUENCES} and {_ATTRIBUTES}. Received: {folder} without "
            f"{', '.join(absent)}. They are published at {_URL}."
        )
    users, histories = [], []
    text = (folder / _SEQUENCES).read_text(encoding="ascii", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if len(fields) < 2 or not all(field.isdecimal() for field in fields):
            raise errors.DataError(
                f"A line of {_SEQUENCES} must be the number of a user and of the user's items. "
                f"Received: {line[:80]!r} (line {number} of {folder / _SEQUENCES})."
            )
        users.append(fields[0])
        histories.append(fields[1:])
    if not users:
        raise errors.DataError(f"{folder / _SEQUENCES} must have a line a user. Received: no line.")
    attributes = _attributes(folder / _ATTRIBUTES)
    lengths = np.array([len(items) for items in histories], np.int64)
    ends = np.cumsum(lengths)
    item_ids = np.array([item for items in histories for item in items], "S")
    catalogue = np.unique(item_ids.astype(np.int64)).astype("S")
    without = [item for item in catalogue.tolist() if item.decode() not in attributes]
    if without:
        raise errors.DataError(
            f"{_ATTRIBUTES} must hold every item of {_SEQUENCES}. Received: {len(without)} items "
            f"that it lacks, among them {without[0].decode()}."
        )
    user_ids = np.array(users, "S")
    return interactions.Interactions.from_tables(
        events={
            "user_id": np.repeat(user_ids, lengths),
            "item_id": item_ids,
            "timestamp": np.arange(ends[-1]) - np.repeat(ends - lengths, lengths),
        },
        items={
            "item_id": catalogue,
            "attributes": interactions.Ragged.from_lists(
                [attributes[item.decode()] for item in catalogue.tolist()], dtype="S"
            ),
        },
        users={"user_id": user_ids},
        name="amazon-beauty",
    )


def _attributes(path: pathlib.Path) -> dict[str, list[str]]:
    """Returns the numbers of each item's attributes, as text."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {item: [str(int(value)) for value in values] for item, values in table.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.DataError(
            f"{path} must be JSON of item numbers to lists of attribute numbers. Received: {error}."
        ) from error
